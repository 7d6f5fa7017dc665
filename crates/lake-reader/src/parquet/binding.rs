//! The declared columns found in a file's footer, and the blocks that its rows become.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StructArray};
use arrow::compute::nullif;
use arrow::datatypes::{Fields, Schema, SchemaRef};

use super::place::Place;
use super::shape::{Found, Shape};
use super::{Rows, Table, size};
use crate::block::{Block, Records};
use crate::chunk::Options;
use crate::fault::{Fault, check};
use crate::layout::Layout;
use crate::mismatch::{HeaderError, Warning};

/// Where each declared column is in the file, and how its values become what is declared.
#[derive(Debug)]
pub(crate) struct Binding {
    columns: Vec<Shape>,
    leaves: Vec<usize>,
    schema: SchemaRef,
    warnings: Vec<Warning>,
    max_record_bytes: usize,
}

impl Binding {
    /// Finds the declared columns in a file.
    ///
    /// # Errors
    ///
    /// Fails if a declared column is not in the file and has to be, if its type in the file is one
    /// that cannot become the declared one, or if the declaration itself is wrong.
    pub(crate) fn new(
        file: &Schema,
        layout: &Layout,
        options: Options,
    ) -> Result<Self, HeaderError> {
        let mut found = Found::new(layout);
        let columns = found.columns(file.fields(), &layout.columns)?;
        let fields: Fields = layout.columns.iter().map(|column| column.field()).collect();
        Ok(Self {
            columns,
            leaves: found.leaves,
            schema: Arc::new(Schema::new(fields)),
            warnings: found.warnings,
            max_record_bytes: options.within_bounds().max_record_bytes,
        })
    }

    /// The schema of every [`Block::batch`].
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Which columns of the file are read, by the order of its leaves.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = usize> {
        self.leaves.iter().copied()
    }

    /// What the file has and is not read.
    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The block that rows of the file become.
    pub(crate) fn block(&self, rows: Rows) -> Block {
        let Rows {
            batch,
            first,
            offset,
        } = rows;
        let count = batch.num_rows();
        let mut faults = Vec::new();
        let too_long = size::too_long(&batch, self.max_record_bytes);
        let arrays = match blanked(&batch, &too_long) {
            Some(blanked) => self.arrays(&blanked, count, &mut faults),
            None => self.arrays(batch.columns(), count, &mut faults),
        };
        faults.retain(|fault| !too_long.iter().any(|&(row, _)| row == fault.row as usize));
        faults.extend(
            too_long
                .into_iter()
                .map(|(row, bytes)| self.too_long(row, bytes)),
        );
        // Stable, so the faults of one row stay in the order of its columns.
        faults.sort_by_key(|fault| fault.row);

        let rows = if arrays.is_empty() {
            StructArray::new_empty_fields(count, None)
        } else {
            StructArray::new(self.schema.fields().clone(), arrays, None)
        };
        let first_line = first as i64 + 1;
        Block {
            batch: RecordBatch::from(rows),
            lines: Int64Array::from_iter_values(first_line..first_line + count as i64),
            faults,
            records: Records::Table(Table {
                batch,
                offset,
                max_record_bytes: self.max_record_bytes,
            }),
        }
    }

    fn arrays(&self, file: &[ArrayRef], rows: usize, faults: &mut Vec<Fault>) -> Vec<ArrayRef> {
        self.columns
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                let place = Place::Column(&shape.column().name);
                let earlier = faults.len();
                let array = shape.convert(index, place, file, rows, faults);
                let found = &faults[earlier..];
                if !shape.column().data_type.is_nested() || found.is_empty() {
                    return array;
                }
                // A value is as wrong as any of its parts.
                let mut is_wrong = vec![false; rows];
                for fault in found {
                    is_wrong[fault.row as usize] = true;
                }
                nullif(&array, &BooleanArray::from(is_wrong)).unwrap_or(array)
            })
            .collect()
    }

    fn too_long(&self, row: usize, bytes: usize) -> Fault {
        let limit = self.max_record_bytes;
        Fault {
            row: row as u32,
            column: None,
            check: check::RECORD_SIZE,
            value: String::new(),
            message: format!(
                "the record has {bytes} bytes of text, {limit} are allowed; its raw text is cut"
            ),
        }
    }
}

/// The columns with NULL in the rows that are too long to be converted.
fn blanked(batch: &RecordBatch, too_long: &[(usize, usize)]) -> Option<Vec<ArrayRef>> {
    if too_long.is_empty() {
        return None;
    }
    let is_blank: Vec<bool> = (0..batch.num_rows())
        .map(|row| too_long.iter().any(|&(long, _)| long == row))
        .collect();
    let is_blank = BooleanArray::from(is_blank);
    let columns = batch.columns().iter();
    columns
        .map(|column| nullif(column, &is_blank).ok())
        .collect()
}
