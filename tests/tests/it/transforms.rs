//! Transforms that do not do what they should: what is said, and that nothing is published.
//!
//! The transform of most of these tests is one crate, made by the first of them,
//! whose behaviour a variable chooses. Others make a crate of their own, to break
//! or change it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Ended, Lake, building, csv, make_crate, reading, target};

/// A transform that misbehaves as the variable `TRIAL` says.
const TRIAL: &str = r#"//! A transform that misbehaves on request.

use lake_plugin::arrow::array::{ArrayRef, StringArray};
use lake_plugin::prelude::*;

pub fn trial() -> Transform {
    let trial = std::env::var("TRIAL").unwrap_or_default();
    if trial == "declaration panics" {
        panic!("no idea what I am");
    }
    if trial == "nonsense" {
        return Transform::new()
            .input(Input::csv("readings").column("Meter Id", text()))
            .table(Table::standard("readings").sql(" ").key(["meter_id", "meter_id"]))
            .table(Table::consumption("days").sql("SELECT 1").refresh_by(["day"]));
    }
    let readings = match trial.as_str() {
        "function panics" | "function fails" | "function is short" => {
            "SELECT trick(meter_id) AS meter_id, start_time, usage_kwh FROM readings"
        }
        "unknown column" => "SELECT meter, start_time, usage_kwh FROM readings",
        "no SQL" => "SELEKT meter_id FROM readings",
        "no query" => "DROP TABLE readings",
        "key is not selected" => "SELECT start_time, usage_kwh FROM readings",
        "standard aggregates" => "SELECT meter_id, max(start_time) AS start_time FROM readings GROUP BY meter_id",
        "a spot in several lines" => "SELECT\n    meter_id,\n    start_time,\n    usage AS usage_kwh\nFROM readings",
        "wrong arguments" => "SELECT trick(meter_id, 1) AS meter_id, start_time, usage_kwh FROM readings",
        "reads a table" => "SELECT meter_id, start_time, usage_kwh\nFROM standard.readings",
        "parameter" => "SELECT meter_id, start_time, usage_kwh * $factor AS usage_kwh FROM readings",
        "unknown parameter" => "SELECT meter_id, start_time, usage_kwh\nFROM readings WHERE usage_kwh < $mots",
        "fails while it runs" => "SELECT meter_id, start_time, 1 / (usage_kwh - usage_kwh) AS usage_kwh FROM readings",
        _ => "SELECT meter_id, start_time, usage_kwh FROM readings",
    };
    let totals = match trial.as_str() {
        "key twice" => "SELECT meter_id, usage_kwh AS total FROM standard.readings",
        "unknown table" => "SELECT meter_id, 1 AS total FROM standard.nothing",
        _ => "SELECT meter_id, sum(usage_kwh) AS total FROM standard.readings GROUP BY meter_id",
    };
    let check = match trial.as_str() {
        "check does not plan" => "usage >= 0",
        "parameter" => "usage_kwh < $most",
        _ => "usage_kwh >= 0",
    };
    let mut input = Input::csv("readings")
        .header()
        .column("start_time", timestamp().required())
        .column("usage_kwh", decimal(12, 3).required())
        .check("usage is not negative", check);
    input = input.column("meter_id", text().required());
    input = match trial.as_str() {
        "check warns" => input.warn("usage is small", "usage_kwh < 5"),
        "check stops" => input.fail("usage is small", "usage_kwh < 5"),
        _ => input,
    };
    let most = match trial.as_str() {
        "parameter without a value" => param("most", integer()).about("what a meter can measure in an hour"),
        _ => param("most", integer()).default("10"),
    };
    Transform::new()
        .input(input)
        .param(most)
        .param(param("factor", decimal(4, 2)).default("2.50"))
        .table(Table::standard("readings").sql(readings).key(["meter_id", "start_time"]))
        .table(Table::consumption("totals").sql(totals).key(["meter_id"]))
        .function(Function::scalar("trick", [text()], text(), trick))
}

fn trick(arguments: &Arguments) -> Result<ArrayRef, FunctionError> {
    match std::env::var("TRIAL").unwrap_or_default().as_str() {
        "function panics" => panic!("boom at noon"),
        "function fails" => Err(FunctionError::new("the moon is not full")),
        _ => Ok(std::sync::Arc::new(StringArray::from(vec!["one too few"; arguments.rows() - 1]))),
    }
}

