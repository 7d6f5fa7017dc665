//! How an author says what the files of an input are, and how values are written in them.

use crate::{
    Ambiguous, CheckDeclaration, Column, ColumnDeclaration, ColumnType, Dialect, Encoding,
    ExtraColumns, InputDeclaration, InputFormat, InputType, MissingColumns, NestedType,
    Nonexistent, Quote, Severity, ValueRules, Whitespace,
};

/// An input: a kind of raw file, what its columns mean, and what must hold for its rows.
///
/// ```
/// use lake_plugin::prelude::*;
///
/// Input::csv("sales")
///     .header()
///     .delimiter(';')
///     .encoding(Encoding::Latin1)
///     .decimal_separator(',')
///     .nulls(["n/a"])
///     .column("shop", text().required())
///     .column("sold_at", timestamp().formats(["%d.%m.%Y %H:%M"]).zone("Europe/Berlin"))
///     .column("amount", decimal(12, 2));
/// ```
///
/// What a column says about its values goes before what its input says.
#[derive(Clone, Debug)]
pub struct Input {
    declaration: InputDeclaration,
}

impl Input {
    /// An input of CSV files. `name` is what the pipeline file and the SQL call it.
    pub fn csv(name: impl Into<String>) -> Self {
        Self::new(name, InputFormat::Csv(Dialect::default()))
    }

    /// An input of files with tabs between values, and no quotes around them.
    pub fn tsv(name: impl Into<String>) -> Self {
        Self::new(name, InputFormat::Tsv(Dialect::default()))
    }

    /// An input of files with one JSON object a line.
    pub fn ndjson(name: impl Into<String>) -> Self {
        Self::new(name, InputFormat::Ndjson(Dialect::default()))
    }

    /// An input of JSON files: an array of objects, or objects one after the other.
    pub fn json(name: impl Into<String>) -> Self {
        Self::new(name, InputFormat::Json(Dialect::default()))
    }

    /// An input of Parquet files.
    pub fn parquet(name: impl Into<String>) -> Self {
        Self::new(name, InputFormat::Parquet(Dialect::default()))
    }

    fn new(name: impl Into<String>, format: InputFormat) -> Self {
        Self {
            declaration: InputDeclaration {
                name: name.into(),
                format,
                encoding: Encoding::default(),
                missing_columns: MissingColumns::default(),
                extra_columns: ExtraColumns::default(),
                rules: ValueRules::default(),
                columns: Vec::new(),
                checks: Vec::new(),
            },
        }
    }

    /// Says that each file starts with the names of its columns, in any order. Without it, the
    /// values of a line are the declared columns in their order.
    #[must_use]
    pub fn header(mut self) -> Self {
        self.dialect().header = true;
        self
    }

    /// What is between two values: a comma in CSV, a tab in TSV, if this does not say otherwise.
    #[must_use]
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.dialect().delimiter = Some(delimiter);
        self
    }

    /// What encloses a value that has a delimiter, a quote or a line end in it: `"` in CSV, if
    /// this does not say otherwise. Two of them inside are one.
    #[must_use]
    pub fn quote(mut self, quote: char) -> Self {
        self.dialect().quote = Some(Quote::With(quote));
        self
    }

    /// Says that quotes are text like any other, as they are in TSV.
    #[must_use]
    pub fn no_quote(mut self) -> Self {
        self.dialect().quote = Some(Quote::None);
        self
    }

    /// What takes its meaning from the character that follows: a delimiter, quote or line end
    /// after it is text.
    #[must_use]
    pub fn escape(mut self, escape: char) -> Self {
        self.dialect().escape = Some(escape);
        self
    }

    /// What a line begins with that is not data.
    #[must_use]
    pub fn comment(mut self, comment: char) -> Self {
        self.dialect().comment = Some(comment);
        self
    }

    fn dialect(&mut self) -> &mut Dialect {
        self.declaration.format.dialect_mut()
    }

    /// How the text of the files is encoded, where that is not UTF-8.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.declaration.encoding = encoding;
        self
    }

    /// What happens where a file does not have a declared column. Without this, the run fails.
    #[must_use]
    pub fn missing_columns(mut self, policy: MissingColumns) -> Self {
        self.declaration.missing_columns = policy;
        self
    }

    /// What happens where a file has a column that is not declared. Without this, the run warns.
    #[must_use]
    pub fn extra_columns(mut self, policy: ExtraColumns) -> Self {
        self.declaration.extra_columns = policy;
        self
    }

    /// Adds a column, as in `.column("amount", decimal(12, 2).required())`.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, column: impl Into<InputColumn>) -> Self {
        self.declaration.columns.push(column.into().called(name));
        self
    }

    /// Adds a check: a row for which `sql` is false is rejected, and `name` is the reason.
    ///
    /// `sql` is a boolean expression over the input's columns and `received_at`, the instant at
    /// which the file was received. As in SQL, NULL passes.
    #[must_use]
    pub fn check(self, name: impl Into<String>, sql: impl Into<String>) -> Self {
        self.add_check(name.into(), sql.into(), Severity::Reject)
    }

    /// Adds a check that only counts the rows for which it does not hold.
    #[must_use]
    pub fn warn(self, name: impl Into<String>, sql: impl Into<String>) -> Self {
        self.add_check(name.into(), sql.into(), Severity::Warn)
    }

    /// Adds a check that stops the run, and publishes nothing, where it does not hold for a row.
    #[must_use]
    pub fn fail(self, name: impl Into<String>, sql: impl Into<String>) -> Self {
        self.add_check(name.into(), sql.into(), Severity::Fail)
    }

    fn add_check(mut self, name: String, sql: String, severity: Severity) -> Self {
        self.declaration.checks.push(CheckDeclaration {
            name,
            sql,
            severity,
        });
        self
    }

    pub(super) fn declare(self) -> InputDeclaration {
        self.declaration
    }
}

