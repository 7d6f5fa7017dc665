//! Files of an input, read by any number of threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake_pipeline::PathValues;
use lake_plugin::prelude::*;
use lake_store::Stores;

use super::*;
use crate::check::input_schema;
use crate::discover::Content;
use crate::parameters;

/// Rows enough for several pieces of a file that is read a little at a time.
const CHUNK_BYTES: usize = 4096;

/// Files in a directory that is thrown away.
struct Files {
    directory: tempfile::TempDir,
    pending: Vec<PendingFile>,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            pending: Vec::new(),
        }
    }

    fn with(mut self, name: &str, content: &str, captures: &[(&str, Option<&str>)]) -> Self {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        let captures: PathValues = captures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect();
        self.pending.push(pending(path, captures));
        self
    }
}

fn pending(path: PathBuf, captures: PathValues) -> PendingFile {
    let meta = fs::metadata(&path).unwrap();
    let modified = meta.modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    let modified = i64::try_from(modified.as_micros()).unwrap();
    PendingFile {
        path: path.display().to_string(),
        etag: None,
        size: meta.len(),
        modified,
        received_at: modified,
        captures,
        content: Content::File,
    }
}

fn numbers() -> Input {
    Input::csv("numbers")
        .header()
        .column("n", integer().required())
        .column("name", text())
        .check("not seven", "n % 7 <> 0")
}

/// A file of these numbers; every eleventh is none.
fn rows(numbers: std::ops::Range<u32>) -> String {
    let mut text = "n,name\n".to_owned();
    for n in numbers {
        let name = if n % 5 == 0 { "\"two\nlines\"" } else { "one" };
        match n % 11 {
            0 => drop(writeln!(text, "x{n},{name}")),
            _ => drop(writeln!(text, "{n},{name}")),
        }
    }
    text
}

type Opened = (
    SessionContext,
    Arc<InputReader>,
    mpsc::Receiver<RecordBatch>,
);

fn open(input: Input, files: &Files, threads: usize) -> Result<Opened> {
    let transform = Transform::new().input(input);
    let declared = transform.declaration().inputs.remove(0);
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    let schema = input_schema(&declared);
    let parameters = parameters::tests::some();
    let checks = Checks::new(&session, &declared, &schema, &parameters)?;
    let options = Options {
        chunk_bytes: CHUNK_BYTES,
        ..Options::default()
    };
    let reading = Reading {
        files: files.pending.clone(),
        on_empty: OnEmpty::Wait,
        options,
        run: 1,
        transform_version: "1.0.0".to_owned(),
        progress: Arc::default(),
        stores: Stores::default(),
        root: Root::open(files.directory.path().to_str().unwrap(), &Stores::default()).unwrap(),
        runtime: Handle::current(),
    };
    let (reader, rejections) = InputReader::new(&declared, checks, schema, reading)?;
    let table = InputTable::new(Arc::clone(&reader), threads);
    session
        .register_table(declared.name.as_str(), Arc::new(table))
        .unwrap();
    Ok((session, reader, rejections))
}

/// What reading all files yields: accepted rows as text, the ids of rejected rows, and the rest.
async fn read(
    input: Input,
    files: &Files,
    threads: usize,
    sql: &str,
) -> (Vec<String>, BTreeSet<String>, Yielded) {
    let (session, reader, mut rejections) = open(input, files, threads).unwrap();
    let rejected = tokio::spawn(async move {
        let mut ids = BTreeSet::new();
        while let Some(batch) = rejections.recv().await {
            let column = batch.column(0).as_string::<i32>();
            ids.extend(column.iter().flatten().map(str::to_owned));
        }
        ids
    });
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    reader.close();
    let rejected = rejected.await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells = batch
                .columns()
                .iter()
                .map(|column| arrow::util::display::array_value_to_string(column, row).unwrap());
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    rows.sort_unstable();
    assert!(reader.is_complete());
    let mut yielded = reader.yielded();
    yielded.files.sort_by(|a, b| a.path.cmp(&b.path));
    (rows, rejected, yielded)
}

