//! Which rows of which files leave a table.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;

/// Positions of rows that leave, by the file's index: one bit per row of each
/// touched file.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    files: BTreeMap<usize, Dropped>,
}

#[derive(Debug)]
struct Dropped {
    gone: BooleanBufferBuilder,
    count: usize,
}

impl Drops {
    /// Marks a row, by its file's index and its own; whether it was not marked before.
    pub(crate) fn drop_at(&mut self, (index, row): (usize, usize)) -> bool {
        let file = self.files.entry(index).or_insert_with(|| Dropped {
            gone: BooleanBufferBuilder::new(0),
            count: 0,
        });
        if row >= file.gone.len() {
            file.gone.append_n(row + 1 - file.gone.len(), false);
        }
        if file.gone.get_bit(row) {
            return false;
        }
        file.gone.set_bit(row, true);
        file.count += 1;
        true
    }

    /// The touched files, with the number of rows that leave each.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (usize, usize)> {
        self.files.iter().map(|(index, file)| (*index, file.count))
    }

    /// Whether a row is marked.
    pub(crate) fn has(&self, (index, row): (usize, usize)) -> bool {
        let file = self.files.get(&index);
        file.is_some_and(|file| row < file.gone.len() && file.gone.get_bit(row))
    }

    /// The marked rows, by their file's index and their own.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        self.files.iter().flat_map(|(index, file)| {
            let rows = (0..file.gone.len()).filter(|row| file.gone.get_bit(*row));
            rows.map(|row| (*index, row))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether any row of file `index` leaves.
    pub(crate) fn touches(&self, index: usize) -> bool {
        self.files.contains_key(&index)
    }

    /// For `rows` rows of a file from `start` on: true where the row stays.
    pub(crate) fn kept(&self, index: usize, start: usize, rows: usize) -> BooleanArray {
        let Some(file) = self.files.get(&index) else {
            return BooleanArray::new(BooleanBuffer::new_set(rows), None);
        };
        let buffer = BooleanBuffer::collect_bool(rows, |n| {
            start + n >= file.gone.len() || !file.gone.get_bit(start + n)
        });
        BooleanArray::new(buffer, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_dropped_once_and_only_where_it_was_marked() {
        let mut drops = Drops::default();
        assert!(drops.drop_at((3, 1)));
        assert!(!drops.drop_at((3, 1)));
        assert!(drops.drop_at((3, 9)));
        assert_eq!(drops.touched().collect::<Vec<_>>(), [(3, 2)]);
        assert_eq!(drops.rows().collect::<Vec<_>>(), [(3, 1), (3, 9)]);
        assert!(drops.has((3, 9)) && !drops.has((3, 10)) && !drops.has((0, 1)));
        let kept = drops.kept(3, 0, 3);
        assert_eq!(
            kept.iter().collect::<Vec<_>>(),
            [Some(true), Some(false), Some(true)]
        );
        assert!(drops.kept(0, 0, 3).iter().all(|row| row == Some(true)));
    }
}
