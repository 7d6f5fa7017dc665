//! The pipeline file, and what stands above it: flags and variables.

use std::fs;

use lake_tests::{Lake, csv, reading, workspace};

#[test]
fn all_faults_of_a_file_are_said_at_once_with_line_and_column() {
    let lake = Lake::of(
        "name: Utility\n\
         trasform:\n  name: utility\n  version: one\n\
         root: ${NOT_SET_ANYWHERE}/lake\n\
         inputs:\n  readings:\n    on_change: sometimes\n\
         limits:\n  memory: lots\n",
    );
    for command in ["run", "validate"] {
        let ended = lake.lake(&[command, "pipelines/pipeline.yaml"]);
        ended.assert(
            2,
            &[
                "pipeline.yaml:1:7: name: `Utility` cannot be the name of a pipeline",
                "pipeline.yaml:2:1: unknown key `trasform`",
                "did you mean `transform`?",
                "pipeline.yaml:5:7: root: the variable `NOT_SET_ANYWHERE` is not set",
                "pipeline.yaml:7:3: `inputs.readings.path` is missing",
                "pipeline.yaml:8:16: inputs.readings.on_change: `sometimes` is not accepted",
                "pipeline.yaml:10:11: limits.memory: `lots` is not a size",
            ],
        );
        assert!(ended.stdout.is_empty());
    }
    assert!(lake.tree().is_empty());
}

#[test]
fn text_that_is_no_yaml_says_where() {
    for broken in [
        "name: [utility\nroot: x\n",
        "name: \"utility\n",
        "\tname: utility\n",
    ] {
        let lake = Lake::of(broken);
        lake.run(&[]).assert(2, &["pipeline.yaml:"]);
    }
}

#[test]
fn a_pipeline_file_that_is_not_there_is_wrong_usage() {
    let lake = Lake::new();
    lake.lake(&["run", "pipelines/none.yaml"]).assert(
        2,
        &["pipelines/none.yaml: the pipeline file cannot be read"],
    );
    lake.lake(&["run", "pipelines"])
        .assert(2, &["the pipeline file cannot be read"]);
    lake.lake(&["run", "--no-such-flag"])
        .assert(2, &["--no-such-flag"]);
    lake.lake(&["run", "--set", "limits.memory"])
        .assert(2, &["NAME=VALUE"]);
}

#[test]
fn the_only_file_in_pipelines_need_not_be_named() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.lake(&["run"])
        .assert_prints(&["run 1 is published", "lake query \"SELECT"]);
    lake.lake(&["query", "SELECT count(*) FROM standard.readings"])
        .assert_prints(&["1 row"]);
    fs::copy(
        lake.pipeline(),
        lake.directory().join("pipelines/second.yml"),
    )
    .unwrap();
    lake.lake(&["run"]).assert(
        2,
        &[
            "name a pipeline file, one of",
            "pipeline.yaml",
            "second.yml",
        ],
    );
    fs::remove_dir_all(lake.directory().join("pipelines")).unwrap();
    lake.lake(&["run"])
        .assert(2, &["there is no directory pipelines/ here"]);
    fs::create_dir(lake.directory().join("pipelines")).unwrap();
    lake.lake(&["run"]).assert(2, &["pipelines/ holds none"]);
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let files = Lake::new();
    files.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let elsewhere = files.directory().join("data/a.csv");

    let lake = Lake::new()
        .variable("LAKE_ROOT", "by-variable")
        .variable("LAKE_INPUT_READINGS", elsewhere.to_str().unwrap());
    lake.publish(&[]);
    assert!(
        lake.directory()
            .join("by-variable/utility/standard/readings")
            .is_dir()
    );
    lake.publish(&["--root", "by-flag"]);
    assert!(
        lake.directory()
            .join("by-flag/utility/standard/readings")
            .is_dir()
    );
    lake.run(&["--root", "by-flag", "--input", "readings=data/*.csv"])
        .assert(0, &["no file matches"]);
    assert!(!lake.root().exists(), "the file's root was not used");
}

#[test]
fn any_setting_can_be_set_and_a_wrong_one_names_its_flag() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.run(&["--set", "limits.memory=lots"])
        .assert(2, &["--set limits.memory", "`lots` is not a size"]);
    lake.run(&["--set", "limits.memroy=1GiB"])
        .assert(2, &["limits.memroy", "did you mean `limits.memory`"]);
    let report = lake.publish(&["--set", "name=other", "--set", "limits.memory=1GiB"]);
    assert_eq!(report["pipeline"], "other");
    assert!(lake.root().join("other/standard/readings").is_dir());
}

