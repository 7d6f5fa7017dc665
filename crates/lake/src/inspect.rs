//! `lake inspect`: what the reader sees in files, for people and programs.

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use clap::ValueEnum;
use lake_kit::{FormatName, InspectOptions, Inspection, Known};
use lake_reader::{Column, Compression, Dialect, Encoding, Format, Rules};
use lake_run::Answer;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::{answer, edge};

/// What to look at, and what is known about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The file
    #[arg(value_name = "FILE")]
    file: std::path::PathBuf,
    /// What to call the input in the declaration, instead of the file's name
    #[arg(long)]
    name: Option<String>,
    /// What the file is made of, where the guess is wrong
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// How its text is encoded, where the guess is wrong
    #[arg(long, value_enum)]
    encoding: Option<EncodingArg>,
    /// What is between two fields: a character, or `tab`
    #[arg(long, value_name = "CHARACTER", value_parser = special)]
    delimiter: Option<u8>,
    /// What encloses fields: a character, or `none`
    #[arg(long, value_name = "CHARACTER", value_parser = quote)]
    quote: Option<Quote>,
    /// What starts a line that is no record
    #[arg(long, value_name = "CHARACTER", value_parser = special)]
    comment: Option<u8>,
    /// Whether the first record names the columns
    #[arg(long, value_name = "BOOLEAN")]
    header: Option<bool>,
    /// How many good rows to show
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    rows: usize,
    /// How many bad rows to show
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    bad_rows: usize,
    /// How to say it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: crate::args::Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// CSV, TSV and their relatives
    Delimited,
    /// One JSON object a line
    Ndjson,
    /// Arrays of objects, or objects one after the other
    Json,
    /// Apache Parquet
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EncodingArg {
    Utf8,
    /// With a byte order mark
    Utf16,
    Utf16le,
    Utf16be,
    /// ISO 8859-1
    Latin1,
}

/// A quote, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quote(Option<u8>);

