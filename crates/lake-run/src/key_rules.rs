//! Key rules: a row without a key is rejected, and does not stop the run.
//!
//! A table with a key cannot hold a row whose key is NULL. Which rows of an
//! input those are follows from the table's SQL: the key's expression is
//! written over the columns of the input, and so are the filters that a row has
//! to pass before the table needs a key of it. The rules are asked of rows that
//! have no other reason to be rejected, because only those reach the SQL.
//!
//! Where the key cannot be written over one row (it comes from a window, or
//! from a function that answers differently every time), there is no rule, and
//! preparing the table stops at the first NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::Column;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use lake_plugin::{InputDeclaration, TableDeclaration};

use crate::check::{Reason, input_schema};
use crate::error::{Result, RunError};
use crate::shape::table_name;

/// The name of the check in the reasons of a rejected row.
const CHECK: &str = "key";

/// One column of a table's key that can be NULL, over the rows of its input.
#[derive(Debug)]
pub(crate) struct KeyRule {
    /// What a row is asked for: a column of the input where the key is one.
    column: String,
    message: String,
    /// The filters of the table's SQL, the innermost first.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    value: Arc<dyn PhysicalExpr>,
}

/// The rules that follow from the plan of a table over an input.
///
/// # Errors
/// [`RunError::Sql`] where an expression that is planned over the input's
/// columns is not planned over its rows.
pub(crate) fn rules(
    session: &SessionContext,
    table: &TableDeclaration,
    plan: &LogicalPlan,
    input: &InputDeclaration,
) -> Result<Vec<KeyRule>> {
    let failed = |e: DataFusionError| RunError::sql(table_name(table), &e);
    let Some(inlined) = Inlined::of(plan) else {
        return Ok(Vec::new());
    };
    let rows = DFSchema::try_from(input_schema(input)).map_err(failed)?;
    let accepted = DFSchema::try_from(accepted_schema(input)).map_err(failed)?;
    let physical = |expr: &Expr| session.create_physical_expr(expr.clone(), &rows);
    let mut rules = Vec::new();
    for column in &table.key {
        let index = plan.schema().index_of_column_by_name(None, column);
        let value = index.and_then(|index| inlined.columns.get(index)?.as_ref());
        let Some(value) = value else {
            continue;
        };
        if matches!(value.nullable(&accepted), Ok(false)) {
            continue;
        }
        let bare = value.clone().unalias_nested().data;
        let (asked, message) = match &bare {
            Expr::Column(asked) => (
                asked.name.clone(),
                format!(
                    "{} is empty, and part of the key of {}",
                    asked.name,
                    table_name(table)
                ),
            ),
            computed => (
                column.clone(),
                format!(
                    "`{}` is NULL, and it is {column}, part of the key of {}",
                    computed.human_display(),
                    table_name(table)
                ),
            ),
        };
        let filters = inlined.filters.iter().map(physical);
        rules.push(KeyRule {
            column: asked,
            message,
            filters: filters.collect::<DataFusionResult<_>>().map_err(failed)?,
            value: physical(value).map_err(failed)?,
        });
    }
    Ok(rules)
}

/// Takes the rows without a key out of `accepted`, which are all rows of a
/// batch but the `rejected` ones, and adds them to those.
///
/// # Errors
/// [`RunError::Sql`] where rows cannot be taken out.
pub(crate) fn reject(
    rules: &[KeyRule],
    accepted: RecordBatch,
    rejected: &mut BTreeMap<usize, Vec<Reason>>,
) -> Result<RecordBatch> {
    let mut found: BTreeMap<usize, Vec<Reason>> = BTreeMap::new();
    for rule in rules {
        // What cannot be computed here fails in the table's query too, which
        // says so with the table's name.
        for row in rule.rows_without(&accepted).unwrap_or_default() {
            found.entry(row).or_default().push(Reason {
                check: CHECK.to_owned(),
                column: Some(rule.column.clone()),
                value: None,
                message: rule.message.clone(),
            });
        }
    }
    if found.is_empty() {
        return Ok(accepted);
    }
    let rows = accepted.num_rows() + rejected.len();
    let places: Vec<usize> = (0..rows)
        .filter(|row| !rejected.contains_key(row))
        .collect();
    let keep: BooleanArray = (0..accepted.num_rows())
        .map(|row| Some(!found.contains_key(&row)))
        .collect();
    let kept = filter_record_batch(&accepted, &keep);
    for (row, reasons) in found {
        if let Some(place) = places.get(row) {
            rejected.insert(*place, reasons);
        }
    }
    kept.map_err(|e| RunError::sql("rows without a key", &e.into()))
}

