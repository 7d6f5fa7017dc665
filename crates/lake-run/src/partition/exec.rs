//! A call of a partition function as the engine carries it out.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Constraints;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::{
    LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalSortRequirement,
};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;

use super::flow::Flow;
use super::node::{self, PartitionCall};
use super::{PartitionFunction, flow};

/// Plans queries that may call partition functions.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(call), [input]) = (node.as_any().downcast_ref::<PartitionCall>(), inputs) else {
            return Ok(None);
        };
        let schema = Arc::clone(call.schema().inner());
        let function = Arc::clone(call.function());
        let arguments = call.arguments().to_vec();
        let exec = PartitionExec::new(function, arguments, schema, Arc::clone(input))?;
        Ok(Some(Arc::new(exec)))
    }
}

/// Runs one stream of the transform's library for each partition of its input.
#[derive(Debug, Clone)]
struct PartitionExec {
    function: Arc<PartitionFunction>,
    arguments: Vec<ScalarValue>,
    schema: SchemaRef,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PartitionExec {
    fn new(
        function: Arc<PartitionFunction>,
        arguments: Vec<ScalarValue>,
        schema: SchemaRef,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        // Keys come out in the order and in the partition in which they go in. That is all that
        // is known: a key may have many rows, and returned columns are the function's own.
        let keys = columns(&input, node::key(&function));
        let names = function.declaration.key.iter().cloned();
        let kept = ProjectionMapping::try_new(keys.into_iter().zip(names), &input.schema())?;
        let known = input.equivalence_properties();
        let partitioning = input.output_partitioning().project(&kept, known);
        let known = known.project(&kept, Arc::clone(&schema));
        let properties = PlanProperties::new(
            known.with_constraints(Constraints::default()),
            partitioning,
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            function,
            arguments,
            schema,
            input,
            properties: Arc::new(properties),
        })
    }
}

fn columns(
    input: &Arc<dyn ExecutionPlan>,
    places: impl Iterator<Item = usize>,
) -> Vec<Arc<dyn PhysicalExpr>> {
    let schema = input.schema();
    places
        .map(|place| Arc::new(Column::new(schema.field(place).name(), place)) as _)
        .collect()
}

impl DisplayAs for PartitionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        node::shown(f, &self.function, &self.arguments)
    }
}

impl ExecutionPlan for PartitionExec {
    fn name(&self) -> &'static str {
        "PartitionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys = columns(&self.input, node::key(&self.function));
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(keys)])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        // Rows of a key have to be together; which key comes first is all the same.
        let keys = columns(&self.input, node::key(&self.function)).into_iter();
        let keys = keys.map(|column| PhysicalSortRequirement::new(column, None));
        let ascending = SortOptions::new(false, false);
        let order = columns(&self.input, node::order(&self.function)).into_iter();
        let order = order.map(|column| PhysicalSortRequirement::new(column, Some(ascending)));
        vec![LexRequirement::new(keys.chain(order)).map(OrderingRequirements::new)]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) else {
            return Err(DataFusionError::Internal(
                "a partition function reads one table".to_owned(),
            ));
        };
        let function = Arc::clone(&self.function);
        let schema = Arc::clone(&self.schema);
        let exec = Self::new(function, self.arguments.clone(), schema, input)?;
        Ok(Arc::new(exec))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let arguments = self.arguments.iter().map(ScalarValue::to_array);
        let arguments = arguments.collect::<Result<Vec<ArrayRef>>>()?;
        let function = Arc::clone(&self.function);
        let schema = Arc::clone(&self.schema);
        Ok(flow::stream(Flow::new(
            function, arguments, schema, input, &context,
        )))
    }
}
