//! What `lake maintain` says to people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use lake_run::{MaintainedTable, Maintenance};

use crate::summary::{bytes, number, seconds};

/// What was done, or would be.
pub(crate) fn text(done: &Maintenance, planned: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match done.run {
        Some(run) => writeln!(
            text,
            "{}: run {run} maintained the tables in {}",
            done.pipeline,
            seconds(done.seconds)
        ),
        None if planned && !done.is_empty() => writeln!(text, "{}: {}", done.pipeline, done.root),
        None => {
            let _ = writeln!(text, "{}: nothing to do", done.pipeline);
            return text;
        }
    };
    let touched = |table: &&MaintainedTable| match planned {
        true => table.small_files + table.deleted > 0,
        false => table.files_removed + table.deleted > 0,
    };
    let mut list = Table::new();
    list.load_style(presets::NOTHING);
    let files: [&str; 2] = match planned {
        true => ["small files", "of size"],
        false => ["files gone", "in their place"],
    };
    list.set_header(["  table", files[0], files[1], "deleted", "of size"]);
    for table in done.tables.iter().filter(touched) {
        let (first, second) = match planned {
            true => (table.small_files, bytes(table.small_bytes)),
            false => (table.files_removed, number(table.files_added)),
        };
        list.add_row([
            format!("  {}", table.name),
            number(first),
            second,
            number(table.deleted),
            bytes(table.deleted_bytes),
        ]);
    }
    for index in 1..5 {
        if let Some(column) = list.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if !list.is_empty() {
        let _ = writeln!(text, "\n{}", list.trim_fmt());
    }
    let (be, past) = if planned {
        ("would be", "could")
    } else {
        ("are", "can")
    };
    let _ = writeln!(
        text,
        "\n  {} objects of {} {be} deleted in all; {} {past} be gone back to",
        number(done.cleaned.objects),
        bytes(done.cleaned.bytes),
        match done.horizon {
            0 => "every run".to_owned(),
            run => format!("run {run} and later ones"),
        }
    );
    text
}
