//! The story of a run, in the order of its stages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::join_all;
use lake_delta::{Attempt, Prepared, Root};
use lake_pipeline::Pipeline;
use lake_plugin::Declaration;
use tokio::sync::mpsc;

use crate::apply;
use crate::audit;
use crate::check::{Checks, ReasonCounts, input_schema};
use crate::discover::{Discovered, discover};
use crate::error::{Result, RunError};
use crate::memory;
use crate::parameters::{self, Parameters};
use crate::prepare::{Arriving, Change, Preparing};
use crate::read::InputReader;
use crate::record::{
    FILES, FileRecord, InputRecord, Outcome, Report, RunRecord, StageRecord, TableRecord,
    files_spec, rejection_spec, to_batch,
};
use crate::seal;
use crate::shape::{self, RunColumns};
use crate::state::State;
use crate::table_checks::CheckRecord;
use crate::transform::{self, Profile, Transform};

/// What a command needs to know besides the pipeline file.
#[derive(Clone)]
pub struct Settings {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its file, for messages.
    pub file: PathBuf,
    /// Where the tables of all pipelines live.
    pub root: Root,
    /// Where built transforms are kept between runs.
    pub cache: PathBuf,
    /// How transforms are built.
    pub profile: Profile,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
    /// The name of this host, for the record.
    pub host: String,
    /// How many threads a run keeps busy.
    pub threads: usize,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("pipeline", &self.pipeline)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn limit(&self) -> u64 {
        self.pipeline
            .limits
            .memory
            .unwrap_or_else(memory::default_limit)
    }

    /// A query engine that stays within the limit and spills beyond it.
    pub(crate) fn session(&self) -> Result<SessionContext> {
        let share = memory::engine_share(self.limit(), self.threads);
        const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(5).unwrap();
        let pool = TrackConsumersPool::new(FairSpillPool::new(share), NAMED_CONSUMERS);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .build_arc();
        let runtime = runtime.map_err(|e| RunError::sql("the query engine", &e))?;
        let mut config = SessionConfig::new().with_target_partitions(self.threads.max(1));
        config.options_mut().execution.time_zone = Some("UTC".into());
        config.options_mut().sql_parser.collect_spans = true;
        // Every sort of every thread sets this aside, and may not ask for more than there is.
        let aside = &mut config.options_mut().execution.sort_spill_reservation_bytes;
        *aside = (*aside).min(share / (8 * self.threads.max(1)));
        Ok(SessionContext::new_with_config_rt(config, runtime))
    }

    fn wrong(&self, message: String) -> RunError {
        RunError::Pipeline {
            file: self.file.clone(),
            message,
        }
    }
}

/// Runs a pipeline: loads what is pending, or says that nothing is.
///
/// # Errors
/// Whatever keeps the run from being published; nothing of it is seen then.
pub async fn run(settings: &Settings) -> Result<Report> {
    let mut stages = Stages::new(settings.clock);
    let state = State::open(&settings.root, &settings.pipeline.name).await?;
    let transform = transform::load(
        &settings.pipeline.transform,
        &settings.cache,
        settings.profile,
    )?;
    check_inputs(settings, transform.plugin.declaration())?;
    stages.end("open");

    let found = discover(&settings.pipeline, &state).await?;
    stages.end("discover");
    if found.is_empty() {
        return Ok(nothing_to_do(&state, found.loaded, found.warnings));
    }
    let load = Load::new(settings, &state, &transform)?;
    let published = load.load(found, stages).await;
    published.map_err(
        |error| match error.or_disk_full(&state.root.display(), None) {
            RunError::Table(error) => RunError::of_table(*error, settings.limit()),
            other => other,
        },
    )
}

/// Checks everything that can be checked without reading a file: the
/// transform builds, loads, declares sense, and its SQL plans.
///
/// # Errors
/// What a run would fail with before it reads.
pub async fn validate(settings: &Settings) -> Result<Declaration> {
    let transform = transform::load(
        &settings.pipeline.transform,
        &settings.cache,
        settings.profile,
    )?;
    let declaration = transform.plugin.declaration().clone();
    check_inputs(settings, &declaration)?;
    let state = State {
        root: settings.root.child(&settings.pipeline.name),
        pipeline: settings.pipeline.name.clone(),
        finished: 0,
    };
    let load = Load::new(settings, &state, &transform)?;
    let readers = load.readers(&Discovered::default())?;
    load.register(
        &readers
            .iter()
            .map(|(reader, _)| Arc::clone(reader))
            .collect::<Vec<_>>(),
    )?;
    load.preparing().plan_all().await?;
    load.preparing().key_rules(&declaration.inputs).await?;
    Ok(declaration)
}

