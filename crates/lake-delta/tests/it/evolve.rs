//! Columns that a declaration has and the stored table does not yet.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use lake_delta::{Applied, Prepared, Remake, Restored, TableSpec, Undone, undo};

use crate::support::{Lake, PIPELINE, Row, batch, committed, land, spec, versions};

/// The declaration with one column more, in front of others.
fn wider(spec: &TableSpec) -> TableSpec {
    let mut fields = spec.schema.fields().to_vec();
    fields.insert(1, Arc::new(Field::new("note", DataType::Utf8, true)));
    TableSpec {
        schema: Arc::new(Schema::new(fields)),
        ..spec.clone()
    }
}

/// Rows that have a note.
async fn noted(session: &SessionContext, spec: &TableSpec, rows: &[Row]) -> Arc<dyn ExecutionPlan> {
    let narrow = batch(rows);
    let mut columns = narrow.columns().to_vec();
    let notes = rows.iter().map(|row| format!("note on {}", row.2));
    columns.insert(1, Arc::new(StringArray::from_iter_values(notes)));
    let rows = RecordBatch::try_new(Arc::clone(&spec.schema), columns).unwrap();
    let table = MemTable::try_new(Arc::clone(&spec.schema), vec![vec![rows]]).unwrap();
    let frame = session.read_table(Arc::new(table)).unwrap();
    frame.create_physical_plan().await.unwrap()
}

async fn merge(lake: &Lake, spec: &TableSpec, rows: &[Row]) -> Prepared {
    let attempt = lake.attempt();
    let plan = noted(&attempt.session, spec, rows).await;
    let base = lake.open(spec).await;
    let merged = attempt.merge_newest(spec, base, plan, versions()).await;
    merged.unwrap().table
}

/// `key value note`, in the order of the keys.
async fn rows(lake: &Lake, spec: &TableSpec) -> Vec<String> {
    let table = lake.open(spec).await.unwrap();
    read(table.provider().await.unwrap()).await
}

