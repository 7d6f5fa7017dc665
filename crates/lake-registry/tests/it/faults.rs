//! Publishers that are killed, and stores that fail or lie.

use std::sync::Arc;

use lake_registry::{Error, Published, Registry};
use lake_testing::{FailingStore, Fault, Kind, On};
use object_store::memory::InMemory;

use crate::support::{
    LINUX, Place, at, envelope, key, noon, place, place_in, release, release_json, trusting, v,
};

fn failing() -> (FailingStore, Place) {
    let store = FailingStore::new(InMemory::new());
    let place = place_in(Arc::new(store.clone()));
    (store, place)
}

/// How many operations, and how many writes, an undisturbed publication takes.
async fn operations() -> (usize, usize) {
    let (store, place) = failing();
    place.publish(&release("1.2.0")).await;
    let operations = store.operations();
    let writes = operations.iter().filter(|o| o.kind.writes()).count();
    (operations.len(), writes)
}

#[tokio::test]
async fn a_publisher_killed_at_any_operation_leaves_nothing_half_visible() {
    let (operations, _) = operations().await;
    assert!(operations > 5);
    for killed_at in 1..=operations {
        let (store, place) = failing();
        store.stop_from(killed_at);
        let killed = place
            .registry
            .publish(&release("1.2.0"), &place.key, noon())
            .await;
        assert!(matches!(killed, Err(Error::Store { .. })), "{killed_at}");
        store.heal();
        assert_eq!(place.visible().await, [""; 0], "{killed_at}");

        let later = at("2026-03-01T13:00:00Z");
        let again = place
            .registry
            .publish(&release("1.2.0"), &place.key, later)
            .await;
        assert!(
            matches!(again.unwrap(), Published::Now { .. }),
            "{killed_at}"
        );
        assert_eq!(place.visible().await, ["1.2.0"], "{killed_at}");
    }
}

#[tokio::test]
async fn a_publisher_killed_right_after_any_write_can_try_again() {
    let (_, writes) = operations().await;
    for killed_after in 1..=writes {
        let (store, place) = failing();
        // The write lands, its answer does not, and nothing else does.
        store.inject(On::kind(Kind::Put).nth(killed_after), Fault::FailAfter);
        store.stop_from_write(killed_after + 1);
        store.inject(On::kind(Kind::Get).nth(2).always(), Fault::Fail);
        let killed = place
            .registry
            .publish(&release("1.2.0"), &place.key, noon())
            .await;
        assert!(matches!(killed, Err(Error::Store { .. })), "{killed_after}");
        store.heal();
        let landed = killed_after == writes;
        let expected: &[&str] = if landed { &["1.2.0"] } else { &[] };
        assert_eq!(place.visible().await, expected, "{killed_after}");

        let later = at("2026-03-01T13:00:00Z");
        let again = place
            .registry
            .publish(&release("1.2.0"), &place.key, later)
            .await;
        match again.unwrap() {
            Published::Now { .. } => assert!(!landed),
            Published::AlreadyThere { published_at, .. } => {
                assert!(landed);
                assert_eq!(published_at, noon());
            }
            Published::Taken(taken) => panic!("{taken:?}"),
        }
        assert_eq!(place.visible().await, ["1.2.0"], "{killed_after}");
    }
}

