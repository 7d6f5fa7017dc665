//! One attempt at a run: its work is prepared, and then published in one go.

mod found;

use std::sync::Arc;

use datafusion::prelude::{col, lit};
use futures::future::join_all;
use lake_delta::{Attempt, Impact, Prepared, Versions, Withdrawn};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::apply::{self, Finished};
use crate::archive;
use crate::audit;
use crate::blocked::Blocked;
use crate::check::{Checks, ReasonCounts, input_schema};
use crate::discover::Discovered;
use crate::error::{Result, RunError};
use crate::functions::{self, StopOnDrop};
use crate::memory;
use crate::partition;
use crate::prepare::{Arriving, Change, Declared, Planned, Preparing};
use crate::read::{InputReader, InputTable, Reading, options};
use crate::record::{
    FILES, FileRecord, Outcome, Report, RunRecord, TableRecord, app, files_spec, rejection_spec,
    to_batch,
};
use crate::replay;
use crate::run::{Settings, nothing_to_do};
use crate::seal;
use crate::shape::{self, RunColumns};
use crate::stages::Stages;
use crate::state::State;
use crate::table_checks::CheckRecord;
use crate::transform::Transform;
use crate::work::{Kind, Work};
use found::Found;

/// One attempt at a run.
pub(crate) struct Load<'a> {
    settings: &'a Settings,
    state: &'a State,
    transform: &'a Transform,
    work: Work,
    calls: StopOnDrop,
    pub(crate) attempt: Attempt,
    columns: RunColumns,
}

type Reader = (Arc<InputReader>, mpsc::Receiver<arrow::array::RecordBatch>);

/// How many files are made into rows of `_lake/files` at a time: each passes through text.
const FILES_AT_A_TIME: usize = 8192;

