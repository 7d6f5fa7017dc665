//! A store that fails, and one that lies about it: a commit is there once or not at all.

use std::collections::BTreeMap;

use lake_delta::{
    Applied, Commit, Error, Prepared, Remake, Result, Root, Snapshot, Stamp, is_storage_full,
};
use lake_testing::{FailingStore, Fault, Kind, On};

use crate::support::{
    Lake, PIPELINE, Row, committed, healthy, land, plan, read, spec, through, versions,
};

const TABLE: &str = "standard/t";
const LOG: &str = "standard/t/_delta_log/";

/// A lake with one row at version 0, a change that is prepared, and a store
/// without faults so far, through which that change is to be applied.
struct Waiting {
    lake: Lake,
    store: FailingStore,
    root: Root,
    commit: Commit,
    stamp: Stamp,
}

impl Waiting {
    async fn new() -> Self {
        let mut lake = Lake::new();
        let first = lake.merge(&spec(false), &[row(1, "one")]).await;
        assert_eq!(lake.apply(&first).await, committed(0));
        let second = lake.merge(&spec(false), &[row(2, "two")]).await;
        let stamp = lake.stamp();
        let commit = second.commit(&stamp).unwrap();
        let store = healthy();
        let root = through(&lake, &store);
        Self {
            lake,
            store,
            root,
            commit,
            stamp,
        }
    }

    async fn apply(&self) -> Result<Applied> {
        land(
            &self.root,
            TABLE,
            &self.commit,
            &Remake::Append,
            &self.stamp,
        )
        .await
    }

    /// The table through a store that works.
    async fn is(&self, version: i64, keys: &[i64]) {
        let table = self.lake.open(&spec(false)).await.unwrap();
        let found = self.lake.rows(&spec(false)).await;
        assert_eq!(table.version(), version);
        assert_eq!(found.into_keys().collect::<Vec<_>>(), keys);
    }
}

fn row(key: i64, value: &str) -> Row {
    (key, 1, value.to_owned())
}

async fn try_merge(lake: &Lake, rows: &[Row]) -> Result<Prepared> {
    let attempt = lake.attempt();
    let plan = plan(&attempt.session, rows).await;
    let base = Snapshot::open(&lake.root, PIPELINE, TABLE).await?;
    let spec = spec(false);
    let merged = attempt.merge_newest(&spec, base, plan, versions());
    Ok(merged.await?.table)
}

#[tokio::test]
async fn a_commit_that_landed_although_an_error_came_back_counts_once() {
    for fault in [Fault::FailAfter, Fault::AlreadyExistsAfter] {
        let waiting = Waiting::new().await;
        waiting
            .store
            .inject(On::kind(Kind::Put).path(LOG), fault.clone());
        let applied = waiting.apply().await.unwrap();
        assert_eq!(applied, committed(1), "{fault:?}");
        assert_eq!(waiting.store.count(Kind::Put, LOG), 1, "{fault:?}");
        waiting.is(1, &[1, 2]).await;
        assert_eq!(waiting.apply().await.unwrap(), Applied::Already(1, None));
        waiting.is(1, &[1, 2]).await;
    }
}

