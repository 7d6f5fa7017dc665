//! `on_change: replace`: what a file has now takes the place of what it had before, everywhere.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, csv, make_crate, reading, target};
use serde_json::Value;

/// Accounts that can be closed, all lines that were received, and a table with a `_file` of its own.
const BOOK: &str = r#"//! Accounts, and the lines they are made of.

use lake_plugin::prelude::*;

pub fn book() -> Transform {
    let file = match std::env::var("BOOK").as_deref() {
        Ok("renames") => "upper(_file)",
        _ => "_file",
    };
    Transform::new()
        .input(Input::csv("readings").header()
            .column("id", text().required())
            .column("revision", integer())
            .column("operation", text())
            .column("owner", text()))
        .table(Table::standard("accounts")
            .sql("SELECT id, revision, owner FROM readings")
            .key(["id"])
            .newest_by(["revision"])
            .history()
            .delete_when("operation = 'close'"))
        .table(Table::standard("lines")
            .sql(format!("SELECT id, owner, {file} AS _file FROM (SELECT * FROM readings) r")))
        .table(Table::consumption("owners")
            .sql("SELECT owner, count(*) AS accounts FROM standard.accounts GROUP BY owner")
            .key(["owner"])
            .refresh_by(["owner"]))
}
lake_plugin::export!(book);
"#;

const REPLACE: [&str; 2] = ["--set", "inputs.readings.on_change=replace"];
const LIVE: &str = "SELECT id, revision, owner FROM standard.accounts ORDER BY id";
const OWNERS: &str = "SELECT owner, accounts FROM consumption.owners ORDER BY owner";
const LINES: &str = "SELECT id, owner FROM standard.lines ORDER BY id, owner";
const DAILY: &str =
    "SELECT customer_id, usage_date, usage_kwh FROM consumption.daily_usage ORDER BY 1, 2";
const READINGS: &str =
    "SELECT meter_id, start_time, usage_kwh FROM standard.readings ORDER BY 1, 2, 3";

#[test]
fn rows_that_only_the_earlier_content_had_are_gone_and_what_is_computed_of_them_too() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([1, 2, 3].map(|day| reading(1, 1, day, 0, "1"))),
    );
    lake.put("b.csv", 0, csv([reading(2, 2, 3, 0, "5")]));
    lake.publish(&REPLACE);
    // The first day is corrected, the second one withdrawn, the fourth new.
    lake.put(
        "a.csv",
        1,
        csv([(1, "7"), (3, "1"), (4, "1")].map(|(day, kwh)| reading(1, 1, day, 0, kwh))),
    );
    let plan = lake.lake(&[&["plan"], REPLACE.as_slice()].concat());
    plan.assert_prints(&[
        "rows go that only the earlier content of changed files had (1 to replace)",
    ]);
    let ended = lake.run(&[REPLACE.as_slice(), &["--output", "json"]].concat());
    let report = ended.assert(0, &[]).json();
    let table = &report["tables"]["standard/readings"];
    let figures = ["inserted", "updated", "deleted", "rows"].map(|name| &table[name]);
    assert_eq!(figures, [1, 2, 1, 4]);
    assert_eq!(report["tables"]["consumption/daily_usage"]["how"], "groups");
    let warnings = report["warnings"].to_string();
    assert!(
        warnings
            .contains("keys that only the earlier content of replaced files had are removed: 1"),
        "{warnings}"
    );
    assert!(warnings.contains("lake run --reload"), "{warnings}");

    // As if the files had always been as they are now.
    let fresh = Lake::new();
    for file in ["a.csv", "b.csv"] {
        let content = std::fs::read(lake.directory().join("data").join(file)).unwrap();
        fresh.put(file, 1, content);
    }
    fresh.publish(&[]);
    for sql in [READINGS, DAILY] {
        assert_eq!(lake.rows(sql), fresh.rows(sql));
    }
    assert_eq!(lake.publish(&REPLACE)["status"], "nothing_to_do");
}

#[test]
fn rejected_rows_of_the_earlier_content_are_gone() {
    let lake = Lake::new();
    let bad = |text: &str| [reading(1, 1, 1, 0, "1"), text.to_owned(), "same".to_owned()];
    lake.put("a.csv", 0, csv(bad("first")));
    lake.put("b.csv", 0, csv(bad("other")));
    let replace = [REPLACE.as_slice(), &["--set", "limits.rejected=100%"]].concat();
    lake.publish(&replace);
    lake.put("a.csv", 1, csv(bad("secnd")));
    let report = lake.publish(&replace);
    let table = &report["tables"]["rejection/readings"];
    assert_eq!([&table["deleted"], &table["rows"]], [1, 4], "{table}");
    assert_eq!(
        lake.rows("SELECT raw FROM rejection.readings ORDER BY raw"),
        ["other", "same", "same", "secnd"]
    );
}

#[test]
fn every_kind_of_table_loses_what_the_earlier_content_made() {
    let lake = book();
    put(&lake, "a.csv", 1, &["x,9,,anna", "y,1,,anna", "z,1,,anna"]);
    put(&lake, "b.csv", 1, &["u,1,,bert", "z,3,,bert"]);
    lake.publish(&REPLACE);
    // A lower revision takes the place of a higher one: its file says so.
    put(&lake, "a.csv", 2, &["x,2,,carl"]);
    let report = lake.publish(&REPLACE);
    assert_eq!(lake.rows(LIVE), ["u,1,bert", "x,2,carl", "z,3,bert"]);
    assert_eq!(lake.rows(OWNERS), ["bert,2", "carl,1"]);
    assert_eq!(lake.rows(LINES), ["u,bert", "x,carl", "z,bert"]);
    let lines = &report["tables"]["standard/lines"];
    assert_eq!([&lines["inserted"], &lines["deleted"]], [1, 3], "{lines}");
    let versions = "SELECT id, revision FROM standard.accounts_history ORDER BY 1, 2";
    assert_eq!(
        lake.rows(versions),
        ["u,1", "x,2", "x,9", "y,1", "z,1", "z,3"],
        "the history keeps every version"
    );
}

