//! Taking a sealed run back everywhere, because somebody else has made it impossible to finish.
//!
//! The next number is sealed for it, so that all hosts agree; then every table that has the run's
//! commit loses it, and no table can get it any more. The files that the run had loaded are
//! pending again. Both runs get their rows of `_lake/runs` in one commit.

use bytes::Bytes;
use lake_delta::{Attempt, Impact, Outside, Undone};
use object_store::PutMode;

use crate::apply::{Finished, note_version, said, sealed};
use crate::error::{Result, RunError};
use crate::record::RunRecord;
use crate::runs::{self, Runs};
use crate::sealed::Seal;
use crate::state::{SealObject, read_seal, seal_path};

/// A seal whose put failed without a trace is put again this often.
const PUT_ATTEMPTS: usize = 5;

/// Seals that `seal` is taken back, because of what others did to `table`, and does it.
pub(crate) async fn undo(
    attempt: &Attempt,
    seal: &Seal,
    table: &str,
    outside: &Outside,
) -> Result<Finished> {
    let why = format!("{table} was changed by somebody else: {}", said(outside));
    tracing::warn!(
        run = seal.run,
        why,
        "the run cannot be finished, and is taken back"
    );
    let runs = Runs::open(&attempt.root, &attempt.pipeline).await?;
    let before = runs.record(seal.run - 1).await?;
    let about = (attempt.id.as_str(), seal.record.sealed_at);
    let mut record = RunRecord::undo(seal.run + 1, before.as_ref(), about, why);
    seal.record.host.clone_into(&mut record.host);
    let decision = Seal::of(&seal.pipeline, record, seal.tables.clone());
    let decision = put(attempt, decision).await?;
    finish(attempt, seal, &decision).await
}

/// Puts the decision; gives that of another host where it was faster.
async fn put(attempt: &Attempt, decision: Seal) -> Result<Seal> {
    let path = seal_path(decision.run);
    let body = decision.to_json()?;
    let store = attempt.root.store();
    let mut last = None;
    for _ in 0..PUT_ATTEMPTS {
        let payload = Bytes::from(body.clone()).into();
        if let Err(error) = store.put_opts(&path, payload, PutMode::Create.into()).await {
            last = Some(error);
        }
        match read_seal(&attempt.root, decision.run).await? {
            SealObject::There(found) if found.undoes() == decision.undoes() => return Ok(*found),
            SealObject::There(_) | SealObject::Empty => {
                return Err(RunError::State {
                    path: path.to_string(),
                    message: format!(
                        "run {} cannot be finished, and this object is in the way of taking it back",
                        decision.run - 1
                    ),
                });
            }
            SealObject::Absent => {}
        }
    }
    Err(match last {
        Some(error) => RunError::store(&path, error),
        None => RunError::State {
            path: path.to_string(),
            message: "it was put, and is not there".to_owned(),
        },
    })
}

/// Takes `seal` back, as `decision` says.
pub(crate) async fn finish(attempt: &Attempt, seal: &Seal, decision: &Seal) -> Result<Finished> {
    let (run, stamp) = (seal.stamp(), decision.stamp());
    let mut record = decision.record.clone();
    let mut kept = Vec::new();
    for table in &seal.tables {
        let (commit, _) = sealed(&attempt.root, table).await?;
        let undone = lake_delta::undo(attempt, &table.name, &commit, &run, &stamp).await?;
        // What is computed from a table does not know of rows that others have put into it, or that
        // it keeps.
        let unknown = match undone {
            Undone::Clean(version, outside) => {
                note_version(&mut record, &table.name, version);
                outside
                    .filter(|outside| outside.impact >= Impact::Rows)
                    .map(|outside| said(&outside))
            }
            Undone::Kept(version, reason) => {
                note_version(&mut record, &table.name, version);
                kept.push(format!("{} keeps its rows, because {reason}", table.name));
                Some(reason)
            }
            // Whoever opens the table next is told what is wrong with it.
            Undone::Lost(outside) => {
                let what = said(&outside);
                kept.push(format!(
                    "{} may keep rows of it ({what}), until `lake run --reload`",
                    table.name
                ));
                Some(what)
            }
        };
        if let Some(what) = unknown {
            let rows = record
                .tables
                .iter_mut()
                .filter(|row| row.name == table.name);
            rows.for_each(|row| row.outside = Some(what.clone()));
        }
    }
    let mut why = record.why.clone().unwrap_or_default();
    if !kept.is_empty() {
        why = format!("{why}; {}", kept.join("; "));
        record.why = Some(why.clone());
    }
    let taken_back = RunRecord {
        status: "undone".to_owned(),
        why: Some(why.clone()),
        versions: Vec::new(),
        ..seal.record.clone()
    };
    let runs = runs::look(attempt).await?;
    runs::finish(attempt, runs, &stamp, &[taken_back, record]).await?;
    Ok(Finished::Undone(decision.run, why))
}
