//! Setting a file aside: `_lake/files` says that it is not to be loaded as it is.
//!
//! It is a run of its own, sealed and applied like any other, so that it comes into the history and
//! goes back with a rollback.

use lake_delta::{Attempt, Prepared};
use serde::Serialize;

use crate::apply::{self, Finished, note_version};
use crate::discover;
use crate::error::{Result, RunError};
use crate::record::{FILES, FileRecord, RunRecord, files_spec, to_batch};
use crate::run::{Overtaken, Settings, alone};
use crate::runs::rows;
use crate::seal;
use crate::stages::Stages;
use crate::state::{Opening, State};

/// What was set aside, or brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The pipeline's name.
    pub pipeline: String,
    /// The number of the run; `None` where it was so already.
    pub run: Option<i64>,
    /// The inputs that have the file.
    pub inputs: Vec<String>,
    /// The file.
    pub path: String,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// Sets a file aside, given by its absolute path, until its content changes; or brings it back.
///
/// # Errors
/// [`RunError::Refused`] where no input has the file, or it is not set aside; [`RunError::Live`]
/// where a run is at work; and as for [`run`](crate::run()).
pub async fn skip(settings: &Settings, file: &str, undo: bool) -> Result<Skipped> {
    let mut overtaken = Overtaken::default();
    loop {
        match Box::pin(once(settings, file, undo)).await {
            Ok(mut done) => {
                done.warnings.splice(0..0, overtaken.told);
                return Ok(done);
            }
            Err(error) => overtaken.start_over(settings, error).await?,
        }
    }
}

async fn once(settings: &Settings, file: &str, undo: bool) -> Result<Skipped> {
    let stages = Stages::new(settings.clock, std::sync::Arc::clone(&settings.progress));
    let state = Box::pin(State::open(settings, Opening::GoOn)).await?;
    let attempt = settings.attempt(&state.root)?;
    let skipping = Skipping {
        settings,
        state: &state,
        attempt: &attempt,
        path: file.to_owned(),
    };
    let (inputs, change, warnings) = match undo {
        true => skipping.bring_back().await?,
        false => skipping.set_aside(file).await?,
    };
    let mut done = Skipped {
        pipeline: state.pipeline.clone(),
        run: None,
        inputs,
        path: skipping.path.clone(),
        warnings: state.warnings.clone(),
    };
    done.warnings.extend(warnings);
    let Some(change) = change else {
        return Ok(done);
    };
    let what = if undo {
        "is not set aside any more"
    } else {
        "is set aside"
    };
    let why = format!("{} {what}", skipping.path);
    let mut record = skipping.record(why, &stages);
    note_version(&mut record, FILES, change.next_version());
    let run = record.run;
    alone(settings, &state, &attempt.id, async {
        let sealed = seal::seal(&attempt, state.last.as_ref(), record, &[change]).await?;
        match apply::apply(&attempt, &sealed).await? {
            Finished::Done(..) => Ok(()),
            Finished::Undone(by, why) => Err(RunError::TakenBack { run, by, why }),
        }
    })
    .await?;
    done.run = Some(run);
    Ok(done)
}

struct Skipping<'a> {
    settings: &'a Settings,
    state: &'a State,
    attempt: &'a Attempt,
    path: String,
}

/// The inputs, what changes in `_lake/files`, and what there is to say.
type Wanted = (Vec<String>, Option<Prepared>, Vec<String>);

