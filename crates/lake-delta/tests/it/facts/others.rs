//! What other writers do to a table with the library's operations. All of them
//! commit by themselves, so lake uses none of them.

use datafusion::prelude::{SessionContext, col};
use deltalake::kernel::transaction::CommitProperties;
use deltalake::protocol::SaveMode;

use super::{rows, simple};

#[tokio::test]
async fn write_commits_by_itself() {
    let (table, _) = simple(&[&[1]]).await;
    let write = table.open().await.write([rows(&[2])]);
    let written = write.with_save_mode(SaveMode::Append).await.unwrap();
    assert_eq!(written.version(), Some(2));
    assert_eq!(table.keys().await, [1, 2]);
}

#[tokio::test]
async fn merge_commits_by_itself() {
    let (table, _) = simple(&[&[1, 2]]).await;
    let source = SessionContext::new().read_batch(rows(&[2, 3])).unwrap();
    let merge = table
        .open()
        .await
        .merge(source, col("target.key").eq(col("source.key")))
        .with_source_alias("source")
        .with_target_alias("target")
        .when_not_matched_insert(|insert| {
            insert
                .set("key", col("source.key"))
                .set("value", col("source.value"))
        });
    let (merged, _) = merge.unwrap().await.unwrap();
    assert_eq!(merged.version(), Some(2));
    assert_eq!(table.keys().await, [1, 2, 3]);
}

#[tokio::test]
async fn optimize_commits_by_itself_and_changes_no_data() {
    let (table, _) = simple(&[&[1], &[2]]).await;
    let (optimized, metrics) = table.open().await.optimize().await.unwrap();
    assert_eq!(optimized.version(), Some(3));
    assert_eq!(metrics.num_files_removed, 2);
    let text = std::fs::read_to_string(table.commit_file(3)).unwrap();
    assert!(text.contains("\"dataChange\":false") && !text.contains("\"dataChange\":true"));
    assert_eq!(table.keys().await, [1, 2]);
}

#[tokio::test]
async fn restore_commits_by_itself() {
    let (table, _) = simple(&[&[1], &[2]]).await;
    let restore = table.open().await.restore().with_version_to_restore(1);
    let (restored, _) = restore.await.unwrap();
    assert_eq!(restored.version(), Some(3));
    assert_eq!(table.keys().await, [1]);
}

#[tokio::test]
async fn an_operation_keeps_what_the_table_says_of_itself_and_forgets_no_transaction() {
    let (table, _) = simple(&[&[1], &[2]]).await;
    let txn = serde_json::json!({"txn": {"appId": "lake/test", "version": 5}});
    let owner = table.metadata(&super::schema(), &[("lake.pipeline", "test")]);
    table.put(3, &[txn, owner]);
    let optimize = table.open().await.optimize();
    let properties = CommitProperties::default().with_create_checkpoint(false);
    let (optimized, _) = optimize.with_commit_properties(properties).await.unwrap();
    let state = optimized.snapshot().unwrap();
    assert_eq!(state.metadata().configuration()["lake.pipeline"], "test");
    let log_store = table.log_store();
    let version = state
        .transaction_version(log_store.as_ref(), "lake/test")
        .await;
    assert_eq!(version.unwrap(), Some(5));
}
