//! Rows of small files are gathered before they are passed on.
//!
//! A batch of three rows costs as much time and memory as one of hundreds: every stage behind looks
//! at each of its columns. Of a hundred thousand files with a few rows each, only this is left.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// A batch of so many rows is worth passing on.
const ROWS: usize = 4096;

/// So is one that takes so much memory, however few its rows are.
const BYTES: usize = 1 << 20;

/// Batches on their way to `send`, which says whether more are wanted.
pub(super) struct Gather<S> {
    schema: SchemaRef,
    small: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    send: S,
}

impl<S: FnMut(Result<RecordBatch, ArrowError>) -> bool> Gather<S> {
    pub(super) fn new(schema: SchemaRef, send: S) -> Self {
        Self {
            schema,
            small: Vec::new(),
            rows: 0,
            bytes: 0,
            send,
        }
    }

    /// Passes a batch on, now or with others; whether more are wanted.
    pub(super) fn push(&mut self, batch: RecordBatch) -> bool {
        let bytes = batch.get_array_memory_size();
        if batch.num_rows() >= ROWS || bytes >= BYTES {
            return self.flush() && (self.send)(Ok(batch));
        }
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.small.push(batch);
        if self.rows >= ROWS || self.bytes >= BYTES {
            self.flush()
        } else {
            true
        }
    }

    /// Passes on what is still held back; whether more are wanted.
    pub(super) fn flush(&mut self) -> bool {
        self.rows = 0;
        self.bytes = 0;
        let small = std::mem::take(&mut self.small);
        match small.as_slice() {
            [] => true,
            [batch] => (self.send)(Ok(batch.clone())),
            _ => (self.send)(concat_batches(&self.schema, &small)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};

    use super::*;

    /// The sizes of what is passed on, and all its values.
    fn gathered(sizes: &[usize]) -> (Vec<usize>, Vec<i32>) {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let mut passed: Vec<RecordBatch> = Vec::new();
        let mut gather = Gather::new(Arc::clone(&schema), |batch: Result<_, _>| {
            passed.push(batch.unwrap());
            true
        });
        let mut next = 0;
        for &size in sizes {
            let end = next + size as i32;
            let values = Arc::new(Int32Array::from_iter_values(next..end));
            next = end;
            assert!(gather.push(RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap()));
        }
        assert!(gather.flush());
        let values = passed.iter();
        let values = values.flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values());
        let values = values.copied().collect();
        (passed.iter().map(RecordBatch::num_rows).collect(), values)
    }

    #[test]
    fn small_batches_become_large_ones_in_their_order() {
        let (sizes, values) = gathered(&[3; 10_000]);
        assert!(values.iter().copied().eq(0..30_000));
        assert!(sizes.len() <= 10, "{sizes:?}");
    }

    #[test]
    fn large_batches_pass_as_they_are_behind_the_small_ones_before_them() {
        let (sizes, values) = gathered(&[1, 2, ROWS, 5, ROWS + 1]);
        assert_eq!(sizes, [3, ROWS, 5, ROWS + 1]);
        assert!(values.iter().copied().eq(0..values.len() as i32));
    }

    #[test]
    fn long_rows_are_not_gathered_beyond_what_memory_they_may_take() {
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, false)]));
        let mut passed = Vec::new();
        let mut gather = Gather::new(Arc::clone(&schema), |batch: Result<RecordBatch, _>| {
            passed.push(batch.unwrap().num_rows());
            true
        });
        let row = |bytes: usize| {
            let text = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
            RecordBatch::try_new(Arc::clone(&schema), vec![text]).unwrap()
        };
        for bytes in [10, BYTES, BYTES / 2, BYTES / 2, 10] {
            assert!(gather.push(row(bytes)));
        }
        assert!(gather.flush());
        assert_eq!(passed, [1, 1, 2, 1]);
    }

    #[test]
    fn nothing_is_passed_on_where_nothing_came() {
        assert_eq!(gathered(&[]), (Vec::new(), Vec::new()));
    }

    #[test]
    fn nobody_is_told_of_more_than_is_wanted() {
        let schema = Arc::new(Schema::empty());
        let mut gather = Gather::new(schema, |_| false);
        let none = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(gather.flush());
        assert!(gather.push(none));
        assert!(!gather.flush());
    }
}
