//! What `_lake/files` knows: the files that earlier runs have loaded.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use lake_delta::Snapshot;
use lake_store::Stores;

use super::PendingFile;
use crate::error::{Result, RunError};
use crate::raw::RawFile;
use crate::record::FILES;
use crate::run::Settings;
use crate::state::State;

/// How many rows are sorted and merged at a time.
const BATCH_ROWS: usize = 512;

/// What is known of some files: the newest load of each, by path.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) loaded: HashMap<String, Loaded>,
    /// Those that are set aside, in the same way. One that was loaded later is not.
    pub(super) skipped: HashMap<String, Loaded>,
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
    /// What the store called its content, where it is an object.
    etag: Option<String>,
}

/// The files of an input that are known, in the order of their paths: they are read along with the
/// listing of what is there, so that memory does not grow with either.
pub(super) struct KnownFiles {
    batches: Option<SendableRecordBatchStream>,
    rows: Option<Rows>,
    at: usize,
    /// How many files are loaded, of those that were passed.
    pub(super) count: u64,
    /// When the newest of them was changed, in microseconds since 1970.
    pub(super) newest: Option<i64>,
}

/// The columns of a batch.
struct Rows {
    paths: StringArray,
    hashes: StringArray,
    etags: StringArray,
    /// `run`, `size`, `modified`, `received_at`
    numbers: [Int64Array; 4],
    skipped: BooleanArray,
}

/// The loads of one path.
struct Path {
    path: String,
    loaded: Option<Loaded>,
    skipped: Option<Loaded>,
}

fn failed(error: impl Into<datafusion::error::DataFusionError>) -> RunError {
    RunError::sql(FILES, &error.into())
}

impl KnownFiles {
    /// Those of an input, of the table `_lake/files` if there is one.
    pub(super) async fn of(
        settings: &Settings,
        state: &State,
        files: Option<&Snapshot>,
        input: &str,
    ) -> Result<Self> {
        let mut known = Self {
            batches: None,
            rows: None,
            at: 0,
            count: 0,
            newest: None,
        };
        let Some(files) = files else {
            return Ok(known);
        };
        // Sorting spills beyond the limit, and what it merges has to fit into it: rows of some
        // hundred bytes, a batch of each of the runs that it has spilled.
        let whole = settings.session()?;
        let config = whole.copied_config();
        let config = config.with_batch_size(BATCH_ROWS).with_target_partitions(1);
        let session = SessionContext::new_with_config_rt(config, whole.runtime_env());
        state.root.register(&session.runtime_env());
        session
            .register_table("files", files.provider().await?)
            .map_err(failed)?;
        // Tables of earlier versions of lake get these columns with their next row.
        let has = |name: &str| files.columns().iter().any(|column| column == name);
        let skipped = match has("skipped") {
            true => "coalesce(skipped, false)",
            false => "false",
        };
        let etag = match has("etag") {
            true => "etag",
            false => "CAST(NULL AS VARCHAR)",
        };
        let sql = format!(
            "SELECT path, hash, {etag}, run, size, CAST(modified AS BIGINT), \
             CAST(received_at AS BIGINT), {skipped} FROM files WHERE input = '{}' \
             ORDER BY path, run",
            input.replace('\'', "''")
        );
        let frame = session.sql(&sql).await.map_err(failed)?;
        known.batches = Some(frame.execute_stream().await.map_err(failed)?);
        Ok(known)
    }

    /// What is known of these paths, which come after those that were asked for before. All paths
    /// up to `last` are passed, or all that there are.
    pub(super) async fn among(
        &mut self,
        paths: &BTreeSet<&str>,
        last: Option<&str>,
    ) -> Result<Known> {
        let mut known = Known::default();
        while let Some(path) = self.next(last).await? {
            if paths.contains(path.path.as_str()) {
                known.note(path);
            }
        }
        Ok(known)
    }

    /// All of them.
    pub(super) async fn all(&mut self) -> Result<Known> {
        let mut known = Known::default();
        while let Some(path) = self.next(None).await? {
            known.note(path);
        }
        Ok(known)
    }

