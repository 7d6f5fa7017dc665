//! What decides between the rows of a key: NULL, NaN, text, decimals, times.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use lake_delta::{TableSpec, Versions};
use proptest::prelude::*;

use crate::support::{Lake, runtime};

/// What a row's sequence can be made of.
const COLUMNS: [&str; 4] = ["number", "text", "amount", "moment"];

#[derive(Debug, Clone)]
struct Version {
    key: i64,
    number: Option<f64>,
    text: Option<&'static str>,
    amount: Option<i128>,
    moment: Option<i64>,
}

impl Version {
    /// The plain model: NULL below everything, and floats in total order but for −0, which is 0.
    fn compare(&self, other: &Self, by: &[usize]) -> Ordering {
        let number = match (self.number, other.number) {
            (Some(a), Some(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        let columns = [
            number,
            self.text.cmp(&other.text),
            self.amount.cmp(&other.amount),
            self.moment.cmp(&other.moment),
        ];
        by.iter()
            .map(|column| columns[*column])
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

fn schema() -> SchemaRef {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("number", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(20, 3), true),
        Field::new("moment", moment, true),
    ]))
}

fn batch(rows: &[Version]) -> RecordBatch {
    let amount = Decimal128Array::from_iter(rows.iter().map(|row| row.amount));
    let moment = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.moment));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.key))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.number))),
            Arc::new(StringArray::from_iter(rows.iter().map(|r| r.text))),
            Arc::new(amount.with_precision_and_scale(20, 3).unwrap()),
            Arc::new(moment.with_timezone("UTC")),
        ],
    )
    .unwrap()
}

fn spec() -> TableSpec {
    TableSpec {
        name: "standard/t".to_owned(),
        schema: schema(),
        partition_by: Vec::new(),
        key: Vec::new(),
    }
}

fn versions(by: &[usize]) -> Versions {
    Versions {
        key: vec!["key".to_owned()],
        newest_by: by.iter().map(|n| COLUMNS[*n].to_owned()).collect(),
        tombstones: None,
    }
}

async fn merge(lake: &mut Lake, rows: &[Version], by: &[usize]) {
    let attempt = lake.attempt();
    // A plan without rows still has a partition.
    let parts = match rows {
        [] => vec![Vec::new()],
        rows => rows
            .chunks(rows.len().div_ceil(2))
            .map(|part| vec![batch(part)])
            .collect(),
    };
    let table = MemTable::try_new(schema(), parts).unwrap();
    let frame = attempt.session.read_table(Arc::new(table)).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let base = lake.open(&spec()).await;
    let merged = attempt
        .merge_newest(&spec(), base, plan, versions(by))
        .await
        .unwrap();
    let _ = lake.apply(&merged.table).await;
}

async fn read(lake: &Lake) -> BTreeMap<i64, Version> {
    let session = SessionContext::new();
    // A table that never had a row has not been made.
    let Some(table) = lake.open(&spec()).await else {
        return BTreeMap::new();
    };
    let table = table.provider().await.unwrap();
    session.register_table("t", table).unwrap();
    let batches = session.sql("SELECT * FROM t").await.unwrap();
    let mut rows = BTreeMap::new();
    for batch in batches.collect().await.unwrap() {
        let column =
            |name| arrow::compute::cast(batch.column_by_name(name).unwrap(), &data_type(name));
        let [key, number, text, amount, moment] =
            ["key", "number", "text", "amount", "moment"].map(|name| column(name).unwrap());
        for n in 0..batch.num_rows() {
            let row = Version {
                key: key.as_primitive::<Int64Type>().value(n),
                number: number
                    .is_valid(n)
                    .then(|| number.as_primitive::<Float64Type>().value(n)),
                text: text.is_valid(n).then(|| {
                    let text = text.as_string::<i32>().value(n);
                    *TEXTS.iter().find(|known| **known == text).unwrap()
                }),
                amount: amount
                    .is_valid(n)
                    .then(|| amount.as_primitive::<Decimal128Type>().value(n)),
                moment: moment
                    .is_valid(n)
                    .then(|| moment.as_primitive::<TimestampMicrosecondType>().value(n)),
            };
            assert!(rows.insert(row.key, row).is_none(), "a key is there twice");
        }
    }
    rows
}

