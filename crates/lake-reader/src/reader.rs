//! A file that is being read, by as many threads as like.
//!
//! Finding where records end has to happen in order, and is cheap; making values of them does not,
//! and is not. So a thread takes the next piece of whole records under a lock, and parses it
//! without one.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use arrow::datatypes::SchemaRef;

use crate::block::Block;
use crate::chunk::{Chunk, Options};
use crate::delimited;
use crate::json;
use crate::layout::{Format, Layout};
use crate::mismatch::{HeaderError, Warning};
use crate::parquet;
use crate::source::Source;
use crate::text::{EncodingError, Text};

/// The blocks of one file.
///
/// Any thread may ask for the next block. What they are, taken together, does not depend on how
/// many threads ask; with more than one, they come in any order.
#[derive(Debug)]
pub struct Reader {
    pieces: Box<dyn Pieces>,
    schema: SchemaRef,
    header: String,
}

/// What a file is read in.
pub(crate) trait Pieces: fmt::Debug + Send + Sync {
    /// The next block that no thread has taken yet; none when all are taken, and after an error.
    fn next_block(&self) -> Option<Result<Block, ReadError>>;

    /// What is odd about the file so far, and does not stop anything.
    fn warnings(&self) -> Vec<Warning>;
}

/// The part of reading that goes from the start of a file to its end.
pub(crate) trait Cut<Piece = Chunk>: fmt::Debug + Send {
    /// The next whole records; none at the end of the file, and after an error.
    fn next_chunk(&mut self) -> Result<Option<Piece>, ReadError>;

    /// What is odd about the file so far, and does not stop anything.
    fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }
}

/// The part of reading that is a pure function.
pub(crate) trait Parse<Piece = Chunk>: fmt::Debug + Send + Sync {
    /// Makes one row of each record.
    fn parse(&self, piece: Piece) -> Block;

    /// What is odd about the file so far, and does not stop anything.
    fn warnings(&self) -> Vec<Warning>;
}

/// Pieces that are cut under a lock, and parsed without one.
pub(crate) fn in_order<Piece: fmt::Debug + 'static>(
    cut: impl Cut<Piece> + 'static,
    parse: impl Parse<Piece> + 'static,
) -> Box<dyn Pieces> {
    Box::new(InOrder {
        cut: Mutex::new(cut),
        parse,
        piece: PhantomData,
    })
}

#[derive(Debug)]
struct InOrder<C, P, Piece> {
    cut: Mutex<C>,
    parse: P,
    piece: PhantomData<fn(Piece)>,
}

impl<Piece: fmt::Debug, C: Cut<Piece>, P: Parse<Piece>> Pieces for InOrder<C, P, Piece> {
    fn next_block(&self) -> Option<Result<Block, ReadError>> {
        let piece = {
            let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
            cut.next_chunk().transpose()?
        };
        Some(piece.map(|piece| self.parse.parse(piece)))
    }

    fn warnings(&self) -> Vec<Warning> {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let mut warnings = cut.warnings();
        warnings.extend(self.parse.warnings());
        warnings
    }
}

/// What opening a file yields.
pub(crate) struct Opened {
    pub(crate) pieces: Box<dyn Pieces>,
    pub(crate) schema: SchemaRef,
    /// The text of the header; empty where there is none.
    pub(crate) header: String,
}

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("reading failed at byte {offset}")]
    Io {
        /// How many bytes of the file's text had been read.
        offset: u64,
        /// What the source said.
        source: io::Error,
    },
    /// Compressed data stops before its end. What could be read before was delivered.
    #[error(
        "the compressed file stops at byte {stored}, before its end; its text stops at byte {text}; \
         get the whole file, or declare on_truncated: reject to go without the rest"
    )]
    Truncated {
        /// How many bytes the file has, as it is stored.
        stored: u64,
        /// How many bytes of text they are.
        text: u64,
    },
    /// Compressed data is not what was compressed.
    #[error(
        "the {compression} data of the file is damaged at byte {stored}: {reason}; \
         its text was read up to byte {text}"
    )]
    Damaged {
        /// What the file is compressed with.
        compression: &'static str,
        /// Where in the file this was noticed, counted from 0 in bytes as it is stored.
        stored: u64,
        /// How many bytes of text had been read.
        text: u64,
        /// What is wrong.
        reason: String,
    },
    /// A Parquet file cannot be read.
    #[error("the Parquet file cannot be read: {part}: {reason}; get the file again")]
    Parquet {
        /// Which part of the file.
        part: String,
        /// What is wrong.
        reason: String,
    },
    /// The file is not in the declared encoding.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The header and the declared columns do not go together.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A JSON file ends inside of something.
    #[error(
        "the {what} that opens at byte {opens} is not closed where the file ends, at byte {end}: \
         the file is cut off, or broken up to its end; load it again when it is complete, or set \
         `on_truncated: reject`"
    )]
    NotClosed {
        /// What is not closed: `array` or `record`.
        what: &'static str,
        /// The byte of the file's text at which it opens, counted from 0.
        opens: u64,
        /// How many bytes the file's text has.
        end: u64,
    },
}

impl Reader {
    /// Opens a file: reads its header, where it has one, and finds the declared columns in it.
    ///
    /// # Errors
    ///
    /// Fails if the source does, or if the file and the declared columns do not go together.
    pub fn open(source: &dyn Source, layout: &Layout, options: Options) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { offset: 0, source };
        let text = || Text::open(source, layout.encoding);
        let opened = match layout.format {
            Format::Delimited(dialect) => delimited::open(text()?, dialect, layout, options)?,
            Format::NdJson => json::open_lines(text()?, layout, options)?,
            Format::Json => json::open_elements(text()?, layout, options)?,
            Format::Parquet => parquet::open(source.ranges().map_err(failed)?, layout, options)?,
        };
        Ok(Self {
            pieces: opened.pieces,
            schema: opened.schema,
            header: opened.header,
        })
    }

    /// The schema of every [`Block::batch`]: the declared columns in the order
    /// of their declaration, all nullable.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The header's text as it is in the file, without its line end; empty where the format has
    /// none. Bytes that are not UTF-8 are escaped as by [`Block::raw`].
    pub fn header(&self) -> &str {
        &self.header
    }

    /// What is odd about the file, as far as it is read, and does not stop anything.
    pub fn warnings(&self) -> Vec<Warning> {
        self.pieces.warnings()
    }

    /// The next block that no thread has taken yet; none when all are taken, and after an error.
    pub fn next_block(&self) -> Option<Result<Block, ReadError>> {
        self.pieces.next_block()
    }
}
