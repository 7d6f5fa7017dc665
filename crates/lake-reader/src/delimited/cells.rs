//! One column of a chunk: fields to an Arrow array.
//!
//! The loops first try every field exactly as it is in the file. Only a field
//! that does not parse like that is looked at again: it may be empty, quoted,
//! or padded, or it is a fault.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, NullBufferBuilder, PrimitiveArray, StringArray,
    StringBuilder,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::record::{self, QUOTE, TextAfterQuote};
use super::rows::Rows;
use crate::column::{Column, ColumnType};
use crate::fault::{Fault, check, shown};
use crate::values::decimal::Decimal;
use crate::values::reason::Reason;
use crate::values::{number, time};

/// One declared column of the rows of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) rows: &'a Rows<'a>,
    pub(crate) column: &'a Column,
    /// Which of the declared columns it is.
    pub(crate) index: usize,
    /// Which field of a record it is.
    pub(crate) position: usize,
}

impl Cells<'_> {
    /// The values, NULL where a field has none or a fault.
    pub(crate) fn parse(self, faults: &mut Vec<Fault>) -> ArrayRef {
        match &self.column.data_type {
            // Nested columns are refused when the file is opened.
            ColumnType::Text
            | ColumnType::Json
            | ColumnType::Struct(_)
            | ColumnType::List(_)
            | ColumnType::Map(_) => Arc::new(self.text(faults)),
            ColumnType::Boolean => Arc::new(self.booleans(faults)),
            ColumnType::Int32 => Arc::new(self.primitive::<Int32Type>(number::int32, faults)),
            ColumnType::Int64 => Arc::new(self.primitive::<Int64Type>(number::int64, faults)),
            ColumnType::Float64 => Arc::new(self.primitive::<Float64Type>(number::float64, faults)),
            ColumnType::Date => Arc::new(self.primitive::<Date32Type>(time::date, faults)),
            ColumnType::Decimal { precision, scale } => {
                let decimal = Decimal::new(*precision, *scale);
                let array = self.primitive::<Decimal128Type>(|field| decimal.parse(field), faults);
                Arc::new(array.with_data_type(self.column.data_type.arrow()))
            }
            ColumnType::Timestamp => {
                let array = self.primitive::<TimestampMicrosecondType>(time::timestamp, faults);
                Arc::new(array.with_data_type(self.column.data_type.arrow()))
            }
        }
    }

    #[inline]
    fn primitive<T: ArrowPrimitiveType>(
        self,
        parse: impl Fn(&[u8]) -> Result<T::Native, Reason>,
        faults: &mut Vec<Fault>,
    ) -> PrimitiveArray<T> {
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        let values: Vec<T::Native> = self
            .rows
            .fields(self.position)
            .enumerate()
            .map(|(row, field)| {
                let value = match parse(field) {
                    Ok(value) => Some(value),
                    Err(_) => self.second_look(row, field, &parse, faults),
                };
                nulls.append(value.is_some());
                value.unwrap_or_default()
            })
            .collect();
        PrimitiveArray::new(values.into(), nulls.finish())
    }

    fn booleans(self, faults: &mut Vec<Fault>) -> BooleanArray {
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        let values: Vec<bool> = self
            .rows
            .fields(self.position)
            .enumerate()
            .map(|(row, field)| {
                let value = match number::boolean(field) {
                    Ok(value) => Some(value),
                    Err(_) => self.second_look(row, field, &number::boolean, faults),
                };
                nulls.append(value.is_some());
                value.unwrap_or_default()
            })
            .collect();
        BooleanArray::new(BooleanBuffer::from(values), nulls.finish())
    }

    /// The value of a field that does not parse as it is in the file.
    #[inline(never)]
    fn second_look<V>(
        self,
        row: usize,
        field: &[u8],
        parse: &impl Fn(&[u8]) -> Result<V, Reason>,
        faults: &mut Vec<Fault>,
    ) -> Option<V> {
        let content = match record::content(field) {
            Ok(content) => content,
            Err(TextAfterQuote) => {
                faults.push(self.text_after_quote(row, field));
                return None;
            }
        };
        let value = trim(&content);
        if value.is_empty() {
            faults.extend(self.missing(row));
            return None;
        }
        match parse(value) {
            Ok(value) => Some(value),
            Err(_) if std::str::from_utf8(value).is_err() => {
                faults.push(self.not_utf_8(row, value));
                None
            }
            Err(reason) => {
                let shown = shown(value);
                let message = reason.message(&shown, &self.column.data_type);
                faults.push(self.fault(row, check::TYPE, shown, message));
                None
            }
        }
    }

    /// Text is copied first and validated once for the whole column.
    fn text(self, faults: &mut Vec<Fault>) -> StringArray {
        let earlier = faults.len();
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        let mut offsets: Vec<i32> = Vec::with_capacity(self.rows.len() + 1);
        offsets.push(0);
        let size = self.rows.fields(self.position).map(<[u8]>::len).sum();
        let mut values: Vec<u8> = Vec::with_capacity(size);
        for (row, field) in self.rows.fields(self.position).enumerate() {
            let is_plain = field.first().is_some_and(|&first| first != QUOTE);
            if is_plain {
                values.extend_from_slice(field);
                nulls.append_non_null();
            } else {
                let text = self.unquoted(row, field, faults);
                nulls.append(text.is_some());
                values.extend_from_slice(&text.unwrap_or_default());
            }
            offsets.push(values.len() as i32);
        }
        let offsets = OffsetBuffer::new(offsets.into());
        match StringArray::try_new(offsets, values.into(), nulls.finish()) {
            Ok(array) => array,
            Err(_) => {
                faults.truncate(earlier);
                self.text_with_bad_bytes(faults)
            }
        }
    }

    /// The same for a column in which some field is not UTF-8.
    #[cold]
    fn text_with_bad_bytes(self, faults: &mut Vec<Fault>) -> StringArray {
        let mut array = StringBuilder::with_capacity(self.rows.len(), 0);
        for (row, field) in self.rows.fields(self.position).enumerate() {
            match self.unquoted(row, field, faults) {
                None => array.append_null(),
                Some(text) => match std::str::from_utf8(&text) {
                    Ok(text) => array.append_value(text),
                    Err(_) => {
                        faults.push(self.not_utf_8(row, &text));
                        array.append_null();
                    }
                },
            }
        }
        array.finish()
    }

    /// The text of a field of a text column, or `None` for NULL.
    fn unquoted<'f>(
        self,
        row: usize,
        field: &'f [u8],
        faults: &mut Vec<Fault>,
    ) -> Option<Cow<'f, [u8]>> {
        let Ok(text) = record::content(field) else {
            faults.push(self.text_after_quote(row, field));
            return None;
        };
        if text.is_empty() && self.column.required {
            faults.extend(self.missing(row));
            return None;
        }
        // Quotes make the difference between the empty string and NULL.
        (!field.is_empty()).then_some(text)
    }

    /// The fault of having no value, if it is one.
    fn missing(self, row: usize) -> Option<Fault> {
        // A record without fields has its own fault, and only that one.
        (self.column.required && self.rows.has_fields(row)).then(|| {
            let message = format!("'{}' is required, and empty here", self.column.name);
            self.fault(row, check::REQUIRED, String::new(), message)
        })
    }

    fn text_after_quote(self, row: usize, field: &[u8]) -> Fault {
        let value = shown(field);
        let message = text_after_quote(&value);
        self.fault(row, check::QUOTE, value, message)
    }

    fn not_utf_8(self, row: usize, value: &[u8]) -> Fault {
        let value = shown(value);
        let message = format!("'{value}' is not UTF-8; its bad bytes are shown as \\xNN");
        self.fault(row, check::UTF_8, value, message)
    }

    fn fault(self, row: usize, check: &'static str, value: String, message: String) -> Fault {
        Fault {
            row: row as u32,
            column: Some(self.index),
            check,
            value,
            message,
        }
    }
}

/// Finds the misplaced quotes of a column that nobody declared. Its values do
/// not matter, but such a quote means that the record may have been cut wrong.
pub(crate) fn check_quotes(rows: &Rows<'_>, position: usize, faults: &mut Vec<Fault>) {
    for (row, field) in rows.fields(position).enumerate() {
        if record::content(field).is_err() {
            let value = shown(field);
            faults.push(Fault {
                row: row as u32,
                column: None,
                check: check::QUOTE,
                message: text_after_quote(&value),
                value,
            });
        }
    }
}

fn text_after_quote(value: &str) -> String {
    format!("there is text after the closing quote of {value}")
}

/// Without the spaces and tabs around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(first) = value.iter().position(is_text) else {
        return &[];
    };
    let last = value.iter().rposition(is_text).unwrap_or(first);
    &value[first..=last]
}
