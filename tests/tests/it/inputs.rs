//! Bad input: what cannot be read says why, and what can be read in part is.

use std::fs;
use std::path::PathBuf;

use lake_tests::{HEADER, Lake, csv, launcher, reading};
use serde_json::Value;

/// Rows that are wrong are published as rejected ones, however many they are.
const KEEP_REJECTED: [&str; 2] = ["--set", "limits.rejected=100%"];

#[test]
fn a_file_that_does_not_exist_is_named_with_the_way_out() {
    let lake = Lake::new();
    lake.run(&["--input", "readings=data/none.csv"]).assert(
        1,
        &["data/none.csv does not exist", "--input readings=PATH"],
    );
    lake.run(&["--input", "readings=nowhere/*.csv"]).assert(
        1,
        &[
            "the directory",
            "nowhere does not exist",
            "--input readings=PATH",
        ],
    );
    lake.assert_nothing_published();
}

#[test]
fn a_glob_that_matches_nothing_is_a_warning_and_nothing_to_do() {
    let lake = Lake::new();
    lake.put("readings.txt", 0, csv([reading(1, 1, 1, 0, "1")]));
    let ended = lake.run(&[]);
    ended.assert(0, &["input readings: no file matches", "data/*.csv"]);
    ended.assert_prints(&["nothing to do, nothing written: there is no file to load yet"]);
    assert!(lake.tree().is_empty());
}

#[test]
fn a_directory_is_not_a_file() {
    let lake = Lake::new();
    lake.run(&["--input", "readings=data"])
        .assert(1, &["data is a directory", "data/*.csv"]);
    lake.assert_nothing_published();
    // A glob takes files only, whatever else has such a name.
    fs::create_dir(lake.directory().join("data/archive.csv")).unwrap();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["files"], 1);
}

#[test]
fn an_empty_file_stays_pending_until_there_is_something_in_it() {
    let lake = Lake::new();
    let empty = lake.put("empty.csv", 0, "");
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let ended = lake.run(&[]);
    ended.assert(
        0,
        &[
            empty.to_str().unwrap(),
            "the file is empty; it stays pending",
        ],
    );
    assert_eq!(
        lake.rows("SELECT path LIKE '%/a.csv' FROM _lake.files"),
        ["true"]
    );
    lake.put("empty.csv", 1, csv([reading(1, 1, 1, 1, "1")]));
    let report = lake.publish(&[]);
    assert_eq!(
        (
            report["run"].as_u64(),
            &report["inputs"]["readings"]["rows"]
        ),
        (Some(2), &Value::from(1))
    );
}

#[test]
fn empty_files_alone_are_no_run() {
    for content in ["", "\u{feff}", "\n\n", "\r\n"] {
        let lake = Lake::new();
        lake.put("empty.csv", 0, content);
        for _ in 0..2 {
            let ended = lake.run(&[]);
            ended.assert(0, &["empty.csv: the file is empty; it stays pending"]);
            ended.assert_prints(&["nothing to do"]);
            lake.assert_nothing_published();
        }
    }
}

#[test]
fn a_file_with_only_a_header_is_loaded_and_has_no_rows() {
    let lake = Lake::new();
    lake.put("a.csv", 0, format!("{HEADER}\n"));
    let report = lake.publish(&[]);
    let input = &report["inputs"]["readings"];
    assert_eq!([&input["files"], &input["rows"]], [1, 0]);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["0"]);
}

#[test]
fn a_file_without_a_header_is_refused_with_its_first_line() {
    refused(
        &format!("{}\n", reading(1, 1, 1, 0, "1")),
        &[
            "the file seems to have no header",
            "C-1,M0000001",
            "customer_id, meter_id",
        ],
    );
}

#[test]
fn another_separator_is_said_to_be_one() {
    refused(
        &csv([reading(1, 1, 1, 0, "1")]).replace(',', ";"),
        &["do not seem to be separated by commas"],
    );
}

#[test]
fn a_missing_column_is_named_with_the_one_that_was_perhaps_meant() {
    refused(
        &csv([reading(1, 1, 1, 0, "1")]).replace("usage_kwh", "UsageKWh"),
        &[
            "the header has no column 'usage_kwh' (perhaps 'UsageKWh' is meant)",
            "'customer_id'",
        ],
    );
}