/// Everything that a run would change, written and not visible.
pub(crate) struct Ready {
    pub(crate) found: Found,
    pub(crate) changes: Vec<Change>,
    pub(crate) rejections: Vec<Prepared>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        state: &'a State,
        transform: &'a Transform,
        work: Work,
    ) -> Result<Self> {
        let attempt = settings.attempt(&state.root)?;
        let session = &attempt.session;
        let calls = functions::register(session, &transform.plugin);
        let failed = |e| RunError::sql("the query engine", &e);
        partition::register(session, &transform.plugin, &calls).map_err(failed)?;
        shape::register_zones(session).map_err(failed)?;
        Ok(Self {
            settings,
            state,
            transform,
            work,
            calls: StopOnDrop(calls),
            attempt,
            columns: RunColumns {
                loaded_at: (settings.clock)().timestamp_micros(),
                run: state.finished + 1,
            },
        })
    }

    /// Plans everything over empty tables, and reads nothing.
    pub(crate) async fn plan<'p>(&self, preparing: &'p Preparing<'_>) -> Result<Vec<Planned<'p>>> {
        let readers = self.readers(&Discovered::default())?;
        let readers: Vec<_> = readers.into_iter().map(|(reader, _)| reader).collect();
        self.register(&readers)?;
        preparing.plan_all().await
    }

    /// Reads what is to be read and prepares every table.
    pub(crate) async fn prepare(&self, stages: &mut Stages) -> Result<Ready> {
        let readers = self.readers(&self.work.found)?;
        let (readers, rejections): (Vec<_>, Vec<_>) = readers.into_iter().unzip();
        self.register(&readers)?;
        let preparing = self.preparing();
        self.state.open_tables(preparing.all_names()).await;
        let planned = preparing.plan_all().await?;
        let declaration = self.transform.plugin.declaration();
        let mut keys = preparing.key_rules(&planned, &declaration.inputs)?;
        for reader in &readers {
            reader.reject_null_keys(keys.remove(reader.name()).unwrap_or_default());
        }
        stages.end("plan");
        let pending = self.work.found.pending.values().flatten();
        let bytes = pending.map(|file| file.size).sum();
        self.settings.progress.expect_bytes(bytes);

        // Rejected rows are written while accepted ones are still being read.
        let mut writing = Vec::new();
        for (reader, rows) in readers.iter().zip(rejections) {
            if self.work.kind != Kind::Replay {
                writing.push(self.reject(reader.name(), rows));
            }
        }
        let standard = async {
            let done = preparing.standard().await;
            readers.iter().for_each(|reader| reader.close());
            done
        };
        let (standard, rejected) = tokio::join!(standard, join_all(writing));
        // An input that cannot be read is the cause of whatever failed behind it.
        if let Some(error) = readers.iter().find_map(|reader| reader.take_error()) {
            return Err(error);
        }
        let mut changes = standard?;
        let mut rejections = rejected.into_iter().collect::<Result<Vec<Prepared>>>()?;
        rejections.sort_by(|a, b| a.name().cmp(b.name()));
        let mut found = Found::gather(&readers, &self.work.found)?;
        for (input, resolved) in &found.resolved {
            rejections.push(
                replay::resolve(&self.attempt, self.state, input, resolved, self.columns.run)
                    .await?,
            );
        }
        found.warnings.extend(self.work.found.taken_back(&changes));
        found.refuse_lost_rows(&self.work.found)?;
        stages.end("standard");

        // What is rejected once more is in its table already.
        if self.work.kind != Kind::Replay {
            audit::every_row_is_somewhere(&found.inputs, &rejections)?;
        }
        // Files with nothing in them stay pending: they alone are no run.
        if !self.is_nothing(&found) {
            preparing.consumption(&mut changes).await?;
            stages.end("consumption");
        }
        Ok(Ready {
            found,
            changes,
            rejections,
        })
    }

    /// How many rejected rows are to be read once more.
    pub(crate) fn rows_to_replay(&self) -> usize {
        self.work.found.pending.values().map(Vec::len).sum()
    }

    /// Whether what was found is no reason for a run. A replay is asked for its rows alone.
    fn is_nothing(&self, found: &Found) -> bool {
        found.is_empty() && (self.work.stale.is_empty() || self.work.kind == Kind::Replay)
    }

    /// Prepares the run and publishes it, or says why not.
    pub(crate) async fn publish(self, mut stages: Stages) -> Result<Report> {
        let Ready {
            mut found,
            changes,
            rejections,
        } = self.prepare(&mut stages).await?;
        if self.is_nothing(&found) {
            let mut discovered = self.work.found;
            discovered.warnings = found.warnings;
            return Ok(nothing_to_do(self.state, discovered));
        }
        found.checks = self.preparing().checks().await?;
        let limits = &self.settings.pipeline.limits;
        // Nobody expects all rejected rows to pass.
        let inputs = match self.work.kind {
            Kind::Replay => &[],
            _ => found.inputs.as_slice(),
        };
        if let Some(why) = audit::audit(limits, inputs, &found.checks) {
            let record = self.record(&found, &changes, &rejections, &stages)?;
            return Err(self.stop(why, record, &rejections, found).await?);
        }
        let warning = found.checks.iter().filter(|check| !check.holds);
        found.warnings.extend(warning.map(CheckRecord::sentence));
        let files = self.prepare_files(&found.files).await?;
        stages.end("audit");
        let state = self.state;
        let archived = archive::archive(&self.attempt, state, self.settings, &found.files).await?;
        if archived.is_some() {
            stages.end("archive");
        }

        let mut record = self.record(&found, &changes, &rejections, &stages)?;
        self.note_outside(&mut record, &changes).await?;
        let mut prepared = vec![files];
        prepared.extend(archived);
        prepared.extend(rejections);
        prepared.extend(changes.into_iter().flat_map(|change| {
            // The keys that are deleted, and that this is remembered, are told by one seal.
            [Some(change.prepared), change.tombstones]
                .into_iter()
                .flatten()
        }));
        let last = self.state.last.as_ref();
        let sealed = seal::seal(&self.attempt, last, record, &prepared).await?;
        stages.end("seal");
        let mut record = match apply::apply(&self.attempt, &sealed).await? {
            Finished::Done(record, as_prepared) => {
                // A change that was made again can need what it was made from.
                let done = prepared.iter();
                let done = done.filter(|change| as_prepared.iter().any(|n| n == change.name()));
                join_all(done.map(Prepared::discard)).await;
                *record
            }
            Finished::Undone(by, why) => {
                let run = sealed.run;
                return Err(RunError::TakenBack { run, by, why });
            }
        };
        stages.end("apply");
        record.seconds = stages.total();
        record.stages = stages.done;
        record.peak_memory_bytes = memory::peak() as i64;
        Ok(Report {
            outcome: Outcome::Published(Box::new(record)),
            pipeline: self.state.pipeline.clone(),
            root: self.state.root.display(),
            warnings: found.warnings,
            left: self.work.found.left,
            reasons: found
                .reasons
                .into_iter()
                .map(|(name, counts)| (name, counts.sorted()))
                .collect(),
        })
    }

    pub(crate) fn preparing(&self) -> Preparing<'_> {
        let declaration = self.transform.plugin.declaration();
        Preparing {
            state: self.state,
            attempt: &self.attempt,
            tables: Declared::all(&declaration.tables),
            inputs: declaration
                .inputs
                .iter()
                .map(|input| input.name.clone())
                .collect(),
            columns: self.columns,
            parameters: &self.transform.parameters,
            arriving: self.work.found.arriving(),
            replaced: &self.work.found.replaced,
            reload: self.work.kind == Kind::Reload,
            again: matches!(self.work.kind, Kind::ReloadSome | Kind::Replay),
            stale: &self.work.stale,
        }
    }

    fn readers(&self, found: &Discovered) -> Result<Vec<Reader>> {
        let declaration = self.transform.plugin.declaration();
        let readers = declaration.inputs.iter().map(|input| {
            let schema = input_schema(input);
            let parameters = &self.transform.parameters;
            let checks = Checks::new(&self.attempt.session, input, &schema, parameters)?;
            let files = found.pending.get(&input.name).cloned().unwrap_or_default();
            let source = self.settings.pipeline.inputs.get(&input.name);
            let limits = &self.settings.pipeline.limits;
            let reading = Reading {
                files,
                on_empty: source.map(|source| source.on_empty).unwrap_or_default(),
                options: options(limits, source),
                run: self.columns.run,
                transform_version: self.transform.record.version.clone(),
                progress: Arc::clone(&self.settings.progress),
                stores: self.settings.stores.clone(),
                root: self.state.root.clone(),
                runtime: Handle::current(),
            };
            InputReader::new(input, checks, schema, reading)
        });
        readers.collect()
    }

    fn register(&self, readers: &[Arc<InputReader>]) -> Result<()> {
        for reader in readers {
            let table = Arc::new(InputTable::new(Arc::clone(reader), self.settings.threads));
            let registered = self.attempt.session.register_table(reader.name(), table);
            registered.map_err(|e| RunError::sql(reader.name(), &e))?;
        }
        Ok(())
    }

    /// Writes the rejected rows of one input. A row that is rejected again,
    /// because its file is loaded again, is the same row; rows of new files
    /// cannot be there yet. Where all files are loaded again, nothing else stays; where a file
    /// replaces its earlier content, the rows of that go.
    async fn reject(
        &self,
        input: &str,
        rows: mpsc::Receiver<arrow::array::RecordBatch>,
    ) -> Result<Prepared> {
        let spec = rejection_spec(input);
        let base = self.state.table(&spec.name).await?;
        let plan = Arriving::plan(&self.attempt.session, &spec, rows).await?;
        if self.work.kind == Kind::Reload {
            return Ok(self.attempt.replace(&spec, base, plan).await?);
        }
        if !self.work.found.again.contains(input) {
            return Ok(self.attempt.append(&spec, base, plan).await?);
        }
        let versions = Versions {
            key: vec!["row_id".to_owned()],
            newest_by: vec!["received_at".to_owned()],
            tombstones: None,
        };
        let merged = match self.work.found.replaced.get(input) {
            None => {
                self.attempt
                    .merge_newest(&spec, base, plan, versions)
                    .await?
            }
            Some(files) => {
                let withdrawn = Withdrawn::new("file", files.clone());
                let merged = self
                    .attempt
                    .merge_replacing(&spec, base, plan, versions, withdrawn);
                merged.await?
            }
        };
        Ok(merged.table)
    }

    async fn prepare_files(&self, files: &[FileRecord]) -> Result<Prepared> {
        let spec = files_spec();
        let mut batches = Vec::new();
        for some in files.chunks(FILES_AT_A_TIME) {
            batches.push(to_batch(&spec.schema, some)?);
        }
        if batches.is_empty() {
            batches.push(to_batch(&spec.schema, files)?);
        }
        let failed = |e| RunError::sql(FILES, &e);
        let session = &self.attempt.session;
        let rows = session.read_batches(batches).map_err(failed)?;
        let base = self.state.table(FILES).await?;
        // What is left out where all is loaded again is not loaded any more.
        let left_out = &self.work.found.set_aside;
        if let Some(base) = base.clone()
            && !left_out.is_empty()
        {
            let names = left_out.iter().map(lit).collect();
            let goes = col("path")
                .in_list(names, false)
                .and(col("skipped").is_not_true());
            let known = session.read_table(base.provider().await?).map_err(failed)?;
            let columns = spec.schema.fields().iter().map(|field| col(field.name()));
            let rows = known
                .filter(!goes)
                .and_then(|known| known.select(columns.collect::<Vec<_>>()))
                .and_then(|known| known.union(rows));
            let plan = rows
                .map_err(failed)?
                .create_physical_plan()
                .await
                .map_err(failed)?;
            return Ok(self.attempt.replace(&spec, Some(base), plan).await?);
        }
        let plan = rows.create_physical_plan().await.map_err(failed)?;
        Ok(self.attempt.append_gathering(&spec, base, plan).await?)
    }

    async fn stop(
        &self,
        why: String,
        record: RunRecord,
        rejections: &[Prepared],
        found: Found,
    ) -> Result<RunError> {
        let stopped = RunRecord {
            // Nothing was published, so there is no number, and tables are what they were.
            run: 0,
            status: "stopped".to_owned(),
            why: Some(why.clone()),
            versions: Vec::new(),
            ..record
        };
        let failing = stopped.checks.iter().filter(|check| !check.holds);
        let record = RunRecord {
            checks: failing.cloned().collect(),
            ..stopped.clone()
        };
        let mut counts = ReasonCounts::default();
        found
            .reasons
            .into_values()
            .for_each(|more| counts.add(more));
        let counts = counts.sorted();
        let kept = audit::keep_stopped(self.state, record, rejections).await?;
        let mut message = why;
        // What was rejected most is why a limit is exceeded, and says nothing of tables.
        if !found.checks.iter().any(CheckRecord::stops) {
            let top = counts.iter().take(3);
            let top = top.map(|count| format!("{} × {}", count.rows, count.label()));
            let top = top.collect::<Vec<_>>().join(", ");
            message = format!("{message} (mostly {top})");
        }
        let rest = match counts.is_empty() {
            true => format!("{kept} says so too"),
            false => format!("the rejected rows are in {kept}"),
        };
        Ok(RunError::Stopped {
            message: format!("{message}; nothing was published; {rest}"),
            record: Some(Box::new(stopped)),
        })
    }

    /// Writes down what others did to tables after it was found out what there is to do, and before
    /// their changes were prepared: no refresh knows of it.
    async fn note_outside(&self, record: &mut RunRecord, changes: &[Change]) -> Result<()> {
        let app = app(&self.state.pipeline);
        for change in changes {
            let name = change.prepared.name();
            let seen = self.work.seen.get(name).copied();
            let Some((seen, base)) = seen.zip(change.prepared.base_version()) else {
                continue;
            };
            // What is computed in full is right, whatever was there before.
            if base <= seen || change.how == "full" {
                continue;
            }
            let root = &self.state.root;
            let (outside, _) = lake_delta::outside_changes(root, name, seen, &app).await?;
            let outside = outside.filter(|outside| outside.impact >= Impact::Rows);
            if let Some(row) = record.tables.iter_mut().find(|row| row.name == name) {
                row.outside = outside.as_ref().map(apply::said);
            }
        }
        Ok(())
    }

    fn record(
        &self,
        found: &Found,
        changes: &[Change],
        rejections: &[Prepared],
        stages: &Stages,
    ) -> Result<RunRecord> {
        let mut tables = Vec::new();
        for change in changes {
            let how = if change.prepared.is_unchanged() {
                "unchanged"
            } else {
                change.how
            };
            let name = change.prepared.name();
            let whole = change.how == "full" || self.work.kind == Kind::Reload;
            tables.push(TableRecord {
                filtered: audit::filtered(change, &found.inputs)?,
                why: change.why.clone(),
                logic: self
                    .transform
                    .logic
                    .after(name, self.state.last.as_ref(), whole),
                ..table_record(&change.prepared, how)
            });
        }
        tables.extend(rejections.iter().map(|change| {
            let how = match self.work.kind {
                _ if change.is_unchanged() => "unchanged",
                Kind::Replay => "merge",
                _ => "append",
            };
            table_record(change, how)
        }));
        let last = self.state.last.as_ref();
        let mut record = RunRecord {
            run: self.columns.run,
            kind: self.work.kind.name().to_owned(),
            status: "done".to_owned(),
            attempt: self.attempt.id.clone(),
            versions: last.map(|last| last.versions.clone()).unwrap_or_default(),
            horizon: last.map_or(0, |last| last.horizon),
            blocked: Blocked::after(last, self.settings).releases,
            transform: self.transform.record.clone(),
            parameters: self.transform.parameters.records(),
            started_at: stages.started.timestamp_micros(),
            sealed_at: (self.settings.clock)().timestamp_micros(),
            seconds: stages.total(),
            peak_memory_bytes: memory::peak() as i64,
            host: self.settings.host.clone(),
            inputs: found.inputs.clone(),
            tables,
            reasons: found.reason_records(),
            checks: found.checks.clone(),
            stages: stages.done.clone(),
            functions: self.calls.0.figures(),
            metrics: self.calls.0.metrics(),
            ..RunRecord::default()
        };
        let known: Vec<(String, i64)> = record
            .tables
            .iter()
            .map(|row| (row.name.clone(), row.version))
            .collect();
        for (name, version) in known {
            apply::note_version(&mut record, &name, version);
        }
        Ok(record)
    }
}

fn table_record(change: &Prepared, how: &str) -> TableRecord {
    let version = if change.is_unchanged() {
        change.next_version() - 1
    } else {
        change.next_version()
    };
    TableRecord {
        name: change.name().to_owned(),
        version,
        counts: change.counts,
        rows: change.rows(),
        how: how.to_owned(),
        ..TableRecord::default()
    }
}
