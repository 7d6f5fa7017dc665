//! What lake's own reader makes of a file.

use std::path::Path;
use std::thread;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use lake_reader::{Block, ColumnType, Layout, LocalFile, Options, Reader};
use serde_json::{Value, json};

use super::cell::{Rows, date, decimal, float_form};

/// The rows of a clean file, in its order.
#[track_caller]
pub(super) fn rows(file: &Path, layout: &Layout, options: Options, threads: usize) -> Rows {
    let blocks = blocks(file, layout, options, threads);
    let mut rows = Rows::new();
    for block in &blocks {
        if let Some(fault) = block.faults.first() {
            let row = fault.row as usize;
            panic!(
                "{}, line {}: {}\n{}",
                file.display(),
                block.lines.value(row),
                fault.message,
                block.raw(row)
            );
        }
        for row in 0..block.batch.num_rows() {
            let cells = layout.columns.iter().zip(block.batch.columns());
            rows.push(
                cells
                    .map(|(column, array)| form(array, &column.data_type, row))
                    .collect(),
            );
        }
    }
    rows
}

/// The blocks of a file, in its order, taken by so many threads.
#[track_caller]
fn blocks(file: &Path, layout: &Layout, options: Options, threads: usize) -> Vec<Block> {
    let mut blocks = each_block(file, layout, options, threads, |block| block);
    blocks.retain(|block| block.batch.num_rows() > 0);
    blocks.sort_by_key(|block| (block.lines.value(0), block.byte_offset(0)));
    blocks
}

/// What becomes of every block of a file, in any order; each of the threads
/// takes one block after the other.
#[track_caller]
pub(super) fn each_block<T: Send>(
    file: &Path,
    layout: &Layout,
    options: Options,
    threads: usize,
    make: impl Fn(Block) -> T + Sync,
) -> Vec<T> {
    let source = LocalFile(file.to_owned());
    let reader = Reader::open(&source, layout, options)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let take = || -> Vec<T> {
        std::iter::from_fn(|| reader.next_block())
            .map(|block| block.unwrap_or_else(|e| panic!("{}: {e}", file.display())))
            .map(&make)
            .collect()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let made = workers.into_iter().map(|worker| worker.join().unwrap());
        made.flatten().collect()
    })
}

/// One value in the one form.
fn form(array: &dyn Array, data_type: &ColumnType, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match data_type {
        ColumnType::Text | ColumnType::Json => json!(array.as_string::<i32>().value(row)),
        ColumnType::Boolean => json!(array.as_boolean().value(row).to_string()),
        ColumnType::Int32 => json!(array.as_primitive::<Int32Type>().value(row).to_string()),
        ColumnType::Int64 => json!(array.as_primitive::<Int64Type>().value(row).to_string()),
        ColumnType::Float64 => float_form(array.as_primitive::<Float64Type>().value(row)),
        ColumnType::Decimal { scale, .. } => {
            let units = array.as_primitive::<Decimal128Type>().value(row);
            json!(decimal(units, usize::try_from(*scale).unwrap()))
        }
        ColumnType::Date => json!(date(array.as_primitive::<Date32Type>().value(row))),
        ColumnType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            json!(micros.to_string())
        }
        ColumnType::List(element) => {
            let elements = array.as_list::<i32>().value(row);
            (0..elements.len())
                .map(|at| form(&elements, &element.data_type, at))
                .collect()
        }
        ColumnType::Map(value) => {
            let entries = array.as_map().value(row);
            (0..entries.len())
                .map(|at| {
                    json!([
                        form(entries.column(0), &ColumnType::Text, at),
                        form(entries.column(1), &value.data_type, at)
                    ])
                })
                .collect()
        }
        ColumnType::Struct(fields) => {
            let values = array.as_struct();
            let fields = fields.iter().zip(values.columns());
            fields
                .map(|(field, values)| (field.name.clone(), form(values, &field.data_type, row)))
                .collect()
        }
    }
}
