//! Opening tables and reading their logs.

use std::sync::Arc;

use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::transaction::CommitBuilder;
use deltalake::kernel::{Add, Remove};
use deltalake::logstore::{StorageConfig, default_logstore};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use futures::{StreamExt, TryStreamExt};
use lake_delta::Root;
use lake_testing::Kind;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use url::Url;

use super::{Table, added, ask, removed, rows, schema, session, simple};
use crate::support::healthy;

/// The active files of a table.
#[expect(deprecated, reason = "lake needs the whole action")]
async fn adds(table: &DeltaTable) -> Vec<Add> {
    let log_store = table.log_store();
    let state = table.snapshot().unwrap();
    let views = state.snapshot().file_views(log_store.as_ref(), None);
    let adds = views.map_ok(|view| view.add_action());
    let mut adds: Vec<Add> = adds.try_collect().await.unwrap();
    adds.sort_by(|a, b| a.path.cmp(&b.path));
    adds
}

#[tokio::test]
async fn a_table_is_where_its_log_has_a_commit() {
    let table = Table::nowhere(schema(), &[]);
    let is_there = || async {
        let log_store = table.log_store();
        log_store.is_delta_table_location().await.unwrap()
    };
    assert!(!is_there().await);
    let _ = table.write(&rows(&[1])).await;
    std::fs::create_dir(table.path().join("_delta_log")).unwrap();
    std::fs::write(table.path().join("_delta_log/notes.txt"), "").unwrap();
    assert!(!is_there().await);
    assert!(table.try_open().await.is_err());
    table.put(0, &table.creation(&[]));
    assert!(is_there().await);
    assert_eq!(table.version().await, 0);
}

