//! What a run leaves behind: the rows of `_lake/runs` and `_lake/files`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use lake_delta::{Counts, TableSpec};
use serde::{Deserialize, Serialize};

use crate::discover::Left;
use crate::error::{Result, RunError};
use crate::parameters::ParameterRecord;
use crate::table_checks::CheckRecord;

/// The table of loaded files, below the pipeline's root.
pub(crate) const FILES: &str = "_lake/files";
/// The table of runs, below the pipeline's root.
pub(crate) const RUNS: &str = "_lake/runs";

/// The application name of the Delta protocol's `txn` actions.
pub(crate) fn app(pipeline: &str) -> String {
    format!("lake/{pipeline}")
}

/// One row of `_lake/runs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's number, from 1, without gaps.
    pub run: i64,
    /// What kind of run: `load` (new files), `reload` (all files once more), `recompute` (no
    /// files, another logic), `rollback` (tables are again what an earlier run left),
    /// `skip` (a file is set aside, or brought back), `maintain` (small files are put together, and what nobody needs is deleted), `undo`
    /// (another run is taken back) or `void` (a number without a run).
    pub kind: String,
    /// How it ended: `done`, `undone` (the next run takes it back), `void`, or `stopped` (nothing
    /// was published, and it has no number).
    pub status: String,
    /// Why it is what it is, where that needs words.
    #[serde(default)]
    pub why: Option<String>,
    /// The run that it takes back.
    #[serde(default)]
    pub undoes: Option<i64>,
    /// The run whose state it brings back; 0 is the state before the first.
    #[serde(default)]
    pub restores: Option<i64>,
    /// The oldest run that can be gone back to: what only earlier ones need may be deleted.
    #[serde(default)]
    pub horizon: i64,
    /// What a run of maintenance deletes.
    #[serde(default)]
    pub cleaned: Option<Cleaned>,
    /// Releases that this pipeline must not use any more, since somebody rolled back from them.
    #[serde(default)]
    pub blocked: Vec<TransformRecord>,
    /// The attempt: the name of its directories.
    #[serde(default)]
    pub attempt: String,
    /// The transform that computed it.
    pub transform: TransformRecord,
    /// The values of its parameters, in the order of the declaration.
    #[serde(default)]
    pub parameters: Vec<ParameterRecord>,
    /// When it began, in microseconds since 1970, UTC.
    pub started_at: i64,
    /// When it was sealed, in microseconds since 1970, UTC.
    pub sealed_at: i64,
    /// From its beginning to its seal.
    pub seconds: f64,
    /// The largest amount of memory that the process held, in bytes.
    pub peak_memory_bytes: i64,
    /// The host it ran on.
    pub host: String,
    /// What each input had, in the order of their names.
    pub inputs: Vec<InputRecord>,
    /// What became of each table, in the order of the declaration.
    pub tables: Vec<TableRecord>,
    /// The version of every table of the pipeline after the run, in the order of the names: what
    /// the run left.
    #[serde(default)]
    pub versions: Vec<TableVersion>,
    /// Why rows were rejected, the most frequent reasons of each input first.
    #[serde(default)]
    pub reasons: Vec<ReasonRecord>,
    /// What the table checks found, in the order of the declaration.
    #[serde(default)]
    pub checks: Vec<CheckRecord>,
    /// How long each stage took.
    pub stages: Vec<StageRecord>,
    /// What the transform's functions took, in the order of the declaration.
    #[serde(default)]
    pub functions: Vec<FunctionRecord>,
    /// What the transform's functions measured themselves, in the order of the names.
    #[serde(default)]
    pub metrics: Vec<MetricRecord>,
}

impl RunRecord {
    /// A number without a run: of the tables it says what the run before said.
    pub(crate) fn void(
        run: i64,
        before: Option<&Self>,
        (attempt, now): (&str, i64),
        why: String,
    ) -> Self {
        Self {
            kind: "void".to_owned(),
            status: "void".to_owned(),
            ..Self::after(run, before, (attempt, now), why)
        }
    }

    /// The decision to take back the run before it: of the tables it says what was so before that.
    pub(crate) fn undo(
        run: i64,
        before: Option<&Self>,
        (attempt, now): (&str, i64),
        why: String,
    ) -> Self {
        Self {
            kind: "undo".to_owned(),
            status: "done".to_owned(),
            undoes: Some(run - 1),
            ..Self::after(run, before, (attempt, now), why)
        }
    }

    /// A run that changes no table by itself: of the tables it says what `before` said.
    pub(crate) fn after(
        run: i64,
        before: Option<&Self>,
        (attempt, now): (&str, i64),
        why: String,
    ) -> Self {
        let before = before.cloned().unwrap_or_default();
        let tables = before.tables.into_iter().map(|row| TableRecord {
            counts: Counts::default(),
            filtered: 0,
            how: "unchanged".to_owned(),
            why: None,
            ..row
        });
        Self {
            run,
            why: Some(why),
            attempt: attempt.to_owned(),
            started_at: now,
            sealed_at: now,
            host: before.host,
            transform: before.transform,
            parameters: before.parameters,
            tables: tables.collect(),
            versions: before.versions,
            horizon: before.horizon,
            blocked: before.blocked,
            ..Self::default()
        }
    }
}

