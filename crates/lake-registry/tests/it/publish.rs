//! Publishing, listing and reading back.

use std::sync::Arc;

use lake_registry::{Error, Published, Registry, Standing, TrustedKeys};
use lake_testing::{FailingStore, Kind, On};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, prefix::PrefixStore};

use crate::support::{
    LINUX, MAC, Place, at, key, noon, place, place_in, release, release_json, trusting, v,
};

#[tokio::test]
async fn what_was_published_is_what_is_fetched() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let new = release("1.2.0");
    let found = verified.release();
    assert_eq!(
        (found.name.as_str(), &found.version),
        ("utility", &v("1.2.0"))
    );
    assert_eq!(found.published_at, noon());
    assert_eq!(found.published_by.as_deref(), Some("ada"));
    assert_eq!(found.sdk, "lake-plugin 0.1.0");
    assert_eq!(found.licences, new.licences);
    assert_eq!(verified.signed_by()[0].key, "key 1");
    assert_eq!(verified.signed_by()[0].id, key(1).public().id());

    let registry = &place.registry;
    assert_eq!(
        registry.fetch(&verified, LINUX).await.unwrap(),
        "linux 1.2.0"
    );
    assert_eq!(registry.fetch(&verified, MAC).await.unwrap(), "mac 1.2.0");
    assert_eq!(registry.interface(&verified).await.unwrap(), new.interface);
    assert_eq!(registry.sbom(&verified).await.unwrap(), new.sbom);
    registry.verify(&verified).await.unwrap();
}

#[tokio::test]
async fn a_target_that_was_not_built_is_named_with_those_that_were() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let error = place.registry.fetch(&verified, "riscv").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "utility 1.2.0 has nothing for riscv: it was built for aarch64-apple-darwin, \
         x86_64-unknown-linux-gnu"
    );
}

#[tokio::test]
async fn a_release_that_is_not_there_is_told_with_the_place() {
    let error = place().open("1.2.0").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "registry has no release utility 1.2.0; `lake plugin list` shows those it has"
    );
}

#[tokio::test]
async fn publishing_again_changes_nothing() {
    let place = Place::with(&["1.2.0"]).await;
    let before = place.get(&release_json("1.2.0")).await;
    let objects = place.objects().await;
    let mut again = release("1.2.0");
    again.published_by = Some("another machine".to_owned());
    let outcome = place
        .registry
        .publish(&again, &place.key, at("2027-01-01T00:00:00Z"))
        .await;
    let digest = place.open("1.2.0").await.unwrap().digest();
    assert_eq!(
        outcome.unwrap(),
        Published::AlreadyThere {
            digest,
            published_at: noon()
        }
    );
    assert_eq!(place.get(&release_json("1.2.0")).await, before);
    assert_eq!(place.objects().await, objects);
}

#[tokio::test]
async fn publishing_again_brings_back_blobs_that_were_lost() {
    let place = Place::with(&["1.2.0"]).await;
    for path in place.objects().await {
        if path.starts_with("blobs/") {
            use object_store::ObjectStoreExt;
            place.store.delete(&path.as_str().into()).await.unwrap();
        }
    }
    let verified = place.open("1.2.0").await.unwrap();
    let error = place.registry.verify(&verified).await.unwrap_err();
    assert!(
        error.to_string().ends_with(
            "the interface of utility 1.2.0 is missing; publish the same release again to have \
             it back"
        ),
        "{error}"
    );
    let again = place
        .registry
        .publish(&release("1.2.0"), &place.key, noon())
        .await;
    assert!(matches!(again.unwrap(), Published::AlreadyThere { .. }));
    place.registry.verify(&verified).await.unwrap();
}

#[tokio::test]
async fn a_version_that_is_taken_stays_as_it_is_and_nothing_is_uploaded() {
    let place = Place::with(&["1.2.0"]).await;
    let objects = place.objects().await;
    let mut other = release("1.2.0");
    other
        .artifacts
        .insert(LINUX.to_owned(), "something else".into());
    other.notes = Some("faster".to_owned());
    let outcome = place.registry.publish(&other, &place.key, noon()).await;
    let Published::Taken(taken) = outcome.unwrap() else {
        panic!("a release was replaced");
    };
    assert_eq!(taken.differences, ["artifacts", "notes"]);
    assert_eq!(taken.published_by.as_deref(), Some("ada"));
    assert_eq!(taken.published_at, noon());
    assert_eq!(taken.keys, [key(1).public().id()]);
    assert_eq!(place.objects().await, objects);
}

#[tokio::test]
async fn the_same_content_with_another_key_is_another_release() {
    let place = Place::with(&["1.2.0"]).await;
    let outcome = place
        .registry
        .publish(&release("1.2.0"), &key(2), noon())
        .await;
    let Published::Taken(taken) = outcome.unwrap() else {
        panic!("two keys are two publishers");
    };
    assert_eq!(taken.differences, ["signatures"]);
}

