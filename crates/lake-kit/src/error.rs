//! Why a command of the kit could not do its work.

use std::io;
use std::path::{Path, PathBuf};

use lake_run::RunError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, KitError>;

/// Why a command of the kit could not do its work. A golden case that differs is none of these: it
/// is in the [`TestReport`](crate::TestReport).
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// What was asked for cannot be: a name, a directory, a case.
    #[error("{message}")]
    Usage {
        /// What it is, and what to do.
        message: String,
    },
    /// Cargo does not understand the crate.
    #[error("{path}: {message}", path = path.display())]
    Crate {
        /// The crate's manifest.
        path: PathBuf,
        /// What cargo said.
        message: String,
    },
    /// The transform cannot be built, loaded or understood.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file system failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl KitError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
        }
    }

    /// For `map_err`: what the system said about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