lake_plugin::export!(trial);
"#;

#[test]
fn a_function_that_panics_is_named_with_what_it_said() {
    misbehaves(
        "function panics",
        1,
        &["standard/readings", "trick", "panicked: boom at noon"],
    );
}

#[test]
fn a_function_that_fails_is_named_with_its_reason() {
    misbehaves(
        "function fails",
        1,
        &["standard/readings", "trick", "the moon is not full"],
    );
}

#[test]
fn a_function_that_returns_too_few_values_is_not_believed() {
    misbehaves("function is short", 1, &["standard/readings", "trick"]);
}

#[test]
fn a_transform_that_panics_when_it_is_asked_what_it_is_stops_the_run() {
    misbehaves(
        "declaration panics",
        1,
        &["transform trial", "panicked: no idea what I am"],
    );
}

#[test]
fn all_problems_of_a_declaration_are_listed_at_once() {
    misbehaves(
        "nonsense",
        1,
        &[
            "transform trial",
            "input `readings`, column `Meter Id`",
            "table `standard.readings`",
            "it has no SQL",
            "table `consumption.days`, refresh_by: the table has no key",
        ],
    );
}

#[test]
fn sql_that_does_not_plan_names_its_table_and_what_is_there() {
    misbehaves(
        "unknown column",
        1,
        &[
            "standard/readings, line 1, column 8: there is no column meter; did you mean meter_id?",
            "  1 | SELECT meter, start_time, usage_kwh FROM readings\n    |        ^^^^^\n",
        ],
    );
    misbehaves(
        "a spot in several lines",
        1,
        &[
            "standard/readings, line 4, column 5: there is no column usage; did you mean usage_kwh?",
            "  4 |     usage AS usage_kwh\n    |     ^^^^^\n",
        ],
    );
    misbehaves(
        "no SQL",
        1,
        &["standard/readings, line 1, column 1", "SELEKT"],
    );
    misbehaves(
        "no query",
        1,
        &["standard/readings: the SQL has to be one query"],
    );
    misbehaves(
        "unknown table",
        1,
        &["consumption/totals, line 1", "standard.nothing"],
    );
    misbehaves(
        "reads a table",
        1,
        &[
            "standard/readings, line 2, column 6: there is no table standard.readings; \
             there is readings",
        ],
    );
    misbehaves(
        "check does not plan",
        1,
        &[
            "input readings, check 'usage is not negative', line 1, column 1",
            "there is no column usage; did you mean usage_kwh?",
        ],
    );
}

#[test]
fn a_call_with_wrong_arguments_is_shown_with_what_the_function_takes() {
    misbehaves(
        "wrong arguments",
        1,
        &[
            "standard/readings, line 1, column 8: trick is called with (text, integer); \
             it is declared as trick(text)",
            "^^^^^",
        ],
    );
}

#[test]
fn sql_reads_parameters_by_name_and_the_run_records_their_values() {
    let lake = trial_lake("1").variable("TRIAL", "parameter");
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "11")]));
    let report = lake.publish(&["--set", "limits.rejected=50%"]);
    assert_eq!(report["inputs"]["readings"]["rejected"], 1);
    assert_eq!(report["parameters"]["most"], "10");
    assert_eq!(report["parameters"]["factor"], "2.50");
    let total = "SELECT meter_id, total FROM consumption.totals";
    assert_eq!(lake.rows(total), ["M0000001,5.00000"]);
    let recorded = &lake.query("SELECT parameters FROM _lake.runs")[0]["parameters"];
    assert_eq!(recorded[0]["name"], "most");
    assert_eq!(recorded[0]["value"], "10");
}

#[test]
fn a_parameter_that_is_not_declared_is_shown_with_those_that_are() {
    misbehaves(
        "unknown parameter",
        1,
        &[
            "standard/readings, line 2, column 33: $mots is no parameter; did you mean $most?",
            "The transform declares $most, $factor",
        ],
    );
}

#[test]
fn a_parameter_without_a_value_is_named_with_what_it_means() {
    misbehaves(
        "parameter without a value",
        2,
        &[
            "pipeline.yaml",
            "its parameter most (what a meter can measure in an hour), which is integer",
            "set transform.params.most",
        ],
    );
}

