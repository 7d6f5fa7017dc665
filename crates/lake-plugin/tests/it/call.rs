//! Functions in Rust, called through the boundary.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lake_plugin::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use lake_plugin::arrow::buffer::Buffer;
use lake_plugin::prelude::*;
use lake_plugin::{CallError, Code, Exported, Host, Level, LoadError, Plugin};

fn transform() -> Transform {
    let same = |place: usize| move |arguments: &Arguments| Ok(Arc::clone(arguments.array(place)?));
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(Function::scalar("same", [text()], text(), same(0)))
        .function(Function::scalar("boom", [text()], text(), |_| {
            panic!("no such meter")
        }))
        .function(Function::scalar("short", [text()], text(), |arguments| {
            Ok(arguments.array(0)?.slice(1, arguments.rows() - 1))
        }))
        .function(Function::scalar("number", [text()], text(), |arguments| {
            Ok(Arc::new(Int64Array::from(vec![7; arguments.rows()])))
        }))
        .function(Function::scalar("fails", [text()], text(), |_| {
            Err("meter 7 is unknown".into())
        }))
        .function(Function::scalar("misread", [text()], text(), |arguments| {
            Ok(Arc::new(arguments.timestamp(0)?.clone()))
        }))
        .function(Function::scalar("beyond", [text()], text(), |arguments| {
            Ok(Arc::new(arguments.text(1)?.clone()))
        }))
        .function(Function::scalar("seven", [], integer(), |arguments| {
            Ok(Arc::new(Int64Array::from(vec![7; arguments.rows()])))
        }))
        .function(Function::scalar("listens", [text()], text(), |arguments| {
            arguments.log(Level::Warn, "half of it is NULL");
            arguments.metric("nulls", 0.5);
            if arguments.is_cancelled() {
                return Err(FunctionError::cancelled());
            }
            Ok(Arc::clone(arguments.array(0)?))
        }))
        .function(Function::scalar(
            "too_big",
            [],
            decimal(3, 1),
            |arguments| {
                let values = Decimal128Array::from(vec![99_999; arguments.rows()]);
                Ok(Arc::new(values.with_precision_and_scale(3, 1)?))
            },
        ))
        .function(Function::scalar("strange_panic", [], text(), |_| {
            struct Grenade;
            impl Drop for Grenade {
                fn drop(&mut self) {
                    panic!("and again");
                }
            }
            std::panic::panic_any(Grenade)
        }))
        .function(Function::scalar(
            "all_types",
            [
                text(),
                boolean(),
                int32(),
                integer(),
                float(),
                decimal(12, 3),
                date(),
                timestamp(),
            ],
            boolean(),
            |arguments| {
                let nulls = [
                    arguments.text(0)?.null_count(),
                    arguments.boolean(1)?.null_count(),
                    arguments.int32(2)?.null_count(),
                    arguments.integer(3)?.null_count(),
                    arguments.float(4)?.null_count(),
                    arguments.decimal(5)?.null_count(),
                    arguments.date(6)?.null_count(),
                    arguments.timestamp(7)?.null_count(),
                ];
                Ok(Arc::new(BooleanArray::from(vec![
                    nulls == [1; 8];
                    arguments.rows()
                ])))
            },
        ))
}

static TRANSFORM: Exported = Exported::new("tests", "1.2.3", transform);

fn plugin() -> Plugin {
    Plugin::from_entry(TRANSFORM.entry()).unwrap()
}

fn texts() -> ArrayRef {
    Arc::new(StringArray::from(vec![Some("a"), None, Some("ü")]))
}

