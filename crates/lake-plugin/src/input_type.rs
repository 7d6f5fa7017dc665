//! The types that columns of inputs can have: those of [`ColumnType`], JSON, and nested ones.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};

use crate::{ColumnDeclaration, ColumnType};

/// The type of a column of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "no type: write \"text\", \"boolean\", \"int32\", \"int64\", \"float64\", \"date\", \"timestamp\", \
                 {\"decimal\": {\"precision\": 12, \"scale\": 2}}, \"json\", {\"struct\": […]}, {\"list\": …} or \
                 {\"map\": …}"
)]
pub enum InputType {
    /// One value.
    Scalar(ColumnType),
    /// What only some formats can say, or what only they check.
    Nested(NestedType),
}

/// A type whose values have parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NestedType {
    /// Any JSON value, as its text: Arrow `Utf8`.
    Json,
    /// Named fields.
    Struct(Vec<ColumnDeclaration>),
    /// Any number of values.
    List(Box<ColumnDeclaration>),
    /// Any number of values with text keys.
    Map(Box<ColumnDeclaration>),
}

impl InputType {
    /// The Arrow type that carries this type. Lists and maps name their parts as Parquet and Delta
    /// do: `element`, and `key_value` with `key` and `value`.
    #[must_use]
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Scalar(scalar) => scalar.to_arrow(),
            Self::Nested(NestedType::Json) => DataType::Utf8,
            Self::Nested(NestedType::Struct(fields)) => {
                let fields = fields.iter();
                let fields = fields.map(|field| field_of(&field.name, field));
                DataType::Struct(fields.collect::<Fields>())
            }
            Self::Nested(NestedType::List(element)) => {
                DataType::List(Arc::new(field_of("element", element)))
            }
            Self::Nested(NestedType::Map(value)) => {
                let key = Field::new("key", DataType::Utf8, false);
                let entry = DataType::Struct(Fields::from(vec![key, field_of("value", value)]));
                DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
            }
        }
    }

    /// The type as one value; `None` where its values have parts, or are JSON.
    #[must_use]
    pub fn scalar(&self) -> Option<ColumnType> {
        match self {
            Self::Scalar(scalar) => Some(*scalar),
            Self::Nested(_) => None,
        }
    }

    /// The fields of a struct, or what a list or map is made of.
    pub(crate) fn parts(&self) -> &[ColumnDeclaration] {
        match self {
            Self::Scalar(_) | Self::Nested(NestedType::Json) => &[],
            Self::Nested(NestedType::Struct(fields)) => fields,
            Self::Nested(NestedType::List(part) | NestedType::Map(part)) => {
                std::slice::from_ref(part)
            }
        }
    }

    /// Whether it has parts that delimited text cannot say.
    pub(crate) fn has_parts(&self) -> bool {
        match self {
            Self::Scalar(_) | Self::Nested(NestedType::Json) => false,
            Self::Nested(_) => true,
        }
    }
}

/// Any value can be missing: rows that are rejected for it have it too.
fn field_of(name: &str, column: &ColumnDeclaration) -> Field {
    Field::new(name, column.column_type.to_arrow(), true)
}

impl From<ColumnType> for InputType {
    fn from(scalar: ColumnType) -> Self {
        Self::Scalar(scalar)
    }
}

/// As SQL and authors know it: `decimal(12, 3)`, `list of text`, `struct of (id integer)`.
impl fmt::Display for InputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |column: &ColumnDeclaration| match column.required {
            true => format!("{} required", column.column_type),
            false => column.column_type.to_string(),
        };
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Nested(NestedType::Json) => f.write_str("json"),
            Self::Nested(NestedType::Struct(fields)) => {
                let fields = fields.iter();
                let fields: Vec<String> = fields
                    .map(|field| format!("{} {}", field.name, part(field)))
                    .collect();
                write!(f, "struct of ({})", fields.join(", "))
            }
            Self::Nested(NestedType::List(element)) => write!(f, "list of {}", part(element)),
            Self::Nested(NestedType::Map(value)) => write!(f, "map of {}", part(value)),
        }
    }
}
