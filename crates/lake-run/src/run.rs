//! The story of a run: what there is to do, and how it is done.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake_delta::{Attempt, Root};
use lake_pipeline::Pipeline;
use lake_plugin::Declaration;
use lake_store::Stores;

use crate::blocked::Blocked;
use crate::build::Profile;
use crate::discover::{Again, Discovered, Files};
use crate::error::{Result, RunError};
use crate::live::{self, Live, Process};
use crate::load::Load;
use crate::memory;
use crate::partition;
use crate::prepare::Planned;
use crate::probe;
use crate::progress::Progress;
use crate::record::{Outcome, Report};
use crate::stages::Stages;
use crate::state::{Opening, State};
use crate::transform::{self, Releases};
use crate::work::Work;

/// What a command needs to know besides the pipeline file.
#[derive(Clone)]
pub struct Settings {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its file, for messages.
    pub file: PathBuf,
    /// The object stores that the root, inputs and the registry are in, and what was asked of them.
    pub stores: Stores,
    /// Where the tables of all pipelines live.
    pub root: Root,
    /// Where built transforms are kept between runs.
    pub cache: PathBuf,
    /// How transforms are built.
    pub profile: Profile,
    /// Which release of the transform to take, beside what the pipeline file says.
    pub releases: Releases,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
    /// The name of this host, for the record.
    pub host: String,
    /// How many threads a run keeps busy.
    pub threads: usize,
    /// Where a run says how far it is.
    pub progress: Arc<Progress>,
    /// This process, as others on its host recognise it.
    pub process: Process,
    /// Whether to wait for another run that is live, instead of leaving the work to it.
    pub wait: bool,
    /// Tables that may have lost what a run left in them.
    pub accept_loss: Vec<String>,
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
    pub(crate) fn limit(&self) -> u64 {
        self.pipeline
            .limits
            .memory
            .unwrap_or_else(memory::default_limit)
    }

    /// A name for an attempt. Those of later attempts come later in the order of texts.
    pub(crate) fn attempt_id(&self) -> String {
        let millis = (self.clock)().timestamp_millis();
        let random = uuid::Uuid::new_v4().into_bytes();
        let mut tail = [0; 10];
        // Of the bytes of a random identifier, the first six and the last four are nothing else.
        let bytes = random.iter().take(6).chain(random.iter().skip(12));
        tail.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        let millis = u64::try_from(millis).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &tail);
        id.into_uuid().to_string()
    }

    /// One attempt at something on a pipeline's root, and its engine.
    pub(crate) fn attempt(&self, root: &Root) -> Result<Attempt> {
        let session = self.session()?;
        root.register(&session.runtime_env());
        Ok(Attempt {
            root: root.clone(),
            pipeline: self.pipeline.name.clone(),
            id: self.attempt_id(),
            session,
        })
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
        // Rows that are spread by some of the columns of a group are spread by the group.
        config.options_mut().optimizer.subset_repartition_threshold = 1;
        // Every sort of every thread sets this aside, and may not ask for more than there is.
        let aside = &mut config.options_mut().execution.sort_spill_reservation_bytes;
        *aside = (*aside).min(share / (8 * self.threads.max(1)));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_query_planner(Arc::new(partition::Planner))
            .build();
        Ok(SessionContext::new_with_state(state))
    }

    pub(crate) fn wrong(&self, message: String) -> RunError {
        RunError::Pipeline {
            file: self.file.clone(),
            message,
        }
    }
}

/// Runs a pipeline: loads what is pending, computes again what another logic built, or says that
/// there is nothing to do.
///
/// # Errors
/// Whatever keeps the run from being published; nothing of it is seen then.
pub async fn run(settings: &Settings) -> Result<Report> {
    perform(settings, &Files::Pending).await
}

/// Loads all files of a pipeline once more, so that every row comes from the present logic, or some
/// of those that are loaded; rows that they no longer yield are removed.
///
/// # Errors
/// As for [`run`], and [`RunError::Input`] where a file that was loaded is gone.
pub async fn reload(settings: &Settings, some: Option<Again>) -> Result<Report> {
    perform(settings, &some.map_or(Files::All, Files::Again)).await
}

/// How often a command has been overtaken by others, and what there is to say about it.
#[derive(Debug, Default)]
pub(crate) struct Overtaken {
    times: usize,
    pub(crate) told: Vec<String>,
}

impl Overtaken {
    /// Who is overtaken by others starts over this often.
    const MOST: usize = 3;

    /// Comes back where it is worth starting over after an error: others were faster, or are at work
    /// and are waited for.
    ///
    /// # Errors
    /// The same error where it is not.
    pub(crate) async fn start_over(&mut self, settings: &Settings, error: RunError) -> Result<()> {
        if matches!(error, RunError::Live { .. }) && settings.wait {
            tracing::info!("{error}");
            return live::wait(settings, &settings.root.child(&settings.pipeline.name)).await;
        }
        if !error.is_overtaken() || self.times == Self::MOST {
            return Err(error);
        }
        tracing::info!("{error}");
        if let RunError::TakenBack { run, by, why } = &error {
            self.told.push(taken_back(*run, *by, why));
        }
        self.times += 1;
        Ok(())
    }
}

