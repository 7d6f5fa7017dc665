//! MERGE as copy-on-write.
//!
//! The new rows are written first, sorted and one per key. Files of the table
//! that may hold the same keys are found by their statistics, then exactly, by
//! reading their key (and sequence) columns and joining them with the new
//! rows'. The join names rows by position, so that it decides everything:
//! which stored rows go, and which new ones. Only files that lose rows are
//! read whole and written again.
//!
//! A file that statistics rule out is not read at all; one that they do not
//! rule out is not read beyond the compared columns unless it loses rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int8Type, Int64Type};
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::drops::Drops;
use crate::newest::KeyRule;
use crate::prepare::{Attempt, Differences};
use crate::prepared::{Changed, Counts, Gone, Operation, Prepared};
use crate::scan::{DataFile, Files, POSITION, Selection, data_files, split_position};
use crate::stats::{self, may_share, ranges, ranges_of};
use crate::write::{FileWriter, Target, write_plan};
use crate::{Error, Result, Snapshot, TableSpec};

/// What decides between a new row and a stored one.
pub(crate) enum Rule {
    /// The higher sequence stays; equal ones are the same row.
    Newest,
    /// The new row stays unless it says the same; stored rows without a
    /// successor go.
    Differences(Differences),
}

/// The SQL verdicts of the join.
mod verdict {
    /// The stored row goes: the new one replaces it.
    pub(super) const REPLACES: i8 = 1;
    /// The new row goes: it says nothing new.
    pub(super) const SAME: i8 = 0;
    /// The new row goes: what is stored is newer.
    pub(super) const OLDER: i8 = -1;
    /// The stored row goes: there is nothing in its place.
    pub(super) const VANISHES: i8 = 2;
}

/// A join that needs less than this share of the memory limit may hash one
/// side; a larger one sorts both, which can spill.
const HASH_JOIN_SHARE: usize = 8;
/// What one row of a join's build side is taken to need, in bytes, and each of its values.
const JOIN_ROW_BYTES: usize = 64;
const JOIN_VALUE_BYTES: usize = 32;

pub(crate) async fn prepare(
    attempt: &Attempt,
    spec: &TableSpec,
    base: Option<Snapshot>,
    plan: Arc<dyn ExecutionPlan>,
    rule: &KeyRule,
    decide: &Rule,
) -> Result<Prepared> {
    if let Some(base) = &base {
        spec.check(base)?;
    }
    let target = attempt.target(spec)?;
    let context = attempt.session.task_ctx();
    let written = write_plan(&target, plan, Some(rule), &context).await?;

    let new = data_files(written.files);
    let old = match &base {
        Some(base) => candidates(base, &new, rule, decide),
        None => Vec::new(),
    };
    let merge = Merge {
        attempt,
        spec,
        target,
        rule,
        decide,
        new,
        old,
    };
    let decided = merge.decide().await?;
    let mut prepared = merge.rewrite(base, decided, written.rows).await?;
    prepared.counts.superseded += written.superseded;
    Ok(prepared)
}

/// The files of the table that the change may have something to do with.
fn candidates(base: &Snapshot, new: &[DataFile], rule: &KeyRule, decide: &Rule) -> Vec<DataFile> {
    let (columns, wanted) = match decide {
        Rule::Newest => {
            // The key determines the partition, so a partition column rules out too.
            let mut columns = rule.key.clone();
            let partitions = base.partition_by.iter();
            columns.extend(partitions.filter(|c| !rule.key.contains(c)).cloned());
            let incoming = new
                .iter()
                .map(|file| ranges(&file.add, &base.schema, &columns));
            let incoming = incoming.collect();
            (columns, incoming)
        }
        // Rows that vanish have no new row that would name their file.
        Rule::Differences(Differences { within: None, .. }) => {
            return data_files(base.files.iter().cloned());
        }
        Rule::Differences(Differences {
            within: Some(groups),
            ..
        }) => {
            if groups.is_empty() {
                return Vec::new();
            }
            let range = ranges_of(&groups.values, &groups.columns);
            (groups.columns.clone(), vec![range])
        }
    };
    let files = base.files.iter().filter(|add| {
        let stored = ranges(add, &base.schema, &columns);
        wanted
            .iter()
            .any(|range| may_share(range, &stored, &columns))
    });
    data_files(files.cloned())
}

