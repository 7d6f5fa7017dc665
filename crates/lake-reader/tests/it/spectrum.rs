//! The public cases of csv-spectrum, with the results that they expect.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use lake_reader::{Layout, LocalFile, Options};
use serde_json::{Map, Value};

use crate::support::{read_as, text_columns};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/csv-spectrum")
        .join(name)
}

/// The rows that a case expects.
fn expected(case: &str) -> Vec<Map<String, Value>> {
    let text = fs::read(folder("json").join(format!("{case}.json"))).unwrap();
    match serde_json::from_slice(&text).unwrap() {
        Value::Array(rows) => rows
            .into_iter()
            .map(|row| row.as_object().unwrap().clone())
            .collect(),
        Value::Object(row) => vec![row],
        other => panic!("{other}"),
    }
}

/// The rows that are read.
fn actual(case: &str, names: &[&str]) -> Vec<Map<String, Value>> {
    let file = LocalFile(folder("csvs").join(format!("{case}.csv")));
    let layout = Layout::csv(text_columns(names));
    let mut rows = Vec::new();
    for block in read_as(&file, &layout, Options::default()) {
        assert!(block.faults.is_empty(), "{case}: {:?}", block.faults);
        for row in 0..block.batch.num_rows() {
            let value = |column: usize| {
                let column = block.batch.column(column).as_string::<i32>();
                assert!(column.is_valid(row), "{case}: quoted fields are never NULL");
                Value::from(column.value(row))
            };
            rows.push(
                names
                    .iter()
                    .enumerate()
                    .map(|(n, name)| ((*name).to_owned(), value(n)))
                    .collect(),
            );
        }
    }
    rows
}

#[test]
fn every_case_is_read_as_it_expects() {
    let mut cases: Vec<String> = fs::read_dir(folder("csvs"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let mut expected = expected(&case);
        if case == "location_coordinates" {
            // The expected JSON has a telephone number of another file.
            let number = expected[0].insert("Contact Phone Number".to_owned(), "2095257564".into());
            assert_eq!(number, Some("1234567890".into()));
        }
        let names: Vec<&str> = expected[0].keys().map(String::as_str).collect();
        assert_eq!(actual(&case, &names), expected, "{case}");
    }
}
