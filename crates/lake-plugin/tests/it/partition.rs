//! Partition functions in Rust, called through the boundary.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lake_plugin::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use lake_plugin::arrow::datatypes::Int64Type;
use lake_plugin::prelude::*;
use lake_plugin::{Code, Emitted, Exported, Host, PartitionStream, Plugin};
use proptest::prelude::*;

/// How many states have begun and have been dropped, by the tag that a test gives them.
static STATES: Mutex<Option<HashMap<String, (usize, usize)>>> = Mutex::new(None);

fn states<T>(tag: &str, body: impl FnOnce(&mut (usize, usize)) -> T) -> T {
    let mut states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
    let states = states.get_or_insert_default();
    body(states.entry(tag.to_owned()).or_default())
}

/// Says each row that it sees, and at the end how many there were, unless its mood is otherwise:
/// that comes over it at the value 13.
struct Probe {
    tag: String,
    mood: String,
    rows: usize,
}

impl Probe {
    fn begin(arguments: &Arguments) -> Result<Self, FunctionError> {
        let mood = arguments.text(1)?.value(0).to_owned();
        match &*mood {
            "fails at first" => return Err("no state today".into()),
            "panics at first" => panic!("no state at all"),
            _ => {}
        }
        let tag = arguments.text(0)?.value(0).to_owned();
        states(&tag, |(begun, _)| *begun += 1);
        Ok(Self { tag, mood, rows: 0 })
    }
}

impl Partition for Probe {
    fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        assert!(!rows.is_empty());
        for (key, value) in rows.text("k")?.iter().zip(rows.integer("v")?.iter()) {
            if value == Some(13) {
                match &*self.mood {
                    "fails in push" => return Err("13 is unlucky".into()),
                    "panics in push" => panic!("13 is very unlucky"),
                    "listens" => {
                        out.log(Level::Info, "13 it is");
                        out.metric("rows", self.rows as f64);
                        if out.is_cancelled() {
                            return Err(FunctionError::cancelled());
                        }
                    }
                    _ => {}
                }
            }
            out.row((key, value))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        match &*self.mood {
            "fails in finish" => return Err("too few".into()),
            "panics in finish" => panic!("far too few"),
            _ => {}
        }
        out.row(("rows", self.rows))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        states(&self.tag, |(_, dropped)| *dropped += 1);
        assert!(self.mood != "panics in drop", "and stay out");
    }
}

fn transform() -> Transform {
    let probe = Function::partition("probe")
        .column("k", text())
        .column("v", integer())
        .key(["k"])
        .order_by(["v"])
        .argument(text())
        .argument(text())
        .returns("said", text())
        .returns("n", integer())
        .state(Probe::begin);
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(probe)
}

static TRANSFORM: Exported = Exported::new("tests", "1.2.3", transform);

const PROBE: usize = 0;

fn plugin() -> Plugin {
    Plugin::from_entry(TRANSFORM.entry()).unwrap()
}

fn one_text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn probe(tag: &str, mood: &str) -> PartitionStream {
    let arguments = [one_text(tag), one_text(mood)];
    plugin().partition(&(), PROBE, &arguments).unwrap()
}

