//! A pipeline's state: its root, its runs, and the run that still has to be finished.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use lake_delta::{Attempt, Root, Snapshot};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};

use crate::apply::{self, Finished};
use crate::error::{Result, RunError};
use crate::record::{RunRecord, app};
use crate::run::{Settings, taken_back};
use crate::runs::Runs;
use crate::sealed::{SEAL_FORMAT, Seal};
use crate::undo;

/// Where seals are, below the pipeline's root.
const LOG: &str = "_lake/log";
/// How many tables are opened at a time.
const OPENED: usize = 16;

/// A pipeline that has been opened: no sealed run is unfinished.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// `{root}/{pipeline}`.
    pub(crate) root: Root,
    pub(crate) pipeline: String,
    /// The last finished run; 0 before the first.
    pub(crate) finished: i64,
    /// What that run recorded of itself.
    pub(crate) last: Option<RunRecord>,
    /// Which tables may have lost commits.
    accepted: Accepted,
    /// The tables that were opened.
    opened: Arc<Mutex<Opened>>,
    /// What opening it has found and mended.
    pub(crate) warnings: Vec<String>,
}

type Opened = HashMap<String, Option<Snapshot>>;

/// The tables whose losses are accepted.
#[derive(Debug, Clone)]
enum Accepted {
    /// All, because everything is loaded again.
    All,
    /// Those that were named.
    These(Vec<String>),
}

impl Accepted {
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|accepted| accepted == name),
        }
    }
}

/// What a pipeline is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To go on with what is there, which has to be whole.
    GoOn,
    /// To load everything again, also where some of it is lost.
    Repair,
}

impl State {
    /// Opens a pipeline and finishes runs that were sealed and not applied to
    /// their end, whoever sealed them.
    pub(crate) async fn open(settings: &Settings, opening: Opening) -> Result<Self> {
        let pipeline = &settings.pipeline.name;
        let root = settings.root.child(pipeline);
        let attempt = settings.attempt(&root)?;
        let mut warnings = Vec::new();
        let mut runs = Runs::open(&root, pipeline).await?;
        loop {
            let mut give_up = |run: i64, why: &str| {
                warnings.push(format!("run {run} is given up: {why}"));
                why.to_owned()
            };
            let (seal, decision) = match sealed_after(&root, runs.finished).await? {
                Next::Nothing => break,
                Next::Finish(seal, decision) => (*seal, decision),
                // Nobody was told that it is sealed, and nobody can have applied it.
                Next::Empty(run) => {
                    let why = give_up(run, "its seal is empty, as a power cut leaves it");
                    (
                        void(settings, &attempt, &runs, run, why, PutMode::Overwrite).await?,
                        None,
                    )
                }
                Next::Lost(run, _) if opening == Opening::Repair && run > runs.finished => {
                    let why = give_up(run, "its seal is lost");
                    (
                        void(settings, &attempt, &runs, run, why, PutMode::Create).await?,
                        None,
                    )
                }
                Next::Lost(..) if opening == Opening::Repair => break,
                Next::Lost(run, what) => return Err(log_lost(run, &what)),
            };
            root.confirm(&seal_path(seal.run)).await?;
            tracing::info!(
                run = seal.run,
                "finishing a run that was sealed and not applied"
            );
            let finished = match decision {
                Some(decision) => undo::finish(&attempt, &seal, &decision).await,
                None => apply::apply(&attempt, &seal).await,
            };
            let finished = finished.map_err(|e| e.or_disk_full(&root.display(), Some(seal.run)))?;
            if let Finished::Undone(by, why) = finished {
                warnings.push(taken_back(seal.run, by, &why));
            }
            runs = Runs::open(&root, pipeline).await?;
        }
        if opening == Opening::Repair {
            // Numbers that tables have rows of, and whose seals are lost, are not used again.
            let highest = highest_transaction(&root, pipeline).await?;
            for run in runs.finished + 1..=highest {
                let why = "its seal is lost".to_owned();
                warnings.push(format!("run {run} is given up: {why}"));
                let seal = void(settings, &attempt, &runs, run, why, PutMode::Create).await?;
                apply::apply(&attempt, &seal).await?;
                runs = Runs::open(&root, pipeline).await?;
            }
        }
        let mut state = Self::after(root, pipeline, &runs).await?;
        state.warnings = warnings;
        state.accepted = match opening {
            Opening::Repair => Accepted::All,
            Opening::GoOn => Accepted::These(settings.accept_loss.clone()),
        };
        Ok(state)
    }

