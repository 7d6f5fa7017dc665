//! The command line, as clap sees it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use lake_pipeline::Overrides;

use crate::inspect::Inspect;
use crate::plugin::PluginCommand;

/// Turns raw files into Delta tables, with transforms that are released like software.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: Log,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done (nothing to do, and rejected rows within limits, are done), 1 failed,
2 wrong usage or pipeline file, 3 stopped by a check or limit and nothing published,
4 another run is live, or was faster";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load what is pending and publish the tables
    Run {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// Load all files once more, also those that are loaded, so that every row comes from the
        /// present transform; rows that they no longer yield are removed
        #[arg(long)]
        reload: bool,
        /// Wait for another run of the pipeline that is live, instead of ending with exit code 4
        #[arg(long)]
        wait: bool,
        /// Go on although this table has lost what a run left in it (may be given more than once)
        #[arg(long, value_name = "ZONE/TABLE")]
        accept_loss: Vec<String>,
        /// How to say what was done
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Bring back what an earlier run has left: tables, what is loaded, and the release
    #[command(disable_version_flag = true)]
    Rollback(Box<Rollback>),
    /// Put small files together, and delete what no run in the rollback window needs
    Maintain {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        /// Say what would be done, and write nothing
        #[arg(long)]
        dry_run: bool,
        /// Wait for a run that is live, instead of ending with exit code 4
        #[arg(long)]
        wait: bool,
        /// How to say what was done
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say what a run would do and why, and write nothing
    Plan {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// Plan `run --reload`
        #[arg(long)]
        reload: bool,
        /// Show how the engine would carry out the SQL of each table
        #[arg(long)]
        sql: bool,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say what has happened: runs, newest first, and what was stopped; write nothing
    History {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        /// Say everything about this run
        #[arg(long, value_name = "RUN")]
        run: Option<i64>,
        /// How many to show
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say what another release would make of the same files and tables, and publish nothing
    Diff {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// The release to compare with, such as 1.2.0
        #[arg(long, value_name = "VERSION")]
        against: semver::Version,
        /// Load all files with both releases, as run --reload would, and not only pending ones
        #[arg(long)]
        reload: bool,
        /// How many rows of each kind to show per table
        #[arg(long, value_name = "COUNT", default_value_t = 3)]
        samples: usize,
        /// End with exit code 3 where something differs
        #[arg(long, value_enum, value_name = "WHAT")]
        fail_on: Option<FailOn>,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Check a pipeline file and its transform, without reading any data
    Validate {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// How to say what was found
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Query the tables: standard.…, consumption.…, rejection.…, _lake.files, _lake.runs
    #[command(disable_version_flag = true)]
    Query {
        /// The pipeline file (may be left out where pipelines/ holds exactly one), and the SQL
        #[arg(value_names = ["PIPELINE", "SQL"], num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// The tables as this run has left them; without it, as the last one has
        #[arg(long, value_name = "RUN")]
        version: Option<i64>,
        /// How to print the rows
        #[arg(long, value_enum, default_value_t)]
        output: QueryFormat,
    },
    /// Look into a raw file: what it is, its first rows and its bad ones, and what to declare for it
    Inspect(Inspect),
    /// Write, test and release transforms
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Print the JSON Schema of pipeline files, for editors
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pipeline {
    /// The pipeline file; may be left out where pipelines/ holds exactly one
    #[arg(value_name = "PIPELINE")]
    pub(crate) file: Option<PathBuf>,
}

impl Pipeline {
    /// The argument as it has to be repeated in the next command.
    pub(crate) fn shown(&self) -> String {
        match &self.file {
            Some(file) => format!("{} ", file.display()),
            None => String::new(),
        }
    }
}

/// What is brought back, and how.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("goal").required(true).args(["version", "last", "table"]))]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) pipeline: Pipeline,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Bring back what this run has left; 0 is the state before the first
    #[arg(long, value_name = "RUN")]
    pub(crate) version: Option<i64>,
    /// Undo the last run
    #[arg(long)]
    pub(crate) last: bool,
    /// Bring back this table alone
    #[arg(long, value_name = "ZONE/TABLE", requires = "table_version")]
    pub(crate) table: Option<String>,
    /// The Delta version of that table to bring back
    #[arg(long, value_name = "VERSION", requires = "table")]
    pub(crate) table_version: Option<i64>,
    /// Say what it would do, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Leave the files of the undone runs marked as loaded, until their content changes
    #[arg(long, conflicts_with = "table")]
    pub(crate) keep_files: bool,
    /// Block no release
    #[arg(long, conflicts_with = "table")]
    pub(crate) keep_release: bool,
    /// Do not block this release, and allow it where it is blocked (may be given more than once)
    #[arg(long, value_name = "RELEASE")]
    pub(crate) allow: Vec<String>,
    /// Undo what others have committed since as well
    #[arg(long)]
    pub(crate) discard_outside: bool,
    /// How to say what was done
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Which release of the transform is used.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// Use this release, whatever lake.lock and transform.path say
    #[arg(long, value_name = "NAME@VERSION", value_parser = release)]
    pub(crate) transform: Option<(String, semver::Version)>,
    /// Use what lake.lock pins and nothing else: no transform.path, no newer release
    #[arg(long)]
    pub(crate) locked: bool,
    /// Use this release although it is blocked since a rollback: a version, or the beginning of
    /// its digest (may be given more than once)
    #[arg(long, value_name = "RELEASE")]
    pub(crate) allow: Vec<String>,
}

pub(crate) fn release(text: &str) -> Result<(String, semver::Version), String> {
    let Some((name, version)) = text.split_once('@') else {
        return Err("it has the form NAME@VERSION, as in utility@1.2.0".to_owned());
    };
    let version = version
        .parse()
        .map_err(|e| format!("'{version}' is no version: {e}"))?;
    Ok((name.to_owned(), version))
}

/// Settings that differ between machines.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where the tables live [env: LAKE_ROOT]
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<String>,
    /// Where an input's files are [env: LAKE_INPUT_<NAME>]
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    input: Vec<(String, String)>,
    /// Any other setting of the pipeline file, such as limits.memory=1GiB
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

impl Common {
    /// The flags that the next command needs to find the same tables.
    pub(crate) fn shown(&self) -> String {
        match &self.root {
            Some(root) if root.contains(char::is_whitespace) => format!("--root '{root}' "),
            Some(root) => format!("--root {root} "),
            None => String::new(),
        }
    }

    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            root: self.root.clone(),
            inputs: self.input.clone(),
            set: self.set.clone(),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

/// What goes to stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) log_format: Format,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more; twice, say everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object, for programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any row, column or table that differs
    Changes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// A table that fits the terminal
    #[default]
    Text,
    /// Comma-separated values with a header
    Csv,
    /// A JSON array of objects
    Json,
}

impl Command {
    /// Whether stdout is read by a program that expects JSON in any case.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Run { output, .. }
            | Self::Plan { output, .. }
            | Self::History { output, .. }
            | Self::Maintain { output, .. }
            | Self::Diff { output, .. }
            | Self::Validate { output, .. } => *output == Format::Json,
            Self::Rollback(rollback) => rollback.output == Format::Json,
            Self::Query { output, .. } => *output == QueryFormat::Json,
            Self::Inspect(inspect) => inspect.output == Format::Json,
            Self::Plugin { command } => command.wants_json(),
            Self::Schema | Self::Completions { .. } => false,
        }
    }
}
