//! Replay: rejected rows are read once more, with the release that is in use now.
//!
//! Of a rejected row, its table has the raw text, and `_lake/files` the header of its file. Each is
//! read as a file of its own that has only this record, under the file's name, line and time of
//! receipt; so its place among the versions of a key is the one that it would have had, and later
//! corrections stay. Rows that pass now are merged, and their rows in the rejection table say which
//! run has resolved them. The others stay as they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use lake_delta::{Attempt, Prepared, Snapshot, Versions};
use lake_pipeline::{InputSource, Pattern};
use lake_plugin::{InputDeclaration, InputFormat};
use lake_reader::check;
use serde::{Deserialize, Serialize};

use crate::blocked::Blocked;
use crate::diff;
use crate::discover::{Content, Discovered, Excerpt, PendingFile, captures, first_run_since};
use crate::error::{Result, RunError};
use crate::load::Load;
use crate::record::{FILES, Outcome, RunRecord, rejection_spec};
use crate::run::{Overtaken, Settings, alone, check_inputs, named};
use crate::runs::rows;
use crate::stages::Stages;
use crate::state::{Opening, State};
use crate::transform::{self, Transform};
use crate::work::{Kind, Work};

/// A run takes so many rows at the most.
const MOST_ROWS: usize = 50_000;
/// And this share of the memory limit for their text.
const SHARE: u64 = 16;

/// Which rejected rows are read once more: those that fit all that is said, and are not resolved.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// Those that failed this check, or have this column wrong.
    pub reason: Option<String>,
    /// Those that a run has rejected which was sealed then or later, in microseconds since 1970.
    pub since: Option<i64>,
    /// Those of files whose paths it takes.
    pub files: Option<Pattern>,
    /// Nothing is published: only how many would pass is found out.
    pub dry_run: bool,
}

/// What a replay has done, or would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// How many rejected rows were read once more.
    pub rows: u64,
    /// How many of them pass now.
    pub accepted: u64,
    /// How many others cannot be had from their text alone.
    pub unfit: u64,
    /// The runs that it has published: none where nothing passes.
    pub runs: Vec<RunRecord>,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// Reads rejected rows once more, and publishes those that pass now.
///
/// # Errors
/// As for [`run`](crate::run()).
pub async fn replay(settings: &Settings, options: &ReplayOptions) -> Result<Replay> {
    let mut done = Replay {
        pipeline: settings.pipeline.name.clone(),
        root: settings.root.child(&settings.pipeline.name).display(),
        rows: 0,
        accepted: 0,
        unfit: 0,
        runs: Vec::new(),
        warnings: Vec::new(),
    };
    let mut after = String::new();
    let mut overtaken = Overtaken::default();
    loop {
        match Box::pin(once(settings, options, &after, &mut done)).await {
            // The next ones have all their tries.
            Ok(Some(last)) => {
                after = last;
                done.warnings.append(&mut overtaken.told);
                overtaken = Overtaken::default();
            }
            Ok(None) => break,
            Err(error) => overtaken.start_over(settings, error).await?,
        }
    }
    done.warnings.append(&mut overtaken.told);
    if done.unfit > 0 {
        done.warnings.push(format!(
            "{} rejected rows cannot be had from their text alone, because it is cut, is not UTF-8, \
             or comes from a Parquet file; lake run --reload --files PATTERN reads their files again",
            done.unfit
        ));
    }
    let mut seen = HashSet::new();
    done.warnings.retain(|warning| seen.insert(warning.clone()));
    Ok(done)
}

