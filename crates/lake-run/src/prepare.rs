//! Prepare: every table's change is written, and nothing of it is visible.
//!
//! Tables are prepared in the order in which SQL may refer to them: standard
//! first, then consumption over standard *as prepared*.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use lake_delta::{Attempt, Differences, Groups, Prepared, Snapshot, TableSpec};
use lake_plugin::{InputDeclaration, Mode, TableDeclaration, Zone};
use tokio::sync::mpsc;

use crate::error::{Result, RunError};
use crate::key_rules::{self, KeyRule};
use crate::lineage;
use crate::parameters::Parameters;
use crate::shape::{self, RunColumns, Shaped, table_name};
use crate::sql::Sql;
use crate::state::State;
use crate::table_checks::{CheckRecord, TableChecks};

/// What decides between two rows of a key where the transform does not say:
/// the later file, then the later line.
const NEWEST_BY: [&str; 3] = ["received_at", "_file", "_line"];

/// More groups than this are not worth naming one by one: the table is computed in full.
const MOST_GROUPS: usize = 10_000;

/// Prepares the tables of one run.
pub(crate) struct Preparing<'a> {
    pub(crate) state: &'a State,
    pub(crate) attempt: &'a Attempt,
    pub(crate) tables: &'a [TableDeclaration],
    pub(crate) inputs: Vec<String>,
    pub(crate) columns: RunColumns,
    pub(crate) parameters: &'a Parameters,
}

/// A table's change, and how it was computed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) prepared: Prepared,
    pub(crate) how: &'static str,
    /// Rows that the table's SQL had to choose from, where it has an input.
    pub(crate) driven_by: Option<String>,
}

