//! Rows that delete their key: it goes, and stays away until something newer comes.

use arrow::array::{Array, AsArray, Int64Array, new_null_array};
use lake_delta::{Applied, Counts, Remake};
use lake_testing::{Fault, Kind, On};
use proptest::prelude::*;
use std::sync::Arc;

use crate::support::{Lake, committed, healthy, land, runtime, spec, through};
use crate::versions::{
    DEAD, How, Model, Version, changes, check, marked, rows, shown, some_versions,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_table_and_its_tombstones_equal_the_model_after_every_batch(
        partitioned: bool,
        batches in prop::collection::vec(some_versions(), 1..6),
    ) {
        runtime().block_on(async {
            let (mut lake, mut model) = (Lake::new(), Model::new());
            for versions in batches {
                check(&mut lake, &spec(partitioned), &mut model, How::Merge, &versions).await;
            }
        });
    }

    #[test]
    fn any_order_and_any_split_of_the_same_versions_gives_the_same_tables(
        partitioned: bool,
        (versions, shuffled) in some_versions().prop_flat_map(|versions| {
            (Just(versions.clone()), Just(versions).prop_shuffle())
        }),
        sizes in (1_usize..20, 1_usize..6),
    ) {
        runtime().block_on(async {
            let spec = spec(partitioned);
            let mut ends = Vec::new();
            for (order, size) in [(versions, sizes.0), (shuffled, sizes.1)] {
                let mut lake = Lake::new();
                for part in order.chunks(size) {
                    lake.load(&spec, part).await;
                }
                ends.push(lake.known(&spec).await);
            }
            assert_eq!(ends[0], ends[1]);
        });
    }
}

const LIVE: bool = false;
const GONE: bool = true;

/// What is known after some batches: of each key its sequence, and whether it is dead.
async fn after(batches: &[&[Version]]) -> Vec<(i64, (i64, bool))> {
    let mut lake = Lake::new();
    for versions in batches {
        lake.load(&spec(true), versions).await;
    }
    lake.known(&spec(true)).await.into_iter().collect()
}

#[tokio::test]
async fn an_older_row_that_comes_late_does_not_bring_a_deleted_key_back() {
    let known = after(&[&[(1, 1, LIVE)], &[(1, 5, GONE)], &[(1, 4, LIVE)]]).await;
    assert_eq!(known, [(1, (5, GONE))]);
}

#[tokio::test]
async fn a_newer_row_brings_a_deleted_key_back_and_takes_its_tombstone_away() {
    let known = after(&[&[(1, 1, LIVE)], &[(1, 5, GONE)], &[(1, 6, LIVE)]]).await;
    assert_eq!(known, [(1, (6, LIVE))]);
}

#[tokio::test]
async fn the_deletion_of_a_key_that_was_never_there_is_remembered() {
    let known = after(&[&[(1, 5, GONE)], &[(1, 4, LIVE), (2, 4, LIVE)]]).await;
    assert_eq!(known, [(1, (5, GONE)), (2, (4, LIVE))]);
}

#[tokio::test]
async fn of_a_deletion_and_a_row_in_one_batch_the_higher_sequence_wins() {
    let batch = [(1, 1, LIVE), (1, 2, GONE), (2, 1, GONE), (2, 2, LIVE)];
    let expected = [(1, (2, GONE)), (2, (2, LIVE))];
    assert_eq!(after(&[&batch]).await, expected);
    let mut reversed = batch;
    reversed.reverse();
    assert_eq!(after(&[&reversed]).await, expected);
}

#[tokio::test]
async fn at_the_same_sequence_the_deletion_wins_whichever_comes_first() {
    let (row, deletion) = ((1, 3, LIVE), (1, 3, GONE));
    for story in [
        &[&[row, deletion][..]][..],
        &[&[deletion, row]],
        &[&[row], &[deletion]],
        &[&[deletion], &[row]],
    ] {
        assert_eq!(after(story).await, [(1, (3, GONE))], "{story:?}");
    }
}

