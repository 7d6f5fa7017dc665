//! Parquet files that are not what they were.

use std::sync::Arc;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use bytes::Bytes;
use lake_reader::{Column, ColumnType, Format, HeaderError, Layout, Options, ReadError};
use proptest::prelude::*;

use crate::stored::{outcome, parquet};

fn layout() -> Layout {
    Layout::new(
        Format::Parquet,
        vec![
            Column::new("a", ColumnType::Int64),
            Column::new("b", ColumnType::Text),
        ],
    )
}

fn file() -> Vec<u8> {
    let texts = (0..200).map(|n| format!("text {}", n % 37));
    let columns: [(&str, ArrayRef); 2] = [
        ("a", Arc::new(Int64Array::from_iter_values(0..200))),
        ("b", Arc::new(StringArray::from_iter_values(texts))),
    ];
    parquet(&columns)
}

#[test]
fn what_is_no_parquet_file_is_said_to_be_none() {
    for file in ["a,b\n1,2\n", "PAR1", "PAR1    PAR1"] {
        let error = outcome(file, &layout(), Options::default()).error.unwrap();
        let message = error.to_string();
        assert!(
            message.starts_with("the Parquet file cannot be read: its footer: "),
            "{message}"
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let file = file();
    let empty = outcome("", &layout(), Options::default()).error.unwrap();
    assert!(
        matches!(empty, ReadError::Header(HeaderError::Empty)),
        "{empty}"
    );
    for cut in 1..file.len() {
        let error = outcome(&file[..cut], &layout(), Options::default())
            .error
            .unwrap();
        assert!(
            matches!(error, ReadError::Parquet { .. }),
            "cut at {cut}: {error}"
        );
    }
}

#[test]
fn a_page_that_does_not_have_its_checksum_is_an_error_that_names_the_row_group() {
    let layout = Layout::new(Format::Parquet, vec![Column::new("text", ColumnType::Text)]);
    let mut file = include_bytes!("../data/pyarrow.parquet").to_vec();
    assert_eq!(
        outcome(file.clone(), &layout, Options::default())
            .rows
            .len(),
        3000
    );
    let metadata = SerializedFileReader::new(Bytes::from(file.clone())).unwrap();
    let row_group = metadata.metadata().row_group(1);
    let text = row_group.columns().last().unwrap();
    let (start, length) = text.byte_range();
    file[(start + length) as usize - 3] ^= 1;
    let error = outcome(file, &layout, Options::default()).error.unwrap();
    let message = error.to_string();
    assert!(
        message.starts_with("the Parquet file cannot be read: row group 2 of 2: "),
        "{message}"
    );
    assert!(message.ends_with("; get the file again"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_file_with_any_bytes_changed_is_read_or_refused(
        changes in prop::collection::vec((0usize..100_000, 1u8..), 1..4),
    ) {
        let mut file = file();
        for (at, change) in changes {
            let at = at % file.len();
            file[at] ^= change;
        }
        let result = outcome(file, &layout(), Options::default());
        prop_assert!(result.error.is_some() || result.rows.len() == 200 || result.rows.len() < 200);
    }
}
