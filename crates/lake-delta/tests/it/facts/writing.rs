//! Data files and the actions that name them.

use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use delta_kernel::table_properties::DataSkippingNumIndexedCols;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Action;
use object_store::prefix::PrefixStore;

use super::{Table, added, rows, schema, session};

#[tokio::test]
async fn data_files_are_written_without_a_commit() {
    let table = Table::nowhere(schema(), &[]);
    let adds = table.write(&rows(&[1, 2])).await;
    let [add] = &adds[..] else { panic!("{adds:?}") };
    assert!(table.has(&add.path));
    assert!(!table.has("_delta_log"));
    assert!(add.data_change);
    let size = std::fs::metadata(table.path().join(&add.path))
        .unwrap()
        .len();
    assert_eq!(u64::try_from(add.size).unwrap(), size);
}

#[tokio::test]
async fn a_writer_that_gets_no_rows_writes_no_file() {
    let table = Table::nowhere(schema(), &[]);
    assert_eq!(table.write(&rows(&[])).await, []);
    assert_eq!(std::fs::read_dir(table.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn files_can_lie_in_a_directory_of_their_own_where_its_name_is_put_back() {
    let table = Table::new(schema(), &[]);
    let store = Arc::new(PrefixStore::new(table.store(), "run-1"));
    let mut adds = table.write_into(store, &rows(&[1, 2])).await;
    for add in &mut adds {
        assert!(!add.path.contains("run-1"), "{}", add.path);
        add.path = format!("run-1/{}", add.path);
    }
    table.put(1, &added(&adds));
    assert_eq!(table.keys().await, [1, 2]);
}

#[tokio::test]
async fn files_come_back_in_the_order_of_their_rows() {
    let table = Table::nowhere(schema(), &[]);
    let config = WriterConfig::new(
        schema(),
        Vec::new(),
        None,
        NonZeroU64::new(1),
        Some(3),
        DataSkippingNumIndexedCols::NumColumns(32),
        None,
    );
    let mut writer = DeltaWriter::new(table.store(), config);
    let keys: Vec<i64> = (0..100).collect();
    for keys in keys.chunks(10) {
        writer.write(&rows(keys)).await.unwrap();
    }
    let adds = writer.close().await.unwrap();
    // A file that is large enough ends where so many rows of a batch are written.
    let ends = |which: &str| -> Vec<i64> {
        let stats = adds
            .iter()
            .map(|add| super::stats(std::slice::from_ref(add)));
        stats
            .map(|stats| stats[which]["key"].as_i64().unwrap())
            .collect()
    };
    let firsts: Vec<i64> = keys.into_iter().filter(|key| key % 10 % 3 == 0).collect();
    let mut lasts: Vec<i64> = firsts.iter().skip(1).map(|first| first - 1).collect();
    lasts.push(99);
    assert_eq!((ends("minValues"), ends("maxValues")), (firsts, lasts));
}

#[tokio::test]
async fn odd_partition_values_come_back_through_json_and_from_the_table() {
    let values = ["a b/c=d%é\"'\\", "a%20b", "?&#", "..", "NULL", " "];
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("place", DataType::Utf8, true),
    ]));
    let table = Table::nowhere(Arc::clone(&schema), &["place"]);
    let mut places: Vec<Option<&str>> = values.map(Some).to_vec();
    places.push(None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..7)),
        Arc::new(StringArray::from(places.clone())),
    ];
    let adds = table
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .await;
    assert_eq!(adds.len(), 7);
    for add in &adds {
        let action = Action::Add(add.clone());
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
    }
    let mut actions = table.creation(&[]);
    actions.extend(added(&adds));
    table.put(0, &actions);
    let session = session(&table.open().await).await;
    let frame = session.sql("SELECT CAST(place AS VARCHAR) AS place FROM t ORDER BY key");
    let batches = frame.await.unwrap().collect().await.unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
        let texts = column
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap()
            .clone();
        found.extend(texts.iter().map(|text| text.map(str::to_owned)));
    }
    let places: Vec<Option<String>> = places.iter().map(|p| p.map(str::to_owned)).collect();
    assert_eq!(found, places);
}

#[tokio::test]
async fn an_empty_partition_value_is_read_as_empty_though_the_protocol_says_null() {
    let table = Table::nowhere(schema(), &["value"]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(StringArray::from(vec![""])),
    ];
    let adds = table
        .write(&RecordBatch::try_new(schema(), columns).unwrap())
        .await;
    assert_eq!(adds[0].partition_values["value"].as_deref(), Some(""));
    let mut actions = table.creation(&[]);
    actions.extend(added(&adds));
    table.put(0, &actions);
    assert_eq!(
        table
            .ask("SELECT count(*) FROM t WHERE value IS NULL")
            .await,
        0
    );
    assert_eq!(
        table.ask("SELECT count(*) FROM t WHERE value = ''").await,
        1
    );
}

#[tokio::test]
async fn a_date_beyond_the_calendar_makes_the_writer_panic() {
    for days in [i32::MIN, i32::MAX] {
        let schema = Arc::new(Schema::new(vec![Field::new("day", DataType::Date32, true)]));
        let table = Table::nowhere(Arc::clone(&schema), &[]);
        let day = Arc::new(Date32Array::from(vec![days]));
        let rows = RecordBatch::try_new(schema, vec![day]).unwrap();
        let written = tokio::spawn(async move { table.write(&rows).await }).await;
        assert!(written.unwrap_err().is_panic(), "{days}");
    }
}

#[tokio::test]
async fn only_the_first_columns_have_statistics_and_those_of_partitions_do_not_count() {
    let names: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
    let mut fields = vec![Field::new("place", DataType::Utf8, true)];
    fields.extend(
        names
            .iter()
            .map(|name| Field::new(name, DataType::Int64, true)),
    );
    let schema = Arc::new(Schema::new(fields));
    let table = Table::nowhere(Arc::clone(&schema), &["place"]);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["a"]))];
    columns.resize_with(41, || Arc::new(Int64Array::from(vec![1])));
    let adds = table
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .await;
    let stats = super::stats(&adds);
    for which in ["minValues", "maxValues", "nullCount"] {
        let known = stats[which].as_object().unwrap();
        assert_eq!(known.len(), 32, "{which}");
        assert!(
            names[..32].iter().all(|name| known.contains_key(name)),
            "{which}"
        );
    }
}

#[tokio::test]
async fn the_writer_does_not_ask_whether_a_table_allows_its_rows() {
    let table = Table::new(schema(), &[("delta.constraints.positive", "key > 0")]);
    let adds = table.append(1, &rows(&[-1])).await;
    assert_eq!(adds.len(), 1);
    assert_eq!(table.keys().await, [-1]);
}