#[tokio::test]
async fn deletions_are_counted_once_each_and_no_row_is_lost() {
    let mut lake = Lake::new();
    let spec = spec(false);
    lake.load(
        &spec,
        &[(1, 1, LIVE), (2, 1, LIVE), (3, 9, GONE), (4, 9, GONE)],
    )
    .await;
    let batch = [
        (1, 2, GONE), // deletes a row
        (3, 9, GONE), // is known
        (4, 8, GONE), // is late
        (5, 1, GONE), // deletes what was never there
        (2, 2, LIVE),
        (2, 1, GONE), // loses beside it
    ];
    let merged = lake.load(&spec, &batch).await;
    let expected = Counts {
        updated: 1,
        unchanged: 1,
        superseded: 2,
        deleted: 2,
        tombstones: 2,
        ..Counts::default()
    };
    assert_eq!(merged.table.counts, expected);
    assert_eq!(merged.table.rows(), 1);
    let expected = Counts {
        inserted: 2,
        unchanged: 1,
        superseded: 1,
        ..Counts::default()
    };
    let tombstones = merged.tombstones.unwrap();
    assert_eq!(tombstones.counts, expected);
    assert_eq!(tombstones.rows(), 4);
}

#[tokio::test]
async fn a_table_of_which_nothing_is_deleted_has_no_tombstones() {
    let mut lake = Lake::new();
    for sequence in 1..3 {
        let merged = lake.load(&spec(true), &[(1, sequence, LIVE)]).await;
        assert!(merged.tombstones.is_none());
    }
    assert!(!lake.directory.path().join("_lake").exists());
}

#[tokio::test]
async fn a_first_deletion_that_comes_too_late_leaves_no_table_behind() {
    let mut lake = Lake::new();
    lake.load(&spec(true), &[(1, 5, LIVE)]).await;
    let merged = lake.load(&spec(true), &[(1, 4, GONE)]).await;
    assert!(merged.tombstones.is_none() && merged.table.is_unchanged());
    assert!(lake.dead().await.is_none());
    assert_eq!(merged.table.counts.superseded, 1);
}

#[tokio::test]
async fn a_table_of_which_everything_is_deleted_is_empty_and_has_no_files() {
    let mut lake = Lake::new();
    let spec = spec(true);
    let all = |sequence, gone| (0..9).map(|key| (key, sequence, gone)).collect::<Vec<_>>();
    lake.load(&spec, &all(1, LIVE)).await;
    let merged = lake.load(&spec, &all(2, GONE)).await;
    assert_eq!(merged.table.new_files().count(), 0);
    assert_eq!(lake.open(&spec).await.unwrap().rows(), 0);
    assert_eq!(lake.dead().await.unwrap().rows(), 9);
    let merged = lake.load(&spec, &all(3, LIVE)).await;
    assert_eq!(merged.tombstones.unwrap().counts.deleted, 9);
    assert_eq!(lake.dead().await.unwrap().rows(), 0);
}

#[tokio::test]
async fn the_groups_of_deleted_rows_are_touched() {
    let mut lake = Lake::new();
    lake.load(&spec(false), &[(1, 1, LIVE), (2, 1, LIVE), (3, 1, LIVE)])
        .await;
    // Nothing is put into the group of day 2, and a group without rows is not touched.
    let merged = lake.load(&spec(false), &[(2, 2, GONE), (7, 2, GONE)]).await;
    let attempt = lake.attempt();
    let by = ["value".to_owned()];
    let groups = attempt.touched(&merged.table, &by, 10).await.unwrap();
    assert_eq!(groups.len(), 1);
    let batch = groups.values.iter().find(|batch| batch.num_rows() > 0);
    let values = batch.unwrap().column(0);
    assert_eq!(values.as_string::<i32>().value(0), "2@1");
}

#[tokio::test]
async fn files_that_cannot_hold_a_key_are_not_read_on_either_side() {
    let mut lake = Lake::new();
    let spec = spec(false);
    let mut files = Vec::new();
    for (first, deleted) in [(0, 100), (1_000, 2_000)] {
        let mut versions: Vec<Version> = (first..first + 9).map(|key| (key, 1, LIVE)).collect();
        versions.push((deleted, 1, GONE));
        let merged = lake.load(&spec, &versions).await;
        files.push(changes(&merged).map(paths).collect::<Vec<_>>());
    }
    let works = lake.root.clone();
    for (version, read) in [((5, 2, GONE), (0, 0)), ((2_000, 2, LIVE), (1, 1))] {
        let store = healthy();
        lake.root = through(&lake, &store);
        let merged = lake.versions(&spec, How::Merge, &[version]).await;
        lake.root = works.clone();
        assert_eq!(changes(&merged).count(), 2);
        for (load, sides) in files.iter().enumerate() {
            for (side, paths) in sides.iter().enumerate() {
                let reads: usize = paths.iter().map(|path| store.count(Kind::Get, path)).sum();
                let expected = (load, side) == read;
                assert_eq!(reads > 0, expected, "{version:?}: load {load}, side {side}");
            }
        }
    }
}

