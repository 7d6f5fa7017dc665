//! The way back from a bad day: a bad release, and a bad file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use lake_tests::{Ended, csv, reading};
use serde_json::Value;

use crate::interop::python;
use crate::team::{self, Built, Team};

const PLAIN: &str = ".key([\"meter_id\", \"start_time\"]),\n        )";
const DAILY: &str = ".key([\"meter_id\", \"start_time\"]),\n        )\n        .table(\n            \
    Table::consumption(\"daily\")\n                .sql(\"SELECT CAST(start_time AS DATE) AS day, \
    count(*) AS readings, CAST(sum(usage_kwh) AS DECIMAL(38, 3)) AS usage_kwh FROM \
    standard.readings GROUP BY 1\")\n                .key([\"day\"])\n                \
    .refresh_by([\"day\"]),\n        )";
const WATTS: (&str, &str) = (
    "start_time, usage_kwh FROM",
    "start_time, CAST(1000 * usage_kwh AS DECIMAL(12, 3)) AS usage_kwh FROM",
);
const RELEASES: [(&str, &[(&str, &str)]); 3] = [
    ("1.0.0", &[(PLAIN, DAILY)]),
    ("1.1.0", &[(PLAIN, DAILY), WATTS]),
    ("1.1.1", &[(PLAIN, DAILY)]),
];

fn release(version: &str) -> &'static Built {
    static BUILT: OnceLock<BTreeMap<&str, Built>> = OnceLock::new();
    let all = BUILT.get_or_init(|| {
        RELEASES
            .into_iter()
            .map(|(version, changes)| {
                let which = format!("daily {version}");
                (version, team::build(&which, version, changes))
            })
            .collect()
    });
    &all[version]
}

/// The team, and what its files say.
struct Days {
    team: Team,
    /// By day: how many readings, and their sum in Wh.
    truth: BTreeMap<u32, (u64, u64)>,
}

impl Days {
    fn begin() -> Self {
        let days = Self {
            team: Team::new(),
            truth: BTreeMap::new(),
        };
        // What a team has lying there is not part of the story.
        fs::remove_file(days.file("day.csv")).unwrap();
        days
    }

    fn file(&self, name: &str) -> PathBuf {
        self.team.path("data").join(name)
    }

    fn publish(&self, version: &str) {
        let Built { directory, library } = release(version);
        self.team
            .publish_from(directory, library, &[])
            .assert(0, &[]);
    }

    /// A day with readings of three meters arrives.
    fn day(&mut self, day: u32) {
        let watts = |meter: u32| u64::from(1000 * day + 100 * meter + 25);
        let lines = (1..=3).map(|meter| {
            let watts = watts(meter);
            reading(
                1,
                meter,
                day,
                7,
                &format!("{}.{:03}", watts / 1000, watts % 1000),
            )
        });
        let name = format!("day-{day}.csv");
        self.team.lake.put(&name, u64::from(24 * day), csv(lines));
        self.truth.insert(day, (3, (1..=3).map(watts).sum()));
    }

