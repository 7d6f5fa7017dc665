//! Which files are skipped never changes an answer, whatever the type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use lake_delta::{Error, Prepared, Remake, TableSpec, Versions};
use lake_testing::Kind;
use serde_json::Value;

use crate::support::{Lake, healthy, land, runtime, through};

fn decimals(precision: u8, scale: i8, numbers: &[i128]) -> ArrayRef {
    let values = Decimal128Array::from(numbers.to_vec());
    Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
}

fn instants(micros: &[i64]) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(micros.to_vec())
}

/// Values that are hard to bound, by a name for their type.
fn hard() -> Vec<(&'static str, ArrayRef)> {
    let highest = 10_i128.pow(38) - 1;
    let long = ["a", "a\u{0}", "z\u{10ffff}", "\u{10ffff}"].map(|text| text.repeat(50));
    // Around 1970, and the ends of the years that timestamps have.
    let usual = instants(&[
        -1,
        0,
        1,
        -1_001,
        1_001_999,
        1_002_000,
        -62_135_596_800_000_000,
        253_402_300_799_999_999,
    ]);
    let strange = instants(&[
        i64::MIN,
        i64::MAX,
        -62_135_596_800_000_001,
        253_402_300_800_000_000,
    ]);
    vec![
        (
            "short_decimal",
            decimals(12, 3, &[-999_999_999_999, -1, 0, 1, 123_456_789_012]),
        ),
        (
            "long_decimal",
            decimals(
                18,
                3,
                &[
                    123_456_789_012_345_677,
                    123_456_789_012_345_678,
                    123_456_789_012_345_679,
                    -5,
                ],
            ),
        ),
        (
            "whole_decimal",
            decimals(
                20,
                0,
                &[
                    18_446_744_073_709_551_615,
                    9_223_372_036_854_775_807,
                    -12_345_678_901_234_567_890,
                ],
            ),
        ),
        (
            "widest_decimal",
            decimals(
                38,
                10,
                &[highest, -highest, 12_345_678_901_234_567_890_123_456_789, 1],
            ),
        ),
        (
            "smallest_decimal",
            decimals(38, 38, &[highest, -highest, 1, -1]),
        ),
        ("utc", Arc::new(usual.with_timezone("UTC"))),
        ("strange_utc", Arc::new(strange.with_timezone("UTC"))),
        (
            "double",
            Arc::new(Float64Array::from(vec![
                f64::NAN,
                -f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                -0.0,
                0.0,
                5e-324,
                0.1,
                8.544_283_616_667_655e15,
                f64::MAX,
            ])),
        ),
        (
            "single",
            Arc::new(Float32Array::from(vec![
                f32::NAN,
                0.1,
                -0.0,
                f32::MIN_POSITIVE,
                f32::MAX,
            ])),
        ),
        (
            "text",
            Arc::new(StringArray::from_iter_values(
                ["", "a", "ü", "\""]
                    .iter()
                    .map(|t| (*t).to_owned())
                    .chain(long),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![
                -1, 0, -719_162, 2_932_896, 3_000_000, -800_000,
            ])),
        ),
        ("tiny", Arc::new(Int8Array::from(vec![i8::MIN, 0, i8::MAX]))),
        (
            "long",
            Arc::new(Int64Array::from(vec![
                i64::MIN,
                -1,
                i64::MAX,
                (1 << 53) + 1,
            ])),
        ),
    ]
}

/// A table of one column `c`.
fn spec(data_type: &DataType) -> TableSpec {
    TableSpec {
        name: "standard/t".to_owned(),
        schema: Arc::new(Schema::new(vec![Field::new("c", data_type.clone(), true)])),
        partition_by: Vec::new(),
        key: Vec::new(),
    }
}

/// Appends rows, as one file.
async fn append(lake: &mut Lake, spec: &TableSpec, rows: RecordBatch) -> Prepared {
    let attempt = lake.attempt();
    let frame = attempt.session.read_batch(rows).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let base = lake.open(spec).await;
    let prepared = attempt.append(spec, base, plan).await.unwrap();
    let _ = lake.apply(&prepared).await;
    prepared
}

fn one(spec: &TableSpec, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(&spec.schema), vec![column]).unwrap()
}

