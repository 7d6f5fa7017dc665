//! The seal: one put decides whether a run happens.
//!
//! Before it, a run has no effect; after it, whoever opens the pipeline next
//! finishes it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};
use lake_delta::{Attempt, Commit, Prepared, Remake, Stamp};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use sha2::{Digest, Sha256};

use crate::apply::said;
use crate::error::{Result, RunError};
use crate::record::RunRecord;
use crate::sealed::{Seal, SealedObject, SealedRemake, SealedTable};
use crate::state::{SealObject, read_seal, seal_path};

/// A seal whose put failed without a trace is put again this often, and what became of it is
/// looked up this often.
const PUT_ATTEMPTS: u32 = 5;
/// The wait before the second attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// So many tables' commits are written at a time. Each can have megabytes.
const SIDE_BY_SIDE: usize = 4;
/// How many data files are looked for at a time.
const LOOKED_FOR: usize = 64;

/// Writes every table's commit to an object of its own and then the seal that
/// names them all.
///
/// # Errors
/// [`RunError::OtherRun`] where another run has the number already: nothing of
/// this one is seen. [`RunError::OutsideChange`] where somebody else has changed what a table is. [`RunError::NotSealed`] where the store would not take
/// the seal.
pub(crate) async fn seal(
    attempt: &Attempt,
    before: Option<&RunRecord>,
    record: RunRecord,
    prepared: &[Prepared],
) -> Result<Seal> {
    let seal = Seal::of(&attempt.pipeline, record, Vec::new());
    seal_as(attempt, before, seal, prepared).await
}

/// As [`seal`], where the seal says more than what becomes of tables.
pub(crate) async fn seal_as(
    attempt: &Attempt,
    before: Option<&RunRecord>,
    mut seal: Seal,
    prepared: &[Prepared],
) -> Result<Seal> {
    let stamp = seal.stamp();
    let changes = prepared.iter().filter(|change| !change.is_unchanged());
    let changes: Vec<&Prepared> = changes.collect();
    every_file_is_there(attempt.root.store().as_ref(), &changes).await?;
    let written = changes.into_iter();
    let written = written.map(|change| write_commit(attempt, change, &stamp));
    let written = futures::stream::iter(written).buffered(SIDE_BY_SIDE);
    let written: Vec<_> = written.try_collect().await?;
    // As late as can be: what changed under a run that is not sealed only costs
    // that run, and a sealed one has to be finished or taken back.
    let looked = written.iter().map(|(table, commit)| async {
        let outside = lake_delta::obstacle(attempt, &table.name, commit, &stamp).await?;
        match outside {
            None => Ok(()),
            Some(outside) => Err(RunError::OutsideChange {
                table: table.name.clone(),
                what: said(&outside),
            }),
        }
    });
    try_join_all(looked).await?;
    seal.tables
        .extend(written.into_iter().map(|(table, _)| table));
    decide(attempt, before, seal).await
}

/// Puts the commit of one table, and what making it again needs, and gives what the seal says of it.
async fn write_commit(
    attempt: &Attempt,
    change: &Prepared,
    stamp: &Stamp,
) -> Result<(SealedTable, Commit)> {
    let store = attempt.root.store();
    let name = change.name();
    let commit = change.commit(stamp)?;
    let place = format!("_lake/prepared/{}/{}", attempt.id, name.replace('/', "."));
    let remake = match change.remake() {
        Remake::Append => SealedRemake::Append,
        Remake::Replace => SealedRemake::Replace,
        Remake::Restore(to) => SealedRemake::Restore(*to),
        Remake::Nothing => SealedRemake::Nothing,
        // Nobody else can have changed a table that is not there yet.
        Remake::Merge(_) if commit.base < 0 => SealedRemake::Append,
        merge @ Remake::Merge(_) => {
            let path = format!("{place}.merge.json");
            let sha256 = put(store.as_ref(), &path, json(&path, merge)?).await?;
            SealedRemake::Object(SealedObject { path, sha256 })
        }
    };
    let actions = format!("{place}.json");
    let sha256 = put(store.as_ref(), &actions, commit.body.clone()).await?;
    let table = SealedTable {
        name: name.to_owned(),
        table_id: commit.table_id.clone(),
        base: commit.base,
        base_digest: commit.base_digest.clone(),
        actions,
        sha256,
        remake,
    };
    Ok((table, commit))
}