#[test]
fn a_key_that_is_not_selected_is_named_with_what_is() {
    misbehaves(
        "key is not selected",
        1,
        &[
            "standard/readings: key names meter_id, which its SQL does not select",
            "start_time",
        ],
    );
}

#[test]
fn a_standard_table_that_aggregates_is_told_where_to_do_that() {
    misbehaves(
        "standard aggregates",
        1,
        &[
            "standard/readings, line 1, column ",
            "GROUP BY",
            "consumption table",
            "^^^^^\n",
        ],
    );
}

#[test]
fn sql_that_fails_while_it_runs_names_its_table() {
    misbehaves(
        "fails while it runs",
        1,
        &["standard/readings", "ivide by zero"],
    );
}

#[test]
fn a_consumption_query_that_yields_a_key_twice_names_the_key() {
    misbehaves(
        "key twice",
        1,
        &[
            "consumption/totals",
            "several rows for the key meter_id = M0000001",
            "group by the key",
        ],
    );
}

#[test]
fn a_check_that_warns_counts_its_rows_and_loads_them() {
    let lake = trial_lake("1").variable("TRIAL", "check warns");
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "5")]));
    let report = lake.publish(&[]);
    let input = &report["inputs"]["readings"];
    assert_eq!([&input["accepted"], &input["warned"]], [3, 1]);
}

#[test]
fn a_check_that_stops_the_run_names_itself_and_the_row() {
    let lake = trial_lake("1").variable("TRIAL", "check stops");
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "5")]));
    lake.run(&[])
        .assert(3, &["usage is small", "b.csv", "nothing was published"]);
    lake.assert_nothing_published();
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let lake = building("trial", "1", trial());
    let file = lake.put("cache.txt", 0, "a file");
    let ended = lake.variable("LAKE_CACHE", file.to_str().unwrap()).run(&[]);
    ended.assert(1, &[file.to_str().unwrap()]);
}

#[test]
fn validate_finds_what_can_be_found_without_data() {
    for trial in [
        "nonsense",
        "unknown column",
        "unknown table",
        "check does not plan",
        "key is not selected",
    ] {
        let lake = trial_lake("1").variable("TRIAL", trial);
        let ended = lake.lake(&["validate", lake.pipeline().to_str().unwrap()]);
        assert_eq!(ended.code, 1, "{trial}: {}", ended.stdout);
        assert!(lake.tree().is_empty());
    }
}

#[test]
fn the_same_transform_runs_when_it_behaves() {
    let lake = trial_lake("1");
    assert_eq!(lake.publish(&[])["run"], 1);
    let total = "SELECT meter_id, total FROM consumption.totals";
    assert_eq!(lake.rows(total), ["M0000001,2.000"]);
}

#[test]
fn a_version_outside_the_requirement_is_not_run() {
    let lake = trial_lake("2");
    lake.run(&[]).assert(
        1,
        &[
            "transform trial",
            "has version 1.0.0, and the pipeline wants ^2",
        ],
    );
    assert!(lake.tree().is_empty());
}

#[test]
fn a_crate_with_another_name_is_not_run() {
    let lake = Lake::with_transform("other", "1", trial());
    lake.run(&[]).assert(
        1,
        &["transform other", "the crate at transform.path is trial"],
    );
}

#[test]
fn a_crate_that_is_not_there_is_named() {
    let lake = Lake::with_transform("utility", "1", Path::new("../crates/none"));
    let path = lake.directory().join("crates/none");
    lake.run(&[]).assert(
        1,
        &[
            "transform utility",
            path.to_str().unwrap(),
            "there is no crate",
            "mend transform.path",
        ],
    );
}

#[test]
fn a_transform_without_a_path_says_where_a_release_could_come_from() {
    let yaml = "name: utility\ntransform: { name: utility, version: '1' }\nroot: ../lake\n\
                inputs:\n  readings: { path: ../data/*.csv }\n";
    Lake::of(yaml).run(&[]).assert(
        2,
        &[
            "neither a path nor a registry",
            "set transform.registry or LAKE_REGISTRY",
        ],
    );
}

