//! Killed at any operation, then run again: the same rows, once.

use lake_run::Outcome;

use crate::support::{Lake, SEALS, Tables, healthy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_run_that_is_killed_at_any_operation_loses_nothing_and_loads_nothing_twice() {
    let lake = Lake::new().await;
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    assert_eq!(expected.counts(), [5, 4, 2, 2, 1]);
    kill_everywhere(&lake, &expected).await;
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
    kill_everywhere(&lake, &expected).await;
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
        assert_ends_as_if_undisturbed(&lake, &expected, &format!("recovery operation {n}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_finishes_a_run_that_was_sealed() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

/// Kills a run of `lake` at every operation on its store: with another run
/// after it, it ends like one that was not killed.
async fn kill_everywhere(lake: &Lake, expected: &Tables) {
    let mut sealed = 0;
    for n in 1.. {
        match killed(lake, expected, n).await {
            Some(was_sealed) => sealed += usize::from(was_sealed),
            None => break,
        }
    }
    assert!(sealed > 20, "only {sealed} kills came after the seal");
}

/// A kill at the `n`th operation, and the run after it: whether the killed run
/// had been sealed; `None` where it came to its end first.
async fn killed(lake: &Lake, expected: &Tables, n: usize) -> Option<bool> {
    let (seals, commits) = (lake.files(SEALS), lake.files("_delta_log/"));
    let lake = lake.fork();
    let store = healthy();
    store.stop_from(n);
    let outcome = lake.run_through(&store).await;
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
    assert_ends_as_if_undisturbed(&lake, expected, &at).await;
    Some(was_sealed)
}

async fn assert_ends_as_if_undisturbed(lake: &Lake, expected: &Tables, at: &str) {
    if let Err(error) = lake.run_through(&healthy()).await {
        panic!("{at}: the next run failed: {error}");
    }
    assert_eq!(lake.tables().await, *expected, "{at}");
}
