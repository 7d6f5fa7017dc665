//! Lineage: which groups of a table depend on which rows of its sources.
//!
//! A table that is refreshed by a column has to be computed again only for the
//! values of that column that a run has touched, if a group depends on no
//! rows but its own. The query optimiser knows when that is so: it pushes a
//! filter on the output down to a scan only where the result stays the same.
//! So the table's query is planned with a filter `column = $probe`, and a
//! source has a lineage where the probe arrives at every one of its scans.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown,
    TableType, Volatility,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionContext, ident};

use crate::parameters::Parameters;
use crate::partition;
use crate::sql::Sql;

/// For each source, the columns that hold the values of the refresh columns,
/// in their order; `None` for a source without a lineage.
pub(crate) type Lineage = BTreeMap<String, Option<Vec<String>>>;

/// Traces `refresh_by` through `sql` to the tables of `schemas`, which are
/// named `zone/name`. `session` brings the functions and must have the zones'
/// schemas, which this fills.
pub(crate) async fn trace(
    session: &SessionContext,
    sql: &Sql<'_>,
    parameters: &Parameters,
    refresh_by: &[String],
    schemas: &BTreeMap<String, SchemaRef>,
) -> crate::error::Result<Lineage> {
    for (name, schema) in schemas {
        let probe = Probe {
            schema: Arc::clone(schema),
        };
        let registered = session.register_table(name.replace('/', ".").as_str(), Arc::new(probe));
        registered.map_err(|e| sql.failed(&e))?;
    }
    let plan = sql.query(session, parameters).await?;
    probed_columns(session, plan, refresh_by).map_err(|e| sql.failed(&e))
}

fn probed_columns(
    session: &SessionContext,
    plan: LogicalPlan,
    refresh_by: &[String],
) -> Result<Lineage> {
    let state = session.state();
    let mut plan = LogicalPlanBuilder::from(plan);
    for column in refresh_by {
        let (_, field) = plan
            .schema()
            .qualified_field_with_unqualified_name(column)?;
        let value = Placeholder::new_with_field(probe_id(column), Some(Arc::clone(field)));
        plan = plan.filter(ident(column).eq(Expr::Placeholder(value)))?;
    }
    let plan = state.optimize(&plan.build()?)?;
    let mut lineage = Lineage::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let zone = scan.table_name.schema().unwrap_or_default();
            let source = format!("{zone}/{}", scan.table_name.table());
            let columns: Option<Vec<String>> = refresh_by
                .iter()
                .map(|column| probed(&scan.filters, &probe_id(column)))
                .collect();
            lineage
                .entry(source)
                .and_modify(|known| {
                    if *known != columns {
                        *known = None;
                    }
                })
                .or_insert(columns);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(lineage)
}

