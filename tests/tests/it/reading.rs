//! Raw files are read as other readers read them.
//!
//! Files are made here, of every type and in every style; lake's reader has to
//! yield what they were made of, and so have DuckDB and Python's own modules.
//! Where one of these loses something, the comparison with it leaves that out,
//! and says so.

use std::path::Path;

use lake_reader::{Column, ColumnType, Dialect, Encoding, Options};
use serde_json::json as value;

mod cell;
mod delimited;
mod files;
mod json;
mod lake;
mod large;
mod others;
mod parquet;
mod random;

use cell::{Cell, Rows, columns, decimals, list, map, structure};
use delimited::{Quoting, Style};
use files::{Files, LARGE_RECORDS};
use json::Records;
use others::difference;
use parquet::Stored;
use random::Texts;

#[test]
fn comma_separated_files_are_read_as_duckdb_and_python_read_them() {
    let mut files = Files::new(1);
    for count in [0, 1, 2, 1500] {
        for line_end in ["\n", "\r\n"] {
            for quoting in [Quoting::Minimal, Quoting::All, Quoting::Some] {
                let style = Style {
                    line_end,
                    quoting,
                    ends_with_line_end: files.random.one_in(2),
                    byte_order_mark: files.random.one_in(2),
                    ..Style::CSV
                };
                files.delimited(style, Texts::Any, count);
            }
        }
    }
    files.agree();
}

#[test]
fn every_dialect_is_read_as_duckdb_and_python_read_it() {
    let mut files = Files::new(6);
    let quoted = |delimiter, quote, escape| Dialect {
        delimiter,
        quote: Some(quote),
        escape,
        ..Dialect::CSV
    };
    let unquoted = |delimiter, escape| Dialect {
        delimiter,
        escape,
        ..Dialect::TSV
    };
    let commented = Dialect {
        comment: Some(b'#'),
        ..Dialect::CSV
    };
    let dialects = [
        (Texts::Any, quoted(b';', b'"', None)),
        (Texts::Any, quoted(b'\t', b'"', None)),
        (Texts::Any, quoted(b' ', b'"', None)),
        (Texts::Any, quoted(b'a', b'"', None)),
        (Texts::Any, quoted(1, b'"', None)),
        (Texts::Any, quoted(b'|', b'\'', None)),
        (Texts::Any, quoted(b',', b'"', Some(b'\\'))),
        (Texts::Any, quoted(b'|', b'\'', Some(b'^'))),
        (Texts::Any, commented),
        (Texts::NotEmpty, unquoted(b'\t', Some(b'\\'))),
        (Texts::NotEmpty, unquoted(b',', Some(b'\\'))),
        (Texts::Plain, unquoted(b'\t', None)),
        (Texts::Plain, unquoted(1, None)),
    ];
    for (texts, dialect) in dialects {
        for (count, line_end, header) in [(1, "\n", false), (60, "\r\n", true), (200, "\n", false)]
        {
            // Python's csv does not take an escaped line end for the end of a file.
            let may_end_in_an_escape = dialect.quote.is_none() && dialect.escape.is_some();
            let style = Style {
                dialect: Dialect { header, ..dialect },
                line_end,
                quoting: Quoting::Some,
                ends_with_line_end: may_end_in_an_escape || files.random.one_in(2),
                byte_order_mark: files.random.one_in(4),
            };
            files.delimited(style, texts, count);
        }
    }
    files.agree();
}

#[test]
fn records_that_are_longer_than_a_chunk_are_read_as_others_read_them() {
    let mut files = Files::new(2);
    let long = |text: &str, bytes: usize| Cell::Text(text.repeat(bytes / text.len()));
    let rows = vec![
        vec![Cell::Int(1), long("abcdefg", 10)],
        vec![Cell::Int(2), long("a\"b,\n", 3_000_000)],
        vec![Cell::Int(3), long("é漢🦀", 1_200_000)],
        vec![Cell::Int(4), Cell::Text(String::new())],
    ];
    let columns = columns([("int64", ColumnType::Int64), ("text", ColumnType::Text)]);
    files.delimited_rows(Style::CSV, columns, &rows);
    files.agree();
}

#[test]
fn ndjson_is_read_as_duckdb_and_python_read_it() {
    let mut files = Files::new(4);
    for line_end in ["\n", "\r\n"] {
        for count in [0, 1, 800] {
            files.json(Records::Lines { line_end }, false, count);
            files.json(Records::Lines { line_end }, true, count);
        }
    }
    files.agree();
}

#[test]
fn json_is_read_as_duckdb_and_python_read_it() {
    let mut files = Files::new(5);
    for records in [Records::Array, Records::Sequence] {
        for count in [0, 1, 800] {
            files.json(records, false, count);
            files.json(records, true, count);
        }
    }
    files.agree();
}

