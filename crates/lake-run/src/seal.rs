//! The seal: one put decides whether a run happens.
//!
//! Before it, a run has no effect; after it, whoever opens the pipeline next
//! finishes it.

use bytes::Bytes;
use lake_delta::{Prepared, Stamp};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use sha2::{Digest, Sha256};

use crate::error::{Result, RunError};
use crate::record::{RunRecord, SEAL_FORMAT, Seal, SealedTable};
use crate::state::{State, app, read_seal, seal_path};

/// A seal whose put failed without a trace is put again this often.
const PUT_ATTEMPTS: usize = 5;

/// Writes every table's commit to an object of its own and then the seal that
/// names them all.
///
/// # Errors
/// [`RunError::OtherRun`] where another run has the number already; it is
/// finished, and nothing of this one is seen.
pub(crate) async fn seal(
    state: &State,
    attempt: &str,
    record: RunRecord,
    prepared: &[Prepared],
) -> Result<Seal> {
    let sealed_at = record.sealed_at / 1000;
    let stamp = Stamp {
        app: app(&state.pipeline),
        run: record.run,
        attempt: attempt.to_owned(),
        time: sealed_at,
    };
    let store = state.root.store();
    let mut tables = Vec::new();
    let mut commits = Vec::new();
    for change in prepared.iter().filter(|change| !change.is_unchanged()) {
        every_file_is_there(store.as_ref(), change).await?;
        let commit = change.commit(&stamp)?;
        commits.push((change.name().to_owned(), commit.clone()));
        let actions = format!(
            "_lake/prepared/{attempt}/{}.json",
            change.name().replace('/', ".")
        );
        let sha256 = hex::encode(Sha256::digest(&commit.body));
        let path = Path::from(actions.as_str());
        let put = store.put(&path, Bytes::from(commit.body).into()).await;
        put.map_err(|e| RunError::store(&actions, e))?;
        tables.push(SealedTable {
            name: change.name().to_owned(),
            table_id: commit.table_id,
            base: commit.base,
            base_digest: commit.base_digest,
            actions,
            sha256,
        });
    }
    let seal = Seal {
        format: SEAL_FORMAT,
        lake: env!("CARGO_PKG_VERSION").to_owned(),
        run: record.run,
        attempt: attempt.to_owned(),
        pipeline: state.pipeline.clone(),
        sealed_at,
        record,
        tables,
    };
    // As late as can be: what changed under a run that is not sealed only costs
    // that run, and a sealed one has to be finished.
    for (name, commit) in &commits {
        let unchanged = lake_delta::check(&state.root, &state.pipeline, name, commit, &stamp).await;
        unchanged.map_err(|e| RunError::of_commit(e, None))?;
    }
    put_seal(state, &seal).await?;
    Ok(seal)
}

async fn put_seal(state: &State, seal: &Seal) -> Result<()> {
    let path = seal_path(seal.run);
    let body = serde_json::to_vec_pretty(seal).map_err(|e| RunError::State {
        path: path.to_string(),
        message: e.to_string(),
    })?;
    let store = state.root.store();
    let mut attempt = 1;
    loop {
        let payload = Bytes::from(body.clone()).into();
        let error = match store.put_opts(&path, payload, PutMode::Create.into()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // The put may have landed although the store says otherwise: what is
        // there decides.
        match read_seal(&state.root, seal.run).await? {
            Some(found) if found.attempt == seal.attempt => return Ok(()),
            Some(_) => return Err(RunError::OtherRun { run: seal.run }),
            None if attempt < PUT_ATTEMPTS => attempt += 1,
            None => return Err(RunError::store(&path, error)),
        }
    }
}

/// A commit with a file that is not there would make a table unreadable.
async fn every_file_is_there(store: &dyn ObjectStore, change: &Prepared) -> Result<()> {
    for file in change.new_files() {
        let path = data_path(change.name(), file)?;
        let found = store.head(&path).await;
        found.map_err(|e| RunError::store(&path, e))?;
    }
    Ok(())
}

/// Where a data file is. Its directories hold partition values, which are
/// encoded already.
pub(crate) fn data_path(table: &str, file: &str) -> Result<Path> {
    let path = format!("{table}/{file}");
    Path::parse(&path).map_err(|e| RunError::store(&path, e.into()))
}
