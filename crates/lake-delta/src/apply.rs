//! Committing what was prepared: the only writes that a reader sees.

use std::sync::Arc;

use bytes::Bytes;
use deltalake::protocol::checkpoints::create_checkpoint;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::log::{Impact, Outside, Since, commit_digest, commit_path, has_version, since};
use crate::prepare::Attempt;
use crate::prepared::{Commit, Counts, Stamp};
use crate::remake::Remake;
use crate::{Error, Result, Root, Snapshot};

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It is in the log now.
    Committed(Landed),
    /// It was there already, as this version: somebody else finished this
    /// run, or an earlier attempt to did without hearing of it.
    /// What others changed between the base and it is told as well, where
    /// that were rows.
    Already(i64, Option<Outside>),
    /// It can never be committed, because somebody else has changed what the
    /// table is, or keeps committing to it.
    Impossible(Outside),
}

/// A commit that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// Its version.
    pub version: i64,
    /// What others changed between the base and it, where that were rows.
    pub outside: Option<Outside>,
    /// What became of the rows, and how many the table has, where the change
    /// had to be made again on top of others' commits.
    pub again: Option<(Counts, u64)>,
}

/// A store that answers an error or nothing is asked this often.
const PUT_ATTEMPTS: usize = 5;
/// A change is made again on top of others' commits this often.
const REMAKES: usize = 10;

/// Commits `commit` to table `name`.
///
/// The commit file is put where absent, so of several appliers one wins, and
/// the others find the run's `txn` in the log. Where others have committed
/// since the base: on top of commits that change no files (VACUUM) it is put
/// as it is, and where they touched files, it is made again from what
/// `remake` names, without the plugin and without inputs. Where `again` is
/// set, it is made again in any case: a table that is changed together with it
/// was.
///
/// # Errors
/// Of the store, the library and the engine; the outcome of the commit is open
/// then, and applying once more settles it.
pub async fn apply(
    attempt: &Attempt,
    name: &str,
    commit: &Commit,
    remake: &Remake,
    stamp: &Stamp,
    again: bool,
) -> Result<Applied> {
    let place = attempt.root.child(name);
    let store = place.store();
    if !again
        && is_untouched(&attempt.root, name, commit).await?
        && put(&store, name, commit.base + 1, &commit.body).await? == Put::Ours
    {
        return Ok(Applied::Committed(Landed {
            version: commit.base + 1,
            outside: None,
            again: None,
        }));
    }
    let mut last = None;
    for _ in 0..REMAKES {
        let (current, outside) = match standing(attempt, name, commit, stamp).await? {
            Standing::Applied(version, outside) => {
                return Ok(Applied::Already(version, outside.filter(is_of_rows)));
            }
            Standing::Impossible(outside) => return Ok(Applied::Impossible(outside)),
            // Nobody has agreed to lose rows that came after the decision to restore.
            Standing::Open {
                outside: Some(outside),
                ..
            } if is_of_rows(&outside) && matches!(remake, Remake::Restore(_)) => {
                return Ok(Applied::Impossible(outside));
            }
            Standing::Open { current, outside } => (current, outside),
        };
        let version = current
            .as_ref()
            .map_or(commit.base, |current| current.version)
            + 1;
        let impact = outside.as_ref().map_or(Impact::Nothing, |o| o.impact);
        let impact = match again {
            true => impact.max(Impact::Rearranged),
            false => impact,
        };
        let (body, made) = match (&current, impact) {
            (Some(current), Impact::Rearranged | Impact::Rows) => {
                // It is rare and large: its place is not on the stack of every commit.
                let made = Box::pin(remake.make(attempt, current, commit)).await?;
                let counts = made.as_ref().map(|made| (made.counts, made.rows()));
                let body = match made {
                    Some(made) => made.commit(stamp)?.body,
                    None => commit.body.clone(),
                };
                (body, counts)
            }
            _ => (commit.body.clone(), None),
        };
        if put(&store, name, version, &body).await? == Put::Ours {
            return Ok(Applied::Committed(Landed {
                version,
                outside: outside.filter(is_of_rows),
                again: made,
            }));
        }
        last = outside;
    }
    Ok(Applied::Impossible(last.unwrap_or_else(|| Outside {
        impact: Impact::Rows,
        version: commit.base + 1,
        operation: "somebody who commits again and again".to_owned(),
    })))
}

fn is_of_rows(outside: &Outside) -> bool {
    outside.impact == Impact::Rows
}

/// Says whether `commit` can be applied: `Some` is what others did to its
/// table that makes it impossible.
///
/// # Errors
/// Of the store and the library.
pub async fn obstacle(
    attempt: &Attempt,
    name: &str,
    commit: &Commit,
    stamp: &Stamp,
) -> Result<Option<Outside>> {
    if is_untouched(&attempt.root, name, commit).await? {
        return Ok(None);
    }
    Ok(match standing(attempt, name, commit, stamp).await? {
        Standing::Impossible(outside) => Some(outside),
        Standing::Applied(..) | Standing::Open { .. } => None,
    })
}

