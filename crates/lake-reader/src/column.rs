//! What a transform declares about the columns of its input.

use std::fmt;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};

/// One declared column: a name in the header, and what its values must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name as the header spells it.
    pub name: String,
    /// What the values are parsed as.
    pub data_type: ColumnType,
    /// Whether an empty value is a fault.
    pub required: bool,
}

impl Column {
    /// An optional column.
    pub fn new(name: impl Into<String>, data_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            data_type,
            required: false,
        }
    }

    /// The same column, in which an empty value is a fault.
    #[must_use]
    pub fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// The Arrow field of this column in [`Block::batch`](crate::Block::batch).
    ///
    /// It is nullable even if the column is required: the row of a broken
    /// record has NULLs.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.arrow(), true)
    }
}

/// The type of a column's values. Types are declared, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8 text, kept as it is.
    Text,
    /// `true` or `false`, in any case.
    Boolean,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A finite floating point number of 64 bits.
    Float64,
    /// An exact decimal number.
    Decimal {
        /// All digits of a value, from 1 to 38.
        precision: u8,
        /// The digits after the point, from 0 to the precision.
        scale: i8,
    },
    /// A day of the proleptic Gregorian calendar.
    Date,
    /// An instant in microseconds, UTC.
    Timestamp,
}

impl ColumnType {
    /// The Arrow type that values of this type have.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Whether values of this type can exist at all.
    pub(crate) fn is_possible(self) -> bool {
        match self {
            Self::Decimal { precision, scale } => {
                (1..=DECIMAL128_MAX_PRECISION).contains(&precision)
                    && u8::try_from(scale).is_ok_and(|scale| scale <= precision)
            }
            _ => true,
        }
    }

    /// How values of this type are written, for messages about those that are not.
    pub(crate) fn form(self) -> Option<&'static str> {
        match self {
            Self::Boolean => Some("true or false"),
            Self::Date => Some("YYYY-MM-DD"),
            Self::Timestamp => Some("YYYY-MM-DDTHH:MM:SS"),
            _ => None,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Boolean => f.write_str("boolean"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
        }
    }
}
