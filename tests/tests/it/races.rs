//! Many `lake` at once on one pipeline, and one that sleeps while others do its work.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lake_tests::{Ended, Lake, csv, reading, received};

use crate::pause::{Change, Held};

/// How many processes start together.
const AT_ONCE: usize = 8;
/// How many files wait for them, and how many more arrive while they run.
const WAITING: u32 = 3;
const MORE: u32 = 2;
/// The good readings of a file; beside them it has one that is rejected.
const READINGS: u32 = 4;

const SEALS: &str = "utility/_lake/log/";
const HEARTBEAT: &str = "_lake/heartbeat.json";
/// More than what a run may be silent for.
const DEAD_AFTER: Duration = Duration::from_secs(31);

#[test]
fn of_many_runs_at_once_every_file_is_loaded_exactly_once() {
    let lake = Lake::new();
    let mut files = 0;
    for round in 1..=rounds() {
        arrive(&lake, &mut files, WAITING);
        let running: Vec<_> = (0..AT_ONCE).map(|_| start(&lake, &[])).collect();
        arrive(&lake, &mut files, MORE);
        let ended = running.into_iter().map(|run| run.wait_with_output());
        let ended: Vec<Ended> = ended.map(|output| Ended::of(output.unwrap())).collect();
        ended.iter().for_each(assert_ends_well);
        assert!(ended.iter().any(|run| run.code == 0), "{ended:?}");
        // Before anybody else looks: whoever has ended well has finished what it began.
        let known = "SELECT count(*) >= {}, count(*) = count(DISTINCT path) FROM _lake.files";
        let known = known.replace("{}", &(files - MORE).to_string());
        assert_eq!(lake.rows(&known), ["true,true"], "round {round}");
        // What arrived too late for all of them.
        lake.publish(&[]);
        assert_everything_is_there_once(&lake, files);
    }
}

#[test]
fn of_many_runs_that_seal_at_the_same_moment_one_publishes() {
    let lake = Lake::new();
    let mut files = 0;
    for run in 1..=2 {
        arrive(&lake, &mut files, WAITING);
        let sleepers = [(); AT_ONCE / 2].map(|()| {
            let sleeper = hold(&lake, &Change::before(SEALS));
            sleeper.freeze();
            forget_who_runs(&lake);
            sleeper
        });
        sleepers.iter().for_each(Held::wake);
        let ended = sleepers.map(Held::end);
        ended.iter().for_each(assert_ends_well);
        let of_this = format!("run {run} is published");
        let publishers = ended.iter().filter(|run| run.stdout.contains(&of_this));
        assert_eq!(publishers.count(), 1, "{ended:?}");
        assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
        assert_everything_is_there_once(&lake, files);
    }
}

#[test]
fn a_run_that_was_overtaken_in_its_sleep_publishes_nothing() {
    let lake = Lake::new();
    let mut files = 0;
    arrive(&lake, &mut files, WAITING);
    let sleeper = hold(&lake, &Change::before(SEALS));
    sleeper.freeze();
    let_the_heartbeat_age(&lake);
    assert_eq!(lake.publish(&[])["run"], 1);
    let published = published(&lake);
    sleeper.wake();
    assert_ends_well(&sleeper.end());
    assert_eq!(self::published(&lake), published);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    assert_everything_is_there_once(&lake, files);
}

#[test]
fn a_run_that_sleeps_after_its_seal_finds_its_work_done_and_ends_well() {
    for table in ["standard/readings", "_lake/runs"] {
        let lake = Lake::new();
        let mut files = 0;
        arrive(&lake, &mut files, WAITING);
        let at = format!("utility/{table}/_delta_log/");
        let sleeper = hold(&lake, &Change::before(&at));
        sleeper.freeze();
        assert_everything_is_there_once(&lake, files);
        // And the next run changes the same tables before it wakes.
        arrive(&lake, &mut files, MORE);
        let_the_heartbeat_age(&lake);
        assert_eq!(lake.publish(&[])["run"], 2);
        let published = published(&lake);
        sleeper.wake();
        sleeper.end().assert(0, &[]);
        assert_eq!(self::published(&lake), published, "{table}");
        assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
        assert_everything_is_there_once(&lake, files);
    }
}

#[test]
fn beside_a_live_run_another_one_says_whose_it_is_and_leaves_the_work_to_it() {
    let lake = Lake::new();
    let mut files = 0;
    arrive(&lake, &mut files, WAITING);
    let live = hold(&lake, &Change::before(SEALS));
    let process = format!("process {}", live.id());
    lake.run(&[])
        .assert(4, &["another run", "is live", &process, "since", "--wait"]);
    assert!(published(&lake).is_empty());
    let waiting = start(&lake, &["--wait"]);
    live.wake();
    live.end().assert(0, &[]);
    let waited = Ended::of(waiting.wait_with_output().unwrap());
    waited.assert_prints(&["nothing to do"]);
    assert_everything_is_there_once(&lake, files);
}