#[tokio::test]
async fn a_creation_that_landed_although_an_error_came_back_counts_once() {
    for fault in [Fault::FailAfter, Fault::AlreadyExistsAfter] {
        let lake = Lake::new();
        let prepared = lake.merge(&spec(true), &[row(1, "one")]).await;
        let stamp = lake.stamp();
        let commit = prepared.commit(&stamp).unwrap();
        let store = healthy();
        store.inject(On::kind(Kind::Put).path(LOG), fault.clone());
        let root = through(&lake, &store);
        let applied = land(&root, TABLE, &commit, &Remake::Append, &stamp)
            .await
            .unwrap();
        assert_eq!(applied, committed(0), "{fault:?}");
        assert_eq!(lake.rows(&spec(true)).await.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_that_did_not_land_is_put_again() {
    let waiting = Waiting::new().await;
    waiting
        .store
        .inject(On::kind(Kind::Put).path(LOG).times(2), Fault::Fail);
    assert_eq!(waiting.apply().await.unwrap(), committed(1));
    assert_eq!(waiting.store.count(Kind::Put, LOG), 3);
    waiting.is(1, &[1, 2]).await;
}

#[tokio::test]
async fn a_commit_that_never_lands_is_reported_with_its_object_and_can_be_applied_later() {
    let waiting = Waiting::new().await;
    waiting
        .store
        .inject(On::kind(Kind::Put).path(LOG).always(), Fault::Fail);
    let error = waiting.apply().await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error:?}");
    let object = "standard/t/_delta_log/00000000000000000001.json: the store failed";
    assert!(error.to_string().contains(object), "{error}");
    assert!(!is_storage_full(&error));
    waiting.is(0, &[1]).await;
    waiting.store.heal();
    assert_eq!(waiting.apply().await.unwrap(), committed(1));
    waiting.is(1, &[1, 2]).await;
}

#[tokio::test]
async fn a_commit_whose_fate_cannot_be_read_is_an_error_now_and_done_when_asked_again() {
    let waiting = Waiting::new().await;
    let newest = "_delta_log/00000000000000000001.json";
    let store = &waiting.store;
    store.inject(On::kind(Kind::Put).path(newest), Fault::FailAfter);
    store.inject(On::kind(Kind::Get).path(newest).always(), Fault::Fail);
    let error = waiting.apply().await.unwrap_err();
    assert!(error.to_string().contains(newest), "{error}");
    waiting.store.heal();
    assert_eq!(waiting.apply().await.unwrap(), Applied::Already(1, None));
    waiting.is(1, &[1, 2]).await;
}

#[tokio::test]
async fn a_commit_can_be_stopped_at_any_operation_and_applied_again() {
    for n in 1.. {
        let waiting = Waiting::new().await;
        waiting.store.stop_from(n);
        let outcome = waiting.apply().await;
        if waiting.store.operations().len() < n {
            assert_eq!(outcome.unwrap(), committed(1));
            assert!(n > 3, "only {n} operations were stopped");
            return;
        }
        waiting.store.heal();
        let _ = waiting.apply().await.unwrap();
        waiting.is(1, &[1, 2]).await;
    }
}

#[tokio::test]
async fn of_two_who_apply_the_same_commit_at_once_both_hear_that_it_is_done() {
    let waiting = Waiting::new().await;
    let mut held = waiting.store.stall(On::kind(Kind::Put).path(LOG));
    let fast = async {
        assert!(held.reached().await);
        let Waiting {
            lake,
            commit,
            stamp,
            ..
        } = &waiting;
        let applied = land(&lake.root, TABLE, commit, &Remake::Append, stamp).await;
        held.release();
        applied.unwrap()
    };
    let (slow, fast) = futures::join!(waiting.apply(), fast);
    let (slow, fast) = (slow.unwrap(), fast);
    assert_eq!((slow, fast), (committed(1), committed(1)));
    waiting.is(1, &[1, 2]).await;
}

#[tokio::test]
async fn of_two_who_finish_the_same_run_with_files_of_their_own_one_commits() {
    let waiting = Waiting::new().await;
    let theirs = waiting.lake.merge(&spec(false), &[row(2, "two")]).await;
    let theirs = theirs.commit(&waiting.stamp).unwrap();
    assert_ne!(theirs.body, waiting.commit.body);
    let body = theirs.body.into();
    waiting
        .store
        .inject(On::kind(Kind::Put).path(LOG), Fault::Preempted(body));
    assert_eq!(waiting.apply().await.unwrap(), Applied::Already(1, None));
    waiting.is(1, &[1, 2]).await;
}

#[tokio::test]
async fn a_store_that_fails_while_preparing_leaves_the_table_as_it_was() {
    let spec = spec(false);
    let mut lake = Lake::new();
    let rows: Vec<Row> = (0..20).map(|key| row(key, "old")).collect();
    let first = lake.merge(&spec, &rows).await;
    let _ = lake.apply(&first).await;
    let before = lake.rows(&spec).await;
    let mut after = before.clone();
    after.extend((10..30).map(|key| (key, (2, "new".to_owned()))));
    let works = lake.root.clone();
    let change: Vec<Row> = (10..30).map(|key| (key, 2, "new".to_owned())).collect();
    let mut failures = BTreeMap::new();
    for n in 1.. {
        let store = healthy();
        store.inject(On::any().nth(n), Fault::Fail);
        lake.root = through(&lake, &store);
        let outcome = try_merge(&lake, &change).await;
        lake.root = works.clone();
        assert_eq!(lake.open(&spec).await.unwrap().version(), 0);
        assert_eq!(lake.rows(&spec).await, before, "operation {n}");
        let operations = store.operations();
        let Some(failed) = operations.get(n - 1) else {
            outcome.unwrap();
            break;
        };
        match outcome {
            Err(error) => {
                assert!(error.to_string().contains(TABLE), "{failed}: {error}");
                assert!(!is_storage_full(&error), "{failed}: {error}");
                *failures.entry(format!("{:?}", failed.kind)).or_insert(0) += 1;
            }
            // Whoever goes on without an answer must not have needed it.
            Ok(prepared) => {
                let shown = read(prepared.provider().await.unwrap()).await;
                assert_eq!(shown, after, "operation {n}, {failed}");
            }
        }
    }
    assert!(failures["Get"] > 1 && failures["Put"] > 0, "{failures:?}");
    let prepared = try_merge(&lake, &change).await.unwrap();
    let _ = lake.apply(&prepared).await;
    assert_eq!(lake.rows(&spec).await, after);
}

#[tokio::test]
async fn a_disk_that_is_full_while_preparing_is_recognised() {
    let mut lake = Lake::new();
    let works = lake.root.clone();
    let store = healthy();
    for kind in [Kind::Put, Kind::Multipart] {
        store.inject(On::kind(kind).path(TABLE).always(), Fault::StorageFull);
    }
    lake.root = through(&lake, &store);
    let error = try_merge(&lake, &[row(1, "one")]).await.unwrap_err();
    assert!(is_storage_full(&error), "{error:?}");
    let attempt = lake.attempt();
    let rows = plan(&attempt.session, &[row(1, "one")]).await;
    let error = attempt.append(&spec(true), None, rows).await.unwrap_err();
    assert!(is_storage_full(&error), "{error:?}");
    lake.root = works;
    assert!(lake.open(&spec(false)).await.is_none());
}

#[tokio::test]
async fn a_disk_that_is_full_at_a_commit_is_recognised_and_the_commit_can_be_applied_later() {
    let waiting = Waiting::new().await;
    let on = On::kind(Kind::Put).path(LOG).always();
    waiting.store.inject(on, Fault::StorageFull);
    let error = waiting.apply().await.unwrap_err();
    assert!(is_storage_full(&error), "{error:?}");
    waiting.is(0, &[1]).await;
    waiting.store.heal();
    assert_eq!(waiting.apply().await.unwrap(), committed(1));
    waiting.is(1, &[1, 2]).await;
}
