//! Loading a case: a pipeline of its own, in a root that is thrown away.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use lake_pipeline::{Overrides, Pipeline, TransformRef};
use lake_run::{Outcome, Profile, Releases, Root, RunError, Settings};
use serde_json::json;

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
    let settings = match settings(case, trial, scratch.path()) {
        Ok(settings) => settings,
        Err(problem) => return Ok(Err(problem)),
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

/// The pipeline of a case. It is made as text, so that the values of parameters are read as they
/// are in any pipeline file.
fn settings(
    case: &Case,
    trial: &Trial<'_>,
    scratch: &Path,
) -> std::result::Result<Settings, String> {
    let inputs: serde_json::Map<_, _> = trial
        .declaration
        .inputs
        .iter()
        .map(|input| {
            let path = format!("files/*/{}.csv", input.name);
            (input.name.clone(), json!({ "path": path }))
        })
        .collect();
    let written = json!({
        "name": "golden",
        "transform": { "name": trial.transform.name, "version": "*" },
        "root": "lake",
        "inputs": inputs,
        "limits": { "rejected": "100%" },
    });
    let file = scratch.join("pipeline.yaml");
    let parsed = lake_pipeline::parse(
        &written.to_string(),
        &file,
        scratch,
        &|_| None,
        &Overrides::default(),
    );
    let pipeline = Pipeline {
        transform: TransformRef {
            params: case.params.clone(),
            ..trial.transform.clone()
        },
        ..parsed.map_err(|faults| format!("case.toml: {faults}"))?
    };
    Ok(Settings {
        root: Root::open(&pipeline.root).map_err(|e| e.to_string())?,
        pipeline,
        file,
        cache: trial.machine.cache.clone(),
        profile: Profile::Dev,
        releases: Releases::default(),
        clock: clock::now,
        host: trial.machine.host.clone(),
        threads: trial.machine.threads,
    })
}

/// Puts the files of a run where the pipeline looks for them, as if they had just been received.
fn receive(run: &Run, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(KitError::io(directory))?;
    for (input, source) in &run.files {
        let bytes = fs::read(source).map_err(KitError::io(source))?;
        let path = directory.join(format!("{input}.csv"));
        let written = fs::write(&path, bytes)
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
    let answer = lake_run::query(settings, &sql).await?;
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
