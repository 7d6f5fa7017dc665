//! Read: pending files become batches of accepted rows, and rejected rows with their reasons.
//!
//! Files are read on threads of their own, one per stream of the query that
//! consumes them: bytes, records, values and checks in one pass, while the rows
//! are hot. Accepted rows go to the query, rejected ones to their table.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use lake_pipeline::OnEmpty;
use lake_plugin::{ColumnType, InputDeclaration};
use lake_reader::{
    Block, Column, HeaderError, Layout, LocalFile, Options, ReadError, Reader, Source,
};
use tokio::sync::mpsc;

use crate::check::{Checks, ReasonCounts};
use crate::discover::{PendingFile, is_unchanged};
use crate::error::{Result, RunError};
use crate::key_rules::KeyRule;
use crate::record::FileRecord;
use crate::reject::{Origin, rejection_batch};

/// One input of a run: its pending files, and what reading them has yielded.
#[derive(Debug)]
pub(crate) struct InputReader {
    name: String,
    columns: Arc<[Column]>,
    checks: Checks,
    schema: SchemaRef,
    files: Vec<PendingFile>,
    on_empty: OnEmpty,
    run: i64,
    transform_version: String,
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
/// How many batches of accepted rows may wait for the query, per stream.
const WAITING_ROWS: usize = 2;

impl InputReader {
    /// A reader of `files`, and the stream of what it will reject. `on_empty` is for files in which
    /// nothing is found although they have some bytes.
    pub(crate) fn new(
        declared: &InputDeclaration,
        checks: Checks,
        schema: SchemaRef,
        (files, on_empty): (Vec<PendingFile>, OnEmpty),
        origin: (i64, String),
    ) -> (Arc<Self>, mpsc::Receiver<RecordBatch>) {
        let (sender, receiver) = mpsc::channel(WAITING_REJECTIONS);
        let reader = Self {
            name: declared.name.clone(),
            columns: declared.columns.iter().map(reader_column).collect(),
            checks,
            schema,
            files,
            on_empty,
            run: origin.0,
            transform_version: origin.1,
            rejections: Mutex::new(Some(sender)),
            yielded: Mutex::default(),
        };
        (Arc::new(reader), receiver)
    }

    /// The input's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Rejects rows without a key, which the SQL of tables says; before anything is read.
    pub(crate) fn reject_null_keys(&self, rules: Vec<KeyRule>) {
        self.checks.reject_null_keys(rules);
    }

    /// The accepted rows as a table that can be scanned once, in at most
    /// `streams` streams.
    pub(crate) fn table(self: &Arc<Self>, streams: usize) -> Result<StreamingTable> {
        let count = streams.min(self.files.len()).max(1);
        let parts = (0..count)
            .map(|n| {
                Arc::new(FileStream {
                    reader: Arc::clone(self),
                    files: (n..self.files.len()).step_by(count).collect(),
                    begun: Mutex::new(false),
                }) as Arc<dyn PartitionStream>
            })
            .collect();
        StreamingTable::try_new(Arc::clone(&self.schema), parts)
            .map_err(|e| RunError::sql(&self.name, &e))
    }

