//! What a test relies on that uses the failing store.

#[cfg(test)]
mod directory;
#[cfg(test)]
mod store;
