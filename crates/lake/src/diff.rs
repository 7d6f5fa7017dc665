//! What `lake diff` says, to people and to programs.

use std::fmt::Write as _;

use lake_run::{Diff, Sample, TableDiff};
use serde_json::{Value, json};

use crate::summary::number;

/// The comparison for people.
pub(crate) fn text(diff: &Diff) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    if let Some((from, to)) = diff.from_run.zip(diff.to_run) {
        let verdict = match diff.is_empty() {
            true => "the same tables as",
            false => "other tables than",
        };
        let _ = writeln!(
            text,
            "{}: run {to} has left {verdict} run {from}",
            diff.pipeline
        );
        for table in &diff.tables {
            one_table(
                &mut text,
                table,
                &format!("run {from}"),
                &format!("run {to}"),
            );
        }
        return text;
    }
    let name = &diff.after.name;
    let before = diff.before.version.as_str();
    let after = after(diff);
    let verdict = if diff.is_empty() {
        "the same tables as"
    } else {
        "other tables than"
    };
    let _ = writeln!(
        text,
        "{}: {name} {after} makes {verdict} {before}\n",
        diff.pipeline
    );
    for input in &diff.inputs {
        let _ = writeln!(
            text,
            "  input {}: {} rows read; rejected {} → {}",
            input.name,
            number(input.rows),
            number(input.rejected_before),
            number(input.rejected_after)
        );
    }
    for table in &diff.tables {
        one_table(&mut text, table, before, &after);
    }
    text
}

/// What the other side is called: while a crate is worked on, its version is often still that of
/// the release which it is compared with.
fn after(diff: &Diff) -> String {
    let version = &diff.after.version;
    match diff.before.version == *version && diff.before.digest != diff.after.digest {
        true => format!("{version} as built here"),
        false => version.clone(),
    }
}

fn one_table(text: &mut String, table: &TableDiff, before: &str, after: &str) {
    let _ = write!(text, "\n  {}: ", table.name);
    match table.only_in {
        Some("before") => _ = writeln!(text, "only {before} has it"),
        Some(_) => _ = writeln!(text, "only {after} has it"),
        None if table.is_empty() => {
            _ = writeln!(text, "the same {} rows", number(table.rows.rows_after));
        }
        None => {
            let rows = &table.rows;
            let _ = writeln!(
                text,
                "{} added, {} removed, {} changed; {} → {} rows",
                number(rows.added),
                number(rows.removed),
                number(rows.changed),
                number(rows.rows_before),
                number(rows.rows_after)
            );
        }
    }
    for (what, columns) in [
        ("column removed", &table.columns_removed),
        ("column added", &table.columns_added),
    ] {
        for column in columns {
            let _ = writeln!(text, "    {what}: {column}");
        }
    }
    for column in &table.rows.columns {
        let _ = writeln!(
            text,
            "    {} differs in {} rows",
            column.name,
            number(column.changed)
        );
    }
    for sample in &table.rows.samples {
        let _ = writeln!(text, "    {}", one_sample(sample));
    }
}

/// `~ meter_id = A, usage_kwh: 1.000 → 2.000`
fn one_sample(sample: &Sample) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    let values: Vec<String> = sample
        .values
        .iter()
        .map(|value| match sample.kind {
            "added" => format!("{} = {}", value.column, shown(&value.after)),
            "removed" => format!("{} = {}", value.column, shown(&value.before)),
            _ if value.before == value.after => {
                format!("{} = {}", value.column, shown(&value.after))
            }
            _ => format!(
                "{}: {} → {}",
                value.column,
                shown(&value.before),
                shown(&value.after)
            ),
        })
        .collect();
    let sign = match sample.kind {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    format!("{sign} {}", values.join(", "))
}

/// The comparison for programs: stable names, one object.
pub(crate) fn json(diff: &Diff) -> Value {
    let mut value = json!(diff);
    value["status"] = json!(if diff.is_empty() { "same" } else { "different" });
    value
}