#[test]
fn parquet_is_read_as_duckdb_reads_it_and_as_it_was_written() {
    let mut files = Files::new(7);
    let mut as_declared = scalars();
    as_declared.extend(nested());
    let as_declared: Vec<Stored> = as_declared
        .into_iter()
        .map(|column| (column, None))
        .collect();
    let written = |compression, dictionary, page_version, rows| {
        value!({
            "compression": compression, "dictionary": dictionary, "page_version": page_version,
            "page_bytes": 500, "row_group_rows": rows, "int96": false,
        })
    };
    for count in [0, 1, 700] {
        for compression in ["snappy", "zstd", "gzip", "none", "brotli", "lz4"] {
            let version = files.random.of(&["1.0", "2.0"]);
            let options = written(compression, count % 2 == 0, version, 100);
            files.parquet("pyarrow", &as_declared, options, count);
        }
        for compression in [
            "snappy",
            "zstd",
            "gzip",
            "uncompressed",
            "brotli",
            "lz4_raw",
        ] {
            let options = written(compression, true, "1.0", 2048);
            files.parquet("DuckDB", &as_declared, options, count);
        }
        let options = written("snappy", true, "1.0", 100);
        files.parquet("pyarrow", &parquet::stored_otherwise(), options, count);
        let mut options = written("snappy", true, "1.0", 100);
        options["int96"] = value!(true);
        let instants = columns([("timestamp", ColumnType::Timestamp)]);
        let instants: Vec<Stored> = instants.into_iter().map(|c| (c, Some("int96"))).collect();
        files.parquet("pyarrow", &instants, options, count);
    }
    files.agree();
}

#[test]
fn encodings_and_compressions_say_the_same_as_plain_files() {
    let style = Style {
        byte_order_mark: false,
        ..Style::CSV
    };
    let some_files = |seed, texts| {
        let mut files = Files::new(seed);
        for count in [1, 300] {
            files.delimited(style, texts, count);
        }
        if texts == Texts::Any {
            files.json(Records::Lines { line_end: "\n" }, false, 100);
            files.json(Records::Array, false, 100);
        }
        files
    };
    for (seed, compression) in [(9, "gzip"), (10, "zstd")] {
        let mut files = some_files(seed, Texts::Any);
        files.once_more(Encoding::Utf8, Some(compression));
        files.agree();
    }
    for (seed, encoding) in [
        (11, Encoding::Utf16),
        (12, Encoding::Utf16Le),
        (13, Encoding::Utf16Be),
    ] {
        let mut files = some_files(seed, Texts::Any);
        files.once_more(encoding, None);
        files.agree();
    }
    let mut files = some_files(14, Texts::Latin1);
    files.once_more(Encoding::Latin1, Some("gzip"));
    files.agree();
}

#[test]
fn chunks_and_threads_make_no_difference() {
    let mut files = Files::new(3);
    for line_end in ["\n", "\r\n"] {
        for count in [0, 1, 40] {
            let style = Style {
                line_end,
                quoting: Quoting::Some,
                ..Style::CSV
            };
            files.delimited(style, Texts::Any, count);
        }
    }
    for count in [0, 1, 25] {
        files.json(Records::Lines { line_end: "\n" }, true, count);
        files.json(Records::Array, true, count);
        files.json(Records::Sequence, true, count);
    }
    for case in &files.cases {
        for threads in [1, 2, 8] {
            for chunk_bytes in (1..80).chain([100, 1000, 10_000, 100_000]) {
                let options = Options {
                    chunk_bytes,
                    ..LARGE_RECORDS
                };
                let ours = lake::rows(&case.file, &case.layout, options, threads);
                let difference = difference(&case.file, &case.layout.columns, &ours, &case.rows);
                assert_eq!(
                    difference, None,
                    "chunks of {chunk_bytes} bytes, {threads} threads"
                );
            }
        }
    }
}

#[test]
fn a_difference_is_named_by_file_row_and_column() {
    let columns = columns([("a", ColumnType::Text), ("b", ColumnType::Text)]);
    let file = Path::new("x.csv");
    let rows = |cells: [Option<&str>; 4]| -> Rows {
        let rows = cells.chunks(2);
        rows.map(|row| row.iter().map(|cell| value!(cell)).collect())
            .collect()
    };
    let ours = rows([Some("1"), Some("2"), Some("3"), None]);
    assert_eq!(difference(file, &columns, &ours, &ours), None);
    let theirs = rows([Some("1"), Some("2"), Some("3"), Some("")]);
    assert_eq!(
        difference(file, &columns, &ours, &theirs).unwrap(),
        "x.csv, row 2, column b: null and \"\""
    );
    assert_eq!(
        difference(file, &columns, &ours, &ours[..1].to_vec()).unwrap(),
        "x.csv: 2 rows and 1 rows"
    );
}

/// A column of every type that has no parts, and decimals of several sizes.
fn scalars() -> Vec<Column> {
    columns([
        ("int32", ColumnType::Int32),
        ("text", ColumnType::Text),
        ("boolean", ColumnType::Boolean),
        ("int64", ColumnType::Int64),
        ("float64", ColumnType::Float64),
        ("decimal(9, 2)", decimals(9, 2)),
        ("decimal(18, 0)", decimals(18, 0)),
        ("decimal(38, 5)", decimals(38, 5)),
        ("decimal(38, 38)", decimals(38, 38)),
        ("date", ColumnType::Date),
        ("timestamp", ColumnType::Timestamp),
        ("more text", ColumnType::Text),
    ])
}

/// Columns that have parts, and JSON.
fn nested() -> Vec<Column> {
    let item = structure([
        ("id", ColumnType::Int64),
        ("name", ColumnType::Text),
        ("tags", list(ColumnType::Text)),
        ("price", decimals(9, 2)),
    ]);
    columns([
        ("json", ColumnType::Json),
        ("list", list(ColumnType::Int32)),
        ("map", map(ColumnType::Float64)),
        ("list of structs", list(item.clone())),
        (
            "struct",
            structure([("item", item), ("day", ColumnType::Date)]),
        ),
        ("map of lists", map(list(ColumnType::Boolean))),
    ])
}