/// One run over the rows that come after `after` in the order of their ids; gives the last of them,
/// or `None` where there are none.
async fn once(
    settings: &Settings,
    options: &ReplayOptions,
    after: &str,
    done: &mut Replay,
) -> Result<Option<String>> {
    let mut stages = Stages::new(settings.clock, Arc::clone(&settings.progress));
    let state = match options.dry_run {
        true => {
            State::look(&settings.root, &settings.pipeline.name)
                .await?
                .0
        }
        false => Box::pin(State::open(settings, Opening::GoOn)).await?,
    };
    done.warnings.extend(state.warnings.iter().cloned());
    let blocked = Blocked::after(state.last.as_ref(), settings);
    let transform = transform::load(settings, &blocked).await?;
    check_inputs(settings, transform.plugin.declaration())?;
    stages.end("open");
    let chosen = Choosing::new(settings, options, &state, &transform).await?;
    let chosen = chosen.rows(after).await?;
    stages.end("discover");
    let last = chosen.last;
    let unfit = chosen.unfit;
    if chosen.pending.values().any(|files| !files.is_empty()) {
        let found = Discovered {
            pending: chosen.pending,
            ..Discovered::default()
        };
        let work = Work::of(Kind::Replay, found, &state, &transform).await?;
        let load = Load::new(settings, &state, &transform, work)?;
        let attempt = load.attempt.id.clone();
        if options.dry_run {
            let ready = load.prepare(&mut stages).await;
            let tables = load.preparing().names();
            diff::discard(&state, &attempt, &tables).await;
            let ready = ready?;
            for input in &ready.found.inputs {
                done.rows += input.rows;
                done.accepted += input.accepted;
            }
        } else {
            let total: usize = load.rows_to_replay();
            let publish = Box::pin(load.publish(stages));
            let report = alone(settings, &state, &attempt, publish).await;
            let report = report.map_err(|error| named(error, settings, &state))?;
            done.warnings.extend(report.warnings);
            done.rows += total as u64;
            if let Outcome::Published(record) = report.outcome {
                let accepted = record.inputs.iter().map(|input| input.accepted);
                done.accepted += accepted.sum::<u64>();
                done.runs.push(*record);
            }
        }
    }
    done.unfit += unfit;
    Ok(last)
}

/// The rows that one run reads.
#[derive(Default)]
struct Chosen {
    pending: HashMap<String, Vec<PendingFile>>,
    /// Rows that were passed over, because their text is not all of them.
    unfit: u64,
    /// The last one that was looked at; `None` where there was none.
    last: Option<String>,
}

/// A row of a rejection table, as far as it matters.
#[derive(Debug, Deserialize)]
struct Rejected {
    row_id: String,
    file: String,
    line: i64,
    raw: String,
    #[serde(default)]
    raw_escaped: bool,
    #[serde(default)]
    reasons: Vec<FailedCheck>,
    received_at: i64,
    run: i64,
}

#[derive(Debug, Deserialize)]
struct FailedCheck {
    check: String,
    #[serde(default)]
    column: Option<String>,
}

impl Rejected {
    /// Whether its text is the whole record, as it was in its file.
    fn is_whole(&self) -> bool {
        let is_cut = |failed: &FailedCheck| {
            [check::RECORD_SIZE, check::TRUNCATED].contains(&failed.check.as_str())
        };
        !self.raw_escaped && !self.reasons.iter().any(is_cut)
    }

    fn failed(&self, reason: &str) -> bool {
        let mut reasons = self.reasons.iter();
        reasons.any(|failed| failed.check == reason || failed.column.as_deref() == Some(reason))
    }
}

struct Choosing<'a> {
    settings: &'a Settings,
    options: &'a ReplayOptions,
    state: &'a State,
    inputs: &'a [InputDeclaration],
    session: SessionContext,
    /// The first run whose rejected rows are wanted.
    since: i64,
    /// The headers of files, by input, path and run.
    headers: BTreeMap<(String, String), BTreeMap<i64, String>>,
}

#[derive(Debug, Deserialize)]
struct OfFile {
    input: String,
    path: String,
    run: i64,
    #[serde(default)]
    header: String,
}