#[tokio::test]
async fn the_whole_action_of_a_file_comes_back_also_through_a_checkpoint() {
    let (table, _) = simple(&[]).await;
    let mut written = table.write(&rows(&[1, 2])).await;
    // More digits than a double has, an order that is not the library's, and a member it does not know.
    let stats = r#"{"numRecords":2,"maxValues":{"value":"ü\"","key":2},"minValues":{"key":1},"x":0.12345678901234567890}"#;
    written[0].stats = Some(stats.to_owned());
    let tags = [("owner".to_owned(), Some("lake".to_owned()))];
    written[0].tags = Some(tags.into());
    table.put(1, &added(&written));
    assert_eq!(adds(&table.open().await).await, written);
    create_checkpoint(&table.open().await, None).await.unwrap();
    for version in 0..2 {
        std::fs::remove_file(table.commit_file(version)).unwrap();
    }
    assert_eq!(table.version().await, 1);
    assert_eq!(adds(&table.open().await).await, written);
    assert_eq!(table.keys().await, [1, 2]);
    // And a commit on top of it.
    table.append(2, &rows(&[3])).await;
    assert_eq!(table.keys().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_checkpoint_keeps_transactions_and_properties() {
    let table = Table::new(schema(), &[("lake.pipeline", "test")]);
    table.put(1, &[json!({"txn": {"appId": "lake/test", "version": 5}})]);
    create_checkpoint(&table.open().await, None).await.unwrap();
    for version in 0..2 {
        std::fs::remove_file(table.commit_file(version)).unwrap();
    }
    let opened = table.open().await;
    let state = opened.snapshot().unwrap();
    let log_store = table.log_store();
    let version = state
        .transaction_version(log_store.as_ref(), "lake/test")
        .await;
    assert_eq!(version.unwrap(), Some(5));
    assert_eq!(state.metadata().configuration()["lake.pipeline"], "test");
}

#[tokio::test]
async fn a_transaction_is_that_of_the_newest_commit_and_not_the_highest() {
    let (table, _) = simple(&[]).await;
    for (version, run) in [(1, 8), (2, 3)] {
        let txn = json!({"txn": {"appId": "lake/test", "version": run}});
        table.put(version, &[txn]);
    }
    let opened = table.open().await;
    let log_store = table.log_store();
    let state = opened.snapshot().unwrap();
    let version = state
        .transaction_version(log_store.as_ref(), "lake/test")
        .await;
    assert_eq!(version.unwrap(), Some(3));
}

#[tokio::test]
async fn files_that_are_not_committed_cannot_be_selected() {
    let (table, _) = simple(&[&[1]]).await;
    let prepared = table.write(&rows(&[2])).await;
    let opened = table.open().await;
    let path = prepared[0].path.clone();
    for provider in [
        opened.table_provider().with_adds(prepared).build().await,
        opened
            .table_provider()
            .with_file_paths([path])
            .build()
            .await,
    ] {
        let session = datafusion::prelude::SessionContext::new();
        session
            .register_table("t", Arc::new(provider.unwrap()))
            .unwrap();
        let rows = session
            .sql("SELECT key FROM t")
            .await
            .unwrap()
            .collect()
            .await;
        assert!(rows.is_err(), "{rows:?}");
    }
}

#[tokio::test]
async fn a_committed_file_can_be_selected() {
    let (table, files) = simple(&[&[1], &[2]]).await;
    let opened = table.open().await;
    let selected = opened.table_provider().with_adds(files[1].clone()).build();
    let session = datafusion::prelude::SessionContext::new();
    session
        .register_table("t", Arc::new(selected.await.unwrap()))
        .unwrap();
    let frame = session.sql("SELECT key FROM t").await.unwrap();
    assert_eq!(frame.count().await.unwrap(), 1);
}

#[tokio::test]
async fn log_and_data_are_read_through_the_store_of_the_whole_root() {
    let (table, files) = simple(&[&[1, 2]]).await;
    // Nothing is there but in memory, and nothing of a host is asked for.
    let url = Url::parse("memory://nowhere/pipeline/t/").unwrap();
    let whole: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let place = Path::from("pipeline/t");
    for name in [
        "_delta_log/00000000000000000000.json",
        "_delta_log/00000000000000000001.json",
        &files[0][0].path,
    ] {
        let bytes = std::fs::read(table.path().join(name)).unwrap();
        let path = name
            .split('/')
            .fold(place.clone(), |path, part| path.join(part));
        whole.put(&path, bytes.into()).await.unwrap();
    }
    let prefixed = Arc::new(PrefixStore::new(Arc::clone(&whole), place));
    let log_store = default_logstore(prefixed, whole, &url, &StorageConfig::default());
    let mut opened = DeltaTable::new(log_store);
    opened.load().await.unwrap();
    assert_eq!(opened.version(), Some(1));
    assert_eq!(ask(&opened, "SELECT sum(key) FROM t").await, 3);
}

#[tokio::test]
async fn a_table_that_is_loaded_does_not_read_its_log_again_to_be_queried() {
    let (table, files) = simple(&[&[1], &[2]]).await;
    let store = healthy();
    let mut opened = DeltaTable::new(table.log_store_through(Arc::new(store.clone())));
    opened.load().await.unwrap();
    let before = store.operations().len();
    // So a commit that only an overlay shows stays what is queried.
    table.put(3, &removed(&files[0], 1));
    assert_eq!(ask(&opened, "SELECT count(*) FROM t").await, 2);
    let later = store.operations().split_off(before);
    let reads_log = |path: &str| path.contains("_delta_log") && path.ends_with("3.json");
    assert!(
        !later.iter().any(|operation| reads_log(&operation.path)),
        "{later:?}"
    );
    assert!(!later.iter().any(|operation| operation.kind == Kind::Put));
}

#[tokio::test]
async fn history_does_not_say_which_version_a_commit_is() {
    let (table, _) = simple(&[&[1]]).await;
    let info = json!({"commitInfo": {"operation": "WRITE", "timestamp": 1, "lakeRun": 7}});
    table.put(2, &[info]);
    let opened = table.open().await;
    let mut history = opened.history(Some(1));
    let newest = history.next().await.unwrap().unwrap();
    let newest = serde_json::to_value(newest).unwrap();
    assert_eq!(newest["operation"], "WRITE");
    assert_eq!(newest["lakeRun"], 7);
    assert_eq!(newest.get("version"), None);
}

#[tokio::test]
#[expect(deprecated, reason = "what lake commits are whole actions")]
async fn an_older_version_comes_back_by_its_actions() {
    let (table, _) = simple(&[&[1], &[2]]).await;
    let mut older = DeltaTable::new(table.log_store());
    older.load_version(1).await.unwrap();
    let kept: Vec<String> = adds(&older).await.into_iter().map(|add| add.path).collect();
    let newest = table.open().await;
    let log_store = newest.log_store();
    let state = newest.snapshot().unwrap();
    let views = state.snapshot().file_views(log_store.as_ref(), None);
    let views: Vec<_> = views.try_collect().await.unwrap();
    let gone = views
        .iter()
        .filter(|view| !kept.contains(&view.path().to_string()));
    let gone: Vec<Remove> = gone.map(|view| view.remove_action(true)).collect();
    assert_eq!(gone.len(), 1);
    let actions: Vec<_> = gone
        .iter()
        .map(|remove| json!({"remove": remove}))
        .collect();
    table.put(3, &actions);
    assert_eq!(table.keys().await, [1]);
    // The removed file comes back as it was.
    let back = views
        .iter()
        .find(|view| !kept.contains(&view.path().to_string()));
    table.put(4, &added(&[back.unwrap().add_action()]));
    assert_eq!(table.keys().await, [1, 2]);
}

#[tokio::test]
async fn a_version_that_nobody_committed_is_an_error() {
    let (table, _) = simple(&[&[1]]).await;
    let mut opened = DeltaTable::new(table.log_store());
    let error: DeltaTableError = opened.load_version(7).await.unwrap_err();
    assert!(!error.to_string().is_empty());
    std::fs::remove_file(table.commit_file(0)).unwrap();
    assert!(
        table.try_open().await.is_err(),
        "a log without its beginning"
    );
}

#[tokio::test]
async fn a_loaded_table_has_the_types_that_were_declared_but_for_texts() {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Date32,
        DataType::Decimal128(38, 10),
        utc,
    ];
    let fields = types.iter().enumerate();
    let mut fields: Vec<Field> = fields
        .map(|(n, data_type)| Field::new(format!("c{n}"), data_type.clone(), true))
        .collect();
    fields.push(Field::new("text", DataType::Utf8, true));
    let table = Table::new(Arc::new(Schema::new(fields)), &[]);
    let opened = table.open().await;
    let found = opened.snapshot().unwrap().snapshot().arrow_schema();
    for (n, data_type) in types.iter().enumerate() {
        assert_eq!(found.field(n).data_type(), data_type);
    }
    let text = found.field_with_name("text").unwrap().data_type();
    assert!(
        matches!(
            text,
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
        ),
        "{text}"
    );
    let _ = session(&opened).await;
}

#[tokio::test]
async fn the_log_is_read_through_the_whole_root_and_written_through_the_tables_own_store() {
    let (table, _) = simple(&[&[1]]).await;
    let (own, whole) = (healthy(), healthy());
    let prefix = table.prefixed(Arc::new(own.clone()));
    let config = StorageConfig::default();
    let log_store = default_logstore(prefix, Arc::new(whole.clone()), &table.url(), &config);
    let mut opened = DeltaTable::new(Arc::clone(&log_store));
    opened.load().await.unwrap();
    assert_eq!(own.operations(), []);
    assert!(!whole.operations().is_empty());
    let write = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: None,
        predicate: None,
    };
    let commit = CommitBuilder::default().build(Some(opened.snapshot().unwrap()), log_store, write);
    let prepared = commit.into_prepared_commit_future().await.unwrap();
    assert_eq!(prepared.await.unwrap().version, 2);
    let puts = [&own, &whole].map(|store| store.count(Kind::Put, "_delta_log/"));
    assert_eq!(puts, [1, 0]);
}

