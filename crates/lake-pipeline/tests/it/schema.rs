//! The schema says the same as the parser: editors and `lake validate` agree.

use boon::{Compiler, SchemaIndex, Schemas};
use expect_test::expect_file;
use lake_pipeline::{Overrides, json_schema, settings};
use serde_json::{Value, json};

use crate::parse_with;

/// Every key, with a value that needs no variable. JSON is YAML too, so the
/// parser and the schema can be shown the same text.
fn everything() -> Value {
    json!({
        "name": "utility",
        "description": "Meter readings",
        "transform": {
            "name": "utility",
            "version": "1",
            "path": "../transforms/utility",
            "params": { "gap": "30m" },
            "registry": "../registry",
            "trusted_keys": "trusted.keys",
        },
        "root": "../lake",
        "inputs": {
            "readings": {
                "path": "../data/*.csv",
                "on_change": "upsert",
                "on_empty": "load",
                "on_truncated": "reject",
                "settle": "30s",
                "done_marker": "_SUCCESS",
                "expect_every": "1d",
                "on_late": "fail",
                "order": "modified",
                "max_files": 1000,
                "max_bytes": "10GB",
                "archive": true,
            },
        },
        "limits": { "memory": "512MiB", "rejected": "5%", "max_record_bytes": "16MiB" },
        "schedule": "*/15 * * * *",
        "rollback_window": "30 days, at least 20 runs",
    })
}

/// The key of a setting in the full example.
fn key_in_everything(key: &str) -> String {
    key.replace("inputs.<name>", "inputs.readings")
        .replace("params.<name>", "params.gap")
}

/// The full example with another value (or, with `None`, without one) at a
/// dotted key.
fn with(key: &str, value: Option<Value>) -> Value {
    let mut file = everything();
    let (group, last) = key.rsplit_once('.').unwrap_or(("", key));
    let group = group
        .split('.')
        .filter(|key| !key.is_empty())
        .fold(&mut file, |node, key| &mut node[key]);
    let group = group.as_object_mut().unwrap();
    match value {
        Some(value) => group.insert(last.to_owned(), value),
        None => group.remove(last),
    };
    file
}

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn compile() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler
            .add_resource("pipeline.schema.json", json_schema())
            .unwrap();
        let index = compiler
            .compile("pipeline.schema.json", &mut schemas)
            .unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, file: &Value) -> bool {
        self.schemas.validate(file, self.index).is_ok()
    }
}

fn parser_accepts(file: &Value) -> bool {
    parse_with(&file.to_string(), &[], &Overrides::default()).is_ok()
}

#[test]
fn the_schema_in_docs_is_this_one() {
    let stored = expect_file!["../../../../docs/pipeline.schema.json"];
    stored.assert_eq(&format!("{:#}\n", json_schema()));
}

#[test]
fn the_schema_accepts_a_file_with_every_key_and_describes_each() {
    let schema = Schema::compile();
    assert!(schema.accepts(&everything()));
    assert!(parser_accepts(&everything()));
    for setting in settings() {
        let root = json_schema();
        let mut node = &root;
        for key in setting.key.split('.') {
            node = if key == "<name>" {
                &node["additionalProperties"]
            } else {
                &node["properties"][key]
            };
        }
        let description = node["description"].as_str().unwrap_or_default();
        assert!(description.starts_with(setting.doc), "{}", setting.key);
        let key = key_in_everything(&setting.key);
        let pointer = format!("/{}", key.replace('.', "/"));
        assert!(everything().pointer(&pointer).is_some(), "{key}");
    }
}

#[test]
fn the_schema_and_the_parser_accept_the_same_values() {
    let schema = Schema::compile();
    for (key, value) in [
        ("name", json!("a-b_9")),
        ("root", json!("s3://bucket/prefix")),
        ("root", json!("${LAKE_HOME:-../lake}")),
        ("transform.version", json!(1)),
        ("transform.version", json!(1.2)),
        ("transform.version", json!(">=1.2, <2")),
        ("transform.params", json!({})),
        ("transform.params.gap", json!(50)),
        ("transform.params.gap", json!(-1.5)),
        ("transform.params.gap", json!(true)),
        ("transform.params.gap", json!("")),
        ("transform.params.gap", json!("${GAP:-30m}")),
        ("transform.params.top_2", json!("50")),
        ("transform.registry", json!("s3://bucket/prefix")),
        ("transform.registry", json!("${REGISTRY:-../r}")),
        ("limits.memory", json!(1_048_576)),
        ("limits.memory", json!("1.5 GiB")),
        ("limits.memory", json!("${MEMORY:-1GB}")),
        ("limits.rejected", json!(0.05)),
        ("limits.rejected", json!(0)),
        ("limits.rejected", json!("12.5 %")),
        ("inputs.readings.path", json!(["a.csv", "b/**/*.csv"])),
        ("inputs.readings.path", json!(["${A:-a.csv}"])),
        ("inputs.readings.path", json!("d/{year}/{site}_*.csv")),
        ("inputs.readings.on_change", json!("skip")),
        ("inputs.readings.on_change", json!("replace")),
        ("inputs.readings.on_empty", json!("fail")),
        ("inputs.readings.on_truncated", json!("fail")),
        ("inputs.readings.settle", json!("0s")),
        ("inputs.readings.settle", json!("1h30m")),
        ("inputs.readings.settle", json!("${SETTLE:-5m}")),
        ("inputs.readings.done_marker", json!("*.done")),
        ("inputs.readings.done_marker", json!("done-*")),
        ("inputs.readings.expect_every", json!("36h")),
        ("inputs.readings.on_late", json!("warn")),
        ("inputs.readings.order", json!("name")),
        ("inputs.readings.max_files", json!("10")),
        ("inputs.readings.max_bytes", json!(1_000_000)),
        ("inputs.readings.archive", json!(false)),
        ("inputs.readings.archive", json!("${ARCHIVE:-true}")),
        ("limits.max_record_bytes", json!(1024)),
        ("limits.max_record_bytes", json!("256MiB")),
        ("inputs.readings.on_change", json!("${CHANGE:-skip}")),
        ("inputs.more", json!({ "path": "x.csv" })),
        ("schedule", json!(" 0  6 * * mon-fri ")),
        ("rollback_window", json!("12h")),
        ("rollback_window", json!("2 weeks")),
        ("rollback_window", json!("at least 3 runs")),
        ("rollback_window", json!("1 day, 1 run")),
    ] {
        let file = with(key, Some(value));
        assert!(parser_accepts(&file), "the parser refuses {file}");
        assert!(schema.accepts(&file), "the schema refuses {file}");
    }
    for key in [
        "description",
        "transform.path",
        "transform.params",
        "transform.params.gap",
        "transform.registry",
        "transform.trusted_keys",
        "inputs.readings.on_change",
        "inputs.readings.on_empty",
        "inputs.readings.on_truncated",
        "inputs.readings.settle",
        "inputs.readings.done_marker",
        "inputs.readings.expect_every",
        "inputs.readings.on_late",
        "inputs.readings.order",
        "inputs.readings.max_files",
        "inputs.readings.max_bytes",
        "inputs.readings.archive",
        "limits",
        "schedule",
        "rollback_window",
    ] {
        let file = with(key, None);
        assert!(parser_accepts(&file), "the parser needs {key}");
        assert!(schema.accepts(&file), "the schema needs {key}");
    }
}

