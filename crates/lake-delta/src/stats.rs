//! File statistics: how many rows, and between which bounds a column lies.
//!
//! Statistics are the JSON of the Delta protocol's
//! [per-file statistics](https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics).
//! They decide which files a MERGE may leave unread, so a bound that is not
//! known to be right counts as absent.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use chrono::DateTime;
use deltalake::kernel::Add;
use serde_json::Value;

/// Statistics of decimals pass through `f64` in the Delta library, which is
/// exact up to this many digits.
const EXACT_DECIMAL_DIGITS: u8 = 15;

/// One end of a column's values in a file.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Bound {
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The lowest and the highest value of a column; `None` where unknown.
pub(crate) type Range = (Option<Bound>, Option<Bound>);

/// The number of rows in a file; `None` where its statistics do not say.
pub(crate) fn rows(add: &Add) -> Option<u64> {
    parsed(add)?.get("numRecords")?.as_u64()
}

/// The ranges of the columns of some rows; a column without usable bounds, or
/// with a NULL among its values, is absent.
pub(crate) fn ranges_of(batches: &[RecordBatch], columns: &[String]) -> HashMap<String, Range> {
    let mut found = HashMap::new();
    for (n, column) in columns.iter().enumerate() {
        let values = batches.iter().flat_map(|batch| {
            let array = batch.column(n);
            (0..array.len()).map(move |row| value_bound(array, row))
        });
        let mut range: Option<(Bound, Bound)> = None;
        let all_known = values.into_iter().all(|value| {
            let Some(value) = value else { return false };
            let (low, high) = range.get_or_insert_with(|| (value.clone(), value.clone()));
            if value < *low {
                *low = value.clone();
            }
            if value > *high {
                *high = value;
            }
            true
        });
        if let (true, Some((low, high))) = (all_known, range) {
            found.insert(column.clone(), (Some(low), Some(high)));
        }
    }
    found
}

fn value_bound(array: &ArrayRef, row: usize) -> Option<Bound> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(Bound::Text(array.as_string::<i32>().value(row).to_owned())),
        DataType::Date32 => Some(Bound::Text(array_value_to_string(array, row).ok()?)),
        DataType::Int32 => Some(Bound::Integer(
            array.as_primitive::<Int32Type>().value(row).into(),
        )),
        DataType::Int64 => Some(Bound::Integer(array.as_primitive::<Int64Type>().value(row))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            Some(Bound::Integer(micros.value(row)))
        }
        _ => None,
    }
}

/// The ranges of `columns` in a file; a column without usable bounds is absent.
pub(crate) fn ranges(add: &Add, schema: &Schema, columns: &[String]) -> HashMap<String, Range> {
    let stats = parsed(add);
    let mut found = HashMap::new();
    for column in columns {
        let Ok(field) = schema.field_with_name(column) else {
            continue;
        };
        if let Some(value) = add.partition_values.get(column) {
            let bound = value
                .as_deref()
                .and_then(|text| partition_bound(text, field.data_type()));
            found.insert(column.clone(), (bound.clone(), bound));
        } else if let Some(stats) = &stats {
            let end = |which: &str, widen: i64| {
                bound(stats.get(which)?.get(column)?, field.data_type(), widen)
            };
            // The library cuts timestamps to milliseconds.
            found.insert(column.clone(), (end("minValues", 0), end("maxValues", 999)));
        }
    }
    found
}

/// Whether two files may have rows with the same values of all `columns`.
pub(crate) fn may_share(
    a: &HashMap<String, Range>,
    b: &HashMap<String, Range>,
    columns: &[String],
) -> bool {
    columns
        .iter()
        .all(|column| match (a.get(column), b.get(column)) {
            (Some((a_low, a_high)), Some((b_low, b_high))) => {
                not_above(a_low.as_ref(), b_high.as_ref())
                    && not_above(b_low.as_ref(), a_high.as_ref())
            }
            _ => true,
        })
}

fn not_above(low: Option<&Bound>, high: Option<&Bound>) -> bool {
    match (low, high) {
        (Some(low), Some(high)) => low.partial_cmp(high).is_none_or(|order| order.is_le()),
        _ => true,
    }
}

/// Leaves out of a new file's statistics what the library does not get right.
pub(crate) fn correct(add: &mut Add, schema: &Schema) {
    let inexact: Vec<&str> = schema
        .fields()
        .iter()
        .filter(|field| {
            matches!(field.data_type(),
                     DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _)
                     if *precision > EXACT_DECIMAL_DIGITS)
        })
        .map(|field| field.name().as_str())
        .collect();
    if inexact.is_empty() {
        return;
    }
    if let Some(mut stats) = parsed(add) {
        for which in ["minValues", "maxValues"] {
            if let Some(Value::Object(bounds)) = stats.get_mut(which) {
                bounds.retain(|column, _| !inexact.contains(&column.as_str()));
            }
        }
        add.stats = Some(stats.to_string());
    }
}

fn parsed(add: &Add) -> Option<Value> {
    serde_json::from_str(add.stats.as_deref()?).ok()
}

fn bound(value: &Value, data_type: &DataType, widen: i64) -> Option<Bound> {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            value.as_i64().map(Bound::Integer)
        }
        DataType::Float32 | DataType::Float64 => value.as_f64().map(Bound::Number),
        DataType::Decimal128(precision, _) if *precision <= EXACT_DECIMAL_DIGITS => {
            value.as_f64().map(Bound::Number)
        }
        DataType::Utf8 | DataType::Date32 => {
            value.as_str().map(|text| Bound::Text(text.to_owned()))
        }
        DataType::Timestamp(_, _) => {
            let instant = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
            Some(Bound::Integer(instant.timestamp_micros() + widen))
        }
        _ => None,
    }
}

fn partition_bound(text: &str, data_type: &DataType) -> Option<Bound> {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            text.parse().ok().map(Bound::Integer)
        }
        DataType::Utf8 | DataType::Date32 => Some(Bound::Text(text.to_owned())),
        _ => None,
    }
}
