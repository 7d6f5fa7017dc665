//! Partition functions in SQL: all rows of a key, in order, through the transform's own code.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, make_crate, target};

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
    let orders: [&[&[usize]]; 3] = [
        &[&[0, 1, 2, 3, 4, 5]],
        &[&[0], &[1, 2], &[3], &[4, 5]],
        &[&[5, 3], &[1], &[4, 0, 2]],
    ];
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
    let mut text = String::from("userid,song,played_at\n");
    for _ in 0..rows {
        let user = match random.below(users) {
            0 => String::new(),
            user => format!("u{user}"),
        };
        let second = random.below(3 * 24 * 3600);
        let (day, second) = (1 + second / 86_400, second % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        text += &format!(
            "{user},s{},2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z\n",
            random.below(50)
        );
    }
    text
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
