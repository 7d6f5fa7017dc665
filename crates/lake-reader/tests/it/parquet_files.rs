//! Parquet files as wholes: nested values, policies, rows that many threads read, other writers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray, Time64MicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use lake_reader::{ColumnType, ExtraColumns, Layout, MissingColumns, Options, Reader};

use crate::parquet::{column, decimal, layout, one, values};
use crate::stored::{outcome, parquet};

/// A list of structs, a map and a struct in a struct.
fn nested() -> Vec<u8> {
    let prices = StructArray::from(vec![
        (
            Arc::new(Field::new("price", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec!["1.5", "2", "x", "4"])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("name", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![
                Some("a"),
                Some("b"),
                Some("c"),
                None,
            ])),
        ),
    ]);
    let element = Arc::new(Field::new(
        "element",
        arrow::array::Array::data_type(&prices).clone(),
        true,
    ));
    let items = ListArray::new(
        element,
        arrow::buffer::OffsetBuffer::from_lengths([2, 0, 0, 2]),
        Arc::new(prices),
        Some(vec![true, true, false, true].into()),
    );
    let mut map = MapBuilder::new(
        None,
        StringBuilder::new(),
        arrow::array::Int64Builder::new(),
    );
    for row in 0..4 {
        for key in 0..row {
            map.keys().append_value(format!("k{key}"));
            map.values().append_value(key << 30);
        }
        map.append(row != 2).unwrap();
    }
    let inner = StructArray::from(vec![(
        Arc::new(Field::new("deep", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)])) as ArrayRef,
    )]);
    let payload = StructArray::new(
        vec![
            Field::new(
                "items",
                arrow::array::Array::data_type(&items).clone(),
                true,
            ),
            Field::new(
                "inner",
                arrow::array::Array::data_type(&inner).clone(),
                true,
            ),
        ]
        .into(),
        vec![Arc::new(items), Arc::new(inner)],
        Some(vec![true, true, true, true].into()),
    );
    parquet(&[
        ("payload", Arc::new(payload)),
        ("tags", Arc::new(map.finish())),
    ])
}

#[test]
fn nested_values_are_made_by_name_and_faults_say_where() {
    let item = ColumnType::Struct(
        vec![
            column("name", ColumnType::Text).required(),
            column("price", decimal(4, 2)),
        ]
        .into(),
    );
    let list = ColumnType::List(Arc::new(column("element", item)));
    let inner = ColumnType::Struct(vec![column("deep", ColumnType::Int64).required()].into());
    let columns = vec![
        column(
            "tags",
            ColumnType::Map(Arc::new(column("value", ColumnType::Int32))),
        ),
        column(
            "payload",
            ColumnType::Struct(vec![column("inner", inner), column("items", list)].into()),
        ),
    ];
    let read = outcome(nested(), &layout(columns), Options::default());
    assert_eq!(
        values(&read),
        [
            "{}|{inner: {deep: 1}, items: [{name: a, price: 1.50}, {name: b, price: 2.00}]}",
            "required: 'payload.inner.deep' is required, and null here",
            "∅|{inner: {deep: 3}, items: ∅}",
            "type: tags.k2: '2147483648' does not fit int32; \
             required: 'payload.items[1].name' is required, and null here; \
             type: payload.items[0].price: 'x' is not a decimal(4, 2)",
        ]
    );
    assert_eq!(
        read.rows[1].cells, "{k0: 0}|∅",
        "a value is as wrong as its parts"
    );
    assert_eq!(read.rows[3].cells, "∅|∅");
    assert_eq!(
        read.rows[3].raw,
        r#"{"payload":{"items":[{"price":"x","name":"c"},{"price":"4","name":null}],"inner":{"deep":4}},"tags":{"k0":0,"k1":1073741824,"k2":2147483648}}"#
    );
}

#[test]
fn parts_that_nobody_declared_are_warnings_and_missing_ones_follow_the_policy() {
    let inner = ColumnType::Struct(vec![column("other", ColumnType::Int64).required()].into());
    let columns = vec![column(
        "payload",
        ColumnType::Struct(vec![column("inner", inner)].into()),
    )];
    let mut layout = layout(columns);
    let error = outcome(nested(), &layout, Options::default());
    assert!(
        error.message().contains("no column 'payload.inner.other'"),
        "{}",
        error.message()
    );

    layout.missing_columns = MissingColumns::Null;
    let read = outcome(nested(), &layout, Options::default());
    assert_eq!(
        values(&read)[1],
        "required: 'payload.inner.other' is required, and null here"
    );
    let warnings: Vec<String> = read.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "column 'payload.inner.deep' is not declared and is not read",
            "column 'payload.items' is not declared and is not read",
            "column 'tags' is not declared and is not read",
        ]
    );
    layout.extra_columns = ExtraColumns::Fail;
    assert!(
        outcome(nested(), &layout, Options::default())
            .error
            .is_some()
    );
    layout.extra_columns = ExtraColumns::Ignore;
    assert_eq!(outcome(nested(), &layout, Options::default()).warnings, []);
}

