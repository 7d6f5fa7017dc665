//! Applying a sealed run: its commits, table beside table, `_lake/runs` last.
//!
//! Everything that it needs is in the seal, so any host can finish any run. Where a table cannot
//! be committed to any more, because somebody else has changed what it is, the run is taken back
//! everywhere ([`crate::undo`]).

use bytes::Bytes;
use futures::StreamExt;
use lake_delta::{Applied, Attempt, Commit, Outside, Remake, Root, Stamp};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use crate::error::{Result, RunError};
use crate::record::{RunRecord, TableVersion};
use crate::runs::{self, Runs};
use crate::sealed::{Seal, SealedObject, SealedRemake, SealedTable};
use crate::state::{SealObject, read_seal};
use crate::undo;

/// So many tables are committed to at a time. A commit can have megabytes.
const SIDE_BY_SIDE: usize = 4;
/// A table's log is summed up after this many commits.
const CHECKPOINT_EVERY: i64 = 10;

/// How a sealed run ended.
#[derive(Debug)]
pub(crate) enum Finished {
    /// All tables have it; this is its record, with the versions that came of it, and the tables
    /// that took their changes here and as they were prepared.
    Done(Box<RunRecord>, Vec<String>),
    /// Another run has taken it back: its number, and why.
    Undone(i64, String),
}

/// Applies what `seal` says and has not been applied yet, or takes it back where that cannot be.
pub(crate) async fn apply(attempt: &Attempt, seal: &Seal) -> Result<Finished> {
    let finished = finish(attempt, seal).await;
    finished.map_err(|error| error.or_disk_full(&attempt.root.display(), Some(seal.run)))
}

async fn finish(attempt: &Attempt, seal: &Seal) -> Result<Finished> {
    let runs = runs::look(attempt);
    let (applied, runs) = futures::join!(apply_tables(attempt, seal), runs);
    let applied = match applied {
        // What it was prepared with may be deleted once it is finished, by whomever.
        Err(error @ RunError::Store { .. }) => {
            let runs = Runs::open(&attempt.root, &attempt.pipeline).await?;
            if runs.finished < seal.run {
                return Err(error);
            }
            return outcome(attempt, seal, seal.record.clone(), Vec::new()).await;
        }
        applied => applied?,
    };
    let (record, as_prepared) = match applied {
        Ok(done) => done,
        Err((table, outside)) => {
            // What happens to a table of a finished run is not this run's business any more.
            let runs = Runs::open(&attempt.root, &attempt.pipeline).await?;
            if runs.finished >= seal.run {
                return outcome(attempt, seal, seal.record.clone(), Vec::new()).await;
            }
            // It is rare and large: its place is not on the stack of every run.
            return Box::pin(undo::undo(attempt, seal, &table, &outside)).await;
        }
    };
    runs::finish(attempt, runs?, &seal.stamp(), std::slice::from_ref(&record)).await?;
    outcome(attempt, seal, record, as_prepared).await
}

/// How a finished run ended: somebody else may have found it impossible meanwhile, and decided to
/// take it back.
async fn outcome(
    attempt: &Attempt,
    seal: &Seal,
    record: RunRecord,
    as_prepared: Vec<String>,
) -> Result<Finished> {
    if let SealObject::There(next) = read_seal(&attempt.root, seal.run + 1).await?
        && next.undoes() == Some(seal.run)
    {
        let why = next.record.why.clone().unwrap_or_default();
        return Ok(Finished::Undone(next.run, why));
    }
    Ok(Finished::Done(Box::new(record), as_prepared))
}

/// The inner error is the table that cannot be committed to, and what others did to it. Whatever
/// happens to one table, all have come to their end when this returns.
async fn apply_tables(
    attempt: &Attempt,
    seal: &Seal,
) -> Result<std::result::Result<(RunRecord, Vec<String>), (String, Outside)>> {
    let stamp = seal.stamp();
    let together = together(&seal.tables).into_iter();
    let applied = together.map(|tables| apply_together(attempt, seal, tables, &stamp));
    let applied = futures::stream::iter(applied).buffered(SIDE_BY_SIDE);
    let applied: Vec<Result<Vec<_>>> = applied.collect().await;

    let mut record = seal.record.clone();
    let mut as_prepared = Vec::new();
    for applied in applied {
        for (table, applied) in applied? {
            let row = record.tables.iter_mut().find(|row| row.name == table.name);
            let version = match applied {
                Applied::Already(version, outside) => {
                    if let (Some(row), Some(outside)) = (row, outside) {
                        row.outside = Some(said(&outside));
                    }
                    version
                }
                Applied::Impossible(outside) => return Ok(Err((table.name.clone(), outside))),
                Applied::Committed(landed) => {
                    if landed.again.is_none() {
                        as_prepared.push(table.name.clone());
                    }
                    if let Some(row) = row {
                        if let Some((counts, rows)) = landed.again {
                            (row.counts, row.rows) = (counts, rows);
                        }
                        // What was known when it was sealed is not known less now.
                        if let Some(outside) = &landed.outside {
                            row.outside = Some(said(outside));
                        }
                    }
                    landed.version
                }
            };
            note_version(&mut record, &table.name, version);
        }
    }
    Ok(Ok((record, as_prepared)))
}

