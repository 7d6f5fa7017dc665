//! Read: pending files become batches of accepted rows, and rejected rows with their reasons.
//!
//! Files are read on threads of their own, one per stream of the query that consumes them: bytes,
//! records, values and checks in one pass, while the rows are hot. Accepted rows go to the query,
//! rejected ones to their table. The threads share the work ([`pass`]): small files are read side
//! by side, and one large file by all of them.

mod file;
mod gather;
mod hashing;
mod layout;
mod pass;
mod path;
mod stored;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lake_delta::Root;
use lake_pipeline::{InputSource, Limits, OnEmpty};
use lake_plugin::InputDeclaration;
use lake_reader::{Layout, OnTruncated, Options};
use lake_store::Stores;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::check::{Checks, ReasonCounts};
use crate::discover::PendingFile;
use crate::error::{Result, RunError};
use crate::key_rules::KeyRule;
use crate::progress::Progress;
use crate::record::FileRecord;
use path::PathColumns;

pub(crate) use layout::layout;
pub(crate) use stored::Stored;
pub(crate) use table::InputTable;

/// One input of a run: its pending files, and what reading them has yielded.
#[derive(Debug)]
pub(crate) struct InputReader {
    name: String,
    layout: Layout,
    from_path: PathColumns,
    checks: Checks,
    schema: SchemaRef,
    reading: Reading,
    /// Whether anybody has read the files. A query may scan an input twice; what reading yields
    /// beside accepted rows is kept once.
    begun: AtomicBool,
    rejections: Mutex<Option<mpsc::Sender<RecordBatch>>>,
    yielded: Mutex<Yielded>,
}

/// What a run reads of an input, and how.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) files: Vec<PendingFile>,
    /// What happens to files in which nothing is found although they have some bytes.
    pub(crate) on_empty: OnEmpty,
    pub(crate) options: Options,
    pub(crate) run: i64,
    pub(crate) transform_version: String,
    pub(crate) progress: Arc<Progress>,
    /// Where files are that are objects.
    pub(crate) stores: Stores,
    /// Where the copies of files are that are gone.
    pub(crate) root: Root,
    /// What fetches them, for threads that are not its own.
    pub(crate) runtime: Handle,
}

/// How the files of an input are read, as its pipeline file says.
pub(crate) fn options(limits: &Limits, source: Option<&InputSource>) -> Options {
    let on_truncated = source.map(|source| source.on_truncated).unwrap_or_default();
    Options {
        max_record_bytes: usize::try_from(limits.max_record_bytes).unwrap_or(usize::MAX),
        on_truncated: match on_truncated {
            lake_pipeline::OnTruncated::Fail => OnTruncated::Fail,
            lake_pipeline::OnTruncated::Reject => OnTruncated::Reject,
        },
        ..Options::default()
    }
}

/// What reading has found out so far.
#[derive(Debug, Default)]
pub(crate) struct Yielded {
    pub(crate) files: Vec<FileRecord>,
    pub(crate) reasons: ReasonCounts,
    pub(crate) warned: u64,
    pub(crate) warnings: Vec<String>,
    /// The first thing that made reading impossible.
    pub(crate) error: Option<RunError>,
    /// How many files have nothing in them yet.
    empty: usize,
    /// What became of rejected rows that are read once more.
    pub(crate) replayed: Replayed,
}

/// What became of rejected rows that are read once more.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// How many were read.
    pub(crate) rows: usize,
    /// Those that pass now.
    pub(crate) resolved: Vec<String>,
}

/// How many batches of rejected rows may wait for their writer.
const WAITING_REJECTIONS: usize = 4;

impl InputReader {
    /// A reader of an input's files, and the stream of what it will reject.
    ///
    /// # Errors
    /// Fails where the declaration names something that does not exist, such as a time zone.
    pub(crate) fn new(
        declared: &InputDeclaration,
        checks: Checks,
        schema: SchemaRef,
        reading: Reading,
    ) -> Result<(Arc<Self>, mpsc::Receiver<RecordBatch>)> {
        let (sender, receiver) = mpsc::channel(WAITING_REJECTIONS);
        let mut layout = layout::layout(declared)?;
        // What was kept of rejected rows is UTF-8, whatever their file was.
        if reading.files.iter().any(|file| file.excerpt().is_some()) {
            layout.encoding = lake_reader::Encoding::Utf8;
        }
        let reader = Self {
            name: declared.name.clone(),
            layout,
            from_path: PathColumns::of(declared)?,
            checks,
            schema,
            reading,
            begun: AtomicBool::new(false),
            rejections: Mutex::new(Some(sender)),
            yielded: Mutex::default(),
        };
        Ok((Arc::new(reader), receiver))
    }

    /// The input's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Rejects rows without a key, which the SQL of tables says; before anything is read.
    pub(crate) fn reject_null_keys(&self, rules: Vec<KeyRule>) {
        self.checks.reject_null_keys(rules);
    }

    /// Ends the stream of rejections, whoever has read what.
    pub(crate) fn close(&self) {
        lock(&self.rejections).take();
    }

    /// What made reading impossible: the cause of whatever failed behind it.
    pub(crate) fn take_error(&self) -> Option<RunError> {
        lock(&self.yielded).error.take()
    }

    /// What reading has found out.
    pub(crate) fn yielded(&self) -> Yielded {
        std::mem::take(&mut *lock(&self.yielded))
    }

    /// Whether every file has been read to its end.
    pub(crate) fn is_complete(&self) -> bool {
        let yielded = lock(&self.yielded);
        let done = yielded.files.len() + yielded.empty + yielded.replayed.rows;
        yielded.error.is_none() && done == self.reading.files.len()
    }
}

/// A thread that panicked has failed the query; what it left behind is still consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
