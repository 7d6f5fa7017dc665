//! The columns that a partition function receives, found by name in what SQL gives it.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::sql::sqlparser::tokenizer::Span;
use lake_plugin::{ColumnType, FieldDeclaration, PartitionFunctionDeclaration};

use super::wrong;

/// What `plan` yields, as exactly the columns that `function` declares. They bear the function's
/// name, as those of its result do, so that a filter on the key says the same on both sides.
///
/// # Errors
/// Where a column is missing, there twice, or of a type that does not become the declared one;
/// `span` is where the table stands.
pub(super) fn received(
    function: &PartitionFunctionDeclaration,
    plan: LogicalPlan,
    span: Span,
) -> Result<LogicalPlan> {
    let columns = function.columns.iter().map(|declared| {
        let column = column(&function.name, declared, &plan, span)?;
        Ok(column.alias_qualified(Some(function.name.as_str()), &declared.name))
    });
    let columns = columns.collect::<Result<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn column(
    function: &str,
    declared: &FieldDeclaration,
    plan: &LogicalPlan,
    span: Span,
) -> Result<Expr> {
    let FieldDeclaration { name, column_type } = declared;
    let schema = plan.schema();
    let mut same = schema.iter().filter(|(_, field)| field.name() == name);
    let Some((qualifier, field)) = same.next() else {
        let known = schema.fields().iter().map(|field| field.name().as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        let message = format!(
            "{function} needs a column {name} ({column_type}), and this has none; \
             it has {known}; select another one under that name"
        );
        return Err(wrong(span, message));
    };
    if same.next().is_some() {
        let message =
            format!("{function} needs one column {name}, and this has several; select one of them");
        return Err(wrong(span, message));
    }
    let column = Expr::Column(Column::new(qualifier.cloned(), name));
    let wanted = column_type.to_arrow();
    if *field.data_type() == wanted {
        return Ok(column);
    }
    if becomes(field.data_type(), *column_type) {
        return Ok(cast(column, wanted));
    }
    let message = format!(
        "{function} needs column {name} as {column_type}, and it is {}; cast it in a query, \
         as in {function}((SELECT … AS {name} FROM …))",
        field.data_type()
    );
    Err(wrong(span, message))
}

/// Whether values of an Arrow type can become those of a declared type without losing their
/// meaning. The cast that makes them so fails where a value is too large.
pub(super) fn becomes(given: &DataType, wanted: ColumnType) -> bool {
    if let DataType::Dictionary(_, value) = given {
        return becomes(value, wanted);
    }
    match wanted {
        ColumnType::Text => matches!(
            given,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        ColumnType::Boolean => *given == DataType::Boolean,
        ColumnType::Int32 | ColumnType::Int64 => given.is_integer(),
        ColumnType::Float64 => {
            given.is_integer() || given.is_floating() || matches!(given, DataType::Decimal128(..))
        }
        ColumnType::Decimal { scale, .. } => match given {
            DataType::Decimal128(_, digits) => *digits <= scale,
            other => other.is_integer(),
        },
        ColumnType::Date => matches!(given, DataType::Date32 | DataType::Date64),
        ColumnType::Timestamp => matches!(
            given,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
        ),
        ColumnType::Duration => matches!(given, DataType::Duration(_)),
    }
}
