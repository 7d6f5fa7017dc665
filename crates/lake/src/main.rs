//! `lake`: raw files to Delta tables, through transforms.
//!
//! This crate holds no logic: it reads arguments and environment (`args`,
//! `edge`), calls `lake-run` and, for `lake plugin`, `lake-kit`, and says what came
//! of it (`summary`, `metrics`, `answer`, `plan`, `plugin`, `release`, `bump`, `exit`).

mod allocator;
mod answer;
mod args;
mod bump;
mod diff;
mod edge;
mod exit;
mod history;
mod inspect;
mod maintain;
mod metrics;
mod plan;
mod plugin;
mod progress;
mod release;
mod release_text;
mod rollback;
mod summary;
mod trace;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use lake_run::Files;

use crate::args::{Args, Command, Common, Format, Pipeline, QueryFormat};
use crate::exit::Failure;
use crate::progress::Terminal;

fn main() -> ExitCode {
    allocator::give_memory_back();
    let args = Args::parse();
    let terminal = Terminal::default();
    edge::start_logging(&args.log, &terminal);
    edge::log_caught_panics();
    let json = args.command.wants_json();
    let terminal = edge::shows_progress(&args.log).then_some(terminal);
    match perform(args.command, terminal.as_ref()) {
        Ok(text) => print(&text),
        // What differs is the result that was asked for.
        Err(Failure::Differs(text)) => {
            let _ = print(&text);
            Failure::Differs(text).exit_code()
        }
        Err(failure) => {
            if json {
                let _ = writeln!(io::stdout(), "{}", failure.to_json());
            }
            let _ = writeln!(io::stderr(), "error: {failure}");
            failure.exit_code()
        }
    }
}

