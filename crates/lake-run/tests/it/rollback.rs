//! Going back to what an earlier run has left.

use std::fs;

use lake_run::{
    Goal, Outcome, Result, Rollback, RollbackOptions, RunError, RunRecord, plan_rollback, query,
};
use lake_testing::{FailingStore, Kind, On};

use crate::foreign::{Change, Table};
use crate::support::{Lake, SEALS, Tables, healthy};

const STANDARD: &str = "standard/readings";

#[tokio::test]
async fn a_rollback_brings_back_what_a_run_had_left_and_the_files_since_are_loaded_again() {
    let Story {
        lake,
        after_one,
        after_two,
        ..
    } = Story::of_three_runs().await;
    let record = back(&lake, to(1)).await.unwrap();
    assert_eq!((record.run, record.kind.as_str()), (4, "rollback"));
    assert_eq!((record.restores, record.blocked.len()), (Some(1), 0));
    assert_same(&lake, &after_one).await;
    assert_eq!(
        lake.rows("SELECT run, kind, status, restores FROM _lake.runs WHERE run > 2")
            .await,
        ["3 | load | done | NULL", "4 | rollback | done | 1"]
    );
    // Two files at once are what two runs had loaded, one after the other.
    let next = lake.publish().await;
    assert_eq!(next.inputs.first().map(|input| input.files), Some(3));
    // A rollback of the rollback, and of what came after it.
    back(&lake, to(2)).await.unwrap();
    assert_same(&lake, &after_two).await;
}

#[tokio::test]
async fn the_last_run_is_undone_also_where_it_is_a_rollback() {
    let Story {
        lake,
        after_one,
        after_two,
        after_three,
    } = Story::of_three_runs().await;
    let last = options(Goal::BeforeLast);
    back(&lake, last.clone()).await.unwrap();
    assert_same(&lake, &after_two).await;
    back(&lake, last).await.unwrap();
    assert_same(&lake, &after_three).await;
    back(&lake, to(1)).await.unwrap();
    assert_same(&lake, &after_one).await;
}

#[tokio::test]
async fn before_the_first_run_every_table_was_empty() {
    let Story {
        lake, after_three, ..
    } = Story::of_three_runs().await;
    let record = back(&lake, to(0)).await.unwrap();
    assert_eq!(lake.tables().await.counts(), [0, 0, 0, 0, 4]);
    // Whatever was used came into use only afterwards.
    let blocked = record.blocked.first().unwrap().clone();
    let error = lake.run_through(&healthy()).await.unwrap_err();
    assert!(error.to_string().contains("--allow"), "{error}");
    let mut settings = lake.settings(&healthy());
    settings.releases.allow = vec![blocked.version];
    let report = lake_run::run(&settings).await.unwrap();
    let Outcome::Published(record) = report.outcome else {
        panic!("{report:?}");
    };
    assert_eq!(record.blocked, []);
    // What the files had held before they were corrected is nowhere any more.
    let tables = lake.tables().await;
    assert_eq!(tables.difference(&after_three, 2), None);
}

#[tokio::test]
async fn what_it_would_do_is_said_and_nothing_is_written() {
    let Story { lake, .. } = Story::of_three_runs().await;
    let files = lake.files("");
    let store = healthy();
    let plan = plan_rollback(&lake.settings(&store), &to(1)).await.unwrap();
    assert_eq!(lake.files(""), files);
    assert_eq!(store.operations().iter().find(|o| o.kind.writes()), None);
    assert_eq!((plan.from, plan.to), (3, Some(1)));
    let undone: Vec<i64> = plan.undone.iter().map(|run| run.run).collect();
    assert_eq!(undone, [3, 2]);
    let names: Vec<&str> = plan.tables.iter().map(|table| &*table.name).collect();
    let all = [
        STANDARD,
        "consumption/daily_usage",
        "rejection/readings",
        "_lake/files",
    ];
    assert_eq!(names, all);
    let readings = plan.tables.first().unwrap();
    assert_eq!(
        (
            readings.version,
            readings.restores,
            readings.rows,
            readings.rows_after
        ),
        (2, Some(0), 8, 5)
    );
    let mut pending: Vec<&str> = plan
        .pending
        .iter()
        .filter_map(|file| file.path.rsplit('/').next())
        .collect();
    pending.sort_unstable();
    assert_eq!(pending, ["thursday.csv", "tuesday.csv", "wednesday.csv"]);
    assert_eq!(plan.obstacles, [] as [String; 0]);
}

