//! Rows and files that are read once more, and tables that grow with their releases.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use lake_tests::{Ended, csv, reading};

use crate::interop::python;
use crate::kill::copy_directory;
use crate::pause::{Change, Held};
use crate::team::{self, Built, Team};

const PLAIN: &str = ".key([\"meter_id\", \"start_time\"]),\n        )";
const SUMS: &str = ".key([\"meter_id\", \"start_time\"]),\n        )\n        .table(\n            \
    Table::consumption(\"sums\")\n                .sql(\"SELECT meter_id, count(*) AS readings, \
    CAST(sum(usage_kwh) AS DECIMAL(38, 3)) AS usage_kwh FROM standard.readings GROUP BY 1\")\n\
                .key([\"meter_id\"]),\n        )";
/// A check that is wrong: whoever uses much is rejected.
const FRUGAL: (&str, &str) = (
    ".check(\"usage is not negative\", \"usage_kwh >= 0\")",
    ".check(\"usage is not negative\", \"usage_kwh >= 0\").check(\"usage is small\", \"usage_kwh < 3\")",
);
/// A column more, in both tables.
const DOUBLED: [(&str, &str); 2] = [
    (
        "usage_kwh FROM readings",
        "usage_kwh, CAST(2 * usage_kwh AS DECIMAL(12, 3)) AS doubled FROM readings",
    ),
    (
        "AS usage_kwh FROM standard",
        "AS usage_kwh, count(doubled) AS doubled FROM standard",
    ),
];
const RELEASES: [(&str, &[(&str, &str)]); 3] = [
    ("1.0.0", &[(PLAIN, SUMS), FRUGAL]),
    ("1.1.0", &[(PLAIN, SUMS)]),
    ("1.2.0", &[(PLAIN, SUMS), DOUBLED[0], DOUBLED[1]]),
];

fn team(version: &str) -> Team {
    let team = Team::new();
    publish(&team, version);
    team
}

fn publish(team: &Team, version: &str) {
    static BUILT: OnceLock<BTreeMap<&str, Built>> = OnceLock::new();
    let all = BUILT.get_or_init(|| {
        let releases = RELEASES.into_iter();
        releases
            .map(|(version, changes)| {
                (
                    version,
                    team::build(&format!("sums {version}"), version, changes),
                )
            })
            .collect()
    });
    let Built { directory, library } = &all[version];
    team.publish_from(directory, library, &[]).assert(0, &[]);
}

fn command(team: &Team, name: &str, arguments: &[&str]) -> Ended {
    let pipeline = team.lake.pipeline().to_str().unwrap();
    team.lake.lake(&[&[name, pipeline], arguments].concat())
}

const STORED: &str = "SELECT meter_id, start_time, usage_kwh FROM standard.readings ORDER BY 1, 2";
const UNRESOLVED: &str =
    "SELECT raw FROM rejection.readings WHERE resolved_run IS NULL ORDER BY raw";

/// What came in while a check was wrong, and how many of it were rejected by that.
fn rejected_wrongly() -> Team {
    let team = team("1.0.0");
    team.lake.put(
        "day.csv",
        1,
        csv([
            reading(1, 1, 1, 0, "1.5"),
            reading(1, 1, 1, 1, "5.0"),
            reading(1, 2, 1, 0, "7.25"),
            reading(1, 2, 1, 1, "much"),
        ]),
    );
    team.lake.publish(&[]);
    // One of them is corrected before anybody notices, and another one comes.
    team.lake.put(
        "later.csv",
        2,
        csv([reading(1, 2, 1, 0, "0.25"), reading(1, 3, 1, 0, "4.0")]),
    );
    team.lake.publish(&[]);
    assert_eq!(team.lake.rows(UNRESOLVED).len(), 4);
    team
}