/// A reader that has gone away (`lake query … | head`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(
                io::stderr(),
                "error: the output could not be written: {error}"
            );
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn perform(command: Command, terminal: Option<&Terminal>) -> Result<String, Failure> {
    match command {
        Command::Run {
            pipeline,
            common,
            release,
            reload,
            again,
            wait,
            accept_loss,
            metrics,
            output,
        } => {
            let target = edge::metrics(metrics)?;
            let started = settings(&pipeline, &common).map(|settings| {
                let mut settings = released(settings, release);
                (settings.wait, settings.accept_loss) = (wait, accept_loss);
                settings
            });
            let mut newest = None;
            let (settings, done) = match started {
                Ok(settings) => {
                    let done = watched(terminal, &settings, async {
                        let done = match reload {
                            false => lake_run::run(&settings).await,
                            true => lake_run::reload(&settings, again.chosen()).await,
                        };
                        if target.is_some() {
                            newest = metrics::newest(&settings, &done).await;
                        }
                        done
                    });
                    (
                        Some(settings),
                        done.and_then(|done| done.map_err(Failure::from)),
                    )
                }
                Err(failure) => (None, Err(failure)),
            };
            let requests = settings.as_ref().map(|settings| settings.stores.requests());
            let requests = requests.unwrap_or_default();
            if let Some(target) = target {
                let name = settings.map(|settings| settings.pipeline.name);
                let name = name.or_else(|| edge::pipeline_by_file(pipeline.file.as_deref()));
                metrics::deliver(&target, name.as_deref(), &done, newest.as_ref(), requests);
            }
            let report = done?;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            Ok(match output {
                Format::Text => {
                    let (program, file, flags) =
                        (edge::program(), pipeline.shown(), common.shown());
                    summary::text(&report, &format!("{program} query {file}{flags}"))
                }
                Format::Json => format!("{}\n", summary::json(&report, requests)),
            })
        }
        Command::Rollback(wanted) => rollback::perform(*wanted),
        Command::Maintain {
            pipeline,
            common,
            dry_run,
            wait,
            output,
        } => {
            let mut settings = settings(&pipeline, &common)?;
            settings.wait = wait;
            let done = match dry_run {
                true => edge::block_on(lake_run::plan_maintenance(&settings))??,
                false => watched(terminal, &settings, lake_run::maintain(&settings))??,
            };
            for warning in &done.warnings {
                tracing::warn!("{warning}");
            }
            Ok(match output {
                Format::Text => maintain::text(&done, dry_run),
                Format::Json => format!("{}\n", serde_json::json!(done)),
            })
        }
        Command::Replay {
            pipeline,
            common,
            release,
            reason,
            since,
            of_file,
            dry_run,
            wait,
            output,
        } => {
            let mut settings = released(settings(&pipeline, &common)?, release);
            settings.wait = wait;
            let options = lake_run::ReplayOptions {
                reason,
                since,
                files: of_file,
                dry_run,
            };
            let done = watched(terminal, &settings, lake_run::replay(&settings, &options))??;
            for warning in &done.warnings {
                tracing::warn!("{warning}");
            }
            Ok(match output {
                Format::Text => summary::replayed(&done, dry_run),
                Format::Json => format!("{}\n", serde_json::json!(done)),
            })
        }
        Command::Skip {
            mut words,
            common,
            undo,
            wait,
            output,
        } => {
            let file = words.pop().unwrap_or_default();
            let pipeline = Pipeline {
                file: words.pop().map(Into::into),
            };
            let mut settings = settings(&pipeline, &common)?;
            settings.wait = wait;
            let file = edge::raw_file(&file)?;
            let done = edge::block_on(lake_run::skip(&settings, &file, undo))??;
            for warning in &done.warnings {
                tracing::warn!("{warning}");
            }
            Ok(match output {
                Format::Text => summary::skipped(&done, undo),
                Format::Json => format!("{}\n", serde_json::json!(done)),
            })
        }
        Command::Plan {
            pipeline,
            common,
            release,
            reload,
            again,
            sql,
            output,
        } => {
            let settings = released(settings(&pipeline, &common)?, release);
            let files = match (again.chosen(), reload) {
                (Some(again), _) => Files::Again(again),
                (None, true) => Files::All,
                (None, false) => Files::Pending,
            };
            let plan = edge::block_on(lake_run::plan(&settings, &files))??;
            Ok(match output {
                Format::Text => plan::text(&plan, sql),
                Format::Json => format!("{}\n", plan::json(&plan)),
            })
        }
        Command::History {
            pipeline,
            common,
            run,
            limit,
            output,
        } => {
            let settings = settings(&pipeline, &common)?;
            let text = |text: String, json: serde_json::Value| match output {
                Format::Text => text,
                Format::Json => format!("{json}\n"),
            };
            Ok(match run {
                Some(run) => {
                    let record = edge::block_on(lake_run::recorded(&settings, run))??;
                    text(history::one(&record), serde_json::json!(record))
                }
                None => {
                    let found = edge::block_on(lake_run::history(&settings, limit))??;
                    text(history::text(&found), history::json(&found))
                }
            })
        }
        Command::Diff {
            pipeline,
            common,
            release,
            against,
            from,
            to,
            reload,
            samples,
            fail_on,
            output,
        } => {
            let settings = released(settings(&pipeline, &common)?, release);
            let diff = watched(terminal, &settings, async {
                let Some(against) = against else {
                    return lake_run::diff_runs(&settings, from.unwrap_or(0), to, samples).await;
                };
                let options = lake_run::DiffOptions {
                    against,
                    reload,
                    samples,
                };
                lake_run::diff(&settings, &options).await
            })??;
            for warning in &diff.warnings {
                tracing::warn!("{warning}");
            }
            let text = match output {
                Format::Text => diff::text(&diff),
                Format::Json => format!("{}\n", diff::json(&diff)),
            };
            match fail_on {
                Some(args::FailOn::Changes) if !diff.is_empty() => Err(Failure::Differs(text)),
                _ => Ok(text),
            }
        }
        Command::Validate {
            pipeline,
            common,
            release,
            output,
        } => {
            let settings = released(settings(&pipeline, &common)?, release);
            let valid = edge::block_on(lake_run::validate(&settings))??;
            let declaration = &valid.declaration;
            Ok(match output {
                Format::Text => summary::validated(&settings, declaration),
                Format::Json => format!("{}\n", summary::validated_json(&settings, declaration)),
            })
        }
        Command::Query {
            mut words,
            common,
            version,
            at,
            output,
        } => {
            // The query is the last word; a pipeline file may stand before it.
            let sql = words.pop().unwrap_or_default();
            let pipeline = Pipeline {
                file: words.pop().map(Into::into),
            };
            let settings = settings(&pipeline, &common)?;
            let answer = edge::block_on(async {
                let version = match at {
                    Some(micros) => Some(lake_run::run_at(&settings, micros).await?),
                    None => version,
                };
                lake_run::query(&settings, &sql, version).await
            })??;
            let text = match output {
                QueryFormat::Text => answer::table(&answer, edge::terminal_width()),
                QueryFormat::Csv => answer::csv(&answer),
                QueryFormat::Json => answer::json(&answer),
            };
            text.map_err(|e| Failure::Failed(e.to_string()))
        }
        Command::Trace(wanted) => trace::perform(*wanted),
        Command::Inspect(inspect) => inspect::perform(inspect),
        Command::Plugin { command } => plugin::perform(command),
        Command::Schema => {
            let schema = lake_pipeline::json_schema();
            Ok(format!("{schema:#}\n"))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "lake", &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
    }
}

/// Works to the end, and shows how far it is where somebody looks.
fn watched<F: Future>(
    terminal: Option<&Terminal>,
    settings: &lake_run::Settings,
    work: F,
) -> Result<F::Output, Failure> {
    let watch = terminal.map(|terminal| terminal.watch(Arc::clone(&settings.progress)));
    let done = edge::block_on(work);
    drop(watch);
    done
}

pub(crate) fn released(
    mut settings: lake_run::Settings,
    release: args::Release,
) -> lake_run::Settings {
    settings.releases.asked = release.transform;
    settings.releases.locked = release.locked;
    settings.releases.allow = release.allow;
    settings
}

fn settings(pipeline: &Pipeline, common: &Common) -> Result<lake_run::Settings, Failure> {
    edge::settings(pipeline.file.as_deref(), &common.overrides())
}
