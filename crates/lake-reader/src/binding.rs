//! The columns of a file bound to those that are declared, and the parsing of
//! its chunks.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StructArray};
use arrow::datatypes::{Schema, SchemaRef};

use crate::cells::{Cells, check_quotes};
use crate::chunks::Chunk;
use crate::column::Column;
use crate::fault::{Fault, escape_invalid};
use crate::header::{Header, HeaderError, Warning};
use crate::rows::{Rows, Span};

/// Which field of a record each declared column is.
///
/// It is made once per file. [`parse`](Self::parse) is a pure function of the
/// binding and a chunk, so chunks can be parsed in any order and on any thread.
#[derive(Debug, Clone)]
pub struct Binding {
    columns: Arc<[Column]>,
    /// For every declared column, its position in the file.
    positions: Vec<usize>,
    /// The positions in the file that no declared column has.
    others: Vec<usize>,
    /// How many columns the file has.
    width: usize,
    schema: SchemaRef,
}

impl Binding {
    /// Finds the declared columns in a file's header, in whatever order they
    /// are there.
    ///
    /// A name has to be the same to the letter; only spaces around it are
    /// ignored, unless a column is named with them. What the file has beyond
    /// the declared columns is a warning.
    ///
    /// # Errors
    ///
    /// Fails if a declared column is not in the header, a name is there twice,
    /// the first line does not look like a header, or a declared type cannot
    /// exist.
    pub fn new(
        header: &Header,
        columns: impl Into<Arc<[Column]>>,
    ) -> Result<(Self, Vec<Warning>), HeaderError> {
        let columns = columns.into();
        if let Some(column) = columns.iter().find(|c| !c.data_type.is_possible()) {
            return Err(HeaderError::ImpossibleType {
                column: column.name.clone(),
                data_type: column.data_type,
            });
        }
        let positions = header.positions_of(&columns)?;
        let others: Vec<usize> = (0..header.names().len())
            .filter(|position| !positions.contains(position))
            .collect();
        let warnings = others
            .iter()
            .map(|&position| Warning::UndeclaredColumn {
                name: header.names()[position].trim().to_owned(),
                position,
            })
            .collect();
        let schema = Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>());
        let binding = Self {
            columns,
            positions,
            others,
            width: header.names().len(),
            schema: Arc::new(schema),
        };
        Ok((binding, warnings))
    }

    /// The declared columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The schema of every [`Block::batch`]: the declared columns in the order
    /// of their declaration, all nullable.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Parses the records of a chunk, each into one row.
    pub fn parse(&self, chunk: Chunk) -> Block {
        let mut rows = Rows::of(&chunk, self.width);
        let mut faults = std::mem::take(&mut rows.faults);
        if rows.has_quotes {
            for &position in &self.others {
                check_quotes(&rows, position, &mut faults);
            }
        }
        let arrays = self
            .columns
            .iter()
            .zip(&self.positions)
            .enumerate()
            .map(|(index, (column, &position))| {
                let cells = Cells {
                    rows: &rows,
                    column,
                    index,
                    position,
                };
                cells.parse(&mut faults)
            })
            .collect::<Vec<_>>();
        // Stable, so the faults of one row stay in the order of its columns.
        faults.sort_by_key(|fault| fault.row);

        let batch = if arrays.is_empty() {
            StructArray::new_empty_fields(rows.len(), None)
        } else {
            StructArray::new(self.schema.fields().clone(), arrays, None)
        };
        let Rows { spans, lines, .. } = rows;
        Block {
            batch: RecordBatch::from(batch),
            lines: Int64Array::from(lines),
            faults,
            spans,
            chunk,
        }
    }
}

/// What the records of one chunk are: rows, and everything that is wrong with
/// them.
#[derive(Debug, Clone)]
pub struct Block {
    /// One row per record, in the order of the file, in the schema of
    /// [`Binding::schema`]. A cell with a fault is NULL, and so are all cells
    /// of a record whose fields cannot be told apart.
    pub batch: RecordBatch,
    /// The physical line on which each record starts, counted from 1.
    pub lines: Int64Array,
    /// Everything that is wrong, ordered by row, then by declared column. Rows
    /// that are not mentioned are good.
    pub faults: Vec<Fault>,
    spans: Vec<Span>,
    chunk: Chunk,
}

impl Block {
    /// The text of a record as it is in the file, without its line end.
    ///
    /// It is borrowed if it is valid UTF-8. Otherwise it is owned, every bad
    /// byte is written as `\xNN`, and every backslash as two. Of a record that
    /// is too long, it is the first bytes.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn raw(&self, row: usize) -> Cow<'_, str> {
        escape_invalid(self.raw_bytes(row))
    }

    /// The bytes that [`raw`](Self::raw) shows.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn raw_bytes(&self, row: usize) -> &[u8] {
        let Span { start, end } = self.spans[row];
        &self.chunk.bytes[start as usize..end as usize]
    }

    /// Where in the file a record starts, counted from 0 in bytes.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn byte_offset(&self, row: usize) -> u64 {
        self.chunk.offset + u64::from(self.spans[row].start)
    }

    /// How many rows have at least one fault.
    pub fn faulty_rows(&self) -> usize {
        self.faults.chunk_by(|a, b| a.row == b.row).count()
    }
}