#[tokio::test]
async fn a_put_that_landed_counts_whatever_the_store_says() {
    let (_, writes) = operations().await;
    for lie in [Fault::FailAfter, Fault::AlreadyExistsAfter, Fault::Fail] {
        for nth in 1..=writes {
            let (store, place) = failing();
            store.inject(On::kind(Kind::Put).nth(nth), lie.clone());
            place.publish(&release("1.2.0")).await;
            assert_eq!(place.visible().await, ["1.2.0"], "{lie:?} {nth}");
        }
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_given_up_on() {
    let (store, place) = failing();
    store.inject(
        On::kind(Kind::Put).path("release.json").always(),
        Fault::Fail,
    );
    let published = place
        .registry
        .publish(&release("1.2.0"), &place.key, noon())
        .await;
    let error = published.unwrap_err().to_string();
    assert!(
        error.starts_with("registry/utility/1.2.0/release.json: the store failed: "),
        "{error}"
    );
    store.heal();
    assert_eq!(place.visible().await, [""; 0]);
}

#[tokio::test]
async fn a_release_that_lands_while_we_put_ours_is_looked_at() {
    let theirs = place();
    theirs.publish(&release("1.2.0")).await;
    let same = theirs.get(&release_json("1.2.0")).await;
    let mut other = theirs.payload("1.2.0").await;
    other["notes"] = "theirs".into();
    let other = envelope(crate::support::TYPE, other.to_string().as_bytes(), &[1]).to_string();

    for (bytes, is_same) in [(same, true), (other.into(), false)] {
        let (store, place) = failing();
        let on = On::kind(Kind::Put).path("release.json");
        store.inject(on, Fault::Preempted(bytes));
        let later = at("2026-03-01T13:00:00Z");
        let ours = place
            .registry
            .publish(&release("1.2.0"), &place.key, later)
            .await;
        match ours.unwrap() {
            Published::AlreadyThere { published_at, .. } => {
                assert!(is_same);
                assert_eq!(published_at, noon());
            }
            Published::Taken(taken) => assert_eq!(taken.differences, ["notes"]),
            Published::Now { .. } => panic!("another was first"),
        }
    }
}

#[tokio::test]
async fn a_blob_with_other_bytes_than_its_address_stops_the_release() {
    for bytes in ["linux 1.2.X", "linux", "", "much more than there should be"] {
        let (store, place) = failing();
        let mut new = release("1.2.0");
        new.artifacts.retain(|target, _| target == LINUX);
        store.inject(
            On::kind(Kind::Put).path("blobs/"),
            Fault::Preempted(bytes.into()),
        );
        let published = place.registry.publish(&new, &place.key, noon()).await;
        let error = published.unwrap_err().to_string();
        let says = ": these are not the bytes of the library for x86_64-unknown-linux-gnu, although \
                    their digest says so; nothing can use it, so remove it and publish again";
        assert!(error.ends_with(says), "{error}");
        store.heal();
        assert_eq!(place.visible().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_blob_that_another_put_first_is_ours_too() {
    let (store, place) = failing();
    let mut new = release("1.2.0");
    new.artifacts.retain(|target, _| target == LINUX);
    let on = On::kind(Kind::Put).path("blobs/");
    store.inject(on, Fault::Preempted("linux 1.2.0".into()));
    place.publish(&new).await;
    assert_eq!(place.visible().await, ["1.2.0"]);
}

/// Half a list would make an old release look like the newest.
#[tokio::test]
async fn a_store_that_fails_while_listing_gives_no_list() {
    let (store, place) = failing();
    for version in ["1.0.0", "1.1.0"] {
        place.publish(&release(version)).await;
    }
    let before = store.operations().len();
    assert_eq!(
        place
            .registry
            .list(None, &place.trusted)
            .await
            .unwrap()
            .releases
            .len(),
        2
    );
    let operations = store.operations().len() - before;
    for nth in 1..=operations {
        let store_now = store.operations().len();
        store.stop_from(store_now + nth);
        let listed = place.registry.list(None, &place.trusted).await;
        assert!(matches!(listed, Err(Error::Store { .. })), "{nth}");
        store.heal();
    }
}

#[tokio::test]
async fn reading_fails_where_the_store_does_and_says_where() {
    let (store, place) = failing();
    place.publish(&release("1.2.0")).await;
    let verified = place.open("1.2.0").await.unwrap();
    store.inject(On::kind(Kind::Get).always(), Fault::Fail);
    let version = v("1.2.0");
    let trusted = trusting(&[1]);
    let registry = Registry::new(Arc::new(store), "registry");
    let opened = registry.open("utility", &version, None, &trusted).await;
    assert!(matches!(opened, Err(Error::Store { path, .. }) if path.ends_with("release.json")));
    let fetched = registry.fetch(&verified, LINUX).await;
    assert!(matches!(fetched, Err(Error::Store { path, .. }) if path.contains("/blobs/sha256/")));
    assert_eq!(verified.signed_by()[0].id, key(1).public().id());
}