async fn count(session: &SessionContext, sql: &str) -> i64 {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// The statistics of the files of a change, as they are committed.
fn committed(lake: &Lake, prepared: &Prepared) -> Vec<(Value, String)> {
    let body = prepared.commit(&lake.stamp()).unwrap().body;
    let lines = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let actions = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let adds = actions.filter_map(|mut action| action.get_mut("add").map(Value::take));
    adds.map(|add| {
        let stats = add["stats"].as_str().unwrap().to_owned();
        (serde_json::from_str(&stats).unwrap(), stats)
    })
    .collect()
}

#[test]
fn no_filter_misses_a_row() {
    runtime().block_on(async {
        for (name, values) in hard() {
            let spec = spec(values.data_type());
            let mut lake = Lake::new();
            // Every value in a file of its own, and all of them in one.
            for n in 0..values.len() {
                append(&mut lake, &spec, one(&spec, values.slice(n, 1))).await;
            }
            append(&mut lake, &spec, one(&spec, Arc::clone(&values))).await;
            let session = SessionContext::new();
            let table = lake.open(&spec).await.unwrap().provider().await.unwrap();
            session.register_table("stored", table).unwrap();
            let plain = vec![vec![one(&spec, Arc::clone(&values)); 2]];
            let plain = MemTable::try_new(Arc::clone(&spec.schema), plain).unwrap();
            session.register_table("plain", Arc::new(plain)).unwrap();
            for n in 0..values.len() {
                let value = ScalarValue::try_from_array(&values, n).unwrap();
                let [c, value] = [col("c"), lit(value)];
                // The first skips by both bounds, and the others by one each.
                for filter in [
                    c.clone().eq(value.clone()),
                    c.clone().lt_eq(value.clone()),
                    c.gt_eq(value),
                ] {
                    let counts = ["stored", "plain"].map(|table| {
                        let (session, filter) = (session.clone(), filter.clone());
                        async move {
                            let frame = session.table(table).await.unwrap();
                            frame.filter(filter).unwrap().count().await.unwrap()
                        }
                    });
                    let [stored, plain] = counts;
                    assert_eq!(stored.await, plain.await, "{name}: {filter}");
                }
            }
            assert_eq!(
                count(&session, "SELECT count(*) FROM stored").await,
                2 * values.len() as i64
            );
        }
    });
}

#[test]
fn a_stored_key_is_found_again_whatever_its_type() {
    runtime().block_on(async {
        for (name, keys) in hard() {
            let (spec, versions) = keyed(keys.data_type());
            let mut lake = Lake::new();
            // To the engine, −0 is 0, and a NaN is a NaN whatever its sign.
            let distinct = distinct(&keys).await;
            for sequence in [1, 2] {
                // Each in a file and a run of its own, so that only statistics say where it is.
                for n in 0..keys.len() {
                    let rows = keyed_rows(&spec, &keys.slice(n, 1), sequence);
                    let merged = merge(&lake, &spec, &versions, rows).await;
                    if sequence == 2 {
                        assert_eq!(merged.counts.inserted, 0, "{name}, {n}");
                    }
                    let _ = lake.apply(&merged).await;
                }
                let table = lake.open(&spec).await.unwrap();
                assert_eq!(table.rows(), distinct, "{name}");
            }
        }
    });
}

#[test]
fn a_stored_nan_is_found_again_beside_other_numbers() {
    runtime().block_on(async {
        let (spec, versions) = keyed(&DataType::Float64);
        let mut lake = Lake::new();
        let stored: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        let first = merge(&lake, &spec, &versions, keyed_rows(&spec, &stored, 1)).await;
        let _ = lake.apply(&first).await;
        let new: ArrayRef = Arc::new(Float64Array::from(vec![5.0, f64::NAN]));
        let second = merge(&lake, &spec, &versions, keyed_rows(&spec, &new, 2)).await;
        assert_eq!((second.counts.inserted, second.counts.updated), (1, 1));
    });
}

fn keyed(data_type: &DataType) -> (TableSpec, Versions) {
    let mut spec = spec(data_type);
    let mut fields = spec.schema.fields().to_vec();
    fields.push(Arc::new(Field::new("sequence", DataType::Int64, true)));
    spec.schema = Arc::new(Schema::new(fields));
    let versions = Versions {
        key: vec!["c".to_owned()],
        newest_by: vec!["sequence".to_owned()],
        tombstones: None,
    };
    (spec, versions)
}

fn keyed_rows(spec: &TableSpec, keys: &ArrayRef, sequence: i64) -> RecordBatch {
    let sequence = Arc::new(Int64Array::from(vec![sequence; keys.len()]));
    RecordBatch::try_new(Arc::clone(&spec.schema), vec![Arc::clone(keys), sequence]).unwrap()
}

async fn merge(lake: &Lake, spec: &TableSpec, versions: &Versions, rows: RecordBatch) -> Prepared {
    let attempt = lake.attempt();
    let frame = attempt.session.read_batch(rows).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let base = lake.open(spec).await;
    let merged = attempt
        .merge_newest(spec, base, plan, versions.clone())
        .await;
    merged.unwrap().table
}

/// How many values the engine's join tells apart.
async fn distinct(values: &ArrayRef) -> u64 {
    let session = SessionContext::new();
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("c", values.data_type().clone(), true),
    ];
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..values.len() as i64));
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![n, Arc::clone(values)]);
    session.register_batch("v", rows.unwrap()).unwrap();
    let sql = "SELECT count(*) FROM v WHERE NOT EXISTS \
               (SELECT 1 FROM v AS w WHERE w.c = v.c AND w.n < v.n)";
    count(&session, sql).await as u64
}

