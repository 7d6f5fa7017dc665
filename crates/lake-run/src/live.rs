//! Who is working on a pipeline just now.
//!
//! An object says so, and a beat renews it. Nothing depends on it but the work that two runs would
//! do twice: a second one sees the first, and leaves the work to it. Whoever does not beat any more
//! counts as dead after a while, and at once where this host can tell.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use lake_delta::Root;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::error::{Result, RunError};
use crate::run::Settings;

const PLACE: &str = "_lake/heartbeat.json";
const BEAT: Duration = Duration::from_secs(10);
/// Whoever has not beaten for so long is dead.
const DEAD_AFTER: TimeDelta = TimeDelta::seconds(30);
/// How often someone who waits looks again.
const LOOK: Duration = Duration::from_millis(500);

/// A process, as others on its host can recognise it.
#[derive(Debug, Clone)]
pub struct Process {
    /// What tells it from all other processes of its host, those included that come later.
    pub id: String,
    /// Whether the process of an id is running on this host; `None` where nobody can tell.
    pub is_running: fn(&str) -> Option<bool>,
}

impl Default for Process {
    /// A process of which nothing is known.
    fn default() -> Self {
        Self {
            id: String::new(),
            is_running: |_| None,
        }
    }
}

/// What the object says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Heartbeat {
    attempt: String,
    host: String,
    process: String,
    since: DateTime<Utc>,
}

/// A run that says that it is live, until it leaves.
#[derive(Debug)]
pub(crate) struct Live {
    root: Root,
    attempt: String,
    beat: JoinHandle<()>,
}

impl Live {
    /// Says that this run is live.
    ///
    /// # Errors
    /// [`RunError::Live`] where another one is; and of the store.
    pub(crate) async fn enter(settings: &Settings, root: &Root, attempt: &str) -> Result<Self> {
        let heartbeat = Heartbeat {
            attempt: attempt.to_owned(),
            host: settings.host.clone(),
            process: settings.process.id.clone(),
            since: (settings.clock)(),
        };
        let path = Path::from(PLACE);
        let failed = |e| RunError::store(PLACE, e);
        let put = async |mode: PutMode| {
            let body = Bytes::from(json(&heartbeat)?);
            let store = root.store();
            match store.put_opts(&path, body.into(), mode.into()).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        };
        if let Some(other) = other(settings, root, attempt).await? {
            return Err(other);
        }
        // Of two that find a dead one, both may go on: the seal decides between them.
        if !put(PutMode::Create).await? {
            if let Some(other) = other(settings, root, attempt).await? {
                return Err(other);
            }
            put(PutMode::Overwrite).await?;
        }
        let beat = tokio::spawn(beat(root.clone(), heartbeat));
        Ok(Self {
            root: root.clone(),
            attempt: attempt.to_owned(),
            beat,
        })
    }

    /// Says that it is not live any more.
    pub(crate) async fn leave(self) {
        self.beat.abort();
        let found = read(&self.root).await;
        if let Ok(Some((found, _))) = found
            && found.attempt == self.attempt
            && let Err(error) = self.root.store().delete(&Path::from(PLACE)).await
        {
            tracing::debug!(%error, "the heartbeat could not be taken away");
        }
    }
}

/// Waits until no other run is live.
pub(crate) async fn wait(settings: &Settings, root: &Root) -> Result<()> {
    while other(settings, root, "").await?.is_some() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Another run that is live, as the error that says so.
pub(crate) async fn other(
    settings: &Settings,
    root: &Root,
    attempt: &str,
) -> Result<Option<RunError>> {
    let Some((found, beaten)) = read(root).await? else {
        return Ok(None);
    };
    if found.attempt == attempt {
        return Ok(None);
    }
    if found.host == settings.host && (settings.process.is_running)(&found.process) == Some(false) {
        return Ok(None);
    }
    // A clock that is far off would keep the dead alive.
    let age = (settings.clock)() - beaten;
    if age.abs() > DEAD_AFTER {
        return Ok(None);
    }
    Ok(Some(RunError::Live {
        pipeline: root.display(),
        host: found.host,
        process: found.process.split('/').take(1).collect(),
        since: found.since,
    }))
}

async fn read(root: &Root) -> Result<Option<(Heartbeat, DateTime<Utc>)>> {
    let failed = |e| RunError::store(PLACE, e);
    let found = match root.store().get(&Path::from(PLACE)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let beaten = found.meta.last_modified;
    let bytes = found.bytes().await.map_err(failed)?;
    // One that cannot be read, because it is half written or newer, protects nothing.
    Ok(serde_json::from_slice(&bytes)
        .ok()
        .map(|heartbeat| (heartbeat, beaten)))
}

async fn beat(root: Root, heartbeat: Heartbeat) {
    let path = Path::from(PLACE);
    loop {
        tokio::time::sleep(BEAT).await;
        // Someone who was asleep for long may have been taken for dead.
        match read(&root).await {
            Ok(Some((found, _))) if found.attempt == heartbeat.attempt => {}
            Err(error) => {
                tracing::debug!(%error, "the heartbeat could not be read");
                continue;
            }
            _ => return,
        }
        let Ok(body) = json(&heartbeat) else { return };
        if let Err(error) = root.store().put(&path, Bytes::from(body).into()).await {
            tracing::debug!(%error, "the heartbeat could not be renewed");
        }
    }
}

fn json(heartbeat: &Heartbeat) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(heartbeat).map_err(|e| RunError::State {
        path: PLACE.to_owned(),
        message: e.to_string(),
    })
}