#[test]
fn the_schema_and_the_parser_refuse_the_same_values() {
    let schema = Schema::compile();
    for (key, value) in [
        ("nme", json!("x")),
        ("name", json!("Up")),
        ("name", json!(true)),
        ("name", json!("n".repeat(101))),
        ("description", json!(5)),
        ("description", json!(null)),
        ("root", json!("")),
        ("root", json!(["a"])),
        ("transform", json!("utility")),
        ("transform.name", json!("a b")),
        ("transform.version", json!("")),
        ("transform.version", json!(true)),
        ("transform.release", json!("1")),
        ("transform.params", json!(null)),
        ("transform.params", json!(["gap"])),
        ("transform.params.gap", json!(null)),
        ("transform.params.gap", json!([1])),
        ("transform.params.gap", json!({ "max": 1 })),
        ("transform.params.Gap", json!(1)),
        ("transform.params._gap", json!(1)),
        ("transform.registry", json!("")),
        ("transform.registry", json!(7)),
        ("transform.trusted_keys", json!("")),
        ("transform.trusted_keys", json!(["a", "b"])),
        ("inputs", json!({})),
        ("inputs", json!({ "My-Input": { "path": "x" } })),
        ("inputs.readings.path", json!(7)),
        ("inputs.readings.path", json!([])),
        ("inputs.readings.path", json!(["a.csv", 7])),
        ("inputs.readings.path", json!(["a.csv", ""])),
        ("inputs.readings.path", json!([["a.csv"]])),
        ("inputs.readings.path", json!({ "glob": "*.csv" })),
        ("inputs.readings.on_change", json!("append")),
        ("inputs.readings.on_empty", json!("skip")),
        ("inputs.readings.on_truncated", json!("load")),
        ("inputs.readings.settle", json!(30)),
        ("inputs.readings.settle", json!("30")),
        ("inputs.readings.settle", json!("-1s")),
        ("inputs.readings.settle", json!(["30s"])),
        ("inputs.readings.done_marker", json!("")),
        ("inputs.readings.done_marker", json!("*")),
        ("inputs.readings.done_marker", json!("a/b")),
        ("inputs.readings.done_marker", json!("*.*")),
        ("inputs.readings.expect_every", json!("daily")),
        ("inputs.readings.on_late", json!("stop")),
        ("inputs.readings.order", json!("size")),
        ("inputs.readings.max_files", json!(0)),
        ("inputs.readings.max_files", json!(-1)),
        ("inputs.readings.max_files", json!(1.5)),
        ("inputs.readings.max_bytes", json!(0)),
        ("inputs.readings.max_bytes", json!("10 files")),
        ("inputs.readings.archive", json!("yes")),
        ("inputs.readings.archive", json!(1)),
        ("limits.max_record_bytes", json!(1023)),
        ("limits.max_record_bytes", json!(1 << 30)),
        ("limits.memory", json!("512Mi")),
        ("limits.memory", json!(0)),
        ("limits.memory", json!(-1)),
        ("limits.rejected", json!(5)),
        ("limits.rejected", json!(1)),
        ("limits.rejected", json!("5")),
        ("schedule", json!("@daily")),
        ("rollback_window", json!("always")),
        ("rollback_window", json!("20")),
        ("rollback_window", json!("3 runs, 3 days")),
    ] {
        let file = with(key, Some(value));
        assert!(!parser_accepts(&file), "the parser accepts {file}");
        assert!(!schema.accepts(&file), "the schema accepts {file}");
    }
    for setting in settings().iter().filter(|setting| setting.required) {
        let file = with(&key_in_everything(&setting.key), None);
        assert!(!parser_accepts(&file), "the parser accepts {file}");
        assert!(!schema.accepts(&file), "the schema accepts {file}");
    }
}

/// Every example in the schema can be copied into a file.
#[test]
fn every_example_is_accepted() {
    for setting in settings() {
        let Some(example) = setting.example else {
            continue;
        };
        let key = key_in_everything(&setting.key);
        let file = with(&key, Some(json!(example)));
        assert!(parser_accepts(&file), "{key}: {example}");
    }
}