impl Preparing<'_> {
    fn session(&self) -> &SessionContext {
        &self.attempt.session
    }

    /// Plans the SQL of every table over empty tables, so that what is wrong
    /// with it is known before anything is read.
    pub(crate) async fn plan_all(&self) -> Result<()> {
        for table in self.in_order() {
            let plan = self.shape(table).await?;
            if let Some(snapshot) = self.state.table(&plan.spec.name).await? {
                plan.spec.check(&snapshot)?;
            }
            self.register(
                &plan.spec.name,
                Arc::new(EmptyTable::new(Arc::clone(&plan.spec.schema))),
            )?;
        }
        for table in self.in_order() {
            self.table_checks().plan(table).await?;
        }
        Ok(())
    }

    /// Evaluates the checks of all tables, which have to be prepared.
    pub(crate) async fn checks(&self) -> Result<Vec<CheckRecord>> {
        let mut records = Vec::new();
        for table in self.in_order().filter(|table| !table.checks.is_empty()) {
            records.extend(self.table_checks().evaluate(table).await?);
        }
        Ok(records)
    }

    fn table_checks(&self) -> TableChecks<'_> {
        TableChecks {
            session: self.session(),
            parameters: self.parameters,
            began: self.columns.loaded_at,
        }
    }

    /// What the tables' keys need of the rows of each input.
    pub(crate) async fn key_rules(
        &self,
        inputs: &[InputDeclaration],
    ) -> Result<BTreeMap<String, Vec<KeyRule>>> {
        let mut rules: BTreeMap<String, Vec<KeyRule>> = BTreeMap::new();
        for table in self.zone(Zone::Standard).filter(|t| !t.key.is_empty()) {
            let plan = self.shape(table).await?.plan;
            let driving = shape::driving_input(&plan);
            let input = inputs.iter().find(|i| Some(&i.name) == driving.as_ref());
            if let Some(input) = input {
                let more = key_rules::rules(self.session(), table, &plan, input)?;
                rules.entry(input.name.clone()).or_default().extend(more);
            }
        }
        Ok(rules)
    }

    /// Prepares all tables that inputs drive.
    pub(crate) async fn standard(&self) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for table in self.zone(Zone::Standard) {
            let shaped = self.shape(table).await?;
            let driven_by = shape::driving_input(&shaped.plan);
            let base = self.state.table(&shaped.spec.name).await?;
            let plan = self.physical(&shaped.spec, shaped.plan).await?;
            let newest_by = NEWEST_BY.map(str::to_owned);
            let (prepared, how) = match table.mode {
                Mode::Merge => (
                    self.attempt
                        .merge_newest(&shaped.spec, base, plan, &table.key, &newest_by)
                        .await?,
                    "merge",
                ),
                Mode::Append => (
                    self.attempt.append(&shaped.spec, base, plan).await?,
                    "append",
                ),
                Mode::Replace => (
                    self.attempt.replace(&shaped.spec, base, plan).await?,
                    "full",
                ),
            };
            self.register(prepared.name(), prepared.provider().await?)?;
            changes.push(Change {
                prepared,
                how,
                driven_by,
            });
        }
        Ok(changes)
    }

    /// Prepares all tables that are computed from tables; `changes` are the
    /// tables prepared before.
    pub(crate) async fn consumption(&self, changes: &mut Vec<Change>) -> Result<()> {
        for table in self.zone(Zone::Consumption) {
            let shaped = self.shape(table).await?;
            let base = self.state.table(&shaped.spec.name).await?;
            let (prepared, how) = self.refresh(table, shaped, base, changes).await?;
            self.register(prepared.name(), prepared.provider().await?)?;
            changes.push(Change {
                prepared,
                how,
                driven_by: None,
            });
        }
        Ok(())
    }

    async fn refresh(
        &self,
        table: &TableDeclaration,
        shaped: Shaped,
        base: Option<Snapshot>,
        changes: &[Change],
    ) -> Result<(Prepared, &'static str)> {
        let Shaped { plan, spec } = shaped;
        let within = match &base {
            None => None,
            Some(_) => self.touched(table, &spec, &plan, changes).await?,
        };
        let (plan, how) = match &within {
            None => (plan, "full"),
            Some(groups) if groups.is_empty() => {
                let nothing = LogicalPlanBuilder::from(plan)
                    .filter(lit(false))
                    .and_then(LogicalPlanBuilder::build);
                (
                    nothing.map_err(|e| RunError::sql(&spec.name, &e))?,
                    "unchanged",
                )
            }
            Some(groups) => (
                only(plan, groups).map_err(|e| RunError::sql(&spec.name, &e))?,
                "groups",
            ),
        };
        let plan = self.physical(&spec, plan).await?;
        let prepared = if how == "unchanged" || table.mode == Mode::Append {
            self.attempt.append(&spec, base, plan).await?
        } else if table.mode == Mode::Merge {
            let scope = Differences {
                within,
                besides: vec!["_run".to_owned()],
            };
            self.attempt
                .merge_differences(&spec, base, plan, &table.key, scope)
                .await?
        } else {
            self.attempt.replace(&spec, base, plan).await?
        };
        Ok((prepared, how))
    }

    /// The groups of a table that this run can have touched; `None` where
    /// that cannot be told and the table is computed in full.
    async fn touched(
        &self,
        table: &TableDeclaration,
        spec: &TableSpec,
        plan: &LogicalPlan,
        changes: &[Change],
    ) -> Result<Option<Groups>> {
        if !lineage::is_timeless(plan).map_err(|e| RunError::sql(&spec.name, &e))? {
            return Ok(None);
        }
        let sources = shape::sources(plan);
        let changed: Vec<&Prepared> = changes
            .iter()
            .map(|change| &change.prepared)
            .filter(|prepared| sources.iter().any(|name| name == prepared.name()))
            .filter(|prepared| !prepared.is_unchanged())
            .collect();
        let columns = table.refresh_by.clone();
        if changed.is_empty() {
            return Ok(Some(Groups {
                columns,
                values: Vec::new(),
            }));
        }
        if table.mode != Mode::Merge || columns.is_empty() {
            return Ok(None);
        }
        // Groups of several columns are named by a condition each, not in one list.
        let most = if columns.len() == 1 {
            MOST_GROUPS
        } else {
            MOST_GROUPS / 20
        };
        let lineage = self.lineage(table, changes).await?;
        let mut values = Vec::new();
        for source in changed {
            let Some(Some(traced)) = lineage.get(source.name()) else {
                return Ok(None);
            };
            let groups = self.attempt.touched(source, traced, most).await?;
            for batch in groups.values {
                let renamed = renamed(&batch, spec, &columns);
                values.push(renamed.map_err(|e| RunError::sql(&spec.name, &e))?);
            }
        }
        let groups = Groups { columns, values };
        Ok((groups.len() <= most).then_some(groups))
    }

    async fn lineage(
        &self,
        table: &TableDeclaration,
        changes: &[Change],
    ) -> Result<lineage::Lineage> {
        let failed = |e: DataFusionError| RunError::sql(table_name(table), &e);
        // The functions of this session, and catalogs of its own: probes must
        // not take the place of tables.
        let state = self.session().state();
        let functions: Vec<_> = state.scalar_functions().values().cloned().collect();
        let probes = SessionContext::new_with_config(self.session().copied_config());
        for function in functions {
            probes.register_udf(function.as_ref().clone());
        }
        shape::register_zones(&probes).map_err(failed)?;
        let schemas: BTreeMap<_, _> = changes
            .iter()
            .map(|change| {
                (
                    change.prepared.name().to_owned(),
                    Arc::clone(&change.prepared.spec().schema),
                )
            })
            .collect();
        let sql = Sql::of(table);
        lineage::trace(&probes, &sql, self.parameters, &table.refresh_by, &schemas).await
    }

    fn in_order(&self) -> impl Iterator<Item = &TableDeclaration> {
        self.zone(Zone::Standard)
            .chain(self.zone(Zone::Consumption))
    }

    fn zone(&self, zone: Zone) -> impl Iterator<Item = &TableDeclaration> {
        self.tables.iter().filter(move |table| table.zone == zone)
    }

    async fn shape(&self, table: &TableDeclaration) -> Result<Shaped> {
        match table.zone {
            Zone::Standard => {
                shape::standard(
                    self.session(),
                    table,
                    &self.inputs,
                    self.columns,
                    self.parameters,
                )
                .await
            }
            Zone::Consumption => {
                shape::consumption(self.session(), table, self.columns, self.parameters).await
            }
        }
    }

    async fn physical(
        &self,
        spec: &TableSpec,
        plan: LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let failed = |e: DataFusionError| RunError::sql(&spec.name, &e);
        let frame = self
            .session()
            .execute_logical_plan(plan)
            .await
            .map_err(failed)?;
        frame.create_physical_plan().await.map_err(failed)
    }

    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        let reference = name.replace('/', ".");
        let failed = |e: DataFusionError| RunError::sql(name, &e);
        self.session()
            .deregister_table(reference.as_str())
            .map_err(failed)?;
        self.session()
            .register_table(reference.as_str(), table)
            .map_err(failed)?;
        Ok(())
    }
}