#[tokio::test]
async fn files_that_are_kept_are_not_loaded_again() {
    let Story {
        lake, after_one, ..
    } = Story::of_three_runs().await;
    let keep = RollbackOptions {
        keep_files: true,
        ..to(1)
    };
    back(&lake, keep).await.unwrap();
    let tables = lake.tables().await;
    assert_eq!(tables.difference(&after_one, 3), None);
    let next = lake.run_through(&healthy()).await.unwrap();
    assert!(
        matches!(next.outcome, Outcome::NothingToDo { .. }),
        "{next:?}"
    );
}

#[tokio::test]
async fn undone_files_that_are_gone_are_named_and_can_be_given_up() {
    let Story { lake, .. } = Story::of_three_runs().await;
    lake.take_away("wednesday.csv");
    let message = refused(back(&lake, to(1)).await);
    for part in ["1 of the files", "wednesday.csv", "--keep-files"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // It was loaded before, so nothing is missing.
    back(&lake, to(2)).await.unwrap();
    let keep = RollbackOptions {
        keep_files: true,
        ..to(1)
    };
    back(&lake, keep).await.unwrap();
}

#[tokio::test]
async fn rows_that_others_changed_are_undone_only_where_somebody_agrees() {
    let Story {
        lake, after_one, ..
    } = Story::of_three_runs().await;
    let place = lake.root.path().join("utility");
    assert!(Table::new(&place, STANDARD).suffer(Change::Optimize));
    let quiet = plan_rollback(&lake.settings(&healthy()), &to(1)).await;
    assert_eq!(quiet.unwrap().obstacles, [] as [String; 0]);
    assert!(Table::new(&place, STANDARD).suffer(Change::Delete));
    let message = refused(back(&lake, to(1)).await);
    for part in ["others have committed", STANDARD, "--discard-outside"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let agree = RollbackOptions {
        discard_outside: true,
        ..to(1)
    };
    back(&lake, agree).await.unwrap();
    assert_same(&lake, &after_one).await;
}

#[tokio::test]
async fn a_column_that_others_added_goes_with_a_rollback() {
    let Story {
        lake, after_one, ..
    } = Story::of_three_runs().await;
    let place = lake.root.path().join("utility");
    assert!(Table::new(&place, STANDARD).suffer(Change::AddColumn));
    let agree = RollbackOptions {
        discard_outside: true,
        ..to(1)
    };
    back(&lake, agree).await.unwrap();
    assert_same(&lake, &after_one).await;
    lake.publish().await;
}

#[tokio::test]
async fn data_files_that_somebody_deleted_are_missed_before_anything_is_done() {
    let Story {
        lake, after_three, ..
    } = Story::of_three_runs().await;
    let plan = plan_rollback(&lake.settings(&healthy()), &to(1)).await;
    assert!(plan.unwrap().tables.first().unwrap().files_restored > 0);
    // As VACUUM without retention: what the newest version does not name goes.
    let place = lake.root.path().join("utility");
    Table::new(&place, STANDARD).delete_unnamed_files();
    let message = refused(back(&lake, to(1)).await);
    for part in [STANDARD, "gone", "VACUUM", "later run"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(lake.tables().await, after_three);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_brought_back() {
    let Story { lake, .. } = Story::of_three_runs().await;
    for (goal, said) in [
        (Goal::Run(3), "run 3 is not before the last one"),
        (Goal::Run(-1), "run -1 is not before the last one"),
        (table("standard/other", 0), "no table standard/other"),
        (table("_lake/runs", 0), "no table _lake/runs"),
        (table(STANDARD, -1), "no version -1"),
        (table(STANDARD, 9), "no version 9"),
    ] {
        let message = refused(back(&lake, options(goal)).await);
        assert!(message.contains(said), "{said}: {message}");
    }
    let empty = Lake::empty().await;
    let message = refused(back(&empty, options(Goal::BeforeLast)).await);
    assert!(message.contains("no run to go back from"), "{message}");
}

#[tokio::test]
async fn a_table_that_was_made_anew_since_is_not_taken_for_what_it_was() {
    let lake = Lake::new().await;
    lake.publish().await;
    let place = lake.root.path().join("utility");
    assert!(Table::new(&place, "consumption/daily_usage").suffer(Change::Drop));
    lake.correction_and_news();
    lake.publish().await;
    lake.more_news();
    lake.publish().await;
    let message = refused(back(&lake, to(1)).await);
    for part in ["consumption/daily_usage", "made anew after run 1"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    back(&lake, to(2)).await.unwrap();
}

#[tokio::test]
async fn a_table_that_becomes_empty_does_not_lose_rows_of_others_silently() {
    let Story { lake, .. } = Story::of_three_runs().await;
    let place = lake.root.path().join("utility");
    assert!(Table::new(&place, STANDARD).suffer(Change::Append));
    let message = refused(back(&lake, to(0)).await);
    assert!(message.contains("--discard-outside"), "{message}");
    // What lies there and is none of ours stays as it is.
    fs::create_dir_all(place.join("standard/notes")).unwrap();
    fs::write(place.join("standard/notes/a.txt"), "mine").unwrap();
    let agree = RollbackOptions {
        discard_outside: true,
        ..to(0)
    };
    back(&lake, agree).await.unwrap();
    assert_eq!(lake.rows("SELECT * FROM standard.readings").await.len(), 0);
}

#[tokio::test]
async fn files_are_pending_again_also_where_rollbacks_are_undone() {
    let Story { lake, .. } = Story::of_three_runs().await;
    back(&lake, to(1)).await.unwrap();
    // Files that were loaded then would be loaded once more.
    let keep = RollbackOptions {
        keep_files: true,
        ..options(Goal::BeforeLast)
    };
    let message = refused(back(&lake, keep).await);
    assert!(message.contains("would come twice"), "{message}");
    back(&lake, options(Goal::BeforeLast)).await.unwrap();
    let plan = plan_rollback(&lake.settings(&healthy()), &options(Goal::BeforeLast)).await;
    let plan = plan.unwrap();
    assert_eq!((plan.from, plan.to, plan.pending.len()), (5, Some(4), 3));
    lake.take_away("thursday.csv");
    let message = refused(back(&lake, options(Goal::BeforeLast)).await);
    assert!(message.contains("thursday.csv"), "{message}");
}

#[tokio::test]
async fn one_table_alone_goes_back_and_what_is_computed_from_it_follows() {
    let Story { lake, .. } = Story::of_three_runs().await;
    let record = back(&lake, options(table(STANDARD, 0))).await.unwrap();
    assert!(record.why.unwrap().contains("alone"));
    assert_eq!(lake.tables().await.counts(), [5, 7, 4, 5, 4]);
    let next = lake.publish().await;
    assert_eq!(next.kind, "recompute");
    assert_eq!(lake.tables().await.counts(), [5, 4, 4, 5, 5]);
}

#[tokio::test]
async fn what_others_do_between_decision_and_commit_is_kept_or_takes_the_rollback_back() {
    for (change, comes_back) in [(Change::Optimize, true), (Change::Delete, false)] {
        let Story {
            lake,
            after_one,
            after_three,
            ..
        } = Story::of_three_runs().await;
        let store = healthy();
        let mut sealing = store.stall(On::kind(Kind::Put).path(SEALS));
        let others = async {
            assert!(sealing.reached().await);
            let place = lake.root.path().join("utility");
            assert!(Table::new(&place, STANDARD).suffer(change));
            sealing.release();
        };
        let (done, ()) = futures::join!(back_through(&lake, &store, to(1)), others);
        match comes_back {
            true => {
                done.unwrap();
                assert_same(&lake, &after_one).await;
            }
            false => {
                let error = done.unwrap_err();
                assert!(
                    matches!(error, RunError::TakenBack { run: 4, by: 5, .. }),
                    "{error:?}"
                );
                // Everything is as before, but for the rows that were deleted.
                let tables = lake.tables().await;
                assert_eq!(tables.counts()[1..4], after_three.counts()[1..4]);
                assert!(tables.counts()[0] < after_three.counts()[0]);
            }
        }
    }
}

#[tokio::test]
async fn a_rollback_and_a_run_at_once_are_one_after_the_other() {
    let Story { lake, .. } = Story::of_three_runs().await;
    let prepared = Rollback::prepare(&lake.settings(&healthy()), &to(1)).await;
    lake.receive(
        "friday.csv",
        600,
        "customer_id,meter_id,start_time,end_time,usage_kwh,region\n\
         C-9,M0000009,2020-02-07T00:00:00Z,2020-02-07T01:00:00Z,1.000,north\n",
    );
    lake.publish().await;
    let error = prepared.unwrap().carry_out().await.unwrap_err();
    assert!(matches!(error, RunError::OtherRun { run: 4 }), "{error:?}");
    assert_eq!(lake.tables().await.counts()[4], 4);
}

#[tokio::test]
async fn earlier_states_can_be_looked_at_after_a_rollback_too() {
    let Story {
        lake, after_three, ..
    } = Story::of_three_runs().await;
    back(&lake, to(1)).await.unwrap();
    let count = "SELECT count(*) FROM standard.readings";
    for (run, rows) in [(1, 5), (3, after_three.counts()[0]), (4, 5)] {
        let answer = query(&lake.settings(&healthy()), count, Some(run)).await;
        let found = crate::support::in_order(&answer.unwrap());
        assert_eq!(found, [rows.to_string()], "run {run}");
    }
}

/// Three runs, and what each of them has left.
struct Story {
    lake: Lake,
    after_one: Tables,
    after_two: Tables,
    after_three: Tables,
}

impl Story {
    async fn of_three_runs() -> Self {
        let lake = Lake::new().await;
        lake.publish().await;
        let after_one = lake.tables().await;
        lake.correction_and_news();
        lake.publish().await;
        let after_two = lake.tables().await;
        lake.more_news();
        lake.publish().await;
        let after_three = lake.tables().await;
        Self {
            lake,
            after_one,
            after_two,
            after_three,
        }
    }
}

fn options(goal: Goal) -> RollbackOptions {
    RollbackOptions {
        goal,
        keep_files: false,
        keep_release: false,
        discard_outside: false,
    }
}

pub(crate) fn to(run: i64) -> RollbackOptions {
    options(Goal::Run(run))
}

fn table(name: &str, version: i64) -> Goal {
    Goal::Table {
        name: name.to_owned(),
        version,
    }
}

pub(crate) async fn back(lake: &Lake, options: RollbackOptions) -> Result<RunRecord> {
    back_through(lake, &healthy(), options).await
}

pub(crate) async fn back_through(
    lake: &Lake,
    store: &FailingStore,
    options: RollbackOptions,
) -> Result<RunRecord> {
    let rollback = Rollback::prepare(&lake.settings(store), &options).await?;
    rollback.carry_out().await
}

fn refused(done: Result<RunRecord>) -> String {
    match done {
        Err(RunError::Refused { message }) => message,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// The tables are those of another time, but for the list of runs.
async fn assert_same(lake: &Lake, expected: &Tables) {
    let found = lake.tables().await;
    if let Some(difference) = found.difference(expected, 4) {
        panic!("{difference}");
    }
}
