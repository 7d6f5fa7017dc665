//! The library's own commits: lake does without them, for reasons that are here.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use deltalake::kernel::transaction::{
    CommitBuilder, CommitProperties, PostCommit, TransactionError,
};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use lake_testing::{Fault, Kind, On};
use serde_json::{Value, json};

use super::{Table, ask, removed, rows, schema, simple};
use crate::support::healthy;

fn write() -> DeltaOperation {
    DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: None,
        predicate: None,
    }
}

fn actions(lines: &[Value]) -> Vec<Action> {
    let actions = lines
        .iter()
        .map(|line| serde_json::from_value(line.clone()));
    actions.collect::<Result<_, _>>().unwrap()
}

/// Commits without hooks.
async fn commit(
    builder: CommitBuilder,
    base: Option<&DeltaTable>,
    log_store: LogStoreRef,
) -> Result<PostCommit, DeltaTableError> {
    let base = base.map(|table| table.snapshot().unwrap() as _);
    let prepared = builder.build(base, log_store, write());
    prepared.into_prepared_commit_future().await?.await
}

fn adding(adds: &[Add], retries: Option<usize>) -> CommitBuilder {
    let adds = adds.iter().cloned().map(Action::Add);
    let builder = CommitBuilder::default().with_actions(adds.collect());
    match retries {
        Some(retries) => builder.with_max_retries(retries),
        None => builder,
    }
}

fn has_lost(error: &DeltaTableError) -> bool {
    let attempts = TransactionError::MaxCommitAttempts(0);
    matches!(error, DeltaTableError::Transaction { source } if source.to_string() == attempts.to_string())
}

#[tokio::test]
async fn one_commit_takes_everything_at_once() {
    let (table, files) = simple(&[&[1]]).await;
    let base = table.open().await;
    let mut lines = removed(&files[0], 1);
    lines.extend(super::added(&table.write(&rows(&[2])).await));
    lines.push(table.metadata(&schema(), &[("lake.pipeline", "test")]));
    lines.push(json!({"txn": {"appId": "lake/test", "version": 7}}));
    let metrics = json!({"numSourceRows": "1", "numTargetRowsInserted": "1"});
    let builder = CommitBuilder::default()
        .with_actions(actions(&lines))
        .with_app_metadata(HashMap::from([
            ("lakeRun".to_owned(), json!(7)),
            ("operationMetrics".to_owned(), metrics.clone()),
        ]));
    let operation = DeltaOperation::Merge {
        predicate: None,
        merge_predicate: None,
        matched_predicates: Vec::new(),
        not_matched_predicates: Vec::new(),
        not_matched_by_source_predicates: Vec::new(),
    };
    let prepared = builder.build(Some(base.snapshot().unwrap()), table.log_store(), operation);
    let done = prepared.into_prepared_commit_future().await.unwrap().await;
    assert_eq!(done.unwrap().version, 2);

    let after = table.open().await;
    let state = after.snapshot().unwrap();
    assert_eq!(table.keys().await, [2]);
    assert_eq!(state.metadata().configuration()["lake.pipeline"], "test");
    let log_store = table.log_store();
    let txn = state
        .transaction_version(log_store.as_ref(), "lake/test")
        .await;
    assert_eq!(txn.unwrap(), Some(7));
    let text = std::fs::read_to_string(table.commit_file(2)).unwrap();
    let info: Value = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find_map(|mut action| action.get_mut("commitInfo").map(Value::take))
        .unwrap();
    assert_eq!(info["operation"], "MERGE");
    assert_eq!(info["lakeRun"], 7);
    assert_eq!(
        info["operationMetrics"]["numSourceRows"],
        metrics["numSourceRows"]
    );
}

#[tokio::test]
async fn columns_can_be_added_in_the_same_commit_as_data() {
    let (mut table, _) = simple(&[&[1]]).await;
    let base = table.open().await;
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("more", DataType::Int64, true)));
    table.schema = Arc::new(Schema::new(fields));
    let mut columns = rows(&[2]).columns().to_vec();
    columns.push(Arc::new(Int64Array::from(vec![5])) as ArrayRef);
    let wider = RecordBatch::try_new(Arc::clone(&table.schema), columns).unwrap();
    let mut lines = vec![table.metadata(&table.schema, &[])];
    lines.extend(super::added(&table.write(&wider).await));
    let builder = CommitBuilder::default().with_actions(actions(&lines));
    let done = commit(builder, Some(&base), table.log_store()).await;
    assert_eq!(done.unwrap().version, 2);
    assert_eq!(table.ask("SELECT more FROM t WHERE key = 2").await, 5);
    assert_eq!(
        table.ask("SELECT count(*) FROM t WHERE more IS NULL").await,
        1
    );
}

