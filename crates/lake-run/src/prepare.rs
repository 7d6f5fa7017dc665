//! Prepare: every table's change is written, and nothing of it is visible.
//!
//! Tables are prepared in the order in which SQL may refer to them: standard
//! first, then consumption over standard *as prepared*.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use lake_delta::{Attempt, Differences, Prepared, Snapshot, TableSpec};
use lake_plugin::{InputDeclaration, Mode, TableDeclaration, Zone};
use tokio::sync::mpsc;

use crate::error::{Result, RunError};
use crate::key_rules::{self, KeyRule};
use crate::parameters::Parameters;
use crate::record::FILES;
use crate::refresh::{self, Scope};
use crate::shape::{self, RunColumns, Shaped};
use crate::standard;
use crate::state::State;
use crate::table_checks::{CheckRecord, TableChecks};

/// Prepares the tables of one run.
pub(crate) struct Preparing<'a> {
    pub(crate) state: &'a State,
    pub(crate) attempt: &'a Attempt,
    pub(crate) tables: Vec<Declared>,
    pub(crate) inputs: Vec<String>,
    pub(crate) columns: RunColumns,
    pub(crate) parameters: &'a Parameters,
    /// The inputs that the run has files of.
    pub(crate) arriving: BTreeSet<String>,
    /// The files of each input whose earlier rows go, by name.
    pub(crate) replaced: &'a HashMap<String, Vec<String>>,
    /// Whether the files of the run are all that there are, so that standard tables become what
    /// these yield.
    pub(crate) reload: bool,
    /// Whether the files were loaded before, and only some of those that were.
    pub(crate) again: bool,
    /// Consumption tables that are computed in full whatever has changed, and why.
    pub(crate) stale: &'a BTreeMap<String, String>,
}

/// A table of the transform, or one that the host keeps beside it.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) table: TableDeclaration,
    /// Whether it keeps every version of another table's rows.
    pub(crate) is_history: bool,
}

impl Declared {
    /// All tables, those included that keep the versions of others.
    pub(crate) fn all(tables: &[TableDeclaration]) -> Vec<Self> {
        let with_history = tables.iter().flat_map(|table| {
            let own = Self {
                table: table.clone(),
                is_history: false,
            };
            let history = table.history.then(|| Self {
                table: standard::history(table),
                is_history: true,
            });
            [Some(own), history].into_iter().flatten()
        });
        with_history.collect()
    }
}

/// A table whose SQL plans.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) declared: &'a Declared,
    pub(crate) shaped: Shaped,
}

/// A table's change, and how it was computed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) prepared: Prepared,
    /// What is remembered about the table's deleted keys.
    pub(crate) tombstones: Option<Prepared>,
    pub(crate) how: &'static str,
    /// Why it was computed in full, where it could have been otherwise.
    pub(crate) why: Option<String>,
    /// Rows that the table's SQL had to choose from, where it has an input.
    pub(crate) driven_by: Option<String>,
    /// Keys that are gone, and deletions that are forgotten, because files were replaced.
    pub(crate) taken_back: (u64, u64),
}

