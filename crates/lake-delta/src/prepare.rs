//! Preparing: a plan of rows becomes data files and the actions that a commit
//! will need. Nothing here is visible to a reader.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Add;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::merge::{self, Rule, Stored};
use crate::newest::KeyRule;
use crate::prepared::{Changed, Gone, Merged, Operation, Prepared};
use crate::scan::{DataFile, Selection, data_files};
use crate::write::{FileWriter, Target, write_plan};
use crate::{Error, Result, Root, Snapshot, TableSpec};

/// Files with fewer rows than this are gathered into one.
const FEW_ROWS: u64 = 1024;
/// So many of them are.
const MANY_FILES: usize = 32;

/// One attempt at a run: where its files go and what it may use.
#[derive(Clone)]
pub struct Attempt {
    /// The pipeline's root.
    pub root: Root,
    /// The pipeline's name, kept in every table.
    pub pipeline: String,
    /// The attempt's id: the name of its directory below every table.
    pub id: String,
    /// The engine, with its memory limit and its threads.
    pub session: SessionContext,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("root", &self.root.display())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Which rows of a table a difference is taken against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Groups {
    /// The columns that name a group.
    pub columns: Vec<String>,
    /// The groups: batches of exactly those columns.
    #[serde(with = "crate::remake::batches")]
    pub values: Vec<RecordBatch>,
}

impl Groups {
    /// How many rows name a group.
    pub fn len(&self) -> usize {
        self.values.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What decides which of the rows of a key a table shows.
#[derive(Debug, Clone)]
pub struct Versions {
    /// The key's columns.
    pub key: Vec<String>,
    /// The sequence, at least one column: the row with the higher values stays,
    /// and rows that are equal in it are the same row.
    ///
    /// A NULL is lower than any value. Floating point numbers have the total
    /// order of IEEE 754: a NaN is above all numbers, or below all of them if
    /// its sign is set. −0 is 0.
    pub newest_by: Vec<String>,
    /// Where deletions are remembered, if rows can delete their key.
    pub tombstones: Option<Tombstones>,
}

/// What is remembered about the deleted keys of a table: a table of its own,
/// with the columns of the key and of the sequence.
#[derive(Debug, Clone)]
pub struct Tombstones {
    /// The name of that table, such as `_lake/deleted/standard.readings`.
    pub name: String,
    /// That table as it is; `None` where nothing has been deleted yet.
    pub base: Option<Snapshot>,
    /// The boolean column of a plan that says which rows delete their key; a
    /// NULL says no. It is a column of the plan and not of the table.
    pub deleted: String,
}

impl Attempt {
    /// Adds all rows of `plan`.
    ///
    /// # Errors
    /// Of the plan, the store, and the library.
    pub async fn append(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Prepared> {
        self.write_all(spec, base, plan, Operation::Append).await
    }

    /// Adds all rows of `plan`, and gathers files of few rows into one once there are many of
    /// them, so that a table that grows by a few rows at a time stays fast to open.
    ///
    /// # Errors
    /// Of the plan, the store, and the library.
    pub async fn append_gathering(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Prepared> {
        let mut prepared = self.append(spec, base, plan).await?;
        let files = prepared.base.iter().flat_map(|base| &base.files);
        let small = files.filter(|add| crate::stats::rows(add).is_some_and(|rows| rows < FEW_ROWS));
        let mut small: Vec<Add> = small.cloned().collect();
        if small.len() < MANY_FILES || !spec.partition_by.is_empty() {
            return Ok(prepared);
        }
        let columns: Vec<String> = spec
            .schema
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        let failed = |e| Error::query(&spec.name, e);
        let mut writer = FileWriter::new(&self.target(spec)?)?;
        for add in &mut small {
            let mut rows = prepared.files().read(add, &columns).await.map_err(failed)?;
            while let Some(batch) = rows.try_next().await.map_err(failed)? {
                writer.write(&batch).await?;
            }
            add.data_change = false;
        }
        let mut gathered = writer.finish().await?.files;
        gathered.iter_mut().for_each(|add| add.data_change = false);
        prepared.adds.extend(gathered);
        prepared.removes = small;
        Ok(prepared)
    }

    /// Puts the rows of `plan` in the place of all rows of the table.
    ///
    /// # Errors
    /// Of the plan, the store, and the library.
    pub async fn replace(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Prepared> {
        let mut prepared = self.write_all(spec, base, plan, Operation::Replace).await?;
        prepared.replaces_all();
        Ok(prepared)
    }

    /// MERGE: of every key, the row with the highest sequence stays, whether
    /// it is stored or comes from `plan`.
    ///
    /// Where rows can delete, `plan` yields a boolean column beside those of
    /// the table, and a key is live or dead by its row with the highest
    /// sequence; at the same sequence it is dead. A key is never both.
    ///
    /// # Errors
    /// [`Error::Rows`] for NULL in a key; and of the plan, the store, the library.
    pub async fn merge_newest(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        versions: Versions,
    ) -> Result<Merged> {
        let rule = Rule::Newest(None);
        self.merge_versions(spec, base, plan, versions, &rule).await
    }

    /// Makes the table, and its tombstones, equal to what `plan` yields once
    /// the row with the highest sequence is chosen for every key. What `plan`
    /// does not yield is deleted, whatever its sequence. Only what differs is
    /// written; columns in `besides` are not compared.
    ///
    /// # Errors
    /// [`Error::Rows`] for NULL in a key; and of the plan, the store, the library.
    pub async fn reload(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        versions: Versions,
        besides: &[String],
    ) -> Result<Merged> {
        let decide = Rule::Differences(Differences {
            within: None,
            besides: besides.to_vec(),
        });
        self.merge_versions(spec, base, plan, versions, &decide)
            .await
    }

    pub(crate) async fn merge_versions(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        versions: Versions,
        decide: &Rule,
    ) -> Result<Merged> {
        let Versions {
            key,
            newest_by,
            tombstones,
        } = versions;
        let (dead, deleted) = match tombstones {
            None => (None, None),
            Some(tombstones) => {
                let spec = spec.tombstones(&tombstones.name, &key, &newest_by)?;
                let base = tombstones.base;
                (Some(Stored { spec, base }), Some(tombstones.deleted))
            }
        };
        let rule = KeyRule {
            key,
            newest_by,
            deleted,
        };
        let spec = spec.clone();
        merge::prepare(self, Stored { spec, base }, dead, plan, &rule, decide).await
    }

    /// Makes the table, or the given groups of it, equal to what `plan`
    /// yields, writing only what differs. Columns in `besides` are not compared.
    ///
    /// # Errors
    /// [`Error::Rows`] where `plan` yields a key twice; and of the plan, the
    /// store, the library.
    pub async fn merge_differences(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        key: &[String],
        scope: Differences,
    ) -> Result<Prepared> {
        let rule = KeyRule {
            key: key.to_vec(),
            newest_by: Vec::new(),
            deleted: None,
        };
        let decide = Rule::Differences(scope);
        let spec = spec.clone();
        let merged = merge::prepare(self, Stored { spec, base }, None, plan, &rule, &decide).await;
        Ok(merged?.table)
    }

    /// The distinct values of `columns` among the rows that `change` put into
    /// its table or took out of it; one more than `most` at the most.
    ///
    /// # Errors
    /// Of the store and the engine.
    pub async fn touched(
        &self,
        change: &Prepared,
        columns: &[String],
        most: usize,
    ) -> Result<Groups> {
        let failed = |e| Error::query(change.name(), e);
        let files = change.files();
        let Changed { new, old, gone } = &change.changed;
        let session = self.plain_session();
        let streams = session.copied_config().target_partitions();
        let numbered = |files: &[DataFile]| -> Vec<(usize, Add)> {
            files
                .iter()
                .map(|file| file.add.clone())
                .enumerate()
                .collect()
        };
        let mut parts: Vec<(&str, Arc<dyn TableProvider>)> = Vec::new();
        let mut add = |name, numbered, selection| -> Result<()> {
            let table = files.positions(numbered, columns, selection, streams);
            parts.push((name, Arc::new(table.map_err(failed)?)));
            Ok(())
        };
        add("put_in", numbered(new), Selection::All)?;
        match gone {
            Gone::All => add("taken_out", numbered(old), Selection::All)?,
            Gone::Rows(gone) if gone.is_empty() => {}
            Gone::Rows(gone) => {
                let mut touched = numbered(old);
                touched.retain(|(index, _)| gone.touches(*index));
                add("taken_out", touched, Selection::Dropped(Arc::clone(gone)))?;
            }
        }
        let list = merge::quoted(columns, "");
        let selects: Vec<String> = parts
            .iter()
            .map(|(name, _)| format!("SELECT {list} FROM {name}"))
            .collect();
        for (name, table) in parts {
            session.register_table(name, table).map_err(failed)?;
        }
        let sql = format!(
            "SELECT DISTINCT {list} FROM ({}) LIMIT {}",
            selects.join(" UNION ALL "),
            most.saturating_add(1)
        );
        let values = session
            .sql(&sql)
            .await
            .map_err(failed)?
            .collect()
            .await
            .map_err(failed)?;
        Ok(Groups {
            columns: columns.to_vec(),
            values,
        })
    }

    /// An engine with the same limits and none of the transform's tables.
    pub(crate) fn plain_session(&self) -> SessionContext {
        SessionContext::new_with_config_rt(self.session.copied_config(), self.session.runtime_env())
    }

    pub(crate) fn target(&self, spec: &TableSpec) -> Result<Target> {
        Target::new(spec, &self.root.child(&spec.name), &self.id)
    }

    async fn write_all(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        operation: Operation,
    ) -> Result<Prepared> {
        if let Some(base) = &base {
            spec.check(base)?;
        }
        let context = self.session.task_ctx();
        let written = write_plan(&self.target(spec)?, None, plan, None, &context).await?;
        let written = written.live;
        let place = self.root.child(&spec.name);
        let mut prepared = Prepared::new(spec, place, &self.pipeline, base, operation)?;
        prepared.counts.inserted = written.rows;
        prepared.changed.new = data_files(written.files.iter().cloned());
        prepared.adds = written.files;
        Ok(prepared)
    }
}

/// What a difference is taken over.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Differences {
    /// The groups that are compared; `None` compares the whole table.
    pub within: Option<Groups>,
    /// Columns that do not make a row different, such as the run's number.
    pub besides: Vec<String>,
}
