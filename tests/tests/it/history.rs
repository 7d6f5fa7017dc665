//! What has happened to a pipeline, and its tables as they were.

use std::fs;

use lake_tests::{Ended, Lake, csv, reading};

/// Two runs: one reading, and another one on the next day.
fn two_runs() -> Lake {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    lake.put(
        "b.csv",
        1,
        csv([reading(1, 1, 2, 0, "2"), "bad".to_owned()]),
    );
    lake.publish(&[]);
    lake
}

fn command(lake: &Lake, name: &str, arguments: &[&str]) -> Ended {
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&[&[name, pipeline], arguments].concat())
}

#[test]
fn history_shows_runs_and_stopped_attempts_newest_first_and_writes_nothing() {
    let lake = two_runs();
    lake.put("c.csv", 2, csv(vec!["only,bad,rows"; 150]));
    lake.run(&[]).assert(3, &["limits.rejected"]);
    let before = lake.tree();
    let told = command(&lake, "history", &["--output", "json"]).json();
    let runs = told["runs"].as_array().unwrap();
    let kinds: Vec<(i64, &str)> = runs
        .iter()
        .map(|run| {
            (
                run["run"].as_i64().unwrap(),
                run["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(kinds, [(0, "stopped"), (2, "done"), (1, "done")]);
    assert_eq!(runs[1]["inputs"][0]["rejected"], 1);
    assert!(runs[0]["why"].as_str().unwrap().contains("limits.rejected"));
    command(&lake, "history", &[]).assert_prints(&["stopped", "load", "done", "150", "utility"]);
    let limited = command(&lake, "history", &["--limit", "1", "--output", "json"]).json();
    assert_eq!(limited["more"], true);
    assert_eq!(lake.tree(), before, "it wrote something");
}

#[test]
fn one_run_is_told_in_full() {
    let lake = two_runs();
    command(&lake, "history", &["--run", "2"]).assert_prints(&[
        "run 2: load, done",
        "stages",
        "normalise_meter",
        "consumption/daily_usage",
        "fields",
        "versions",
    ]);
    command(&lake, "history", &["--run", "7"])
        .assert(1, &["there is no run 7", "the last one is 2"]);
}

#[test]
fn a_query_reads_the_tables_as_an_earlier_run_left_them() {
    let lake = two_runs();
    let count = |version: &str| {
        let sql = "SELECT (SELECT count(*) FROM standard.readings) AS readings, \
                   (SELECT count(*) FROM consumption.daily_usage) AS days, \
                   (SELECT count(*) FROM _lake.files) AS files";
        let arguments = [sql, "--version", version, "--output", "json"];
        command(&lake, "query", &arguments).json()[0].clone()
    };
    assert_eq!(
        [count("1"), count("2")],
        [
            serde_json::json!({ "readings": 1, "days": 1, "files": 1 }),
            serde_json::json!({ "readings": 2, "days": 2, "files": 2 }),
        ]
    );
    command(&lake, "query", &["SELECT 1", "--version", "9"]).assert(1, &["there is no run 9"]);
}

#[test]
fn a_table_that_is_gone_is_not_begun_anew_unless_somebody_says_so() {
    let lake = two_runs();
    fs::remove_dir_all(lake.object("standard/readings")).unwrap();
    lake.put("c.csv", 2, csv([reading(1, 1, 3, 0, "3")]));
    lake.run(&[]).assert(
        1,
        &[
            "standard/readings",
            "it is gone",
            "lake run --reload",
            "--accept-loss",
        ],
    );
    lake.publish(&["--accept-loss", "standard/readings"]);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["1"]);
    lake.publish(&["--reload"]);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["3"]);
    assert_eq!(
        lake.rows("SELECT count(*) FROM consumption.daily_usage"),
        ["3"]
    );
}
