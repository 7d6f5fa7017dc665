//! Delimited text in other ways than RFC 4180.

use std::sync::Mutex;
use std::thread;

use arrow::array::{Array, AsArray};
use lake_reader::{
    Column, ColumnType, Dialect, ExtraColumns, Format, Layout, MissingColumns, Options, ReadError,
    Reader,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::model;
use crate::support::{Row, cells, lines, read_as, rows_of, text_columns};

const NO_FAULTS: &[String] = &[];

const HEADERLESS: Dialect = Dialect {
    header: false,
    ..Dialect::CSV
};

const ESCAPING: Dialect = Dialect {
    escape: Some(b'\\'),
    ..HEADERLESS
};

const COMMENTED: Dialect = Dialect {
    comment: Some(b'#'),
    ..Dialect::CSV
};

fn layout(dialect: Dialect, columns: Vec<Column>) -> Layout {
    Layout::new(Format::Delimited(dialect), columns)
}

fn rows_with(
    dialect: Dialect,
    columns: Vec<Column>,
    file: impl AsRef<[u8]>,
    options: Options,
) -> Vec<Row> {
    let file = file.as_ref().to_vec();
    let blocks = read_as(&file, &layout(dialect, columns), options);
    blocks.iter().flat_map(rows_of).collect()
}

fn rows(dialect: Dialect, names: &[&str], file: impl AsRef<[u8]>) -> Vec<Row> {
    rows_with(dialect, text_columns(names), file, Options::default())
}

fn refused(layout: &Layout, file: &str) -> String {
    let file = file.as_bytes().to_vec();
    let error = Reader::open(&file, layout, Options::default()).unwrap_err();
    assert!(matches!(error, ReadError::Header(_)));
    error.to_string()
}

#[test]
fn tabs_separate_and_quotes_are_text_in_tsv() {
    let rows = rows(Dialect::TSV, &["b", "a"], "a\tb\n1,\"2\t\"x\n\"3\t4\n");
    assert_eq!(cells(&rows), ["\"x|1,\"2", "4|\"3"]);
}

#[test]
fn any_byte_may_separate_or_quote() {
    let dialect = Dialect {
        delimiter: b';',
        quote: Some(b'\''),
        ..Dialect::CSV
    };
    let semicolons = rows(dialect, &["a", "b"], "a;'b'\n1,5;'x;''y'''\n");
    assert_eq!(cells(&semicolons), ["1,5|x;'y'"]);
    let dialect = Dialect {
        delimiter: 1,
        quote: None,
        header: false,
        ..Dialect::CSV
    };
    assert_eq!(
        cells(&rows(dialect, &["a", "b"], "1,\x01\"2\n")),
        ["1,|\"2"]
    );
}

#[test]
fn without_a_header_fields_are_the_declared_columns_by_position() {
    let rows = rows(HEADERLESS, &["b", "a"], "1,2\n\n3,4");
    assert_eq!(cells(&rows), ["1|2", "3|4"]);
    assert_eq!(lines(&rows), [1, 3]);
}

#[test]
fn without_a_header_more_fields_than_columns_are_a_fault_whatever_is_said_of_extra_columns() {
    let file = b"1,2,3\n1\n1,2\n".to_vec();
    for extra_columns in [ExtraColumns::Warn, ExtraColumns::Ignore, ExtraColumns::Fail] {
        let layout = Layout {
            extra_columns,
            ..layout(HEADERLESS, text_columns(&["a", "b"]))
        };
        let blocks = read_as(&file, &layout, Options::default());
        let rows: Vec<Row> = blocks.iter().flat_map(rows_of).collect();
        assert_eq!(rows[0].faults, ["fields: expected 2 fields, found 3"]);
        assert_eq!(rows[1].faults, ["fields: expected 2 fields, found 1"]);
        assert_eq!(rows[2].faults, NO_FAULTS);
    }
}

#[test]
fn an_empty_file_without_a_header_has_no_rows() {
    for file in ["", "\n", "\u{FEFF}"] {
        assert_eq!(rows(HEADERLESS, &["a"], file).len(), 0);
    }
}

#[test]
fn an_escape_takes_the_meaning_from_what_follows_and_vanishes() {
    let rows = rows(
        ESCAPING,
        &["a", "b"],
        "x\\,y,\\\"z\n\"a\\\"b\"\"c\",\\\\\n1\\\n2,3\\n\n",
    );
    assert_eq!(cells(&rows), ["x,y|\"z", "a\"b\"c|\\", "1\n2|3n"]);
    assert_eq!(lines(&rows), [1, 2, 3]);
    assert_eq!(rows[2].raw, "1\\\n2,3\\n");
}

#[test]
fn an_escape_that_ends_the_file_is_text() {
    assert_eq!(cells(&rows(ESCAPING, &["a", "b"], "1,2\\")), ["1|2\\"]);
}

#[test]
fn an_escaped_value_is_the_value() {
    let dialect = Dialect {
        escape: Some(b'5'),
        ..HEADERLESS
    };
    let columns = vec![
        Column::new("a", ColumnType::Int32),
        Column::new("b", ColumnType::Int32),
    ];
    let rows = rows_with(dialect, columns, "552,51\n1,2\n", Options::default());
    assert_eq!(cells(&rows), ["52|1", "1|2"]);
}

#[test]
fn comments_are_skipped_and_count_as_lines() {
    let file = "# made \"by hand\na,b\n#1,2\n1,#2\n\"x\n#y\",#\n# the end";
    let rows = rows(COMMENTED, &["a", "b"], file);
    assert_eq!(cells(&rows), ["1|#2", "x\n#y|#"]);
    assert_eq!(lines(&rows), [4, 5]);
}

#[test]
fn a_comment_may_be_longer_than_a_record() {
    let options = Options {
        max_record_bytes: 10,
        chunk_bytes: 16,
        ..Options::default()
    };
    let long = "#".repeat(1000);
    let file = format!("{long}\na,b\n1,2\n{long}\n{long}\n3,4\n{long}");
    let rows = rows_with(COMMENTED, text_columns(&["a", "b"]), file, options);
    assert_eq!(cells(&rows), ["1|2", "3|4"]);
    assert_eq!(lines(&rows), [3, 6]);
}

#[test]
fn a_quoted_comment_character_starts_a_record() {
    let rows = rows(COMMENTED, &["a", "b"], "a,b\n\"#1\",2\n");
    assert_eq!(cells(&rows), ["#1|2"]);
}

#[test]
fn dialects_that_nobody_can_read_are_refused_when_a_file_is_opened() {
    let problem = |dialect: Dialect| {
        let message = refused(&layout(dialect, text_columns(&["a"])), "a\n1\n");
        assert_eq!(
            message.strip_prefix("the declared dialect cannot be read: "),
            dialect.problem().as_deref()
        );
        message
    };
    let delimiter = |delimiter| {
        problem(Dialect {
            delimiter,
            ..Dialect::CSV
        })
    };
    assert_eq!(
        delimiter(b'"'),
        "the declared dialect cannot be read: '\\\"' is both the delimiter and the quote"
    );
    assert!(delimiter(b'\n').ends_with("the delimiter '\\n' is a line end"));
    assert!(delimiter(b'\r').ends_with("the delimiter '\\r' is a line end"));
    assert!(delimiter(0xE9).ends_with("the delimiter '\\xe9' is not ASCII"));
    let escape = Dialect {
        escape: Some(b'"'),
        ..Dialect::CSV
    };
    assert!(problem(escape).ends_with("is both the quote and the escape"));
    let comment = Dialect {
        comment: Some(b','),
        ..Dialect::CSV
    };
    assert!(problem(comment).ends_with("is both the delimiter and the comment character"));
}

#[test]
fn a_column_with_parts_is_refused_when_a_file_is_opened() {
    let element = Column::new("element", ColumnType::Text);
    let column = Column::new("tags", ColumnType::List(element.into()));
    assert_eq!(
        refused(&Layout::csv(vec![column]), "tags\n"),
        "column 'tags' is declared as list of text, which delimited text cannot say; \
         declare it as json, or as text"
    );
}

#[test]
fn a_missing_column_is_null_where_that_is_declared_and_a_fault_where_it_is_required() {
    let columns = vec![
        Column::new("a", ColumnType::Int32),
        Column::new("b", ColumnType::Timestamp),
        Column::new("c", ColumnType::Text).required(),
    ];
    let layout = Layout {
        missing_columns: MissingColumns::Null,
        ..Layout::csv(columns)
    };
    let file = b"a\n1\n2,3\n".to_vec();
    let blocks = read_as(&file, &layout, Options::default());
    let rows: Vec<Row> = blocks.iter().flat_map(rows_of).collect();
    assert_eq!(cells(&rows), ["1|∅|∅", "∅|∅|∅"]);
    assert_eq!(
        rows[0].faults,
        ["required: 'c' is required, and the file has no such column"]
    );
    assert_eq!(rows[1].faults, ["fields: expected 1 field, found 2"]);
}

#[test]
fn a_file_with_none_of_the_columns_has_no_header_even_if_columns_may_be_missing() {
    let layout = Layout {
        missing_columns: MissingColumns::Null,
        ..Layout::csv(text_columns(&["a", "b"]))
    };
    assert!(refused(&layout, "1,2\n").starts_with("the file seems to have no header"));
}

#[test]
fn undeclared_columns_are_ignored_or_refused_where_that_is_declared() {
    let of = |extra_columns, missing_columns| Layout {
        extra_columns,
        missing_columns,
        ..Layout::csv(text_columns(&["usage_kwh", "id"]))
    };
    let file = b"id,x,usage_kwh\n1,2,3\n".to_vec();
    let ignoring = of(ExtraColumns::Ignore, MissingColumns::Fail);
    let reader = Reader::open(&file, &ignoring, Options::default()).unwrap();
    assert_eq!(reader.warnings(), []);
    assert_eq!(
        refused(
            &of(ExtraColumns::Fail, MissingColumns::Fail),
            "id,x,usage_kwh,y\n"
        ),
        "the header has columns that are not declared: 'x', 'y'"
    );
    assert_eq!(
        refused(
            &of(ExtraColumns::Fail, MissingColumns::Null),
            "id,Usage KWH\n"
        ),
        "the header has columns that are not declared: 'Usage KWH'; \
         declared, and not in the header: 'usage_kwh' (perhaps 'Usage KWH' is meant)"
    );
}

#[test]
fn the_hint_of_a_missing_header_names_the_declared_delimiter() {
    let message = refused(
        &layout(Dialect::TSV, text_columns(&["a", "b"])),
        "a,b\n1,2\n",
    );
    assert!(
        message.ends_with("its fields do not seem to be separated by tabs"),
        "{message}"
    );
}

#[test]
fn a_file_in_which_every_line_opens_a_quote_and_escapes_its_end_is_read_in_reasonable_time() {
    for line in ["\"x\",\"z\n", "\"x\\\n", "\"a\",b\\\n", ",\"\\\n"] {
        let lines = 20_000;
        let file = format!("{},\"z", line.repeat(lines));
        let rows = rows(ESCAPING, &["a", "b"], &file);
        let model = model::records(
            file.as_bytes(),
            &ESCAPING,
            Options::default().max_record_bytes,
        );
        assert_eq!(rows.len(), model.len(), "{line:?}");
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (
        select(vec![b',', b';', b'\t', b'|', 1]),
        select(vec![Some(b'"'), Some(b'\''), None]),
        select(vec![Some(b'\\'), Some(b'^'), None]),
        select(vec![Some(b'#'), Some(b'%'), None]),
    )
        .prop_map(|(delimiter, quote, escape, comment)| Dialect {
            delimiter,
            quote,
            escape,
            comment,
            header: false,
        })
}

/// A file in which the bytes that matter to its dialect are frequent.
fn file_of(dialect: Dialect) -> impl Strategy<Value = (Dialect, Vec<u8>)> {
    let delimiter = vec![dialect.delimiter];
    let mark = |mark: Option<u8>| mark.into_iter().collect::<Vec<u8>>();
    let (quote, escape) = (mark(dialect.quote), mark(dialect.escape));
    let comment = mark(dialect.comment);
    let piece = prop_oneof![
        6 => Just(delimiter.clone()),
        6 => Just(quote.clone()),
        3 => Just(escape.clone()),
        1 => Just(comment.clone()),
        5 => Just(b"\n".to_vec()),
        2 => Just([b"\n", &comment[..]].concat()),
        2 => Just([&escape[..], b"\n"].concat()),
        2 => Just([&escape[..], &quote[..]].concat()),
        2 => Just([&escape[..], b"\r\n"].concat()),
        2 => Just([&quote[..], &quote[..]].concat()),
        2 => Just([&quote[..], &delimiter[..], &quote[..]].concat()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just("é".as_bytes().to_vec()),
        4 => Just(b"ab".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    let pieces = prop::collection::vec(piece, 0..150);
    (Just(dialect), pieces.prop_map(|pieces| pieces.concat()))
}

fn any_file() -> impl Strategy<Value = (Dialect, Vec<u8>)> {
    dialect().prop_flat_map(file_of)
}

fn options() -> impl Strategy<Value = Options> {
    (1usize..200, 4usize..100).prop_map(|(chunk_bytes, max_record_bytes)| Options {
        chunk_bytes,
        max_record_bytes,
        ..Options::default()
    })
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The rows that several threads get together, in the order of the file.
fn rows_of_threads(file: &Vec<u8>, layout: &Layout, options: Options, threads: usize) -> Vec<Row> {
    let reader = Reader::open(file, layout, options).unwrap();
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(block) = reader.next_block() {
                    let block = rows_of(&block.unwrap());
                    rows.lock().unwrap().extend(block);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|row| row.offset);
    rows
}

/// Text in which special bytes are frequent.
fn value() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![
        "[a-c\"',;|\t\r\n\\\\^#% é\u{1}]{0,8}",
        "\\PC{0,6}"
    ])
}

/// A value that this dialect has a way to write; without quotes, the empty text is NULL.
fn writable(dialect: &Dialect, value: Option<String>) -> Option<String> {
    let mut value = value?;
    if dialect.quote.is_none() && dialect.escape.is_none() {
        value.retain(|c| !c.is_control() && c != char::from(dialect.delimiter));
        let comment = dialect.comment.map(char::from);
        value = value.trim_start_matches(|c| Some(c) == comment).to_owned();
    }
    (dialect.quote.is_some() || !value.is_empty()).then_some(value)
}

/// Writes a value: in quotes if it can be and `quoted` says so, otherwise with escapes.
fn encode(dialect: &Dialect, value: Option<&str>, quoted: bool, doubled: bool) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let char_of = |byte: Option<u8>| byte.map(char::from);
    let (quote, escape) = (char_of(dialect.quote), char_of(dialect.escape));
    let comment = char_of(dialect.comment);
    let delimiter = char::from(dialect.delimiter);
    let is_special =
        |c: char| c == delimiter || Some(c) == quote || Some(c) == escape || "\r\n".contains(c);
    let needs_help = value.is_empty()
        || value.contains(is_special)
        || value.chars().next() == comment && comment.is_some();
    match (quote, escape) {
        (Some(quote), _) if quoted || (needs_help && (escape.is_none() || value.is_empty())) => {
            let mut text = String::from(quote);
            for c in value.chars() {
                match escape {
                    Some(escape) if c == escape => text.push(escape),
                    Some(escape) if c == quote && !doubled => text.push(escape),
                    _ if c == quote => text.push(quote),
                    _ => {}
                }
                text.push(c);
            }
            text.push(quote);
            text
        }
        (_, Some(escape)) => {
            let mut text = String::new();
            for (at, c) in value.char_indices() {
                if is_special(c) || (at == 0 && Some(c) == comment) {
                    text.push(escape);
                }
                text.push(c);
            }
            text
        }
        _ => value.to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Records, their fields and what is wrong with them are those of the model, in every dialect.
    #[test]
    fn every_dialect_is_read_as_the_model_says((dialect, file) in any_file(), options in options()) {
        let blocks = read_as(&file, &layout(dialect, text_columns(&NAMES)), options);
        let mut records = model::records(&file, &dialect, options.max_record_bytes).into_iter();
        for block in &blocks {
            for (row, read) in rows_of(block).into_iter().enumerate() {
                let record = records.next().unwrap();
                prop_assert_eq!((read.line, read.offset), (record.line, record.offset));
                prop_assert_eq!(&read.raw_bytes, &record.raw);
                let fields = match record.broken {
                    Some(_) => Vec::new(),
                    None => model::fields(&record.raw, &dialect),
                };
                let only_fault = match (&record.broken, fields.len()) {
                    (Some(check), _) => Some(*check),
                    (None, 3) => None,
                    (None, _) => Some("fields"),
                };
                if let Some(check) = only_fault {
                    prop_assert_eq!(read.faults.len(), 1);
                    prop_assert!(read.faults[0].starts_with(check), "{:?}", read.faults);
                    prop_assert_eq!(&read.cells, "∅|∅|∅");
                    continue;
                }
                let mut faults = 0;
                for (column, field) in block.batch.columns().iter().zip(fields) {
                    let column = column.as_string::<i32>();
                    let cell = column.is_valid(row).then(|| column.value(row));
                    let text = std::str::from_utf8(&field.content);
                    if field.text_after_quote || text.is_err() {
                        faults += 1;
                        prop_assert_eq!(cell, None);
                    } else {
                        let is_null = field.content.is_empty() && !field.quoted;
                        prop_assert_eq!(cell, text.ok().filter(|_| !is_null));
                    }
                }
                prop_assert_eq!(read.faults.len(), faults);
            }
        }
        prop_assert!(records.next().is_none());
    }

    /// Neither how a file is cut nor how many threads read it changes anything.
    #[test]
    fn any_chunk_size_and_any_number_of_threads_give_the_same_rows(
        (dialect, file) in any_file(),
        options in options(),
        threads in 2usize..5,
    ) {
        let layout = layout(dialect, text_columns(&NAMES));
        let whole = Options { chunk_bytes: 1 << 20, ..options };
        let expected: Vec<Row> = read_as(&file, &layout, whole).iter().flat_map(rows_of).collect();
        prop_assert_eq!(rows_of_threads(&file, &layout, options, threads), expected);
    }

    /// What is written in a dialect is read back as it was.
    #[test]
    fn written_text_is_read_back(
        dialect in dialect(),
        rows in prop::collection::vec(prop::array::uniform3((value(), any::<bool>(), any::<bool>())), 1..12),
        line_end in select(vec!["\n", "\r\n"]),
        chunk_bytes in 1usize..300,
    ) {
        let mut file = String::new();
        let mut expected = Vec::new();
        for row in rows {
            let values = row.clone().map(|(value, ..)| writable(&dialect, value));
            for (n, (value, (_, quoted, doubled))) in values.iter().zip(&row).enumerate() {
                if n > 0 {
                    file.push(char::from(dialect.delimiter));
                }
                file.push_str(&encode(&dialect, value.as_deref(), *quoted, *doubled));
            }
            file.push_str(line_end);
            expected.push(values);
        }
        let options = Options { chunk_bytes, ..Options::default() };
        let blocks = read_as(&file.into_bytes(), &layout(dialect, text_columns(&NAMES)), options);
        let mut expected = expected.into_iter();
        for block in &blocks {
            prop_assert!(block.faults.is_empty(), "{:?}", block.faults);
            for row in 0..block.batch.num_rows() {
                let values = [0, 1, 2].map(|column| {
                    let column = block.batch.column(column).as_string::<i32>();
                    column.is_valid(row).then(|| column.value(row).to_owned())
                });
                prop_assert_eq!(Some(values), expected.next());
            }
        }
        prop_assert!(expected.next().is_none());
    }
}
