//! Reading a file from start to end on one thread.

use std::io::{self, Read};
use std::sync::Arc;

use crate::binding::{Binding, Block};
use crate::chunks::{Chunks, Options};
use crate::column::Column;
use crate::header::{Header, HeaderError, Warning};

/// The blocks of one file, in order.
///
/// It is an iterator of blocks; after an error there are no more.
#[derive(Debug)]
pub struct Reader<R> {
    chunks: Chunks<R>,
    header: Header,
    binding: Binding,
    warnings: Vec<Warning>,
    counters: Counters,
}

/// What a [`Reader`] has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// The records after the header. Each is one row.
    pub rows: u64,
    /// Those of them that have at least one fault.
    pub faulty_rows: u64,
    /// The bytes of the file, header and line ends included.
    pub bytes: u64,
}

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("reading failed at byte {offset}")]
    Io {
        /// How many bytes of the file had been read.
        offset: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The header and the declared columns do not go together.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl<R: Read> Reader<R> {
    /// Reads the header and binds the declared columns to it.
    ///
    /// # Errors
    ///
    /// Fails if the source does, or as [`Header::read`] and [`Binding::new`] do.
    pub fn open(
        source: R,
        columns: impl Into<Arc<[Column]>>,
        options: Options,
    ) -> Result<Self, ReadError> {
        let mut chunks = Chunks::new(source, options);
        let header = Header::read(&mut chunks)?;
        let (binding, warnings) = Binding::new(&header, columns)?;
        let counters = Counters {
            bytes: chunks.offset(),
            ..Counters::default()
        };
        Ok(Self {
            chunks,
            header,
            binding,
            warnings,
            counters,
        })
    }

    /// The header of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How the declared columns are found in the file.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// What is odd about the header, but does not stop anything.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What has been read so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = match self.chunks.next()? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        let block = self.binding.parse(chunk);
        self.counters.rows += block.batch.num_rows() as u64;
        self.counters.faulty_rows += block.faulty_rows() as u64;
        self.counters.bytes = self.chunks.offset();
        Some(Ok(block))
    }
}
