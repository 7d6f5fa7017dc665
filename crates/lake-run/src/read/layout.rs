//! What a transform declares about an input, in the words of the reader: the one place where they
//! meet.

use std::sync::Arc;

use lake_plugin::{
    ColumnDeclaration, ColumnType, InputDeclaration, InputFormat, InputType, NestedType, ValueRules,
};
use lake_reader as reader;
use lake_reader::{Column, Dialect, Format, Layout, Rules, Zone};

use crate::error::{Result, RunError};

/// What the bytes of the input's files mean: everything but the columns that come from the path.
///
/// # Errors
/// [`RunError::Sql`] where the declaration names a time zone that does not exist.
pub(crate) fn layout(declared: &InputDeclaration) -> Result<Layout> {
    let in_file = declared.columns.iter().filter(|column| !column.from_path);
    let columns = in_file.map(|declared_column| column(declared, declared_column, &declared.rules));
    Ok(Layout {
        format: format(&declared.format),
        encoding: match declared.encoding {
            lake_plugin::Encoding::Utf8 => reader::Encoding::Utf8,
            lake_plugin::Encoding::Utf16 => reader::Encoding::Utf16,
            lake_plugin::Encoding::Utf16Le => reader::Encoding::Utf16Le,
            lake_plugin::Encoding::Utf16Be => reader::Encoding::Utf16Be,
            lake_plugin::Encoding::Latin1 => reader::Encoding::Latin1,
        },
        columns: columns.collect::<Result<_>>()?,
        missing_columns: match declared.missing_columns {
            lake_plugin::MissingColumns::Fail => reader::MissingColumns::Fail,
            lake_plugin::MissingColumns::Null => reader::MissingColumns::Null,
        },
        extra_columns: match declared.extra_columns {
            lake_plugin::ExtraColumns::Warn => reader::ExtraColumns::Warn,
            lake_plugin::ExtraColumns::Ignore => reader::ExtraColumns::Ignore,
            lake_plugin::ExtraColumns::Fail => reader::ExtraColumns::Fail,
        },
    })
}

fn format(declared: &InputFormat) -> Format {
    match declared {
        InputFormat::Csv(dialect) | InputFormat::Tsv(dialect) => Format::Delimited(Dialect {
            delimiter: byte(declared.delimiter()),
            quote: declared.quote().map(byte),
            escape: dialect.escape.map(byte),
            comment: dialect.comment.map(byte),
            header: dialect.header,
        }),
        InputFormat::Ndjson(_) => Format::NdJson,
        InputFormat::Json(_) => Format::Json,
        InputFormat::Parquet(_) => Format::Parquet,
    }
}

/// A character as a byte. A declaration with another one has a problem, and is not loaded; the
/// reader refuses this byte in any case.
fn byte(character: char) -> u8 {
    u8::try_from(character).unwrap_or(b'\n')
}

/// A column, or a part of one, of which `defaults` say what it does not.
pub(crate) fn column(
    input: &InputDeclaration,
    declared: &ColumnDeclaration,
    defaults: &ValueRules,
) -> Result<Column> {
    let said = declared.rules.or(defaults);
    let column = Column::new(
        declared.name_in_file(),
        column_type(input, &declared.column_type, &said)?,
    );
    let column = column.with_rules(rules(input, declared, said)?);
    Ok(match declared.required {
        true => column.required(),
        false => column,
    })
}

fn column_type(
    input: &InputDeclaration,
    declared: &InputType,
    defaults: &ValueRules,
) -> Result<reader::ColumnType> {
    use reader::ColumnType as Read;
    let part = |part: &ColumnDeclaration| column(input, part, defaults);
    Ok(match declared {
        InputType::Scalar(scalar) => match *scalar {
            ColumnType::Text => Read::Text,
            ColumnType::Boolean => Read::Boolean,
            ColumnType::Int32 => Read::Int32,
            // Microseconds; no input declares a duration, as its problems say.
            ColumnType::Int64 | ColumnType::Duration => Read::Int64,
            ColumnType::Float64 => Read::Float64,
            ColumnType::Decimal { precision, scale } => Read::Decimal { precision, scale },
            ColumnType::Date => Read::Date,
            ColumnType::Timestamp => Read::Timestamp,
        },
        InputType::Nested(NestedType::Json) => Read::Json,
        InputType::Nested(NestedType::Struct(fields)) => {
            Read::Struct(fields.iter().map(part).collect::<Result<_>>()?)
        }
        InputType::Nested(NestedType::List(element)) => Read::List(Arc::new(part(element)?)),
        InputType::Nested(NestedType::Map(value)) => Read::Map(Arc::new(part(value)?)),
    })
}

/// Of what is said for a whole input, a column takes what fits its type.
fn rules(
    input: &InputDeclaration,
    declared: &ColumnDeclaration,
    said: ValueRules,
) -> Result<Rules> {
    if matches!(declared.column_type, InputType::Nested(ref nested) if *nested != NestedType::Json)
    {
        // Its parts have rules, and it has no values of its own but NULL.
        return Ok(Rules::default());
    }
    let said = said.for_type(&declared.column_type);
    Ok(Rules {
        zone: zone(input, declared, &said)?,
        nulls: said.nulls.unwrap_or_default(),
        whitespace: match said.whitespace.unwrap_or_default() {
            lake_plugin::Whitespace::ByType => reader::Whitespace::ByType,
            lake_plugin::Whitespace::Trim => reader::Whitespace::Trim,
            lake_plugin::Whitespace::Keep => reader::Whitespace::Keep,
        },
        true_values: said.true_values,
        false_values: said.false_values,
        formats: said.formats,
        decimal_separator: said.decimal_separator,
        group_separator: said.group_separator,
    })
}

fn zone(
    input: &InputDeclaration,
    declared: &ColumnDeclaration,
    said: &ValueRules,
) -> Result<Option<Zone>> {
    let Some(name) = &said.zone else {
        return Ok(None);
    };
    let known: chrono_tz::Tz = name.parse().map_err(|_| RunError::Sql {
        place: format!("input {}, column {}", input.name, declared.name),
        message: unknown_zone(name),
    })?;
    Ok(Some(Zone {
        name: known,
        ambiguous: match said.ambiguous.unwrap_or_default() {
            lake_plugin::Ambiguous::Reject => reader::Ambiguous::Reject,
            lake_plugin::Ambiguous::Earliest => reader::Ambiguous::Earliest,
            lake_plugin::Ambiguous::Latest => reader::Ambiguous::Latest,
        },
        nonexistent: match said.nonexistent.unwrap_or_default() {
            lake_plugin::Nonexistent::Reject => reader::Nonexistent::Reject,
            lake_plugin::Nonexistent::Shift => reader::Nonexistent::Shift,
        },
    }))
}

fn unknown_zone(name: &str) -> String {
    let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let nearest = zones.max_by(|a, b| {
        let like = |zone: &str| strsim::jaro_winkler(&zone.to_lowercase(), &name.to_lowercase());
        like(a).total_cmp(&like(b))
    });
    format!(
        "its time zone is '{name}', and there is none of that name; correct .zone(…){}",
        nearest
            .map(|zone| format!(" (perhaps '{zone}' is meant)"))
            .unwrap_or_default()
    )
}
