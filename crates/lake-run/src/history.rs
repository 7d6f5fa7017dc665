//! What has happened to a pipeline: its runs, newest first, and the attempts that were stopped.

use lake_delta::Root;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::error::{Result, RunError};
use crate::plan::Unfinished;
use crate::record::RunRecord;
use crate::run::Settings;
use crate::runs::Runs;
use crate::state::State;

/// Where attempts are kept that a check or a limit has stopped, each in a directory of its own.
pub(crate) const STOPPED: &str = "_lake/stopped";

/// What has happened to a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// Runs, and attempts that were stopped, which have the number 0; newest first.
    pub runs: Vec<RunRecord>,
    /// Whether there are older ones.
    pub more: bool,
    /// A run that is decided and that whoever opens the pipeline next finishes first.
    pub unfinished: Option<Unfinished>,
}

/// Says what has happened to a pipeline, the newest `limit` runs and attempts. Nothing is written.
///
/// # Errors
/// Of the store and the library, and [`RunError::State`] where the run log is not whole.
pub async fn history(settings: &Settings, limit: usize) -> Result<History> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    let runs = Runs::open(&state.root, &state.pipeline).await?;
    let wanted = limit.saturating_add(1);
    let mut all = runs.records("true", Some(wanted)).await?;
    all.extend(stopped(&state.root, wanted).await?);
    // Attempts have no number, and runs are in order already.
    all.sort_by_key(|record| std::cmp::Reverse((record.sealed_at, record.run)));
    let more = all.len() > limit;
    all.truncate(limit);
    Ok(History {
        pipeline: state.pipeline.clone(),
        root: state.root.display(),
        runs: all,
        more,
        unfinished: match unfinished {
            Some(seal) => Some(Unfinished::of(&state, &seal).await?),
            None => None,
        },
    })
}

/// One run, as it recorded itself.
///
/// # Errors
/// As for [`history`], and [`RunError::NoRun`] where there is none of this number.
pub async fn recorded(settings: &Settings, run: i64) -> Result<RunRecord> {
    let (state, _) = State::look(&settings.root, &settings.pipeline.name).await?;
    let runs = Runs::open(&state.root, &state.pipeline).await?;
    let found = runs.record(run).await?;
    found.ok_or(RunError::NoRun {
        run,
        last: state.finished,
    })
}

/// The run whose state was there at a moment, in microseconds since 1970: the last one that was
/// sealed by then.
///
/// # Errors
/// As for [`history`], and [`RunError::Refused`] where there was none yet.
pub async fn run_at(settings: &Settings, micros: i64) -> Result<i64> {
    let (state, _) = State::look(&settings.root, &settings.pipeline.name).await?;
    let runs = Runs::open(&state.root, &state.pipeline).await?;
    let condition = format!("status = 'done' AND CAST(sealed_at AS BIGINT) <= {micros}");
    // A run that was taken back is known by the next one.
    let newest = runs.records(&condition, Some(3)).await?;
    if let Some(record) = newest.into_iter().find(|record| record.status == "done") {
        return Ok(record.run);
    }
    let moment = |micros: i64| {
        let moment = chrono::DateTime::from_timestamp_micros(micros);
        moment.map_or_else(
            || micros.to_string(),
            |moment| moment.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        )
    };
    let first = runs.record(1).await?;
    let first = first.map_or_else(String::new, |first| {
        format!("; the first run is of {}", moment(first.sealed_at))
    });
    Err(RunError::Refused {
        message: format!("nothing had been published by {}{first}", moment(micros)),
    })
}

/// What is kept of an attempt that was stopped, beside its rejected rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stopped {
    /// What the run would have recorded; its number is 0.
    #[serde(flatten)]
    pub(crate) record: RunRecord,
    /// The files with its rejected rows, beside this object.
    pub(crate) rejected: Vec<String>,
}

/// The newest attempts that were stopped.
async fn stopped(root: &Root, limit: usize) -> Result<Vec<RunRecord>> {
    let failed = |e| RunError::store(STOPPED, e);
    let store = root.store();
    let listed = store
        .list_with_delimiter(Some(&Path::from(STOPPED)))
        .await
        .map_err(failed)?;
    // The name of an attempt begins with its time.
    let mut places = listed.common_prefixes;
    places.sort_by(|a, b| b.cmp(a));
    let mut records = Vec::new();
    for place in places.into_iter().take(limit) {
        let path = place.join("stopped.json");
        let found = match store.get(&path).await {
            Ok(found) => found.bytes().await,
            // It was killed on the way.
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(error) => Err(error),
        };
        let bytes = found.map_err(|e| RunError::store(&path, e))?;
        match serde_json::from_slice::<Stopped>(&bytes) {
            Ok(stopped) => records.push(stopped.record),
            Err(error) => tracing::warn!(%path, %error, "a stopped attempt cannot be read"),
        }
    }
    Ok(records)
}
