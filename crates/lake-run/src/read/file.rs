//! A file that is being read by any number of threads, and what reading it has yielded.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use lake_pipeline::OnEmpty;
use lake_reader::{Block, HeaderError, Ranges, ReadError, Reader, Source};
use tokio::sync::mpsc;

use super::hashing::Hashing;
use super::pass::Pass;
use super::stored::Stored;
use super::{InputReader, lock};
use crate::check::ReasonCounts;
use crate::discover::{Content, Excerpt, PendingFile, is_unchanged};
use crate::error::{Result, RunError};
use crate::raw::RawFile;
use crate::record::FileRecord;
use crate::reject::{Origin, rejection_batch};

/// A file of an input that is being read.
#[derive(Debug)]
pub(super) struct OpenFile {
    pending: PendingFile,
    name: String,
    /// The name as the one value of a dictionary.
    names: ArrayRef,
    bytes: Hashing,
    reader: Reader,
    /// The values of the columns that come from the path, one each.
    from_path: Vec<ArrayRef>,
    progress: Mutex<Progress>,
}

/// Where the rows go that one thread reads.
pub(super) struct Outlet<'a> {
    /// Takes accepted rows, and answers whether more are wanted.
    pub(super) accepted: &'a mut dyn FnMut(RecordBatch) -> bool,
    /// Takes rejected rows, in the pass that is kept.
    pub(super) rejections: Option<mpsc::Sender<RecordBatch>>,
}

/// How far a file has been read.
#[derive(Debug, Default)]
struct Progress {
    /// How many threads are reading it.
    threads: usize,
    /// Whether all of it is taken by some thread.
    exhausted: bool,
    /// Whether a thread went away before the end of the file.
    abandoned: bool,
    found: FileYield,
}

/// What a file has yielded so far.
#[derive(Debug, Default)]
struct FileYield {
    rows: i64,
    accepted: i64,
    rejected: i64,
    warned: u64,
    reasons: ReasonCounts,
}

/// How a thread leaves a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// There is nothing more to read in it.
    AtEnd,
    /// Nobody wants its rows any more.
    Early,
}

impl OpenFile {
    /// Opens a file; `None` where there is nothing in it, of which the input is told if that
    /// `is_kept`.
    pub(super) fn open(
        input: &InputReader,
        pending: &PendingFile,
        is_kept: bool,
    ) -> Result<Option<Self>> {
        let reading = &input.reading;
        let name = pending.name();
        let progress = Arc::clone(&reading.progress);
        let bytes = match &pending.content {
            Content::File => {
                let file = RawFile::at(&reading.stores, &pending.path)?;
                let runtime = reading.runtime.clone();
                Hashing::new(file.source(&pending.stat(), runtime), progress)
            }
            Content::Copy(copy) => {
                let copy = Stored::copy(&reading.root, copy, reading.runtime.clone());
                Hashing::new(Box::new(copy), progress)
            }
            Content::Excerpt(excerpt) => {
                Hashing::new(Box::new(OneRecord(Arc::clone(excerpt))), progress)
            }
        };
        // It was rejected before, and is not lost.
        let stays_rejected = |error: &dyn std::fmt::Display| {
            tracing::debug!(file = name, %error, "a rejected row cannot be read");
            if is_kept {
                lock(&input.yielded).replayed.rows += 1;
            }
            Ok(None)
        };
        let from_path = match input.from_path.values(pending) {
            Err(error) if pending.excerpt().is_some() => return stays_rejected(&error),
            values => values?,
        };
        let reader = match Reader::open(&bytes, &input.layout, reading.options) {
            Ok(reader) => reader,
            Err(error) if pending.excerpt().is_some() => return stays_rejected(&error),
            Err(ReadError::Header(HeaderError::Empty)) => {
                if is_kept {
                    found_empty(input, pending, &bytes)?;
                }
                return Ok(None);
            }
            Err(error) => return Err(failed(pending, &error)),
        };
        Ok(Some(Self {
            from_path,
            pending: pending.clone(),
            names: Arc::new(StringArray::from(vec![name.as_str()])),
            name,
            bytes,
            reader,
            progress: Mutex::default(),
        }))
    }

    /// How many threads are reading the file; `None` where it needs no more of them.
    pub(super) fn helpers(&self) -> Option<usize> {
        let progress = lock(&self.progress);
        let is_shared = !progress.exhausted && self.pending.excerpt().is_none();
        is_shared.then_some(progress.threads)
    }

