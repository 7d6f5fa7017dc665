//! What a case consists of.
//!
//! ```text
//! tests/golden/<case>/
//!   case.toml                      optional: received_at, [params]
//!   <input>.csv                    raw files of the one run,
//!   1/<input>.csv  2/<input>.csv   or of several runs
//!   day=2025-06-01/<input>.csv     with values of columns that come from the path
//!   standard.<table>.csv  consumption.<table>.csv  rejection.<input>.csv
//! ```
//!
//! A raw file has the ending of its format ([`ENDINGS`]), and may be compressed ([`COMPRESSED`]).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use lake_plugin::{Declaration, InputDeclaration, InputFormat};
use serde::Deserialize;
use toml::Value;

use crate::error::{KitError, Result};

/// Where the cases of a crate are.
pub(crate) const DIRECTORY: &str = "tests/golden";

const SETTINGS: &str = "case.toml";

/// What the names of raw files end with. What is in a file, the transform says.
const ENDINGS: [&str; 7] = ["csv", "tsv", "txt", "ndjson", "jsonl", "json", "parquet"];

/// What follows where a raw file is compressed.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

/// When files are received where the case does not say, in microseconds: 2026-01-01, UTC.
const RECEIVED_AT: i64 = 1_767_225_600_000_000;

/// A table that a case has to say something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As SQL calls it: `standard.orders`.
    pub(crate) name: String,
    pub(crate) zone: &'static str,
    /// Its name within the zone.
    pub(crate) table: String,
    /// The columns that its rows are sorted by, before all others.
    pub(crate) key: Vec<String>,
}

impl Wanted {
    fn new(zone: &'static str, table: &str, key: &[String]) -> Self {
        Self {
            name: format!("{zone}.{table}"),
            zone,
            table: table.to_owned(),
            key: key.to_owned(),
        }
    }

    /// The name of the expected file.
    pub(crate) fn file(&self) -> String {
        format!("{}.csv", self.name)
    }

    pub(crate) fn is_rejection(&self) -> bool {
        self.zone == "rejection"
    }
}

/// All tables that a transform makes, in the order of its declaration.
pub(crate) fn wanted(declaration: &Declaration) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for table in &declaration.tables {
        wanted.push(Wanted::new(table.zone.name(), &table.name, &table.key));
        if table.history {
            wanted.push(Wanted::new(
                table.zone.name(),
                &table.history_name(),
                &table.key,
            ));
        }
    }
    for input in &declaration.inputs {
        wanted.push(Wanted::new("rejection", &input.name, &[]));
    }
    wanted
}

/// The names of a crate's cases, or of those that were asked for.
pub(crate) fn find(crate_directory: &Path, asked: &[String]) -> Result<Vec<String>> {
    let directory = crate_directory.join(DIRECTORY);
    let mut found = Vec::new();
    if directory.is_dir() {
        for entry in entries(&directory).map_err(KitError::io(&directory))? {
            if entry.path.is_dir() {
                found.push(entry.name);
            } else if entry.name.ends_with(".csv") {
                return Err(KitError::usage(format!(
                    "{} is in no case; give it a directory of its own: {DIRECTORY}/<case>/{}",
                    entry.path.display(),
                    entry.name
                )));
            }
        }
    }
    if found.is_empty() {
        return Err(KitError::usage(format!(
            "there is no golden case; make {}, put raw files <input>.csv into it, and let \
             lake plugin test --update write the tables that it expects",
            directory.join("<case>").display()
        )));
    }
    match asked.iter().find(|name| !found.contains(name)) {
        None if asked.is_empty() => Ok(found),
        None => {
            found.retain(|name| asked.contains(name));
            Ok(found)
        }
        Some(unknown) => Err(KitError::usage(format!(
            "there is no golden case {unknown}; the cases are {}",
            found.join(", ")
        ))),
    }
}

/// A case as its directory says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) runs: Vec<Run>,
    /// The values of parameters, as a pipeline file has them.
    pub(crate) params: BTreeMap<String, String>,
    /// Expected files of tables that there are not.
    pub(crate) stale: Vec<PathBuf>,
    /// All that is wrong.
    pub(crate) problems: Vec<String>,
}

/// What one run of a case loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// When its files were received, and what the clock says during the run.
    pub(crate) received_at: DateTime<Utc>,
    /// The raw files: where each is, and where it is below the directory of the run.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
}