fn special(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        (_, [byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err("it is one ASCII character, or the word tab".to_owned()),
    }
}

fn quote(text: &str) -> Result<Quote, String> {
    match text {
        "none" => Ok(Quote(None)),
        text => special(text).map(|byte| Quote(Some(byte))),
    }
}

/// Looks at the file and says what is in it.
pub(crate) fn perform(inspect: Inspect) -> Result<String, Failure> {
    let options = InspectOptions {
        file: inspect.file.display().to_string(),
        name: inspect.name,
        format: inspect.format.map(|format| match format {
            FormatArg::Delimited => FormatName::Delimited,
            FormatArg::Ndjson => FormatName::NdJson,
            FormatArg::Json => FormatName::Json,
            FormatArg::Parquet => FormatName::Parquet,
        }),
        encoding: inspect.encoding.map(|encoding| match encoding {
            EncodingArg::Utf8 => Encoding::Utf8,
            EncodingArg::Utf16 => Encoding::Utf16,
            EncodingArg::Utf16le => Encoding::Utf16Le,
            EncodingArg::Utf16be => Encoding::Utf16Be,
            EncodingArg::Latin1 => Encoding::Latin1,
        }),
        known: Known {
            delimiter: inspect.delimiter,
            quote: inspect.quote.map(|Quote(quote)| quote),
            header: inspect.header,
            comment: inspect.comment,
        },
        rows: inspect.rows,
        bad_rows: inspect.bad_rows,
        threads: edge::machine().threads,
    };
    let found = edge::with_raw_file(&inspect.file, |file| Ok(lake_kit::inspect(file, &options)?))?;
    match inspect.output {
        crate::args::Format::Text => text(&found),
        crate::args::Format::Json => Ok(format!("{}\n", object(&found)?)),
    }
}

fn text(found: &Inspection) -> Result<String, Failure> {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", found.file);
    let _ = writeln!(text, "  {}", described(found));
    let bad = match found.bad {
        0 => "all of them good".to_owned(),
        bad => format!("{bad} of them bad"),
    };
    let _ = writeln!(
        text,
        "  {} rows, {bad}; {} columns",
        found.rows,
        found.layout.columns.len()
    );
    for note in &found.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    let _ = writeln!(text, "\nColumns");
    let columns = found.layout.columns.iter();
    let width = columns
        .clone()
        .map(|column| column.name.chars().count())
        .max()
        .unwrap_or(0);
    for (column, doubt) in columns.zip(&found.doubts) {
        let mut line = format!("  {:<width$}  {}", column.name, described_column(column));
        if !doubt.is_empty() {
            line = format!("{line}  ({doubt})");
        }
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "\nFirst rows");
    for line in table(&found.first)?.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if !found.bad_rows.is_empty() {
        let _ = writeln!(text, "\nBad rows");
    }
    for row in &found.bad_rows {
        let shown: String = row.raw.chars().take(120).collect();
        let cut = if shown.len() < row.raw.len() {
            "…"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  line {}, byte {}: {}{cut}",
            row.line,
            row.offset,
            shown.escape_debug()
        );
        for (check, column, message) in &row.reasons {
            let place = column
                .as_ref()
                .map(|column| format!(" {column}"))
                .unwrap_or_default();
            let _ = writeln!(text, "    {check}{place}: {message}");
        }
    }
    let more = found.bad - found.bad_rows.len() as u64;
    if more > 0 && !found.bad_rows.is_empty() {
        let _ = writeln!(text, "  and {more} more (--bad-rows shows them)");
    }
    let _ = writeln!(text, "\nA declaration to begin with\n");
    for line in format!(".input({})", found.declaration).lines() {
        let _ = writeln!(text, "    {line}");
    }
    Ok(text)
}

/// What the file is, in a line.
fn described(found: &Inspection) -> String {
    let mut words = vec![format!("{} bytes", found.bytes)];
    match found.compression {
        Compression::None => {}
        Compression::Gzip => words.push("gzip".to_owned()),
        Compression::Zstd => words.push("zstd".to_owned()),
    }
    words.push(match found.layout.format {
        Format::Delimited(Dialect {
            delimiter,
            quote,
            header,
            ..
        }) => {
            let quote = match quote {
                Some(quote) => format!("quote {}", char::from(quote)),
                None => "no quoting".to_owned(),
            };
            let header = if header {
                "with a header"
            } else {
                "without a header"
            };
            let delimiter = match delimiter {
                b'\t' => "tab".to_owned(),
                other => char::from(other).to_string(),
            };
            format!("delimited text {header}, delimiter {delimiter}, {quote}")
        }
        Format::NdJson => "one JSON object a line".to_owned(),
        Format::Json => "JSON".to_owned(),
        Format::Parquet => "Parquet".to_owned(),
    });
    if found.layout.format != Format::Parquet {
        words.push(
            match found.layout.encoding {
                Encoding::Utf8 => "UTF-8",
                Encoding::Utf16 => "UTF-16 with a byte order mark",
                Encoding::Utf16Le => "UTF-16, little endian",
                Encoding::Utf16Be => "UTF-16, big endian",
                Encoding::Latin1 => "ISO 8859-1",
            }
            .to_owned(),
        );
    }
    words.join(", ")
}

fn described_column(column: &Column) -> String {
    let mut words = vec![column.data_type.to_string()];
    let Rules { nulls, formats, .. } = &column.rules;
    words.extend(formats.iter().map(|format| format!("written as {format}")));
    if !nulls.is_empty() {
        words.push(format!("NULL is spelled {}", nulls.join(" or ")));
    }
    if column.rules.decimal_separator == Some(',') {
        words.push("with a decimal comma".to_owned());
    }
    words.push(
        if column.required {
            "never empty"
        } else {
            "may be empty"
        }
        .to_owned(),
    );
    words.join(", ")
}

fn table(rows: &RecordBatch) -> Result<String, Failure> {
    let answer = Answer {
        schema: rows.schema(),
        batches: vec![rows.clone()],
    };
    let width = edge::terminal_width().map(|width| width.saturating_sub(2));
    answer::table(&answer, width).map_err(|e| Failure::Failed(e.to_string()))
}

/// The same for programs.
fn object(found: &Inspection) -> Result<Value, Failure> {
    let dialect = match found.layout.format {
        Format::Delimited(dialect) => json!({
            "delimiter": char::from(dialect.delimiter).to_string(),
            "quote": dialect.quote.map(|quote| char::from(quote).to_string()),
            "comment": dialect.comment.map(|comment| char::from(comment).to_string()),
            "header": dialect.header,
        }),
        _ => Value::Null,
    };
    let format = match found.layout.format {
        Format::Delimited(_) => "delimited",
        Format::NdJson => "ndjson",
        Format::Json => "json",
        Format::Parquet => "parquet",
    };
    let compression = match found.compression {
        Compression::None => Value::Null,
        Compression::Gzip => json!("gzip"),
        Compression::Zstd => json!("zstd"),
    };
    let encoding = match found.layout.encoding {
        Encoding::Utf8 => "utf-8",
        Encoding::Utf16 => "utf-16",
        Encoding::Utf16Le => "utf-16le",
        Encoding::Utf16Be => "utf-16be",
        Encoding::Latin1 => "latin1",
    };
    let columns = found
        .layout
        .columns
        .iter()
        .zip(&found.doubts)
        .map(|(column, doubt)| {
            json!({
                "name": column.name,
                "type": column.data_type.to_string(),
                "required": column.required,
                "formats": column.rules.formats,
                "nulls": column.rules.nulls,
                "doubt": (!doubt.is_empty()).then_some(doubt),
            })
        });
    let bad_rows = found.bad_rows.iter().map(|row| {
        let reasons = row.reasons.iter().map(|(check, column, message)| {
            json!({ "check": check, "column": column, "message": message })
        });
        json!({
            "line": row.line,
            "byte_offset": row.offset,
            "raw": row.raw,
            "reasons": reasons.collect::<Vec<_>>(),
        })
    });
    let answer = Answer {
        schema: found.first.schema(),
        batches: vec![found.first.clone()],
    };
    let first = answer::json(&answer).map_err(|e| Failure::Failed(e.to_string()))?;
    let first: Value = serde_json::from_str(&first).map_err(|e| Failure::Failed(e.to_string()))?;
    Ok(json!({
        "file": found.file,
        "bytes": found.bytes,
        "compression": compression,
        "format": format,
        "encoding": encoding,
        "dialect": dialect,
        "rows": found.rows,
        "bad": found.bad,
        "columns": columns.collect::<Vec<_>>(),
        "first_rows": first,
        "bad_rows": bad_rows.collect::<Vec<_>>(),
        "notes": found.notes,
        "declaration": found.declaration,
    }))
}
