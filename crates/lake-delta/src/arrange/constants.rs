//! Columns that say the same for all rows: they need not wait with them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::scalar::ScalarValue;

/// Columns with their only value.
#[derive(Debug, Default)]
pub(super) struct Constants(Vec<(FieldRef, ScalarValue)>);

impl Constants {
    /// Takes the constant columns out of a plan, but for those that are `needed`.
    pub(super) fn take(
        plan: Arc<dyn ExecutionPlan>,
        needed: impl Fn(&str) -> bool,
    ) -> Result<(Arc<dyn ExecutionPlan>, Self)> {
        let Some(projection) = plan.downcast_ref::<ProjectionExec>() else {
            return Ok((plan, Self::default()));
        };
        let schema = plan.schema();
        let mut constants = Vec::new();
        let mut others: Vec<ProjectionExpr> = Vec::new();
        for (column, field) in projection.expr().iter().zip(schema.fields()) {
            match column.expr.downcast_ref::<Literal>() {
                Some(literal) if !needed(field.name()) => {
                    constants.push((Arc::clone(field), literal.value().clone()));
                }
                _ => others.push(column.clone()),
            }
        }
        if constants.is_empty() || others.is_empty() {
            return Ok((plan, Self::default()));
        }
        let rest = ProjectionExec::try_new(others, Arc::clone(projection.input()))?;
        Ok((Arc::new(rest), Self(constants)))
    }

    /// Puts the columns beside those of `batch`.
    pub(super) fn put_back(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let mut fields: Vec<FieldRef> = batch.schema().fields().to_vec();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for (field, value) in &self.0 {
            fields.push(Arc::clone(field));
            columns.push(value.to_array_of_size(batch.num_rows())?);
        }
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}
