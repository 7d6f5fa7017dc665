//! A change of a table that is written but not committed.

use std::collections::HashSet;
use std::sync::Arc;

use deltalake::kernel::{Action, Add, Remove, Transaction};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::compact;
use crate::drops::Drops;
use crate::evolve;
use crate::remake::Remake;
use crate::scan::{DataFile, Files};
use crate::table::{KEY, OWNER};
use crate::{Error, Result, Root, Snapshot, TableSpec};

/// What became of the rows that a run had for a table.
///
/// Every row that the run had is in exactly one of `inserted`, `updated`,
/// `unchanged`, `superseded` and `tombstones`: [`Counts::accepted`] is their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Rows whose key was new to the table or deleted before, and all rows of
    /// tables without a key.
    pub inserted: u64,
    /// Rows that replaced an older row of their key.
    pub updated: u64,
    /// Rows that the table had already, and deletions that it knew of.
    pub unchanged: u64,
    /// Rows that lost to a newer row of their key, in the table or beside them.
    pub superseded: u64,
    /// Keys that are deleted now: the `tombstones`, and the rows of the table
    /// that the run neither had a row for nor a deletion.
    pub deleted: u64,
    /// Of the deleted, those that a row of the run deletes: it won, and says
    /// something new, whether the table had a row of its key or not.
    // Seals that were written before there were any do not have it.
    #[serde(default)]
    pub tombstones: u64,
}

impl Counts {
    /// How many rows the run had for the table.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.superseded + self.tombstones
    }
}

/// The Delta operation that `DESCRIBE HISTORY` shows for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Append,
    Merge,
    Replace,
    /// Files that were there before are there again.
    Restore,
    /// The same rows are in other files.
    Optimize,
}

/// Who commits, for which run.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The application of the Delta protocol's `txn` action.
    pub app: String,
    /// The run's number: the version of that action.
    pub run: i64,
    /// The attempt that prepared the run, which tells our commit from another's.
    pub attempt: String,
    /// When the run was sealed, in milliseconds since 1970.
    pub time: i64,
}

/// The content of one commit, and the history that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The table's id, of the Delta protocol's `metaData`.
    pub table_id: String,
    /// The version it was prepared on; −1 where the table did not exist.
    pub base: i64,
    /// SHA-256 of the base's commit file; empty where there is none.
    pub base_digest: String,
    /// The commit file's bytes: one JSON action a line.
    pub body: Vec<u8>,
}

/// A change of one table: its data files are written, no reader sees them.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) spec: TableSpec,
    pub(crate) place: Root,
    pub(crate) pipeline: String,
    pub(crate) base: Option<Snapshot>,
    pub(crate) new_id: String,
    pub(crate) operation: Operation,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Add>,
    pub(crate) copied: u64,
    /// What became of the rows.
    pub counts: Counts,
    pub(crate) changed: Changed,
    /// How the change is made again.
    pub(crate) remake: Remake,
    /// The table's metadata, where the change is of that too.
    pub(crate) metadata: Option<Value>,
    /// Files that the change has written and has no use for, unless it is made again.
    pub(crate) unneeded: Vec<String>,
}

/// The change of a keyed table, and of what is remembered about its deletions.
#[derive(Debug)]
pub struct Merged {
    /// The table.
    pub table: Prepared,
    /// Its tombstones, which one seal has to name together with the table;
    /// `None` where nothing of the table has ever been deleted.
    pub tombstones: Option<Prepared>,
    /// Rows of the table whose key has gone without a deletion.
    pub vanished: u64,
    /// Deletions that are forgotten, without a row in their place.
    pub forgotten: u64,
}

impl Merged {
    /// A change without deletions.
    #[must_use]
    pub fn of(table: Prepared) -> Self {
        Self {
            vanished: table.counts.deleted,
            table,
            tombstones: None,
            forgotten: 0,
        }
    }
}

/// Where to find the rows that a change put in and took out.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) new: Vec<DataFile>,
    /// Files of the base, whole or in part.
    pub(crate) old: Vec<DataFile>,
    pub(crate) gone: Gone,
}

/// Which rows of the old files a change takes out.
#[derive(Debug, Clone)]
pub(crate) enum Gone {
    All,
    Rows(Arc<Drops>),
}