impl Case {
    /// Reads a case; what is wrong with it is among what is read.
    pub(crate) fn read(
        directory: &Path,
        declaration: &Declaration,
        wanted: &[Wanted],
    ) -> io::Result<Self> {
        let mut case = Self::default();
        let mut single = Run::default();
        let mut several = BTreeMap::new();
        for Entry { name, path } in entries(directory)? {
            if path.is_dir() && name.contains('=') {
                case.directory(Path::new(&name), &path, declaration, &mut single)?;
            } else if path.is_dir() {
                match name.parse::<usize>() {
                    Ok(number) if number > 0 && number.to_string() == name => {
                        let run = several.entry(number).or_insert_with(Run::default);
                        case.directory(Path::new(""), &path, declaration, run)?;
                    }
                    _ => case.problems.push(format!(
                        "{name}/ is no run: the runs of a case are the directories 1/, 2/, …"
                    )),
                }
            } else if name == SETTINGS || wanted.iter().any(|wanted| wanted.file() == name) {
                // Read below, and when tables are compared.
            } else if is_expectation(&name) {
                case.stale.push(path);
            } else {
                case.input(Path::new(&name), path.clone(), declaration, &mut single);
            }
        }
        case.take_runs(single, several, declaration);
        let settings = directory.join(SETTINGS);
        if settings.is_file() {
            case.settings(&fs::read_to_string(settings)?);
        } else {
            case.receive(&[start()]);
        }
        Ok(case)
    }

    /// Takes the raw files of a run, and those of its directories `name=value`.
    fn directory(
        &mut self,
        below: &Path,
        directory: &Path,
        declaration: &Declaration,
        run: &mut Run,
    ) -> io::Result<()> {
        for Entry { name, path } in entries(directory)? {
            let below = below.join(&name);
            if path.is_dir() && name.contains('=') {
                self.directory(&below, &path, declaration, run)?;
            } else {
                self.input(&below, path, declaration, run);
            }
        }
        Ok(())
    }

    /// Takes a file as a raw file of an input, which is the rest of what may be in a case.
    fn input(&mut self, below: &Path, path: PathBuf, declaration: &Declaration, run: &mut Run) {
        let name = below.file_name().unwrap_or_default().to_string_lossy();
        let input = raw_of(&name);
        let mut inputs = declaration.inputs.iter().map(|input| input.name.as_str());
        if input.is_some_and(|input| inputs.any(|known| known == input)) {
            run.files.push((path, below.to_owned()));
            return;
        }
        let raw: Vec<String> = declaration.inputs.iter().map(raw_name).collect();
        self.problems.push(format!(
            "{} is no part of a case: that is {SETTINGS}, the raw files {}, and the expected \
             tables <zone>.<table>.csv",
            below.display(),
            raw.join(", ")
        ));
    }

    fn take_runs(&mut self, single: Run, several: BTreeMap<usize, Run>, declaration: &Declaration) {
        let raw = declaration.inputs.first();
        let raw = raw.map_or_else(|| "<input>.csv".to_owned(), raw_name);
        if !single.files.is_empty() && !several.is_empty() {
            self.problems.push(format!(
                "raw files are in the case and in the directories of its runs: move {raw} to 1/{raw}"
            ));
        }
        for (place, (number, run)) in several.iter().enumerate() {
            if *number != place + 1 {
                self.problems.push(format!(
                    "run {number} has no run {} before it: number them 1/, 2/, …",
                    place + 1
                ));
                break;
            }
            if run.files.is_empty() {
                self.problems.push(format!(
                    "run {number} has no raw file: put {raw} into {number}/"
                ));
            }
        }
        if single.files.is_empty() && several.is_empty() && self.problems.is_empty() {
            self.problems
                .push(format!("the case has no raw file: put {raw} into it"));
        }
        self.runs = if several.is_empty() {
            vec![single]
        } else {
            several.into_values().collect()
        };
    }

