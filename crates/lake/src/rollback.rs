//! `lake rollback`: what it would do, the question, and what it has done.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use lake_run::{Goal, RestoredTable, Rollback, RollbackOptions, RollbackPlan, TransformRecord};
use serde_json::{Value, json};

use crate::args::{self, Format};
use crate::edge;
use crate::exit::Failure;
use crate::history::when;
use crate::summary::{number, seconds};

/// So many files are named that will be loaded again.
const NAMED_FILES: usize = 5;
/// The columns of the list of tables whose figures are set to the right.
const FIGURES: [usize; 6] = [1, 2, 3, 4, 5, 6];

pub(crate) fn perform(wanted: args::Rollback) -> Result<String, Failure> {
    let overrides = wanted.common.overrides();
    let mut settings = edge::settings(wanted.pipeline.file.as_deref(), &overrides)?;
    settings.releases.allow.clone_from(&wanted.allow);
    let options = RollbackOptions {
        goal: match (wanted.version, wanted.table, wanted.table_version) {
            (Some(run), ..) => Goal::Run(run),
            (_, Some(name), Some(version)) => Goal::Table { name, version },
            _ => Goal::BeforeLast,
        },
        keep_files: wanted.keep_files,
        keep_release: wanted.keep_release,
        discard_outside: wanted.discard_outside,
    };
    if wanted.dry_run {
        let plan = edge::block_on(lake_run::plan_rollback(&settings, &options))??;
        return Ok(match wanted.output {
            Format::Text => text(&plan),
            Format::Json => format!("{}\n", json!(plan)),
        });
    }
    let rollback = edge::block_on(Rollback::prepare(&settings, &options))??;
    let plan = rollback.plan.clone();
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    if plan.obstacles.is_empty() && !wanted.yes && !agreed(&plan)? {
        return Err(Failure::Failed("nothing was done".to_owned()));
    }
    let record = edge::block_on(rollback.carry_out())??;
    Ok(match wanted.output {
        Format::Text => format!(
            "{}: run {} brought back {} in {}\n{}",
            plan.pipeline,
            record.run,
            goal(&plan),
            seconds(record.seconds),
            details(&plan, true)
        ),
        Format::Json => {
            let mut said = json!(plan);
            if let Value::Object(said) = &mut said {
                said.insert("run".to_owned(), json!(record.run));
                said.insert("seconds".to_owned(), json!(record.seconds));
            }
            format!("{said}\n")
        }
    })
}

/// Asks on a terminal; elsewhere, nobody is there to answer.
fn agreed(plan: &RollbackPlan) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "a rollback asks before it does anything, and there is no terminal: see what it would \
             do with --dry-run, and do it with --yes"
                .to_owned(),
        ));
    }
    let failed = |e: io::Error| Failure::Failed(format!("the question could not be asked: {e}"));
    let mut terminal = io::stderr().lock();
    write!(terminal, "{}\nDo it? [y/N] ", text(plan)).map_err(failed)?;
    terminal.flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn goal(plan: &RollbackPlan) -> String {
    match (plan.to, plan.tables.first()) {
        (Some(0), _) => "the state before the first run".to_owned(),
        (Some(run), _) => format!("what run {run} had left"),
        (None, Some(table)) => format!(
            "version {} of {}",
            table.restores.unwrap_or_default(),
            table.name
        ),
        (None, None) => "nothing".to_owned(),
    }
}

/// What a rollback would do, for people.
fn text(plan: &RollbackPlan) -> String {
    let mut text = format!(
        "{}: {}\n\n  brings back {}, as run {}\n",
        plan.pipeline,
        plan.root,
        goal(plan),
        plan.from + 1
    );
    text.push_str(&details(plan, false));
    // Writing to a string cannot fail.
    for warning in &plan.warnings {
        let _ = writeln!(text, "\n  note: {warning}");
    }
    for obstacle in &plan.obstacles {
        let _ = writeln!(text, "\n  cannot be done: {obstacle}");
    }
    text
}

fn details(plan: &RollbackPlan, done: bool) -> String {
    let mut text = String::new();
    if !plan.undone.is_empty() {
        text.push_str("\n  undoes\n");
    }
    for run in &plan.undone {
        let _ = writeln!(
            text,
            "    run {}: {} of {}, {} files, {}",
            run.run,
            run.kind,
            when(run.sealed_at),
            number(run.files),
            named(&run.release)
        );
    }
    let _ = writeln!(text, "\n{}", tables(&plan.tables));
    let be = if done { "are" } else { "will be" };
    if !plan.pending.is_empty() {
        let files = number(plan.pending.len() as u64);
        let _ = writeln!(text, "\n  {files} files {be} pending again");
        for file in plan.pending.iter().take(NAMED_FILES) {
            let gone = match (file.exists, file.archived) {
                (true, _) => "",
                (false, true) => " (gone; there is a copy)",
                (false, false) => " (gone)",
            };
            let _ = writeln!(text, "    {}{gone}", file.path);
        }
        if plan.pending.len() > NAMED_FILES {
            text.push_str("    …\n");
        }
    }
    for release in &plan.blocked {
        let _ = writeln!(
            text,
            "\n  {} {} blocked, until `lake run --allow {}`",
            named(release),
            if done { "is" } else { "will be" },
            release.version
        );
    }
    for commit in &plan.outside {
        let _ = writeln!(
            text,
            "\n  undoes {} of somebody else in {} (version {})",
            commit.operation, commit.table, commit.version
        );
    }
    text
}

fn tables(restored: &[RestoredTable]) -> Table {
    let mut list = Table::new();
    list.load_style(presets::NOTHING);
    list.set_header([
        "  table",
        "version",
        "restores",
        "rows",
        "will be",
        "files back",
        "files gone",
    ]);
    for table in restored {
        list.add_row([
            format!("  {}", table.name),
            table.version.to_string(),
            table
                .restores
                .map_or("empty".to_owned(), |version| version.to_string()),
            number(table.rows),
            number(table.rows_after),
            number(table.files_restored),
            number(table.files_removed),
        ]);
    }
    for index in FIGURES {
        if let Some(column) = list.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    list
}

/// A release as people know it.
pub(crate) fn named(release: &TransformRecord) -> String {
    let digest = release.digest.get(..12).unwrap_or(&release.digest);
    format!("{} {} ({digest})", release.name, release.version)
}