#[tokio::test]
async fn without_retries_one_of_many_commits_at_once_wins() {
    let (table, _) = simple(&[]).await;
    let base = table.open().await;
    let file = table.write(&rows(&[1])).await;
    let racing = (0..16).map(|_| commit(adding(&file, Some(0)), Some(&base), table.log_store()));
    let ended = futures::future::join_all(racing).await;
    let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for error in lost.into_iter().filter_map(Result::err) {
        assert!(has_lost(&error), "{error:?}");
    }
    assert_eq!(table.version().await, 1);
}

#[tokio::test]
async fn with_retries_whoever_comes_second_to_create_a_table_changes_it() {
    let creation = |run: i64, name: &str, retries: Option<usize>| {
        let table = Table::nowhere(schema(), &[]);
        let mut lines = table.creation(&[("lake.name", name)]);
        lines.push(json!({"txn": {"appId": "lake/test", "version": run}}));
        let builder = CommitBuilder::default().with_actions(actions(&lines));
        match retries {
            Some(retries) => builder.with_max_retries(retries),
            None => builder,
        }
    };
    let table = Table::nowhere(schema(), &[]);
    let first = commit(creation(1, "first", None), None, table.log_store()).await;
    assert_eq!(first.unwrap().version, 0);
    let refused = commit(creation(2, "second", Some(0)), None, table.log_store()).await;
    let error = refused.err().unwrap();
    assert!(has_lost(&error), "{error:?}");
    let second = commit(creation(2, "second", None), None, table.log_store()).await;
    assert_eq!(second.unwrap().version, 1);
    let metadata = table.open().await.snapshot().unwrap().metadata().clone();
    assert_eq!(metadata.configuration()["lake.name"], "second");
}