    /// Ends the stream of rejections, whoever has read what.
    pub(crate) fn close(&self) {
        self.rejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// What made reading impossible: the cause of whatever failed behind it.
    pub(crate) fn take_error(&self) -> Option<RunError> {
        self.lock().error.take()
    }

    /// What reading has found out.
    pub(crate) fn yielded(&self) -> Yielded {
        std::mem::take(&mut *self.lock())
    }

    /// Whether every file has been read to its end.
    pub(crate) fn is_complete(&self) -> bool {
        let yielded = self.lock();
        yielded.error.is_none() && yielded.files.len() + yielded.empty == self.files.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Yielded> {
        self.yielded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one file; whether there is anybody left who wants the next one.
    /// `emit` takes accepted rows and answers that; without `effects` nothing
    /// else is kept.
    fn read_file(
        &self,
        index: usize,
        effects: Option<&mpsc::Sender<RecordBatch>>,
        emit: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<bool> {
        let Some(file) = self.files.get(index) else {
            return Ok(true);
        };
        let name = file.name();
        let failed = |message: String| RunError::Input {
            place: name.clone(),
            message,
        };
        let hashing = Hashing {
            file: LocalFile(file.path.clone()),
            hasher: Arc::default(),
        };
        let layout = Layout::csv(Arc::clone(&self.columns));
        let reader = match Reader::open(&hashing, &layout, Options::default()) {
            Ok(reader) => reader,
            Err(ReadError::Header(HeaderError::Empty)) => {
                if effects.is_some() {
                    self.found_empty(file, &lock(&hashing.hasher))?;
                }
                return Ok(true);
            }
            Err(error) => return Err(failed(error_chain(&error))),
        };
        let file_name: ArrayRef = Arc::new(StringArray::from(vec![name.as_str()]));
        let mut found = FileYield::default();
        while let Some(block) = reader.next_block() {
            let block = block.map_err(|error| failed(error_chain(&error)))?;
            let rows = self.rows(&block, &file_name, file.received_at)?;
            let checked = self.checks.split(&block, rows, &name)?;
            found.rows += block.batch.num_rows() as i64;
            found.accepted += checked.accepted.num_rows() as i64;
            found.rejected += checked.rejected.len() as i64;
            found.warned += checked.warned.values().sum::<u64>();
            if let Some(rejections) = effects
                && !checked.rejected.is_empty()
            {
                checked
                    .rejected
                    .values()
                    .flatten()
                    .for_each(|reason| found.reasons.note(reason));
                let origin = Origin {
                    input: &self.name,
                    file: &name,
                    received_at: file.received_at,
                    run: self.run,
                    transform_version: &self.transform_version,
                };
                let batch = rejection_batch(&block, &checked.rejected, &origin)?;
                if rejections.blocking_send(batch).is_err() {
                    return Ok(false);
                }
            }
            if checked.accepted.num_rows() > 0 && !emit(checked.accepted) {
                return Ok(false);
            }
        }
        refuse_changed(file)?;
        if effects.is_none() {
            return Ok(true);
        }
        let header = reader.header().to_owned();
        let warnings = reader.warnings();
        let warnings = warnings.iter().map(|warning| format!("{name}: {warning}"));
        let mut yielded = self.lock();
        yielded.warnings.extend(warnings);
        yielded.reasons.add(found.reasons);
        yielded.warned += found.warned;
        yielded.files.push(FileRecord {
            input: self.name.clone(),
            size: file.size as i64,
            modified: file.modified,
            hash: lock(&hashing.hasher).finalize().to_hex().to_string(),
            run: self.run,
            rows: found.rows,
            accepted: found.accepted,
            rejected: found.rejected,
            header,
            path: name,
        });
        Ok(true)
    }

    /// Takes note of a file in which nothing is.
    fn found_empty(&self, file: &PendingFile, hasher: &blake3::Hasher) -> Result<()> {
        refuse_changed(file)?;
        let name = file.name();
        let mut yielded = self.lock();
        match self.on_empty {
            OnEmpty::Wait => {
                yielded.empty += 1;
                yielded.warnings.push(format!(
                    "{name}: the file is empty; it stays pending until there is something in it"
                ));
            }
            OnEmpty::Load => yielded.files.push(FileRecord {
                input: self.name.clone(),
                size: file.size as i64,
                modified: file.modified,
                hash: hasher.finalize().to_hex().to_string(),
                run: self.run,
                rows: 0,
                accepted: 0,
                rejected: 0,
                header: String::new(),
                path: name,
            }),
            OnEmpty::Fail => {
                return Err(RunError::Input {
                    place: name,
                    message: "there is nothing in the file, and on_empty is fail; mend or remove \
                              it; nothing was published"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// A block's columns and the system columns.
    fn rows(&self, block: &Block, file: &ArrayRef, received_at: i64) -> Result<RecordBatch> {
        let count = block.batch.num_rows();
        let received =
            TimestampMicrosecondArray::from_value(received_at, count).with_timezone("UTC");
        let failed = |e: arrow::error::ArrowError| RunError::sql(&self.name, &e.into());
        let names = Int32Array::from_value(0, count);
        let names =
            DictionaryArray::<Int32Type>::try_new(names, Arc::clone(file)).map_err(failed)?;
        let mut columns = block.batch.columns().to_vec();
        columns.push(Arc::new(received));
        columns.push(Arc::new(names));
        columns.push(Arc::new(block.lines.clone()));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)
    }
}

/// Fails for a file that is not what was discovered.
fn refuse_changed(file: &PendingFile) -> Result<()> {
    if is_unchanged(file)? {
        return Ok(());
    }
    Err(RunError::Input {
        place: file.name(),
        message: "the file changed while it was read; nothing was published; \
                  run again when its writer has finished"
            .to_owned(),
    })
}

/// What one file has yielded so far.
#[derive(Default)]
struct FileYield {
    rows: i64,
    accepted: i64,
    rejected: i64,
    warned: u64,
    reasons: ReasonCounts,
}

/// Some of an input's files, one after the other.
#[derive(Debug)]
struct FileStream {
    reader: Arc<InputReader>,
    files: Vec<usize>,
    /// A query may scan an input twice. Its rows are read again then; what
    /// else reading yields is kept once.
    begun: Mutex<bool>,
}

impl PartitionStream for FileStream {
    fn schema(&self) -> &SchemaRef {
        &self.reader.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let again = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *begun, true)
        };
        let effects = if again {
            None
        } else {
            let rejections = self.reader.rejections.lock();
            rejections.unwrap_or_else(PoisonError::into_inner).clone()
        };
        let mut stream =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.reader.schema), WAITING_ROWS);
        let rows = stream.tx();
        let reader = Arc::clone(&self.reader);
        let files = self.files.clone();
        stream.spawn_blocking(move || {
            let mut emit = |batch| rows.blocking_send(Ok(batch)).is_ok();
            for index in files {
                match reader.read_file(index, effects.as_ref(), &mut emit) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let message = error.to_string();
                        reader.lock().error.get_or_insert(error);
                        return Err(DataFusionError::Execution(message));
                    }
                }
            }
            Ok(())
        });
        stream.build()
    }
}

/// Hashes what passes through: a file's identity costs no second reading.
#[derive(Debug)]
struct Hashing {
    file: LocalFile,
    hasher: Arc<Mutex<blake3::Hasher>>,
}

impl Source for Hashing {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Hashed {
            stream: self.file.stream()?,
            hasher: Arc::clone(&self.hasher),
        }))
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.file.read_at(offset, length)
    }
}

/// The bytes of a file, and a hasher that sees them.
struct Hashed {
    stream: Box<dyn Read + Send>,
    hasher: Arc<Mutex<blake3::Hasher>>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        lock(&self.hasher).update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reader_column(declared: &lake_plugin::ColumnDeclaration) -> Column {
    use lake_reader::ColumnType as Read;
    let data_type = match declared.column_type {
        ColumnType::Text => Read::Text,
        ColumnType::Boolean => Read::Boolean,
        ColumnType::Int32 => Read::Int32,
        // Microseconds; no input declares a duration, as its problems say.
        ColumnType::Int64 | ColumnType::Duration => Read::Int64,
        ColumnType::Float64 => Read::Float64,
        ColumnType::Decimal { precision, scale } => Read::Decimal { precision, scale },
        ColumnType::Date => Read::Date,
        ColumnType::Timestamp => Read::Timestamp,
    };
    let column = Column::new(&declared.name, data_type);
    if declared.required {
        column.required()
    } else {
        column
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
