//! The author's kit: what a person needs who writes a transform.
//!
//! - [`new_crate`] writes a crate that builds, tests and runs at once. The SDK, `lake-plugin`, goes
//!   with it as sources, because this binary carries them; [`write_sdk`] brings them up to date.
//! - [`test`](fn@test) holds a transform against its golden cases: raw files in, expected tables
//!   out, through the library that is really built and the run that is really done.
//! - [`publish`](fn@publish) makes a release of it, once it has been checked as a host would load
//!   it; [`new_key`] makes the key that signs it, and [`show`] tells what a release is.
//! - [`bump`](fn@bump) gives it the next version, as a tag of its repository.
//! - [`inspect`](fn@inspect) says what is in a raw file, and what to declare for it.
//!
//! Nothing here reads the environment or the clock: [`Machine`] says where things are.

mod bump;
mod clock;
mod conformance;
mod error;
mod golden;
mod inspect;
mod key;
mod manifest;
mod name;
mod new;
mod publish;
mod sbom;
mod scratch;
mod sdk;
mod show;
mod source;
mod stage;
mod subject;

use std::path::PathBuf;

pub use bump::{Bump, BumpOptions, BumpOutcome, Published, bump};
pub use error::{KitError, Result};
pub use golden::{CaseReport, TableOutcome, TableReport, TestOptions, TestReport, test};
pub use inspect::{BadRow, FormatName, InspectOptions, Inspection, Known, inspect};
pub use key::{NewKey, new_key};
pub use new::new_crate;
pub use publish::{Checked, Destination, PublishOptions, PublishReport, Verdict, publish};
pub use sdk::write_sdk;
pub use show::{Shown, show};

/// The machine that the kit works on.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where built transforms are kept.
    pub cache: PathBuf,
    /// Where directories are made that are gone when the work is done.
    pub temporary: PathBuf,
    /// The name of this host, for the record of runs.
    pub host: String,
    /// How many threads a run keeps busy.
    pub threads: usize,
    /// The target triple that this host was built for, and loads libraries of.
    pub target: String,
}
