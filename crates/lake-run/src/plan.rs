//! The plan of a run: what it would do and why, without doing or writing anything.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::SchemaRef;
use lake_delta::Snapshot;
use lake_plugin::{Mode, Zone};
use serde::Serialize;

use crate::blocked::Blocked;
use crate::discover::{Files, Left};
use crate::error::{Result, RunError};
use crate::load::Load;
use crate::logic::Built;
use crate::parameters::ParameterRecord;
use crate::partition;
use crate::prepare::Planned;
use crate::record::{TransformRecord, app};
use crate::refresh::{self, Refresh};
use crate::run::{Settings, check_inputs};
use crate::sealed::Seal;
use crate::shape;
use crate::standard::newest_by;
use crate::state::State;
use crate::transform::{self, Transform};
use crate::work::Work;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// The last run that published; 0 if there was none.
    pub last_run: i64,
    /// The kind of the run: `load`, `reload` or `recompute`; `None` where there is nothing to do.
    pub kind: Option<String>,
    /// The transform.
    pub transform: TransformRecord,
    /// Why it is this one.
    pub chosen: String,
    /// The values of its parameters, in the order of the declaration.
    pub parameters: Vec<ParameterRecord>,
    /// What each input has, in the order of their names.
    pub inputs: Vec<PlannedInput>,
    /// What would become of each table, in the order in which they are computed.
    pub tables: Vec<PlannedTable>,
    /// The functions that the SQL can call, as it would call them.
    pub functions: Vec<String>,
    /// A run that is decided and that whoever opens the pipeline next finishes first.
    pub unfinished: Option<Unfinished>,
    /// Notices that stop nothing.
    pub warnings: Vec<String>,
}

/// What one input has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedInput {
    /// The input.
    pub name: String,
    /// How many files would be read.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The paths of those files.
    pub paths: Vec<String>,
    /// What would be left for later runs.
    pub left: Left,
}

/// What would become of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTable {
    /// The table, as `zone/name`.
    pub name: String,
    /// How rows meet those that are stored: `merge`, `append` or `replace`.
    pub mode: Mode,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// How much of it the run would compute, and why.
    pub refresh: String,
    /// Whether some of its rows come from another logic, which this run would not change.
    pub outdated: Option<String>,
    /// Columns that the stored table gets: they are NULL in its rows.
    pub new_columns: Vec<String>,
    /// What must hold before it is published.
    pub checks: Vec<String>,
    /// The plan of its SQL, as the engine would carry it out.
    pub sql_plan: String,
}

/// A run that is sealed and not applied to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// The run.
    pub run: i64,
    /// When it was sealed, in microseconds since 1970, UTC.
    pub sealed_at: i64,
    /// The tables that it changes and that have its rows already.
    pub published: Vec<String>,
    /// The tables that it still has to be published in.
    pub tables: Vec<String>,
}

/// Says what [`run`](crate::run()) would do with these files. Nothing is written, not even to finish a sealed run.
///
/// # Errors
/// What a run would fail with before it reads.
pub async fn plan(settings: &Settings, files: &Files) -> Result<Plan> {
    let (state, unfinished) = State::look(&settings.root, &settings.pipeline.name).await?;
    let transform =
        transform::load(settings, &Blocked::after(state.last.as_ref(), settings)).await?;
    check_inputs(settings, transform.plugin.declaration())?;
    let work = Work::find(settings, &state, &transform, files, &HashSet::new()).await?;

    let load = Load::new(settings, &state, &transform, Work::default())?;
    let preparing = load.preparing();
    let planned = load.plan(&preparing).await?;
    let plan = Planning {
        load: &load,
        state: &state,
        transform: &transform,
        work: &work,
        schemas: schemas(&planned),
    };
    let mut tables = Vec::new();
    for table in &planned {
        tables.push(plan.table(table).await?);
    }
    Ok(Plan {
        pipeline: state.pipeline.clone(),
        root: state.root.display(),
        last_run: state.finished,
        kind: (!work.is_empty()).then(|| work.kind.name().to_owned()),
        transform: transform.record.clone(),
        chosen: transform.chosen.clone(),
        parameters: transform.parameters.records(),
        inputs: inputs(&work),
        tables,
        functions: functions(&transform),
        unfinished: match unfinished {
            Some(seal) => Some(Unfinished::of(&state, &seal).await?),
            None => None,
        },
        warnings: work.found.warnings.clone(),
    })
}

/// The schemas of tables that are planned, by name.
pub(crate) fn schemas(planned: &[Planned<'_>]) -> BTreeMap<String, SchemaRef> {
    let of = |table: &Planned<'_>| {
        let spec = &table.shaped.spec;
        (spec.name.clone(), SchemaRef::clone(&spec.schema))
    };
    planned.iter().map(of).collect()
}

