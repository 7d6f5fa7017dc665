//! Each fault does what its name says, and nothing else.

use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use lake_testing::{FailingStore, Fault, Kind, On};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutResult, Result};

fn store() -> FailingStore {
    FailingStore::new(InMemory::new())
}

fn path(text: &str) -> Path {
    Path::from(text)
}

async fn create(store: &FailingStore, at: &str, text: &'static str) -> Result<PutResult> {
    let absent = PutMode::Create.into();
    store.put_opts(&path(at), text.into(), absent).await
}

async fn upload(store: &FailingStore, at: &str) -> Result<PutResult> {
    let mut upload = store.put_multipart(&path(at)).await?;
    upload.put_part("x".into()).await?;
    upload.complete().await
}

async fn content(store: &FailingStore, at: &str) -> Option<String> {
    let found = store.get(&path(at)).await.ok()?;
    Some(String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap())
}

#[test]
fn without_a_script_it_is_the_store_behind_it() {
    block_on(async {
        let store = store();
        store.put(&path("a/1"), "one".into()).await.unwrap();
        store.copy(&path("a/1"), &path("a/2")).await.unwrap();
        store.rename(&path("a/2"), &path("b/2")).await.unwrap();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(store.head(&path("b/2")).await.unwrap().size, 3);
        let ranges = store.get_ranges(&path("a/1"), &[0..1, 1..3]).await.unwrap();
        assert_eq!(ranges, ["o", "ne"]);
        store.delete(&path("a/1")).await.unwrap();
        let left = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(left.common_prefixes, [path("b")]);
        let mut upload = store.put_multipart(&path("c")).await.unwrap();
        upload.put_part("parts".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(content(&store, "c").await.as_deref(), Some("parts"));
    });
}

#[test]
fn every_operation_is_noted_in_order() {
    block_on(async {
        let store = store();
        store.put(&path("a"), "x".into()).await.unwrap();
        store.head(&path("a")).await.unwrap();
        store.get(&path("a")).await.unwrap();
        store.list(Some(&path("p"))).collect::<Vec<_>>().await;
        store.delete(&path("a")).await.unwrap();
        let noted: Vec<String> = store.operations().iter().map(ToString::to_string).collect();
        assert_eq!(noted, ["Put a", "Head a", "Get a", "List p", "Delete a"]);
        assert_eq!(store.count(Kind::Put, "a"), 1);
    });
}

#[test]
fn a_put_that_fails_leaves_nothing() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put).path("log/"), Fault::Fail);
        store.put(&path("data/1"), "x".into()).await.unwrap();
        store.put(&path("log/1"), "x".into()).await.unwrap_err();
        assert_eq!(content(&store, "log/1").await, None);
        store.put(&path("log/1"), "x".into()).await.unwrap();
    });
}

#[test]
fn a_put_that_fails_afterwards_is_there() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put), Fault::FailAfter);
        store.put(&path("a"), "x".into()).await.unwrap_err();
        assert_eq!(content(&store, "a").await.as_deref(), Some("x"));
    });
}

#[test]
fn a_put_that_says_it_exists_has_landed() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put), Fault::AlreadyExistsAfter);
        let error = store.put(&path("a"), "x".into()).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(content(&store, "a").await.as_deref(), Some("x"));
    });
}

#[test]
fn a_put_that_comes_second_finds_the_other_ones_bytes() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put), Fault::Preempted("theirs".into()));
        let error = create(&store, "a", "ours").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(content(&store, "a").await.as_deref(), Some("theirs"));
    });
}

#[test]
fn a_put_that_lands_later_is_not_there_until_so_many_operations_have_passed() {
    block_on(async {
        for n in 0..4 {
            let store = store();
            store.inject(On::kind(Kind::Put).path("late"), Fault::LandsLater(n));
            create(&store, "late", "late").await.unwrap_err();
            for _ in 0..n {
                let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
                assert_eq!(listed.len(), 0, "after {n}");
            }
            let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
            assert_eq!(listed.len(), 1, "after {n}");
            assert_eq!(content(&store, "late").await.as_deref(), Some("late"));
        }
    });
}

#[test]
fn a_put_where_absent_that_lands_later_leaves_what_came_before_it() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put).times(2), Fault::LandsLater(2));
        create(&store, "seal", "late").await.unwrap_err();
        store.put(&path("note"), "late".into()).await.unwrap_err();
        create(&store, "seal", "sooner").await.unwrap();
        store.put(&path("note"), "sooner".into()).await.unwrap();
        assert_eq!(content(&store, "seal").await.as_deref(), Some("sooner"));
        // A put without that condition takes the place of what is there.
        assert_eq!(content(&store, "note").await.as_deref(), Some("late"));
    });
}

#[test]
fn a_put_that_lands_later_outlives_its_process() {
    block_on(async {
        let store = store();
        store.inject(On::writes().nth(2), Fault::LandsLater(2));
        store.stop_from_write(2);
        store.put(&path("a"), "x".into()).await.unwrap();
        create(&store, "seal", "late").await.unwrap_err();
        assert_eq!(store.stopped_at().unwrap().to_string(), "Put seal");
        store.get(&path("seal")).await.unwrap_err();
        store.heal();
        assert_eq!(content(&store, "seal").await, None);
        assert_eq!(content(&store, "seal").await.as_deref(), Some("late"));
    });
}

#[test]
fn an_empty_put_is_there_by_name_only() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put).times(3), Fault::Empty);
        create(&store, "a", "x").await.unwrap_err();
        assert_eq!(content(&store, "a").await.as_deref(), Some(""));
        let error = create(&store, "a", "x").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        store.put(&path("b"), "x".into()).await.unwrap_err();
        assert_eq!(content(&store, "b").await.as_deref(), Some(""));
    });
}

