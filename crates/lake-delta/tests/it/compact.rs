//! Small files that are put together, and what nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use lake_delta::{Applied, Prepared, Snapshot, TableSpec, Undone, undo, unneeded};

use crate::support::{Lake, PIPELINE, Row, committed, keys_in, land, spec};

const HOURS: u64 = lake_delta::RETENTION_HOURS;

/// A table that got its rows by so many merges, with keys that are spread over all of them.
async fn of_merges(spec: &TableSpec, merges: i64) -> Lake {
    let mut lake = Lake::new();
    for n in 0..merges {
        let rows: Vec<Row> = (0..6)
            .map(|m| (m * merges + n, 1, format!("{n}")))
            .collect();
        let prepared = lake.merge(spec, &rows).await;
        assert_eq!(lake.apply(&prepared).await, committed(n));
    }
    lake
}

async fn compact(lake: &Lake, spec: &TableSpec) -> Prepared {
    let base = lake.open(spec).await.unwrap();
    lake.attempt().compact(base, HOURS).await.unwrap()
}

fn new_files(prepared: &Prepared) -> Vec<String> {
    prepared
        .new_files()
        .map(|(path, _)| path.to_owned())
        .collect()
}

#[tokio::test]
async fn a_compaction_makes_one_file_of_many_sorted_by_key_and_no_row_is_another() {
    let spec = spec(false);
    let mut lake = of_merges(&spec, 7).await;
    let rows = lake.rows(&spec).await;
    let before = lake.open(&spec).await.unwrap();
    assert!(before.small_files().0 > 6);
    let prepared = compact(&lake, &spec).await;
    let files = new_files(&prepared);
    assert_eq!(files.len(), 1);
    assert_eq!(
        keys_in(&lake, &spec.name, files.first().unwrap()),
        (0..42).collect()
    );
    assert_eq!(lake.apply(&prepared).await, committed(7));
    assert_eq!(lake.rows(&spec).await, rows);
    assert_eq!(lake.open(&spec).await.unwrap().small_files(), (0, 0));
    assert!(compact(&lake, &spec).await.is_unchanged());
    // Readers of changes see none.
    let commit = commit(&lake, &spec, 7);
    assert!(commit.contains(r#""operation":"OPTIMIZE""#), "{commit}");
    assert!(!commit.contains(r#""dataChange":true"#), "{commit}");
    assert_eq!(
        keys_in_order(&lake, &spec, files.first().unwrap()),
        (0..42).collect::<Vec<i64>>()
    );
}

fn keys_in_order(lake: &Lake, spec: &TableSpec, path: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let path = lake.directory.path().join(&spec.name).join(path);
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batches = reader.map(|batch| batch.unwrap());
    batches
        .flat_map(|batch| {
            let keys = batch
                .column_by_name("key")
                .unwrap()
                .as_primitive::<Int64Type>();
            keys.values().to_vec()
        })
        .collect()
}

fn commit(lake: &Lake, spec: &TableSpec, version: i64) -> String {
    let path = format!("{}/_delta_log/{version:020}.json", spec.name);
    fs::read_to_string(lake.directory.path().join(path)).unwrap()
}

#[tokio::test]
async fn every_partition_gets_a_file_of_its_own() {
    let spec = spec(true);
    let mut lake = of_merges(&spec, 5).await;
    let rows = lake.rows(&spec).await;
    let prepared = compact(&lake, &spec).await;
    let files = new_files(&prepared);
    let days: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.split('/').nth(1))
        .collect();
    assert_eq!((files.len(), days.len()), (3, 3), "{files:?}");
    let _ = lake.apply(&prepared).await;
    assert_eq!(lake.rows(&spec).await, rows);
    // A partition that nothing has come to is left alone.
    let prepared = lake.merge(&spec, &[(300, 1, "new".into())]).await;
    let _ = lake.apply(&prepared).await;
    let prepared = compact(&lake, &spec).await;
    assert_eq!(
        (prepared.removed_files().count(), new_files(&prepared).len()),
        (2, 1)
    );
}

#[tokio::test]
async fn rows_that_others_commit_meanwhile_stay_and_the_compaction_is_left() {
    let spec = spec(false);
    let mut lake = of_merges(&spec, 3).await;
    let prepared = compact(&lake, &spec).await;
    let mut rows = lake.rows(&spec).await;
    // Another engine appends a copy of a file, under other names.
    let newest = lake.open(&spec).await.unwrap().version();
    let adds: Vec<String> = commit(&lake, &spec, newest)
        .lines()
        .filter(|line| line.contains("\"add\""))
        .map(|line| line.replace("run-attempt", "copy-of-attempt"))
        .collect();
    let place = lake.directory.path().join(&spec.name);
    for entry in fs::read_dir(&place).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("run-attempt-3") {
            let copy = place.join(name.replace("run-attempt", "copy-of-attempt"));
            fs::create_dir_all(&copy).unwrap();
            for file in fs::read_dir(place.join(&name)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.join(file.file_name())).unwrap();
            }
        }
    }
    let log = place.join(format!("_delta_log/{:020}.json", newest + 1));
    fs::write(log, adds.join("\n")).unwrap();
    let before = lake.open(&spec).await.unwrap().rows();
    let applied = lake.apply(&prepared).await;
    assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
    let after = lake.open(&spec).await.unwrap();
    assert_eq!((after.rows(), after.version()), (before, newest + 2));
    assert_eq!(before as usize, rows.len() + 6);
    rows.clear();
}

#[tokio::test]
async fn others_are_asked_to_keep_what_a_rollback_may_need() {
    let spec = spec(false);
    let mut lake = of_merges(&spec, 1).await;
    let first = commit(&lake, &spec, 0);
    assert!(
        first.contains(r#""delta.deletedFileRetentionDuration":"interval 30 days""#),
        "{first}"
    );
    let base = lake.open(&spec).await.unwrap();
    let prepared = lake.attempt().compact(base, 90 * 24).await.unwrap();
    let _ = lake.apply(&prepared).await;
    let second = commit(&lake, &spec, 1);
    for property in [
        "delta.deletedFileRetentionDuration",
        "delta.logRetentionDuration",
    ] {
        assert!(
            second.contains(&format!(r#""{property}":"interval 90 days""#)),
            "{second}"
        );
    }
    let base = lake.open(&spec).await.unwrap();
    assert!(
        lake.attempt()
            .compact(base, 90 * 24)
            .await
            .unwrap()
            .is_unchanged()
    );
}

/// The rows of every version from `since` on.
async fn history(lake: &Lake, spec: &TableSpec, since: i64) -> BTreeMap<i64, usize> {
    let newest = lake.open(spec).await.unwrap().version();
    let mut found = BTreeMap::new();
    for version in since..=newest {
        let then = Snapshot::open_at(&lake.root, PIPELINE, &spec.name, version)
            .await
            .unwrap();
        let rows = crate::support::read(then.provider().await.unwrap()).await;
        found.insert(version, rows.len());
    }
    found
}

#[tokio::test]
async fn what_is_unneeded_can_go_and_every_later_version_is_whole() {
    for partitioned in [false, true] {
        let spec = spec(partitioned);
        let mut lake = Lake::new();
        for n in 0..24 {
            // Each run replaces a row of the run before.
            let prepared = lake
                .merge(&spec, &[(n, 1, "new".into()), (n - 1, 2, "again".into())])
                .await;
            let _ = lake.apply(&prepared).await;
            if n % 10 == 0 && n > 0 {
                lake_delta::checkpoint(&lake.root, PIPELINE, &spec.name)
                    .await
                    .unwrap();
            }
        }
        let prepared = compact(&lake, &spec).await;
        let _ = lake.apply(&prepared).await;
        let since = 17;
        let before = history(&lake, &spec, since).await;
        let found = unneeded(&lake.root, PIPELINE, &spec.name, since, ("lake/test", 1000))
            .await
            .unwrap()
            .unwrap();
        let (log, data): (Vec<_>, Vec<_>) = found
            .iter()
            .partition(|object| object.path.as_ref().starts_with("_delta_log"));
        assert_eq!(log.len(), 10, "commits 0 to 9: {log:?}");
        assert!(data.len() > 10, "{data:?}");
        assert!(data.iter().all(|object| object.attempt.is_some()));
        let place = lake.directory.path().join(&spec.name);
        for object in &found {
            fs::remove_file(place.join(object.path.as_ref())).unwrap();
        }
        assert_eq!(history(&lake, &spec, since).await, before);
        let again = unneeded(&lake.root, PIPELINE, &spec.name, since, ("lake/test", 1000))
            .await
            .unwrap();
        assert_eq!(again, Some(Vec::new()));
        // Further back, nobody can tell.
        assert_eq!(
            unneeded(&lake.root, PIPELINE, &spec.name, 5, ("lake/test", 1000))
                .await
                .unwrap(),
            None
        );
    }
}

#[tokio::test]
async fn files_of_attempts_that_nobody_commits_are_named_and_those_of_strangers_are_not() {
    let spec = spec(false);
    let lake = of_merges(&spec, 2).await;
    let prepared = lake.merge(&spec, &[(1, 9, "never".into())]).await;
    let place = lake.directory.path().join(&spec.name);
    fs::write(place.join("part-of-somebody-else.parquet"), "?").unwrap();
    let found = unneeded(&lake.root, PIPELINE, &spec.name, 0, ("lake/test", 1000))
        .await
        .unwrap()
        .unwrap();
    let found: BTreeSet<String> = found.iter().map(|object| object.path.to_string()).collect();
    assert_eq!(found, new_files(&prepared).into_iter().collect());
}

/// A table whose partitions are texts that a path cannot have as they are.
fn by_text() -> TableSpec {
    TableSpec {
        partition_by: vec!["value".to_owned()],
        ..spec(false)
    }
}

async fn of_cities(spec: &TableSpec) -> Lake {
    let mut lake = Lake::new();
    for n in 0..4 {
        let rows: Vec<Row> = [(n, 1, "New York".into()), (10 + n, 1, "50% / a:b=c".into())].into();
        let prepared = lake.merge(spec, &rows).await;
        assert_eq!(lake.apply(&prepared).await, committed(n));
    }
    lake
}

#[tokio::test]
async fn a_compaction_that_is_taken_back_brings_its_files_back_whatever_their_partitions_are_called()
 {
    let spec = by_text();
    let lake = of_cities(&spec).await;
    let rows = lake.rows(&spec).await;
    let prepared = compact(&lake, &spec).await;
    assert_eq!(
        (prepared.removed_files().count(), new_files(&prepared).len()),
        (8, 2)
    );
    let run = lake.stamp();
    let commit = prepared.commit(&run).unwrap();
    let _ = land(&lake.root, &spec.name, &commit, prepared.remake(), &run)
        .await
        .unwrap();
    assert_eq!(lake.rows(&spec).await, rows);
    let mut decision = run.clone();
    decision.run += 1;
    let undone = undo(&lake.attempt(), &spec.name, &commit, &run, &decision)
        .await
        .unwrap();
    assert!(matches!(undone, Undone::Clean(5, None)), "{undone:?}");
    assert_eq!(lake.rows(&spec).await, rows);
    assert_eq!(lake.open(&spec).await.unwrap().small_files().0, 8);
    // Nothing that it has is of no use.
    let left_by = ("lake/test", 1000);
    let found = unneeded(&lake.root, PIPELINE, &spec.name, 5, left_by)
        .await
        .unwrap()
        .unwrap();
    let found: BTreeSet<String> = found.iter().map(|object| object.path.to_string()).collect();
    let ours: BTreeSet<String> = new_files(&prepared).into_iter().collect();
    assert_eq!(found.intersection(&ours).count(), 2, "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn partitions_that_others_have_spelled_in_their_own_way_lose_no_row() {
    let spec = TableSpec {
        partition_by: vec!["sequence".to_owned()],
        ..spec(false)
    };
    let mut lake = of_merges(&spec, 4).await;
    // The same number, as nobody but somebody else writes it.
    for version in [1, 2] {
        let log = lake
            .directory
            .path()
            .join(format!("{}/_delta_log/{version:020}.json", spec.name));
        let text = fs::read_to_string(&log).unwrap();
        let other = text.replace(r#""sequence":"1"}"#, r#""sequence":"01"}"#);
        assert_ne!(text, other);
        fs::write(&log, other).unwrap();
    }
    let rows = lake.rows(&spec).await;
    assert_eq!(rows.len(), 24);
    let prepared = compact(&lake, &spec).await;
    assert_eq!(new_files(&prepared).len(), 1);
    let _ = lake.apply(&prepared).await;
    assert_eq!(lake.rows(&spec).await, rows);
}

#[tokio::test]
async fn who_asks_for_more_time_than_a_rollback_needs_keeps_it() {
    let spec = spec(false);
    let lake = of_merges(&spec, 1).await;
    let log = lake
        .directory
        .path()
        .join(format!("{}/_delta_log/{:020}.json", spec.name, 0));
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("interval 30 days", "interval 52 weeks")).unwrap();
    assert!(compact(&lake, &spec).await.is_unchanged());
}

#[tokio::test]
async fn of_a_table_that_was_made_anew_since_everything_is_needed() {
    let spec = spec(false);
    let mut lake = of_merges(&spec, 1).await;
    for n in 1..5 {
        let prepared = lake.merge(&spec, &[(0, n + 1, "again".into())]).await;
        let _ = lake.apply(&prepared).await;
    }
    let found = async |run: i64| {
        let left_by = ("lake/test", run);
        unneeded(&lake.root, PIPELINE, &spec.name, 3, left_by)
            .await
            .unwrap()
            .unwrap()
            .len()
    };
    assert!(found(4).await > 0);
    assert_eq!(found(2).await, 0, "run 2 cannot have left version 3");
}
