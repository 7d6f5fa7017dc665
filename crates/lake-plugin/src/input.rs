//! What a transform declares about an input: its columns, and how its files say them.
//!
//! All of it is meaning, and none of it is ever guessed from a file. What has a default is left
//! out of the JSON, so that a declaration looks as it did before there was a choice.

use serde::{Deserialize, Serialize};

use crate::{CheckDeclaration, ColumnType, InputType};

/// One input: a kind of raw file, its columns, and what must hold for each of its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputDeclaration {
    /// What the pipeline file and the SQL call it.
    pub name: String,
    /// What its files are made of.
    pub format: InputFormat,
    /// How their text is encoded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub encoding: Encoding,
    /// What happens where a file does not have a declared column.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missing_columns: MissingColumns,
    /// What happens where a file has a column that is not declared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_columns: ExtraColumns,
    /// How values are written, in all columns that do not say otherwise.
    #[serde(flatten)]
    pub rules: ValueRules,
    /// The columns, in the order of the author; names decide where they are in the file, and where
    /// there are none, this order does.
    #[serde(default)]
    pub columns: Vec<ColumnDeclaration>,
    /// What must hold for each row.
    #[serde(default)]
    pub checks: Vec<CheckDeclaration>,
}

/// What the files of an input are made of.
///
/// Each has a [`Dialect`], which means something for delimited text only: another format with one
/// is among the [problems](crate::Declaration::problems).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputFormat {
    /// Lines of values: separated by commas and quoted with `"` where needed, if the dialect does
    /// not say otherwise.
    Csv(Dialect),
    /// Lines of values, separated by tabs, without quoting, if the dialect does not say otherwise.
    Tsv(Dialect),
    /// One JSON object a line.
    Ndjson(Dialect),
    /// JSON objects: the elements of an array, or one after the other. They may span lines.
    Json(Dialect),
    /// Apache Parquet.
    Parquet(Dialect),
}

/// How delimited text says where values and records end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// Whether the first record names the columns. Without it, the values of a record are the
    /// declared columns in their order.
    #[serde(default)]
    pub header: bool,
    /// What is between two values, where it is not what the format says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What encloses a value, where it is not what the format says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// What takes its meaning from the character that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// What a line begins with that is not data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
}

/// What encloses a value in which other special characters are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// Nothing does.
    None,
    /// This character; two of them inside are one.
    With(char),
}

/// How text is encoded. A byte order mark at the start of a file is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8. A row that is not is rejected.
    #[default]
    Utf8,
    /// UTF-16, in the byte order that the file's byte order mark says.
    Utf16,
    /// UTF-16, the less significant byte first.
    Utf16Le,
    /// UTF-16, the more significant byte first.
    Utf16Be,
    /// ISO 8859-1.
    Latin1,
}

/// What happens where a file does not have a declared column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingColumns {
    /// The run fails. In JSON, where every record names its own fields, a missing field is NULL,
    /// and rejects the row if it is required.
    #[default]
    Fail,
    /// Its values are NULL; if it is required, every row of the file is rejected.
    Null,
}

/// What happens where a file has a column that is not declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraColumns {
    /// It is not read, and there is a warning that names it.
    #[default]
    Warn,
    /// It is not read.
    Ignore,
    /// The run fails. In JSON, the row that has it is rejected.
    Fail,
}

/// A column of an input, a field of a nested one, or what a list or map is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDeclaration {
    /// Its name in SQL, and in the file as well where [`named`](Self::named) does not say another.
    /// What a list or map is made of has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: InputType,
    /// Whether a row without a value is rejected.
    #[serde(default)]
    pub required: bool,
    /// What the file calls it, where that is no name for SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Whether its value is a part of the file's path: what the pipeline file's pattern calls
    /// `{name}`, or a directory `name=value`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from_path: bool,
    /// How its values are written.
    #[serde(flatten)]
    pub rules: ValueRules,
}

impl ColumnDeclaration {
    /// What the file calls it.
    #[must_use]
    pub fn name_in_file(&self) -> &str {
        self.named.as_deref().unwrap_or(&self.name)
    }
}

/// How values are written. What is not said here is what the input says, and where that says
/// nothing, it is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRules {
    /// Spellings of NULL. An empty value is NULL in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<Vec<String>>,
    /// What happens to spaces and tabs around a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whitespace: Option<Whitespace>,
    /// Spellings of true, in any case of letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub true_values: Vec<String>,
    /// Spellings of false, in any case of letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_values: Vec<String>,
    /// The forms that a date or timestamp may have, in the notation of `strftime`. The first that
    /// fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    /// The time zone of times that do not name one, as the IANA database calls it. Without, they
    /// are UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What a time is that the zone's clock shows twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambiguous: Option<Ambiguous>,
    /// What a time is that the zone's clock skips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonexistent: Option<Nonexistent>,
    /// What is before the fraction of a number. Without, it is a point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_separator: Option<char>,
    /// What may be between groups of three digits of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_separator: Option<char>,
}

