//! A call in the FROM of a query: what it names, and whether that fits.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{self, Extension, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, ObjectNamePart, Spanned, TableFactor,
};

use super::node::PartitionCall;
use super::{PartitionFunction, columns, constant, usage, wrong};
use crate::sql_error::nearest;

/// Plans calls of the transform's partition functions; calls of other functions that SQL has for
/// tables are left to the engine.
#[derive(Debug)]
pub(super) struct FromClause {
    functions: Vec<Arc<PartitionFunction>>,
    /// The functions of the engine.
    others: Vec<String>,
}

impl FromClause {
    pub(super) fn new(functions: Vec<Arc<PartitionFunction>>, session: &SessionContext) -> Self {
        Self {
            functions,
            others: session.state().table_functions().keys().cloned().collect(),
        }
    }

    fn is_other(&self, name: &ObjectName, context: &dyn RelationPlannerContext) -> bool {
        self.others.contains(&normal(name, context))
    }

    fn plan(&self, call: Call, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let name = normal(&call.name, context);
        let known = self.functions.iter();
        let function = known
            .clone()
            .find(|function| function.declaration.name == name)
            .ok_or_else(|| wrong(call.name.span(), self.unknown(&name, context)))?;
        let arguments = positional(function, call.arguments)?;
        let takes = 1 + function.declaration.arguments.len();
        let given = arguments.len();
        let mut arguments = arguments.into_iter();
        let (Some(table), true) = (arguments.next(), given == takes) else {
            let s = if given == 1 { "" } else { "s" };
            let message = format!(
                "{name} is called with {given} argument{s}, and takes {takes}: {}",
                usage(&function.declaration)
            );
            return Err(wrong(call.name.span(), message));
        };
        let span = table.span();
        let Some(table) = relation(table) else {
            let message = format!(
                "the first argument of {name} is a table, as in {name}(standard.…), \
                 or a query in parentheses, as in {name}((SELECT … FROM …))"
            );
            return Err(wrong(span, message));
        };
        let input = context.plan(table)?;
        if let Some(outer) = input.all_out_ref_exprs().first() {
            let outer = match outer {
                logical_expr::Expr::OuterReferenceColumn(_, column) => column.flat_name(),
                other => other.to_string(),
            };
            let message = format!(
                "what {name} reads depends on {outer}, a column of another table; \
                 let it read all rows, and join its result"
            );
            return Err(wrong(span, message));
        }
        let input = columns::received(&function.declaration, input, span)?;
        let declared = function.declaration.arguments.iter().enumerate();
        let values = declared.zip(arguments).map(|((place, declared), given)| {
            constant::value(&name, place + 2, *declared, given, context)
        });
        let values = values.collect::<Result<_>>()?;
        let call = PartitionCall::new(Arc::clone(function), values, input)?;
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(call),
        }))
    }

    fn unknown(&self, name: &str, context: &dyn RelationPlannerContext) -> String {
        if context.context_provider().get_function_meta(name).is_some() {
            return format!(
                "{name} is a function of values, not of a table; call it where a value stands"
            );
        }
        let declarations = self.functions.iter().map(|function| &function.declaration);
        let names: Vec<&str> = declarations.clone().map(|known| &*known.name).collect();
        if names.is_empty() {
            return format!(
                "there is no function {name} of a table; declare it with Function::partition(…)"
            );
        }
        let known: Vec<String> = declarations.map(usage).collect();
        let known = known.join(", ");
        match nearest(name, &names) {
            Some(meant) => format!(
                "there is no function {name} of a table; did you mean {meant}? There is {known}"
            ),
            None => format!("there is no function {name} of a table; there is {known}"),
        }
    }
}

impl RelationPlanner for FromClause {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (call, alias) = match relation {
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } if !self.is_other(&name, context) => {
                let arguments = args.args;
                (Call { name, arguments }, alias)
            }
            // LATERAL says that a call may depend on the tables before it, which none does.
            TableFactor::Function {
                name,
                args: arguments,
                alias,
                ..
            } if !self.is_other(&name, context) => (Call { name, arguments }, alias),
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let plan = self.plan(call, context)?;
        let planned = PlannedRelation::new(plan, alias);
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

/// A call as it is written.
struct Call {
    name: ObjectName,
    arguments: Vec<FunctionArg>,
}

/// A name as SQL compares it: in lower case, unless it is quoted.
fn normal(name: &ObjectName, context: &dyn RelationPlannerContext) -> String {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => context.normalize_ident(name.clone()),
        _ => name.to_string(),
    }
}

fn positional(function: &PartitionFunction, arguments: Vec<FunctionArg>) -> Result<Vec<Expr>> {
    let arguments = arguments.into_iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        other => {
            let message = format!(
                "{} takes its arguments by their place, as {}",
                function.declaration.name,
                usage(&function.declaration)
            );
            Err(wrong(other.span(), message))
        }
    });
    arguments.collect()
}

/// The query that an argument is; tables have become queries before.
fn relation(argument: Expr) -> Option<TableFactor> {
    let Expr::Subquery(subquery) = argument else {
        return None;
    };
    Some(TableFactor::Derived {
        lateral: false,
        subquery,
        alias: None,
        sample: None,
    })
}
