//! Stores that a run cannot rely on: a disk that fills up, and one without conditional puts.

use lake_run::RunError;
use lake_testing::{Fault, Kind, On};

use crate::support::{Lake, SEALS, failed, healthy};

#[tokio::test]
async fn a_disk_that_fills_up_before_the_seal_publishes_nothing_and_says_so() {
    let lake = Lake::new().await;
    let puts = puts_before_the_seal(&lake).await;
    assert!(puts > 6, "{puts} puts");
    for n in 1..=puts {
        let lake = lake.fork();
        let store = healthy();
        store.inject(On::kind(Kind::Put).nth(n).always(), Fault::StorageFull);
        let error = failed(lake.run_through(&store).await);
        let full: Vec<_> = store.operations();
        let full = full.iter().filter(|o| o.kind == Kind::Put).nth(n - 1);
        assert!(
            matches!(error, RunError::DiskFull { .. }),
            "{full:?}: {error:?}"
        );
        let message = error.to_string();
        let place = lake.root.path().join("utility").display().to_string();
        for part in [
            "the disk is full",
            "nothing was published",
            "run again",
            &place,
        ] {
            assert!(message.contains(part), "{full:?}: {part}: {message}");
        }
        lake.assert_nothing_published();
        // Room has been made.
        if n == 1 || n == puts {
            lake.assert_next_run_is_the_first().await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_after_the_seal_does_not_say_that_nothing_was_published() {
    let lake = Lake::new().await;
    let store = healthy();
    let commits = On::kind(Kind::Put).path("daily_usage/_delta_log/");
    store.inject(commits.always(), Fault::StorageFull);
    let error = failed(lake.run_through(&store).await);
    let message = error.to_string();
    for part in [
        "the disk is full",
        "daily_usage/_delta_log/",
        "run 1 is sealed, and the next command finishes it",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("nothing was published"), "{message}");
    // Room has been made.
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

/// How many objects a run writes up to its seal, the seal included.
async fn puts_before_the_seal(lake: &Lake) -> usize {
    let lake = lake.fork();
    let store = healthy();
    lake.run_through(&store).await.unwrap();
    let operations = store.operations();
    let puts = operations.iter().filter(|o| o.kind == Kind::Put);
    puts.take_while(|put| !put.path.contains(SEALS)).count() + 1
}

#[tokio::test]
async fn a_store_that_puts_over_what_is_there_is_refused_before_anything_is_prepared() {
    let lake = Lake::new().await;
    let store = healthy();
    store.inject(On::writes().always(), Fault::IgnoresConditions);
    let error = failed(lake.run_through(&store).await);
    let message = error.to_string();
    for part in ["_lake/probe", "If-None-Match", "conditional puts"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(lake.files("_lake/prepared"), [] as [&str; 0]);
    lake.assert_nothing_published();
    lake.assert_next_run_is_the_first().await;
}