/// What happens to spaces and tabs around a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whitespace {
    /// They are part of text, and ignored around values of any other type.
    #[default]
    ByType,
    /// They are never part of a value.
    Trim,
    /// They are always part of a value: around a number, they reject the row.
    Keep,
}

/// What a time is that the clock shows twice, when it is set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguous {
    /// Nobody can know: the row is rejected.
    #[default]
    Reject,
    /// The first of the two instants.
    Earliest,
    /// The second of the two instants.
    Latest,
}

/// What a time is that the clock skips, when it is set forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonexistent {
    /// There was no such time: the row is rejected.
    #[default]
    Reject,
    /// As much later as the clock is set forward: 02:30 becomes 03:30 where it goes from 02:00 to
    /// 03:00.
    Shift,
}

impl InputFormat {
    /// How its text is divided; means something for [delimited](Self::is_delimited) text only.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        let (Self::Csv(dialect)
        | Self::Tsv(dialect)
        | Self::Ndjson(dialect)
        | Self::Json(dialect)
        | Self::Parquet(dialect)) = self;
        dialect
    }

    pub(crate) fn dialect_mut(&mut self) -> &mut Dialect {
        let (Self::Csv(dialect)
        | Self::Tsv(dialect)
        | Self::Ndjson(dialect)
        | Self::Json(dialect)
        | Self::Parquet(dialect)) = self;
        dialect
    }

    /// Whether its files are lines of values.
    #[must_use]
    pub fn is_delimited(&self) -> bool {
        matches!(self, Self::Csv(_) | Self::Tsv(_))
    }

    /// Whether a value is where it is, and not where a name says.
    #[must_use]
    pub fn is_by_place(&self) -> bool {
        self.is_delimited() && !self.dialect().header
    }

    /// What is between two values: of delimited text, what the dialect or the format says.
    #[must_use]
    pub fn delimiter(&self) -> char {
        let usual = if matches!(self, Self::Tsv(_)) {
            '\t'
        } else {
            ','
        };
        self.dialect().delimiter.unwrap_or(usual)
    }

    /// What encloses a value: of delimited text, what the dialect or the format says.
    #[must_use]
    pub fn quote(&self) -> Option<char> {
        match self.dialect().quote {
            Some(Quote::With(quote)) => Some(quote),
            None if matches!(self, Self::Csv(_)) => Some('"'),
            None | Some(Quote::None) => None,
        }
    }
}

impl ValueRules {
    /// These rules, and what `defaults` say where these say nothing.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        let own = self.clone();
        let or = |own: Vec<String>, default: &Vec<String>| match own.is_empty() {
            true => default.clone(),
            false => own,
        };
        // Spellings of true and false belong together.
        let has_spellings = !self.true_values.is_empty() || !self.false_values.is_empty();
        let spelled = if has_spellings { self } else { defaults };
        Self {
            nulls: own.nulls.or_else(|| defaults.nulls.clone()),
            whitespace: own.whitespace.or(defaults.whitespace),
            true_values: spelled.true_values.clone(),
            false_values: spelled.false_values.clone(),
            formats: or(own.formats, &defaults.formats),
            zone: own.zone.or_else(|| defaults.zone.clone()),
            ambiguous: own.ambiguous.or(defaults.ambiguous),
            nonexistent: own.nonexistent.or(defaults.nonexistent),
            decimal_separator: own.decimal_separator.or(defaults.decimal_separator),
            group_separator: own.group_separator.or(defaults.group_separator),
        }
    }
}

impl ValueRules {
    /// Those of the rules that mean something for values of a type. For a nested one, which hands
    /// them on to its parts, all of them do.
    #[must_use]
    pub fn for_type(self, column_type: &InputType) -> Self {
        let only = |fits: bool, values: Vec<String>| if fits { values } else { Vec::new() };
        if column_type.has_parts() {
            return self;
        }
        let scalar = column_type.scalar();
        let is_boolean = scalar == Some(ColumnType::Boolean);
        let is_number = scalar.is_some_and(ColumnType::is_number);
        let is_timestamp = scalar == Some(ColumnType::Timestamp);
        let is_time = is_timestamp || scalar == Some(ColumnType::Date);
        Self {
            nulls: self.nulls,
            whitespace: self.whitespace,
            true_values: only(is_boolean, self.true_values),
            false_values: only(is_boolean, self.false_values),
            formats: only(is_time, self.formats),
            zone: self.zone.filter(|_| is_timestamp),
            ambiguous: self.ambiguous.filter(|_| is_timestamp),
            nonexistent: self.nonexistent.filter(|_| is_timestamp),
            // A whole number has no fraction, but what separates groups is told from it.
            decimal_separator: self.decimal_separator.filter(|_| is_number),
            group_separator: self.group_separator.filter(|_| is_number),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
