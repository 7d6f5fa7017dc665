//! JSON values into the cells of declared columns.

use std::borrow::Cow;

use arrow::array::NullBufferBuilder;

use super::cells::{Cells, Object, Store};
use super::compact;
use super::found::{Found, Step};
use super::number;
use super::shape::Field;
use super::syntax::{Kind, Parser, SyntaxError};
use super::text::Text;
use crate::column::ColumnType;
use crate::fault::shown;
use crate::layout::ExtraColumns;
use crate::values::decimal::Decimal;
use crate::values::number as plain;
use crate::values::reason::Reason;

/// The record that is being read.
#[derive(Debug)]
pub(crate) struct Record<'r> {
    /// Its position in the block.
    pub(crate) row: u32,
    /// Whether all of its bytes are known to be UTF-8.
    pub(crate) is_utf_8: bool,
    pub(crate) extra: ExtraColumns,
    /// What is wrong with its values.
    pub(crate) found: &'r mut Found,
}

/// What a value is missing for, in the words of a fault.
const MISSING: &str = "is required, and missing here";
const NULL: &str = "is required, and null here";
const EMPTY: &str = "is required, and empty here";

impl Object<'_> {
    /// An object, which is next, to one more cell of every field.
    ///
    /// After an error, some fields have that cell already.
    pub(crate) fn read(
        &mut self,
        parser: &mut Parser<'_>,
        record: &mut Record<'_>,
        index: usize,
    ) -> Result<(), SyntaxError> {
        let mut expected = 0;
        parser.object(|parser, name| {
            let Some(position) = self.shape.find(name, expected) else {
                return self.read_undeclared(name, parser, record);
            };
            expected = position + 1;
            let cells = &mut self.cells[position];
            let earlier = record.found.count();
            if cells.len() == index {
                cells.read(parser, record)?;
            } else {
                cells.read_again(parser, record, index)?;
            }
            if record.found.count() > earlier {
                let name = &cells.field.column.name;
                record.found.inside(earlier, || Step::Name(name.clone()));
            }
            Ok(())
        })?;
        for cells in &mut self.cells {
            if cells.len() == index {
                let earlier = record.found.count();
                cells.push_missing(record, MISSING);
                let name = &cells.field.column.name;
                record.found.inside(earlier, || Step::Name(name.clone()));
            }
        }
        Ok(())
    }

    fn read_undeclared(
        &mut self,
        name: Text<'_>,
        parser: &mut Parser<'_>,
        record: &mut Record<'_>,
    ) -> Result<(), SyntaxError> {
        parser.whitespace();
        let start = parser.at();
        parser.skip()?;
        match record.extra {
            ExtraColumns::Ignore => {}
            ExtraColumns::Warn => self.undeclared.count(name.raw, record.row),
            ExtraColumns::Fail => {
                let earlier = record.found.count();
                record.found.undeclared(parser.since(start));
                let name = shown(name.raw);
                record.found.inside(earlier, || Step::Name(name.clone()));
            }
        }
        Ok(())
    }
}