#[tokio::test]
async fn something_that_is_no_release_is_not_overwritten() {
    let place = place();
    place.put(&release_json("1.2.0"), "").await;
    let outcome = place
        .registry
        .publish(&release("1.2.0"), &place.key, noon())
        .await;
    let error = outcome.unwrap_err().to_string();
    assert!(
        error.starts_with("registry/utility/1.2.0/release.json: it is no DSSE"),
        "{error}"
    );
    assert!(
        error.ends_with("nothing can use it, so remove it and publish again"),
        "{error}"
    );

    let place = Place::with(&["1.0.0"]).await;
    let old = place.get(&release_json("1.0.0")).await;
    place.put(&release_json("1.2.0"), old).await;
    let new = release("1.2.0");
    let error = place.registry.publish(&new, &place.key, noon()).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "registry/utility/1.2.0/release.json: it is the release utility 1.0.0, put in the place of \
         utility 1.2.0; nothing can use it, so remove it and publish again"
    );
}

#[tokio::test]
async fn names_and_versions_that_no_release_can_have_are_refused() {
    let place = place();
    for (name, says) in [
        ("", "a name is a letter and then letters"),
        ("..", "a name is a letter"),
        ("a/b", "a name is a letter"),
        ("1st", "a name is a letter"),
        ("ütility", "a name is a letter"),
        (&"n".repeat(65), "at most 64"),
        ("blobs", "where a registry keeps its blobs"),
    ] {
        let mut new = release("1.0.0");
        new.name = name.to_owned();
        new.interface.declaration.name = None;
        let refused = place.registry.publish(&new, &place.key, noon()).await;
        assert!(refused.unwrap_err().to_string().contains(says), "{name}");
        let version = v("1.0.0");
        let opened = place
            .registry
            .open(name, &version, None, &place.trusted)
            .await;
        assert!(matches!(opened, Err(Error::Refused { .. })), "{name}");
        let listed = place.registry.list(Some(name), &place.trusted).await;
        assert!(matches!(listed, Err(Error::Refused { .. })), "{name}");
    }
    let refused = place
        .registry
        .publish(&release("1.0.0+fast"), &place.key, noon())
        .await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "1.0.0+fast cannot be published: build metadata (+fast) does not make one version newer \
         than another; publish 1.0.0, and name the commit in the release"
    );
    assert!(place.objects().await.is_empty());
}

#[tokio::test]
async fn a_library_is_published_as_what_it_says_it_is() {
    let place = place();
    let mut stale = release("1.2.0");
    stale.interface.declaration.version = Some("1.1.0".to_owned());
    let mut other = release("1.2.0");
    other.interface.declaration.name = Some("meters".to_owned());
    let mut empty = release("1.2.0");
    empty.artifacts.clear();
    for (new, says) in [
        (
            stale,
            "the library says that it is version 1.1.0, and is to be published as 1.2.0; build it again",
        ),
        (
            other,
            "the library says that it is meters, and is to be published as utility",
        ),
        (
            empty,
            "utility 1.2.0 has no library; build it for one target at least",
        ),
    ] {
        let refused = place.registry.publish(&new, &place.key, noon()).await;
        assert_eq!(refused.unwrap_err().to_string(), says);
    }
    assert!(place.objects().await.is_empty());
}

#[tokio::test]
async fn notes_that_nobody_would_read_are_refused() {
    let mut new = release("1.2.0");
    new.notes = Some("x".repeat(4 << 20));
    let place = place();
    let refused = place.registry.publish(&new, &place.key, noon()).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.ends_with("shorten the notes"), "{error}");
}

#[tokio::test]
async fn releases_are_listed_by_semver_and_not_by_spelling() {
    let versions = ["1.10.0", "1.9.0", "0.1.0", "1.10.0-rc.1"];
    let place = Place::with(&versions).await;
    let mut other = release("3.0.0");
    other.name = "meters".to_owned();
    other.interface.declaration.name = None;
    place.publish(&other).await;

    let all = place.registry.list(None, &place.trusted).await.unwrap();
    let names: Vec<String> = all
        .releases
        .iter()
        .map(|r| format!("{} {}", r.name, r.version))
        .collect();
    assert_eq!(
        names,
        [
            "meters 3.0.0",
            "utility 0.1.0",
            "utility 1.9.0",
            "utility 1.10.0-rc.1",
            "utility 1.10.0"
        ]
    );
    let meters = place.registry.list(Some("meters"), &place.trusted).await;
    assert_eq!(meters.unwrap().releases.len(), 1);
    let none = place.registry.list(Some("nothing"), &place.trusted).await;
    assert!(none.unwrap().releases.is_empty());
}