fn nothing_to_do(state: &State, loaded_files: u64, warnings: Vec<String>) -> Report {
    Report {
        outcome: Outcome::NothingToDo {
            last_run: state.finished,
            loaded_files,
        },
        pipeline: state.pipeline.clone(),
        root: state.root.display(),
        warnings,
        reasons: BTreeMap::new(),
    }
}

/// What the pipeline file and the transform say about parameters.
fn parameters_of(settings: &Settings, declaration: &Declaration) -> Result<Parameters> {
    let given = BTreeMap::new();
    parameters::values(declaration, &given).map_err(|message| settings.wrong(message))
}

/// The pipeline file and the transform name the same inputs, and the same parameters.
fn check_inputs(settings: &Settings, declaration: &Declaration) -> Result<()> {
    let given = &settings.pipeline.inputs;
    let transform = &settings.pipeline.transform.name;
    for input in &declaration.inputs {
        if !given.contains_key(&input.name) {
            return Err(settings.wrong(format!(
                "the transform {transform} reads the input {0}, which has no path; add inputs.{0}.path",
                input.name
            )));
        }
    }
    for name in given.keys() {
        if !declaration.inputs.iter().any(|input| input.name == *name) {
            let known: Vec<&str> = declaration.inputs.iter().map(|i| i.name.as_str()).collect();
            return Err(settings.wrong(format!(
                "the transform {transform} has no input {name}; it reads {}",
                known.join(", ")
            )));
        }
    }
    parameters_of(settings, declaration)?;
    Ok(())
}

/// One attempt at loading what is pending.
struct Load<'a> {
    settings: &'a Settings,
    state: &'a State,
    transform: &'a Transform,
    attempt: Attempt,
    columns: RunColumns,
    parameters: Parameters,
}

type Reader = (Arc<InputReader>, mpsc::Receiver<arrow::array::RecordBatch>);

impl<'a> Load<'a> {
    fn new(settings: &'a Settings, state: &'a State, transform: &'a Transform) -> Result<Self> {
        let declaration = transform.plugin.declaration();
        let parameters = parameters_of(settings, declaration)?;
        let session = settings.session()?;
        state.root.register(&session.runtime_env());
        shape::register_functions(&session, &transform.plugin);
        shape::register_zones(&session).map_err(|e| RunError::sql("the query engine", &e))?;
        Ok(Self {
            settings,
            state,
            transform,
            attempt: Attempt {
                root: state.root.clone(),
                pipeline: state.pipeline.clone(),
                id: uuid::Uuid::new_v4().to_string(),
                session,
            },
            columns: RunColumns {
                loaded_at: (settings.clock)().timestamp_micros(),
                run: state.finished + 1,
            },
            parameters,
        })
    }

