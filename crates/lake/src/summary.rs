//! What a run says at its end, to people and to programs.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use lake_run::{
    Declaration, Left, Outcome, ReasonCount, Replay, Report, Requests, RunRecord, Settings, Skipped,
};
use serde_json::{Map, Value, json};

/// How many reasons of rejection a summary names.
const TOP_REASONS: usize = 4;

/// The summary for people. `query` is what to type in front of the SQL to
/// query this pipeline, with a space behind it.
pub(crate) fn text(report: &Report, query: &str) -> String {
    match &report.outcome {
        Outcome::NothingToDo {
            last_run,
            loaded_files,
        } => {
            let last = match last_run {
                0 => "there is no file to load yet".to_owned(),
                run => format!(
                    "all {} are loaded, the last by run {run}",
                    files(*loaded_files)
                ),
            };
            format!(
                "{}: nothing to do, nothing written: {last}.\n",
                report.pipeline
            )
        }
        Outcome::Published(record) => published(report, record, query),
    }
}

fn published(report: &Report, record: &RunRecord, query: &str) -> String {
    let mut text = format!(
        "{}: run {} is published in {}\n\n",
        report.pipeline, record.run, report.root
    );
    // Writing to a string cannot fail.
    for input in &record.inputs {
        let _ = writeln!(
            text,
            "  {}: read {} rows from {} ({})",
            input.name,
            number(input.rows),
            files(input.files),
            bytes(input.bytes)
        );
        let _ = writeln!(text, "    accepted  {:>12}", number(input.accepted));
        let _ = write!(text, "    rejected  {:>12}", number(input.rejected));
        if input.rejected > 0 {
            let share = 100.0 * input.rejected as f64 / input.rows as f64;
            let reasons = report
                .reasons
                .get(&input.name)
                .map_or(&[][..], Vec::as_slice);
            let _ = write!(text, "  ({share:.1} %): {}", top(reasons));
        }
        text.push('\n');
        if input.warned > 0 {
            let _ = writeln!(text, "    warned    {:>12}", number(input.warned));
        }
        if let Some(left) = report.left.get(&input.name) {
            let _ = writeln!(text, "    {}", left_over(left));
        }
    }
    let _ = writeln!(text, "\n{}", tables(record));
    for check in record.checks.iter().filter(|check| !check.holds) {
        let _ = writeln!(
            text,
            "\n  {}: check '{}' does not hold: {}",
            check.table, check.check, check.detail
        );
    }
    let stages = record.stages.iter().filter(|stage| stage.seconds >= 0.001);
    let stages: Vec<String> = stages
        .map(|s| format!("{} {}", s.stage, seconds(s.seconds)))
        .collect();
    let _ = writeln!(
        text,
        "\n  {} ({}), peak memory {}, transform {} {}",
        seconds(record.seconds),
        stages.join(", "),
        bytes(record.peak_memory_bytes.unsigned_abs()),
        record.transform.name,
        record.transform.version
    );
    for function in record.functions.iter().filter(|f| f.calls > 0) {
        let _ = writeln!(
            text,
            "  function {}: {} rows in {}",
            function.name,
            number(function.rows),
            seconds(function.seconds)
        );
    }
    text.push('\n');
    let first = record
        .tables
        .iter()
        .find(|table| table.name.starts_with("consumption/"))
        .or_else(|| record.tables.first());
    if let Some(table) = first {
        let _ = writeln!(
            text,
            "Next:  {query}\"SELECT * FROM {} LIMIT 10\"",
            table.name.replace('/', ".")
        );
    }
    for input in record.inputs.iter().filter(|input| input.rejected > 0) {
        let _ = writeln!(
            text,
            "       {query}\"SELECT file, line, raw, reasons FROM rejection.{} LIMIT 10\"",
            input.name
        );
    }
    text
}

/// What is left of a backlog.
pub(crate) fn left_over(left: &Left) -> String {
    format!(
        "{} ({}) left for later runs",
        files(left.files),
        bytes(left.bytes)
    )
}

fn top(reasons: &[ReasonCount]) -> String {
    let mut parts: Vec<String> = reasons
        .iter()
        .take(TOP_REASONS)
        .map(|reason| format!("{} × {}", number(reason.rows), reason.label()))
        .collect();
    if reasons.len() > TOP_REASONS {
        parts.push(format!("{} other reasons", reasons.len() - TOP_REASONS));
    }
    parts.join(", ")
}

