//! Maintenance: small files are put together, and what nobody needs is deleted.

use std::fs;
use std::time::Duration;

use lake_pipeline::RollbackWindow;
use lake_run::{Maintenance, Result, RunError, Settings, maintain, plan_maintenance, query};
use lake_testing::{FailingStore, Fault, Kind, On};

use crate::foreign::{Change, Table};
use crate::rollback::{back, back_through, to};
use crate::support::{HEADER, Lake, SEALS, Tables, healthy, in_order, three_hours_later};

const STANDARD: &str = "standard/readings";

/// Maintains the tables, where so many runs have to be kept.
pub(crate) async fn maintain_through(
    lake: &Lake,
    store: &FailingStore,
    runs: u64,
) -> Result<Maintenance> {
    maintain(&keeping(lake, store, runs)).await
}

fn keeping(lake: &Lake, store: &FailingStore, runs: u64) -> Settings {
    let mut settings = lake.settings(store);
    settings.pipeline.rollback_window = RollbackWindow {
        time: Duration::ZERO,
        runs,
    };
    settings
}

/// Four runs, which touch the same days again and again, and what each of them has left.
async fn of_four_runs() -> (Lake, Vec<Tables>) {
    let lake = Lake::new().await;
    let mut left = Vec::new();
    lake.publish().await;
    left.push(lake.tables().await);
    lake.correction_and_news();
    lake.publish().await;
    left.push(lake.tables().await);
    lake.more_news();
    lake.publish().await;
    left.push(lake.tables().await);
    more(
        &lake,
        "friday.csv",
        600,
        "C-9,M0000009,2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,9.000,north",
    );
    lake.publish().await;
    left.push(lake.tables().await);
    (lake, left)
}

/// A file with one row is received.
fn more(lake: &Lake, name: &str, minute: u64, row: &str) {
    lake.receive(name, minute, &format!("{HEADER}{row}\n"));
}

/// That the tables that people read have the same rows.
fn assert_same(found: &Tables, expected: &Tables) {
    assert_eq!(found.difference(expected, 4), None);
}

