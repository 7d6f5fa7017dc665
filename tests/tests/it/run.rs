//! Raw files become tables, once, whatever comes in which order.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use lake_tests::{Ended, Lake, csv, reading, received};
use serde_json::{Value, json};

#[test]
fn the_sample_data_becomes_exactly_these_rows() {
    let lake = Lake::samples();
    let report = lake.publish(&[]);
    let input = &report["inputs"]["readings"];
    assert_eq!(
        [
            &input["files"],
            &input["rows"],
            &input["accepted"],
            &input["rejected"]
        ],
        [4, 1326, 1302, 24]
    );
    let tables = &report["tables"];
    assert_eq!(tables["standard/readings"]["rows"], 1254);
    assert_eq!(tables["standard/readings"]["superseded"], 48);
    assert_eq!(tables["rejection/readings"]["rows"], 24);
    assert_eq!(tables["consumption/daily_usage"]["rows"], 37);
    // The tables have what the report says.
    let counts = "SELECT (SELECT count(*) FROM standard.readings) AS readings, \
                  (SELECT count(*) FROM rejection.readings) AS rejected, \
                  (SELECT count(*) FROM consumption.daily_usage) AS days, \
                  (SELECT count(DISTINCT (file, line)) FROM rejection.readings) AS lines";
    assert_eq!(lake.rows(counts), ["1254,24,37,24"]);
}

#[test]
fn the_summary_says_what_was_read_rejected_and_published_and_what_to_do_next() {
    let lake = Lake::samples();
    lake.run(&[]).assert_prints(&[
        "run 1 is published",
        "read 1,326 rows from 4 files",
        "1,302",
        "24  (1.8 %): 4 × region is known",
        "standard/readings",
        "peak memory",
        "lake query",
        "SELECT * FROM consumption.daily_usage LIMIT 10",
    ]);
}

#[test]
fn what_the_summary_says_to_type_next_can_be_typed() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let elsewhere = lake.directory().join("else where");
    let ended = lake.run(&["--root", elsewhere.to_str().unwrap()]);
    let next = ended
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("Next:  "));
    let shell = lake.below(&["sh", "-c", next.unwrap()], &[]);
    shell.assert_prints(&["customer_id", "1 row"]);
}

#[test]
fn the_same_command_again_writes_nothing_and_says_so() {
    let lake = Lake::samples();
    lake.publish(&[]);
    let before = lake.tree();
    lake.run(&[])
        .assert_prints(&["nothing to do, nothing written", "4 files", "run 1"]);
    assert_eq!(lake.tree(), before);
    let report = lake.publish(&[]);
    assert_eq!(report["status"], "nothing_to_do");
    assert_eq!(lake.tree(), before);
}

#[test]
fn the_report_for_programs_keeps_its_names() {
    let lake = Lake::samples();
    let report = lake.publish(&[]);
    assert_names(
        &report,
        &[
            "run",
            "status",
            "transform",
            "inputs",
            "tables",
            "seconds",
            "stages",
            "peak_memory_bytes",
        ],
    );
    assert_names(&report["transform"], &["name", "version", "digest"]);
    assert_names(
        &report["inputs"]["readings"],
        &["files", "bytes", "rows", "accepted", "rejected"],
    );
    for table in [
        "standard/readings",
        "consumption/daily_usage",
        "rejection/readings",
    ] {
        assert_names(
            &report["tables"][table],
            &[
                "version",
                "inserted",
                "updated",
                "unchanged",
                "superseded",
                "deleted",
                "filtered",
                "rows",
            ],
        );
    }
    assert_eq!(
        (&report["run"], &report["status"]),
        (&json!(1), &json!("done"))
    );
    assert!(report["seconds"].as_f64() > Some(0.0));
    assert!(report["peak_memory_bytes"].as_u64() > Some(1 << 20));
    let stages = report["stages"].as_object().unwrap();
    assert!(stages.contains_key("seal") && stages.values().all(Value::is_number));
}

#[test]
fn a_failure_is_json_as_well_where_json_is_asked_for() {
    let lake = Lake::new();
    let ended = lake.run(&["--output", "json", "--input", "readings=none.csv"]);
    let report = ended.assert(1, &["none.csv does not exist"]).json();
    assert_eq!(
        (&report["status"], &report["exit_code"]),
        (&json!("failed"), &json!(1))
    );
    assert!(
        report["error"]
            .as_str()
            .unwrap()
            .contains("none.csv does not exist")
    );
}

