//! The archive: a copy of every loaded file, as it came, where an input asks for it.
//!
//! Copies lie in `raw/<input>/run-<attempt>/<hash>/`, and `_lake/archive` says which content of
//! which file each of them is. That table only grows: no rollback takes anything out of it, because
//! copies are what a rollback may need. Where it makes files pending again that are gone, it adds
//! rows of its own, which say that the next run reads the copies; that run adds others, which say
//! that it has.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use lake_delta::{Attempt, Prepared, TableSpec};
use lake_pipeline::Pipeline;
use lake_store::Stores;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::error::{Result, RunError};
use crate::raw::RawFile;
use crate::record::{FileRecord, field, spec, to_batch, utc};
use crate::run::Settings;
use crate::runs::rows;
use crate::state::State;

/// The table of copies, below the pipeline's root.
pub(crate) const ARCHIVE: &str = "_lake/archive";
/// Where the copies are, below the pipeline's root.
pub(crate) const RAW: &str = "raw";

/// How many files are copied at a time.
const COPIED: usize = 2;
/// How much of a file is in memory at once, and in one part of an upload.
const PART_BYTES: usize = 8 << 20;
/// How many parts of a file are on their way at once.
const PARTS: usize = 2;
/// File names that are longer are cut: they only are there for people.
const NAME_BYTES: usize = 100;

/// One row of `_lake/archive`: a copy of what a file held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedFile {
    pub(crate) input: String,
    /// Where the file was.
    pub(crate) path: String,
    pub(crate) size: i64,
    /// Microseconds since 1970, UTC.
    pub(crate) modified: i64,
    /// When its content counts as received, in microseconds since 1970, UTC.
    pub(crate) received_at: i64,
    /// BLAKE3 of its bytes.
    pub(crate) hash: String,
    /// The run that wrote the row.
    pub(crate) run: i64,
    /// Where the copy is, below the pipeline's root.
    pub(crate) copy: String,
    /// Whether the run is a rollback that makes the content pending, because the file is gone.
    #[serde(default)]
    pub(crate) waits: bool,
}

impl ArchivedFile {
    /// BLAKE3 of its bytes.
    pub(crate) fn hash(&self) -> Result<[u8; 32]> {
        let mut hash = [0; 32];
        match hex::decode_to_slice(&self.hash, &mut hash) {
            Ok(()) => Ok(hash),
            Err(error) => Err(RunError::State {
                path: ARCHIVE.to_owned(),
                message: format!("the hash of {} is none: {error}", self.path),
            }),
        }
    }
}

fn archive_spec() -> TableSpec {
    use DataType::{Boolean, Int64, Utf8};
    let fields = vec![
        field("input", Utf8),
        field("path", Utf8),
        field("size", Int64),
        field("modified", utc()),
        field("received_at", utc()),
        field("hash", Utf8),
        field("run", Int64),
        field("copy", Utf8),
        field("waits", Boolean),
    ];
    spec(ARCHIVE, fields)
}

/// Copies of files, by input and path.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    inputs: HashMap<String, HashMap<String, Vec<Arc<ArchivedFile>>>>,
}

impl Archive {
    /// The copies of files that a rollback has made pending once.
    pub(crate) async fn that_waited(pipeline: &Pipeline, state: &State) -> Result<Self> {
        match is_in_use(pipeline, state) {
            // Of the files that waited once, all that has been written about them.
            true => {
                let sql = "SELECT archive.* FROM archive LEFT SEMI JOIN \
                           (SELECT DISTINCT path AS name FROM archive WHERE waits) AS waited \
                           ON path = waited.name";
                Self::select(state, sql, None).await
            }
            false => Ok(Self::default()),
        }
    }

    /// All copies. They are held in memory: some hundred bytes for each.
    pub(crate) async fn all(pipeline: &Pipeline, state: &State) -> Result<Self> {
        match is_in_use(pipeline, state) {
            true => Self::select(state, "SELECT * FROM archive", None).await,
            false => Ok(Self::default()),
        }
    }

