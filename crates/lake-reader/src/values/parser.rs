//! What the values of one column are parsed with: its type and its rules, prepared once.

use super::decimal::Decimal;
use super::format::Format;
use super::number;
use super::reason::Reason;
use super::separators::Separators;
use super::time::{self, Instant};
use super::zone::Offsets;
use crate::column::{Column, ColumnType};
use crate::json;
use crate::mismatch::HeaderError;
use crate::rules::{Rules, Whitespace};

/// How the values of a column are read. Every format uses it: what it takes is the text of a value,
/// what it gives is the native value of the column's Arrow type.
#[derive(Debug)]
pub(crate) struct Values {
    /// The parser of the column's type.
    pub(crate) parser: Parser,
    /// Whether spaces and tabs around a value are not part of it.
    pub(crate) trims: bool,
    /// Whether a spelling of NULL would be taken for a value, so that NULL has to be looked for
    /// before the value is parsed. In text, every spelling would.
    pub(crate) null_first: bool,
    /// Whether any spelling, form or separator is declared.
    pub(crate) is_declared: bool,
    nulls: Vec<Vec<u8>>,
}

/// The parser of one type.
#[derive(Debug)]
pub(crate) enum Parser {
    /// Any text.
    Text,
    /// Any JSON value.
    Json,
    Boolean(Booleans),
    Int32(Integers),
    Int64(Integers),
    Float64(Floats),
    Decimal(Decimals),
    Date(Dates),
    Timestamp(Timestamps),
    /// Its parts have parsers of their own.
    Nested,
}

impl Values {
    /// Prepares the values of a column. Those of its parts, if it is nested, are not looked at.
    ///
    /// # Errors
    /// Fails if its type cannot exist, or if its rules contradict each other.
    pub(crate) fn new(column: &Column) -> Result<Self, HeaderError> {
        if !column.data_type.is_possible() {
            return Err(HeaderError::ImpossibleType {
                column: column.name.clone(),
                data_type: column.data_type.to_string(),
            });
        }
        let problem = |problem| HeaderError::Rules {
            column: column.name.clone(),
            problem,
        };
        let rules = &column.rules;
        let parser = Parser::new(&column.data_type, rules).map_err(problem)?;
        let is_text = matches!(parser, Parser::Text);
        let values = Self {
            trims: match rules.whitespace {
                Whitespace::ByType => !is_text,
                Whitespace::Trim => true,
                Whitespace::Keep => false,
            },
            null_first: !rules.nulls.is_empty()
                && (is_text || rules.nulls.iter().any(|null| parser.takes(null.as_bytes()))),
            is_declared: is_declared(rules),
            nulls: rules
                .nulls
                .iter()
                .map(|null| null.clone().into_bytes())
                .collect(),
            parser,
        };
        match values.contradiction(rules) {
            Some(contradiction) => Err(problem(contradiction)),
            None => Ok(values),
        }
    }

    /// A value without the spaces and tabs that are not part of it.
    #[inline]
    pub(crate) fn trimmed<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        if self.trims { trim(value) } else { value }
    }

    /// Whether a value, trimmed, is a declared spelling of NULL. An empty one is NULL as well, and
    /// is not looked for here.
    #[inline]
    pub(crate) fn is_null(&self, value: &[u8]) -> bool {
        self.nulls.iter().any(|null| null == value)
    }

    fn contradiction(&self, rules: &Rules) -> Option<String> {
        let Parser::Boolean(booleans) = &self.parser else {
            return None;
        };
        let meaning = |spelling: &String| booleans.parse(spelling.trim().as_bytes()).ok();
        if let Some(both) = rules.false_values.iter().find(|s| meaning(s) == Some(true)) {
            return Some(format!("'{both}' is declared as true and as false"));
        }
        let null = rules.nulls.iter().find(|null| meaning(null).is_some())?;
        Some(format!("'{null}' is declared as NULL and as true or false"))
    }
}