#[tokio::test]
async fn a_checkpoint_keeps_a_transaction_without_a_time_and_no_old_one() {
    let retention = [("delta.setTransactionRetentionDuration", "interval 1 days")];
    let table = Table::new(schema(), &retention);
    let timed = json!({"txn": {"appId": "timed", "version": 1, "lastUpdated": 1_000}});
    let timeless = json!({"txn": {"appId": "timeless", "version": 2}});
    table.put(1, &[timed, timeless]);
    create_checkpoint(&table.open().await, None).await.unwrap();
    for version in 0..2 {
        std::fs::remove_file(table.commit_file(version)).unwrap();
    }
    // Nobody forgets any more from here on.
    table.put(2, &[table.metadata(&schema(), &[])]);
    let opened = table.open().await;
    let log_store = table.log_store();
    let state = opened.snapshot().unwrap();
    for (app, version) in [("timed", None), ("timeless", Some(2))] {
        let found = state.transaction_version(log_store.as_ref(), app).await;
        assert_eq!(found.unwrap(), version, "{app}");
    }
}

#[tokio::test]
async fn a_table_is_not_found_below_a_name_with_a_percent_sign_or_a_backslash() {
    for (name, is_found) in [
        ("a%20b", false),
        ("a%b0", false),
        ("a\\b", false),
        ("a b", true),
        ("ü", true),
        ("a+b#c?d", true),
    ] {
        let mut table = Table::nowhere(schema(), &[]);
        table.directory = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        table.put(0, &table.creation(&[]));
        let whole: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let root = Root::with_store(table.url(), Arc::clone(&whole)).unwrap();
        let adds = table.write_into(root.store(), &rows(&[1])).await;
        table.put(1, &added(&adds));
        let config = StorageConfig::default();
        let log_store = default_logstore(root.store(), whole, &table.url(), &config);
        let mut opened = DeltaTable::new(log_store);
        assert_eq!(opened.load().await.is_ok(), is_found, "{name}");
        if is_found {
            assert_eq!(ask(&opened, "SELECT sum(key) FROM t").await, 1, "{name}");
        }
    }
}
