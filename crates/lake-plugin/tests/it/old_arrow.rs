//! A transform that was built against an older major of Arrow, with its own copy of everything.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use lake_plugin::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use lake_plugin::arrow::{self, buffer::Buffer};
use lake_plugin::{CallError, Code, Host, Level, Plugin};

/// Builds the transform with cargo, and says where it is. Its target directory is below ours, so
/// that only the first build takes long.
fn build() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old-arrow");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--message-format=json", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("old-arrow"))
        .current_dir(&package)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let messages = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{errors}\n{messages}");
    let messages: Vec<serde_json::Value> = messages
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let artifact = messages
        .iter()
        .find(|message| message["target"]["name"] == "old_arrow")
        .unwrap();
    PathBuf::from(artifact["filenames"][0].as_str().unwrap())
}

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| Plugin::load(&build()).unwrap());

fn place(function: &str) -> usize {
    let functions = &PLUGIN.declaration().functions;
    functions
        .iter()
        .position(|known| known.name == function)
        .unwrap()
}

fn call(function: &str, argument: &ArrayRef) -> Result<ArrayRef, CallError> {
    PLUGIN.call(place(function), &[Arc::clone(argument)], argument.len())
}

/// Calls with the whole array, with slices of it, and with none of it.
fn check(function: &str, argument: ArrayRef, expected: ArrayRef) {
    for start in 0..=argument.len() {
        for length in 0..=argument.len() - start {
            let result = call(function, &argument.slice(start, length)).unwrap();
            assert_eq!(&result, &expected.slice(start, length), "{start} {length}");
        }
    }
}

fn texts() -> ArrayRef {
    Arc::new(StringArray::from(vec![
        Some("a"),
        None,
        Some("ü"),
        Some(""),
    ]))
}

#[test]
fn it_is_another_major() {
    let result = PLUGIN.call(place("arrow"), &[], 1).unwrap();
    let major = |version: &str| version.split('.').next().unwrap().to_owned();
    let theirs = major(result.as_string::<i32>().value(0));
    assert_eq!(theirs, "58");
    assert_ne!(theirs, major(arrow::ARROW_VERSION));
}

#[test]
fn text_crosses_with_nulls_and_from_any_offset() {
    check("same", texts(), texts());
    let loud = StringArray::from(vec![Some("A"), None, Some("Ü"), Some("")]);
    check("shout", texts(), Arc::new(loud));
}

#[test]
fn a_result_may_have_an_offset_of_its_own() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(i64::MIN)]));
    check("tail", Arc::clone(&numbers), numbers);
}

#[test]
fn decimals_cross() {
    let decimals = |values: [Option<i128>; 3]| -> ArrayRef {
        let array = Decimal128Array::from(values.to_vec());
        Arc::new(array.with_precision_and_scale(12, 3).unwrap())
    };
    check(
        "negate",
        decimals([Some(999_999_999_999), None, Some(-1)]),
        decimals([Some(-999_999_999_999), None, Some(1)]),
    );
}

#[test]
fn timestamps_cross_with_their_zone() {
    let instants = |values: [Option<i64>; 3]| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
    };
    check(
        "next_day",
        instants([Some(0), None, Some(-1)]),
        instants([Some(86_400_000_000), None, Some(86_399_999_999)]),
    );
}

#[test]
fn bits_cross_from_any_offset() {
    let given = [Some(true), None, Some(false), Some(true)].repeat(3);
    let expected = [Some(false), None, Some(true), Some(false)].repeat(3);
    check(
        "negative",
        Arc::new(BooleanArray::from(given)),
        Arc::new(BooleanArray::from(expected)),
    );
}

#[test]
fn memory_goes_there_and_back_and_is_released_by_its_owner() {
    let values = Buffer::from(b"abc".to_vec());
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1, 2]);
    let argument: ArrayRef = Arc::new(StringArray::new(offsets, values.clone(), None));
    let result = call("same", &argument).unwrap();
    drop(argument);
    assert_eq!(values.strong_count(), 2, "ours, and the one in the result");
    assert_eq!(result.as_string::<i32>().value(1), "bc");
    // On another thread, long after the call.
    std::thread::spawn(move || drop(result)).join().unwrap();
    assert_eq!(values.strong_count(), 1);
}

#[test]
fn a_panic_in_another_copy_of_rust_is_an_error_here() {
    let error = call("boom", &texts()).unwrap_err();
    assert_eq!(error.code(), Code::Panic);
    assert_eq!(
        error.to_string(),
        "function `boom` panicked: cannot do 4 rows"
    );
    let error = call("strange_panic", &texts()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "function `strange_panic` panicked: (without a message)"
    );
    call("same", &texts()).unwrap();
}

#[test]
fn what_it_returns_is_checked() {
    let error = call("short", &texts()).unwrap_err().to_string();
    assert!(error.contains("it has 3 values instead of 4"), "{error}");
}

#[test]
fn it_stops_when_it_is_told() {
    struct Impatient(AtomicUsize);
    impl Host for Impatient {
        fn log(&self, level: Level, message: &str) {
            assert_eq!((level, message), (Level::Info, "waiting"));
        }
        fn is_cancelled(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst) > 1000
        }
    }
    let host = Impatient(AtomicUsize::new(0));
    let error = PLUGIN
        .call_with(&host, place("waits"), &[texts()], 4)
        .unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
}
