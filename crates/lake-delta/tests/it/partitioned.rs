//! Prepared tables with partitions are scanned partition by partition.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake_delta::{Attempt, TableSpec};

use crate::support::{Lake, PIPELINE, runtime};

const ROWS: i64 = 4_000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("day", DataType::Date32, true),
        Field::new("place", DataType::Utf8, true),
    ]))
}

/// Rows of `days` days and two places; one of the days is NULL.
fn rows(days: i64) -> RecordBatch {
    let day = |n: i64| (n % days != 1).then_some((n % days) as i32);
    let place = |n: i64| ["north of the river", "süd"][(n % 7 % 2) as usize];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..ROWS)),
        Arc::new((0..ROWS).map(day).collect::<Date32Array>()),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(place))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().optimizer.subset_repartition_threshold = 1;
    // Joins of small tables need no partitions; here they are to have them.
    config
        .options_mut()
        .optimizer
        .hash_join_single_partition_threshold = 0;
    config
        .options_mut()
        .optimizer
        .hash_join_single_partition_threshold_rows = 0;
    SessionContext::new_with_config(config)
}

/// The same rows twice: as `prepared`, a table with partitions, and in memory, as `plain`.
async fn both(lake: &Lake, days: i64, partition_by: &[&str]) -> SessionContext {
    let session = session();
    lake.root.register(&session.runtime_env());
    let attempt = Attempt {
        root: lake.root.clone(),
        pipeline: PIPELINE.to_owned(),
        id: "attempt".to_owned(),
        session: session.clone(),
    };
    let spec = TableSpec {
        name: "standard/t".to_owned(),
        schema: schema(),
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        key: Vec::new(),
    };
    let plain = Arc::new(MemTable::try_new(schema(), vec![vec![rows(days)]]).unwrap());
    session.register_table("plain", plain).unwrap();
    let plan = session.table("plain").await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let prepared = attempt.append(&spec, None, plan).await.unwrap();
    let table = prepared.provider().await.unwrap();
    session.register_table("prepared", table).unwrap();
    session
}

/// The plan of a query over `prepared`, whose answer is that over `plain`.
async fn plan_of(session: &SessionContext, sql: &str) -> String {
    let mut answers = Vec::new();
    for sql in [sql.to_owned(), sql.replace("prepared", "plain")] {
        let batches = session.sql(&sql).await.unwrap().collect().await.unwrap();
        answers.push(pretty_format_batches(&batches).unwrap().to_string());
    }
    assert_eq!(answers[0], answers[1], "{sql}");
    let plan = session
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

#[test]
fn groups_that_have_the_partition_are_made_where_the_partition_is_read() {
    runtime().block_on(async {
        let lake = Lake::new();
        let session = both(&lake, 64, &["day"]).await;
        let plan = plan_of(
            &session,
            "SELECT day, key % 5 AS part, count(*) AS rows, min(place) AS place, sum(key) AS keys \
             FROM prepared GROUP BY day, part ORDER BY day, part",
        )
        .await;
        assert!(plan.contains("PartitionedScan"), "{plan}");
        assert!(!plan.contains("RepartitionExec"), "{plan}");
        // A filter on the partition, and one on other columns.
        for filter in ["day < '1970-01-20'", "day IS NULL", "key < 1000"] {
            let sql = format!(
                "SELECT day, count(*) FROM prepared WHERE {filter} GROUP BY day ORDER BY day"
            );
            plan_of(&session, &sql).await;
        }
    });
}

#[test]
fn groups_without_the_partition_and_joins_with_other_tables_are_right_too() {
    runtime().block_on(async {
        let lake = Lake::new();
        for partition_by in [&["day"][..], &["day", "place"]] {
            let session = both(&lake, 64, partition_by).await;
            for sql in [
                "SELECT place, count(*), sum(key) AS keys FROM prepared GROUP BY place ORDER BY place",
                "SELECT count(*) FROM prepared",
                "SELECT place FROM prepared ORDER BY place LIMIT 3",
                "SELECT a.day, count(*) FROM prepared a JOIN plain b ON a.day = b.day \
                 GROUP BY a.day ORDER BY a.day",
                "SELECT count(*) FROM prepared a JOIN prepared b ON a.day = b.day AND a.key = b.key",
                "SELECT day, place, row_number() OVER (PARTITION BY day, place ORDER BY key) AS n \
                 FROM prepared ORDER BY day, place, n",
            ] {
                plan_of(&session, sql).await;
            }
        }
    });
}

#[test]
fn where_one_stream_would_have_most_of_the_rows_partitions_do_not_matter() {
    runtime().block_on(async {
        let lake = Lake::new();
        let session = both(&lake, 1, &["day"]).await;
        let sql = "SELECT day, count(*) FROM prepared GROUP BY day";
        let plan = plan_of(&session, sql).await;
        assert!(!plan.contains("PartitionedScan"), "{plan}");
    });
}
