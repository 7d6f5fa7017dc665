//! What `lake plan` says, to people and to programs.

use std::fmt::Write as _;

use lake_run::{Plan, PlannedTable};
use serde_json::{Value, json};

use crate::summary::{bytes, files, left_over};

/// How many pending files are named.
const NAMED_FILES: usize = 5;

/// The plan for people; with the plan of each table's SQL if `sql` asks for it.
pub(crate) fn text(plan: &Plan, sql: bool) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    let next = plan.last_run + 1;
    let _ = match &plan.kind {
        Some(kind) => writeln!(text, "{}: run {next} would {kind}", plan.pipeline),
        None => writeln!(text, "{}: there is nothing to do", plan.pipeline),
    };
    let _ = writeln!(text, "  in {}\n", plan.root);
    if let Some(unfinished) = &plan.unfinished {
        let _ = writeln!(
            text,
            "  First, run {} would be finished: it is sealed, and still to be published in {}\n",
            unfinished.run,
            named(&unfinished.tables)
        );
    }
    let transform = &plan.transform;
    let _ = writeln!(
        text,
        "  transform {} {}: {}",
        transform.name, transform.version, plan.chosen
    );
    for parameter in &plan.parameters {
        let _ = writeln!(
            text,
            "    parameter {} = {}",
            parameter.name, parameter.value
        );
    }
    for function in &plan.functions {
        let _ = writeln!(text, "    function {function}");
    }
    for input in &plan.inputs {
        let _ = writeln!(
            text,
            "\n  input {}: {} to read ({})",
            input.name,
            files(input.files),
            bytes(input.bytes)
        );
        for path in input.paths.iter().take(NAMED_FILES) {
            let _ = writeln!(text, "    {path}");
        }
        if input.paths.len() > NAMED_FILES {
            let more = (input.paths.len() - NAMED_FILES) as u64;
            let _ = writeln!(text, "    and {} more", files(more));
        }
        if input.left.files > 0 {
            let _ = writeln!(text, "    {}", left_over(&input.left));
        }
    }
    for table in &plan.tables {
        one_table(&mut text, table, sql);
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "\n  {warning}");
    }
    text
}

fn one_table(text: &mut String, table: &PlannedTable, sql: bool) {
    let key = match table.key.as_slice() {
        [] => String::new(),
        key => format!(" by {}", key.join(", ")),
    };
    let _ = writeln!(
        text,
        "\n  {} ({}{key})\n    {}",
        table.name,
        mode(table),
        table.refresh
    );
    if !table.new_columns.is_empty() {
        let columns = table.new_columns.join(", ");
        let _ = writeln!(text, "    new columns: {columns}, NULL in stored rows");
    }
    if let Some(why) = &table.outdated {
        let _ = writeln!(text, "    outdated: {why}");
    }
    for check in &table.checks {
        let _ = writeln!(text, "    check: {check}");
    }
    if sql {
        for line in table.sql_plan.lines() {
            let _ = writeln!(text, "    | {line}");
        }
    }
}

/// Tables in one sentence.
pub(crate) fn named(tables: &[String]) -> String {
    match tables {
        [] => "no table, only its record".to_owned(),
        tables => tables.join(", "),
    }
}

fn mode(table: &PlannedTable) -> String {
    json!(table.mode).as_str().unwrap_or_default().to_owned()
}

/// The plan for programs: stable names, one object.
pub(crate) fn json(plan: &Plan) -> Value {
    json!(plan)
}