    /// Reads blocks until there is none left, nobody wants them, or the pass is stopped.
    ///
    /// Whoever leaves the file last, and with it read to its end, tells the input what it has
    /// yielded.
    pub(super) fn read(&self, pass: &Pass, outlet: &mut Outlet<'_>) -> Result<Left> {
        let Some(visit) = Visit::begin(self) else {
            return Ok(Left::AtEnd);
        };
        if let Some(excerpt) = self.pending.excerpt() {
            let left = self.replay(pass, excerpt, outlet);
            visit.end();
            return left;
        }
        while let Some(block) = self.reader.next_block() {
            let block = block.map_err(|error| failed(&self.pending, &error))?;
            if pass.is_stopped() || !self.take(&pass.input, &block, outlet)? {
                return Ok(Left::Early);
            }
        }
        if visit.end() {
            self.finish(&pass.input, pass.is_kept)?;
        }
        Ok(Left::AtEnd)
    }

    /// Reads the one record of an excerpt: it passes now, or stays the rejected row that it is.
    fn replay(&self, pass: &Pass, excerpt: &Excerpt, outlet: &mut Outlet<'_>) -> Result<Left> {
        let input = &pass.input;
        let mut blocks = Vec::new();
        while let Some(block) = self.reader.next_block() {
            match block {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    tracing::debug!(file = self.name, %error, "a rejected row cannot be read");
                    blocks.clear();
                    break;
                }
            }
        }
        blocks.retain(|block| !block.lines.is_empty());
        let mut accepted = None;
        // What is more than one record now, is another one than was rejected.
        if let [block] = blocks.as_slice()
            && block.lines.len() == 1
        {
            let rows = self.rows(input, block)?;
            let checked = input.checks.split(block, rows, &self.name)?;
            accepted = Some(checked.accepted).filter(|rows| rows.num_rows() == 1);
        }
        if pass.is_kept {
            input.reading.progress.note_rows(1);
            let replayed = &mut lock(&input.yielded).replayed;
            replayed.rows += 1;
            if accepted.is_some() {
                replayed.resolved.push(excerpt.row_id.clone());
            }
        }
        let wants_more = accepted.is_none_or(|rows| (outlet.accepted)(rows));
        Ok(if wants_more { Left::AtEnd } else { Left::Early })
    }

    /// Splits a block into accepted and rejected rows; whether more are wanted.
    fn take(&self, input: &InputReader, block: &Block, outlet: &mut Outlet<'_>) -> Result<bool> {
        let rows = self.rows(input, block)?;
        let checked = input.checks.split(block, rows, &self.name)?;
        {
            let mut progress = lock(&self.progress);
            let found = &mut progress.found;
            input.reading.progress.note_rows(block.lines.len() as u64);
            found.rows += block.lines.len() as i64;
            found.accepted += checked.accepted.num_rows() as i64;
            found.rejected += checked.rejected.len() as i64;
            found.warned += checked.warned.values().sum::<u64>();
            for reason in checked.rejected.values().flatten() {
                found.reasons.note(reason);
            }
        }
        if let Some(rejections) = &outlet.rejections
            && !checked.rejected.is_empty()
        {
            let origin = Origin {
                input: &input.name,
                file: &self.name,
                received_at: self.pending.received_at,
                run: input.reading.run,
                transform_version: &input.reading.transform_version,
            };
            let batch = rejection_batch(block, &checked.rejected, &origin)?;
            if rejections.blocking_send(batch).is_err() {
                return Ok(false);
            }
        }
        Ok(checked.accepted.num_rows() == 0 || (outlet.accepted)(checked.accepted))
    }

    /// A block's columns and the system columns.
    fn rows(&self, input: &InputReader, block: &Block) -> Result<RecordBatch> {
        let count = block.batch.num_rows();
        let received = TimestampMicrosecondArray::from_value(self.pending.received_at, count)
            .with_timezone("UTC");
        let failed = |e: arrow::error::ArrowError| RunError::sql(&input.name, &e.into());
        let names = Int32Array::from_value(0, count);
        let names = DictionaryArray::<Int32Type>::try_new(names, Arc::clone(&self.names))
            .map_err(failed)?;
        let mut columns = input
            .from_path
            .beside(block.batch.columns(), &self.from_path, count);
        columns.push(Arc::new(received));
        columns.push(Arc::new(names));
        columns.push(match self.pending.excerpt() {
            None => Arc::new(block.lines.clone()),
            Some(excerpt) => Arc::new(Int64Array::from_value(excerpt.line, count)),
        });
        RecordBatch::try_new(Arc::clone(&input.schema), columns).map_err(failed)
    }

    /// Looks at the file once more, and tells the input what it has yielded, if that is kept.
    fn finish(&self, input: &InputReader, is_kept: bool) -> Result<()> {
        let hash = is_kept.then(|| self.bytes.hash(self.pending.size));
        let hash = hash.transpose().map_err(|e| io_error(&self.pending, e))?;
        refuse_changed(input, &self.pending, hash.as_deref())?;
        let Some(hash) = hash else {
            return Ok(());
        };
        let found = std::mem::take(&mut lock(&self.progress).found);
        let warnings = self.reader.warnings().into_iter();
        let warnings = warnings.map(|warning| format!("{}: {warning}", self.name));
        let mut yielded = lock(&input.yielded);
        yielded.warnings.extend(warnings);
        yielded.reasons.add(found.reasons);
        yielded.warned += found.warned;
        yielded.files.push(FileRecord {
            rows: found.rows,
            accepted: found.accepted,
            rejected: found.rejected,
            header: self.reader.header().to_owned(),
            ..record(input, &self.pending, hash)
        });
        Ok(())
    }
}

