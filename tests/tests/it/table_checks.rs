//! Table checks: nothing of a run is published where one does not hold.
//!
//! The transform of these tests is one crate, whose checks a variable names.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Ended, Lake, building, csv, make_crate, reading, target};
use serde_json::Value;

/// A transform with the checks that the variable `CHECKS` names, by `; `.
const CHECKING: &str = r#"//! A transform with the table checks that it is asked for.

use lake_plugin::prelude::*;

pub fn checking() -> Transform {
    let mut readings = Table::standard("readings")
        .sql("SELECT meter_id, start_time, CAST(start_time AS DATE) AS day, usage_kwh, region FROM readings")
        .key(["meter_id", "start_time"]);
    let mut totals = Table::consumption("totals")
        .sql("SELECT meter_id, sum(usage_kwh) AS total FROM standard.readings GROUP BY meter_id")
        .key(["meter_id"]);
    let asked = std::env::var("CHECKS").unwrap_or_default();
    for name in asked.split("; ").filter(|name| !name.is_empty()) {
        let (name, warns) = match name.strip_prefix("warn ") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let check = check(name);
        let check = if warns { check.warn() } else { check };
        if name.starts_with("totals") {
            totals = totals.check(check);
        } else {
            readings = readings.check(check);
        }
    }
    Transform::new()
        .param(param("expected", decimal(12, 3)).default("12"))
        .input(
            Input::csv("readings")
                .header()
                .column("meter_id", text().required())
                .column("start_time", timestamp().required())
                .column("usage_kwh", decimal(12, 3).required())
                .column("region", text()),
        )
        .table(readings)
        .table(totals)
}

fn check(name: &str) -> TableCheck {
    match name {
        "some rows" => TableCheck::rows(1..),
        "two rows" => TableCheck::rows(..=2),
        "a meter" => TableCheck::unique(["meter_id"]),
        "a meter and region" => TableCheck::unique(["meter_id", "region"]),
        "a region" => TableCheck::not_null("region"),
        "known regions" => TableCheck::accepted("region", ["north", "west"]),
        "known usages" => TableCheck::accepted("usage_kwh", ["1", "2.5000"]),
        "small usage" => TableCheck::range("usage_kwh", Some("0.0005"), Some("10")),
        "days of June" => TableCheck::range("day", Some("2025-06-01"), Some("2025-06-30")),
        "fresh" => TableCheck::fresh("start_time", "2d"),
        "fresh day" => TableCheck::fresh("day", "90000d"),
        "of this century" => TableCheck::fresh("start_time", "9000d"),
        "sum" => TableCheck::sum("usage_kwh", "SELECT $expected", 0.01),
        "sum of nothing" => TableCheck::sum("usage_kwh", "SELECT sum(total)\nFROM consumption.totals WHERE meter_id = 'none'", 0.5),
        "sum of no row" => TableCheck::sum("usage_kwh", "SELECT total FROM consumption.totals WHERE false", 0.5),
        "totals sum" => TableCheck::sum("total", "SELECT sum(usage_kwh) FROM standard.readings", 0.0),
        "totals of all" => TableCheck::sql(
            "every meter has a total",
            "SELECT count(*) = (SELECT count(DISTINCT meter_id) FROM standard.readings) FROM consumption.totals",
        ),
        "totals are large" => TableCheck::sql("totals are large", "SELECT min(total) > $expected FROM consumption.totals"),
        "several answers" => TableCheck::sql("one answer", "SELECT usage_kwh > 0 FROM standard.readings"),
        "a division" => TableCheck::sql("a division", "SELECT 1 / (count(*) - count(*)) > 0 FROM standard.readings"),
        "unknown column" => TableCheck::not_null("regoin"),
        "no number" => TableCheck::accepted("usage_kwh", ["many"]),
        "no time" => TableCheck::fresh("region", "2d"),
        "no sum" => TableCheck::sum("region", "SELECT 1", 0.5),
        "no boolean" => TableCheck::sql("a number", "SELECT count(*) FROM standard.readings"),
        "an input" => TableCheck::sql("an input", "SELECT count(*) > 0\nFROM readings"),
        "bad SQL" => TableCheck::sql("a reference", "SELECT true FROM standard.readings\nWHERE usage > 1"),
        other => panic!("no check is called {other}"),
    }
}

lake_plugin::export!(checking);
"#;

#[test]
fn the_number_of_rows_is_held_against_its_bounds() {
    holds("some rows", &rows(1), "has 1 row");
    fails("some rows", &[], "has 0 rows, at least 1 expected");
    holds("two rows", &[], "has 0 rows");
    fails("two rows", &rows(3), "has 3 rows, at most 2 expected");
    warns("two rows", &rows(3), "has 3 rows, at most 2 expected");
}

#[test]
fn duplicate_keys_are_counted_and_shown() {
    let twice = [reading(1, 1, 1, 0, "1"), reading(1, 1, 1, 1, "1")];
    fails(
        "a meter",
        &twice,
        "1 duplicate key, for instance meter_id = M0000001",
    );
    warns(
        "a meter",
        &twice,
        "1 duplicate key, for instance meter_id = M0000001",
    );
    holds("a meter", &[], "no duplicate keys");
    fails(
        "a meter and region",
        &twice,
        "1 duplicate key, for instance meter_id = M0000001, region = north",
    );
    let without = twice.map(|row| row.replace("north", ""));
    holds("a meter and region", &without, "no duplicate keys");
}

