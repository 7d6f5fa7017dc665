//! Trace: where a row comes from, and where it went.
//!
//! A row of a standard table says its file and its line, and a rejected row has its text; the text
//! of others is read from the file once more, or from its copy in the archive. Between standard and
//! consumption, the SQL of the transform decides: `flow` finds the columns by which its rows belong
//! together.

mod flow;
mod rows;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::ident;
use lake_pipeline::Pattern;
use serde::{Serialize, Serializer};

use crate::blocked::Blocked;
use crate::error::{Result, RunError};
use crate::query::{Cut, Queried};
use crate::record::TransformRecord;
use crate::run::Settings;
use crate::runs::{self, Runs};
use crate::state::{Opening, State};
use crate::transform;
use flow::{Flow, Flows};
use rows::Found;

/// What is traced.
#[derive(Debug, Clone)]
pub enum Traced {
    /// Rows of a table.
    Rows {
        /// The table: `standard.readings`, or with a slash.
        table: String,
        /// Which of its rows, in SQL; all of them without it.
        condition: Option<String>,
    },
    /// A line of a file that was loaded.
    Line {
        /// The file.
        file: Pattern,
        /// The line, from 1.
        line: i64,
    },
}

/// Where rows come from, and where they went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// The rows that were asked for.
    pub rows: Vec<TracedRow>,
    /// Whether there are more of them.
    pub more: bool,
    /// A record that is in no table.
    pub nowhere: Option<Record>,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// A row, where it comes from, and where it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracedRow {
    /// Its table, as `zone.name`.
    pub table: String,
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// The rows of other tables that it is computed from.
    pub from: Vec<Related>,
    /// The rows of other tables that are computed from it, or that have come of it.
    pub to: Vec<Related>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its values.
    #[serde(serialize_with = "as_map")]
    pub values: Vec<Value>,
    /// The record of a file that it was.
    pub record: Option<Record>,
    /// The run that wrote it.
    pub run: Option<WrittenBy>,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The column.
    pub column: String,
    /// The value as text; `None` is NULL.
    pub text: Option<String>,
}

fn as_map<S: Serializer>(values: &[Value], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|value| (&value.column, &value.text)))
}

/// A record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The file.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: i64,
    /// Its text as it was in the file.
    pub raw: Option<String>,
    /// Why its text is not known, or is not all that there is to say.
    pub note: Option<String>,
    /// The input that the file is of, where its row says so.
    #[serde(skip)]
    input: Option<String>,
    /// When the file counted as received, in microseconds since 1970, and the run that wrote the row,
    /// where there is one: they tell which content of the file it was.
    #[serde(skip)]
    of: Option<(i64, i64)>,
}

/// A run, as far as a row is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenBy {
    /// Its number.
    pub run: i64,
    /// What kind of run it was.
    pub kind: String,
    /// When it was sealed, in microseconds since 1970, UTC.
    pub sealed_at: i64,
    /// The release that computed the row.
    pub release: TransformRecord,
}

/// Rows of another table that belong to a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Related {
    /// The table, as `zone.name`.
    pub table: String,
    /// Which of its rows, in words; `None` where that cannot be known, and `note` says why.
    pub condition: Option<String>,
    /// How many they are.
    pub total: u64,
    /// Some of them.
    pub rows: Vec<Row>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// Finds rows, where they come from and where they went: in the tables as run `run` has left them,
