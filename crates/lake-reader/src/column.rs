//! What is declared about the columns of an input.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};

use crate::rules::Rules;

/// One declared column, or a field of a nested one: a name, and what its values must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name as the file spells it. Elements of lists and values of maps have no name in the
    /// file; theirs is what Arrow calls them.
    pub name: String,
    /// What the values are parsed as.
    pub data_type: ColumnType,
    /// Whether an empty value is a fault.
    pub required: bool,
    /// How its values are written.
    pub rules: Rules,
}

impl Column {
    /// An optional column whose values are written in the usual way.
    pub fn new(name: impl Into<String>, data_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            data_type,
            required: false,
            rules: Rules::default(),
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

    /// The same column with values that are written otherwise.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The Arrow field of this column in [`Block::batch`](crate::Block::batch).
    ///
    /// It is nullable even if the column is required: the row of a broken
    /// record has NULLs.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.arrow(), true)
    }
}

impl Column {
    /// How its values are written, for messages about those that are not; none if its type alone
    /// says so.
    pub(crate) fn form(&self) -> Option<String> {
        let rules = &self.rules;
        let forms: Vec<&str> = match self.data_type {
            ColumnType::Boolean => {
                let spellings = rules.true_values.iter().chain(&rules.false_values);
                spellings.map(String::as_str).collect()
            }
            ColumnType::Date | ColumnType::Timestamp => {
                rules.formats.iter().map(String::as_str).collect()
            }
            _ => Vec::new(),
        };
        (!forms.is_empty()).then(|| forms.join(" or "))
    }
}

/// The type of a column's values. Types are declared, never guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text, kept as it is.
    Text,
    /// `true` or `false`, in any case, or the spellings that [`Rules`] declare.
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
    /// Any JSON value, as its text.
    Json,
    /// Named fields. Only JSON and Parquet have them.
    Struct(Arc<[Column]>),
    /// Any number of values. Only JSON and Parquet have them.
    List(Arc<Column>),
    /// Any number of values with text keys. Only JSON and Parquet have them.
    Map(Arc<Column>),
}

impl ColumnType {
    /// The Arrow type that values of this type have.
    ///
    /// Lists and maps name their parts as Parquet and Delta do: `element`, and `key_value` with
    /// `key` and `value`.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Struct(fields) => {
                DataType::Struct(fields.iter().map(Column::field).collect::<Fields>())
            }
            Self::List(element) => {
                let element = Field::new("element", element.data_type.arrow(), true);
                DataType::List(Arc::new(element))
            }
            Self::Map(value) => {
                let key = Field::new("key", DataType::Utf8, false);
                let value = Field::new("value", value.data_type.arrow(), true);
                let entries = DataType::Struct(Fields::from(vec![key, value]));
                DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
            }
        }
    }

    /// Whether values of this type can exist at all.
    pub(crate) fn is_possible(&self) -> bool {
        match self {
            Self::Decimal { precision, scale } => {
                (1..=DECIMAL128_MAX_PRECISION).contains(precision)
                    && u8::try_from(*scale).is_ok_and(|scale| scale <= *precision)
            }
            Self::Struct(fields) => fields.iter().all(|field| field.data_type.is_possible()),
            Self::List(part) | Self::Map(part) => part.data_type.is_possible(),
            _ => true,
        }
    }

    /// Whether values of this type have parts, which delimited text cannot say.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Struct(_) | Self::List(_) | Self::Map(_))
    }

    /// How values of this type are written, for messages about those that are not.
    pub(crate) fn form(&self) -> Option<&'static str> {
        match self {
            Self::Boolean => Some("true or false"),
            Self::Date => Some("YYYY-MM-DD"),
            Self::Timestamp => Some("YYYY-MM-DDTHH:MM:SS"),
            _ => None,
        }
    }
}

/// As SQL and authors of transforms know them: `decimal(12, 3)`, `list of text`.
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
            Self::Json => f.write_str("json"),
            Self::Struct(_) => f.write_str("struct"),
            Self::List(element) => write!(f, "list of {}", element.data_type),
            Self::Map(value) => write!(f, "map of {}", value.data_type),
        }
    }
}
