//! Preparing: a plan of rows becomes data files and the actions that a commit
//! will need. Nothing here is visible to a reader.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Add;

use crate::merge::{self, Rule};
use crate::newest::KeyRule;
use crate::prepared::{Changed, Gone, Operation, Prepared};
use crate::scan::{DataFile, Selection, data_files};
use crate::write::{Target, write_plan};
use crate::{Error, Result, Root, Snapshot, TableSpec};

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
#[derive(Debug, Clone)]
pub struct Groups {
    /// The columns that name a group.
    pub columns: Vec<String>,
    /// The groups: batches of exactly those columns.
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
        if let Some(base) = &prepared.base {
            prepared.counts.deleted = base.rows();
            prepared.removes = base.files.clone();
            prepared.changed.old = data_files(base.files.iter().cloned());
            prepared.changed.gone = Gone::All;
        }
        Ok(prepared)
    }

    /// MERGE: of every key, the row with the highest `newest_by` stays,
    /// whether it is stored or comes from `plan`.
    ///
    /// # Errors
    /// [`Error::Rows`] for NULL in a key; and of the plan, the store, the library.
    pub async fn merge_newest(
        &self,
        spec: &TableSpec,
        base: Option<Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        key: &[String],
        newest_by: &[String],
    ) -> Result<Prepared> {
        let rule = KeyRule {
            key: key.to_vec(),
            newest_by: newest_by.to_vec(),
        };
        let decide = Rule::Newest;
        merge::prepare(self, spec, base, plan, &rule, &decide).await
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
        };
        let decide = Rule::Differences(scope);
        merge::prepare(self, spec, base, plan, &rule, &decide).await
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
        let written = write_plan(&self.target(spec)?, plan, None, &context).await?;
        let place = self.root.child(&spec.name);
        let mut prepared = Prepared::new(spec, place, &self.pipeline, base, operation);
        prepared.counts.inserted = written.rows;
        prepared.changed.new = data_files(written.files.iter().cloned());
        prepared.adds = written.files;
        Ok(prepared)
    }
}

/// What a difference is taken over.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    /// The groups that are compared; `None` compares the whole table.
    pub within: Option<Groups>,
    /// Columns that do not make a row different, such as the run's number.
    pub besides: Vec<String>,
}