    fn settings(&mut self, text: &str) {
        let written: Written = match toml::from_str(text) {
            Ok(written) => written,
            Err(error) => {
                self.problems.push(format!("{SETTINGS}: {error}"));
                return;
            }
        };
        for (name, value) in written.params {
            match value {
                Value::String(text) => _ = self.params.insert(name, text),
                Value::Array(_) | Value::Table(_) => self.problems.push(format!(
                    "{SETTINGS}: params.{name} has one value, in quotes if need be"
                )),
                plain => _ = self.params.insert(name, plain.to_string()),
            }
        }
        let received: Vec<&Value> = match &written.received_at {
            None => Vec::new(),
            Some(Value::Array(instants)) if instants.len() == self.runs.len() => {
                instants.iter().collect()
            }
            Some(Value::Array(instants)) => {
                self.problems.push(format!(
                    "{SETTINGS}: received_at has {} instants, and the case has {} runs: give one, \
                     or one for each run",
                    instants.len(),
                    self.runs.len()
                ));
                return;
            }
            Some(one) => vec![one],
        };
        let instants: std::result::Result<Vec<_>, _> = received.into_iter().map(instant).collect();
        match instants {
            Ok(none) if none.is_empty() => self.receive(&[start()]),
            Ok(instants) => self.receive(&instants),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Says when each run's files were received; behind the last instant, hour by hour.
    fn receive(&mut self, instants: &[DateTime<Utc>]) {
        let mut next = start();
        for (place, run) in self.runs.iter_mut().enumerate() {
            run.received_at = instants.get(place).copied().unwrap_or(next);
            next = run.received_at + TimeDelta::hours(1);
        }
    }
}

/// `case.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    received_at: Option<Value>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(RECEIVED_AT).unwrap_or_default()
}

fn instant(value: &Value) -> std::result::Result<DateTime<Utc>, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(instant) => Ok(instant.to_utc()),
        Err(e) => Err(format!(
            "{SETTINGS}: received_at: {text:?} is no instant ({e}): write \"2026-01-01T00:00:00Z\""
        )),
    }
}

/// The input whose raw file has this name, if it can be one.
fn raw_of(name: &str) -> Option<&str> {
    let plain = COMPRESSED.iter().find_map(|end| name.strip_suffix(end));
    let (input, ending) = plain.unwrap_or(name).split_once('.')?;
    ENDINGS.contains(&ending).then_some(input)
}

/// What a raw file of an input is usually called.
fn raw_name(input: &InputDeclaration) -> String {
    let ending = match input.format {
        InputFormat::Csv(_) => "csv",
        InputFormat::Tsv(_) => "tsv",
        InputFormat::Ndjson(_) => "ndjson",
        InputFormat::Json(_) => "json",
        InputFormat::Parquet(_) => "parquet",
    };
    format!("{}.{ending}", input.name)
}

/// Whether a file's name is one that an expected table has.
fn is_expectation(name: &str) -> bool {
    let table = name
        .strip_suffix(".csv")
        .and_then(|name| name.split_once('.'));
    table.is_some_and(|(zone, _)| ["standard", "consumption", "rejection"].contains(&zone))
}

struct Entry {
    name: String,
    path: PathBuf,
}

