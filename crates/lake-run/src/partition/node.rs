//! A call of a partition function in a logical plan.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::scalar::ScalarValue;

use super::{PartitionFunction, constant};

/// A call. Its input has exactly the columns that the function receives, in that order; its output
/// has those of the key, and then those that the function returns.
#[derive(Debug, Clone)]
pub(super) struct PartitionCall {
    function: Arc<PartitionFunction>,
    arguments: Vec<ScalarValue>,
    input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl PartitionCall {
    pub(super) fn new(
        function: Arc<PartitionFunction>,
        arguments: Vec<ScalarValue>,
        input: LogicalPlan,
    ) -> Result<Self> {
        let declaration = &function.declaration;
        let fields = input.schema().fields().iter();
        let received = fields.map(|field| (field.name().clone(), field.data_type().clone()));
        let declared = declaration.columns.iter();
        let declared = declared.map(|column| (column.name.clone(), column.column_type.to_arrow()));
        if !received.eq(declared) {
            return Err(DataFusionError::Internal(format!(
                "function {} was given other columns than it declares: {:?}",
                declaration.name,
                input.schema().fields()
            )));
        }
        let key = key(&function).map(|place| {
            let field = input.schema().field(place).as_ref().clone();
            Arc::new(field.with_nullable(true))
        });
        let returned = declaration.returns.iter().map(|column| {
            let data_type = column.column_type.to_arrow();
            Arc::new(Field::new(&column.name, data_type, true))
        });
        let table = Some(TableReference::bare(declaration.name.as_str()));
        let columns: Vec<(Option<TableReference>, FieldRef)> = key
            .chain(returned)
            .map(|field| (table.clone(), field))
            .collect();
        let schema = DFSchema::new_with_metadata(columns, HashMap::new())?;
        Ok(Self {
            arguments,
            input: Arc::new(input),
            schema: Arc::new(schema),
            function,
        })
    }

    pub(super) fn function(&self) -> &Arc<PartitionFunction> {
        &self.function
    }

    pub(super) fn arguments(&self) -> &[ScalarValue] {
        &self.arguments
    }

    /// What decides what a call yields; two functions of one name are never in one plan.
    fn parts(&self) -> (&str, &[ScalarValue], &LogicalPlan) {
        let name = &self.function.declaration.name;
        (name, &self.arguments, &self.input)
    }
}

/// The places of the key's columns among those that a function receives.
pub(super) fn key(function: &PartitionFunction) -> impl Iterator<Item = usize> + '_ {
    places(function, &function.declaration.key)
}

/// The places of the columns by which the rows of a key are sorted.
pub(super) fn order(function: &PartitionFunction) -> impl Iterator<Item = usize> + '_ {
    places(function, &function.declaration.order_by)
}

fn places<'a>(
    function: &'a PartitionFunction,
    names: &'a [String],
) -> impl Iterator<Item = usize> + 'a {
    let columns = &function.declaration.columns;
    names.iter().filter_map(move |name| {
        let mut columns = columns.iter();
        columns.position(|column| column.name == *name)
    })
}

/// The call as plans show it, without what it reads.
pub(super) fn shown(
    f: &mut fmt::Formatter<'_>,
    function: &PartitionFunction,
    arguments: &[ScalarValue],
) -> fmt::Result {
    let declaration = &function.declaration;
    write!(f, "PartitionFunction: {}(…", declaration.name)?;
    for argument in arguments {
        write!(f, ", {}", constant::shown(argument))?;
    }
    write!(f, "), key=[{}]", declaration.key.join(", "))?;
    match declaration.order_by.as_slice() {
        [] => Ok(()),
        columns => write!(f, ", order_by=[{}]", columns.join(", ")),
    }
}

impl UserDefinedLogicalNodeCore for PartitionCall {
    fn name(&self) -> &str {
        "PartitionFunction"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// A filter on the key takes whole keys away, before the function or after it. One on what
    /// the function returns says nothing of what it receives.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let returned = self.function.declaration.returns.iter();
        returned.map(|column| column.name.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, &self.function, &self.arguments)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return Err(DataFusionError::Internal(
                "a partition function reads one table".to_owned(),
            ));
        };
        Self::new(Arc::clone(&self.function), self.arguments.clone(), input)
    }

    /// All columns, whatever is used of the result: a function sees what it declares.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let columns = self.input.schema().fields().len();
        Some(vec![(0..columns).collect()])
    }
}

impl PartialEq for PartitionCall {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for PartitionCall {}

impl PartialOrd for PartitionCall {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.parts().partial_cmp(&other.parts())
    }
}

impl Hash for PartitionCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}