#[tokio::test]
async fn each_of_fifty_runs_is_seen_as_it_had_left_the_tables_before_and_after_maintenance() {
    const RUNS: i64 = 50;
    const KEPT: i64 = 20;
    let lake = Lake::empty().await;
    let sql = "SELECT concat_ws('|', meter_id, start_time, usage_kwh, _file, _run) FROM \
               standard.readings UNION ALL SELECT concat_ws('|', customer_id, usage_date, \
               usage_kwh, readings, _run) FROM consumption.daily_usage";
    let settings = lake.settings(&healthy());
    let seen =
        async |run: Option<i64>| Ok::<_, RunError>(in_order(&query(&settings, sql, run).await?));
    let mut left = Vec::new();
    for run in 1..=RUNS {
        let (meter, day) = (run % 3, 1 + run % 5);
        let row = format!(
            "C-{meter},M000000{meter},2020-02-0{day}T00:00:00Z,2020-02-0{day}T01:00:00Z,{run}.000,north"
        );
        more(&lake, &format!("{run:02}.csv"), run.unsigned_abs(), &row);
        assert_eq!(lake.publish().await.run, run);
        left.push(seen(None).await.unwrap());
    }
    for (run, left) in (1..).zip(&left) {
        assert_eq!(seen(Some(run)).await.unwrap(), *left, "run {run}");
    }
    let done = maintain_through(&lake, &healthy(), KEPT.unsigned_abs())
        .await
        .unwrap();
    assert_eq!(done.horizon, RUNS - KEPT);
    for (run, left) in (1..).zip(&left) {
        match seen(Some(run)).await {
            Ok(seen) => assert_eq!(seen, *left, "run {run}, after maintenance"),
            Err(error) => {
                assert!(run < RUNS - KEPT, "run {run}: {error}");
                assert!(
                    matches!(error, RunError::Refused { .. }),
                    "run {run}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn small_files_are_put_together_and_no_row_changes() {
    let (lake, left) = of_four_runs().await;
    let done = maintain_through(&lake, &healthy(), 20).await.unwrap();
    assert_eq!((done.run, done.horizon), (Some(5), 0));
    let standard = done.tables.iter().find(|table| table.name == STANDARD);
    let standard = standard.unwrap();
    assert!(
        standard.files_removed > standard.files_added,
        "{standard:?}"
    );
    assert_same(&lake.tables().await, left.last().unwrap());
    // There is nothing left to do.
    let again = maintain_through(&lake, &healthy(), 20).await.unwrap();
    assert_eq!(
        (again.run, again.warnings.as_slice()),
        (None, [].as_slice())
    );
    assert!(again.is_empty(), "{again:?}");
    // Runs go on as if nothing had been.
    assert!(matches!(
        lake.run_through(&healthy()).await.unwrap().outcome,
        lake_run::Outcome::NothingToDo { last_run: 5, .. }
    ));
    more(
        &lake,
        "saturday.csv",
        700,
        "C-9,M0000009,2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,10.000,north",
    );
    let record = lake.publish().await;
    let table = record
        .tables
        .iter()
        .find(|table| table.name == STANDARD)
        .unwrap();
    assert_eq!((table.counts.updated, table.counts.inserted), (1, 0));
}

#[tokio::test]
async fn every_run_in_the_window_is_what_it_was_and_older_ones_are_refused_by_name() {
    let (lake, left) = of_four_runs().await;
    let mut seen = Vec::new();
    for run in 1..=4 {
        seen.push(at(&lake, run).await.unwrap());
    }
    let done = maintain_through(&lake, &healthy(), 2).await.unwrap();
    assert_eq!(done.horizon, 2);
    assert!(done.cleaned.objects > 0, "{done:?}");
    for (run, seen) in (1..=4).zip(&seen) {
        match at(&lake, run).await {
            Ok(found) => assert_eq!(found, *seen, "run {run}"),
            Err(error) => {
                assert_eq!(run, 1);
                assert!(error.to_string().contains("run 2"), "{error}");
            }
        }
    }
    let error = back(&lake, to(1)).await.unwrap_err();
    assert!(matches!(error, RunError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("run 2"), "{error}");
    for (run, left) in [(3, left.get(2)), (2, left.get(1))] {
        back(&lake, to(run)).await.unwrap();
        assert_same(&lake.tables().await, left.unwrap());
    }
    // A rollback does not bring back what is deleted, and a wider window neither.
    let error = back(&lake, to(1)).await.unwrap_err();
    assert!(error.to_string().contains("run 2"), "{error}");
    let plan = plan_maintenance(&keeping(&lake, &healthy(), 50))
        .await
        .unwrap();
    assert_eq!(plan.horizon, 2);
}

async fn at(lake: &Lake, run: i64) -> Result<Vec<Vec<String>>> {
    let settings = lake.settings(&healthy());
    let mut rows = Vec::new();
    for sql in [
        "SELECT * FROM standard.readings",
        "SELECT * FROM consumption.daily_usage",
        "SELECT * FROM rejection.readings",
        "SELECT * FROM _lake.files",
    ] {
        rows.push(in_order(&query(&settings, sql, Some(run)).await?));
    }
    Ok(rows)
}

#[tokio::test]
async fn what_it_would_do_is_said_and_nothing_is_written() {
    let (lake, _) = of_four_runs().await;
    let files = lake.files("");
    let plan = plan_maintenance(&keeping(&lake, &healthy(), 1))
        .await
        .unwrap();
    assert_eq!(lake.files(""), files);
    assert_eq!((plan.run, plan.horizon), (None, 3));
    assert!(
        plan.cleaned.objects > 0 && plan.cleaned.bytes > 0,
        "{plan:?}"
    );
    let done = maintain_through(&lake, &healthy(), 1).await.unwrap();
    assert_eq!((done.horizon, done.cleaned), (plan.horizon, plan.cleaned));
    let deleted = files.iter().filter(|file| !lake.files("").contains(file));
    assert_eq!(deleted.count() as u64, plan.cleaned.objects);
}

#[tokio::test]
async fn before_the_first_run_there_is_nothing_to_maintain() {
    let lake = Lake::new().await;
    let done = maintain_through(&lake, &healthy(), 1).await.unwrap();
    assert_eq!((done.run, done.is_empty()), (None, true));
    lake.assert_nothing_published();
}

#[tokio::test]
async fn what_attempts_have_left_that_were_never_sealed_is_deleted_once_it_is_old() {
    let (lake, left) = of_four_runs().await;
    more(
        &lake,
        "sunday.csv",
        800,
        "C-7,M0000007,2020-02-09T00:00:00Z,2020-02-09T01:00:00Z,7.000,north",
    );
    let before = lake.files("");
    let store = healthy();
    // All data files are written by then.
    let mut sealing = store.stall(On::kind(Kind::Put).path("_lake/prepared/"));
    let kill = async {
        assert!(sealing.reached().await);
        store.stop_from(0);
        sealing.release();
    };
    let (outcome, ()) = futures::join!(lake.run_through(&store), kill);
    outcome.unwrap_err();
    assert_eq!(lake.files(SEALS).len(), 4);
    let abandoned: Vec<String> = lake.files("run-");
    let abandoned: Vec<&String> = abandoned.iter().filter(|f| !before.contains(f)).collect();
    assert!(abandoned.len() > 1, "{abandoned:?}");
    // It may be a comparison that is still at work.
    lake.take_heartbeat();
    maintain_through(&lake, &healthy(), 20).await.unwrap();
    assert!(
        abandoned
            .iter()
            .all(|file| lake.files("run-").contains(file))
    );
    let mut settings = keeping(&lake, &healthy(), 1);
    settings.clock = three_hours_later;
    maintain(&settings).await.unwrap();
    assert!(
        !abandoned
            .iter()
            .any(|file| lake.files("run-").contains(file))
    );
    assert_same(&lake.tables().await, left.last().unwrap());
    lake.publish().await;
    assert_eq!(
        lake.rows("SELECT 1 FROM standard.readings WHERE customer_id = 'C-7'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_run_that_is_live_comes_first() {
    let (lake, _) = of_four_runs().await;
    lake.correction_and_news();
    let store = healthy();
    let mut sealing = store.stall(On::kind(Kind::Put).path("00000005.json"));
    let maintenance = async {
        assert!(sealing.reached().await);
        // It has beaten just now, as clocks of this test have it.
        let beat = lake.root.path().join("utility/_lake/heartbeat.json");
        let beat = fs::File::options().append(true).open(beat).unwrap();
        beat.set_modified(three_hours_later().into()).unwrap();
        let mut settings = keeping(&lake, &healthy(), 1);
        settings.clock = three_hours_later;
        let error = maintain(&settings).await.unwrap_err();
        sealing.release();
        error
    };
    more(
        &lake,
        "more.csv",
        900,
        "C-7,M0000007,2020-02-09T00:00:00Z,2020-02-09T01:00:00Z,7.000,north",
    );
    let (outcome, error) = futures::join!(lake.run_through(&store), maintenance);
    outcome.unwrap();
    assert!(matches!(error, RunError::Live { .. }), "{error:?}");
}

#[tokio::test]
async fn a_run_that_seals_later_than_maintenance_starts_over_and_loses_nothing() {
    let (lake, _) = of_four_runs().await;
    more(
        &lake,
        "more.csv",
        900,
        "C-7,M0000007,2020-02-09T00:00:00Z,2020-02-09T01:00:00Z,7.000,north",
    );
    let whole = lake.fork();
    whole.publish().await;
    let store = healthy();
    let mut sealing = store.stall(On::kind(Kind::Put).path("00000005.json"));
    let maintenance = async {
        assert!(sealing.reached().await);
        // Nobody sees that it is live, and all that it has written counts as garbage.
        lake.take_heartbeat();
        let mut settings = keeping(&lake, &healthy(), 1);
        settings.clock = three_hours_later;
        let done = maintain(&settings).await;
        sealing.release();
        done.unwrap()
    };
    let (outcome, done) = futures::join!(lake.run_through(&store), maintenance);
    assert_eq!(done.run, Some(5));
    let lake_run::Outcome::Published(record) = outcome.unwrap().outcome else {
        panic!("it published nothing");
    };
    assert_eq!(record.run, 6);
    assert_same(&lake.tables().await, &whole.tables().await);
}

#[tokio::test]
async fn a_rollback_that_seals_later_than_maintenance_is_asked_for_again() {
    let (lake, left) = of_four_runs().await;
    let store = healthy();
    let mut sealing = store.stall(On::kind(Kind::Put).path("00000005.json"));
    let maintenance = async {
        assert!(sealing.reached().await);
        lake.take_heartbeat();
        let done = maintain_through(&lake, &healthy(), 2).await;
        sealing.release();
        done.unwrap()
    };
    let (outcome, done) = futures::join!(back_through(&lake, &store, to(2)), maintenance);
    assert_eq!(done.run, Some(5));
    assert!(
        matches!(outcome, Err(RunError::OtherRun { run: 5 })),
        "{outcome:?}"
    );
    back(&lake, to(2)).await.unwrap();
    assert_same(&lake.tables().await, left.get(1).unwrap());
}

#[tokio::test]
async fn what_others_have_changed_before_is_known_to_the_next_run() {
    let (lake, _) = of_four_runs().await;
    let root = lake.root.path().join("utility");
    assert!(Table::new(&root, STANDARD).suffer(Change::Delete));
    maintain_through(&lake, &healthy(), 20).await.unwrap();
    let record = lake.publish().await;
    let consumption = record
        .tables
        .iter()
        .find(|table| table.name.starts_with("consumption/"));
    let why = consumption
        .and_then(|table| table.why.clone())
        .unwrap_or_default();
    assert!(why.contains("somebody else"), "{record:?}");
}

#[tokio::test]
async fn a_sealed_run_is_finished_first() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    lake.take_heartbeat();
    let done = maintain_through(&lake, &healthy(), 1).await.unwrap();
    assert_eq!(
        lake.tables().await.counts(),
        [5, 4, 2, 2, 1 + usize::from(done.run.is_some())]
    );
}

#[tokio::test]
async fn of_a_table_whose_log_is_cut_off_nothing_is_deleted() {
    let (lake, left) = of_four_runs().await;
    let log = lake
        .root
        .path()
        .join("utility")
        .join(STANDARD)
        .join("_delta_log");
    fs::remove_file(log.join("00000000000000000000.json")).unwrap();
    let done = maintain_through(&lake, &healthy(), 1).await;
    match done {
        // It cannot be read at all without a checkpoint.
        Err(error) => assert!(error.to_string().contains(STANDARD), "{error}"),
        Ok(done) => {
            assert!(
                done.warnings.iter().any(|told| told.contains(STANDARD)),
                "{done:?}"
            );
            assert_same(&lake.tables().await, left.last().unwrap());
        }
    }
}

#[tokio::test]
async fn a_data_file_that_is_gone_leaves_its_table_as_it_is() {
    let (lake, _) = of_four_runs().await;
    let files = lake.files("consumption/daily_usage/run-");
    let log = lake.root.path().join("utility/consumption/daily_usage");
    for file in &files {
        let name = file.split("daily_usage/").last().unwrap();
        fs::remove_file(log.join(name)).unwrap();
    }
    let done = maintain_through(&lake, &healthy(), 20).await.unwrap();
    let told = done.warnings.join("; ");
    assert!(
        told.contains("consumption/daily_usage") && told.contains("gone"),
        "{done:?}"
    );
    assert!(
        done.tables
            .iter()
            .any(|table| table.name == STANDARD && table.files_removed > 0)
    );
}

#[tokio::test]
async fn what_cannot_be_deleted_is_said_and_found_again() {
    let (lake, left) = of_four_runs().await;
    let store = healthy();
    store.inject(On::kind(Kind::Delete).path("run-").times(3), Fault::Fail);
    let done = maintain_through(&lake, &store, 1).await.unwrap();
    assert!(
        done.warnings
            .iter()
            .any(|told| told.contains("could not be deleted")),
        "{done:?}"
    );
    let plan = plan_maintenance(&keeping(&lake, &healthy(), 1))
        .await
        .unwrap();
    assert!(plan.cleaned.objects >= 3, "{plan:?}");
    assert_same(&lake.tables().await, left.last().unwrap());
}

#[tokio::test]
async fn its_record_says_what_it_was() {
    let (lake, _) = of_four_runs().await;
    maintain_through(&lake, &healthy(), 2).await.unwrap();
    assert_eq!(
        lake.rows(
            "SELECT kind, status, horizon, cleaned.objects > 0 FROM _lake.runs WHERE run = 5"
        )
        .await,
        ["maintain | done | 2 | true"]
    );
    let seal =
        fs::read_to_string(lake.root.path().join("utility/_lake/log/00000005.json")).unwrap();
    assert!(seal.contains("deletes.jsonl"), "{seal}");
    assert_eq!(lake.files(SEALS).len(), 5, "seals are never deleted");
    // The next run keeps its word.
    lake.more_news();
    more(
        &lake,
        "more.csv",
        900,
        "C-7,M0000007,2020-02-09T00:00:00Z,2020-02-09T01:00:00Z,7.000,north",
    );
    assert_eq!(lake.publish().await.horizon, 2);
}

#[tokio::test]
async fn a_table_that_was_dropped_and_computed_anew_is_kept_from_its_beginning_on() {
    let (lake, _) = of_four_runs().await;
    let place = lake.root.path().join("utility/consumption/daily_usage");
    fs::remove_dir_all(place).unwrap();
    for n in 0..4 {
        more(
            &lake,
            &format!("more-{n}.csv"),
            1000 + n,
            &format!(
                "C-7,M0000007,2020-02-0{}T00:00:00Z,2020-02-0{}T01:00:00Z,7.000,north",
                n + 3,
                n + 3
            ),
        );
        lake.publish().await;
    }
    let settings = lake.settings(&healthy());
    let sql = "SELECT * FROM consumption.daily_usage";
    let mut before = Vec::new();
    for run in 5..=8 {
        before.push(in_order(&query(&settings, sql, Some(run)).await.unwrap()));
    }
    // What run 3 had left of it was a version 2, and so was what run 7 has.
    let done = maintain_through(&lake, &healthy(), 5).await.unwrap();
    assert_eq!(done.horizon, 3);
    for (run, before) in (5..=8).zip(before) {
        let after = query(&settings, sql, Some(run)).await.unwrap();
        assert_eq!(in_order(&after), before, "run {run}");
    }
}

#[tokio::test]
async fn a_table_that_is_gone_stops_no_maintenance_of_others() {
    let (lake, _) = of_four_runs().await;
    fs::remove_dir_all(lake.root.path().join("utility/rejection/readings")).unwrap();
    let done = maintain_through(&lake, &healthy(), 2).await.unwrap();
    let told = done.warnings.join("; ");
    assert!(told.contains("rejection/readings"), "{done:?}");
    let standard = done.tables.iter().find(|table| table.name == STANDARD);
    assert!(
        standard.is_some_and(|table| table.files_removed > 0),
        "{done:?}"
    );
}