impl Cells<'_> {
    /// The next value to one more cell.
    #[inline]
    fn read(
        &mut self,
        parser: &mut Parser<'_>,
        record: &mut Record<'_>,
    ) -> Result<(), SyntaxError> {
        let field = self.field;
        let kind = parser.kind()?;
        if kind == Kind::Null {
            parser.null()?;
            self.push_missing(record, NULL);
            return Ok(());
        }
        let nulls = &mut self.nulls;
        match &mut self.store {
            Store::Text(texts) => {
                let text = text(field, kind, parser, record)?;
                nulls.append(text.is_some());
                texts.push(text.as_deref().unwrap_or_default());
            }
            Store::Json(texts) => {
                let is_there = json(field, kind, parser, record, &mut texts.bytes)?;
                nulls.append(is_there);
                texts.ends.push(texts.bytes.len());
            }
            Store::Boolean(values, booleans) => {
                let parse = |text: &[u8]| booleans.parse(text);
                let value = match kind {
                    Kind::Boolean => Some(parser.boolean()?),
                    _ => scalar(field, kind, parser, record, parse, parse)?,
                };
                nulls.append(value.is_some());
                values.append(value.unwrap_or_default());
            }
            Store::Int32(values, integers) => {
                let parse = |text: &[u8]| integers.int32(text);
                let value = scalar(field, kind, parser, record, int32, parse)?;
                push(values, nulls, value);
            }
            Store::Int64(values, integers) => {
                let parse = |text: &[u8]| integers.int64(text);
                let value = scalar(field, kind, parser, record, int64, parse)?;
                push(values, nulls, value);
            }
            Store::Float64(values, floats) => {
                let parse = |text: &[u8]| floats.parse(text);
                let value = scalar(field, kind, parser, record, plain::float64, parse)?;
                push(values, nulls, value);
            }
            Store::Decimal(values, decimals) => {
                let number = |text: &[u8]| decimal(text, &field.column.data_type);
                let parse = |text: &[u8]| decimals.parse(text);
                let value = scalar(field, kind, parser, record, number, parse)?;
                push(values, nulls, value);
            }
            Store::Date(values, dates) => {
                let parse = |text: &[u8]| dates.parse(text);
                let value = scalar(field, kind, parser, record, parse, parse)?;
                push(values, nulls, value);
            }
            Store::Timestamp(values, timestamps) => {
                let parse = |text: &[u8]| timestamps.parse(text);
                let value = scalar(field, kind, parser, record, parse, parse)?;
                push(values, nulls, value);
            }
            Store::Struct(object) => {
                if kind != Kind::Object {
                    conflict(field, kind, parser, record)?;
                    self.push_null();
                    return Ok(());
                }
                object.read(parser, record, nulls.len())?;
                nulls.append_non_null();
            }
            Store::List(ends, elements) => {
                if kind != Kind::Array {
                    conflict(field, kind, parser, record)?;
                    self.push_null();
                    return Ok(());
                }
                let start = elements.len();
                parser.array(|parser| {
                    let earlier = record.found.count();
                    elements.read(parser, record)?;
                    if record.found.count() > earlier {
                        let index = elements.len() - 1 - start;
                        record.found.inside(earlier, || Step::Index(index));
                    }
                    Ok(())
                })?;
                ends.push(elements.len());
                nulls.append_non_null();
            }
            Store::Map(ends, keys, values) => {
                if kind != Kind::Object {
                    conflict(field, kind, parser, record)?;
                    self.push_null();
                    return Ok(());
                }
                parser.object(|parser, name| {
                    let earlier = record.found.count();
                    keys.push(&content(name, record).unwrap_or_default());
                    values.read(parser, record)?;
                    if record.found.count() > earlier {
                        let name = shown(name.raw);
                        record.found.inside(earlier, || Step::Name(name.clone()));
                    }
                    Ok(())
                })?;
                let start = ends.last();
                for name in keys.repeated(start) {
                    let earlier = record.found.count();
                    record.found.duplicate(&[]);
                    record.found.inside(earlier, || Step::Name(name.clone()));
                }
                ends.push(values.len());
                nulls.append_non_null();
            }
        }
        Ok(())
    }

    /// The next value, for a cell that is there already: nobody can know which of them is meant.
    #[cold]
    fn read_again(
        &mut self,
        parser: &mut Parser<'_>,
        record: &mut Record<'_>,
        index: usize,
    ) -> Result<(), SyntaxError> {
        parser.whitespace();
        let start = parser.at();
        parser.skip()?;
        record.found.duplicate(parser.since(start));
        self.truncate(index);
        self.push_null();
        Ok(())
    }

    /// A NULL, and why that is wrong if it is.
    fn push_missing(&mut self, record: &mut Record<'_>, why: &'static str) {
        if self.field.column.required {
            record.found.required(why);
        }
        self.push_null();
    }
}

/// One more value, or NULL.
#[inline]
fn push<V: Default>(values: &mut Vec<V>, nulls: &mut NullBufferBuilder, value: Option<V>) {
    nulls.append(value.is_some());
    values.push(value.unwrap_or_default());
}

/// One value that has no parts: a number by `number`, and a string as the same text would be in
/// a delimited file, by `text`.
#[inline]
fn scalar<V>(
    field: &Field,
    kind: Kind,
    parser: &mut Parser<'_>,
    record: &mut Record<'_>,
    number: impl Fn(&[u8]) -> Result<V, Reason>,
    text: impl Fn(&[u8]) -> Result<V, Reason>,
) -> Result<Option<V>, SyntaxError> {
    match kind {
        Kind::Number => {
            let digits = parser.number()?;
            Ok(match number(digits) {
                Ok(value) if !field.values.null_first => Some(value),
                parsed => second_look(field, digits, parsed, record),
            })
        }
        Kind::String => {
            let string = parser.string()?;
            let Some(content) = content(string, record) else {
                return Ok(None);
            };
            Ok(match text(&content) {
                Ok(value) if !field.values.null_first => Some(value),
                _ => {
                    let value = field.values.trimmed(&content);
                    second_look(field, value, text(value), record)
                }
            })
        }
        _ => {
            conflict(field, kind, parser, record)?;
            Ok(None)
        }
    }
}

