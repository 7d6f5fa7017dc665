//! What an author emits: value by value, as arrays, rightly and wrongly.

use std::sync::Arc;

use lake_plugin::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use lake_plugin::prelude::*;
use lake_plugin::{CallError, Code, Emitted, Exported, Plugin};

/// A function whose author's code is one closure for each push.
struct Each<F>(F);

impl<F> Partition for Each<F>
where
    F: FnMut(&Rows<'_>, &mut Emit<'_>) -> Result<(), FunctionError> + Send + 'static,
{
    fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        (self.0)(rows, out)
    }

    fn finish(&mut self, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        Ok(())
    }
}

/// Emits what its constant says: one wrong thing after the other.
fn mistake(which: i64, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    match which {
        0 => out.row(("a", 1, 2)),
        1 => out.row((1, 1)),
        2 => out.row(("a", i64::from(i32::MAX) + 1)),
        3 => out.rows([Arc::clone(&texts)]),
        4 => out.rows([Arc::clone(&texts), Arc::clone(&texts)]),
        5 => out.rows([texts.slice(0, 1), numbers]),
        6 => rows.timestamp("v").map(drop),
        7 => rows.text("vv").map(drop),
        8 => out.row((Value::Null, true)),
        _ => {
            // A mistake that the author passes over leaves nothing behind.
            assert!(out.row(("bad", 0.5)).is_err());
            assert!(out.rows([Arc::clone(&texts), Arc::clone(&texts)]).is_err());
            out.row(("good", 1))?;
            out.rows(vec![texts, numbers])?;
            out.row([Value::Null, Value::Whole(3)])?;
            out.rows([
                new_null_array(&text().to_arrow(), 0),
                Arc::new(Int32Array::from(vec![0; 0])),
            ])
        }
    }
}

