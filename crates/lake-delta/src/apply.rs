//! Committing what was prepared: the only writes that a reader sees.

use bytes::Bytes;
use deltalake::protocol::checkpoints::create_checkpoint;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde_json::Value;
use std::sync::Arc;

use crate::prepared::{Commit, Stamp};
use crate::table::{commit_digest, commit_path};
use crate::{Error, Result, Root, Snapshot};

/// How a commit ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It is in the log now, as this version.
    Committed(i64),
    /// It was there already, as this version: somebody else finished this
    /// run, or an earlier attempt to did without hearing of it.
    Already(i64),
}

/// A store that answers an error or nothing is asked this often.
const PUT_ATTEMPTS: usize = 5;

/// Commits `commit` to table `name`, on its base and nowhere else.
///
/// The commit file is put where absent, so of several appliers one wins, and
/// the others find the run's `txn` in the log. Commits of others that changed
/// no files and no metadata (VACUUM) may lie between.
///
/// # Errors
/// [`Error::OutsideChange`] where somebody else changed the table since the
/// base; and the store's errors.
pub async fn apply(
    root: &Root,
    pipeline: &str,
    name: &str,
    commit: &Commit,
    stamp: &Stamp,
) -> Result<Applied> {
    let store = root.child(name).store();
    let mut version = match since_base(root, pipeline, name, commit, stamp).await? {
        Since::Applied(version) => return Ok(Applied::Already(version)),
        Since::Next(version) => version,
    };
    loop {
        if put(&store, name, version, commit).await? == Put::Ours {
            return Ok(Applied::Committed(version));
        }
        match between(&store, name, version, stamp).await? {
            Between::SameRun => return Ok(Applied::Already(version)),
            Between::Harmless => version += 1,
            Between::Change(operation) => {
                return Err(outside(commit.base, version, name, &operation));
            }
        }
    }
}

/// Checks that `commit` could be applied now: its base is the table's history
/// still, and nobody has changed the table since.
///
/// # Errors
/// [`Error::OutsideChange`] where that is not so; and the store's errors.
pub async fn check(
    root: &Root,
    pipeline: &str,
    name: &str,
    commit: &Commit,
    stamp: &Stamp,
) -> Result<()> {
    since_base(root, pipeline, name, commit, stamp)
        .await
        .map(|_| ())
}

/// What has happened to a table since a commit was prepared for it.
enum Since {
    /// The commit is there, as this version.
    Applied(i64),
    /// Nothing that matters: this version is free.
    Next(i64),
}

async fn since_base(
    root: &Root,
    pipeline: &str,
    name: &str,
    commit: &Commit,
    stamp: &Stamp,
) -> Result<Since> {
    let place = root.child(name);
    let store = place.store();
    let current = Snapshot::open(root, pipeline, name).await?;
    let newest = current.as_ref().map_or(-1, |table| table.version);
    let applied = match &current {
        Some(current) => current.transaction(&stamp.app).await? >= Some(stamp.run),
        None => false,
    };
    if !applied {
        check_base(&place, name, commit, current.as_ref()).await?;
    }
    for version in commit.base + 1..=newest {
        match between(&store, name, version, stamp).await {
            Ok(Between::SameRun) => return Ok(Since::Applied(version)),
            Ok(Between::Change(operation)) if !applied => {
                return Err(outside(commit.base, version, name, &operation));
            }
            Err(error) if !applied => return Err(error),
            // What came after this run's own commit does not matter here.
            _ => {}
        }
    }
    Ok(if applied {
        Since::Applied(commit.base + 1)
    } else {
        Since::Next(newest.max(commit.base) + 1)
    })
}

/// Writes a checkpoint of the table's newest version, so that opening it does
/// not read its whole log.
///
/// # Errors
/// The library's. A table without the checkpoint is as right as with it.
pub async fn checkpoint(root: &Root, pipeline: &str, name: &str) -> Result<()> {
    let Some(snapshot) = Snapshot::open(root, pipeline, name).await? else {
        return Ok(());
    };
    let created = create_checkpoint(&snapshot.table, None).await;
    created.map_err(|e| Error::delta(name, e))
}

async fn check_base(
    place: &Root,
    name: &str,
    commit: &Commit,
    current: Option<&Snapshot>,
) -> Result<()> {
    let Some(current) = current else {
        return if commit.base < 0 {
            Ok(())
        } else {
            Err(outside(commit.base, commit.base, name, "the table is gone"))
        };
    };
    if current.id != commit.table_id {
        return Err(outside(
            commit.base,
            current.version,
            name,
            "another table in its place",
        ));
    }
    if commit.base >= 0 && commit_digest(place, name, commit.base).await? != commit.base_digest {
        return Err(outside(commit.base, commit.base, name, "another history"));
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Put {
    Ours,
    Other,
}

/// Puts the commit file where there is none, and reads back what is there
/// after any error: a put may have landed although the store said otherwise.
async fn put(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    version: i64,
    commit: &Commit,
) -> Result<Put> {
    let path = commit_path(version);
    let failed = |e| Error::store(format!("{name}/{path}"), e);
    let mut attempt = 1;
    loop {
        let body = Bytes::from(commit.body.clone());
        let error = match store
            .put_opts(&path, body.into(), PutMode::Create.into())
            .await
        {
            Ok(_) => return Ok(Put::Ours),
            Err(error) => error,
        };
        match store.get(&path).await {
            Ok(found) => {
                let found = found.bytes().await.map_err(failed)?;
                return Ok(if found == commit.body {
                    Put::Ours
                } else {
                    Put::Other
                });
            }
            Err(object_store::Error::NotFound { .. }) if attempt < PUT_ATTEMPTS => attempt += 1,
            Err(_) => return Err(failed(error)),
        }
    }
}

/// What a commit is that somebody put above the base.
enum Between {
    /// Another applier of this run was faster, with files of its own.
    SameRun,
    /// It says something, and changes neither data nor metadata.
    Harmless,
    /// It changes the table, by this operation.
    Change(String),
}

async fn between(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    version: i64,
    stamp: &Stamp,
) -> Result<Between> {
    let path = commit_path(version);
    let failed = |e| Error::store(format!("{name}/{path}"), e);
    let bytes = store
        .get(&path)
        .await
        .map_err(failed)?
        .bytes()
        .await
        .map_err(failed)?;
    let mut operation = "an unnamed operation".to_owned();
    let mut changes = false;
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let Ok(Value::Object(action)) = serde_json::from_slice::<Value>(line) else {
            changes = true;
            continue;
        };
        if let Some(txn) = action.get("txn")
            && txn["appId"] == stamp.app.as_str()
            && txn["version"].as_i64() >= Some(stamp.run)
        {
            return Ok(Between::SameRun);
        }
        if let Some(named) = action
            .get("commitInfo")
            .and_then(|info| info.get("operation"))
        {
            operation = named.as_str().unwrap_or("an unnamed operation").to_owned();
        }
        changes |= action
            .keys()
            .any(|kind| kind != "commitInfo" && kind != "txn");
    }
    Ok(if changes {
        Between::Change(operation)
    } else {
        Between::Harmless
    })
}

fn outside(base: i64, version: i64, table: &str, operation: &str) -> Error {
    Error::OutsideChange {
        table: table.to_owned(),
        base,
        version,
        operation: operation.to_owned(),
    }
}
