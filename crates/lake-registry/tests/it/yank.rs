//! Yanking, and taking it back.

use std::sync::Arc;

use lake_registry::{Error, Yanked};
use lake_testing::{FailingStore, Fault, Kind, On};
use object_store::memory::InMemory;

use crate::support::{Place, noon, place_in, release, v};

async fn yanked(place: &Place) -> Option<Option<String>> {
    let listing = place.registry.list(Some("utility"), &place.trusted).await;
    let yank = listing.unwrap().releases.remove(0).yanked;
    yank.map(|yank| yank.reason)
}

#[tokio::test]
async fn a_yank_is_seen_kept_and_undone() {
    let place = Place::with(&["1.2.0"]).await;
    let (registry, version) = (&place.registry, v("1.2.0"));
    assert_eq!(yanked(&place).await, None);
    let reason = Some("sums are wrong".to_owned());
    let by = Some("ada".to_owned());
    let first = registry
        .yank("utility", &version, reason.clone(), by, noon())
        .await;
    assert_eq!(first.unwrap(), Yanked::Now);
    assert_eq!(yanked(&place).await, Some(reason.clone()));

    let second = registry.yank("utility", &version, None, None, noon()).await;
    let Yanked::Already(earlier) = second.unwrap() else {
        panic!("it is yanked already");
    };
    assert_eq!(earlier.reason, reason);
    assert_eq!(earlier.yanked_by.as_deref(), Some("ada"));
    assert_eq!(earlier.yanked_at, Some(noon()));
    place
        .open("1.2.0")
        .await
        .expect("who has it locked keeps it");

    assert!(registry.unyank("utility", &version).await.unwrap());
    assert_eq!(yanked(&place).await, None);
    assert!(!registry.unyank("utility", &version).await.unwrap());
}

#[tokio::test]
async fn only_what_is_there_can_be_yanked() {
    let place = Place::with(&["1.2.0"]).await;
    let version = v("1.3.0");
    let yank = place
        .registry
        .yank("utility", &version, None, None, noon())
        .await;
    assert!(matches!(yank, Err(Error::NoRelease { .. })));
    let unyank = place.registry.unyank("utility", &version).await;
    assert!(matches!(unyank, Err(Error::NoRelease { .. })));
}

#[tokio::test]
async fn a_yank_that_cannot_be_read_counts() {
    let place = Place::with(&["1.2.0"]).await;
    for bytes in [b"{".to_vec(), vec![b' '; (1 << 20) + 1]] {
        place.put("utility/1.2.0/yanked.json", bytes).await;
        let reason = yanked(&place).await.unwrap().unwrap();
        assert!(reason.contains("yanked.json cannot be read"), "{reason}");
    }
    assert!(place.registry.unyank("utility", &v("1.2.0")).await.unwrap());
    assert_eq!(yanked(&place).await, None);
}

#[tokio::test]
async fn a_broken_release_can_be_yanked() {
    let place = Place::with(&["1.2.0"]).await;
    place.put("utility/1.2.0/release.json", "").await;
    let yank = place
        .registry
        .yank("utility", &v("1.2.0"), None, None, noon())
        .await;
    assert_eq!(yank.unwrap(), Yanked::Now);
    assert_eq!(yanked(&place).await, Some(None));
}

#[tokio::test]
async fn a_yank_and_its_undoing_count_whatever_the_store_says() {
    for lie in [Fault::FailAfter, Fault::AlreadyExistsAfter, Fault::Fail] {
        let store = FailingStore::new(InMemory::new());
        let place = place_in(Arc::new(store.clone()));
        place.publish(&release("1.2.0")).await;
        store.inject(On::kind(Kind::Put).path("yanked"), lie);
        let version = v("1.2.0");
        let yank = place
            .registry
            .yank("utility", &version, None, None, noon())
            .await;
        assert_eq!(yank.unwrap(), Yanked::Now);

        store.inject(On::kind(Kind::Delete), Fault::FailAfter);
        assert!(place.registry.unyank("utility", &version).await.unwrap());
        assert_eq!(yanked(&place).await, None);
    }
}

#[tokio::test]
async fn an_undoing_that_did_not_happen_is_an_error() {
    let store = FailingStore::new(InMemory::new());
    let place = place_in(Arc::new(store.clone()));
    place.publish(&release("1.2.0")).await;
    let version = v("1.2.0");
    let yank = place
        .registry
        .yank("utility", &version, None, None, noon())
        .await;
    assert_eq!(yank.unwrap(), Yanked::Now);
    store.inject(On::kind(Kind::Delete), Fault::Fail);
    let unyank = place.registry.unyank("utility", &version).await;
    assert!(matches!(unyank, Err(Error::Store { .. })));
    assert_eq!(yanked(&place).await, Some(None));
}

#[tokio::test]
async fn of_two_yanks_at_once_the_first_stays() {
    let store = FailingStore::new(InMemory::new());
    let place = place_in(Arc::new(store.clone()));
    place.publish(&release("1.2.0")).await;
    let theirs = r#"{"yanked_at": null, "reason": "theirs"}"#;
    store.inject(
        On::kind(Kind::Put).path("yanked"),
        Fault::Preempted(theirs.into()),
    );
    let ours = place
        .registry
        .yank("utility", &v("1.2.0"), None, None, noon())
        .await;
    let Yanked::Already(theirs) = ours.unwrap() else {
        panic!("theirs was first");
    };
    assert_eq!(theirs.reason.as_deref(), Some("theirs"));
}
