//! Values, and the one form in which all readers are compared.

use std::ops::RangeInclusive;
use std::sync::Arc;

use lake_reader::{Column, ColumnType};
use serde_json::{Value, json};

/// The rows of a file, in one form; `tests/python/other_readers.py` says which.
pub(super) type Rows = Vec<Vec<Value>>;

/// One value, before it is written in any way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Boolean(bool),
    Int(i64),
    /// A number as JSON would write it: one value has many such texts, and
    /// reading them right is what is to be seen.
    Float(String),
    Decimal {
        units: i128,
        scale: u8,
    },
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// Without white space between tokens.
    Json(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    Struct(Vec<(&'static str, Self)>),
}

/// The days that have a year of four digits.
pub(super) const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// The microseconds of these days.
pub(super) const MICROS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A day has so many microseconds.
pub(super) const DAY: i64 = 86_400_000_000;

impl Cell {
    /// The value in the one form.
    pub(super) fn form(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) | Self::Json(text) => json!(text),
            Self::Boolean(value) => json!(value.to_string()),
            Self::Int(value) => json!(value.to_string()),
            Self::Float(text) => float_form(text.parse().unwrap()),
            Self::Decimal { units, scale } => json!(decimal(*units, usize::from(*scale))),
            Self::Date(day) => json!(date(*day)),
            Self::Timestamp(micros) => json!(micros.to_string()),
            Self::List(elements) => elements.iter().map(Self::form).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| json!([key, value.form()]))
                .collect(),
            Self::Struct(fields) => fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.form()))
                .collect(),
        }
    }
}

/// A float by its bits: nothing is lost, and minus zero is not zero.
pub(super) fn float_form(value: f64) -> Value {
    json!(format!("{:016x}", value.to_bits()))
}

/// All digits of a decimal.
pub(super) fn decimal(units: i128, scale: usize) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// A day as `YYYY-MM-DD`.
///
/// The algorithm is `civil_from_days` of Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms"; other readers see to it that it is right.
pub(super) fn date(day: i32) -> String {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

/// Optional columns, named as their types are.
pub(super) fn columns(types: impl IntoIterator<Item = (&'static str, ColumnType)>) -> Vec<Column> {
    let column = |(name, data_type)| Column::new(name, data_type);
    types.into_iter().map(column).collect()
}

/// A decimal type.
pub(super) fn decimals(precision: u8, scale: i8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

/// A list type.
pub(super) fn list(element: ColumnType) -> ColumnType {
    ColumnType::List(Arc::new(Column::new("element", element)))
}

/// A map type.
pub(super) fn map(value: ColumnType) -> ColumnType {
    ColumnType::Map(Arc::new(Column::new("value", value)))
}

/// A struct type.
pub(super) fn structure(
    fields: impl IntoIterator<Item = (&'static str, ColumnType)>,
) -> ColumnType {
    ColumnType::Struct(columns(fields).into())
}

/// A type as the scripts know it.
pub(super) fn type_form(data_type: &ColumnType) -> Value {
    match data_type {
        ColumnType::List(element) => json!({"list": type_form(&element.data_type)}),
        ColumnType::Map(value) => json!({"map": type_form(&value.data_type)}),
        ColumnType::Struct(fields) => {
            let fields = fields.iter();
            let fields: serde_json::Map<String, Value> = fields
                .map(|field| (field.name.clone(), type_form(&field.data_type)))
                .collect();
            json!({"struct": fields})
        }
        scalar => json!(scalar.to_string()),
    }
}
