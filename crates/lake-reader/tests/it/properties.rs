//! What holds for any bytes at all, and for any way to cut them.

use std::io::{self, Read};

use lake_reader::{Column, ColumnType, Dialect, Layout, Options, Ranges, Reader, Source};
use proptest::prelude::*;

use crate::model;
use crate::support::{Row, read, read_as, rows_of};

/// Bytes in which the ones that matter are frequent.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b"\"".to_vec()),
        6 => Just(b",".to_vec()),
        5 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        2 => Just(b"\"\"".to_vec()),
        2 => Just(b"\"\n".to_vec()),
        2 => Just(b"\n\"".to_vec()),
        1 => Just("é".as_bytes().to_vec()),
        1 => Just(b"\xC3".to_vec()),
        1 => Just(b"\xEF\xBB\xBF".to_vec()),
        1 => Just(b"2026-01-01T00:00:00Z".to_vec()),
        3 => Just(b"12.5".to_vec()),
        6 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

fn columns() -> Vec<Column> {
    let decimal = ColumnType::Decimal {
        precision: 5,
        scale: 2,
    };
    vec![
        Column::new("a", ColumnType::Text).required(),
        Column::new("b", decimal),
        Column::new("c", ColumnType::Timestamp),
    ]
}

/// A file of such bytes below a header, which has a column more than declared.
fn file() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), bytes()).prop_map(|(mark, bytes)| {
        let mark = if mark { "\u{FEFF}" } else { "" };
        [format!("{mark}b,a,x,c\n").as_bytes(), &bytes].concat()
    })
}

fn options() -> impl Strategy<Value = Options> {
    // A limit below the length of the header would only test its error.
    (1usize..200, 8usize..100).prop_map(|(chunk_bytes, max_record_bytes)| Options {
        chunk_bytes,
        max_record_bytes,
        ..Options::default()
    })
}

fn all_rows(file: &[u8], options: Options) -> Vec<Row> {
    let blocks = read(file, &columns(), options);
    blocks.iter().flat_map(rows_of).collect()
}

/// A source that gives a few bytes at a time.
#[derive(Debug, Clone)]
struct Dribble(io::Cursor<Vec<u8>>, usize);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

impl Source for Dribble {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.clone()))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        self.0.get_ref().ranges()
    }
}

/// One byte over the limit, with a quote that is the file's last byte: whether
/// it closes must not depend on how much of the file was read at that time.
#[test]
fn a_long_record_that_ends_the_file_with_a_quote_is_the_same_for_any_chunk_size() {
    let file = b"b,a,x,c\n,,\",0123456789012\n\n\"";
    let expected = model::records(file, &Dialect::CSV, 19).len() - 1;
    for chunk_bytes in 1..file.len() + 2 {
        let options = Options {
            chunk_bytes,
            max_record_bytes: 19,
            ..Options::default()
        };
        assert_eq!(
            all_rows(file, options).len(),
            expected,
            "chunks of {chunk_bytes}"
        );
    }
}

proptest! {
    /// The fast way to find records finds the same as the simple one.
    #[test]
    fn records_are_those_of_the_model(file in file(), options in options()) {
        let rows = all_rows(&file, options);
        let model = model::records(&file, &Dialect::CSV, options.max_record_bytes);
        prop_assert_eq!(rows.len() + 1, model.len());
        for (row, record) in rows.iter().zip(&model[1..]) {
            prop_assert_eq!(row.line, record.line);
            prop_assert_eq!(row.offset, record.offset);
            prop_assert_eq!(&row.raw_bytes, &record.raw);
            if let Some(check) = record.broken {
                prop_assert_eq!(row.faults.len(), 1);
                prop_assert!(row.faults[0].starts_with(check));
                prop_assert_eq!(row.cells.as_str(), "∅|∅|∅");
            }
        }
    }

    /// How a file is cut and how its bytes arrive changes nothing.
    #[test]
    fn any_chunk_size_gives_the_same_rows(
        file in file(),
        options in options(),
        step in 1usize..50,
    ) {
        let whole = Options { chunk_bytes: 1 << 20, ..options };
        let expected = all_rows(&file, whole);
        prop_assert_eq!(&all_rows(&file, options), &expected);

        let source = Dribble(io::Cursor::new(file), step);
        let blocks = read_as(&source, &Layout::csv(columns()), options);
        let rows: Vec<Row> = blocks.iter().flat_map(rows_of).collect();
        prop_assert_eq!(&rows, &expected);
    }

    /// The raw texts, the line ends and the blank lines between them are the file.
    #[test]
    fn no_byte_is_lost(file in file(), chunk_bytes in 1usize..200) {
        let options = Options { chunk_bytes, ..Options::default() };
        let mut end = model::records(&file, &Dialect::CSV, options.max_record_bytes)[0].raw.len();
        end += if file.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        for row in all_rows(&file, options) {
            let start = row.offset as usize;
            prop_assert!(start > end);
            prop_assert!(file[end..start].iter().all(|byte| b"\r\n".contains(byte)));
            end = start + row.raw_bytes.len();
            prop_assert_eq!(&file[start..end], &row.raw_bytes[..]);
        }
        prop_assert!(file[end..].iter().all(|byte| b"\r\n".contains(byte)));
    }

    /// Every byte is data, also where the header should be.
    #[test]
    fn no_input_panics(file in bytes(), options in options()) {
        let layout = Layout::csv(columns());
        if let Ok(reader) = Reader::open(&file, &layout, options) {
            while let Some(block) = reader.next_block() {
                rows_of(&block.unwrap());
            }
        }
    }

    /// A row is good exactly if it has no fault; a bad cell is NULL.
    #[test]
    fn faults_and_nulls_go_together(file in file()) {
        for block in read(&file, &columns(), Options::default()) {
            for fault in &block.faults {
                if let Some(column) = fault.column {
                    prop_assert!(block.batch.column(column).is_null(fault.row as usize));
                }
            }
            // The first column is required: it is never NULL without a reason.
            for row in 0..block.batch.num_rows() {
                if block.batch.column(0).is_null(row) {
                    prop_assert!(block.faults.iter().any(|f| f.row as usize == row));
                }
            }
        }
    }
}
