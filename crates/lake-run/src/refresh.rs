//! Refresh: how much of a consumption table a run has to compute.
//!
//! The groups that a run can have touched are those of its changed rows, in their old and their
//! new version, if `lineage` shows which groups of the table a row of a source belongs to. Where
//! it does not, the whole table is computed, and only its differences are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use lake_delta::{Attempt, Groups, Prepared, TableSpec};
use lake_plugin::{Mode, TableDeclaration};

use crate::error::{Result, RunError};
use crate::lineage::{self, Lineage};
use crate::parameters::Parameters;
use crate::shape::{self, table_name};
use crate::sql::Sql;

/// More groups than this are not worth naming one by one: the table is computed in full.
const MOST_GROUPS: usize = 10_000;
/// Groups of several columns are named by a condition each, not in one list.
const MOST_WIDE_GROUPS: usize = MOST_GROUPS / 20;

/// How much of a table is computed.
#[derive(Debug)]
pub(crate) enum Scope {
    /// Nothing that it is computed from has changed.
    Nothing,
    /// These groups.
    Groups(Groups),
    /// All of it, and why.
    Whole(String),
}

/// How a table can be refreshed, whatever a run brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// By groups: for each source, the columns that hold the values of `refresh_by`, or `None`
    /// where a change of that source touches the whole table.
    Groups(Lineage),
    /// Always in full, and why.
    Whole(String),
}

/// Finds out how a table can be refreshed. `schemas` are the tables that it may read, by name.
pub(crate) async fn refresh(
    session: &SessionContext,
    table: &TableDeclaration,
    plan: &LogicalPlan,
    parameters: &Parameters,
    schemas: &BTreeMap<String, SchemaRef>,
) -> Result<Refresh> {
    let failed = |e: DataFusionError| RunError::sql(table_name(table), &e);
    let whole = |why: &str| Ok(Refresh::Whole(why.to_owned()));
    if !lineage::is_timeless(plan).map_err(failed)? {
        return whole("its SQL calls a function whose result may differ from run to run");
    }
    if table.mode != Mode::Merge {
        return whole("it has no key, so it is replaced");
    }
    if table.refresh_by.is_empty() {
        return whole("it names no columns in refresh_by");
    }
    let lineage = traced(session, table, &table.refresh_by, parameters, schemas).await?;
    Ok(Refresh::Groups(lineage))
}

/// The columns of a table's sources that hold the values of some of its columns.
pub(crate) async fn traced(
    session: &SessionContext,
    table: &TableDeclaration,
    columns: &[String],
    parameters: &Parameters,
    schemas: &BTreeMap<String, SchemaRef>,
) -> Result<Lineage> {
    let probes = probes(session, table)?;
    lineage::trace(&probes, &Sql::of(table), parameters, columns, schemas).await
}

/// How much of a table has to be computed after `changes`, the tables prepared before it.
pub(crate) async fn scope(
    attempt: &Attempt,
    table: &TableDeclaration,
    spec: &TableSpec,
    plan: &LogicalPlan,
    parameters: &Parameters,
    changes: &[&Prepared],
) -> Result<Scope> {
    let sources = shape::sources(plan);
    let schemas: BTreeMap<_, _> = changes
        .iter()
        .map(|change| {
            let schema = SchemaRef::clone(&change.spec().schema);
            (change.name().to_owned(), schema)
        })
        .collect();
    let changed: Vec<&Prepared> = changes
        .iter()
        .copied()
        .filter(|prepared| sources.iter().any(|name| name == prepared.name()))
        .filter(|prepared| !prepared.is_unchanged())
        .collect();
    // What depends on the time may have changed although no row has.
    let timeless = lineage::is_timeless(plan).map_err(|e| RunError::sql(&spec.name, &e))?;
    if changed.is_empty() && timeless {
        return Ok(Scope::Nothing);
    }
    let lineage = match refresh(&attempt.session, table, plan, parameters, &schemas).await? {
        Refresh::Whole(why) => return Ok(Scope::Whole(why)),
        Refresh::Groups(lineage) => lineage,
    };
    let columns = table.refresh_by.clone();
    let most = match columns.as_slice() {
        [_] => MOST_GROUPS,
        _ => MOST_WIDE_GROUPS,
    };
    let mut values = Vec::new();
    for source in changed {
        let Some(Some(traced)) = lineage.get(source.name()) else {
            return Ok(Scope::Whole(untraceable(source.name(), &columns)));
        };
        let groups = attempt.touched(source, traced, most).await?;
        for batch in groups.values {
            let renamed = renamed(&batch, spec, &columns);
            values.push(renamed.map_err(|e| RunError::sql(&spec.name, &e))?);
        }
    }
    let groups = Groups { columns, values };
    if groups.len() > most {
        return Ok(Scope::Whole(format!(
            "the run touches more than {most} groups"
        )));
    }
    Ok(Scope::Groups(groups))
}

/// Why a change of `source` means all groups.
pub(crate) fn untraceable(source: &str, refresh_by: &[String]) -> String {
    format!(
        "{} has changed, and its SQL does not show which {} a row of that belongs to",
        source.replace('/', "."),
        refresh_by.join(", ")
    )
}

/// The functions of a session over catalogs of its own: probes must not take the place of tables.
fn probes(session: &SessionContext, table: &TableDeclaration) -> Result<SessionContext> {
    let probes = SessionContext::new_with_config(session.copied_config());
    for function in session.state().scalar_functions().values() {
        probes.register_udf(function.as_ref().clone());
    }
    let failed = |e| RunError::sql(table_name(table), &e);
    for planner in session.state().relation_planners().iter().rev() {
        let planner = Arc::clone(planner);
        probes.register_relation_planner(planner).map_err(failed)?;
    }
    shape::register_zones(&probes).map_err(failed)?;
    Ok(probes)
}

/// Only the rows of some groups.
pub(crate) fn only(plan: LogicalPlan, groups: &Groups) -> DataFusionResult<LogicalPlan> {
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
    batch: &RecordBatch,
    spec: &TableSpec,
    columns: &[String],
) -> DataFusionResult<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (n, column) in columns.iter().enumerate() {
        let field = spec.schema.field_with_name(column)?;
        arrays.push(arrow::compute::cast(batch.column(n), field.data_type())?);
        fields.push(field.clone());
    }
    let schema = SchemaRef::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, arrays)?)
}