#[test]
fn a_null_is_found_where_there_must_be_none() {
    let mut some = rows(3);
    holds("a region", &some, "region is never NULL");
    holds("a region", &[], "region is never NULL");
    some[1] = some[1].replace("north", "");
    fails("a region", &some, "1 row has region = NULL");
    warns("a region", &some, "1 row has region = NULL");
}

#[test]
fn values_that_are_not_accepted_are_listed() {
    let mut some = rows(4);
    holds("known regions", &some, "no region is outside");
    some[0] = some[0].replace("north", "");
    holds("known regions", &some, "no region is outside");
    some[1] = some[1].replace("north", "nord");
    some[2] = some[2].replace("north", "sud");
    fails("known regions", &some, "2 rows have region = 'nord', 'sud'");
    warns("known regions", &some, "2 rows have region = 'nord', 'sud'");
    let many = (1..=8).map(|n| {
        rows(n)[0]
            .replace("north", &format!("r{n}"))
            .replace("M0000001", &format!("M{n}"))
    });
    let many: Vec<String> = many.collect();
    fails(
        "known regions",
        &many,
        "8 rows have region = 'r1', 'r2', 'r3', 'r4', 'r5' and others",
    );
    holds(
        "known usages",
        &[reading(1, 1, 1, 0, "2.5")],
        "no usage_kwh is outside",
    );
    fails(
        "known usages",
        &[reading(1, 1, 1, 0, "3")],
        "1 row has usage_kwh = 3.000",
    );
}

#[test]
fn values_outside_a_range_are_counted_with_their_extremes() {
    holds("small usage", &rows(3), "no usage_kwh is outside");
    holds("small usage", &[], "no usage_kwh is outside");
    let some = [
        reading(1, 1, 1, 0, "0"),
        reading(1, 1, 1, 1, "0.001"),
        reading(1, 1, 1, 2, "12.5"),
    ];
    let detail = "2 rows have usage_kwh outside, from 0.000 to 12.500";
    fails("small usage", &some, detail);
    warns("small usage", &some, detail);
    let july = reading(1, 1, 1, 0, "1").replace("2025-06", "2025-07");
    fails("days of June", &[july], "1 row has day = 2025-07-01");
}

#[test]
fn a_table_is_as_fresh_as_its_latest_value() {
    let some = rows(3);
    let latest = "latest start_time is 2025-06-01T02:00:00Z, ";
    fails("fresh", &some, latest);
    warns("fresh", &some, latest);
    holds("of this century", &some, latest);
    holds("fresh day", &some, "latest day is 2025-06-01, ");
    fails("of this century", &[], "there is no start_time");
}

#[test]
fn a_sum_is_held_against_a_reference() {
    let sum = |kwh: &str| [reading(1, 1, 1, 0, kwh), reading(1, 1, 1, 1, "0")];
    holds(
        "sum",
        &sum("12"),
        "sum 12.000 and reference 12.000 are the same",
    );
    holds("sum", &sum("12.12"), "differ by 1 %, 1 % is allowed");
    fails(
        "sum",
        &sum("10"),
        "sum 10.000 and reference 12.000 differ by 16.7 %, 1 % is allowed",
    );
    warns(
        "sum",
        &sum("12.121"),
        "sum 12.121 and reference 12.000 differ by",
    );
    fails("sum", &[], "sum 0 and reference 12.000 differ by 100 %");
    holds("sum of nothing", &[], "sum 0 and reference 0 are the same");
    fails(
        "sum of nothing",
        &sum("1"),
        "sum 1.000 and reference 0 differ by 1",
    );
    fails(
        "sum of no row",
        &sum("1"),
        "the reference yields no row, one expected",
    );
    holds("totals sum", &sum("0.001"), "are the same");
}

#[test]
fn a_query_has_to_yield_true() {
    holds("totals of all", &rows(3), "yields true");
    fails("totals are large", &rows(3), "yields false, true expected");
    warns("totals are large", &rows(3), "yields false, true expected");
    fails("totals are large", &[], "yields NULL, true expected");
    fails(
        "several answers",
        &rows(3),
        "the query yields several rows, one expected",
    );
}

#[test]
fn a_check_that_cannot_be_computed_is_named_and_publishes_nothing() {
    let lake = checking("a division", &rows(1));
    lake.run(&[]).assert(
        1,
        &["standard/readings, check 'a division'", "ivide by zero"],
    );
    lake.assert_nothing_published();
}

