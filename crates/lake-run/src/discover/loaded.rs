//! What `_lake/files` knows: the files that earlier runs have loaded.

use std::collections::HashMap;
use std::fs::File;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::PendingFile;
use crate::error::{Result, RunError};
use crate::record::FILES;
use crate::state::State;

/// The files of each input that are loaded, by path, with the newest of their loads.
///
/// It is held in memory: some hundred bytes for every file that was ever loaded.
#[derive(Debug, Default)]
pub(super) struct LoadedFiles {
    inputs: HashMap<String, HashMap<String, Loaded>>,
    /// Those that are set aside, in the same way.
    skipped: HashMap<String, HashMap<String, Loaded>>,
}

/// What `_lake/files` knows of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) run: i64,
    pub(super) size: u64,
    /// Microseconds since 1970.
    pub(super) modified: i64,
    /// Microseconds since 1970: when its content counted as received.
    pub(super) received_at: i64,
    /// BLAKE3 of its bytes.
    hash: Option<[u8; 32]>,
}

impl LoadedFiles {
    pub(super) async fn read(state: &State) -> Result<Self> {
        let mut loaded = Self::default();
        let Some(files) = state.table(FILES).await? else {
            return Ok(loaded);
        };
        let failed = |e| RunError::sql(FILES, &e);
        let session = SessionContext::new();
        state.root.register(&session.runtime_env());
        session
            .register_table("files", files.provider().await?)
            .map_err(failed)?;
        // Tables of earlier versions of lake get the column with their next row.
        let skipped = match files.columns().iter().any(|column| column == "skipped") {
            true => "coalesce(skipped, false)",
            false => "false",
        };
        let sql = format!(
            "SELECT input, path, run, size, CAST(modified AS BIGINT), hash, \
             CAST(received_at AS BIGINT), {skipped} FROM files"
        );
        let frame = session.sql(&sql).await.map_err(failed)?;
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            let text = |n: usize| {
                let text = cast(batch.column(n), &DataType::Utf8);
                text.map_err(|e| failed(e.into()))
            };
            let (inputs, paths, hashes) = (text(0)?, text(1)?, text(5)?);
            let (inputs, paths) = (inputs.as_string::<i32>(), paths.as_string::<i32>());
            let hashes = hashes.as_string::<i32>();
            let number = |n: usize| batch.column(n).as_primitive::<Int64Type>();
            let skipped = batch.column(7).as_boolean();
            for row in 0..batch.num_rows() {
                let mut hash = [0; 32];
                let is_hash = hex::decode_to_slice(hashes.value(row), &mut hash).is_ok();
                let entry = Loaded {
                    run: number(2).value(row),
                    size: u64::try_from(number(3).value(row)).unwrap_or(0),
                    modified: number(4).value(row),
                    received_at: number(6).value(row),
                    hash: is_hash.then_some(hash),
                };
                let files = match skipped.value(row) {
                    true => &mut loaded.skipped,
                    false => &mut loaded.inputs,
                };
                note(files, inputs.value(row), paths.value(row), entry);
            }
        }
        // What was loaded later has other content.
        for (input, files) in &mut loaded.skipped {
            let later = |path: &String| loaded.inputs.get(input)?.get(path).map(|file| file.run);
            files.retain(|path, file| later(path).is_none_or(|run| run < file.run));
        }
        Ok(loaded)
    }

    /// How many files are loaded.
    pub(super) fn count(&self) -> u64 {
        self.inputs.values().map(|files| files.len() as u64).sum()
    }

    /// Those of one input, by path.
    pub(super) fn of(&self, input: &str) -> Option<&HashMap<String, Loaded>> {
        self.inputs.get(input)
    }

    /// Those of one input that are set aside, by path.
    pub(super) fn skipped(&self, input: &str) -> Option<&HashMap<String, Loaded>> {
        self.skipped.get(input)
    }
}

fn note(
    inputs: &mut HashMap<String, HashMap<String, Loaded>>,
    input: &str,
    path: &str,
    entry: Loaded,
) {
    let of_input = match inputs.get_mut(input) {
        Some(files) => files,
        None => inputs.entry(input.to_owned()).or_default(),
    };
    match of_input.get_mut(path) {
        Some(known) if known.run >= entry.run => {}
        Some(known) => *known = entry,
        None => {
            of_input.insert(path.to_owned(), entry);
        }
    }
}

impl Loaded {
    /// BLAKE3 of its bytes, in hexadecimal digits.
    pub(super) fn hash(&self) -> Option<String> {
        self.hash.map(hex::encode)
    }

    /// Whether size and time say that the file is what was loaded.
    pub(super) fn looks_like(&self, file: &PendingFile) -> bool {
        (self.size, self.modified) == (file.size, file.modified)
    }

    /// Whether a file has other content than what was loaded. One that was only touched or copied
    /// again has not: where size and time do not settle it, its bytes do.
    pub(super) fn differs_from(&self, file: &PendingFile) -> Result<bool> {
        if self.size != file.size {
            return Ok(true);
        }
        if self.modified == file.modified {
            return Ok(false);
        }
        Ok(self.hash != Some(hash(file)?))
    }
}

/// BLAKE3 of a file's bytes.
pub(super) fn hash(file: &PendingFile) -> Result<[u8; 32]> {
    if let Some(copy) = file.copy() {
        return copy.hash();
    }
    let failed = |source| RunError::Io {
        path: file.path.clone(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(File::open(&file.path).map_err(failed)?)
        .map_err(failed)?;
    Ok(*hasher.finalize().as_bytes())
}
