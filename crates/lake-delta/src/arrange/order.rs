//! The order of the rows of one bucket, and which of those that share a key stay.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::row::{RowConverter, Rows, SortField};

use super::Arrangement;
use super::gather::Place;
use crate::Result;

/// Rows in order.
pub(super) struct Sorted {
    /// Where they are, one row per key.
    pub(super) rows: Vec<Place>,
    /// How many rows lost to a newer one of their key.
    pub(super) superseded: u64,
}

impl Arrangement {
    /// Sorts the rows at `places`, and drops those that lose.
    pub(super) fn sort(&self, batches: &[RecordBatch], places: &[Place]) -> Result<Sorted> {
        let keys = self.keys(batches, places)?;
        let order = Order::of(&keys);
        let place = |entry: &Entry| places.get(entry.row as usize).copied();
        let Some(contest) = self.contest()? else {
            return Ok(Sorted {
                rows: order.entries.iter().filter_map(place).collect(),
                superseded: 0,
            });
        };
        let mut rows = Vec::with_capacity(places.len());
        // Rows that share their key with others, and which of them belong together.
        let mut contested: Vec<Place> = Vec::new();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        // Where the winners have to be put.
        let mut open: Vec<usize> = Vec::new();
        for group in order.entries.chunk_by(|a, b| order.same(a, b)) {
            rows.extend(group.first().and_then(place));
            if group.len() > 1 {
                let first = contested.len();
                open.push(rows.len() - 1);
                contested.extend(group.iter().filter_map(place));
                ranges.push(first..contested.len());
            }
        }
        if contested.is_empty() {
            return Ok(Sorted {
                rows,
                superseded: 0,
            });
        }
        let column = |index: usize| self.column(batches, &contested, index);
        let winners = contest.winners(column, &ranges)?;
        for (slot, winner) in open.into_iter().zip(winners) {
            if let (Some(slot), Some(winner)) = (rows.get_mut(slot), contested.get(winner)) {
                *slot = *winner;
            }
        }
        Ok(Sorted {
            rows,
            superseded: (contested.len() - ranges.len()) as u64,
        })
    }

    /// What rows are sorted by, as bytes that compare as the rows do.
    pub(super) fn keys(&self, batches: &[RecordBatch], places: &[Place]) -> Result<Rows> {
        let fields = self.sort_by.iter();
        let fields =
            fields.map(|index| SortField::new(self.schema.field(*index).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(|e| self.failed(e))?;
        let columns = self
            .sort_by
            .iter()
            .map(|index| self.column(batches, places, *index));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        converter
            .convert_columns(&columns)
            .map_err(|e| self.failed(e))
    }

    /// One column of the rows at `places`.
    fn column(&self, batches: &[RecordBatch], places: &[Place], index: usize) -> Result<ArrayRef> {
        let places: Vec<(usize, usize)> = places
            .iter()
            .map(|(batch, row)| (*batch as usize, *row as usize))
            .collect();
        let columns: Vec<_> = batches
            .iter()
            .map(|batch| batch.column(index).as_ref())
            .collect();
        let column = interleave(&columns, &places).map_err(|e| self.failed(e))?;
        self.codes
            .decode_column(index, &column)
            .map_err(|e| self.failed(e))
    }
}

/// Rows in the order of their keys.
struct Order<'a> {
    keys: &'a Rows,
    entries: Vec<Entry>,
    /// Whether the numbers of the entries say everything about their keys.
    is_exact: bool,
}

/// A row, and the first bytes of its key in which keys differ, as a number. Most comparisons are
/// decided by it without looking at the key.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: (u64, u64),
    row: u32,
}

impl<'a> Order<'a> {
    fn of(keys: &'a Rows) -> Self {
        let common = common_prefix(keys);
        let mut is_exact = true;
        let entries = keys.iter().zip(0..).map(|(key, row)| {
            let rest = key.as_ref().get(common..).unwrap_or_default();
            is_exact &= rest.len() <= 16;
            Entry {
                start: (number(rest), number(rest.get(8..).unwrap_or_default())),
                row,
            }
        });
        let mut entries: Vec<Entry> = entries.collect();
        if is_exact {
            entries.sort_unstable_by_key(|entry| (entry.start, entry.row));
        } else {
            entries.sort_unstable_by(|a, b| {
                let start = a.start.cmp(&b.start);
                let key =
                    start.then_with(|| keys.row(a.row as usize).cmp(&keys.row(b.row as usize)));
                key.then(a.row.cmp(&b.row))
            });
        }
        Self {
            keys,
            entries,
            is_exact,
        }
    }

    /// Whether two rows share their key.
    fn same(&self, a: &Entry, b: &Entry) -> bool {
        // No key is the beginning of another, so that equal numbers do not hide a different length.
        a.start == b.start
            && (self.is_exact || self.keys.row(a.row as usize) == self.keys.row(b.row as usize))
    }
}

/// How many bytes all keys begin with alike.
fn common_prefix(keys: &Rows) -> usize {
    let mut all = keys.iter();
    let Some(first) = all.next() else { return 0 };
    let first: &[u8] = first.as_ref();
    let mut common = first.len();
    for key in all {
        let key: &[u8] = key.as_ref();
        if first.get(..common) != key.get(..common) {
            common = first.iter().zip(key).take_while(|(a, b)| a == b).count();
        }
    }
    common
}

/// The first eight bytes as a number that compares as they do; missing ones are zero.
fn number(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(eight)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;

    type Key = (Option<String>, Option<i64>);

    fn rows_of(keys: &[Key]) -> Rows {
        let texts: StringArray = keys.iter().map(|key| key.0.as_deref()).collect();
        let numbers: Int64Array = keys.iter().map(|key| key.1).collect();
        let fields = vec![
            SortField::new(DataType::Utf8),
            SortField::new(DataType::Int64),
        ];
        let columns: Vec<ArrayRef> = vec![Arc::new(texts), Arc::new(numbers)];
        RowConverter::new(fields)
            .unwrap()
            .convert_columns(&columns)
            .unwrap()
    }

    fn key() -> impl Strategy<Value = Key> {
        // Texts that begin alike, that are the beginning of another, and that differ late.
        let text = prop_oneof![
            "[ab]{0,3}",
            "M000[0-2]{1,4}",
            "a{0,40}[ab]?",
            Just("\0".to_owned())
        ];
        let number = prop_oneof![-2..3_i64, any::<i64>()];
        (
            proptest::option::weighted(0.9, text),
            proptest::option::weighted(0.9, number),
        )
    }

    proptest! {
        #[test]
        fn rows_are_in_the_order_of_their_keys_and_equal_ones_are_the_same(
            keys in proptest::collection::vec(key(), 0..60),
        ) {
            let rows = rows_of(&keys);
            let order = Order::of(&rows);
            let sorted: Vec<usize> = order.entries.iter().map(|entry| entry.row as usize).collect();
            let mut expected: Vec<usize> = (0..keys.len()).collect();
            expected.sort_by(|a, b| keys[*a].cmp(&keys[*b]));
            prop_assert_eq!(sorted, expected);
            for pair in order.entries.windows(2) {
                let same = keys[pair[0].row as usize] == keys[pair[1].row as usize];
                prop_assert_eq!(order.same(&pair[0], &pair[1]), same);
            }
        }
    }
}