#[test]
fn missing_columns_follow_the_policy() {
    let columns = vec![
        column("a", ColumnType::Int32),
        column("aa", ColumnType::Date).required(),
    ];
    let mut layout = layout(columns);
    let file = parquet(&[
        ("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("AA_", Arc::new(Int32Array::from(vec![1]))),
    ]);
    let message = outcome(file.clone(), &layout, Options::default()).message();
    assert!(
        message.contains("no column 'aa' (perhaps 'AA_' is meant)"),
        "{message}"
    );
    layout.missing_columns = MissingColumns::Null;
    let read = outcome(file, &layout, Options::default());
    assert_eq!(values(&read), ["required: 'aa' is required, and null here"]);
    assert_eq!(read.rows[0].cells, "1|∅");
}

#[test]
fn a_type_that_cannot_become_the_declared_one_is_said_when_the_file_is_opened() {
    let says = |file: Vec<u8>, data_type| {
        let columns = vec![column("a", data_type)];
        outcome(file, &layout(columns), Options::default()).message()
    };
    assert_eq!(
        says(one(Date32Array::from(vec![1])), ColumnType::Int32),
        "column 'a' is declared as int32, and is date32 in the file; it can be declared as date"
    );
    assert_eq!(
        says(one(Float64Array::from(vec![1.0])), decimal(5, 2)),
        "column 'a' is declared as decimal(5, 2), and is float64 in the file; \
         it can be declared as float64"
    );
    assert_eq!(
        says(
            one(Time64MicrosecondArray::from(vec![1])),
            ColumnType::Timestamp
        ),
        "column 'a' is declared as timestamp, and is time64(µs) in the file; \
         it can be declared as nothing: its type cannot be read"
    );
    assert_eq!(
        says(
            one(StringArray::from(vec!["x"])),
            ColumnType::List(Arc::new(column("element", ColumnType::Text)))
        ),
        "column 'a' is declared as list of text, and is text in the file; \
         it can be declared as text, or as what its texts say"
    );
    assert_eq!(
        says(one(Int32Array::from(vec![1])), decimal(39, 0)),
        "column 'a' is declared as decimal(39, 0), which cannot exist: \
         the precision of a decimal is 1 to 38, and its scale 0 to the precision"
    );
}

#[test]
fn two_columns_with_one_name_cannot_be_told_apart() {
    let file = parquet(&[
        ("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("a", Arc::new(Int32Array::from(vec![1]))),
    ]);
    let columns = vec![column("a", ColumnType::Int32)];
    let message = outcome(file, &layout(columns), Options::default()).message();
    assert!(
        message.contains("more than one column named 'a'"),
        "{message}"
    );
}

#[test]
fn a_file_may_have_no_rows_and_nothing_may_be_declared() {
    let columns = vec![column("a", ColumnType::Int32)];
    let none = outcome(
        one(Int32Array::from(Vec::<i32>::new())),
        &layout(columns),
        Options::default(),
    );
    assert_eq!(values(&none), [""; 0]);
    let rows = outcome(
        one(Int32Array::from(vec![1, 2])),
        &layout(vec![]),
        Options::default(),
    );
    assert_eq!(rows.message(), "");
    let raw: Vec<&str> = rows.rows.iter().map(|row| row.raw.as_str()).collect();
    assert_eq!(raw, ["{}", "{}"]);
}

#[test]
fn a_row_that_is_too_long_is_one_rejected_row() {
    let long = "é".repeat(100_000);
    let file = parquet(&[
        (
            "a",
            Arc::new(StringArray::from(vec!["x", &long, "y"])) as ArrayRef,
        ),
        (
            "b",
            Arc::new(StringArray::from(vec![Some("1"), Some("z"), None])),
        ),
    ]);
    let columns = vec![
        column("a", ColumnType::Text),
        column("b", ColumnType::Int32).required(),
    ];
    let options = Options {
        max_record_bytes: 100_000,
        ..Options::default()
    };
    let read = outcome(file, &layout(columns), options);
    assert_eq!(
        values(&read),
        [
            "x|1",
            "record size: the record has 200001 bytes of text, 100000 are allowed; \
             its raw text is cut",
            "required: 'b' is required, and null here",
        ]
    );
    assert_eq!(read.rows[1].cells, "∅|∅");
    let raw = &read.rows[1].raw;
    assert!(raw.starts_with("{\"a\":\"éé") && raw.ends_with('é'));
    assert!(raw.len() <= 1 << 16);
}

#[test]
fn values_that_the_file_has_once_and_mentions_often_do_not_make_blocks_larger() {
    let long = "x".repeat(200_000);
    let array: DictionaryArray<Int32Type> = vec![long.as_str(); 1000].into_iter().collect();
    let file = one(array);
    assert!(file.len() < 1_000_000);
    let columns = vec![column("a", ColumnType::Text)];
    let reader = Reader::open(&file, &layout(columns), Options::default()).unwrap();
    let mut rows = 0;
    while let Some(block) = reader.next_block() {
        let block = block.unwrap();
        rows += block.batch.num_rows();
        assert!(block.batch.num_rows() <= (1 << 26) / 200_000);
    }
    assert_eq!(rows, 1000);
}

#[test]
fn files_of_other_writers_say_the_same() {
    let layout = layout(vec![
        column("id", ColumnType::Int32).required(),
        column("name", ColumnType::Text),
        column("price", decimal(12, 3)),
        column("at", ColumnType::Timestamp),
        column("day", ColumnType::Date),
        column(
            "tags",
            ColumnType::List(Arc::new(column("element", ColumnType::Text))),
        ),
        column(
            "more",
            ColumnType::Map(Arc::new(column("value", ColumnType::Int64))),
        ),
        column("text", ColumnType::Int64),
    ]);
    let pyarrow = include_bytes!("../data/pyarrow.parquet").to_vec();
    let duckdb = include_bytes!("../data/duckdb.parquet").to_vec();
    let pyarrow = values(&outcome(pyarrow, &layout, Options::default()));
    assert_eq!(pyarrow.len(), 3000);
    assert_eq!(
        pyarrow[2999],
        "2999|name 3|29.990|2026-03-01T00:49:59|9999-12-31|[2999, ∅]|{k: 2999}|2999"
    );
    assert_eq!(
        pyarrow[0],
        "0|name 0|∅|2026-03-01T00:00:00|9999-12-31|[]|{k: 0}|0"
    );
    assert_eq!(
        values(&outcome(duckdb, &layout, Options::default())),
        pyarrow
    );
}

/// A file of several row groups, one of which is longer than what one thread reads.
fn many_rows() -> (Vec<u8>, Layout) {
    let numbers = |count: i64| {
        let texts = (0..count).map(|n| {
            if n % 1000 == 7 {
                "bad".to_owned()
            } else {
                n.to_string()
            }
        });
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(StringArray::from_iter_values(texts))),
            ("b", Arc::new(Int64Array::from_iter_values(0..count))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let mut file = Vec::new();
    let batch = numbers(300_000);
    let properties = ::parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(200_000))
        .set_compression(::parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), Some(properties))
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let columns = vec![
        column("a", ColumnType::Int64),
        column("b", ColumnType::Int64),
    ];
    (file, layout(columns))
}

#[test]
fn any_number_of_threads_reads_every_row_once() {
    let (file, layout) = many_rows();
    for threads in [1, 2, 5] {
        let reader = Reader::open(&file, &layout, Options::default()).unwrap();
        let blocks: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let mut blocks = Vec::new();
                        while let Some(block) = reader.next_block() {
                            blocks.push(block.unwrap());
                        }
                        blocks
                    })
                })
                .collect();
            readers
                .into_iter()
                .flat_map(|reader| reader.join().unwrap())
                .collect()
        });
        let mut rows: Vec<(i64, i64)> = Vec::new();
        let mut faults = 0;
        let mut offsets = std::collections::BTreeSet::new();
        for block in &blocks {
            use arrow::array::AsArray;
            let numbers = block
                .batch
                .column(1)
                .as_primitive::<arrow::datatypes::Int64Type>();
            rows.extend(
                block
                    .lines
                    .values()
                    .iter()
                    .copied()
                    .zip(numbers.values().iter().copied()),
            );
            faults += block.faults.len();
            offsets.insert(block.byte_offset(0));
        }
        rows.sort_unstable();
        let expected: Vec<(i64, i64)> = (0..300_000).map(|n| (n + 1, n)).collect();
        assert!(rows == expected, "{threads} threads");
        assert_eq!(faults, 300);
        assert_eq!(offsets.len(), 2, "the offset is that of the row group");
    }
}
