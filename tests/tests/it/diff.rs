//! What another release would do, before anybody uses it.

use lake_tests::{Ended, csv, reading};
use serde_json::{Value, json};

use crate::team::Team;

/// Release 1.0.0, and 1.3.0, which doubles what is used and rejects what is small.
fn team() -> Team {
    let team = Team::with(&["1.0.0", "1.1.0", "1.3.0 doubles"]);
    let rows = [
        reading(1, 1, 1, 0, "1.5"),
        reading(1, 2, 1, 0, "3"),
        reading(1, 3, 1, 0, "0.5"),
    ];
    team.lake.put("day.csv", 1, csv(rows));
    team
}

fn diff(team: &Team, arguments: &[&str]) -> Ended {
    let pipeline = team.lake.pipeline().to_str().unwrap();
    team.lake.lake(&[&["diff", pipeline], arguments].concat())
}

fn table<'a>(report: &'a Value, name: &str) -> &'a Value {
    let tables = report["tables"].as_array().unwrap();
    tables.iter().find(|table| table["name"] == name).unwrap()
}

#[test]
fn rows_that_another_release_changes_and_rejects_are_counted_and_shown() {
    let team = team();
    let ended = diff(&team, &["--against", "1.0.0", "--output", "json"]);
    let report = ended.assert(0, &[]).json();
    assert_eq!(report["status"], "different");
    assert_eq!(
        [&report["before"]["version"], &report["after"]["version"]],
        ["1.0.0", "1.3.0"]
    );
    let readings = table(&report, "standard/readings");
    let counts = ["added", "removed", "changed", "rows_before", "rows_after"];
    assert_eq!(
        counts.map(|count| readings[count].clone()),
        [0, 1, 2, 3, 2].map(Value::from)
    );
    assert_eq!(
        readings["columns"],
        json!([{ "name": "usage_kwh", "changed": 2 }])
    );
    let changed = readings["samples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["kind"] == "changed");
    assert_eq!(
        changed.unwrap()["values"][2],
        json!({ "column": "usage_kwh", "before": "1.500", "after": "3.000" })
    );
    let rejected = table(&report, "rejection/readings");
    assert_eq!(rejected["added"], 1);
    assert_eq!(report["inputs"][0]["rejected_after"], 1);
    let shown = diff(&team, &["--against", "1.0.0"]);
    shown.assert_prints(&[
        "meters 1.3.0 makes other tables than 1.0.0",
        "standard/readings: 0 added, 1 removed, 2 changed; 3 → 2 rows",
        "usage_kwh differs in 2 rows",
        "~ meter_id = M0000001, start_time = 2025-06-01T00:00:00Z, usage_kwh: 1.500 → 3.000",
        "rejection/readings: 1 added",
        "rejected 0 → 1",
    ]);
}

#[test]
fn a_comparison_publishes_nothing_and_leaves_nothing_behind() {
    let team = team();
    diff(&team, &["--against", "1.0.0"]).assert(0, &[]);
    assert!(team.lake.tree().is_empty(), "{:?}", team.lake.tree());
    team.lake
        .run(&["--transform", "meters@1.0.0"])
        .assert(0, &[]);
    let before = team.lake.tree();
    diff(&team, &["--against", "1.0.0", "--reload"]).assert(0, &[]);
    assert_eq!(team.lake.tree(), before);
}

#[test]
fn ci_can_stop_where_rows_change_and_goes_on_where_they_do_not() {
    let team = team();
    let gate = ["--against", "1.0.0", "--fail-on", "changes"];
    let stopped = diff(&team, &gate);
    assert_eq!(stopped.code, 3, "{}", stopped.stderr);
    assert!(
        stopped.stdout.contains("makes other tables than"),
        "{}",
        stopped.stdout
    );
    // A row that both reject is the same, whichever release says so.
    team.lake
        .put("bad.csv", 1, csv([reading(1, 9, 1, 0, "-1")]));
    let same = diff(
        &team,
        &[&gate[..], &["--transform", "meters@1.1.0"]].concat(),
    );
    same.assert_prints(&[
        "meters 1.1.0 makes the same tables as 1.0.0",
        "the same 3 rows",
    ]);
}

#[test]
fn loaded_files_are_compared_where_somebody_asks_for_a_reload() {
    let team = team();
    team.lake
        .run(&["--transform", "meters@1.0.0"])
        .assert(0, &[]);
    let quiet = diff(&team, &["--against", "1.0.0"]);
    quiet.assert_prints(&["the same tables as"]);
    let all = diff(&team, &["--against", "1.0.0", "--reload"]);
    all.assert_prints(&["other tables than", "2 changed"]);

    // What is pending is compared on top of what is stored.
    team.lake
        .put("next.csv", 2, csv([reading(1, 4, 1, 0, "2")]));
    let next = diff(&team, &["--against", "1.0.0", "--output", "json"]);
    let report = next.assert(0, &[]).json();
    let readings = table(&report, "standard/readings");
    assert_eq!([&readings["changed"], &readings["rows_after"]], [1, 4]);
}

#[test]
fn a_release_that_is_not_there_is_named() {
    let team = team();
    diff(&team, &["--against", "7.0.0"]).assert(1, &["7.0.0", "meters"]);
    assert!(team.lake.tree().is_empty());
}
