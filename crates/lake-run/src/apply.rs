//! Applying a sealed run: its commits, one table after the other, `_lake/runs` last.
//!
//! Everything that it needs is in the seal, so any host can finish any run.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use lake_delta::{Applied, Attempt, Commit, Root, Snapshot, Stamp};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use crate::error::{Result, RunError};
use crate::record::{RUNS, RunRecord, Seal, SealedTable, runs_spec, to_batch};
use crate::state::app;

/// A table's log is summed up after this many commits.
const CHECKPOINT_EVERY: i64 = 10;

/// Applies what `seal` says and has not been applied yet; gives the run's
/// record with the versions that came of it.
pub(crate) async fn apply(root: &Root, seal: &Seal) -> Result<RunRecord> {
    let applied = apply_tables(root, seal).await;
    applied.map_err(|error| error.or_disk_full(&root.display(), Some(seal.run)))
}

async fn apply_tables(root: &Root, seal: &Seal) -> Result<RunRecord> {
    let stamp = Stamp {
        app: app(&seal.pipeline),
        run: seal.run,
        attempt: seal.attempt.clone(),
        time: seal.sealed_at,
    };
    let mut record = seal.record.clone();
    for table in &seal.tables {
        let commit = read_commit(root, table).await?;
        let applied = lake_delta::apply(root, &seal.pipeline, &table.name, &commit, &stamp).await;
        let applied = applied.map_err(|e| RunError::of_commit(e, Some(seal.run)))?;
        let version = match applied {
            Applied::Committed(version) | Applied::Already(version) => version,
        };
        if let Some(row) = record.tables.iter_mut().find(|row| row.name == table.name) {
            row.version = version;
        }
        summed_up(root, &seal.pipeline, &table.name, version).await;
    }
    record_run(root, seal, &stamp, &record).await?;
    Ok(record)
}

async fn read_commit(root: &Root, table: &SealedTable) -> Result<Commit> {
    let path = Path::from(table.actions.as_str());
    let failed = |e| RunError::store(&path, e);
    let found = root.store().get(&path).await.map_err(failed)?;
    let body = found.bytes().await.map_err(failed)?;
    if hex::encode(Sha256::digest(&body)) != table.sha256 {
        return Err(RunError::State {
            path: table.actions.clone(),
            message: "the actions are not the ones that were sealed; \
                      restore the object, it is needed to finish the run"
                .to_owned(),
        });
    }
    Ok(Commit {
        table_id: table.table_id.clone(),
        base: table.base,
        base_digest: table.base_digest.clone(),
        body: body.to_vec(),
    })
}

/// Adds the run's row to `_lake/runs`: its commit is what finishes the run.
async fn record_run(root: &Root, seal: &Seal, stamp: &Stamp, record: &RunRecord) -> Result<()> {
    let spec = runs_spec();
    let base = Snapshot::open(root, &seal.pipeline, RUNS).await?;
    if let Some(base) = &base
        && base.transaction(&stamp.app).await? >= Some(seal.run)
    {
        return Ok(());
    }
    let batch = to_batch(&spec.schema, std::slice::from_ref(record))?;
    let session = SessionContext::new();
    let failed = |e| RunError::sql(RUNS, &e);
    let table = MemTable::try_new(Arc::clone(&spec.schema), vec![vec![batch]]).map_err(failed)?;
    let rows = session.read_table(Arc::new(table)).map_err(failed)?;
    let plan = rows.create_physical_plan().await.map_err(failed)?;
    let attempt = Attempt {
        root: root.clone(),
        pipeline: seal.pipeline.clone(),
        id: seal.attempt.clone(),
        session,
    };
    let prepared = attempt.append(&spec, base, plan).await?;
    let commit = prepared.commit(stamp)?;
    let applied = lake_delta::apply(root, &seal.pipeline, RUNS, &commit, stamp).await;
    let applied = applied.map_err(|e| RunError::of_commit(e, Some(seal.run)))?;
    if let Applied::Committed(version) = applied {
        summed_up(root, &seal.pipeline, RUNS, version).await;
    }
    Ok(())
}

/// A checkpoint makes opening faster and nothing else, so a run does not fail
/// for want of one.
async fn summed_up(root: &Root, pipeline: &str, table: &str, version: i64) {
    if version > 0
        && version % CHECKPOINT_EVERY == 0
        && let Err(error) = lake_delta::checkpoint(root, pipeline, table).await
    {
        tracing::warn!(table, version, %error, "no checkpoint could be written");
    }
}
