//! Rows that are taken back because their file has other content: as if the table had been built
//! without them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use lake_delta::{Counts, Merged, Snapshot, TableSpec, Tombstones, Versions, Withdrawn};
use proptest::prelude::*;

use crate::support::{Lake, PIPELINE, Row, batch, plan as plan_rows, runtime, spec, versions};
use crate::versions::{DEAD, changes, marked, plan};

/// One row of a file: key, sequence, and whether it deletes.
type Line = (i64, i64, bool);

/// Of every key: its sequence, its file, and whether it is deleted.
type Model = BTreeMap<i64, (i64, String, bool)>;

/// The column that says which file a row comes from.
fn withdrawn(files: &[&str]) -> Withdrawn {
    let files = files.iter().map(|file| (*file).to_owned());
    Withdrawn::new("value", files.collect())
}

fn content(file: &str, lines: &[Line]) -> RecordBatch {
    let rows: Vec<Row> = lines
        .iter()
        .map(|(key, sequence, _)| (*key, *sequence, file.to_owned()))
        .collect();
    let gone: BooleanArray = lines.iter().map(|(_, _, gone)| Some(*gone)).collect();
    marked(&batch(&rows), Arc::new(gone))
}

async fn replace(lake: &Lake, spec: &TableSpec, file: &str, lines: &[Line]) -> Merged {
    let attempt = lake.attempt();
    let plan = plan(&attempt.session, &content(file, lines)).await;
    let versions = Versions {
        newest_by: vec!["sequence".to_owned(), "value".to_owned()],
        tombstones: Some(Tombstones {
            name: DEAD.to_owned(),
            base: Snapshot::open(&lake.root, PIPELINE, DEAD).await.unwrap(),
            deleted: "gone".to_owned(),
        }),
        ..versions()
    };
    let base = lake.open(spec).await;
    let merged = attempt.merge_replacing(spec, base, plan, versions, withdrawn(&[file]));
    merged.await.unwrap()
}

/// What a table has: key, sequence and file.
async fn read(table: Arc<dyn TableProvider>) -> Vec<(i64, i64, String)> {
    let session = SessionContext::new();
    session.register_table("t", table).unwrap();
    let sql = "SELECT key, sequence, CAST(value AS VARCHAR) FROM t ORDER BY key, sequence";
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let files = arrow::compute::cast(batch.column(2), &DataType::Utf8).unwrap();
        for n in 0..batch.num_rows() {
            rows.push((
                batch.column(0).as_primitive::<Int64Type>().value(n),
                batch.column(1).as_primitive::<Int64Type>().value(n),
                files.as_string::<i32>().value(n).to_owned(),
            ));
        }
    }
    rows
}

/// What the tables will be; a key that is there twice fails the test.
async fn shown(merged: &Merged) -> Model {
    let mut model = Model::new();
    for (change, gone) in changes(merged).zip([false, true]) {
        for (key, sequence, file) in read(change.provider().await.unwrap()).await {
            let earlier = model.insert(key, (sequence, file, gone));
            assert!(earlier.is_none(), "key {key} twice");
        }
    }
    model
}

