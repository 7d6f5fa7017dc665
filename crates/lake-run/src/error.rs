//! Why a run ends without publishing, as kinds that the binary maps to exit codes.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use datafusion::error::DataFusionError;
use lake_plugin::{CallError, LoadError};

use crate::record::RunRecord;

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
        /// What the run would have recorded, where it came so far.
        record: Option<Box<RunRecord>>,
    },
    /// Another run finished while this one was prepared.
    #[error(
        "another run sealed run {run} first; nothing was published, and what it loaded need not be loaded again"
    )]
    OtherRun {
        /// The number that both wanted.
        run: i64,
    },
    /// Another run is at work just now.
    #[error(
        "another run of {pipeline} is live, on {host} (process {process}) since {since}; nothing \
         was done; wait for it with --wait, or run again later"
    )]
    Live {
        /// The pipeline's root.
        pipeline: String,
        /// The host that it is on.
        host: String,
        /// The process there.
        process: String,
        /// When it began.
        since: DateTime<Utc>,
    },
    /// The store would not take a seal, and its number is void.
    #[error(
        "the store would not take the seal of run {run}: {source}; nothing was published, and \
         the number is void; run again"
    )]
    NotSealed {
        /// The number.
        run: i64,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// Nobody can say whether a seal is there.
    #[error(
        "the store did not say whether it has the seal of run {run}: {source}; nothing is lost: \
         the next command finds out, and finishes the run if it is sealed"
    )]
    Unsettled {
        /// The number.
        run: i64,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// There is no run of a number, or nothing of it is left.
    #[error(
        "there is no run {run} to look at: the last one is {last}, and `lake history` shows all"
    )]
    NoRun {
        /// The number.
        run: i64,
        /// The last finished run.
        last: i64,
    },
    /// A data file that a table names is not there any more.
    #[error(
        "the data file {file} is gone; bring it back from a backup, or load everything again with \
         `lake run --reload`"
    )]
    LostFile {
        /// The file.
        file: String,
    },
    /// A table is not what a run has left.
    #[error(
        "{table}: {what}, and run {run} left it at version {version}; bring it back from a \
         backup, or load everything again with `lake run --reload`; `lake run --accept-loss \
         {table}` goes on without what is lost"
    )]
    Lost {
        /// The table, as `zone/name`.
        table: String,
        /// What is wrong with it.
        what: String,
        /// The run.
        run: i64,
        /// The version that it left.
        version: i64,
    },
    /// What was asked for cannot be done like this.
    #[error("{message}")]
    Refused {
        /// Why not, and what to do.
        message: String,
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
    /// Somebody else has changed what a table is, so that the run could not be sealed.
    #[error(
        "{table} was changed by somebody else while the run was prepared: {what}; nothing was \
         published; run again"
    )]
    OutsideChange {
        /// The table, as `zone/name`.
        table: String,
        /// Which change.
        what: String,
    },
    /// The run was sealed, and could not be finished.
    #[error("run {run} was taken back as run {by}, because {why}; run again")]
    TakenBack {
        /// The run.
        run: i64,
        /// The run that takes it back.
        by: i64,
        /// What somebody else did.
        why: String,
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
    /// Whether others were faster, so that it is worth starting over.
    pub(crate) fn is_overtaken(&self) -> bool {
        matches!(
            self,
            Self::OtherRun { .. } | Self::OutsideChange { .. } | Self::TakenBack { .. }
        )
    }

    /// A file that is not what it was when it was discovered.
    pub(crate) fn changed_while_read(file: &str) -> Self {
        Self::Input {
            place: file.to_owned(),
            message: "the file changed while it was read; nothing was published; run again when \
                      its writer has finished"
                .to_owned(),
        }
    }

    pub(crate) fn sql(place: impl ToString, error: &DataFusionError) -> Self {
        if let Some(file) = lake_delta::lost_file(error) {
            return Self::LostFile { file };
        }
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

    /// What a table's error means for a run: too little memory and a failing
    /// function have their own ways out.
    pub(crate) fn of_table(error: lake_delta::Error, limit: u64) -> Self {
        if let Some(file) = lake_delta::lost_file(&error) {
            return Self::LostFile { file };
        }
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
