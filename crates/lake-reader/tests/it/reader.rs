//! Reading a whole file, and sources that fail.

use std::io::{self, Read};

use lake_reader::{
    Block, Column, ColumnType, Layout, Options, Ranges, ReadError, Reader, Source, check,
};

use crate::support::{read, text_columns};

/// Gives some bytes, then fails.
#[derive(Debug, Clone)]
struct Failing(io::Cursor<Vec<u8>>);

impl Failing {
    fn after(bytes: &[u8]) -> Self {
        Self(io::Cursor::new(bytes.to_vec()))
    }
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

impl Source for Failing {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.clone()))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        self.0.get_ref().ranges()
    }
}

/// The blocks up to an error, and the error.
fn blocks_until_error(
    source: &dyn Source,
    names: &[&str],
    options: Options,
) -> (Vec<Block>, ReadError) {
    let layout = Layout::csv(text_columns(names));
    let reader = match Reader::open(source, &layout, options) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), error),
    };
    let mut blocks = Vec::new();
    loop {
        match reader.next_block().unwrap() {
            Ok(block) => blocks.push(block),
            Err(error) => {
                assert!(
                    reader.next_block().is_none(),
                    "half a file is never taken for a whole one"
                );
                return (blocks, error);
            }
        }
    }
}

#[test]
fn the_rows_and_the_faulty_ones_of_all_blocks_add_up() {
    let columns = [
        Column::new("a", ColumnType::Int32),
        Column::new("b", ColumnType::Date),
    ];
    let file = "a,b\n1,2026-01-01\nx,y\n1\n2,2026-01-02\n";
    let options = Options {
        chunk_bytes: 8,
        ..Options::default()
    };
    let blocks = read(file.as_bytes(), &columns, options);
    assert!(blocks.len() > 1);
    let sum = |count: fn(&Block) -> usize| blocks.iter().map(count).sum::<usize>();
    assert_eq!(sum(|block| block.faults.len()), 3);
    assert_eq!(sum(|block| block.batch.num_rows()), 4);
    assert_eq!(sum(Block::faulty_rows), 2);
}

#[test]
fn faults_name_their_check_column_and_value() {
    let columns = [Column::new("a", ColumnType::Int32)];
    let blocks = read(b"x,a\n1,two\n", &columns, Options::default());
    let fault = &blocks[0].faults[0];
    assert_eq!((fault.row, fault.column), (0, Some(0)));
    assert_eq!((fault.check, fault.value.as_str()), (check::TYPE, "two"));
}

#[test]
fn batches_have_the_declared_schema_even_without_columns() {
    let columns = vec![
        Column::new("b", ColumnType::Timestamp),
        Column::new("a", ColumnType::Text).required(),
    ];
    let file = b"a,b\nx,\n".to_vec();
    let reader = Reader::open(&file, &Layout::csv(columns), Options::default()).unwrap();
    let block = reader.next_block().unwrap().unwrap();
    assert_eq!(&block.batch.schema(), reader.schema());

    let blocks = read(&file, &[], Options::default());
    assert_eq!(blocks[0].batch.num_rows(), 1);
}

#[test]
fn a_source_that_fails_says_at_which_byte_and_ends_the_file() {
    let source = Failing::after(b"a,b\n1,2\n");
    let (blocks, error) = blocks_until_error(&source, &["a"], Options::default());
    assert!(blocks.is_empty());
    assert!(matches!(error, ReadError::Io { offset: 8, .. }));
    assert_eq!(error.to_string(), "reading failed at byte 8");
}

#[test]
fn what_was_read_before_a_failure_is_delivered() {
    let options = Options {
        chunk_bytes: 4,
        ..Options::default()
    };
    let source = Failing::after(b"a,b\n1,2\n3,4\n5,6");
    let (blocks, error) = blocks_until_error(&source, &["a", "b"], options);
    let rows: usize = blocks.iter().map(|block| block.batch.num_rows()).sum();
    assert_eq!(rows, 2);
    assert!(matches!(error, ReadError::Io { .. }));
}

#[test]
fn a_source_that_fails_within_a_too_long_record_is_an_error() {
    let options = Options {
        chunk_bytes: 8,
        max_record_bytes: 8,
        ..Options::default()
    };
    let source = Failing::after(b"a,b\n1,23456789012345678901234567890");
    let (blocks, error) = blocks_until_error(&source, &["a"], options);
    assert!(blocks.is_empty());
    assert!(matches!(error, ReadError::Io { .. }));
}