impl Preparing<'_> {
    fn session(&self) -> &SessionContext {
        &self.attempt.session
    }

    /// Plans the SQL of every table over empty tables, so that what is wrong
    /// with it is known before anything is read.
    pub(crate) async fn plan_all(&self) -> Result<Vec<Planned<'_>>> {
        let mut planned = Vec::new();
        for declared in self.in_order() {
            let shaped = self.shape(declared).await?;
            if let Some(snapshot) = self.state.table(&shaped.spec.name).await? {
                shaped.spec.check(&snapshot)?;
            }
            self.check_tombstones(declared).await?;
            self.withdrawn(declared, &shaped)?;
            self.register(
                &shaped.spec.name,
                Arc::new(EmptyTable::new(Arc::clone(&shaped.spec.schema))),
            )?;
            planned.push(Planned { declared, shaped });
        }
        for declared in self.in_order() {
            self.table_checks().plan(&declared.table).await?;
        }
        Ok(planned)
    }

    /// Evaluates the checks of all tables, which have to be prepared.
    pub(crate) async fn checks(&self) -> Result<Vec<CheckRecord>> {
        let mut records = Vec::new();
        let tables = self.in_order().map(|declared| &declared.table);
        for table in tables.filter(|table| !table.checks.is_empty()) {
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
    pub(crate) fn key_rules(
        &self,
        planned: &[Planned<'_>],
        inputs: &[InputDeclaration],
    ) -> Result<BTreeMap<String, Vec<KeyRule>>> {
        let mut rules: BTreeMap<String, Vec<KeyRule>> = BTreeMap::new();
        for Planned { declared, shaped } in planned {
            let table = &declared.table;
            // The versions of a key have the key, and what every row has.
            if table.zone != Zone::Standard || table.key.is_empty() || declared.is_history {
                continue;
            }
            let driving = shape::driving_input(&shaped.plan);
            let input = inputs.iter().find(|i| Some(&i.name) == driving.as_ref());
            if let Some(input) = input {
                let more = key_rules::rules(self.session(), table, &shaped.plan, input)?;
                rules.entry(input.name.clone()).or_default().extend(more);
            }
        }
        Ok(rules)
    }

    /// Prepares all tables that are computed from tables; `changes` are the
    /// tables prepared before.
    pub(crate) async fn consumption(&self, changes: &mut Vec<Change>) -> Result<()> {
        for declared in self.zone(Zone::Consumption) {
            let table = &declared.table;
            let shaped = self.shape(declared).await?;
            let base = self.state.table(&shaped.spec.name).await?;
            let (prepared, how, why) = self.refresh(table, shaped, base, changes).await?;
            self.register(prepared.name(), prepared.provider().await?)?;
            changes.push(Change {
                prepared,
                tombstones: None,
                how,
                why,
                driven_by: None,
                taken_back: (0, 0),
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
    ) -> Result<(Prepared, &'static str, Option<String>)> {
        let Shaped { plan, spec, .. } = shaped;
        let failed = |e: DataFusionError| RunError::sql(&spec.name, &e);
        let scope = match self.stale.get(&spec.name) {
            _ if base.is_none() => Scope::Whole("no run has made it".to_owned()),
            Some(why) => Scope::Whole(why.clone()),
            None => {
                let changes: Vec<&Prepared> = changes.iter().map(|c| &c.prepared).collect();
                refresh::scope(self.attempt, table, &spec, &plan, self.parameters, &changes).await?
            }
        };
        let (plan, within, how, why) = match scope {
            Scope::Nothing => {
                let nothing = LogicalPlanBuilder::from(plan).filter(lit(false));
                let nothing = nothing.and_then(LogicalPlanBuilder::build);
                let plan = self.physical(&spec, nothing.map_err(failed)?).await?;
                let prepared = self.attempt.append(&spec, base, plan).await?;
                return Ok((prepared, "unchanged", None));
            }
            Scope::Groups(groups) => {
                let plan = refresh::only(plan, &groups).map_err(failed)?;
                (plan, Some(groups), "groups", None)
            }
            Scope::Whole(why) => (plan, None, "full", Some(why)),
        };
        let plan = self.physical(&spec, plan).await?;
        let prepared = if table.mode == Mode::Merge {
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
        Ok((prepared, how, why))
    }

    fn in_order(&self) -> impl Iterator<Item = &Declared> {
        self.zone(Zone::Standard)
            .chain(self.zone(Zone::Consumption))
    }

    /// The tables that a run writes to, with their keys.
    pub(crate) fn names(&self) -> Vec<(String, Vec<String>)> {
        let tables = self.tables.iter().map(|declared| {
            let table = &declared.table;
            (format!("{}/{}", table.zone, table.name), table.key.clone())
        });
        let rejections = self
            .inputs
            .iter()
            .map(|input| (format!("rejection/{input}"), vec!["row_id".to_owned()]));
        tables.chain(rejections).collect()
    }

    /// The tables that a run looks at, lake's own included.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let own = self.names().into_iter().map(|(name, _)| name);
        let deleting = self.tables.iter().filter(|own| !own.is_history);
        let deleted = deleting.filter(|own| own.table.zone == Zone::Standard);
        let deleted = deleted.map(|own| standard::tombstones_of(&own.table));
        own.chain(deleted).chain([FILES.to_owned()]).collect()
    }

    pub(crate) fn zone(&self, zone: Zone) -> impl Iterator<Item = &Declared> {
        self.tables.iter().filter(move |own| own.table.zone == zone)
    }

    pub(crate) async fn shape(&self, declared: &Declared) -> Result<Shaped> {
        let (session, columns, parameters) = (self.session(), self.columns, self.parameters);
        match declared.table.zone {
            Zone::Standard => {
                shape::standard(session, declared, &self.inputs, columns, parameters).await
            }
            Zone::Consumption => {
                shape::consumption(session, &declared.table, columns, parameters).await
            }
        }
    }

    pub(crate) async fn physical(
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

    pub(crate) fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
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
