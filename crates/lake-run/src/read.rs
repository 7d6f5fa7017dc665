//! Read: pending files become batches of accepted rows, and rejected rows with their reasons.
//!
//! Files are read on threads of their own, one per stream of the query that consumes them: bytes,
//! records, values and checks in one pass, while the rows are hot. Accepted rows go to the query,
//! rejected ones to their table. The threads share the work ([`pass`]): small files are read side
//! by side, and one large file by all of them.

mod file;
mod hashing;
mod layout;
mod pass;
mod table;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lake_plugin::InputDeclaration;
use lake_reader::{Layout, Options};
use tokio::sync::mpsc;

use crate::check::{Checks, ReasonCounts};
use crate::discover::PendingFile;
use crate::error::{Result, RunError};
use crate::key_rules::KeyRule;
use crate::record::FileRecord;

pub(crate) use table::InputTable;

/// One input of a run: its pending files, and what reading them has yielded.
#[derive(Debug)]
pub(crate) struct InputReader {
    name: String,
    layout: Layout,
    options: Options,
    checks: Checks,
    schema: SchemaRef,
    files: Vec<PendingFile>,
    run: i64,
    transform_version: String,
    /// Whether anybody has read the files. A query may scan an input twice; what reading yields
    /// beside accepted rows is kept once.
    begun: AtomicBool,
    rejections: Mutex<Option<mpsc::Sender<RecordBatch>>>,
    yielded: Mutex<Yielded>,
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
}

/// How many batches of rejected rows may wait for their writer.
const WAITING_REJECTIONS: usize = 4;

impl InputReader {
    /// A reader of `files`, and the stream of what it will reject.
    ///
    /// # Errors
    /// Fails where the declaration names something that does not exist, such as a time zone.
    pub(crate) fn new(
        declared: &InputDeclaration,
        checks: Checks,
        schema: SchemaRef,
        files: Vec<PendingFile>,
        origin: (i64, String),
    ) -> Result<(Arc<Self>, mpsc::Receiver<RecordBatch>)> {
        let (sender, receiver) = mpsc::channel(WAITING_REJECTIONS);
        let reader = Self {
            name: declared.name.clone(),
            layout: layout::layout(declared)?,
            options: Options::default(),
            checks,
            schema,
            files,
            run: origin.0,
            transform_version: origin.1,
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
        yielded.error.is_none() && yielded.files.len() + yielded.empty == self.files.len()
    }
}

/// A thread that panicked has failed the query; what it left behind is still consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
