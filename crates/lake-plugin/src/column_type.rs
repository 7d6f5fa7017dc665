//! The types that columns and function arguments can have, and what they are in Arrow.
//!
//! The list is short on purpose: each type means the same in the raw file, in SQL, in a Delta
//! table and in every engine that reads it later.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// The type of a column, of a function's argument, or of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// UTF-8 text: Arrow `Utf8`.
    Text,
    /// True or false: Arrow `Boolean`.
    Boolean,
    /// A signed 32-bit integer: Arrow `Int32`.
    Int32,
    /// A signed 64-bit integer: Arrow `Int64`.
    Int64,
    /// A 64-bit floating point number: Arrow `Float64`.
    Float64,
    /// An exact number: Arrow `Decimal128(precision, scale)`.
    Decimal {
        /// All digits that a value can have, 1 to 38.
        precision: u8,
        /// How many of them come after the point, 0 to `precision`.
        scale: i8,
    },
    /// A calendar day: Arrow `Date32`.
    Date,
    /// An instant, in UTC microseconds: Arrow `Timestamp(Microsecond, "UTC")`.
    Timestamp,
    /// A length of time, in microseconds: Arrow `Duration(Microsecond)`. For what goes into and
    /// comes out of functions: Delta tables have no such type, so no column of an input has it.
    Duration,
}

/// The name of the zone in every timestamp type: UTC, spelled one way.
const UTC: &str = "UTC";

impl ColumnType {
    /// The Arrow type that carries this type.
    #[must_use]
    pub fn to_arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Duration => DataType::Duration(TimeUnit::Microsecond),
        }
    }

    /// The type that `arrow` carries, or `None` where none of ours is exactly that.
    #[must_use]
    pub fn from_arrow(arrow: &DataType) -> Option<Self> {
        Some(match arrow {
            DataType::Utf8 => Self::Text,
            DataType::Boolean => Self::Boolean,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) => Self::Decimal {
                precision: *precision,
                scale: *scale,
            },
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == UTC => {
                Self::Timestamp
            }
            DataType::Duration(TimeUnit::Microsecond) => Self::Duration,
            _ => return None,
        })
    }

    /// Whether its values are numbers.
    pub(crate) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Int32 | Self::Int64 | Self::Float64 | Self::Decimal { .. }
        )
    }

    /// What is wrong with the type itself, and what to write instead: only decimals can be wrong.
    pub(crate) fn problem(self) -> Option<(String, String)> {
        let Self::Decimal { precision, scale } = self else {
            return None;
        };
        let most = i8::try_from(precision).unwrap_or(i8::MAX);
        if !(1..=38).contains(&precision) {
            return Some((
                format!("{self} has a precision of {precision}"),
                "give it between 1 and 38 digits".to_owned(),
            ));
        }
        (!(0..=most).contains(&scale)).then(|| {
            (
                format!("{self} has {scale} digits after the point, of {precision} in all"),
                format!("give it a scale between 0 and {precision}"),
            )
        })
    }
}

/// As the author wrote it: `decimal(12, 3)`.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Boolean => f.write_str("boolean"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("integer"),
            Self::Float64 => f.write_str("float"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
        }
    }
}