    /// The copies of some files, whatever their inputs.
    pub(crate) async fn of(state: &State, paths: impl Iterator<Item = &str>) -> Result<Self> {
        let paths: StringArray = paths.map(Some).collect();
        let sql = "SELECT archive.* FROM archive LEFT SEMI JOIN wanted ON path = wanted.name";
        Self::select(state, sql, Some(paths)).await
    }

    async fn select(state: &State, sql: &str, wanted: Option<StringArray>) -> Result<Self> {
        let mut archive = Self::default();
        let Some(table) = state.table(ARCHIVE).await? else {
            return Ok(archive);
        };
        let failed = |e| RunError::sql(ARCHIVE, &e);
        let session = SessionContext::new();
        state.root.register(&session.runtime_env());
        let provider = table.provider().await?;
        session
            .register_table("archive", provider)
            .map_err(failed)?;
        if let Some(wanted) = wanted {
            let batch = RecordBatch::try_from_iter([("name", Arc::new(wanted) as ArrayRef)]);
            let batch = batch.map_err(|e| failed(e.into()))?;
            session.register_batch("wanted", batch).map_err(failed)?;
        }
        // As numbers, times are what they are in records.
        let sql = format!(
            "SELECT * REPLACE (CAST(modified AS BIGINT) AS modified, \
             CAST(received_at AS BIGINT) AS received_at) FROM ({sql})"
        );
        let frame = session.sql(&sql).await.map_err(failed)?;
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            for file in rows::<ArchivedFile>(ARCHIVE, &[batch])? {
                archive.note(file);
            }
        }
        Ok(archive)
    }

    fn note(&mut self, file: ArchivedFile) {
        let files = self.inputs.entry(file.input.clone()).or_default();
        let copies = files.entry(file.path.clone()).or_default();
        copies.push(Arc::new(file));
    }

    /// The copy of a file with this content.
    pub(crate) fn copy(&self, input: &str, path: &str, hash: &str) -> Option<&Arc<ArchivedFile>> {
        let copies = self.inputs.get(input)?.get(path)?;
        let copies = copies.iter().filter(|copy| copy.hash == hash);
        copies.max_by_key(|copy| copy.run)
    }

    /// The content of a file that the next run reads from its copy, because a rollback has made it
    /// pending and the file is gone. The last row about a file decides: every load writes one.
    pub(crate) fn waiting(&self, input: &str, path: &str) -> Option<&Arc<ArchivedFile>> {
        let copies = self.inputs.get(input)?.get(path)?;
        let last = copies.iter().max_by_key(|copy| copy.run)?;
        last.waits.then_some(last)
    }

    /// The attempts that have made the copies.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = String> {
        let copies = self.inputs.values().flat_map(HashMap::values).flatten();
        copies.filter_map(|copy| {
            let directory = copy.copy.split('/').nth(2)?;
            directory.strip_prefix("run-").map(str::to_owned)
        })
    }

    /// The files of an input that there are copies of.
    pub(crate) fn files(&self, input: &str) -> impl Iterator<Item = &String> {
        let files = self.inputs.get(input);
        files.into_iter().flat_map(HashMap::keys)
    }
}

/// Whether there are copies, or can be.
pub(crate) fn is_in_use(pipeline: &Pipeline, state: &State) -> bool {
    state.left(ARCHIVE).is_some() || pipeline.inputs.values().any(|source| source.archive)
}

