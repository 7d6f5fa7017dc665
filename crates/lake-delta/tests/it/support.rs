//! Tables of (key, day, sequence, value) in a temporary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use arrow::array::{AsArray, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake_delta::{
    Applied, Attempt, Commit, Landed, Prepared, Remake, Result, Root, Snapshot, Stamp, TableSpec,
    Versions, apply,
};
use lake_store::Stores;
use lake_testing::FailingStore;
use object_store::local::LocalFileSystem;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(crate) const PIPELINE: &str = "test";

/// One row: key, sequence, value. The day follows from the key.
pub(crate) type Row = (i64, i64, String);

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) struct Lake {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) root: Root,
    pub(crate) run: i64,
}

pub(crate) fn spec(partitioned: bool) -> TableSpec {
    TableSpec {
        name: "standard/t".to_owned(),
        schema: schema(),
        partition_by: if partitioned {
            vec!["day".to_owned()]
        } else {
            Vec::new()
        },
        key: vec!["key".to_owned()],
    }
}

/// The row with the highest sequence stays, and none deletes its key.
pub(crate) fn versions() -> Versions {
    Versions {
        key: vec!["key".to_owned()],
        newest_by: vec!["sequence".to_owned()],
        tombstones: None,
    }
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("day", DataType::Date32, true),
        Field::new("sequence", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
    ]))
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(Date32Array::from_iter_values(
                rows.iter().map(|r| (r.0 % 3) as i32),
            )),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.2))),
        ],
    )
    .unwrap()
}

/// Commits through `root`, as any host would.
pub(crate) async fn land(
    root: &Root,
    name: &str,
    commit: &Commit,
    remake: &Remake,
    stamp: &Stamp,
) -> Result<Applied> {
    apply(
        &attempt(root, &stamp.attempt),
        name,
        commit,
        remake,
        stamp,
        false,
    )
    .await
}

/// A commit that landed on its base.
pub(crate) fn committed(version: i64) -> Applied {
    Applied::Committed(Landed {
        version,
        outside: None,
        again: None,
    })
}

fn attempt(root: &Root, id: &str) -> Attempt {
    let config = SessionConfig::new().with_target_partitions(2);
    let session = SessionContext::new_with_config(config);
    root.register(&session.runtime_env());
    Attempt {
        root: root.clone(),
        pipeline: PIPELINE.to_owned(),
        id: id.to_owned(),
        session,
    }
}

impl Lake {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path().to_str().unwrap(), &Stores::default()).unwrap();
        Self {
            directory,
            root,
            run: 0,
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        attempt(&self.root, &format!("attempt-{}", self.run + 1))
    }

    pub(crate) async fn open(&self, spec: &TableSpec) -> Option<Snapshot> {
        Snapshot::open(&self.root, PIPELINE, &spec.name)
            .await
            .unwrap()
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            app: "lake/test".to_owned(),
            run: self.run + 1,
            attempt: format!("attempt-{}", self.run + 1),
            time: 1_000,
        }
    }

    pub(crate) async fn apply(&mut self, prepared: &Prepared) -> Applied {
        let stamp = self.stamp();
        let commit = prepared.commit(&stamp).unwrap();
        let applied = land(
            &self.root,
            prepared.name(),
            &commit,
            prepared.remake(),
            &stamp,
        )
        .await
        .unwrap();
        self.next_run();
        applied
    }

    /// Says that a run is applied.
    pub(crate) fn next_run(&mut self) {
        self.run += 1;
    }

    pub(crate) async fn merge(&self, spec: &TableSpec, rows: &[Row]) -> Prepared {
        let attempt = self.attempt();
        let plan = plan(&attempt.session, rows).await;
        let base = self.open(spec).await;
        let merged = attempt.merge_newest(spec, base, plan, versions()).await;
        merged.unwrap().table
    }

    pub(crate) async fn rows(&self, spec: &TableSpec) -> BTreeMap<i64, (i64, String)> {
        match self.open(spec).await {
            None => BTreeMap::new(),
            Some(snapshot) => read(snapshot.provider().await.unwrap()).await,
        }
    }
}

pub(crate) async fn plan(session: &SessionContext, rows: &[Row]) -> Arc<dyn ExecutionPlan> {
    let half = rows.len() / 2;
    let parts = vec![vec![batch(&rows[..half])], vec![batch(&rows[half..])]];
    let table = MemTable::try_new(schema(), parts).unwrap();
    let frame = session.read_table(Arc::new(table)).unwrap();
    frame.create_physical_plan().await.unwrap()
}

/// The rows by key; a key that is there twice fails the test.
pub(crate) async fn read(
    table: Arc<dyn datafusion::catalog::TableProvider>,
) -> BTreeMap<i64, (i64, String)> {
    let session = SessionContext::new();
    session.register_table("t", table).unwrap();
    let sql = "SELECT key, sequence, CAST(value AS VARCHAR) AS value FROM t";
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let mut rows = BTreeMap::new();
    for batch in batches {
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let sequences = batch.column(1).as_primitive::<Int64Type>();
        let values = arrow::compute::cast(batch.column(2), &DataType::Utf8).unwrap();
        for n in 0..batch.num_rows() {
            let row = (
                sequences.value(n),
                values.as_string::<i32>().value(n).to_owned(),
            );
            assert!(
                rows.insert(keys.value(n), row).is_none(),
                "key {} twice",
                keys.value(n)
            );
        }
    }
    rows
}

/// The keys in a data file of a table.
pub(crate) fn keys_in(lake: &Lake, table: &str, path: &str) -> BTreeSet<i64> {
    let path = lake.directory.path().join(table).join(path);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut keys = BTreeSet::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch
            .column_by_name("key")
            .unwrap()
            .as_primitive::<Int64Type>()
            .clone();
        keys.extend(column.values().iter().copied());
    }
    keys
}

/// A store without faults so far.
pub(crate) fn healthy() -> FailingStore {
    FailingStore::new(LocalFileSystem::new())
}

/// The lake's root through a store.
pub(crate) fn through(lake: &Lake, store: &FailingStore) -> Root {
    Root::with_store(lake.root.url().clone(), Arc::new(store.clone())).unwrap()
}
