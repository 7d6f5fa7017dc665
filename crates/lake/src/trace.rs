//! `lake trace`: where rows come from, and where they went, for people and programs.

use std::fmt::Write as _;

use lake_run::{Record, Related, Row, Trace, Traced, TracedRow};
use serde_json::json;

use crate::args::{self, Format};
use crate::edge;
use crate::exit::Failure;
use crate::history::when;
use crate::released;
use crate::rollback::named;
use crate::summary::number;

pub(crate) fn perform(wanted: args::Trace) -> Result<String, Failure> {
    let overrides = wanted.common.overrides();
    let settings = edge::settings(wanted.pipeline.file.as_deref(), &overrides)?;
    let settings = released(settings, wanted.release);
    let traced = match (wanted.of_file, wanted.line) {
        (Some(file), Some(line)) => Traced::Line { file, line },
        _ => Traced::Rows {
            table: wanted.table.unwrap_or_default(),
            condition: wanted.condition,
        },
    };
    let tracing = lake_run::trace(&settings, &traced, wanted.version, wanted.limit.into());
    let trace = edge::block_on(tracing)??;
    for warning in &trace.warnings {
        tracing::warn!("{warning}");
    }
    Ok(match wanted.output {
        Format::Text => text(&trace),
        Format::Json => format!("{}\n", json!(trace)),
    })
}

fn text(trace: &Trace) -> String {
    let mut text = String::new();
    for (n, traced) in trace.rows.iter().enumerate() {
        if n > 0 {
            text.push('\n');
        }
        row(&mut text, traced);
    }
    if let Some(record) = &trace.nowhere {
        origin(&mut text, record, "");
    } else if trace.rows.is_empty() {
        text.push_str("there is no such row\n");
    }
    if trace.more {
        text.push_str("\nThere are more such rows; --limit shows more of them.\n");
    }
    text
}

// Writing to a string cannot fail.
fn row(text: &mut String, traced: &TracedRow) {
    let _ = writeln!(text, "{}", traced.table);
    let values = shown(&traced.row);
    let widest = values
        .iter()
        .map(|(column, _)| column.chars().count())
        .max();
    for (column, value) in values {
        let _ = writeln!(
            text,
            "  {column:<width$}  {value}",
            width = widest.unwrap_or(0)
        );
    }
    if let Some(record) = &traced.row.record {
        origin(text, record, "  ");
    }
    if let Some(run) = &traced.row.run {
        let _ = writeln!(
            text,
            "  written by run {}: {} of {}, {}",
            run.run,
            run.kind,
            when(run.sealed_at),
            named(&run.release)
        );
    }
    for (what, related) in [("computed from", &traced.from), ("went to", &traced.to)] {
        for related in related {
            rows(text, what, related);
        }
    }
}

/// A record of a file, and its text.
fn origin(text: &mut String, record: &Record, indent: &str) {
    let _ = writeln!(text, "{indent}from {}, line {}", record.file, record.line);
    for line in record.raw.iter().flat_map(|raw| raw.lines()) {
        let _ = writeln!(text, "{indent}  | {line}");
    }
    if let Some(note) = &record.note {
        let _ = writeln!(text, "{indent}  {note}");
    }
}

fn rows(text: &mut String, what: &str, related: &Related) {
    let _ = write!(text, "  {what} {}", related.table);
    match &related.condition {
        Some(condition) => {
            let many = match related.total {
                1 => "1 row".to_owned(),
                many => format!("{} rows", number(many)),
            };
            let _ = write!(text, ": {many} with {condition}");
        }
        None => text.push(':'),
    }
    if let Some(note) = &related.note {
        let between = if related.condition.is_some() {
            "; "
        } else {
            " "
        };
        let _ = write!(text, "{between}{note}");
    }
    text.push('\n');
    for row in &related.rows {
        let values = shown(row).into_iter();
        let values: Vec<String> = values
            .map(|(column, value)| format!("{column} {value}"))
            .collect();
        let _ = writeln!(text, "    {}", values.join(", "));
        if let Some(record) = &row.record {
            origin(text, record, "      ");
        }
    }
    let more = related.total.saturating_sub(related.rows.len() as u64);
    if more > 0 && related.condition.is_some() {
        let _ = writeln!(text, "    … and {} more", number(more));
    }
}

/// The values that people look at: not those that the record and the run say as well.
fn shown(row: &Row) -> Vec<(&str, &str)> {
    let is_said = |column: &str| {
        let of_rejected = [
            "file",
            "line",
            "raw",
            "run",
            "input",
            "byte_offset",
            "raw_escaped",
        ];
        let is_rejected = row.values.iter().any(|value| value.column == "row_id");
        column.starts_with('_') || (is_rejected && of_rejected.contains(&column))
    };
    let values = row.values.iter().filter(|value| !is_said(&value.column));
    values
        .map(|value| {
            (
                value.column.as_str(),
                value.text.as_deref().unwrap_or("NULL"),
            )
        })
        .collect()
}