    /// The next path, where it does not come after `last`.
    async fn next(&mut self, last: Option<&str>) -> Result<Option<Path>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let name = self.path().to_owned();
        if last.is_some_and(|last| name.as_str() > last) {
            return Ok(None);
        }
        let mut path = Path {
            path: name,
            loaded: None,
            skipped: None,
        };
        // Later runs come later.
        while self.fill().await? && self.path() == path.path {
            if let Some(rows) = &self.rows {
                let (load, skipped) = rows.load(self.at);
                *(if skipped {
                    &mut path.skipped
                } else {
                    &mut path.loaded
                }) = Some(load);
            }
            self.at += 1;
        }
        if let Some(loaded) = &path.loaded {
            self.count += 1;
            self.newest = self.newest.max(Some(loaded.modified));
        }
        Ok(Some(path))
    }

    fn path(&self) -> &str {
        let rows = self.rows.as_ref();
        rows.map_or("", |rows| rows.paths.value(self.at))
    }

    /// Sees to it that there is a row to look at; whether there is.
    async fn fill(&mut self) -> Result<bool> {
        loop {
            if let Some(rows) = &self.rows
                && self.at < rows.paths.len()
            {
                return Ok(true);
            }
            let next = match &mut self.batches {
                Some(batches) => batches.next().await,
                None => None,
            };
            let Some(batch) = next else {
                (self.batches, self.rows) = (None, None);
                return Ok(false);
            };
            self.rows = Some(Rows::of(&batch.map_err(failed)?)?);
            self.at = 0;
        }
    }
}

impl Rows {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let text = |n: usize| -> Result<StringArray> {
            let text: ArrayRef = cast(batch.column(n), &DataType::Utf8).map_err(failed)?;
            Ok(text.as_string::<i32>().clone())
        };
        let number = |n: usize| batch.column(n).as_primitive::<Int64Type>().clone();
        Ok(Self {
            paths: text(0)?,
            hashes: text(1)?,
            etags: text(2)?,
            numbers: [3, 4, 5, 6].map(number),
            skipped: batch.column(7).as_boolean().clone(),
        })
    }

    /// What a row says, and whether the file was set aside.
    fn load(&self, row: usize) -> (Loaded, bool) {
        let mut hash = [0; 32];
        let is_hash = hex::decode_to_slice(self.hashes.value(row), &mut hash).is_ok();
        let [run, size, modified, received_at] = self.numbers.each_ref().map(|of| of.value(row));
        let load = Loaded {
            run,
            size: u64::try_from(size).unwrap_or(0),
            modified,
            received_at,
            hash: is_hash.then_some(hash),
            etag: (!self.etags.is_null(row)).then(|| self.etags.value(row).to_owned()),
        };
        (load, self.skipped.value(row))
    }
}

impl Known {
    /// The names of those of some files that are loaded.
    pub(super) fn loaded_among(&self, files: &[PendingFile]) -> impl Iterator<Item = String> {
        let loaded = files
            .iter()
            .filter(|file| self.loaded.contains_key(&file.path));
        loaded.map(PendingFile::name)
    }

    fn note(&mut self, path: Path) {
        let Path {
            path,
            loaded,
            skipped,
        } = path;
        // What was loaded later has other content.
        let later = loaded.as_ref().map_or(i64::MIN, |loaded| loaded.run);
        if let Some(skipped) = skipped.filter(|skipped| later < skipped.run) {
            self.skipped.insert(path.clone(), skipped);
        }
        if let Some(loaded) = loaded {
            self.loaded.insert(path, loaded);
        }
    }
}

impl Loaded {
    /// BLAKE3 of its bytes, in hexadecimal digits.
    pub(super) fn hash(&self) -> Option<String> {
        self.hash.map(hex::encode)
    }

    /// Whether what can be said without reading it says that a file is what was loaded: size and
    /// time, and where a store names contents, that name. (Times of stores are often whole seconds.)
    pub(super) fn looks_like(&self, file: &PendingFile) -> bool {
        (self.size, self.modified) == (file.size, file.modified)
            && self.etag_says(file) != Some(false)
    }

    /// Whether the file has the content of then, as far as the store names contents.
    fn etag_says(&self, file: &PendingFile) -> Option<bool> {
        Some(self.etag.as_ref()? == file.etag.as_ref()?)
    }

    /// Whether a file has other content than what was loaded. One that was only touched or copied
    /// again has not: where nothing else settles it, its bytes do.
    pub(super) async fn differs_from(&self, file: &PendingFile, stores: &Stores) -> Result<bool> {
        if self.size != file.size {
            return Ok(true);
        }
        if self.looks_like(file) || self.etag_says(file) == Some(true) {
            return Ok(false);
        }
        Ok(self.hash != Some(hash(file, stores).await?))
    }
}

/// BLAKE3 of a file's bytes.
pub(super) async fn hash(file: &PendingFile, stores: &Stores) -> Result<[u8; 32]> {
    if let Some(copy) = file.copy() {
        return copy.hash();
    }
    let hashed = RawFile::at(stores, &file.path)?.hash().await;
    hashed.map_err(|source| RunError::Io {
        path: file.path.clone().into(),
        source,
    })
}