/// Whether the base is the newest commit of the table, and the one that the
/// change was prepared on: two requests say so, whatever the table's size.
async fn is_untouched(root: &Root, name: &str, commit: &Commit) -> Result<bool> {
    let store = root.child(name).store();
    let same_base = async {
        Ok(commit.base < 0
            || !commit.base_digest.is_empty()
                && commit_digest(&store, name, commit.base).await? == commit.base_digest)
    };
    let next = has_version(root, name, commit.base + 1);
    let (same_base, has_next) = futures::try_join!(same_base, next)?;
    Ok(same_base && !has_next)
}

/// What a table is, seen from a commit that was prepared for it.
pub(crate) enum Standing {
    /// The commit, or one of a later run, is there, with what others did before it.
    Applied(i64, Option<Outside>),
    /// It can be put on top.
    Open {
        /// The table; `None` where there is none yet.
        current: Option<Box<Snapshot>>,
        /// What others did since the base.
        outside: Option<Outside>,
    },
    /// The table is another one, or not what it was.
    Impossible(Outside),
}

pub(crate) async fn standing(
    attempt: &Attempt,
    name: &str,
    commit: &Commit,
    stamp: &Stamp,
) -> Result<Standing> {
    let place = attempt.root.child(name);
    let impossible = |version: i64, operation: &str| {
        Ok(Standing::Impossible(Outside {
            impact: Impact::Table,
            version,
            operation: operation.to_owned(),
        }))
    };
    let current = match Snapshot::open(&attempt.root, &attempt.pipeline, name).await {
        Ok(current) => current,
        Err(Error::Foreign { reason, .. }) => return impossible(commit.base + 1, &reason),
        Err(error) => return Err(error),
    };
    let Some(current) = current else {
        return match commit.base {
            -1 => Ok(Standing::Open {
                current: None,
                outside: None,
            }),
            _ => impossible(commit.base, "the table is gone"),
        };
    };
    if current.id != commit.table_id {
        return impossible(current.version, "another table is in its place");
    }
    if current.version < commit.base {
        return impossible(current.version, "its log has lost commits");
    }
    let versions = commit.base + 1..=current.version;
    let Since { applied, outside } = since(&place, name, versions, (&stamp.app, stamp.run)).await?;
    if let Some(version) = applied {
        return Ok(Standing::Applied(version, outside));
    }
    // The commit's file may be gone from the log, and not what it did.
    if current.transaction(&stamp.app).await? >= Some(stamp.run) {
        return Ok(Standing::Applied(commit.base + 1, outside));
    }
    if commit.base >= 0
        && commit_digest(&place.store(), name, commit.base).await? != commit.base_digest
    {
        return impossible(commit.base, "it has another history");
    }
    Ok(match outside {
        Some(outside) if outside.impact == Impact::Table => Standing::Impossible(outside),
        outside => Standing::Open {
            current: Some(Box::new(current)),
            outside,
        },
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
    // Without it nothing is held against anything, whenever this is killed.
    snapshot
        .place
        .forget_checksum("_delta_log/_last_checkpoint");
    let created = create_checkpoint(&snapshot.table, None).await;
    created.map_err(|e| Error::delta(name, e))
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Ours,
    Other,
}

/// Puts a commit file where there is none, and reads back what is there
/// after any error: a put may have landed although the store said otherwise.
pub(crate) async fn put(
    store: &Arc<dyn ObjectStore>,
    name: &str,
    version: i64,
    body: &[u8],
) -> Result<Put> {
    let path = commit_path(version);
    let failed = |e| Error::store(format!("{name}/{path}"), e);
    let mut attempt = 1;
    loop {
        let payload = Bytes::copy_from_slice(body).into();
        let error = match store.put_opts(&path, payload, PutMode::Create.into()).await {
            Ok(_) => return Ok(Put::Ours),
            Err(error) => error,
        };
        match store.get(&path).await {
            Ok(found) => {
                let found = found.bytes().await.map_err(failed)?;
                if found == body {
                    return Ok(Put::Ours);
                }
                if !found.is_empty() {
                    return Ok(Put::Other);
                }
                // A power cut has kept a name and lost the bytes: nobody has heard that this
                // commit succeeded, and no reader can make anything of it.
                let payload = Bytes::copy_from_slice(body).into();
                store.put(&path, payload).await.map_err(failed)?;
                return Ok(Put::Ours);
            }
            Err(object_store::Error::NotFound { .. }) if attempt < PUT_ATTEMPTS => attempt += 1,
            Err(_) => return Err(failed(error)),
        }
    }
}
