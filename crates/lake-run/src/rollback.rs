//! Rollback: tables, source state and code are again what a run has left.
//!
//! It is a run of its own, sealed and applied like any other. No row is read or written: every
//! table gets the files that it had then, `_lake/files` among them, so that what the undone runs
//! have loaded is pending again; and releases that came into use only with them are blocked.

mod files;
mod plan;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::apply::{self, Finished, note_version};
use crate::archive::{self, ARCHIVE, ArchivedFile};
use crate::blocked::{Blocked, identity, is_named};
use crate::error::{Result, RunError};
use crate::memory;
use crate::record::{FILES, RUNS, RunRecord, TableRecord, app};
use crate::run::{Settings, alone};
use crate::runs::{Ancestor, Runs};
use crate::seal::{self, data_path};
use crate::stages::Stages;
use crate::state::{Opening, State};
use futures::{StreamExt, TryStreamExt};
use lake_delta::{Attempt, Impact, Prepared, Restored, Snapshot};
use object_store::ObjectStoreExt;

use plan::numbers;
pub use plan::{OutsideCommit, PendingAgain, RestoredTable, RollbackPlan, UndoneRun};
use target::target;

/// How many data files are looked for at a time.
const LOOKED_FOR: usize = 16;

/// What is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// What this run has left; 0 is the state before the first.
    Run(i64),
    /// What was there before the last run.
    BeforeLast,
    /// One table alone, at a version of its own.
    Table {
        /// The table, as `zone/name`.
        name: String,
        /// Its Delta version.
        version: i64,
    },
}

/// A rollback that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOptions {
    /// What is to be brought back.
    pub goal: Goal,
    /// The files of the undone runs stay marked as loaded: they are read again only when their
    /// content changes.
    pub keep_files: bool,
    /// No release is blocked.
    pub keep_release: bool,
    /// What others have committed since goes as well.
    pub discard_outside: bool,
}

/// A rollback that is prepared and not carried out.
#[derive(Debug)]
pub struct Rollback {
    settings: Settings,
    state: State,
    attempt: Attempt,
    /// The record of the run whose state is brought back.
    before: Option<RunRecord>,
    changes: Vec<Prepared>,
    /// The copies of files that will be pending and are gone.
    waiting: Vec<ArchivedFile>,
    keep_release: bool,
    stages: Stages,
    /// What it does.
    pub plan: RollbackPlan,
}

/// Says what a rollback would do. Nothing is written, not even to finish a sealed run.
///
/// # Errors
/// [`RunError::NoRun`] where nothing is left of the run, and those of the store and the library.
pub async fn plan_rollback(settings: &Settings, options: &RollbackOptions) -> Result<RollbackPlan> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    let mut rollback = Rollback::of(settings, state, options).await?;
    if let Some(seal) = unfinished {
        rollback.plan.warnings.push(format!(
            "run {} is sealed and not finished: a rollback finishes it first, and then it is one \
             of those to be undone",
            seal.run
        ));
    }
    Ok(rollback.plan)
}

impl Rollback {
    /// Prepares it, after finishing a sealed run as every command does.
    ///
    /// # Errors
    /// As for [`plan_rollback`].
    pub async fn prepare(settings: &Settings, options: &RollbackOptions) -> Result<Self> {
        let state = Box::pin(State::open(settings, Opening::GoOn)).await?;
        let warnings = state.warnings.clone();
        let mut rollback = Self::of(settings, state, options).await?;
        rollback.plan.warnings.splice(0..0, warnings);
        Ok(rollback)
    }

    /// Carries it out, as a run; gives its record.
    ///
    /// # Errors
    /// [`RunError::Refused`] where something stands in its way, [`RunError::OtherRun`] and
    /// [`RunError::OutsideChange`] where it is not what was shown any more, and as for
    /// [`run`](crate::run()).
    pub async fn carry_out(mut self) -> Result<RunRecord> {
        if !self.plan.obstacles.is_empty() {
            return Err(RunError::Refused {
                message: self.plan.obstacles.join("; "),
            });
        }
        let (settings, state) = (self.settings.clone(), self.state.clone());
        let attempt = self.attempt.id.clone();
        alone(&settings, &state, &attempt, async {
            let record = self.record();
            if !self.waiting.is_empty() {
                let waiting = archive::append(&self.attempt, &self.state, &self.waiting).await?;
                self.changes.push(waiting);
            }
            let last = self.state.last.as_ref();
            let sealed = seal::seal(&self.attempt, last, record, &self.changes).await?;
            self.stages.end("seal");
            let mut record = match apply::apply(&self.attempt, &sealed).await? {
                Finished::Done(record, _) => *record,
                Finished::Undone(by, why) => {
                    let run = sealed.run;
                    return Err(RunError::TakenBack { run, by, why });
                }
            };
            self.stages.end("apply");
            record.seconds = self.stages.total();
            record.stages = std::mem::take(&mut self.stages.done);
            Ok(record)
        })
        .await
    }