#[test]
fn a_column_that_is_there_twice_is_named() {
    refused(
        &csv([reading(1, 1, 1, 0, "1")]).replace("region", "meter_id"),
        &["more than one column named 'meter_id'"],
    );
}

#[test]
fn a_bad_header_among_good_files_publishes_none_of_them() {
    let lake = Lake::new();
    for n in 0..5 {
        lake.put(&format!("{n}.csv"), 0, csv([reading(1, n, 1, 0, "1")]));
    }
    let bad = lake.put("bad.csv", 0, "what,is,this\n1,2,3\n");
    lake.run(&[]).assert(1, &[bad.to_str().unwrap()]);
    lake.assert_nothing_published();
    fs::remove_file(bad).unwrap();
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["accepted"], 5);
}

#[test]
fn a_column_that_is_not_declared_is_a_warning() {
    let lake = Lake::new();
    let text = csv([reading(1, 1, 1, 0, "1")]).replace('\n', ",x\n");
    lake.put("a.csv", 0, text);
    let ended = lake.run(&[]);
    ended.assert(0, &["a.csv: column 'x' is not declared and is not read"]);
    assert_eq!(
        lake.rows("SELECT usage_kwh FROM standard.readings"),
        ["1.000"]
    );
}

#[test]
fn columns_are_matched_by_name_in_any_order() {
    let lake = Lake::new();
    let header = "region,usage_kwh,end_time,start_time,meter_id,customer_id";
    let row = "north,1.5,2025-06-01T01:00:00Z,2025-06-01T00:00:00Z,m-7,C-9";
    lake.put("a.csv", 0, format!("{header}\n{row}\n"));
    lake.publish(&[]);
    assert_eq!(
        lake.rows("SELECT customer_id, meter_id, usage_kwh, region FROM standard.readings"),
        ["C-9,M0000007,1.500,north"]
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data() {
    let lake = Lake::new();
    let text = csv([
        reading(1, 1, 1, 0, "1"),
        "bad".to_owned(),
        reading(1, 2, 1, 0, "1"),
    ]);
    lake.put(
        "a.csv",
        0,
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    );
    lake.publish(&KEEP_REJECTED);
    assert_eq!(
        lake.rows("SELECT meter_id, region, _line FROM standard.readings ORDER BY _line"),
        ["M0000001,north,2", "M0000002,north,4"]
    );
    assert_eq!(
        lake.rows("SELECT line, raw FROM rejection.readings"),
        ["3,bad"]
    );
}

#[test]
fn the_last_line_needs_no_line_end() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]).trim_end());
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["accepted"], 1);
}

#[test]
fn a_quoted_newline_is_part_of_its_record_and_lines_stay_exact() {
    let lake = Lake::new();
    let two_lines = reading(1, 1, 1, 0, "1").replace("C-1", "\"C-1\nsecond, \"\"quoted\"\"\"");
    let bad = reading(1, 2, 1, 0, "much").replace("C-1", "\"C-\n1\"");
    lake.put(
        "a.csv",
        0,
        csv([two_lines, bad.clone(), reading(3, 3, 1, 0, "1")]),
    );
    lake.publish(&KEEP_REJECTED);
    let rows = lake.query("SELECT customer_id, _line FROM standard.readings ORDER BY _line");
    assert_eq!(rows[0]["customer_id"], "C-1\nsecond, \"quoted\"");
    assert_eq!([&rows[0]["_line"], &rows[1]["_line"]], [2, 6]);
    let rejected = lake.query("SELECT line, raw FROM rejection.readings");
    assert_eq!(rejected[0]["line"], 4);
    assert_eq!(
        rejected[0]["raw"],
        bad.as_str(),
        "the raw text is the whole record"
    );
}

