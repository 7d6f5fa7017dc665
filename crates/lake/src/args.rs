//! The command line, as clap sees it.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use clap::{Parser, Subcommand, ValueEnum};
use lake_pipeline::{Overrides, Pattern};

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
        #[command(flatten)]
        again: Again,
        /// Wait for another run of the pipeline that is live, instead of ending with exit code 4
        #[arg(long)]
        wait: bool,
        /// Go on although this table has lost what a run left in it (may be given more than once)
        #[arg(long, value_name = "ZONE/TABLE")]
        accept_loss: Vec<String>,
        /// Say how it ended to those who watch runs: a file in the text format of Prometheus,
        /// http(s)://host:port of a Pushgateway, or otlp+http(s)://host:4318 [env: LAKE_METRICS]
        #[arg(long, value_name = "TARGET")]
        metrics: Option<String>,
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
    /// Read rejected rows once more, with the present release, and publish those that pass
    Replay {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// Only rows that failed this check, or that have this column wrong
        #[arg(long, value_name = "CHECK|COLUMN")]
        reason: Option<String>,
        /// Only rows that were rejected at this time or later, such as 2026-11-20
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<i64>,
        /// Only rows of files whose paths this takes: a name, or a pattern with *, ? and **
        #[arg(long = "file", value_name = "PATTERN", value_parser = Pattern::anywhere)]
        of_file: Option<Pattern>,
        /// Say how many rows would pass, and publish nothing
        #[arg(long)]
        dry_run: bool,
        /// Wait for a run that is live, instead of ending with exit code 4
        #[arg(long)]
        wait: bool,
        /// How to say what was done
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Set a file aside, so that no run loads it until its content changes
    Skip {
        /// The pipeline file (may be left out where pipelines/ holds exactly one), and the file
        #[arg(value_names = ["PIPELINE", "FILE"], num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Bring it back: the next run loads it
        #[arg(long)]
        undo: bool,
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
        #[command(flatten)]
        again: Again,
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
    /// Say what another release would make of the same files and tables, or what changed between
    /// two runs, and publish nothing
    #[command(group = clap::ArgGroup::new("with").required(true).args(["against", "from"]))]
    Diff {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        release: Release,
        /// The release to compare with, such as 1.2.0
        #[arg(long, value_name = "VERSION")]
        against: Option<semver::Version>,
        /// Compare what this run has left; 0 is the state before the first
        #[arg(long, value_name = "RUN")]
        from: Option<i64>,
        /// Compare it with what this run has left; without it, with what the last one has
        #[arg(long, value_name = "RUN", requires = "from")]
        to: Option<i64>,
        /// Load all files with both releases, as run --reload would, and not only pending ones
        #[arg(long, conflicts_with = "from")]
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
        /// The tables as they were at this time, such as 2026-11-20, 2026-11-20T06:30Z (UTC where
        /// no zone is given): as the last run before it has left them
        #[arg(long, value_name = "TIME", conflicts_with = "version", value_parser = time)]
        at: Option<i64>,
        /// How to print the rows
        #[arg(long, value_enum, default_value_t)]
        output: QueryFormat,
    },
    /// Say where rows come from (file, line, text, run, release), and where they went
    #[command(disable_version_flag = true)]
    Trace(Box<Trace>),
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

/// What is traced.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("traced").required(true).args(["table", "of_file"]))]
pub(crate) struct Trace {
    #[command(flatten)]
    pub(crate) pipeline: Pipeline,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) release: Release,
    /// Trace rows of this table, such as standard.readings or rejection.readings
    #[arg(long, value_name = "ZONE.TABLE")]
    pub(crate) table: Option<String>,
    /// Only the rows for which this holds, such as "meter_id = 'M0000001'"
    #[arg(long = "where", value_name = "SQL", requires = "table")]
    pub(crate) condition: Option<String>,
    /// Trace a line of this file: a name, or a pattern with *, ? and ** that one loaded file has
    #[arg(long = "file", value_name = "PATTERN", requires = "line", value_parser = Pattern::anywhere)]
    pub(crate) of_file: Option<Pattern>,
    /// The line, counted from 1
    #[arg(long, value_name = "LINE", requires = "of_file", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) line: Option<i64>,
    /// The tables as this run has left them; without it, as the last one has
    #[arg(long, value_name = "RUN")]
    pub(crate) version: Option<i64>,
    /// How many rows to show, of each table
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) limit: u16,
    /// How to say it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Which of the files that are loaded are loaded once more.
#[derive(Debug, clap::Args)]
pub(crate) struct Again {
    /// Reload only the loaded files whose paths this takes: a name, or a pattern with *, ? and **
    #[arg(long, value_name = "PATTERN", requires = "reload", value_parser = Pattern::anywhere)]
    files: Option<Pattern>,
    /// Reload only the files that were loaded at this time or later, such as 2026-11-20
    #[arg(long, value_name = "TIME", requires = "reload", value_parser = time)]
    since: Option<i64>,
}

impl Again {
    /// What was asked for, if anything.
    pub(crate) fn chosen(self) -> Option<lake_run::Again> {
        let Self { files, since } = self;
        (files.is_some() || since.is_some()).then_some(lake_run::Again { files, since })
    }
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

/// A moment, in microseconds since 1970: a date is its first moment, and what has no zone is UTC.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Ok(moment.timestamp_micros());
    }
    let plain = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let mut moments = forms
        .iter()
        .filter_map(|form| NaiveDateTime::parse_from_str(&plain, form).ok());
    let date = || {
        NaiveDate::parse_from_str(&plain, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    let moment = moments.next().or_else(date);
    let moment =
        moment.ok_or("it is a date or a time, as in 2026-11-20 or 2026-11-20T06:30:00Z")?;
    Ok(moment.and_utc().timestamp_micros())
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
            | Self::Skip { output, .. }
            | Self::Replay { output, .. }
            | Self::Diff { output, .. }
            | Self::Validate { output, .. } => *output == Format::Json,
            Self::Rollback(rollback) => rollback.output == Format::Json,
            Self::Trace(trace) => trace.output == Format::Json,
            Self::Query { output, .. } => *output == QueryFormat::Json,
            Self::Inspect(inspect) => inspect.output == Format::Json,
            Self::Plugin { command } => command.wants_json(),
            Self::Schema | Self::Completions { .. } => false,
        }
    }
}
