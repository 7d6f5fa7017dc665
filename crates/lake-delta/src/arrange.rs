//! Rows brought into order before they are written: by partition, then by key, one row per key.
//!
//! Sorting everything at once means merging what has been sorted in pieces, and comparing every
//! row many times on the way. It is not needed: rows of different partitions never have to be
//! compared. So rows are first gathered into buckets by their partition ([`gather`]), in memory or,
//! beyond the limit, in temporary files; then every bucket is sorted for itself, in memory
//! ([`order`]). Buckets are independent of each other, so all threads work on them.
//!
//! A bucket that does not fit into memory is cut into ranges of the order that do ([`ranges`]). Only
//! where that is not possible, because too many of its rows have one key, it is sorted by the
//! engine, which spills and merges.

mod codes;
mod constants;
mod gather;
mod order;
mod ranges;
mod spill;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::newest::{Contest, KeyRule, OnePerKey};
use crate::write::{Split, SplitWriter, Target};
use crate::{Error, Result};

use codes::Codes;
use constants::Constants;
use gather::{Bucket, Gathered, Spread};

/// How many rows are handed to the writer at a time.
const BATCH_ROWS: usize = 8192;
/// Partitions share this many buckets. More of them need less memory each, and cost a little for
/// every time that rows are spilled.
const BUCKETS: usize = 512;

/// What is common to all rows of a write.
#[derive(Debug)]
struct Arrangement {
    table: String,
    schema: SchemaRef,
    /// How rows wait for their turn.
    codes: Codes,
    /// What does not wait, because it is the same for all.
    constants: Constants,
    /// The columns by which rows are sorted: those of the partition, then those of the key.
    sort_by: Vec<usize>,
    rule: Option<KeyRule>,
    context: Arc<TaskContext>,
    /// Whose turn it is to have a bucket sorted by the engine.
    engine: tokio::sync::Mutex<()>,
}

/// Writes what `plan` yields, sorted by partition and by the key of `rule`, or of the table where
/// there is no rule. Where there is one, of rows that share a key one stays, and rows that it says
/// are deleted go to `tombstones`.
pub(crate) async fn write(
    target: &Target,
    tombstones: Option<&Target>,
    plan: Arc<dyn ExecutionPlan>,
    rule: Option<&KeyRule>,
    context: &Arc<TaskContext>,
) -> Result<Split> {
    let spec = &target.spec;
    let key = rule.map_or(spec.key.as_slice(), |rule| &rule.key);
    let is_needed = |name: &str| {
        let deciding = rule.into_iter().flat_map(KeyRule::columns);
        let sorting = spec.partition_by.iter().chain(key);
        sorting.chain(deciding).any(|own| own == name)
    };
    let taken = Constants::take(plan, is_needed);
    let (plan, constants) = taken.map_err(|e| Error::query(&spec.name, e))?;
    let schema = plan.schema();
    let index = |name: &String| {
        schema
            .index_of(name)
            .map_err(|e| Error::query(&spec.name, e))
    };
    let partition_by: Vec<usize> = spec.partition_by.iter().map(index).collect::<Result<_>>()?;
    let key: Vec<usize> = key.iter().map(index).collect::<Result<_>>()?;

    let streams = plan.output_partitioning().partition_count();
    // A key determines its partition, so that either of them keeps a key in one bucket.
    let spread = match partition_by.is_empty() {
        false => Spread::new(partition_by.clone(), BUCKETS),
        true => Spread::new(key.clone(), streams),
    };
    let mut sort_by = partition_by;
    sort_by.extend(
        key.into_iter()
            .filter(|column| !sort_by.contains(column))
            .collect::<Vec<_>>(),
    );
    let arrangement = Arc::new(Arrangement {
        table: spec.name.clone(),
        codes: Codes::new(&schema),
        constants,
        schema,
        sort_by,
        rule: rule.cloned(),
        context: Arc::clone(context),
        engine: tokio::sync::Mutex::default(),
    });
    let buckets = arrangement.gather(&plan, spread).await?;
    arrangement.write(target, tombstones, buckets).await
}

impl Arrangement {
    fn failed(&self, error: impl Into<DataFusionError>) -> Error {
        Error::query(&self.table, error)
    }

    fn contest(&self) -> Result<Option<Contest>> {
        let rule = self.rule.as_ref();
        rule.map(|rule| Contest::new(&self.table, &self.schema, rule))
            .transpose()
    }

    fn threads(&self) -> usize {
        self.context.session_config().target_partitions().max(1)
    }

