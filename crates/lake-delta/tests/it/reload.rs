//! A table that is loaded again from everything: as if it were built from scratch.

use std::collections::BTreeMap;

use lake_delta::{Counts, Merged};
use proptest::prelude::*;

use crate::support::{Lake, Row, plan, runtime, spec, versions};
use crate::versions::{How, Model, check, some_versions};

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_reloaded_table_and_its_tombstones_equal_those_built_from_scratch(
        partitioned: bool,
        batches in prop::collection::vec(some_versions(), 0..4),
        everything in some_versions(),
        later in some_versions(),
    ) {
        runtime().block_on(async {
            let spec = spec(partitioned);
            let (mut lake, mut model) = (Lake::new(), Model::new());
            for versions in batches {
                check(&mut lake, &spec, &mut model, How::Merge, &versions).await;
            }
            check(&mut lake, &spec, &mut model, How::Reload, &everything).await;
            let mut fresh = Lake::new();
            fresh.load(&spec, &everything).await;
            assert_eq!(lake.known(&spec).await, fresh.known(&spec).await);

            // Nothing is left to do, and what comes later meets the same tables.
            let again = lake.versions(&spec, How::Reload, &everything).await;
            assert!(again.table.is_unchanged());
            assert!(again.tombstones.is_none_or(|dead| dead.is_unchanged()));
            check(&mut lake, &spec, &mut model, How::Merge, &later).await;
            fresh.load(&spec, &later).await;
            assert_eq!(lake.known(&spec).await, fresh.known(&spec).await);
        });
    }
}

async fn reload(lake: &Lake, rows: &[Row], besides: &[&str]) -> Merged {
    let attempt = lake.attempt();
    let spec = spec(false);
    let plan = plan(&attempt.session, rows).await;
    let base = lake.open(&spec).await;
    let besides: Vec<String> = besides.iter().map(|name| (*name).to_owned()).collect();
    let merged = attempt
        .reload(&spec, base, plan, versions(), &besides)
        .await;
    merged.unwrap()
}

fn row(key: i64, sequence: i64, value: &str) -> Row {
    (key, sequence, value.to_owned())
}

async fn loaded(rows: &[Row]) -> Lake {
    let mut lake = Lake::new();
    let prepared = lake.merge(&spec(false), rows).await;
    let _ = lake.apply(&prepared).await;
    lake
}

#[tokio::test]
async fn what_a_reload_yields_stands_even_where_the_table_has_something_newer() {
    let stored = [row(1, 9, "new"), row(2, 1, "same"), row(3, 1, "gone")];
    let mut lake = loaded(&stored).await;
    let rows = [
        row(1, 2, "old"),
        row(1, 1, "older"),
        row(2, 1, "same"),
        row(4, 1, "more"),
    ];
    let merged = reload(&lake, &rows, &[]).await;
    assert!(merged.tombstones.is_none());
    let expected = Counts {
        inserted: 1,
        updated: 1,
        unchanged: 1,
        superseded: 1,
        deleted: 1,
        tombstones: 0,
    };
    assert_eq!(merged.table.counts, expected);
    assert_eq!(merged.table.counts.accepted(), rows.len() as u64);
    let _ = lake.apply(&merged.table).await;
    let expected = [(1, "old"), (2, "same"), (4, "more")];
    let values = lake.rows(&spec(false)).await.into_iter();
    let values: BTreeMap<i64, String> = values.map(|(key, row)| (key, row.1)).collect();
    assert_eq!(
        values,
        expected.map(|(key, value)| (key, value.to_owned())).into()
    );
}

#[tokio::test]
async fn columns_of_the_run_do_not_make_a_reloaded_row_different() {
    let lake = loaded(&[row(1, 1, "run 1"), row(2, 1, "run 1")]).await;
    let again = [row(1, 1, "run 2"), row(2, 1, "run 2")];
    let merged = reload(&lake, &again, &["value"]).await;
    assert!(merged.table.is_unchanged());
    assert_eq!(merged.table.counts.unchanged, 2);
    let merged = reload(&lake, &again, &[]).await;
    assert_eq!(merged.table.counts.updated, 2);
}

#[tokio::test]
async fn a_reload_that_yields_nothing_empties_the_table() {
    let mut lake = loaded(&[row(1, 1, "a"), row(2, 1, "b")]).await;
    let merged = reload(&lake, &[], &[]).await;
    assert_eq!(merged.table.counts.deleted, 2);
    let _ = lake.apply(&merged.table).await;
    assert!(lake.rows(&spec(false)).await.is_empty());
}