/// The tables of a seal, those together that are made again together: a table and its deleted keys.
fn together(tables: &[SealedTable]) -> Vec<Vec<&SealedTable>> {
    let mut sets: Vec<Vec<&SealedTable>> = Vec::new();
    for table in tables {
        let is_object = matches!(table.remake, SealedRemake::Object(_));
        let own = |set: &&mut Vec<&SealedTable>| set.iter().any(|one| one.remake == table.remake);
        match sets.iter_mut().find(own) {
            Some(set) if is_object => set.push(table),
            _ => sets.push(vec![table]),
        }
    }
    sets
}

/// Applies what is made again together, up to what cannot be applied.
async fn apply_together<'a>(
    attempt: &Attempt,
    seal: &Seal,
    tables: Vec<&'a SealedTable>,
    stamp: &Stamp,
) -> Result<Vec<(&'a SealedTable, Applied)>> {
    let mut again = false;
    let mut all = Vec::new();
    for table in tables {
        let (commit, remake) = sealed(&attempt.root, table).await?;
        let applied = lake_delta::apply(attempt, &table.name, &commit, &remake, stamp, again);
        let applied = applied.await?;
        let version = match &applied {
            Applied::Already(version, _) => *version,
            Applied::Committed(landed) => {
                again |= landed.again.is_some();
                landed.version
            }
            Applied::Impossible(_) => {
                all.push((table, applied));
                break;
            }
        };
        summed_up(&attempt.root, &seal.pipeline, &table.name, version).await;
        all.push((table, applied));
    }
    Ok(all)
}

/// What somebody else did, in words.
pub(crate) fn said(outside: &Outside) -> String {
    format!("{} (version {})", outside.operation, outside.version)
}

/// Writes down which version a table has.
pub(crate) fn note_version(record: &mut RunRecord, name: &str, version: i64) {
    if let Some(row) = record.tables.iter_mut().find(|row| row.name == name) {
        row.version = version;
    }
    match record
        .versions
        .binary_search_by(|row| row.name.as_str().cmp(name))
    {
        Ok(index) => {
            if let Some(row) = record.versions.get_mut(index) {
                row.version = version;
            }
        }
        Err(index) => record.versions.insert(
            index,
            TableVersion {
                name: name.to_owned(),
                version,
            },
        ),
    }
}

/// What a seal names for one table.
pub(crate) async fn sealed(root: &Root, table: &SealedTable) -> Result<(Commit, Remake)> {
    let body = object(root, &table.actions, &table.sha256).await?;
    let remake = match &table.remake {
        SealedRemake::Append => Remake::Append,
        SealedRemake::Replace => Remake::Replace,
        SealedRemake::Restore(to) => Remake::Restore(*to),
        SealedRemake::Nothing => Remake::Nothing,
        SealedRemake::Object(SealedObject { path, sha256 }) => {
            let body = object(root, path, sha256).await?;
            serde_json::from_slice(&body).map_err(|e| RunError::State {
                path: path.clone(),
                message: format!("it cannot be read: {e}"),
            })?
        }
    };
    let commit = Commit {
        table_id: table.table_id.clone(),
        base: table.base,
        base_digest: table.base_digest.clone(),
        body: body.to_vec(),
    };
    Ok((commit, remake))
}

async fn object(root: &Root, name: &str, sha256: &str) -> Result<Bytes> {
    let path = Path::from(name);
    let failed = |e| RunError::store(&path, e);
    let found = root.store().get(&path).await.map_err(failed)?;
    let body = found.bytes().await.map_err(failed)?;
    if hex::encode(Sha256::digest(&body)) == sha256 {
        return Ok(body);
    }
    Err(RunError::State {
        path: name.to_owned(),
        message: "the object is not the one that was sealed; \
                  restore it, it is needed to finish the run"
            .to_owned(),
    })
}

/// A checkpoint makes opening faster and nothing else, so a run does not fail
/// for want of one.
pub(crate) async fn summed_up(root: &Root, pipeline: &str, table: &str, version: i64) {
    if version > 0 && version % CHECKPOINT_EVERY == 0 {
        summed_up_now(root, pipeline, table).await;
    }
}

/// As [`summed_up`], whatever the version.
pub(crate) async fn summed_up_now(root: &Root, pipeline: &str, table: &str) {
    if let Err(error) = lake_delta::checkpoint(root, pipeline, table).await {
        tracing::warn!(table, %error, "no checkpoint could be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_again_by_one_object_is_applied_together_and_everything_else_alone() {
        let object = |path: &str| {
            SealedRemake::Object(SealedObject {
                path: path.to_owned(),
                sha256: String::new(),
            })
        };
        let table = |(name, remake): (&str, SealedRemake)| SealedTable {
            name: name.to_owned(),
            table_id: String::new(),
            base: 0,
            base_digest: String::new(),
            actions: String::new(),
            sha256: String::new(),
            remake,
        };
        let tables = [
            ("files", SealedRemake::Append),
            ("orders", object("orders")),
            ("meters", object("meters")),
            ("deleted/orders", object("orders")),
            ("rejection", SealedRemake::Append),
        ]
        .map(table);
        let names = |set: Vec<&SealedTable>| set.iter().map(|one| one.name.clone()).collect();
        let found: Vec<Vec<String>> = together(&tables).into_iter().map(names).collect();
        let expected: [&[&str]; 4] = [
            &["files"],
            &["orders", "deleted/orders"],
            &["meters"],
            &["rejection"],
        ];
        assert_eq!(found, expected);
    }
}