/// A value that may be NULL, or wrong.
#[inline(never)]
fn second_look<V>(
    field: &Field,
    value: &[u8],
    parsed: Result<V, Reason>,
    record: &mut Record<'_>,
) -> Option<V> {
    if is_null(field, value, record) {
        return None;
    }
    match parsed {
        Ok(value) => Some(value),
        Err(reason) => {
            record.found.malformed(value, &field.column, reason);
            None
        }
    }
}

/// Whether a value, trimmed, stands for NULL; that is a fault where it is required.
fn is_null(field: &Field, value: &[u8], record: &mut Record<'_>) -> bool {
    let is_empty = value.is_empty() && !matches!(field.column.data_type, ColumnType::Text);
    let is_null = is_empty || field.values.is_null(value);
    if field.column.required {
        if value.is_empty() {
            record.found.required(EMPTY);
        } else if is_null {
            record.found.required_is(value);
        }
    }
    is_null
}

/// The text of a text column.
#[inline]
fn text<'t>(
    field: &Field,
    kind: Kind,
    parser: &mut Parser<'t>,
    record: &mut Record<'_>,
) -> Result<Option<Cow<'t, [u8]>>, SyntaxError> {
    if kind != Kind::String {
        conflict(field, kind, parser, record)?;
        return Ok(None);
    }
    let string = parser.string()?;
    let Some(content) = content(string, record) else {
        return Ok(None);
    };
    let values = &field.values;
    if !(content.is_empty() || values.null_first || values.trims) {
        return Ok(Some(content));
    }
    let value = values.trimmed(&content);
    Ok(match is_null(field, value, record) {
        true => None,
        false if value.is_empty() && field.column.required => None,
        false => Some(Cow::Owned(value.to_vec())),
    })
}

/// Appends the text of any value, and says whether it is one.
fn json(
    field: &Field,
    kind: Kind,
    parser: &mut Parser<'_>,
    record: &mut Record<'_>,
    text: &mut Vec<u8>,
) -> Result<bool, SyntaxError> {
    let start = parser.at();
    parser.skip()?;
    let raw = parser.since(start);
    if !record.is_utf_8 && std::str::from_utf8(raw).is_err() {
        record.found.not_utf_8(raw);
        return Ok(false);
    }
    if kind == Kind::String && field.values.null_first {
        let string = Parser::new(raw, 0).string()?;
        if let Ok(content) = string.content()
            && !content.is_empty()
            && is_null(field, field.values.trimmed(&content), record)
        {
            return Ok(false);
        }
    }
    compact::append(raw, text);
    Ok(true)
}

/// Skips a value that a column cannot be made from.
#[cold]
fn conflict(
    field: &Field,
    kind: Kind,
    parser: &mut Parser<'_>,
    record: &mut Record<'_>,
) -> Result<(), SyntaxError> {
    let start = parser.at();
    parser.skip()?;
    let wanted = &field.column.data_type;
    record.found.conflict(parser.since(start), wanted, kind);
    Ok(())
}

/// The text that a string means, or what is wrong with it.
#[inline]
fn content<'t>(text: Text<'t>, record: &mut Record<'_>) -> Option<Cow<'t, [u8]>> {
    match text.content() {
        Ok(_) if !record.is_utf_8 && std::str::from_utf8(text.raw).is_err() => {
            record.found.not_utf_8(text.raw);
            None
        }
        Ok(content) => Some(content),
        Err(_) => {
            record.found.lone_surrogate(text.raw);
            None
        }
    }
}

/// Numbers that have no fraction and no exponent are nearly all there are.
#[inline]
fn int64(text: &[u8]) -> Result<i64, Reason> {
    match plain::int64(text) {
        Err(Reason::Malformed) => number::whole(text),
        value => value,
    }
}

#[inline]
fn int32(text: &[u8]) -> Result<i32, Reason> {
    i32::try_from(int64(text)?).map_err(|_| Reason::Range)
}

/// The value times ten to the power of the type's scale.
#[inline]
fn decimal(text: &[u8], data_type: &ColumnType) -> Result<i128, Reason> {
    let &ColumnType::Decimal { precision, scale } = data_type else {
        return Err(Reason::Malformed);
    };
    match Decimal::new(precision, scale).parse(text) {
        Ok(value) => Ok(value),
        Err(_) => number::exact(text, usize::from(precision), scale as usize),
    }
}
