//! Why a command of the kit could not do its work.

use std::io;
use std::path::{Path, PathBuf};

use lake_registry::{Taken, WrongBump};
use lake_run::RunError;

use crate::golden::TestReport;

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
    /// A file that cannot be looked into.
    #[error("{file}: {message}")]
    Inspect {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A transform that is not fit to be published; nothing was.
    #[error("{message}; nothing was published")]
    Unfit {
        /// What is wrong, and what to do.
        message: String,
    },
    /// The golden cases of a transform that was to be published are not as expected.
    #[error("the golden cases of {} {} are not as expected; nothing was published", .0.transform, .0.version)]
    NotAsExpected(Box<TestReport>),
    /// The version of a transform promises more than it keeps.
    #[error("{0}\nnothing was published")]
    WrongBump(#[from] Box<WrongBump>),
    /// The version is taken by something else.
    #[error("{}", taken(release, by))]
    Taken {
        /// The release, as name and version.
        release: String,
        /// What has the version.
        by: Box<Taken>,
    },
    /// Git would not do what was asked of it, or its history does not allow it.
    #[error("{message}")]
    Git {
        /// What it is, and what to do.
        message: String,
    },
    /// A registry, a release, a key: it cannot be read, or is not believed.
    #[error(transparent)]
    Registry(#[from] lake_registry::Error),
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

    pub(crate) fn git(message: impl Into<String>) -> Self {
        Self::Git {
            message: message.into(),
        }
    }

    /// For `map_err`: what the system said about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn taken(release: &str, by: &Taken) -> String {
    let who = match &by.published_by {
        Some(who) => format!(" by {who}"),
        None => String::new(),
    };
    let keys: Vec<String> = by.keys.iter().map(|key| format!("{key:#}")).collect();
    format!(
        "{release} is taken: it was published {}{who} with key {}, and differs in {}; a release never \
         changes, so give this one another version",
        by.published_at.format("%Y-%m-%d %H:%M:%S UTC"),
        keys.join(", "),
        by.differences.join(", ")
    )
}