    async fn of(settings: &Settings, state: State, options: &RollbackOptions) -> Result<Self> {
        let mut stages = Stages::new(settings.clock, Arc::clone(&settings.progress));
        let runs = Runs::open(&state.root, &state.pipeline).await?;
        let to = target(&runs, &state, &options.goal).await?;
        let before = match to {
            Some(0) => None,
            Some(run) => runs.record(run).await?,
            None => state.last.clone(),
        };
        let attempt = settings.attempt(&state.root)?;
        let mut rollback = Self {
            plan: RollbackPlan {
                pipeline: state.pipeline.clone(),
                root: state.root.display(),
                from: state.finished,
                to,
                undone: Vec::new(),
                tables: Vec::new(),
                pending: Vec::new(),
                blocked: Vec::new(),
                release: before.clone().unwrap_or_default().transform,
                outside: Vec::new(),
                obstacles: Vec::new(),
                warnings: Vec::new(),
            },
            settings: settings.clone(),
            attempt,
            before,
            changes: Vec::new(),
            waiting: Vec::new(),
            keep_release: options.keep_release,
            stages: stages.clone(),
            state,
        };
        if let Some(to) = to {
            let now = runs.lineage(rollback.state.finished).await?;
            let then = runs.lineage(to).await?;
            let stays: BTreeSet<i64> = then.iter().map(|run| run.run).collect();
            let undone: BTreeSet<i64> = now.iter().map(|run| run.run).collect();
            let undone: Vec<i64> = undone.difference(&stays).copied().collect();
            rollback.find_undone(&runs, &undone).await?;
            if !options.keep_release {
                rollback.block(&then);
            }
        }
        rollback.restore(options).await?;
        if to.is_some() {
            rollback.find_files(options).await?;
        }
        rollback.judge(options);
        stages.end("prepare");
        rollback.stages = stages;
        Ok(rollback)
    }

    /// The runs that are undone, newest first.
    async fn find_undone(&mut self, runs: &Runs, undone: &[i64]) -> Result<()> {
        let numbers: Vec<String> = undone.iter().map(ToString::to_string).collect();
        if !numbers.is_empty() {
            let condition = format!("run IN ({})", numbers.join(", "));
            let records = runs.records(&condition, None).await?;
            self.plan.undone = records.iter().map(UndoneRun::of).collect();
        }
        Ok(())
    }

    /// Prepares every table.
    async fn restore(&mut self, options: &RollbackOptions) -> Result<()> {
        for name in self.names(options)? {
            let goal = match &options.goal {
                Goal::Table { version, .. } => Some(*version),
                _ => version(self.before.as_ref(), &name),
            };
            let Some(current) = self.state.table(&name).await? else {
                // Only what is computed from other tables can be missing here.
                let message = format!("{name} is gone, and the next run computes it again");
                self.plan.warnings.push(message);
                continue;
            };
            let (has, rows) = (current.version(), current.rows());
            let to = match goal {
                Some(version) if (0..=has).contains(&version) => Restored {
                    version,
                    rows: true,
                },
                Some(version) => {
                    return refuse(format!(
                        "{name} has no version {version}: it has 0 to {has}"
                    ));
                }
                // It did not exist, so it becomes what it was when it was new, without rows.
                None => Restored {
                    version: 0,
                    rows: false,
                },
            };
            if to.rows {
                self.check_identity(&name, to.version).await?;
            }
            self.find_outside(&name, to).await?;
            let change = self.attempt.restore(current, to).await?;
            self.find_lost(&change).await?;
            self.plan.tables.push(RestoredTable {
                version: has,
                restores: goal,
                rows,
                rows_after: change.rows(),
                files_restored: change.new_files().count() as u64,
                files_removed: change.removed_files().count() as u64,
                name,
            });
            self.changes.push(change);
        }
        Ok(())
    }

