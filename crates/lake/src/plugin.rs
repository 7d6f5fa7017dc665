//! `lake plugin …`: the author's kit on the command line, and what it says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use lake_kit::{CaseReport, TableOutcome, TestOptions, TestReport};
use serde_json::{Value, json};

use crate::args::Format;
use crate::bump::{self, Bump};
use crate::edge;
use crate::exit::Failure;
use crate::release::{self, ReleaseCommand};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Write a new transform: a crate that builds, tests and runs at once
    New {
        /// Its name, as in Cargo.toml
        name: String,
        /// Where to write it [default: a directory of its name]
        #[arg(long, value_name = "DIRECTORY")]
        path: Option<PathBuf>,
    },
    /// Hold a transform against its golden cases in tests/golden
    Test {
        /// The directory of its crate
        #[arg(value_name = "DIRECTORY", default_value = ".")]
        directory: PathBuf,
        /// Only this case; may be given several times
        #[arg(long = "case", value_name = "NAME")]
        cases: Vec<String>,
        /// Write what the cases expect instead of comparing [env: LAKE_UPDATE_GOLDEN=1]
        #[arg(long)]
        update: bool,
        /// How to say what came of it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Write the SDK of this lake into the crate of a transform
    Sdk {
        /// The directory of its crate
        #[arg(value_name = "DIRECTORY", default_value = ".")]
        directory: PathBuf,
    },
    /// Give a transform its next version: write it down, commit it and tag it
    Bump(Box<Bump>),
    #[command(flatten)]
    Release(ReleaseCommand),
}

impl PluginCommand {
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Test { output, .. } => *output == Format::Json,
            Self::New { .. } | Self::Sdk { .. } => false,
            Self::Bump(bump) => bump.output == Format::Json,
            Self::Release(command) => command.wants_json(),
        }
    }
}

pub(crate) fn perform(command: PluginCommand) -> Result<String, Failure> {
    match command {
        PluginCommand::New { name, path } => {
            let directory = path.unwrap_or_else(|| PathBuf::from(&name));
            lake_kit::new_crate(&name, &directory)?;
            Ok(created_text(&name, &directory))
        }
        PluginCommand::Test {
            directory,
            cases,
            update,
            output,
        } => {
            let options = TestOptions {
                cases,
                update: update || edge::update_golden(),
            };
            let report = edge::block_on(lake_kit::test(&directory, &options, &edge::machine()))??;
            match output {
                _ if !report.passed() => Err(Failure::Tested(Box::new(TestFailure {
                    text: failed_text(&report, &directory),
                    json: json(&report),
                }))),
                Format::Text => Ok(passed_text(&report)),
                Format::Json => Ok(format!("{}\n", json(&report))),
            }
        }
        PluginCommand::Sdk { directory } => {
            let changed = lake_kit::write_sdk(&directory)?;
            Ok(sdk_text(&changed))
        }
        PluginCommand::Bump(wanted) => bump::perform(*wanted),
        PluginCommand::Release(command) => release::perform(command),
    }
}

