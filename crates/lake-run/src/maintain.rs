//! Maintenance: small files are put together, and what nobody needs any more is deleted.
//!
//! It is a run of its own, sealed and applied like any other, of which rows know nothing. Its seal
//! says how far back a rollback can go from then on (the *horizon*), and names the list of what is
//! deleted; only when the run is finished, objects go.
//!
//! Nothing of a live run is deleted, and no clock is needed for that. What is listed before the seal
//! of run N and has a name in no finished run is of an attempt that wanted N as well, or an earlier
//! number. Once N is sealed, none of those can be sealed any more. Attempts that begin later are not
//! in the list.

mod garbage;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use lake_delta::{Attempt, Impact, Prepared, Snapshot};
use object_store::path::Path;
use serde::Serialize;

use crate::apply::{self, Finished, note_version, said, summed_up_now};
use crate::archive::{self, Archive};
use crate::error::{Result, RunError};
use crate::live;
use crate::memory;
use crate::probe;
use crate::record::{Cleaned, RUNS, RunRecord, app};
use crate::run::{Overtaken, Settings};
use crate::runs::Runs;
use crate::seal;
use crate::sealed::{Seal, SealedObject};
use crate::stages::Stages;
use crate::state::{Opening, State};
use garbage::Garbage;

/// The word for it in `_lake/runs`.
pub(crate) const MAINTAIN: &str = "maintain";

/// What maintenance does, or has done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Maintenance {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// The number of its run; `None` where there was nothing to do, or it is only planned.
    pub run: Option<i64>,
    /// The oldest run that can be gone back to from then on; 0 is the state before the first.
    pub horizon: i64,
    /// What becomes of the tables, in the order of their names.
    pub tables: Vec<MaintainedTable>,
    /// What is deleted.
    pub cleaned: Cleaned,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// What maintenance does to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MaintainedTable {
    /// The table, as `zone/name`, or `_lake/…` for the tables that lake keeps for itself.
    pub name: String,
    /// How many small files there are beside others of their partition.
    pub small_files: u64,
    /// How many bytes they have.
    pub small_bytes: u64,
    /// How many files were taken out, of those; 0 where it is only planned.
    pub files_removed: u64,
    /// How many files have taken their place.
    pub files_added: u64,
    /// How many objects of it are deleted.
    pub deleted: u64,
    /// How many bytes they have.
    pub deleted_bytes: u64,
}

impl Maintenance {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cleaned.objects == 0 && self.tables.iter().all(|table| table.small_files == 0)
    }
}

/// Says what maintenance would do. Nothing is written.
///
/// # Errors
/// Those of the store and the library.
pub async fn plan_maintenance(settings: &Settings) -> Result<Maintenance> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    let mut maintain = Maintain::of(settings, state).await?;
    if let Some(seal) = unfinished {
        maintain.done.warnings.push(format!(
            "run {} is sealed and not finished: maintenance finishes it first",
            seal.run
        ));
    }
    maintain.find_small_files().await?;
    maintain.find_garbage().await?;
    Ok(maintain.done)
}

/// Puts small files together, and deletes what is of no use to any run that can be gone back to.
///
/// # Errors
/// [`RunError::Live`] where a run is at work, or begins to be; those of the store, the library and
/// the engine. Nothing is deleted then.
pub async fn maintain(settings: &Settings) -> Result<Maintenance> {
    let mut overtaken = Overtaken::default();
    loop {
        match Box::pin(once(settings)).await {
            Ok(mut done) => {
                done.warnings.splice(0..0, overtaken.told);
                return Ok(done);
            }
            Err(error) => {
                let error = error.or_disk_full(&settings.root.display(), None);
                overtaken.start_over(settings, error).await?;
            }
        }
    }
}

async fn once(settings: &Settings) -> Result<Maintenance> {
    let state = Box::pin(State::open(settings, Opening::GoOn)).await?;
    let warnings = state.warnings.clone();
    let mut maintain = Maintain::of(settings, state).await?;
    maintain.done.warnings = warnings;
    if maintain.state.finished == 0 {
        return Ok(maintain.done);
    }
    maintain.give_way().await?;
    probe::probe(&maintain.state.root).await?;
    maintain.compact().await?;
    maintain.find_garbage().await?;
    if !maintain.garbage.is_worth_a_run() && maintain.changes.iter().all(Prepared::is_unchanged) {
        maintain.done.cleaned = Cleaned::default();
        return Ok(maintain.done);
    }
    maintain.publish().await
}

/// One attempt at maintenance.
struct Maintain {
    settings: Settings,
    state: State,
    runs: Runs,
    attempt: Attempt,
    stages: Stages,
    /// What the oldest run that can be gone back to has left.
    horizon: Option<RunRecord>,
    /// What others have changed in tables that are compacted, and no run has seen.
    outside: BTreeMap<String, String>,
    changes: Vec<Prepared>,
    garbage: Garbage,
    done: Maintenance,
}