    /// The tables that runs have made: what else lies there is none of ours.
    fn names(&self, options: &RollbackOptions) -> Result<Vec<String>> {
        let last = self.state.last.iter();
        let records = last.chain(&self.before);
        let versions = records.flat_map(|record| &record.versions);
        let known: BTreeSet<&String> = versions.map(|row| &row.name).collect();
        let mut names: Vec<String> = known.into_iter().cloned().collect();
        // As a reader goes through them; lake's own tables come last.
        let zones = ["standard/", "consumption/", "rejection/"];
        names.sort_by_key(|name| {
            let zone = zones.iter().position(|zone| name.starts_with(zone));
            zone.unwrap_or(zones.len())
        });
        if let Goal::Table { name, .. } = &options.goal {
            names.retain(|name| !name.starts_with("_lake/"));
            if !names.contains(name) {
                return refuse(format!(
                    "there is no table {name}; there are {}",
                    names.join(", ")
                ));
            }
            return Ok(vec![name.clone()]);
        }
        names.retain(|name| {
            name != RUNS && name != ARCHIVE && !(options.keep_files && name == FILES)
        });
        Ok(names)
    }

    /// A version is a number, and a table that was dropped and made again begins at 0: the
    /// version that a run left carries that run's transaction, or an earlier one.
    async fn check_identity(&self, name: &str, version: i64) -> Result<()> {
        let Some(to) = self.plan.to else {
            return Ok(());
        };
        let State { root, pipeline, .. } = &self.state;
        let then = Snapshot::open_at(root, pipeline, name, version).await?;
        match then.transaction(&app(pipeline)).await? {
            Some(run) if run <= to => Ok(()),
            _ => refuse(format!(
                "{name} was made anew after run {to}, and nothing is left of what it was then; go \
                 back to a later run"
            )),
        }
    }

    /// What others have committed since, and would be gone.
    async fn find_outside(&mut self, name: &str, to: Restored) -> Result<()> {
        let app = app(&self.state.pipeline);
        let root = &self.state.root;
        let (commits, _) = lake_delta::outside_commits(root, name, to.version, &app).await?;
        let commits = commits.into_iter();
        let commits = commits.filter(|commit| commit.impact >= Impact::Rows);
        self.plan
            .outside
            .extend(commits.map(|commit| OutsideCommit {
                table: name.to_owned(),
                version: commit.version,
                operation: commit.operation,
            }));
        Ok(())
    }

    /// Data files that would be needed, and that somebody has deleted.
    async fn find_lost(&mut self, change: &Prepared) -> Result<()> {
        let store = self.state.root.store();
        let looked = change.new_files().map(|(file, _)| {
            let store = Arc::clone(&store);
            async move {
                let path = data_path(change.name(), file)?;
                match store.head(&path).await {
                    Ok(_) => Ok(None),
                    Err(object_store::Error::NotFound { .. }) => Ok(Some(path)),
                    Err(error) => Err(RunError::store(&path, error)),
                }
            }
        });
        let looked = futures::stream::iter(looked).buffer_unordered(LOOKED_FOR);
        let lost: Vec<_> = looked.try_collect().await?;
        let lost: Vec<_> = lost.into_iter().flatten().collect();
        if let Some(first) = lost.first() {
            self.plan.obstacles.push(format!(
                "{} needs {} data files that are gone, such as {first}: somebody has deleted what \
                 its versions since then do not name (VACUUM does); bring them back from a backup, \
                 or go back to a later run",
                change.name(),
                lost.len()
            ));
        }
        Ok(())
    }

    /// Releases that came into use only with the runs that are undone.
    fn block(&mut self, then: &[Ancestor]) {
        let used: BTreeSet<&String> = then.iter().map(|run| identity(&run.transform)).collect();
        let mut allowed = BTreeSet::new();
        let mut new = BTreeMap::new();
        for release in self.plan.undone.iter().map(|run| &run.release) {
            let allow = self.settings.releases.allow.iter();
            let names: Vec<&String> = allow.filter(|name| is_named(release, name)).collect();
            if names.is_empty()
                && !identity(release).is_empty()
                && !used.contains(identity(release))
            {
                new.insert(identity(release).clone(), release.clone());
            }
            allowed.extend(names);
        }
        // What was blocked then is blocked again.
        let before = Blocked::after(self.before.as_ref(), &self.settings);
        for name in before.unknown.iter().filter(|name| !allowed.contains(name)) {
            self.plan
                .warnings
                .push(format!("--allow {name}: no such release would be blocked"));
        }
        for release in before.releases {
            new.insert(identity(&release).clone(), release);
        }
        self.plan.blocked = new.into_values().collect();
    }

