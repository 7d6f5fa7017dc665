//! Files that are made of known values, and who is to read them.

use std::fs;
use std::path::{Path, PathBuf};

use lake_reader::{
    Column, ColumnType, Dialect, Encoding, ExtraColumns, Format, Layout, OnTruncated, Options,
};
use serde_json::{Value, json as value};

use super::cell::{Cell, Rows};
use super::delimited::{self, Style};
use super::json::{self, Records};
use super::others::{Job, answers, dialect_options, difference};
use super::parquet::{self, Stored};
use super::random::{self, Random, Texts};
use super::{lake, nested, scalars};

/// Records may be as long as these tests make them.
pub(super) const LARGE_RECORDS: Options = Options {
    chunk_bytes: 1 << 20,
    max_record_bytes: 1 << 24,
    on_truncated: OnTruncated::Fail,
};

/// Files that are made of known values, and who is to read them.
pub(super) struct Files {
    directory: tempfile::TempDir,
    pub(super) random: Random,
    pub(super) cases: Vec<Case>,
    /// What has to be written by others first.
    writing: Vec<Job>,
}

#[derive(Clone)]
pub(super) struct Case {
    pub(super) file: PathBuf,
    pub(super) layout: Layout,
    /// What the file was made of.
    pub(super) rows: Rows,
    /// Who else reads it, and which columns.
    readings: Vec<Reading>,
}

#[derive(Clone)]
struct Reading {
    reader: &'static str,
    columns: Vec<usize>,
    options: Value,
    /// Whether it reads an empty text where there is NULL.
    empty_for_null: bool,
}

impl Files {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            random: Random::new(seed),
            cases: Vec::new(),
            writing: Vec::new(),
        }
    }

    /// A delimited file of so many rows of all types.
    pub(super) fn delimited(&mut self, style: Style, texts: Texts, count: usize) {
        let columns = scalars();
        let rows = random::rows(&mut self.random, &columns, texts, count);
        self.delimited_rows(style, columns, &rows);
    }

    pub(super) fn delimited_rows(
        &mut self,
        style: Style,
        columns: Vec<Column>,
        rows: &[Vec<Cell>],
    ) {
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
                options["line_end"] = value!(style.line_end);
                readings.push(Reading {
                    reader: "DuckDB's read_csv",
                    columns: all.clone(),
                    options,
                    empty_for_null: false,
                });
            }
        }
        let layout = Layout::new(Format::Delimited(style.dialect), columns);
        let file = self.add("csv", layout, rows, readings);
        fs::write(file, bytes).unwrap();
    }

    /// A JSON file of so many rows of all types, nested ones too.
    pub(super) fn json(&mut self, records: Records, any_notation: bool, count: usize) {
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
        let file = self.add(extension, layout, &rows, readings);
        fs::write(file, bytes).unwrap();
    }

    /// A Parquet file of so many rows, which another writer writes.
    pub(super) fn parquet(
        &mut self,
        writer: &str,
        stored: &[Stored],
        options: Value,
        count: usize,
    ) {
        let columns: Vec<Column> = stored.iter().map(|(column, _)| column.clone()).collect();
        let mut rows = random::rows(&mut self.random, &columns, Texts::Any, count);
        for row in &mut rows {
            for (cell, (_, stored)) in row.iter_mut().zip(stored) {
                *cell = parquet::fitted(std::mem::replace(cell, Cell::Null), *stored);
            }
        }
        // DuckDB does not make a text of bytes, but of how it shows them.
        let not_bytes = (0..columns.len()).filter(|at| {
            stored[*at]
                .1
                .is_none_or(|stored| !stored.contains("binary"))
        });
        let readings = vec![Reading {
            reader: "DuckDB's read_parquet",
            columns: not_bytes.collect(),
            options: value!({}),
            empty_for_null: false,
        }];
        let layout = Layout::new(Format::Parquet, columns);
        let file = self.add("parquet", layout, &rows, readings).to_owned();
        let lines = file.with_extension("rows");
        let mut written = String::new();
        for row in &rows {
            let row: Value = row.iter().map(Cell::form).collect();
            written.push_str(&format!("{row}\n"));
        }
        fs::write(&lines, written).unwrap();
        self.writing
            .push(Job::write_parquet(writer, &file, stored, &lines, options));
    }

    /// All files so far once more, in another encoding or compressed: in several
    /// members or frames, and under a name that does not say so.
    ///
    /// DuckDB unpacks gzip and zstd, and reads UTF-8 only.
    pub(super) fn once_more(&mut self, encoding: Encoding, compression: Option<&str>) {
        for mut case in self.cases.clone() {
            let plain = std::mem::take(&mut case.file);
            case.file = self.next_file("packed");
            case.layout.encoding = encoding;
            if encoding != Encoding::Utf8 {
                case.readings
                    .retain(|reading| reading.reader.starts_with("Python"));
            }
            let storage = value!({"encoding": encoding.to_string(), "compression": compression});
            for reading in &mut case.readings {
                reading.options["encoding"] = storage["encoding"].clone();
                reading.options["compression"] = storage["compression"].clone();
            }
            self.writing.push(Job::pack(&plain, &case.file, storage));
            self.cases.push(case);
        }
    }

    fn add(
        &mut self,
        extension: &str,
        layout: Layout,
        rows: &[Vec<Cell>],
        readings: Vec<Reading>,
    ) -> &Path {
        let file = self.next_file(extension);
        let rows = rows.iter();
        let rows = rows.map(|row| row.iter().map(Cell::form).collect());
        self.cases.push(Case {
            file,
            layout,
            rows: rows.collect(),
            readings,
        });
        &self.cases[self.cases.len() - 1].file
    }

    fn next_file(&self, extension: &str) -> PathBuf {
        let name = format!("{}.{extension}", self.cases.len());
        self.directory.path().join(name)
    }

    /// That lake and all others read from every file what it was made of.
    #[track_caller]
    pub(super) fn agree(self) {
        let all = self.cases.iter();
        let all = all.flat_map(|case| case.readings.iter().map(move |reading| (case, reading)));
        let mut jobs = self.writing.clone();
        jobs.extend(all.clone().map(|(case, reading)| {
            let columns = case.columns(reading);
            Job::read(
                reading.reader,
                &case.file,
                &columns,
                reading.options.clone(),
            )
        }));
        let read = answers(&jobs).split_off(self.writing.len());
        for case in &self.cases {
            let ours = lake::rows(&case.file, &case.layout, LARGE_RECORDS, 2);
            case.assert_same("lake", &case.layout.columns, &ours, &case.rows);
        }
        for ((case, reading), theirs) in all.zip(read) {
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