impl Parser {
    fn new(data_type: &ColumnType, rules: &Rules) -> Result<Self, String> {
        let formats = |prepare: fn(&str) -> Result<Format, &'static str>| {
            let formats = rules.formats.iter().map(|format| {
                prepare(format).map_err(|problem| format!("the format '{format}' {problem}"))
            });
            formats.collect::<Result<Vec<_>, String>>()
        };
        let separators = || {
            if let Some(problem) = separator_problem(rules) {
                return Err(problem);
            }
            Ok(Separators::of(rules))
        };
        Ok(match data_type {
            ColumnType::Text => Self::Text,
            ColumnType::Json => Self::Json,
            ColumnType::Boolean => Self::Boolean(Booleans::new(rules)),
            ColumnType::Int32 => Self::Int32(Integers(separators()?)),
            ColumnType::Int64 => Self::Int64(Integers(separators()?)),
            ColumnType::Float64 => Self::Float64(Floats(separators()?)),
            ColumnType::Decimal { precision, scale } => Self::Decimal(Decimals {
                decimal: Decimal::new(*precision, *scale),
                separators: separators()?,
            }),
            ColumnType::Date => Self::Date(Dates(formats(Format::of_dates)?)),
            ColumnType::Timestamp => Self::Timestamp(Timestamps {
                formats: formats(Format::of_timestamps)?,
                offsets: rules.zone.map(Offsets::new),
            }),
            ColumnType::Struct(_) | ColumnType::List(_) | ColumnType::Map(_) => Self::Nested,
        })
    }

    /// Whether this text is a value. Text and nested values are not looked at.
    fn takes(&self, text: &[u8]) -> bool {
        match self {
            Self::Text | Self::Nested => false,
            Self::Json => json::validate(text).is_ok(),
            Self::Boolean(parser) => parser.parse(text).is_ok(),
            Self::Int32(parser) => parser.int32(text).is_ok(),
            Self::Int64(parser) => parser.int64(text).is_ok(),
            Self::Float64(parser) => parser.parse(text).is_ok(),
            Self::Decimal(parser) => parser.parse(text).is_ok(),
            Self::Date(parser) => parser.parse(text).is_ok(),
            Self::Timestamp(parser) => parser.parse(text).is_ok(),
        }
    }
}

fn is_declared(rules: &Rules) -> bool {
    let spellings = [&rules.true_values, &rules.false_values, &rules.formats];
    spellings.into_iter().any(|declared| !declared.is_empty())
        || rules.decimal_separator.is_some()
        || rules.group_separator.is_some()
}

/// What makes numbers with these separators mean two things, or nothing.
fn separator_problem(rules: &Rules) -> Option<String> {
    let decimal = rules.decimal_separator.unwrap_or('.');
    if rules.group_separator == Some(decimal) {
        return Some(format!(
            "'{decimal}' separates groups of digits and the fraction"
        ));
    }
    let declared = rules
        .decimal_separator
        .into_iter()
        .chain(rules.group_separator);
    let is_number = |c: &char| c.is_alphanumeric() || matches!(c, '+' | '-') || c.is_control();
    let separator = declared.into_iter().find(is_number)?;
    Some(format!(
        "{separator:?} cannot separate the digits of a number"
    ))
}

/// Booleans in their declared spellings.
#[derive(Debug)]
pub(crate) struct Booleans {
    /// In lower case; none if they are `true` and `false`.
    spellings: Option<[Vec<String>; 2]>,
}

impl Booleans {
    fn new(rules: &Rules) -> Self {
        let lower = |spellings: &[String]| -> Vec<String> {
            spellings
                .iter()
                .map(|spelling| spelling.to_lowercase())
                .collect()
        };
        let is_declared = !(rules.true_values.is_empty() && rules.false_values.is_empty());
        Self {
            spellings: is_declared.then(|| [lower(&rules.true_values), lower(&rules.false_values)]),
        }
    }

    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<bool, Reason> {
        let Some([yes, no]) = &self.spellings else {
            return number::boolean(text);
        };
        let is_in = |spellings: &[String]| spellings.iter().any(|lower| is_spelled(lower, text));
        if is_in(yes) {
            Ok(true)
        } else if is_in(no) {
            Ok(false)
        } else {
            Err(Reason::Malformed)
        }
    }
}