type Row = (&'static str, i64);

fn columns(rows: &[Row]) -> [ArrayRef; 2] {
    let keys: StringArray = rows.iter().map(|(key, _)| Some(*key)).collect();
    let values: Int64Array = rows.iter().map(|(_, value)| Some(*value)).collect();
    [Arc::new(keys), Arc::new(values)]
}

/// What was emitted, row by row: `0: a 7`.
fn said(emitted: &Emitted) -> Vec<String> {
    let texts = emitted.columns[0].as_string::<i32>();
    let numbers = emitted.columns[1].as_primitive::<Int64Type>();
    let rows = emitted.keys.values().iter().zip(texts).zip(numbers);
    rows.map(|((key, text), number)| format!("{key}: {} {}", text.unwrap(), number.unwrap()))
        .collect()
}

fn push(stream: &mut PartitionStream, rows: &[Row], starts: &[u64]) -> Vec<String> {
    said(&stream.push(&(), &columns(rows), starts).unwrap())
}

#[test]
fn many_keys_in_one_batch_each_have_a_state_of_their_own() {
    let mut stream = probe("many keys", "");
    let rows = [("a", 1), ("b", 1), ("b", 2), ("c", 1)];
    assert_eq!(
        push(&mut stream, &rows, &[0, 1, 3]),
        [
            "0: a 1",
            "0: rows 1",
            "1: b 1",
            "1: b 2",
            "1: rows 2",
            "2: c 1"
        ]
    );
    // A key's state is gone when the next one begins.
    assert_eq!(states("many keys", |found| *found), (3, 2));
    assert_eq!(said(&stream.finish(&()).unwrap()), ["2: rows 1"]);
    assert_eq!(states("many keys", |found| *found), (3, 3));
}

#[test]
fn one_key_over_many_batches_keeps_its_state() {
    let mut stream = probe("one key", "");
    assert_eq!(push(&mut stream, &[("a", 1)], &[0]), ["0: a 1"]);
    for value in 2..50 {
        assert_eq!(
            push(&mut stream, &[("a", value)], &[]),
            [format!("0: a {value}")]
        );
    }
    assert_eq!(said(&stream.finish(&()).unwrap()), ["0: rows 49"]);
    assert_eq!(states("one key", |found| *found), (1, 1));
}

#[test]
fn a_key_may_end_exactly_with_its_batch() {
    let mut stream = probe("boundary", "");
    assert_eq!(
        push(&mut stream, &[("a", 1), ("a", 2)], &[0]),
        ["0: a 1", "0: a 2"]
    );
    assert_eq!(
        push(&mut stream, &[("b", 1)], &[0]),
        ["0: rows 2", "1: b 1"]
    );
    assert_eq!(
        push(&mut stream, &[("b", 2), ("c", 1)], &[1]),
        ["1: b 2", "1: rows 2", "2: c 1"]
    );
    assert_eq!(said(&stream.finish(&()).unwrap()), ["2: rows 1"]);
}

#[test]
fn empty_input_has_no_keys_and_emits_nothing() {
    let mut stream = probe("empty", "");
    assert_eq!(push(&mut stream, &[], &[]), [""; 0]);
    let emitted = stream.finish(&()).unwrap();
    assert_eq!((emitted.keys.len(), emitted.columns.len()), (0, 2));
    assert_eq!(states("empty", |found| *found), (0, 0));
}

#[test]
fn a_batch_without_rows_changes_nothing() {
    let mut stream = probe("empty batch", "");
    push(&mut stream, &[("a", 1)], &[0]);
    assert_eq!(push(&mut stream, &[], &[]), [""; 0]);
    assert_eq!(push(&mut stream, &[("a", 2)], &[]), ["0: a 2"]);
    assert_eq!(said(&stream.finish(&()).unwrap()), ["0: rows 2"]);
}

#[test]
fn what_fails_or_panics_names_the_function_and_every_state_is_dropped_once() {
    for (mood, code, message) in [
        (
            "fails at first",
            Code::Failed,
            "function `probe`: no state today",
        ),
        (
            "fails in push",
            Code::Failed,
            "function `probe`: 13 is unlucky",
        ),
        ("fails in finish", Code::Failed, "function `probe`: too few"),
        (
            "panics at first",
            Code::Panic,
            "function `probe` panicked: no state at all",
        ),
        (
            "panics in push",
            Code::Panic,
            "function `probe` panicked: 13 is very unlucky",
        ),
        (
            "panics in finish",
            Code::Panic,
            "function `probe` panicked: far too few",
        ),
        (
            "panics in drop",
            Code::Panic,
            "function `probe` panicked: and stay out",
        ),
    ] {
        let rows = [("a", 1), ("a", 13), ("b", 1)];
        let mut stream = probe(mood, mood);
        let error = stream.push(&(), &columns(&rows), &[0, 2]).unwrap_err();
        assert_eq!(
            (error.code(), error.function()),
            (code, Some("probe")),
            "{mood}"
        );
        assert_eq!(error.to_string(), message);
        // Nothing but dropping it is left, and the transform is as good as before.
        let again = stream
            .push(&(), &columns(&rows), &[0, 2])
            .unwrap_err()
            .to_string();
        assert!(
            again.contains("a call to this stream failed"),
            "{mood}: {again}"
        );
        drop(stream);
        let (begun, dropped) = states(mood, |found| *found);
        assert_eq!(begun, dropped, "{mood}");
        assert_eq!(push(&mut probe("after", ""), &[("a", 1)], &[0]), ["0: a 1"]);
    }
}

#[test]
fn the_last_key_can_fail_too() {
    for (mood, message) in [
        ("fails in finish", "function `probe`: too few"),
        ("panics in finish", "function `probe` panicked: far too few"),
        ("panics in drop", "function `probe` panicked: and stay out"),
    ] {
        let tag = format!("last key {mood}");
        let mut stream = probe(&tag, mood);
        push(&mut stream, &[("a", 1)], &[0]);
        assert_eq!(stream.finish(&()).unwrap_err().to_string(), message);
        assert_eq!(states(&tag, |found| *found), (1, 1));
    }
}

#[test]
fn a_stream_that_failed_cannot_be_finished() {
    let mut stream = probe("finish after failure", "fails in push");
    stream.push(&(), &columns(&[("a", 13)]), &[0]).unwrap_err();
    let error = stream.finish(&()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidCall);
    assert_eq!(states("finish after failure", |found| *found), (1, 1));
}

#[test]
fn a_state_that_panics_while_a_stream_is_given_up_does_no_harm() {
    let mut stream = probe("given up", "panics in drop");
    push(&mut stream, &[("a", 1)], &[0]);
    drop(stream);
    assert_eq!(states("given up", |found| *found), (1, 1));
}

/// A host that remembers what it is told, and can stop.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<String>>,
    stopped: AtomicBool,
    stops_when_told: bool,
}

