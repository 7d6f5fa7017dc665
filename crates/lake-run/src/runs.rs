//! `_lake/runs`: the rows that runs leave, and the commit that finishes a run.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use lake_delta::{Applied, Attempt, Remake, Root, Snapshot, Stamp};
use serde::de::DeserializeOwned;

use crate::apply::summed_up;
use crate::error::{Result, RunError};
use crate::record::{RUNS, RunRecord, TransformRecord, app, runs_spec, to_batch};

/// Somebody who commits to the table all the time can overtake this often.
const ATTEMPTS: usize = 20;

/// The table of runs, as it is.
#[derive(Debug)]
pub(crate) struct Runs {
    root: Root,
    table: Option<Snapshot>,
    /// The last finished run; 0 before the first.
    pub(crate) finished: i64,
}

impl Runs {
    /// `_lake/runs` is applied last, so its `txn` is the last run that all tables have.
    pub(crate) async fn open(root: &Root, pipeline: &str) -> Result<Self> {
        let table = Snapshot::open(root, pipeline, RUNS).await?;
        if let Some(table) = &table {
            runs_spec().check(table)?;
        }
        let finished = match &table {
            Some(runs) => runs.transaction(&app(pipeline)).await?.unwrap_or(0),
            None => 0,
        };
        Ok(Self {
            root: root.clone(),
            table,
            finished,
        })
    }

    /// What a run recorded of itself.
    pub(crate) async fn record(&self, run: i64) -> Result<Option<RunRecord>> {
        let next = run + 1;
        let found = self
            .records(&format!("run IN ({run}, {next})"), None)
            .await?;
        Ok(found.into_iter().find(|record| record.run == run))
    }

    /// The runs that the state after `run` comes from, newest first: without those that were taken
    /// back or rolled back.
    pub(crate) async fn lineage(&self, run: i64) -> Result<Vec<Ancestor>> {
        let sql = format!(
            "SELECT run, kind, status, undoes, restores, transform FROM runs WHERE run <= {} \
             ORDER BY run DESC",
            run + 1
        );
        let all = rows::<Ancestor>(RUNS, &self.query(&sql).await?)?;
        let undone: BTreeSet<i64> = all.iter().filter_map(|row| row.undoes).collect();
        let mut next = run;
        let mut lineage: Vec<Ancestor> = Vec::new();
        for row in all {
            // Rolled back, or recorded twice by a repair.
            if row.run > next {
                continue;
            }
            next = row.restores.unwrap_or(row.run - 1);
            if row.status == "done" && row.undoes.is_none() && !undone.contains(&row.run) {
                lineage.push(row);
            }
        }
        Ok(lineage)
    }

    /// The attempts of all finished runs.
    pub(crate) async fn attempts(&self) -> Result<HashSet<String>> {
        let found = self.query("SELECT attempt FROM runs").await?;
        let found = rows::<OfAttempt>(RUNS, &found)?;
        Ok(found.into_iter().map(|row| row.attempt).collect())
    }

    /// The attempts of runs that were not taken back.
    pub(crate) async fn attempts_that_count(&self) -> Result<HashSet<String>> {
        let sql = "SELECT attempt FROM runs WHERE status = 'done' AND run NOT IN \
                   (SELECT undoes FROM runs WHERE undoes IS NOT NULL)";
        let found = rows::<OfAttempt>(RUNS, &self.query(sql).await?)?;
        Ok(found.into_iter().map(|row| row.attempt).collect())
    }

    /// The first run that was sealed then or later, in microseconds since 1970.
    pub(crate) async fn first_sealed_since(&self, micros: i64) -> Result<Option<i64>> {
        let sql = format!(
            "SELECT run FROM runs WHERE CAST(sealed_at AS BIGINT) >= {micros} ORDER BY run LIMIT 1"
        );
        let found = rows::<Numbered>(RUNS, &self.query(&sql).await?)?;
        Ok(found.first().map(|row| row.run))
    }

    /// The version of this table after `run`.
    pub(crate) async fn version_after(&self, run: i64, app: &str) -> Result<i64> {
        let version = match &self.table {
            Some(table) => table.version_before(app, run + 1).await?,
            None => None,
        };
        Ok(version.unwrap_or(0))
    }