fn inputs(work: &Work) -> Vec<PlannedInput> {
    let mut inputs: Vec<PlannedInput> = work
        .found
        .pending
        .iter()
        .map(|(name, files)| PlannedInput {
            name: name.clone(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
            paths: files.iter().map(|file| file.name()).collect(),
            left: work.found.left.get(name).copied().unwrap_or_default(),
        })
        .collect();
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    inputs
}

fn functions(transform: &Transform) -> Vec<String> {
    let declaration = transform.plugin.declaration();
    let scalar = declaration.functions.iter().flat_map(|function| {
        let name = &function.name;
        function
            .signatures()
            .map(move |signature| format!("{name}{signature} → {}", signature.returns))
    });
    let partition = declaration.partition_functions.iter().map(|function| {
        format!(
            "{} → {}",
            partition::usage(function),
            partition::outcome(function)
        )
    });
    scalar.chain(partition).collect()
}

impl Unfinished {
    pub(crate) async fn of(state: &State, seal: &Seal) -> Result<Self> {
        let app = app(&state.pipeline);
        let (mut published, mut tables) = (Vec::new(), Vec::new());
        for table in &seal.tables {
            let found = Snapshot::open(&state.root, &state.pipeline, &table.name).await;
            // What cannot be opened is reported by whoever finishes the run.
            let applied = match found {
                Ok(Some(found)) => found.transaction(&app).await?,
                Ok(None) | Err(_) => None,
            };
            match applied >= Some(seal.run) {
                true => published.push(table.name.clone()),
                false => tables.push(table.name.clone()),
            }
        }
        Ok(Self {
            run: seal.run,
            sealed_at: seal.record.sealed_at,
            published,
            tables,
        })
    }
}

struct Planning<'a> {
    load: &'a Load<'a>,
    state: &'a State,
    transform: &'a Transform,
    work: &'a Work,
    schemas: BTreeMap<String, SchemaRef>,
}

impl Planning<'_> {
    async fn table(&self, planned: &Planned<'_>) -> Result<PlannedTable> {
        let table = &planned.declared.table;
        let name = &planned.shaped.spec.name;
        let refresh = match table.zone {
            Zone::Standard => self.standard(planned),
            Zone::Consumption => self.consumption(planned).await?,
        };
        let outdated = match self.transform.logic.built(name, self.state.last.as_ref()) {
            Built::Otherwise(why)
                if table.zone == Zone::Standard && self.work.kind != crate::work::Kind::Reload =>
            {
                Some(format!(
                    "{why}; its stored rows stay as they are until `lake run --reload`"
                ))
            }
            _ => None,
        };
        let stored = self.state.table(name).await?;
        let stored = stored.map(|stored| stored.columns());
        let columns = planned.shaped.spec.schema.fields().iter();
        let columns = columns.map(|field| field.name().clone());
        let new_columns = match stored {
            Some(stored) => columns.filter(|column| !stored.contains(column)).collect(),
            None => Vec::new(),
        };
        let engine = self.load.attempt.session.state();
        let failed = |e| RunError::sql(name, &e);
        let optimised = engine.optimize(&planned.shaped.plan).map_err(failed)?;
        Ok(PlannedTable {
            name: name.clone(),
            mode: table.mode,
            key: table.key.clone(),
            refresh,
            outdated,
            new_columns,
            checks: table
                .checks
                .iter()
                .map(|check| check.name.clone())
                .collect(),
            sql_plan: optimised.display_indent().to_string(),
        })
    }

    fn standard(&self, planned: &Planned<'_>) -> String {
        let table = &planned.declared.table;
        let input = shape::driving_input(&planned.shaped.plan).unwrap_or_default();
        let pending = self.work.found.pending.get(&input);
        if pending.is_none_or(Vec::is_empty) {
            return format!("unchanged: no file of {input} is pending");
        }
        let replaced = match self.work.found.replaced.get(&input).map(Vec::len) {
            Some(count) if table.mode != Mode::Replace && !planned.declared.is_history => format!(
                "; rows go that only the earlier content of changed files had ({count} to replace)"
            ),
            _ => String::new(),
        };
        let refresh = match (self.work.kind, table.mode) {
            (crate::work::Kind::Reload, _) => {
                format!("in full: all files of {input} are loaded again")
            }
            (_, Mode::Merge) if planned.declared.is_history => {
                format!("new rows of {input} are added: every version of a key")
            }
            (_, Mode::Merge) => {
                let deletes = match &table.delete_when {
                    Some(condition) => format!(", and deletes it where {condition}"),
                    None => String::new(),
                };
                format!(
                    "new rows of {input}; of a key, the highest {} stays{deletes}",
                    newest_by(table).join(", ")
                )
            }
            (_, Mode::Append) => format!("new rows of {input} are added"),
            (_, Mode::Replace) => format!("in full: new rows of {input} replace it"),
        };
        match self.work.kind {
            crate::work::Kind::Reload => refresh,
            _ => refresh + &replaced,
        }
    }

    async fn consumption(&self, planned: &Planned<'_>) -> Result<String> {
        let Planned { declared, shaped } = planned;
        let table = &declared.table;
        if let Some(why) = self.work.stale.get(&shaped.spec.name) {
            return Ok(format!("in full: {why}"));
        }
        if self.work.is_empty() {
            return Ok("unchanged: nothing that it is computed from has changed".to_owned());
        }
        if self.state.last.is_none() {
            return Ok("in full: no run has made it".to_owned());
        }
        let session = &self.load.attempt.session;
        Ok(
            match refresh::refresh(
                session,
                table,
                &shaped.plan,
                &self.transform.parameters,
                &self.schemas,
            )
            .await?
            {
                Refresh::Whole(why) => format!("in full: {why}"),
                Refresh::Groups(lineage) => {
                    let groups = table.refresh_by.join(", ");
                    let sources = shape::sources(&shaped.plan);
                    let traced: Vec<String> = sources
                        .iter()
                        .map(|source| match lineage.get(source) {
                            Some(Some(columns)) => {
                                let source = source.replace('/', ".");
                                format!("of {source} by {}", columns.join(", "))
                            }
                            _ => format!(
                                "in full where {}",
                                refresh::untraceable(source, &table.refresh_by)
                            ),
                        })
                        .collect();
                    format!("groups of {groups}: changes {}", traced.join("; "))
                }
            },
        )
    }
}