#[test]
fn rows_that_were_rejected_wrongly_are_read_once_more_by_the_release_that_mends_it() {
    let team = rejected_wrongly();
    // With the same release, none passes, and nothing is published.
    command(&team, "replay", &[]).assert_prints(&["of 4 rejected rows, 0 pass now"]);
    publish(&team, "1.1.0");
    let before = team.lake.tree();
    command(&team, "replay", &["--dry-run"])
        .assert_prints(&["of 4 rejected rows, 3 would pass now, and 1 stay rejected"]);
    let stray = |tree: BTreeMap<_, _>| {
        tree.into_keys()
            .filter(|path: &std::path::PathBuf| path.is_file())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        stray(team.lake.tree()),
        stray(before),
        "a dry run leaves nothing behind"
    );

    let done = command(&team, "replay", &["--output", "json"])
        .assert(0, &[])
        .json();
    assert_eq!(
        (&done["rows"], &done["accepted"]),
        (&4.into(), &3.into()),
        "{done:#}"
    );
    let run = done["runs"][0]["run"].as_i64().unwrap();
    let table = |name: &str| {
        let tables = done["runs"][0]["tables"].as_array().unwrap();
        tables
            .iter()
            .find(|table| table["name"] == name)
            .unwrap()
            .clone()
    };
    let standard = table("standard/readings");
    assert_eq!(
        (&standard["inserted"], &standard["superseded"]),
        (&2.into(), &1.into()),
        "the later correction stays: {done:#}"
    );
    // A line leads to what it was and to what it is, and a sum to its lines.
    let trace = |arguments: &[&str]| {
        let arguments = [arguments, &["--output", "json"]].concat();
        command(&team, "trace", &arguments).assert(0, &[]).json()
    };
    let traced = trace(&["--file", "day.csv", "--line", "3"]);
    let [accepted, rejected] = traced["rows"].as_array().unwrap().as_slice() else {
        panic!("{traced:#}");
    };
    assert_eq!(
        (&accepted["table"], &rejected["table"]),
        (&"standard.readings".into(), &"rejection.readings".into())
    );
    assert_eq!(accepted["run"]["release"]["version"], "1.1.0", "{traced:#}");
    assert_eq!(rejected["run"]["release"]["version"], "1.0.0", "{traced:#}");
    assert_eq!(rejected["to"][0]["total"], 1, "{traced:#}");
    let raw = accepted["record"]["raw"].as_str().unwrap();
    assert!(raw.contains(",5.0,"), "{traced:#}");
    let sums = trace(&["--table", "consumption.sums", "--where", "readings = 2"]);
    let from = &sums["rows"][0]["from"][0];
    assert_eq!(
        (&from["total"], &from["rows"][1]["record"]["raw"]),
        (&2.into(), &raw.into()),
        "{sums:#}"
    );

    command(&team, "trace", &["--file", "day.csv", "--line", "3"]).assert_prints(&[
        "standard.readings\n",
        "day.csv, line 3\n    | C-1,M0000001,",
        "written by run 3: replay of ",
        "meters 1.1.0 (",
        "went to consumption.sums: 1 row with meter_id = M0000001\n    meter_id M0000001, readings 2",
        "rejection.readings\n",
        "went to standard.readings: 1 row with _file = ",
        "run 3 has resolved it\n",
    ]);
    command(&team, "trace", &["--file", "day.csv", "--line", "4"]).assert_prints(&[
        "0 rows with",
        "a later version of its key has taken its place since",
    ]);
    command(
        &team,
        "trace",
        &["--table", "standard.readings", "--where", "false"],
    )
    .assert_prints(&["there is no such row"]);
    command(&team, "trace", &["--file", "day.csv"]).assert(2, &["--line"]);

    // As if the right release had loaded the files in the first place.
    let right = self::team("1.1.0");
    for (name, hour) in [("day.csv", 1), ("later.csv", 2)] {
        let content = std::fs::read(team.path("data").join(name)).unwrap();
        right.lake.put(name, hour, content);
    }
    right.lake.publish(&[]);
    for sql in [
        STORED,
        "SELECT meter_id, readings, usage_kwh FROM consumption.sums ORDER BY 1",
        "SELECT meter_id, start_time, _line, received_at FROM standard.readings ORDER BY 1, 2",
    ] {
        assert_eq!(team.lake.rows(sql), right.lake.rows(sql), "{sql}");
    }
    // What passes is said to be resolved by this run, and what does not stays.
    let resolved = "SELECT count(*) FROM rejection.readings WHERE resolved_run IS NOT NULL";
    assert_eq!(team.lake.rows(resolved), ["3"]);
    let by = "SELECT DISTINCT resolved_run FROM rejection.readings WHERE resolved_run IS NOT NULL";
    assert_eq!(team.lake.rows(by), [run.to_string()]);
    let unresolved = team.lake.rows(UNRESOLVED);
    assert!(
        matches!(unresolved.as_slice(), [one] if one.contains("much")),
        "{unresolved:?}"
    );
    command(&team, "replay", &[]).assert_prints(&["of 1 rejected rows, 0 pass now"]);
    command(&team, "history", &[]).assert_prints(&["replay"]);

    // It goes back like any other run.
    command(&team, "rollback", &["--last", "--yes", "--keep-release"]).assert(0, &[]);
    assert_eq!(team.lake.rows(UNRESOLVED).len(), 4);
    command(&team, "replay", &[]).assert_prints(&["of 4 rejected rows, 3 pass now"]);
    assert_eq!(team.lake.rows(STORED), right.lake.rows(STORED));
}

