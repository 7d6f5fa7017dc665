//! Partition functions in SQL: all rows of a key, in order, through the transform's own code.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, make_crate, make_version, target};
use serde_json::Value;

/// Plays of users, made into sessions.
const LISTENING: &str = r#"//! Sessions of listeners.

use lake_plugin::PartitionBuilder;
use lake_plugin::prelude::*;

/// Plays that are no more than a gap apart are one session.
struct Sessions {
    gap: i64,
    session: Option<(i64, i64, i64)>,
}

impl Partition for Sessions {
    fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        let (songs, times) = (rows.text("song")?, rows.timestamp("played_at")?);
        for (song, at) in songs.iter().zip(times.iter()) {
            let at = at.ok_or_else(|| FunctionError::new("a play has no time"))?;
            match song {
                Some("fail") => return Err(FunctionError::new("nobody plays `fail`")),
                Some("panic") => panic!("this song cannot be played"),
                _ => {}
            }
            match &mut self.session {
                Some((_, last, plays)) if at - *last <= self.gap => {
                    *last = at;
                    *plays += 1;
                }
                session => {
                    if let Some((start, _, plays)) = session.replace((at, at, 1)) {
                        out.row((start, plays))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        match self.session.take() {
            Some((start, _, plays)) => out.row((start, plays)),
            None => Ok(()),
        }
    }
}

/// Emits many rows at once: as many as are asked for, for every key.
struct Copies {
    count: i64,
}

impl Partition for Copies {
    fn push(&mut self, _: &Rows<'_>, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        (0..self.count).try_for_each(|number| out.row((number,)))
    }
}

fn sessions(name: &str) -> PartitionBuilder {
    Function::partition(name)
        .column("userid", text())
        .column("played_at", timestamp())
        .column("song", text())
        .key(["userid"])
        .order_by(["played_at"])
        .argument(duration())
        .returns("session_start", timestamp())
        .returns("plays", integer())
}

fn state(arguments: &Arguments) -> Result<Sessions, FunctionError> {
    Ok(Sessions { gap: arguments.duration(0)?.value(0), session: None })
}

pub fn listening() -> Transform {
    Transform::new()
        .param(param("gap", duration()).default("30m"))
        .param(param("copies", integer()).default("3"))
        .input(Input::csv("readings").header()
            .column("userid", text())
            .column("song", text())
            .column("played_at", timestamp()))
        .function(sessions("sessionize").state(state))
        .function(sessions("moody").volatile().state(state))
        .function(Function::partition("copies")
            .column("userid", text())
            .key(["userid"])
            .argument(integer())
            .returns("number", integer())
            .state(|arguments| Ok(Copies { count: arguments.integer(0)?.value(0) })))
        .table(Table::standard("plays").sql("SELECT userid, song, played_at FROM readings"))
        .table(Table::consumption("sessions")
            .sql("SELECT userid, session_start, plays FROM sessionize(standard.plays, $gap)
                  WHERE userid IS NOT NULL")
            .key(["userid", "session_start"])
            .refresh_by(["userid"]))
        .table(Table::consumption("all_sessions")
            .sql("SELECT * FROM sessionize(standard.plays, $gap)"))
        .table(Table::consumption("listeners")
            .sql("WITH long AS (
                      SELECT * FROM Sessionize((SELECT * FROM standard.plays WHERE song <> 's1'),
                                               INTERVAL '2 hours') AS s WHERE s.plays > 1)
                  SELECT long.userid, count(*) AS sessions, max(long.plays) AS most, max(total) AS total
                  FROM long JOIN (SELECT userid, count(*) AS total FROM standard.plays GROUP BY userid) AS t
                  ON t.userid = long.userid GROUP BY long.userid")
            .key(["userid"])
            .refresh_by(["userid"]))
        .table(Table::consumption("copies")
            .sql("SELECT userid, count(*) AS copies, sum(number) AS total
                  FROM copies(standard.plays, $copies)
                  WHERE userid IS NOT NULL GROUP BY userid")
            .key(["userid"])
            .refresh_by(["userid"]))
        .table(Table::consumption("moods")
            .sql("SELECT userid, max(plays) AS plays FROM moody(standard.plays, $gap)
                  WHERE userid IS NOT NULL GROUP BY userid")
            .key(["userid"])
            .refresh_by(["userid"]))
}
lake_plugin::export!(listening);
"#;

/// The same in plain SQL.
const EXPECTED: &str = "WITH marked AS (
        SELECT userid, played_at, CASE WHEN played_at - lag(played_at)
            OVER (PARTITION BY userid ORDER BY played_at) <= INTERVAL '30 minutes' THEN 0 ELSE 1 END AS starts
        FROM standard.plays
    ), numbered AS (
        SELECT userid, played_at, sum(starts)
            OVER (PARTITION BY userid ORDER BY played_at ROWS UNBOUNDED PRECEDING) AS session
        FROM marked
    )
    SELECT userid, min(played_at) AS session_start, count(*) AS plays
    FROM numbered GROUP BY userid, session ORDER BY userid, session_start";

const FOUND: &str = "SELECT userid, session_start, plays FROM consumption.all_sessions ORDER BY userid, session_start";

const OF_USERS: &str =
    "SELECT userid, session_start, plays FROM consumption.sessions ORDER BY userid, session_start";

#[test]
fn sessions_are_those_that_plain_sql_finds_in_any_split_of_files_into_runs() {
    let files: Vec<String> = (0..6).map(|seed| plays(seed, 400, 12)).collect();
    let orders: [&[&[usize]]; 2] = [&[&[0, 1, 2, 3, 4, 5]], &[&[5, 3], &[1], &[4, 0, 2]]];
    let mut seen = Vec::new();
    for runs in orders {
        let lake = listening();
        for run in runs {
            for file in *run {
                lake.put(&format!("{file}.csv"), 1, &files[*file]);
            }
            lake.publish(&[]);
        }
        let found = lake.rows(FOUND);
        assert_eq!(found, lake.rows(EXPECTED), "{runs:?}");
        let of_users: Vec<_> = found.iter().filter(|row| !row.starts_with(',')).collect();
        assert_eq!(lake.rows(OF_USERS).iter().collect::<Vec<_>>(), of_users);
        assert!(of_users.len() < found.len(), "no play without a user");
        seen.push(found);
    }
    assert!(seen[0].len() > 100, "{}", seen[0].len());
    assert!(seen.iter().all(|found| *found == seen[0]));
}

#[test]
fn only_the_users_of_new_rows_are_computed_again_and_the_plan_says_so() {
    let lake = listening();
    lake.put("a.csv", 1, plays(1, 2_000, 40));
    let report = lake.publish(&[]);
    assert_eq!(
        figures(&report, "copies")["rows"],
        of_users(&lake, "userid IS NOT NULL")
    );
    lake.put(
        "b.csv",
        2,
        csv(["u3,s1,2026-02-01T00:00:00Z", "u3,s2,2026-02-01T00:10:00Z"]),
    );

    let pipeline = lake.pipeline().to_str().unwrap().to_owned();
    let plan = lake.lake(&["plan", &pipeline, "--output", "json"]);
    let plan = plan.assert(0, &[]).json();
    for (table, refresh) in [
        (
            "sessions",
            "groups of userid: changes of standard.plays by userid",
        ),
        (
            "listeners",
            "groups of userid: changes of standard.plays by userid",
        ),
        (
            "copies",
            "groups of userid: changes of standard.plays by userid",
        ),
        ("all_sessions", "in full: it has no key, so it is replaced"),
        (
            "moods",
            "in full: its SQL calls a function whose result may differ from run to run",
        ),
    ] {
        let tables = plan["tables"].as_array().unwrap();
        let name = format!("consumption/{table}");
        let planned = tables
            .iter()
            .find(|planned| planned["name"] == *name)
            .unwrap();
        assert_eq!(planned["refresh"], *refresh, "{table}");
    }

    let report = lake.publish(&[]);
    let table = |name: &str| &report["tables"][format!("consumption/{name}")];
    for name in ["sessions", "listeners"] {
        assert_eq!(table(name)["how"], "groups", "{name}");
    }
    assert_eq!(
        figures(&report, "moody")["rows"],
        of_users(&lake, "userid IS NOT NULL")
    );
    assert_eq!(
        [
            &table("sessions")["inserted"],
            &table("sessions")["updated"]
        ],
        [1, 0]
    );
    assert_eq!(
        figures(&report, "copies")["rows"],
        of_users(&lake, "userid = 'u3'")
    );
    assert!(figures(&report, "copies")["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(lake.rows(FOUND), lake.rows(EXPECTED));
}

#[test]
fn a_filter_on_what_is_returned_holds_for_what_is_returned() {
    let lake = listening();
    lake.put("a.csv", 1, plays(2, 3_000, 8));
    lake.publish(&[]);
    let expected = EXPECTED
        .replace("30 minutes", "2 hours")
        .replace(
            "FROM standard.plays",
            "FROM standard.plays WHERE song <> 's1'",
        )
        .replace(" ORDER BY userid, session_start", "");
    let expected = format!(
        "SELECT s.userid, count(*) AS sessions, max(plays) AS most, total FROM ({expected}) AS s \
         JOIN (SELECT userid, count(*) AS total FROM standard.plays GROUP BY userid) AS t \
         ON s.userid = t.userid WHERE plays > 1 GROUP BY s.userid, total ORDER BY s.userid"
    );
    let found = "SELECT userid, sessions, most, total FROM consumption.listeners ORDER BY userid";
    assert_eq!(lake.rows(found), lake.rows(&expected));
    assert_eq!(lake.rows(found).len(), 7);
}

#[test]
fn fifty_thousand_keys_are_each_seen_once() {
    let lake = listening();
    let users = (0..100_000).map(|row| {
        format!(
            "u{},s{row},2026-01-01T00:{:02}:00Z",
            row * 7 % 50_000,
            row / 50_000
        )
    });
    lake.put("a.csv", 1, csv(users));
    let report = lake.publish(&[]);
    assert_eq!(figures(&report, "copies")["rows"], 100_000);
    let found =
        "SELECT count(*), count(DISTINCT userid), min(plays), max(plays) FROM consumption.sessions";
    assert_eq!(lake.rows(found), ["50000,50000,2,2"]);
}

#[test]
fn one_key_of_many_rows_is_sorted_and_pushed_in_bounded_memory() {
    let lake = listening();
    let mut random = Random(3);
    let rows = (0..200_000).map(|row| {
        let second = random.below(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!(
            "u,a song with quite a long name {row},2026-01-01T{hour:02}:{minute:02}:{second:02}Z"
        )
    });
    lake.put("a.csv", 1, csv(rows));
    let report = lake.publish(&["--set", "limits.memory=128MiB"]);
    assert_eq!(
        lake.rows("SELECT userid, plays FROM consumption.sessions"),
        ["u,200000"]
    );
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 256 << 20, "{peak} bytes");
}

#[test]
fn a_key_can_emit_more_than_it_receives() {
    let lake = listening();
    lake.put(
        "a.csv",
        1,
        csv(["a,s1,2026-01-01T00:00:00Z", "b,s1,2026-01-01T00:00:00Z"]),
    );
    lake.publish(&["--set", "transform.params.copies=100000"]);
    assert_eq!(
        lake.rows("SELECT userid, copies, total FROM consumption.copies ORDER BY userid"),
        ["a,100000,4999950000", "b,100000,4999950000"]
    );
}

#[test]
fn a_function_that_fails_or_panics_publishes_nothing_and_is_named_with_its_table() {
    for (song, said) in [
        ("fail", "function `sessionize`: nobody plays `fail`"),
        ("panic", "this song cannot be played"),
    ] {
        let lake = listening();
        lake.put(
            "a.csv",
            1,
            csv([&*format!("a,{song},2026-01-01T00:00:00Z")]),
        );
        lake.run(&[])
            .assert(FUNCTION_FAILED, &["consumption/", "`sessionize`", said]);
        lake.assert_nothing_published();
    }
}

#[test]
fn a_standard_table_cannot_call_one_and_is_told_where_it_does() {
    let plain = "SELECT userid, song, played_at FROM readings";
    let source = LISTENING.replace(plain, "SELECT userid\n FROM copies(readings, 1)");
    let directory = target().join("lake-tests/listening-wrong");
    make_version(&directory, "listening", "1.0.0", "listening_wrong", &source);
    let lake = building("listening", "1", &directory);
    let ended = lake.lake(&["validate", lake.pipeline().to_str().unwrap()]);
    ended.assert(1, &[
        "standard/plays, line 2, column 7: a standard table keeps the origin of every row, which \
         copies cannot pass on: its rows are made of many; call it in a consumption table\n  \
         2 |  FROM copies(readings, 1)\n    |       ^^^^^^",
    ]);
}

/// The exit code of a run in which a function of the transform failed.
const FUNCTION_FAILED: i32 = 1;

/// What a run's record says of a function.
fn figures(report: &Value, function: &str) -> Value {
    let functions = report["functions"].as_array().unwrap();
    let found = functions
        .iter()
        .find(|figures| figures["name"] == *function);
    found.unwrap().clone()
}

/// How many plays there are of some users.
fn of_users(lake: &Lake, condition: &str) -> Value {
    let sql = format!("SELECT count(*) AS plays FROM standard.plays WHERE {condition}");
    lake.query(&sql)[0]["plays"].clone()
}

fn csv<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> String {
    let mut text = String::from("userid,song,played_at\n");
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text
}

/// A pipeline of plays.
fn listening() -> Lake {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    let directory: &Path = CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/listening");
        make_crate(&directory, "listening", LISTENING);
        directory
    });
    building("listening", "1", directory)
}

/// A file of plays of some users, NULL among them, at random times of three days.
fn plays(seed: u64, rows: u64, users: u64) -> String {
    let mut random = Random(seed + 1);
    let mut lines = Vec::new();
    for _ in 0..rows {
        let user = match random.below(users) {
            0 => String::new(),
            user => format!("u{user}"),
        };
        let second = random.below(3 * 24 * 3600);
        let (day, second) = (1 + second / 86_400, second % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        lines.push(format!(
            "{user},s{},2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z",
            random.below(50)
        ));
    }
    csv(lines)
}

/// Numbers that are the same in every test run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