#[test]
fn a_run_that_was_killed_is_in_nobodys_way() {
    let lake = Lake::new();
    let mut files = 0;
    arrive(&lake, &mut files, WAITING);
    hold(&lake, &Change::before(SEALS)).kill();
    assert!(lake.object(HEARTBEAT).exists());
    assert_eq!(lake.publish(&[])["run"], 1);
    assert_everything_is_there_once(&lake, files);
    assert!(!lake.object(HEARTBEAT).exists());
}

/// Starts a run that is held at a change.
#[track_caller]
fn hold(lake: &Lake, change: &Change) -> Held {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let marker = lake.directory().join(format!("held-{number}"));
    Held::start(lake.command(&["run"]), change, marker)
}

/// Takes away what tells a run that another one is live: that only spares them work, and what is
/// right does not depend on it.
fn forget_who_runs(lake: &Lake) {
    fs::remove_file(lake.object(HEARTBEAT)).unwrap();
}

/// The last beat was so long ago that whoever it was of counts as dead.
fn let_the_heartbeat_age(lake: &Lake) {
    let file = File::options().append(true).open(lake.object(HEARTBEAT));
    let file = file.unwrap();
    let beaten = file.metadata().unwrap().modified().unwrap();
    file.set_modified(beaten - DEAD_AFTER).unwrap();
}

/// That a run has published, or found nothing to do, or heard of another one.
#[track_caller]
fn assert_ends_well(run: &Ended) {
    assert!(matches!(run.code, 0 | 4), "{run:?}");
}

fn start(lake: &Lake, arguments: &[&str]) -> Child {
    let mut run = lake.command(&[&["run"], arguments].concat());
    run.stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// More files arrive: each is there as a whole or not at all.
fn arrive(lake: &Lake, files: &mut u32, more: u32) {
    for _ in 0..more {
        *files += 1;
        let file = *files;
        let hours = 0..READINGS;
        let good = hours.map(|hour| reading(file % 5, file, 1 + file % 28, hour, "0.5"));
        let bad = [reading(1, file, 1, 0, "much")];
        let arriving = lake.directory().join("arriving.csv");
        fs::write(&arriving, csv(good.chain(bad))).unwrap();
        received(&arriving, file.into());
        fs::rename(arriving, lake.directory().join(format!("data/{file}.csv"))).unwrap();
    }
}

/// That every row of so many files is in every table once, and the runs have numbers without gaps.
#[track_caller]
fn assert_everything_is_there_once(lake: &Lake, files: u32) {
    let readings = files * READINGS;
    let rows = readings + files;
    for (sql, expected) in [
        (
            "SELECT count(*), count(DISTINCT path), sum(rows) FROM _lake.files",
            format!("{files},{files},{rows}"),
        ),
        (
            "SELECT count(*), count(DISTINCT (meter_id, start_time)), count(DISTINCT _file) \
             FROM standard.readings",
            format!("{readings},{readings},{files}"),
        ),
        (
            "SELECT sum(readings), sum(usage_kwh) FROM consumption.daily_usage",
            format!("{readings},{:.3}", 0.5 * f64::from(readings)),
        ),
        (
            "SELECT count(*), count(DISTINCT file) FROM rejection.readings",
            format!("{files},{files}"),
        ),
    ] {
        assert_eq!(lake.rows(sql), [expected], "{sql}");
    }
    let seals = published(lake)
        .into_keys()
        .filter(|path| path.parent() == Some(&lake.object("_lake/log")));
    let seals = seals.count();
    assert_eq!(
        lake.rows("SELECT count(*), count(DISTINCT run), min(run), max(run) FROM _lake.runs"),
        [format!("{seals},{seals},1,{seals}")]
    );
}

/// The seals and the commits, which is all that a reader of the root goes by.
fn published(lake: &Lake) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut seen = lake.tree();
    seen.retain(|path, _| {
        let path = path.to_string_lossy();
        // What is still being written has another name until it is whole.
        (path.contains(SEALS) || path.contains("/_delta_log/")) && !path.contains('#')
    });
    seen
}

/// `LAKE_RACE_ROUNDS`, or as many as a test has time for.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to look is said outside"
)]
fn rounds() -> u32 {
    let said = std::env::var("LAKE_RACE_ROUNDS").ok();
    said.map_or(5, |rounds| rounds.parse().unwrap())
}
