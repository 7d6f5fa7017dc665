//! Why a run ends without publishing, as kinds that the binary maps to exit codes.

use std::path::PathBuf;

use datafusion::error::DataFusionError;
use lake_plugin::{CallError, LoadError};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, RunError>;

/// Why a command ended without doing what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The pipeline file asks for something that cannot be.
    #[error("{file}: {message}", file = file.display())]
    Pipeline {
        /// The pipeline file.
        file: PathBuf,
        /// What does not fit, and what to do.
        message: String,
    },
    /// The transform cannot be built, found or loaded.
    #[error("transform {name}: {message}")]
    Transform {
        /// The transform's name.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The transform's library was built and cannot be used.
    #[error("transform {name}: {source}")]
    Load {
        /// The transform's name.
        name: String,
        /// What the loader found.
        #[source]
        source: Box<LoadError>,
    },
    /// SQL of the transform does not plan or fails while it runs.
    #[error("{place}: {message}")]
    Sql {
        /// The table or check whose SQL it is.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A function of the transform failed.
    #[error("{table}: {message}")]
    Function {
        /// The table whose SQL called it.
        table: String,
        /// Which function, and what it said.
        message: String,
    },
    /// An input cannot be read.
    #[error("{place}: {message}")]
    Input {
        /// The file, or the input where no file is to blame.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A check or a limit stopped the run.
    #[error("{message}")]
    Stopped {
        /// Which, with figures, and where the rejected rows are.
        message: String,
    },
    /// Another run finished while this one was prepared.
    #[error(
        "another run sealed run {run} first; nothing was published, and what it loaded need not be loaded again"
    )]
    OtherRun {
        /// The number that both wanted.
        run: i64,
    },
    /// The state of the pipeline contradicts itself.
    #[error("{path}: {message}")]
    State {
        /// The object, relative to the root.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// A table cannot be opened, prepared or committed to.
    #[error(transparent)]
    Table(Box<lake_delta::Error>),
    /// Somebody else changed a table while the run was prepared, or between
    /// its seal and its end.
    #[error("{source}; {}", after_outside_change(*.sealed))]
    OutsideChange {
        /// The run that is decided already, if it is.
        sealed: Option<i64>,
        /// Which table, and by which operation.
        #[source]
        source: Box<lake_delta::Error>,
    },
    /// The run needs more memory than it may use.
    #[error(
        "{table} needs more memory than limits.memory allows ({limit} bytes): {message}; \
             nothing was published; raise limits.memory or load fewer files at once"
    )]
    Memory {
        /// The table that was computed.
        table: String,
        /// The limit, in bytes.
        limit: u64,
        /// What the engine said.
        message: String,
    },
    /// The disk is full.
    #[error("the disk is full: {source}; {}; make room below {root} and run again", so_far(*.sealed))]
    DiskFull {
        /// The pipeline's root.
        root: String,
        /// The run that is decided already, if it is.
        sealed: Option<i64>,
        /// Which object had no room.
        #[source]
        source: Box<Self>,
    },
    /// The store failed on an object of the run's state.
    #[error("{path}: {source}")]
    Store {
        /// The object, relative to the pipeline's root.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The local file system failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl RunError {
    pub(crate) fn sql(place: impl ToString, error: &DataFusionError) -> Self {
        Self::Sql {
            place: place.to_string(),
            message: error.strip_backtrace(),
        }
    }

    pub(crate) fn store(path: impl ToString, source: object_store::Error) -> Self {
        Self::Store {
            path: path.to_string(),
            source,
        }
    }

    /// A full disk has its own way out, wherever it is met. `sealed` is the
    /// run that is decided already.
    pub(crate) fn or_disk_full(self, root: &str, sealed: Option<i64>) -> Self {
        if matches!(self, Self::DiskFull { .. }) || !lake_delta::is_storage_full(&self) {
            return self;
        }
        Self::DiskFull {
            root: root.to_owned(),
            sealed,
            source: Box::new(self),
        }
    }

    /// What a change by somebody else means. `sealed` is the run that is
    /// decided already.
    pub(crate) fn of_commit(error: lake_delta::Error, sealed: Option<i64>) -> Self {
        match error {
            changed @ lake_delta::Error::OutsideChange { .. } => Self::OutsideChange {
                sealed,
                source: Box::new(changed),
            },
            other => Self::Table(Box::new(other)),
        }
    }

    /// What a table's error means for a run: too little memory and a failing
    /// function have their own ways out.
    pub(crate) fn of_table(error: lake_delta::Error, limit: u64) -> Self {
        let lake_delta::Error::Query { table, source } = error else {
            return Self::Table(Box::new(error));
        };
        match source.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::Memory {
                message: message.clone(),
                table,
                limit,
            },
            DataFusionError::External(cause) if cause.is::<CallError>() => Self::Function {
                table,
                message: cause.to_string(),
            },
            root => {
                let message = root.strip_backtrace();
                Self::Sql {
                    place: table,
                    message,
                }
            }
        }
    }
}

fn after_outside_change(sealed: Option<i64>) -> String {
    match sealed {
        None => "nothing was published; run again".to_owned(),
        Some(run) => format!(
            "run {run} is sealed and cannot be finished on top of it; take that change back by removing \
             its commit file from the table's _delta_log while nobody writes, and run again"
        ),
    }
}

fn so_far(sealed: Option<i64>) -> String {
    match sealed {
        None => "nothing was published".to_owned(),
        Some(run) => format!("run {run} is sealed, and the next command finishes it"),
    }
}

impl From<lake_delta::Error> for RunError {
    fn from(error: lake_delta::Error) -> Self {
        Self::Table(Box::new(error))
    }
}