impl KeyRule {
    /// The rows that pass the filters and have no value.
    fn rows_without(&self, batch: &RecordBatch) -> DataFusionResult<Vec<usize>> {
        let mut left = batch.clone();
        let mut places: Vec<usize> = (0..batch.num_rows()).collect();
        for filter in &self.filters {
            let passes = filter.evaluate(&left)?.into_array(left.num_rows())?;
            let passes = passes.as_boolean_opt().ok_or_else(|| {
                DataFusionError::Internal("a filter that is not true or false".to_owned())
            })?;
            let passes = |row: usize| passes.is_valid(row) && passes.value(row);
            let keep: BooleanArray = (0..left.num_rows()).map(|row| Some(passes(row))).collect();
            left = filter_record_batch(&left, &keep)?;
            let kept = places.iter().enumerate().filter(|(row, _)| passes(*row));
            places = kept.map(|(_, place)| *place).collect();
        }
        let value = self.value.evaluate(&left)?.into_array(left.num_rows())?;
        let without = places.iter().enumerate();
        let without = without.filter(|(row, _)| value.is_null(*row));
        Ok(without.map(|(_, place)| *place).collect())
    }
}

/// The rows of an input after its checks: what is required is there.
fn accepted_schema(input: &InputDeclaration) -> Arc<Schema> {
    let schema = input_schema(input);
    let is_required = |name: &str| {
        let declared = input.columns.iter().find(|column| column.name == name);
        declared.is_some_and(|column| column.required)
    };
    let fields = schema.fields().iter().map(|field| {
        let nullable = field.is_nullable() && !is_required(field.name());
        Field::clone(field).with_nullable(nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A plan over one input as expressions over the columns of a row.
struct Inlined {
    /// What the plan yields; `None` for what one row does not determine.
    columns: Vec<Option<Expr>>,
    filters: Vec<Expr>,
}

impl Inlined {
    /// `None` where one row does not determine whether the plan yields it.
    fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let names = scan.projected_schema.fields().iter();
                let columns = names
                    .map(|field| Some(Expr::Column(Column::new_unqualified(field.name()))))
                    .collect();
                (scan.filters.is_empty() && scan.fetch.is_none()).then_some(Self {
                    columns,
                    filters: Vec::new(),
                })
            }
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Self::of(&sort.input),
            LogicalPlan::Window(window) => {
                let mut inner = Self::of(&window.input)?;
                inner
                    .columns
                    .extend(window.window_expr.iter().map(|_| None));
                Some(inner)
            }
            LogicalPlan::Filter(filter) => {
                let mut inner = Self::of(&filter.input)?;
                let predicate = inner.write(&filter.predicate, filter.input.schema())?;
                inner.filters.push(predicate);
                Some(inner)
            }
            LogicalPlan::Projection(projection) => {
                let inner = Self::of(&projection.input)?;
                let schema = projection.input.schema();
                let columns = projection.expr.iter();
                let columns = columns.map(|expr| inner.write(expr, schema)).collect();
                Some(Self { columns, ..inner })
            }
            _ => None,
        }
    }

    /// An expression over the plan's columns as one over the row's.
    fn write(&self, expr: &Expr, schema: &DFSchema) -> Option<Expr> {
        if expr.is_volatile() {
            return None;
        }
        let mut of_one_row = true;
        let written = expr.clone().transform_up(|part| {
            Ok(match part {
                Expr::Column(column) => {
                    let index = schema.maybe_index_of_column(&column);
                    match index.and_then(|index| self.columns.get(index)?.clone()) {
                        Some(inner) => Transformed::yes(inner),
                        None => {
                            of_one_row = false;
                            Transformed::no(Expr::Column(column))
                        }
                    }
                }
                part @ (Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(_, _)) => {
                    of_one_row = false;
                    Transformed::no(part)
                }
                part => Transformed::no(part),
            })
        });
        written
            .ok()
            .filter(|_| of_one_row)
            .map(|written| written.data)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray, new_null_array};
    use datafusion::datasource::empty::EmptyTable;
    use lake_plugin::prelude::*;

    use super::*;
    use crate::parameters;
    use crate::sql::Sql;

    /// The columns of the key for which there is a rule, and, of rows with these
    /// values of `a` and `b`, those without a key.
    fn asked(
        sql: &str,
        key: &[&str],
        rows: &[(Option<&str>, Option<&str>)],
    ) -> (Vec<String>, Vec<usize>) {
        let declaration = Transform::new()
            .input(
                Input::csv("rows")
                    .header()
                    .column("a", text())
                    .column("b", text())
                    .column("must", text().required()),
            )
            .table(Table::standard("t").sql(sql).key(key.to_vec()))
            .declaration();
        let (input, table) = (&declaration.inputs[0], &declaration.tables[0]);
        let schema = input_schema(input);
        let session = SessionContext::new();
        let empty = Arc::new(EmptyTable::new(Arc::clone(&schema)));
        session.register_table("rows", empty).unwrap();
        let parameters = parameters::tests::some();
        let plan = futures::executor::block_on(Sql::of(table).query(&session, &parameters));
        let rules = rules(&session, table, &plan.unwrap(), input).unwrap();

        let mut columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| new_null_array(field.data_type(), rows.len()))
            .collect();
        columns[0] = Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>());
        columns[1] = Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>());
        let nullable: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| Field::clone(field).with_nullable(true))
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns).unwrap();
        let mut rejected = BTreeMap::new();
        let kept = reject(&rules, batch, &mut rejected).unwrap();
        assert_eq!(kept.num_rows() + rejected.len(), rows.len());
        let asked = rules.iter().map(|rule| rule.column.clone()).collect();
        (asked, rejected.into_keys().collect())
    }

    const ROWS: [(Option<&str>, Option<&str>); 4] = [
        (Some("x"), Some("1")),
        (None, Some("1")),
        (Some(""), None),
        (None, None),
    ];

    fn found(columns: &[&str], rows: &[usize]) -> (Vec<String>, Vec<usize>) {
        let columns = columns.iter().map(|name| (*name).to_owned());
        (columns.collect(), rows.to_vec())
    }

    #[test]
    fn a_row_without_a_column_of_the_key_is_rejected() {
        let sql = "SELECT a, b FROM rows";
        assert_eq!(asked(sql, &["a"], &ROWS), found(&["a"], &[1, 3]));
        assert_eq!(
            asked(sql, &["a", "b"], &ROWS),
            found(&["a", "b"], &[1, 2, 3])
        );
    }

    #[test]
    fn a_required_column_and_what_is_computed_from_it_are_not_asked() {
        let sql = "SELECT must, CAST(must AS VARCHAR) || '!' AS loud, received_at FROM rows";
        let key = ["must", "loud", "received_at"];
        assert_eq!(asked(sql, &key, &ROWS), found(&[], &[]));
    }

    #[test]
    fn a_key_is_followed_through_names_and_inner_queries() {
        let sql = "WITH inner_rows AS (SELECT a AS x, b FROM rows AS r) \
                   SELECT nullif(i.x, '') AS k FROM inner_rows AS i ORDER BY k";
        assert_eq!(asked(sql, &["k"], &ROWS), found(&["k"], &[1, 2, 3]));
    }

    #[test]
    fn a_row_that_the_sql_leaves_out_needs_no_key() {
        let sql = "SELECT a FROM rows WHERE b = '1'";
        assert_eq!(asked(sql, &["a"], &ROWS), found(&["a"], &[1]));
        let sql = "SELECT a FROM rows WHERE a IS NOT NULL";
        assert_eq!(asked(sql, &["a"], &ROWS), found(&["a"], &[]));
        let sql = "SELECT x FROM (SELECT a AS x, b AS y FROM rows WHERE b IS NULL) WHERE y IS NULL";
        assert_eq!(asked(sql, &["x"], &ROWS), found(&["a"], &[3]));
    }

    #[test]
    fn a_key_that_one_row_does_not_determine_is_not_asked() {
        for sql in [
            "SELECT lag(a) OVER (ORDER BY b) AS k FROM rows",
            "SELECT a AS k FROM rows WHERE b IN (SELECT must FROM rows)",
            "SELECT a || CAST(random() AS VARCHAR) AS k FROM rows",
            "SELECT a AS k FROM (SELECT a, row_number() OVER (PARTITION BY a) AS n FROM rows) WHERE n = 1",
        ] {
            assert_eq!(asked(sql, &["k"], &ROWS), found(&[], &[]), "{sql}");
        }
    }

    #[test]
    fn a_window_beside_the_key_does_not_matter() {
        let sql = "SELECT a, row_number() OVER (ORDER BY b) AS n FROM rows";
        assert_eq!(asked(sql, &["a"], &ROWS), found(&["a"], &[1, 3]));
    }

    #[test]
    fn what_cannot_be_computed_is_left_to_the_query() {
        let sql = "SELECT CAST(a AS BIGINT) AS k FROM rows";
        assert_eq!(asked(sql, &["k"], &ROWS), found(&["k"], &[]));
    }
}