#[tokio::test]
async fn an_error_does_not_say_whether_the_commit_landed() {
    for (fault, looks_lost) in [(Fault::AlreadyExistsAfter, true), (Fault::FailAfter, false)] {
        let (table, _) = simple(&[]).await;
        let base = table.open().await;
        let file = table.write(&rows(&[1])).await;
        let store = healthy();
        store.inject(On::kind(Kind::Put).path("_delta_log/"), fault.clone());
        let through = table.log_store_through(Arc::new(store));
        let ended = commit(adding(&file, Some(0)), Some(&base), through).await;
        let error = ended.err().unwrap();
        assert_eq!(has_lost(&error), looks_lost, "{fault:?}: {error:?}");
        let is_store = matches!(error, DeltaTableError::ObjectStore { .. });
        assert_eq!(is_store, !looks_lost, "{fault:?}: {error:?}");
        assert_eq!(table.keys().await, [1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_transaction_with_an_old_time_is_forgotten_and_one_without_a_time_stays() {
    let retention = [("delta.setTransactionRetentionDuration", "interval 1 days")];
    let table = Table::new(schema(), &retention);
    let timed = Transaction::new_with_last_update("timed", 1, Some(1_000));
    let timeless = Transaction::new("timeless", 2);
    let builder = CommitBuilder::default().with_actions(vec![timed.into(), timeless.into()]);
    let base = table.open().await;
    let done = commit(builder, Some(&base), table.log_store()).await;
    assert_eq!(done.unwrap().version, 1);
    let after = table.open().await;
    let state = after.snapshot().unwrap();
    let log_store = table.log_store();
    for (app, version) in [("timed", None), ("timeless", Some(2)), ("unknown", None)] {
        let found = state.transaction_version(log_store.as_ref(), app).await;
        assert_eq!(found.unwrap(), version, "{app}");
    }
}

/// Commits with hooks that write a checkpoint after every commit.
async fn with_hooks(table: &Table, log_store: LogStoreRef) -> Result<u64, DeltaTableError> {
    let base = table.open().await;
    let adds = table.write(&rows(&[9])).await;
    let builder = CommitBuilder::from(CommitProperties::default())
        .with_actions(adds.into_iter().map(Action::Add).collect());
    let base = base.snapshot().unwrap();
    let done = builder.build(Some(base), log_store, write()).await?;
    Ok(done.version())
}

#[tokio::test]
async fn hooks_run_after_the_commit_and_not_without_being_asked_for() {
    let table = Table::new(schema(), &[("delta.checkpointInterval", "1")]);
    let base = table.open().await;
    let adds = table.write(&rows(&[1])).await;
    let builder = CommitBuilder::from(CommitProperties::default())
        .with_actions(adds.into_iter().map(Action::Add).collect());
    let done = commit(builder, Some(&base), table.log_store()).await;
    assert_eq!(done.unwrap().version, 1);
    let commits = [0, 1].map(|version| format!("{version:020}.json"));
    assert_eq!(table.log_files(), commits);
    assert_eq!(with_hooks(&table, table.log_store()).await.unwrap(), 2);
    let checkpoint = format!("{:020}.checkpoint.parquet", 2);
    assert!(
        table.log_files().contains(&checkpoint),
        "{:?}",
        table.log_files()
    );
}

#[tokio::test]
async fn a_checkpoint_that_fails_makes_an_error_of_a_commit_that_landed() {
    let table = Table::new(schema(), &[("delta.checkpointInterval", "1")]);
    let store = healthy();
    for kind in [Kind::Put, Kind::Multipart] {
        store.inject(On::kind(kind).path("checkpoint").always(), Fault::Fail);
    }
    let ended = with_hooks(&table, table.log_store_through(Arc::new(store))).await;
    assert!(ended.is_err());
    assert_eq!(table.keys().await, [9]);
}

#[tokio::test]
async fn any_commit_cleans_the_log_up_unless_the_table_says_otherwise() {
    let retention = ("delta.logRetentionDuration", "interval 0 days");
    for (keeps, properties) in [
        (false, vec![retention]),
        (
            true,
            vec![retention, ("delta.enableExpiredLogCleanup", "false")],
        ),
    ] {
        let table = Table::new(schema(), &properties);
        for version in 1..4 {
            table.append(version, &rows(&[version as i64])).await;
        }
        let base = table.open().await;
        deltalake::checkpoints::create_checkpoint(&base, None)
            .await
            .unwrap();
        let file = table.write(&rows(&[4])).await;
        let snapshot = base.snapshot().unwrap();
        // Nothing is said about hooks here.
        let build = adding(&file, None).build(Some(snapshot), table.log_store(), write());
        let done = build.await.unwrap();
        assert_eq!(done.version(), 4);
        let deleted = if keeps { 0 } else { 3 };
        assert_eq!(done.metrics.num_log_files_cleaned_up, deleted);
        assert_eq!(table.commit_file(0).exists(), keeps);
        let mut early = DeltaTable::new(table.log_store());
        assert_eq!(early.load_version(1).await.is_ok(), keeps);
        assert_eq!(table.keys().await, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn a_file_that_is_gone_can_be_committed() {
    let (table, files) = simple(&[&[1], &[2]]).await;
    table.put(3, &removed(&files[0], 1));
    std::fs::remove_file(table.path().join(&files[0][0].path)).unwrap();
    let base = table.open().await;
    let done = commit(adding(&files[0], Some(0)), Some(&base), table.log_store()).await;
    assert_eq!(done.unwrap().version, 4);
    let session = super::session(&table.open().await).await;
    let rows = session
        .sql("SELECT key FROM t")
        .await
        .unwrap()
        .collect()
        .await;
    assert!(rows.is_err());
}

#[tokio::test]
async fn statistics_pass_through_a_commit_as_they_are_written() {
    let (table, _) = simple(&[]).await;
    let mut adds = table.write(&rows(&[1])).await;
    let exact = r#"{"numRecords":1,"minValues":{"key":1},"maxValues":{"key":1},"other":123456789012345678.901234567890}"#;
    adds[0].stats = Some(exact.to_owned());
    let base = table.open().await;
    let done = commit(adding(&adds, Some(0)), Some(&base), table.log_store()).await;
    assert_eq!(done.unwrap().version, 1);
    let text = std::fs::read_to_string(table.commit_file(1)).unwrap();
    assert!(text.contains(&exact.replace('"', "\\\"")), "{text}");
    assert_eq!(ask(&table.open().await, "SELECT count(*) FROM t").await, 1);
}
