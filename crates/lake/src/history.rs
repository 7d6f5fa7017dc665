//! What `lake history` says, to people and to programs.

use std::fmt::Write as _;

use chrono::DateTime;
use comfy_table::{CellAlignment, Table, presets};
use lake_run::{History, ReasonRecord, RunRecord};
use serde_json::{Value, json};

use crate::plan::named;
use crate::summary::{bytes, number, seconds, tables};

/// The columns of the list whose figures are set to the right.
const FIGURES: [usize; 5] = [4, 6, 7, 8, 9];

/// The history for people.
pub(crate) fn text(history: &History) -> String {
    let mut text = format!("{}: {}\n", history.pipeline, history.root);
    // Writing to a string cannot fail.
    if let Some(unfinished) = &history.unfinished {
        let _ = writeln!(
            text,
            "\n  Run {} is sealed, and still to be published in {}: the next command finishes it",
            unfinished.run,
            named(&unfinished.tables)
        );
    }
    if history.runs.is_empty() {
        text.push_str("\n  nothing has been published yet\n");
        return text;
    }
    let mut list = Table::new();
    list.load_style(presets::NOTHING);
    list.set_header([
        "  run",
        "kind",
        "status",
        "when",
        "took",
        "release",
        "files",
        "rows",
        "accepted",
        "rejected",
        "published",
    ]);
    for record in &history.runs {
        list.add_row(row(record));
    }
    for index in FIGURES {
        if let Some(column) = list.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let _ = writeln!(text, "\n{}", list.trim_fmt());
    for record in &history.runs {
        if let Some(why) = &record.why {
            let _ = writeln!(text, "\n  {}: {why}", name(record));
        }
    }
    let newest = history.runs.iter().find(|record| record.run > 0);
    for release in newest.iter().flat_map(|record| &record.blocked) {
        let _ = writeln!(
            text,
            "\n  blocked: {}, until `lake run --allow {}`",
            crate::rollback::named(release),
            release.version
        );
    }
    if history.more {
        text.push_str("\n  There are older ones: --limit says how many are shown.\n");
    }
    text
}

fn row(record: &RunRecord) -> Vec<String> {
    let sum = |pick: fn(&lake_run::InputRecord) -> u64| {
        number(record.inputs.iter().map(pick).sum::<u64>())
    };
    let published = record
        .tables
        .iter()
        .filter(|table| table.how != "unchanged");
    let published: Vec<String> = match record.status.as_str() {
        "done" => published
            .map(|table| format!("{} {}", table.name, table.version))
            .collect(),
        _ => Vec::new(),
    };
    vec![
        format!("  {}", name(record)),
        record.kind.clone(),
        record.status.clone(),
        when(record.sealed_at),
        seconds(record.seconds),
        release(record),
        sum(|input| input.files),
        sum(|input| input.rows),
        sum(|input| input.accepted),
        sum(|input| input.rejected),
        published.join(", "),
    ]
}

/// A run's number; of an attempt, the beginning of its name.
fn name(record: &RunRecord) -> String {
    match record.run {
        0 => record
            .attempt
            .split('-')
            .take(2)
            .collect::<Vec<_>>()
            .join("-"),
        run => run.to_string(),
    }
}

fn release(record: &RunRecord) -> String {
    format!("{} {}", record.transform.name, record.transform.version)
        .trim()
        .to_owned()
}

pub(crate) fn when(micros: i64) -> String {
    let when = DateTime::from_timestamp_micros(micros);
    when.map_or_else(String::new, |when| {
        when.format("%Y-%m-%d %H:%M:%SZ").to_string()
    })
}

/// One run in full, for people.
pub(crate) fn one(record: &RunRecord) -> String {
    let mut text = format!("run {}: {}, {}\n", record.run, record.kind, record.status);
    if let Some(why) = &record.why {
        let _ = writeln!(text, "  {why}");
    }
    let _ = writeln!(
        text,
        "\n  began    {}\n  sealed   {} on {}\n  attempt  {}\n  took     {}, peak memory {}",
        when(record.started_at),
        when(record.sealed_at),
        record.host,
        record.attempt,
        seconds(record.seconds),
        bytes(record.peak_memory_bytes.unsigned_abs()),
    );
    let _ = writeln!(
        text,
        "  release  {} {}",
        release(record),
        record.transform.digest
    );
    if let Some(run) = record.restores {
        let _ = writeln!(text, "  restores run {run}");
    }
    if record.horizon > 0 {
        let _ = writeln!(
            text,
            "  keeps    what run {} and later ones have left",
            record.horizon
        );
    }
    for release in &record.blocked {
        let _ = writeln!(text, "  blocked  {} {}", release.name, release.version);
    }
    for parameter in &record.parameters {
        let _ = writeln!(
            text,
            "    parameter {} = {}",
            parameter.name, parameter.value
        );
    }
    for input in &record.inputs {
        let _ = writeln!(
            text,
            "\n  {}: {} rows from {} files ({}), {} accepted, {} rejected, {} warned",
            input.name,
            number(input.rows),
            number(input.files),
            bytes(input.bytes),
            number(input.accepted),
            number(input.rejected),
            number(input.warned),
        );
        let reasons = record
            .reasons
            .iter()
            .filter(|reason| reason.input == input.name);
        for ReasonRecord {
            check,
            column,
            rows,
            ..
        } in reasons
        {
            let _ = writeln!(text, "    {:>12}  {check} {column}", number(*rows));
        }
    }
    if !record.tables.is_empty() {
        let _ = writeln!(text, "\n{}", tables(record));
    }
    for table in &record.tables {
        for why in [&table.why, &table.outside].into_iter().flatten() {
            let _ = writeln!(text, "  {}: {why}", table.name);
        }
    }
    for check in &record.checks {
        let holds = if check.holds {
            "holds"
        } else {
            "does not hold"
        };
        let detail = match check.detail.is_empty() {
            true => String::new(),
            false => format!(": {}", check.detail),
        };
        let _ = writeln!(
            text,
            "  {}: check '{}' ({}) {holds}{detail}",
            check.table, check.check, check.severity
        );
    }
    let stages: Vec<String> = record
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.stage, seconds(stage.seconds)))
        .collect();
    let _ = writeln!(text, "\n  stages   {}", stages.join(", "));
    for function in &record.functions {
        let _ = writeln!(
            text,
            "  function {}: {} rows, {} calls, {}",
            function.name,
            number(function.rows),
            number(function.calls),
            seconds(function.seconds)
        );
    }
    for metric in &record.metrics {
        let _ = writeln!(text, "  metric {}: {}", metric.name, metric.value);
    }
    let versions = record.versions.iter();
    let versions: Vec<String> = versions
        .map(|table| format!("{} {}", table.name, table.version))
        .collect();
    let _ = writeln!(text, "  versions {}", versions.join(", "));
    text
}

/// The history for programs: stable names, one object.
pub(crate) fn json(history: &History) -> Value {
    json!(history)
}
