//! Taking back what a sealed run has applied to one table, because it cannot be applied to all.
//!
//! What a commit of this kind says depends on how far the run has come, and on what others have
//! done since; so it is made from the table as it is, put where absent, and made anew where
//! somebody else was faster. Afterwards nobody can apply the run to this table any more, however
//! long ago they began to: the place that their commit would take is taken, or the table carries a
//! later `txn`.

use std::collections::{HashMap, HashSet};

use deltalake::DeltaTable;
use deltalake::kernel::Add;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};

use crate::apply::{Put, Standing, put, standing};
use crate::log::{Entry, Outside, since};
use crate::prepare::Attempt;
use crate::prepared::{Commit, Operation, Prepared, Stamp};
use crate::restore::metadata;
use crate::table::active_files;
use crate::{Error, Result, Snapshot, TableSpec};

/// What became of a table when a run was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Undone {
    /// It has none of the run's rows, as this version, and what others did to
    /// it since the run was prepared.
    Clean(i64, Option<Outside>),
    /// Others have taken it away or changed what it is. Nothing of the run can
    /// get into it; what has got into it before stays.
    Lost(Outside),
    /// It keeps the run's rows, as this version, because files that it would
    /// need are gone; the reason names one.
    Kept(i64, String),
}

/// Somebody who commits to the table all the time can overtake this often.
const ATTEMPTS: usize = 50;

/// Takes `commit`, which `run` was sealed with, back from table `name`, or sees to it that it can
/// never be applied.
///
/// # Errors
/// Of the store and the library; undoing once more settles it.
pub async fn undo(
    attempt: &Attempt,
    name: &str,
    commit: &Commit,
    run: &Stamp,
    stamp: &Stamp,
) -> Result<Undone> {
    let place = attempt.root.child(name);
    for _ in 0..ATTEMPTS {
        let current = match standing(attempt, name, commit, run).await? {
            Standing::Impossible(outside) => return Ok(Undone::Lost(outside)),
            Standing::Open { current, outside } => {
                let (version, body) = match current {
                    Some(current) => (
                        current.version + 1,
                        lines(&[info(stamp, "RESTORE"), txn(stamp)]),
                    ),
                    None => (0, created(commit, stamp)),
                };
                if put(&place.store(), name, version, &body).await? == Put::Ours {
                    return Ok(Undone::Clean(version, outside));
                }
                continue;
            }
            Standing::Applied(_, outside) => {
                let current = Snapshot::open(&attempt.root, &attempt.pipeline, name).await?;
                current.map(|current| (current, outside))
            }
        };
        let Some((current, outside)) = current else {
            continue;
        };
        if current.transaction(&stamp.app).await? >= Some(stamp.run) {
            return Ok(Undone::Clean(current.version, outside));
        }
        let (version, body, kept) = match take_back(attempt, &current, commit, run).await? {
            Ok(prepared) => {
                let body = prepared.commit(stamp)?.body;
                (prepared.next_version(), body, None)
            }
            Err(reason) => {
                let body = lines(&[info(stamp, "RESTORE"), txn(stamp)]);
                (current.version + 1, body, Some(reason))
            }
        };
        if put(&place.store(), name, version, &body).await? == Put::Ours {
            return Ok(match kept {
                None => Undone::Clean(version, outside),
                Some(reason) => Undone::Kept(version, reason),
            });
        }
    }
    Err(Error::Foreign {
        table: name.to_owned(),
        reason: format!(
            "somebody commits to it again and again, so that run {} cannot be undone; stop them, and try again",
            run.run
        ),
    })
}