/// What a run of maintenance deletes, because nobody needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// How many objects.
    pub objects: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// A table at one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVersion {
    /// The table, as `zone/name`, or `_lake/…` for the tables that lake keeps for itself.
    pub name: String,
    /// Its Delta version.
    pub version: i64,
}

/// Which code computed a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformRecord {
    /// The transform's name.
    pub name: String,
    /// Its version, as its crate says.
    pub version: String,
    /// SHA-256 of the library that was loaded.
    pub digest: String,
    /// SHA-256 of the release that it is from, which is the same for every target; empty for what
    /// was built from a crate.
    #[serde(default)]
    pub release: String,
}

/// What a run read of one input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The input.
    pub name: String,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many records.
    pub rows: u64,
    /// How many of them were accepted.
    pub accepted: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// How many accepted rows failed a check that only warns.
    pub warned: u64,
}

/// How often one reason rejected a row of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonRecord {
    /// The input.
    pub input: String,
    /// The check that failed.
    pub check: String,
    /// The column it looked at; empty where it looked at the whole row.
    #[serde(default)]
    pub column: String,
    /// How many rows.
    pub rows: u64,
}

/// What a run did to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The table, as `zone/name`.
    pub name: String,
    /// Its Delta version after the run.
    pub version: i64,
    /// What became of the rows.
    #[serde(flatten)]
    pub counts: Counts,
    /// Accepted rows that the table's SQL left out.
    pub filtered: u64,
    /// How many rows the table has after the run.
    pub rows: u64,
    /// How it was computed: `merge`, `append`, `groups` (only what was
    /// touched), `full`, or `unchanged`.
    pub how: String,
    /// Why it was computed in full, where it could have been otherwise.
    #[serde(default)]
    pub why: Option<String>,
    /// The logic that all rows of the table come from: a release, and a digest of what it
    /// declares. Empty for rejected rows, and where some rows were never computed.
    #[serde(default)]
    pub logic: String,
    /// What others changed in it while the run was on its way, which tables that are computed
    /// from it do not know yet.
    #[serde(default)]
    pub outside: Option<String>,
}

/// How long one stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub stage: String,
    /// Its duration.
    pub seconds: f64,
}

/// What the calls of one function took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// The function.
    pub name: String,
    /// How often it was called, with many rows at a time.
    pub calls: u64,
    /// How many rows it was called with.
    pub rows: u64,
    /// How long it took, over all threads: this can be more than the run took.
    pub seconds: f64,
}

/// Values that functions measured under one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// The name.
    pub name: String,
    /// The sum of the values.
    pub value: f64,
}

/// One row of `_lake/files`: a file that a run loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) input: String,
    /// Where it was: an absolute path or a URL.
    pub(crate) path: String,
    pub(crate) size: i64,
    /// Microseconds since 1970, UTC.
    pub(crate) modified: i64,
    /// When its content counts as received, in microseconds since 1970, UTC.
    pub(crate) received_at: i64,
    /// BLAKE3 of its bytes.
    pub(crate) hash: String,
    pub(crate) run: i64,
    pub(crate) rows: i64,
    pub(crate) accepted: i64,
    pub(crate) rejected: i64,
    /// The header line, which a replay of single rows needs.
    pub(crate) header: String,
    /// Whether it was not loaded but set aside: it is left until its content changes.
    #[serde(default)]
    pub(crate) skipped: bool,
    /// What the store called its content, where it was an object.
    #[serde(default)]
    pub(crate) etag: Option<String>,
}

/// `timestamp` of the Delta protocol.
pub(crate) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(crate) fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list_of(fields: Vec<Field>) -> DataType {
    DataType::List(Arc::new(field(
        "element",
        DataType::Struct(Fields::from(fields)),
    )))
}

pub(crate) fn files_spec() -> TableSpec {
    use DataType::{Int64, Utf8};
    let fields = vec![
        field("input", Utf8),
        field("path", Utf8),
        field("size", Int64),
        field("modified", utc()),
        field("received_at", utc()),
        field("hash", Utf8),
        field("run", Int64),
        field("rows", Int64),
        field("accepted", Int64),
        field("rejected", Int64),
        field("header", Utf8),
        field("skipped", DataType::Boolean),
        field("etag", Utf8),
    ];
    spec(FILES, fields)
}

