//! What makes a case three lines long.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lake_reader::{Block, Column, ColumnType, Layout, Options, ReadError, Reader, Source};

/// Optional text columns with these names.
pub(crate) fn text_columns(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column::new(*name, ColumnType::Text);
    names.iter().map(column).collect()
}

/// All blocks of a comma-separated file that reads to its end.
pub(crate) fn read(file: &[u8], columns: &[Column], options: Options) -> Vec<Block> {
    read_as(&file.to_vec(), &Layout::csv(columns), options)
}

/// All blocks of a file of any layout that reads to its end.
pub(crate) fn read_as(file: &dyn Source, layout: &Layout, options: Options) -> Vec<Block> {
    let reader = Reader::open(file, layout, options).unwrap();
    std::iter::from_fn(|| reader.next_block())
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The rows of a file, as a person would write them down.
pub(crate) fn rows(file: impl AsRef<[u8]>, columns: &[Column]) -> Vec<Row> {
    rows_with(file, columns, Options::default())
}

/// The same with other options.
pub(crate) fn rows_with(file: impl AsRef<[u8]>, columns: &[Column], options: Options) -> Vec<Row> {
    let blocks = read(file.as_ref(), columns, options);
    blocks.iter().flat_map(rows_of).collect()
}

/// The error of opening a file.
pub(crate) fn header_error(file: impl AsRef<[u8]>, columns: &[Column]) -> ReadError {
    let file = file.as_ref().to_vec();
    Reader::open(&file, &Layout::csv(columns), Options::default()).unwrap_err()
}

/// One record and everything that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: i64,
    pub(crate) offset: u64,
    pub(crate) raw: String,
    pub(crate) raw_bytes: Vec<u8>,
    /// The cells as Arrow shows them, joined with `|`; NULL is `∅`.
    pub(crate) cells: String,
    /// The faults as `check: message`.
    pub(crate) faults: Vec<String>,
}

/// The rows of one block.
pub(crate) fn rows_of(block: &Block) -> Vec<Row> {
    let format = FormatOptions::new().with_null("∅");
    // Arrow shows instants in UTC only with a database of time zones.
    let instants: Vec<Option<ArrayRef>> = block
        .batch
        .columns()
        .iter()
        .map(|column| {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(Arc::new(micros.clone().with_timezone_opt(None::<&str>)) as ArrayRef)
        })
        .collect();
    let columns: Vec<_> = block
        .batch
        .columns()
        .iter()
        .zip(&instants)
        .map(|(column, instants)| instants.as_ref().unwrap_or(column))
        .map(|column| ArrayFormatter::try_new(column, &format).unwrap())
        .collect();
    assert!(block.faults.is_sorted_by_key(|fault| fault.row));
    let mut faults = block.faults.iter().peekable();
    (0..block.batch.num_rows())
        .map(|row| Row {
            line: block.lines.value(row),
            offset: block.byte_offset(row),
            raw: block.raw(row).into_owned(),
            raw_bytes: block.raw_bytes(row).to_vec(),
            cells: columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|"),
            faults: std::iter::from_fn(|| faults.next_if(|fault| fault.row as usize == row))
                .map(|fault| format!("{}: {}", fault.check, fault.message))
                .collect(),
        })
        .collect()
}

/// The cells of every row.
pub(crate) fn cells(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.cells.as_str()).collect()
}

/// The line of every row.
pub(crate) fn lines(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.line).collect()
}
