//! How much text rows have, which a file may mention many times and store once.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// A block has about so many bytes of text at most, unless a single row has more.
const BLOCK_BYTES: usize = 1 << 26;

/// The first rows that are not too much for one block, and the others.
pub(crate) fn split(batch: RecordBatch) -> (RecordBatch, Option<RecordBatch>) {
    let rows = batch.num_rows();
    let mut kept = rows;
    while kept > 1 && batch_bytes(&batch.slice(0, kept)) > BLOCK_BYTES {
        kept = kept.div_ceil(2);
    }
    if kept == rows {
        return (batch, None);
    }
    let rest = batch.slice(kept, rows - kept);
    (batch.slice(0, kept), Some(rest))
}

/// The rows that have more than `limit` bytes of text, and how many.
pub(crate) fn too_long(batch: &RecordBatch, limit: usize) -> Vec<(usize, usize)> {
    if batch_bytes(batch) <= limit {
        return Vec::new();
    }
    (0..batch.num_rows())
        .map(|row| (row, batch_bytes(&batch.slice(row, 1))))
        .filter(|&(_, bytes)| bytes > limit)
        .collect()
}

fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(text_bytes).sum()
}

/// How many bytes of text the values of an array have.
fn text_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::BinaryView => {
            let lengths = array.as_binary_view().lengths();
            lengths.map(|length| length as usize).sum()
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(text_bytes).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            text_bytes(&between(list.values(), list.value_offsets()))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            text_bytes(&between(map.keys(), offsets)) + text_bytes(&between(map.values(), offsets))
        }
        _ => 0,
    }
}

/// The elements that these lists have: of a slice, not all.
pub(crate) fn between(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let first = offsets.first().copied().unwrap_or(0) as usize;
    let last = offsets.last().copied().unwrap_or(0) as usize;
    values.slice(first, last - first)
}
