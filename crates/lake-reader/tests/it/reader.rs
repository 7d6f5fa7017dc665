//! Reading a whole file, and sources that fail.

use std::io::{self, Read};

use lake_reader::{Chunks, Column, ColumnType, Counters, Options, ReadError, Reader, check};

use crate::support::text_columns;

/// Gives some bytes, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0.read(buffer)
    }
}

#[test]
fn the_counters_add_up() {
    let columns = vec![
        Column::new("a", ColumnType::Int32),
        Column::new("b", ColumnType::Date),
    ];
    let file = "a,b\n1,2026-01-01\nx,y\n1\n2,2026-01-02\n";
    let options = Options {
        chunk_bytes: 8,
        ..Options::default()
    };
    let mut reader = Reader::open(file.as_bytes(), columns, options).unwrap();
    let faults: usize = reader
        .by_ref()
        .map(|block| block.unwrap().faults.len())
        .sum();
    assert_eq!(faults, 3);
    assert_eq!(
        reader.counters(),
        Counters {
            rows: 4,
            faulty_rows: 2,
            bytes: file.len() as u64
        }
    );
}

#[test]
fn faults_name_their_check_column_and_value() {
    let columns = vec![Column::new("a", ColumnType::Int32)];
    let mut reader = Reader::open("x,a\n1,two\n".as_bytes(), columns, Options::default()).unwrap();
    let block = reader.next().unwrap().unwrap();
    let fault = &block.faults[0];
    assert_eq!((fault.row, fault.column), (0, Some(0)));
    assert_eq!((fault.check, fault.value.as_str()), (check::TYPE, "two"));
}

#[test]
fn batches_have_the_declared_schema_even_without_columns() {
    let columns = vec![
        Column::new("b", ColumnType::Timestamp),
        Column::new("a", ColumnType::Text).required(),
    ];
    let options = Options::default();
    let mut reader = Reader::open("a,b\nx,\n".as_bytes(), columns, options).unwrap();
    let block = reader.next().unwrap().unwrap();
    assert_eq!(&block.batch.schema(), reader.binding().schema());

    let mut reader = Reader::open("a,b\nx,\n".as_bytes(), vec![], options).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().batch.num_rows(), 1);
}

#[test]
fn a_source_that_fails_says_at_which_byte_and_ends_the_file() {
    let source = Failing(b"a,b\n1,2\n");
    let mut chunks = Chunks::new(source, Options::default());
    let error = chunks.next().unwrap().unwrap_err();
    assert!(matches!(error, ReadError::Io { offset: 8, .. }));
    assert_eq!(error.to_string(), "reading failed at byte 8");
    assert!(
        chunks.next().is_none(),
        "half a file is never taken for a whole one"
    );
}

#[test]
fn what_was_read_before_a_failure_is_delivered() {
    let options = Options {
        chunk_bytes: 4,
        ..Options::default()
    };
    let source = Failing(b"a,b\n1,2\n3,4\n5,6");
    let mut reader = Reader::open(source, text_columns(&["a", "b"]), options).unwrap();
    let rows: usize = reader
        .by_ref()
        .map_while(Result::ok)
        .map(|block| block.batch.num_rows())
        .sum();
    assert_eq!(rows, 2);
    assert!(reader.next().is_none());
}

#[test]
fn a_source_that_fails_within_a_too_long_record_is_an_error() {
    let options = Options {
        chunk_bytes: 8,
        max_record_bytes: 8,
    };
    let source = Failing(b"a,b\n1,23456789012345678901234567890");
    let mut reader = Reader::open(source, text_columns(&["a"]), options).unwrap();
    assert!(matches!(reader.next(), Some(Err(ReadError::Io { .. }))));
}