#[test]
fn every_row_that_comes_in_is_accounted_for() {
    let lake = Lake::new();
    let bad = "C-1,M1,yesterday,2025-06-01T01:00:00Z,-1,nowhere".to_owned();
    lake.put(
        "a.csv",
        0,
        csv([
            reading(1, 1, 1, 0, "1"),
            reading(1, 2, 1, 0, "1"),
            bad.clone(),
        ]),
    );
    assert_accounted(&lake.publish(&[]));
    // An update, a repetition within the file, an unchanged row, a new row, and a bad one.
    let again = [
        reading(1, 1, 1, 0, "2"),
        reading(1, 1, 1, 0, "3"),
        reading(1, 2, 1, 0, "1"),
        reading(1, 3, 1, 0, "1"),
        bad,
    ];
    lake.put("b.csv", 1, csv(again));
    // A row that is older than the stored one.
    lake.put("c.csv", 0, csv([reading(1, 1, 1, 0, "4")]));
    let report = lake.publish(&[]);
    assert_accounted(&report);
    assert_eq!(report["tables"]["standard/readings"]["rows"], 3);
    assert_eq!(report["inputs"]["readings"]["rejected"], 1);
}

#[test]
fn a_new_file_computes_only_the_days_that_it_touches() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), reading(1, 1, 2, 0, "1")]),
    );
    assert_eq!(
        lake.publish(&[])["tables"]["consumption/daily_usage"]["how"],
        "full"
    );
    lake.put(
        "b.csv",
        1,
        csv([reading(1, 1, 2, 5, "2.5"), reading(1, 1, 3, 0, "1")]),
    );
    let days = &lake.publish(&[])["tables"]["consumption/daily_usage"];
    assert_eq!(days["how"], "groups");
    assert_eq!(
        [&days["inserted"], &days["updated"], &days["rows"]],
        [1, 1, 3]
    );
    assert_eq!(
        lake.rows("SELECT usage_date, usage_kwh, readings, _run FROM consumption.daily_usage ORDER BY usage_date"),
        ["2025-06-01,1.000,1,1", "2025-06-02,3.500,2,2", "2025-06-03,1.000,1,2"]
    );
}

#[test]
fn a_run_that_changes_no_row_leaves_the_tables_as_they_are() {
    let lake = Lake::new();
    let rows = csv([reading(1, 1, 1, 0, "1"), reading(1, 1, 2, 0, "1")]);
    lake.put("a.csv", 1, &rows);
    lake.publish(&[]);
    lake.put("older.csv", 0, &rows);
    let report = lake.publish(&[]);
    let tables = &report["tables"];
    assert_eq!(tables["standard/readings"]["superseded"], 2);
    for table in ["standard/readings", "consumption/daily_usage"] {
        assert_eq!(tables[table]["how"], "unchanged", "{table}");
        assert_eq!(tables[table]["version"], 0, "{table}");
    }
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn a_later_file_corrects_an_earlier_one() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), reading(1, 2, 1, 0, "1")]),
    );
    lake.publish(&[]);
    lake.put("b.csv", 1, csv([reading(1, 1, 1, 0, "7")]));
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["standard/readings"]["updated"], 1);
    assert_eq!(
        lake.rows("SELECT meter_id, usage_kwh, _run FROM standard.readings ORDER BY meter_id"),
        ["M0000001,7.000,2", "M0000002,1.000,1"]
    );
    assert_eq!(
        lake.rows("SELECT usage_kwh FROM consumption.daily_usage"),
        ["8.000"]
    );
}

#[test]
fn an_older_file_that_comes_late_corrects_nothing() {
    let lake = Lake::new();
    lake.put("b.csv", 1, csv([reading(1, 1, 1, 0, "7")]));
    lake.publish(&[]);
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), reading(1, 1, 1, 1, "1")]),
    );
    let report = lake.publish(&[]);
    let standard = &report["tables"]["standard/readings"];
    assert_eq!([&standard["superseded"], &standard["inserted"]], [1, 1]);
    assert_eq!(
        lake.rows("SELECT usage_kwh FROM standard.readings ORDER BY start_time"),
        ["7.000", "1.000"]
    );
    assert_eq!(
        lake.rows("SELECT usage_kwh FROM consumption.daily_usage"),
        ["8.000"]
    );
}

#[test]
fn a_correction_that_moves_a_reading_away_removes_the_day_that_has_none_left() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), reading(2, 2, 1, 0, "1")]),
    );
    lake.publish(&[]);
    // The reading belongs to another customer: the first one has none that day.
    lake.put("b.csv", 1, csv([reading(2, 1, 1, 0, "1")]));
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["consumption/daily_usage"]["deleted"], 1);
    assert_eq!(
        lake.rows("SELECT customer_id, usage_kwh, readings FROM consumption.daily_usage"),
        ["C-2,2.000,2"]
    );
}