    /// What a query of `runs` answers; nothing where there are none.
    pub(crate) async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let Some(table) = &self.table else {
            return Ok(Vec::new());
        };
        let failed = |e| RunError::sql(RUNS, &e);
        let session = SessionContext::new();
        self.root.register(&session.runtime_env());
        let provider = table.provider().await?;
        session.register_table("runs", provider).map_err(failed)?;
        let rows = session.sql(sql).await.map_err(failed)?;
        rows.collect().await.map_err(failed)
    }

    /// The runs that a condition chooses, newest first, and not more than `limit`.
    pub(crate) async fn records(
        &self,
        condition: &str,
        limit: Option<usize>,
    ) -> Result<Vec<RunRecord>> {
        let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        // A repair can record a run twice, and both rows say the same.
        let sql = format!(
            "SELECT * REPLACE (CAST(started_at AS BIGINT) AS started_at, \
             CAST(sealed_at AS BIGINT) AS sealed_at) \
             FROM runs WHERE {condition} ORDER BY run DESC{limit}"
        );
        let mut records = rows::<RunRecord>(RUNS, &self.query(&sql).await?)?;
        records.dedup_by_key(|record| record.run);
        // A run can be taken back that was just being finished.
        let undone: Vec<i64> = records.iter().filter_map(|record| record.undoes).collect();
        for record in &mut records {
            if undone.contains(&record.run) {
                "undone".clone_into(&mut record.status);
            }
        }
        Ok(records)
    }
}

#[derive(Debug, serde::Deserialize)]
struct Numbered {
    run: i64,
}

#[derive(Debug, serde::Deserialize)]
struct OfAttempt {
    #[serde(default)]
    attempt: String,
}

/// A run that a state comes from.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Ancestor {
    pub(crate) run: i64,
    #[serde(default)]
    pub(crate) kind: String,
    status: String,
    #[serde(default)]
    undoes: Option<i64>,
    #[serde(default)]
    restores: Option<i64>,
    #[serde(default)]
    pub(crate) transform: TransformRecord,
}

/// The rows of `batches`, which come from one of lake's own tables.
pub(crate) fn rows<T: DeserializeOwned>(table: &str, batches: &[RecordBatch]) -> Result<Vec<T>> {
    let broken = |message: String| RunError::State {
        path: table.to_owned(),
        message: format!("a row cannot be read: {message}"),
    };
    let mut writer = LineDelimitedWriter::new(Vec::new());
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let written = writer
        .write_batches(&batches)
        .and_then(|()| writer.finish());
    written.map_err(|e| broken(e.to_string()))?;
    let lines = writer.into_inner();
    let lines = lines.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|e| broken(e.to_string())))
        .collect()
}

/// `_lake/runs` as it is, for [`finish`].
pub(crate) async fn look(attempt: &Attempt) -> Result<Option<Snapshot>> {
    Ok(Snapshot::open(&attempt.root, &attempt.pipeline, RUNS).await?)
}

/// Adds rows to `_lake/runs`, which was `looked` at before: this commit finishes the run of `stamp`.
pub(crate) async fn finish(
    attempt: &Attempt,
    looked: Option<Snapshot>,
    stamp: &Stamp,
    records: &[RunRecord],
) -> Result<()> {
    let spec = runs_spec();
    let mut base = looked;
    for _ in 0..ATTEMPTS {
        let mut records = records.to_vec();
        if let Some(base) = &base {
            let finished = base.transaction(&stamp.app).await?.unwrap_or(0);
            if finished >= stamp.run {
                return Ok(());
            }
            records.retain(|record| record.run > finished);
        }
        let batch = to_batch(&spec.schema, &records)?;
        let session = SessionContext::new();
        let failed = |e| RunError::sql(RUNS, &e);
        let table =
            MemTable::try_new(Arc::clone(&spec.schema), vec![vec![batch]]).map_err(failed)?;
        let rows = session.read_table(Arc::new(table)).map_err(failed)?;
        let plan = rows.create_physical_plan().await.map_err(failed)?;
        let prepared = attempt.append_gathering(&spec, base.take(), plan).await?;
        let commit = prepared.commit(stamp)?;
        let applied =
            lake_delta::apply(attempt, RUNS, &commit, &Remake::Append, stamp, false).await?;
        if let Applied::Committed(landed) = applied {
            summed_up(&attempt.root, &attempt.pipeline, RUNS, landed.version).await;
            return Ok(());
        }
        // Another has created it, or changed it: what there is now decides.
        base = look(attempt).await?;
    }
    Err(RunError::State {
        path: RUNS.to_owned(),
        message: format!(
            "somebody commits to it again and again, so that run {} cannot be finished; stop \
             them, and run again",
            stamp.run
        ),
    })
}
