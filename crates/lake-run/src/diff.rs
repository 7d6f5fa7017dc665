//! What another release would do to the same files and the same tables.
//!
//! Both releases prepare a run over the present state, one after the other, as `lake run` would.
//! What they have prepared is compared, table by table, and then deleted: nothing is published.

mod between;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use lake_delta::{Attempt, Prepared};
use object_store::ObjectStore;
use object_store::path::Path;
use semver::Version;
use serde::Serialize;

use crate::blocked::Blocked;
use crate::compare::{self, Compared, Rows};
use crate::discover::Files;
use crate::error::{Result, RunError};
use crate::load::{Load, Ready};
use crate::record::{InputRecord, TransformRecord};
use crate::run::{Settings, check_inputs};
use crate::stages::Stages;
use crate::state::State;
use crate::transform;
use crate::work::Work;

pub use between::diff_runs;

/// What is compared, and how much of it is shown.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// The release that is compared with the one that the pipeline would use.
    pub against: Version,
    /// Whether both load all files, as `run --reload` would, and not only what is pending.
    pub reload: bool,
    /// How many rows of each kind are shown per table.
    pub samples: usize,
}

/// What differs between two releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run whose tables are compared with those of another, where two runs are compared and
    /// not two releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_run: Option<i64>,
    /// That other run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_run: Option<i64>,
    /// The release that was compared against.
    pub before: TransformRecord,
    /// The transform that the pipeline would use.
    pub after: TransformRecord,
    /// What each release read, by input.
    pub inputs: Vec<InputDiff>,
    /// What differs per table; tables that are the same are in it too.
    pub tables: Vec<TableDiff>,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// What two releases made of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputDiff {
    /// The input.
    pub name: String,
    /// How many records were read.
    pub rows: u64,
    /// How many the release that was compared against rejected.
    pub rejected_before: u64,
    /// How many the other one rejected.
    pub rejected_after: u64,
}

/// What differs in one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDiff {
    /// The table, as `zone/name`.
    pub name: String,
    /// `before` or `after` where only one of the releases has the table.
    pub only_in: Option<&'static str>,
    /// Columns that only the release that was compared against has.
    pub columns_removed: Vec<String>,
    /// Columns that only the other one has.
    pub columns_added: Vec<String>,
    /// What differs in its rows, over the columns that both have.
    #[serde(flatten)]
    pub rows: Rows,
}

impl Diff {
    /// Whether anything differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(TableDiff::is_empty)
    }
}

impl TableDiff {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only_in.is_none()
            && self.columns_removed.is_empty()
            && self.columns_added.is_empty()
            && self.rows.is_empty()
    }
}

/// Compares the release that a pipeline would use with another one.
///
/// # Errors
/// What a run of either would fail with; and [`RunError::State`] where a sealed run has to be
/// finished first, as this command publishes nothing.
pub async fn diff(settings: &Settings, options: &DiffOptions) -> Result<Diff> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    if let Some(seal) = unfinished {
        return Err(RunError::State {
            path: format!("run {}", seal.run),
            message:
                "it is sealed and not applied to its end, and a comparison publishes nothing; \
                      lake run finishes it first"
                    .to_owned(),
        });
    }
    let mut other = settings.clone();
    let name = settings.pipeline.transform.name.clone();
    other.releases.asked = Some((name, options.against.clone()));
    other.releases.locked = false;

    let before = Side::prepare(&other, &state, options).await?;
    let compared = async {
        let after = Side::prepare(settings, &state, options).await?;
        let compared = sides(settings, &state, options, &before, &after).await;
        after.discard(&state).await;
        compared
    }
    .await;
    before.discard(&state).await;
    compared
}

/// What one release has prepared.
struct Side {
    transform: TransformRecord,
    attempt: Attempt,
    ready: Ready,
    /// The tables that it declares, with their keys.
    declared: Vec<(String, Vec<String>)>,
    warnings: Vec<String>,
}

impl Side {
    async fn prepare(settings: &Settings, state: &State, options: &DiffOptions) -> Result<Self> {
        // Nothing is published, and what is wrong with a blocked release can be looked at.
        let transform = transform::load(settings, &Blocked::default()).await?;
        let declaration = transform.plugin.declaration();
        check_inputs(settings, declaration)?;
        let files = match options.reload {
            true => Files::All,
            false => Files::Pending,
        };
        let work = Work::find(settings, state, &transform, &files, &HashSet::new()).await?;
        let warnings = work.found.warnings.clone();
        let load = Load::new(settings, state, &transform, work)?;
        let mut stages = Stages::new(settings.clock, Arc::clone(&settings.progress));
        let declared = load.preparing().names();
        let ready = match load.prepare(&mut stages).await {
            Ok(ready) => ready,
            Err(error) => {
                discard(state, &load.attempt.id, &declared).await;
                return Err(match error {
                    RunError::Table(error) => RunError::of_table(*error, settings.limit()),
                    other => other,
                });
            }
        };
        Ok(Self {
            declared,
            transform: transform.record.clone(),
            attempt: load.attempt.clone(),
            warnings,
            ready,
        })
    }