fn call(function: &str, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, CallError> {
    let plugin = plugin();
    let functions = &plugin.declaration().functions;
    let place = functions
        .iter()
        .position(|known| known.name == function)
        .unwrap();
    plugin.call(place, arguments, rows)
}

#[test]
fn a_declaration_has_the_name_and_version_of_the_crate() {
    let plugin = plugin();
    assert_eq!(plugin.declaration().name.as_deref(), Some("tests"));
    assert_eq!(plugin.declaration().version.as_deref(), Some("1.2.3"));
}

#[test]
fn values_come_back_as_they_went_in() {
    assert_eq!(&call("same", &[texts()], 3).unwrap(), &texts());
    let empty = texts().slice(0, 0);
    assert_eq!(&call("same", &[Arc::clone(&empty)], 0).unwrap(), &empty);
}

#[test]
fn a_slice_is_seen_from_its_start() {
    assert_eq!(
        &call("same", &[texts().slice(1, 2)], 2).unwrap(),
        &texts().slice(1, 2)
    );
}

#[test]
fn a_function_without_arguments_knows_how_many_rows_there_are() {
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![7; 5]));
    assert_eq!(&call("seven", &[], 5).unwrap(), &expected);
    assert_eq!(call("seven", &[], 0).unwrap().len(), 0);
}

#[test]
fn every_type_crosses_also_sliced_and_with_nulls() {
    let arguments: Vec<ArrayRef> = vec![
        texts(),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])),
        Arc::new(
            Decimal128Array::from(vec![Some(1), None, Some(3)])
                .with_precision_and_scale(12, 3)
                .unwrap(),
        ),
        Arc::new(Date32Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1), None, Some(3)]).with_timezone("UTC"),
        ),
    ];
    let yes = |rows| -> ArrayRef { Arc::new(BooleanArray::from(vec![true; rows])) };
    assert_eq!(&call("all_types", &arguments, 3).unwrap(), &yes(3));
    let sliced: Vec<_> = arguments.iter().map(|array| array.slice(1, 1)).collect();
    assert_eq!(&call("all_types", &sliced, 1).unwrap(), &yes(1));
}

#[test]
fn a_panic_is_an_error_that_names_the_function() {
    let error = call("boom", &[texts()], 3).unwrap_err();
    assert_eq!(error.to_string(), "function `boom` panicked: no such meter");
    assert_eq!(
        (error.function(), error.code()),
        (Some("boom"), Code::Panic)
    );
    // The transform can be called again.
    assert!(call("same", &[texts()], 3).is_ok());
}

#[test]
fn what_somebody_panics_with_does_no_harm() {
    let error = call("strange_panic", &[], 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "function `strange_panic` panicked: (without a message)"
    );
}

#[test]
fn an_error_names_the_function() {
    let error = call("fails", &[texts()], 3).unwrap_err();
    assert_eq!(error.to_string(), "function `fails`: meter 7 is unknown");
    assert_eq!(error.code(), Code::Failed);
}

#[test]
fn a_wrong_length_is_refused() {
    let error = call("short", &[texts()], 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "function `short` must return 3 values of type text, but what it returned is wrong: \
         it has 2 values instead of 3; correct the transform"
    );
}

#[test]
fn a_wrong_type_is_refused() {
    let error = call("number", &[texts()], 3).unwrap_err().to_string();
    assert!(
        error.contains("function `number` must return 3 values of type text"),
        "{error}"
    );
    assert!(
        error.contains("it is of Arrow format `l`, and Utf8 is `u`"),
        "{error}"
    );
}

#[test]
fn a_decimal_with_too_many_digits_is_refused() {
    let error = call("too_big", &[], 1).unwrap_err().to_string();
    assert!(error.contains("function `too_big`"), "{error}");
    assert!(
        error.contains("is too large to store in a Decimal128 of precision 3"),
        "{error}"
    );
}

#[test]
fn reading_an_argument_as_what_it_is_not_names_function_and_argument() {
    assert_eq!(
        call("misread", &[texts()], 3).unwrap_err().to_string(),
        "function `misread` reads argument 0 as timestamp, and declares it as text"
    );
    assert_eq!(
        call("beyond", &[texts()], 3).unwrap_err().to_string(),
        "function `beyond` reads argument 1, counted from 0, and declares 1 in all"
    );
}

#[test]
fn a_host_that_calls_with_something_else_is_told_before_it_crosses() {
    let message =
        |arguments: &[ArrayRef], rows| call("same", arguments, rows).unwrap_err().to_string();
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let start = "function `same` cannot be called like this: ";
    assert_eq!(
        message(&[], 1),
        format!("{start}it takes 1 arguments, not 0")
    );
    assert_eq!(
        message(&[number], 1),
        format!("{start}argument 0 is text, not Int64")
    );
    assert_eq!(
        message(&[texts()], 1),
        format!("{start}argument 0 has 3 values for 1 rows")
    );
    assert_eq!(
        plugin().call(99, &[], 0).unwrap_err().to_string(),
        "the transform has no function 99: it declares 12, counted from 0"
    );
}

