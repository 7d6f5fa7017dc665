//! A transform that breaks the rules, and a host that goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use lake_plugin::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use lake_plugin::arrow::buffer::{Buffer, ScalarBuffer};
use lake_plugin::arrow::datatypes::Int64Type;
use lake_plugin::{CallError, Code, Host, Level, LoadError, Plugin};
use proptest::prelude::*;

use crate::c;

const LIAR: &str = include_str!("liar.c");

/// The transform with its own count of what is held.
pub(crate) fn liar(definitions: &[&str]) -> Result<Plugin, LoadError> {
    c::load(LIAR, &[&["-pthread"], definitions].concat())
}

pub(crate) fn call_with(
    plugin: &Plugin,
    host: &dyn Host,
    function: &str,
    argument: ArrayRef,
) -> Result<ArrayRef, CallError> {
    let functions = &plugin.declaration().functions;
    let place = functions
        .iter()
        .position(|known| known.name == function)
        .unwrap();
    let rows = argument.len();
    plugin.call_with(host, place, &[argument], rows)
}

/// A host that does not listen.
struct Deaf;

impl Host for Deaf {}

fn call(plugin: &Plugin, function: &str, argument: ArrayRef) -> Result<ArrayRef, CallError> {
    call_with(plugin, &Deaf, function, argument)
}

pub(crate) fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from(vec![1, 2, 3]))
}

fn integers(array: &ArrayRef) -> &[i64] {
    array.as_primitive::<Int64Type>().values()
}

/// How many arrays, schemas and strings of the transform nobody has released, but for the result
/// that says so.
fn held(plugin: &Plugin) -> i64 {
    integers(&call(plugin, "held", numbers()).unwrap())[0]
}

/// An argument, and a way to count who has it.
fn counted() -> (Buffer, ArrayRef) {
    let buffer = Buffer::from_vec(vec![1_i64, 2, 3]);
    let array = Int64Array::new(ScalarBuffer::from(buffer.clone()), None);
    (buffer, Arc::new(array))
}

#[test]
fn arguments_that_a_transform_leaves_are_released_by_the_host() {
    let plugin = liar(&[]).unwrap();
    let (buffer, argument) = counted();
    let alone = buffer.strong_count();
    call(&plugin, "silent", Arc::clone(&argument)).unwrap_err();
    call(&plugin, "held", argument).unwrap();
    assert_eq!(buffer.strong_count(), alone - 1);
}

#[test]
fn arguments_that_a_transform_keeps_stay_good_and_are_its_own() {
    let plugin = liar(&[]).unwrap();
    let (buffer, argument) = counted();
    let alone = buffer.strong_count();
    call(&plugin, "keeps", argument).unwrap();
    // The array that the test made is gone; the transform has another.
    assert_eq!(buffer.strong_count(), alone);
    assert_eq!(held(&plugin), 0);
}

#[test]
fn a_column_may_be_taken_out_of_the_batch() {
    let plugin = liar(&[]).unwrap();
    let (buffer, argument) = counted();
    let alone = buffer.strong_count();
    let result = call(&plugin, "takes_a_column", argument.slice(1, 2)).unwrap();
    drop(argument);
    assert_eq!(integers(&result), [2, 3]);
    assert_eq!(buffer.strong_count(), alone);
    drop(result);
    assert_eq!(buffer.strong_count(), alone - 1);
    assert_eq!(held(&plugin), 0);
}

/// The name of this test is in `scripts/sanitize`: the leak is meant.
#[test]
fn a_result_that_points_into_an_argument_which_nobody_took_is_refused_and_leaks() {
    let plugin = liar(&[]).unwrap();
    // Whether the result also releases the argument makes no difference.
    for (function, kept) in [("borrows", 1), ("takes_in_secret", 0)] {
        let (buffer, argument) = counted();
        let alone = buffer.strong_count();
        let error = call(&plugin, function, argument.slice(1, 2)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("it points into an argument that the function did not take"),
            "{error}"
        );
        drop(argument);
        assert_eq!(buffer.strong_count(), alone - 1 + kept, "{function}");
        assert_eq!(held(&plugin), 0);
    }
}

struct Stopped;