#[test]
fn the_order_and_number_of_runs_never_change_the_tables() {
    let files = Lake::new();
    let paths = [
        files.put(
            "a.csv",
            1,
            csv([
                reading(1, 1, 1, 0, "1"),
                reading(1, 2, 1, 0, "1"),
                "bad".into(),
            ]),
        ),
        files.put(
            "b.csv",
            3,
            csv([reading(1, 1, 1, 0, "2"), reading(2, 3, 2, 0, "1")]),
        ),
        files.put(
            "c.csv",
            2,
            csv([
                reading(1, 1, 1, 0, "3"),
                reading(2, 2, 1, 0, "5"),
                "bad".into(),
            ]),
        ),
    ];
    let together = tables(&files, &[&["--set", "limits.rejected=100%"]]);
    assert_eq!(
        together.len(),
        3 + 3 + 2,
        "readings, days and rejected rows"
    );
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let lake = Lake::new();
        let inputs = order.map(|n| format!("readings={}", paths[n].display()));
        let runs: Vec<[&str; 4]> = inputs
            .iter()
            .map(|input| ["--input", input, "--set", "limits.rejected=100%"])
            .collect();
        let runs: Vec<&[&str]> = runs.iter().map(<[&str; 4]>::as_slice).collect();
        assert_eq!(
            tables(&lake, &runs),
            together,
            "files in the order {order:?}"
        );
    }
}

#[test]
fn a_file_that_was_only_touched_is_not_loaded_again() {
    let lake = Lake::new();
    let path = lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    let before = lake.tree();
    received(&path, 5);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    assert_eq!(lake.tree(), before);
}

#[test]
fn on_change_upsert_loads_a_changed_file_again() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), reading(1, 2, 1, 0, "1")]),
    );
    lake.publish(&[]);
    lake.put(
        "a.csv",
        1,
        csv([reading(1, 1, 1, 0, "2"), reading(1, 2, 1, 0, "1")]),
    );
    let standard = &lake.publish(&[])["tables"]["standard/readings"];
    assert_eq!(
        [&standard["updated"], &standard["rows"]],
        [2, 2],
        "both rows are of the newer file"
    );
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn on_change_fail_names_the_changed_file_and_publishes_nothing() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    let before = lake.tree();
    let path = lake.put("a.csv", 1, csv([reading(1, 1, 1, 0, "2")]));
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "2")]));
    lake.run(&["--set", "inputs.readings.on_change=fail"])
        .assert(
            1,
            &[
                path.to_str().unwrap(),
                "loaded by run 1",
                "on_change to upsert",
            ],
        );
    assert_eq!(lake.tree(), before);
}

#[test]
fn on_change_skip_warns_and_loads_the_others() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    lake.put("a.csv", 1, csv([reading(1, 1, 1, 0, "2")]));
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "2")]));
    let ended = lake.run(&["--set", "inputs.readings.on_change=skip"]);
    ended.assert(
        0,
        &["a.csv has changed since run 1 loaded it, and is skipped"],
    );
    assert_eq!(
        lake.rows("SELECT usage_kwh, _run FROM standard.readings ORDER BY _run"),
        ["1.000,1", "2.000,2"]
    );
}

#[test]
fn runs_are_numbered_and_recorded() {
    let lake = Lake::new();
    for run in 1..=3 {
        lake.put(
            &format!("{run}.csv"),
            run,
            csv([reading(1, 1, 1, run as u32, "1")]),
        );
        assert_eq!(lake.publish(&[])["run"], run);
        lake.run(&[]).assert_prints(&["nothing to do"]);
    }
    assert_eq!(
        lake.rows("SELECT run, kind, status, transform['name'], transform['version'] FROM _lake.runs ORDER BY run"),
        ["1,load,done,utility,1.0.0", "2,load,done,utility,1.0.0", "3,load,done,utility,1.0.0"]
    );
    assert_eq!(
        lake.rows("SELECT run, rows, accepted, rejected FROM _lake.files ORDER BY run"),
        ["1,1,1,0", "2,1,1,0", "3,1,1,0"]
    );
}

#[test]
fn many_runs_later_the_tables_can_still_be_read_and_loaded() {
    // Enough commits that the tables' logs are summed up on the way.
    let lake = Lake::new();
    for run in 1..=12 {
        lake.put(
            &format!("{run}.csv"),
            run,
            csv([reading(1, 1, run as u32, 0, "1")]),
        );
        assert_eq!(lake.publish(&[])["run"], run);
    }
    assert_eq!(
        lake.rows("SELECT count(*), min(_run), max(_run) FROM consumption.daily_usage"),
        ["12,1,12"]
    );
    assert_eq!(lake.rows("SELECT count(*) FROM _lake.runs"), ["12"]);
}

