//! A bucket with more objects than anybody wants in memory.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, TimeZone, Utc};
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use futures::stream::BoxStream;
use lake_delta::{Root, Snapshot, Stamp};
use lake_store::Bucket;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::*;
use crate::build::Profile;
use crate::live::Process;
use crate::record::{FileRecord, app, files_spec, to_batch};
use crate::transform::Releases;

/// A bucket of objects that are made up when they are listed, page by page.
#[derive(Debug, Clone)]
enum MadeUp {
    /// So many, in order.
    Many(usize),
    /// These keys and sizes, as they are listed.
    These(&'static [(&'static str, u64)]),
}

impl MadeUp {
    fn key(n: usize) -> String {
        format!("raw/{:02}/readings-{n:09}.csv", n / 100_000)
    }

    fn count(&self) -> usize {
        match self {
            Self::Many(count) => *count,
            Self::These(objects) => objects.len(),
        }
    }

    fn object(&self, n: usize) -> ObjectMeta {
        let (key, size) = match self {
            Self::Many(_) => (Self::key(n), 1_000),
            Self::These(objects) => (objects[n].0.to_owned(), objects[n].1),
        };
        ObjectMeta {
            location: Key::from(key),
            last_modified: then(),
            size,
            e_tag: Some(format!("\"{n:032x}\"")),
            version: None,
        }
    }
}

fn then() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap()
}

impl fmt::Display for MadeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

fn nothing<T>() -> object_store::Result<T> {
    Err(Error::NotImplemented {
        operation: "all but listing".to_owned(),
        implementer: "MadeUp".to_owned(),
    })
}

#[async_trait]
impl ObjectStore for MadeUp {
    fn list(&self, _: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let store = self.clone();
        let objects = (0..self.count()).map(move |n| Ok(store.object(n)));
        futures::stream::iter(objects).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Key>) -> object_store::Result<ListResult> {
        nothing()
    }

    async fn put_opts(
        &self,
        _: &Key,
        _: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        nothing()
    }

    async fn put_multipart_opts(
        &self,
        _: &Key,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        nothing()
    }

    async fn get_opts(&self, _: &Key, _: GetOptions) -> object_store::Result<GetResult> {
        nothing()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        futures::stream::iter([nothing()]).boxed()
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> object_store::Result<()> {
        nothing()
    }
}

/// A pipeline over such a bucket, with tables in a directory.
fn settings(directory: &Directory, store: MadeUp) -> Settings {
    let yaml = "name: p\ntransform: { name: t, version: \"1\" }\nroot: lake\ninputs:\n  i: { path: \
                's3://b/raw/*/*.csv' }\nlimits: { memory: 64MiB }\n";
    let place = directory.path();
    let file = place.join("pipeline.yaml");
    let parsed = lake_pipeline::parse(yaml, &file, place, &|_| None, &Overrides::default());
    let pipeline = parsed.unwrap_or_else(|faults| panic!("{faults}"));
    let stores = Stores::default();
    let (bucket, _) = Bucket::split("s3://b").unwrap();
    stores.insert(&bucket, Arc::new(store));
    Settings {
        root: Root::open(&pipeline.root, &stores).unwrap(),
        pipeline,
        file,
        stores,
        cache: place.to_owned(),
        profile: Profile::Dev,
        releases: Releases::default(),
        clock: then,
        host: "here".to_owned(),
        threads: 2,
        progress: Arc::default(),
        process: Process::default(),
        wait: false,
        accept_loss: Vec::new(),
    }
}

/// The objects as run 1 would have loaded them, but for every `besides`th.
fn loaded(objects: std::ops::Range<usize>, besides: usize) -> RecordBatch {
    let record = |n: usize| FileRecord {
        input: "i".to_owned(),
        path: format!("s3://b/{}", MadeUp::key(n)),
        size: 1_000,
        modified: then().timestamp_micros(),
        received_at: then().timestamp_micros(),
        hash: format!("{n:064x}"),
        run: 1,
        rows: 10,
        accepted: 10,
        etag: Some(format!("\"{n:032x}\"")),
        ..FileRecord::default()
    };
    let wanted = objects.filter(|n| n % besides != 0).map(record);
    to_batch(&files_spec().schema, &wanted.collect::<Vec<_>>()).unwrap()
}

/// Writes `_lake/files`, in no order, and not all at once.
async fn write_files(settings: &Settings, count: usize, besides: usize) {
    let root = settings.root.child("p");
    let step = 50_000;
    for from in (0..count).step_by(step).rev() {
        let attempt = settings.attempt(&root).unwrap();
        let batch = loaded(from..count.min(from + step), besides);
        let rows = attempt.session.read_batch(batch).unwrap();
        let plan: Arc<dyn ExecutionPlan> = rows.create_physical_plan().await.unwrap();
        let base = Snapshot::open(&root, "p", FILES).await.unwrap();
        let prepared = attempt.append(&files_spec(), base, plan).await.unwrap();
        let stamp = Stamp {
            app: app("p"),
            // One that no seal has to be there for.
            run: 0,
            attempt: attempt.id.clone(),
            time: 0,
        };
        let commit = prepared.commit(&stamp).unwrap();
        // Nobody else is there, and a transaction is not looked for.
        let path = format!("p/{FILES}/_delta_log/{:020}.json", commit.base + 1);
        let body = commit.body.clone().into();
        let store = settings.root.store();
        store.put(&Key::from(path), body).await.unwrap();
    }
}

async fn pending(settings: &Settings) -> Result<Discovered> {
    let (state, _) = State::look(&settings.root, "p").await?;
    discover(settings, &state, &Files::Pending, (0, &HashSet::new())).await
}

fn found(count: usize, besides: usize) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = Directory::new().unwrap();
    let settings = settings(&directory, MadeUp::Many(count));
    runtime.block_on(async {
        write_files(&settings, count, besides).await;
        let begun = Instant::now();
        let found = pending(&settings).await.unwrap();
        let took = begun.elapsed();
        let resident = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = resident.lines().find(|line| line.starts_with("VmHWM"));
        println!("{count} objects: {took:?}, {}", peak.unwrap_or_default());
        assert_eq!(found.loaded as usize, count - count.div_ceil(besides));
        found.names()
    })
}

