//! Writing delimited text in every style that there is.

use lake_reader::{Column, Dialect};

use super::cell::{Cell, DAY, MICROS, date, decimal};
use super::random::Random;

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) dialect: Dialect,
    pub(super) line_end: &'static str,
    /// Whether the last record has a line end.
    pub(super) ends_with_line_end: bool,
    pub(super) quoting: Quoting,
    pub(super) byte_order_mark: bool,
}

/// Which fields are quoted. NULL never is: an empty field in quotes is a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Those that have to be.
    Minimal,
    /// All of them.
    All,
    /// Those that have to be, and some others.
    Some,
}

impl Style {
    /// RFC 4180 but for the line ends.
    pub(super) const CSV: Self = Self {
        dialect: Dialect::CSV,
        line_end: "\n",
        ends_with_line_end: true,
        quoting: Quoting::Minimal,
        byte_order_mark: false,
    };
}

/// A file with these rows.
pub(super) fn write(
    random: &mut Random,
    style: Style,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Vec<u8> {
    let mut records = Vec::with_capacity(rows.len() + 1);
    if style.dialect.header {
        let names = columns.iter();
        let names = names.map(|column| style.field(random, &column.name));
        records.push(style.record(names));
    }
    for row in rows {
        if style.dialect.comment.is_some() && random.one_in(10) {
            records.push("# neither \"this nor, that".to_owned());
        }
        let fields: Vec<String> = row
            .iter()
            .map(|cell| match text(random, cell) {
                Some(text) => style.field(random, &text),
                None => String::new(),
            })
            .collect();
        records.push(style.record(fields));
    }
    let mut file = records.join(style.line_end);
    if style.ends_with_line_end && !records.is_empty() {
        file.push_str(style.line_end);
    }
    if style.byte_order_mark {
        file.insert(0, '\u{FEFF}');
    }
    file.into_bytes()
}

impl Style {
    fn record(&self, fields: impl IntoIterator<Item = String>) -> String {
        let delimiter = char::from(self.dialect.delimiter).to_string();
        fields.into_iter().collect::<Vec<_>>().join(&delimiter)
    }

    /// A field that is not NULL.
    fn field(&self, random: &mut Random, text: &str) -> String {
        let Dialect {
            delimiter,
            quote,
            escape,
            comment,
            ..
        } = self.dialect;
        let is = |special: Option<u8>, c: char| special.is_some_and(|byte| char::from(byte) == c);
        let special = |c: char| {
            matches!(c, '\n' | '\r')
                || [Some(delimiter), quote, escape, comment]
                    .into_iter()
                    .any(|byte| is(byte, c))
        };
        let Some(quote) = quote else {
            let mut field = String::new();
            for c in text.chars() {
                if let Some(escape) = escape.filter(|_| special(c)) {
                    field.push(char::from(escape));
                }
                field.push(c);
            }
            return field;
        };
        let quoted = text.is_empty()
            || text.contains(special)
            || match self.quoting {
                Quoting::Minimal => false,
                Quoting::All => true,
                Quoting::Some => random.one_in(3),
            };
        if !quoted {
            return text.to_owned();
        }
        let quote = char::from(quote);
        let mut field = String::from(quote);
        for c in text.chars() {
            if c == quote || is(escape, c) {
                field.push(escape.map_or(quote, char::from));
            }
            field.push(c);
        }
        field.push(quote);
        field
    }
}

/// One of the texts that say a value; none for NULL.
fn text(random: &mut Random, cell: &Cell) -> Option<String> {
    let text = match cell {
        Cell::Null => return None,
        Cell::Text(text) | Cell::Json(text) => text.clone(),
        Cell::Boolean(value) => match random.below(3) {
            0 => value.to_string().to_uppercase(),
            1 => value.to_string().replace('t', "T").replace('f', "F"),
            _ => value.to_string(),
        },
        Cell::Int(value) => signed(random, value.to_string()),
        Cell::Float(text) => text.clone(),
        Cell::Decimal { units, scale } => {
            let mut text = signed(random, decimal(*units, usize::from(*scale)));
            if text.contains('.') {
                match random.below(4) {
                    0 => text.push_str("000"),
                    1 => text.truncate(text.trim_end_matches('0').trim_end_matches('.').len()),
                    _ => {}
                }
            }
            text
        }
        Cell::Date(day) => date(*day),
        Cell::Timestamp(micros) => timestamp(random, *micros),
        Cell::List(_) | Cell::Map(_) | Cell::Struct(_) => {
            panic!("delimited text has no nested values")
        }
    };
    Some(text)
}

/// A number, now and then with a plus or with zeros that mean nothing.
fn signed(random: &mut Random, text: String) -> String {
    match text.strip_prefix('-') {
        Some(digits) if random.one_in(10) => format!("-00{digits}"),
        None if random.one_in(10) => format!("+{text}"),
        None if random.one_in(10) => format!("00{text}"),
        _ => text,
    }
}

/// An instant in one of the forms of ISO 8601.
///
/// A time without seconds is written without a zone: DuckDB reads any other as
/// NULL, and says nothing.
pub(super) fn timestamp(random: &mut Random, micros: i64) -> String {
    const ZONES: [(&str, i64); 8] = [
        ("", 0),
        ("", 0),
        ("Z", 0),
        ("+00:00", 0),
        ("+02", 120),
        ("+0530", 330),
        ("-03:30", -210),
        ("+14:00", 840),
    ];
    let (zone, minutes) = random.of(&ZONES);
    let shown = micros + minutes * 60_000_000;
    let (shown, zone) = if MICROS.contains(&shown) {
        (shown, zone)
    } else {
        (micros, "")
    };
    let of_day = shown.rem_euclid(DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let day = date(i32::try_from(shown.div_euclid(DAY)).unwrap());
    let separator = random.of(&["T", " "]);
    let start = format!("{day}{separator}{hour:02}:{minute:02}");
    if zone.is_empty() && second == 0 && fraction == 0 && random.one_in(2) {
        return start;
    }
    let fraction = match (fraction, random.below(3)) {
        (0, 0) => ".000".to_owned(),
        (0, _) => String::new(),
        (_, 0) => format!(".{fraction:06}"),
        (_, _) => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
    };
    format!("{start}:{second:02}{fraction}{zone}")
}
