//! MERGE against a plain model: a map from key to the newest row.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use lake_delta::{Counts, Differences, Groups};
use proptest::prelude::*;

use crate::support::{Lake, Row, batch, keys_in, plan, read, runtime, schema, spec, versions};

type Model = BTreeMap<i64, (i64, String)>;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Few keys and few sequences, so that corrections, late old rows,
    // duplicates in a batch and equal rows all happen often.
    let row = (0_i64..12, 0_i64..6)
        .prop_map(|(key, sequence)| (key, sequence, format!("{key}@{sequence}")));
    prop::collection::vec(row, 0..24)
}

/// What the model says a batch does to a table.
fn expect(model: &mut Model, rows: &[Row]) -> (Counts, BTreeSet<i64>) {
    let mut counts = Counts::default();
    let mut newest: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    for (key, sequence, value) in rows {
        match newest.get_mut(key) {
            None => {
                newest.insert(*key, (*sequence, value.clone()));
            }
            Some(best) => {
                counts.superseded += 1;
                if *sequence > best.0 {
                    *best = (*sequence, value.clone());
                }
            }
        }
    }
    let mut replaced = BTreeSet::new();
    for (key, row) in newest {
        match model.get(&key) {
            None => counts.inserted += 1,
            Some(stored) if row.0 > stored.0 => {
                counts.updated += 1;
                replaced.insert(key);
            }
            Some(stored) => {
                if row.0 == stored.0 {
                    counts.unchanged += 1;
                } else {
                    counts.superseded += 1;
                }
                continue;
            }
        }
        model.insert(key, row);
    }
    (counts, replaced)
}

async fn story(partitioned: bool, batches: Vec<Vec<Row>>) {
    let spec = spec(partitioned);
    let mut lake = Lake::new();
    let mut model = Model::new();
    for rows in batches {
        let (counts, replaced) = expect(&mut model, &rows);
        let prepared = lake.merge(&spec, &rows).await;
        assert_eq!(prepared.counts, counts, "{rows:?}");
        for path in prepared.removed_files() {
            let keys = keys_in(&lake, &spec.name, path);
            assert!(
                !keys.is_disjoint(&replaced),
                "{path} was rewritten without need"
            );
        }
        assert_eq!(
            read(prepared.provider().await.unwrap()).await,
            model,
            "as prepared"
        );
        assert_eq!(prepared.rows(), model.len() as u64);
        if !prepared.is_unchanged() {
            let _ = lake.apply(&prepared).await;
        }
        assert_eq!(lake.rows(&spec).await, model, "as committed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_merged_table_equals_the_model_and_untouched_files_stay(
        partitioned: bool,
        batches in prop::collection::vec(rows(), 1..6),
    ) {
        runtime().block_on(story(partitioned, batches));
    }

    #[test]
    fn the_order_of_batches_does_not_change_the_table(
        batches in prop::collection::vec(rows(), 2..5),
    ) {
        runtime().block_on(async {
            let spec = spec(true);
            let mut tables = Vec::new();
            for reversed in [false, true] {
                let mut lake = Lake::new();
                let mut order = batches.clone();
                if reversed {
                    order.reverse();
                }
                for rows in order {
                    let prepared = lake.merge(&spec, &rows).await;
                    let _ = lake.apply(&prepared).await;
                }
                tables.push(lake.rows(&spec).await);
            }
            assert_eq!(tables[0], tables[1]);
        });
    }
}

#[tokio::test]
async fn a_difference_within_groups_leaves_other_groups_alone() {
    let spec = spec(false);
    let mut lake = Lake::new();
    let row = |key: i64, value: &str| (key, 0, value.to_owned());
    let first: Vec<Row> = (0..9).map(|key| row(key, "old")).collect();
    let prepared = lake.merge(&spec, &first).await;
    let _ = lake.apply(&prepared).await;

    // Day 1 holds keys 1, 4 and 7: one stays, one changes, one vanishes, and 10 is new.
    let attempt = lake.attempt();
    let now = [row(1, "old"), row(4, "new"), row(10, "new")];
    let day = batch(&now).project(&[1]).unwrap().slice(0, 1);
    let scope = Differences {
        within: Some(Groups {
            columns: vec!["day".into()],
            values: vec![day],
        }),
        besides: Vec::new(),
    };
    let plan = plan(&attempt.session, &now).await;
    let base = lake.open(&spec).await;
    let key = ["key".to_owned()];
    let prepared = attempt
        .merge_differences(&spec, base, plan, &key, scope)
        .await
        .unwrap();
    let counts = Counts {
        inserted: 1,
        updated: 1,
        unchanged: 1,
        deleted: 1,
        ..Counts::default()
    };
    assert_eq!(prepared.counts, counts);
    let _ = lake.apply(&prepared).await;
    let values: Vec<(i64, String)> = lake
        .rows(&spec)
        .await
        .into_iter()
        .map(|(key, row)| (key, row.1))
        .collect();
    let expected = [
        (0, "old"),
        (1, "old"),
        (2, "old"),
        (3, "old"),
        (4, "new"),
        (5, "old"),
        (6, "old"),
        (8, "old"),
        (10, "new"),
    ];
    assert_eq!(values, expected.map(|(key, value)| (key, value.to_owned())));
}

#[tokio::test]
async fn touched_groups_come_from_new_and_from_replaced_rows() {
    let spec = spec(true);
    let mut lake = Lake::new();
    let prepared = lake
        .merge(&spec, &[(0, 0, "a".into()), (1, 0, "a".into())])
        .await;
    let _ = lake.apply(&prepared).await;
    let prepared = lake.merge(&spec, &[(1, 1, "b".into())]).await;
    let groups = lake
        .attempt()
        .touched(&prepared, &["value".to_owned()], 100)
        .await
        .unwrap();
    let mut values: Vec<String> = groups
        .values
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    values.sort();
    assert_eq!(values, ["a", "b"]);
    assert_eq!(groups.len(), 2);
}

#[tokio::test]
async fn a_missing_key_value_is_refused_with_the_columns_name() {
    let spec = spec(false);
    let lake = Lake::new();
    let attempt = lake.attempt();
    let sql = "SELECT CAST(NULL AS BIGINT) AS key, CAST('2026-01-01' AS DATE) AS day, CAST(1 AS BIGINT) AS sequence, 'x' AS value";
    let plan = attempt
        .session
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let merged = attempt.merge_newest(&spec, None, plan, versions()).await;
    let error = merged.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("have no key, which is part of the key"),
        "{error}"
    );
    assert_eq!(schema().fields().len(), 4);
}