/// or as they are. Of everything that is many, `limit` are shown.
///
/// # Errors
/// [`RunError::Sql`] for a condition that does not plan, [`RunError::Refused`] where there is no such
/// table or file, and as for [`query`](crate::query()).
pub async fn trace(
    settings: &Settings,
    wanted: &Traced,
    run: Option<i64>,
    limit: usize,
) -> Result<Trace> {
    let state = Box::pin(State::open(settings, Opening::GoOn)).await?;
    let cut = Cut::of(state, run).await?;
    let tables = cut.tables(settings).await?;
    let mut warnings = Vec::new();
    // What is blocked must not load anything; it can be looked at.
    let transform = match transform::load(settings, &Blocked::default()).await {
        Ok(transform) => Some(transform),
        Err(error) => {
            warnings.push(format!(
                "neither the text of files nor what consumption is computed from can be told \
                 without the transform: {error}"
            ));
            None
        }
    };
    let concerned = match wanted {
        Traced::Rows { table, .. } => Some(table.replacen('/', ".", 1)),
        Traced::Line { .. } => None,
    };
    let mut flows = Flows::default();
    if let Some(transform) = &transform {
        match flow::flows(settings, &cut.state, transform, concerned.as_deref()).await {
            Ok(found) => flows = found,
            Err(error) => warnings.push(format!(
                "what consumption is computed from cannot be told: {error}"
            )),
        }
    }
    let tracing = Tracing {
        settings,
        state: &cut.state,
        tables,
        flows,
        limit,
    };
    let mut trace = Trace {
        pipeline: cut.state.pipeline.clone(),
        root: cut.state.root.display(),
        rows: Vec::new(),
        more: false,
        nowhere: None,
        warnings,
    };
    match wanted {
        Traced::Rows { table, condition } => {
            let table = tracing.known(table)?;
            let (found, more) = tracing.asked(&table, condition.as_deref()).await?;
            trace.more = more;
            for row in found {
                trace.rows.push(tracing.follow(&table, row).await?);
            }
        }
        Traced::Line { file, line } => {
            let file = tracing.file(file).await?;
            for table in tracing.with_records() {
                let found = tracing.of_record(&table, &file, *line).await?;
                trace.more |= found.total > found.rows.len() as u64;
                for row in found.rows {
                    trace.rows.push(tracing.follow(&table, row).await?);
                }
            }
            if trace.rows.is_empty() {
                trace.nowhere = Some(tracing.record(file, *line));
            }
        }
    }
    let declared = transform
        .as_ref()
        .map(|transform| transform.plugin.declaration());
    tracing.find_texts(&mut trace, declared).await?;
    tracing.find_runs(&mut trace).await?;
    if let Some(transform) = &transform {
        trace.warn_of_other_logic(&transform.record);
    }
    if let Some(record) = &mut trace.nowhere
        && record.raw.is_some()
    {
        record.note = Some(
            "it is in no table: a later version of its key has taken its place, or the SQL of the \
             tables leaves it out"
                .to_owned(),
        );
    }
    Ok(trace)
}

struct Tracing<'a> {
    settings: &'a Settings,
    state: &'a State,
    tables: Queried,
    flows: Flows,
    limit: usize,
}

