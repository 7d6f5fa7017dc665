//! What holds for any JSON, for anything that is nearly JSON, and for any way to cut it.

use std::sync::Arc;

use arrow::json::LineDelimitedWriter;
use lake_reader::{
    Block, Column, ColumnType, Format, Layout, OnTruncated, Options, ReadError, Reader,
};
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::support::{Row, rows_of};

/// Any JSON value. Numbers are such that a float can have them.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000i32..1000).prop_map(|number| Value::from(f64::from(number) / 8.0)),
        "\\PC{0,8}|[\\x00-\\x7f]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-d\"\\\\é\n]{0,3}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A type and a value of it, or null.
fn typed_value(data_type: &ColumnType) -> BoxedStrategy<Value> {
    let value: BoxedStrategy<Value> = match data_type {
        ColumnType::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        ColumnType::Float64 => (-4000i32..4000)
            .prop_map(|number| Value::from(f64::from(number) / 16.0))
            .boxed(),
        ColumnType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        ColumnType::List(element) => prop::collection::vec(typed_value(&element.data_type), 0..4)
            .prop_map(Value::from)
            .boxed(),
        ColumnType::Map(value) => {
            prop::collection::btree_map("[a-c\"é]{0,3}", typed_value(&value.data_type), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
                .boxed()
        }
        ColumnType::Struct(fields) => typed_object(fields).boxed(),
        _ => "\\PC{0,6}|[\\x00-\\x7f]{0,4}".prop_map(Value::from).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 6 => value].boxed()
}

/// An object that has some of these fields.
fn typed_object(fields: &[Column]) -> impl Strategy<Value = Value> + use<> {
    let fields: Vec<_> = fields
        .iter()
        .map(|field| {
            (
                Just(field.name.clone()),
                prop::option::of(typed_value(&field.data_type)),
            )
        })
        .collect();
    fields.prop_shuffle_fields()
}

/// Fields in any order.
trait ShuffleFields {
    fn prop_shuffle_fields(self) -> BoxedStrategy<Value>;
}

impl<S> ShuffleFields for Vec<(Just<String>, S)>
where
    S: Strategy<Value = Option<Value>> + 'static,
{
    fn prop_shuffle_fields(self) -> BoxedStrategy<Value> {
        self.prop_shuffle()
            .prop_map(|fields| {
                let fields = fields.into_iter();
                let there = fields.filter_map(|(name, value)| Some((name, value?)));
                Value::Object(there.collect::<Map<_, _>>())
            })
            .boxed()
    }
}

fn columns() -> Vec<Column> {
    let text = Column::new("element", ColumnType::Text);
    let inner = ColumnType::Struct(Arc::from([
        Column::new("x", ColumnType::Int64),
        Column::new("y z", ColumnType::List(Arc::new(text))),
    ]));
    let element = Column::new("element", inner.clone());
    vec![
        Column::new("id", ColumnType::Int64),
        Column::new("ratio", ColumnType::Float64),
        Column::new("flag", ColumnType::Boolean),
        Column::new("é\"", ColumnType::Text),
        Column::new("inner", inner.clone()),
        Column::new("list", ColumnType::List(Arc::new(element))),
        Column::new(
            "map",
            ColumnType::Map(Arc::new(Column::new("value", inner))),
        ),
    ]
}

/// How records are written down: as lines, or as elements in one of several styles.
fn written(records: &[Value], style: u8) -> (Format, String) {
    let compact: Vec<String> = records.iter().map(Value::to_string).collect();
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    match style {
        0 => (
            Format::NdJson,
            compact.iter().map(|line| format!("{line}\n")).collect(),
        ),
        1 => (Format::NdJson, compact.join("\r\n\n")),
        2 => (Format::Json, format!("[{}]", compact.join(","))),
        3 => (Format::Json, pretty(&Value::from(records.to_vec()))),
        4 => (
            Format::Json,
            records.iter().map(pretty).collect::<Vec<_>>().join("\n"),
        ),
        _ => (Format::Json, format!("[{}]\n", compact.join(",\n"))),
    }
}

fn blocks(file: &[u8], layout: &Layout, options: Options) -> (Vec<Block>, Option<ReadError>) {
    let reader = Reader::open(&file.to_vec(), layout, options).unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block() {
        match block {
            Ok(block) => blocks.push(block),
            Err(error) => return (blocks, Some(error)),
        }
    }
    (blocks, None)
}

/// The rows before the end or an error, and the error.
fn rows(file: &[u8], layout: &Layout, options: Options) -> (Vec<Row>, Option<String>) {
    let (blocks, error) = blocks(file, layout, options);
    let rows = blocks.iter().flat_map(rows_of).collect();
    (rows, error.map(|error| error.to_string()))
}

/// Without the fields that are null, which Arrow's writer leaves out.
fn without_nulls(value: Value, data_type: &ColumnType) -> Value {
    match (value, data_type) {
        (Value::Array(values), ColumnType::List(element)) => values
            .into_iter()
            .map(|value| without_nulls(value, &element.data_type))
            .collect(),
        (Value::Object(fields), ColumnType::Map(part)) => fields
            .into_iter()
            .map(|(name, value)| (name, without_nulls(value, &part.data_type)))
            .filter(|(_, value)| !value.is_null())
            .collect(),
        (Value::Object(fields), ColumnType::Struct(declared)) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let field = declared.iter().find(|field| field.name == name).unwrap();
                (name, without_nulls(value, &field.data_type))
            })
            .collect(),
        (value, _) => value,
    }
}

