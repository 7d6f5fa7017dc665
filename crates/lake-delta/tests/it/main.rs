//! What a user of prepared and applied tables relies on.

#![expect(missing_docs, reason = "tests say what they are in their names")]

#[cfg(test)]
mod merge;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
