//! Putting objects where there are none.

use lake_testing::{FailingStore, Fault, Kind, On};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

fn local() -> (tempfile::TempDir, LocalFileSystem) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    (directory, store)
}

async fn create(store: &dyn ObjectStore, path: &Path, body: &'static str) -> Result<(), Error> {
    let put = store.put_opts(path, body.into(), PutMode::Create.into());
    put.await.map(|_| ())
}

async fn read(store: &dyn ObjectStore, path: &Path) -> bytes::Bytes {
    store.get(path).await.unwrap().bytes().await.unwrap()
}

#[tokio::test]
async fn an_object_is_put_only_where_there_is_none() {
    let path = Path::from("_delta_log/00000000000000000001.json");
    let (_directory, local) = local();
    let stores: [&dyn ObjectStore; 2] = [&local, &InMemory::new()];
    for store in stores {
        create(store, &path, "first").await.unwrap();
        let error = create(store, &path, "second").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        assert_eq!(read(store, &path).await, "first", "{store}");
    }
}

#[tokio::test]
async fn of_many_who_put_an_object_at_once_one_succeeds() {
    let path = Path::from("a/b/c.json");
    let (directory, store) = local();
    let bodies = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let racing = bodies.map(|body| create(&store, &path, body));
    let ended = futures::future::join_all(racing).await;
    let won: Vec<&str> = bodies
        .into_iter()
        .zip(&ended)
        .filter_map(|(body, ended)| ended.is_ok().then_some(body))
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(read(&store, &path).await, won[0]);
    // Whoever lost has left nothing behind.
    let files = std::fs::read_dir(directory.path().join("a/b")).unwrap();
    assert_eq!(files.count(), 1);
}

#[tokio::test]
async fn a_put_that_landed_may_be_answered_with_an_error() {
    let path = Path::from("a.json");
    let store = FailingStore::new(InMemory::new());
    store.inject(On::kind(Kind::Put), Fault::AlreadyExistsAfter);
    let error = create(&store, &path, "ours").await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(
        read(&store, &path).await,
        "ours",
        "only reading it back tells"
    );
}