/// Only the rows of some groups.
fn only(plan: LogicalPlan, groups: &Groups) -> datafusion::error::Result<LogicalPlan> {
    let mut any: Option<Expr> = None;
    if let [column] = groups.columns.as_slice() {
        let mut values = Vec::new();
        let mut has_null = false;
        for batch in &groups.values {
            for row in 0..batch.num_rows() {
                let value = ScalarValue::try_from_array(batch.column(0), row)?;
                has_null |= value.is_null();
                values.push(lit(value));
            }
        }
        let within = col(column).in_list(values, false);
        any = Some(if has_null {
            within.or(col(column).is_null())
        } else {
            within
        });
    } else {
        for batch in &groups.values {
            for row in 0..batch.num_rows() {
                let mut all: Option<Expr> = None;
                for (n, column) in groups.columns.iter().enumerate() {
                    let value = ScalarValue::try_from_array(batch.column(n), row)?;
                    let same = if value.is_null() {
                        col(column).is_null()
                    } else {
                        col(column).eq(lit(value))
                    };
                    all = Some(all.map_or(same.clone(), |others| others.and(same)));
                }
                if let Some(group) = all {
                    any = Some(any.map_or(group.clone(), |others| others.or(group)));
                }
            }
        }
    }
    let filter = any.unwrap_or_else(|| lit(false));
    LogicalPlanBuilder::from(plan).filter(filter)?.build()
}

/// A source's values under the names and types that the table has for them.
fn renamed(
    batch: &arrow::array::RecordBatch,
    spec: &TableSpec,
    columns: &[String],
) -> datafusion::error::Result<arrow::array::RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (n, column) in columns.iter().enumerate() {
        let field = spec.schema.field_with_name(column)?;
        arrays.push(arrow::compute::cast(batch.column(n), field.data_type())?);
        fields.push(field.clone());
    }
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    Ok(arrow::array::RecordBatch::try_new(schema, arrays)?)
}

/// Rows that arrive while they are written: the rejected rows of an input.
#[derive(Debug)]
pub(crate) struct Arriving {
    schema: arrow::datatypes::SchemaRef,
    rows: std::sync::Mutex<Option<mpsc::Receiver<arrow::array::RecordBatch>>>,
}

impl Arriving {
    /// A plan that yields what arrives, once.
    pub(crate) async fn plan(
        session: &SessionContext,
        spec: &TableSpec,
        rows: mpsc::Receiver<arrow::array::RecordBatch>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let arriving = Self {
            schema: Arc::clone(&spec.schema),
            rows: std::sync::Mutex::new(Some(rows)),
        };
        let failed = |e: DataFusionError| RunError::sql(&spec.name, &e);
        let table = StreamingTable::try_new(Arc::clone(&spec.schema), vec![Arc::new(arriving)])
            .map_err(failed)?;
        table
            .scan(&session.state(), None, &[], None)
            .await
            .map_err(failed)
    }
}

impl PartitionStream for Arriving {
    fn schema(&self) -> &arrow::datatypes::SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut slot = self
            .rows
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let rows = slot.take();
        let stream = futures::stream::unfold(rows, |rows| async {
            let mut rows = rows?;
            let batch = rows.recv().await?;
            Some((Ok(batch), Some(rows)))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        ))
    }
}