async fn perform(settings: &Settings, files: &Files) -> Result<Report> {
    let mut overtaken = Overtaken::default();
    loop {
        match Box::pin(once(settings, files)).await {
            Ok(mut report) => {
                let mut told = overtaken.told;
                told.append(&mut report.warnings);
                let mut seen = HashSet::new();
                told.retain(|warning: &String| seen.insert(warning.clone()));
                report.warnings = told;
                return Ok(report);
            }
            Err(error) => overtaken.start_over(settings, error).await?,
        }
    }
}

/// What there is to say about a run that was taken back.
pub(crate) fn taken_back(run: i64, by: i64, why: &str) -> String {
    format!("run {run} was taken back as run {by}, because {why}")
}

async fn once(settings: &Settings, files: &Files) -> Result<Report> {
    let mut stages = Stages::new(settings.clock, Arc::clone(&settings.progress));
    let opening = match files {
        Files::Pending | Files::Again(_) => Opening::GoOn,
        Files::All => Opening::Repair,
    };
    let state = Box::pin(State::open(settings, opening)).await?;
    let blocked = Blocked::after(state.last.as_ref(), settings);
    let transform = transform::load(settings, &blocked).await?;
    check_inputs(settings, transform.plugin.declaration())?;
    stages.end("open");

    let mut empty = HashSet::new();
    let mut warnings = state.warnings.clone();
    loop {
        let work = Work::find(settings, &state, &transform, files, &empty).await?;
        stages.end("discover");
        let taken = work.found.names();
        let mut report = match work.is_empty() {
            true => {
                let mut report = nothing_to_do(&state, work.found);
                report.warnings.extend(blocked.still());
                report
            }
            false => {
                let load = Load::new(settings, &state, &transform, work)?;
                let attempt = load.attempt.id.clone();
                let publish = Box::pin(load.publish(stages.clone()));
                let published = alone(settings, &state, &attempt, publish).await;
                published.map_err(|error| named(error, settings, &state))?
            }
        };
        // Where a run takes some of the files only, and those turn out to have nothing in them, it
        // takes the next ones, which would never be loaded otherwise.
        warnings.append(&mut report.warnings);
        if !report.left.is_empty() && matches!(report.outcome, Outcome::NothingToDo { .. }) {
            empty.extend(taken);
            state.forget_tables();
            continue;
        }
        report.warnings = warnings;
        return Ok(report);
    }
}

/// Does what a run does on `state`, while others can see that it is at work.
pub(crate) async fn alone<T>(
    settings: &Settings,
    state: &State,
    attempt: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let live = Live::enter(settings, &state.root, attempt).await?;
    let done = async {
        let (is_outrun, probed) = futures::join!(state.is_outrun(), probe::probe(&state.root));
        // Another may have come to its end since the state was read.
        if is_outrun? {
            let run = state.finished + 1;
            return Err(RunError::OtherRun { run });
        }
        probed?;
        work.await
    }
    .await;
    live.leave().await;
    done
}

/// An error of a run, as what it means for whoever has started it.
pub(crate) fn named(error: RunError, settings: &Settings, state: &State) -> RunError {
    match error.or_disk_full(&state.root.display(), None) {
        RunError::Table(error) => RunError::of_table(*error, settings.limit()),
        other => other,
    }
}

/// A transform that a run could work with.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// What it declares.
    pub declaration: Declaration,
    /// The columns of each table `zone/name`, with their Arrow types, as its SQL yields them.
    pub tables: BTreeMap<String, Vec<(String, String)>>,
}

/// Checks everything that can be checked without reading a file: the transform builds, loads,
/// declares sense, and its SQL plans.
///
/// # Errors
/// What a run would fail with before it reads.
pub async fn validate(settings: &Settings) -> Result<Validated> {
    let transform = transform::load(settings, &Blocked::default()).await?;
    check_inputs(settings, transform.plugin.declaration())?;
    // Tables that are there have to fit, and nothing is written.
    let (state, _) = State::look(&settings.root, &settings.pipeline.name).await?;
    let load = Load::new(settings, &state, &transform, Work::default())?;
    let preparing = load.preparing();
    let planned = load.plan(&preparing).await?;
    preparing.key_rules(&planned, &transform.plugin.declaration().inputs)?;
    let tables = planned.into_iter().map(|Planned { shaped, .. }| {
        let fields = shaped.spec.schema.fields().iter();
        let columns = fields.map(|field| (field.name().clone(), field.data_type().to_string()));
        (shaped.spec.name, columns.collect())
    });
    Ok(Validated {
        tables: tables.collect(),
        declaration: transform.plugin.declaration().clone(),
    })
}

pub(crate) fn nothing_to_do(state: &State, found: Discovered) -> Report {
    Report {
        outcome: Outcome::NothingToDo {
            last_run: state.finished,
            loaded_files: found.loaded,
        },
        pipeline: state.pipeline.clone(),
        root: state.root.display(),
        warnings: found.warnings,
        left: found.left,
        reasons: BTreeMap::new(),
    }
}

/// The pipeline file and the transform name the same inputs.
pub(crate) fn check_inputs(settings: &Settings, declaration: &Declaration) -> Result<()> {
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
    Ok(())
}