impl Default for Gone {
    fn default() -> Self {
        Self::Rows(Arc::default())
    }
}

impl Prepared {
    pub(crate) fn new(
        spec: &TableSpec,
        place: Root,
        pipeline: &str,
        base: Option<Snapshot>,
        operation: Operation,
    ) -> Result<Self> {
        let metadata = match &base {
            Some(base) => evolve::metadata(spec, base)?,
            None => None,
        };
        Ok(Self {
            spec: spec.clone(),
            place,
            pipeline: pipeline.to_owned(),
            base,
            new_id: Uuid::new_v4().to_string(),
            operation,
            adds: Vec::new(),
            removes: Vec::new(),
            copied: 0,
            counts: Counts::default(),
            changed: Changed::default(),
            remake: match operation {
                Operation::Replace => Remake::Replace,
                Operation::Optimize => Remake::Nothing,
                Operation::Append | Operation::Merge | Operation::Restore => Remake::Append,
            },
            metadata,
            unneeded: Vec::new(),
        })
    }

    /// How the change is made again where others commit first.
    pub fn remake(&self) -> &Remake {
        &self.remake
    }

    /// Deletes files that are of no use once the change is applied. Nothing
    /// refers to them, so a failure costs space and nothing else.
    pub async fn discard(&self) {
        let store = self.place.store();
        for path in &self.unneeded {
            if let Ok(path) = Path::parse(path)
                && let Err(error) = store.delete(&path).await
            {
                tracing::debug!(%path, %error, "an unneeded file could not be deleted");
            }
        }
    }

    /// The table's name, as `zone/name`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What the table is declared to be.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// Whether there is nothing to commit: the table exists and stays as it is.
    pub fn is_unchanged(&self) -> bool {
        self.base.is_some()
            && self.adds.is_empty()
            && self.removes.is_empty()
            && self.metadata.is_none()
    }

    /// How many rows the table has after this change.
    pub fn rows(&self) -> u64 {
        self.current_files().filter_map(crate::stats::rows).sum()
    }

    /// The data files that the table has after this change.
    pub(crate) fn current_files(&self) -> impl Iterator<Item = &Add> {
        let removed: HashSet<&str> = self.removes.iter().map(|add| add.path.as_str()).collect();
        let kept = self.base.iter().flat_map(|base| &base.files);
        kept.filter(move |add| !removed.contains(add.path.as_str()))
            .chain(&self.adds)
    }

    /// Paths of the data files that this change wrote, relative to the table, with their sizes
    /// in bytes.
    pub fn new_files(&self) -> impl Iterator<Item = (&str, i64)> {
        self.adds.iter().map(|add| (add.path.as_str(), add.size))
    }

    /// Paths of the data files that this change takes out of the table.
    pub fn removed_files(&self) -> impl Iterator<Item = &str> {
        self.removes.iter().map(|add| add.path.as_str())
    }

    pub(crate) fn files(&self) -> Files {
        Files {
            store: self.place.store(),
            schema: Arc::clone(&self.spec.schema),
        }
    }

    /// The version that the change was prepared on; `None` where there was no table.
    pub fn base_version(&self) -> Option<i64> {
        self.base.as_ref().map(|base| base.version)
    }

    /// The version that the commit will have if nobody else commits before.
    pub fn next_version(&self) -> i64 {
        self.base.as_ref().map_or(0, |base| base.version + 1)
    }