#[test]
fn two_runs_at_once_load_every_row_once() {
    let lake = Lake::samples();
    let pipeline = lake.pipeline().to_str().unwrap();
    let both = [(), ()].map(|()| {
        let mut run = lake.command(&["run", pipeline]);
        run.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut published = 0;
    for run in both {
        let ended = Ended::of(run.wait_with_output().unwrap());
        match ended.code {
            0 => published += 1,
            4 => assert!(ended.stderr.contains("another run"), "{}", ended.stderr),
            other => panic!("exit code {other}: {}", ended.stderr),
        }
    }
    assert!(published > 0);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    assert_eq!(
        lake.rows("SELECT count(*), count(DISTINCT (meter_id, start_time)) FROM standard.readings"),
        ["1254,1254"]
    );
    assert_eq!(lake.rows("SELECT count(*) FROM rejection.readings"), ["24"]);
    assert_eq!(lake.rows("SELECT count(*) FROM _lake.files"), ["4"]);
}

#[test]
fn the_time_zone_of_the_machine_does_not_matter() {
    let lake = Lake::samples().variable("TZ", "Pacific/Auckland");
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["consumption/daily_usage"]["rows"], 37);
    let strange = "SELECT count(*) FROM standard.readings \
                   WHERE usage_date <> CAST(substr(CAST(start_time AS VARCHAR), 1, 10) AS DATE)";
    assert_eq!(lake.rows(strange), ["0"]);
}

#[test]
fn a_run_that_was_sealed_and_not_applied_is_finished_by_the_next_command() {
    let lake = Lake::samples();
    lake.publish(&[]);
    let wanted = "SELECT (SELECT sum(usage_kwh) FROM consumption.daily_usage) AS kwh, \
                  (SELECT count(*) FROM standard.readings) AS readings, \
                  (SELECT count(*) FROM _lake.runs) AS runs";
    let before = lake.rows(wanted);
    // As if the process had died after it had committed to some tables.
    assert!(lake.object("_lake/log/00000001.json").is_file());
    for table in ["consumption/daily_usage", "_lake/runs"] {
        fs::remove_dir_all(lake.object(table).join("_delta_log")).unwrap();
    }
    assert_eq!(lake.rows(wanted), before);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn a_sealed_run_is_finished_before_new_files_are_loaded() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    for table in [
        "standard/readings",
        "consumption/daily_usage",
        "_lake/files",
        "_lake/runs",
    ] {
        fs::remove_dir_all(lake.object(table).join("_delta_log")).unwrap();
    }
    lake.put("b.csv", 1, csv([reading(1, 1, 1, 1, "2")]));
    assert_eq!(lake.publish(&[])["run"], 2);
    assert_eq!(
        lake.rows("SELECT usage_kwh, _run FROM standard.readings ORDER BY start_time"),
        ["1.000,1", "2.000,2"]
    );
    assert_eq!(
        lake.rows("SELECT usage_kwh FROM consumption.daily_usage"),
        ["3.000"]
    );
}

/// That an object has these names; more of them may come.
#[track_caller]
fn assert_names(object: &Value, names: &[&str]) {
    let object = object.as_object().unwrap();
    let there: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let missing: Vec<_> = names.iter().filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {there:?}");
}

/// That rows in = accepted + rejected, and accepted rows are all somewhere.
#[track_caller]
fn assert_accounted(report: &Value) {
    let input = &report["inputs"]["readings"];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(
        number(&input["rows"]),
        number(&input["accepted"]) + number(&input["rejected"])
    );
    let table = &report["tables"]["standard/readings"];
    let fates = [
        "inserted",
        "updated",
        "unchanged",
        "superseded",
        "deleted",
        "filtered",
    ];
    let known: u64 = fates.iter().map(|fate| number(&table[*fate])).sum();
    assert_eq!(number(&input["accepted"]), known, "{table}");
}

/// All rows of all tables after some runs, without what depends on the run.
fn tables(lake: &Lake, runs: &[&[&str]]) -> Vec<String> {
    for arguments in runs {
        lake.publish(arguments);
    }
    [
        "SELECT meter_id, start_time, customer_id, end_time, usage_kwh, region, usage_date, received_at, \
         _file, _line FROM standard.readings ORDER BY meter_id, start_time",
        "SELECT customer_id, usage_date, usage_kwh, readings, first_reading, last_reading, peak_hour \
         FROM consumption.daily_usage ORDER BY customer_id, usage_date",
        "SELECT row_id, file, line, byte_offset, raw, reasons, received_at FROM rejection.readings \
         ORDER BY file, line",
    ]
    .iter()
    .flat_map(|sql| lake.rows(sql))
    .collect()
}