impl Host for Stopped {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_result_that_comes_although_the_run_was_stopped_is_checked_like_any_other() {
    let plugin = liar(&[]).unwrap();
    let result = call_with(&plugin, &Stopped, "heedless", numbers()).unwrap();
    assert_eq!(integers(&result), [1, 1, 1]);
    let mut told = honest();
    told.0[0] = 2;
    let error = call_with(&plugin, &Stopped, "told", told.argument()).unwrap_err();
    assert!(
        error.to_string().contains("it has 2 values instead of 40"),
        "{error}"
    );
}

#[test]
fn only_who_was_told_to_stop_can_say_that_it_stopped() {
    let plugin = liar(&[]).unwrap();
    let error = call_with(&plugin, &Stopped, "deserts", numbers()).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    let error = call(&plugin, "deserts", numbers()).unwrap_err();
    assert_eq!(error.code(), Code::Failed);
    assert_eq!(
        error.to_string(),
        "function `deserts`: it says that the run was stopped, and nobody has stopped it"
    );
}

#[test]
fn an_error_is_readable_whatever_its_message_is() {
    let plugin = liar(&[]).unwrap();
    let message = |function| {
        let error = call(&plugin, function, numbers()).unwrap_err();
        assert_eq!(error.code(), Code::Failed);
        assert_eq!(held(&plugin), 0, "{function}");
        error.to_string()
    };
    assert_eq!(
        message("garbled"),
        "function `garbled`: meter \u{fffd} is \u{fffd}"
    );
    for function in ["silent", "boasts", "points_nowhere", "half"] {
        assert_eq!(
            message(function),
            format!("function `{function}`: it failed with code 2 and does not say why")
        );
    }
    let wordy = message("wordy");
    assert!(wordy.len() < 70_000, "{}", wordy.len());
    assert!(wordy.ends_with("xx… (10485760 bytes in all)"));
}

#[test]
fn an_error_beside_a_result_is_released_and_changes_nothing() {
    let plugin = liar(&[]).unwrap();
    let result = call(&plugin, "complains", numbers()).unwrap();
    assert_eq!(integers(&result), [1, 1, 1]);
    drop(result);
    assert_eq!(held(&plugin), 0);
}

#[test]
fn a_format_that_goes_on_and_on_is_shown_by_its_start() {
    let plugin = liar(&[]).unwrap();
    let error = call(&plugin, "long_format", numbers()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("wwww…`, and Int64 is `l`"), "{message}");
    assert!(message.len() < 500, "{message}");
}

#[test]
fn text_without_any_bytes_needs_no_buffer_for_them() {
    let plugin = liar(&[]).unwrap();
    let empty: ArrayRef = Arc::new(StringArray::from(vec![""; 3]));
    assert_eq!(&call(&plugin, "no_bytes", numbers()).unwrap(), &empty);
}

/// Keeps what it is told.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<String>>,
    from_another_thread: AtomicBool,
}

impl Host for Listener {
    fn log(&self, level: Level, message: &str) {
        let here = std::thread::current();
        if message == "from a thread" && here.name().is_none() {
            self.from_another_thread.store(true, Ordering::SeqCst);
        }
        let start: String = message.chars().take(20).collect();
        let told = format!("{level:?}: {start} ({})", message.len());
        self.told.lock().unwrap().push(told);
    }

    fn metric(&self, name: &str, value: f64) {
        self.told
            .lock()
            .unwrap()
            .push(format!("{name:?} = {value}"));
    }
}

#[test]
fn a_host_can_be_told_anything_from_any_thread() {
    let plugin = liar(&[]).unwrap();
    let host = Listener::default();
    call_with(&plugin, &host, "talks", numbers()).unwrap();
    assert!(host.from_another_thread.load(Ordering::SeqCst));
    assert_eq!(
        *host.told.lock().unwrap(),
        [
            "Info: from a thread (13)",
            "Debug: \u{fffd} (3)",
            "Warn:  (0)",
            "Warn:  (0)",
            "\"\" = NaN",
            "Error: xxxxxxxxxxxxxxxxxxxx (65563)",
        ]
    );
}

#[test]
fn a_table_of_any_size_is_read_as_far_as_this_host_knows_it() {
    let plugin = liar(&["-DSIZE=UINT32_MAX"]).unwrap();
    assert_eq!(held(&plugin), 0);
}

#[test]
fn a_transform_that_cannot_be_asked_is_refused() {
    let error = liar(&["-DNO_DESCRIBE"]).unwrap_err();
    assert!(matches!(error, LoadError::OtherVersion { .. }), "{error}");
    assert!(
        error.to_string().contains(" has no `describe`, "),
        "{error}"
    );
}

#[test]
fn a_declaration_may_say_more_than_this_host_knows() {
    let more = r#"-DEXTRA=" \"colour\": \"blue\", \"promises\": [{\"deep\": null}],""#;
    let plugin = liar(&[more]).unwrap();
    assert_eq!(plugin.declaration().name.as_deref(), Some("liar"));
}

