//! One column of a chunk: fields to an Arrow array.
//!
//! The loops first try every field exactly as it is in the file. Only a field
//! that does not parse like that is looked at again: it may be empty, quoted,
//! or padded, or it is a fault.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, NullBufferBuilder, PrimitiveArray, StringArray,
    StringBuilder, new_null_array,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::record::TextAfterQuote;
use super::rows::Rows;
use crate::column::Column;
use crate::fault::{Fault, check, shown};
use crate::json;
use crate::values::parser::{Parser, Values};
use crate::values::reason::Reason;

/// One declared column of the rows of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) rows: &'a Rows<'a>,
    pub(crate) column: &'a Column,
    pub(crate) values: &'a Values,
    /// Which of the declared columns it is.
    pub(crate) index: usize,
    /// Which field of a record it is.
    pub(crate) position: usize,
}

impl Cells<'_> {
    /// The values, NULL where a field has none or a fault.
    pub(crate) fn parse(self, faults: &mut Vec<Fault>) -> ArrayRef {
        let data_type = self.column.data_type.arrow();
        match &self.values.parser {
            Parser::Text => Arc::new(self.text(faults)),
            Parser::Json => Arc::new(self.json(faults)),
            Parser::Boolean(parser) => Arc::new(self.booleans(|field| parser.parse(field), faults)),
            Parser::Int32(parser) => {
                Arc::new(self.primitive::<Int32Type>(|field| parser.int32(field), faults))
            }
            Parser::Int64(parser) => {
                Arc::new(self.primitive::<Int64Type>(|field| parser.int64(field), faults))
            }
            Parser::Float64(parser) => {
                Arc::new(self.primitive::<Float64Type>(|field| parser.parse(field), faults))
            }
            Parser::Date(parser) => {
                Arc::new(self.primitive::<Date32Type>(|field| parser.parse(field), faults))
            }
            Parser::Decimal(parser) => {
                let array = self.primitive::<Decimal128Type>(|field| parser.parse(field), faults);
                Arc::new(array.with_data_type(data_type))
            }
            Parser::Timestamp(parser) => {
                let parse = |field: &[u8]| parser.parse(field);
                let array = self.primitive::<TimestampMicrosecondType>(parse, faults);
                Arc::new(array.with_data_type(data_type))
            }
            // Refused when the file is opened.
            Parser::Nested => new_null_array(&data_type, self.rows.len()),
        }
    }

    /// Whether a field that parses as it is in the file has that value: not if it could be a
    /// spelling of NULL, or have quotes and escapes that are not part of the value.
    fn is_direct(self) -> bool {
        let dialect = self.rows.dialect;
        let is_in_values = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:/ \t".contains(&byte);
        let marks = [dialect.quote, dialect.escape];
        let is_odd = marks.into_iter().flatten().any(is_in_values) || self.values.is_declared;
        !(self.values.null_first || self.rows.has_special && is_odd)
    }

    #[inline]
    fn primitive<T: ArrowPrimitiveType>(
        self,
        parse: impl Fn(&[u8]) -> Result<T::Native, Reason>,
        faults: &mut Vec<Fault>,
    ) -> PrimitiveArray<T> {
        let is_direct = self.is_direct();
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        let values: Vec<T::Native> = self
            .rows
            .fields(self.position)
            .enumerate()
            .map(|(row, field)| {
                let value = match parse(field) {
                    Ok(value) if is_direct => Some(value),
                    _ => self.second_look(row, field, &parse, faults),
                };
                nulls.append(value.is_some());
                value.unwrap_or_default()
            })
            .collect();
        PrimitiveArray::new(values.into(), nulls.finish())
    }

    fn booleans(
        self,
        parse: impl Fn(&[u8]) -> Result<bool, Reason>,
        faults: &mut Vec<Fault>,
    ) -> BooleanArray {
        let is_direct = self.is_direct();
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        let values: Vec<bool> = self
            .rows
            .fields(self.position)
            .enumerate()
            .map(|(row, field)| {
                let value = match parse(field) {
                    Ok(value) if is_direct => Some(value),
                    _ => self.second_look(row, field, &parse, faults),
                };
                nulls.append(value.is_some());
                value.unwrap_or_default()
            })
            .collect();
        BooleanArray::new(BooleanBuffer::from(values), nulls.finish())
    }

    /// JSON is kept as it is written, without what is around it.
    fn json(self, faults: &mut Vec<Fault>) -> StringArray {
        let parse = |text: &[u8]| {
            json::validate(text)?;
            String::from_utf8(text.to_vec()).map_err(|_| Reason::Malformed)
        };
        let mut array = StringBuilder::with_capacity(self.rows.len(), 0);
        for (row, field) in self.rows.fields(self.position).enumerate() {
            array.append_option(self.second_look(row, field, &parse, faults));
        }
        array.finish()
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
        let content = match self.rows.dialect.content(field) {
            Ok(content) => content,
            Err(TextAfterQuote) => {
                faults.push(self.text_after_quote(row, field));
                return None;
            }
        };
        let value = self.values.trimmed(&content);
        let is_null = value.is_empty()
            || self.values.is_null(value)
            || self.values.is_null(self.values.trimmed(field));
        if is_null {
            faults.extend(self.missing(row, value));
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
                let message = reason.about(&shown, self.column);
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
        let dialect = self.rows.dialect;
        let has_escapes = dialect.escape.is_some() && self.rows.has_special;
        let is_direct = !(self.values.trims || self.values.null_first || has_escapes);
        for (row, field) in self.rows.fields(self.position).enumerate() {
            let is_plain = field
                .first()
                .is_some_and(|first| Some(*first) != dialect.quote);
            if is_plain && is_direct {
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
        let raw = self.values.trimmed(field);
        if self.values.is_null(raw) {
            faults.extend(self.missing(row, raw));
            return None;
        }
        let Ok(text) = self.rows.dialect.content(field) else {
            faults.push(self.text_after_quote(row, field));
            return None;
        };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(self.values.trimmed(text)),
            Cow::Owned(text) => Cow::Owned(self.values.trimmed(&text).to_vec()),
        };
        if text.is_empty() && self.column.required {
            faults.extend(self.missing(row, &[]));
            return None;
        }
        // Quotes make the difference between the empty string and NULL.
        (!raw.is_empty()).then_some(text)
    }

    /// The fault of having no value, if it is one; `spelling` is what stands for NULL.
    fn missing(self, row: usize, spelling: &[u8]) -> Option<Fault> {
        // A record without fields has its own fault, and only that one.
        (self.column.required && self.rows.has_fields(row)).then(|| {
            let name = &self.column.name;
            let shown = shown(spelling);
            let message = if shown.is_empty() {
                format!("'{name}' is required, and empty here")
            } else {
                format!("'{name}' is required, and '{shown}' stands for NULL")
            };
            self.fault(row, check::REQUIRED, shown, message)
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
        if rows.dialect.is_quote(field.first()) && rows.dialect.content(field).is_err() {
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
