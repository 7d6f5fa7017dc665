//! Delta tables: open, prepare, apply.
//!
//! This is the only crate that names the Delta library. It splits a write in
//! three, because the library's own operations commit by themselves:
//!
//! 1. [`Snapshot::open`] reads a table at its newest version.
//! 2. An [`Attempt`] prepares a change of it: data files are written, and a
//!    [`Prepared`] says what a commit has to add and remove. No reader sees it,
//!    but [`Prepared::provider`] queries the table as it will be.
//! 3. [`Prepared::commit`] gives the commit's bytes, and [`apply`] puts them
//!    into the table's log, compare-and-swap. Where others have committed in
//!    between, it makes the change again on top ([`Remake`]), or says that
//!    this cannot be; what a run has applied to other tables is taken back
//!    with [`undo`] then.
//!
//! Invariant: nothing but [`apply`] and [`undo`] changes what a reader of a
//! table sees.

mod ahead;
mod apply;
mod arrange;
mod clean;
mod compact;
mod drops;
mod encoding;
mod error;
mod evolve;
mod frugal;
mod log;
mod merge;
mod newest;
mod overlay;
mod partitioned;
mod prepare;
mod prepared;
mod remake;
mod restore;
mod root;
mod scan;
mod stats;
mod table;
mod undo;
mod write;

pub use apply::{Applied, Landed, apply, checkpoint, obstacle};
pub use clean::{Unneeded, still_needed, unneeded};
pub use error::{Error, Result, is_storage_full, lost_file};
pub use log::{Impact, Outside, has_version, outside_changes, outside_commits};
pub use merge::Withdrawn;
pub use prepare::{Attempt, Differences, Groups, Tombstones, Versions};
pub use prepared::{Commit, Counts, Merged, Prepared, Stamp};
pub use remake::Remake;
pub use restore::Restored;
pub use root::Root;
pub use table::{Snapshot, TableSpec};
pub use undo::{Undone, undo};

/// How long new tables ask other engines to keep what is not current any more, in hours: 30 days.
pub const RETENTION_HOURS: u64 = 30 * 24;

/// How this engine names itself in commits and data files.
pub const ENGINE: &str = concat!("lake/", env!("CARGO_PKG_VERSION"));