#[test]
fn a_declaration_without_end_is_refused_before_it_is_read() {
    for (definition, reason) in [
        (
            "-DDESCRIBE_CLAIMS=(1ull<<40)",
            "it claims 1099511627776 bytes, and no declaration has more than 67108864",
        ),
        (
            "-DDESCRIBE_CLAIMS=UINT64_MAX",
            "it claims 18446744073709551615 bytes",
        ),
        ("-DDESCRIBE_SPACES=(1<<20)", "EOF while parsing"),
        ("-DDESCRIBE_DEEP=1000000", "EOF while parsing"),
    ] {
        let error = liar(&[definition]).unwrap_err();
        assert!(matches!(error, LoadError::NotUnderstood { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{definition}: {error}");
    }
}

/// How many rows `told` is called with: it reads what to do from them.
const ROWS: usize = 40;

/// What `told` does. The order is that of the transform in C.
#[derive(Clone, Debug)]
struct Told(Vec<i64>);

impl Told {
    fn argument(&self) -> ArrayRef {
        Arc::new(Int64Array::from(self.0.clone()))
    }
}

/// Texts of "ää" and of nothing, by turns.
fn honest() -> Told {
    let mut say = vec![ROWS as i64, 0, 0, 3, 0, 0, 0, 0xff, 1];
    say.extend((say.len()..ROWS).map(|place| place as i64 / 2 * 4));
    Told(say)
}

/// Up to three of the fields as they should not be, but within the memory that there is: what is
/// beyond that cannot be told from outside.
fn spoiled() -> impl Strategy<Value = Told> {
    let anything = || prop_oneof![-3_i64..45, Just(i64::MIN), Just(i64::MAX), Just(1 << 60)];
    let field = prop_oneof![
        anything().prop_map(|value| (0, value)),
        anything().prop_map(|value| (1, value)),
        // From an offset on, the transform has values for as many rows again.
        prop_oneof![-3_i64..=80, Just(i64::MIN), Just(i64::MAX), Just(1 << 60)]
            .prop_map(|value| (2, value)),
        anything().prop_map(|value| (3, value)),
        anything().prop_map(|value| (4, value)),
        (0_i64..8).prop_map(|value| (5, value)),
        prop_oneof![(0_u32..12).prop_map(|bit| 1 << bit), 0_i64..4096].prop_map(|value| (6, value)),
        (0_i64..256).prop_map(|value| (7, value)),
        (0_i64..3).prop_map(|value| (8, value)),
        (9..ROWS, -50_i64..=4096),
        (9..ROWS, Just(i64::from(i32::MIN))),
    ];
    proptest::collection::vec(field, 0..4).prop_map(|fields| {
        let mut told = honest();
        for (place, value) in fields {
            told.0[place] = value;
        }
        told
    })
}

static TOLD: LazyLock<Plugin> = LazyLock::new(|| liar(&[]).unwrap());

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_transform_returns_is_a_good_array_or_an_error_and_is_released_once(
        told in spoiled()
    ) {
        match call(&TOLD, "told", told.argument()) {
            Ok(array) => {
                prop_assert_eq!(array.len(), ROWS);
                let valid = array.to_data().validate_full();
                prop_assert!(valid.is_ok(), "{:?}", valid);
                let texts = array.as_string::<i32>();
                let seen = texts.iter().flatten().map(str::len).sum::<usize>();
                prop_assert!(seen <= 4096);
                prop_assert_eq!(texts.iter().filter(Option::is_none).count(), texts.null_count());
            }
            Err(error) => {
                let refused = matches!(error, CallError::Returned { .. });
                prop_assert!(refused, "{}", error);
            }
        }
        prop_assert_eq!(held(&TOLD), 0);
    }
}

#[test]
fn what_is_unusual_and_true_is_taken() {
    let plugin = liar(&[]).unwrap();
    let change = |changes: &[(usize, i64)]| {
        let mut told = honest();
        for (place, value) in changes {
            told.0[*place] = *value;
        }
        call(&plugin, "told", told.argument())
    };
    // (place, value): unknown nulls, an offset, no validity at all, all of them null.
    for changes in [
        &[][..],
        &[(1, -1)],
        &[(2, 5)],
        &[(6, 1)],
        &[(7, 0), (1, 40)],
        &[(7, 0), (1, -1)],
    ] {
        let array = change(changes).unwrap();
        let nulls = if changes.contains(&(7, 0)) { ROWS } else { 0 };
        assert_eq!((array.len(), array.null_count()), (ROWS, nulls));
    }
}
