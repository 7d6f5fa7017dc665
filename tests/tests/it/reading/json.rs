//! Writing JSON in every way that says the same.

use std::fmt::Write as _;

use lake_reader::Column;
use serde_json::Value;

use super::cell::{Cell, date, decimal};
use super::delimited::timestamp;
use super::random::Random;

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) records: Records,
    /// Whether a whole number may have a fraction or an exponent, and an exact
    /// one may be a string.
    pub(super) any_notation: bool,
}

/// What is between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Every one is a line.
    Lines { line_end: &'static str },
    /// They are the elements of an array.
    Array,
    /// They follow each other, with nothing or with white space between.
    Sequence,
}

/// A file with these rows.
pub(super) fn write(
    random: &mut Random,
    style: Style,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Vec<u8> {
    let mut writer = Writer {
        random,
        any_notation: style.any_notation,
        spaces: match style.records {
            Records::Lines { .. } => &["", "", "", " ", "\t"],
            Records::Array | Records::Sequence => &["", "", "", " ", "\n", "\r\n\t"],
        },
        out: String::new(),
    };
    let mut separator = match style.records {
        Records::Array => "[",
        Records::Lines { .. } | Records::Sequence => "",
    };
    for row in rows {
        writer.token(separator);
        let names = columns.iter().map(|column| column.name.as_str());
        writer.record(names.zip(row).collect());
        separator = match style.records {
            Records::Lines { line_end } => line_end,
            Records::Array => ",",
            Records::Sequence => "",
        };
        if let Records::Lines { line_end } = style.records
            && writer.random.one_in(10)
        {
            writer.out.push_str(line_end);
        }
    }
    match style.records {
        Records::Array if rows.is_empty() => writer.token("[]"),
        Records::Array => writer.token("]"),
        Records::Lines { line_end } if !writer.random.one_in(2) => writer.token(line_end),
        Records::Lines { .. } | Records::Sequence => {}
    }
    writer.out.into_bytes()
}

struct Writer<'r> {
    random: &'r mut Random,
    any_notation: bool,
    /// What may be between two tokens.
    spaces: &'static [&'static str],
    out: String,
}

impl Writer<'_> {
    fn token(&mut self, token: &str) {
        self.space();
        self.out.push_str(token);
        self.space();
    }

    fn space(&mut self) {
        self.out.push_str(self.random.of(self.spaces));
    }

    /// An object that has its fields in any order. One that is NULL may be left
    /// out, and there may be fields that nobody has declared.
    fn record(&mut self, mut fields: Vec<(&str, &Cell)>) {
        const EXTRA: &Cell = &Cell::Struct(Vec::new());
        fields.retain(|(_, cell)| **cell != Cell::Null || self.random.one_in(2));
        if self.random.one_in(5) {
            fields.push(("not declared", EXTRA));
        }
        for last in (1..fields.len()).rev() {
            fields.swap(last, self.random.below(last + 1));
        }
        self.object(fields);
    }

    fn object<'c>(&mut self, fields: impl IntoIterator<Item = (&'c str, &'c Cell)>) {
        self.sequence("{", fields, "}", |writer, (name, cell)| {
            writer.string(name);
            writer.token(":");
            writer.value(cell);
        });
    }

    fn sequence<T>(
        &mut self,
        open: &str,
        parts: impl IntoIterator<Item = T>,
        close: &str,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.token(open);
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.token(",");
            }
            write(self, part);
        }
        // Nothing follows the last token of a record that does not belong to what is around it.
        self.space();
        self.out.push_str(close);
    }

    fn value(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => self.out.push_str("null"),
            Cell::Text(text) => self.string(text),
            Cell::Boolean(value) => self.out.push_str(&value.to_string()),
            Cell::Int(value) => self.number(&value.to_string()),
            Cell::Float(text) => self.out.push_str(text),
            Cell::Decimal { units, scale } => {
                let text = decimal(*units, usize::from(*scale));
                self.number(&text);
            }
            Cell::Date(day) => self.string(&date(*day)),
            Cell::Timestamp(micros) => {
                let text = timestamp(self.random, *micros);
                self.string(&text);
            }
            Cell::Json(text) => self.json(text),
            Cell::List(elements) => self.sequence("[", elements, "]", Self::value),
            Cell::Map(entries) => {
                self.object(entries.iter().map(|(key, value)| (key.as_str(), value)));
            }
            Cell::Struct(fields) => self.record(fields.iter().map(|(n, c)| (*n, c)).collect()),
        }
    }

    /// An exact number, which may be said in other ways.
    fn number(&mut self, text: &str) {
        match self.random.below(6) {
            0 if self.any_notation => self.string(text),
            1 if self.any_notation && !text.contains('.') => {
                write!(self.out, "{text}.000").unwrap();
            }
            2 if self.any_notation => write!(self.out, "{text}e0").unwrap(),
            // Zeros in front are not JSON.
            3 if self.any_notation && !text.contains('.') && text != "0" => {
                write!(self.out, "{text}000E-3").unwrap();
            }
            _ => self.out.push_str(text),
        }
    }

    /// JSON in JSON, with white space that does not count.
    fn json(&mut self, text: &str) {
        if self.spaces.contains(&"\n") && self.random.one_in(2) {
            let value: Value = serde_json::from_str(text).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            self.out.push_str(&pretty);
        } else {
            self.out.push_str(text);
        }
    }

    /// A string, in which any character may be escaped.
    fn string(&mut self, text: &str) {
        self.out.push('"');
        let escapes_all = self.random.one_in(10);
        for c in text.chars() {
            let short = match c {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '\n' => Some("\\n"),
                '\r' => Some("\\r"),
                '\t' => Some("\\t"),
                '/' => Some("\\/"),
                '\u{8}' => Some("\\b"),
                '\u{c}' => Some("\\f"),
                _ => None,
            };
            if escapes_all || (c < ' ' && short.is_none()) || self.random.one_in(50) {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(self.out, "\\u{unit:04x}").unwrap();
                }
            } else if let Some(short) = short {
                self.out.push_str(short);
            } else {
                self.out.push(c);
            }
        }
        self.out.push('"');
    }
}
