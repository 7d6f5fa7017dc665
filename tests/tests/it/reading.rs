//! Raw files are read as other readers read them.
//!
//! Files are made here, of every type and in every style; lake's reader has to
//! yield what they were made of, and so have DuckDB and Python's own modules.
//! Where one of these loses something, the comparison with it leaves that out,
//! and says so.

use std::fs;
use std::path::{Path, PathBuf};

use lake_reader::{Column, ColumnType, Dialect, ExtraColumns, Format, Layout, Options};
use serde_json::{Value, json as value};

mod cell;
mod delimited;
mod json;
mod lake;
mod others;
mod random;

use cell::{Cell, Rows, columns, decimals, list, map, structure};
use delimited::{Quoting, Style};
use json::Records;
use others::{Job, answers, dialect_options, difference};
use random::{Random, Texts};

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

/// Records may be as long as these tests make them.
const LARGE_RECORDS: Options = Options {
    chunk_bytes: 1 << 20,
    max_record_bytes: 1 << 24,
    on_truncated: lake_reader::OnTruncated::Fail,
};

/// Files that are made of known values, and who is to read them.
struct Files {
    directory: tempfile::TempDir,
    random: Random,
    cases: Vec<Case>,
}

struct Case {
    file: PathBuf,
    layout: Layout,
    /// What the file was made of.
    rows: Rows,
    /// Who else reads it, and which columns.
    readings: Vec<Reading>,
}

struct Reading {
    reader: &'static str,
    columns: Vec<usize>,
    options: Value,
    /// Whether it reads an empty text where there is NULL.
    empty_for_null: bool,
}

impl Files {
    fn new(seed: u64) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            random: Random::new(seed),
            cases: Vec::new(),
        }
    }

    /// A delimited file of so many rows of all types.
    fn delimited(&mut self, style: Style, texts: Texts, count: usize) {
        let columns = scalars();
        let rows = random::rows(&mut self.random, &columns, texts, count);
        self.delimited_rows(style, columns, &rows);
    }

    fn delimited_rows(&mut self, style: Style, columns: Vec<Column>, rows: &[Vec<Cell>]) {
        let bytes = delimited::write(&mut self.random, style, &columns, rows);
        let all: Vec<usize> = (0..columns.len()).collect();
        let Dialect {
            quote,
            escape,
            comment,
            ..
        } = style.dialect;
        let mut readings = Vec::new();
        // Python's csv has no comments, and cannot tell an empty text from NULL.
        if comment.is_none() {
            readings.push(Reading {
                reader: "Python's csv",
                columns: all.clone(),
                options: dialect_options(style.dialect),
                empty_for_null: true,
            });
        }
        // DuckDB knows an escape in quotes only.
        if quote.is_some() || escape.is_none() {
            for parallel in [false, true] {
                let mut options = dialect_options(style.dialect);
                options["parallel"] = value!(parallel);
                readings.push(Reading {
                    reader: "DuckDB's read_csv",
                    columns: all.clone(),
                    options,
                    empty_for_null: false,
                });
            }
        }
        let layout = Layout::new(Format::Delimited(style.dialect), columns);
        self.add("csv", &bytes, layout, rows, readings);
    }

    /// A JSON file of so many rows of all types, nested ones too.
    fn json(&mut self, records: Records, any_notation: bool, count: usize) {
        let mut columns = scalars();
        columns.extend(nested());
        let rows = random::rows(&mut self.random, &columns, Texts::Any, count);
        let style = json::Style {
            records,
            any_notation,
        };
        let bytes = json::write(&mut self.random, style, &columns, &rows);
        let (format, extension, python, duckdb) = match records {
            Records::Lines { .. } => (
                Format::NdJson,
                "ndjson",
                "Python's json, line by line",
                "DuckDB's read_json, line by line",
            ),
            Records::Array => (Format::Json, "json", "Python's json", "DuckDB's read_json"),
            Records::Sequence => (
                Format::Json,
                "json",
                "Python's json, object by object",
                "DuckDB's read_json, object by object",
            ),
        };
        let reading = |reader, columns| Reading {
            reader,
            columns,
            options: value!({}),
            empty_for_null: false,
        };
        let all = 0..columns.len();
        let mut readings = vec![reading(python, all.clone().collect())];
        // DuckDB makes a float of a number with a fraction or an exponent, on the way to whatever
        // is declared: it reads no more than 15 digits.
        if !any_notation {
            let exact = all.filter(|at| {
                !matches!(
                    columns[*at].data_type,
                    ColumnType::Decimal { precision: 38, .. }
                )
            });
            readings.push(reading(duckdb, exact.collect()));
        }
        let layout = Layout {
            extra_columns: ExtraColumns::Ignore,
            ..Layout::new(format, columns)
        };
        self.add(extension, &bytes, layout, &rows, readings);
    }

    fn add(
        &mut self,
        extension: &str,
        bytes: &[u8],
        layout: Layout,
        rows: &[Vec<Cell>],
        readings: Vec<Reading>,
    ) {
        let name = format!("{}.{extension}", self.cases.len());
        let file = self.directory.path().join(name);
        fs::write(&file, bytes).unwrap();
        let rows = rows.iter();
        let rows = rows.map(|row| row.iter().map(Cell::form).collect());
        self.cases.push(Case {
            file,
            layout,
            rows: rows.collect(),
            readings,
        });
    }

    /// That lake and all others read from every file what it was made of.
    #[track_caller]
    fn agree(self) {
        for case in &self.cases {
            let ours = lake::rows(&case.file, &case.layout, LARGE_RECORDS, 2);
            case.assert_same("lake", &case.layout.columns, &ours, &case.rows);
        }
        let all = self.cases.iter();
        let all = all.flat_map(|case| case.readings.iter().map(move |reading| (case, reading)));
        let jobs: Vec<Job> = all
            .clone()
            .map(|(case, reading)| {
                let columns = case.columns(reading);
                Job::read(
                    reading.reader,
                    &case.file,
                    &columns,
                    reading.options.clone(),
                )
            })
            .collect();
        for ((case, reading), theirs) in all.zip(answers(&jobs)) {
            let columns = case.columns(reading);
            let ours = case.rows_for(reading);
            case.assert_same(reading.reader, &columns, &ours, &theirs);
        }
    }
}

impl Case {
    /// The columns that another reader reads.
    fn columns(&self, reading: &Reading) -> Vec<Column> {
        let positions = reading.columns.iter();
        positions
            .map(|at| self.layout.columns[*at].clone())
            .collect()
    }

    /// What another reader should find, as far as it can tell.
    fn rows_for(&self, reading: &Reading) -> Rows {
        let cell = |row: &Vec<Value>, at: usize| {
            let is_text = self.layout.columns[at].data_type == ColumnType::Text;
            if reading.empty_for_null && is_text && row[at].is_null() {
                value!("")
            } else {
                row[at].clone()
            }
        };
        let rows = self.rows.iter();
        rows.map(|row| reading.columns.iter().map(|at| cell(row, *at)).collect())
            .collect()
    }

    #[track_caller]
    fn assert_same(&self, reader: &str, columns: &[Column], ours: &Rows, theirs: &Rows) {
        if let Some(difference) = difference(&self.file, columns, ours, theirs) {
            let start = fs::read(&self.file).unwrap();
            let start = String::from_utf8_lossy(&start[..start.len().min(2000)]).into_owned();
            panic!("lake and {reader} differ: {difference}\nThe file starts:\n{start}");
        }
    }
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
