//! SQL as an author wrote it: parsed, its parameters put in, and planned.
//!
//! All SQL of a transform goes through here, so that whatever is wrong with it
//! is shown where it stands in the author's text.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Diagnostic, Span};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use lake_plugin::TableDeclaration;

use crate::error::{Result, RunError};
use crate::parameters::{Parameters, Unknown};
use crate::partition;
use crate::shape::table_name;
use crate::sql_error::{self, Spot};

/// A piece of SQL and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Sql<'a> {
    /// The table, or the input and the check, for messages.
    pub(crate) place: String,
    /// What the author wrote.
    pub(crate) text: &'a str,
}

impl<'a> Sql<'a> {
    /// The query of a table.
    pub(crate) fn of(table: &'a TableDeclaration) -> Self {
        Self {
            place: table_name(table),
            text: &table.sql,
        }
    }

    /// Plans a query.
    ///
    /// # Errors
    /// [`RunError::Sql`] where it is not exactly one query, or does not plan.
    pub(crate) async fn query(
        &self,
        session: &SessionContext,
        parameters: &Parameters,
    ) -> Result<LogicalPlan> {
        let not_one = || self.wrong("the SQL has to be one query: SELECT, or WITH … SELECT");
        let state = session.state();
        let dialect = state.config().options().sql_parser.dialect;
        let mut statement = match state.sql_to_statement(self.text, &dialect) {
            Ok(statement) => statement,
            // Two statements, or none.
            Err(DataFusionError::NotImplemented(_) | DataFusionError::Plan(_)) => {
                return Err(not_one());
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let Statement::Statement(parsed) = &mut statement else {
            return Err(not_one());
        };
        let ast::Statement::Query(query) = parsed.as_mut() else {
            return Err(not_one());
        };
        parameters
            .put_into(query)
            .map_err(|unknown| self.unknown(unknown))?;
        partition::tables_as_queries(query);
        let failed = |error: DataFusionError| self.failed_in(session, &error);
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        let reading = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|_| not_one())?;
        // What does not fit together is found here, and not when rows arrive.
        let options = state.config_options();
        let analyzed = state
            .analyzer()
            .execute_and_check(plan.clone(), options, |_, _| {});
        if let Err(error) = analyzed {
            return Err(failed(operands_fit(&plan).err().unwrap_or(error)));
        }
        Ok(plan)
    }

    /// Plans an expression over the columns of `schema`.
    ///
    /// # Errors
    /// [`RunError::Sql`] where it does not plan.
    pub(crate) fn expression(
        &self,
        session: &SessionContext,
        parameters: &Parameters,
        schema: &DFSchema,
    ) -> Result<Expr> {
        let state = session.state();
        let dialect = state.config().options().sql_parser.dialect;
        let mut parsed = state
            .sql_to_expr_with_alias(self.text, &dialect)
            .map_err(|e| self.failed(&e))?;
        parameters
            .put_into(&mut parsed)
            .map_err(|unknown| self.unknown(unknown))?;
        let expr = state
            .create_logical_expr_from_sql_expr(parsed, schema)
            .map_err(|e| self.failed(&e))?;
        operands_of(&expr, schema).map_err(|e| self.failed(&e))?;
        Ok(expr)
    }

    /// What an error of the engine says about this text, with the spot.
    pub(crate) fn failed(&self, error: &DataFusionError) -> RunError {
        sql_error::shown(self, error, &[])
    }

    /// The same, where the tables of a session may be what is missing.
    fn failed_in(&self, session: &SessionContext, error: &DataFusionError) -> RunError {
        sql_error::shown(self, error, &tables(session))
    }

    /// An error of ours about this text as a whole.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> RunError {
        sql_error::at(self, None, message.into())
    }

    /// An error of ours about something in this text: the first place where
    /// `word` stands.
    pub(crate) fn wrong_at(&self, word: &str, message: impl Into<String>) -> RunError {
        sql_error::at(self, Spot::of_word(self.text, word), message.into())
    }

    fn unknown(&self, unknown: Unknown) -> RunError {
        sql_error::at(self, Spot::of_span(unknown.span), unknown.message)
    }
}

/// Asks every operator of a plan whether its operands fit: where they do not,
/// the spot is known here, which the engine's analysis does not say.
fn operands_fit(plan: &LogicalPlan) -> datafusion::error::Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            operands_of(expr, &schema)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

fn operands_of(expr: &Expr, schema: &DFSchema) -> datafusion::error::Result<()> {
    expr.apply(|part| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let types = (left.get_type(schema)?, right.get_type(schema)?);
        let fit = BinaryTypeCoercer::new(&types.0, op, &types.1).get_input_types();
        fit.map_err(|error| {
            let columns = part.column_refs();
            let spans = columns.iter().filter_map(|column| column.spans.first());
            error.with_diagnostic(Diagnostic::new_error("", Span::union_iter(spans)))
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The tables that SQL can name in a session.
fn tables(session: &SessionContext) -> Vec<String> {
    let mut names = Vec::new();
    let Some(catalog) = session.catalog("datafusion") else {
        return names;
    };
    for zone in catalog.schema_names() {
        let Some(schema) = catalog.schema(&zone) else {
            continue;
        };
        for table in schema.table_names() {
            names.push(if zone == "public" {
                table
            } else {
                format!("{zone}.{table}")
            });
        }
    }
    names.sort();
    names
}
