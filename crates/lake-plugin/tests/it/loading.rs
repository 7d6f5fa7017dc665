//! Libraries that are transforms, that are not, and that lie.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lake_plugin::arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, StringArray};
use lake_plugin::arrow::datatypes::Int64Type;
use lake_plugin::{CallError, Code, Host, Level, LoadError, Plugin};
use tempfile::TempDir;

use crate::c;

const TRANSFORM: &str = include_str!("transform.c");

const SAME: usize = 0;
const HELD: usize = 1;
const LIE: usize = 2;

fn texts() -> ArrayRef {
    Arc::new(StringArray::from(vec![Some("a"), None, Some("ü")]))
}

/// How many things of the transform nobody has released: only the result that says so.
fn held(plugin: &Plugin) -> i64 {
    let result = plugin.call(HELD, &[], 1).unwrap();
    result.as_primitive::<Int64Type>().value(0)
}

fn lie(plugin: &Plugin, which: i32) -> Result<ArrayRef, CallError> {
    let which: ArrayRef = Arc::new(Int32Array::from(vec![which; 2]));
    plugin.call(LIE, &[which], 2)
}

#[test]
fn a_transform_in_c_loads_and_runs() {
    let plugin = c::load(TRANSFORM, &[]).unwrap();
    assert_eq!(plugin.declaration().name.as_deref(), Some("c"));
    assert_eq!(&plugin.call(SAME, &[texts()], 3).unwrap(), &texts());
    let slice = texts().slice(1, 2);
    assert_eq!(
        &plugin.call(SAME, &[Arc::clone(&slice)], 2).unwrap(),
        &slice
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0; 4]));
    assert_eq!(&plugin.call(HELD, &[], 4).unwrap(), &numbers);
}

#[test]
fn everything_is_released_once_and_not_before_its_last_use() {
    let plugin = c::load(TRANSFORM, &[]).unwrap();
    assert_eq!(
        held(&plugin),
        0,
        "the declaration is released when it has been read"
    );
    let result = plugin.call(SAME, &[texts()], 3).unwrap();
    assert_eq!(
        held(&plugin),
        1,
        "the array of a result is held, its schema is not"
    );
    let slice = result.slice(2, 1);
    drop(result);
    assert_eq!(held(&plugin), 1);
    assert_eq!(slice.as_string::<i32>().value(0), "ü");
    drop(slice);
    assert_eq!(held(&plugin), 0);
    assert_eq!(
        plugin.call(SAME, &[texts().slice(0, 0)], 0).unwrap().len(),
        0
    );
    assert_eq!(held(&plugin), 0);
}

#[test]
fn every_visible_lie_is_refused_and_nothing_leaks() {
    let plugin = c::load(TRANSFORM, &[]).unwrap();
    let truth: ArrayRef = Arc::new(StringArray::from(vec!["ab", "cd"]));
    assert_eq!(&lie(&plugin, 0).unwrap(), &truth);
    for (which, expected) in [
        (1, "it is of Arrow format `l`, and Utf8 is `u`"),
        (2, "it has no schema"),
        (3, "there is no array"),
        (4, "it has 1 values instead of 2"),
        (5, "it claims a length of -1 from offset 0"),
        (6, "it claims a length of 2 from offset -1"),
        (7, "it claims 2 values from offset 9223372036854775807"),
        (8, "it claims 3 nulls among 2 values"),
        (9, "it claims 1 nulls, and does not say which"),
        (10, "it has 2 buffers, and Utf8 has 3"),
        (11, "it has 3 buffers, and they are nowhere"),
        (12, "its buffer 1 is null"),
        (13, "its buffer 2 is null"),
        (14, "non-monotonic offset at slot 0: 3 > 1"),
        (15, "its last offset is -4"),
        (16, "Invalid UTF8 sequence"),
        (17, "it claims 0 nulls and has 1"),
        (18, "(dictionary-encoded)"),
        (19, "it has 1 columns instead of 0"),
        (20, "its offsets are not aligned to 4 bytes"),
        (21, "its schema has no format"),
        (22, "ffset"),
        (23, "it claims -2 nulls among 2 values"),
        (24, "it has a dictionary"),
        (27, "incomplete utf-8 byte sequence"),
    ] {
        let error = lie(&plugin, which).unwrap_err();
        assert!(
            matches!(error, CallError::Returned { .. }),
            "{which}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.starts_with("function `lie` must return 2 values of type text"),
            "{message}"
        );
        assert!(message.contains(expected), "{which}: {message}");
        assert_eq!(held(&plugin), 0, "{which}: {message}");
    }
}

#[test]
fn a_failure_says_why_and_what_it_left_behind_is_released() {
    let plugin = c::load(TRANSFORM, &[]).unwrap();
    let error = lie(&plugin, 25).unwrap_err();
    assert_eq!(error.to_string(), "function `lie`: changed its mind");
    assert_eq!(error.code(), Code::Failed);
    let error = lie(&plugin, 26).unwrap_err();
    assert_eq!(
        error.to_string(),
        "function `lie`: it failed with code 77 and does not say why"
    );
    assert_eq!(held(&plugin), 0);
}

/// A host that keeps what it is told.
struct Listener {
    told: Mutex<Vec<String>>,
    stopped: bool,
}

impl Host for Listener {
    fn log(&self, level: Level, message: &str) {
        self.told
            .lock()
            .unwrap()
            .push(format!("{level:?}: {message}"));
    }

    fn metric(&self, name: &str, value: f64) {
        self.told.lock().unwrap().push(format!("{name} = {value}"));
    }

    fn is_cancelled(&self) -> bool {
        self.stopped
    }
}

