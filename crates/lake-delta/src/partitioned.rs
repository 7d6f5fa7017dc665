//! Scans of tables that have partitions, in streams that share none.
//!
//! What a query groups by usually has the partition columns in it. If each partition is read by one
//! stream, the groups of two streams are different ones: they need not be brought together, and as
//! soon as a stream goes on to its next partition, the groups of the last one are complete. The
//! library reads files in any order; here they are handed out by partition, and the engine is told.
//!
//! A partition belongs to the stream that the engine itself would send its rows to: it takes streams
//! of different tables that are spread by the same columns to match. Where some streams would have
//! much more to do than others that way, whole files are spread evenly instead.
//!
//! However they are handed out, the files of a stream are read ahead ([`crate::ahead`]).

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
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use deltalake::kernel::Add;
use futures::StreamExt;
use object_store::path::Path;

use crate::ahead::{self, Source};

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

    /// The scan with its files handed out; `None` where it is not one whose files are known, or where
    /// some are so large that the engine had better cut them up.
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
        let Some((groups, by_partition)) = self.groups(files, &columns, &schema, streams)? else {
            return Ok(None);
        };
        let mut files = Vec::new();
        let streams = groups.into_iter().map(|group| {
            let own = group.into_iter().map(|file| {
                let bytes = file.object_meta.size;
                files.push(FileGroup::new(vec![file]));
                (files.len() - 1, bytes)
            });
            own.collect()
        });
        let streams: Vec<Vec<(usize, u64)>> = streams.collect();
        let config = FileScanConfigBuilder::from(config.clone())
            // The streams' files are their own: none takes them from another, or cuts them up.
            .with_output_partitioning(Some(Partitioning::UnknownPartitioning(files.len())))
            .with_file_groups(files)
            .build();
        let source = DataSourceExec::from_data_source(config);
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let plan = Arc::clone(plan).replace_children(vec![source], options)?;
        let columns = by_partition.then_some(columns);
        Ok(Some(Arc::new(PartitionedScan::new(plan, streams, columns))))
    }

    /// The files of each stream, in the order of their partitions, and whether no two streams share
    /// one; `None` where some streams would have much more to do than others.
    fn groups<'a>(
        &self,
        files: impl Iterator<Item = &'a PartitionedFile>,
        columns: &[Column],
        schema: &SchemaRef,
        streams: usize,
    ) -> Result<Option<(Vec<Vec<PartitionedFile>>, bool)>> {
        let mut known = Vec::new();
        for file in files {
            match self.files.get(&file.object_meta.location) {
                Some((values, rows)) if file.range.is_none() => known.push((file, values, *rows)),
                _ => return Ok(None),
            }
        }
        if known.is_empty() {
            return Ok(None);
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

        let rows = |index: &usize| known.get(*index).map_or(0, |(_, _, rows)| *rows);
        let share = known.iter().map(|(_, _, rows)| rows).sum::<u64>() / streams as u64;
        let mut shares = vec![(0_u64, Vec::new()); streams];
        for index in &sorted {
            let stream = hashes.get(*index).map_or(0, |hash| hash % streams as u64);
            if let Some((load, own)) = shares.get_mut(stream as usize) {
                *load += rows(index);
                own.push(*index);
            }
        }
        let by_partition = is_even(&shares, share);
        if !by_partition {
            // The largest first, each to whom has the least to do; then in order again.
            let mut largest = sorted.clone();
            largest.sort_by_key(|index| std::cmp::Reverse(rows(index)));
            shares = vec![(0, Vec::new()); streams];
            for index in largest {
                if let Some((load, own)) = shares.iter_mut().min_by_key(|(load, _)| *load) {
                    *load += rows(&index);
                    own.push(index);
                }
            }
            for (_, own) in &mut shares {
                own.sort_by(|a, b| order.row(*a).cmp(&order.row(*b)));
            }
            if !is_even(&shares, share) {
                return Ok(None);
            }
        }
        let groups = shares.into_iter().map(|(_, own)| {
            let files = own.iter().filter_map(|index| known.get(*index));
            files.map(|(file, _, _)| (*file).clone()).collect()
        });
        Ok(Some((groups.collect(), by_partition)))
    }
}

fn is_even(shares: &[(u64, Vec<usize>)], share: u64) -> bool {
    let most = shares.iter().map(|(load, _)| *load).max().unwrap_or(0);
    most.saturating_mul(100) <= share.saturating_mul(MOST_OF_SHARE)
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
    /// It has a partition for each file.
    scan: Arc<dyn ExecutionPlan>,
    /// The files of each stream: their place in the scan, and their bytes.
    streams: Vec<Vec<(usize, u64)>>,
    properties: Arc<PlanProperties>,
}

impl PartitionedScan {
    /// Where no two streams share a partition, `columns` are those of the partition.
    fn new(
        scan: Arc<dyn ExecutionPlan>,
        streams: Vec<Vec<(usize, u64)>>,
        columns: Option<Vec<Column>>,
    ) -> Self {
        let count = streams.len();
        let (known, partitioning) = match columns {
            None => (
                EquivalenceProperties::new(scan.schema()),
                Partitioning::UnknownPartitioning(count),
            ),
            Some(columns) => {
                let columns = columns.into_iter();
                let columns: Vec<Arc<dyn PhysicalExpr>> =
                    columns.map(|column| Arc::new(column) as _).collect();
                let order = columns.iter().map(|column| {
                    let nulls_first = SortOptions::default();
                    PhysicalSortExpr::new(Arc::clone(column), nulls_first)
                });
                (
                    EquivalenceProperties::new_with_orderings(scan.schema(), [order]),
                    Partitioning::Hash(columns, count),
                )
            }
        };
        let properties = PlanProperties::new(
            known,
            partitioning,
            scan.properties().emission_type,
            scan.boundedness(),
        );
        Self {
            scan,
            streams,
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
        let files = self.streams.get(partition).into_iter().flatten();
        let files = files.map(|(what, bytes)| Source {
            bytes: *bytes,
            what: *what,
        });
        let scan = Arc::clone(&self.scan);
        let rows = ahead::in_order(files.collect::<Vec<_>>(), move |file| {
            let rows = scan.execute(file, Arc::clone(&context));
            async { Ok(rows?.boxed()) }
        });
        let schema = self.scan.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// What is known of all rows together is what the library knows; of a stream, nothing is.
    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match args.partition() {
            None => StatisticsContext::new().compute(self.scan.as_ref(), args),
            Some(_) => Ok(Arc::new(Statistics::new_unknown(&self.scan.schema()))),
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }
}
