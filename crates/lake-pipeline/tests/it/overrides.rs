//! Flags beat variables, variables beat the file, and all follow the same rules.

use expect_test::{Expect, expect};
use lake_pipeline::{Overrides, Pipeline, settings};

use crate::{SMALLEST, parse_with, pipeline, said, with_transform};

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn set(key: &str, value: &str) -> Overrides {
    Overrides {
        set: vec![pair(key, value)],
        ..Overrides::default()
    }
}

#[track_caller]
fn with(yaml: &str, variables: &[(&str, &str)], overrides: &Overrides) -> Pipeline {
    parse_with(yaml, variables, overrides).unwrap_or_else(|faults| panic!("{faults}"))
}

#[track_caller]
fn check_set(key: &str, value: &str, expected: Expect) {
    let yaml = format!("{SMALLEST}  events: {{ path: e.csv }}\n");
    expected.assert_eq(&said(parse_with(&yaml, &[], &set(key, value))));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let root = |variables: &[(&str, &str)], overrides: &Overrides| {
        with(SMALLEST, variables, overrides).root
    };
    let flag = Overrides {
        root: Some("flag".to_owned()),
        ..Overrides::default()
    };
    let none = Overrides::default();
    assert_eq!(root(&[], &none), "/srv/lake");
    assert_eq!(root(&[("LAKE_ROOT", "variable")], &none), "/srv/variable");
    assert_eq!(root(&[("LAKE_ROOT", "variable")], &flag), "/srv/flag");
    assert_eq!(root(&[("LAKE_ROOT", "")], &none), "/srv/lake");
}

#[test]
fn the_path_of_an_input_has_a_flag_and_a_variable_too() {
    let path = |variables: &[(&str, &str)], overrides: &Overrides| {
        with(SMALLEST, variables, overrides).inputs["readings"].paths[0].to_string()
    };
    let flag = Overrides {
        inputs: vec![pair("readings", "../f/*.csv")],
        ..Overrides::default()
    };
    let variable = [("LAKE_INPUT_READINGS", "s3://raw/*.csv")];
    assert_eq!(path(&variable, &Overrides::default()), "s3://raw/*.csv");
    assert_eq!(path(&variable, &flag), "/f/*.csv");
    assert_eq!(path(&[], &set("inputs.readings.path", "x")), "/srv/x");
}

#[test]
fn a_root_that_names_its_own_variable_starts_from_the_working_directory_when_it_is_set() {
    let yaml = SMALLEST.replace("../lake", "${LAKE_ROOT:-../lake}");
    let none = Overrides::default();
    assert_eq!(with(&yaml, &[], &none).root, "/srv/lake");
    assert_eq!(with(&yaml, &[("LAKE_ROOT", "out")], &none).root, "/srv/out");
}

#[test]
fn any_setting_can_be_set_by_its_dotted_key() {
    let overrides = Overrides {
        set: vec![
            pair("limits.memory", "1GiB"),
            pair("limits.rejected", "1%"),
            pair("transform.version", "2"),
            pair("inputs.readings.on_change", "skip"),
            pair("description", "$HOME is not substituted"),
        ],
        ..Overrides::default()
    };
    let pipeline = with(SMALLEST, &[], &overrides);
    assert_eq!(pipeline.limits.memory, Some(1 << 30));
    assert_eq!(pipeline.limits.rejected.to_string(), "1 %");
    assert_eq!(pipeline.transform.version.to_string(), "^2");
    assert_eq!(
        pipeline.inputs["readings"].on_change,
        lake_pipeline::OnChange::Skip
    );
    assert_eq!(
        pipeline.description.as_deref(),
        Some("$HOME is not substituted")
    );
}

