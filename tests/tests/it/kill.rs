//! Killed wherever it changes its root, and run again: the same rows, once.
//!
//! The built `lake` is held at one change of its file system ([`crate::pause`]) and ended by
//! SIGKILL. `lake-run/tests/it/kill.rs` tries every operation of a store; here it is a process, the
//! store that people have, and the stages of a run by their names.

use std::fs;
use std::path::{Path, PathBuf};

use lake_tests::{Ended, Lake, csv, reading};

use crate::pause::{Change, Held};

/// The tables that a run with rejected rows commits to, in no order; `_lake/runs` comes after them.
const TABLES: [&str; 4] = [
    "standard/readings",
    "consumption/daily_usage",
    "rejection/readings",
    "_lake/files",
];

/// What a reader can see of every table: all columns, but for the instants of the run that wrote them.
const COLUMNS: [(&str, &str); 5] = [
    (
        "standard.readings",
        "customer_id, meter_id, start_time, end_time, usage_kwh, region, usage_date, received_at, \
         _file, _line, _run",
    ),
    (
        "consumption.daily_usage",
        "customer_id, usage_date, usage_kwh, readings, first_reading, last_reading, peak_hour, _run",
    ),
    (
        "rejection.readings",
        "row_id, input, file, line, byte_offset, raw, reasons, received_at, run, \
         transform_version, resolved_run",
    ),
    (
        "_lake.files",
        "input, path, size, modified, hash, run, rows, accepted, rejected",
    ),
    ("_lake.runs", "run, kind, status"),
];

#[test]
fn a_first_run_that_is_killed_at_any_stage_loses_nothing_and_loads_nothing_twice() {
    let files = Lake::new();
    first_files(&files);
    let scene = Scene::new(&files);
    assert_eq!(scene.before, None);
    for stage in scene.stages() {
        scene.assert_survives(&stage);
    }
}

#[test]
fn a_second_run_that_is_killed_at_any_stage_loses_nothing_and_loads_nothing_twice() {
    let files = Lake::new();
    first_files(&files);
    files.publish(&[]);
    corrections_and_news(&files);
    let scene = Scene::new(&files);
    assert_ne!(scene.before, Some(scene.after.clone()));
    for stage in scene.stages() {
        scene.assert_survives(&stage);
    }
}

#[test]
fn a_run_that_is_killed_while_it_sums_up_a_log_loses_nothing_and_loads_nothing_twice() {
    let files = Lake::new();
    for day in 1..=10 {
        files.put(&format!("{day}.csv"), 1, csv([reading(1, 1, day, 0, "1")]));
        files.publish(&[]);
    }
    first_files(&files);
    let scene = Scene::new(&files);
    let log = "utility/standard/readings/_delta_log/";
    let checkpoint = format!("{log}00000000000000000010.checkpoint");
    let pointer = format!("{log}_last_checkpoint");
    for path in [checkpoint, pointer] {
        scene.assert_survives(&sealed(Change::before(&path)));
        scene.assert_survives(&sealed(Change::after(&path)));
    }
}

/// Where a run is killed.
#[derive(Debug)]
struct Stage {
    at: Change,
    /// Whether the run has been sealed by then, so that it happens.
    sealed: bool,
}

fn unsealed(at: Change) -> Stage {
    Stage { at, sealed: false }
}

fn sealed(at: Change) -> Stage {
    Stage { at, sealed: true }
}

/// Raw files that are waiting for a run, the root before it, and what the run makes of both.
struct Scene<'a> {
    files: &'a Lake,
    /// `None` where there are no tables.
    before: Option<Vec<String>>,
    after: Vec<String>,
    /// How many objects the run prepares for its seal.
    prepared: usize,
}

impl<'a> Scene<'a> {
    /// The root of `files` stays as it is: everything happens to copies of it.
    fn new(files: &'a Lake) -> Self {
        let mut scene = Self {
            files,
            before: None,
            after: Vec::new(),
            prepared: 0,
        };
        let before = scene.copy(&files.root(), "before");
        if before.exists() {
            scene.before = scene.rows(&before, "before the run");
        }
        let undisturbed = scene.copy(&files.root(), "undisturbed");
        scene.run(&undisturbed).assert(0, &[]);
        scene.after = scene.rows(&undisturbed, "undisturbed").unwrap();
        scene.prepared = prepared(&undisturbed) - prepared(&before);
        scene
    }

    /// Every stage of a run that changes the root, in their order.
    fn stages(&self) -> Vec<Stage> {
        let mut stages = Vec::new();
        for place in ["heartbeat.json", "probe"] {
            let place = format!("utility/_lake/{place}");
            stages.push(unsealed(Change::before(&place)));
            // A second run finds the probe where the first one left it.
            if place.ends_with("heartbeat.json") || self.before.is_none() {
                stages.push(unsealed(Change::after(&place)));
            }
        }
        let data = "utility/standard/readings/run-";
        let prepared = "utility/_lake/prepared/";
        let seal = "utility/_lake/log/";
        stages.extend([
            unsealed(Change::before(data)),
            unsealed(Change::after(data)),
            unsealed(Change::before(prepared)),
            unsealed(Change::after(prepared).nth(self.prepared)),
            unsealed(Change::before(seal)),
            sealed(Change::after(seal)),
        ]);
        for table in TABLES {
            let commit = format!("utility/{table}/_delta_log/");
            stages.push(sealed(Change::before(&commit)));
            stages.push(sealed(Change::after(&commit)));
        }
        let runs = "utility/_lake/runs/";
        stages.push(sealed(Change::before(&format!("{runs}run-"))));
        stages.push(sealed(Change::before(&format!("{runs}_delta_log/"))));
        stages.push(sealed(Change::after(&format!("{runs}_delta_log/"))));
        stages
    }

