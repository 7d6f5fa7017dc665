//! File statistics: how many rows, and between which bounds a column lies.
//!
//! Statistics are the JSON of the Delta protocol's
//! [per-file statistics](https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics).
//! They decide which files a MERGE may leave unread, and which files other
//! engines read, so a bound that is not known to be right counts as absent and
//! is not written.

mod decimal;
mod extents;
mod json;

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, NaiveDate};
use deltalake::kernel::Add;

pub(crate) use extents::{Extent, Extents, has_nan, impossible_date};
use json::{member, members};

use crate::write::ATTEMPT_PREFIX;

/// Decimals of so many digits are exact when they pass through `f64`, as they
/// do in the Delta library and others.
const EXACT_DECIMAL_DIGITS: u8 = 15;
/// How many columns have statistics, counted from the first that is stored in
/// the file. Columns within a struct do not count.
pub(crate) const STATISTICS_COLUMNS: usize = 32;

/// One end of a column's values in a file.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Bound {
    Integer(i64),
    Number(f64),
    /// The unscaled number. Only bounds of one column are compared, so they
    /// have one scale.
    Decimal(i128),
    Text(String),
}

/// The lowest and the highest value of a column; `None` where unknown.
pub(crate) type Range = (Option<Bound>, Option<Bound>);

