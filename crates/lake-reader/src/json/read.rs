//! JSON values into the cells of declared columns.

use super::cells::{Cells, Object, Store};
use super::compact;
use super::found::{Found, Step};
use super::number;
use super::syntax::{Kind, Parser, SyntaxError};
use super::text::Text;
use crate::column::{Column, ColumnType};
use crate::layout::ExtraColumns;
use crate::values::decimal::Decimal;
use crate::values::reason::Reason;
use crate::values::{number as plain, time};

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
                let name = crate::fault::shown(name.raw);
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
        let column = &self.field.column;
        let kind = parser.kind()?;
        if kind == Kind::Null {
            parser.null()?;
            self.push_missing(record, NULL);
            return Ok(());
        }
        macro_rules! scalar {
            ($values:ident, $number:expr, $text:expr) => {{
                let value = scalar(column, kind, parser, record, $number, $text)?;
                $values.push(value.unwrap_or_default());
                self.nulls.append(value.is_some());
            }};
        }
        match &mut self.store {
            Store::Text(texts) => {
                let start = parser.at();
                if kind != Kind::String {
                    parser.skip()?;
                    record
                        .found
                        .conflict(parser.since(start), &column.data_type, kind);
                    self.push_null();
                    return Ok(());
                }
                let text = parser.string()?;
                let before = record.found.count();
                let content = content(text, record);
                if let Some(content) = &content
                    && content.is_empty()
                    && column.required
                {
                    record.found.required(EMPTY);
                }
                let content = content.filter(|_| record.found.count() == before);
                self.nulls.append(content.is_some());
                texts.push(content.as_deref().unwrap_or_default());
            }
            Store::Json(texts) => {
                let start = parser.at();
                parser.skip()?;
                let raw = parser.since(start);
                let is_text = record.is_utf_8 || std::str::from_utf8(raw).is_ok();
                if is_text {
                    compact::append(raw, &mut texts.bytes);
                } else {
                    record.found.not_utf_8(raw);
                }
                texts.ends.push(texts.bytes.len());
                self.nulls.append(is_text);
            }
            Store::Boolean(values) => {
                let value = if kind == Kind::Boolean {
                    Some(parser.boolean()?)
                } else {
                    scalar(column, kind, parser, record, plain::boolean, plain::boolean)?
                };
                values.append(value.unwrap_or_default());
                self.nulls.append(value.is_some());
            }
            Store::Int32(values) => scalar!(values, int32, plain::int32),
            Store::Int64(values) => scalar!(values, int64, plain::int64),
            Store::Float64(values) => scalar!(values, plain::float64, plain::float64),
            Store::Decimal(values) => {
                let (precision, scale) = match column.data_type {
                    ColumnType::Decimal { precision, scale } => (precision, scale),
                    _ => (0, 0),
                };
                let parser_of_text = Decimal::new(precision, scale);
                let number = |text: &[u8]| match parser_of_text.parse(text) {
                    Ok(value) => Ok(value),
                    Err(_) => number::exact(text, usize::from(precision), scale as usize),
                };
                scalar!(values, number, |text: &[u8]| parser_of_text.parse(text));
            }
            Store::Date(values) => scalar!(values, time::date, time::date),
            Store::Timestamp(values) => scalar!(values, time::timestamp, time::timestamp),
            Store::Struct(object) => {
                if kind != Kind::Object {
                    return self.conflict(kind, parser, record);
                }
                object.read(parser, record, self.nulls.len())?;
                self.nulls.append_non_null();
            }
            Store::List(ends, elements) => {
                if kind != Kind::Array {
                    return self.conflict(kind, parser, record);
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
                self.nulls.append_non_null();
            }
            Store::Map(ends, keys, values) => {
                if kind != Kind::Object {
                    return self.conflict(kind, parser, record);
                }
                parser.object(|parser, name| {
                    let earlier = record.found.count();
                    keys.push(&content(name, record).unwrap_or_default());
                    values.read(parser, record)?;
                    if record.found.count() > earlier {
                        let name = crate::fault::shown(name.raw);
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
                self.nulls.append_non_null();
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

    /// Skips a value that this column cannot be made from.
    #[cold]
    fn conflict(
        &mut self,
        kind: Kind,
        parser: &mut Parser<'_>,
        record: &mut Record<'_>,
    ) -> Result<(), SyntaxError> {
        let start = parser.at();
        parser.skip()?;
        let wanted = &self.field.column.data_type;
        record.found.conflict(parser.since(start), wanted, kind);
        self.push_null();
        Ok(())
    }
}

/// One value that has no parts: a number by `number`, and a string as the same text would be in
/// a delimited file, by `text`.
#[inline]
fn scalar<V>(
    column: &Column,
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
                Ok(value) => Some(value),
                Err(reason) => {
                    record.found.malformed(digits, &column.data_type, reason);
                    None
                }
            })
        }
        Kind::String => {
            let string = parser.string()?;
            let Some(content) = content(string, record) else {
                return Ok(None);
            };
            let value = content.trim_ascii();
            Ok(match text(value) {
                Ok(value) => Some(value),
                Err(_) if value.is_empty() => {
                    if column.required {
                        record.found.required(EMPTY);
                    }
                    None
                }
                Err(reason) => {
                    record.found.malformed(value, &column.data_type, reason);
                    None
                }
            })
        }
        _ => {
            let start = parser.at();
            parser.skip()?;
            record
                .found
                .conflict(parser.since(start), &column.data_type, kind);
            Ok(None)
        }
    }
}

/// The text that a string means, or what is wrong with it.
#[inline]
fn content<'t>(text: Text<'t>, record: &mut Record<'_>) -> Option<std::borrow::Cow<'t, [u8]>> {
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
