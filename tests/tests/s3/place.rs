//! A pipeline whose raw files, tables and pipeline file are in a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use lake_testing::Wire;
use lake_tests::{Ended, Lake, workspace};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::server::{BUCKET, PASSWORD, Server, USER, block_on, client};

/// A prefix of the bucket, for one test: `data/` for raw files, and `lake/`, the root.
pub(crate) struct Place {
    pub(crate) server: Arc<Server>,
    prefix: String,
    store: AmazonS3,
}

impl Place {
    pub(crate) fn new() -> Self {
        static USED: AtomicUsize = AtomicUsize::new(0);
        let server = Server::get();
        let number = USED.fetch_add(1, Ordering::Relaxed);
        Self {
            store: client(&server.url(), 3),
            server,
            prefix: format!("{}-{number}", std::process::id()),
        }
    }

    /// The URL of something in it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("s3://{BUCKET}/{}/{path}", self.prefix)
    }

    /// The utility pipeline with the raw files and the root of this place.
    pub(crate) fn lake(&self) -> Lake {
        self.lake_at(&self.server.url())
    }

    /// The same, with a wire in between.
    pub(crate) fn lake_through(&self, wire: &Wire) -> Lake {
        self.lake_at(&wire.url())
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::start(self.server.address).unwrap()
    }

    fn lake_at(&self, endpoint: &str) -> Lake {
        reaching(endpoint, self.lake_of_no_one())
    }

    /// The pipeline, without any variables.
    pub(crate) fn lake_of_no_one(&self) -> Lake {
        // So that the transform is built.
        let _ = Lake::new();
        Lake::of(&self.yaml())
    }

    /// The pipeline file, which would be the same in the bucket.
    pub(crate) fn yaml(&self) -> String {
        format!(
            "name: utility\ntransform:\n  name: utility\n  version: \"1\"\n  path: {}\n\
             root: {}\ninputs:\n  readings:\n    path: {}\n    on_change: upsert\n",
            workspace().join("crates/transforms/utility").display(),
            self.url("lake"),
            self.url("data/*.csv"),
        )
    }

    fn path(&self, path: &str) -> Path {
        Path::parse(format!("{}/{path}", self.prefix)).unwrap()
    }

    /// Puts an object: `data/a.csv`.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let content = content.as_ref().to_vec();
        block_on(self.store.put(&self.path(path), content.into())).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        block_on(async {
            let found = self.store.get(&self.path(path)).await.unwrap();
            found.bytes().await.unwrap().to_vec()
        })
    }

    pub(crate) fn delete(&self, path: &str) {
        block_on(self.store.delete(&self.path(path))).unwrap();
    }

    /// All objects below a path, as they are called below this place, with their sizes.
    pub(crate) fn objects(&self, below: &str) -> BTreeMap<String, u64> {
        let below = match below {
            "" => Path::from(self.prefix.as_str()),
            below => self.path(below),
        };
        let listed: Vec<ObjectMeta> =
            block_on(self.store.list(Some(&below)).try_collect()).unwrap();
        let own = |meta: ObjectMeta| {
            let path = meta.location.as_ref();
            let name = path.strip_prefix(&format!("{}/", self.prefix)).unwrap();
            (name.to_owned(), meta.size)
        };
        listed.into_iter().map(own).collect()
    }

    /// That nothing can be seen of any run: no table, no number, no seal.
    #[track_caller]
    pub(crate) fn assert_nothing_published(&self) {
        let objects = self.objects("lake").into_keys();
        let visible: Vec<String> = objects
            .filter(|name| name.contains("/_delta_log/") || name.contains("/_lake/log/"))
            .collect();
        assert!(visible.is_empty(), "published: {visible:?}");
    }
}

/// The variables that lead to the server, and say nothing of who asks.
pub(crate) fn at_endpoint(endpoint: &str, lake: Lake) -> Lake {
    lake.variable("AWS_ENDPOINT_URL", endpoint)
        .variable("AWS_ALLOW_HTTP", "true")
        .variable("AWS_REGION", "us-east-1")
}

/// The variables that lead to the server.
pub(crate) fn reaching(endpoint: &str, lake: Lake) -> Lake {
    at_endpoint(endpoint, lake)
        .variable("AWS_ACCESS_KEY_ID", USER)
        .variable("AWS_SECRET_ACCESS_KEY", PASSWORD)
}

/// What a reader can see of every table, but for where the files were and the instants of runs.
const CONTENT: [&str; 4] = [
    "SELECT customer_id, meter_id, start_time, end_time, usage_kwh, region, usage_date, _line, \
     regexp_replace(_file, '.*/', '') FROM standard.readings",
    "SELECT customer_id, usage_date, usage_kwh, readings, first_reading, last_reading, peak_hour \
     FROM consumption.daily_usage",
    "SELECT input, regexp_replace(file, '.*/', ''), line, raw FROM rejection.readings",
    "SELECT DISTINCT input, regexp_replace(path, '.*/', ''), size, hash, rows, accepted, rejected FROM \
     _lake.files",
];

/// The content of all tables, row by row.
#[track_caller]
pub(crate) fn content(lake: &Lake) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in CONTENT {
        let mut table = lake.rows(sql);
        table.sort();
        rows.push(sql.to_owned());
        rows.append(&mut table);
    }
    rows
}

/// Runs a command on a lake's pipeline.
pub(crate) fn on_pipeline(lake: &Lake, command: &[&str], more: &[&str]) -> Ended {
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&[command, &[pipeline], more].concat())
}