/// A column of an input, a field of a struct, or what a list or map is made of: its type, whether
/// there must be a value, and how its values are written ([`Written`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputColumn {
    declaration: ColumnDeclaration,
}

impl InputColumn {
    fn new(column_type: InputType, required: bool) -> Self {
        Self {
            declaration: ColumnDeclaration {
                name: String::new(),
                column_type,
                required,
                named: None,
                from_path: false,
                rules: ValueRules::default(),
            },
        }
    }

    /// The same column, in which every row must have a value: a row without is rejected. Of what
    /// a list or map is made of: a row with a NULL in it is.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.declaration.required = true;
        self
    }

    fn called(mut self, name: impl Into<String>) -> ColumnDeclaration {
        self.declaration.name = name.into();
        self.declaration
    }
}

impl From<Column> for InputColumn {
    fn from(column: Column) -> Self {
        Self::new(column.column_type.into(), column.required)
    }
}

impl From<ColumnType> for InputColumn {
    fn from(column_type: ColumnType) -> Self {
        Self::new(column_type.into(), false)
    }
}

impl From<Structure> for InputColumn {
    fn from(structure: Structure) -> Self {
        let fields = NestedType::Struct(structure.fields);
        Self::new(InputType::Nested(fields), false)
    }
}

/// How values are written, where that is not the usual way.
///
/// For an [`Input`], this is the default of all columns that it makes sense for; what a column
/// says itself goes before it.
pub trait Written: Sized {
    /// What these methods return: something that says how values are written.
    type Said;

    /// Changes the rules.
    #[doc(hidden)]
    fn rules(self, change: impl FnOnce(&mut ValueRules)) -> Self::Said;

    /// Spellings of NULL, as in `.nulls(["NULL", "\\N"])`. They are compared as they are written.
    /// An empty value is NULL in any case.
    #[must_use]
    fn nulls<N: Into<String>>(self, spellings: impl IntoIterator<Item = N>) -> Self::Said {
        let spellings = super::names(spellings);
        self.rules(|rules| rules.nulls = Some(spellings))
    }

    /// What happens to spaces and tabs around a value. Without this, they are part of text, and
    /// ignored around values of any other type.
    #[must_use]
    fn whitespace(self, policy: Whitespace) -> Self::Said {
        self.rules(|rules| rules.whitespace = Some(policy))
    }

    /// Says that spaces and tabs around a value are never part of it.
    #[must_use]
    fn trim(self) -> Self::Said {
        self.whitespace(Whitespace::Trim)
    }

    /// Spellings of true and of false, in any case of letters, in place of `true` and `false`: as
    /// in `boolean().spellings(["yes", "1"], ["no", "0"])`.
    #[must_use]
    fn spellings<T: Into<String>, F: Into<String>>(
        self,
        of_true: impl IntoIterator<Item = T>,
        of_false: impl IntoIterator<Item = F>,
    ) -> Self::Said {
        let (of_true, of_false) = (super::names(of_true), super::names(of_false));
        self.rules(|rules| {
            rules.true_values = of_true;
            rules.false_values = of_false;
        })
    }