/// Whether a query yields the same for the same rows, whenever it is asked: a
/// query over `current_date` does not, although no row has changed.
pub(crate) fn is_timeless(plan: &LogicalPlan) -> Result<bool> {
    let mut timeless = true;
    plan.apply_with_subqueries(|node| {
        if let Some(function) = partition::called(node) {
            timeless &= function.volatility == lake_plugin::Volatility::Immutable;
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::ScalarFunction(call) = part {
                    timeless &= call.func.signature().volatility == Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(timeless)
}

fn probe_id(column: &str) -> String {
    format!("$lake_{column}")
}

/// The column that a filter of the scan compares with the probe.
fn probed(filters: &[Expr], id: &str) -> Option<String> {
    filters.iter().find_map(|filter| {
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) = filter
        else {
            return None;
        };
        match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Placeholder(probe))
            | (Expr::Placeholder(probe), Expr::Column(column))
                if probe.id == id =>
            {
                Some(column.name.clone())
            }
            _ => None,
        }
    })
}

/// A table that takes every filter, so that those that arrive can be seen.
#[derive(Debug)]
struct Probe {
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Probe {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Plan(
            "a probe is planned, not read".to_owned(),
        ))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    async fn lineage(sql: &str) -> Lineage {
        lineage_by("day", sql).await
    }

    async fn lineage_by(column: &str, sql: &str) -> Lineage {
        let session = SessionContext::new();
        crate::shape::register_zones(&session).unwrap();
        let schema = |columns: &[&str]| {
            let fields = columns
                .iter()
                .map(|name| Field::new(*name, DataType::Int64, true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let schemas = BTreeMap::from([
            ("standard/a".to_owned(), schema(&["day", "customer", "x"])),
            ("standard/b".to_owned(), schema(&["date", "y"])),
        ]);
        let sql = Sql {
            place: "consumption/days".to_owned(),
            text: sql,
        };
        let parameters = crate::parameters::tests::some();
        trace(&session, &sql, &parameters, &[column.to_owned()], &schemas)
            .await
            .unwrap()
    }

    fn found(source: &str, column: &str) -> (String, Option<Vec<String>>) {
        (source.to_owned(), Some(vec![column.to_owned()]))
    }

    fn none(source: &str) -> (String, Option<Vec<String>>) {
        (source.to_owned(), None)
    }

    #[tokio::test]
    async fn a_group_column_is_traced_through_nested_aggregates() {
        let sql = "WITH h AS (SELECT day, customer, sum(x) AS x FROM standard.a GROUP BY 1, 2) \
                   SELECT day, max(x) AS x FROM h GROUP BY day";
        assert_eq!(
            lineage(sql).await,
            Lineage::from([found("standard/a", "day")])
        );
    }

    #[tokio::test]
    async fn a_column_of_any_name_is_traced() {
        for name in ["Day", "the day", "a.day"] {
            let sql = format!("SELECT day AS \"{name}\", sum(x) AS x FROM standard.a GROUP BY 1");
            let traced = lineage_by(name, &sql).await;
            assert_eq!(
                traced,
                Lineage::from([found("standard/a", "day")]),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn both_sides_of_an_inner_join_by_the_group_are_traced() {
        let sql = "SELECT a.day, sum(y) AS y FROM standard.a AS a \
                   JOIN standard.b AS b ON a.day = b.date GROUP BY a.day";
        let expected = Lineage::from([found("standard/a", "day"), found("standard/b", "date")]);
        assert_eq!(lineage(sql).await, expected);
    }

    #[tokio::test]
    async fn a_window_within_the_group_is_traced_and_one_across_groups_is_not() {
        let within = "SELECT day, sum(x) OVER (PARTITION BY day) AS x FROM standard.a";
        assert_eq!(
            lineage(within).await,
            Lineage::from([found("standard/a", "day")])
        );
        let across = "SELECT day, sum(x) OVER (PARTITION BY customer) AS x FROM standard.a";
        assert_eq!(lineage(across).await, Lineage::from([none("standard/a")]));
    }

    #[tokio::test]
    async fn a_share_of_the_total_has_no_lineage() {
        let sql = "SELECT day, sum(x) * 1.0 / (SELECT sum(x) FROM standard.a) AS share \
                   FROM standard.a GROUP BY day";
        assert_eq!(lineage(sql).await, Lineage::from([none("standard/a")]));
    }

    #[tokio::test]
    async fn a_computed_group_has_no_lineage() {
        let sql = "SELECT day / 7 AS day, sum(x) AS x FROM standard.a GROUP BY 1";
        assert_eq!(lineage(sql).await, Lineage::from([none("standard/a")]));
    }

    #[tokio::test]
    async fn a_query_over_todays_date_is_not_timeless() {
        let session = SessionContext::new();
        for (sql, expected) in [
            (
                "SELECT 1 WHERE date_part('year', DATE '2026-01-01') > 3",
                true,
            ),
            ("SELECT 1 WHERE DATE '2026-01-01' > current_date", false),
            (
                "SELECT 1 WHERE 3 IN (SELECT date_part('year', now()))",
                false,
            ),
        ] {
            let plan = session.state().create_logical_plan(sql).await.unwrap();
            assert_eq!(is_timeless(&plan).unwrap(), expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_parameter_does_not_hide_a_lineage() {
        let sql = "SELECT day, sum(x) * $top AS x FROM standard.a \
                   WHERE day > $few GROUP BY day HAVING sum(x) > $price";
        assert_eq!(
            lineage(sql).await,
            Lineage::from([found("standard/a", "day")])
        );
    }

    #[tokio::test]
    async fn a_limit_has_no_lineage() {
        let sql = "SELECT day, x FROM standard.a ORDER BY x DESC LIMIT 10";
        assert_eq!(lineage(sql).await, Lineage::from([none("standard/a")]));
    }
}