fn paths(change: &lake_delta::Prepared) -> Vec<String> {
    let name = change.name();
    let files = change.new_files();
    files.map(|(file, _)| format!("{name}/{file}")).collect()
}

#[tokio::test]
async fn rows_that_delete_need_a_key_and_a_flag_that_is_true_or_false() {
    let lake = Lake::new();
    let spec = spec(false);
    let batch = rows(&[(1, 1, GONE)]);
    let plain = batch.project(&[0, 1, 2, 3]).unwrap();
    let number: Arc<dyn Array> = Arc::new(Int64Array::from(vec![1]));
    let error = lake
        .try_versions(&spec, How::Merge, &marked(&plain, number))
        .await
        .unwrap_err();
    let expected = "standard/t: its rows have no boolean column gone, which says what is deleted";
    assert_eq!(error.to_string(), expected);
    let mut columns = batch.columns().to_vec();
    columns[0] = new_null_array(columns[0].data_type(), 1);
    let keyless = arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap();
    let error = lake
        .try_versions(&spec, How::Merge, &keyless)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1 rows have no key"), "{error}");
}

/// A lake where both sides have rows, and a change of both.
async fn before_a_change() -> (Lake, Vec<Version>, Model) {
    let mut lake = Lake::new();
    let first: Vec<Version> = (0..12).map(|key| (key, 1, key >= 8)).collect();
    lake.load(&spec(false), &first).await;
    let change: Vec<Version> = (4..16).map(|key| (key, 2, key < 8)).collect();
    let mut after: Model = first
        .iter()
        .map(|(key, n, gone)| (*key, (*n, *gone)))
        .collect();
    after.extend(change.iter().map(|(key, n, gone)| (*key, (*n, *gone))));
    (lake, change, after)
}

#[tokio::test]
async fn a_store_that_fails_while_a_deletion_is_prepared_leaves_both_tables_as_they_were() {
    let (mut lake, change, after) = before_a_change().await;
    let works = lake.root.clone();
    let before = lake.known(&spec(false)).await;
    let batch = rows(&change);
    let mut failures = 0;
    for n in 1.. {
        let store = healthy();
        store.inject(On::any().nth(n), Fault::Fail);
        lake.root = through(&lake, &store);
        let outcome = lake.try_versions(&spec(false), How::Merge, &batch).await;
        lake.root = works.clone();
        assert_eq!(lake.known(&spec(false)).await, before, "operation {n}");
        let operations = store.operations();
        let Some(failed) = operations.get(n - 1) else {
            outcome.unwrap();
            break;
        };
        match outcome {
            Err(error) => {
                let text = error.to_string();
                let named = text.contains("standard/t") || text.contains(DEAD);
                assert!(named, "{failed}: {error}");
                failures += 1;
            }
            // Whoever goes on without an answer must not have needed it.
            Ok(merged) => assert_eq!(shown(&merged).await, after, "operation {n}, {failed}"),
        }
    }
    assert!(failures > 10, "only {failures} operations were failed");
    let merged = lake.load(&spec(false), &change).await;
    assert_eq!(merged.table.counts.tombstones, 4);
    assert_eq!(lake.known(&spec(false)).await, after);
}

#[tokio::test]
async fn a_run_that_is_stopped_between_a_table_and_its_tombstones_can_be_finished() {
    for n in 1.. {
        let (lake, change, after) = before_a_change().await;
        let merged = lake.versions(&spec(false), How::Merge, &change).await;
        let stamp = lake.stamp();
        let sealed: Vec<_> = changes(&merged)
            .map(|change| (change.name(), change.commit(&stamp).unwrap()))
            .collect();
        let store = healthy();
        store.stop_from(n);
        let root = through(&lake, &store);
        let mut outcome = Ok(committed(0));
        for (name, commit) in &sealed {
            if outcome.is_ok() {
                outcome = land(&root, name, commit, &Remake::Append, &stamp).await;
            }
        }
        let is_stopped = store.operations().len() >= n;
        assert!(is_stopped || outcome.is_ok());
        for (name, commit) in &sealed {
            let applied = land(&lake.root, name, commit, &Remake::Append, &stamp).await;
            let applied = applied.unwrap();
            assert!(
                [committed(1), Applied::Already(1, None)].contains(&applied),
                "{applied:?}"
            );
        }
        assert_eq!(lake.known(&spec(false)).await, after, "stopped from {n}");
        if !is_stopped {
            assert!(n > 5, "only {n} operations were stopped");
            return;
        }
    }
}
