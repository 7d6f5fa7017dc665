//! Other engines read the tables, and agree with what the raw files say.
//!
//! What the raw files say is computed a second time, in Python; see
//! `tests/python`.

use std::path::{Path, PathBuf};
use std::process::Command;

use lake_tests::{Ended, Lake, csv, reading, workspace};

#[test]
fn duckdb_and_delta_rs_read_the_sample_data() {
    let lake = Lake::samples();
    lake.publish(&[]);
    let data = workspace().join("data/utility");
    let files = std::fs::read_dir(data).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|e| e == "csv"))
        .collect();
    assert_eq!(files.len(), 4);
    agree(&lake, &files);
}

#[test]
fn they_agree_after_corrections_late_files_and_removed_days() {
    let lake = Lake::new();
    let mut files = vec![
        lake.put(
            "b.csv",
            2,
            csv([
                reading(1, 1, 1, 0, "1"),
                reading(2, 2, 1, 0, "0.125"),
                "bad".into(),
            ]),
        ),
        lake.put(
            "c.csv",
            3,
            csv([reading(1, 1, 2, 0, "1"), reading(1, 3, 1, 0, "-1")]),
        ),
    ];
    lake.publish(&[]);
    agree(&lake, &files);
    // A correction, a reading that moves to another customer, and a day more.
    let correction = [
        reading(1, 1, 1, 0, "9.999"),
        reading(1, 2, 1, 0, "2"),
        reading(3, 3, 3, 5, "1"),
    ];
    files.push(lake.put("d.csv", 4, csv(correction)));
    lake.publish(&[]);
    agree(&lake, &files);
    // An older file that comes late.
    files.push(lake.put(
        "a.csv",
        1,
        csv([
            reading(1, 1, 1, 0, "7"),
            reading(1, 1, 1, 1, "7"),
            "bad".into(),
        ]),
    ));
    lake.publish(&[]);
    agree(&lake, &files);
}

#[test]
fn they_agree_when_every_file_came_by_a_run_of_its_own() {
    let lake = Lake::samples();
    let data = workspace().join("data/utility");
    let mut files: Vec<PathBuf> = ["04", "02", "05", "03"]
        .map(|day| data.join(format!("readings-2026-02-{day}.csv")))
        .into();
    for file in &files {
        lake.publish(&[
            "--input",
            &format!("readings={}", file.display()),
            "--set",
            "limits.rejected=100%",
        ]);
    }
    files.sort();
    agree(&lake, &files);
}

#[test]
fn the_check_itself_finds_differences() {
    let ended = python(&["-m", "unittest", "discover", "-q", "tests/python"]);
    ended.assert(0, &[]);
}

/// That DuckDB and delta-rs read what the raw files say.
#[track_caller]
fn agree(lake: &Lake, files: &[PathBuf]) {
    let root = lake.root().join("utility");
    let mut arguments = vec!["tests/python/check_tables.py", root.to_str().unwrap()];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    python(&arguments).assert_prints(&["DuckDB and delta-rs agree with the raw files"]);
}

#[track_caller]
pub(crate) fn python(arguments: &[&str]) -> Ended {
    let python = workspace().join(".venv/bin/python");
    assert!(
        Path::new(&python).is_file(),
        "there is no {}; make it with: scripts/venv tests/python/requirements.txt",
        python.display()
    );
    let mut command = Command::new(python);
    command.args(arguments).current_dir(workspace());
    Ended::of(command.output().unwrap())
}
