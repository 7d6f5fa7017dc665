//! Questions to the tables of a pipeline.

use lake_tests::{Ended, Lake, csv, reading};
use serde_json::json;

/// A pipeline with two readings, of which one is long, and a rejected row.
fn loaded() -> Lake {
    let lake = Lake::new();
    let long = reading(1, 2, 1, 0, "2").replace("C-1", &"C".repeat(200));
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), long, "bad".to_owned()]),
    );
    lake.publish(&[]);
    lake
}

fn query(lake: &Lake, sql: &str, arguments: &[&str]) -> Ended {
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&[&["query", pipeline, sql], arguments].concat())
}

#[test]
fn an_answer_is_a_table_for_people() {
    let lake = loaded();
    let ended = query(
        &lake,
        "SELECT meter_id, usage_kwh FROM standard.readings ORDER BY 1",
        &[],
    );
    ended.assert_prints(&[
        "meter_id",
        "usage_kwh",
        "M0000001",
        "1.000",
        "2.000",
        "2 rows",
    ]);
}

#[test]
fn nulls_are_shown_and_not_taken_for_empty_text() {
    let ended = query(
        &loaded(),
        "SELECT resolved_run, '' AS empty FROM rejection.readings",
        &[],
    );
    ended.assert_prints(&["∅", "1 row"]);
}

#[test]
fn an_answer_as_csv_has_a_header_and_quotes_what_needs_it() {
    let lake = loaded();
    let sql = "SELECT meter_id, 'a,\"b\"' AS text, CAST(NULL AS INT) AS nothing FROM standard.readings ORDER BY 1 LIMIT 1";
    let ended = query(&lake, sql, &["--output", "csv"]);
    assert_eq!(
        ended.assert(0, &[]).stdout,
        "meter_id,text,nothing\nM0000001,\"a,\"\"b\"\"\",\n"
    );
    let none = query(
        &lake,
        "SELECT meter_id FROM standard.readings WHERE false",
        &["--output", "csv"],
    );
    assert_eq!(none.assert(0, &[]).stdout, "meter_id\n");
}

#[test]
fn an_answer_as_json_keeps_numbers_nulls_and_nested_values() {
    let lake = loaded();
    let sql = "SELECT line, resolved_run, reasons FROM rejection.readings";
    let rows = query(&lake, sql, &["--output", "json"])
        .assert(0, &[])
        .json();
    assert_eq!(rows[0]["line"], json!(4));
    assert_eq!(rows[0]["resolved_run"], json!(null));
    assert_eq!(rows[0]["reasons"][0]["check"], json!("fields"));
    let none = query(
        &lake,
        "SELECT 1 AS one FROM standard.readings WHERE false",
        &["--output", "json"],
    );
    assert_eq!(none.assert(0, &[]).json(), json!([]));
}

#[test]
fn rows_that_are_wider_than_the_terminal_are_folded_into_it() {
    let lake = loaded().variable("COLUMNS", "60");
    for sql in [
        "SELECT * FROM standard.readings ORDER BY meter_id",
        "SELECT * FROM consumption.daily_usage",
        "SELECT * FROM rejection.readings",
        "SELECT * FROM _lake.runs",
    ] {
        let ended = query(&lake, sql, &[]);
        for line in ended.assert(0, &[]).stdout.lines() {
            assert!(line.chars().count() <= 60, "{sql}: {line}");
        }
    }
    // Nothing of a folded value is lost.
    let shown = query(
        &lake,
        "SELECT * FROM standard.readings ORDER BY meter_id",
        &[],
    )
    .stdout;
    assert!(shown.matches('C').count() >= 201);
    assert!(shown.contains("2 rows"));
}

#[test]
fn an_unknown_table_is_answered_with_those_that_are_there() {
    let lake = loaded();
    query(&lake, "SELECT * FROM standard.reading", &[]).assert(
        1,
        &[
            "standard.reading",
            "the tables are standard.readings, consumption.daily_usage, rejection.readings, _lake.files, _lake.runs",
        ],
    );
    query(&lake, "SELECT no_such_column FROM standard.readings", &[])
        .assert(1, &["no_such_column"]);
    query(&lake, "SELEKT 1", &[]).assert(1, &["SELEKT"]);
}

#[test]
fn a_query_changes_nothing() {
    let lake = loaded();
    let before = lake.tree();
    for sql in [
        "DROP TABLE standard.readings",
        "CREATE TABLE mine AS SELECT * FROM standard.readings",
        "CREATE VIEW mine AS SELECT * FROM standard.readings",
        "INSERT INTO standard.readings SELECT * FROM standard.readings",
        "DELETE FROM standard.readings",
        "UPDATE standard.readings SET region = 'south'",
        "COPY standard.readings TO 'copy.csv'",
        "EXPLAIN ANALYZE INSERT INTO standard.readings SELECT * FROM standard.readings",
        "SET datafusion.execution.batch_size = 1",
    ] {
        let ended = query(&lake, sql, &[]);
        assert_eq!(ended.code, 1, "{sql}: {}", ended.stdout);
    }
    query(&lake, "DELETE FROM standard.readings", &[]).assert(1, &["a query reads"]);
    assert_eq!(lake.tree(), before);
    assert!(!lake.directory().join("copy.csv").exists());
}

#[test]
fn a_query_before_the_first_run_says_what_to_do() {
    let lake = Lake::new();
    query(&lake, "SELECT 1", &[]).assert(1, &["there are no tables at", "run the pipeline first"]);
    assert!(lake.tree().is_empty());
}

#[test]
fn tables_of_all_zones_can_be_joined() {
    let lake = loaded();
    assert_eq!(
        lake.rows(
            "SELECT r.run, f.rejected, count(*) FROM standard.readings s \
             JOIN _lake.runs r ON r.run = s._run JOIN _lake.files f ON f.run = r.run GROUP BY 1, 2"
        ),
        ["1,1,2"]
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let lake = Lake::samples();
    lake.publish(&[]);
    let pipeline = lake.pipeline().to_str().unwrap();
    let mut child = lake
        .command(&[
            "query",
            pipeline,
            "SELECT a.* FROM standard.readings a, consumption.daily_usage",
            "--output",
            "csv",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
