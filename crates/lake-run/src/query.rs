//! Querying a pipeline's tables as they are.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::prelude::SQLOptions;
use lake_delta::{Error, Root};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{Result, RunError};
use crate::run::Settings;
use crate::shape;
use crate::state::State;

/// What a query answers.
#[derive(Debug)]
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// Answers one SQL query over the tables of a pipeline: `standard.…`,
/// `consumption.…`, `rejection.…`, and `_lake.files` and `_lake.runs`.
///
/// # Errors
/// [`RunError::Sql`] for SQL that does not plan, or that would change something.
pub async fn query(settings: &Settings, sql: &str) -> Result<Answer> {
    let state = State::open(&settings.root, &settings.pipeline.name).await?;
    let session = settings.session()?;
    state.root.register(&session.runtime_env());
    let failed = |e: DataFusionError| RunError::sql("query", &e);
    shape::register_zones(&session).map_err(failed)?;
    let catalog = session.catalog("datafusion");
    if let Some(catalog) = catalog {
        let schema = Arc::new(datafusion::catalog::MemorySchemaProvider::new());
        catalog.register_schema("_lake", schema).map_err(failed)?;
    }
    let mut known = Vec::new();
    for zone in ["standard", "consumption", "rejection", "_lake"] {
        for name in tables(&state.root, zone).await? {
            let table = match state.table(&format!("{zone}/{name}")).await {
                Err(RunError::Table(error)) if matches!(*error, Error::Foreign { .. }) => {
                    tracing::warn!("{error}; the query does without it");
                    continue;
                }
                found => found?,
            };
            if let Some(table) = table {
                let provider = table.provider().await?;
                let reference = TableReference::partial(zone, name.as_str());
                session
                    .register_table(reference, provider)
                    .map_err(failed)?;
                known.push(format!("{zone}.{name}"));
            }
        }
    }
    if known.is_empty() {
        return Err(RunError::Sql {
            place: "query".to_owned(),
            message: format!(
                "there are no tables at {} yet; run the pipeline first",
                state.root.display()
            ),
        });
    }
    let plan = session
        .state()
        .create_logical_plan(sql)
        .await
        .map_err(|e| RunError::Sql {
            place: "query".to_owned(),
            message: format!(
                "{}; the tables are {}",
                e.strip_backtrace(),
                known.join(", ")
            ),
        })?;
    // The whole plan is looked at: EXPLAIN ANALYZE carries out what it explains.
    let reading = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|_| RunError::Sql {
        place: "query".to_owned(),
        message: "a query reads; tables are changed by runs".to_owned(),
    })?;
    let frame = session.execute_logical_plan(plan).await.map_err(failed)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(failed)?;
    Ok(Answer { schema, batches })
}

/// The names of the Delta tables of a zone.
async fn tables(root: &Root, zone: &str) -> Result<Vec<String>> {
    let prefix = Path::from(zone);
    let listed = root.store().list_with_delimiter(Some(&prefix)).await;
    let listed = listed.map_err(|e| RunError::store(zone, e))?;
    let mut names: Vec<String> = listed
        .common_prefixes
        .iter()
        .filter_map(|place| place.filename().map(str::to_owned))
        .collect();
    names.retain(|name| zone != "_lake" || ["files", "runs"].contains(&name.as_str()));
    names.sort();
    Ok(names)
}