fn is_spelled(lower: &str, text: &[u8]) -> bool {
    if text.is_ascii() {
        return text.eq_ignore_ascii_case(lower.as_bytes());
    }
    std::str::from_utf8(text).is_ok_and(|text| text.to_lowercase() == lower)
}

/// Whole numbers, perhaps with groups of digits.
#[derive(Debug)]
pub(crate) struct Integers(Option<Separators>);

impl Integers {
    #[inline]
    pub(crate) fn int32(&self, text: &[u8]) -> Result<i32, Reason> {
        match &self.0 {
            None => number::int32(text),
            Some(separators) => separators.usual(text, number::int32),
        }
    }

    #[inline]
    pub(crate) fn int64(&self, text: &[u8]) -> Result<i64, Reason> {
        match &self.0 {
            None => number::int64(text),
            Some(separators) => separators.usual(text, number::int64),
        }
    }
}

/// Floating point numbers, perhaps with separators of their own.
#[derive(Debug)]
pub(crate) struct Floats(Option<Separators>);

impl Floats {
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<f64, Reason> {
        match &self.0 {
            None => number::float64(text),
            Some(separators) => separators.usual(text, number::float64),
        }
    }
}

/// Exact decimals, perhaps with separators of their own.
#[derive(Debug)]
pub(crate) struct Decimals {
    decimal: Decimal,
    separators: Option<Separators>,
}

impl Decimals {
    /// The value times ten to the power of the scale.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i128, Reason> {
        match &self.separators {
            None => self.decimal.parse(text),
            Some(separators) => separators.usual(text, |text| self.decimal.parse(text)),
        }
    }
}

/// Dates, in ISO 8601 or in the declared forms.
#[derive(Debug)]
pub(crate) struct Dates(Vec<Format>);

impl Dates {
    /// The days since 1970-01-01.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i32, Reason> {
        if self.0.is_empty() {
            return time::date(text);
        }
        first_that_fits(&self.0, |format| format.date(text))
    }
}

/// Timestamps, in ISO 8601 or in the declared forms.
#[derive(Debug)]
pub(crate) struct Timestamps {
    formats: Vec<Format>,
    /// Of the zone of times that name none.
    offsets: Option<Offsets>,
}

impl Timestamps {
    /// The microseconds since 1970-01-01, UTC.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i64, Reason> {
        let instant = match (&self.formats[..], &self.offsets) {
            ([], None) => return time::timestamp(text),
            ([], Some(_)) => time::instant(text)?,
            (formats, _) => first_that_fits(formats, |format| format.instant(text))?,
        };
        match instant {
            Instant::Shown(shown) => self.shown(shown),
            Instant::Utc(micros) => Ok(micros),
        }
    }

    /// The same for a time that is a number already: the microseconds since 1970-01-01 that clocks
    /// show, in years that timestamps have.
    #[inline]
    pub(crate) fn shown(&self, shown: i64) -> Result<i64, Reason> {
        match &self.offsets {
            Some(offsets) => offsets.instant(shown),
            None => Ok(shown),
        }
    }
}

/// The value in the first form that has one, or the reason of the form that came closest.
#[inline]
fn first_that_fits<T>(
    formats: &[Format],
    parse: impl Fn(&Format) -> Result<T, Reason>,
) -> Result<T, Reason> {
    let mut closest = Reason::Malformed;
    for format in formats {
        match parse(format) {
            Ok(value) => return Ok(value),
            Err(reason) if closest == Reason::Malformed => closest = reason,
            Err(_) => {}
        }
    }
    Err(closest)
}

/// Without the spaces and tabs around it.
#[inline]
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(first) = value.iter().position(is_text) else {
        return &[];
    };
    let last = value.iter().rposition(is_text).unwrap_or(first);
    &value[first..=last]
}