    /// Kills a run at a stage: a query shows the whole run or nothing of it, and another run ends
    /// with the tables of one that was not disturbed.
    fn assert_survives(&self, stage: &Stage) {
        let at = &stage.at;
        let root = self.copy(&self.files.root(), "killed");
        let marker = self.files.directory().join("held");
        let run = self.files.command(&below(&root, &["run"]));
        Held::start(run, at, marker.clone()).kill();
        fs::remove_file(marker).unwrap();

        let killed = format!("killed {at:?}");
        let queried = self.copy(&root, "queried");
        let seen = self.rows(&queried, &killed);
        let whole = Some(&self.after);
        let expected = if stage.sealed {
            whole
        } else {
            self.before.as_ref()
        };
        assert_same(seen.as_ref(), expected, &killed);

        let again = format!("{killed}, and run again");
        let next = self.run(&root);
        assert_eq!(next.code, 0, "{again}: {}", next.stderr);
        let status = match stage.sealed {
            true => "nothing_to_do",
            false => "done",
        };
        assert_eq!(next.json()["status"], status, "{again}");
        assert_same(self.rows(&root, &again).as_ref(), whole, &again);
        for root in [root, queried] {
            fs::remove_dir_all(root).unwrap();
        }
    }

    fn run(&self, root: &Path) -> Ended {
        let run = ["run", "--output", "json"];
        self.files.lake(&below(root, &run))
    }

    /// All rows of all tables, each with its table, sorted; `None` where there are no tables.
    fn rows(&self, root: &Path, at: &str) -> Option<Vec<String>> {
        let tables = COLUMNS.map(|(table, columns)| {
            format!("(SELECT array_agg(struct({columns})) FROM {table}) AS \"{table}\"")
        });
        let sql = format!("SELECT {}", tables.join(", "));
        let query = below(root, &["query", &sql, "--output", "json"]);
        let ended = self.files.lake(&query);
        if ended.code == 1 && ended.stderr.contains("there are no tables") {
            return None;
        }
        assert_eq!(ended.code, 0, "{at}: {}", ended.stderr);
        let answer = ended.json();
        let mut rows = Vec::new();
        for (table, _) in COLUMNS {
            let found = answer[0][table].as_array().into_iter().flatten();
            rows.extend(found.map(|row| format!("{table}: {row}")));
        }
        rows.sort();
        Some(rows)
    }

    fn copy(&self, root: &Path, name: &str) -> PathBuf {
        let copy = self.files.directory().join(name);
        if root.exists() {
            copy_directory(root, &copy);
        }
        copy
    }
}

/// That the same rows are there, as often; says which ones are not.
#[track_caller]
fn assert_same(found: Option<&Vec<String>>, expected: Option<&Vec<String>>, at: &str) {
    if found == expected {
        return;
    }
    let of = |rows: Option<&Vec<String>>| rows.cloned().unwrap_or_default();
    let (mut more, mut lost) = (of(found), Vec::new());
    for row in of(expected) {
        match more.iter().position(|other| *other == row) {
            Some(place) => drop(more.remove(place)),
            None => lost.push(row),
        }
    }
    panic!("{at}: these rows are lost: {lost:#?}, and these too many: {more:#?}");
}

/// A command of the only pipeline that is here, with another root.
fn below<'b>(root: &'b Path, command: &[&'b str]) -> Vec<&'b str> {
    [command, &["--root", root.to_str().unwrap()]].concat()
}

/// How many objects runs have prepared for their seals.
fn prepared(root: &Path) -> usize {
    let attempts = fs::read_dir(root.join("utility/_lake/prepared"));
    let attempts = attempts
        .into_iter()
        .flatten()
        .map(|attempt| attempt.unwrap().path());
    attempts
        .map(|attempt| fs::read_dir(attempt).unwrap().count())
        .sum()
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_directory(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Readings of three customers, a key that comes twice, and two rows that are rejected.
fn first_files(files: &Lake) {
    let ends_too_soon = "C-2,M0000002,2025-06-03T02:00:00Z,2025-06-03T01:00:00Z,0.500,south";
    let monday = [
        reading(1, 1, 3, 0, "1"),
        reading(1, 1, 3, 1, "2"),
        reading(2, 2, 3, 0, "0.5"),
        ends_too_soon.to_owned(),
        reading(3, 3, 3, 23, "4"),
    ];
    files.put("monday.csv", 2, csv(monday));
    let tuesday = [
        reading(1, 1, 4, 0, "1.5"),
        reading(1, 1, 3, 1, "2.25"),
        reading(2, 2, 4, 0, "much"),
    ];
    files.put("tuesday.csv", 3, csv(tuesday));
}

/// A file that was loaded is corrected, one of its rejected rows with it, and a new one arrives.
fn corrections_and_news(files: &Lake) {
    let tuesday = [
        reading(1, 1, 4, 0, "1.75"),
        reading(1, 1, 3, 1, "2.25"),
        reading(2, 2, 4, 0, "0.75"),
    ];
    files.put("tuesday.csv", 4, csv(tuesday));
    let wednesday = [reading(3, 3, 5, 0, "3"), reading(4, 4, 5, 0, "-1")];
    files.put("wednesday.csv", 5, csv(wednesday));
}