#[test]
fn of_many_objects_those_are_pending_that_are_not_loaded() {
    let count = 3 * CHUNK + 7;
    let expected = (0..count).step_by(4_001);
    let expected: Vec<String> = expected
        .map(|n| format!("s3://b/{}", MadeUp::key(n)))
        .collect();
    assert_eq!(found(count, 4_001), expected);
}

/// By hand, with the number in `LAKE_OBJECTS`: `bench/listing` does.
#[test]
#[ignore = "a measurement"]
#[expect(
    clippy::disallowed_methods,
    reason = "the number is given from outside"
)]
fn finding_what_is_pending_of_as_many_objects_as_are_asked_for() {
    let count = std::env::var("LAKE_OBJECTS").unwrap().parse().unwrap();
    assert_eq!(found(count, 100_000).len(), count / 100_000);
}

#[test]
fn a_listing_in_another_order_is_an_error_that_says_so() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = Directory::new().unwrap();
    let store = MadeUp::These(&[("raw/1/b.csv", 5), ("raw/1/a.csv", 5)]);
    let settings = settings(&directory, store);
    let error = runtime
        .block_on(pending(&settings))
        .unwrap_err()
        .to_string();
    for part in ["raw/1/b.csv", "raw/1/a.csv", "in the order of names"] {
        assert!(error.contains(part), "{error}");
    }
}

/// What consoles and file browsers make where somebody makes a directory: an empty object whose name
/// ends with a slash, which the client library takes away.
#[test]
fn directory_markers_are_no_files_and_disturb_no_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = Directory::new().unwrap();
    let store = MadeUp::These(&[
        ("raw/2024.csv", 5),
        ("raw/2024/a.csv", 5),
        // `raw/2024/a.csv/`, beside the file
        ("raw/2024/a.csv", 0),
        // `raw/2025/` before what is in it
        ("raw/2025", 0),
        ("raw/2025/b.csv", 5),
        ("raw/2025/c.csv", 5),
        // `raw/2025/c/` behind what comes before a slash
        ("raw/2025/c", 0),
        ("raw/2025/c/d.csv", 5),
    ]);
    let settings = settings(&directory, store);
    let found = runtime.block_on(pending(&settings)).unwrap();
    let expected = ["2024/a", "2025/b", "2025/c"].map(|name| format!("s3://b/raw/{name}.csv"));
    assert_eq!(found.names(), expected);
}

#[test]
fn a_backlog_is_cut_across_parts_of_a_listing_in_the_order_of_names() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = Directory::new().unwrap();
    let count = 2 * CHUNK + 10;
    let mut settings = settings(&directory, MadeUp::Many(count));
    for most in [3, CHUNK, CHUNK + 1, count - 1, count] {
        let input = settings.pipeline.inputs.get_mut("i").unwrap();
        input.max_files = Some(most as u64);
        let found = runtime.block_on(pending(&settings)).unwrap();
        let expected = (0..most).map(|n| format!("s3://b/{}", MadeUp::key(n)));
        assert_eq!(found.names(), expected.collect::<Vec<_>>());
        let left = found.left.get("i").copied().unwrap_or_default();
        assert_eq!(left.files as usize, count - most);
        assert_eq!(left.bytes as usize, 1_000 * (count - most));
    }
}