pub(crate) fn runs_spec() -> TableSpec {
    use DataType::{Float64, Int64, Utf8};
    let counts = [
        "inserted",
        "updated",
        "unchanged",
        "superseded",
        "deleted",
        "tombstones",
        "filtered",
        "rows",
    ];
    let mut tables = vec![field("name", Utf8), field("version", Int64)];
    tables.extend(counts.map(|name| field(name, Int64)));
    tables.extend(["how", "why", "logic", "outside"].map(|name| field(name, Utf8)));
    let mut inputs = vec![field("name", Utf8)];
    let figures = ["files", "bytes", "rows", "accepted", "rejected", "warned"];
    inputs.extend(figures.map(|name| field(name, Int64)));
    let checks = vec![
        field("table", Utf8),
        field("check", Utf8),
        field("severity", Utf8),
        field("holds", DataType::Boolean),
        field("detail", Utf8),
    ];
    let transform = ["name", "version", "digest", "release"].map(|name| field(name, Utf8));
    let transform = transform.to_vec();
    let cleaned = ["objects", "bytes"].map(|name| field(name, Int64)).to_vec();
    let fields = vec![
        field("run", Int64),
        field("kind", Utf8),
        field("status", Utf8),
        field("why", Utf8),
        field("undoes", Int64),
        field("restores", Int64),
        field("horizon", Int64),
        field("cleaned", DataType::Struct(Fields::from(cleaned))),
        field("blocked", list_of(transform.clone())),
        field("attempt", Utf8),
        field(
            "transform",
            DataType::Struct(Fields::from(transform.clone())),
        ),
        field(
            "parameters",
            list_of(vec![field("name", Utf8), field("value", Utf8)]),
        ),
        field("started_at", utc()),
        field("sealed_at", utc()),
        field("seconds", Float64),
        field("peak_memory_bytes", Int64),
        field("host", Utf8),
        field("inputs", list_of(inputs)),
        field("tables", list_of(tables)),
        field(
            "versions",
            list_of(vec![field("name", Utf8), field("version", Int64)]),
        ),
        field(
            "reasons",
            list_of(vec![
                field("input", Utf8),
                field("check", Utf8),
                field("column", Utf8),
                field("rows", Int64),
            ]),
        ),
        field("checks", list_of(checks)),
        field(
            "stages",
            list_of(vec![field("stage", Utf8), field("seconds", Float64)]),
        ),
        field(
            "functions",
            list_of(vec![
                field("name", Utf8),
                field("calls", Int64),
                field("rows", Int64),
                field("seconds", Float64),
            ]),
        ),
        field(
            "metrics",
            list_of(vec![field("name", Utf8), field("value", Float64)]),
        ),
    ];
    spec(RUNS, fields)
}

/// The rejection table of one input.
pub(crate) fn rejection_spec(input: &str) -> TableSpec {
    use DataType::{Boolean, Int64, Utf8};
    let fields = vec![
        field("row_id", Utf8),
        field("input", Utf8),
        field("file", Utf8),
        field("line", Int64),
        field("byte_offset", Int64),
        field("raw", Utf8),
        field("raw_escaped", Boolean),
        field("reasons", list_of(reason_fields())),
        field("received_at", utc()),
        field("run", Int64),
        field("transform_version", Utf8),
        field("resolved_run", Int64),
    ];
    spec(&format!("rejection/{input}"), fields)
}

pub(crate) fn reason_fields() -> Vec<Field> {
    ["check", "column", "value", "message"]
        .map(|name| field(name, DataType::Utf8))
        .to_vec()
}

pub(crate) fn spec(name: &str, fields: Vec<Field>) -> TableSpec {
    TableSpec {
        name: name.to_owned(),
        schema: Arc::new(Schema::new(fields)),
        partition_by: Vec::new(),
        key: Vec::new(),
    }
}

/// Records as a batch of a table's schema.
pub(crate) fn to_batch<T: Serialize>(schema: &SchemaRef, records: &[T]) -> Result<RecordBatch> {
    let failed = |e: arrow::error::ArrowError| RunError::State {
        path: "_lake".to_owned(),
        message: e.to_string(),
    };
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(records.len().max(1))
        .build_decoder()
        .map_err(failed)?;
    decoder.serialize(records).map_err(failed)?;
    let batch = decoder.flush().map_err(failed)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

/// What a run did, for people and programs.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// Notices that stop nothing: empty files, undeclared columns, and the like.
    pub warnings: Vec<String>,
    /// Pending files that later runs will load, of the inputs that have more than a run may load.
    pub left: BTreeMap<String, Left>,
    /// The most frequent reasons of rejection, per input: check, column, how often.
    pub reasons: BTreeMap<String, Vec<ReasonCount>>,
}

/// How often one reason rejected a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The check that failed.
    pub check: String,
    /// The column it looked at; empty where it looked at the whole row.
    pub column: String,
    /// How many rows.
    pub rows: u64,
}

impl ReasonCount {
    /// The reason as summaries name it: the check, and its column where it has one.
    pub fn label(&self) -> String {
        if self.column.is_empty() || self.check.contains(&self.column) {
            self.check.clone()
        } else {
            format!("{} {}", self.column, self.check)
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No file is pending: nothing was written.
    NothingToDo {
        /// The last run that published; 0 if there was none.
        last_run: i64,
        /// How many files are loaded already.
        loaded_files: u64,
    },
    /// A run was published.
    Published(Box<RunRecord>),
}