#[test]
fn a_flag_or_variable_supplies_what_the_file_leaves_out() {
    let yaml = "name: utility\ninputs:\n  readings: { on_change: skip }\n";
    let overrides = Overrides {
        root: Some("/lake".to_owned()),
        inputs: Vec::new(),
        set: vec![pair("transform.name", "t"), pair("transform.version", "1")],
    };
    let pipeline = with(yaml, &[("LAKE_INPUT_READINGS", "/r.csv")], &overrides);
    assert_eq!(pipeline.transform.name, "t");
    assert_eq!(pipeline.inputs["readings"].paths[0].as_str(), "/r.csv");

    let half = set("transform.name", "t");
    let outcome = parse_with(yaml, &[("LAKE_ROOT", "/lake")], &half);
    expect![[r#"
        pipelines/utility.yaml:1:1: `transform.version` is missing
          help: add it, for example `version: 1`
        pipelines/utility.yaml:3:3: `inputs.readings.path` is missing
          help: add it, for example `path: ../data/utility/*.csv`, or set --input readings or LAKE_INPUT_READINGS"#]].assert_eq(&said(outcome));
}

#[test]
fn a_value_that_is_overridden_is_not_looked_at() {
    let yaml = SMALLEST.replace("../lake", "${NOT_SET}");
    let pipeline = with(&yaml, &[], &set("root", "/lake"));
    assert_eq!(pipeline.root, "/lake");
}

#[test]
fn a_bad_value_names_the_flag_or_variable_instead_of_a_line() {
    let overrides = Overrides {
        root: Some(String::new()),
        inputs: vec![pair("readings", "s3:/b")],
        set: vec![pair("limits.memory", "lots"), pair("name", "UP")],
    };
    let outcome = parse_with(SMALLEST, &[], &overrides);
    expect![[r#"
        --input readings: `s3:/b` is neither a path nor a URL
          help: a URL has two slashes: s3://b
        --root: the path is empty
          help: `.` is the directory itself
        --set limits.memory: `lots` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB
        --set name: `UP` cannot be the name of a pipeline
          help: use lower-case letters, digits, `_` and `-`, starting with a letter"#]]
    .assert_eq(&said(outcome));
    let variables = [("LAKE_ROOT", "~/x"), ("LAKE_INPUT_READINGS", "gs://")];
    let outcome = parse_with(SMALLEST, &variables, &Overrides::default());
    expect![[r#"
        LAKE_INPUT_READINGS: the URL `gs://` ends after its scheme
          help: name the bucket: gs://bucket/prefix
        LAKE_ROOT: `~/x` starts with `~`, which only a shell knows
          help: write the whole path, or ${HOME}/x in the file"#]]
    .assert_eq(&said(outcome));
}

#[test]
fn faults_of_flags_come_after_those_of_the_file() {
    let yaml = format!("{SMALLEST}limit: 1\n");
    let outcome = parse_with(&yaml, &[], &set("limits.memroy", "1"));
    expect![[r#"
        pipelines/utility.yaml:6:1: unknown key `limit`
          help: did you mean `limits`?
        --set limits.memroy: there is no setting `limits.memroy`
          help: did you mean `limits.memory`?"#]]
    .assert_eq(&said(outcome));
}

#[test]
fn an_unknown_dotted_key_names_the_nearest_one() {
    check_set(
        "limits.memroy",
        "1GB",
        expect![[r#"
        --set limits.memroy: there is no setting `limits.memroy`
          help: did you mean `limits.memory`?"#]],
    );
    check_set(
        "limits",
        "1GB",
        expect![[r#"
            --set limits: `limits` is a group of settings
              help: set one of: limits.memory, limits.rejected, limits.max_record_bytes"#]],
    );
    check_set(
        "inputs.readings",
        "x.csv",
        expect![[r#"
            --set inputs.readings: `inputs.readings` is a group of settings
              help: set one of: inputs.readings.path, inputs.readings.on_change, inputs.readings.on_empty, inputs.readings.on_truncated, inputs.readings.settle, inputs.readings.done_marker, inputs.readings.expect_every, inputs.readings.on_late, inputs.readings.order, inputs.readings.max_files, inputs.readings.max_bytes, inputs.readings.archive"#]],
    );
    check_set(
        "inputs.reading.path",
        "x.csv",
        expect![[r#"
        --set inputs.reading.path: the file has no input `reading`
          help: did you mean `readings`?"#]],
    );
    check_set(
        "inputs.something.path",
        "x.csv",
        expect![[r#"
        --set inputs.something.path: the file has no input `something`
          help: its inputs: readings, events"#]],
    );
    check_set(
        "completely.different",
        "1",
        expect![[r#"
            --set completely.different: there is no setting `completely.different`
              help: known are: name, description, transform.name, transform.version, transform.path, transform.params.<name>, transform.registry, transform.trusted_keys, root, inputs.readings.path, inputs.readings.on_change, inputs.readings.on_empty, inputs.readings.on_truncated, inputs.readings.settle, inputs.readings.done_marker, inputs.readings.expect_every, inputs.readings.on_late, inputs.readings.order, inputs.readings.max_files, inputs.readings.max_bytes, inputs.readings.archive, inputs.events.path, inputs.events.on_change, inputs.events.on_empty, inputs.events.on_truncated, inputs.events.settle, inputs.events.done_marker, inputs.events.expect_every, inputs.events.on_late, inputs.events.order, inputs.events.max_files, inputs.events.max_bytes, inputs.events.archive, limits.memory, limits.rejected, limits.max_record_bytes, schedule, rollback_window"#]],
    );
    check_set(
        "",
        "1",
        expect![[r#"
            --set : there is no setting ``
              help: known are: name, description, transform.name, transform.version, transform.path, transform.params.<name>, transform.registry, transform.trusted_keys, root, inputs.readings.path, inputs.readings.on_change, inputs.readings.on_empty, inputs.readings.on_truncated, inputs.readings.settle, inputs.readings.done_marker, inputs.readings.expect_every, inputs.readings.on_late, inputs.readings.order, inputs.readings.max_files, inputs.readings.max_bytes, inputs.readings.archive, inputs.events.path, inputs.events.on_change, inputs.events.on_empty, inputs.events.on_truncated, inputs.events.settle, inputs.events.done_marker, inputs.events.expect_every, inputs.events.on_late, inputs.events.order, inputs.events.max_files, inputs.events.max_bytes, inputs.events.archive, limits.memory, limits.rejected, limits.max_record_bytes, schedule, rollback_window"#]],
    );
}

#[test]
fn an_input_that_the_file_does_not_have_cannot_be_added_by_a_flag() {
    let overrides = Overrides {
        inputs: vec![pair("readngs", "x.csv")],
        ..Overrides::default()
    };
    let outcome = parse_with(SMALLEST, &[], &overrides);
    expect![[r#"
        --input readngs: the file has no input `readngs`
          help: did you mean `readings`?"#]]
    .assert_eq(&said(outcome));
    let outcome = parse_with("name: utility\n", &[], &overrides);
    expect![[r#"
        pipelines/utility.yaml:1:1: `inputs` is missing
          help: add `inputs:` with a `name:` per input, and in it path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
        pipelines/utility.yaml:1:1: `root` is missing
          help: add it, for example `root: ${LAKE_ROOT:-../lake}`, or set --root or LAKE_ROOT
        pipelines/utility.yaml:1:1: `transform` is missing
          help: add `transform:` with name, version, path, params, registry, trusted_keys
        --input readngs: the file has no input `readngs`
          help: add it to `inputs` in the file"#]]
    .assert_eq(&said(outcome));
}

#[test]
fn a_setting_given_by_two_flags_is_refused() {
    let overrides = Overrides {
        root: Some("/a".to_owned()),
        inputs: Vec::new(),
        set: vec![pair("root", "/b")],
    };
    let outcome = parse_with(SMALLEST, &[], &overrides);
    expect![[r#"
        --set root: `root` is set twice; the first is --root
          help: keep one of them"#]]
    .assert_eq(&said(outcome));
}

/// Guards against a setting that is described but never read.
#[test]
fn every_setting_that_is_described_is_read() {
    for setting in settings() {
        let key = setting.key.replace("<name>", "readings");
        match parse_with(SMALLEST, &[], &set(&key, "\0")) {
            // Settings that take any text.
            Ok(changed) => assert_ne!(changed, pipeline(SMALLEST), "{key}"),
            Err(faults) => {
                let faults = faults.to_string();
                assert!(faults.starts_with(&format!("--set {key}: ")), "{faults}");
            }
        }
    }
}

/// Guards against a variable that is described but never looked up.
#[test]
fn every_variable_that_is_described_is_read() {
    let yaml = with_transform("params: { readings: 1 }");
    for variable in settings().iter().filter_map(|setting| setting.variable) {
        let variable = variable.replace("<NAME>", "READINGS");
        let outcome = parse_with(&yaml, &[(&variable, "\0")], &Overrides::default());
        match outcome {
            Ok(changed) => assert_ne!(changed, pipeline(&yaml), "{variable}"),
            Err(faults) => {
                let faults = faults.to_string();
                assert!(faults.starts_with(&format!("{variable}: ")), "{faults}");
            }
        }
    }
}

#[test]
fn a_parameter_of_the_file_has_a_variable_and_any_can_be_set() {
    let params = |variables: &[(&str, &str)], overrides: &Overrides| {
        let yaml = with_transform("params: { gap: 30m, top: 50 }");
        let params = with(&yaml, variables, overrides).transform.params;
        let pairs = params.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let none = Overrides::default();
    let gap = set("transform.params.gap", "1h");
    let variable = [("LAKE_PARAM_GAP", "2h"), ("LAKE_PARAM_OTHER", "1")];
    assert_eq!(params(&[], &none), "gap=30m top=50");
    assert_eq!(params(&variable, &none), "gap=2h top=50");
    assert_eq!(params(&variable, &gap), "gap=1h top=50");
    assert_eq!(params(&[("LAKE_PARAM_GAP", "")], &none), "gap=30m top=50");
    let added = set("transform.params.all", "$true");
    assert_eq!(params(&[], &added), "all=$true gap=30m top=50");
    let emptied = set("transform.params.gap", "");
    assert_eq!(params(&[], &emptied), "gap= top=50");
}

#[test]
fn a_parameter_can_be_set_where_the_file_sets_none() {
    let set = set("transform.params.gap", "1h");
    assert_eq!(with(SMALLEST, &[], &set).transform.params["gap"], "1h");
}

#[test]
fn a_parameter_that_is_overridden_is_not_looked_at() {
    let yaml = with_transform("params: { gap: , top: \"${NOT_SET}\" }");
    let overrides = set("transform.params.top", "5");
    let pipeline = with(&yaml, &[("LAKE_PARAM_GAP", "1h")], &overrides);
    assert_eq!(pipeline.transform.params["gap"], "1h");
    assert_eq!(pipeline.transform.params["top"], "5");
}

#[test]
fn a_parameter_set_by_a_flag_has_a_name_and_one_value() {
    check_set(
        "transform.params",
        "1",
        expect![[r#"
        --set transform.params: `transform.params` is a group of settings
          help: set one of: transform.params.<name>"#]],
    );
    check_set(
        "transform.params.",
        "1",
        expect![[r#"
        --set transform.params.: `` cannot be the name of a parameter
          help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter"#]],
    );
    check_set(
        "transform.params.Gap",
        "1",
        expect![[r#"
        --set transform.params.Gap: `Gap` cannot be the name of a parameter
          help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter"#]],
    );
    check_set(
        "transform.params.gap.max",
        "1",
        expect![[r#"
        --set transform.params.gap.max: `gap.max` cannot be the name of a parameter
          help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter"#]],
    );
    check_set(
        "transform.parms.gap",
        "1",
        expect![[r#"
        --set transform.parms.gap: there is no setting `transform.parms.gap`
          help: did you mean `transform.params.<name>`?"#]],
    );
    let twice = Overrides {
        set: vec![
            pair("transform.params.gap", "1h"),
            pair("transform.params.gap", "2h"),
        ],
        ..Overrides::default()
    };
    expect![[r#"
        --set transform.params.gap: `transform.params.gap` is set twice; the first is --set transform.params.gap
          help: keep one of them"#]].assert_eq(&said(parse_with(SMALLEST, &[], &twice)));
}

#[test]
fn where_releases_are_and_whom_to_trust_come_from_the_machine_too() {
    let yaml = with_transform("registry: ../registry, trusted_keys: trusted.keys");
    let read = |variables: &[(&str, &str)], overrides: &Overrides| {
        let transform = with(&yaml, variables, overrides).transform;
        let keys = transform.trusted_keys.unwrap();
        format!("{} {}", transform.registry.unwrap(), keys.display())
    };
    let variables = [("LAKE_REGISTRY", "s3://r"), ("LAKE_TRUSTED_KEYS", "k")];
    let flags = Overrides {
        set: vec![
            pair("transform.registry", "flag"),
            pair("transform.trusted_keys", "/flag"),
        ],
        ..Overrides::default()
    };
    let none = Overrides::default();
    assert_eq!(
        read(&[], &none),
        "/srv/registry /srv/pipelines/trusted.keys"
    );
    assert_eq!(read(&variables, &none), "s3://r /srv/k");
    assert_eq!(read(&variables, &flags), "/srv/flag /flag");

    let alone = with(SMALLEST, &variables, &none).transform;
    assert_eq!(alone.registry.as_deref(), Some("s3://r"));
    let wrong = [
        ("LAKE_REGISTRY", "s3:/r"),
        ("LAKE_TRUSTED_KEYS", "s3://r/k"),
    ];
    expect![[r#"
        LAKE_REGISTRY: `s3:/r` is neither a path nor a URL
          help: a URL has two slashes: s3://r
        LAKE_TRUSTED_KEYS: `s3://r/k` is a URL, and a file is needed
          help: keep a copy of the file on this machine, for example beside the pipeline"#]]
    .assert_eq(&said(parse_with(SMALLEST, &wrong, &none)));
}

#[test]
fn the_variable_of_an_input_is_its_name_in_upper_case() {
    let yaml = format!("{SMALLEST}  meter_2: {{ path: m.csv }}\n");
    let pipeline = with(
        &yaml,
        &[("LAKE_INPUT_METER_2", "/m")],
        &Overrides::default(),
    );
    assert_eq!(pipeline.inputs["meter_2"].paths[0].as_str(), "/m");
    assert_eq!(
        pipeline.inputs["readings"].paths[0].as_str(),
        "/srv/data/*.csv"
    );
}
