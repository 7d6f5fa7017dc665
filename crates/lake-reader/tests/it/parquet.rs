//! Parquet files: their types, their rows, and what is wrong with either.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, i256};
use lake_reader::{
    Ambiguous, Column, ColumnType, Format, Layout, Nonexistent, Options, Rules, Whitespace, Zone,
};

use crate::stored::{Outcome, outcome, parquet};

pub(crate) fn layout(columns: Vec<Column>) -> Layout {
    Layout::new(Format::Parquet, columns)
}

pub(crate) fn column(name: &str, data_type: ColumnType) -> Column {
    Column::new(name, data_type)
}

pub(crate) const fn decimal(precision: u8, scale: i8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

/// One column called `a`.
pub(crate) fn one(values: impl arrow::array::Array + 'static) -> Vec<u8> {
    parquet(&[("a", Arc::new(values))])
}

/// What reading that column as a type yields.
pub(crate) fn read_as(
    values: impl arrow::array::Array + 'static,
    data_type: ColumnType,
) -> Outcome {
    let columns = vec![column("a", data_type)];
    outcome(one(values), &layout(columns), Options::default())
}

/// Every value, or the faults of its row.
pub(crate) fn values(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.message(), "");
    let rows = outcome.rows.iter();
    rows.map(|row| match row.faults.is_empty() {
        true => row.cells.clone(),
        false => row.faults.join("; "),
    })
    .collect()
}

#[test]
fn values_that_have_the_declared_type_are_taken_as_they_are() {
    let file = parquet(&[
        (
            "text",
            Arc::new(StringArray::from(vec![Some("é\n"), Some(""), None])),
        ),
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "int32",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
        ),
        (
            "int64",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
        ),
        (
            "float64",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(-1e300), None])),
        ),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from(vec![Some(12345), Some(-1), None])
                    .with_precision_and_scale(12, 3)
                    .unwrap(),
            ),
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![Some(0), Some(20_513), None])),
        ),
        (
            "timestamp",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(0), Some(1_772_341_200_000_001), None])
                    .with_timezone("UTC"),
            ),
        ),
    ]);
    let columns = vec![
        column("timestamp", ColumnType::Timestamp),
        column("date", ColumnType::Date),
        column("decimal", decimal(12, 3)),
        column("float64", ColumnType::Float64),
        column("int64", ColumnType::Int64),
        column("int32", ColumnType::Int32),
        column("boolean", ColumnType::Boolean),
        column("text", ColumnType::Text),
    ];
    let read = outcome(file, &layout(columns), Options::default());
    assert_eq!(
        values(&read),
        [
            "1970-01-01T00:00:00|1970-01-01|12.345|0.1|-9223372036854775808|-2147483648|true|é\n",
            "2026-03-01T05:00:00.000001|2026-03-01|-0.001|-1e300|9223372036854775807|2147483647|\
             false|",
            "∅|∅|∅|∅|∅|∅|∅|∅",
        ]
    );
    let lines: Vec<i64> = read.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [1, 2, 3]);
}

#[test]
fn whole_numbers_of_any_width_fit_or_are_faults() {
    assert_eq!(
        values(&read_as(Int8Array::from(vec![-128]), ColumnType::Int64)),
        ["-128"]
    );
    let large = read_as(Int64Array::from(vec![1, 1 << 31]), ColumnType::Int32);
    assert_eq!(
        values(&large),
        ["1", "type: '2147483648' does not fit int32"]
    );
    let huge = read_as(UInt64Array::from(vec![u64::MAX]), ColumnType::Int64);
    assert_eq!(
        values(&huge),
        ["type: '18446744073709551615' does not fit int64"]
    );
    let huge = read_as(UInt64Array::from(vec![u64::MAX]), decimal(20, 0));
    assert_eq!(values(&huge), ["18446744073709551615"]);
    let whole = read_as(Int32Array::from(vec![-7, 100]), decimal(3, 1));
    assert_eq!(
        values(&whole),
        ["-7.0", "type: '100' does not fit decimal(3, 1)"]
    );
}

