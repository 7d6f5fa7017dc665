//! What lake relies on in the Delta library, and what other writers do to our
//! tables with it. These tests talk to the library itself: where one of them
//! fails after an upgrade, the library does something else than before, and
//! what lake makes of it has to be looked at again.
//!
//! Not here, because no store of this build can show it: that object stores
//! repeat a put whose answer was lost, that S3 answers 409, and time limits.

mod committing;
mod others;
mod reading;
mod statistics;
mod stores;
mod vacuum;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::prelude::SessionContext;
use delta_kernel::engine::arrow_conversion::TryIntoKernel;
use delta_kernel::schema::StructType;
use delta_kernel::table_properties::DataSkippingNumIndexedCols;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Add;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableError};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

/// A Delta table in a temporary directory, whose commits a test writes itself.
struct Table {
    directory: TempDir,
    schema: SchemaRef,
    partition_by: Vec<String>,
}

impl Table {
    /// The place of a table that is not there yet.
    fn nowhere(schema: SchemaRef, partition_by: &[&str]) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            schema,
            partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// A table without rows, at version 0.
    fn new(schema: SchemaRef, properties: &[(&str, &str)]) -> Self {
        let table = Self::nowhere(schema, &[]);
        table.put(0, &table.creation(properties));
        table
    }

    fn creation(&self, properties: &[(&str, &str)]) -> Vec<Value> {
        let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
        vec![protocol, self.metadata(&self.schema, properties)]
    }

    fn metadata(&self, schema: &SchemaRef, properties: &[(&str, &str)]) -> Value {
        let schema: StructType = schema.as_ref().try_into_kernel().unwrap();
        let configuration: serde_json::Map<String, Value> = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({"metaData": {
            "id": "5f7d8c1e-0000-4000-8000-000000000000",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": serde_json::to_string(&schema).unwrap(),
            "partitionColumns": self.partition_by,
            "configuration": configuration,
            "createdTime": 0,
        }})
    }

    /// Writes a version's commit file.
    fn put(&self, version: u64, actions: &[Value]) {
        let path = self.commit_file(version);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: String = actions.iter().map(|action| format!("{action}\n")).collect();
        std::fs::write(path, lines).unwrap();
    }

    fn commit_file(&self, version: u64) -> PathBuf {
        self.path().join(format!("_delta_log/{version:020}.json"))
    }

    fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// The files of the log, by their names.
    fn log_files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path().join("_delta_log")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn has(&self, path: &str) -> bool {
        self.path().join(path).exists()
    }

    fn url(&self) -> Url {
        Url::from_directory_path(self.path()).unwrap()
    }

    /// The store of the table's directory.
    fn store(&self) -> Arc<dyn ObjectStore> {
        self.prefixed(Arc::new(LocalFileSystem::new()))
    }

    fn prefixed(&self, whole: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        let prefix = Path::from_absolute_path(self.path()).unwrap();
        Arc::new(PrefixStore::new(whole, prefix))
    }

    fn log_store(&self) -> LogStoreRef {
        self.log_store_through(Arc::new(LocalFileSystem::new()))
    }

    /// The log through a store, whose root is the root of the file system.
    fn log_store_through(&self, whole: Arc<dyn ObjectStore>) -> LogStoreRef {
        let prefixed = self.prefixed(Arc::clone(&whole));
        default_logstore(prefixed, whole, &self.url(), &StorageConfig::default())
    }

    async fn open(&self) -> DeltaTable {
        self.try_open().await.unwrap()
    }

    async fn try_open(&self) -> Result<DeltaTable, DeltaTableError> {
        let mut table = DeltaTable::new(self.log_store());
        table.load().await?;
        Ok(table)
    }

    async fn version(&self) -> u64 {
        self.open().await.version().unwrap()
    }

    /// Writes rows into data files, as lake does; nothing is committed.
    async fn write(&self, rows: &RecordBatch) -> Vec<Add> {
        self.write_into(self.store(), rows).await
    }

    async fn write_into(&self, store: Arc<dyn ObjectStore>, rows: &RecordBatch) -> Vec<Add> {
        let config = WriterConfig::new(
            Arc::clone(&self.schema),
            self.partition_by.clone(),
            None,
            None,
            None,
            DataSkippingNumIndexedCols::NumColumns(32),
            None,
        );
        let mut writer = DeltaWriter::new(store, config);
        writer.write(rows).await.unwrap();
        writer.close().await.unwrap()
    }

    /// Writes rows and commits them as a version.
    async fn append(&self, version: u64, rows: &RecordBatch) -> Vec<Add> {
        let adds = self.write(rows).await;
        self.put(version, &added(&adds));
        adds
    }

    /// One number, which a query over the table `t` yields.
    async fn ask(&self, sql: &str) -> i64 {
        ask(&self.open().await, sql).await
    }

    /// The keys of all rows, in order.
    async fn keys(&self) -> Vec<i64> {
        let session = session(&self.open().await).await;
        let frame = session.sql("SELECT key FROM t ORDER BY key").await.unwrap();
        let batches = frame.collect().await.unwrap();
        let keys = batches.iter().flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        });
        keys.collect()
    }
}

fn added(adds: &[Add]) -> Vec<Value> {
    adds.iter().map(|add| json!({"add": add})).collect()
}

/// The removal of files, long ago or not at all so.
fn removed(adds: &[Add], time: i64) -> Vec<Value> {
    let removes = adds.iter().map(
        |add| json!({"remove": {"path": add.path, "deletionTimestamp": time, "dataChange": true}}),
    );
    removes.collect()
}

/// An engine with the table `t`.
async fn session(table: &DeltaTable) -> SessionContext {
    let session = SessionContext::new();
    let provider = table.table_provider().await.unwrap();
    session.register_table("t", provider).unwrap();
    session
}

async fn ask(table: &DeltaTable, sql: &str) -> i64 {
    let frame = session(table).await.sql(sql).await.unwrap();
    let batches = frame.collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// The schema of the simplest rows.
fn schema() -> SchemaRef {
    let field = |name, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("key", DataType::Int64),
        field("value", DataType::Utf8),
    ]))
}

/// Rows of that schema.
fn rows(keys: &[i64]) -> RecordBatch {
    let values = StringArray::from_iter_values(keys.iter().map(|key| format!("value {key}")));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::new(values)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A table of the simplest rows; each of the lists is a version with one file.
async fn simple(versions: &[&[i64]]) -> (Table, Vec<Vec<Add>>) {
    let table = Table::new(schema(), &[]);
    let mut files = Vec::new();
    for (version, keys) in versions.iter().enumerate() {
        files.push(table.append(version as u64 + 1, &rows(keys)).await);
    }
    (table, files)
}

/// The statistics of the only file.
fn stats(adds: &[Add]) -> Value {
    let [add] = adds else {
        panic!("{} files", adds.len())
    };
    serde_json::from_str(add.stats.as_deref().unwrap()).unwrap()
}