fn data_type(name: &str) -> DataType {
    schema().field_with_name(name).unwrap().data_type().clone()
}

const TEXTS: [&str; 5] = ["", "a", "B", "a\u{0}", "ä"];

fn version() -> impl Strategy<Value = Version> {
    let numbers = vec![
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.5,
    ];
    let number = prop::option::of(prop::sample::select(numbers));
    let text = prop::option::of(prop::sample::select(&TEXTS[..]));
    // Ends of what the types hold: neither may wrap around in a comparison.
    let amount = prop::sample::select(&[0, 1, -1, 99_999_999_999_999_999_999, -7_000][..]);
    let moment = prop::sample::select(&[0, 1, -1, 4_000_000_000_000_000][..]);
    let amount = prop::option::of(amount);
    let moment = prop::option::of(moment);
    (0_i64..5, number, text, amount, moment).prop_map(|(key, number, text, amount, moment)| {
        Version {
            key,
            number,
            text,
            amount,
            moment,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_highest_sequence_wins_whether_rows_meet_in_a_batch_or_in_the_table(
        by in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
        most in 1_usize..=4,
        batches in prop::collection::vec(prop::collection::vec(version(), 0..20), 1..5),
    ) {
        runtime().block_on(async {
            let by = &by[..most];
            let all = batches.concat();
            let alone: Vec<Vec<Version>> = all.iter().map(|row| vec![row.clone()]).collect();
            for story in [batches, vec![all], alone.into_iter().take(8).collect()] {
                let mut lake = Lake::new();
                for rows in &story {
                    merge(&mut lake, rows, by).await;
                }
                let found = read(&lake).await;
                let mut expected: BTreeMap<i64, Version> = BTreeMap::new();
                for row in story.iter().flatten() {
                    let best = expected.entry(row.key).or_insert_with(|| row.clone());
                    if row.compare(best, by).is_gt() {
                        *best = row.clone();
                    }
                }
                assert_eq!(
                    found.keys().collect::<Vec<_>>(),
                    expected.keys().collect::<Vec<_>>()
                );
                for (key, row) in &expected {
                    assert!(
                        found[key].compare(row, by).is_eq(),
                        "by {by:?} the newest of {key} is {row:?}, and the table has {:?}",
                        found[key]
                    );
                }
            }
        });
    }
}

fn numbered(number: Option<f64>) -> Version {
    Version {
        key: 1,
        number,
        text: None,
        amount: None,
        moment: None,
    }
}

#[tokio::test]
async fn a_row_without_a_sequence_is_older_than_one_with_whichever_comes_first() {
    for (first, second) in [(None, Some(-1e300)), (Some(-1e300), None)] {
        let mut lake = Lake::new();
        merge(&mut lake, &[numbered(first)], &[0]).await;
        merge(&mut lake, &[numbered(second)], &[0]).await;
        assert_eq!(read(&lake).await[&1].number, Some(-1e300));
    }
}

#[tokio::test]
async fn two_rows_without_a_sequence_are_the_same_row() {
    let lake = Lake::new();
    let attempt = lake.attempt();
    let mut lake = lake;
    merge(&mut lake, &[numbered(None)], &[0, 1]).await;
    let frame = attempt
        .session
        .read_batch(batch(&[numbered(None)]))
        .unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let base = lake.open(&spec()).await;
    let merged = attempt
        .merge_newest(&spec(), base, plan, versions(&[0, 1]))
        .await
        .unwrap();
    assert_eq!(merged.table.counts.unchanged, 1);
    assert!(merged.table.is_unchanged());
}