#[test]
fn deletions_that_only_the_earlier_content_made_are_taken_back() {
    let lake = book();
    put(&lake, "a.csv", 1, &["x,1,,anna", "y,1,,anna"]);
    lake.publish(&REPLACE);
    put(&lake, "b.csv", 2, &["x,5,close,", "y,5,close,"]);
    lake.publish(&REPLACE);
    assert!(lake.rows(LIVE).is_empty());
    put(&lake, "b.csv", 3, &["y,5,close,"]);
    let report = lake.publish(&REPLACE);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("made are taken back: 1") && warnings.contains("b.csv"),
        "{warnings}"
    );
    // What x was before is in a.csv, which this run does not read; the next old row counts again.
    assert!(lake.rows(LIVE).is_empty());
    put(&lake, "c.csv", 4, &["x,0,,carl", "y,0,,carl"]);
    lake.publish(&REPLACE);
    assert_eq!(lake.rows(LIVE), ["x,0,carl"]);
    lake.publish(&["--reload", "--set", "inputs.readings.on_change=replace"]);
    assert_eq!(lake.rows(LIVE), ["x,1,anna"]);
}

#[test]
fn a_row_that_was_replaced_by_a_withdrawn_one_comes_back_with_a_reload_as_the_run_says() {
    let lake = book();
    put(&lake, "a.csv", 1, &["x,1,,anna"]);
    put(&lake, "b.csv", 1, &["x,2,,bert", "y,1,,bert"]);
    lake.publish(&REPLACE);
    put(&lake, "b.csv", 2, &["y,1,,bert"]);
    let ended = lake.run(&REPLACE);
    ended.assert(
        0,
        &[
            "standard/accounts: keys that",
            "are removed: 1",
            "`lake run --reload`",
        ],
    );
    assert_eq!(lake.rows(LIVE), ["y,1,bert"]);
    lake.publish(&["--reload", "--set", "inputs.readings.on_change=replace"]);
    assert_eq!(lake.rows(LIVE), ["x,1,anna", "y,1,bert"]);
}

#[test]
fn a_file_that_is_emptied_loses_its_rows_where_empty_files_are_loaded() {
    let lake = book();
    put(&lake, "a.csv", 1, &["x,1,,anna", "bad"]);
    put(&lake, "b.csv", 1, &["y,1,,bert"]);
    lake.publish(&REPLACE);
    lake.put("a.csv", 2, "");
    let ended = lake.run(&REPLACE);
    ended.assert(0, &["a.csv: the file is empty; it stays pending"]);
    assert_eq!(lake.rows(LIVE), ["x,1,anna", "y,1,bert"]);
    let load = [
        REPLACE.as_slice(),
        &["--set", "inputs.readings.on_empty=load"],
    ]
    .concat();
    assert_eq!(lake.publish(&load)["run"], 2);
    assert_eq!(lake.rows(LIVE), ["y,1,bert"]);
    assert_eq!(lake.rows(OWNERS), ["bert,1"]);
    assert_eq!(lake.rows(LINES), ["y,bert"]);
    assert_eq!(lake.rows("SELECT count(*) FROM rejection.readings"), ["0"]);
    assert_eq!(lake.publish(&load)["status"], "nothing_to_do");
}

#[test]
fn a_table_that_calls_something_else_its_file_is_refused_before_anything_is_lost() {
    let lake = book().variable("BOOK", "renames");
    put(&lake, "a.csv", 1, &["x,1,,anna"]);
    lake.publish(&REPLACE);
    put(&lake, "a.csv", 2, &["y,1,,anna"]);
    lake.run(&REPLACE).assert(
        1,
        &[
            "standard/lines",
            "selects something else as _file",
            "upsert",
        ],
    );
    assert_eq!(lake.rows(LIVE), ["x,1,anna"]);
}

#[test]
fn a_changed_file_stops_the_run_by_default_and_says_what_else_there_is() {
    let lake = book();
    put(&lake, "a.csv", 1, &["x,1,,anna"]);
    lake.publish(&[]);
    put(&lake, "a.csv", 2, &["x,2,,anna"]);
    let fail = ["--set", "inputs.readings.on_change=fail"];
    let ended = lake.run(&fail);
    ended.assert(1, &["a.csv (loaded by run 1)", "upsert or replace", "skip"]);
    let skip = ["--set", "inputs.readings.on_change=skip"];
    lake.run(&skip).assert(
        0,
        &["a.csv has changed since run 1 loaded it, and is skipped"],
    );
    assert_eq!(lake.rows(LIVE), ["x,1,anna"]);
    assert_eq!(lake.publish(&[])["run"], Value::from(2));
    assert_eq!(lake.rows(LIVE), ["x,2,anna"]);
}

/// A pipeline of accounts.
fn book() -> Lake {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    let directory: &Path = CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/book");
        make_crate(&directory, "book", BOOK);
        directory
    });
    building("book", "1", directory)
}

fn put(lake: &Lake, name: &str, hour: u64, lines: &[&str]) {
    let text = format!("id,revision,operation,owner\n{}\n", lines.join("\n"));
    lake.put(name, hour, text);
}
