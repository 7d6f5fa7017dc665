//! The declaration that a person pastes into a transform.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lake_reader::{Column, ColumnType, Encoding, Format, Layout, Whitespace};

/// An input named `name` with this layout, as an author writes it. What is doubtful about a column
/// stands behind it as a comment.
pub(super) fn declaration(name: &str, layout: &Layout, doubts: &[String]) -> String {
    let mut text = format!("Input::{}({name:?})", constructor(layout.format));
    if let Format::Delimited(dialect) = layout.format {
        let usual = match constructor(layout.format) {
            "tsv" => lake_reader::Dialect::TSV,
            _ => lake_reader::Dialect::CSV,
        };
        if dialect.header {
            text.push_str(".header()");
        }
        if dialect.delimiter != usual.delimiter {
            let _ = write!(text, ".delimiter({:?})", char::from(dialect.delimiter));
        }
        match dialect.quote {
            quote if quote == usual.quote => {}
            Some(quote) => {
                let _ = write!(text, ".quote({:?})", char::from(quote));
            }
            None => text.push_str(".no_quote()"),
        }
        if let Some(escape) = dialect.escape {
            let _ = write!(text, ".escape({:?})", char::from(escape));
        }
        if let Some(comment) = dialect.comment {
            let _ = write!(text, ".comment({:?})", char::from(comment));
        }
    }
    if layout.encoding != Encoding::Utf8 {
        let _ = write!(text, ".encoding(Encoding::{:?})", layout.encoding);
    }
    let mut names = BTreeSet::new();
    for (column, doubt) in layout.columns.iter().zip(doubts) {
        let mut name = sql_name(&column.name);
        while !names.insert(name.clone()) {
            name.push('_');
        }
        let named = (name != column.name).then_some(column.name.as_str());
        let _ = write!(text, "\n    .column({name:?}, {})", value(column, named));
        if !doubt.is_empty() {
            let _ = write!(text, " // {doubt}");
        }
    }
    text
}

/// A name for SQL: lower-case letters, digits and `_`, beginning with a letter.
pub(super) fn sql_name(name: &str) -> String {
    let mut sql = String::with_capacity(name.len());
    let mut before = ' ';
    for character in name.trim().chars() {
        // `customerId` is two words, `ID` is one.
        if character.is_ascii_uppercase() && before.is_ascii_lowercase() {
            sql.push('_');
        }
        match character {
            c if c.is_ascii_alphanumeric() => sql.push(c.to_ascii_lowercase()),
            _ if !sql.ends_with('_') => sql.push('_'),
            _ => {}
        }
        before = character;
    }
    let sql = sql.trim_matches('_');
    match sql.chars().next() {
        Some(_) if lake_plugin::is_identifier(sql) => sql.to_owned(),
        // A word that SQL keeps for itself.
        Some(first) if first.is_ascii_lowercase() => format!("{sql}_"),
        _ => format!("column_{sql}").trim_end_matches('_').to_owned(),
    }
}

fn constructor(format: Format) -> &'static str {
    match format {
        Format::Delimited(dialect) if dialect.delimiter == b'\t' => "tsv",
        Format::Delimited(_) => "csv",
        Format::NdJson => "ndjson",
        Format::Json => "json",
        Format::Parquet => "parquet",
    }
}

/// The type of a column, with everything that is said about its values, and what the file calls it
/// where that is something else.
fn value(column: &Column, named: Option<&str>) -> String {
    let mut text = match &column.data_type {
        ColumnType::Text => "text()".to_owned(),
        ColumnType::Boolean => "boolean()".to_owned(),
        ColumnType::Int32 => "int32()".to_owned(),
        ColumnType::Int64 => "integer()".to_owned(),
        ColumnType::Float64 => "float()".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision}, {scale})"),
        ColumnType::Date => "date()".to_owned(),
        ColumnType::Timestamp => "timestamp()".to_owned(),
        ColumnType::Json => "json()".to_owned(),
        ColumnType::Struct(fields) => {
            let fields = fields.iter();
            let fields =
                fields.map(|field| format!(".field({:?}, {})", field.name, value(field, None)));
            format!("structure(){}", fields.collect::<String>())
        }
        ColumnType::List(element) => format!("list({})", value(element, None)),
        ColumnType::Map(part) => format!("map({})", value(part, None)),
    };
    if let Some(named) = named {
        let _ = write!(text, ".named({named:?})");
    }
    let rules = &column.rules;
    let listed = |values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        format!("[{}]", values.join(", "))
    };
    if !rules.formats.is_empty() {
        let _ = write!(text, ".formats({})", listed(&rules.formats));
    }
    if !rules.nulls.is_empty() {
        let _ = write!(text, ".nulls({})", listed(&rules.nulls));
    }
    if let Some(separator) = rules.decimal_separator {
        let _ = write!(text, ".decimal_separator({separator:?})");
    }
    if let Some(separator) = rules.group_separator {
        let _ = write!(text, ".group_separator({separator:?})");
    }
    if rules.whitespace == Whitespace::Trim {
        text.push_str(".trim()");
    }
    if column.required {
        text.push_str(".required()");
    }
    text
}