    async fn load(&self, found: Discovered, mut stages: Stages) -> Result<Report> {
        let readers = self.readers(&found)?;
        let (readers, rejections): (Vec<_>, Vec<_>) = readers.into_iter().unzip();
        self.register(&readers)?;
        let preparing = self.preparing();
        preparing.plan_all().await?;
        let declaration = self.transform.plugin.declaration();
        let mut keys = preparing.key_rules(&declaration.inputs).await?;
        for reader in &readers {
            reader.reject_null_keys(keys.remove(reader.name()).unwrap_or_default());
        }
        stages.end("plan");

        // Rejected rows are written while accepted ones are still being read.
        let mut writing = Vec::new();
        for (reader, rows) in readers.iter().zip(rejections) {
            let again = found.again.contains(reader.name());
            writing.push(self.reject(reader.name(), rows, again));
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
        let loaded = found.loaded;
        let mut found = Found::gather(&readers, found)?;
        stages.end("standard");

        // Files with nothing in them stay pending: they alone are no run.
        if found.files.is_empty() {
            return Ok(nothing_to_do(self.state, loaded, found.warnings));
        }

        audit::every_row_is_somewhere(&found.inputs, &rejections)?;
        preparing.consumption(&mut changes).await?;
        stages.end("consumption");

        found.checks = preparing.checks().await?;
        let limits = &self.settings.pipeline.limits;
        if let Some(why) = audit::audit(limits, &found.inputs, &found.checks) {
            return Err(self.stop(&why, &rejections, found).await?);
        }
        let warning = found.checks.iter().filter(|check| !check.holds);
        found.warnings.extend(warning.map(CheckRecord::sentence));
        let files = self.prepare_files(&found.files).await?;
        stages.end("audit");

        let record = self.record(&found, &changes, &rejections, &stages)?;
        let mut prepared = vec![files];
        prepared.extend(rejections);
        prepared.extend(changes.into_iter().map(|change| change.prepared));
        let sealed = seal::seal(self.state, &self.attempt.id, record, &prepared).await?;
        stages.end("seal");
        let mut record = apply::apply(&self.state.root, &sealed).await?;
        stages.end("apply");
        record.seconds = stages.total();
        record.stages = stages.done;
        record.peak_memory_bytes = memory::peak() as i64;
        Ok(Report {
            outcome: Outcome::Published(Box::new(record)),
            pipeline: self.state.pipeline.clone(),
            root: self.state.root.display(),
            warnings: found.warnings,
            reasons: found
                .reasons
                .into_iter()
                .map(|(name, counts)| (name, counts.sorted()))
                .collect(),
        })
    }

    fn preparing(&self) -> Preparing<'_> {
        let declaration = self.transform.plugin.declaration();
        Preparing {
            state: self.state,
            attempt: &self.attempt,
            tables: &declaration.tables,
            inputs: declaration
                .inputs
                .iter()
                .map(|input| input.name.clone())
                .collect(),
            columns: self.columns,
            parameters: &self.parameters,
        }
    }

    fn readers(&self, found: &Discovered) -> Result<Vec<Reader>> {
        let declaration = self.transform.plugin.declaration();
        let readers = declaration.inputs.iter().map(|input| {
            let schema = input_schema(input);
            let checks = Checks::new(&self.attempt.session, input, &schema, &self.parameters)?;
            let files = found.pending.get(&input.name).cloned().unwrap_or_default();
            let origin = (self.columns.run, self.transform.record.version.clone());
            Ok(InputReader::new(input, checks, schema, files, origin))
        });
        readers.collect()
    }

    fn register(&self, readers: &[Arc<InputReader>]) -> Result<()> {
        for reader in readers {
            let table = Arc::new(reader.table(self.settings.threads)?);
            let registered = self.attempt.session.register_table(reader.name(), table);
            registered.map_err(|e| RunError::sql(reader.name(), &e))?;
        }
        Ok(())
    }

    /// Writes the rejected rows of one input. A row that is rejected again,
    /// because its file is loaded again, is the same row; rows of new files
    /// cannot be there yet.
    async fn reject(
        &self,
        input: &str,
        rows: mpsc::Receiver<arrow::array::RecordBatch>,
        again: bool,
    ) -> Result<Prepared> {
        let spec = rejection_spec(input);
        let base = self.state.table(&spec.name).await?;
        let plan = Arriving::plan(&self.attempt.session, &spec, rows).await?;
        if !again {
            return Ok(self.attempt.append(&spec, base, plan).await?);
        }
        let (key, newest_by) = (["row_id".to_owned()], ["received_at".to_owned()]);
        Ok(self
            .attempt
            .merge_newest(&spec, base, plan, &key, &newest_by)
            .await?)
    }

    async fn prepare_files(&self, files: &[FileRecord]) -> Result<Prepared> {
        let spec = files_spec();
        let batch = to_batch(&spec.schema, files)?;
        let failed = |e| RunError::sql(FILES, &e);
        let rows = self.attempt.session.read_batch(batch).map_err(failed)?;
        let plan = rows.create_physical_plan().await.map_err(failed)?;
        let base = self.state.table(FILES).await?;
        Ok(self.attempt.append(&spec, base, plan).await?)
    }