    /// How much memory one thread may take to sort a bucket, so that all of them leave some to a
    /// sort of the engine.
    fn most_to_sort(&self) -> usize {
        match self.context.runtime_env().memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes / (4 * self.threads()) * 3,
            _ => usize::MAX,
        }
    }

    /// Takes all rows of all streams, each in a task of its own.
    async fn gather(
        self: &Arc<Self>,
        plan: &Arc<dyn ExecutionPlan>,
        spread: Spread,
    ) -> Result<Vec<Bucket>> {
        let spread = Arc::new(spread);
        let streams = plan.output_partitioning().partition_count();
        let budget = gather::budget(&self.context, streams);
        let mut tasks: JoinSet<Result<(usize, Gathered)>> = JoinSet::new();
        for n in 0..streams {
            let context = Arc::clone(&self.context);
            let mut stream = plan.execute(n, context).map_err(|e| self.failed(e))?;
            let (this, spread) = (Arc::clone(self), Arc::clone(&spread));
            tasks.spawn(async move {
                let contest = this.contest()?;
                let failed = |e: DataFusionError| this.failed(e);
                let mut gathered =
                    Gathered::new(spread, this.codes.waiting(), budget, &this.context);
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(failed)?;
                    if let Some(contest) = &contest {
                        contest.refuse_null_keys(&batch)?;
                    }
                    let batch = this.codes.encode(&batch).map_err(|e| this.failed(e))?;
                    gathered.push(batch).map_err(failed)?;
                }
                gathered.finish().map_err(failed)?;
                Ok((n, gathered))
            });
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            all.push(done.map_err(|e| self.failed(DataFusionError::ExecutionJoin(Box::new(e))))??);
        }
        // The order of tasks is chance; that of rows in a bucket is not.
        all.sort_by_key(|(n, _)| *n);
        let mut buckets = gather::buckets(all.into_iter().map(|(_, gathered)| gathered));
        let most = self.most_to_sort();
        if buckets
            .iter()
            .any(|bucket| bucket.is_spilled() || bucket.bytes_to_sort() > most)
        {
            // What is held would leave too little for sorting.
            let schema = self.codes.waiting();
            let disk = &self.context.runtime_env().disk_manager;
            gather::spill_all(&mut buckets, schema, disk).map_err(|e| self.failed(e))?;
        }
        Ok(buckets)
    }

    /// Sorts and writes the buckets, as many at a time as there are threads.
    async fn write(
        self: &Arc<Self>,
        target: &Target,
        tombstones: Option<&Target>,
        mut buckets: Vec<Bucket>,
    ) -> Result<Split> {
        let workers = self.threads().min(buckets.len());
        // The largest first: what is left at the end is small, and all threads end together.
        buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.rows()));
        let queue = Arc::new(Mutex::new(VecDeque::from(buckets)));
        let mut tasks: JoinSet<Result<Split>> = JoinSet::new();
        for _ in 0..workers {
            let deleted = self.rule.as_ref().and_then(|rule| rule.deleted.as_deref());
            let mut writer = SplitWriter::new(target, tombstones.zip(deleted))?;
            let (this, queue) = (Arc::clone(self), Arc::clone(&queue));
            tasks.spawn(async move {
                let mut superseded = 0;
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(bucket) = next else { break };
                    superseded += this.write_bucket(bucket, &mut writer).await?;
                }
                let (live, dead) = writer.finish().await?;
                Ok(Split {
                    live,
                    dead,
                    superseded,
                })
            });
        }
        let mut all = Split::default();
        while let Some(done) = tasks.join_next().await {
            let part =
                done.map_err(|e| self.failed(DataFusionError::ExecutionJoin(Box::new(e))))??;
            all.extend(part);
        }
        Ok(all)
    }

    /// Sorts and writes one bucket; how many of its rows lost to a newer one.
    async fn write_bucket(
        self: &Arc<Self>,
        bucket: Bucket,
        writer: &mut SplitWriter,
    ) -> Result<u64> {
        if let Some(memory) = self.room_for(&bucket) {
            return self.write_small(bucket, memory, writer).await;
        }
        let parts = self.cut(&bucket, self.most_to_sort());
        let Some(parts) = parts.map_err(|e| self.failed(e))? else {
            return self.write_large(bucket, writer).await;
        };
        let mut superseded = 0;
        for part in parts {
            superseded += match self.room_for(&part) {
                Some(memory) => self.write_small(part, memory, writer).await?,
                None => self.write_large(part, writer).await?,
            };
        }
        Ok(superseded)
    }

    /// The memory that it takes to sort a bucket, if there is so much.
    fn room_for(&self, bucket: &Bucket) -> Option<MemoryReservation> {
        let memory = MemoryConsumer::new(format!("sorting rows of {}", self.table))
            .with_can_spill(true)
            .register(&self.context.runtime_env().memory_pool);
        let bytes = bucket.bytes_to_sort();
        (bytes <= self.most_to_sort() && memory.try_grow(bytes).is_ok()).then_some(memory)
    }

    async fn write_small(
        self: &Arc<Self>,
        bucket: Bucket,
        _memory: MemoryReservation,
        writer: &mut SplitWriter,
    ) -> Result<u64> {
        let (chunks, places) = bucket.load().map_err(|e| self.failed(e))?;
        let sorted = self.sort(&chunks, &places)?;
        for batch in gather::picked(&chunks, &sorted.rows, BATCH_ROWS) {
            let batch = batch.map_err(|e| self.failed(e))?;
            let batch = self.codes.decode(&batch).map_err(|e| self.failed(e))?;
            self.write_batch(batch, writer).await?;
        }
        Ok(sorted.superseded)
    }

    /// Writes a bucket that the engine has to sort, because it needs more memory than there is.
    async fn write_large(
        self: &Arc<Self>,
        bucket: Bucket,
        writer: &mut SplitWriter,
    ) -> Result<u64> {
        let mut rule = match &self.rule {
            Some(rule) => Some(OnePerKey::new(&self.table, &self.schema, rule)?),
            None => None,
        };
        // A sort of the engine takes its whole share of the memory, and fails where nothing is left
        // to merge with. So there is one at a time, and one more to share with that takes nothing.
        let _turn = self.engine.lock().await;
        let _headroom = MemoryConsumer::new("merging sorted rows")
            .with_can_spill(true)
            .register(&self.context.runtime_env().memory_pool);
        let plan = self.engine_sort(bucket).map_err(|e| self.failed(e))?;
        let stream = plan.execute(0, Arc::clone(&self.context));
        let mut stream = stream.map_err(|e| self.failed(e))?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|e| self.failed(e))?;
            match &mut rule {
                None => self.write_batch(batch, writer).await?,
                Some(rule) => {
                    for batch in rule.push(batch)? {
                        self.write_batch(batch, writer).await?;
                    }
                }
            }
        }
        let Some(rule) = rule else { return Ok(0) };
        let (last, superseded) = rule.finish();
        if let Some(last) = last {
            self.write_batch(last, writer).await?;
        }
        Ok(superseded)
    }

    async fn write_batch(&self, batch: RecordBatch, writer: &mut SplitWriter) -> Result<()> {
        let batch = self.constants.put_back(batch).map_err(|e| self.failed(e))?;
        writer.write(&batch).await
    }

    fn engine_sort(
        self: &Arc<Self>,
        bucket: Bucket,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let columns = self.sort_by.iter().map(|index| {
            let column: Arc<dyn PhysicalExpr> =
                Arc::new(Column::new(self.schema.field(*index).name(), *index));
            PhysicalSortExpr::new(column, SortOptions::default())
        });
        let rows: Arc<dyn PartitionStream> = Arc::new(BucketStream {
            arrangement: Arc::clone(self),
            bucket: Mutex::new(Some(bucket)),
        });
        let schema = Arc::clone(&self.schema);
        let rows = Arc::new(StreamingTableExec::try_new(
            schema,
            vec![rows],
            None,
            [],
            false,
            None,
        )?);
        Ok(match LexOrdering::new(columns) {
            Some(order) => Arc::new(SortExec::new(order, rows)),
            None => rows,
        })
    }
}

/// A bucket that the engine reads, once.
struct BucketStream {
    arrangement: Arc<Arrangement>,
    bucket: Mutex<Option<Bucket>>,
}

impl fmt::Debug for BucketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketStream")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for BucketStream {
    fn schema(&self) -> &SchemaRef {
        &self.arrangement.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let bucket = self
            .bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let arrangement = Arc::clone(&self.arrangement);
        let batches = bucket
            .into_iter()
            .flat_map(|bucket| bucket.batches(BATCH_ROWS));
        let batches = batches.map(move |batch| Ok(arrangement.codes.decode(&batch?)?));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.arrangement.schema),
            futures::stream::iter(batches),
        ))
    }
}
