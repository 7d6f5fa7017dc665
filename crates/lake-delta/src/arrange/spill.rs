//! Rows in a temporary file, bucket by bucket.
//!
//! One file holds what one stream has spilled, as segments in the Arrow IPC stream format
//! (<https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>), each with rows of one bucket.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::spill_file::{SpillFile, SpillWriter};

/// A temporary file that is being written.
pub(super) struct Spill {
    file: Arc<dyn SpillFile>,
    writer: Box<dyn SpillWriter>,
    end: u64,
}

impl fmt::Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spill")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Spill {
    pub(super) fn create(disk: &Arc<DiskManager>) -> Result<Self> {
        let file = disk.create_tmp_file("bringing rows into order")?;
        let writer = file.open_writer()?;
        Ok(Self {
            file,
            writer,
            end: 0,
        })
    }

    /// Writes a segment of `rows` rows, batch by batch.
    pub(super) fn write(
        &mut self,
        schema: &Schema,
        rows: usize,
        batches: impl Iterator<Item = Result<RecordBatch>>,
    ) -> Result<Segment> {
        let start = self.end;
        let mut counted = Counted {
            inner: &mut self.writer,
            count: 0,
        };
        let mut writer = StreamWriter::try_new(&mut counted, schema)?;
        for batch in batches {
            writer.write(&batch?)?;
        }
        writer.finish()?;
        drop(writer);
        self.end += counted.count;
        Ok(Segment {
            file: Arc::clone(&self.file),
            start,
            bytes: self.end - start,
            rows,
        })
    }
}

/// Rows of one bucket in a temporary file.
#[derive(Clone)]
pub(super) struct Segment {
    file: Arc<dyn SpillFile>,
    start: u64,
    bytes: u64,
    rows: usize,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Segment {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// About as much as its batches take in memory.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn read(&self) -> Result<StreamReader<BufReader<Take<File>>>> {
        let path = self.file.path().ok_or_else(|| {
            DataFusionError::Internal("a temporary file is not on a local disk".to_owned())
        })?;
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(StreamReader::try_new_buffered(file.take(self.bytes), None)?)
    }
}

/// Counts what is written.
struct Counted<'a> {
    inner: &'a mut Box<dyn SpillWriter>,
    count: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
