//! Apache Parquet: rows that are stored by column, with types.
//!
//! ```text
//!  footer ──► Binding ──► Stretch (rows of one row group) ──► RecordBatch ──► Block
//!         (declared columns        (any thread takes one, reads      (any thread: values of
//!          to the file's)           a batch, and puts it back)        the declared types)
//! ```
//!
//! A value becomes the declared type exactly or is a fault: whole numbers of any width, decimals
//! of any precision, timestamps of any unit, and texts, which are parsed as they would be in any
//! other format. Which types go together is said in one place, [`convert`].

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};

use crate::block::Block;
use crate::chunk::Options;
use crate::layout::Layout;
use crate::mismatch::Warning;
use crate::reader::{Opened, Pieces, ReadError};
use crate::source::Ranges;

mod binding;
mod cells;
mod columns;
mod convert;
mod file;
mod place;
mod raw;
mod shape;
mod size;
mod table;
mod value;

use binding::Binding;
pub use columns::parquet_columns;
use file::{Footer, Stored, footer, guarded};
pub(crate) use table::Table;

/// How many rows one thread reads in order. A row group is at least one stretch; where it is
/// longer, several threads share it, and each reads its dictionaries again.
const STRETCH_ROWS: u64 = 1 << 17;

/// A block has at most so many rows, however small they are.
const BLOCK_ROWS: u64 = 1 << 14;

/// Reads the footer and binds the declared columns to it.
pub(crate) fn open(
    ranges: Box<dyn Ranges>,
    layout: &Layout,
    options: Options,
) -> Result<Opened, ReadError> {
    let stored = Stored::new(ranges).map_err(|source| ReadError::Io { offset: 0, source })?;
    let footer = footer(&stored)?;
    let metadata = &footer.metadata;
    let binding = Binding::new(metadata.schema(), layout, options)?;
    Ok(Opened {
        schema: Arc::clone(binding.schema()),
        header: String::new(),
        pieces: Box::new(RowGroups {
            chunk_bytes: options.within_bounds().chunk_bytes as u64,
            mask: ProjectionMask::leaves(metadata.parquet_schema(), binding.leaves()),
            stored,
            footer,
            binding,
            state: Mutex::default(),
            changed: Condvar::new(),
        }),
    })
}

/// The row groups of a file, while they are being read.
struct RowGroups {
    stored: Stored,
    footer: Footer,
    binding: Binding,
    mask: ProjectionMask,
    chunk_bytes: u64,
    state: Mutex<State>,
    /// A stretch was put back, or is at its end.
    changed: Condvar,
}

/// Which rows nobody has read yet.
#[derive(Debug, Default)]
struct State {
    /// The row group of the next stretch, and the row in it.
    next: (usize, u64),
    /// Stretches that nobody is reading right now.
    waiting: Vec<Stretch>,
    /// How many are being read right now.
    taken: usize,
    failed: bool,
}

/// Rows of one row group that are read in order.
struct Stretch {
    row_group: usize,
    /// Where in the file the row group starts.
    offset: u64,
    /// The row of the file that is next, counted from 0.
    next_row: u64,
    /// The one after the last.
    end_row: u64,
    /// None until the first batch is read.
    reader: Option<ParquetRecordBatchReader>,
    /// Which rows of the row group they are: the first, and how many.
    rows: (u64, u64),
    /// Rows that were read and are too many for one block.
    rest: Option<RecordBatch>,
}

impl fmt::Debug for RowGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowGroups")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stretch")
            .field("row_group", &self.row_group)
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

/// Rows as the file has them, and where they are in it.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// The first of them, counted from 0.
    pub(crate) first: u64,
    /// Where in the file their row group starts.
    pub(crate) offset: u64,
}