#[test]
fn a_power_cut_leaves_the_name_of_what_was_written_last_and_nothing_after_it() {
    block_on(async {
        let store = store();
        store.inject(On::writes().nth(2), Fault::Empty);
        store.stop_from_write(2);
        store.put(&path("a"), "x".into()).await.unwrap();
        store.put(&path("b"), "x".into()).await.unwrap_err();
        store.put(&path("c"), "x".into()).await.unwrap_err();
        store.get(&path("b")).await.unwrap_err();
        store.heal();
        let left = [("a", Some("x")), ("b", Some("")), ("c", None)];
        for (at, text) in left {
            assert_eq!(content(&store, at).await.as_deref(), text, "{at}");
        }
    });
}

#[test]
fn an_upload_in_parts_is_empty_when_the_power_goes_at_its_end_and_nothing_before() {
    block_on(async {
        for (n, left) in [(1, None), (2, None), (3, Some(""))] {
            let store = store();
            store.inject(On::any().nth(n), Fault::Empty);
            upload(&store, "a").await.unwrap_err();
            assert_eq!(content(&store, "a").await.as_deref(), left, "step {n}");
        }
    });
}

#[test]
fn a_store_that_ignores_conditions_overwrites_and_says_that_all_is_well() {
    block_on(async {
        let store = store();
        store.inject(On::any().always(), Fault::IgnoresConditions);
        create(&store, "a", "theirs").await.unwrap();
        create(&store, "a", "ours").await.unwrap();
        assert_eq!(content(&store, "a").await.as_deref(), Some("ours"));
        store.delete(&path("a")).await.unwrap();
        upload(&store, "a").await.unwrap();
    });
}

#[test]
fn a_fault_of_writes_lets_reads_through() {
    block_on(async {
        let store = store();
        store.inject(On::writes().nth(2), Fault::Fail);
        store.put(&path("a"), "x".into()).await.unwrap();
        store.get(&path("a")).await.unwrap();
        store.head(&path("a")).await.unwrap();
        store.delete(&path("a")).await.unwrap_err();
        store.delete(&path("a")).await.unwrap();
    });
}

#[test]
fn a_fault_of_any_operation_happens_to_the_nth_one_whatever_it_is() {
    block_on(async {
        for n in 1..=5 {
            let store = store();
            store.inject(On::any().nth(n), Fault::Fail);
            let went_well = [
                store.list(None).try_collect::<Vec<_>>().await.is_ok(),
                store.put(&path("a"), "x".into()).await.is_ok(),
                upload(&store, "b").await.is_ok(),
            ];
            // The upload is three operations.
            let expected = [n != 1, n != 2, n < 3];
            assert_eq!(went_well, expected, "the operation {n}");
        }
    });
}

#[test]
fn a_full_disk_says_so_in_the_chain_of_causes() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put), Fault::StorageFull);
        let error = store.put(&path("a"), "x".into()).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let io = source.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(io.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(content(&store, "a").await, None);
    });
}

#[test]
fn a_fault_starts_where_it_is_told_and_ends_after_its_times() {
    block_on(async {
        let store = store();
        store.inject(On::kind(Kind::Put).nth(2).times(2), Fault::Fail);
        let mut landed = Vec::new();
        for n in 1..=5 {
            let put = store.put(&path(&n.to_string()), "x".into()).await;
            landed.push(put.is_ok());
        }
        assert_eq!(landed, [true, false, false, true, true]);
    });
}

#[test]
fn after_a_stop_nothing_gets_through_until_it_is_healed() {
    block_on(async {
        let store = store();
        store.stop_from(2);
        store.put(&path("a"), "x".into()).await.unwrap();
        store.put(&path("b"), "x".into()).await.unwrap_err();
        store.get(&path("a")).await.unwrap_err();
        store.delete(&path("a")).await.unwrap_err();
        let listed: Result<Vec<_>> = store.list(None).try_collect().await;
        listed.unwrap_err();
        store.heal();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    });
}

#[test]
fn a_stop_at_a_write_lets_the_reads_before_it_through_and_none_after_it() {
    block_on(async {
        let store = store();
        store.stop_from_write(2);
        store.put(&path("a"), "x".into()).await.unwrap();
        store.get(&path("a")).await.unwrap();
        assert_eq!(store.stopped_at(), None);
        store.delete(&path("a")).await.unwrap_err();
        store.get(&path("a")).await.unwrap_err();
        assert_eq!(store.stopped_at().unwrap().to_string(), "Delete a");
        store.heal();
        assert_eq!(content(&store, "a").await.as_deref(), Some("x"));
    });
}

#[test]
fn the_parts_of_an_upload_can_fail() {
    block_on(async {
        for n in 1..=3 {
            let store = store();
            store.inject(On::kind(Kind::Multipart).nth(n), Fault::Fail);
            upload(&store, "a").await.unwrap_err();
            assert_eq!(content(&store, "a").await, None, "step {n}");
        }
    });
}

#[test]
fn a_stalled_operation_waits_for_its_test() {
    block_on(async {
        let store = store();
        let mut stalled = store.stall(On::kind(Kind::Put).path("seal"));
        let place = path("seal");
        let put = store.put(&place, "ours".into());
        let meanwhile = async {
            assert!(stalled.reached().await);
            assert_eq!(content(&store, "seal").await, None);
            stalled.release();
        };
        let (put, ()) = futures::join!(put, meanwhile);
        put.unwrap();
    });
}