impl<'a> Choosing<'a> {
    async fn new(
        settings: &'a Settings,
        options: &'a ReplayOptions,
        state: &'a State,
        transform: &'a Transform,
    ) -> Result<Self> {
        let session = settings.session()?;
        state.root.register(&session.runtime_env());
        let mut choosing = Self {
            since: match options.since {
                Some(since) => first_run_since(state, since).await?,
                None => 0,
            },
            settings,
            options,
            state,
            inputs: &transform.plugin.declaration().inputs,
            session,
            headers: BTreeMap::new(),
        };
        if let Some(files) = state.table(FILES).await? {
            let sql = "SELECT input, path, run, header FROM files WHERE rejected > 0";
            let (known, _) = choosing
                .ask::<OfFile>("files", &files, sql, usize::MAX)
                .await?;
            for row in known {
                let runs = choosing.headers.entry((row.input, row.path)).or_default();
                runs.insert(row.run, row.header);
            }
        }
        Ok(choosing)
    }

    /// The rows with the lowest ids after `after`, of all inputs, as many as a run takes.
    async fn rows(&self, after: &str) -> Result<Chosen> {
        let mut chosen = Chosen::default();
        let mut budget = usize::try_from(self.settings.limit() / SHARE).unwrap_or(usize::MAX);
        let mut found: Vec<(&InputDeclaration, Rejected)> = Vec::new();
        let mut known_up_to: Option<String> = None;
        for input in self.inputs {
            let table = rejection_spec(&input.name).name;
            let Some(table) = self.state.table(&table).await? else {
                continue;
            };
            let (rows, is_cut) = self.of_input(&table, after, budget).await?;
            if is_cut && let Some(last) = rows.last() {
                let last = last.row_id.clone();
                known_up_to = Some(known_up_to.map_or(last.clone(), |known| known.min(last)));
            }
            found.extend(rows.into_iter().map(|row| (input, row)));
        }
        // Above that, rows of an input may be missing.
        if let Some(last) = known_up_to {
            found.retain(|(_, row)| row.row_id <= last);
        }
        // What is not taken now is taken by the next run, whichever input it is of.
        found.sort_by(|a, b| a.1.row_id.cmp(&b.1.row_id));
        for (input, row) in found.into_iter().take(MOST_ROWS) {
            let left = budget.checked_sub(row.raw.len());
            let Some(left) = left.or_else(|| chosen.last.is_none().then_some(0)) else {
                break;
            };
            budget = left;
            chosen.last = Some(row.row_id.clone());
            if !self.is_wanted(&row) {
                continue;
            }
            if matches!(input.format, InputFormat::Parquet(_)) || !row.is_whole() {
                chosen.unfit += 1;
                continue;
            }
            let source = self.settings.pipeline.inputs.get(&input.name);
            let header = self.header(&input.name, &row);
            let pending = chosen.pending.entry(input.name.clone()).or_default();
            pending.push(excerpt(row, header, source));
        }
        Ok(chosen)
    }

    fn is_wanted(&self, row: &Rejected) -> bool {
        let ReplayOptions { reason, files, .. } = self.options;
        row.run >= self.since
            && reason.as_ref().is_none_or(|reason| row.failed(reason))
            && files.as_ref().is_none_or(|files| files.selects(&row.file))
    }

    /// The rows of one input, in the order of their ids, and whether there may be more.
    async fn of_input(
        &self,
        table: &Snapshot,
        after: &str,
        most: usize,
    ) -> Result<(Vec<Rejected>, bool)> {
        // Tables of earlier versions of lake do not say whether a text has escapes.
        let escaped = match table.columns().iter().any(|column| column == "raw_escaped") {
            true => "coalesce(raw_escaped, false)",
            false => "false",
        };
        let sql = format!(
            "SELECT row_id, file, line, raw, {escaped} AS raw_escaped, reasons, \
             CAST(received_at AS BIGINT) AS received_at, run FROM rejected \
             WHERE resolved_run IS NULL AND row_id > '{after}' ORDER BY row_id LIMIT {MOST_ROWS}"
        );
        let (rows, is_cut) = self.ask("rejected", table, &sql, most).await?;
        let is_cut = is_cut || rows.len() == MOST_ROWS;
        Ok((rows, is_cut))
    }