impl Pieces for RowGroups {
    fn next_block(&self) -> Option<Result<Block, ReadError>> {
        while let Some(mut stretch) = self.take() {
            let rows = self.next_rows(&mut stretch);
            let mut state = self.lock();
            state.taken -= 1;
            match &rows {
                Ok(Some(_)) => state.waiting.push(stretch),
                Ok(None) => {}
                Err(_) => state.failed = true,
            }
            drop(state);
            self.changed.notify_all();
            match rows {
                Ok(Some(rows)) => return Some(Ok(self.binding.block(rows))),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn warnings(&self) -> Vec<Warning> {
        self.binding.warnings().to_vec()
    }
}

impl RowGroups {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stretch to go on with. Where all are being read, it waits for one: none is left only when
    /// all rows are read, or somebody has failed.
    fn take(&self) -> Option<Stretch> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            let stretch = self.next_stretch(&mut state);
            if let Some(stretch) = stretch.or_else(|| state.waiting.pop()) {
                state.taken += 1;
                return Some(stretch);
            }
            if state.taken == 0 {
                return None;
            }
            let changed = self.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next stretch that nobody has begun, unless enough of them are open.
    fn next_stretch(&self, state: &mut State) -> Option<Stretch> {
        if !state.waiting.is_empty() {
            return None;
        }
        loop {
            let (index, first) = state.next;
            let row_group = self.footer.row_groups.get(index)?;
            if first >= row_group.rows {
                state.next = (index + 1, 0);
                continue;
            }
            let count = STRETCH_ROWS.min(row_group.rows - first);
            state.next = (index, first + count);
            return Some(Stretch {
                row_group: index,
                offset: row_group.offset,
                next_row: row_group.first_row + first,
                end_row: row_group.first_row + first + count,
                reader: None,
                rows: (first, count),
                rest: None,
            });
        }
    }

    /// The next rows of a stretch; none at its end.
    fn next_rows(&self, stretch: &mut Stretch) -> Result<Option<Rows>, ReadError> {
        let all = self.footer.row_groups.len();
        let part = format!("row group {} of {all}", stretch.row_group + 1);
        let batch = match stretch.rest.take() {
            Some(rest) => Some(rest),
            None => guarded(&part, stretch.offset, || {
                let mut reader = match stretch.reader.take() {
                    Some(reader) => reader,
                    None => self.reader(stretch)?,
                };
                let batch = reader.next().transpose();
                stretch.reader = Some(reader);
                Ok(batch?)
            })?,
        };
        let Some(batch) = batch else {
            return match stretch.end_row - stretch.next_row {
                0 => Ok(None),
                missing => Err(ReadError::Parquet {
                    part,
                    reason: format!("{missing} of its rows are missing"),
                }),
            };
        };
        let (batch, rest) = size::split(batch);
        stretch.rest = rest;
        let first = stretch.next_row;
        stretch.next_row += batch.num_rows() as u64;
        Ok(Some(Rows {
            batch,
            first,
            offset: stretch.offset,
        }))
    }

    /// A reader of the rows of a stretch.
    fn reader(
        &self,
        stretch: &Stretch,
    ) -> Result<ParquetRecordBatchReader, parquet::errors::ParquetError> {
        let (first, count) = stretch.rows;
        let skipped = RowSelector::skip(first as usize);
        let selected = RowSelector::select(count as usize);
        ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.stored.clone(),
            self.footer.metadata.clone(),
        )
        .with_row_groups(vec![stretch.row_group])
        .with_projection(self.mask.clone())
        .with_row_selection(RowSelection::from(vec![skipped, selected]))
        .with_batch_size(self.batch_rows(stretch.row_group))
        .build()
    }

    /// How many rows of a row group make about one block.
    fn batch_rows(&self, row_group: usize) -> usize {
        let row_group = self.footer.metadata.metadata().row_group(row_group);
        let bytes: i64 = row_group
            .columns()
            .iter()
            .enumerate()
            .filter(|(leaf, _)| self.mask.leaf_included(*leaf))
            .map(|(_, column)| column.uncompressed_size())
            .fold(0, i64::saturating_add);
        let rows = u64::try_from(row_group.num_rows()).unwrap_or(0).max(1);
        let bytes_per_row = (u64::try_from(bytes).unwrap_or(0) / rows).max(1);
        (self.chunk_bytes / bytes_per_row).clamp(1, BLOCK_ROWS) as usize
    }
}