impl Host for Listener {
    fn log(&self, level: Level, message: &str) {
        self.told
            .lock()
            .unwrap()
            .push(format!("{level:?}: {message}"));
        self.stopped
            .fetch_or(self.stops_when_told, Ordering::SeqCst);
    }

    fn metric(&self, name: &str, value: f64) {
        self.told.lock().unwrap().push(format!("{name} = {value}"));
    }

    fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

#[test]
fn a_function_reaches_the_host_of_each_call() {
    let (first, second) = (Listener::default(), Listener::default());
    let mut stream = probe("hosts", "listens");
    stream.push(&first, &columns(&[("a", 13)]), &[0]).unwrap();
    stream.push(&second, &columns(&[("a", 13)]), &[]).unwrap();
    stream.finish(&()).unwrap();
    assert_eq!(*first.told.lock().unwrap(), ["Info: 13 it is", "rows = 0"]);
    assert_eq!(*second.told.lock().unwrap(), ["Info: 13 it is", "rows = 1"]);
}

#[test]
fn a_stopped_run_stops_before_and_within_every_call() {
    let stopped = Listener {
        stopped: true.into(),
        ..Listener::default()
    };
    let not_called = "function `probe` was not called: the run was stopped";
    let arguments = [one_text("stopped"), one_text("listens")];
    let error = plugin().partition(&stopped, PROBE, &arguments).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::Cancelled, not_called)
    );

    let mut stream = probe("stopped", "listens");
    push(&mut stream, &[("a", 1)], &[0]);
    let error = stream
        .push(&stopped, &columns(&[("a", 2)]), &[])
        .unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::Cancelled, not_called)
    );
    drop(stream);

    let mut stream = probe("stopped", "listens");
    push(&mut stream, &[("a", 1)], &[0]);
    let error = stream.finish(&stopped).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::Cancelled, not_called)
    );

    let stops = Listener {
        stops_when_told: true,
        ..Listener::default()
    };
    let mut stream = probe("stopped", "listens");
    let error = stream
        .push(&stops, &columns(&[("a", 13)]), &[0])
        .unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert_eq!(
        error.to_string(),
        "function `probe`: stopped, because the run was"
    );
    drop(stream);
    let (begun, dropped) = states("stopped", |found| *found);
    assert_eq!(begun, dropped);
}

