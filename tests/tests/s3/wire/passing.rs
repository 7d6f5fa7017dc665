//! What passes unharmed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future};
use lake_testing::Requests;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
    WriteMultipart,
};

use super::setup;

/// Bytes that do not repeat where a mistake could hide.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn objects_pass_in_both_directions() {
    let setup = setup();
    let store = &setup.store;
    for (length, name) in [
        (0, "empty"),
        (1, "one"),
        (100_000, "some"),
        (24 << 20, "big"),
    ] {
        let path = Path::from(format!("passing/part=a b/{name}"));
        let content = noise(length);
        let put = store.put(&path, content.clone().into()).await.unwrap();
        let got = setup.direct().get(&path).await.unwrap();
        assert_eq!(got.meta.e_tag, put.e_tag);
        assert!(got.bytes().await.unwrap() == content, "{name}: put");
        assert!(
            store.get(&path).await.unwrap().bytes().await.unwrap() == content,
            "{name}: got"
        );
        assert_eq!(store.head(&path).await.unwrap().size, length as u64);
    }
    let path = Path::from("passing/part=a b/some");
    let range = store.get_range(&path, 1_000..2_000).await.unwrap();
    assert_eq!(range, noise(2_000).slice(1_000..));

    let prefix = Path::from("passing");
    let mut names: Vec<String> = store
        .list(Some(&prefix))
        .map_ok(|meta| meta.location.filename().unwrap().to_owned())
        .try_collect()
        .await
        .unwrap();
    names.sort();
    assert_eq!(names, ["big", "empty", "one", "some"]);
    let below = store.list_with_delimiter(Some(&prefix)).await.unwrap();
    assert_eq!(below.common_prefixes, [Path::from("passing/part=a b")]);

    assert_eq!(setup.wire.hits(), 0);
    let puts = Requests::method("PUT").path("/lake/passing/part=a b/");
    assert_eq!(setup.wire.count(&puts), 4);
    assert_eq!(setup.wire.count(&Requests::any().query("list-type=2")), 2);
    assert_eq!(
        setup.wire.count(&Requests::any().query("prefix=passing/")),
        2
    );
}

#[tokio::test]
async fn uploads_in_parts_pass() {
    let setup = setup();
    let path = Path::from("parts/object");
    let content = noise(17 << 20);
    let upload = setup.store.put_multipart(&path).await.unwrap();
    let mut writer = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
    writer.write(&content);
    writer.finish().await.unwrap();
    let got = setup.direct().get(&path).await.unwrap();
    assert!(got.bytes().await.unwrap() == content);
    let parts = Requests::method("PUT").query("partNumber=");
    assert_eq!(setup.wire.count(&parts), 4);

    let mut upload = setup.store.put_multipart(&path).await.unwrap();
    upload.put_part(content.into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(setup.wire.requests().last().unwrap().method, "DELETE");
}

#[tokio::test]
async fn conditions_pass() {
    let setup = setup();
    let store = &setup.store;
    let path = Path::from("conditions/object");
    let create = || PutMode::Create.into();
    let first = PutPayload::from_static(b"first");
    let put = store
        .put_opts(&path, first.clone(), create())
        .await
        .unwrap();
    let again = store.put_opts(&path, first.clone(), create()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );

    let update = |version: UpdateVersion| PutMode::Update(version).into();
    let old = UpdateVersion::from(put);
    let second = PutPayload::from_static(b"second");
    store
        .put_opts(&path, second, update(old.clone()))
        .await
        .unwrap();
    let late = store.put_opts(&path, first, update(old)).await;
    assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");

    // An answer without a body, whose headers say how long it would be.
    let unchanged = GetOptions {
        if_none_match: store.head(&path).await.unwrap().e_tag,
        ..GetOptions::default()
    };
    let got = store.get_opts(&path, unchanged).await;
    assert!(matches!(got, Err(Error::NotModified { .. })), "{got:?}");
    assert_eq!(setup.wire.count(&Requests::method("PUT").conditional()), 4);
    assert_eq!(setup.wire.count(&Requests::method("GET").conditional()), 1);

    let missing = store.get(&Path::from("conditions/none")).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    let paths = futures::stream::iter([Ok(path.clone())]).boxed();
    let deleted: Vec<Path> = store.delete_stream(paths).try_collect().await.unwrap();
    assert_eq!(deleted, [path]);
}

#[tokio::test]
async fn requests_wait_at_the_same_time() {
    let setup = setup();
    let path = Path::from("latency/object");
    let latency = Duration::from_millis(300);
    setup.store.put(&path, "content".into()).await.unwrap();
    setup.wire.delay(latency);
    let begin = Instant::now();
    future::try_join_all((0..16).map(|_| setup.store.head(&path)))
        .await
        .unwrap();
    let took = begin.elapsed();
    assert!((latency..latency * 6).contains(&took), "{took:?}");

    setup.wire.heal();
    let begin = Instant::now();
    setup.store.head(&path).await.unwrap();
    assert!(begin.elapsed() < latency);
}