    async fn stop(&self, why: &str, rejections: &[Prepared], found: Found) -> Result<RunError> {
        let mut counts = ReasonCounts::default();
        found
            .reasons
            .into_values()
            .for_each(|more| counts.add(more));
        let counts = counts.sorted();
        let (state, attempt) = (self.state, self.attempt.id.as_str());
        let kept =
            audit::keep_stopped(state, attempt, why, rejections, &counts, &found.checks).await?;
        let mut message = why.to_owned();
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
        })
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
            let filtered = audit::filtered(change, &found.inputs)?;
            tables.push(table_record(&change.prepared, how, filtered));
        }
        tables.extend(rejections.iter().map(|change| {
            let how = if change.is_unchanged() {
                "unchanged"
            } else {
                "append"
            };
            table_record(change, how, 0)
        }));
        Ok(RunRecord {
            run: self.columns.run,
            kind: "load".to_owned(),
            status: "done".to_owned(),
            transform: self.transform.record.clone(),
            parameters: self.parameters.records(),
            started_at: stages.started.timestamp_micros(),
            sealed_at: (self.settings.clock)().timestamp_micros(),
            seconds: stages.total(),
            peak_memory_bytes: memory::peak() as i64,
            host: self.settings.host.clone(),
            inputs: found.inputs.clone(),
            tables,
            checks: found.checks.clone(),
            stages: stages.done.clone(),
        })
    }
}

fn table_record(change: &Prepared, how: &str, filtered: u64) -> TableRecord {
    let version = if change.is_unchanged() {
        change.next_version() - 1
    } else {
        change.next_version()
    };
    TableRecord {
        name: change.name().to_owned(),
        version,
        counts: change.counts,
        filtered,
        rows: change.rows(),
        how: how.to_owned(),
    }
}

/// What reading has found, over all inputs.
struct Found {
    files: Vec<FileRecord>,
    inputs: Vec<InputRecord>,
    reasons: BTreeMap<String, ReasonCounts>,
    warnings: Vec<String>,
    /// What the table checks have found; empty before they are evaluated.
    checks: Vec<CheckRecord>,
}

impl Found {
    /// # Errors
    /// [`RunError::Input`] where no table has asked for all rows of an input.
    fn gather(readers: &[Arc<InputReader>], discovered: Discovered) -> Result<Self> {
        let mut found = Self {
            files: Vec::new(),
            inputs: Vec::new(),
            reasons: BTreeMap::new(),
            warnings: discovered.warnings,
            checks: Vec::new(),
        };
        for reader in readers {
            let complete = reader.is_complete();
            let yielded = reader.yielded();
            if !complete {
                return Err(RunError::Input {
                    place: format!("input {}", reader.name()),
                    message:
                        "its files were not read to their end, because no table of the transform \
                              asked for all of its rows; select from it in a standard table"
                            .to_owned(),
                });
            }
            let sum =
                |pick: fn(&FileRecord) -> i64| yielded.files.iter().map(pick).sum::<i64>() as u64;
            found.inputs.push(InputRecord {
                name: reader.name().to_owned(),
                files: yielded.files.len() as u64,
                bytes: sum(|file| file.size),
                rows: sum(|file| file.rows),
                accepted: sum(|file| file.accepted),
                rejected: sum(|file| file.rejected),
                warned: yielded.warned,
            });
            found.files.extend(yielded.files);
            found
                .reasons
                .insert(reader.name().to_owned(), yielded.reasons);
            found.warnings.extend(yielded.warnings);
        }
        found
            .files
            .sort_by(|a, b| (&a.input, &a.path).cmp(&(&b.input, &b.path)));
        Ok(found)
    }
}

/// How long the stages take.
struct Stages {
    started: DateTime<Utc>,
    begun: Instant,
    last: Instant,
    done: Vec<StageRecord>,
}

impl Stages {
    fn new(clock: fn() -> DateTime<Utc>) -> Self {
        let now = Instant::now();
        Self {
            started: clock(),
            begun: now,
            last: now,
            done: Vec::new(),
        }
    }

    fn end(&mut self, stage: &str) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        tracing::debug!(stage, seconds, "stage done");
        self.done.push(StageRecord {
            stage: stage.to_owned(),
            seconds,
        });
        self.last = now;
    }

    fn total(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}