/// Golden cases that are not as expected, for people and for programs.
#[derive(Debug)]
pub(crate) struct TestFailure {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl TestFailure {
    /// Cases that keep a transform from being published.
    pub(crate) fn of_release(report: &TestReport) -> Self {
        let text = failed_text(report, Path::new("."));
        Self {
            text: format!("{text}\n\nNothing was published."),
            json: json(report),
        }
    }
}

fn created_text(name: &str, directory: &Path) -> String {
    let directory = quoted(directory);
    let program = from_anywhere(&edge::program());
    let mut text = format!("{name} is in {directory}:\n\n");
    // Writing to a string cannot fail.
    for (file, meaning) in [
        ("src/lib.rs", "what the data means: columns, checks, tables"),
        ("src/*.sql", "the SQL of the tables"),
        (
            "tests/golden/",
            "raw files, and the tables they have to become",
        ),
        ("pipeline.yaml", "where data comes from and goes to"),
        ("data/", "a sample"),
        ("lake-plugin/", "the SDK of this lake"),
    ] {
        let _ = writeln!(text, "  {file:<15} {meaning}");
    }
    let _ = write!(
        text,
        "\nNext:  cd {directory}\n       {program} plugin test\n       \
         {program} run pipeline.yaml\n       \
         {program} query pipeline.yaml \"SELECT * FROM consumption.daily_sales\"\n"
    );
    text
}

fn sdk_text(changed: &[PathBuf]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if changed.is_empty() {
        return format!("lake-plugin is that of lake {version} already; nothing was written.\n");
    }
    let mut text = format!("lake-plugin is now that of lake {version}:\n");
    for file in changed {
        let _ = writeln!(text, "  {}", file.display());
    }
    text.push_str("\nNext:  cargo test, and git diff\n");
    text
}

/// `utility 1.0.0: 2 golden cases`
fn title(report: &TestReport) -> String {
    let cases = counted(report.cases.len(), "golden case");
    format!("{} {}: {cases}", report.transform, report.version)
}

fn passed_text(report: &TestReport) -> String {
    let tables = || report.cases.iter().flat_map(|case| &case.tables);
    let is_written = tables().any(|table| table.outcome != TableOutcome::Same);
    let how = if is_written { "updated" } else { "as expected" };
    let mut text = format!("{}, {how}\n", title(report));
    let width = report.cases.iter().map(|case| case.name.len()).max();
    let width = width.unwrap_or_default();
    for case in &report.cases {
        let _ = writeln!(
            text,
            "  {:<width$}  {}, {}",
            case.name,
            counted(case.runs, "run"),
            counted(case.tables.len(), "table")
        );
    }
    if is_written {
        text.push('\n');
    }
    for table in tables() {
        let what = match &table.outcome {
            TableOutcome::Written { new: true } => "new",
            TableOutcome::Written { new: false } => "changed",
            TableOutcome::Removed => "removed",
            TableOutcome::Same | TableOutcome::Different { .. } | TableOutcome::Missing => continue,
        };
        let _ = writeln!(text, "  {what:<8} {}", table.file.display());
    }
    if is_written {
        text.push_str("\nNext:  git diff shows whether that is what was meant\n");
    }
    text
}

fn failed_text(report: &TestReport, directory: &Path) -> String {
    let failed = report.cases.iter().filter(|case| !case.passed());
    let mut text = format!(
        "{}, {} not as expected\n",
        title(report),
        failed.clone().count()
    );
    for case in failed.clone() {
        failed_case(&mut text, case);
    }
    let differs = failed
        .flat_map(|case| &case.tables)
        .any(|table| table.outcome != TableOutcome::Same);
    if differs {
        let directory = match directory == Path::new(".") {
            true => String::new(),
            false => format!(" {}", quoted(directory)),
        };
        let _ = write!(
            text,
            "\nIf the transform is right, `{} plugin test{directory} --update` writes these rows into \
             the expected files",
            edge::program()
        );
    }
    text.trim_end().to_owned()
}

fn failed_case(text: &mut String, case: &CaseReport) {
    for problem in &case.problems {
        let _ = writeln!(text, "\ncase {}: {}", case.name, problem.trim_end());
    }
    for table in &case.tables {
        match &table.outcome {
            TableOutcome::Different { diff } => {
                let _ = write!(
                    text,
                    "\ncase {}: {} has other rows\n{diff}",
                    case.name, table.name
                );
            }
            TableOutcome::Missing => {
                let _ = writeln!(
                    text,
                    "\ncase {}: {} has {}, and there is no {}",
                    case.name,
                    table.name,
                    counted(table.rows, "row"),
                    table.file.display()
                );
            }
            TableOutcome::Same | TableOutcome::Written { .. } | TableOutcome::Removed => {}
        }
    }
}

/// The report for programs: stable names, one object.
fn json(report: &TestReport) -> Value {
    let cases = report.cases.iter().map(|case| {
        let tables = case.tables.iter().map(|table| {
            let (status, diff) = match &table.outcome {
                TableOutcome::Same => ("same", None),
                TableOutcome::Different { diff } => ("different", Some(diff)),
                TableOutcome::Missing => ("missing", None),
                TableOutcome::Written { new: true } => ("new", None),
                TableOutcome::Written { new: false } => ("changed", None),
                TableOutcome::Removed => ("removed", None),
            };
            json!({
                "name": table.name,
                "file": table.file,
                "rows": table.rows,
                "status": status,
                "diff": diff,
            })
        });
        json!({
            "name": case.name,
            "status": if case.passed() { "done" } else { "failed" },
            "runs": case.runs,
            "tables": tables.collect::<Vec<_>>(),
            "problems": case.problems,
        })
    });
    json!({
        "status": if report.passed() { "done" } else { "failed" },
        "exit_code": if report.passed() { 0 } else { 1 },
        "transform": { "name": report.transform, "version": report.version },
        "cases": cases.collect::<Vec<_>>(),
    })
}

/// A program that was called by its path, so that it is found in another directory too.
fn from_anywhere(program: &str) -> String {
    match std::path::absolute(program) {
        Ok(path) if program.contains(std::path::MAIN_SEPARATOR) => quoted(&path),
        _ => program.to_owned(),
    }
}

/// `1 row`, `2 rows`
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let shown = path.display().to_string();
    if shown.contains(char::is_whitespace) {
        format!("'{shown}'")
    } else {
        shown
    }
}
