//! For tests only: a store that fails, stalls or lies on request, and a wire that does.
//!
//! A promise about failures is worth what its test breaks. [`FailingStore`]
//! stands in front of any store, notes every operation, and follows a script
//! of faults:
//!
//! ```
//! use lake_testing::{FailingStore, Fault, Kind, On};
//! use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
//!
//! # futures::executor::block_on(async {
//! let store = FailingStore::new(InMemory::new());
//! store.inject(On::kind(Kind::Put).path("_delta_log/").nth(2), Fault::FailAfter);
//!
//! let path = |n: u32| Path::from(format!("t/_delta_log/{n}.json"));
//! store.put(&path(0), "first".into()).await.unwrap();
//! store.put(&path(1), "second".into()).await.unwrap_err();
//! assert!(store.get(&path(1)).await.is_ok(), "it landed although the answer was an error");
//! # });
//! ```
//!
//! - [`Fault`] is what goes wrong with an operation, and [`On`] with which one.
//!   `On::any().nth(n)` and `On::writes().nth(n)`, for every `n` that there is,
//!   try a fault everywhere.
//! - [`FailingStore::stop_from`] is a killed process: from one operation on,
//!   nothing reaches the store any more. With a fault for that operation it is
//!   a power cut ([`Fault::Empty`]), or a process whose last request outlives it
//!   ([`Fault::LandsLater`]).
//! - [`FailingStore::stall`] holds an operation until the test lets it go, so
//!   that a race is a story and not a matter of luck.
//! - [`Wire`] stands in front of a server instead, and what goes wrong there goes wrong on the way:
//!   answers that are lost, cut, late or refused.
//! - [`Directory`] is a temporary directory that can be forked, so that one
//!   prepared state serves many ends.

mod directory;
mod fault;
mod store;
mod wire;

pub use directory::Directory;
pub use fault::{Fault, On};
pub use store::{FailingStore, Kind, Operation, Stalled};
pub use wire::{Request, Requests, Wire, WireFault};