#[test]
fn decimals_of_another_precision_and_scale_are_exact_or_faults() {
    let found = |values: Vec<i128>| {
        Decimal128Array::from(values)
            .with_precision_and_scale(10, 4)
            .unwrap()
    };
    let read = read_as(found(vec![12_300, 12_345, 99_999_999, 0]), decimal(5, 2));
    assert_eq!(
        values(&read),
        [
            "1.23",
            "type: '1.2345' has more than 2 decimal places",
            "type: '9999.9999' has more than 2 decimal places",
            "0.00",
        ]
    );
    let read = read_as(found(vec![99_990_000, 9_999_000_000]), decimal(8, 4));
    assert_eq!(
        values(&read),
        [
            "9999.0000",
            "type: '999900.0000' does not fit decimal(8, 4)"
        ]
    );
    let read = read_as(found(vec![-1]), decimal(38, 30));
    assert_eq!(values(&read), ["-0.000100000000000000000000000000"]);
    let wide = Decimal256Array::from(vec![i256::from_i128(5), i256::MAX / i256::from_i128(10)])
        .with_precision_and_scale(76, 0)
        .unwrap();
    let read = values(&read_as(wide, decimal(38, 0)));
    assert_eq!(read[0], "5");
    assert!(
        read[1].ends_with("does not fit decimal(38, 0)"),
        "{}",
        read[1]
    );
}

#[test]
fn numbers_that_are_not_finite_are_faults() {
    let read = read_as(
        Float32Array::from(vec![0.5, f32::NAN, f32::INFINITY]),
        ColumnType::Float64,
    );
    assert_eq!(
        values(&read),
        [
            "0.5",
            "type: 'NaN' is not a float64: only finite numbers are",
            "type: 'inf' is not a float64: only finite numbers are",
        ]
    );
    assert_eq!(read.rows[1].raw, r#"{"a":"NaN"}"#);
}

#[test]
fn timestamps_of_any_unit_are_instants() {
    let seconds = 1_772_341_200;
    let units: [ArrayRef; 3] = [
        Arc::new(TimestampMillisecondArray::from(vec![seconds * 1000]).with_timezone("UTC")),
        Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000]).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(vec![
            seconds * 1_000_000_000,
        ])),
    ];
    let columns = || layout(vec![column("a", ColumnType::Timestamp)]);
    for unit in units {
        let read = outcome(parquet(&[("a", unit)]), &columns(), Options::default());
        assert_eq!(values(&read), ["2026-03-01T05:00:00"]);
    }
    // Parquet has no seconds; Arrow's writer makes milliseconds or plain numbers of them.
    let read = read_as(TimestampSecondArray::from(vec![1]), ColumnType::Int64);
    assert!(read.message() != "" || values(&read) == ["1"]);

    let precise = read_as(
        TimestampNanosecondArray::from(vec![1_000, 1_001]),
        ColumnType::Timestamp,
    );
    assert_eq!(
        values(&precise),
        [
            "1970-01-01T00:00:00.000001",
            "type: '1970-01-01T00:00:00.000001001' is more precise than a microsecond",
        ]
    );
    let far = read_as(
        TimestampMillisecondArray::from(vec![253_402_300_800_000, i64::MAX]),
        ColumnType::Timestamp,
    );
    let far = values(&far);
    assert!(
        far[0].contains("in UTC it is outside the years 0001 to 9999"),
        "{}",
        far[0]
    );
    assert!(
        far[1].contains("in UTC it is outside the years 0001 to 9999"),
        "{}",
        far[1]
    );
    let day = read_as(
        Date32Array::from(vec![2_932_896, 2_932_897, i32::MIN]),
        ColumnType::Date,
    );
    let day = values(&day);
    assert_eq!(day[0], "9999-12-31");
    assert!(day[1].ends_with("does not fit date") && day[2].ends_with("does not fit date"));
}

#[test]
fn timestamps_without_a_zone_are_times_of_the_declared_one() {
    let night = 1_792_893_600; // 2026-10-25T02:00:00, which clocks in Berlin show twice
    let shown = vec![0, night * 1_000_000];
    let zone = |ambiguous| Rules {
        zone: Some(Zone {
            name: "Europe/Berlin".parse().unwrap(),
            ambiguous,
            nonexistent: Nonexistent::Reject,
        }),
        ..Rules::default()
    };
    let read = |rules: Rules, values: TimestampMicrosecondArray| {
        let columns = vec![column("a", ColumnType::Timestamp).with_rules(rules)];
        outcome(one(values), &layout(columns), Options::default())
    };
    let clocks = || TimestampMicrosecondArray::from(shown.clone());
    let latest = read(zone(Ambiguous::Latest), clocks());
    assert_eq!(
        values(&latest),
        ["1969-12-31T23:00:00", "2026-10-25T01:00:00"]
    );
    let reject = values(&read(zone(Ambiguous::Reject), clocks()));
    assert!(
        reject[1].contains("clocks in Europe/Berlin show it twice"),
        "{}",
        reject[1]
    );
    let utc = read(zone(Ambiguous::Reject), clocks().with_timezone("UTC"));
    assert_eq!(values(&utc), ["1970-01-01T00:00:00", "2026-10-25T02:00:00"]);
    assert_eq!(values(&read(Rules::default(), clocks())), values(&utc));
}

