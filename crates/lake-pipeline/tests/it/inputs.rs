//! What the settings of an input may be, and what is said about those that are not.

use std::time::Duration;

use expect_test::expect;
use lake_pipeline::{FileOrder, InputSource, OnChange, OnEmpty, OnLate, OnTruncated, Overrides};

use crate::{SMALLEST, check, parse_with, pipeline};

/// The smallest pipeline, with more settings of its input: `settle: 30s`.
fn with_input(settings: &str) -> String {
    SMALLEST.replace("*.csv", &format!("*.csv, {settings}"))
}

fn input(settings: &str) -> InputSource {
    pipeline(&with_input(settings)).inputs["readings"].clone()
}

/// The smallest pipeline with this path.
fn with_path(path: &str) -> String {
    SMALLEST.replace("../data/*.csv", path)
}

fn paths(path: &str) -> Vec<String> {
    let pipeline = pipeline(&with_path(path));
    let paths = pipeline.inputs["readings"].paths.iter();
    paths.map(ToString::to_string).collect()
}

#[test]
fn a_path_is_one_or_a_list_of_them() {
    assert_eq!(paths("a.csv"), ["/srv/pipelines/a.csv"]);
    assert_eq!(
        paths("[a.csv, '../{year}/**/*.csv', 's3://b/*.csv']"),
        [
            "/srv/pipelines/a.csv",
            "/srv/{year}/**/*.csv",
            "s3://b/*.csv"
        ]
    );
    let lines = "\n    path:\n      - a.csv\n      - b.csv";
    let yaml = SMALLEST.replace(" { path: ../data/*.csv }", lines);
    assert_eq!(pipeline(&yaml).inputs["readings"].paths.len(), 2);
}

#[test]
fn every_path_of_a_list_starts_where_it_would_start_alone() {
    let yaml = with_path("[x.csv, '${DIR}/y.csv', '${NONE:-z.csv}']");
    let parsed = parse_with(&yaml, &[("DIR", "in")], &Overrides::default()).unwrap();
    let paths: Vec<&str> = parsed.inputs["readings"]
        .paths
        .iter()
        .map(|path| path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/srv/pipelines/x.csv",
            "/srv/in/y.csv",
            "/srv/pipelines/z.csv"
        ]
    );
}

#[test]
fn a_flag_takes_the_place_of_a_whole_list() {
    let yaml = with_path("[a.csv, b.csv]");
    let overrides = Overrides {
        inputs: vec![("readings".to_owned(), "c.csv".to_owned())],
        ..Overrides::default()
    };
    for (variables, overrides, expected) in [
        (&[][..], &overrides, "/srv/c.csv"),
        (
            &[("LAKE_INPUT_READINGS", "/d/*.csv")],
            &Overrides::default(),
            "/d/*.csv",
        ),
    ] {
        let parsed = parse_with(&yaml, variables, overrides).unwrap();
        let paths = &parsed.inputs["readings"].paths;
        assert_eq!((paths.len(), paths[0].as_str()), (1, expected));
    }
}

