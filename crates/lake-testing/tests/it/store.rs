//! Each fault does what its name says, and nothing else.

use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use lake_testing::{FailingStore, Fault, Kind, On};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

fn store() -> FailingStore {
    FailingStore::new(InMemory::new())
}

fn path(text: &str) -> Path {
    Path::from(text)
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
        let ours = PutMode::Create.into();
        let put = store.put_opts(&path("a"), "ours".into(), ours).await;
        let error = put.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(content(&store, "a").await.as_deref(), Some("theirs"));
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
        let listed: Result<Vec<_>, _> = store.list(None).try_collect().await;
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
            let upload = async {
                let mut upload = store.put_multipart(&path("a")).await?;
                upload.put_part("x".into()).await?;
                upload.complete().await
            };
            upload.await.unwrap_err();
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
