//! What changed between two runs: the tables as one has left them, and as the other has.

use std::collections::BTreeSet;

use lake_delta::Snapshot;

use super::{Diff, one_table};
use crate::compare::Compared;
use crate::error::{Result, RunError};
use crate::record::RunRecord;
use crate::run::Settings;
use crate::runs::Runs;
use crate::state::State;

/// Compares what run `from` has left with what run `to` has left, or the last one. 0 is the state
/// before the first run. Nothing is written.
///
/// # Errors
/// [`RunError::NoRun`] and [`RunError::Refused`] where one of them cannot be looked at any more; and
/// those of the store and the engine.
pub async fn diff_runs(
    settings: &Settings,
    from: i64,
    to: Option<i64>,
    samples: usize,
) -> Result<Diff> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    let to = to.unwrap_or(state.finished);
    let runs = Runs::open(&state.root, &state.pipeline).await?;
    let before = left(&state, &runs, from).await?;
    let after = left(&state, &runs, to).await?;
    let versions = before.versions.iter().chain(&after.versions);
    let names = versions.map(|row| row.name.as_str());
    let names: BTreeSet<&str> = names.filter(|name| !name.starts_with("_lake/")).collect();
    let mut tables = Vec::new();
    for name in names {
        let old = version(&state, &before, name).await?;
        let new = version(&state, &after, name).await?;
        tables.push(one_table(settings, &state, samples, name, old, new).await?);
    }
    let warnings = unfinished.map(|seal| {
        let run = seal.run;
        format!("run {run} is sealed and not finished, and is not looked at")
    });
    Ok(Diff {
        pipeline: state.pipeline.clone(),
        from_run: Some(from),
        to_run: Some(to),
        before: before.transform,
        after: after.transform,
        inputs: Vec::new(),
        tables,
        warnings: warnings.into_iter().collect(),
    })
}

/// What a run has recorded of the state that it left.
async fn left(state: &State, runs: &Runs, run: i64) -> Result<RunRecord> {
    state.is_within_reach(run)?;
    if run == 0 {
        return Ok(RunRecord::default());
    }
    let record = runs.record(run).await?;
    let record = record.filter(|record| record.status != "undone");
    record.ok_or(RunError::NoRun {
        run,
        last: state.finished,
    })
}

/// A table as a run has left it.
async fn version(state: &State, record: &RunRecord, name: &str) -> Result<Option<Compared>> {
    let Some(row) = record.versions.iter().find(|row| row.name == name) else {
        return Ok(None);
    };
    let then = Snapshot::open_at(&state.root, &state.pipeline, name, row.version).await?;
    let is_rejection = name.starts_with("rejection/");
    Ok(Some(Compared {
        provider: then.provider().await?,
        key: match is_rejection {
            true => vec!["row_id".to_owned()],
            false => then.key().to_vec(),
        },
        besides: super::besides(name),
    }))
}
