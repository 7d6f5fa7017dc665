//! The columns of a file bound to those that are declared, and the parsing of
//! its chunks.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};

use super::cells::{Cells, check_quotes};
use super::header::Header;
use super::rows::Rows;
use crate::block::{Block, Records};
use crate::chunk::Chunk;
use crate::column::Column;
use crate::fault::{Fault, check};
use crate::layout::{Dialect, ExtraColumns, Layout};
use crate::mismatch::{HeaderError, Warning};
use crate::reader::Parse;
use crate::values::parser::Values;

/// Which field of a record each declared column is.
///
/// It is made once per file. [`parse`](Self::parse) is a pure function of the
/// binding and a chunk, so chunks can be parsed in any order and on any thread.
#[derive(Debug)]
pub(crate) struct Binding {
    dialect: Dialect,
    columns: Vec<Bound>,
    /// The positions in the file that no declared column has.
    others: Vec<usize>,
    /// How many columns the file has.
    width: usize,
    schema: SchemaRef,
    warnings: Vec<Warning>,
}

/// A declared column in a file.
#[derive(Debug)]
struct Bound {
    column: Column,
    values: Values,
    /// Where it is in the file; none if the file does not have it.
    position: Option<usize>,
}

impl Binding {
    /// Finds the declared columns in a file's header, in whatever order they
    /// are there.
    ///
    /// A name has to be the same to the letter; only spaces around it are
    /// ignored, unless a column is named with them. What happens where the file has fewer columns
    /// or more is up to the layout.
    ///
    /// # Errors
    ///
    /// Fails if a name is there twice, the first line does not look like a header, the columns are
    /// not those that the layout demands, or a declared column cannot be read at all.
    pub(crate) fn by_name(
        header: &Header,
        dialect: Dialect,
        layout: &Layout,
    ) -> Result<Self, HeaderError> {
        let values = values_of(layout)?;
        let positions = header.positions_of(layout)?;
        let others: Vec<usize> = (0..header.names().len())
            .filter(|position| !positions.contains(&Some(*position)))
            .collect();
        let warnings = others
            .iter()
            .filter(|_| layout.extra_columns == ExtraColumns::Warn)
            .map(|&position| Warning::UndeclaredColumn {
                name: header.names()[position].trim().to_owned(),
                position,
            })
            .collect();
        let width = header.names().len();
        let binding = Self::new(dialect, layout, values.into_iter().zip(positions), width);
        Ok(Self {
            others,
            warnings,
            ..binding
        })
    }

    /// Takes the fields of a file without a header for the declared columns.
    ///
    /// # Errors
    ///
    /// Fails if a declared column cannot be read at all.
    pub(crate) fn by_position(dialect: Dialect, layout: &Layout) -> Result<Self, HeaderError> {
        let values = values_of(layout)?;
        let width = values.len();
        let positions = (0..width).map(Some);
        Ok(Self::new(
            dialect,
            layout,
            values.into_iter().zip(positions),
            width,
        ))
    }

    fn new(
        dialect: Dialect,
        layout: &Layout,
        columns: impl Iterator<Item = (Values, Option<usize>)>,
        width: usize,
    ) -> Self {
        let fields: Vec<_> = layout.columns.iter().map(Column::field).collect();
        let bound = |(column, (values, position)): (&Column, _)| Bound {
            column: column.clone(),
            values,
            position,
        };
        Self {
            dialect,
            columns: layout.columns.iter().zip(columns).map(bound).collect(),
            others: Vec::new(),
            width,
            schema: Arc::new(Schema::new(fields)),
            warnings: Vec::new(),
        }
    }

    /// The schema of every [`Block::batch`]: the declared columns in the order
    /// of their declaration, all nullable.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// Prepares the values of the declared columns, none of which may have parts.
fn values_of(layout: &Layout) -> Result<Vec<Values>, HeaderError> {
    if let Some(column) = layout.columns.iter().find(|c| c.data_type.is_nested()) {
        return Err(HeaderError::Nested {
            column: column.name.clone(),
            data_type: column.data_type.to_string(),
        });
    }
    layout.columns.iter().map(Values::new).collect()
}

impl Bound {
    fn parse(&self, index: usize, rows: &Rows<'_>, faults: &mut Vec<Fault>) -> ArrayRef {
        let cells = |position| Cells {
            rows,
            column: &self.column,
            values: &self.values,
            index,
            position,
        };
        match self.position {
            Some(position) => cells(position).parse(faults),
            None => {
                if self.column.required {
                    faults.extend(
                        (0..rows.len())
                            .filter(|&row| rows.has_fields(row))
                            .map(|row| Fault {
                                row: row as u32,
                                column: Some(index),
                                check: check::REQUIRED,
                                value: String::new(),
                                message: format!(
                                    "'{}' is required, and the file has no such column",
                                    self.column.name
                                ),
                            }),
                    );
                }
                new_null_array(&self.column.data_type.arrow(), rows.len())
            }
        }
    }
}

impl Parse for Binding {
    fn parse(&self, chunk: Chunk) -> Block {
        let mut rows = Rows::of(&chunk, self.dialect, self.width);
        let mut faults = std::mem::take(&mut rows.faults);
        if rows.has_special {
            for &position in &self.others {
                check_quotes(&rows, position, &mut faults);
            }
        }
        let columns = self.columns.iter().enumerate();
        let arrays: Vec<ArrayRef> = columns
            .map(|(index, column)| column.parse(index, &rows, &mut faults))
            .collect();
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