fn every_type() -> [(&'static str, lake_plugin::ColumnType); 9] {
    [
        ("a_text", text()),
        ("a_boolean", boolean()),
        ("an_int32", int32()),
        ("an_integer", integer()),
        ("a_float", float()),
        ("a_decimal", decimal(12, 3)),
        ("a_date", date()),
        ("a_timestamp", timestamp()),
        ("a_duration", duration()),
    ]
}

/// Emits every row twice: as arrays, and value by value.
fn twice(rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
    let arrays: Result<Vec<_>, _> = every_type()
        .iter()
        .map(|(name, _)| rows.array(name))
        .collect();
    out.rows(arrays?)?;
    let texts = rows.text("a_text")?;
    let booleans = rows.boolean("a_boolean")?;
    let int32s = rows.int32("an_int32")?;
    let integers = rows.integer("an_integer")?;
    let floats = rows.float("a_float")?;
    let decimals = rows.decimal("a_decimal")?;
    let dates = rows.date("a_date")?;
    let timestamps = rows.timestamp("a_timestamp")?;
    let durations = rows.duration("a_duration")?;
    for row in 0..rows.len() {
        out.row((
            texts.is_valid(row).then(|| texts.value(row)),
            booleans.is_valid(row).then(|| booleans.value(row)),
            int32s.is_valid(row).then(|| int32s.value(row)),
            integers.is_valid(row).then(|| integers.value(row)),
            floats.is_valid(row).then(|| floats.value(row)),
            decimals.is_valid(row).then(|| decimals.value(row)),
            dates.is_valid(row).then(|| dates.value(row)),
            timestamps.is_valid(row).then(|| timestamps.value(row)),
            durations.is_valid(row).then(|| durations.value(row)),
        ))?;
    }
    Ok(())
}

fn transform() -> Transform {
    let mistakes = Function::partition("mistakes")
        .column("v", integer())
        .key(["v"])
        .argument(integer())
        .returns("said", text())
        .returns("n", int32())
        .stable()
        .state(|arguments| {
            let which = arguments.integer(0)?.value(0);
            Ok(Each(move |rows: &Rows<'_>, out: &mut Emit<'_>| {
                mistake(which, rows, out)
            }))
        });
    let mut twice_as_much = Function::partition("twice_as_much")
        .key(["a_text"])
        .volatile();
    for (name, column_type) in every_type() {
        twice_as_much = twice_as_much
            .column(name, column_type)
            .returns(format!("same_{name}"), column_type);
    }
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(mistakes)
        .function(twice_as_much.state(|_| Ok(Each(twice))))
}

static TRANSFORM: Exported = Exported::new("tests", "1.2.3", transform);

const MISTAKES: usize = 0;
const TWICE: usize = 1;

fn plugin() -> Plugin {
    Plugin::from_entry(TRANSFORM.entry()).unwrap()
}

fn mistaken(which: i64) -> Result<Emitted, CallError> {
    let which: ArrayRef = Arc::new(Int64Array::from(vec![which]));
    let mut stream = plugin().partition(&(), MISTAKES, &[which]).unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    stream.push(&(), &[values], &[0])
}

#[test]
fn what_an_author_gets_wrong_names_function_and_column() {
    for (which, message) in [
        (0, "emits a row of 3 columns, and declares 2"),
        (
            1,
            "emits column `said` with the value Whole(1), and declares it as text",
        ),
        (
            2,
            "emits column `n` with the value Whole(2147483648), and declares it as int32",
        ),
        (3, "emits a row of 1 columns, and declares 2"),
        (4, "emits column `n` as text, and declares it as int32"),
        (5, "emits column `n` with 2 values, beside one with 1"),
        (
            6,
            "reads column `v` as timestamp, and declares it as integer",
        ),
        (7, "reads column `vv`, and declares v"),
        (
            8,
            "emits column `n` with the value Boolean(true), and declares it as int32",
        ),
    ] {
        let error = mistaken(which).unwrap_err();
        assert_eq!(error.code(), Code::Failed);
        assert_eq!(error.to_string(), format!("function `mistakes` {message}"));
    }
}

#[test]
fn values_and_arrays_come_in_the_order_in_which_they_were_emitted() {
    let emitted = mistaken(9).unwrap();
    assert_eq!(emitted.keys, Int64Array::from(vec![0; 4]));
    let texts = StringArray::from(vec![Some("good"), Some("a"), Some("b"), None]);
    assert_eq!(*emitted.columns[0], texts);
    assert_eq!(*emitted.columns[1], Int32Array::from(vec![1, 1, 2, 3]));
}

#[test]
fn every_type_goes_in_and_comes_out_also_null_and_sliced() {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("x"), Some("ü"), None])),
        Arc::new(BooleanArray::from(vec![None, Some(true), None])),
        Arc::new(Int32Array::from(vec![Some(1), Some(i32::MIN), None])),
        Arc::new(Int64Array::from(vec![Some(1), Some(i64::MIN), None])),
        Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::MAX), None])),
        Arc::new(
            Decimal128Array::from(vec![Some(1), Some(-999_999_999_999), None])
                .with_precision_and_scale(12, 3)
                .unwrap(),
        ),
        Arc::new(Date32Array::from(vec![Some(1), Some(i32::MAX), None])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1), Some(i64::MAX), None])
                .with_timezone("UTC"),
        ),
        Arc::new(DurationMicrosecondArray::from(vec![
            Some(1),
            Some(-7),
            None,
        ])),
    ];
    let sliced: Vec<_> = arrays.iter().map(|array| array.slice(1, 2)).collect();
    let mut stream = plugin().partition(&(), TWICE, &[]).unwrap();
    let emitted = stream.push(&(), &sliced, &[0, 1]).unwrap();
    assert_eq!(emitted.keys, Int64Array::from(vec![0, 0, 1, 1]));
    for (given, found) in sliced.iter().zip(&emitted.columns) {
        for (place, from) in [0, 0, 1, 1].into_iter().enumerate() {
            assert_eq!(&found.slice(place, 1), &given.slice(from, 1));
        }
    }
}
