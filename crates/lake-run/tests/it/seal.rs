//! One put decides a run: whatever the store says about it, and whoever else is there.

use std::fs;
use std::path::PathBuf;

use lake_run::{Outcome, RunError};
use lake_testing::{Fault, Kind, On};
use serde_json::Value;

use crate::support::{FIRST_SEAL, Lake, SEALS, failed, healthy, published};

#[tokio::test]
async fn a_seal_that_landed_although_an_error_came_back_seals() {
    for fault in [Fault::FailAfter, Fault::AlreadyExistsAfter] {
        let lake = Lake::new().await;
        let store = healthy();
        store.inject(On::kind(Kind::Put).path(SEALS), fault.clone());
        let record = published(lake.run_through(&store).await);
        assert_eq!(record.run, 1, "{fault:?}");
        assert_eq!(store.count(Kind::Put, SEALS), 1, "{fault:?}");
        assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_seal_that_did_not_land_is_put_again() {
    let lake = Lake::new().await;
    let store = healthy();
    store.inject(On::kind(Kind::Put).path(SEALS).times(2), Fault::Fail);
    assert_eq!(published(lake.run_through(&store).await).run, 1);
    assert_eq!(store.count(Kind::Put, SEALS), 3);
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

#[tokio::test]
async fn a_seal_that_never_lands_is_reported_and_uses_no_number() {
    let lake = Lake::new().await;
    let store = healthy();
    store.inject(On::kind(Kind::Put).path(SEALS).always(), Fault::Fail);
    let error = failed(lake.run_through(&store).await);
    assert!(
        matches!(&error, RunError::Unsettled { run: 1, .. }),
        "{error:?}"
    );
    lake.assert_nothing_published();
    lake.assert_next_run_is_the_first().await;
}

#[tokio::test]
async fn a_seal_whose_fate_cannot_be_read_is_finished_by_the_next_run() {
    let lake = Lake::new().await;
    let store = healthy();
    store.inject(On::kind(Kind::Put).path(SEALS), Fault::FailAfter);
    // The first look is at opening, before there is one.
    store.inject(On::kind(Kind::Get).path(SEALS).nth(2).always(), Fault::Fail);
    let error = failed(lake.run_through(&store).await);
    assert!(error.to_string().contains(FIRST_SEAL), "{error}");
    let next = lake.run_through(&healthy()).await.unwrap();
    assert!(
        matches!(next.outcome, Outcome::NothingToDo { last_run: 1, .. }),
        "{next:?}"
    );
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

#[tokio::test]
async fn a_data_file_that_is_cut_off_or_gone_before_the_seal_publishes_nothing() {
    for (length, expected) in [(Some(10), "it has 10 bytes, and "), (None, "not found")] {
        let lake = Lake::new().await;
        let store = healthy();
        // Every data file is looked for before the seal.
        let mut sealing = store.stall(On::kind(Kind::Head).path("standard/readings/run-"));
        let spoil = async {
            assert!(sealing.reached().await);
            let written = lake.files("standard/readings/");
            let file = lake.root.path().join(&written[0]);
            match length {
                Some(length) => {
                    let file = fs::File::options().write(true).open(file).unwrap();
                    file.set_len(length).unwrap();
                }
                None => fs::remove_file(file).unwrap(),
            }
            sealing.release();
        };
        let (outcome, ()) = futures::join!(lake.run_through(&store), spoil);
        let error = failed(outcome).to_string();
        assert!(error.to_lowercase().contains(expected), "{error}");
        assert!(error.contains("standard/readings/"), "{error}");
        lake.assert_nothing_published();
        lake.assert_next_run_is_the_first().await;
    }
}

#[tokio::test]
async fn of_two_runs_at_once_one_publishes_and_the_other_finds_nothing_left_to_do() {
    for overtaken_at in ["utility/_lake/prepared/", SEALS] {
        let lake = Lake::new().await;
        let store = healthy();
        let mut sealing = store.stall(On::kind(Kind::Put).path(overtaken_at));
        let faster = async {
            assert!(sealing.reached().await);
            let record = lake.publish().await;
            let commits = lake.files("_delta_log/");
            sealing.release();
            (record, commits)
        };
        let (slower, (record, commits)) = futures::join!(lake.run_through(&store), faster);
        assert_eq!(record.run, 1);
        let slower = slower.unwrap().outcome;
        assert!(
            matches!(slower, Outcome::NothingToDo { last_run: 1, .. }),
            "{slower:?}"
        );
        assert_eq!(lake.files("_delta_log/"), commits, "{overtaken_at}");
        assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
        let next = lake.run_through(&healthy()).await.unwrap();
        assert!(
            matches!(next.outcome, Outcome::NothingToDo { last_run: 1, .. }),
            "{next:?}"
        );
    }
}

#[tokio::test]
async fn a_seal_of_a_newer_lake_is_refused_with_the_version_that_is_needed() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    let path = lake.root.path().join("utility").join(FIRST_SEAL);
    let mut seal: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    seal["format"] = 99.into();
    seal["lake"] = "7.8.9".into();
    fs::write(&path, seal.to_string()).unwrap();
    let error = failed(lake.run_through(&healthy()).await);
    let message = error.to_string();
    for part in [FIRST_SEAL, "format 99", "7.8.9"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(lake.files("_delta_log/"), [] as [&str; 0]);
}

#[tokio::test]
async fn a_seal_that_is_cut_off_is_refused_by_name() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    let path = lake.root.path().join("utility").join(FIRST_SEAL);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = failed(lake.run_through(&healthy()).await);
    assert!(error.to_string().contains(FIRST_SEAL), "{error}");
    assert_eq!(lake.files("_delta_log/"), [] as [&str; 0]);
}

#[tokio::test]
async fn sealed_actions_that_were_changed_are_refused_until_they_are_restored() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    let (name, object) = actions(&lake, "standard.readings.json");
    let whole = fs::read(&object).unwrap();
    let mut changed = whole.clone();
    changed.extend_from_slice(b"{\"commitInfo\":{}}\n");
    fs::write(&object, changed).unwrap();
    let error = failed(lake.run_through(&healthy()).await);
    assert!(
        matches!(&error, RunError::State { path, .. } if *path == name),
        "{error:?}"
    );
    assert_eq!(lake.files("standard/readings/_delta_log/"), [] as [&str; 0]);
    fs::write(&object, whole).unwrap();
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

#[tokio::test]
async fn sealed_actions_that_are_gone_are_named_until_they_are_restored() {
    let lake = Lake::new().await;
    lake.seal_and_die().await;
    let (name, object) = actions(&lake, "consumption.daily_usage.json");
    let whole = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    let error = failed(lake.run_through(&healthy()).await);
    assert!(error.to_string().contains(&name), "{error}");
    fs::write(&object, whole).unwrap();
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 1]);
}

/// A table's sealed actions: relative to the pipeline's root, and as a path.
fn actions(lake: &Lake, name: &str) -> (String, PathBuf) {
    let found = lake.files(&format!("/{name}"));
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    let relative = one.strip_prefix("utility/").unwrap().to_owned();
    (relative, lake.root.path().join(one))
}