#[test]
fn a_replay_that_is_killed_at_any_stage_resolves_every_row_once() {
    let team = rejected_wrongly();
    publish(&team, "1.1.0");
    let copy = |name: &str| {
        let root = team.lake.directory().join(name);
        copy_directory(&team.lake.root(), &root);
        root
    };
    let on = |root: &Path, name: &str, arguments: &[&str]| {
        let arguments = [&["--root", root.to_str().unwrap()], arguments].concat();
        command(&team, name, &arguments)
    };
    let left = |root: &Path| {
        let rows = "SELECT (SELECT array_agg(struct(meter_id, start_time, usage_kwh, _file, _line, \
                    _run) ORDER BY _file, _line) FROM standard.readings) AS readings, \
                    (SELECT array_agg(struct(meter_id, readings, usage_kwh) ORDER BY meter_id) \
                    FROM consumption.sums) AS sums, \
                    (SELECT array_agg(struct(raw, resolved_run) ORDER BY raw) \
                    FROM rejection.readings) AS rejected, \
                    (SELECT max(run) FROM _lake.runs) AS runs";
        let pipeline = team.lake.pipeline().to_str().unwrap();
        let root = root.to_str().unwrap();
        let query = ["query", pipeline, rows, "--root", root, "--output", "json"];
        team.lake.lake(&query).assert(0, &[]).json()
    };
    let undisturbed = copy("undisturbed");
    on(&undisturbed, "replay", &[]).assert_prints(&["3 pass now"]);
    let (before, after) = (left(&team.lake.root()), left(&undisturbed));
    assert_ne!(before, after);
    let mut stages = vec![
        (Change::before("meters/standard/readings/run-"), false),
        (Change::before("meters/_lake/prepared/"), false),
        (Change::after("meters/_lake/prepared/").nth(3), false),
        (Change::before("meters/_lake/log/"), false),
        (Change::after("meters/_lake/log/"), true),
    ];
    for table in [
        "rejection/readings",
        "standard/readings",
        "consumption/sums",
        "_lake/runs",
    ] {
        let commit = format!("meters/{table}/_delta_log/");
        stages.extend([Change::before(&commit), Change::after(&commit)].map(|at| (at, true)));
    }
    for (at, sealed) in stages {
        let root = copy("killed");
        let marker = team.lake.directory().join("held");
        let pipeline = team.lake.pipeline().to_str().unwrap();
        let replay = ["replay", pipeline, "--root", root.to_str().unwrap()];
        Held::start(team.lake.command(&replay), &at, marker.clone()).kill();
        fs::remove_file(marker).unwrap();
        let expected = if sealed { &after } else { &before };
        assert_eq!(left(&root), *expected, "killed {at:?}");
        on(&root, "replay", &[]).assert(0, &[]);
        assert_eq!(left(&root), after, "killed {at:?}, and replayed again");
        fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn rejected_rows_are_chosen_by_reason_file_and_time() {
    let team = rejected_wrongly();
    publish(&team, "1.1.0");
    for (arguments, rows) in [
        (&["--reason", "usage is small"] as &[&str], 3),
        (&["--reason", "usage_kwh"], 4),
        (&["--reason", "type"], 1),
        (&["--reason", "nothing"], 0),
        (&["--file", "day.csv"], 3),
        (&["--file", "data/lat*.csv"], 1),
        (&["--since", "2000-01-01"], 4),
        (&["--since", "2100-01-01T00:00Z"], 0),
        (&["--file", "day.csv", "--reason", "usage is small"], 2),
    ] {
        let said = command(
            &team,
            "replay",
            &[&["--dry-run", "--output", "json"], arguments].concat(),
        );
        let said = said.assert(0, &[]).json();
        assert_eq!(said["rows"], rows, "{arguments:?}: {said:#}");
    }
    command(&team, "replay", &["--since", "yesterday"]).assert(2, &["2026-11-20"]);
    command(&team, "replay", &["--file", "later.csv"])
        .assert_prints(&["of 1 rejected rows, 1 pass"]);
    assert_eq!(
        team.lake
            .rows("SELECT usage_kwh FROM standard.readings WHERE meter_id LIKE '%3'"),
        ["4.000"]
    );
}

#[test]
fn a_release_adds_columns_to_stored_tables_and_a_rollback_takes_them_away() {
    let team = team("1.1.0");
    team.lake.publish(&[]);
    publish(&team, "1.2.0");
    team.plan(&[])
        .assert_prints(&["new columns: doubled, NULL in stored rows"]);
    team.lake
        .put("later.csv", 2, csv([reading(1, 2, 1, 0, "0.25")]));
    team.lake.publish(&[]);
    let rows = "SELECT meter_id, usage_kwh, doubled FROM standard.readings ORDER BY 1";
    assert_eq!(
        team.lake.rows(rows),
        ["M0000001,1.500,", "M0000002,0.250,0.500"]
    );
    let place = team.lake.root().join("meters/standard/readings");
    let said = python(&[
        "tests/python/query_delta.py",
        "SELECT count(*), count(doubled) FROM readings",
        &format!("readings={}", place.display()),
    ]);
    assert_eq!(said.assert(0, &[]).stdout.trim(), "2,1");
    // All rows get it once they come from the present release.
    team.lake.run(&["--reload"]).assert(0, &[]);
    assert_eq!(
        team.lake.rows(rows),
        ["M0000001,1.500,3.000", "M0000002,0.250,0.500"]
    );

    // What an older release would take away is refused by name.
    team.lake
        .run(&["--transform", "meters@1.1.0"])
        .assert(1, &["column doubled is no longer declared"]);
    command(&team, "rollback", &["--version", "1", "--yes"]).assert(0, &[]);
    assert_eq!(
        team.lake.rows("SELECT * EXCEPT (received_at, _file, _line, _loaded_at, _run, start_time) FROM standard.readings"),
        ["M0000001,1.500"]
    );
    team.assert_runs("1.1.0", &[]);
    // Every run is still what it was.
    let at = |run: &str| {
        command(
            &team,
            "query",
            &[
                "SELECT count(doubled) FROM standard.readings",
                "--version",
                run,
                "--output",
                "csv",
            ],
        )
    };
    assert_eq!(at("3").assert(0, &[]).stdout.lines().last(), Some("2"));
    at("1").assert(1, &["doubled"]);
}

#[test]
fn what_was_there_is_asked_for_by_time_and_two_runs_are_compared() {
    let team = team("1.1.0");
    team.lake.publish(&[]);
    team.lake.put(
        "later.csv",
        2,
        csv([reading(1, 1, 1, 0, "2.0"), reading(1, 2, 1, 0, "0.25")]),
    );
    team.lake.publish(&[]);
    let sealed = team
        .lake
        .rows("SELECT sealed_at FROM _lake.runs ORDER BY run");
    let sums = "SELECT sum(usage_kwh) AS kwh FROM consumption.sums";
    for (time, kwh) in [
        (sealed[0].as_str(), "1.500"),
        (sealed[1].as_str(), "2.250"),
        ("2100-01-01", "2.250"),
    ] {
        let said = command(&team, "query", &[sums, "--at", time, "--output", "csv"]);
        assert_eq!(
            said.assert(0, &[]).stdout.lines().last(),
            Some(kwh),
            "{time}"
        );
    }
    command(&team, "query", &[sums, "--at", "2001-01-01"])
        .assert(2, &["nothing had been published", "first run"]);
    command(&team, "diff", &["--from", "1", "--to", "2"]).assert_prints(&[
        "run 2 has left other tables than run 1",
        "consumption/sums: 1 added, 0 removed, 1 changed; 1 → 2 rows",
        "usage_kwh: 1.500 → 2.000",
    ]);
    command(&team, "diff", &["--from", "0"]).assert_prints(&["only run 2 has it"]);
    command(&team, "diff", &["--from", "2", "--fail-on", "changes"]).assert(0, &[]);
    command(&team, "diff", &["--from", "1", "--fail-on", "changes"]).assert(3, &[]);
    command(&team, "diff", &["--from", "7"]).assert(1, &["no run 7"]);
    command(&team, "diff", &[]).assert(2, &["--against", "--from"]);
}

#[test]
fn small_runs_are_maintained_and_every_engine_sees_the_same_rows() {
    let team = team("1.1.0");
    for run in 1..=12_u32 {
        let kwh = format!("{run}.5");
        team.lake.put(
            &format!("{run:02}.csv"),
            1 + u64::from(run),
            csv([reading(1, run % 3, 1, run % 5, &kwh)]),
        );
        team.lake.publish(&[]);
    }
    let at = |run: u32| {
        let said = command(
            &team,
            "query",
            &[STORED, "--version", &run.to_string(), "--output", "csv"],
        );
        said.stdout.clone()
    };
    let before: Vec<String> = (1..=12).map(at).collect();
    let window = ["--set", "rollback_window=5 runs"];
    command(&team, "maintain", &[&["--dry-run"], &window[..]].concat()).assert_prints(&[
        "standard/readings",
        "run 7 and later ones could be gone back to",
    ]);
    let files = team.lake.tree().len();
    command(&team, "maintain", &window)
        .assert_prints(&["run 13 maintained the tables", "standard/readings"]);
    assert!(team.lake.tree().len() < files, "{files}");
    command(&team, "maintain", &window).assert_prints(&["nothing to do"]);
    for (run, before) in (1..=12).zip(&before) {
        match run {
            1..7 => {
                _ = command(&team, "query", &[STORED, "--version", &run.to_string()])
                    .assert(2, &["run 7"])
            }
            run => assert_eq!(at(run), *before, "run {run}"),
        }
    }
    let place = team.lake.root().join("meters/standard/readings");
    let said = python(&[
        "tests/python/query_delta.py",
        "SELECT count(*), sum(usage_kwh) FROM readings",
        &format!("readings={}", place.display()),
    ]);
    let ours = team
        .lake
        .rows("SELECT count(*), sum(usage_kwh) FROM standard.readings");
    assert_eq!(said.assert(0, &[]).stdout.trim(), ours.join(""));
    command(&team, "rollback", &["--version", "3", "--yes"]).assert(2, &["run 7"]);
    command(
        &team,
        "rollback",
        &["--version", "8", "--yes", "--keep-files"],
    )
    .assert(0, &[]);
    assert_eq!(at(14), at(8));
    command(&team, "history", &["--run", "13"]).assert_prints(&["maintain", "keeps    what run 7"]);
}

#[test]
fn a_poison_file_is_set_aside_and_brought_back() {
    let team = team("1.1.0");
    team.lake.put("poison.csv", 2, "not, a, header\n1,2,3\n");
    team.lake.run(&[]).assert(1, &["poison.csv"]);
    let pipeline = team.lake.pipeline().to_str().unwrap();
    let file = team.path("data").join("poison.csv");
    team.lake
        .lake(&["skip", pipeline, file.to_str().unwrap()])
        .assert_prints(&["run 1", "is set aside"]);
    team.lake.run(&[]).assert(0, &["poison.csv"]);
    team.lake
        .lake(&["skip", pipeline, file.to_str().unwrap(), "--undo"])
        .assert_prints(&["run 3", "is not set aside any more"]);
    team.lake.run(&[]).assert(1, &["poison.csv"]);
    team.lake
        .lake(&["skip", pipeline, "no/such.csv"])
        .assert(2, &["no file of any input"]);
    // What is mended loads by itself.
    team.lake
        .lake(&["skip", pipeline, file.to_str().unwrap()])
        .assert(0, &[]);
    team.lake
        .put("poison.csv", 3, csv([reading(1, 9, 1, 0, "9.0")]));
    team.lake.publish(&[]);
    assert_eq!(
        team.lake
            .rows("SELECT usage_kwh FROM standard.readings ORDER BY 1"),
        ["1.500", "9.000"]
    );
}

#[test]
fn some_files_are_loaded_again_in_the_place_of_what_they_had_yielded() {
    let team = team("1.1.0");
    team.lake
        .put("other.csv", 2, csv([reading(1, 2, 1, 0, "2.0")]));
    team.lake.publish(&[]);
    team.lake
        .put("day.csv", 3, csv([reading(1, 3, 1, 0, "3.0")]));
    let again = [
        "--reload",
        "--files",
        "day.csv",
        "--set",
        "inputs.readings.on_change=replace",
    ];
    team.plan(&again).assert_prints(&["day.csv"]);
    let said = team.lake.run(&[&again[..], &["--output", "json"]].concat());
    assert_eq!(said.assert(0, &[]).json()["inputs"]["readings"]["files"], 1);
    assert_eq!(
        team.lake
            .rows("SELECT usage_kwh FROM standard.readings ORDER BY 1"),
        ["2.000", "3.000"]
    );
    team.lake
        .run(&["--files", "day.csv"])
        .assert(2, &["--reload"]);
    team.lake
        .run(&["--reload", "--files", "nothing*"])
        .assert(2, &["--files"]);
}