impl Skipping<'_> {
    async fn set_aside(&self, file: &str) -> Result<Wanted> {
        let mut found = discover::at(self.settings, self.state, file).await?;
        if found.is_empty() {
            return Err(
                self.refuse("is no file of any input; give it as `lake plan` or an error names it")
            );
        }
        let inputs = found.iter().map(|file| file.input.clone()).collect();
        let known = self.known().await?;
        let is_so = |file: &FileRecord| {
            let newest = known.iter().filter(|known| known.input == file.input);
            let newest = newest.max_by_key(|known| known.run);
            newest.is_some_and(|known| known.skipped && known.hash == file.hash)
        };
        found.retain(|file| !is_so(file));
        if found.is_empty() {
            return Ok((inputs, None, Vec::new()));
        }
        found.iter_mut().for_each(|file| file.skipped = true);
        let mut warnings = Vec::new();
        if let Some(loaded) = known
            .iter()
            .filter(|file| !file.skipped)
            .max_by_key(|file| file.run)
        {
            warnings.push(format!(
                "{} was loaded by run {}: its rows stay until `lake run --reload`",
                self.path, loaded.run
            ));
        }
        let spec = files_spec();
        let batch = to_batch(&spec.schema, &found)?;
        let failed = |e| RunError::sql(FILES, &e);
        let rows = self.attempt.session.read_batch(batch).map_err(failed)?;
        let plan = rows.create_physical_plan().await.map_err(failed)?;
        let base = self.state.table(FILES).await?;
        let change = self.attempt.append_gathering(&spec, base, plan).await?;
        Ok((inputs, Some(change), warnings))
    }

    async fn bring_back(&self) -> Result<Wanted> {
        let known = self.known().await?;
        let skipped = known.iter().filter(|file| file.skipped);
        let inputs: Vec<String> = skipped.map(|file| file.input.clone()).collect();
        let base = self.state.table(FILES).await?;
        let (Some(base), false) = (base, inputs.is_empty()) else {
            return Err(self.refuse("is not set aside"));
        };
        let failed = |e| RunError::sql(FILES, &e);
        let session = &self.attempt.session;
        let provider = base.provider().await?;
        session.register_table("known", provider).map_err(failed)?;
        let path = self.path.replace('\'', "''");
        let spec = files_spec();
        let known_columns = base.columns();
        let columns = spec.schema.fields().iter().map(|field| {
            // Tables of earlier versions of lake get a column with their next row.
            match known_columns.iter().any(|known| known == field.name()) {
                true => format!("\"{}\"", field.name()),
                false => format!("NULL AS \"{}\"", field.name()),
            }
        });
        let sql = format!(
            "SELECT {} FROM known WHERE NOT (coalesce(skipped, false) AND path = '{path}')",
            columns.collect::<Vec<_>>().join(", ")
        );
        let rows = session.sql(&sql).await.map_err(failed)?;
        let plan = rows.create_physical_plan().await.map_err(failed)?;
        let change = self
            .attempt
            .replace(&files_spec(), Some(base), plan)
            .await?;
        Ok((inputs, Some(change), Vec::new()))
    }

    /// What `_lake/files` says of the path.
    async fn known(&self) -> Result<Vec<FileRecord>> {
        let Some(files) = self.state.table(FILES).await? else {
            return Ok(Vec::new());
        };
        let failed = |e| RunError::sql(FILES, &e);
        let session = self.settings.session()?;
        self.state.root.register(&session.runtime_env());
        let provider = files.provider().await?;
        session.register_table("files", provider).map_err(failed)?;
        let path = self.path.replace('\'', "''");
        let sql = format!(
            "SELECT * REPLACE (CAST(modified AS BIGINT) AS modified, \
             CAST(received_at AS BIGINT) AS received_at) FROM files WHERE path = '{path}'"
        );
        let found = session.sql(&sql).await.map_err(failed)?;
        rows(FILES, &found.collect().await.map_err(failed)?)
    }

    fn record(&self, why: String, stages: &Stages) -> RunRecord {
        let now = (self.settings.clock)().timestamp_micros();
        let last = self.state.last.as_ref();
        let run = self.state.finished + 1;
        let mut record = RunRecord::after(run, last, (&self.attempt.id, now), why);
        "skip".clone_into(&mut record.kind);
        "done".clone_into(&mut record.status);
        record.host.clone_from(&self.settings.host);
        record.started_at = stages.started.timestamp_micros();
        record.seconds = stages.total();
        record
    }

    fn refuse(&self, what: &str) -> RunError {
        RunError::Refused {
            message: format!("{} {what}", self.path),
        }
    }
}
