//! What happens when a transform changes: what is computed again, what is not, and who says so.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, csv, make_crate, reading, target};
use serde_json::Value;

/// A transform whose logic the variable `LOGIC` chooses.
const LEDGER: &str = r#"//! A transform that changes.

use lake_plugin::prelude::*;

pub fn ledger() -> Transform {
    let logic = std::env::var("LOGIC").unwrap_or_default();
    let total = match logic.as_str() {
        "watt hours" | "replaced watt hours" => "CAST(1000 * sum(usage_kwh) AS DECIMAL(22, 3))",
        _ => "sum(usage_kwh)",
    };
    let readings = match logic.as_str() {
        "large only" => "SELECT meter_id, start_time, usage_kwh FROM readings WHERE usage_kwh > 1",
        _ => "SELECT meter_id, start_time, usage_kwh FROM readings",
    };
    let transform = Transform::new()
        .input(Input::csv("readings").header()
            .column("meter_id", text().required())
            .column("start_time", timestamp().required())
            .column("usage_kwh", decimal(12, 3).required()))
        .table(Table::standard("readings").sql(readings).key(["meter_id", "start_time"]))
        .table(Table::consumption("totals")
            .sql(format!("SELECT meter_id, {total} AS total FROM standard.readings GROUP BY meter_id"))
            .key(["meter_id"])
            .refresh_by(["meter_id"]));
    match logic.as_str() {
        "one more" => transform.table(Table::consumption("count")
            .sql("SELECT count(*) AS readings FROM standard.readings")),
        "replaced" | "replaced watt hours" => transform.table(Table::standard("latest")
            .sql("SELECT meter_id, start_time FROM readings")
            .mode(Mode::Replace)),
        "asks others" => transform.table(Table::standard("others")
            .sql("SELECT meter_id FROM readings WHERE start_time IN (SELECT max(start_time) FROM readings)")),
        "nameless partition" => transform.table(Table::standard("nameless")
            .sql("SELECT meter_id, '' AS place FROM readings")
            .partition_by(["place"])),
        "today" => transform.table(Table::consumption("today")
            .sql("SELECT meter_id, current_date AS day FROM standard.readings GROUP BY meter_id")
            .key(["meter_id"])
            .refresh_by(["meter_id"])),
        _ => transform,
    }
}
lake_plugin::export!(ledger);
"#;

const TOTALS: &str = "SELECT meter_id, total FROM consumption.totals ORDER BY meter_id";

#[test]
fn a_consumption_table_with_another_logic_is_computed_again_without_new_files() {
    let lake = ledger();
    lake.publish(&[]);
    let lake = lake.variable("LOGIC", "watt hours");
    let report = lake.publish(&[]);
    assert_eq!(report["kind"], "recompute");
    let totals = &report["tables"]["consumption/totals"];
    assert_eq!(totals["how"], "full");
    assert_eq!(totals["updated"], 2);
    assert!(why(totals).contains("declaration"), "{totals}");
    assert_eq!(report["tables"]["standard/readings"]["how"], "unchanged");
    assert_eq!(
        lake.rows(TOTALS),
        ["M0000001,3000.000", "M0000002,4000.000"]
    );
    let again = lake.publish(&[]);
    assert_eq!(again["status"], "nothing_to_do");
}

#[test]
fn a_consumption_table_that_is_new_is_made_without_new_files() {
    let lake = ledger();
    lake.publish(&[]);
    let lake = lake.variable("LOGIC", "one more");
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["consumption/totals"]["how"], "unchanged");
    assert!(why(&report["tables"]["consumption/count"]).contains("no run has made it"));
    assert_eq!(lake.rows("SELECT readings FROM consumption.count"), ["3"]);
}

#[test]
fn a_changed_logic_meets_new_files_in_one_run() {
    let lake = ledger();
    lake.publish(&[]);
    let lake = lake.variable("LOGIC", "watt hours");
    lake.put("b.csv", 1, csv([reading(1, 3, 1, 0, "5")]));
    let report = lake.publish(&[]);
    assert_eq!(report["kind"], "load");
    assert_eq!(report["tables"]["consumption/totals"]["how"], "full");
    let all = [
        "M0000001,3000.000",
        "M0000002,4000.000",
        "M0000003,5000.000",
    ];
    assert_eq!(lake.rows(TOTALS), all);
}

