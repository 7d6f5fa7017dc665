//! Querying a pipeline's tables: as the last finished run left them, or an earlier one.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SQLOptions, SessionContext};
use lake_delta::{Error, Snapshot};

use crate::error::{Result, RunError};
use crate::record::{RUNS, app};
use crate::run::Settings;
use crate::runs::Runs;
use crate::shape;
use crate::state::{Opening, State, tables};

/// What a query answers.
#[derive(Debug)]
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// Answers one SQL query over the tables of a pipeline: `standard.…`,
/// `consumption.…`, `rejection.…`, and `_lake.files`, `_lake.runs` and `_lake.archive`.
///
/// All of them are what one run has left: the last finished one, with what others have committed
/// since, or exactly the one with the number `run`. A run that is on its way, in some tables and
/// not in others yet, is not seen.
///
/// # Errors
/// [`RunError::Sql`] for SQL that does not plan, or that would change something, and
/// [`RunError::NoRun`] where there is no such run.
pub async fn query(settings: &Settings, sql: &str, run: Option<i64>) -> Result<Answer> {
    let state = Box::pin(State::open(settings, Opening::GoOn)).await?;
    let cut = Cut::of(state, run).await?;
    cut.tables(settings).await?.answer(sql).await
}

/// The tables of a cut, in an engine that answers questions about them.
pub(crate) struct Queried {
    pub(crate) session: SessionContext,
    /// The tables that there are, as `zone.name`.
    pub(crate) known: Vec<String>,
}

impl Queried {
    /// Answers one query.
    pub(crate) async fn answer(&self, sql: &str) -> Result<Answer> {
        let wrong = |message: String| RunError::Sql {
            place: "query".to_owned(),
            message,
        };
        let plan = self.session.state().create_logical_plan(sql).await;
        let plan = plan.map_err(|e| {
            let known = self.known.join(", ");
            wrong(format!("{}; the tables are {known}", e.strip_backtrace()))
        })?;
        // The whole plan is looked at: EXPLAIN ANALYZE carries out what it explains.
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let verified = reading.verify_plan(&plan);
        verified.map_err(|_| wrong("a query reads; tables are changed by runs".to_owned()))?;
        let failed = |e: DataFusionError| RunError::sql("query", &e);
        let frame = self.session.execute_logical_plan(plan).await;
        let frame = frame.map_err(failed)?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(failed)?;
        Ok(Answer { schema, batches })
    }
}

/// The tables as one run has left them.
pub(crate) struct Cut {
    pub(crate) state: State,
    /// What that run recorded, where it is not the last one.
    record: Option<crate::record::RunRecord>,
}

impl Cut {
    /// All tables that there are, for queries.
    ///
    /// # Errors
    /// [`RunError::Sql`] where there are none.
    pub(crate) async fn tables(&self, settings: &Settings) -> Result<Queried> {
        let session = settings.session()?;
        self.state.root.register(&session.runtime_env());
        let failed = |e: DataFusionError| RunError::sql("query", &e);
        shape::register_zones(&session).map_err(failed)?;
        let catalog = session.catalog("datafusion");
        if let Some(catalog) = catalog {
            let schema = Arc::new(datafusion::catalog::MemorySchemaProvider::new());
            catalog.register_schema("_lake", schema).map_err(failed)?;
        }
        let mut known = Vec::new();
        for name in tables(&self.state.root).await? {
            // What is remembered about deleted keys is nobody else's business.
            let Some((zone, table)) = name
                .split_once('/')
                .filter(|(_, table)| !table.contains('/'))
            else {
                continue;
            };
            let found = match self.table(&name).await {
                Err(RunError::Table(error)) if matches!(*error, Error::Foreign { .. }) => {
                    tracing::warn!("{error}; the query does without it");
                    continue;
                }
                found => found?,
            };
            if let Some(found) = found {
                let reference = TableReference::partial(zone, table);
                session
                    .register_table(reference, found.provider().await?)
                    .map_err(failed)?;
                known.push(format!("{zone}.{table}"));
            }
        }
        match known.is_empty() {
            false => Ok(Queried { session, known }),
            true => Err(RunError::Sql {
                place: "query".to_owned(),
                message: format!(
                    "there are no tables at {} yet; run the pipeline first",
                    self.state.root.display()
                ),
            }),
        }
    }

    pub(crate) async fn of(state: State, run: Option<i64>) -> Result<Self> {
        let Some(run) = run else {
            return Ok(Self {
                state,
                record: None,
            });
        };
        state.is_within_reach(run)?;
        let runs = Runs::open(&state.root, &state.pipeline).await?;
        let record = runs.record(run).await?;
        // Of a run that was taken back nothing is left to be seen.
        let record = record.filter(|record| record.status != "undone");
        match record {
            Some(record) => Ok(Self {
                state,
                record: Some(record),
            }),
            None => Err(RunError::NoRun {
                run,
                last: state.finished,
            }),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Snapshot>> {
        let State { root, pipeline, .. } = &self.state;
        let at = async |version: i64| {
            let table = Snapshot::open_at(root, pipeline, name, version).await?;
            Ok(Some(table))
        };
        // The table of runs is the history itself.
        if let Some(record) = &self.record
            && name != RUNS
        {
            let left = record.versions.iter().find(|row| row.name == name);
            return match left {
                Some(row) => at(row.version).await,
                None => Ok(None),
            };
        }
        let Some(newest) = Snapshot::open(root, pipeline, name).await? else {
            return Ok(None);
        };
        // Whoever applies a run just now has come to some tables, and not to others.
        let app = app(pipeline);
        let finished = self.state.finished;
        if name == RUNS || newest.transaction(&app).await?.unwrap_or(0) <= finished {
            return Ok(Some(newest));
        }
        match newest.version_before(&app, finished + 1).await? {
            Some(version) => at(version).await,
            None => Ok(None),
        }
    }
}