/// What is in a seal's place.
enum Fate {
    There(Box<Seal>),
    /// Nobody can say: the store neither took it, nor told what is there.
    Open(object_store::Error),
}

/// Puts the seal, and finds out what became of it, whatever the store says.
async fn decide(attempt: &Attempt, before: Option<&RunRecord>, seal: Seal) -> Result<Seal> {
    let error = match settle(attempt, &seal).await? {
        Fate::There(found) => return ours(&found, seal, None),
        Fate::Open(error) => error,
    };
    // A put that was given up may land yet, unless its place is taken.
    let why = "the store would not take its seal".to_owned();
    let about = (seal.attempt.as_str(), seal.record.sealed_at);
    let record = RunRecord::void(seal.run, before, about, why);
    match settle(attempt, &Seal::of(&seal.pipeline, record, Vec::new())).await? {
        Fate::There(found) => ours(&found, seal, Some(error)),
        Fate::Open(_) => Err(RunError::Unsettled {
            run: seal.run,
            source: error,
        }),
    }
}

fn ours(found: &Seal, seal: Seal, error: Option<object_store::Error>) -> Result<Seal> {
    match error {
        _ if found.attempt != seal.attempt => Err(RunError::OtherRun { run: seal.run }),
        Some(source) if found.record.kind != seal.record.kind => Err(RunError::NotSealed {
            run: seal.run,
            source,
        }),
        _ => Ok(seal),
    }
}

async fn settle(attempt: &Attempt, seal: &Seal) -> Result<Fate> {
    let path = seal_path(seal.run);
    let body = seal.to_json()?;
    let store = attempt.root.store();
    let mut wait = FIRST_WAIT;
    let mut tries = 1;
    loop {
        let payload = Bytes::from(body.clone()).into();
        let error = match store.put_opts(&path, payload, PutMode::Create.into()).await {
            Ok(_) => return Ok(Fate::There(Box::new(seal.clone()))),
            Err(error) => error,
        };
        // The put may have landed although the store says otherwise: what is there decides.
        match read_seal(&attempt.root, seal.run).await {
            Ok(SealObject::There(found)) => {
                attempt.root.confirm(&path).await?;
                return Ok(Fate::There(found));
            }
            Ok(SealObject::Absent | SealObject::Empty) | Err(RunError::Store { .. }) => {}
            Err(other) => return Err(other),
        }
        if tries == PUT_ATTEMPTS {
            return Ok(Fate::Open(error));
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        tries += 1;
    }
}

fn json(path: &str, remake: &Remake) -> Result<Vec<u8>> {
    serde_json::to_vec(remake).map_err(|e| RunError::State {
        path: path.to_owned(),
        message: e.to_string(),
    })
}

/// Puts an object, and gives its SHA-256.
pub(crate) async fn put(store: &dyn ObjectStore, name: &str, body: Vec<u8>) -> Result<String> {
    let sha256 = hex::encode(Sha256::digest(&body));
    let path = Path::from(name);
    let put = store.put(&path, Bytes::from(body).into()).await;
    put.map_err(|e| RunError::store(&path, e))?;
    Ok(sha256)
}

/// A commit with a file that is not there, or not whole, would make a table unreadable.
async fn every_file_is_there(store: &dyn ObjectStore, changes: &[&Prepared]) -> Result<()> {
    let files = changes.iter().flat_map(|change| {
        let files = change.new_files();
        files.map(|(file, size)| (change.name(), file, size))
    });
    let looked = files.map(|(table, file, size)| async move {
        let path = data_path(table, file)?;
        let found = store.head(&path).await;
        let found = found.map_err(|e| RunError::store(&path, e))?;
        if i64::try_from(found.size) == Ok(size) {
            return Ok(());
        }
        Err(RunError::State {
            path: path.to_string(),
            message: format!(
                "it has {} bytes, and {size} were written; nothing was published, run again",
                found.size
            ),
        })
    });
    let looked = futures::stream::iter(looked).buffer_unordered(LOOKED_FOR);
    looked.try_collect().await
}

/// Where a data file is. Its directories hold partition values, which are
/// encoded already.
pub(crate) fn data_path(table: &str, file: &str) -> Result<Path> {
    let path = format!("{table}/{file}");
    Path::parse(&path).map_err(|e| RunError::store(&path, e.into()))
}