    /// What stands in the way, and what somebody should know.
    fn judge(&mut self, options: &RollbackOptions) {
        let plan = &mut self.plan;
        if let Some(first) = plan.outside.first()
            && !options.discard_outside
        {
            plan.obstacles.push(format!(
                "others have committed {} times since, and that would be undone too, such as {} \
                 of {} (version {}); --discard-outside agrees to that",
                plan.outside.len(),
                first.operation,
                first.table,
                first.version
            ));
        }
        let changed: Vec<&PendingAgain> = plan.pending.iter().filter(|file| file.changed).collect();
        if let Some(first) = changed.first() {
            plan.warnings.push(format!(
                "{} of the files to be loaded again have changed since they were loaded, such as \
                 {}: what they hold now is loaded",
                changed.len(),
                first.path
            ));
        }
        let is_lost = |file: &&PendingAgain| !file.exists && !file.archived;
        let gone: Vec<&PendingAgain> = plan.pending.iter().filter(is_lost).collect();
        if let Some(first) = gone.first() {
            plan.obstacles.push(format!(
                "{} of the files to be loaded again are gone, such as {}: their \
                 rows would be lost; bring them back, or leave all files of the undone runs \
                 marked as loaded with --keep-files",
                gone.len(),
                first.path
            ));
        }
        if let Goal::Table { name, version } = &options.goal {
            let rest = match name.split_once('/') {
                Some(("standard", _)) => {
                    "the next run with something to do computes all of consumption from it again, \
                     and files that are loaded already are not loaded again: `lake run --reload` \
                     does that"
                }
                Some(("consumption", _)) => {
                    "it does not fit the tables that it is computed from, and the next run \
                     computes it again"
                }
                _ => "other tables stay as they are",
            };
            plan.warnings.push(format!(
                "{name} alone goes back to version {version}: {rest}"
            ));
        }
        if self.changes.iter().all(Prepared::is_unchanged) && plan.obstacles.is_empty() {
            plan.warnings
                .push("every table has the rows that it had then".to_owned());
        }
    }

    fn record(&self) -> RunRecord {
        let now = (self.settings.clock)().timestamp_micros();
        let run = self.state.finished + 1;
        let why = match &self.plan.to {
            Some(to) => format!("back to run {to}, undoing {}", numbers(&self.plan.undone)),
            None => self.plan.warnings.join("; "),
        };
        let about = (self.attempt.id.as_str(), now);
        let mut record = RunRecord::after(run, self.before.as_ref(), about, why);
        "rollback".clone_into(&mut record.kind);
        "done".clone_into(&mut record.status);
        record.restores = self.plan.to;
        record.host.clone_from(&self.settings.host);
        record.started_at = self.stages.started.timestamp_micros();
        record.seconds = self.stages.total();
        record.stages = self.stages.done.clone();
        record.peak_memory_bytes = memory::peak() as i64;
        let last = self.state.last.as_ref();
        // Where nothing is blocked anew, nothing is allowed anew either.
        record.blocked = match self.plan.to {
            Some(_) if !self.keep_release => self.plan.blocked.clone(),
            _ => Blocked::after(last, &self.settings).releases,
        };
        record.versions = last.map_or_else(Vec::new, |last| last.versions.clone());
        // What is deleted does not come back.
        record.horizon = last.map_or(0, |last| last.horizon);
        for row in &mut record.tables {
            row.version = version(last, &row.name).unwrap_or(row.version);
        }
        for (change, restored) in self.changes.iter().zip(&self.plan.tables) {
            let name = change.name();
            if name.starts_with("_lake/") {
                continue;
            }
            if !record.tables.iter().any(|row| row.name == name) {
                record.tables.push(TableRecord {
                    name: name.to_owned(),
                    how: "unchanged".to_owned(),
                    ..TableRecord::default()
                });
            }
            let alone = self.plan.to.is_none();
            for row in record.tables.iter_mut().filter(|row| row.name == name) {
                row.rows = change.rows();
                row.counts = change.counts;
                if !change.is_unchanged() {
                    "restored".clone_into(&mut row.how);
                }
                // What is computed from it does not know of that.
                if alone {
                    row.logic.clear();
                    row.outside = Some(format!("RESTORE (version {})", restored.version + 1));
                }
            }
            let next = match change.is_unchanged() {
                true => restored.version,
                false => change.next_version(),
            };
            note_version(&mut record, name, next);
        }
        record
    }
}

/// The version at which a run left a table.
fn version(record: Option<&RunRecord>, name: &str) -> Option<i64> {
    let mut rows = record?.versions.iter();
    rows.find(|row| row.name == name).map(|row| row.version)
}

fn refuse<T>(message: String) -> Result<T> {
    Err(RunError::Refused { message })
}
