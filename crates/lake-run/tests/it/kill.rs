//! Killed at any operation, then run again: the same rows, once.

use lake_run::{Outcome, Result};
use lake_testing::FailingStore;

use crate::again::{again_through, skip_through};
use crate::maintain::maintain_through;
use crate::rollback::{back_through, to};
use crate::support::{Lake, SEALS, Tables, healthy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_run_that_is_killed_at_any_operation_loses_nothing_and_loads_nothing_twice() {
    let lake = Lake::new().await;
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    assert_eq!(expected.counts(), [5, 4, 2, 2, 1]);
    kill_everywhere(&lake, &expected, Doing::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_that_is_killed_at_any_operation_loses_nothing_and_loads_nothing_twice() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    assert_eq!(expected.counts(), [7, 6, 3, 4, 2]);
    kill_everywhere(&lake, &expected, Doing::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_is_killed_at_any_operation_is_done_in_whole_or_not_at_all() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    let whole = lake.fork();
    rollback(&whole, &healthy()).await.unwrap();
    let expected = whole.tables().await;
    assert_eq!(expected.counts(), [5, 4, 2, 2, 3]);
    kill_everywhere(&lake, &expected, Doing::Rollback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_and_read_from_there_is_so_once_whatever_is_killed() {
    let lake = Lake::new().await.archiving();
    let whole = lake.fork();
    whole.publish().await;
    kill_everywhere(&lake, &whole.tables().await, Doing::ArchivingRun).await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    lake.take_away("wednesday.csv");
    let whole = lake.fork();
    rollback(&whole, &healthy()).await.unwrap();
    kill_everywhere(&lake, &whole.tables().await, Doing::ArchivingRollback).await;
    rollback(&lake, &healthy()).await.unwrap();
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    // Four copies, one that waits, and that it does no more.
    assert_eq!(expected.counts(), [7, 6, 3, 4, 4, 6]);
    kill_everywhere(&lake, &expected, Doing::ArchivingRun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_that_is_killed_at_any_write_changes_no_row_and_loses_none() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    lake.more_news();
    lake.publish().await;
    let whole = lake.fork();
    let done = maintain_through(&whole, &healthy(), KEPT).await.unwrap();
    assert_eq!((done.run, done.horizon), (Some(4), 2));
    let expected = whole.tables().await;
    kill_everywhere(&lake, &expected, Doing::Maintain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_some_files_that_is_killed_at_any_write_is_done_in_whole_or_not_at_all() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    let whole = lake.fork();
    Doing::Reload.go(&whole, &healthy()).await.unwrap();
    kill_everywhere(&lake, &whole.tables().await, Doing::Reload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_a_file_aside_that_is_killed_at_any_write_is_done_or_not_at_all() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.more_news();
    for doing in [Doing::Skip, Doing::Unskip] {
        let whole = lake.fork();
        doing.go(&whole, &healthy()).await.unwrap();
        kill_everywhere(&lake, &whole.tables().await, doing).await;
        doing.go(&lake, &healthy()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_is_killed_at_any_operation_is_finished_by_the_next_one() {
    let lake = Lake::new().await;
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    lake.seal_and_die().await;
    for n in 1.. {
        let lake = lake.fork();
        let store = healthy();
        store.stop_from(n);
        let outcome = lake.run_through(&store).await;
        if store.stopped_at().is_none() {
            let outcome = outcome.unwrap().outcome;
            let nothing = Outcome::NothingToDo {
                last_run: 1,
                loaded_files: 2,
            };
            assert_eq!(
                outcome, nothing,
                "the run was sealed, so it is finished and done"
            );
            return;
        }
        let at = format!("recovery operation {n}");
        let next = lake.run_through(&healthy()).await;
        assert!(next.is_ok(), "{at}: {next:?}");
        assert_eq!(lake.tables().await, expected, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_finishes_a_run_that_was_sealed() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Run,
    Rollback,
    ArchivingRun,
    ArchivingRollback,
    Maintain,
    Reload,
    Skip,
    Unskip,
}

/// How many runs maintenance keeps.
const KEPT: u64 = 1;

impl Doing {
    async fn go(self, lake: &Lake, store: &FailingStore) -> Result<()> {
        match self {
            Self::Run | Self::ArchivingRun => Box::pin(lake.run_through(store)).await.map(|_| ()),
            Self::Rollback | Self::ArchivingRollback => Box::pin(rollback(lake, store)).await,
            Self::Maintain => Box::pin(maintain_through(lake, store, KEPT))
                .await
                .map(|_| ()),
            Self::Reload => Box::pin(again_through(lake, store, "tuesday.csv"))
                .await
                .map(|_| ()),
            Self::Skip => Box::pin(skip_through(lake, store, "thursday.csv", false))
                .await
                .map(|_| ()),
            Self::Unskip => Box::pin(skip_through(lake, store, "thursday.csv", true))
                .await
                .map(|_| ()),
        }
    }
}

impl Doing {
    fn at_every_operation(self) -> bool {
        matches!(self, Self::Run | Self::Rollback)
    }
}

async fn rollback(lake: &Lake, store: &FailingStore) -> Result<()> {
    back_through(lake, store, to(1)).await.map(|_| ())
}

/// Kills it at every operation on its store, or at every write, which comes to the same and takes
/// less time: with another one after it, it ends like one that was not killed.
async fn kill_everywhere(lake: &Lake, expected: &Tables, doing: Doing) {
    let mut sealed = 0;
    for n in 1.. {
        match killed(lake, expected, doing, n).await {
            Some(was_sealed) => sealed += usize::from(was_sealed),
            None => break,
        }
    }
    // Reads that come after the seal are operations too.
    let most = if doing.at_every_operation() { 10 } else { 1 };
    assert!(sealed > most, "only {sealed} kills came after the seal");
}

/// A kill at the `n`th operation, and another one after it: whether the killed
/// one had been sealed; `None` where it came to its end first.
async fn killed(lake: &Lake, expected: &Tables, doing: Doing, n: usize) -> Option<bool> {
    let (seals, commits) = (lake.files(SEALS), lake.files("_delta_log/"));
    let lake = lake.fork();
    let store = healthy();
    match doing.at_every_operation() {
        true => store.stop_from(n),
        false => store.stop_from_write(n),
    }
    let outcome = doing.go(&lake, &store).await;
    let Some(operation) = store.stopped_at() else {
        outcome.unwrap();
        assert_eq!(lake.tables().await, *expected);
        return None;
    };
    let at = format!("killed at {operation}");
    let was_sealed = lake.files(SEALS) != seals;
    if !was_sealed {
        let found = lake.files("_delta_log/");
        assert_eq!(found, commits, "{at}: seen without a seal");
    }
    // What was sealed is finished by any command, and not asked for twice.
    if matches!(doing, Doing::Run | Doing::ArchivingRun) || !was_sealed {
        let next = doing.go(&lake, &healthy()).await;
        next.unwrap_or_else(|error| panic!("{at}: the next one failed: {error}"));
    }
    assert_eq!(lake.tables().await, *expected, "{at}");
    if doing == Doing::Maintain {
        // What it has not come to is found by the next one.
        lake.take_heartbeat();
        let next = maintain_through(&lake, &healthy(), KEPT).await;
        next.unwrap_or_else(|error| panic!("{at}: the next one failed: {error}"));
        assert_eq!(lake.tables().await.difference(expected, 4), None, "{at}");
    }
    Some(was_sealed)
}
