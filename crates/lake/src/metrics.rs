//! What `lake run --metrics` tells those who watch runs. Nothing here changes how a run has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use lake_run::metrics::{Did, Ended, Target, families, newest_files};
use lake_run::{Report, Requests, RunError, Settings};

use crate::edge;
use crate::exit::Failure;

/// How long a run that has ended waits for what only its metrics say.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the newest files were received; `None` where the run has failed, and perhaps its store.
pub(crate) async fn newest(
    settings: &Settings,
    done: &Result<Report, RunError>,
) -> Option<BTreeMap<String, i64>> {
    if !matches!(done, Ok(_) | Err(RunError::Stopped { .. })) {
        return None;
    }
    let newest = tokio::time::timeout(PATIENCE, newest_files(settings)).await;
    let why = match newest {
        Ok(Ok(newest)) => return Some(newest),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store took longer than {PATIENCE:?}"),
    };
    tracing::warn!("the metrics do not say when the newest files were received: {why}");
    None
}

/// Delivers what there is to say, or warns.
pub(crate) fn deliver(
    target: &Target,
    pipeline: Option<&str>,
    done: &Result<Report, Failure>,
    newest: Option<&BTreeMap<String, i64>>,
    requests: Requests,
) {
    let Some(pipeline) = pipeline else {
        tracing::warn!("no metrics went to {target}: it is not known which pipeline was meant");
        return;
    };
    let (exit_code, did) = match done {
        Ok(report) => (0, Did::All(&report.outcome)),
        Err(failure) => (
            failure.code(),
            match failure {
                Failure::Run(error) => Did::of(error),
                _ => Did::Nothing,
            },
        ),
    };
    let at = edge::now();
    let families = families(&Ended {
        at,
        exit_code,
        did,
        newest,
        requests,
    });
    let delivered = edge::block_on_alone(target.deliver(pipeline, &families, at));
    let said = match delivered {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(failure) => failure.to_string(),
    };
    tracing::warn!("no metrics went to {target}, and nothing else depends on that: {said}");
}