/// Copies what a run has loaded, as far as its inputs ask for it and there is no copy of it yet, and
/// ends the waiting of what it has loaded; gives what it adds to the table. A file that is not what
/// was read any more stops the run.
pub(crate) async fn archive(
    attempt: &Attempt,
    state: &State,
    settings: &Settings,
    files: &[FileRecord],
) -> Result<Option<Prepared>> {
    let pipeline = &settings.pipeline;
    if !is_in_use(pipeline, state) {
        return Ok(None);
    }
    let known = Archive::of(state, files.iter().map(|file| file.path.as_str())).await?;
    let is_archived = |file: &FileRecord| {
        let source = pipeline.inputs.get(&file.input);
        source.is_some_and(|source| source.archive)
    };
    let (mut copied, mut ended) = (Vec::new(), Vec::new());
    for file in files {
        let copy_of = known.copy(&file.input, &file.path, &file.hash);
        if is_archived(file) && !is_whole(attempt, copy_of).await? {
            copied.push(copy(attempt, &settings.stores, file));
        } else if let Some(waiting) = known.waiting(&file.input, &file.path) {
            ended.push(ArchivedFile {
                run: file.run,
                waits: false,
                ..waiting.as_ref().clone()
            });
        }
    }
    let copied = futures::stream::iter(copied).buffered(COPIED);
    let mut added: Vec<ArchivedFile> = copied.try_collect().await?;
    added.append(&mut ended);
    // One that is lost, and may be, is made anew.
    let is_lost = state.left(ARCHIVE).is_some() && state.table(ARCHIVE).await?.is_none();
    if added.is_empty() && !is_lost {
        return Ok(None);
    }
    Ok(Some(append(attempt, state, &added).await?))
}

/// Whether a copy is there, as far as its size tells.
async fn is_whole(attempt: &Attempt, copy: Option<&Arc<ArchivedFile>>) -> Result<bool> {
    let Some(copy) = copy else {
        return Ok(false);
    };
    let path = Path::from(copy.copy.as_str());
    match attempt.root.store().head(&path).await {
        Ok(found) => Ok(i64::try_from(found.size) == Ok(copy.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(RunError::store(&path, error)),
    }
}

/// Prepares rows for the table.
pub(crate) async fn append(
    attempt: &Attempt,
    state: &State,
    files: &[ArchivedFile],
) -> Result<Prepared> {
    let spec = archive_spec();
    let failed = |e| RunError::sql(ARCHIVE, &e);
    let batch = to_batch(&spec.schema, files)?;
    let rows = attempt.session.read_batch(batch).map_err(failed)?;
    let plan = rows.create_physical_plan().await.map_err(failed)?;
    let base = state.table(ARCHIVE).await?;
    Ok(attempt.append_gathering(&spec, base, plan).await?)
}

/// Copies one file, and finds out whether the copy is what was read.
async fn copy(attempt: &Attempt, stores: &Stores, file: &FileRecord) -> Result<ArchivedFile> {
    let place = format!(
        "{RAW}/{}/run-{}/{}/{}",
        file.input,
        attempt.id,
        file.hash,
        plain(&file.path)
    );
    let path = Path::from(place);
    let writer = BufWriter::with_capacity(attempt.root.store(), path.clone(), PART_BYTES);
    let mut writer = writer.with_max_concurrency(PARTS);
    let failed = |error: std::io::Error| RunError::Io {
        path: PathBuf::from(&file.path),
        source: error,
    };
    let source = RawFile::at(stores, &file.path)?;
    let source = source.bytes(file.etag.as_deref()).await;
    let mut source = source.map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = source.next().await {
        let piece = piece.map_err(failed)?;
        hasher.update(&piece);
        let put = writer.put(piece).await;
        put.map_err(|e| RunError::store(&path, e))?;
    }
    if hasher.finalize().to_hex().as_str() != file.hash {
        // What is left of the copy goes with the attempt.
        let _ = writer.abort().await;
        return Err(RunError::changed_while_read(&file.path));
    }
    let written = writer.shutdown().await;
    written.map_err(|error| {
        let source = object_store::Error::Generic {
            store: "the store",
            source: Box::new(error),
        };
        RunError::store(&path, source)
    })?;
    Ok(ArchivedFile {
        input: file.input.clone(),
        path: file.path.clone(),
        size: file.size,
        modified: file.modified,
        received_at: file.received_at,
        hash: file.hash.clone(),
        run: file.run,
        copy: path.to_string(),
        waits: false,
    })
}

/// The name of a file, of letters that every store takes as they are.
fn plain(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = name.chars().map(|letter| match letter {
        '.' | '-' | '_' | '=' | '+' | ',' => letter,
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    });
    let plain: String = plain.collect();
    // The end of a name says what it is.
    let cut = plain.len().saturating_sub(NAME_BYTES);
    plain.get(cut..).unwrap_or_default().to_owned()
}
