//! A pipeline's state: its root, its runs, and the run that still has to be finished.

use lake_delta::{Root, Snapshot};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::apply;
use crate::error::{Result, RunError};
use crate::record::{RUNS, RunRecord, SEAL_FORMAT, Seal};

/// A pipeline that has been opened: no sealed run is unfinished.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// `{root}/{pipeline}`.
    pub(crate) root: Root,
    pub(crate) pipeline: String,
    /// The last finished run; 0 before the first.
    pub(crate) finished: i64,
    /// What that run recorded of itself when it was sealed.
    pub(crate) last: Option<RunRecord>,
}

impl State {
    /// Opens a pipeline and finishes a run that was sealed and not applied to
    /// its end, whoever sealed it.
    pub(crate) async fn open(root: &Root, pipeline: &str) -> Result<Self> {
        let root = root.child(pipeline);
        let mut finished = last_finished(&root, pipeline).await?;
        while let Some(seal) = read_seal(&root, finished + 1).await? {
            tracing::info!(
                run = seal.run,
                "finishing a run that was sealed and not applied"
            );
            apply::apply(&root, &seal).await?;
            finished = seal.run;
        }
        Self::after(root, pipeline, finished).await
    }

    /// Looks at a pipeline without writing anything; gives the seal of a run
    /// that still has to be finished, if there is one.
    pub(crate) async fn look(root: &Root, pipeline: &str) -> Result<(Self, Option<Seal>)> {
        let root = root.child(pipeline);
        let finished = last_finished(&root, pipeline).await?;
        let unfinished = read_seal(&root, finished + 1).await?;
        Ok((Self::after(root, pipeline, finished).await?, unfinished))
    }

    /// A pipeline of which nothing is known yet.
    pub(crate) fn blank(root: &Root, pipeline: &str) -> Self {
        Self {
            root: root.child(pipeline),
            pipeline: pipeline.to_owned(),
            finished: 0,
            last: None,
        }
    }

    async fn after(root: Root, pipeline: &str, finished: i64) -> Result<Self> {
        let last = match finished {
            0 => None,
            run => read_seal(&root, run).await?.map(|seal| seal.record),
        };
        Ok(Self {
            root,
            pipeline: pipeline.to_owned(),
            finished,
            last,
        })
    }

    pub(crate) async fn table(&self, name: &str) -> Result<Option<Snapshot>> {
        Ok(Snapshot::open(&self.root, &self.pipeline, name).await?)
    }
}

/// The application name of the Delta protocol's `txn` actions.
pub(crate) fn app(pipeline: &str) -> String {
    format!("lake/{pipeline}")
}

/// Where the seal of a run is, below the pipeline's root.
pub(crate) fn seal_path(run: i64) -> Path {
    Path::from(format!("_lake/log/{run:08}.json"))
}

/// `_lake/runs` is applied last, so its `txn` is the last run that all tables have.
async fn last_finished(root: &Root, pipeline: &str) -> Result<i64> {
    match Snapshot::open(root, pipeline, RUNS).await? {
        Some(runs) => Ok(runs.transaction(&app(pipeline)).await?.unwrap_or(0)),
        None => Ok(0),
    }
}

pub(crate) async fn read_seal(root: &Root, run: i64) -> Result<Option<Seal>> {
    let path = seal_path(run);
    let bytes = match root.store().get(&path).await {
        Ok(found) => found.bytes().await,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(e) => Err(e),
    }
    .map_err(|e| RunError::store(&path, e))?;
    let broken = |message: String| RunError::State {
        path: path.to_string(),
        message,
    };
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| broken(format!("the seal is not JSON: {e}")))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(SEAL_FORMAT)) {
        let format = format.map_or_else(|| "none".to_owned(), |f| f.to_string());
        let needed = value.get("lake").and_then(serde_json::Value::as_str);
        return Err(broken(format!(
            "the seal has format {format}, and lake {} reads format {SEAL_FORMAT}; use lake {} or newer",
            env!("CARGO_PKG_VERSION"),
            needed.unwrap_or("of the host that sealed it"),
        )));
    }
    let seal = serde_json::from_value(value);
    seal.map(Some)
        .map_err(|e| broken(format!("the seal cannot be read: {e}")))
}
