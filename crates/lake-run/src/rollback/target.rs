//! Which run's state a rollback brings back.

use super::{Goal, refuse};
use crate::error::{Result, RunError};
use crate::maintain::MAINTAIN;
use crate::runs::Runs;
use crate::state::State;

/// The run whose state is meant; `None` where it is not about runs.
pub(super) async fn target(runs: &Runs, state: &State, goal: &Goal) -> Result<Option<i64>> {
    let last = state.finished;
    let run = match goal {
        Goal::Table { .. } => return Ok(None),
        Goal::Run(run) => *run,
        // A number that changed nothing is not what somebody wants to undo.
        Goal::BeforeLast => {
            let lineage = runs.lineage(last).await?;
            let changing = lineage.iter().find(|run| run.kind != MAINTAIN);
            changing.map_or(0, |run| run.run) - 1
        }
    };
    if run >= last || run < 0 {
        return refuse(match last {
            0 => "there is no run to go back from".to_owned(),
            _ => format!("run {run} is not before the last one, which is run {last}"),
        });
    }
    state.is_within_reach(run)?;
    if run > 0 && runs.record(run).await?.is_none_or(|r| r.status == "undone") {
        return Err(RunError::NoRun { run, last });
    }
    Ok(Some(run))
}
