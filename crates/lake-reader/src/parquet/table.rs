//! The rows that a block was made from.

use arrow::array::RecordBatch;

use super::{raw, size};
use crate::chunk::Options;

/// Rows as the file has them.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) batch: RecordBatch,
    /// Where in the file their row group starts.
    pub(crate) offset: u64,
    /// How many bytes of text a row may have.
    pub(crate) max_record_bytes: usize,
}

impl Table {
    /// A row as a JSON object; of one that is too long, the first bytes.
    pub(crate) fn raw(&self, row: usize) -> Vec<u8> {
        let is_too_long = size::too_long(&self.batch.slice(row, 1), self.max_record_bytes);
        let most = if is_too_long.is_empty() {
            usize::MAX
        } else {
            Options::KEPT_BYTES
        };
        raw::object(&self.batch, row, most)
    }
}