    /// A run, which uses a release and loads so many files.
    #[track_caller]
    fn run(&self, version: &str, files: u64) -> Value {
        let report = self.team.lake.publish(&[]);
        assert_eq!(report["transform"]["version"], version, "{report:#}");
        assert_eq!(report["inputs"]["readings"]["files"], files, "{report:#}");
        report
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Ended {
        let pipeline = self.team.lake.pipeline().to_str().unwrap();
        self.team
            .lake
            .lake(&[&[name, pipeline], arguments].concat())
    }

    /// Consumption is what the files of these days say, times a factor for some of them; lake and
    /// DuckDB agree.
    #[track_caller]
    fn assert_daily(&self, days: &[(u32, u64)]) {
        let expected: Vec<String> = days
            .iter()
            .map(|(day, factor)| {
                let (readings, watts) = self.truth[day];
                let watts = watts * factor;
                format!(
                    "2025-06-{day:02},{readings},{}.{:03}",
                    watts / 1000,
                    watts % 1000
                )
            })
            .collect();
        let sql = "SELECT day, readings, usage_kwh FROM consumption.daily ORDER BY day";
        assert_eq!(self.team.lake.rows(sql), expected);
        let place = self.team.lake.root().join("meters/consumption/daily");
        let view = format!("daily={}", place.display());
        let sql = "SELECT day, readings, usage_kwh FROM daily ORDER BY day";
        let said = python(&["tests/python/query_delta.py", sql, &view]);
        said.assert(0, &[]);
        assert_eq!(said.stdout.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_bad_release_is_undone_and_the_one_that_mends_it_takes_over() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    for day in 1..=3 {
        days.day(day);
        days.run("1.0.0", 1);
    }
    days.assert_daily(&[(1, 1), (2, 1), (3, 1)]);

    // Somebody takes kWh for Wh.
    days.publish("1.1.0");
    for day in 4..=5 {
        days.day(day);
        days.run("1.1.0", 1);
    }
    days.assert_daily(&[(1, 1), (2, 1), (3, 1), (4, 1000), (5, 1000)]);

    // What would happen is said first, and nothing happens without a yes.
    let before = days.team.lake.tree();
    days.command("rollback", &["--version", "3", "--dry-run"])
        .assert_prints(&[
            "brings back what run 3 had left, as run 6",
            "run 5: load",
            "standard/readings",
            "2 files will be pending again",
            "day-4.csv",
            "meters 1.1.0",
            "will be blocked, until `lake run --allow 1.1.0`",
        ]);
    assert_eq!(days.team.lake.tree(), before);
    days.command("rollback", &["--version", "3"])
        .assert(2, &["--dry-run", "--yes"]);
    assert_eq!(days.team.lake.tree(), before);

    days.command("rollback", &["--version", "3", "--yes"])
        .assert_prints(&["run 6 brought back what run 3 had left", "is blocked"]);
    days.assert_daily(&[(1, 1), (2, 1), (3, 1)]);
    days.command("history", &[]).assert_prints(&[
        "rollback",
        "back to run 3, undoing runs 4 to 5",
        "blocked: meters 1.1.0",
    ]);
    days.command("plan", &[])
        .assert_prints(&["1.0.0", "1.1.0 is blocked since a rollback"]);

    // The next run takes the release before it, and loads both days again.
    days.run("1.0.0", 2);
    days.assert_daily(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);

    // The mended release takes over, and consumption is computed by it.
    days.publish("1.1.1");
    days.day(6);
    let report = days.run("1.1.1", 1);
    assert_eq!(
        report["tables"]["consumption/daily"]["how"], "full",
        "{report:#}"
    );
    days.assert_daily(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
    // Every state can still be looked at.
    let sum = "SELECT sum(usage_kwh) AS kwh FROM consumption.daily";
    let at = |run: &str| {
        let answer = days.command("query", &[sum, "--version", run, "--output", "csv"]);
        answer.assert(0, &[]).stdout.clone()
    };
    assert_eq!(at("6"), at("3"));
    assert_ne!(at("5"), at("7"));
}

#[test]
fn a_pinned_release_that_is_blocked_gives_way_loudly_until_somebody_allows_it() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    days.day(1);
    days.run("1.0.0", 1);
    days.publish("1.1.0");
    days.team.update(&[]).assert_prints(&["1.1.0"]);
    days.day(2);
    days.run("1.1.0", 1);
    days.command("rollback", &["--last", "--yes"])
        .assert(0, &[]);
    let run = days.team.lake.run(&[]);
    run.assert(0, &["lake.lock pins 1.1.0, which is blocked"]);
    days.assert_daily(&[(1, 1), (2, 1)]);
    days.team.update(&[]).assert_prints(&["1.0.0"]);
    // Undoing the rollback brings the release back as well.
    days.command("rollback", &["--version", "2", "--yes"])
        .assert(0, &[]);
    days.team.update(&[]).assert_prints(&["1.1.0"]);
    days.command("rollback", &["--version", "3", "--yes"])
        .assert(0, &[]);
    days.team.update(&[]).assert_prints(&["1.0.0"]);
    days.team.lake.run(&[]).assert(0, &[]);
    days.team
        .lake
        .run(&["--transform", "meters@1.1.0"])
        .assert(1, &["1.1.0", "blocked since a rollback"]);
    // Somebody knows better.
    let allowed = ["--transform", "meters@1.1.0", "--allow", "1.1.0"];
    days.team.lake.run(&allowed).assert(0, &[]);
    days.day(3);
    days.team
        .lake
        .run(&["--transform", "meters@1.1.0"])
        .assert(0, &[]);
    days.command("rollback", &["--last", "--yes", "--keep-release"])
        .assert(0, &[]);
    days.team
        .lake
        .run(&["--transform", "meters@1.1.0"])
        .assert(0, &[]);
}

#[test]
fn a_bad_file_is_undone_and_left_until_it_is_mended() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    days.day(1);
    days.run("1.0.0", 1);
    days.day(2);
    let good = days.truth.clone();
    // The sender has written another unit, and a day that was right before.
    let wrong = [reading(1, 1, 2, 7, "2125000"), reading(1, 1, 1, 7, "9000")];
    days.team.lake.put("day-2.csv", 50, csv(wrong));
    days.run("1.0.0", 1);

    days.command("rollback", &["--last", "--yes", "--keep-files"])
        .assert(0, &[]);
    days.assert_daily(&[(1, 1)]);
    // It is not read again as it is, and the next day is.
    days.command("run", &["--output", "json"])
        .assert_prints(&["nothing_to_do"]);
    days.day(3);
    days.run("1.0.0", 1);
    days.assert_daily(&[(1, 1), (3, 1)]);
    // The sender mends it, under the same name.
    days.day(2);
    assert_eq!(days.truth[&2], good[&2]);
    let mended = days.file("day-2.csv");
    lake_tests::received(&mended, 90);
    days.team
        .lake
        .run(&["--set", "inputs.readings.on_change=upsert"])
        .assert(0, &[]);
    days.assert_daily(&[(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn undone_files_that_are_gone_are_named_before_anything_is_done() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    for day in 1..=3 {
        days.day(day);
        days.run("1.0.0", 1);
    }
    fs::remove_file(days.file("day-2.csv")).unwrap();
    let before = days.team.lake.tree();
    days.command("rollback", &["--version", "1", "--yes"])
        .assert(2, &["day-2.csv", "--keep-files"]);
    days.command("rollback", &["--version", "1", "--dry-run"])
        .assert_prints(&["day-2.csv (gone)", "cannot be done"]);
    assert_eq!(days.team.lake.tree(), before);
    days.command("rollback", &["--version", "1", "--yes", "--keep-files"])
        .assert(0, &[]);
    days.assert_daily(&[(1, 1)]);
}

#[test]
fn a_bad_release_is_undone_although_its_files_are_gone_where_copies_are_kept() {
    const ARCHIVE: [&str; 2] = ["--set", "inputs.readings.archive=true"];
    let mut days = Days::begin();
    days.publish("1.0.0");
    days.day(1);
    days.team.lake.publish(&ARCHIVE);
    days.publish("1.1.0");
    for day in 2..=3 {
        days.day(day);
        days.team.lake.publish(&ARCHIVE);
        fs::remove_file(days.file(&format!("day-{day}.csv"))).unwrap();
    }
    days.assert_daily(&[(1, 1), (2, 1000), (3, 1000)]);
    days.command("rollback", &["--version", "1", "--yes"])
        .assert_prints(&["day-2.csv (gone; there is a copy)", "is blocked"]);
    days.assert_daily(&[(1, 1)]);
    let next = days.team.lake.run(&[]);
    next.assert(
        0,
        &["2 files are gone, and read from the archive", "day-3.csv"],
    );
    next.assert_prints(&["meters 1.0.0"]);
    days.assert_daily(&[(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_rollback_says_what_it_did_to_programs_and_what_it_needs_to_people() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    for day in 1..=2 {
        days.day(day);
        days.run("1.0.0", 1);
    }
    for (arguments, said) in [
        (&[][..], "--version <RUN>|--last|--table <ZONE/TABLE>"),
        (
            &["--version", "7"],
            "run 7 is not before the last one, which is run 2",
        ),
        (&["--version", "1", "--last"], "cannot be used with"),
        (&["--table", "standard/readings"], "--table-version"),
    ] {
        days.command("rollback", arguments).assert(2, &[said]);
    }
    let json = ["--last", "--yes", "--output", "json"];
    let said = days.command("rollback", &json).json();
    assert_eq!(
        [&said["from"], &said["to"], &said["run"]],
        [2, 1, 3],
        "{said:#}"
    );
    assert_eq!(said["tables"][0]["rows_after"], 3, "{said:#}");
    let one = [
        "--table",
        "standard/readings",
        "--table-version",
        "1",
        "--yes",
    ];
    let ended = days.command("rollback", &one);
    ended.assert_prints(&["version 1 of standard/readings"]);
    assert!(ended.stderr.contains("alone goes back"), "{}", ended.stderr);
}

#[test]
fn a_crate_at_a_path_is_blocked_by_what_was_built_of_it() {
    let mut days = Days::begin();
    days.publish("1.0.0");
    days.day(1);
    days.run("1.0.0", 1);
    let path = format!("transform.path={}", release("1.1.0").directory.display());
    let built = ["--set", &path];
    days.day(2);
    days.team.lake.run(&built).assert(0, &[]);
    days.command("rollback", &["--last", "--yes"])
        .assert(0, &[]);
    days.team
        .lake
        .run(&built)
        .assert(1, &["blocked since a rollback", "--allow"]);
    days.run("1.0.0", 1);
    days.assert_daily(&[(1, 1), (2, 1)]);
    days.team
        .lake
        .run(&[&built[..], &["--allow", "1.1.0"]].concat())
        .assert(0, &[]);
}
