//! Rows without a key: they are rejected by the name of the table that needs one.
//!
//! The transform of these tests is one crate, whose keys a variable chooses.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, csv, make_crate, reading, target};
use serde_json::{Value, json};

/// A transform whose tables have the key that the variable `KEY` says.
const KEYED: &str = r#"//! A transform whose keys can be NULL.

use lake_plugin::prelude::*;

pub fn keyed() -> Transform {
    let key = std::env::var("KEY").unwrap_or_default();
    let readings = match key.as_str() {
        "computed" => "SELECT nullif(meter_id, 'M0000002') AS meter_id, start_time FROM readings WHERE usage_kwh < 100",
        "window" => "SELECT lag(meter_id) OVER (ORDER BY meter_id) AS meter_id, start_time FROM readings",
        _ => "SELECT meter_id, start_time, usage_kwh FROM readings",
    };
    let transform = Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("meter_id", text())
                .column("start_time", timestamp().required())
                .column("usage_kwh", decimal(12, 3).required())
                .check("usage is not negative", "usage_kwh >= 0"),
        )
        .table(Table::standard("readings").sql(readings).key(["meter_id", "start_time"]));
    match key.as_str() {
        "of two tables" => transform.table(
            Table::standard("meters")
                .sql("SELECT nullif(meter_id, 'M0000002') AS meter, usage_kwh FROM readings")
                .key(["meter"]),
        ),
        _ => transform,
    }
}

lake_plugin::export!(keyed);
"#;

#[test]
fn a_row_without_a_key_is_rejected_by_the_tables_name() {
    let lake = keyed("column", &[without_meter("5"), reading(1, 3, 1, 0, "5")]);
    let report = lake.publish(&[]);
    assert_eq!(counts(&report), json!([2, 1, 1]));
    assert_eq!(report["tables"]["standard/readings"]["inserted"], 1);
    assert_eq!(report["tables"]["standard/readings"]["filtered"], 0);
    let rejected = &lake.query("SELECT line, raw, reasons FROM rejection.readings")[0];
    assert_eq!(rejected["line"], 2);
    assert_eq!(rejected["raw"], without_meter("5"));
    assert_eq!(
        rejected["reasons"][0],
        json!({
            "check": "key",
            "column": "meter_id",
            "value": null,
            "message": "meter_id is empty, and part of the key of standard/readings",
        })
    );
}

#[test]
fn a_row_that_is_rejected_anyway_needs_no_key() {
    let lake = keyed("column", &[without_meter("-1")]);
    assert_eq!(counts(&lake.publish(&[])), json!([1, 0, 1]));
    let rejected = &lake.query("SELECT reasons FROM rejection.readings")[0];
    let reasons = rejected["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0]["check"], "usage is not negative");
}

#[test]
fn a_row_whose_computed_key_is_null_is_rejected_unless_the_sql_leaves_it_out() {
    let rows = [
        reading(1, 1, 1, 0, "5"),
        reading(1, 2, 1, 0, "5"),
        reading(1, 2, 1, 1, "500"),
    ];
    let lake = keyed("computed", &rows);
    let report = lake.publish(&[]);
    assert_eq!(counts(&report), json!([3, 2, 1]));
    let table = &report["tables"]["standard/readings"];
    assert_eq!([&table["inserted"], &table["filtered"]], [1, 1]);
    let rejected = &lake.query("SELECT line, reasons FROM rejection.readings")[0];
    assert_eq!(rejected["line"], 3);
    let message = rejected["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("nullif"), "{message}");
    assert!(
        message.ends_with("it is meter_id, part of the key of standard/readings"),
        "{message}"
    );
}

#[test]
fn a_row_that_one_table_cannot_hold_is_rejected_for_all() {
    let rows = [
        reading(1, 1, 1, 0, "5"),
        reading(1, 2, 1, 0, "5"),
        without_meter("5"),
    ];
    let lake = keyed("of two tables", &rows);
    let report = lake.publish(&[]);
    assert_eq!(counts(&report), json!([3, 1, 2]));
    for table in ["standard/readings", "standard/meters"] {
        let table = &report["tables"][table];
        assert_eq!([&table["inserted"], &table["filtered"]], [1, 0]);
    }
    let rejected = lake.query("SELECT reasons FROM rejection.readings ORDER BY line");
    let tables = |row: &Value| row["reasons"].as_array().unwrap().len();
    assert_eq!(rejected.iter().map(tables).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_key_that_one_row_does_not_determine_stops_the_run_where_it_is_null() {
    let lake = keyed("window", &[reading(1, 1, 1, 0, "5")]);
    lake.run(&[]).assert(
        1,
        &[
            "standard/readings",
            "no meter_id, which is part of the key",
            "require",
        ],
    );
    lake.assert_nothing_published();
}

fn without_meter(kwh: &str) -> String {
    reading(1, 2, 1, 0, kwh).replace("M0000002", "")
}

/// Rows, accepted, rejected.
fn counts(report: &Value) -> Value {
    let input = &report["inputs"]["readings"];
    json!([input["rows"], input["accepted"], input["rejected"]])
}

/// A pipeline with some key and one file.
fn keyed(key: &str, rows: &[String]) -> Lake {
    let lake = building("keyed", "1", transform()).variable("KEY", key);
    lake.put("a.csv", 0, csv(rows));
    lake
}

/// The crate of the transform, made and built once.
fn transform() -> &'static Path {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/keyed");
        make_crate(&directory, "keyed", KEYED);
        building("keyed", "1", &directory).run(&[]).assert(0, &[]);
        directory
    })
}