    fn prepared(&self) -> impl Iterator<Item = &Prepared> {
        let changes = self.ready.changes.iter();
        let prepared = changes.flat_map(|c| [Some(&c.prepared), c.tombstones.as_ref()]);
        prepared.flatten().chain(&self.ready.rejections)
    }

    /// The table as this release would leave it.
    async fn table(&self, state: &State, name: &str) -> Result<Option<Compared>> {
        let Some((_, key)) = self.declared.iter().find(|(declared, _)| declared == name) else {
            return Ok(None);
        };
        let provider = match self.prepared().find(|prepared| prepared.name() == name) {
            Some(prepared) => Some(prepared.provider().await?),
            None => match state.table(name).await? {
                Some(stored) => Some(stored.provider().await?),
                None => None,
            },
        };
        Ok(provider.map(|provider| Compared {
            provider,
            key: key.clone(),
            besides: besides(name),
        }))
    }

    async fn discard(&self, state: &State) {
        discard(state, &self.attempt.id, &self.declared).await;
    }

    fn input(&self, name: &str) -> Option<&InputRecord> {
        self.ready.found.inputs.iter().find(|i| i.name == name)
    }
}

/// The columns that make no row of a table another: by which run it came, and when.
fn besides(name: &str) -> &'static [&'static str] {
    match name.starts_with("rejection/") {
        true => &["run", "transform_version", "resolved_run"],
        false => &["_run", "_loaded_at"],
    }
}

/// Deletes what an attempt has written. Nothing refers to it, so a failure costs space and nothing
/// else.
pub(crate) async fn discard(state: &State, attempt: &str, tables: &[(String, Vec<String>)]) {
    let store = state.root.store();
    let places = tables.iter().flat_map(|(name, _)| {
        let tombstones = format!("_lake/deleted/{}", name.replace('/', "."));
        [name.clone(), tombstones]
    });
    for place in places {
        let prefix = Path::from(format!("{place}/run-{attempt}"));
        let files = store.list(Some(&prefix)).map_ok(|file| file.location);
        let deleted = store.delete_stream(files.boxed()).try_collect::<Vec<_>>();
        if let Err(error) = deleted.await {
            tracing::debug!(%prefix, %error, "files that were prepared could not be deleted");
        }
    }
}

async fn sides(
    settings: &Settings,
    state: &State,
    options: &DiffOptions,
    before: &Side,
    after: &Side,
) -> Result<Diff> {
    let mut names: Vec<&String> = after.declared.iter().map(|(name, _)| name).collect();
    let known: BTreeSet<&String> = names.iter().copied().collect();
    let gone = before.declared.iter().map(|(name, _)| name);
    names.extend(gone.filter(|name| !known.contains(name)));
    let mut tables = Vec::new();
    for name in names {
        let (old, new) = (
            before.table(state, name).await?,
            after.table(state, name).await?,
        );
        tables.push(one_table(settings, state, options.samples, name, old, new).await?);
    }
    let inputs = after.ready.found.inputs.iter().map(|new| {
        let old = before.input(&new.name);
        InputDiff {
            name: new.name.clone(),
            rows: new.rows,
            rejected_before: old.map_or(0, |old| old.rejected),
            rejected_after: new.rejected,
        }
    });
    let mut warnings = before.warnings.clone();
    warnings.extend(after.warnings.clone());
    warnings.sort();
    warnings.dedup();
    Ok(Diff {
        pipeline: state.pipeline.clone(),
        from_run: None,
        to_run: None,
        before: before.transform.clone(),
        after: after.transform.clone(),
        inputs: inputs.collect(),
        tables,
        warnings,
    })
}

async fn one_table(
    settings: &Settings,
    state: &State,
    samples: usize,
    name: &str,
    old: Option<Compared>,
    new: Option<Compared>,
) -> Result<TableDiff> {
    let mut diff = TableDiff {
        name: name.to_owned(),
        only_in: None,
        columns_removed: Vec::new(),
        columns_added: Vec::new(),
        rows: Rows::default(),
    };
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (Some(_), None) => {
            diff.only_in = Some("before");
            return Ok(diff);
        }
        (None, Some(_)) => {
            diff.only_in = Some("after");
            return Ok(diff);
        }
        (None, None) => return Ok(diff),
    };
    let (before, after) = (old.columns(), new.columns());
    let missing_in = |columns: &[String], others: &[String]| -> Vec<String> {
        let missing = columns.iter().filter(|column| !others.contains(column));
        missing.cloned().collect()
    };
    diff.columns_removed = missing_in(&before, &after);
    diff.columns_added = missing_in(&after, &before);
    let session = settings.session()?;
    state.root.register(&session.runtime_env());
    let rows = compare::rows(&session, &old, &new, samples).await;
    diff.rows = rows.map_err(|e| RunError::sql(name, &e))?;
    Ok(diff)
}
