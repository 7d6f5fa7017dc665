//! A bucket that is too large to be sorted in memory, cut into ranges of the order that are not.
//!
//! Rows are drawn from it, and their keys say where to cut. The ranges, sorted one after the other,
//! are the bucket in order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};

use super::gather::{Bucket, Gathered, Place, Spread, buckets};
use super::{Arrangement, BATCH_ROWS};

/// So many rows are drawn for every range: enough for ranges of about the same size.
const DRAWN: usize = 64;

/// Where ranges begin, all but the first one.
#[derive(Debug)]
pub(super) struct Ranges {
    arrangement: Arc<Arrangement>,
    starts: Vec<Vec<u8>>,
}

impl Ranges {
    /// The range of every row of a batch.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let keys = self.arrangement.keys_of(batch, 0..batch.num_rows())?;
        let starts = &self.starts;
        let range = |key: &Vec<u8>| starts.partition_point(|start| start <= key);
        Ok(keys.iter().map(range).collect())
    }
}

impl Arrangement {
    /// Cuts a bucket into ranges of at most about `most` bytes; `None` where its rows do not differ
    /// in what they are sorted by.
    pub(super) fn cut(
        self: &Arc<Self>,
        bucket: &Bucket,
        most: usize,
    ) -> Result<Option<Vec<Bucket>>> {
        // The ranges are of about the same size, and not exactly.
        let parts = bucket.bytes_to_sort().div_ceil((most / 2).max(1));
        let starts = self.starts(bucket, parts)?;
        if starts.is_empty() {
            return Ok(None);
        }
        let count = starts.len() + 1;
        let arrangement = Arc::clone(self);
        let ranges = Ranges {
            arrangement,
            starts,
        };
        let spread = Arc::new(Spread::of_ranges(ranges, count));
        let waiting = self.codes.waiting();
        let mut gathered = Gathered::new(spread, waiting, most / 4, &self.context);
        for batch in bucket.clone().batches(BATCH_ROWS) {
            gathered.push(batch?)?;
        }
        gathered.finish()?;
        Ok(Some(buckets(std::iter::once(gathered))))
    }

    fn starts(&self, bucket: &Bucket, parts: usize) -> Result<Vec<Vec<u8>>> {
        let step = (bucket.rows() / (parts * DRAWN)).max(1);
        let mut drawn = Vec::new();
        let mut before = 0;
        for batch in bucket.clone().batches(BATCH_ROWS) {
            let batch = batch?;
            let first = usize::div_ceil(before, step) * step - before;
            let rows = (first..batch.num_rows()).step_by(step);
            drawn.extend(self.keys_of(&batch, rows)?);
            before += batch.num_rows();
        }
        drawn.sort_unstable();
        let cuts = (1..parts).filter_map(|part| drawn.get(part * drawn.len() / parts));
        let mut starts: Vec<Vec<u8>> = cuts.cloned().collect();
        starts.dedup();
        // Nothing is before the lowest key.
        if starts.first() == drawn.first() && starts.len() == 1 && drawn.first() == drawn.last() {
            starts.clear();
        }
        Ok(starts)
    }

    /// What some rows of a batch are sorted by, as bytes that compare as the rows do.
    fn keys_of(
        &self,
        batch: &RecordBatch,
        rows: impl Iterator<Item = usize>,
    ) -> Result<Vec<Vec<u8>>> {
        let places: Vec<Place> = rows.map(|row| (0, row as u32)).collect();
        let keys = self.keys(std::slice::from_ref(batch), &places);
        let keys = keys.map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(keys.iter().map(|key| key.as_ref().to_vec()).collect())
    }
}