impl Maintain {
    async fn of(settings: &Settings, state: State) -> Result<Self> {
        let stages = Stages::new(settings.clock, Arc::clone(&settings.progress));
        let runs = Runs::open(&state.root, &state.pipeline).await?;
        let before = state.last.as_ref().map_or(0, |last| last.horizon);
        let now = (settings.clock)().timestamp_micros();
        let reached = window::horizon(&runs, &settings.pipeline.rollback_window, now).await?;
        // What is deleted already does not come back where the window is made wider.
        let horizon = reached.max(before);
        let record = match horizon {
            0 => None,
            run => runs.record(run).await?,
        };
        let attempt = settings.attempt(&state.root)?;
        Ok(Self {
            done: Maintenance {
                pipeline: state.pipeline.clone(),
                root: state.root.display(),
                run: None,
                horizon,
                tables: Vec::new(),
                cleaned: Cleaned::default(),
                seconds: 0.0,
                warnings: Vec::new(),
            },
            settings: settings.clone(),
            state,
            runs,
            attempt,
            stages,
            horizon: record,
            outside: BTreeMap::new(),
            changes: Vec::new(),
            garbage: Garbage::default(),
        })
    }

    /// # Errors
    /// [`RunError::Live`] where a run is at work: it comes first.
    async fn give_way(&self) -> Result<()> {
        let other = live::other(&self.settings, &self.state.root, &self.attempt.id).await?;
        other.map_or(Ok(()), Err)
    }

    /// The tables that the last run has left.
    fn names(&self) -> Vec<String> {
        let versions = self.state.last.iter().flat_map(|last| &last.versions);
        versions.map(|row| row.name.clone()).collect()
    }

    /// A table as it is; one that has lost what a run left is left alone.
    async fn table(&mut self, name: &str) -> Result<Option<Snapshot>> {
        match self.state.table(name).await {
            Err(error @ RunError::Lost { .. }) => {
                self.done
                    .warnings
                    .push(format!("{name} stays as it is: {error}"));
                Ok(None)
            }
            other => other,
        }
    }

    /// Looks for small files, and leaves them as they are.
    async fn find_small_files(&mut self) -> Result<()> {
        for name in self.names() {
            if let Some(base) = self.table(&name).await? {
                let (small_files, small_bytes) = base.small_files();
                self.done.tables.push(MaintainedTable {
                    name,
                    small_files,
                    small_bytes,
                    ..MaintainedTable::default()
                });
            }
        }
        Ok(())
    }

    /// Puts the small files of every table together.
    async fn compact(&mut self) -> Result<()> {
        let window = self.settings.pipeline.rollback_window;
        // Nobody is asked to keep less than without a window.
        let hours = window.time.as_secs().div_ceil(3600);
        let hours = hours.max(lake_delta::RETENTION_HOURS);
        for name in self.names() {
            let Some(base) = self.table(&name).await? else {
                continue;
            };
            self.note_outside(&base, &name).await?;
            let (small_files, small_bytes) = base.small_files();
            let change = match self.attempt.compact(base, hours).await {
                Ok(change) => change,
                // Whoever reads the table is told, and a reload mends it.
                Err(error) => match RunError::of_table(error, self.settings.limit()) {
                    RunError::LostFile { file } => {
                        self.done.warnings.push(format!(
                            "{name} stays as it is: the data file {file} is gone; bring it back \
                             from a backup, or load everything again with `lake run --reload`"
                        ));
                        continue;
                    }
                    other => return Err(other),
                },
            };
            self.done.tables.push(MaintainedTable {
                files_removed: change.removed_files().count() as u64,
                files_added: change.new_files().count() as u64,
                name,
                small_files,
                small_bytes,
                ..MaintainedTable::default()
            });
            self.changes.push(change);
        }
        self.stages.end("compact");
        Ok(())
    }

    /// The next run looks for changes of others above the version that this one leaves.
    async fn note_outside(&mut self, base: &Snapshot, name: &str) -> Result<()> {
        let Some(left) = self.state.left(name).filter(|left| base.version() > *left) else {
            return Ok(());
        };
        let app = app(&self.state.pipeline);
        let root = &self.state.root;
        let (outside, _) = lake_delta::outside_changes(root, name, left, &app).await?;
        if let Some(outside) = outside.filter(|outside| outside.impact >= Impact::Rows) {
            self.outside.insert(name.to_owned(), said(&outside));
        }
        Ok(())
    }