/// The number of rows in a file; `None` where its statistics do not say.
pub(crate) fn rows(add: &Add) -> Option<u64> {
    member(&members(add.stats.as_deref()?)?, "numRecords")?
        .parse()
        .ok()
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
        DataType::Date32 => Some(Bound::Integer(
            array.as_primitive::<Date32Type>().value(row).into(),
        )),
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
    let stats = add.stats.as_deref().and_then(members);
    let bounds = |which| members(member(stats.as_ref()?, which)?);
    let (low, high) = (bounds("minValues"), bounds("maxValues"));
    // What others write of decimals may have passed through `f64`.
    let trusted = if add.path.starts_with(ATTEMPT_PREFIX) {
        u8::MAX
    } else {
        EXACT_DECIMAL_DIGITS
    };
    let mut found = HashMap::new();
    for column in columns {
        let Ok(field) = schema.field_with_name(column) else {
            continue;
        };
        let data_type = field.data_type();
        if let Some(value) = add.partition_values.get(column) {
            let bound = value.as_deref();
            let bound = bound.and_then(|text| partition_bound(text, data_type));
            found.insert(column.clone(), (bound.clone(), bound));
        } else if stats.is_some() {
            let end = |bounds: &Option<Vec<(String, &str)>>, widen: i64| {
                bound(member(bounds.as_ref()?, column)?, data_type, trusted, widen)
            };
            // Others cut timestamps to milliseconds.
            found.insert(column.clone(), (end(&low, 0), end(&high, 999)));
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

/// Makes the statistics of a new file right, as [`Extents`] know them. Columns
/// come in the order of the schema, so that the same rows have the same text.
pub(crate) fn correct(add: &mut Add, schema: &Schema, extents: &[(usize, Extent)]) {
    let Some(stats) = add.stats.as_deref().and_then(members) else {
        return;
    };
    let columns = |which| member(&stats, which).and_then(members).unwrap_or_default();
    let written = ["minValues", "maxValues", "nullCount"].map(columns);
    let mut right: [Vec<(&String, String)>; 3] = Default::default();
    let fields = schema.fields().iter().enumerate();
    let stored = fields.filter(|(_, field)| !add.partition_values.contains_key(field.name()));
    for (index, field) in stored.take(STATISTICS_COLUMNS) {
        let (name, data_type) = (field.name(), field.data_type());
        let own = extents.iter().find(|(watched, _)| *watched == index);
        let of_column = match own {
            Some((_, extent)) => {
                let [low, high] = extent.bounds(data_type);
                [low, high, Some(extent.nulls().to_string())]
            }
            None => {
                let [low, high, nulls] = written.each_ref().map(|all| member(all, name));
                let known = |bound| known_right(bound, data_type);
                [
                    low.and_then(known),
                    high.and_then(known),
                    nulls.map(str::to_owned),
                ]
            }
        };
        for (all, value) in right.iter_mut().zip(of_column) {
            all.extend(value.map(|value| (name, value)));
        }
    }
    let [low, high, nulls] = right.map(json::object);
    let members = stats.iter().map(|(name, value)| {
        let value = match name.as_str() {
            "minValues" => &low,
            "maxValues" => &high,
            "nullCount" => &nulls,
            _ => *value,
        };
        (name, value)
    });
    add.stats = Some(json::object(members));
}

/// A bound as the library wrote it, without what may be wrong in it. Fields of
/// structs are not looked at on their way, so that only exact types are left.
/// Where there may be a NaN, the library has no bounds.
fn known_right(bound: &str, data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Struct(fields) => {
            let bounds = members(bound)?;
            let fields = fields.iter().filter_map(|field| {
                let bound = member(&bounds, field.name())?;
                Some((field.name(), known_right(bound, field.data_type())?))
            });
            let fields: Vec<(&String, String)> = fields.collect();
            (!fields.is_empty()).then(|| json::object(fields))
        }
        DataType::Decimal128(precision, _) if *precision > EXACT_DECIMAL_DIGITS => None,
        DataType::Timestamp(_, _) => None,
        // The JSON of an infinite number.
        _ if bound == "null" => None,
        // Years beyond 9999 and before 1 have a sign, which readers do not agree about.
        DataType::Date32 if bound.starts_with("\"+") || bound.starts_with("\"-") => None,
        _ => Some(bound.to_owned()),
    }
}

fn bound(json: &str, data_type: &DataType, trusted: u8, widen: i64) -> Option<Bound> {
    let text = || serde_json::from_str::<String>(json).ok();
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            json.parse().ok().map(Bound::Integer)
        }
        DataType::Float32 | DataType::Float64 => json.parse().ok().map(Bound::Number),
        DataType::Decimal128(precision, scale) if *precision <= trusted => {
            let scale = u8::try_from(*scale).ok()?;
            decimal::parse(json, scale).map(Bound::Decimal)
        }
        DataType::Utf8 => text().map(Bound::Text),
        DataType::Date32 => day(&text()?).map(Bound::Integer),
        DataType::Timestamp(_, zone) => {
            let mut text = text()?;
            if zone.is_none() {
                text = text.replace(' ', "T");
                text.push('Z');
            }
            let instant = DateTime::parse_from_rfc3339(&text).ok()?;
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
        DataType::Decimal128(_, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            decimal::parse(text, scale).map(Bound::Decimal)
        }
        DataType::Utf8 => Some(Bound::Text(text.to_owned())),
        DataType::Date32 => day(text).map(Bound::Integer),
        _ => None,
    }
}

/// The day that a text says, counted from 1970. As text, years with a sign
/// would be in another order.
fn day(text: &str) -> Option<i64> {
    const DAYS_BEFORE_1970: i64 = 719_163;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(i64::from(date.num_days_from_ce()) - DAYS_BEFORE_1970)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn add(path: &str, stats: &str) -> Add {
        Add {
            path: path.to_owned(),
            stats: Some(stats.to_owned()),
            ..Add::default()
        }
    }

    fn range(path: &str, data_type: DataType, low: &str, high: &str) -> Range {
        let stats = format!(r#"{{"minValues":{{"a":{low}}},"maxValues":{{"a":{high}}}}}"#);
        let schema = Schema::new(vec![Field::new("a", data_type, true)]);
        let found = ranges(&add(path, &stats), &schema, &["a".to_owned()]);
        found["a"].clone()
    }

    #[test]
    fn bounds_of_decimals_are_numbers_with_all_digits() {
        let exact = range(
            "run-1/part.parquet",
            DataType::Decimal128(38, 10),
            "-1234567890123456789.0123456789",
            "1e9",
        );
        let low = Bound::Decimal(-12_345_678_901_234_567_890_123_456_789);
        let high = Bound::Decimal(10_i128.pow(19));
        assert_eq!(exact, (Some(low), Some(high)));
    }

    #[test]
    fn long_decimals_of_other_writers_have_no_bounds() {
        let read = |path, precision| range(path, DataType::Decimal128(precision, 2), "1.05", "2.0");
        let known = (Some(Bound::Decimal(105)), Some(Bound::Decimal(200)));
        assert_eq!(read("run-1/part.parquet", 16), known);
        assert_eq!(read("part.parquet", 15), known);
        assert_eq!(read("part.parquet", 16), (None, None));
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        // The quick parser of serde_json takes this for its neighbour.
        for number in [8.544_283_616_667_655e15_f64, 0.1, 5e-324, f64::MAX, -0.0] {
            let text = format!("{number:?}");
            let (low, _) = range("part.parquet", DataType::Float64, &text, "null");
            let Some(Bound::Number(read)) = low else {
                panic!("{low:?}")
            };
            assert_eq!(read.to_bits(), number.to_bits(), "{text}");
        }
    }

    #[test]
    fn days_are_in_the_order_of_time() {
        let (low, high) = range(
            "part.parquet",
            DataType::Date32,
            "\"-0005-01-01\"",
            "\"+10000-01-01\"",
        );
        let usual = Some(Bound::Integer(day("2026-02-03").unwrap()));
        assert!(low < usual && usual < high, "{low:?} {usual:?} {high:?}");
        assert_eq!(day("1970-01-02"), Some(1));
        assert_eq!(day("1969-12-31"), Some(-1));
    }

    #[test]
    fn timestamps_of_other_writers_may_be_cut() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let text = "\"1970-01-01T00:00:00.001Z\"";
        let read = (Some(Bound::Integer(1000)), Some(Bound::Integer(1999)));
        assert_eq!(range("part.parquet", utc, text, text), read);
        let local = DataType::Timestamp(TimeUnit::Microsecond, None);
        for text in ["\"1970-01-01 00:00:00.001\"", "\"1970-01-01T00:00:00.001\""] {
            assert_eq!(range("part.parquet", local.clone(), text, text), read);
        }
    }

    #[test]
    fn within_structs_only_bounds_that_are_exact_stay() {
        let number = |name, data_type| Field::new(name, data_type, true);
        let inner = number(
            "inner",
            DataType::Struct(
                vec![
                    number("f", DataType::Float64),
                    number("g", DataType::Float64),
                ]
                .into(),
            ),
        );
        let fields = vec![
            number("i", DataType::Int64),
            number("d", DataType::Decimal128(18, 3)),
            number("e", DataType::Decimal128(12, 3)),
            number("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
            inner,
        ];
        let schema = Schema::new(vec![number("s", DataType::Struct(fields.into()))]);
        let bounds =
            r#"{"s":{"i":1,"d":2.5,"e":3.125,"t":"1970-01-01","inner":{"f":1.0,"g":null}}}"#;
        let stats = format!(
            r#"{{"numRecords":1,"minValues":{bounds},"maxValues":{bounds},"nullCount":{{"s":{{"i":0}}}}}}"#
        );
        let mut add = add("run-1/part.parquet", &stats);
        correct(&mut add, &schema, &[]);
        let right = r#"{"s":{"i":1,"e":3.125,"inner":{"f":1.0}}}"#;
        assert_eq!(
            add.stats.unwrap(),
            format!(
                r#"{{"numRecords":1,"minValues":{right},"maxValues":{right},"nullCount":{{"s":{{"i":0}}}}}}"#
            )
        );
    }
}
