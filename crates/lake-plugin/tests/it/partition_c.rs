//! A partition function in C, and the lies that it can tell.

use std::sync::Arc;

use lake_plugin::arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, StringArray};
use lake_plugin::arrow::datatypes::Int64Type;
use lake_plugin::{CallError, Code, Emitted, Host, PartitionStream, Plugin};

use crate::c;

const TRANSFORM: &str = include_str!("transform.c");

const COUNTS: usize = 0;

fn plugin() -> Plugin {
    c::load(TRANSFORM, &[]).unwrap()
}

/// How many things of the transform are left: streams that are open, and what is not released.
fn held(plugin: &Plugin) -> i64 {
    let result = plugin.call(1, &[], 1).unwrap();
    result.as_primitive::<Int64Type>().value(0)
}

fn open(plugin: &Plugin, lie: i32) -> Result<PartitionStream, CallError> {
    let lie: ArrayRef = Arc::new(Int32Array::from(vec![lie]));
    plugin.partition(&(), COUNTS, &[lie])
}

fn texts(values: &[&str]) -> [ArrayRef; 1] {
    [Arc::new(StringArray::from(values.to_vec()))]
}

fn counts(emitted: &Emitted) -> Vec<(i64, i64)> {
    let counts = emitted.columns[0].as_primitive::<Int64Type>();
    let keys = emitted.keys.values().iter().copied();
    keys.zip(counts.values().iter().copied()).collect()
}

#[test]
fn a_partition_function_in_c_counts_rows_per_key() {
    let plugin = plugin();
    let mut stream = open(&plugin, 0).unwrap();
    assert_eq!(held(&plugin), 1, "the stream is open");
    let mut counted =
        |rows: &[&str], starts: &[u64]| counts(&stream.push(&(), &texts(rows), starts).unwrap());
    assert_eq!(counted(&["a", "b", "b"], &[0, 1]), [(0, 1)]);
    assert_eq!(counted(&["b", "b"], &[]), []);
    assert_eq!(counted(&["b", "c"], &[1]), [(1, 5)]);
    assert_eq!(counted(&["d"], &[0]), [(2, 1)]);
    let last = stream.finish(&()).unwrap();
    assert_eq!(counts(&last), [(3, 1)]);
    assert_eq!(held(&plugin), 1, "the last result is kept here");
    drop(last);
    assert_eq!(held(&plugin), 0);
}

#[test]
fn many_keys_come_back_from_one_call() {
    let plugin = plugin();
    let mut stream = open(&plugin, 0).unwrap();
    let rows: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..5000).map(|key| format!("{key:04}")),
    ));
    let starts: Vec<u64> = (0..5000).collect();
    let emitted = stream.push(&(), &[rows], &starts).unwrap();
    assert_eq!(emitted.keys, Int64Array::from_iter_values(0..4999));
    assert_eq!(counts(&stream.finish(&()).unwrap()), [(4999, 1)]);
}

#[test]
fn every_lie_about_what_was_emitted_is_refused_and_the_stream_is_closed() {
    let plugin = plugin();
    for (lie, expected) in [
        (1, "a row is of key 3, and there can be rows of 0 to 2 only"),
        (
            2,
            "a row is of key -1, and there can be rows of 0 to 2 only",
        ),
        (3, "a row of key 0 comes after one of key 2"),
        (4, "2 of its rows have no key"),
        (5, "column 1: it is of Arrow format `i`, and Int64 is `l`"),
        (6, "it has 1 columns instead of 2"),
        (7, "column 1: it has 0 values instead of 2"),
        (8, "it has rows that are NULL as a whole"),
        (9, "it claims -1 rows"),
        (10, "it has no schema"),
        (11, "it has no schema"),
        (12, "it claims 0 nulls and has 2"),
    ] {
        let mut stream = open(&plugin, lie).unwrap();
        let rows = texts(&["a", "b", "c"]);
        let error = stream.push(&(), &rows, &[0, 1, 2]).unwrap_err();
        assert!(matches!(error, CallError::Emitted { .. }), "{lie}: {error}");
        assert_eq!(
            error.to_string(),
            format!(
                "function `counts` emitted what it does not declare: {expected}; \
                 correct the transform"
            )
        );
        assert_eq!(held(&plugin), 1, "{lie}: only the stream is left");
        drop(stream);
        assert_eq!(held(&plugin), 0, "{lie}");
    }
}

#[test]
fn a_key_that_has_ended_stays_ended() {
    let plugin = plugin();
    let mut stream = open(&plugin, 14).unwrap();
    stream
        .push(&(), &texts(&["a", "b", "c"]), &[0, 1, 2])
        .unwrap();
    let error = stream
        .push(&(), &texts(&["d"]), &[0])
        .unwrap_err()
        .to_string();
    let expected = "a row is of key 1, and there can be rows of 2 to 3 only";
    assert!(error.contains(expected), "{error}");

    let mut stream = open(&plugin, 20).unwrap();
    drop(
        stream
            .push(&(), &texts(&["a", "b", "c"]), &[0, 1, 2])
            .unwrap(),
    );
    let error = stream.finish(&()).unwrap_err().to_string();
    let expected = "a row is of key 1, and there can be rows of 2 to 2 only";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_stream_that_did_not_open_is_not_closed() {
    let plugin = plugin();
    let error = open(&plugin, 30).unwrap_err();
    assert_eq!(error.to_string(), "function `counts`: not today");
    assert_eq!(held(&plugin), 0);
}

struct Stopped;

impl Host for Stopped {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_stream_is_closed_once_however_it_ends() {
    let plugin = plugin();
    // Given up before its first row, with rows, after its last call, and without its last call.
    drop(open(&plugin, 0).unwrap());
    assert_eq!(held(&plugin), 0);
    let mut stream = open(&plugin, 0).unwrap();
    drop(stream.push(&(), &texts(&["a"]), &[0]).unwrap());
    drop(stream);
    assert_eq!(held(&plugin), 0);
    drop(open(&plugin, 0).unwrap().finish(&()).unwrap());
    assert_eq!(held(&plugin), 0);
    let mut stream = open(&plugin, 13).unwrap();
    let error = stream.push(&(), &texts(&["a"]), &[0]).unwrap_err();
    assert_eq!(error.to_string(), "function `counts`: row 2 is odd");
    drop(stream);
    assert_eq!(held(&plugin), 0);
    let mut stream = open(&plugin, 0).unwrap();
    let error = stream.push(&Stopped, &texts(&["a"]), &[0]).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    drop(stream);
    assert_eq!(held(&plugin), 0);
}