#[test]
fn every_path_of_a_list_that_is_none_is_reported_where_it_stands() {
    check(
        &with_path("[a.csv, 7, '', 'b/[x.csv', '{a}/{a}.csv', 'x**.csv', '${NONE}', [b], null]"),
        expect![[r#"
            pipelines/utility.yaml:5:29: inputs.readings.path: expected text or a list of it, found the number `7`
              help: put it in quotes: "7"
            pipelines/utility.yaml:5:32: inputs.readings.path: the path is empty
              help: `.` is the directory itself
            pipelines/utility.yaml:5:36: inputs.readings.path: a `[` in `[x.csv` is not closed
              help: close it as in `[0-9]`, or write `[[]` for the character itself
            pipelines/utility.yaml:5:48: inputs.readings.path: `{a}` is in the path twice
              help: give each piece a name of its own, or write `*` for one of them
            pipelines/utility.yaml:5:63: inputs.readings.path: `**` stands beside something else in `x**.csv`
              help: `**` is for whole directories, as in `data/**/*.csv`; within a name, write `*`
            pipelines/utility.yaml:5:75: inputs.readings.path: the variable `NONE` is not set
              help: set it, or give a default: ${NONE:-…}
            pipelines/utility.yaml:5:85: inputs.readings.path: a list in a list
              help: write its paths beside the others
            pipelines/utility.yaml:5:90: `inputs.readings.path` has no value
              help: give it one value, for example `path: ../data/utility/*.csv`"#]],
    );
    check(
        &with_path("[]"),
        expect![[r#"
        pipelines/utility.yaml:5:21: inputs.readings.path: the list is empty
          help: name at least one, for example `- ../data/utility/*.csv`"#]],
    );
    check(
        &with_path("{ glob: x }"),
        expect![[r#"
        pipelines/utility.yaml:5:21: inputs.readings.path: expected text or a list of it, found a mapping
          help: give it one value, for example `path: ../data/utility/*.csv`"#]],
    );
    check(
        &with_path("'{site.csv'"),
        expect![[r#"
        pipelines/utility.yaml:5:21: inputs.readings.path: a `{` in `{site.csv` is not closed
          help: close it as in `{site}`, which names a piece of one part of the path, or write `[{]` for the character itself"#]],
    );
}

#[test]
fn the_policies_are_those_that_are_named() {
    assert_eq!(input("on_change: fail").on_change, OnChange::Fail);
    assert_eq!(input("on_change: upsert").on_change, OnChange::Upsert);
    assert_eq!(input("on_change: replace").on_change, OnChange::Replace);
    assert_eq!(input("on_change: skip").on_change, OnChange::Skip);
    assert_eq!(input("on_empty: wait").on_empty, OnEmpty::Wait);
    assert_eq!(input("on_empty: load").on_empty, OnEmpty::Load);
    assert_eq!(input("on_empty: fail").on_empty, OnEmpty::Fail);
    let truncated = |value: &str| input(&format!("on_truncated: {value}")).on_truncated;
    assert_eq!(truncated("fail"), OnTruncated::Fail);
    assert_eq!(truncated("reject"), OnTruncated::Reject);
    assert_eq!(input("on_late: warn").on_late, OnLate::Warn);
    assert_eq!(input("on_late: fail").on_late, OnLate::Fail);
    assert_eq!(input("order: name").order, FileOrder::Name);
    assert_eq!(input("order: modified").order, FileOrder::Modified);
    check(
        &with_input("on_change: append"),
        expect![[r#"
        pipelines/utility.yaml:5:47: inputs.readings.on_change: `append` is not accepted
          help: accepted are: fail, upsert, replace, skip"#]],
    );
    check(
        &with_input("on_change: upsrt"),
        expect![[r#"
        pipelines/utility.yaml:5:47: inputs.readings.on_change: `upsrt` is not accepted
          help: did you mean `upsert`? accepted are: fail, upsert, replace, skip"#]],
    );
    check(
        &with_input("on_empty: skip, on_late: stop, order: size"),
        expect![[r#"
        pipelines/utility.yaml:5:46: inputs.readings.on_empty: `skip` is not accepted
          help: accepted are: wait, load, fail
        pipelines/utility.yaml:5:61: inputs.readings.on_late: `stop` is not accepted
          help: accepted are: warn, fail
        pipelines/utility.yaml:5:74: inputs.readings.order: `size` is not accepted
          help: accepted are: name, modified"#]],
    );
    check(
        &with_input("on_truncated: load, on_chnge: skip"),
        expect![[r#"
        pipelines/utility.yaml:5:50: inputs.readings.on_truncated: `load` is not accepted
          help: accepted are: fail, reject
        pipelines/utility.yaml:5:56: unknown key `inputs.readings.on_chnge`
          help: did you mean `on_change`?"#]],
    );
}

#[test]
fn lengths_of_time_are_written_as_those_of_parameters() {
    assert_eq!(input("settle: 1h30m").settle, Duration::from_secs(5400));
    assert_eq!(input("settle: 0s").settle, Duration::ZERO);
    let day = Some(Duration::from_secs(86_400));
    assert_eq!(input("expect_every: 1d").expect_every, day);
    check(
        &with_input("settle: 30"),
        expect![[r#"
            pipelines/utility.yaml:5:44: inputs.readings.settle: `30` is not a length of time
              help: write numbers with units: 90s, 20m, 1h30m or 2d"#]],
    );
    check(
        &with_input("settle: '30'"),
        expect![[r#"
        pipelines/utility.yaml:5:44: inputs.readings.settle: `30` is not a length of time
          help: write numbers with units: 90s, 20m, 1h30m or 2d"#]],
    );
    check(
        &with_input("expect_every: daily"),
        expect![[r#"
        pipelines/utility.yaml:5:50: inputs.readings.expect_every: `daily` is not a length of time
          help: write numbers with units: 90s, 20m, 1h30m or 2d"#]],
    );
    check(
        &with_input("expect_every: 0h"),
        expect![[r#"
        pipelines/utility.yaml:5:50: inputs.readings.expect_every: `0h` is no time at all
          help: leave the setting out where a file may come at any time"#]],
    );
}

#[test]
fn amounts_are_whole_and_more_than_nothing() {
    assert_eq!(input("max_files: 10").max_files, Some(10));
    assert_eq!(input("max_bytes: 10GB").max_bytes, Some(10_000_000_000));
    check(
        &with_input("max_files: 0, max_bytes: 0"),
        expect![[r#"
        pipelines/utility.yaml:5:47: inputs.readings.max_files: `0` is not a number of files
          help: write a whole number from 1 on, or leave the setting out to load all
        pipelines/utility.yaml:5:61: inputs.readings.max_bytes: `0` is nothing at all
          help: leave the setting out to load all"#]],
    );
    check(
        &with_input("max_files: 1e3, max_bytes: many"),
        expect![[r#"
        pipelines/utility.yaml:5:47: inputs.readings.max_files: `1e3` is not a number of files
          help: write a whole number from 1 on, or leave the setting out to load all
        pipelines/utility.yaml:5:63: inputs.readings.max_bytes: `many` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    let record = |text: &str| format!("{SMALLEST}limits: {{ max_record_bytes: {text} }}\n");
    assert_eq!(pipeline(&record("1KiB")).limits.max_record_bytes, 1024);
    assert_eq!(
        pipeline(&record("256MiB")).limits.max_record_bytes,
        256 << 20
    );
    check(
        &record("1000"),
        expect![[r#"
        pipelines/utility.yaml:6:29: limits.max_record_bytes: `1000` is not between 1KiB and 256MiB
          help: a record is held in memory, once per thread; leave the setting out for the default"#]],
    );
    check(
        &record("1GiB"),
        expect![[r#"
        pipelines/utility.yaml:6:29: limits.max_record_bytes: `1GiB` is not between 1KiB and 256MiB
          help: a record is held in memory, once per thread; leave the setting out for the default"#]],
    );
}

#[test]
fn a_done_marker_is_a_name_with_one_star_at_the_most() {
    let marker = |text: &str| {
        input(&format!("done_marker: '{text}'"))
            .done_marker
            .unwrap()
    };
    assert_eq!(marker("_SUCCESS").of("a.csv"), "_SUCCESS");
    assert_eq!(marker("*.done").of("a.csv"), "a.csv.done");
    for wrong in ["", "*", "x/y", "*.*"] {
        let yaml = with_input(&format!("done_marker: '{wrong}'"));
        let said = crate::said(parse_with(&yaml, &[], &Overrides::default()));
        assert!(
            said.contains("pipelines/utility.yaml:5:49: inputs.readings.done_marker: "),
            "{said}"
        );
        assert!(said.contains("such as `_SUCCESS`"), "{said}");
    }
    check(
        &with_input("done_marker: *.done"),
        expect![[r#"
        pipelines/utility.yaml:5:49: `*.done` is an alias to YAML, and aliases are not accepted
          help: write the value out; one that starts with `*` needs quotes"#]],
    );
}
