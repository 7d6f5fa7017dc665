//! Loading a case: a pipeline of its own, in a root that is thrown away.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use lake_run::{Outcome, RunError, Settings};

use crate::clock;
use crate::error::{KitError, Result};
use crate::golden::case::{Case, Run, Wanted};
use crate::golden::{Trial, rows};
use crate::scratch::Scratch;

/// What a table of the transform holds after all runs of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Computed {
    pub(crate) rows: usize,
    pub(crate) csv: String,
}

/// Loads a case run by run, and writes down the wanted tables, in their order. What the runs
/// have against the case is the inner error.
pub(crate) async fn load(
    case: &Case,
    trial: &Trial<'_>,
) -> Result<std::result::Result<Vec<Computed>, String>> {
    let scratch = Scratch::below(&trial.machine.temporary)?;
    let subject = &trial.subject;
    let settings = match subject.settings(&case.params, scratch.path(), trial.machine) {
        Ok(settings) => settings,
        Err(problem) => return Ok(Err(format!("case.toml: {problem}"))),
    };
    for (place, run) in case.runs.iter().enumerate() {
        receive(run, &scratch.path().join(format!("files/{}", place + 1)))?;
        clock::stand_at(run.received_at);
        let problem = match lake_run::run(&settings).await {
            Ok(report) if matches!(report.outcome, Outcome::NothingToDo { .. }) => {
                format!("there is nothing to load; {}", report.warnings.join("; "))
            }
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        return Ok(Err(format!("run {}: {problem}", place + 1)));
    }
    let mut tables = Vec::new();
    for wanted in &trial.wanted {
        match table(&settings, wanted).await {
            Ok(table) => tables.push(table),
            Err(error) => return Ok(Err(format!("{}: {error}", wanted.name))),
        }
    }
    Ok(Ok(tables))
}

/// Puts the files of a run where the pipeline looks for them, as if they had just been received.
fn receive(run: &Run, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(KitError::io(directory))?;
    for (source, below) in &run.files {
        let bytes = fs::read(source).map_err(KitError::io(source))?;
        let path = directory.join(below);
        let parent = path.parent().unwrap_or(directory);
        let written = fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .and_then(|()| fs::File::options().append(true).open(&path))
            .and_then(|file| file.set_modified(SystemTime::from(run.received_at)));
        written.map_err(KitError::io(&path))?;
    }
    Ok(())
}

async fn table(settings: &Settings, wanted: &Wanted) -> std::result::Result<Computed, RunError> {
    let sql = if wanted.is_rejection() {
        format!(
            "SELECT line, raw, reasons FROM rejection.\"{}\" ORDER BY run, file, line",
            wanted.table
        )
    } else {
        format!("SELECT * FROM {}.\"{}\"", wanted.zone, wanted.table)
    };
    let answer = lake_run::query(settings, &sql, None).await?;
    let written = if wanted.is_rejection() {
        rows::rejections(&answer)
    } else {
        rows::table(&answer, &wanted.key)
    };
    written.map_err(|e| RunError::Sql {
        place: wanted.name.clone(),
        message: e.to_string(),
    })
}
