//! Rows that are taken back, because what they came from has other content now.
//!
//! They are found by the value of one column, and named by position as the join names rows. A
//! merge treats them as if they were not stored: any new row of their key takes their place, and
//! where there is none, they go.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use deltalake::kernel::Add;
use futures::StreamExt;

use super::decide::Decided;
use super::{Side, Stored, quote};
use crate::drops::Drops;
use crate::prepare::Attempt;
use crate::prepared::Prepared;
use crate::scan::{POSITION, Selection, data_files, split_position};
use crate::stats::{Bound, ranges};
use crate::write::write_plan;
use crate::{Error, Result, TableSpec};

/// The rows of a table that a change takes back: those that have one of these values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// A text column, such as `_file`.
    pub column: String,
    /// The values, each of them once.
    pub values: Vec<String>,
}

/// Adds the rows of `plan` to a table without a key, and takes rows back.
pub(crate) async fn append(
    attempt: &Attempt,
    table: Stored,
    plan: Arc<dyn ExecutionPlan>,
    withdrawn: &Withdrawn,
) -> Result<Prepared> {
    let mut side = Side::new(attempt, table)?;
    let context = attempt.session.task_ctx();
    let written = write_plan(&side.target, None, plan, None, &context).await?;
    side.take(written.live);
    side.withdraw(attempt, withdrawn).await?;
    let mut decided = Decided::default();
    decided.withdraw(&side.withdrawn);
    let counts = decided.counts(side.rows);
    side.rewrite(attempt, decided, counts).await
}

impl Side {
    /// Finds the rows that are taken back; files that have some are among the old ones afterwards.
    pub(super) async fn withdraw(
        &mut self,
        attempt: &Attempt,
        withdrawn: &Withdrawn,
    ) -> Result<()> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let may_have = |add: &&Add| self.may_have(add, withdrawn);
        let files: Vec<Add> = base.files.iter().filter(may_have).cloned().collect();
        if files.is_empty() {
            return Ok(());
        }
        let failed = |e: DataFusionError| Error::query(&self.spec.name, e);
        let session = attempt.plain_session();
        let streams = session.copied_config().target_partitions();
        let stored = self.files(attempt, &self.spec).positions(
            files.iter().cloned().enumerate(),
            std::slice::from_ref(&withdrawn.column),
            Selection::All,
            streams,
        );
        let stored = Arc::new(stored.map_err(failed)?);
        session.register_table("stored", stored).map_err(failed)?;
        let values = values(withdrawn).map_err(failed)?;
        session
            .register_table("withdrawn", Arc::new(values))
            .map_err(failed)?;
        // The few values come first: a hash join builds on them.
        let sql = format!(
            "SELECT s.{POSITION} FROM withdrawn w JOIN stored s ON w.value = s.{}",
            quote(&withdrawn.column)
        );
        let frame = session.sql(&sql).await.map_err(failed)?;
        let mut found = frame.execute_stream().await.map_err(failed)?;
        let mut places: Vec<Option<usize>> = vec![None; files.len()];
        while let Some(batch) = found.next().await {
            let batch = batch.map_err(failed)?;
            for position in batch.column(0).as_primitive::<Int64Type>().values() {
                let (index, row) = split_position(*position);
                let (Some(file), Some(place)) = (files.get(index), places.get_mut(index)) else {
                    continue;
                };
                let old = &mut self.old;
                let place = *place.get_or_insert_with(|| {
                    let known = old.iter().position(|known| known.add.path == file.path);
                    known.unwrap_or_else(|| {
                        old.extend(data_files([file.clone()]));
                        old.len() - 1
                    })
                });
                self.withdrawn.drop_at((place, row));
            }
        }
        Ok(())
    }

    /// Whether the statistics of a file leave it open that it has such rows.
    fn may_have(&self, add: &Add, withdrawn: &Withdrawn) -> bool {
        let column = &withdrawn.column;
        let stored = ranges(add, &self.spec.schema, std::slice::from_ref(column));
        let Some((low, high)) = stored.get(column) else {
            return true;
        };
        withdrawn.values.iter().any(|value| {
            let value = Bound::Text(value.clone());
            low.as_ref().is_none_or(|low| *low <= value)
                && high.as_ref().is_none_or(|high| value <= *high)
        })
    }
}

impl Decided {
    /// Lets the rows go that are taken back and have no successor.
    pub(super) fn withdraw(&mut self, rows: &Drops) {
        for row in rows.rows() {
            self.vanished += u64::from(self.old_gone.drop_at(row));
        }
    }
}

fn values(withdrawn: &Withdrawn) -> std::result::Result<MemTable, DataFusionError> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "value",
        DataType::Utf8,
        false,
    )]));
    let values = StringArray::from_iter_values(&withdrawn.values);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)])?;
    MemTable::try_new(schema, vec![vec![batch]])
}

impl Attempt {
    /// MERGE as [`merge_newest`](Self::merge_newest) does it, into the table without the rows that
    /// are taken back: a new row of their key takes their place whatever its sequence, and where
    /// there is none, they are deleted. Deletions that are taken back are forgotten, so that the
    /// next row of their key comes back, however old.
    ///
    /// # Errors
    /// [`Error::Rows`] for NULL in a key; and of the plan, the store, the library.
    pub async fn merge_replacing(
        &self,
        spec: &TableSpec,
        base: Option<crate::Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        versions: crate::Versions,
        withdrawn: Withdrawn,
    ) -> Result<crate::Merged> {
        let rule = super::Rule::Newest(Some(withdrawn));
        self.merge_versions(spec, base, plan, versions, &rule).await
    }

    /// Adds all rows of `plan`, and deletes the rows that are taken back.
    ///
    /// # Errors
    /// Of the plan, the store, and the library.
    pub async fn append_replacing(
        &self,
        spec: &TableSpec,
        base: Option<crate::Snapshot>,
        plan: Arc<dyn ExecutionPlan>,
        withdrawn: &Withdrawn,
    ) -> Result<Prepared> {
        let spec = spec.clone();
        append(self, Stored { spec, base }, plan, withdrawn).await
    }
}
