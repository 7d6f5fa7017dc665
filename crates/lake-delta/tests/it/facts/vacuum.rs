//! VACUUM of another writer beside a pipeline.

use std::fs::File;
use std::time::{Duration, SystemTime};

use deltalake::operations::vacuum::{VacuumBuilder, VacuumMode};

use super::{Table, added, removed, rows, simple};

/// A VACUUM that keeps nothing.
async fn at_once(table: &Table, mode: VacuumMode) -> VacuumBuilder {
    let vacuum = table.open().await.vacuum().with_mode(mode);
    vacuum
        .with_retention_period(chrono::Duration::zero())
        .with_enforce_retention_duration(false)
}

/// The second of two versions takes the file of the first away.
async fn replaced() -> (Table, String) {
    let (table, files) = simple(&[&[1]]).await;
    let mut actions = removed(&files[0], 1);
    actions.extend(added(&table.write(&rows(&[2])).await));
    table.put(2, &actions);
    (table, files[0][0].path.clone())
}

fn make_old(table: &Table, path: &str) {
    let file = File::options().write(true).open(table.path().join(path));
    let year = Duration::from_secs(365 * 24 * 3600);
    file.unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + 30 * year)
        .unwrap();
}

#[tokio::test]
async fn vacuum_moves_the_version_by_two() {
    let (table, gone) = replaced().await;
    let (_, metrics) = at_once(&table, VacuumMode::Lite).await.await.unwrap();
    assert_eq!(metrics.files_deleted, std::slice::from_ref(&gone));
    assert!(!table.has(&gone));
    assert_eq!(table.version().await, 4);
    for (version, operation) in [(3, "VACUUM START"), (4, "VACUUM END")] {
        let text = std::fs::read_to_string(table.commit_file(version)).unwrap();
        assert!(text.contains(operation), "{text}");
        assert_eq!(
            text.lines().count(),
            1,
            "it says something, and changes nothing"
        );
    }
    assert_eq!(table.keys().await, [2]);
}

#[tokio::test]
async fn where_nothing_is_to_be_deleted_vacuum_commits_nothing() {
    let (table, _) = simple(&[&[1]]).await;
    let _ = at_once(&table, VacuumMode::Full).await.await.unwrap();
    assert_eq!(table.version().await, 1);
}

#[tokio::test]
async fn lite_does_not_touch_files_that_no_commit_names() {
    let (table, _) = replaced().await;
    let prepared = table.write(&rows(&[3])).await;
    make_old(&table, &prepared[0].path);
    let _ = at_once(&table, VacuumMode::Lite).await.await.unwrap();
    assert!(table.has(&prepared[0].path));
}

#[tokio::test]
async fn full_deletes_prepared_files_that_are_old_enough() {
    let (table, _) = simple(&[&[1]]).await;
    let young = table.write(&rows(&[2])).await;
    let old = table.write(&rows(&[3])).await;
    make_old(&table, &old[0].path);
    let vacuum = table.open().await.vacuum().with_mode(VacuumMode::Full);
    let (_, metrics) = vacuum.await.unwrap();
    assert_eq!(metrics.files_deleted, [old[0].path.clone()]);
    assert!(table.has(&young[0].path));
    // With no retention at once, and whatever versions are to be kept.
    let vacuum = at_once(&table, VacuumMode::Full).await;
    let _ = vacuum.with_keep_versions(&[0, 1]).await.unwrap();
    assert!(!table.has(&young[0].path));
}

#[tokio::test]
async fn a_retention_below_the_tables_own_has_to_be_asked_for_twice() {
    let (table, _) = replaced().await;
    let vacuum = table.open().await.vacuum();
    let refused = vacuum.with_retention_period(chrono::Duration::zero()).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("retention"), "{error}");
}

#[tokio::test]
async fn full_does_not_look_into_directories_that_begin_with_an_underscore() {
    let (table, _) = replaced().await;
    for directory in ["_lake", "run-1"] {
        let store = object_store::prefix::PrefixStore::new(table.store(), directory);
        let files = table
            .write_into(std::sync::Arc::new(store), &rows(&[3]))
            .await;
        let path = format!("{directory}/{}", files[0].path);
        let _ = at_once(&table, VacuumMode::Full).await.await.unwrap();
        assert_eq!(table.has(&path), directory == "_lake", "{path}");
    }
}

#[tokio::test]
async fn vacuum_of_an_older_snapshot_deletes_what_another_commit_has_brought_back() {
    let (table, back) = replaced().await;
    let stale = at_once(&table, VacuumMode::Lite).await;
    // The first file is there again.
    let text = std::fs::read_to_string(table.commit_file(1)).unwrap();
    std::fs::write(table.commit_file(3), text).unwrap();
    assert_eq!(table.keys().await, [1, 2]);
    let _ = stale.await.unwrap();
    assert_eq!(table.version().await, 5, "it commits on top of that");
    assert!(!table.has(&back));
    let session = super::session(&table.open().await).await;
    let read = session
        .sql("SELECT key FROM t")
        .await
        .unwrap()
        .collect()
        .await;
    assert!(read.is_err(), "the table cannot be read");
}

#[tokio::test]
async fn vacuum_of_an_older_snapshot_gives_way_to_a_commit_that_has_metadata() {
    let (table, back) = replaced().await;
    let stale = at_once(&table, VacuumMode::Lite).await;
    let restore = table.open().await.restore().with_version_to_restore(1);
    let (restored, _) = restore.await.unwrap();
    assert_eq!(restored.version(), Some(3));
    let refused = stale.await.err().unwrap();
    assert!(
        refused.to_string().contains("Metadata changed"),
        "{refused}"
    );
    assert!(table.has(&back));
    assert_eq!(table.keys().await, [1]);
}
