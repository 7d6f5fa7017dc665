//! How far back a rollback has to be able to go.

use lake_pipeline::RollbackWindow;
use serde::Deserialize;

use super::MAINTAIN;
use crate::error::Result;
use crate::record::RUNS;
use crate::runs::{Runs, rows};

/// A run, as far as the window is concerned.
#[derive(Debug, Clone, Deserialize)]
struct Run {
    run: i64,
    kind: String,
    /// Microseconds since 1970.
    sealed_at: i64,
}

/// The oldest run whose state has to stay; 0 where that is the state before the first.
pub(super) async fn horizon(runs: &Runs, window: &RollbackWindow, now: i64) -> Result<i64> {
    let sql = "SELECT run, kind, CAST(sealed_at AS BIGINT) AS sealed_at FROM runs \
               WHERE status = 'done' AND undoes IS NULL ORDER BY run DESC";
    let all = rows::<Run>(RUNS, &runs.query(sql).await?)?;
    Ok(oldest(&all, window, now))
}

/// `runs` have the newest first.
fn oldest(runs: &[Run], window: &RollbackWindow, now: i64) -> i64 {
    let time = i64::try_from(window.time.as_micros()).unwrap_or(i64::MAX);
    let begins = now.saturating_sub(time);
    // What was there when the window begins is what the last run before has left.
    let by_time = runs.iter().find(|run| run.sealed_at <= begins);
    // Before the last so many runs that somebody may want to undo.
    let changing = runs.iter().filter(|run| run.kind != MAINTAIN);
    let undone = changing.take(usize::try_from(window.runs).unwrap_or(usize::MAX));
    let (count, first) = undone.fold((0, i64::MAX), |(count, _), run| (count + 1, run.run));
    let by_runs = match count < window.runs {
        true => None,
        false => runs.iter().find(|run| run.run < first),
    };
    match (by_time, by_runs) {
        (Some(by_time), Some(by_runs)) => by_time.run.min(by_runs.run),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// Runs of these kinds, one every hour.
    fn runs(kinds: &[&str]) -> Vec<Run> {
        let runs = kinds.iter().zip(1..).map(|(kind, run)| Run {
            run,
            kind: (*kind).to_owned(),
            sealed_at: run * HOUR,
        });
        let mut runs: Vec<Run> = runs.collect();
        runs.reverse();
        runs
    }

    fn window(hours: u64, runs: u64) -> RollbackWindow {
        RollbackWindow {
            time: Duration::from_hours(hours),
            runs,
        }
    }

    #[test]
    fn what_was_there_at_any_moment_of_the_window_stays() {
        let all = runs(&["load"; 10]);
        // At five o'clock, run 5 had just been sealed.
        assert_eq!(oldest(&all, &window(5, 1), 10 * HOUR), 5);
        assert_eq!(oldest(&all, &window(5, 1), 10 * HOUR - 1), 4);
        assert_eq!(oldest(&all, &window(10, 1), 10 * HOUR), 0);
    }

    #[test]
    fn so_many_runs_can_be_undone_however_old_they_are() {
        let all = runs(&["load"; 10]);
        assert_eq!(oldest(&all, &window(0, 3), 1000 * HOUR), 7);
        assert_eq!(oldest(&all, &window(0, 9), 1000 * HOUR), 1);
        for more in [10, 11] {
            assert_eq!(oldest(&all, &window(0, more), 1000 * HOUR), 0, "{more}");
        }
    }

    #[test]
    fn maintenance_is_no_run_that_somebody_undoes() {
        let all = runs(&["load", "load", "maintain", "load", "maintain", "maintain"]);
        assert_eq!(oldest(&all, &window(0, 1), 1000 * HOUR), 3);
        assert_eq!(oldest(&all, &window(0, 2), 1000 * HOUR), 1);
    }

    #[test]
    fn before_the_first_run_there_is_nothing_to_forget() {
        assert_eq!(oldest(&[], &window(0, 1), HOUR), 0);
    }
}