#[test]
fn a_quote_that_is_never_closed_rejects_its_line_and_no_other() {
    let lake = Lake::new();
    let open = reading(1, 2, 1, 0, "1").replace("C-1", "\"C-1");
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), open, reading(1, 3, 1, 0, "1")]),
    );
    lake.publish(&KEEP_REJECTED);
    assert_eq!(
        lake.rows("SELECT meter_id FROM standard.readings ORDER BY meter_id"),
        ["M0000001", "M0000003"]
    );
    let rejected = lake.query("SELECT line, reasons FROM rejection.readings");
    assert_eq!(rejected[0]["line"], 3);
    assert_eq!(rejected[0]["reasons"][0]["check"], "quote");
}

#[test]
fn bytes_that_are_not_utf_8_reject_their_row_and_are_kept() {
    let lake = Lake::new();
    let mut bytes = csv([reading(1, 1, 1, 0, "1")]).into_bytes();
    bytes.extend(b"C-\xFF,M2,2025-06-01T00:00:00Z,2025-06-01T01:00:00Z,1,north\n");
    lake.put("a.csv", 0, bytes);
    lake.publish(&KEEP_REJECTED);
    let rejected = lake.query("SELECT line, raw, reasons FROM rejection.readings");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0]["line"], 3);
    assert!(
        rejected[0]["raw"]
            .as_str()
            .unwrap()
            .starts_with("C-\\xFF,M2")
    );
    let reason = &rejected[0]["reasons"][0];
    assert_eq!(
        (&reason["check"], &reason["column"]),
        (&"utf-8".into(), &"customer_id".into())
    );
}

#[test]
fn a_rejected_row_names_every_reason_at_once() {
    let lake = Lake::new();
    let bad = ",M1,yesterday,2025-06-01T00:00:00Z,-1,nowhere";
    lake.put("a.csv", 0, csv([bad]));
    lake.publish(&KEEP_REJECTED);
    let rejected = lake.query("SELECT raw, reasons FROM rejection.readings");
    assert_eq!(rejected[0]["raw"], bad);
    let reasons: Vec<(&Value, &Value)> = rejected[0]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (&reason["check"], &reason["value"]))
        .collect();
    let named = |check: &str| reasons.iter().any(|(name, _)| *name == check);
    assert!(named("required") && named("type"), "{reasons:?}");
    assert!(
        named("usage is not negative") && named("region is known"),
        "{reasons:?}"
    );
    assert_eq!(
        reasons.len(),
        4,
        "checks over a value that is none are not run: {reasons:?}"
    );
}

#[test]
fn a_bad_row_is_there_once_also_when_its_file_is_loaded_again() {
    let lake = Lake::new();
    let bad = "bad".to_owned();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1"), bad.clone()]));
    lake.publish(&KEEP_REJECTED);
    lake.put(
        "a.csv",
        1,
        csv([reading(1, 1, 1, 0, "1"), bad, reading(1, 1, 1, 1, "1")]),
    );
    lake.publish(&KEEP_REJECTED);
    assert_eq!(
        lake.rows("SELECT line, raw, count(*) FROM rejection.readings GROUP BY line, raw"),
        ["3,bad,1"]
    );
}

#[test]
fn readings_from_the_future_and_those_that_end_before_they_start_are_rejected() {
    let lake = Lake::new();
    let backwards = "C-1,M1,2025-06-01T01:00:00Z,2025-06-01T00:00:00Z,1,north";
    let future = "C-1,M1,2025-07-02T01:00:00Z,2025-07-02T02:00:00Z,1,north";
    lake.put("a.csv", 0, csv([backwards, future]));
    lake.publish(&KEEP_REJECTED);
    assert_eq!(
        lake.rows("SELECT line, reasons[1]['check'] FROM rejection.readings ORDER BY line"),
        ["2,reading ends after it starts", "3,not in the future"]
    );
}

