//! A large file is read the same by any number of threads.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::Path;

use arrow::row::{RowConverter, SortField};
use lake_reader::{Dialect, Format, Layout, Options};

use super::delimited::{self, Quoting, Style};
use super::lake;
use super::random::{self, Random, Texts};
use super::scalars;

const ROWS: usize = 1000;

/// The file has so many bytes, or some more.
const BYTES: usize = 50 << 20;

#[test]
fn a_large_file_with_line_ends_in_quotes_is_the_same_rows_by_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let dialect = Dialect {
        header: false,
        ..Dialect::CSV
    };
    let style = Style {
        dialect,
        quoting: Quoting::Some,
        ..Style::CSV
    };
    let mut random = Random::new(8);
    let columns = scalars();
    let rows = random::rows(&mut random, &columns, Texts::Any, ROWS);
    let part = delimited::write(&mut random, style, &columns, &rows);
    let layout = Layout::new(Format::Delimited(dialect), columns);

    let small = directory.path().join("small.csv");
    std::fs::write(&small, &part).unwrap();
    let of_part = Sum::of(&small, &layout, 1);
    assert_eq!(of_part.rows, ROWS);

    // The same rows again and again, so that pieces end at any place in them.
    let large = directory.path().join("large.csv");
    let mut file = File::create(&large).unwrap();
    let times = BYTES.div_ceil(part.len());
    for _ in 0..times {
        file.write_all(&part).unwrap();
    }
    let by_one = Sum::of(&large, &layout, 1);
    assert_eq!(by_one.rows, ROWS * times);
    assert_eq!(by_one.cells, of_part.cells.wrapping_mul(times as u64));
    for threads in [2, 8] {
        assert_eq!(
            Sum::of(&large, &layout, threads),
            by_one,
            "{threads} threads"
        );
    }
}

/// What rows come to, in whatever order they are: sums of the hash of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    rows: usize,
    /// Of the values.
    cells: u64,
    /// Of line, byte offset and raw text.
    places: u64,
}

impl Sum {
    #[track_caller]
    fn of(file: &Path, layout: &Layout, threads: usize) -> Self {
        let fields = layout.columns.iter();
        let fields = fields.map(|column| SortField::new(column.data_type.arrow()));
        let converter = RowConverter::new(fields.collect()).unwrap();
        let sums = lake::each_block(file, layout, Options::default(), threads, |block| {
            assert_eq!(block.faults, []);
            let cells = converter.convert_columns(block.batch.columns()).unwrap();
            let mut sum = Self::default();
            for (row, cells) in cells.iter().enumerate() {
                let line = block.lines.value(row);
                let place = (line, block.byte_offset(row), block.raw_bytes(row));
                sum = sum.and(Self {
                    rows: 1,
                    cells: hash(cells.as_ref()),
                    places: hash(place),
                });
            }
            sum
        });
        sums.into_iter().fold(Self::default(), Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            cells: self.cells.wrapping_add(other.cells),
            places: self.places.wrapping_add(other.places),
        }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