    /// What a query answers, up to so many bytes, and whether that is not all.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        table: &Snapshot,
        sql: &str,
        most: usize,
    ) -> Result<(Vec<T>, bool)> {
        let failed = |e| RunError::sql(name, &e);
        let provider = table.provider().await?;
        self.session.deregister_table(name).map_err(failed)?;
        self.session
            .register_table(name, provider)
            .map_err(failed)?;
        let frame = self.session.sql(sql).await.map_err(failed)?;
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        let (mut answer, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            bytes += batch.get_array_memory_size();
            answer.extend(rows(name, &[batch])?);
            if bytes > most {
                return Ok((answer, true));
            }
        }
        Ok((answer, false))
    }

    /// The header of the file as it was when the row was rejected.
    fn header(&self, input: &str, row: &Rejected) -> &str {
        let runs = self.headers.get(&(input.to_owned(), row.file.clone()));
        let header = runs.and_then(|runs| {
            let then = runs.range(..=row.run).next_back();
            then.or_else(|| runs.first_key_value())
        });
        header.map_or("", |(_, header)| header)
    }
}

/// A rejected row as a file that has only this record.
fn excerpt(row: Rejected, header: &str, source: Option<&InputSource>) -> PendingFile {
    let mut bytes = Vec::with_capacity(header.len() + row.raw.len() + 2);
    for part in [header, row.raw.as_str()] {
        if !part.is_empty() {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(b'\n');
        }
    }
    PendingFile {
        size: bytes.len() as u64,
        modified: row.received_at,
        received_at: row.received_at,
        captures: source
            .and_then(|source| captures(source, &row.file))
            .unwrap_or_default(),
        path: row.file,
        etag: None,
        content: Content::Excerpt(Arc::new(Excerpt {
            row_id: row.row_id,
            line: row.line,
            bytes,
        })),
    }
}

/// Writes down in the rejection table which of its rows a run has resolved.
pub(crate) async fn resolve(
    attempt: &Attempt,
    state: &State,
    input: &str,
    resolved: &[String],
    run: i64,
) -> Result<Prepared> {
    let spec = rejection_spec(input);
    let failed = |e| RunError::sql(&spec.name, &e);
    let base = state.table(&spec.name).await?;
    let session = SessionContext::new_with_config_rt(
        attempt.session.copied_config(),
        attempt.session.runtime_env(),
    );
    let provider = match &base {
        Some(base) => base.provider().await?,
        None => Arc::new(datafusion::datasource::empty::EmptyTable::new(Arc::clone(
            &spec.schema,
        ))),
    };
    let has = |column: &str| provider.schema().field_with_name(column).is_ok();
    let columns = spec
        .schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "resolved_run" => format!("CAST({run} AS BIGINT) AS resolved_run"),
            name if has(name) => format!("\"{name}\""),
            name => format!("NULL AS \"{name}\""),
        });
    let columns: Vec<String> = columns.collect();
    let ids: StringArray = resolved.iter().map(Some).collect();
    let ids = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]);
    let ids = ids.map_err(|e| failed(e.into()))?;
    session.register_batch("ids", ids).map_err(failed)?;
    session
        .register_table("rejected", provider)
        .map_err(failed)?;
    let sql = format!(
        "SELECT {} FROM rejected LEFT SEMI JOIN ids ON row_id = ids.id WHERE resolved_run IS NULL",
        columns.join(", ")
    );
    let frame = session.sql(&sql).await.map_err(failed)?;
    let plan = frame.create_physical_plan().await.map_err(failed)?;
    let versions = Versions {
        key: vec!["row_id".to_owned()],
        // That a row is resolved is newer than that it is not.
        newest_by: vec!["resolved_run".to_owned()],
        tombstones: None,
    };
    let merged = attempt.merge_newest(&spec, base, plan, versions).await?;
    Ok(merged.table)
}