    /// Looks at a pipeline without writing anything; gives the seal of a run
    /// that still has to be finished, if there is one.
    pub(crate) async fn look(root: &Root, pipeline: &str) -> Result<(Self, Option<Seal>)> {
        let root = root.child(pipeline);
        let runs = Runs::open(&root, pipeline).await?;
        let unfinished = match sealed_after(&root, runs.finished).await? {
            Next::Nothing | Next::Empty(_) => None,
            Next::Finish(seal, _) => Some(*seal),
            Next::Lost(run, what) => return Err(log_lost(run, &what)),
        };
        let state = Self::after(root, pipeline, &runs).await?;
        Ok((state, unfinished))
    }

    async fn after(root: Root, pipeline: &str, runs: &Runs) -> Result<Self> {
        let last = match runs.finished {
            0 => None,
            run => runs.record(run).await?,
        };
        Ok(Self {
            root,
            pipeline: pipeline.to_owned(),
            finished: runs.finished,
            last,
            accepted: Accepted::These(Vec::new()),
            opened: Arc::default(),
            warnings: Vec::new(),
        })
    }

    /// Whether the next number is taken, so that whatever is prepared on this state is in vain.
    pub(crate) async fn is_outrun(&self) -> Result<bool> {
        let next = read_seal(&self.root, self.finished + 1).await?;
        Ok(!matches!(next, SealObject::Absent))
    }

    /// Opens tables side by side: what is asked for one after the other costs a round trip each.
    /// One that cannot be opened is met again by whoever needs it.
    pub(crate) async fn open_tables(&self, names: impl IntoIterator<Item = String>) {
        let opened = names.into_iter().map(|name| async move {
            if let Err(error) = self.table(&name).await {
                tracing::debug!(table = name, %error, "it cannot be opened");
            }
        });
        let opened = futures::stream::iter(opened).buffer_unordered(OPENED);
        opened.collect::<()>().await;
    }

