//! What reading yields: rows, and everything that is wrong with them.

use std::borrow::Cow;

use arrow::array::{Int64Array, RecordBatch};

use crate::chunk::{Chunk, Span};
use crate::fault::{Fault, escape_invalid};
use crate::parquet::Table;

/// What some records of a file are: rows, and everything that is wrong with them.
#[derive(Debug, Clone)]
pub struct Block {
    /// One row per record, in the order of the file, in the schema of
    /// [`Reader::schema`](crate::Reader::schema). A cell with a fault is NULL, and so are all cells
    /// of a record whose fields cannot be told apart.
    pub batch: RecordBatch,
    /// The physical line on which each record starts, counted from 1. In formats
    /// that have no lines, the number of the row.
    pub lines: Int64Array,
    /// Everything that is wrong, ordered by row, then by declared column. Rows
    /// that are not mentioned are good.
    pub faults: Vec<Fault>,
    pub(crate) records: Records,
}

/// The records that a block was made from.
#[derive(Debug, Clone)]
pub(crate) enum Records {
    /// Pieces of text.
    Text {
        chunk: Chunk,
        /// Where each record is.
        spans: Vec<Span>,
    },
    /// Rows of a table.
    Table(Table),
}

impl Block {
    /// The text of a record as it is in the file, without its line end. A row of a Parquet file is
    /// a JSON object of the declared columns, with the values that the file has.
    ///
    /// It is borrowed if it is valid UTF-8. Otherwise it is owned, every bad
    /// byte is written as `\xNN`, and every backslash as two. Of a record that
    /// is too long, it is the first bytes.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn raw(&self, row: usize) -> Cow<'_, str> {
        match self.raw_bytes(row) {
            Cow::Borrowed(bytes) => escape_invalid(bytes),
            Cow::Owned(bytes) => Cow::Owned(escape_invalid(&bytes).into_owned()),
        }
    }

    /// Whether [`raw`](Self::raw) has escapes, because the record is not UTF-8.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn raw_is_escaped(&self, row: usize) -> bool {
        std::str::from_utf8(&self.raw_bytes(row)).is_err()
    }

    /// The bytes that [`raw`](Self::raw) shows.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn raw_bytes(&self, row: usize) -> Cow<'_, [u8]> {
        match &self.records {
            Records::Text { chunk, spans } => {
                let Span { start, end } = spans[row];
                Cow::Borrowed(&chunk.bytes[start as usize..end as usize])
            }
            Records::Table(table) => Cow::Owned(table.raw(row)),
        }
    }

    /// Where in the file a record starts, counted from 0 in bytes: of its text, where the file is
    /// compressed or is not UTF-8. In a Parquet file, it is where the row group starts.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn byte_offset(&self, row: usize) -> u64 {
        match &self.records {
            Records::Text { chunk, spans } => chunk.offset + u64::from(spans[row].start),
            Records::Table(table) => table.offset,
        }
    }

    /// Whether the records are rows of a table, which are told apart by their
    /// [lines](Self::lines) and not by their offsets.
    pub fn is_table(&self) -> bool {
        matches!(self.records, Records::Table(_))
    }

    /// How many rows have at least one fault.
    pub fn faulty_rows(&self) -> usize {
        self.faults.chunk_by(|a, b| a.row == b.row).count()
    }
}