/// The table without the run's files, and with those that it took out. The inner error says why
/// that cannot be.
async fn take_back(
    attempt: &Attempt,
    current: &Snapshot,
    commit: &Commit,
    run: &Stamp,
) -> Result<std::result::Result<Prepared, String>> {
    let name = &current.name;
    let place = attempt.root.child(name);
    let versions = commit.base + 1..=current.version;
    let applied = since(&place, name, versions, (&run.app, run.run))
        .await?
        .applied;
    let entry = match applied {
        Some(version) => Entry::read(&place, name, version).await?,
        None => None,
    };
    let Some(entry) = entry else {
        return Ok(Err("the run's commit is not in its log any more".to_owned()));
    };
    let (before, metadata) = match entry.version {
        0 => (HashMap::new(), None),
        version => match files_at(attempt, current, version - 1).await {
            Ok((files, metadata)) => (files, Some(metadata)),
            Err(error) => return Ok(Err(error.to_string())),
        },
    };
    let new = entry.adds();
    let active: HashSet<&str> = current.files.iter().map(|add| add.path.as_str()).collect();
    let spec = TableSpec::of(current);
    let base = Some(current.clone());
    let operation = Operation::Restore;
    let mut prepared = Prepared::new(&spec, place, &attempt.pipeline, base, operation)?;
    let back: Vec<Add> = if new.iter().all(|add| active.contains(add.path.as_str())) {
        // What others did since to other files stays.
        let mut back = Vec::new();
        for path in entry.removed() {
            match before.get(&path) {
                Some(add) => back.push(add.clone()),
                None => return Ok(Err(format!("its file {path} was in no version before"))),
            }
        }
        prepared.removes = new;
        back
    } else {
        // Others have put the run's rows into files of their own: only the whole table can go back.
        let files = current.files.iter();
        let gone = files.filter(|add| !before.contains_key(&add.path));
        prepared.removes = gone.cloned().collect();
        before.into_values().collect()
    };
    prepared.adds = back
        .into_iter()
        .filter(|add| !active.contains(add.path.as_str()))
        .collect();
    prepared.adds.sort_by(|a, b| a.path.cmp(&b.path));
    // A rollback can have changed that too.
    if !entry.lines(&["metaData"]).is_empty() {
        prepared.metadata = metadata;
    }
    // A commit with a file that is not there would make the table unreadable.
    let store = attempt.root.child(name).store();
    for add in &prepared.adds {
        let path = Path::parse(&add.path).map_err(|e| Error::store(&add.path, e.into()))?;
        match store.head(&path).await {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => {
                return Ok(Err(format!("its file {} is gone", add.path)));
            }
            Err(error) => return Err(Error::store(format!("{name}/{path}"), error)),
        }
    }
    Ok(Ok(prepared))
}

/// The files that a table had at an earlier version, by their path, and its metadata then.
async fn files_at(
    attempt: &Attempt,
    current: &Snapshot,
    version: i64,
) -> Result<(HashMap<String, Add>, Value)> {
    let name = &current.name;
    let mut table = DeltaTable::new(attempt.root.child(name).log_store());
    let wanted = u64::try_from(version).unwrap_or_default();
    let loaded = table.load_version(wanted).await;
    loaded.map_err(|e| Error::delta(name, e))?;
    let files = active_files(&table, name).await?;
    let files = files.into_iter().map(|add| (add.path.clone(), add));
    Ok((files.collect(), metadata(name, &table)?))
}

/// The first commit of a table that the run would have created, without its rows: nobody can
/// create it with them any more.
fn created(commit: &Commit, stamp: &Stamp) -> Vec<u8> {
    let mut all = vec![info(stamp, "RESTORE").to_string()];
    all.extend(Entry::of_body(&commit.body).lines(&["protocol", "metaData"]));
    all.push(txn(stamp).to_string());
    (all.join("\n") + "\n").into_bytes()
}

fn lines(actions: &[Value]) -> Vec<u8> {
    let lines = actions.iter().map(|action| format!("{action}\n"));
    lines.collect::<String>().into_bytes()
}

fn txn(stamp: &Stamp) -> Value {
    json!({ "txn": { "appId": stamp.app, "version": stamp.run } })
}

fn info(stamp: &Stamp, operation: &str) -> Value {
    json!({ "commitInfo": {
        "timestamp": stamp.time,
        "operation": operation,
        "operationParameters": {},
        "engineInfo": crate::ENGINE,
        "lakeRun": stamp.run,
        "lakeAttempt": stamp.attempt,
    } })
}