#[test]
fn nothing_is_kept_when_result_and_arguments_are_gone() {
    let values = Buffer::from(b"abc".to_vec());
    let offsets = Buffer::from_slice_ref([0_i32, 1, 2, 3]);
    let held = || values.strong_count() + offsets.strong_count();
    let argument = || -> ArrayRef {
        let offsets = lake_plugin::arrow::buffer::OffsetBuffer::new(offsets.clone().into());
        Arc::new(StringArray::new(offsets, values.clone(), None))
    };
    let before = held();
    // The result is the argument: it must outlive the call, and then be released.
    let result = call("same", &[argument()], 3).unwrap();
    assert!(held() > before);
    drop(result);
    assert_eq!(held(), before);
    for function in ["boom", "short", "number", "fails", "misread"] {
        call(function, &[argument()], 3).unwrap_err();
        assert_eq!(held(), before, "{function}");
    }
}

/// A host that remembers what it was told, and stops the run after some questions.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<String>>,
    patience: AtomicUsize,
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
        let patience = self.patience.load(Ordering::SeqCst);
        self.patience
            .store(patience.saturating_sub(1), Ordering::SeqCst);
        patience == 0
    }
}

fn listened(host: &dyn Host) -> Result<ArrayRef, CallError> {
    let plugin = plugin();
    let functions = &plugin.declaration().functions;
    let place = functions
        .iter()
        .position(|known| known.name == "listens")
        .unwrap();
    plugin.call_with(host, place, &[texts()], 3)
}

#[test]
fn a_function_reaches_its_host() {
    let host = Listener {
        patience: 9.into(),
        ..Listener::default()
    };
    listened(&host).unwrap();
    assert_eq!(
        *host.told.lock().unwrap(),
        ["Warn: half of it is NULL", "nulls = 0.5"]
    );
}

#[test]
fn a_function_needs_no_host() {
    assert!(call("listens", &[texts()], 3).is_ok());
}

#[test]
fn a_stopped_run_stops_its_functions() {
    let host = Listener::default();
    let error = listened(&host).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert_eq!(
        error.to_string(),
        "function `listens` was not called: the run was stopped"
    );
    let host = Listener {
        patience: 1.into(),
        ..Listener::default()
    };
    let error = listened(&host).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert_eq!(
        error.to_string(),
        "function `listens`: stopped, because the run was"
    );
}

#[test]
fn a_host_that_panics_does_not_unwind_through_the_transform() {
    struct Clumsy;
    impl Host for Clumsy {
        fn log(&self, _: Level, _: &str) {
            panic!("the disk is full");
        }
    }
    assert!(listened(&Clumsy).is_ok());
}

#[test]
fn functions_run_in_many_threads_at_once() {
    let plugin = plugin();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let plugin = plugin.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(&plugin.call(0, &[texts()], 3).unwrap(), &texts());
                    plugin.call(1, &[texts()], 3).unwrap_err();
                }
            });
        }
    });
}

#[test]
fn a_transform_that_panics_while_it_is_asked_cannot_be_used() {
    static PANICS: Exported = Exported::new("panics", "1.0.0", || panic!("forgot the key"));
    for _ in 0..2 {
        let error = Plugin::from_entry(PANICS.entry()).unwrap_err();
        assert!(matches!(
            error,
            LoadError::Describe {
                code: Code::Panic,
                ..
            }
        ));
        let message = error.to_string();
        assert!(message.contains("the transform `panics`"), "{message}");
        assert!(message.contains("panicked: forgot the key"), "{message}");
    }
}

#[test]
fn a_transform_that_declares_nonsense_cannot_be_used() {
    static EMPTY: Exported = Exported::new("empty", "1.0.0", Transform::new);
    let error = Plugin::from_entry(EMPTY.entry()).unwrap_err();
    let LoadError::Nonsense { problems, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(problems.0.len(), 2);
    assert!(
        error
            .to_string()
            .contains("\n  - the transform: it has no table; ")
    );
}