#[test]
fn texts_are_parsed_as_in_any_other_format() {
    let texts = |values: &[&str]| StringArray::from(values.to_vec());
    let read = read_as(texts(&["1", " 2 ", "", "x"]), ColumnType::Int32);
    assert_eq!(values(&read), ["1", "2", "∅", "type: 'x' is not an int32"]);
    let read = read_as(texts(&["1.50", "1.001"]), decimal(5, 2));
    assert_eq!(
        values(&read),
        ["1.50", "type: '1.001' has more than 2 decimal places"]
    );
    let read = read_as(texts(&["TRUE", "0"]), ColumnType::Boolean);
    assert_eq!(
        values(&read),
        ["true", "type: '0' is not a boolean (true or false)"]
    );
    let read = read_as(texts(&["2026-02-29"]), ColumnType::Date);
    assert_eq!(
        values(&read),
        ["type: '2026-02-29' is not a date: the month has no day 29"]
    );
    let read = read_as(texts(&["2026-03-01T05:00Z"]), ColumnType::Timestamp);
    assert_eq!(values(&read), ["2026-03-01T05:00:00"]);
    let read = read_as(texts(&["1e3", "NaN"]), ColumnType::Float64);
    assert_eq!(values(&read)[0], "1000.0");
    let read = read_as(texts(&["9223372036854775808"]), ColumnType::Int64);
    assert_eq!(
        values(&read),
        ["type: '9223372036854775808' does not fit int64"]
    );

    let rules = Rules {
        nulls: vec!["NULL".to_owned()],
        whitespace: Whitespace::Trim,
        ..Rules::default()
    };
    let columns = vec![column("a", ColumnType::Text).required().with_rules(rules)];
    let file = one(texts(&[" x ", "NULL", "", " "]));
    let read = outcome(file, &layout(columns), Options::default());
    assert_eq!(
        values(&read),
        [
            "x",
            "required: 'a' is required, and null here",
            "required: 'a' is required, and empty here",
            "required: 'a' is required, and empty here",
        ]
    );
}

#[test]
fn json_is_checked() {
    let read = read_as(
        StringArray::from(vec!["{\"a\": [1]}", "{"]),
        ColumnType::Json,
    );
    assert_eq!(
        values(&read),
        [
            "{\"a\": [1]}",
            "type: '{' is not json: a name in quotes is expected at byte 2"
        ]
    );
}

#[test]
fn a_text_that_is_not_utf_8_is_a_fault_of_its_row() {
    let bytes: Vec<&[u8]> = vec![b"good", b"b\xFFd\\", b"1"];
    let read = read_as(BinaryArray::from(bytes.clone()), ColumnType::Text);
    assert_eq!(
        values(&read),
        [
            "good",
            "utf-8: 'b\\xFFd\\\\' is not UTF-8; its bad bytes are shown as \\xNN",
            "1",
        ]
    );
    assert_eq!(read.rows[1].raw, r#"{"a":"b\xFFd\\\\"}"#);
    assert_eq!(read.rows[1].raw_bytes, b"{\"a\":\"b\xFFd\\\\\"}");
    let read = read_as(BinaryArray::from(bytes), ColumnType::Int64);
    assert_eq!(
        values(&read)[1..],
        [
            "utf-8: 'b\\xFFd\\\\' is not UTF-8; its bad bytes are shown as \\xNN",
            "1"
        ]
    );
}

#[test]
fn columns_of_texts_that_say_they_are_utf_8_may_lie() {
    // The writer takes only text that is UTF-8, so the bytes are changed behind its back.
    let mut file = one(StringArray::from(vec!["good", "b#d"]));
    for at in 0..file.len() - 3 {
        if &file[at..at + 3] == b"b#d" {
            file[at + 1] = 0xFF;
        }
    }
    let columns = vec![column("a", ColumnType::Text)];
    let read = outcome(file, &layout(columns), Options::default());
    assert_eq!(values(&read)[0], "good");
    assert!(values(&read)[1].starts_with("utf-8: 'b\\xFFd'"));
}

#[test]
fn dictionaries_are_values_like_any_other() {
    let array: DictionaryArray<Int32Type> = vec!["x", "y", "x"].into_iter().collect();
    assert_eq!(values(&read_as(array, ColumnType::Text)), ["x", "y", "x"]);
}