/// Text that is nearly JSON: records in some style, with some bytes put in, taken out or repeated.
fn nearly_json() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let records = prop::collection::vec(typed_object(&columns()), 0..8);
    let change = (
        any::<prop::sample::Index>(),
        0usize..12,
        prop::sample::select(PIECES),
    );
    let changes = prop::collection::vec(change, 0..5);
    (records, 0u8..6, changes).prop_map(|(records, style, changes)| {
        let (format, text) = written(&records, style);
        let mut bytes = text.into_bytes();
        for (at, length, piece) in changes {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + length);
            bytes.splice(at..end, piece.bytes());
        }
        (format, bytes)
    })
}

const PIECES: &[&str] = &[
    "",
    "",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\\",
    " ",
    "0",
    "null",
    "}\n{",
    "},\n{",
    "é",
    "\\ud800",
    "[1",
    "\u{FEFF}",
    "{\"id\":1}",
    "\r\n",
];

fn options() -> impl Strategy<Value = Options> {
    let on_truncated = prop_oneof![Just(OnTruncated::Fail), Just(OnTruncated::Reject)];
    (1usize..200, 8usize..400, on_truncated).prop_map(
        |(chunk_bytes, max_record_bytes, on_truncated)| Options {
            chunk_bytes,
            max_record_bytes,
            on_truncated,
        },
    )
}