    /// The forms that a date or timestamp may have, in place of ISO 8601, in the notation of
    /// `strftime`: as in `.formats(["%d.%m.%Y %H:%M"])`. The first that fits counts.
    #[must_use]
    fn formats<N: Into<String>>(self, formats: impl IntoIterator<Item = N>) -> Self::Said {
        let formats = super::names(formats);
        self.rules(|rules| rules.formats = formats)
    }

    /// The time zone of timestamps that do not name one, as the IANA database calls it: as in
    /// `.zone("Europe/Berlin")`. Without this, they are UTC.
    #[must_use]
    fn zone(self, name: impl Into<String>) -> Self::Said {
        let name = name.into();
        self.rules(|rules| rules.zone = Some(name))
    }

    /// What a time is that the zone's clock shows twice, when it is set back. Without this, the
    /// row is rejected.
    #[must_use]
    fn ambiguous(self, policy: Ambiguous) -> Self::Said {
        self.rules(|rules| rules.ambiguous = Some(policy))
    }

    /// What a time is that the zone's clock skips, when it is set forward. Without this, the row
    /// is rejected.
    #[must_use]
    fn nonexistent(self, policy: Nonexistent) -> Self::Said {
        self.rules(|rules| rules.nonexistent = Some(policy))
    }

    /// What is before the fraction of a number, in place of a point.
    #[must_use]
    fn decimal_separator(self, separator: char) -> Self::Said {
        self.rules(|rules| rules.decimal_separator = Some(separator))
    }

    /// What may be between groups of three digits of a number.
    #[must_use]
    fn group_separator(self, separator: char) -> Self::Said {
        self.rules(|rules| rules.group_separator = Some(separator))
    }
}

impl Written for Input {
    type Said = Self;

    fn rules(mut self, change: impl FnOnce(&mut ValueRules)) -> Self {
        change(&mut self.declaration.rules);
        self
    }
}

impl<C: Into<InputColumn>> Written for C {
    type Said = InputColumn;

    fn rules(self, change: impl FnOnce(&mut ValueRules)) -> InputColumn {
        let mut column = self.into();
        change(&mut column.declaration.rules);
        column
    }
}

/// A column, and where its values are.
pub trait Placed: Into<InputColumn> {
    /// Says what the file calls the column, where that is no name for SQL: as in
    /// `.column("customer_id", text().named("Customer ID"))`.
    #[must_use]
    fn named(self, name: impl Into<String>) -> InputColumn {
        let mut column = self.into();
        column.declaration.named = Some(name.into());
        column
    }

    /// Says that the value is a part of the file's path, and not in the file: what the pattern in
    /// the pipeline file calls `{name}`, with the name of the column, or a directory
    /// `name=value`.
    #[must_use]
    #[expect(
        clippy::wrong_self_convention,
        reason = "it reads as what it says of a column: text().from_path()"
    )]
    fn from_path(self) -> InputColumn {
        let mut column = self.into();
        column.declaration.from_path = true;
        column
    }
}

impl<C: Into<InputColumn>> Placed for C {}

/// Named fields, which JSON and Parquet have: see [`structure`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    fields: Vec<ColumnDeclaration>,
}

impl Structure {
    /// Adds a field, as in `.field("id", integer().required())`.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, field: impl Into<InputColumn>) -> Self {
        self.fields.push(field.into().called(name));
        self
    }

    /// The struct as a column in which every row must have a value: a row without is rejected.
    #[must_use]
    pub fn required(self) -> InputColumn {
        InputColumn::from(self).required()
    }
}

/// A struct: named fields, each of which can have fields of its own. SQL reads them as
/// `payload['user']['id']`.
///
/// ```
/// use lake_plugin::prelude::*;
///
/// Input::ndjson("events").column("payload", structure()
///     .field("user", structure().field("id", integer().required()))
///     .field("tags", list(text())));
/// ```
#[must_use]
pub fn structure() -> Structure {
    Structure::default()
}

/// Any number of values of one type.
#[must_use]
pub fn list(element: impl Into<InputColumn>) -> InputColumn {
    let element = Box::new(element.into().declaration);
    InputColumn::new(InputType::Nested(NestedType::List(element)), false)
}

/// Any number of values of one type, each under a name of its own.
#[must_use]
pub fn map(value: impl Into<InputColumn>) -> InputColumn {
    let value = Box::new(value.into().declaration);
    InputColumn::new(InputType::Nested(NestedType::Map(value)), false)
}

/// Any JSON value, as its text.
#[must_use]
pub fn json() -> InputColumn {
    InputColumn::new(InputType::Nested(NestedType::Json), false)
}
