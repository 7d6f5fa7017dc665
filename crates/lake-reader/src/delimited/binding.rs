//! The columns of a file bound to those that are declared, and the parsing of
//! its chunks.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StructArray};
use arrow::datatypes::{Schema, SchemaRef};

use super::cells::{Cells, check_quotes};
use super::header::Header;
use super::rows::Rows;
use crate::block::{Block, Records};
use crate::chunk::Chunk;
use crate::column::Column;
use crate::mismatch::{HeaderError, Warning};
use crate::reader::Parse;

/// Which field of a record each declared column is.
///
/// It is made once per file. [`parse`](Self::parse) is a pure function of the
/// binding and a chunk, so chunks can be parsed in any order and on any thread.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    columns: Arc<[Column]>,
    /// For every declared column, its position in the file.
    positions: Vec<usize>,
    /// The positions in the file that no declared column has.
    others: Vec<usize>,
    /// How many columns the file has.
    width: usize,
    schema: SchemaRef,
    warnings: Vec<Warning>,
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
    pub(crate) fn new(
        header: &Header,
        columns: impl Into<Arc<[Column]>>,
    ) -> Result<Self, HeaderError> {
        let columns = columns.into();
        if let Some(column) = columns.iter().find(|c| !c.data_type.is_possible()) {
            return Err(HeaderError::ImpossibleType {
                column: column.name.clone(),
                data_type: column.data_type.to_string(),
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
        Ok(Self {
            columns,
            positions,
            others,
            width: header.names().len(),
            schema: Arc::new(schema),
            warnings,
        })
    }

    /// The schema of every [`Block::batch`]: the declared columns in the order
    /// of their declaration, all nullable.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Parse for Binding {
    fn parse(&self, chunk: Chunk) -> Block {
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
            records: Records::Text { chunk, spans },
        }
    }

    fn warnings(&self) -> Vec<Warning> {
        self.warnings.clone()
    }
}