#[test]
fn a_host_that_pushes_something_else_is_told_before_it_crosses() {
    let [keys, values] = columns(&[("a", 1), ("b", 2)]);
    let refused = |columns: &[ArrayRef], starts: &[u64]| {
        let mut stream = probe("misused", "");
        let error = stream.push(&(), columns, starts).unwrap_err();
        assert_eq!(error.code(), Code::InvalidCall);
        let message = error.to_string();
        let start = "function `probe` cannot be called like this: ";
        message.strip_prefix(start).unwrap().to_owned()
    };
    let both = [Arc::clone(&keys), Arc::clone(&values)];
    assert_eq!(refused(&both[..1], &[0]), "it receives 2 columns, not 1");
    let swapped = [Arc::clone(&values), Arc::clone(&keys)];
    assert_eq!(refused(&swapped, &[0]), "column `k` is text, not Int64");
    let uneven = [keys, values.slice(0, 1)];
    assert_eq!(refused(&uneven, &[0]), "column `v` has 1 values for 2 rows");
    assert_eq!(
        refused(&both, &[0, 0]),
        "the starts of its keys do not ascend"
    );
    assert_eq!(refused(&both, &[0, 2]), "a key begins at 2, of 2 rows");
    assert_eq!(refused(&both, &[]), "the first row belongs to no key");
    assert_eq!(refused(&both, &[1]), "the first row belongs to no key");
    assert_eq!(states("misused", |found| *found), (0, 0));

    let opened = |function, arguments: &[ArrayRef]| {
        plugin()
            .partition(&(), function, arguments)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        opened(PROBE, &[one_text("a")]),
        "function `probe` cannot be called like this: it takes 2 arguments, not 1"
    );
    let two: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    assert_eq!(
        opened(PROBE, &[one_text("a"), two]),
        "function `probe` cannot be called like this: argument 1 has 2 values for 1 rows"
    );
    assert_eq!(
        opened(1, &[]),
        "the transform has no partition function 1: it declares 1, counted from 0"
    );
}

#[test]
fn what_was_emitted_outlives_its_stream() {
    let mut stream = probe("outlives", "");
    let emitted = stream.push(&(), &columns(&[("a", 1)]), &[0]).unwrap();
    drop(stream);
    assert_eq!(said(&emitted), ["0: a 1"]);
}

#[test]
fn streams_run_at_once_and_move_between_threads() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = probe("threads", "");
                push(&mut stream, &[("a", 1)], &[0]);
                std::thread::spawn(move || {
                    assert_eq!(push(&mut stream, &[("a", 2)], &[]), ["0: a 2"]);
                    assert_eq!(said(&stream.finish(&()).unwrap()), ["0: rows 2"]);
                })
                .join()
                .unwrap();
            });
        }
    });
    assert_eq!(states("threads", |found| *found), (8, 8));
}

/// Pushes sorted rows in batches that end where `ends` says.
fn in_batches(rows: &[Row], ends: &[usize]) -> Vec<String> {
    let mut stream = probe("batches", "");
    let mut all = Vec::new();
    let mut from = 0;
    for end in ends.iter().copied().chain([rows.len()]) {
        let batch = &rows[from..end];
        let begins = |place: &usize| {
            let place = from + place;
            place == 0 || rows[place - 1].0 != rows[place].0
        };
        let starts: Vec<u64> = (0..batch.len())
            .filter(begins)
            .map(|place| place as u64)
            .collect();
        all.extend(push(&mut stream, batch, &starts));
        from = end;
    }
    all.extend(said(&stream.finish(&()).unwrap()));
    all
}

proptest! {
    #[test]
    fn where_batches_are_cut_means_nothing(
        mut rows in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "d", "e"]), 0..9_i64), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        rows.sort_unstable();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        ends.sort_unstable();
        let expected: Vec<String> = rows
            .chunk_by(|one, next| one.0 == next.0)
            .enumerate()
            .flat_map(|(key, rows)| {
                let said = rows.iter().map(move |(text, value)| format!("{key}: {text} {value}"));
                said.chain([format!("{key}: rows {}", rows.len())])
            })
            .collect();
        prop_assert_eq!(in_batches(&rows, &ends), expected);
    }
}