#[test]
fn a_crate_that_does_not_build_shows_what_the_compiler_says() {
    let directory = tempfile::tempdir().unwrap();
    let source = TRIAL.replace(
        "Transform::new()\n        .input",
        "Transform::now()\n        .input",
    );
    make_crate(directory.path(), "broken", &source);
    let lake = building("broken", "1", directory.path());
    lake.run(&[]).assert(
        1,
        &[
            "transform broken: it does not build",
            "no function or associated item named `now`",
            "src/lib.rs",
        ],
    );
    assert!(lake.tree().is_empty());
}

#[test]
fn a_crate_that_is_no_library_is_told_what_its_manifest_needs() {
    let directory = tempfile::tempdir().unwrap();
    make_crate(directory.path(), "static", "//! Nothing.\n");
    let manifest = directory.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, text.replace("[\"cdylib\"]", "[\"rlib\"]")).unwrap();
    building("static", "1", directory.path())
        .run(&[])
        .assert(1, &["cargo built no dynamic library", "crate-type"]);
}

#[test]
fn a_library_that_is_no_transform_is_told_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    make_crate(directory.path(), "other-library", "//! Nothing.\n");
    building("other-library", "1", directory.path())
        .run(&[])
        .assert(
            1,
            &["does not export `lake_plugin_v1`", "lake_plugin::export!"],
        );
}

#[test]
fn a_transform_is_built_again_when_and_only_when_a_source_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let source = "//! One table.\nmod tables;\nlake_plugin::export!(tables::changing);\n";
    make_crate(directory.path(), "changing", source);
    let tables = directory.path().join("src/tables.rs");
    let code = "use lake_plugin::prelude::*;\n\
        pub fn changing() -> Transform {\n\
            Transform::new()\n\
                .input(Input::csv(\"readings\").header().column(\"meter_id\", text().required()))\n\
                .table(Table::standard(\"readings\").sql(\"SELECT meter_id AS first FROM readings\").key([\"first\"]))\n\
        }\n";
    fs::write(&tables, code).unwrap();

    let lake = building("changing", "1", directory.path());
    let no_cargo = tempfile::tempdir().unwrap();
    let without_cargo = |lake: Lake| lake.variable("PATH", no_cargo.path().to_str().unwrap());
    let validate = |lake: &Lake| {
        let pipeline = lake.pipeline().to_str().unwrap();
        lake.lake(&["validate", pipeline, "--output", "json"])
    };
    let built = validate(&lake);
    built.assert(0, &["building the transform"]);
    let quick = validate(&lake);
    assert!(
        !quick.assert(0, &[]).stderr.contains("building"),
        "{}",
        quick.stderr
    );

    // Where nothing has changed, cargo is not even asked.
    let lake = without_cargo(lake);
    assert_eq!(validate(&lake).assert(0, &[]).json(), built.json());

    // Where a module has changed, it is.
    fs::write(&tables, code.replace("first", "renamed")).unwrap();
    validate(&lake).assert(
        1,
        &[
            "cargo cannot be run to build it",
            "install a Rust toolchain",
        ],
    );
    let lake = building("changing", "1", directory.path());
    let ended = validate(&lake);
    let table = &ended.assert(0, &["building the transform"]).json()["transform"]["tables"][0];
    assert_eq!(table["key"][0], "renamed");
}

/// That a run with the trial transform ends with `code` and `texts`, and publishes nothing.
#[track_caller]
fn misbehaves(trial: &str, code: i32, texts: &[&str]) -> Ended {
    let lake = trial_lake("1").variable("TRIAL", trial);
    let ended = lake.run(&[]);
    ended.assert(code, texts);
    lake.assert_nothing_published();
    ended
}

/// A pipeline with the trial transform, and a file for it.
fn trial_lake(version: &str) -> Lake {
    let lake = building("trial", version, trial());
    let rows = [reading(1, 1, 1, 0, "1"), reading(1, 1, 1, 1, "1")];
    lake.put("a.csv", 0, csv(rows));
    lake
}

/// The crate of the trial transform, made once.
fn trial() -> &'static Path {
    static TRIAL_CRATE: OnceLock<PathBuf> = OnceLock::new();
    TRIAL_CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/trial");
        make_crate(&directory, "trial", TRIAL);
        building("trial", "1", &directory).run(&[]).assert(0, &[]);
        directory
    })
}