    /// The newest version of a table when it was asked for first: what is done on a state is done
    /// on one version of each table, and what others commit meanwhile is seen when it is sealed.
    ///
    /// # Errors
    /// [`RunError::Lost`] where a run left it at a later version than it has, or it is gone; and
    /// [`RunError::OtherRun`] where a later run has changed it.
    pub(crate) async fn table(&self, name: &str) -> Result<Option<Snapshot>> {
        let known = self.opened().get(name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let table = self.newest(name).await?;
        self.opened().insert(name.to_owned(), table.clone());
        Ok(table)
    }

    /// From now on tables are what they are by then.
    pub(crate) fn forget_tables(&self) {
        self.opened().clear();
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn newest(&self, name: &str) -> Result<Option<Snapshot>> {
        let table = Snapshot::open(&self.root, &self.pipeline, name).await?;
        if self.accepted.covers(name) {
            return Ok(table);
        }
        let left = self.left(name);
        let has = table.as_ref().map(Snapshot::version);
        // What is computed from other tables is computed again.
        if left > has && !name.starts_with("consumption/") {
            return Err(RunError::Lost {
                table: name.to_owned(),
                what: match has {
                    None => "it is gone".to_owned(),
                    Some(version) => format!("its log ends with version {version}"),
                },
                run: self.finished,
                version: left.unwrap_or_default(),
            });
        }
        // Where nobody has committed since, nobody has committed a later run.
        if let Some(table) = &table
            && has != left
        {
            let applied = table.transaction(&app(&self.pipeline)).await?;
            if let Some(run) = applied.filter(|run| *run > self.finished) {
                return Err(match self.is_outrun().await? {
                    true => RunError::OtherRun {
                        run: self.finished + 1,
                    },
                    false => RunError::State {
                        path: format!("{LOG}/{:08}.json", self.finished + 1),
                        message: format!(
                            "{name} has rows of run {run}, and the seal of that run is lost; \
                             bring {LOG} back from a backup, or load everything again with \
                             `lake run --reload`"
                        ),
                    },
                });
            }
        }
        Ok(table)
    }

    /// # Errors
    /// [`RunError::Refused`] where what a run has left may be deleted already.
    pub(crate) fn is_within_reach(&self, run: i64) -> Result<()> {
        let horizon = self.last.as_ref().map_or(0, |last| last.horizon);
        if run >= horizon {
            return Ok(());
        }
        Err(RunError::Refused {
            message: format!(
                "what run {run} had left may be deleted: the oldest run whose tables are kept is \
                 run {horizon} (rollback_window in the pipeline file says how much lake maintain \
                 keeps)"
            ),
        })
    }

    /// The version at which the last finished run left a table.
    pub(crate) fn left(&self, name: &str) -> Option<i64> {
        let last = self.last.as_ref()?;
        let row = last.versions.iter().find(|row| row.name == name)?;
        Some(row.version)
    }
}

/// The Delta tables below a pipeline's root, zone by zone, lake's own last.
pub(crate) async fn tables(root: &Root) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for zone in [
        "standard",
        "consumption",
        "rejection",
        "_lake",
        "_lake/deleted",
    ] {
        let prefix = Path::from(zone);
        let listed = root.store().list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|e| RunError::store(zone, e))?;
        let is_table = |name: &&str| zone != "_lake" || ["files", "runs", "archive"].contains(name);
        let places = listed.common_prefixes.iter();
        let places = places.filter_map(|place| place.filename()).filter(is_table);
        let mut own: Vec<String> = places.map(|name| format!("{zone}/{name}")).collect();
        own.sort();
        names.append(&mut own);
    }
    Ok(names)
}

/// What there is to finish.
enum Next {
    Nothing,
    /// A sealed run, and the decision to take it back, if there is one.
    Finish(Box<Seal>, Option<Box<Seal>>),
    /// A seal without bytes.
    Empty(i64),
    /// The seal of a run is not there, and must have been.
    Lost(i64, String),
}

/// What is sealed above the last finished run.
async fn sealed_after(root: &Root, finished: i64) -> Result<Next> {
    let failed = |e| RunError::store(LOG, e);
    let store = root.store();
    let mut numbers: BTreeSet<i64> = BTreeSet::new();
    // The last finished one is looked for as well: without it, others may be lost too.
    let log = Path::from(LOG);
    let mut listed = store.list_with_offset(Some(&log), &seal_path(finished - 1));
    while let Some(object) = listed.try_next().await.map_err(failed)? {
        let name = object.location.filename().unwrap_or_default();
        let number = name.strip_suffix(".json").map(str::parse::<i64>);
        numbers.extend(number.and_then(std::result::Result::ok));
    }
    let next = finished + 1;
    let Some(highest) = numbers.last().copied().filter(|run| *run >= next) else {
        return Ok(match finished > 0 && !numbers.contains(&finished) {
            true => Next::Lost(finished, format!("the seal of run {finished} is gone")),
            false => Next::Nothing,
        });
    };
    let seal = match read_seal(root, next).await? {
        // The run before was finished while somebody decided to take it back.
        SealObject::There(decision) if decision.undoes() == Some(finished) => {
            return Ok(match read_seal(root, finished).await? {
                SealObject::There(seal) => Next::Finish(seal, Some(decision)),
                _ => Next::Lost(finished, format!("the seal of run {finished} is gone")),
            });
        }
        SealObject::There(seal) => seal,
        SealObject::Empty => return Ok(Next::Empty(next)),
        SealObject::Absent => {
            let what = format!("there is a seal of run {highest}, and none of run {next}");
            return Ok(Next::Lost(next, what));
        }
    };
    let decision = match numbers.contains(&(next + 1)) {
        true => match read_seal(root, next + 1).await? {
            SealObject::There(decision) if decision.undoes() == Some(next) => Some(decision),
            _ => None,
        },
        false => None,
    };
    Ok(Next::Finish(seal, decision))
}