proptest! {
    /// Any object goes through a column of type `json`, and means the same.
    #[test]
    fn any_value_is_read_as_it_was_written(
        values in prop::collection::vec(any_value(), 0..6),
        style in 0u8..6,
        chunk_bytes in 1usize..100,
    ) {
        let layout = |format| Layout::new(format, vec![Column::new("v", ColumnType::Json)]);
        let record = |value: &Value| serde_json::json!({"before": value, "v": value, "x": [value]});
        let records: Vec<Value> = values.iter().map(record).collect();
        let (format, file) = written(&records, style);
        let options = Options { chunk_bytes, ..Options::default() };
        let (rows, error) = rows(file.as_bytes(), &layout(format), options);
        prop_assert_eq!(error, None);
        prop_assert_eq!(rows.len(), values.len());
        for (row, value) in rows.iter().zip(&values) {
            prop_assert!(row.faults.is_empty(), "{:?}", row.faults);
            let read = match row.cells.as_str() {
                "∅" => Value::Null,
                text => serde_json::from_str(text).unwrap(),
            };
            prop_assert_eq!(&read, value);
        }
    }

    /// What Arrow writes of the rows is what was written before.
    #[test]
    fn nested_values_are_read_as_they_were_written(
        records in prop::collection::vec(typed_object(&columns()), 1..8),
        style in 0u8..6,
        chunk_bytes in 1usize..300,
    ) {
        let (format, file) = written(&records, style);
        let options = Options { chunk_bytes, ..Options::default() };
        let (blocks, error) = blocks(file.as_bytes(), &Layout::new(format, columns()), options);
        prop_assert!(error.is_none());
        let mut writer = LineDelimitedWriter::new(Vec::new());
        for block in &blocks {
            prop_assert_eq!(&block.faults, &[]);
            writer.write(&block.batch).unwrap();
        }
        writer.finish().unwrap();
        let text = String::from_utf8(writer.into_inner()).unwrap();
        let read: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let whole = ColumnType::Struct(columns().into());
        let expected: Vec<Value> = records
            .into_iter()
            .map(|record| without_nulls(record, &whole))
            .collect();
        prop_assert_eq!(read, expected);
    }

    /// How a file is cut changes nothing, whatever is in it.
    #[test]
    fn any_chunk_size_gives_the_same_rows((format, file) in nearly_json(), options in options()) {
        let layout = Layout::new(format, columns());
        let whole = Options { chunk_bytes: 1 << 20, ..options };
        prop_assert_eq!(rows(&file, &layout, options), rows(&file, &layout, whole));
    }

    /// Threads take what is there; taken together it is the same.
    #[test]
    fn any_number_of_threads_gives_the_same_rows((format, file) in nearly_json()) {
        let layout = Layout::new(format, columns());
        let options = Options {
            chunk_bytes: 16,
            on_truncated: OnTruncated::Reject,
            ..Options::default()
        };
        let (expected, _) = rows(&file, &layout, options);
        let reader = Reader::open(&file, &layout, options).unwrap();
        let take = || {
            let blocks = std::iter::from_fn(|| reader.next_block());
            blocks.flat_map(|block| rows_of(&block.unwrap())).collect::<Vec<Row>>()
        };
        let mut rows: Vec<Row> = std::thread::scope(|scope| {
            let threads = [scope.spawn(take), scope.spawn(take), scope.spawn(take)];
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        rows.sort_by_key(|row| row.offset);
        prop_assert_eq!(rows, expected);
    }

    /// The raw texts and what may be between them are the file.
    #[test]
    fn no_byte_is_lost((format, file) in nearly_json(), chunk_bytes in 1usize..200) {
        let options = Options {
            chunk_bytes,
            on_truncated: OnTruncated::Reject,
            ..Options::default()
        };
        let (rows, error) = rows(&file, &Layout::new(format, columns()), options);
        prop_assert_eq!(error, None);
        let between: &[u8] = match format {
            Format::NdJson => b" \t\r\n",
            _ => b" \t\r\n[,]",
        };
        let mut end = if file.starts_with("\u{FEFF}".as_bytes()) { 3 } else { 0 };
        let mut line = 1;
        for row in rows {
            let start = row.offset as usize;
            prop_assert!(start >= end && !row.raw_bytes.is_empty());
            prop_assert!(file[end..start].iter().all(|byte| between.contains(byte)));
            line += file[end..start].iter().filter(|&&byte| byte == b'\n').count() as i64;
            prop_assert_eq!(row.line, line);
            end = start + row.raw_bytes.len();
            prop_assert_eq!(&file[start..end], &row.raw_bytes[..]);
            line += row.raw_bytes.iter().filter(|&&byte| byte == b'\n').count() as i64;
        }
        prop_assert!(file[end..].iter().all(|byte| between.contains(byte)));
    }

    /// A row without a fault is JSON for others as well, and one that is not, is not.
    #[test]
    fn rows_are_broken_exactly_if_they_are_not_json((format, file) in nearly_json()) {
        let options = Options { on_truncated: OnTruncated::Reject, ..Options::default() };
        let (rows, _) = rows(&file, &Layout::new(format, vec![]), options);
        for row in rows {
            let is_object = serde_json::from_slice::<Map<String, Value>>(&row.raw_bytes).is_ok();
            let is_half_character = row.raw.contains("\\ud800");
            let has_comma = row.faults.iter().all(|fault| !fault.contains("no comma"));
            if !is_half_character && has_comma {
                prop_assert_eq!(row.faults.is_empty(), is_object, "{:?} {:?}", row.raw, row.faults);
            }
        }
    }

    /// A bad cell is NULL, and so is everything in a record that is not JSON.
    #[test]
    fn faults_and_nulls_go_together((format, file) in nearly_json(), options in options()) {
        let (blocks, _) = blocks(&file, &Layout::new(format, columns()), options);
        for block in blocks {
            for fault in &block.faults {
                let row = fault.row as usize;
                match fault.column {
                    Some(column) => prop_assert!(block.batch.column(column).is_null(row)),
                    None => prop_assert!(
                        fault.check == "utf-8"
                            || block.batch.columns().iter().all(|column| column.is_null(row))
                    ),
                }
            }
        }
    }

    /// Every byte is data.
    #[test]
    fn no_input_panics(
        file in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\\n 0ae\xC3"[..]), 0..120),
        options in options(),
    ) {
        for format in [Format::NdJson, Format::Json] {
            let (blocks, _) = blocks(&file, &Layout::new(format, columns()), options);
            for block in &blocks {
                rows_of(block);
            }
        }
    }
}