impl Tracing<'_> {
    /// The name of a table of people, as SQL has it.
    fn known(&self, table: &str) -> Result<String> {
        let name = table.replacen('/', ".", 1);
        let known: Vec<&String> = self.people().collect();
        match known.contains(&&name) {
            true => Ok(name),
            false => {
                let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
                let known = known.join(", ");
                Err(refused(format!(
                    "there is no table {name}; there are {known}"
                )))
            }
        }
    }

    fn people(&self) -> impl Iterator<Item = &String> {
        let known = self.tables.known.iter();
        known.filter(|name| !name.starts_with("_lake."))
    }

    /// The tables whose rows are records of files.
    fn with_records(&self) -> Vec<String> {
        let known = self.people();
        let known = known.filter(|name| !name.starts_with("consumption."));
        known.cloned().collect()
    }

    /// A row with the rows of other tables that belong to it.
    async fn follow(&self, table: &str, found: Found) -> Result<TracedRow> {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        match table.split_once('.') {
            Some(("rejection", _)) => to.extend(self.resolved(&found).await?),
            _ => {
                for flow in &self.flows.tables {
                    for (source, columns) in &flow.sources {
                        if flow.table == table && self.tables.known.contains(source) {
                            let columns = columns.iter().map(|(here, there)| (here, there));
                            from.push(self.related(&found, flow, source, columns).await?);
                        }
                        if source == table && self.tables.known.contains(&flow.table) {
                            let columns = columns.iter().map(|(here, there)| (there, here));
                            to.push(self.related(&found, flow, &flow.table, columns).await?);
                        }
                    }
                }
            }
        }
        Ok(TracedRow {
            table: table.to_owned(),
            row: found.row,
            from,
            to,
        })
    }

    /// The rows of `table` that have the values of a row: pairs of its column and theirs.
    async fn related<'c>(
        &self,
        found: &Found,
        flow: &Flow,
        table: &str,
        columns: impl Iterator<Item = (&'c String, &'c String)>,
    ) -> Result<Related> {
        let known = self.columns(table).await?;
        let mut condition: Option<Expr> = None;
        let mut words = Vec::new();
        for (here, there) in columns {
            // Another release may have other columns than the table has.
            let value = found.value(here).filter(|_| known.contains(there));
            let Some(value) = value else {
                continue;
            };
            let same = match found.text(here) {
                Some(text) => {
                    words.push(format!("{there} = {text}"));
                    ident(there).eq(lit(value))
                }
                None if flow.has_outer_join => continue,
                None => {
                    words.push(format!("{there} IS NULL"));
                    ident(there).is_null()
                }
            };
            condition = Some(match condition {
                Some(others) => others.and(same),
                None => same,
            });
        }
        let Some(condition) = condition else {
            return Ok(Related {
                table: table.to_owned(),
                condition: None,
                total: 0,
                rows: Vec::new(),
                note: Some("the SQL does not show which rows these are".to_owned()),
            });
        };
        let few = self.some(table, condition).await?;
        Ok(Related {
            table: table.to_owned(),
            condition: Some(words.join(", ")),
            total: few.total,
            rows: few.rows.into_iter().map(|found| found.row).collect(),
            note: None,
        })
    }

    /// Where a rejected row went, if a run has resolved it.
    async fn resolved(&self, found: &Found) -> Result<Vec<Related>> {
        let (Some(record), Some(run)) = (&found.row.record, found.text("resolved_run")) else {
            return Ok(Vec::new());
        };
        let mut to = Vec::new();
        let inputs = &self.flows.inputs;
        let of_other = |table: &String| {
            let input = inputs.get(table);
            input.is_some_and(|input| record.input.as_ref() != Some(input))
        };
        let tables = self.with_records().into_iter();
        let tables = tables.filter(|table| table.starts_with("standard."));
        for table in tables.filter(|table| !of_other(table)) {
            let few = self.of_record(&table, &record.file, record.line).await?;
            to.push(Related {
                condition: Some(format!("_file = {}, _line = {}", record.file, record.line)),
                total: few.total,
                note: Some(match few.total {
                    0 => format!(
                        "run {run} has resolved it, and a later version of its key has taken its \
                         place since, or the SQL leaves it out"
                    ),
                    _ => format!("run {run} has resolved it"),
                }),
                rows: few.rows.into_iter().map(|found| found.row).collect(),
                table,
            });
        }
        Ok(to)
    }

    /// The one loaded file that is meant.
    async fn file(&self, pattern: &Pattern) -> Result<String> {
        let answer = self
            .tables
            .answer("SELECT DISTINCT path FROM _lake.files")
            .await?;
        let paths = runs::rows::<Loaded>("_lake/files", &answer.batches)?.into_iter();
        let mut paths: Vec<String> = paths.map(|row| row.path).collect();
        paths.retain(|path| pattern.selects(path));
        paths.sort_unstable();
        match paths.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(refused(
                "no such file is loaded; `lake query \"SELECT path, run FROM _lake.files\"` shows \
                 those that are"
                    .to_owned(),
            )),
            [first, second, ..] => Err(refused(format!(
                "{} files that are loaded have this name, such as {first} and {second}; give more \
                 of the path",
                paths.len()
            ))),
        }
    }

    /// Fills in what is known of runs.
    async fn find_runs(&self, trace: &mut Trace) -> Result<()> {
        let mut written: Vec<&mut WrittenBy> = trace
            .rows
            .iter_mut()
            .flat_map(TracedRow::all)
            .filter_map(|row| row.run.as_mut())
            .collect();
        let numbers: BTreeSet<i64> = written.iter().map(|run| run.run).collect();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let runs = Runs::open(&self.state.root, &self.state.pipeline).await?;
        let condition = format!("run IN ({})", numbers.join(", "));
        let records = runs.records(&condition, None).await?.into_iter();
        let records: BTreeMap<i64, _> = records.map(|record| (record.run, record)).collect();
        for run in &mut written {
            if let Some(record) = records.get(&run.run) {
                run.kind.clone_from(&record.kind);
                run.sealed_at = record.sealed_at;
                run.release = record.transform.clone();
            }
        }
        Ok(())
    }
}

impl Trace {
    /// Says where what is shown between tables is not what computed them.
    fn warn_of_other_logic(&mut self, used: &TransformRecord) {
        let is_shown = |row: &&mut TracedRow| !row.from.is_empty() || !row.to.is_empty();
        let mut rows = self
            .rows
            .iter_mut()
            .filter(is_shown)
            .flat_map(TracedRow::all);
        let other = rows.find_map(|row| {
            let run = row.run.as_ref()?;
            let is_known = !run.release.digest.is_empty();
            (is_known && run.release.digest != used.digest).then_some(run)
        });
        if let Some(run) = other {
            self.warnings.push(format!(
                "what belongs together is told by {} {}, and run {} used {} {}",
                used.name, used.version, run.run, run.release.name, run.release.version
            ));
        }
    }
}

impl TracedRow {
    /// The row, and those that belong to it.
    fn all(&mut self) -> impl Iterator<Item = &mut Row> {
        let related = self.from.iter_mut().chain(&mut self.to);
        std::iter::once(&mut self.row).chain(related.flat_map(|related| &mut related.rows))
    }
}

#[derive(serde::Deserialize)]
struct Loaded {
    path: String,
}

fn refused(message: String) -> RunError {
    RunError::Refused { message }
}