fn log_lost(run: i64, what: &str) -> RunError {
    RunError::State {
        path: seal_path(run).to_string(),
        message: format!(
            "{what}; bring {LOG} back from a backup, or load everything again with \
             `lake run --reload`"
        ),
    }
}

/// The highest run that any table has a commit of.
async fn highest_transaction(root: &Root, pipeline: &str) -> Result<i64> {
    let mut highest = 0;
    for name in tables(root).await? {
        // What cannot be opened is reported when it is needed.
        if let Ok(Some(table)) = Snapshot::open(root, pipeline, &name).await {
            let applied = table.transaction(&app(pipeline)).await?;
            highest = highest.max(applied.unwrap_or(0));
        }
    }
    Ok(highest)
}

/// Decides that there is no run of a number.
async fn void(
    settings: &Settings,
    attempt: &Attempt,
    runs: &Runs,
    run: i64,
    why: String,
    mode: PutMode,
) -> Result<Seal> {
    let before = runs.record(run - 1).await?;
    let now = (settings.clock)().timestamp_micros();
    let record = RunRecord::void(run, before.as_ref(), (&attempt.id, now), why);
    let seal = Seal::of(&attempt.pipeline, record, Vec::new());
    let path = seal_path(run);
    let body = Bytes::from(seal.to_json()?);
    let store = attempt.root.store();
    let put = store.put_opts(&path, body.into(), mode.into()).await;
    put.map_err(|e| RunError::store(&path, e))?;
    Ok(seal)
}

/// Where the seal of a run is, below the pipeline's root.
pub(crate) fn seal_path(run: i64) -> Path {
    Path::from(format!("{LOG}/{run:08}.json"))
}

/// What is where a seal may be.
#[derive(Debug)]
pub(crate) enum SealObject {
    Absent,
    /// An object without bytes.
    Empty,
    There(Box<Seal>),
}

pub(crate) async fn read_seal(root: &Root, run: i64) -> Result<SealObject> {
    let path = seal_path(run);
    let bytes = match root.store().get(&path).await {
        Ok(found) => found.bytes().await,
        Err(object_store::Error::NotFound { .. }) => return Ok(SealObject::Absent),
        Err(e) => Err(e),
    }
    .map_err(|e| RunError::store(&path, e))?;
    if bytes.is_empty() {
        return Ok(SealObject::Empty);
    }
    let broken = |message: String| RunError::State {
        path: path.to_string(),
        message,
    };
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| broken(format!("the seal is not JSON: {e}")))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(SEAL_FORMAT)) {
        let format = format.map_or_else(|| "none".to_owned(), |f| f.to_string());
        let needed = value.get("lake").and_then(serde_json::Value::as_str);
        return Err(broken(format!(
            "the seal has format {format}, and lake {} reads format {SEAL_FORMAT}; use lake {} or newer",
            env!("CARGO_PKG_VERSION"),
            needed.unwrap_or("of the host that sealed it"),
        )));
    }
    let seal = serde_json::from_value(value);
    seal.map(|seal| SealObject::There(Box::new(seal)))
        .map_err(|e| broken(format!("the seal cannot be read: {e}")))
}
