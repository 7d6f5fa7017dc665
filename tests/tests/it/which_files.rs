//! Which files a run loads: what their paths say, whether they are complete, how many there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lake_tests::{Lake, csv, launcher, reading, received};

/// What is loaded, as the names of files below `data/`.
const LOADED: &str = "SELECT split_part(path, '/data/', 2) FROM _lake.files ORDER BY path";

/// What the run that follows takes for the present.
#[expect(
    clippy::disallowed_methods,
    reason = "the binary under test asks the same clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn a_list_of_paths_and_patterns_loads_every_file_once() {
    let lake = with_input("path: [../data/a.csv, '../data/{name}.csv', '../data/*/b.csv']");
    for name in ["a.csv", "b.csv", "x/b.csv", "x/c.csv"] {
        put(&lake, name, 0);
    }
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["files"], 3);
    assert_eq!(lake.rows(LOADED), ["a.csv", "b.csv", "x/b.csv"]);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
}

#[test]
fn a_pattern_of_a_list_that_matches_nothing_is_named() {
    let lake = with_input("path: [../data/*.csv, '../data/*.txt']");
    put(&lake, "a.csv", 0);
    lake.run(&[])
        .assert(0, &["input readings: no file matches", "data/*.txt"]);
    let lake = with_input("path: [../data/*.csv, ../data/none.csv]");
    lake.run(&[]).assert(1, &["data/none.csv does not exist"]);
}