    /// Finds out what nobody needs.
    async fn find_garbage(&mut self) -> Result<()> {
        // Without a horizon, every version is needed.
        let horizon = self.horizon.clone().unwrap_or_default();
        let (root, pipeline) = (&self.state.root, &self.state.pipeline);
        let app = app(pipeline);
        let known = self.runs.attempts().await?;
        let now = (self.settings.clock)().timestamp_millis();
        self.garbage = Garbage::new(&self.attempt.id, known, now);
        let mut names = self.names();
        names.push(RUNS.to_owned());
        for name in names {
            let since = match name == RUNS {
                true => self.runs.version_after(horizon.run, &app).await?,
                // A table that did not exist then becomes what it was when it was new.
                false => {
                    let mut rows = horizon.versions.iter();
                    rows.find(|row| row.name == name)
                        .map_or(0, |row| row.version)
                }
            };
            let left_by = (app.as_str(), horizon.run);
            let found = lake_delta::unneeded(root, pipeline, &name, since, left_by).await?;
            let Some(found) = found else {
                self.done.warnings.push(format!(
                    "nothing of {name} is deleted: its log does not reach back to what run {} has \
                     left, so that nobody can tell what of it is needed",
                    horizon.run
                ));
                continue;
            };
            let deleted = self.garbage.of_table(&name, found);
            match self.done.tables.iter_mut().find(|table| table.name == name) {
                Some(table) => (table.deleted, table.deleted_bytes) = deleted,
                None => self.done.tables.push(MaintainedTable {
                    name,
                    deleted: deleted.0,
                    deleted_bytes: deleted.1,
                    ..MaintainedTable::default()
                }),
            }
        }
        let last = self.state.last.as_ref();
        let last = last.map_or("", |last| last.attempt.as_str());
        self.garbage
            .of_attempts(root, last, horizon.sealed_at)
            .await?;
        if archive::is_in_use(&self.settings.pipeline, &self.state) {
            let mut counts = self.runs.attempts_that_count().await?;
            // Where runs are lost, the archive still says what is of use, and where that is lost, the
            // runs do.
            match Archive::all(&self.settings.pipeline, &self.state).await {
                Err(error @ RunError::Lost { .. }) => self.done.warnings.push(error.to_string()),
                archive => counts.extend(archive?.attempts()),
            }
            self.garbage.of_archive(root, &counts).await?;
        }
        self.done.cleaned = self.garbage.sum();
        self.stages.end("look");
        Ok(())
    }

    async fn publish(mut self) -> Result<Maintenance> {
        // A run that has begun meanwhile would start over if this one were faster.
        self.give_way().await?;
        let last = self.state.last.clone();
        let mut seal = Seal::of(&self.state.pipeline, self.record(), Vec::new());
        if !self.garbage.is_empty() {
            let path = format!("_lake/prepared/{}/deletes.jsonl", self.attempt.id);
            let store = self.state.root.store();
            let sha256 = seal::put(store.as_ref(), &path, self.garbage.lines()).await?;
            seal.deletes = Some(SealedObject { path, sha256 });
        }
        let sealed = seal::seal_as(&self.attempt, last.as_ref(), seal, &self.changes).await?;
        self.stages.end("seal");
        if let Finished::Undone(by, why) = apply::apply(&self.attempt, &sealed).await? {
            let run = sealed.run;
            return Err(RunError::TakenBack { run, by, why });
        }
        self.stages.end("apply");
        for change in self.changes.iter().filter(|change| !change.is_unchanged()) {
            summed_up_now(&self.state.root, &self.state.pipeline, change.name()).await;
        }
        self.done.warnings.extend(self.delete().await?);
        self.done.run = Some(sealed.run);
        self.done.seconds = self.stages.total();
        Ok(self.done)
    }

    /// Deletes what the seal names, but for what others have taken back into a table meanwhile.
    async fn delete(&self) -> Result<Vec<String>> {
        let (root, pipeline) = (&self.state.root, &self.state.pipeline);
        let mut needed = Vec::new();
        for name in self.garbage.tables() {
            for path in lake_delta::still_needed(root, pipeline, name).await? {
                needed.push(Path::from_iter(
                    Path::from(name).parts().chain(path.parts()),
                ));
            }
        }
        Ok(self
            .garbage
            .delete(root, &needed.into_iter().collect())
            .await)
    }

    fn record(&self) -> RunRecord {
        let last = self.state.last.as_ref();
        let now = (self.settings.clock)().timestamp_micros();
        let changed = self.changes.iter().filter(|change| !change.is_unchanged());
        let why = format!(
            "{} tables are compacted, {} objects are deleted that no run since run {} needs",
            changed.clone().count(),
            self.done.cleaned.objects,
            self.done.horizon
        );
        let run = self.state.finished + 1;
        let mut record = RunRecord::after(run, last, (&self.attempt.id, now), why);
        MAINTAIN.clone_into(&mut record.kind);
        "done".clone_into(&mut record.status);
        record.horizon = self.done.horizon;
        record.cleaned = Some(self.done.cleaned);
        record.host.clone_from(&self.settings.host);
        record.started_at = self.stages.started.timestamp_micros();
        record.seconds = self.stages.total();
        record.stages = self.stages.done.clone();
        record.peak_memory_bytes = memory::peak() as i64;
        for change in changed {
            let name = change.name();
            note_version(&mut record, name, change.next_version());
            for row in record.tables.iter_mut().filter(|row| row.name == name) {
                "compacted".clone_into(&mut row.how);
                if let Some(outside) = self.outside.get(name) {
                    row.outside = Some(outside.clone());
                }
            }
        }
        record
    }
}
