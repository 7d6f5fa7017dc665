//! The constants behind the table in a call: computed while the SQL is planned.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use arrow::util::display::array_value_to_string;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Spanned};
use lake_plugin::ColumnType;

use super::columns::becomes;
use super::wrong;

/// The value of argument `place` of `function`, counted from 1, as its declared type has it.
///
/// # Errors
/// Where it is no constant, may differ from run to run, or is not a value of that type.
pub(super) fn value(
    function: &str,
    place: usize,
    declared: ColumnType,
    given: ast::Expr,
    context: &mut dyn RelationPlannerContext,
) -> Result<ScalarValue> {
    let span = given.span();
    let failed = |what: &str| {
        let message = format!("argument {place} of {function} is of type {declared}, {what}");
        wrong(span, message)
    };
    const NO_CONSTANT: &str = "and this is no constant; give a value or a parameter, as in $name";
    let nothing = DFSchema::empty();
    let expr = match context.sql_to_expr(given, &nothing) {
        Ok(expr) => expr,
        Err(error) if matches!(error.find_root(), DataFusionError::SchemaError(..)) => {
            return Err(failed(NO_CONSTANT));
        }
        Err(error) => return Err(error),
    };
    let varies = expr.exists(|part| {
        let Expr::ScalarFunction(call) = part else {
            return Ok(false);
        };
        Ok(call.func.signature().volatility != Volatility::Immutable)
    })?;
    if varies {
        return Err(failed(
            "and this may differ from run to run; a parameter says what a run is to take",
        ));
    }
    let options = context.context_provider().options().clone();
    let simplify = SimplifyContext::builder().with_config_options(Arc::new(options));
    let simplifier = ExprSimplifier::new(simplify.build());
    let expr = simplifier.simplify(simplifier.coerce(expr, &nothing)?)?;
    let Expr::Literal(value, _) = expr.unalias() else {
        return Err(failed(NO_CONSTANT));
    };
    converted(&value, declared).ok_or_else(|| {
        let (value, given) = (shown(&value), value.data_type());
        let given = match (ColumnType::from_arrow(&given), given) {
            (Some(given), _) => given.to_string(),
            (None, DataType::Interval(_)) => "interval".to_owned(),
            (None, given) => given.to_string(),
        };
        failed(&format!(
            "which has no value {value} ({given}); cast it, or give another value"
        ))
    })
}

/// A value as plans and messages show it.
pub(super) fn shown(value: &ScalarValue) -> String {
    let text = |array: ArrayRef| array_value_to_string(&array, 0).ok();
    match value.is_null() {
        true => "NULL".to_owned(),
        false => value.to_array().ok().and_then(text).unwrap_or_default(),
    }
}

/// A value as the declared type has it, if that is the same value.
fn converted(value: &ScalarValue, declared: ColumnType) -> Option<ScalarValue> {
    let wanted = declared.to_arrow();
    if value.is_null() {
        return ScalarValue::try_from(&wanted).ok();
    }
    if let (ScalarValue::IntervalMonthDayNano(Some(length)), ColumnType::Duration) =
        (value, declared)
    {
        return Some(ScalarValue::DurationMicrosecond(Some(microseconds(
            *length,
        )?)));
    }
    let given = value.data_type();
    // Of a column, digits may be lost somewhere; of a constant, it is seen here whether they are.
    let number = given.is_numeric() && wanted.is_numeric();
    if !becomes(&given, declared) && !number {
        return None;
    }
    let converted = value.cast_to(&wanted).ok()?;
    let back = converted.cast_to(&given).ok()?;
    (back == *value).then_some(converted)
}

/// A length of time without months, which have none. Days are those of UTC.
fn microseconds(length: IntervalMonthDayNano) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    if length.months != 0 || length.nanoseconds % 1000 != 0 {
        return None;
    }
    let days = i64::from(length.days).checked_mul(DAY)?;
    days.checked_add(length.nanoseconds / 1000)
}
