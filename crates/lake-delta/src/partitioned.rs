//! Scans of tables that have partitions, in streams that share none.
//!
//! What a query groups by usually has the partition columns in it. If each partition is read by one
//! stream, the groups of two streams are different ones: they need not be brought together, and as
//! soon as a stream goes on to its next partition, the groups of the last one are complete. The
//! library reads files in any order; here they are handed out by partition, and the engine is told.
//!
//! A partition belongs to the stream that the engine itself would send its rows to: it takes streams
//! of different tables that are spread by the same columns to match.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraints, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use deltalake::kernel::Add;
use object_store::path::Path;

/// A stream may read so much more than its share, in percent. Beyond that, reading side by side is
/// worth more than reading by partition.
const MOST_OF_SHARE: u64 = 130;

/// A table whose files are known by their partition.
#[derive(Debug)]
pub(crate) struct PartitionedTable {
    inner: Arc<dyn TableProvider>,
    partition_by: Vec<String>,
    /// The text of each partition column, and the rows, by the object's path.
    files: HashMap<Path, (Vec<Option<String>>, u64)>,
}

impl PartitionedTable {
    /// `inner` reads `files` of the table at `place`.
    pub(crate) fn new<'a>(
        inner: Arc<dyn TableProvider>,
        place: &Path,
        partition_by: &[String],
        files: impl Iterator<Item = &'a Add>,
    ) -> Self {
        let known = files.filter_map(|add| {
            let relative = Path::from_url_path(&add.path).ok()?;
            let path = place.parts().chain(relative.parts()).collect();
            let value = |column| {
                let text = add.partition_values.get(column).cloned().flatten();
                // The protocol says that an empty partition value is NULL.
                text.filter(|text| !text.is_empty())
            };
            let values = partition_by.iter().map(value).collect();
            Some((path, (values, crate::stats::rows(add)?)))
        });
        Self {
            files: known.collect(),
            inner,
            partition_by: partition_by.to_vec(),
        }
    }

    /// The scan with its files handed out by partition; `None` where it is not one that this can
    /// be said of, or where it would leave some streams with much more to do than others.
    fn hand_out(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        streams: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let schema = plan.schema();
        let columns = self.partition_by.iter();
        let columns = columns.map(|name| Column::new_with_schema(name, &schema));
        let Ok(columns) = columns.collect::<Result<Vec<Column>>>() else {
            return Ok(None);
        };
        let [source] = plan.children()[..] else {
            return Ok(None);
        };
        let config = source
            .downcast_ref::<DataSourceExec>()
            .and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
        let Some(config) = config.filter(|config| config.limit.is_none()) else {
            return Ok(None);
        };
        let files = config.file_groups.iter().flat_map(FileGroup::iter);
        let Some(groups) = self.groups(files, &columns, &schema, streams)? else {
            return Ok(None);
        };
        let partitioning = Partitioning::UnknownPartitioning(groups.len());
        let config = FileScanConfigBuilder::from(config.clone())
            .with_file_groups(groups)
            // The streams' files are their own: none takes them from another, or cuts them up.
            .with_output_partitioning(Some(partitioning))
            .build();
        let source = DataSourceExec::from_data_source(config);
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let plan = Arc::clone(plan).replace_children(vec![source], options)?;
        Ok(Some(Arc::new(PartitionedScan::new(plan, columns))))
    }

    fn groups<'a>(
        &self,
        files: impl Iterator<Item = &'a PartitionedFile>,
        columns: &[Column],
        schema: &SchemaRef,
        streams: usize,
    ) -> Result<Option<Vec<FileGroup>>> {
        let mut known = Vec::new();
        for file in files {
            match self.files.get(&file.object_meta.location) {
                Some((values, rows)) if file.range.is_none() => known.push((file, values, *rows)),
                _ => return Ok(None),
            }
        }
        let mut values: Vec<ArrayRef> = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let texts = known
                .iter()
                .map(|(_, values, _)| values.get(place).cloned().flatten());
            let texts: StringArray = texts.collect();
            let column = cast(&texts, schema.field(column.index()).data_type())?;
            // A text that is no value is NULL to nobody but the cast.
            if column.null_count() != texts.null_count() {
                return Ok(None);
            }
            values.push(column);
        }
        let mut hashes = vec![0; known.len()];
        create_hashes(
            &values,
            REPARTITION_RANDOM_STATE.random_state(),
            &mut hashes,
        )?;
        let fields = values
            .iter()
            .map(|column| SortField::new(column.data_type().clone()));
        let order = RowConverter::new(fields.collect())?.convert_columns(&values)?;
        let mut sorted: Vec<usize> = (0..known.len()).collect();
        sorted.sort_by(|a, b| order.row(*a).cmp(&order.row(*b)));

        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); streams];
        let mut loads = vec![0_u64; streams];
        for index in sorted {
            let (Some((file, _, rows)), Some(hash)) = (known.get(index), hashes.get(index)) else {
                continue;
            };
            let stream = (hash % streams as u64) as usize;
            if let (Some(group), Some(load)) = (groups.get_mut(stream), loads.get_mut(stream)) {
                group.push((*file).clone());
                *load += rows;
            }
        }
        let share = loads.iter().sum::<u64>() / streams as u64;
        let most = loads.iter().max().copied().unwrap_or(0);
        let is_even = most.saturating_mul(100) <= share.saturating_mul(MOST_OF_SHARE);
        Ok(is_even.then(|| groups.into_iter().map(FileGroup::new).collect()))
    }
}

#[async_trait]
impl TableProvider for PartitionedTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.inner.constraints()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn get_logical_plan(&self) -> Option<std::borrow::Cow<'_, LogicalPlan>> {
        self.inner.get_logical_plan()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.inner.statistics()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.inner.scan(state, projection, filters, limit).await?;
        let streams = state.config().target_partitions();
        if streams < 2 || limit.is_some() {
            return Ok(plan);
        }
        Ok(self.hand_out(&plan, streams)?.unwrap_or(plan))
    }
}

/// A scan that has been handed out. It shows the engine no children, because what is below must
/// stay as it is.
#[derive(Debug)]
struct PartitionedScan {
    scan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PartitionedScan {
    fn new(scan: Arc<dyn ExecutionPlan>, columns: Vec<Column>) -> Self {
        let streams = scan.output_partitioning().partition_count();
        let columns = columns
            .into_iter()
            .map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>);
        let columns: Vec<_> = columns.collect();
        let order = columns.iter().map(|column| {
            let nulls_first = SortOptions::default();
            PhysicalSortExpr::new(Arc::clone(column), nulls_first)
        });
        let known = EquivalenceProperties::new_with_orderings(scan.schema(), [order]);
        let properties = PlanProperties::new(
            known,
            Partitioning::Hash(columns, streams),
            scan.properties().emission_type,
            scan.boundedness(),
        );
        Self {
            scan,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for PartitionedScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionedScan: {}", self.properties.partitioning)
    }
}

impl ExecutionPlan for PartitionedScan {
    fn name(&self) -> &'static str {
        "PartitionedScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.scan.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }
}
