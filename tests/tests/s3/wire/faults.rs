//! Faults that a client of `object_store` meets on the way to MinIO.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use lake_testing::{Requests, WireFault};
use object_store::client::HttpErrorKind;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};

use super::{io_kind, kind, setup};

const SLOW_DOWN: WireFault = WireFault::Refuse {
    status: 503,
    code: "SlowDown",
};

#[tokio::test]
async fn a_client_tries_again_until_it_works() {
    let setup = setup();
    setup
        .wire
        .inject(Requests::method("PUT").times(2), SLOW_DOWN);
    let path = Path::from("again/object");
    let put = setup.retrying(10).put(&path, "content".into()).await;
    put.unwrap();
    assert_eq!(setup.wire.hits(), 2);
    assert_eq!(setup.wire.requests().len(), 3);
    let got = setup
        .direct()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(got, "content");
}

#[tokio::test]
async fn a_refusal_shows_its_code() {
    let setup = setup();
    setup.wire.inject(Requests::any(), SLOW_DOWN);
    let error = setup
        .store
        .get(&Path::from("refusal/object"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("503 Service Unavailable"), "{text}");
    assert!(text.contains("<Code>SlowDown</Code>"), "{text}");
}

/// What was read before the cut is what was asked for, and then it is an error and not an end.
#[tokio::test]
async fn a_large_body_is_cut_where_it_says() {
    let setup = setup();
    let path = Path::from("cut/object");
    let content = Bytes::from(vec![b'x'; 16 << 20]);
    setup.direct().put(&path, content.into()).await.unwrap();
    let bytes = 9_999_999;
    for (fault, end) in [
        (WireFault::ResetInBody(bytes), ErrorKind::ConnectionReset),
        (WireFault::Truncate(bytes), ErrorKind::UnexpectedEof),
    ] {
        setup.wire.inject(Requests::method("GET"), fault);
        let mut stream = setup.store.get(&path).await.unwrap().into_stream();
        let mut read = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(bytes) => read += bytes.len(),
                Err(error) => break error,
            }
        };
        assert_eq!((read, io_kind(&error)), (bytes, Some(end)));
        assert_eq!(kind(&error), Some(HttpErrorKind::Interrupted));
    }
}

#[tokio::test]
async fn a_large_request_is_cut_while_it_is_sent() {
    let setup = setup();
    let path = Path::from("cut/request");
    let content = PutPayload::from(vec![b'x'; 16 << 20]);
    setup
        .wire
        .inject(Requests::method("PUT"), WireFault::ResetInRequest(1 << 20));
    let error = setup.store.put(&path, content.clone()).await.unwrap_err();
    assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset));
    let missing = setup.direct().head(&path).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    setup.store.put(&path, content).await.unwrap();
}

#[tokio::test]
async fn a_part_fails_and_comes_again() {
    let setup = setup();
    let path = Path::from("part/object");
    let part = |number: u32| Requests::method("PUT").query(&format!("partNumber={number}&"));
    setup.wire.inject(part(1), SLOW_DOWN);
    setup.wire.inject(part(2), WireFault::LandsUnanswered);
    setup
        .wire
        .inject(part(3), WireFault::ResetInRequest(100_000));
    let content = vec![b'x'; 12 << 20];
    let upload = setup.retrying(3).put_multipart(&path).await.unwrap();
    let mut writer = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
    writer.write(&content);
    writer.finish().await.unwrap();
    assert_eq!(setup.wire.hits(), 3);
    let got = setup
        .direct()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(got == content);
}

/// The one fault that makes a client lie: it takes what it finds for somebody else's.
#[tokio::test]
async fn a_creation_without_an_answer_meets_itself() {
    let setup = setup();
    let path = Path::from("itself/object");
    setup.wire.inject(
        Requests::method("PUT").conditional(),
        WireFault::LandsUnanswered,
    );
    let store = setup.retrying(10);
    let put = store
        .put_opts(&path, "mine".into(), PutMode::Create.into())
        .await;
    assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
    let got = setup
        .direct()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(got, "mine");
}

#[tokio::test]
async fn a_fault_is_one_requests_alone() {
    let setup = setup();
    let store = &setup.store;
    let paths: Vec<Path> = (0..24).map(|n| Path::from(format!("alone/{n}"))).collect();
    for path in &paths {
        setup
            .direct()
            .put(path, vec![b'x'; 300_000].into())
            .await
            .unwrap();
    }
    let pause = Duration::from_secs(1);
    setup
        .wire
        .inject(Requests::any().path("alone/3"), WireFault::Stall(pause));
    setup.wire.inject(
        Requests::any().path("alone/5"),
        WireFault::ResetInBody(1_000),
    );
    setup
        .wire
        .inject(Requests::any().path("alone/7"), WireFault::Reset);
    setup
        .wire
        .inject(Requests::any().path("alone/9"), WireFault::Truncate(0));
    let begin = Instant::now();
    let got = paths.iter().map(|path| async move {
        let got = store
            .get(path)
            .await?
            .bytes()
            .await
            .map(|bytes| bytes.len());
        Ok::<_, Error>((got?, begin.elapsed() >= pause))
    });
    let got = futures::future::join_all(got).await;
    for (number, got) in got.into_iter().enumerate() {
        match number {
            3 => assert_eq!(got.unwrap(), (300_000, true)),
            5 | 7 | 9 => assert_eq!(kind(&got.unwrap_err()), Some(HttpErrorKind::Interrupted)),
            _ => assert_eq!(got.unwrap().0, 300_000),
        }
    }
    assert_eq!(setup.wire.requests().len(), paths.len());
}
