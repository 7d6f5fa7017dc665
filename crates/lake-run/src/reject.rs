//! Rejected rows as rows of their own table: nothing that came in is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use lake_reader::Block;

use crate::check::Reason;
use crate::error::{Result, RunError};
use crate::record::{reason_fields, rejection_spec};

/// Where the rows of a batch come from.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) input: &'a str,
    pub(crate) file: &'a str,
    /// Microseconds since 1970, UTC.
    pub(crate) received_at: i64,
    pub(crate) run: i64,
    pub(crate) transform_version: &'a str,
}

/// The rejected rows of one block, one row each, with all reasons.
pub(crate) fn rejection_batch(
    block: &Block,
    rejected: &BTreeMap<usize, Vec<Reason>>,
    origin: &Origin<'_>,
) -> Result<RecordBatch> {
    let count = rejected.len();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let ids = rejected.keys().map(|row| row_id(block, *row, origin));
    let lines = rejected.keys().map(|row| block.lines.value(*row));
    let offsets = rejected.keys().map(|row| block.byte_offset(*row) as i64);
    let raw = rejected.keys().map(|row| block.raw(*row));
    let escaped = rejected.keys().map(|row| block.raw_is_escaped(*row));
    let received =
        TimestampMicrosecondArray::from(vec![origin.received_at; count]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.map(Some).collect::<StringArray>()),
        text(origin.input),
        text(origin.file),
        Arc::new(Int64Array::from_iter_values(lines)),
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(raw.map(Some).collect::<StringArray>()),
        Arc::new(escaped.map(Some).collect::<BooleanArray>()),
        Arc::new(reasons(rejected)),
        Arc::new(received),
        Arc::new(Int64Array::from(vec![origin.run; count])),
        text(origin.transform_version),
        Arc::new(Int64Array::new_null(count)),
    ];
    let schema = rejection_spec(origin.input).schema;
    RecordBatch::try_new(schema, columns)
        .map_err(|e| RunError::sql(format!("rejection/{}", origin.input), &e.into()))
}

/// The same record of the same file has the same id, however often it is read.
fn row_id(block: &Block, row: usize, origin: &Origin<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [
        origin.input.as_bytes(),
        origin.file.as_bytes(),
        &block.raw_bytes(row),
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&block.byte_offset(row).to_le_bytes());
    if block.is_table() {
        hasher.update(&block.lines.value(row).to_le_bytes());
    }
    let hash = hasher.finalize();
    hex::encode(hash.as_bytes().get(..16).unwrap_or_default())
}

fn reasons(rejected: &BTreeMap<usize, Vec<Reason>>) -> ListArray {
    let all = || rejected.values().flatten();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(all().map(|r| Some(&r.check)).collect::<StringArray>()),
        Arc::new(all().map(|r| r.column.as_ref()).collect::<StringArray>()),
        Arc::new(all().map(|r| r.value.as_ref()).collect::<StringArray>()),
        Arc::new(all().map(|r| Some(&r.message)).collect::<StringArray>()),
    ];
    let fields = Fields::from(reason_fields());
    let element = Field::new("element", DataType::Struct(fields.clone()), true);
    let structs = StructArray::new(fields, columns, None);
    let lengths = OffsetBuffer::from_lengths(rejected.values().map(Vec::len));
    ListArray::new(Arc::new(element), lengths, Arc::new(structs), None)
}
