//! The rows of a query as a table, as CSV, or as JSON.

use std::fmt::Write as _;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use lake_run::Answer;

/// NULLs are shown, so that they are not taken for empty text.
const NULL: &str = "∅";

/// A table no wider than `width`; rows that do not fit beside each other are
/// printed one value a line.
pub(crate) fn table(answer: &Answer, width: Option<usize>) -> Result<String, ArrowError> {
    let names: Vec<String> = answer
        .schema
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    let rows = cells(&answer.batches)?;
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')))
        .set_header(names.clone());
    for (column, field) in table.column_iter_mut().zip(answer.schema.fields()) {
        if is_number(field.data_type()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in &rows {
        table.add_row(row.clone());
    }
    let count = match rows.len() {
        1 => "1 row".to_owned(),
        many => format!("{many} rows"),
    };
    let text = table.to_string();
    let widest = text
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    match width {
        Some(width) if widest > width => Ok(format!("{}{count}\n", records(&names, &rows, width))),
        _ => Ok(format!("{text}\n{count}\n")),
    }
}

/// One value a line, folded where it is longer than what is left of the line.
fn records(names: &[String], rows: &[Vec<String>], width: usize) -> String {
    let label = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let room = width.saturating_sub(label + 3).max(10);
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let title = format!("── row {} ", n + 1);
        let rest = width.saturating_sub(title.chars().count());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title}{}", "─".repeat(rest));
        for (name, value) in names.iter().zip(row) {
            let characters: Vec<char> = value.chars().collect();
            let mut pieces = characters
                .chunks(room)
                .map(|piece| piece.iter().collect::<String>());
            let first = pieces.next().unwrap_or_default();
            let _ = writeln!(text, "{name:<label$} │ {first}");
            for piece in pieces {
                let _ = writeln!(text, "{:label$} │ {piece}", "");
            }
        }
    }
    text
}

/// Comma-separated values with a header; nested values as text.
pub(crate) fn csv(answer: &Answer) -> Result<String, ArrowError> {
    let mut bytes = Vec::new();
    {
        let mut writer = WriterBuilder::new().with_header(true).build(&mut bytes);
        if answer.batches.is_empty() {
            writer.write(&flat(&RecordBatch::new_empty(SchemaRef::clone(
                &answer.schema,
            )))?)?;
        }
        for batch in &answer.batches {
            writer.write(&flat(batch)?)?;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A JSON array with one object per row; NULLs are there as `null`.
pub(crate) fn json(answer: &Answer) -> Result<String, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::JsonArray>(&mut bytes);
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(if text.is_empty() {
        "[]\n".to_owned()
    } else {
        format!("{text}\n")
    })
}

fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null(NULL);
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect(),
            );
        }
    }
    Ok(rows)
}

/// CSV has no nested values: they become their text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let columns = batch
        .columns()
        .iter()
        .zip(batch.schema_ref().fields())
        .map(|(column, field)| {
            let column: ArrayRef = if column.data_type().is_nested() {
                let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
                let texts = (0..column.len())
                    .map(|row| column.is_valid(row).then(|| shown.value(row).to_string()));
                std::sync::Arc::new(texts.collect::<arrow::array::StringArray>())
            } else {
                ArrayRef::clone(column)
            };
            Ok((field.name().clone(), column))
        });
    RecordBatch::try_from_iter_with_nullable(
        columns
            .collect::<Result<Vec<_>, ArrowError>>()?
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