#[test]
fn a_file_of_bad_rows_is_stopped_by_the_limit_and_its_rows_are_kept_aside() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv(vec!["only,bad,rows"; 150]));
    let ended = lake.run(&["--output", "json"]);
    ended.assert(
        3,
        &[
            "input readings: 150 of 150 rows were rejected",
            "limits.rejected allows",
            "nothing was published",
        ],
    );
    assert_eq!(ended.json()["status"], "stopped");
    lake.assert_nothing_published();
    let kept = stopped(&lake);
    assert!(
        ended.stderr.contains(kept.to_str().unwrap()),
        "{}",
        ended.stderr
    );
    let summary: Value =
        serde_json::from_slice(&fs::read(kept.join("stopped.json")).unwrap()).unwrap();
    assert_eq!(summary["reasons"][0]["rows"], 150);
    let rows = kept.join(summary["rejected"][0].as_str().unwrap());
    assert!(fs::metadata(rows).unwrap().len() > 0);
}

#[test]
fn a_file_of_bad_rows_is_published_as_rejected_where_the_pipeline_says_so() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv(vec!["only,bad,rows"; 150]));
    let report = lake.publish(&KEEP_REJECTED);
    let input = &report["inputs"]["readings"];
    assert_eq!([&input["accepted"], &input["rejected"]], [0, 150]);
    assert_eq!(
        lake.rows("SELECT count(*) FROM rejection.readings"),
        ["150"]
    );
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["0"]);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn the_limit_of_rejected_rows_is_the_share_that_it_says() {
    let lake = Lake::new();
    let good = (0..24).map(|hour| reading(1, 1, 1, hour, "1"));
    lake.put("a.csv", 0, csv(good.chain(["bad".to_owned()])));
    lake.run(&["--set", "limits.rejected=3.9%"])
        .assert(3, &["1 of 25 rows were rejected", "mostly 1 × fields"]);
    lake.assert_nothing_published();
    assert_eq!(lake.publish(&["--set", "limits.rejected=4%"])["run"], 1);
}

#[test]
fn a_stopped_run_takes_no_number_and_its_files_stay_pending() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    lake.put(
        "b.csv",
        1,
        csv([reading(1, 2, 1, 0, "1"), "bad".to_owned()]),
    );
    let strict = ["--set", "limits.rejected=0%"];
    lake.run(&strict).assert(3, &["1 of 2 rows"]);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["1"]);
    let mended = csv([reading(1, 2, 1, 0, "1"), reading(1, 3, 1, 0, "1")]);
    lake.put("b.csv", 2, mended);
    assert_eq!(lake.publish(&strict)["run"], 2);
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["3"]);
}

#[test]
fn by_default_a_handful_of_rows_may_be_rejected() {
    let lake = Lake::new();
    lake.put(
        "a.csv",
        0,
        csv([reading(1, 1, 1, 0, "1"), "bad".to_owned(), "bad".to_owned()]),
    );
    let report = lake.publish(&[]);
    assert_eq!(report["inputs"]["readings"]["rejected"], 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_be_read_is_named_and_nothing_is_published() {
    use std::os::unix::fs::PermissionsExt;
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let secret = lake.put("secret.csv", 0, csv([reading(1, 2, 1, 0, "1")]));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything, but not in a user namespace of its own.
    let own_rights: &[&[&str]] = match fs::read(&secret) {
        Ok(_) => &[&["unshare", "--user"]],
        Err(_) => &[&["env"]],
    };
    let Some(launcher) = launcher(own_rights) else {
        return;
    };
    let ended = lake.below(launcher, &["run", "pipelines/pipeline.yaml"]);
    ended.assert(1, &[secret.to_str().unwrap(), "Permission denied"]);
    lake.assert_nothing_published();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["files"], 2);
}

/// That a file with this content ends a run with `texts`, and publishes nothing.
#[track_caller]
fn refused(content: &str, texts: &[&str]) {
    let lake = Lake::new();
    let path = lake.put("a.csv", 0, content);
    lake.run(&[])
        .assert(1, &[path.to_str().unwrap()])
        .assert(1, texts);
    lake.assert_nothing_published();
}

/// Where the rows of the only stopped run are.
#[track_caller]
fn stopped(lake: &Lake) -> PathBuf {
    let attempts = fs::read_dir(lake.object("_lake/stopped")).unwrap();
    let attempts: Vec<PathBuf> = attempts.map(|entry| entry.unwrap().path()).collect();
    let [attempt] = attempts.as_slice() else {
        panic!("stopped runs: {attempts:?}");
    };
    attempt.clone()
}
