//! What publishers and hosts rely on.

#[cfg(test)]
mod changes;
#[cfg(test)]
mod choose;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod private_copy;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod yank;