/// What is in a directory, by name. Hidden files are other programs' business.
fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            let path = entry.path();
            found.push(Entry { name, path });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use lake_plugin::prelude::*;

    use super::*;

    fn declaration() -> Declaration {
        Transform::new()
            .input(Input::csv("orders").header().column("id", integer()))
            .table(
                Table::standard("orders")
                    .sql("SELECT 1")
                    .key(["id"])
                    .history(),
            )
            .declaration()
    }

    /// The case of these files, each with its content.
    fn case(files: &[(&str, &str)]) -> Case {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let declaration = declaration();
        Case::read(directory.path(), &declaration, &wanted(&declaration)).unwrap()
    }

    #[track_caller]
    fn assert_problem(files: &[(&str, &str)], text: &str) {
        let problems = case(files).problems.join("\n");
        assert!(problems.contains(text), "{problems}");
    }

    fn received(case: &Case) -> Vec<String> {
        let instants = case.runs.iter().map(|run| run.received_at.to_rfc3339());
        instants.collect()
    }

    #[test]
    fn history_and_rejected_rows_are_tables_too() {
        let names: Vec<String> = wanted(&declaration()).into_iter().map(|w| w.name).collect();
        let expected = [
            "standard.orders",
            "standard.orders_history",
            "rejection.orders",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_case_with_files_beside_each_other_is_one_run() {
        let case = case(&[
            ("orders.csv", ""),
            ("standard.orders.csv", ""),
            (".hidden", ""),
        ]);
        assert_eq!(case.problems, Vec::<String>::new());
        assert_eq!(case.runs[0].files[0].1, Path::new("orders.csv"));
        assert_eq!(received(&case), ["2026-01-01T00:00:00+00:00"]);
    }

    #[test]
    fn raw_files_may_have_any_format_be_compressed_and_be_in_directories_that_say_something() {
        for name in [
            "orders.tsv",
            "orders.ndjson",
            "orders.jsonl",
            "orders.json",
            "orders.parquet",
            "orders.csv.gz",
            "orders.json.zst",
            "day=2025-06-01/shop=7/orders.csv",
            "1/day=2025-06-01/orders.txt",
        ] {
            let case = case(&[(name, "")]);
            assert_eq!(case.problems, Vec::<String>::new(), "{name}");
            let below = name.strip_prefix("1/").unwrap_or(name);
            assert_eq!(case.runs[0].files[0].1, Path::new(below));
        }
        assert_problem(&[("orders.gz", "")], "orders.gz is no part of a case");
        assert_problem(&[("day=1/order.csv", "")], "day=1/order.csv is no part");
    }

    #[test]
    fn runs_are_in_the_order_of_their_numbers_and_an_hour_apart() {
        let files: Vec<String> = (1..=10).map(|run| format!("{run}/orders.csv")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "")).collect();
        let case = case(&files);
        assert_eq!(case.problems, Vec::<String>::new());
        assert_eq!(received(&case)[9], "2026-01-01T09:00:00+00:00");
        let tenth = &case.runs[9].files[0].0;
        assert!(tenth.ends_with("10/orders.csv"), "{}", tenth.display());
    }

    #[test]
    fn files_are_received_when_the_case_says() {
        let runs = [("1/orders.csv", ""), ("2/orders.csv", "")];
        let with = |settings: &'static str| {
            let files = [runs[0], runs[1], ("case.toml", settings)];
            received(&case(&files))
        };
        for start in ["\"2025-06-01T02:00:00+02:00\"", "2025-06-01T00:00:00Z"] {
            let settings: &str = format!("received_at = {start}").leak();
            let expected = ["2025-06-01T00:00:00+00:00", "2025-06-01T01:00:00+00:00"];
            assert_eq!(with(settings), expected);
        }
        assert_eq!(
            with("received_at = ['2025-06-01T00:00:00Z', '2025-05-01T00:00:00Z']"),
            ["2025-06-01T00:00:00+00:00", "2025-05-01T00:00:00+00:00"]
        );
    }

    #[test]
    fn parameters_are_text_as_a_pipeline_file_has_them() {
        let settings = "[params]\ngap = '20m'\ntop = 5\nshare = 0.5\nday = 2025-06-01\n";
        let case = case(&[("orders.csv", ""), ("case.toml", settings)]);
        let params: Vec<(&str, &str)> = case
            .params
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let expected = [
            ("day", "2025-06-01"),
            ("gap", "20m"),
            ("share", "0.5"),
            ("top", "5"),
        ];
        assert_eq!(params, expected);
    }

    #[test]
    fn what_is_wrong_with_a_case_is_said_with_the_way_out() {
        assert_problem(
            &[("standard.orders.csv", "")],
            "the case has no raw file: put orders.csv",
        );
        assert_problem(&[("order.csv", "")], "order.csv is no part of a case");
        assert_problem(&[("1/notes.md", "")], "notes.md is no part of a case");
        assert_problem(&[("01/orders.csv", "")], "01/ is no run");
        assert_problem(&[("2/orders.csv", "")], "run 2 has no run 1 before it");
        assert_problem(
            &[("orders.csv", ""), ("1/orders.csv", "")],
            "move orders.csv to 1/orders.csv",
        );
        let with = |settings: &'static str, text| {
            assert_problem(&[("orders.csv", ""), ("case.toml", settings)], text);
        };
        with("received = 1", "unknown field `received`");
        with("received_at = 'noon'", "\"noon\" is no instant");
        with("received_at = []", "0 instants, and the case has 1 runs");
        with("[params]\ngap = [1]", "params.gap has one value");
        with("received_at", "case.toml: ");
    }

    #[test]
    fn an_expected_table_that_there_is_not_is_stale() {
        let case = case(&[("orders.csv", ""), ("standard.gone.csv", "")]);
        assert_eq!(case.problems, Vec::<String>::new());
        assert!(case.stale[0].ends_with("standard.gone.csv"));
    }
}
