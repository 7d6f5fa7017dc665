//! What the library says of the values in a file, and which rows it misses for
//! it. `stats.rs` of this crate puts right what is wrong here; where one of
//! these tests fails, the library has become better, and that may go.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

use super::{Table, added, stats};

/// A table of one column and one file.
async fn column(values: ArrayRef) -> (Table, Value) {
    let field = Field::new("c", values.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
    let table = Table::new(schema, &[]);
    let adds = table.append(1, &rows).await;
    (table, stats(&adds))
}

fn decimal(number: i128, precision: u8, scale: i8) -> ArrayRef {
    let values = Decimal128Array::from(vec![number]);
    Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
}

/// How many rows the library's own scan finds with a filter.
async fn found(table: &Table, filter: &str) -> i64 {
    table
        .ask(&format!("SELECT count(*) FROM t WHERE {filter}"))
        .await
}

/// The value as SQL.
fn literal(digits: &str, precision: u8, scale: i8) -> String {
    format!("arrow_cast('{digits}', 'Decimal128({precision}, {scale})')")
}

#[tokio::test]
async fn decimals_of_fifteen_digits_have_exact_bounds() {
    for (number, precision, scale, digits) in [
        (123_456_789_012, 12, 3, "123456789.012"),
        (999_999_999_999_999, 15, 2, "9999999999999.99"),
        (-1, 15, 15, "-0.000000000000001"),
    ] {
        let (table, stats) = column(decimal(number, precision, scale)).await;
        let bound: f64 = digits.parse().unwrap();
        assert_eq!(stats["minValues"]["c"].as_f64(), Some(bound));
        assert_eq!(stats["maxValues"], stats["minValues"]);
        let filter = format!("c = {}", literal(digits, precision, scale));
        assert_eq!(found(&table, &filter).await, 1, "{digits}");
    }
}

#[tokio::test]
async fn longer_decimals_have_the_bounds_of_doubles_and_are_missed() {
    for (number, precision, scale, digits) in [
        (123_456_789_012_345_678, 18, 3, "123456789012345.678"),
        (123_456_789_012_345_679, 20, 2, "1234567890123456.79"),
        (
            1_234_567_890_123_450_123_456_789,
            38,
            10,
            "123456789012345.0123456789",
        ),
    ] {
        let (table, stats) = column(decimal(number, precision, scale)).await;
        assert_eq!(stats["minValues"], stats["maxValues"]);
        let filter = format!("c = {}", literal(digits, precision, scale));
        assert_eq!(found(&table, &filter).await, 0, "{digits} {stats}");
        assert_eq!(table.ask("SELECT count(*) FROM t").await, 1);
    }
}

#[tokio::test]
async fn bounds_with_an_exponent_are_written_for_large_decimals_and_not_understood() {
    let digits = "123456789012345678.91";
    let (table, _) = column(decimal(12_345_678_901_234_567_891, 20, 2)).await;
    let text = std::fs::read_to_string(table.commit_file(1)).unwrap();
    assert!(text.contains("e+17") || text.contains("e17"), "{text}");
    let filter = format!("c = {}", literal(digits, 20, 2));
    assert_eq!(found(&table, &filter).await, 1);
}

#[tokio::test]
async fn large_whole_decimals_have_the_highest_long_as_their_bound() {
    let number = 12_345_678_901_234_567_890;
    let (table, stats) = column(decimal(number, 20, 0)).await;
    assert_eq!(stats["maxValues"]["c"].as_i64(), Some(i64::MAX));
    let filter = format!("c = {}", literal("12345678901234567890", 20, 0));
    assert_eq!(found(&table, &filter).await, 0);
}

#[tokio::test]
async fn bounds_with_all_digits_are_read_exactly() {
    let digits = "123456789012345.678";
    for (low, high, finds) in [
        (digits, digits, 1),
        ("123456789012345.679", "123456789012345.679", 0),
        ("123456789012345.656", "123456789012345.688", 1),
    ] {
        let field = Field::new("c", DataType::Decimal128(18, 3), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let column = decimal(123_456_789_012_345_678, 18, 3);
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let table = Table::new(schema, &[]);
        let mut adds = table.write(&rows).await;
        adds[0].stats = Some(format!(
            r#"{{"numRecords":1,"minValues":{{"c":{low}}},"maxValues":{{"c":{high}}},"nullCount":{{"c":0}}}}"#
        ));
        table.put(1, &added(&adds));
        let filter = format!("c = {}", literal(digits, 18, 3));
        assert_eq!(found(&table, &filter).await, finds, "{low} to {high}");
    }
}

fn instants(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

#[tokio::test]
async fn timestamps_are_cut_to_milliseconds_also_at_the_upper_end() {
    let (_, stats) = column(instants(vec![-1, 1_001_999])).await;
    assert_eq!(stats["minValues"]["c"], "1969-12-31T23:59:59.999Z");
    assert_eq!(stats["maxValues"]["c"], "1970-01-01T00:00:01.001Z");
    let (_, stats) = column(instants(vec![5_000_000])).await;
    assert_eq!(stats["maxValues"]["c"], "1970-01-01T00:00:05Z");
}

#[tokio::test]
async fn the_scan_knows_that_timestamps_are_cut() {
    let (table, _) = column(instants(vec![1_001_999])).await;
    for filter in ["c = {}", "c >= {}", "c > '1970-01-01T00:00:01.001998Z'"] {
        let filter = filter.replace("{}", "'1970-01-01T00:00:01.001999Z'");
        assert_eq!(found(&table, &filter).await, 1, "{filter}");
    }
}

#[tokio::test]
async fn nan_is_larger_than_any_number_not_in_the_bounds_and_missed() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let (table, stats) = column(Arc::clone(&values)).await;
    assert_eq!(stats["minValues"], json!({"c": 1.0}));
    assert_eq!(stats["maxValues"], json!({"c": 1.0}));
    let rows = RecordBatch::try_new(Arc::clone(&table.schema), vec![values]).unwrap();
    // The bounds in the footer of the file are enough to miss it.
    let bare = Table::new(Arc::clone(&table.schema), &[]);
    let mut adds = bare.write(&rows).await;
    adds[0].stats = None;
    bare.put(1, &added(&adds));
    for table in [table, bare] {
        for condition in ["c > 5", "c = CAST('NaN' AS DOUBLE)"] {
            let sum = format!("SELECT sum(CASE WHEN {condition} THEN 1 ELSE 0 END) FROM t");
            assert_eq!(table.ask(&sum).await, 1, "{condition}");
            assert_eq!(found(&table, condition).await, 0, "{condition}");
        }
    }
}

#[tokio::test]
async fn infinite_numbers_have_null_for_a_bound() {
    let values = vec![f64::NEG_INFINITY, 1.0, f64::INFINITY];
    let (table, stats) = column(Arc::new(Float64Array::from(values))).await;
    assert_eq!(stats["minValues"], json!({"c": null}));
    assert_eq!(stats["maxValues"], json!({"c": null}));
    assert_eq!(found(&table, "c = CAST('Infinity' AS DOUBLE)").await, 1);
}

#[tokio::test]
async fn both_zeros_are_within_the_bounds_of_either() {
    for zero in [0.0, -0.0] {
        let (_, stats) = column(Arc::new(Float64Array::from(vec![zero]))).await;
        let bound = |which: &str| stats[which]["c"].as_f64().unwrap();
        assert!(bound("minValues").is_sign_negative());
        assert!(bound("maxValues").is_sign_positive());
    }
}

#[tokio::test]
async fn long_texts_are_cut_and_stay_within_their_bounds() {
    let low = "a".repeat(100);
    let high = "z\u{10ffff}ü".repeat(50);
    let (table, stats) = column(Arc::new(StringArray::from(vec![low.as_str(), &high]))).await;
    let bound = |which: &str| stats[which]["c"].as_str().unwrap().to_owned();
    assert!(bound("minValues") <= low && bound("minValues").len() < low.len());
    assert!(bound("maxValues") >= high && bound("maxValues").len() < high.len());
    for text in [&low, &high] {
        assert_eq!(found(&table, &format!("c = '{text}'")).await, 1);
    }
    // Where no shorter text is above it, it is whole.
    let highest = "\u{10ffff}".repeat(50);
    let (table, stats) = column(Arc::new(StringArray::from(vec![highest.as_str()]))).await;
    assert!(
        stats["maxValues"]["c"]
            .as_str()
            .is_none_or(|bound| bound >= highest.as_str())
    );
    assert_eq!(found(&table, &format!("c = '{highest}'")).await, 1);
}

#[tokio::test]
async fn years_beyond_9999_have_a_sign() {
    let days = arrow::array::Date32Array::from(vec![-800_000, 3_000_000]);
    let (_, stats) = column(Arc::new(days)).await;
    assert_eq!(stats["minValues"]["c"], "-0221-09-04");
    assert_eq!(stats["maxValues"]["c"], "+10183-09-21");
}