async fn read(table: Arc<dyn datafusion::catalog::TableProvider>) -> Vec<String> {
    let session = SessionContext::new();
    session.register_table("t", table).unwrap();
    let sql = "SELECT concat_ws(' ', key, value, coalesce(note, 'NULL')) FROM t ORDER BY key";
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let texts = batches
        .iter()
        .map(|batch| cast(batch.column(0), &DataType::Utf8).unwrap());
    texts
        .flat_map(|texts| {
            let texts = texts.as_string::<i32>().clone();
            (0..texts.len())
                .map(move |n| texts.value(n).to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Two rows without a note, in one file.
async fn with_two_rows(partitioned: bool) -> (Lake, TableSpec) {
    let spec = spec(partitioned);
    let mut lake = Lake::new();
    let prepared = lake
        .merge(&spec, &[(1, 1, "a".into()), (4, 1, "b".into())])
        .await;
    assert_eq!(lake.apply(&prepared).await, committed(0));
    let wider = wider(&spec);
    (lake, wider)
}

#[tokio::test]
async fn stored_rows_have_no_value_in_a_new_column_whether_their_file_is_rewritten_or_not() {
    for partitioned in [false, true] {
        let (mut lake, wider) = with_two_rows(partitioned).await;
        let prepared = merge(&lake, &wider, &[(4, 2, "c".into()), (5, 1, "d".into())]).await;
        let expected = ["1 a NULL", "4 c note on c", "5 d note on d"];
        // Tables that are computed from it see it before it is committed.
        assert_eq!(read(prepared.provider().await.unwrap()).await, expected);
        assert_eq!(lake.apply(&prepared).await, committed(1));
        assert_eq!(rows(&lake, &wider).await, expected);
        // In the order in which SQL is planned over it.
        let columns = lake.open(&wider).await.unwrap().columns();
        assert_eq!(columns, ["key", "note", "day", "sequence", "value"]);
        let prepared = merge(&lake, &wider, &[(7, 1, "e".into())]).await;
        assert_eq!(lake.apply(&prepared).await, committed(2));
        assert_eq!(rows(&lake, &wider).await.len(), 4);
    }
}

#[tokio::test]
async fn a_table_gets_its_column_also_where_no_row_comes_and_never_twice() {
    let (mut lake, wider) = with_two_rows(true).await;
    let prepared = merge(&lake, &wider, &[]).await;
    assert!(!prepared.is_unchanged());
    assert_eq!(
        read(prepared.provider().await.unwrap()).await,
        ["1 a NULL", "4 b NULL"]
    );
    assert_eq!(lake.apply(&prepared).await, committed(1));
    assert!(merge(&lake, &wider, &[]).await.is_unchanged());
}

#[tokio::test]
async fn the_column_comes_also_where_others_have_moved_the_rows_meanwhile() {
    let (mut lake, wider) = with_two_rows(false).await;
    let spec = spec(false);
    let more = lake.merge(&spec, &[(9, 1, "z".into())]).await;
    assert_eq!(lake.apply(&more).await, committed(1));
    for replace in [false, true] {
        let attempt = lake.attempt();
        let prepared = match replace {
            false => merge(&lake, &wider, &[(1, 2, "c".into())]).await,
            true => {
                let plan = noted(&attempt.session, &wider, &[(1, 3, "d".into())]).await;
                let base = lake.open(&wider).await;
                attempt.replace(&wider, base, plan).await.unwrap()
            }
        };
        if !replace {
            // The same rows in one file.
            let place = lake.root.child(&wider.name).url().clone();
            let table: DeltaTable = deltalake::open_table(place).await.unwrap();
            table.optimize().await.unwrap();
        }
        let applied = lake.apply(&prepared).await;
        assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
        let expected: &[&str] = match replace {
            false => &["1 c note on c", "4 b NULL", "9 z NULL"],
            true => &["1 d note on d"],
        };
        assert_eq!(rows(&lake, &wider).await, expected);
    }
}

#[tokio::test]
async fn a_run_that_is_taken_back_takes_its_column_with_it() {
    let (lake, wider) = with_two_rows(true).await;
    let prepared = merge(&lake, &wider, &[(1, 2, "c".into())]).await;
    let run = lake.stamp();
    let commit = prepared.commit(&run).unwrap();
    let _ = land(&lake.root, &wider.name, &commit, &Remake::Append, &run)
        .await
        .unwrap();
    let mut decision = run.clone();
    decision.run += 1;
    let undone = undo(&lake.attempt(), &wider.name, &commit, &run, &decision)
        .await
        .unwrap();
    assert!(matches!(undone, Undone::Clean(2, None)), "{undone:?}");
    let narrow = lake.open(&wider).await.unwrap();
    assert_eq!(narrow.columns(), ["key", "day", "sequence", "value"]);
    assert_eq!(lake.rows(&spec(true)).await.len(), 2);
}

#[tokio::test]
async fn going_back_takes_the_column_away_and_going_on_brings_it_back() {
    let (mut lake, wider) = with_two_rows(true).await;
    let prepared = merge(&lake, &wider, &[(1, 2, "c".into())]).await;
    assert_eq!(lake.apply(&prepared).await, committed(1));
    for (version, columns) in [(0, 4), (1, 5)] {
        let current = lake.open(&wider).await.unwrap();
        let to = Restored {
            version,
            rows: true,
        };
        let back = lake.attempt().restore(current, to).await.unwrap();
        let _ = lake.apply(&back).await;
        assert_eq!(lake.open(&wider).await.unwrap().columns().len(), columns);
    }
    assert_eq!(rows(&lake, &wider).await, ["1 c note on c", "4 b NULL"]);
}

#[tokio::test]
async fn a_key_is_kept_with_the_table_and_no_new_column_can_be_part_of_it() {
    let (lake, wider) = with_two_rows(true).await;
    let table = lake.open(&wider).await.unwrap();
    let refused = TableSpec {
        key: vec!["key".to_owned(), "note".to_owned()],
        ..wider.clone()
    };
    let message = refused.check(&table).unwrap_err().to_string();
    assert!(
        message.contains("column note is new and part of the key"),
        "{message}"
    );
    let log = lake
        .directory
        .path()
        .join("standard/t/_delta_log/00000000000000000000.json");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(r#""lake.key":"[\"key\"]""#), "{log}");
    assert!(log.contains(PIPELINE), "{log}");
}
