//! What can go wrong with a Delta table, always with the table's name.

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a table cannot be opened, prepared or committed to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place where tables are to be is none that can be opened.
    #[error(transparent)]
    Place(#[from] lake_store::Error),
    /// The store failed.
    #[error("{path}: the store failed: {source}")]
    Store {
        /// The object or prefix, relative to the root.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The Delta library failed on a table.
    #[error("{table}: {source}")]
    Delta {
        /// The table, as `zone/name`.
        table: String,
        /// What the library said.
        #[source]
        source: DeltaTableError,
    },
    /// The query engine failed while a table was computed.
    #[error("{table}: {source}")]
    Query {
        /// The table, as `zone/name`.
        table: String,
        /// What the engine said.
        #[source]
        source: DataFusionError,
    },
    /// Something else is where the table should be.
    #[error("{table}: {reason}")]
    Foreign {
        /// The table, as `zone/name`.
        table: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// The table exists with other columns than its declaration says.
    #[error(
        "{table}: the table has another schema than its declaration: {differences}; \
             give the declaration back its old columns, or move the table away to have it built anew"
    )]
    Schema {
        /// The table, as `zone/name`.
        table: String,
        /// What differs, column by column.
        differences: String,
    },
    /// The rows that were computed for a table break its declaration.
    #[error("{table}: {reason}")]
    Rows {
        /// The table, as `zone/name`.
        table: String,
        /// Which rows, and what to do.
        reason: String,
    },
    /// The log of a table cannot be read.
    #[error(
        "{table}: its log cannot be read: {source}; bring its _delta_log back from a backup, or \
             move the table away and load everything again with `lake run --reload`"
    )]
    Unreadable {
        /// The table, as `zone/name`.
        table: String,
        /// What the library said.
        #[source]
        source: DeltaTableError,
    },
}

impl Error {
    pub(crate) fn store(path: impl ToString, source: object_store::Error) -> Self {
        Self::Store {
            path: path.to_string(),
            source,
        }
    }

    pub(crate) fn delta(table: &str, source: impl Into<DeltaTableError>) -> Self {
        Self::Delta {
            table: table.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn query(table: &str, source: impl Into<DataFusionError>) -> Self {
        Self::Query {
            table: table.to_owned(),
            source: source.into(),
        }
    }
}

/// Whether the disk or the quota is full, however deep in the chain of causes
/// that is said.
pub fn is_storage_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(
                io.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            )
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The data file that a table names and the store does not have, if that is what an error comes
/// from.
pub fn lost_file(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(object_store::Error::NotFound { path, source }) = error.downcast_ref() {
            let is_file = is_data(path) && !says_bucket(&source.to_string());
            return is_file.then(|| path.clone());
        }
        cause = error.source();
    }
    // The readers of the library keep the text of the store's error, and not the error.
    let text = error.to_string();
    let (_, rest) = text.split_once("Object at location ")?;
    let (path, why) = rest.split_once(" not found")?;
    (is_data(path) && !says_bucket(why)).then(|| path.to_owned())
}

/// Whether it is the whole bucket that is not there.
fn says_bucket(why: &str) -> bool {
    why.contains("NoSuchBucket")
}

fn is_data(path: &str) -> bool {
    path.ends_with(".parquet")
}
