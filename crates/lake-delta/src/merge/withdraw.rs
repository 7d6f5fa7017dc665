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
use serde::{Deserialize, Serialize};

use super::decide::Decided;
use super::{MergeAgain, Rule, Side, Stored, quote};
use crate::drops::Drops;
use crate::prepare::Attempt;
use crate::prepared::Prepared;
use crate::remake::Remake;
use crate::scan::{POSITION, Selection, data_files, split_position};
use crate::stats::{Bound, Range, ranges};
use crate::write::write_plan;
use crate::{Error, Result, TableSpec};

/// The rows of a table that a change takes back: those that have one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    column: String,
    /// Sorted, each of them once.
    values: Vec<String>,
}

impl Withdrawn {
    /// The rows that have one of `values` in `column`, which is a text column such as `_file`.
    #[must_use]
    pub fn new(column: impl Into<String>, mut values: Vec<String>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self {
            column: column.into(),
            values,
        }
    }

    /// Whether one of the values can be between these.
    fn is_between(&self, (low, high): &Range) -> bool {
        let (Some(Bound::Text(low)), Some(Bound::Text(high))) = (low, high) else {
            return true;
        };
        let first = self.values.partition_point(|value| value < low);
        self.values.get(first).is_some_and(|value| value <= high)
    }
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
    let again = MergeAgain {
        key: Vec::new(),
        newest_by: Vec::new(),
        decide: Rule::Newest(Some(withdrawn.clone())),
        live: side.part(),
        dead: None,
        superseded: 0,
    };
    let mut prepared = finish(attempt, side, withdrawn).await?;
    prepared.remake = Remake::Merge(Arc::new(again));
    Ok(prepared)
}

/// Takes rows back from a table without a key whose new rows are written.
pub(super) async fn finish(
    attempt: &Attempt,
    mut side: Side,
    withdrawn: &Withdrawn,
) -> Result<Prepared> {
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
        let range = stored.get(column);
        range.is_none_or(|range| withdrawn.is_between(range))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_unless_no_value_can_be_in_it() {
        let values = ["m", "c", "m"].map(str::to_owned).to_vec();
        let withdrawn = Withdrawn::new("_file", values);
        let text = |text: &str| Some(Bound::Text(text.to_owned()));
        for (low, high, may) in [
            (text("a"), text("b"), false),
            (text("a"), text("c"), true),
            (text("d"), text("l"), false),
            (text("m"), text("m"), true),
            (text("n"), text("z"), false),
            (None, text("b"), true),
            (text("n"), None, true),
        ] {
            let range = (low, high);
            assert_eq!(withdrawn.is_between(&range), may, "{range:?}");
        }
        assert!(!Withdrawn::new("_file", Vec::new()).is_between(&(text("a"), text("z"))));
    }
}