#[test]
fn only_the_file_that_may_hold_a_long_decimal_is_read() {
    runtime().block_on(async {
        let (spec, versions) = keyed(&DataType::Decimal128(38, 10));
        let first = 1_234_567_890_123_450_123_456_789;
        let key = |n: i128| decimals(38, 10, &[first + n * 10_i128.pow(11)]);
        let mut lake = Lake::new();
        let mut paths: Vec<String> = Vec::new();
        for n in 0..3 {
            let merged = merge(&lake, &spec, &versions, keyed_rows(&spec, &key(n), 1)).await;
            paths.extend(merged.new_files().map(|(path, _)| path.to_owned()));
            let _ = lake.apply(&merged).await;
        }
        let store = healthy();
        let works = lake.root.clone();
        lake.root = through(&lake, &store);
        let merged = merge(&lake, &spec, &versions, keyed_rows(&spec, &key(1), 2)).await;
        assert_eq!(merged.counts.updated, 1);
        let read = paths.iter().map(|path| store.count(Kind::Get, path) > 0);
        assert_eq!(read.collect::<Vec<_>>(), [false, true, false]);
        lake.root = works;
    });
}

#[tokio::test]
async fn bounds_are_written_for_what_they_can_say() {
    let spec = TableSpec {
        name: "standard/t".to_owned(),
        schema: everything(),
        partition_by: Vec::new(),
        key: Vec::new(),
    };
    let mut lake = Lake::new();
    let inner: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("whole", DataType::Int64, true),
        Field::new("part", DataType::Float64, true),
    ]));
    let inner = StructArray::new(
        inner.fields().clone(),
        vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(Float64Array::from(vec![1.5, 2.5])),
        ],
        None,
    );
    let columns: Vec<ArrayRef> = vec![
        decimals(18, 3, &[123_456_789_012_345_678, 5]),
        decimals(20, 2, &[250, -1]),
        Arc::new(instants(&[1_001_999, -1]).with_timezone("UTC")),
        Arc::new(Float64Array::from(vec![Some(0.1), None])),
        Arc::new(Float64Array::from(vec![f64::NAN, 1.0])),
        Arc::new(StringArray::from(vec![None::<&str>, None])),
        Arc::new(inner),
    ];
    let rows = RecordBatch::try_new(Arc::clone(&spec.schema), columns).unwrap();
    let prepared = append(&mut lake, &spec, rows).await;
    let stats = committed(&lake, &prepared).remove(0).1;
    let low = r#"{"long":0.005,"short":-0.01,"at":"1969-12-31T23:59:59.999Z","number":0.1,"inner":{"whole":1}}"#;
    let high = r#"{"long":123456789012345.688,"short":2.50,"at":"1970-01-01T00:00:01.002Z","number":0.1,"inner":{"whole":1}}"#;
    let nulls = r#"{"long":0,"short":0,"at":0,"number":1,"nan":0,"nothing":2,"inner":{"whole":1}}"#;
    let expected =
        format!(r#"{{"numRecords":2,"minValues":{low},"maxValues":{high},"nullCount":{nulls}}}"#);
    assert_eq!(stats, expected);
}

fn everything() -> SchemaRef {
    let utc = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let inner = vec![
        Field::new("whole", DataType::Int64, true),
        Field::new("part", DataType::Float64, true),
    ];
    let fields = [
        ("long", DataType::Decimal128(18, 3)),
        ("short", DataType::Decimal128(20, 2)),
        ("at", utc),
        ("number", DataType::Float64),
        ("nan", DataType::Float64),
        ("nothing", DataType::Utf8),
        ("inner", DataType::Struct(inner.into())),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}

#[tokio::test]
async fn as_many_columns_have_statistics_whatever_their_types_are() {
    let fields: Vec<Field> = (0..40)
        .map(|n| {
            let data_type = if n % 2 == 0 {
                DataType::Float64
            } else {
                DataType::Int64
            };
            Field::new(format!("c{n}"), data_type, true)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let spec = TableSpec {
        name: "standard/t".to_owned(),
        schema: Arc::clone(&schema),
        partition_by: vec!["c1".to_owned()],
        key: Vec::new(),
    };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from(vec![1])),
            _ => Arc::new(Float64Array::from(vec![1.0])),
        }
    });
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let mut lake = Lake::new();
    let prepared = append(&mut lake, &spec, rows).await;
    let (stats, _) = committed(&lake, &prepared).remove(0);
    let expected: Vec<String> = (0..33)
        .filter(|n| *n != 1)
        .map(|n| format!("c{n}"))
        .collect();
    for which in ["minValues", "maxValues", "nullCount"] {
        let mut known: Vec<String> = stats[which].as_object().unwrap().keys().cloned().collect();
        known.sort_by_key(|name| name[1..].parse::<u32>().unwrap());
        assert_eq!(known, expected, "{which}");
    }
}