const ALL: &str = "SELECT n, name, _line FROM numbers";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_does_not_depend_on_the_number_of_threads() {
    let mut files = Files::new().with("large.csv", &rows(0..9000), &[]);
    for small in 0..20_u32 {
        let content = rows(small * 10..small * 10 + 10);
        files = files.with(&format!("small{small}.csv"), &content, &[]);
    }
    let (rows, rejected, yielded) = read(numbers(), &files, 1, ALL).await;
    let good = |n: &u32| !n.is_multiple_of(7) && !n.is_multiple_of(11);
    let expected = (0..9000).filter(good).count() + (0..200).filter(good).count();
    assert_eq!(rows.len(), expected);
    assert_eq!(rows.len() + rejected.len(), 9200);
    for threads in [2, 3, 8] {
        let (other, also_rejected, also_yielded) = read(numbers(), &files, threads, ALL).await;
        assert!(other == rows, "{threads} threads read other rows");
        assert!(
            also_rejected == rejected,
            "{threads} threads reject other rows"
        );
        assert_eq!(also_yielded.files, yielded.files);
        assert_eq!(
            also_yielded.reasons.sorted(),
            yielded.reasons.clone().sorted()
        );
    }
    let large = &yielded.files[0];
    assert_eq!(large.rows, 9000);
    assert_eq!(large.accepted + large.rejected, 9000);
    let bytes = fs::read(&files.pending[0].path).unwrap();
    assert_eq!(large.hash, blake3::hash(&bytes).to_hex().to_string());
    assert_eq!(large.header, "n,name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_scans_an_input_twice_reads_all_rows_twice_and_counts_them_once() {
    let files = Files::new().with("a.csv", &rows(0..3000), &[]);
    let (once, rejected, yielded) = read(numbers(), &files, 4, ALL).await;
    let sql = "SELECT a.n, b.name, a._line FROM numbers AS a JOIN numbers AS b ON a.n = b.n";
    let (twice, also_rejected, also_yielded) = read(numbers(), &files, 4, sql).await;
    assert!(twice == once && also_rejected == rejected);
    assert_eq!(also_yielded.files, yielded.files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_stops_asking_stops_the_reading() {
    let files = Files::new().with("a.csv", &rows(0..90_000), &[]);
    let (session, reader, mut rejections) = open(numbers(), &files, 2).unwrap();
    let draining = tokio::spawn(async move { while rejections.recv().await.is_some() {} });
    let frame = session.sql("SELECT n FROM numbers LIMIT 1").await.unwrap();
    assert_eq!(frame.collect().await.unwrap()[0].num_rows(), 1);
    reader.close();
    draining.await.unwrap();
    assert!(!reader.is_complete());
    assert!(reader.take_error().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_ends_all_streams_with_its_name() {
    let mut files = Files::new();
    for n in 0..8 {
        files = files.with(&format!("{n}.csv"), &rows(0..2000), &[]);
    }
    fs::write(&files.pending[5].path, "other,columns\n1,2\n").unwrap();
    let (session, reader, mut rejections) = open(numbers(), &files, 3).unwrap();
    let draining = tokio::spawn(async move { while rejections.recv().await.is_some() {} });
    let read = session.sql(ALL).await.unwrap().collect().await;
    reader.close();
    draining.await.unwrap();
    assert!(read.is_err());
    let error = reader.take_error().unwrap().to_string();
    assert!(error.contains("5.csv"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_fails_the_run() {
    let files = Files::new().with("a.csv", &rows(0..100), &[]);
    let (session, reader, mut rejections) = open(numbers(), &files, 1).unwrap();
    let more = rows(0..200);
    fs::write(&files.pending[0].path, more).unwrap();
    let draining = tokio::spawn(async move { while rejections.recv().await.is_some() {} });
    session.sql(ALL).await.unwrap().collect().await.unwrap_err();
    reader.close();
    draining.await.unwrap();
    let error = reader.take_error().unwrap().to_string();
    assert!(error.contains("changed while it was read"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_nothing_in_it_is_dealt_with_as_the_input_says() {
    for (policy, expected) in [(OnEmpty::Wait, 0), (OnEmpty::Load, 1)] {
        let files = Files::new().with("a.csv", "\n\n", &[]);
        let (session, reader, _rejections) = open(numbers(), &files, 1).unwrap();
        let reader = with_policy(&session, reader, policy);
        session.sql(ALL).await.unwrap().collect().await.unwrap();
        assert!(reader.is_complete());
        let yielded = reader.yielded();
        assert_eq!(yielded.files.len(), expected, "{policy:?}");
        assert!(yielded.files.iter().all(|file| file.rows == 0));
        assert_eq!(yielded.warnings.len(), 1 - expected);
    }
    let files = Files::new().with("a.csv", "\n\n", &[]);
    let (session, reader, _rejections) = open(numbers(), &files, 1).unwrap();
    let reader = with_policy(&session, reader, OnEmpty::Fail);
    session.sql(ALL).await.unwrap().collect().await.unwrap_err();
    let error = reader.take_error().unwrap().to_string();
    assert!(error.contains("on_empty is fail"), "{error}");
}

/// The same reader with another policy, in place of the first.
fn with_policy(
    session: &SessionContext,
    reader: Arc<InputReader>,
    on_empty: OnEmpty,
) -> Arc<InputReader> {
    session.deregister_table("numbers").unwrap();
    let mut reader = Arc::into_inner(reader).unwrap();
    reader.reading.on_empty = on_empty;
    let reader = Arc::new(reader);
    let table = InputTable::new(Arc::clone(&reader), 1);
    session.register_table("numbers", Arc::new(table)).unwrap();
    reader
}

fn dated() -> Input {
    numbers()
        .column("year", int32().required().from_path())
        .column("site", text().from_path().nulls(["none"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_from_the_path_has_one_value_for_all_rows_of_a_file() {
    let files = Files::new()
        .with(
            "a.csv",
            "n,name\n1,x\nbad,x\n2,x\n",
            &[("year", Some("2024")), ("site", Some("a;b, c"))],
        )
        .with(
            "b.csv",
            "n,name\n3,x\n",
            &[("year", Some("2025")), ("site", None)],
        )
        .with(
            "c.csv",
            "n,name\n4,x\n",
            &[("year", Some("2026")), ("site", Some("none"))],
        );
    let sql = "SELECT n, year, site FROM numbers";
    let (rows, rejected, _) = read(dated(), &files, 2, sql).await;
    assert_eq!(
        rows,
        ["1|2024|a;b, c", "2|2024|a;b, c", "3|2025|", "4|2026|"]
    );
    assert_eq!(rejected.len(), 1);
}

/// What is said about a file whose path has these values.
async fn refused(captures: &[(&str, Option<&str>)]) -> String {
    let files = Files::new().with("a.csv", "n,name\n1,x\n", captures);
    let (session, reader, _rejections) = open(dated(), &files, 1).unwrap();
    session.sql(ALL).await.unwrap().collect().await.unwrap_err();
    let error = reader.take_error().unwrap();
    assert!(matches!(error, RunError::Input { .. }));
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_value_or_with_a_wrong_one_is_an_error_of_its_file() {
    let site = ("site", Some("a"));
    let error = refused(&[site]).await;
    assert!(
        error.contains("which names site; say where it is with {year}"),
        "{error}"
    );
    let error = refused(&[]).await;
    assert!(error.contains("which names nothing"), "{error}");
    let error = refused(&[site, ("year", Some("then"))]).await;
    assert!(
        error.contains("a.csv: column year of input numbers"),
        "{error}"
    );
    assert!(error.contains("'then' is not an int32"), "{error}");
    let error = refused(&[site, ("year", None)]).await;
    assert!(error.contains("the column is required"), "{error}");
    // Nothing that can be in a path is more than one value.
    for odd in ["2024\n2025", "2024\u{1F}2025"] {
        let error = refused(&[site, ("year", Some(odd))]).await;
        assert!(error.contains("where it is"), "{error}");
    }
}

#[test]
fn rows_of_nested_columns_have_the_schema_that_sql_is_planned_over() {
    let input = Input::json("numbers").column(
        "payload",
        structure()
            .field("id", integer().required())
            .field("amounts", list(decimal(9, 2)))
            .field("labels", map(structure().field("at", timestamp())))
            .field("rest", json()),
    );
    let declared = Transform::new().input(input).declaration().inputs.remove(0);
    let columns = layout::layout(&declared).unwrap().columns;
    let schema = input_schema(&declared);
    assert_eq!(columns[0].field(), *schema.field(0));
}

#[test]
fn everything_that_is_declared_reaches_the_reader() {
    let input = Input::csv("numbers")
        .header()
        .delimiter(';')
        .quote('\'')
        .escape('\\')
        .comment('#')
        .encoding(Encoding::Utf16Le)
        .missing_columns(MissingColumns::Null)
        .extra_columns(ExtraColumns::Ignore)
        .nulls(["NULL"])
        .whitespace(Whitespace::Trim)
        .zone("Europe/Berlin")
        .spellings(["ja"], ["nein"])
        .decimal_separator(',')
        .group_separator('.')
        .column("a", text().nulls(["-"]))
        .column(
            "b",
            timestamp()
                .formats(["%F %T"])
                .ambiguous(Ambiguous::Latest)
                .nonexistent(Nonexistent::Shift),
        )
        .column("c", boolean())
        .column("d", float().required())
        .column("e", text().from_path());
    let declared = Transform::new().input(input).declaration().inputs.remove(0);
    let layout = layout::layout(&declared).unwrap();
    let dialect = lake_reader::Dialect {
        delimiter: b';',
        quote: Some(b'\''),
        escape: Some(b'\\'),
        comment: Some(b'#'),
        header: true,
    };
    assert_eq!(layout.format, lake_reader::Format::Delimited(dialect));
    assert_eq!(layout.encoding, lake_reader::Encoding::Utf16Le);
    assert_eq!(layout.missing_columns, lake_reader::MissingColumns::Null);
    assert_eq!(layout.extra_columns, lake_reader::ExtraColumns::Ignore);
    let rules: Vec<&lake_reader::Rules> = layout.columns.iter().map(|c| &c.rules).collect();
    assert_eq!(rules.len(), 4, "a column from the path is in no file");
    let trimmed = lake_reader::Rules {
        nulls: vec!["NULL".to_owned()],
        whitespace: lake_reader::Whitespace::Trim,
        ..lake_reader::Rules::default()
    };
    let dashes = lake_reader::Rules {
        nulls: vec!["-".to_owned()],
        ..trimmed.clone()
    };
    assert_eq!(*rules[0], dashes);
    let berlin = lake_reader::Zone {
        name: chrono_tz::Europe::Berlin,
        ambiguous: lake_reader::Ambiguous::Latest,
        nonexistent: lake_reader::Nonexistent::Shift,
    };
    let times = lake_reader::Rules {
        formats: vec!["%F %T".to_owned()],
        zone: Some(berlin),
        ..trimmed.clone()
    };
    assert_eq!(*rules[1], times);
    let spelled = lake_reader::Rules {
        true_values: vec!["ja".to_owned()],
        false_values: vec!["nein".to_owned()],
        ..trimmed.clone()
    };
    assert_eq!(*rules[2], spelled);
    let numbers = lake_reader::Rules {
        decimal_separator: Some(','),
        group_separator: Some('.'),
        ..trimmed
    };
    assert_eq!(*rules[3], numbers);
    assert!(layout.columns[3].required);
}

#[test]
fn limits_and_policies_of_the_pipeline_file_reach_the_reader() {
    let limits = Limits {
        max_record_bytes: 12_345,
        ..Limits::default()
    };
    let defaults = options(&limits, None);
    assert_eq!(defaults.max_record_bytes, 12_345);
    assert_eq!(defaults.on_truncated, OnTruncated::Fail);
    let text = "name: a\ntransform: {name: a, version: '1'}\nroot: r\n\
                inputs: {numbers: {path: a.csv, on_truncated: reject}}\n";
    let parsed = lake_pipeline::parse(
        text,
        Path::new("/p.yaml"),
        Path::new("/"),
        &|_| None,
        &lake_pipeline::Overrides::default(),
    );
    let pipeline = parsed.unwrap();
    let options = options(&limits, pipeline.inputs.get("numbers"));
    assert_eq!(options.on_truncated, OnTruncated::Reject);
}
