//! Partition functions: SQL calls them where it names a table, and they see all rows of a key.
//!
//! `SELECT … FROM sessionize(standard.plays, $gap)` passes through here like this:
//!
//! 1. `call` recognises the call while the SQL is planned, finds the columns that the function
//!    receives (`columns`) and computes the constants behind the table (`constant`).
//! 2. `node` stands for it in the logical plan. A filter on the key passes through it, because a
//!    key's rows depend on no rows but its own; that gives a table over it a lineage.
//! 3. `exec` asks the engine for rows that are spread and sorted by the key, which it knows how to
//!    do within its memory, and `flow` pushes them batch by batch into the transform's library.

mod call;
mod columns;
mod constant;
mod exec;
mod flow;
mod node;
mod spelling;

use std::fmt;
use std::sync::Arc;

use datafusion::common::{Diagnostic, Span};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::tokenizer;
use lake_plugin::{FieldDeclaration, PartitionFunctionDeclaration, Plugin};

use crate::functions::Calls;
use call::FromClause;
pub(crate) use exec::Planner;
use node::PartitionCall;
pub(crate) use spelling::tables_as_queries;

/// Makes the transform's partition functions callable from SQL.
pub(crate) fn register(
    session: &SessionContext,
    plugin: &Plugin,
    calls: &Arc<Calls>,
) -> Result<()> {
    let declaration = plugin.declaration();
    let functions = declaration.partition_functions.iter().enumerate();
    let functions = functions.map(|(place, declaration)| {
        Arc::new(PartitionFunction {
            plugin: plugin.clone(),
            calls: Arc::clone(calls),
            place,
            declaration: declaration.clone(),
        })
    });
    let planner = FromClause::new(functions.collect(), session);
    session.register_relation_planner(Arc::new(planner))
}

/// The function that a node of a plan calls, if it calls one.
pub(crate) fn called(plan: &LogicalPlan) -> Option<&PartitionFunctionDeclaration> {
    let LogicalPlan::Extension(extension) = plan else {
        return None;
    };
    let call = extension.node.as_any().downcast_ref::<PartitionCall>()?;
    Some(&call.function().declaration)
}

/// How a function is called, and with what: `sessionize(table(userid text), duration)`.
pub(crate) fn usage(function: &PartitionFunctionDeclaration) -> String {
    let mut usage = format!("{}(table({})", function.name, Fields(&function.columns));
    for argument in &function.arguments {
        usage.push_str(", ");
        usage.push_str(&argument.to_string());
    }
    usage.push(')');
    usage
}

/// What a function makes of its rows: the columns, and how the rows come to it.
pub(crate) fn outcome(function: &PartitionFunctionDeclaration) -> String {
    let declared = |name: &String| {
        let mut columns = function.columns.iter();
        columns.find(|column| column.name == *name).cloned()
    };
    let mut columns: Vec<_> = function.key.iter().filter_map(declared).collect();
    columns.extend(function.returns.iter().cloned());
    let order = match function.order_by.as_slice() {
        [] => String::new(),
        columns => format!(", in the order of {}", columns.join(", ")),
    };
    format!(
        "{}; by {}{order}",
        Fields(&columns),
        function.key.join(", ")
    )
}

/// A partition function of a transform, as the engine's plans hold it.
struct PartitionFunction {
    plugin: Plugin,
    calls: Arc<Calls>,
    /// Its place among the partition functions of the transform.
    place: usize,
    declaration: PartitionFunctionDeclaration,
}

impl PartitionFunction {
    /// Its place among all functions, as the record of a run counts them.
    fn figure(&self) -> usize {
        self.plugin.declaration().functions.len() + self.place
    }
}

impl fmt::Debug for PartitionFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PartitionFunction")
            .field(&self.declaration.name)
            .finish()
    }
}

/// Names with their types: `userid text, played_at timestamp`.
struct Fields<'a>(&'a [FieldDeclaration]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", field.name, field.column_type)?;
        }
        Ok(())
    }
}

/// An error about a stretch of the author's SQL.
fn wrong(span: tokenizer::Span, message: String) -> DataFusionError {
    let diagnostic = Diagnostic::new_error(message.clone(), Span::try_from_sqlparser_span(span));
    DataFusionError::Plan(message).with_diagnostic(diagnostic)
}

#[cfg(test)]
mod tests;