#[test]
fn stored_rows_of_another_logic_stay_until_somebody_reloads_and_the_plan_says_so() {
    let lake = ledger();
    lake.publish(&[]);
    let lake = lake.variable("LOGIC", "large only");
    let plan = plan(&lake, &[]);
    let readings = table(&plan, "standard/readings");
    let outdated = readings["outdated"].as_str().unwrap();
    assert!(outdated.contains("lake run --reload"), "{outdated}");
    assert_eq!(plan["kind"], Value::Null);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");

    // New rows come by the new logic, and the table is still known to be mixed.
    lake.put(
        "b.csv",
        1,
        csv([reading(1, 3, 1, 0, "1"), reading(1, 3, 1, 1, "5")]),
    );
    lake.publish(&[]);
    assert!(table(&self::plan(&lake, &[]), "standard/readings")["outdated"].is_string());
    assert_eq!(
        lake.rows(TOTALS),
        ["M0000001,3.000", "M0000002,4.000", "M0000003,5.000"]
    );

    let report = lake.publish(&["--reload"]);
    assert_eq!(report["kind"], "reload");
    assert_eq!(report["tables"]["standard/readings"]["deleted"], 1);
    assert_eq!(
        lake.rows(TOTALS),
        ["M0000001,2.000", "M0000002,4.000", "M0000003,5.000"]
    );
    let plan = self::plan(&lake, &[]);
    assert_eq!(table(&plan, "standard/readings")["outdated"], Value::Null);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn a_reload_equals_a_lake_that_loaded_everything_at_once() {
    let (lake, other) = (ledger(), ledger());
    lake.publish(&[]);
    for lake in [&lake, &other] {
        lake.put(
            "a.csv",
            2,
            csv([reading(1, 1, 1, 0, "7"), reading(1, 9, 1, 0, "-x")]),
        );
        lake.put("b.csv", 3, csv([reading(1, 2, 1, 0, "0.5")]));
    }
    lake.publish(&[]);
    lake.publish(&["--reload"]);
    other.publish(&[]);
    for sql in [
        TOTALS,
        "SELECT meter_id, start_time, usage_kwh, _file IS NULL FROM standard.readings ORDER BY 1, 2",
        "SELECT row_id IS NULL, line, raw FROM rejection.readings ORDER BY raw",
    ] {
        assert_eq!(lake.rows(sql), other.rows(sql), "{sql}");
    }
}

#[test]
fn a_reload_without_a_file_that_was_loaded_loses_nothing() {
    let lake = ledger();
    lake.put("b.csv", 1, csv([reading(1, 3, 1, 0, "5")]));
    lake.publish(&[]);
    std::fs::remove_file(lake.directory().join("data/a.csv")).unwrap();
    let before = lake.tree();
    lake.run(&["--reload"]).assert(
        1,
        &[
            "1 of the files that were loaded are not there any more",
            "a.csv",
            "nothing was published",
        ],
    );
    assert_eq!(lake.tree(), before);
}

#[test]
fn a_reload_of_files_that_are_empty_or_changed_by_surprise_loses_nothing() {
    let lake = ledger();
    lake.put("b.csv", 1, csv([reading(1, 3, 1, 0, "5")]));
    lake.publish(&[]);
    let before = lake.tree();
    lake.put("b.csv", 2, "");
    lake.run(&["--reload"])
        .assert(1, &["or are empty", "b.csv", "nothing was published"]);
    lake.put("b.csv", 3, csv([reading(1, 3, 1, 0, "6")]));
    lake.run(&["--reload", "--set", "inputs.readings.on_change=fail"])
        .assert(1, &["have changed since", "b.csv", "on_change to upsert"]);
    assert_eq!(lake.tree(), before);
    lake.publish(&["--reload"]);
    assert_eq!(lake.rows(TOTALS).len(), 3);
}

#[test]
fn a_table_that_a_run_replaces_stays_where_the_run_has_no_file_for_it() {
    let lake = ledger().variable("LOGIC", "replaced");
    lake.publish(&[]);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.latest"), ["3"]);
    let lake = lake.variable("LOGIC", "replaced watt hours");
    assert_eq!(lake.publish(&[])["kind"], "recompute");
    assert_eq!(lake.rows("SELECT count(*) FROM standard.latest"), ["3"]);
    lake.put("b.csv", 1, csv([reading(1, 3, 1, 0, "5")]));
    lake.publish(&[]);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.latest"), ["1"]);
}

#[test]
fn a_standard_table_does_not_ask_other_rows_of_the_same_run() {
    let lake = ledger().variable("LOGIC", "asks others");
    lake.run(&[]).assert(
        1,
        &[
            "standard/others",
            "a subquery sees only those rows of readings",
            "consumption table",
        ],
    );
    lake.assert_nothing_published();
}

#[test]
fn a_partition_without_a_name_is_refused_with_what_to_write() {
    let lake = ledger().variable("LOGIC", "nameless partition");
    lake.run(&[]).assert(
        1,
        &["standard/nameless", "has empty texts", "nullif(place, '')"],
    );
    lake.assert_nothing_published();
}

#[test]
fn a_plan_says_how_each_table_is_refreshed_and_writes_nothing() {
    let lake = ledger().variable("LOGIC", "today");
    let first = plan(&lake, &[]);
    assert!(lake.tree().is_empty());
    assert_eq!(first["kind"], "load");
    assert_eq!(first["last_run"], 0);
    assert_eq!(first["inputs"][0]["files"], 1);
    assert!(refresh(&first, "consumption/totals").contains("no run has made it"));

    lake.publish(&[]);
    lake.put("b.csv", 1, csv([reading(1, 3, 1, 0, "5")]));
    let before = lake.tree();
    let next = plan(&lake, &[]);
    assert_eq!(lake.tree(), before);
    let readings = refresh(&next, "standard/readings");
    assert!(
        readings.contains("of a key, the highest received_at, _file, _line"),
        "{readings}"
    );
    let totals = refresh(&next, "consumption/totals");
    assert_eq!(
        totals,
        "groups of meter_id: changes of standard.readings by meter_id"
    );
    let today = refresh(&next, "consumption/today");
    assert!(
        today.starts_with("in full: its SQL calls a function"),
        "{today}"
    );

    let pipeline = lake.pipeline().to_str().unwrap();
    let shown = lake.lake(&["plan", pipeline, "--sql"]);
    shown.assert_prints(&[
        "run 2 would load",
        "b.csv",
        "groups of meter_id",
        "| Projection",
        "transform ledger 1.0.0: built from",
    ]);
}

#[track_caller]
fn plan(lake: &Lake, arguments: &[&str]) -> Value {
    let pipeline = lake.pipeline().to_str().unwrap();
    let ended = lake.lake(&[&["plan", pipeline, "--output", "json"], arguments].concat());
    ended.assert(0, &[]).json()
}

fn table<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let tables = plan["tables"].as_array().unwrap();
    tables.iter().find(|table| table["name"] == name).unwrap()
}

fn refresh(plan: &Value, name: &str) -> String {
    table(plan, name)["refresh"].as_str().unwrap().to_owned()
}

fn why(table: &Value) -> &str {
    table["why"].as_str().unwrap()
}

/// Two meters, three readings.
fn ledger() -> Lake {
    let lake = building("ledger", "1", crate_of_ledger());
    let rows = [
        reading(1, 1, 1, 0, "1"),
        reading(1, 1, 1, 1, "2"),
        reading(1, 2, 1, 0, "4"),
    ];
    lake.put("a.csv", 0, csv(rows));
    lake
}

fn crate_of_ledger() -> &'static Path {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/ledger");
        make_crate(&directory, "ledger", LEDGER);
        directory
    })
}