#[test]
fn a_transform_in_c_reaches_its_host() {
    let plugin = c::load(TRANSFORM, &[]).unwrap();
    let mut host = Listener {
        told: Mutex::default(),
        stopped: false,
    };
    plugin.call_with(&host, SAME, &[texts()], 3).unwrap();
    assert_eq!(*host.told.lock().unwrap(), ["Info: from C", "calls = 1"]);
    host.stopped = true;
    let error = plugin.call_with(&host, SAME, &[texts()], 3).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert_eq!(held(&plugin), 0);
}

#[test]
fn a_missing_file_is_named() {
    let error = Plugin::load(Path::new("no/such/transform.so")).unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }));
    let message = error.to_string();
    assert!(
        message.starts_with("no transform at no/such/transform.so: "),
        "{message}"
    );
}

#[test]
fn a_file_that_is_no_library_is_refused_in_the_words_of_the_system() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("text.so");
    fs::write(&path, "customer_id,meter_id\n").unwrap();
    for path in [path.as_path(), directory.path()] {
        let error = Plugin::load(path).unwrap_err();
        assert!(matches!(error, LoadError::NotALibrary { .. }), "{error}");
    }
    let message = Plugin::load(&path).unwrap_err().to_string();
    assert!(message.contains("text.so: "), "{message}");
    assert!(
        message.contains("build the transform as a cdylib"),
        "{message}"
    );
}

#[test]
fn a_library_that_needs_what_is_not_there_is_refused_at_once() {
    let source = "int nowhere(void);\nint here(void);\nint here(void) { return nowhere(); }\n";
    let error = c::load(source, &[]).unwrap_err();
    assert!(matches!(error, LoadError::NotALibrary { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_library_that_is_no_transform_is_refused() {
    let error = c::load("int something_else;\n", &[]).unwrap_err();
    assert!(matches!(error, LoadError::NoSymbol { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("does not export `lake_plugin_v1`"),
        "{message}"
    );
}

#[test]
fn a_transform_of_another_version_is_refused_with_what_is_needed() {
    for (definitions, found) in [
        (["-DVERSION=2"], "version 2"),
        (["-DSIZE=16"], "a table of 16 bytes"),
        (["-DSIZE=4"], "version 0"),
        (["-DNO_TABLE"], "no table of functions"),
        (
            ["-DNO_SCALARS"],
            "functions in its declaration and no `call_scalar`",
        ),
        (
            ["-DNO_FINISH"],
            "partition functions in its declaration and not all four of `partition_open`, \
             `partition_push`, `partition_finish` and `partition_close`",
        ),
        (
            ["-DSIZE=offsetof(struct LakePlugin, partition_open)"],
            "partition functions in its declaration and not all four of `partition_open`, \
             `partition_push`, `partition_finish` and `partition_close`",
        ),
    ] {
        let error = c::load(TRANSFORM, &definitions).unwrap_err();
        assert!(matches!(error, LoadError::OtherVersion { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(&format!(" has {found}, and ")),
            "{message}"
        );
        assert!(
            message.contains("needs version 1 of the plugin boundary"),
            "{message}"
        );
    }
}

#[test]
fn a_transform_of_a_newer_kit_with_a_longer_table_is_used() {
    let source = TRANSFORM.replace(
        "static const struct LakePlugin plugin = {",
        "static const struct { struct LakePlugin known; void *from_the_future[2]; } longer = {{",
    );
    let end = "    .partition_close = partition_close,\n}";
    let source = source.replace(end, &format!("{end}, {{0}}}}"));
    let source = source.replace("&plugin", "&longer.known").replace(
        "sizeof(struct LakePlugin)",
        "sizeof(struct LakePlugin) + 16",
    );
    let plugin = c::load(&source, &[]).unwrap();
    assert_eq!(&plugin.call(SAME, &[texts()], 3).unwrap(), &texts());
}

#[test]
fn a_transform_of_an_older_kit_with_a_shorter_table_is_used() {
    let before_partitions = "-DSIZE=offsetof(struct LakePlugin, partition_open)";
    let source = TRANSFORM.replace("partition_functions", "functions_it_does_not_know");
    let plugin = c::load(&source, &[before_partitions]).unwrap();
    assert_eq!(&plugin.call(SAME, &[texts()], 3).unwrap(), &texts());
    let error = plugin.partition(&(), 0, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the transform has no partition function 0: it declares 0, counted from 0"
    );
}

#[test]
fn a_transform_that_cannot_describe_itself_is_refused_with_its_reason() {
    let error = c::load(TRANSFORM, &["-DDESCRIBE_FAILS"]).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Describe {
                code: Code::Failed,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with(" cannot say what it is: out of ideas"),
        "{error}"
    );
}

#[test]
fn a_declaration_that_is_not_understood_is_refused_with_the_place() {
    for (declaration, reason) in [
        (
            "-DDECLARATION=\"{\\\"inputs\\\": 7}\"",
            "invalid type: integer `7`, expected a sequence",
        ),
        ("-DDECLARATION=\"{\"", "EOF while parsing"),
        ("-DDECLARATION=\"\"", "EOF while parsing"),
        ("-DDECLARATION=\"\\xff\\xfe\"", "invalid utf-8"),
        ("-DDESCRIBE_NOWHERE", "the text that it gives has no bytes"),
    ] {
        let error = c::load(TRANSFORM, &[declaration]).unwrap_err();
        assert!(matches!(error, LoadError::NotUnderstood { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{declaration}: {error}");
    }
}

#[test]
fn a_declaration_that_makes_no_sense_is_refused_with_all_its_problems() {
    let error = c::load(TRANSFORM, &["-DDECLARATION=\"{}\""]).unwrap_err();
    let LoadError::Nonsense { problems, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(problems.0.len(), 2);
}