#[test]
fn everything_that_does_not_hold_is_said_and_kept_at_once() {
    let lake = checking(
        "two rows; a meter; some rows; warn small usage; totals are large",
        &rows(3),
    );
    let row = reading(1, 1, 2, 0, "many");
    lake.put("b.csv", 1, csv([row]));
    let ended = lake.run(&["--set", "limits.rejected=10%"]);
    ended.assert(
        3,
        &[
            "input readings: 1 of 4 rows were rejected",
            "standard/readings: check 'has at most 2 rows' does not hold: has 3 rows, at most 2 expected",
            "standard/readings: check 'meter_id is unique' does not hold",
            "consumption/totals: check 'totals are large' does not hold",
            "nothing was published",
        ],
    );
    lake.assert_nothing_published();
    let kept = stopped(&lake);
    let checks = kept["checks"].as_array().unwrap();
    let names: Vec<&Value> = checks.iter().map(|check| &check["check"]).collect();
    assert_eq!(
        names,
        [
            "has at most 2 rows",
            "meter_id is unique",
            "totals are large"
        ]
    );
    assert_eq!(checks[0]["detail"], "has 3 rows, at most 2 expected");
    assert_eq!(kept["rejected"].as_array().unwrap().len(), 1);
}

#[test]
fn a_table_that_a_run_leaves_as_it_was_is_checked_too() {
    let lake = checking("", &rows(3));
    lake.publish(&[]);
    lake.put("b.csv", 1, csv([] as [&str; 0]));
    let lake = lake.variable("CHECKS", "totals are large");
    lake.run(&[]).assert(3, &["totals are large"]);
    assert_eq!(lake.query("SELECT run FROM _lake.runs").len(), 1);

    let lake = lake.variable("CHECKS", "warn totals are large");
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["consumption/totals"]["how"], "unchanged");
    assert_eq!(report["checks"][0]["holds"], false);
}

#[test]
fn a_check_that_cannot_be_asked_is_found_before_anything_is_read() {
    for (check, texts) in [
        (
            "unknown column",
            &[
                "standard/readings, check 'regoin is not null'",
                "did you mean region?",
            ][..],
        ),
        (
            "no number",
            &["usage_kwh is decimal(12, 3), and 'many' is none"],
        ),
        (
            "no time",
            &["region is text; only timestamps and dates are fresh or not"],
        ),
        ("no sum", &["region is text, which has no sum"]),
        (
            "no boolean",
            &["the query has to yield one boolean, and count(*) is integer"],
        ),
        (
            "an input",
            &["check 'an input', line 2, column 6", "standard.readings"],
        ),
        (
            "bad SQL",
            &[
                "standard/readings, check 'a reference', line 2, column 7: there is no column usage",
                "  2 | WHERE usage > 1\n    |       ^^^^^",
            ],
        ),
    ] {
        let lake = checking(check, &[]);
        let ended = lake.lake(&["validate", lake.pipeline().to_str().unwrap()]);
        ended.assert(1, texts);
    }
}

/// Readings of one meter and one hour after the other.
fn rows(count: u32) -> Vec<String> {
    (0..count).map(|hour| reading(1, 1, 1, hour, "1")).collect()
}

#[track_caller]
fn holds(check: &str, rows: &[String], detail: &str) {
    let report = checking(check, rows).publish(&[]);
    let found = &report["checks"][0];
    assert_eq!(found["holds"], true, "{found}");
    assert!(
        found["detail"].as_str().unwrap().contains(detail),
        "{found}"
    );
    assert_eq!(
        report["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|w| w.as_str().unwrap().contains("does not hold"))
            .count(),
        0
    );
}

#[track_caller]
fn fails(check: &str, rows: &[String], detail: &str) {
    let lake = checking(check, rows);
    lake.run(&[])
        .assert(3, &["does not hold", detail, "nothing was published"]);
    lake.assert_nothing_published();
    let kept = stopped(&lake);
    let found = &kept["checks"][0];
    assert_eq!(found["severity"], "fail");
    assert!(
        found["detail"].as_str().unwrap().contains(detail),
        "{found}"
    );
}

#[track_caller]
fn warns(check: &str, rows: &[String], detail: &str) {
    let lake = checking(&format!("warn {check}"), rows);
    let ended: Ended = lake.run(&[]);
    ended.assert(0, &["does not hold", detail]);
    ended.assert_prints(&["does not hold", detail]);
    let recorded = &lake.query("SELECT checks FROM _lake.runs")[0]["checks"][0];
    assert_eq!(recorded["severity"], "warn");
    assert_eq!(recorded["holds"], false);
}

/// What a stopped run left behind.
#[track_caller]
fn stopped(lake: &Lake) -> Value {
    let tree = lake.tree();
    let mut kept = tree.keys().filter(|path| path.ends_with("stopped.json"));
    let text = fs::read_to_string(kept.next().unwrap()).unwrap();
    assert!(kept.next().is_none());
    serde_json::from_str(&text).unwrap()
}

/// A pipeline with some checks and one file.
fn checking(checks: &str, rows: &[String]) -> Lake {
    let lake = building("checking", "1", transform()).variable("CHECKS", checks);
    lake.put("a.csv", 0, csv(rows));
    lake
}

/// The crate of the transform, made and built once.
fn transform() -> &'static Path {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/checking");
        make_crate(&directory, "checking", CHECKING);
        building("checking", "1", &directory)
            .run(&[])
            .assert(0, &[]);
        directory
    })
}