#[test]
fn variables_in_the_file_have_defaults() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let yaml = fs::read_to_string(lake.pipeline()).unwrap();
    let yaml = yaml.replace("root: ../lake", "root: ../${PLACE:-lake}");
    fs::write(lake.pipeline(), yaml).unwrap();
    lake.publish(&[]);
    assert!(lake.object("standard/readings").is_dir());
    let lake = lake.variable("PLACE", "place");
    lake.publish(&[]);
    assert!(
        lake.directory()
            .join("place/utility/standard/readings")
            .is_dir()
    );
}

#[test]
fn the_inputs_of_the_file_are_those_of_the_transform() {
    let lake = Lake::new();
    let yaml = fs::read_to_string(lake.pipeline()).unwrap();
    fs::write(lake.pipeline(), yaml.replace("  readings:", "  meters:")).unwrap();
    lake.run(&[]).assert(
        2,
        &[
            "pipeline.yaml",
            "the transform utility reads the input readings, which has no path",
            "inputs.readings.path",
        ],
    );
    let more = format!("{yaml}  meters:\n    path: ../data/meters.csv\n");
    fs::write(lake.pipeline(), more).unwrap();
    lake.run(&[]).assert(
        2,
        &[
            "the transform utility has no input meters",
            "it reads readings",
        ],
    );
    assert!(lake.tree().is_empty());
}

#[test]
fn the_published_schema_is_the_one_that_lake_prints() {
    let lake = Lake::new();
    let printed = lake.lake(&["schema"]).assert(0, &[]).json();
    let published = fs::read(workspace().join("docs/pipeline.schema.json")).unwrap();
    let published: serde_json::Value = serde_json::from_slice(&published).unwrap();
    assert_eq!(
        printed, published,
        "write docs/pipeline.schema.json again: lake schema > docs/pipeline.schema.json"
    );
}

#[test]
fn validate_says_the_same_where_runs_have_been_and_names_what_does_not_fit() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let pipeline = lake.pipeline().to_str().unwrap();
    let before = lake
        .lake(&["validate", pipeline])
        .assert(0, &[])
        .stdout
        .clone();
    lake.publish(&[]);
    let tree = lake.tree();
    let after = lake
        .lake(&["validate", pipeline])
        .assert(0, &[])
        .stdout
        .clone();
    assert_eq!((after, lake.tree()), (before, tree));
    let commit = lake.object("standard/readings/_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&commit).unwrap();
    fs::write(
        &commit,
        text.replace(r#"\"name\":\"end_time\""#, r#"\"name\":\"until\""#),
    )
    .unwrap();
    lake.lake(&["validate", pipeline])
        .assert(1, &["column until is no longer declared"]);
}

#[test]
fn validate_reads_no_data_and_writes_nothing() {
    let lake = Lake::new();
    lake.put("a.csv", 0, "not what is declared");
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&["validate", pipeline]).assert_prints(&[
        "fine",
        "transform utility 1.0.0",
        "reads readings",
        "standard/readings, consumption/daily_usage",
    ]);
    let report = lake
        .lake(&["validate", pipeline, "--output", "json"])
        .json();
    assert_eq!(report["transform"]["tables"][0]["name"], "readings");
    assert!(lake.tree().is_empty());
}

#[test]
fn a_run_stays_within_a_small_memory_limit_or_says_that_it_cannot() {
    let lake = Lake::samples();
    let ended = lake.run(&["--set", "limits.memory=1KiB"]);
    ended.assert(
        1,
        &[
            "needs more memory than limits.memory allows",
            "nothing was published",
            "raise limits.memory",
        ],
    );
    lake.assert_nothing_published();
    assert_eq!(lake.publish(&["--set", "limits.memory=64MiB"])["run"], 1);
}

#[test]
fn completions_are_printed_for_a_shell() {
    let lake = Lake::new();
    lake.lake(&["completions", "bash"])
        .assert_prints(&["complete", "lake"]);
    lake.lake(&["completions", "no-such-shell"])
        .assert(2, &["no-such-shell"]);
}

#[test]
fn log_lines_can_be_json_and_can_be_silenced() {
    let lake = Lake::new();
    let ended = lake.run(&["--log-format", "json"]);
    let line = ended.assert(0, &[]).stderr.lines().next().unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(lake.run(&["-q"]).assert(0, &[]).stderr, "");
}