#[tokio::test]
async fn a_date_that_no_table_can_have_is_refused_by_its_column() {
    for (partition_by, days) in [(vec![], i32::MAX), (vec!["c".to_owned()], i32::MIN)] {
        let mut spec = keyed(&DataType::Date32).0;
        spec.partition_by = partition_by;
        let day: ArrayRef = Arc::new(Date32Array::from(vec![days]));
        let rows = keyed_rows(&spec, &day, 1);
        let lake = Lake::new();
        let attempt = lake.attempt();
        let frame = attempt.session.read_batch(rows).unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let error = attempt.append(&spec, None, plan).await.unwrap_err();
        assert!(matches!(error, Error::Rows { .. }), "{error:?}");
        let message = format!("standard/t: c has a date that is {days} days from 1970");
        assert!(error.to_string().contains(&message), "{error}");
    }
}

/// The numbers above 5, in order, of a table into which each of the parts was written.
async fn above_five(batches: &[Vec<f64>]) -> (Vec<u64>, usize) {
    let spec = spec(&DataType::Float64);
    let mut lake = Lake::new();
    let attempt = lake.attempt();
    let batches = batches.iter().map(|part| {
        let column = Arc::new(Float64Array::from(part.clone()));
        one(&spec, column)
    });
    let table = MemTable::try_new(Arc::clone(&spec.schema), vec![batches.collect()]).unwrap();
    let frame = attempt.session.read_table(Arc::new(table)).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let prepared = attempt.append(&spec, None, plan).await.unwrap();
    let files = prepared.new_files().count();
    let _ = lake.apply(&prepared).await;
    let session = SessionContext::new();
    let table = lake.open(&spec).await.unwrap().provider().await.unwrap();
    session.register_table("t", table).unwrap();
    let sql = "SELECT c FROM t WHERE c > 5 ORDER BY c";
    let found = session.sql(sql).await.unwrap().collect().await.unwrap();
    let numbers = found.iter().flat_map(|batch| {
        let numbers = batch.column(0).as_primitive::<Float64Type>();
        numbers.values().to_vec()
    });
    (numbers.map(f64::to_bits).collect(), files)
}

#[tokio::test]
async fn answers_over_numbers_do_not_depend_on_what_is_in_a_file() {
    for (batches, files, found) in [
        // The only number of the file is not above 5.
        (vec![vec![f64::NAN, 1.0]], 1, vec![f64::NAN]),
        // A NaN that comes later begins another file, and only the first one does.
        (
            vec![vec![1.0, 10.0], vec![f64::NAN]],
            2,
            vec![10.0, f64::NAN],
        ),
        (
            vec![vec![f64::NAN, 1.0], vec![10.0]],
            1,
            vec![10.0, f64::NAN],
        ),
        (
            vec![vec![1.0], vec![f64::NAN], vec![2.0], vec![10.0]],
            2,
            vec![10.0, f64::NAN],
        ),
    ] {
        let found: Vec<u64> = found.into_iter().map(f64::to_bits).collect();
        assert_eq!(above_five(&batches).await, (found, files), "{batches:?}");
    }
}

#[tokio::test]
async fn a_prepared_table_is_filtered_as_a_committed_one() {
    let spec = spec(&DataType::Decimal128(18, 3));
    let lake = Lake::new();
    let attempt = lake.attempt();
    let rows = one(&spec, decimals(18, 3, &[123_456_789_012_345_678]));
    let frame = attempt.session.read_batch(rows).unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let prepared = attempt.append(&spec, None, plan).await.unwrap();
    let stamp = lake.stamp();
    let commit = prepared.commit(&stamp).unwrap();
    let sql = "SELECT count(*) FROM t \
               WHERE c = arrow_cast('123456789012345.678', 'Decimal128(18, 3)')";
    for is_committed in [false, true] {
        if is_committed {
            let applied = land(&lake.root, &spec.name, &commit, &Remake::Append, &stamp).await;
            let _ = applied.unwrap();
        }
        let table = match is_committed {
            false => prepared.provider().await.unwrap(),
            true => lake.open(&spec).await.unwrap().provider().await.unwrap(),
        };
        let session = SessionContext::new();
        session.register_table("t", table).unwrap();
        assert_eq!(count(&session, sql).await, 1, "committed: {is_committed}");
    }
}