    /// The commit of this change. The same stamp gives the same bytes.
    ///
    /// # Errors
    /// Only where the schema cannot be written as a Delta schema.
    pub fn commit(&self, stamp: &Stamp) -> Result<Commit> {
        let mut lines = vec![json!({ "commitInfo": self.commit_info(stamp) })];
        if self.base.is_none() {
            lines.push(json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }));
            lines.push(json!({ "metaData": self.first_metadata(stamp)? }));
        } else if let Some(metadata) = &self.metadata {
            lines.push(json!({ "metaData": metadata }));
        }
        let mut actions = vec![Action::Txn(Transaction::new(&stamp.app, stamp.run))];
        actions.extend(
            self.removes
                .iter()
                .map(|add| Action::Remove(removal(add, stamp.time))),
        );
        actions.extend(self.adds.iter().cloned().map(Action::Add));
        for action in &actions {
            let line = serde_json::to_value(action);
            lines.push(line.map_err(|e| Error::delta(&self.spec.name, e))?);
        }
        let mut body = Vec::new();
        for line in lines {
            body.extend_from_slice(line.to_string().as_bytes());
            body.push(b'\n');
        }
        Ok(Commit {
            table_id: self
                .base
                .as_ref()
                .map_or(&self.new_id, |base| &base.id)
                .clone(),
            base: self.base.as_ref().map_or(-1, |base| base.version),
            base_digest: self
                .base
                .as_ref()
                .map_or("", |base| &base.digest)
                .to_owned(),
            body,
        })
    }

    fn first_metadata(&self, stamp: &Stamp) -> Result<Value> {
        let schema = serde_json::to_string(&self.spec.delta_schema()?);
        // Log clean-up is the library's default after every commit; history
        // that a rollback may need is deleted by nobody but us.
        let mut configuration = json!({
            "delta.enableExpiredLogCleanup": "false",
            OWNER: self.pipeline,
        });
        for (name, interval) in compact::retention(crate::RETENTION_HOURS) {
            configuration[name] = interval.into();
        }
        if !self.spec.key.is_empty() {
            configuration[KEY] = json!(self.spec.key).to_string().into();
        }
        Ok(json!({
            "id": self.new_id,
            "name": self.spec.name,
            "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.map_err(|e| Error::delta(&self.spec.name, e))?,
            "partitionColumns": self.spec.partition_by,
            "configuration": configuration,
            "createdTime": stamp.time,
        }))
    }

    fn commit_info(&self, stamp: &Stamp) -> Value {
        let counts = self.counts;
        let output: u64 = self.adds.iter().filter_map(crate::stats::rows).sum();
        let bytes: i64 = self.adds.iter().map(|add| add.size).sum();
        let text = |number: u64| Value::String(number.to_string());
        let (name, parameters, metrics) = match self.operation {
            Operation::Merge => (
                "MERGE",
                json!({}),
                json!({
                    "numSourceRows": text(counts.accepted()),
                    "numTargetRowsInserted": text(counts.inserted),
                    "numTargetRowsUpdated": text(counts.updated),
                    "numTargetRowsDeleted": text(counts.deleted),
                    "numTargetRowsCopied": text(self.copied),
                    "numOutputRows": text(output),
                    "numTargetFilesAdded": text(self.adds.len() as u64),
                    "numTargetFilesRemoved": text(self.removes.len() as u64),
                }),
            ),
            Operation::Restore => (
                "RESTORE",
                json!({}),
                json!({
                    "numRestoredFiles": text(self.adds.len() as u64),
                    "numRemovedFiles": text(self.removes.len() as u64),
                    "numOfFilesAfterRestore": text(self.current_files().count() as u64),
                }),
            ),
            Operation::Optimize => (
                "OPTIMIZE",
                json!({}),
                json!({
                    "numAddedFiles": text(self.adds.len() as u64),
                    "numRemovedFiles": text(self.removes.len() as u64),
                    "numAddedBytes": Value::String(bytes.to_string()),
                }),
            ),
            Operation::Append | Operation::Replace => (
                "WRITE",
                json!({
                    "mode": if self.operation == Operation::Append { "Append" } else { "Overwrite" },
                    "partitionBy": Value::String(json!(self.spec.partition_by).to_string()),
                }),
                json!({
                    "numFiles": text(self.adds.len() as u64),
                    "numOutputRows": text(output),
                    "numOutputBytes": Value::String(bytes.to_string()),
                }),
            ),
        };
        json!({
            "timestamp": stamp.time,
            "operation": name,
            "operationParameters": parameters,
            "operationMetrics": metrics,
            "readVersion": self.base.as_ref().map(|base| base.version),
            "isBlindAppend": self.operation == Operation::Append,
            "engineInfo": crate::ENGINE,
            "lakeRun": stamp.run,
            "lakeAttempt": stamp.attempt,
        })
    }
}

fn removal(add: &Add, time: i64) -> Remove {
    Remove {
        path: add.path.clone(),
        data_change: add.data_change,
        deletion_timestamp: Some(time),
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values.clone()),
        size: Some(add.size),
        ..Remove::default()
    }
}