struct Merge<'a> {
    attempt: &'a Attempt,
    spec: &'a TableSpec,
    target: Target,
    rule: &'a KeyRule,
    decide: &'a Rule,
    new: Vec<DataFile>,
    old: Vec<DataFile>,
}

#[derive(Default)]
struct Decided {
    counts: Counts,
    new_gone: Drops,
    old_gone: Drops,
    /// New rows that take the place of a stored one.
    replacing: Drops,
}

impl Merge<'_> {
    fn files(&self) -> Files {
        Files {
            store: self.attempt.root.child(&self.spec.name).store(),
            schema: Arc::clone(&self.spec.schema),
        }
    }

    /// Joins new and stored rows by key.
    async fn decide(&self) -> Result<Decided> {
        let mut decided = Decided::default();
        if self.old.is_empty() {
            return Ok(decided);
        }
        let failed = |e| Error::query(&self.spec.name, e);
        let session = self.session().await.map_err(failed)?;
        let frame = session.sql(&self.sql()).await.map_err(failed)?;
        let mut matches = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = matches.next().await {
            Self::note(&batch.map_err(failed)?, &mut decided);
        }
        Ok(decided)
    }

    async fn session(&self) -> datafusion::error::Result<SessionContext> {
        let runtime = self.attempt.session.runtime_env();
        let mut config = self.attempt.session.copied_config();
        let streams = config.target_partitions();
        let columns = self.compared();
        let build_rows = row_count(&self.new).min(row_count(&self.old));
        let row_bytes = JOIN_ROW_BYTES + JOIN_VALUE_BYTES * columns.len();
        let limit = match runtime.memory_pool.memory_limit() {
            datafusion::execution::memory_pool::MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        config.options_mut().optimizer.prefer_hash_join =
            build_rows.saturating_mul(row_bytes) < limit / HASH_JOIN_SHARE;
        let session = SessionContext::new_with_config_rt(config, runtime);
        let files = self.files();
        for (name, side) in [("new", &self.new), ("old", &self.old)] {
            let table = files.positions(numbered(side), &columns, Selection::All, streams)?;
            session.register_table(name, Arc::new(table))?;
        }
        if let Rule::Differences(Differences {
            within: Some(groups),
            ..
        }) = self.decide
            && let Some(first) = groups.values.first()
        {
            let table = MemTable::try_new(first.schema(), vec![groups.values.clone()])?;
            session.register_table("scope", Arc::new(table))?;
        }
        Ok(session)
    }

    /// The columns that the join reads.
    fn compared(&self) -> Vec<String> {
        match self.decide {
            Rule::Newest => {
                let mut columns = self.rule.key.clone();
                let sequence = self.rule.newest_by.iter();
                columns.extend(sequence.filter(|c| !self.rule.key.contains(c)).cloned());
                columns
            }
            Rule::Differences(differences) => self
                .spec
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .filter(|name| !differences.besides.contains(name))
                .collect(),
        }
    }

    fn sql(&self) -> String {
        let key: Vec<String> = self
            .rule
            .key
            .iter()
            .map(|column| format!("n.{0} = o.{0}", quote(column)))
            .collect();
        let on = key.join(" AND ");
        let (join, old, verdict) = match self.decide {
            Rule::Newest => ("JOIN", "old".to_owned(), newer(&self.rule.newest_by)),
            Rule::Differences(differences) => {
                let same: Vec<String> = self
                    .compared()
                    .iter()
                    .filter(|column| !self.rule.key.contains(column))
                    .map(|c| format!("(n.{0} IS NOT DISTINCT FROM o.{0})", quote(c)))
                    .collect();
                let same = if same.is_empty() {
                    "TRUE".to_owned()
                } else {
                    same.join(" AND ")
                };
                let verdict = format!(
                    "CASE WHEN n.{POSITION} IS NULL THEN {} WHEN o.{POSITION} IS NULL THEN NULL \
                     WHEN {same} THEN {} ELSE {} END",
                    verdict::VANISHES,
                    verdict::SAME,
                    verdict::REPLACES
                );
                let old = match &differences.within {
                    None => "old".to_owned(),
                    Some(groups) => {
                        let within: Vec<String> = groups
                            .columns
                            .iter()
                            .map(|c| format!("(s.{0} IS NOT DISTINCT FROM x.{0})", quote(c)))
                            .collect();
                        format!(
                            "(SELECT x.* FROM old x LEFT SEMI JOIN scope s ON {})",
                            within.join(" AND ")
                        )
                    }
                };
                ("FULL JOIN", old, verdict)
            }
        };
        // The side with fewer rows comes first: that is the one a hash join builds on.
        let (left, right) = if row_count(&self.new) <= row_count(&self.old) {
            ("new n".to_owned(), format!("{old} o"))
        } else {
            (format!("{old} o"), "new n".to_owned())
        };
        format!(
            "SELECT n.{POSITION} AS new_row, o.{POSITION} AS old_row, \
             CAST({verdict} AS TINYINT) AS verdict FROM {left} {join} {right} ON {on}"
        )
    }

    fn note(batch: &RecordBatch, decided: &mut Decided) {
        let new_rows = batch.column(0).as_primitive::<Int64Type>();
        let old_rows = batch.column(1).as_primitive::<Int64Type>();
        let verdicts = batch.column(2).as_primitive::<Int8Type>();
        let counts = &mut decided.counts;
        for row in 0..batch.num_rows() {
            if verdicts.is_null(row) {
                continue;
            }
            let new_row = || split_position(new_rows.value(row));
            let old_row = || split_position(old_rows.value(row));
            // A key that a foreign writer has stored twice matches twice, and
            // is one row of the run all the same.
            let (first_time, count) = match verdicts.value(row) {
                verdict::REPLACES => {
                    decided.old_gone.drop_at(old_row());
                    (decided.replacing.drop_at(new_row()), &mut counts.updated)
                }
                verdict::VANISHES => (decided.old_gone.drop_at(old_row()), &mut counts.deleted),
                verdict::SAME => (decided.new_gone.drop_at(new_row()), &mut counts.unchanged),
                _ => (decided.new_gone.drop_at(new_row()), &mut counts.superseded),
            };
            *count += u64::from(first_time);
        }
    }

    /// Writes again what stays of the files that lose rows.
    async fn rewrite(
        self,
        base: Option<Snapshot>,
        decided: Decided,
        new_rows: u64,
    ) -> Result<Prepared> {
        let mut counts = decided.counts;
        let known = counts.updated + counts.unchanged + counts.superseded;
        counts.inserted = new_rows.saturating_sub(known);
        let (new_gone, old_gone) = (Arc::new(decided.new_gone), Arc::new(decided.old_gone));
        let mut adds = self.trim(&self.new, &new_gone).await?;
        let untouched = numbered(&self.new).into_iter();
        adds.extend(
            untouched
                .filter(|(index, _)| !new_gone.touches(*index))
                .map(|(_, add)| add),
        );
        self.discard(&new_gone).await;
        let copies = self.trim(&self.old, &old_gone).await?;

        let place = self.attempt.root.child(&self.spec.name);
        let pipeline = &self.attempt.pipeline;
        let mut prepared = Prepared::new(self.spec, place, pipeline, base, Operation::Merge);
        prepared.counts = counts;
        prepared.copied = copies.iter().filter_map(stats::rows).sum();
        let removed = numbered(&self.old).into_iter();
        prepared.removes = removed
            .filter(|(index, _)| old_gone.touches(*index))
            .map(|(_, add)| add)
            .collect();
        prepared.changed = Changed {
            new: data_files(adds.iter().cloned()),
            old: self.old,
            gone: Gone::Rows(old_gone),
        };
        prepared.adds = adds;
        prepared.adds.extend(copies);
        Ok(prepared)
    }

    /// The touched files without the rows that go; a file that loses all has no successor.
    async fn trim(&self, files: &[DataFile], gone: &Arc<Drops>) -> Result<Vec<Add>> {
        let fields = self.spec.schema.fields().iter();
        let columns: Vec<String> = fields.map(|field| field.name().clone()).collect();
        let streams = self.attempt.session.copied_config().target_partitions();
        // A file whose statistics do not say how many rows it has is read; a
        // writer that gets no rows writes no file.
        let touched = gone.touched().filter_map(|(index, count)| {
            let file = files.get(index)?;
            (file.rows != Some(count)).then(|| (index, file.add.clone()))
        });
        let touched: Vec<(usize, Add)> = touched.collect();
        let tasks = touched.into_iter().map(|(index, add)| {
            let source = self.files();
            let columns = columns.clone();
            let gone = Arc::clone(gone);
            let writer = FileWriter::new(&self.target);
            let table = self.spec.name.clone();
            async move {
                let mut writer = writer?;
                let failed = |e: DataFusionError| Error::query(&table, e);
                let mut rows = source.read(&add, &columns).await.map_err(failed)?;
                let mut start = 0;
                while let Some(batch) = rows.next().await {
                    let batch = batch.map_err(failed)?;
                    let kept = gone.kept(index, start, batch.num_rows());
                    start += batch.num_rows();
                    let batch = filter_record_batch(&batch, &kept).map_err(|e| failed(e.into()))?;
                    writer.write(&batch).await?;
                }
                Ok(writer.finish().await?.0)
            }
        });
        let written: Vec<Vec<Add>> = futures::stream::iter(tasks)
            .map(|task| async move {
                // Aborted when dropped: a failed run leaves nothing writing behind it.
                let joined = SpawnedTask::spawn(task).join().await;
                joined.map_err(|e| {
                    Error::query(&self.spec.name, DataFusionError::ExecutionJoin(Box::new(e)))
                })?
            })
            .buffered(streams)
            .try_collect()
            .await?;
        Ok(written.into_iter().flatten().collect())
    }

    /// Deletes new files that another has taken the place of. Nothing refers to
    /// them, so a failure costs space and nothing else.
    async fn discard(&self, gone: &Drops) {
        let store = self.files().store;
        for (index, _) in gone.touched() {
            let path = self
                .new
                .get(index)
                .and_then(|file| Path::parse(&file.add.path).ok());
            if let Some(path) = path
                && let Err(error) = store.delete(&path).await
            {
                tracing::debug!(%path, %error, "an unneeded file of this attempt could not be deleted");
            }
        }
    }
}

