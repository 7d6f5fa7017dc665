//! Which columns a Parquet file has, as they could be declared.

use arrow::datatypes::{DataType, Field};

use super::file::{Stored, footer};
use crate::column::{Column, ColumnType};
use crate::reader::ReadError;
use crate::source::Source;

/// The columns of a Parquet file as they could be declared, in the order of the file. Those of
/// types that no declaration can have are left out.
///
/// # Errors
///
/// Fails if the source does, or if the file is not Parquet.
pub fn parquet_columns(source: &dyn Source) -> Result<Vec<Column>, ReadError> {
    let failed = |source| ReadError::Io { offset: 0, source };
    let stored = Stored::new(source.ranges().map_err(failed)?).map_err(failed)?;
    let footer = footer(&stored)?;
    let fields = footer.metadata.schema().fields().iter();
    Ok(fields.filter_map(|field| column(field)).collect())
}

fn column(field: &Field) -> Option<Column> {
    let column = Column::new(field.name(), column_type(field.data_type())?);
    Some(match field.is_nullable() {
        true => column,
        false => column.required(),
    })
}

fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            ColumnType::Int32
        }
        DataType::Int64 | DataType::UInt32 => ColumnType::Int64,
        DataType::UInt64 => ColumnType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float32 | DataType::Float64 => ColumnType::Float64,
        DataType::Decimal128(precision, scale) if *scale >= 0 => ColumnType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Dictionary(_, value) => column_type(value)?,
        DataType::Struct(fields) => {
            let fields: Vec<Column> = fields.iter().filter_map(|field| column(field)).collect();
            ColumnType::Struct(fields.into())
        }
        DataType::List(element) | DataType::LargeList(element) => {
            ColumnType::List(column(element)?.into())
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => ColumnType::Map(column(parts.get(1)?)?.into()),
            _ => return None,
        },
        _ => return None,
    })
}