#[tokio::test]
async fn a_broken_release_is_listed_with_its_fault_and_hides_no_other() {
    let place = Place::with(&["1.0.0", "1.1.0", "1.2.0", "1.3.0"]).await;
    place.put(&release_json("1.1.0"), "{").await;
    let old = place.get(&release_json("1.0.0")).await;
    place.put(&release_json("1.2.0"), old).await;
    place
        .put(&release_json("1.4.0"), vec![b' '; (4 << 20) + 1])
        .await;
    place.put("utility/latest/release.json", "{}").await;
    place.put("utility/1.0.0+fast/release.json", "{}").await;
    place.put("utility/1.5.0/notes.txt", "no release").await;

    let listing = place.registry.list(None, &place.trusted).await.unwrap();
    let shown: Vec<String> = listing
        .releases
        .iter()
        .map(|release| match &release.standing {
            Standing::Verified(_) => format!("{} good", release.version),
            Standing::Unverified { .. } => format!("{} unverified", release.version),
            Standing::Broken(why) => why.to_string(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "1.0.0 good",
            "registry/utility/1.1.0/release.json: it is no DSSE envelope: EOF while parsing an \
             object at line 1 column 1; it was not written by lake, or was changed since, and is \
             not used",
            "registry/utility/1.2.0/release.json: it is the release utility 1.0.0, put in the \
             place of utility 1.2.0, and is not used",
            "1.3.0 good",
            "registry/utility/1.4.0/release.json: it has 4194305 bytes, and lake writes 4194304 at \
             most; it is not read",
        ]
    );
    assert_eq!(
        listing.strange,
        ["registry/utility/1.0.0+fast", "registry/utility/latest"]
    );
}

#[tokio::test]
async fn without_keys_releases_are_listed_and_none_is_believed() {
    let place = Place::with(&["1.0.0"]).await;
    let listing = place.registry.list(None, &TrustedKeys::default()).await;
    let found = &listing.unwrap().releases[0];
    assert_eq!(found.standing.release().unwrap().version, v("1.0.0"));
    assert!(found.standing.verified().is_none());
    let why = found.standing.problem().unwrap().to_string();
    assert!(
        why.contains("no keys are trusted; name a file of trusted keys"),
        "{why}"
    );
}

#[tokio::test]
async fn a_registry_can_be_a_directory_or_a_part_of_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let prefixed = PrefixStore::new(InMemory::new(), "team/registry");
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(local), Arc::new(prefixed)];
    for store in stores {
        let place = place_in(store);
        place.publish(&release("1.2.0-rc.1")).await;
        place.publish(&release("1.2.0")).await;
        assert_eq!(place.visible().await, ["1.2.0-rc.1", "1.2.0"]);
    }
    assert!(
        directory
            .path()
            .join("utility/1.2.0/release.json")
            .is_file()
    );
}

/// Two publishers have both found the version free; `first` puts its release first.
async fn race(same_content: bool) -> [Published; 2] {
    let inner = Arc::new(InMemory::new());
    let slow = FailingStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    let mut held = slow.stall(On::kind(Kind::Put).path("release.json"));
    let slow_registry = Registry::new(Arc::new(slow), "registry");
    let slow = tokio::spawn(async move {
        let published = slow_registry
            .publish(&release("1.2.0"), &key(1), noon())
            .await;
        published.unwrap()
    });
    assert!(held.reached().await);
    let fast = place_in(inner);
    let mut new = release("1.2.0");
    if !same_content {
        new.notes = Some("mine".to_owned());
    }
    let later = at("2026-03-01T12:00:01Z");
    let fast = fast.registry.publish(&new, &key(1), later).await.unwrap();
    held.release();
    [fast, slow.await.unwrap()]
}

#[tokio::test]
async fn of_two_publishers_the_first_wins_and_the_other_is_told() {
    let [fast, slow] = race(false).await;
    let Published::Now { digest } = fast else {
        panic!("the first put makes the release");
    };
    let Published::Taken(taken) = slow else {
        panic!("a version is published once");
    };
    assert_eq!(taken.digest, digest);
    assert_eq!(taken.differences, ["notes"]);
}

#[tokio::test]
async fn two_publishers_of_the_same_content_are_both_right() {
    let [fast, slow] = race(true).await;
    assert!(matches!(fast, Published::Now { .. }));
    assert!(matches!(slow, Published::AlreadyThere { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_publishers_at_once_exactly_one_wins() {
    for round in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(local), Arc::new(InMemory::new())];
        for store in stores {
            let publishers: Vec<_> = (0..8)
                .map(|publisher| {
                    let registry = Registry::new(Arc::clone(&store), "registry");
                    tokio::spawn(async move {
                        let mut new = release("1.2.0");
                        new.notes = Some(format!("{round} {publisher}"));
                        // All have the same interface and bill of materials, and meet in their blobs too.
                        let library = format!("library {publisher}");
                        new.artifacts.insert(LINUX.to_owned(), library.into());
                        let published = registry.publish(&new, &key(publisher + 1), noon()).await;
                        published.unwrap()
                    })
                })
                .collect();
            let mut winners = Vec::new();
            let mut told = Vec::new();
            for publisher in publishers {
                match publisher.await.unwrap() {
                    Published::Now { digest } => winners.push(digest),
                    Published::Taken(taken) => told.push(taken.digest),
                    Published::AlreadyThere { .. } => panic!("no two are the same"),
                }
            }
            assert_eq!(winners.len(), 1);
            assert_eq!(told, vec![winners[0]; 7]);
            let place = place_in(store);
            let trusted = trusting(&[1, 2, 3, 4, 5, 6, 7, 8]);
            let winner = place.open_with("1.2.0", &trusted).await.unwrap();
            assert_eq!(winner.digest(), winners[0]);
            place.registry.verify(&winner).await.unwrap();
        }
    }
}