/// The verdict of two sequences, compared column by column.
fn newer(sequence: &[String]) -> String {
    let mut greater = Vec::new();
    let mut equal = Vec::new();
    for column in sequence {
        let column = quote(column);
        let mut terms = equal.clone();
        terms.push(format!("n.{column} > o.{column}"));
        greater.push(format!("({})", terms.join(" AND ")));
        equal.push(format!("n.{column} = o.{column}"));
    }
    format!(
        "CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END",
        greater.join(" OR "),
        verdict::REPLACES,
        equal.join(" AND "),
        verdict::SAME,
        verdict::OLDER
    )
}

/// The columns as an SQL list.
pub(crate) fn quoted(columns: &[String], prefix: &str) -> String {
    let list: Vec<String> = columns
        .iter()
        .map(|c| format!("{prefix}{}", quote(c)))
        .collect();
    list.join(", ")
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The files with their places in the list.
fn numbered(files: &[DataFile]) -> Vec<(usize, Add)> {
    files
        .iter()
        .map(|file| file.add.clone())
        .enumerate()
        .collect()
}

/// How many rows the files have; files that do not say count as large.
fn row_count(files: &[DataFile]) -> usize {
    const UNKNOWN: usize = 1 << 20;
    files.iter().map(|file| file.rows.unwrap_or(UNKNOWN)).sum()
}
