//! What is written as CSV is read back as it was.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use lake_reader::{Column, ColumnType, Options};
use proptest::prelude::*;

use crate::support::read;

/// One row of every type; `None` is NULL.
#[derive(Debug, Clone)]
struct Typed {
    text: Option<String>,
    boolean: Option<bool>,
    int32: Option<i32>,
    int64: Option<i64>,
    float64: Option<f64>,
    /// In units of 0.00001.
    decimal: Option<i128>,
    /// In days since 1970.
    date: Option<i32>,
    /// In microseconds since 1970.
    timestamp: Option<i64>,
}

fn columns() -> Vec<Column> {
    let decimal = ColumnType::Decimal {
        precision: 38,
        scale: 5,
    };
    vec![
        Column::new("text", ColumnType::Text),
        Column::new("boolean", ColumnType::Boolean),
        Column::new("int32", ColumnType::Int32),
        Column::new("int64", ColumnType::Int64),
        Column::new("float64", ColumnType::Float64),
        Column::new("decimal", decimal),
        Column::new("date", ColumnType::Date),
        Column::new("timestamp", ColumnType::Timestamp),
    ]
}

const LARGEST_DECIMAL: i128 = 10i128.pow(38) - 1;
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

fn typed() -> impl Strategy<Value = Typed> {
    let text = prop_oneof!["[a-z\",\r\n é]{0,12}", "\\PC{0,8}"];
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    (
        prop::option::of(text),
        any::<Option<bool>>(),
        any::<Option<i32>>(),
        any::<Option<i64>>(),
        prop::option::of(finite),
        prop::option::of(-LARGEST_DECIMAL..=LARGEST_DECIMAL),
        prop::option::of(DAYS),
        prop::option::of(MICROS),
    )
        .prop_map(
            |(text, boolean, int32, int64, float64, decimal, date, timestamp)| Typed {
                text,
                boolean,
                int32,
                int64,
                float64,
                decimal,
                date,
                timestamp,
            },
        )
}

/// How a file is written: what follows a record, whether everything is quoted.
fn style() -> impl Strategy<Value = (&'static str, bool)> {
    (prop_oneof![Just("\n"), Just("\r\n")], any::<bool>())
}

fn encode(row: &Typed, quote_all: bool) -> String {
    let text = row.text.as_ref().map(|text| {
        let needs_quotes = text.is_empty() || text.contains(['"', ',', '\n', '\r']);
        if needs_quotes || quote_all {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    });
    let quoted = |value: String| match quote_all {
        true => format!("\"{value}\""),
        false => value,
    };
    let decimal = row.decimal.map(|units| {
        let sign = if units < 0 { "-" } else { "" };
        let units = units.unsigned_abs();
        format!("{sign}{}.{:05}", units / 100_000, units % 100_000)
    });
    let date = row.date.map(|day| date_text(i64::from(day)));
    let timestamp = row.timestamp.map(|micros| {
        let day = micros.div_euclid(86_400_000_000);
        let time = micros.rem_euclid(86_400_000_000);
        let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let fraction = if fraction == 0 {
            String::new()
        } else {
            format!(".{fraction:06}")
        };
        format!(
            "{}T{hour:02}:{minute:02}:{second:02}{fraction}Z",
            date_text(day)
        )
    });
    let fields = [
        text,
        row.boolean.map(|value| quoted(value.to_string())),
        row.int32.map(|value| quoted(value.to_string())),
        row.int64.map(|value| quoted(value.to_string())),
        row.float64.map(|value| quoted(format!("{value:e}"))),
        decimal.map(quoted),
        date.map(quoted),
        timestamp.map(quoted),
    ];
    fields.map(Option::unwrap_or_default).join(",")
}

/// Counted from the first day, by year and month: slow, and obviously right.
fn date_text(day: i64) -> String {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut left = day - i64::from(*DAYS.start());
    let mut year = 1;
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

proptest! {
    #[test]
    fn written_values_are_read_back(
        rows in prop::collection::vec(typed(), 1..20),
        (line_end, quote_all) in style(),
        chunk_bytes in 1usize..2000,
    ) {
        let mut file = String::from("text,boolean,int32,int64,float64,decimal,date,timestamp");
        for row in &rows {
            file.push_str(line_end);
            file.push_str(&encode(row, quote_all));
        }
        let options = Options { chunk_bytes, ..Options::default() };
        let blocks = read(file.as_bytes(), &columns(), options);
        let mut expected = rows.iter();
        for block in &blocks {
            prop_assert!(block.faults.is_empty(), "{:?}", block.faults);
            let batch = &block.batch;
            let text = batch.column(0).as_string::<i32>();
            let boolean = batch.column(1).as_boolean();
            let int32 = batch.column(2).as_primitive::<Int32Type>();
            let int64 = batch.column(3).as_primitive::<Int64Type>();
            let float64 = batch.column(4).as_primitive::<Float64Type>();
            let decimal = batch.column(5).as_primitive::<Decimal128Type>();
            let date = batch.column(6).as_primitive::<Date32Type>();
            let timestamp = batch.column(7).as_primitive::<TimestampMicrosecondType>();
            for at in 0..batch.num_rows() {
                let row = expected.next().unwrap();
                prop_assert_eq!(text.is_valid(at).then(|| text.value(at)), row.text.as_deref());
                prop_assert_eq!(boolean.is_valid(at).then(|| boolean.value(at)), row.boolean);
                prop_assert_eq!(int32.is_valid(at).then(|| int32.value(at)), row.int32);
                prop_assert_eq!(int64.is_valid(at).then(|| int64.value(at)), row.int64);
                prop_assert_eq!(
                    float64.is_valid(at).then(|| float64.value(at).to_bits()),
                    row.float64.map(f64::to_bits)
                );
                prop_assert_eq!(decimal.is_valid(at).then(|| decimal.value(at)), row.decimal);
                prop_assert_eq!(date.is_valid(at).then(|| date.value(at)), row.date);
                prop_assert_eq!(timestamp.is_valid(at).then(|| timestamp.value(at)), row.timestamp);
            }
        }
        prop_assert!(expected.next().is_none());
    }
}