/// The bytes of an excerpt.
#[derive(Debug)]
struct OneRecord(Arc<Excerpt>);

impl Source for OneRecord {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.bytes.clone())))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        // Rows of such files are not replayed.
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// A thread that is reading a file. One that does not say that it is at the end has left early,
/// however that came about.
struct Visit<'a>(&'a OpenFile);

impl<'a> Visit<'a> {
    /// `None` where there is nothing left to read.
    fn begin(file: &'a OpenFile) -> Option<Self> {
        let mut progress = lock(&file.progress);
        if progress.exhausted {
            return None;
        }
        progress.threads += 1;
        Some(Self(file))
    }

    /// Leaves the file at its end; whether all of it is read, and nobody else is in it. That is
    /// so for one thread only, because nobody enters a file that is exhausted.
    fn end(self) -> bool {
        let file = self.0;
        std::mem::forget(self);
        let mut progress = lock(&file.progress);
        progress.threads -= 1;
        progress.exhausted = true;
        progress.threads == 0 && !progress.abandoned
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut progress = lock(&self.0.progress);
        progress.threads -= 1;
        progress.abandoned = true;
    }
}

/// Takes note of a file in which nothing is.
fn found_empty(input: &InputReader, pending: &PendingFile, bytes: &Hashing) -> Result<()> {
    let hash = bytes.hash(pending.size);
    let hash = hash.map_err(|e| io_error(pending, e))?;
    refuse_changed(input, pending, Some(&hash))?;
    let mut yielded = lock(&input.yielded);
    match input.reading.on_empty {
        OnEmpty::Wait => {
            yielded.empty += 1;
            yielded.warnings.push(format!(
                "{}: the file is empty; it stays pending until there is something in it",
                pending.name()
            ));
        }
        OnEmpty::Load => yielded.files.push(record(input, pending, hash)),
        OnEmpty::Fail => {
            return Err(RunError::Input {
                place: pending.name(),
                message: "there is nothing in the file, and on_empty is fail; mend or remove it; \
                          nothing was published"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// What is remembered of a file without rows.
fn record(input: &InputReader, pending: &PendingFile, hash: String) -> FileRecord {
    FileRecord {
        input: input.name.clone(),
        path: pending.name(),
        size: pending.size as i64,
        modified: pending.modified,
        received_at: pending.received_at,
        hash,
        run: input.reading.run,
        rows: 0,
        accepted: 0,
        rejected: 0,
        header: String::new(),
        skipped: false,
        etag: pending.etag.clone(),
    }
}

/// Fails for a file that is not what was discovered, and for a copy that is not what was copied.
fn refuse_changed(input: &InputReader, file: &PendingFile, hash: Option<&str>) -> Result<()> {
    if let (Some(copy), Some(hash)) = (file.copy(), hash)
        && copy.hash != hash
    {
        return Err(RunError::Input {
            place: place(file),
            message: format!(
                "it is not what was copied; nothing was published; {HOW_TO_DO_WITHOUT}"
            ),
        });
    }
    let reading = &input.reading;
    match is_unchanged(file, &reading.stores, &reading.runtime)? {
        true => Ok(()),
        false => Err(RunError::changed_while_read(&file.name())),
    }
}

/// What to do about a copy that is of no use.
const HOW_TO_DO_WITHOUT: &str = "bring the file back, or its copy from a backup, or set the file \
                                 aside with `lake skip`";

/// What messages call the place where the bytes of a file are.
fn place(file: &PendingFile) -> String {
    match file.copy() {
        Some(copy) => format!("{} (its copy {})", file.name(), copy.copy),
        None => file.name(),
    }
}

fn io_error(file: &PendingFile, source: io::Error) -> RunError {
    RunError::Io {
        path: file.path.clone().into(),
        source,
    }
}

fn failed(file: &PendingFile, error: &ReadError) -> RunError {
    let mut message = error_chain(error);
    if let (ReadError::Io { .. }, Some(_)) = (error, file.copy()) {
        message = format!("{message}; {HOW_TO_DO_WITHOUT}");
    }
    RunError::Input {
        place: place(file),
        message,
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