fn some_lines() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec((0_i64..6, 0_i64..4, prop::bool::weighted(0.3)), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_replaced_file_leaves_nothing_of_its_earlier_content(
        partitioned: bool,
        loads in prop::collection::vec((0_usize..3, some_lines()), 1..7),
    ) {
        runtime().block_on(async {
            let spec = spec(partitioned);
            let mut lake = Lake::new();
            let mut model = Model::new();
            for (file, lines) in loads {
                let file = ["a.csv", "b.csv", "c.csv"][file];
                let before = model.clone();
                model.retain(|_, (_, from, _)| from != file);
                let kept = model.clone();
                for (key, sequence, gone) in &lines {
                    let new = (*sequence, file.to_owned(), *gone);
                    let best = model.entry(*key).or_insert_with(|| new.clone());
                    *best = new.max(best.clone());
                }
                let is_gone = |key: &i64| !kept.contains_key(key) && !model.contains_key(key);
                let vanished = |dead: bool| {
                    let old = before.iter().filter(|(key, old)| old.2 == dead && is_gone(key));
                    old.count() as u64
                };

                let merged = replace(&lake, &spec, file, &lines).await;
                assert_eq!(shown(&merged).await, model, "{file} {lines:?} on {before:?}");
                assert_eq!((merged.vanished, merged.forgotten), (vanished(false), vanished(true)));
                let counts = merged.table.counts;
                assert_eq!(counts.accepted(), lines.len() as u64, "no row is lost");
                assert_eq!(counts.deleted, counts.tombstones + merged.vanished);

                let live = |model: &Model| -> BTreeSet<(i64, i64, String)> {
                    let live = model.iter().filter(|(_, known)| !known.2);
                    live.map(|(key, known)| (*key, known.0, known.1.clone())).collect()
                };
                let changed: BTreeSet<i64> = live(&before)
                    .symmetric_difference(&live(&model))
                    .map(|row| row.0)
                    .collect();
                let touched = lake.attempt().touched(&merged.table, &["key".to_owned()], 100).await;
                let touched: BTreeSet<i64> = touched.unwrap().values.iter()
                    .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
                    .collect();
                assert!(touched.is_superset(&changed), "{touched:?} of {changed:?}");
                lake.apply_merged(&merged).await;
            }
        });
    }
}

#[tokio::test]
async fn new_content_wins_over_the_earlier_one_of_its_file_and_over_no_other() {
    let mut lake = Lake::new();
    let spec = spec(false);
    for (file, lines) in [
        ("a.csv", vec![(1, 9, false), (2, 9, false), (3, 1, false)]),
        ("b.csv", vec![(3, 9, false), (4, 1, false)]),
    ] {
        let merged = replace(&lake, &spec, file, &lines).await;
        lake.apply_merged(&merged).await;
    }
    // 1: a lower sequence than its own earlier one; 3: lower than that of another file.
    let merged = replace(&lake, &spec, "a.csv", &[(1, 2, false), (3, 2, false)]).await;
    let expected = Counts {
        updated: 1,
        superseded: 1,
        deleted: 1,
        ..Counts::default()
    };
    assert_eq!(merged.table.counts, expected);
    let rows = read(merged.table.provider().await.unwrap()).await;
    let rows: Vec<_> = rows.iter().map(|(k, s, f)| (*k, *s, f.as_str())).collect();
    assert_eq!(rows, [(1, 2, "a.csv"), (3, 9, "b.csv"), (4, 1, "b.csv")]);
}

#[tokio::test]
async fn a_table_without_a_key_loses_the_earlier_rows_of_a_replaced_file() {
    let mut lake = Lake::new();
    let spec = spec(true);
    let row = |key: i64, file: &str| (key, 1, file.to_owned());
    let loads = [
        vec![row(1, "a.csv"), row(1, "a.csv"), row(2, "b.csv")],
        vec![row(2, "a.csv"), row(3, "c.csv")],
    ];
    for rows in loads {
        let attempt = lake.attempt();
        let plan = plan_rows(&attempt.session, &rows).await;
        let prepared = attempt.append(&spec, lake.open(&spec).await, plan).await;
        let _ = lake.apply(&prepared.unwrap()).await;
    }
    let attempt = lake.attempt();
    let plan = plan_rows(&attempt.session, &[row(5, "a.csv")]).await;
    let base = lake.open(&spec).await;
    let files = withdrawn(&["a.csv", "never-loaded.csv"]);
    let prepared = attempt
        .append_replacing(&spec, base, plan, &files)
        .await
        .unwrap();
    let expected = Counts {
        inserted: 1,
        deleted: 3,
        ..Counts::default()
    };
    assert_eq!(prepared.counts, expected);
    assert_eq!(prepared.rows(), 3);
    let expected = [row(2, "b.csv"), row(3, "c.csv"), row(5, "a.csv")];
    assert_eq!(read(prepared.provider().await.unwrap()).await, expected);

    // Files that are not replaced are not written again.
    let nothing = plan_rows(&attempt.session, &[]).await;
    let base = lake.open(&spec).await;
    let files = withdrawn(&["never-loaded.csv"]);
    let prepared = attempt.append_replacing(&spec, base, nothing, &files).await;
    assert!(prepared.unwrap().is_unchanged());
}