#[test]
fn directories_are_walked_and_hidden_and_unfinished_files_are_left_out() {
    let lake = with_input("path: ../data/**/*.csv*");
    for name in [
        "a.csv",
        "2025/06/b.csv",
        "day=1/c.csv",
        "_k=v/d.csv",
        "_hidden.csv",
        ".hidden.csv",
        "_temporary/0/e.csv",
        "2025/.git/f.csv",
        "g.csv.tmp",
        "h.csv.crdownload",
        "i.csv._COPYING_",
        "j.csv.part",
    ] {
        put(&lake, name, 0);
    }
    lake.publish(&[]);
    assert_eq!(
        lake.rows(LOADED),
        ["2025/06/b.csv", "_k=v/d.csv", "a.csv", "day=1/c.csv"]
    );
    // A pattern that says so takes them.
    let path = lake.directory().join("data/_*.csv");
    lake.publish(&["--input", &format!("readings={}", path.display())]);
    assert_eq!(lake.rows(LOADED)[1], "_hidden.csv");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_those_that_lead_nowhere_or_round_in_circles_are_passed_over() {
    use std::os::unix::fs::symlink;
    let lake = with_input("path: ../data/**/*.csv");
    put(&lake, "x/a.csv", 0);
    let data = lake.directory().join("data");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(
        elsewhere.path().join("b.csv"),
        csv([reading(7, 7, 7, 7, "7")]),
    )
    .unwrap();
    symlink(elsewhere.path(), data.join("linked")).unwrap();
    symlink(&data, data.join("x/up")).unwrap();
    symlink("loop", data.join("loop")).unwrap();
    symlink("nothing.csv", data.join("dangling.csv")).unwrap();
    lake.publish(&[]);
    assert_eq!(lake.rows(LOADED), ["linked/b.csv", "x/a.csv"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_may_not_be_listed_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let lake = with_input("path: ../data/**/*.csv");
    put(&lake, "a.csv", 0);
    let secret = lake.directory().join("data/secret");
    fs::create_dir(&secret).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may list everything, but not in a user namespace of its own.
    let own_rights: &[&[&str]] = match fs::read_dir(&secret) {
        Ok(_) => &[&["unshare", "--user"]],
        Err(_) => &[&["env"]],
    };
    if let Some(launcher) = launcher(own_rights) {
        let ended = lake.below(launcher, &["run", "pipelines/pipeline.yaml"]);
        ended.assert(1, &[secret.to_str().unwrap(), "Permission denied"]);
        lake.assert_nothing_published();
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_tables_cannot_hold_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let lake = Lake::new();
    let name = OsStr::from_bytes(b"caf\xe9.csv");
    fs::write(lake.directory().join("data").join(name), "x").unwrap();
    lake.run(&[]).assert(1, &["is not UTF-8", "rename it"]);
    lake.assert_nothing_published();
}

#[test]
fn a_file_that_was_just_changed_is_left_until_it_has_settled() {
    let lake = with_input("path: ../data/*.csv\n    settle: 1h");
    put(&lake, "old.csv", 0);
    let young = put(&lake, "young.csv", 0);
    set_modified(&young, now());
    lake.run(&[]).assert(
        0,
        &[
            "1 file is left for a later run, changed less than 1h ago: ",
            "young.csv",
        ],
    );
    assert_eq!(lake.rows(LOADED), ["old.csv"]);
    lake.run(&[]).assert_prints(&["nothing to do"]);
    received(&young, 1);
    lake.publish(&[]);
    assert_eq!(lake.rows(LOADED), ["old.csv", "young.csv"]);
    // A loaded file that its writer has begun to write again is no surprise yet, either.
    fs::write(&young, "half").unwrap();
    lake.run(&[])
        .assert(0, &["young.csv"])
        .assert_prints(&["nothing to do"]);
    lake.run(&["--set", "inputs.readings.settle=0s"])
        .assert(1, &["young.csv (loaded by run 2)"]);
}

#[test]
fn files_wait_for_the_marker_of_their_directory() {
    let lake = with_input("path: ../data/**/*\n    done_marker: _SUCCESS");
    for name in ["x/a.csv", "x/_SUCCESS", "y/b.csv"] {
        put(&lake, name, 0);
    }
    lake.run(&[]).assert(
        0,
        &[
            "1 file is left for a later run, without a done marker (_SUCCESS) beside them: ",
            "y/b.csv",
        ],
    );
    assert_eq!(lake.rows(LOADED), ["x/a.csv"]);
    fs::write(lake.directory().join("data/y/_SUCCESS"), "").unwrap();
    lake.publish(&[]);
    assert_eq!(lake.rows(LOADED), ["x/a.csv", "y/b.csv"]);
}

#[test]
fn files_wait_for_a_marker_of_their_own_and_markers_are_no_input() {
    let lake = with_input("path: ../data/*\n    done_marker: '*.done'");
    for name in ["a.csv", "a.csv.done", "b.csv"] {
        put(&lake, name, 0);
    }
    lake.run(&[])
        .assert(0, &["without a done marker (*.done)", "b.csv"]);
    assert_eq!(lake.rows(LOADED), ["a.csv"]);
    put(&lake, "b.csv.done", 0);
    lake.publish(&[]);
    assert_eq!(lake.rows(LOADED), ["a.csv", "b.csv"]);
    // What was loaded is loaded again without its marker.
    fs::remove_file(lake.directory().join("data/a.csv.done")).unwrap();
    put(&lake, "c.csv", 0);
    let report = lake.publish(&["--reload"]);
    assert_eq!(report["inputs"]["readings"]["files"], 2);
}

#[test]
fn empty_files_are_taken_note_of_where_the_input_says_so() {
    for content in ["", "\n\n"] {
        let lake = with_input("path: ../data/*.csv\n    on_empty: load");
        lake.put("empty.csv", 0, content);
        let report = lake.publish(&[]);
        let input = &report["inputs"]["readings"];
        assert_eq!([&input["files"], &input["rows"]], [1, 0]);
        assert_eq!(lake.rows("SELECT rows FROM _lake.files"), ["0"]);
        assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
        assert_eq!(lake.publish(&["--reload"])["run"], 2);
        // It is loaded once there is something in it, as any other file that has changed.
        lake.put("empty.csv", 1, csv([reading(1, 1, 1, 0, "1")]));
        lake.run(&[]).assert(1, &["empty.csv (loaded by run 2)"]);
        lake.publish(&["--set", "inputs.readings.on_change=upsert"]);
        assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["1"]);
    }
}

#[test]
fn empty_files_stop_the_run_where_the_input_says_so() {
    for content in ["", "\n\n"] {
        let lake = with_input("path: ../data/*.csv\n    on_empty: fail");
        put(&lake, "a.csv", 0);
        lake.put("empty.csv", 0, content);
        lake.run(&[])
            .assert(1, &["empty.csv", "on_empty is fail", "mend or remove"]);
        lake.assert_nothing_published();
    }
}

#[test]
fn a_file_that_does_not_come_is_said_to_be_missing_also_when_there_is_nothing_to_do() {
    let lake = with_input("path: ../data/*.csv\n    expect_every: 1d");
    let never = "input readings: no file has come yet, and one is expected every 1d";
    lake.run(&[]).assert(0, &[never]);
    put(&lake, "a.csv", 0);
    let late = [
        "input readings: no file has come for ",
        "2025-07-01 00:00:00 UTC",
        "every 1d",
    ];
    lake.run(&[])
        .assert(0, &late)
        .assert_prints(&["run 1 is published"]);
    lake.run(&[])
        .assert(0, &late)
        .assert_prints(&["nothing to do"]);
    let report = lake.publish(&[]);
    assert!(
        report["warnings"][0].as_str().unwrap().contains(late[0]),
        "{report}"
    );
    lake.lake(&["plan"]).assert_prints(&late);

    set_modified(&put(&lake, "b.csv", 0), now());
    let ended = lake.run(&[]);
    assert!(
        !ended.assert(0, &[]).stderr.contains("expected every"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_that_does_not_come_stops_the_run_where_the_input_says_so() {
    let lake = with_input("path: ../data/*.csv\n    expect_every: 1d\n    on_late: fail");
    put(&lake, "a.csv", 0);
    let ended = lake.run(&["--output", "json"]);
    ended.assert(
        3,
        &[
            "input readings: no file has come for",
            "nothing was loaded, of other inputs neither",
            "--set inputs.readings.on_late=warn",
        ],
    );
    assert_eq!(ended.json()["status"], "stopped");
    lake.assert_nothing_published();
    lake.publish(&["--set", "inputs.readings.on_late=warn"]);
    lake.run(&[]).assert(3, &["no file has come for"]);
    // Whoever loads everything again is not kept from it.
    assert_eq!(lake.publish(&["--reload"])["run"], 2);
}

#[test]
fn a_backlog_is_loaded_in_order_over_as_many_runs_as_it_takes() {
    let lake = with_input("path: ../data/*.csv\n    max_files: 2");
    for (name, hour) in [("a", 4), ("b", 3), ("c", 2), ("d", 1), ("e", 0)] {
        put(&lake, &format!("{name}.csv"), hour);
    }
    lake.lake(&["plan"])
        .assert_prints(&["2 files to read", "3 files (", "left for later runs"]);
    let report = lake.publish(&[]);
    let input = &report["inputs"]["readings"];
    assert_eq!([&input["files"], &input["left"]["files"]], [2, 3]);
    assert!(input["left"]["bytes"].as_u64().unwrap() > 100);
    assert_eq!(lake.rows(LOADED), ["a.csv", "b.csv"]);
    let by_time = ["--set", "inputs.readings.order=modified"];
    lake.run(&by_time)
        .assert_prints(&["1 file (", "left for later runs"]);
    assert_eq!(lake.rows(LOADED), ["a.csv", "b.csv", "d.csv", "e.csv"]);
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["left"]["files"], 0);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    let report = lake.publish(&["--reload"]);
    assert_eq!(report["inputs"]["readings"]["files"], 5);
}

#[test]
fn a_run_loads_as_many_bytes_as_it_may_and_one_file_however_large() {
    let lake = with_input("path: ../data/*.csv");
    let size = fs::metadata(put(&lake, "a.csv", 0)).unwrap().len();
    put(&lake, "b.csv", 0);
    put(&lake, "c.csv", 0);
    let most = |bytes: u64| format!("inputs.readings.max_bytes={bytes}");
    lake.publish(&["--set", &most(1)]);
    assert_eq!(lake.rows(LOADED), ["a.csv"]);
    lake.publish(&["--set", &most(2 * size)]);
    assert_eq!(lake.rows(LOADED), ["a.csv", "b.csv", "c.csv"]);
}

#[test]
fn files_with_nothing_in_them_do_not_stand_in_the_way_of_a_backlog() {
    let lake = with_input("path: ../data/*.csv\n    max_files: 1");
    for name in ["a.csv", "b.csv", "c.csv"] {
        lake.put(name, 0, "\n\n");
    }
    put(&lake, "d.csv", 0);
    put(&lake, "e.csv", 0);
    let ended = lake.run(&[]);
    ended.assert(0, &["a.csv: the file is empty", "c.csv: the file is empty"]);
    assert_eq!(lake.rows(LOADED), ["d.csv"]);
    lake.publish(&[]);
    assert_eq!(lake.rows(LOADED), ["d.csv", "e.csv"]);
    lake.run(&[]).assert_prints(&["nothing to do"]);
}

#[test]
fn many_files_that_are_left_are_counted_and_some_are_named() {
    let lake = with_input("path: ../data/*.csv\n    done_marker: '*.done'");
    for n in 0..12 {
        put(&lake, &format!("{n:02}.csv"), 0);
        lake.put(&format!("e{n:02}.csv"), 0, "");
        put(&lake, &format!("e{n:02}.csv.done"), 0);
    }
    let ended = lake.run(&[]);
    ended.assert(
        0,
        &[
            "12 files are left",
            "04.csv and 7 more",
            "7 more files are empty",
        ],
    );
    assert!(!ended.stderr.contains("05.csv"), "{}", ended.stderr);
}

/// The utility pipeline with other settings of its input.
fn with_input(settings: &str) -> Lake {
    let lake = Lake::new();
    let text = fs::read_to_string(lake.pipeline()).unwrap();
    let settings = text.replace("path: ../data/*.csv\n    on_change: upsert", settings);
    assert_ne!(text, settings);
    fs::write(lake.pipeline(), settings).unwrap();
    lake
}

/// Writes a file with one reading of its own, and the directories that lead to it.
fn put(lake: &Lake, name: &str, hour: u64) -> PathBuf {
    let path = lake.directory().join("data").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let meter = name
        .bytes()
        .fold(0_u32, |sum, b| (sum * 31 + u32::from(b)) % 1_000_000);
    lake.put(name, hour, csv([reading(1, meter, 1, 0, "1")]))
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}