pub(crate) fn tables(record: &RunRecord) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["  table".to_owned()];
    header.extend(COLUMNS.map(|(name, _)| name.to_owned()));
    header.extend(["version".to_owned(), "how".to_owned()]);
    table.set_header(header);
    for row in &record.tables {
        let mut cells = vec![format!("  {}", row.name)];
        cells.extend(COLUMNS.map(|(_, pick)| number(pick(row))));
        cells.extend([row.version.to_string(), row.how.clone()]);
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1).take(COLUMNS.len() + 1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// A figure of a table's record.
type Figure = (&'static str, fn(&lake_run::TableRecord) -> u64);

const COLUMNS: [Figure; 7] = [
    ("inserted", |t| t.counts.inserted),
    ("updated", |t| t.counts.updated),
    ("unchanged", |t| t.counts.unchanged),
    ("superseded", |t| t.counts.superseded),
    ("deleted", |t| t.counts.deleted),
    ("filtered", |t| t.filtered),
    ("rows", |t| t.rows),
];

/// The report for programs: stable names, one object.
pub(crate) fn json(report: &Report, requests: Requests) -> Value {
    let mut answer = outcome(report);
    // Where everything is on this machine, there are none.
    if let Value::Object(answer) = &mut answer
        && requests.total() > 0
    {
        answer.insert("requests".to_owned(), json!(requests));
    }
    answer
}

fn outcome(report: &Report) -> Value {
    match &report.outcome {
        Outcome::NothingToDo {
            last_run,
            loaded_files,
        } => json!({
            "status": "nothing_to_do",
            "pipeline": report.pipeline,
            "last_run": last_run,
            "loaded_files": loaded_files,
            "warnings": report.warnings,
        }),
        Outcome::Published(record) => {
            let inputs: Map<String, Value> = record
                .inputs
                .iter()
                .map(|input| {
                    let reasons = report.reasons.get(&input.name);
                    let value = json!({
                        "files": input.files,
                        "bytes": input.bytes,
                        "rows": input.rows,
                        "accepted": input.accepted,
                        "rejected": input.rejected,
                        "warned": input.warned,
                        "reasons": reasons,
                        "left": report.left.get(&input.name).copied().unwrap_or_default(),
                    });
                    (input.name.clone(), value)
                })
                .collect();
            let tables: Map<String, Value> = record
                .tables
                .iter()
                .map(|table| {
                    let mut value = Map::from_iter([
                        ("version".to_owned(), json!(table.version)),
                        ("how".to_owned(), json!(table.how)),
                        ("why".to_owned(), json!(table.why)),
                        ("tombstones".to_owned(), json!(table.counts.tombstones)),
                    ]);
                    value.extend(COLUMNS.map(|(name, pick)| (name.to_owned(), json!(pick(table)))));
                    (table.name.clone(), Value::Object(value))
                })
                .collect();
            let stages = record
                .stages
                .iter()
                .map(|s| (s.stage.clone(), json!(s.seconds)));
            json!({
                "run": record.run,
                "kind": record.kind,
                "status": record.status,
                "pipeline": report.pipeline,
                "root": report.root,
                "transform": record.transform,
                "parameters": record
                    .parameters
                    .iter()
                    .map(|p| (p.name.clone(), json!(p.value)))
                    .collect::<Map<_, _>>(),
                "inputs": inputs,
                "tables": tables,
                "checks": record.checks,
                "seconds": record.seconds,
                "stages": stages.collect::<Map<_, _>>(),
                "functions": record.functions,
                "metrics": record.metrics,
                "peak_memory_bytes": record.peak_memory_bytes,
                "warnings": report.warnings,
            })
        }
    }
}

/// What `validate` found, for people.
pub(crate) fn validated(settings: &Settings, declaration: &Declaration) -> String {
    let inputs: Vec<&str> = declaration.inputs.iter().map(|i| i.name.as_str()).collect();
    let tables: Vec<String> = declaration
        .tables
        .iter()
        .map(|t| format!("{}/{}", t.zone, t.name))
        .collect();
    format!(
        "{}: fine; transform {} {} reads {} and makes {}\n",
        settings.file.display(),
        settings.pipeline.transform.name,
        declaration.version.as_deref().unwrap_or_default(),
        inputs.join(", "),
        tables.join(", ")
    )
}

/// What `validate` found, for programs.
pub(crate) fn validated_json(settings: &Settings, declaration: &Declaration) -> Value {
    json!({
        "status": "done",
        "pipeline": settings.pipeline.name,
        "transform": declaration,
    })
}

pub(crate) fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        many => format!("{} files", number(many)),
    }
}

/// What became of rejected rows.
pub(crate) fn replayed(done: &Replay, planned: bool) -> String {
    let be = match (planned, done.accepted) {
        (true, _) => "would pass now",
        (false, 1) => "passes now",
        (false, _) => "pass now",
    };
    let mut text = format!(
        "{}: of {} rejected rows, {} {be}, and {} stay rejected\n",
        done.pipeline,
        number(done.rows),
        number(done.accepted),
        number(done.rows - done.accepted)
    );
    for record in &done.runs {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\nrun {} in {}\n{}",
            record.run,
            seconds(record.seconds),
            tables(record)
        );
    }
    text
}

/// What was set aside, or brought back.
pub(crate) fn skipped(done: &Skipped, undo: bool) -> String {
    let (what, next) = match undo {
        true => (
            "is not set aside any more",
            "the next run loads it where it is not loaded",
        ),
        false => (
            "is set aside",
            "until its content changes, or `lake skip --undo`",
        ),
    };
    let run = match done.run {
        Some(run) => format!("run {run}"),
        None => "nothing to do".to_owned(),
    };
    let inputs = done.inputs.join(", ");
    format!(
        "{}: {run}: {} {what} (input {inputs}); {next}\n",
        done.pipeline, done.path
    )
}

/// `1,234,567`
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut size = value as f64 / 1024.0;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if size >= 1024.0 {
            size /= 1024.0;
            unit = next;
        }
    }
    format!("{size:.1} {unit}")
}

pub(crate) fn seconds(value: f64) -> String {
    if value < 1.0 {
        format!("{:.0} ms", value * 1000.0)
    } else {
        format!("{value:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(
            [number(0), number(999), number(1_234_567)],
            ["0", "999", "1,234,567"]
        );
        assert_eq!(
            [bytes(12), bytes(2048), bytes(5 << 30)],
            ["12 B", "2.0 KiB", "5.0 GiB"]
        );
        assert_eq!([seconds(0.0123), seconds(61.26)], ["12 ms", "61.3 s"]);
    }
}
