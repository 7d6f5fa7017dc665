//! Rows to data files, uncommitted.
//!
//! Every attempt writes into a directory of its own below the table, so that
//! what a dead attempt left behind can be told from live data by its path.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, not, partition, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use delta_kernel::table_properties::DataSkippingNumIndexedCols;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Add;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use tokio::task::JoinSet;

use crate::newest::KeyRule;
use crate::stats::{Extents, STATISTICS_COLUMNS, has_nan, impossible_date};
use crate::{Error, Result, Root, TableSpec, arrange, encoding};

/// The first letters of an attempt's directory below its table.
pub(crate) const ATTEMPT_PREFIX: &str = "run-";

/// Files of about this size are what other engines like to read.
pub(crate) const TARGET_FILE_SIZE: NonZeroU64 = NonZeroU64::new(128 * 1024 * 1024).unwrap();
/// How many rows the writer encodes before it looks how large the file is.
const BATCH_ROWS: usize = 8192;
/// Files that are complete go on their way while the next one is written, as long as their rows
/// had no more bytes than this together. To wait for each of them would cost every file a round trip.
const CLOSING_BYTES: usize = encoding::ROW_GROUP_BYTES;

/// What was written into one table.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) files: Vec<Add>,
    pub(crate) rows: u64,
}

impl Written {
    fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.rows += other.rows;
    }
}

/// What became of the rows of a plan.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// The table's rows.
    pub(crate) live: Written,
    /// The rows that delete their key.
    pub(crate) dead: Written,
    /// Rows that lost to a newer row of the same key in the same input.
    pub(crate) superseded: u64,
}

impl Split {
    pub(crate) fn extend(&mut self, other: Self) {
        self.live.extend(other.live);
        self.dead.extend(other.dead);
        self.superseded += other.superseded;
    }
}

/// Writes what `plan` yields. With a key, or where the table has partitions, rows are brought into
/// order first, and where the key has a rule, of the rows of a key one stays ([`arrange`]); otherwise
/// every stream is written as it comes, in a task of its own. Rows that the rule says are deleted go
/// to `tombstones`.
pub(crate) async fn write_plan(
    target: &Target,
    tombstones: Option<&Target>,
    plan: Arc<dyn ExecutionPlan>,
    key: Option<&KeyRule>,
    context: &Arc<TaskContext>,
) -> Result<Split> {
    let spec = &target.spec;
    let ordered = key.is_some() || !spec.partition_by.is_empty() || !spec.key.is_empty();
    let mut all = if ordered {
        arrange::write(target, tombstones, plan, key, context).await?
    } else {
        write_streams(target, plan, context).await?
    };
    // The order of tasks is chance; the order of files in a commit is not.
    for written in [&mut all.live, &mut all.dead] {
        written.files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(all)
}

async fn write_streams(
    target: &Target,
    plan: Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<Split> {
    let failed = |e| Error::query(&target.spec.name, e);
    let mut tasks: JoinSet<Result<Written>> = JoinSet::new();
    for n in 0..plan.output_partitioning().partition_count() {
        let mut stream = plan.execute(n, Arc::clone(context)).map_err(failed)?;
        let mut writer = FileWriter::new(target)?;
        let table = target.spec.name.clone();
        tasks.spawn(async move {
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|e| Error::query(&table, e))?;
                writer.write(&batch).await?;
            }
            writer.finish().await
        });
    }
    let mut all = Split::default();
    while let Some(done) = tasks.join_next().await {
        let written = done.map_err(|e| failed(DataFusionError::ExecutionJoin(Box::new(e))))??;
        all.live.extend(written);
    }
    Ok(all)
}

/// Where the files of one attempt at one table go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) spec: TableSpec,
    store: Arc<dyn ObjectStore>,
    directory: String,
    config: WriterConfig,
}

impl Target {
    pub(crate) fn new(spec: &TableSpec, place: &Root, attempt: &str) -> Result<Self> {
        let directory = format!("{ATTEMPT_PREFIX}{attempt}");
        Ok(Self {
            store: Arc::new(PrefixStore::new(place.store(), directory.clone())),
            directory,
            config: WriterConfig::new(
                Arc::clone(&spec.schema),
                spec.partition_by.clone(),
                None,
                Some(TARGET_FILE_SIZE),
                Some(BATCH_ROWS),
                DataSkippingNumIndexedCols::NumColumns(STATISTICS_COLUMNS as u64),
                None,
            ),
            spec: spec.clone(),
        })
    }
}

/// Writes every row into the table that it belongs to.
pub(crate) struct SplitWriter {
    live: FileWriter,
    /// The column that says which rows are deleted, and where those go.
    dead: Option<(String, FileWriter)>,
}

impl SplitWriter {
    pub(crate) fn new(target: &Target, tombstones: Option<(&Target, &str)>) -> Result<Self> {
        let dead = tombstones.map(|(target, column)| -> Result<_> {
            Ok((column.to_owned(), FileWriter::new(target)?))
        });
        Ok(Self {
            live: FileWriter::new(target)?,
            dead: dead.transpose()?,
        })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some((column, dead)) = &mut self.dead else {
            return self.live.write(batch).await;
        };
        let table = &self.live.target.spec.name;
        let flags = batch
            .column_by_name(column)
            .and_then(|flags| flags.as_boolean_opt())
            .ok_or_else(|| Error::Rows {
                table: table.clone(),
                reason: format!(
                    "its rows have no boolean column {column}, which says what is deleted"
                ),
            })?;
        // Of a condition that is NULL nobody can say that it holds.
        let deleted = if flags.null_count() > 0 {
            prep_null_mask_filter(flags)
        } else {
            flags.clone()
        };
        if deleted.true_count() == 0 {
            return self.live.write(batch).await;
        }
        let failed = |e| Error::query(table, e);
        let gone = filter_record_batch(batch, &deleted).map_err(failed)?;
        let stays = not(&deleted).and_then(|stays| filter_record_batch(batch, &stays));
        let stays = stays.map_err(failed)?;
        dead.write(&gone).await?;
        self.live.write(&stays).await
    }

    pub(crate) async fn finish(self) -> Result<(Written, Written)> {
        let dead = match self.dead {
            Some((_, dead)) => dead.finish().await?,
            None => Written::default(),
        };
        Ok((self.live.finish().await?, dead))
    }
}

/// The writer of one partition, or of a table that has none.
struct Open {
    partition: Option<OwnedRow>,
    writer: DeltaWriter,
    may_have_nan: bool,
    extents: Extents,
    bytes: usize,
}

impl Open {
    /// Ends the file, and gives what a commit needs of it.
    async fn close(self, target: Target) -> Result<Vec<Add>> {
        let closed = self.writer.close().await;
        // Files come back in the order of their rows.
        let mut adds = closed.map_err(|e| Error::delta(&target.spec.name, e))?;
        let rows: Vec<Option<u64>> = adds.iter().map(crate::stats::rows).collect();
        for (add, extents) in adds.iter_mut().zip(self.extents.of_files(&rows)) {
            add.path = format!("{}/{}", target.directory, add.path);
            crate::stats::correct(add, &target.spec.schema, &extents);
        }
        Ok(adds)
    }
}

/// A file that is on its way to the store.
struct Closing {
    bytes: usize,
    files: SpawnedTask<Result<Vec<Add>>>,
}

/// Writes batches whose rows are grouped by partition: one open file at a time.
pub(crate) struct FileWriter {
    target: Target,
    /// Tells partitions apart; absent where the table has none.
    partitions: Option<RowConverter>,
    open: Option<Open>,
    closing: VecDeque<Closing>,
    files: Vec<Add>,
    rows: u64,
}

impl FileWriter {
    pub(crate) fn new(target: &Target) -> Result<Self> {
        let spec = &target.spec;
        let fields: Vec<SortField> = spec
            .partition_by
            .iter()
            .filter_map(|column| spec.schema.field_with_name(column).ok())
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let partitions = if fields.is_empty() {
            None
        } else {
            Some(RowConverter::new(fields).map_err(|e| Error::query(&spec.name, e))?)
        };
        Ok(Self {
            target: target.clone(),
            partitions,
            open: None,
            closing: VecDeque::new(),
            files: Vec::new(),
            rows: 0,
        })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        let name = self.target.spec.name.clone();
        let failed = |e| Error::query(&name, e);
        let batch = conform(batch, &self.target.spec.schema).map_err(failed)?;
        let Some(converter) = &self.partitions else {
            return self.write_part(None, &batch).await;
        };
        let columns: Vec<ArrayRef> = self
            .target
            .spec
            .partition_by
            .iter()
            .filter_map(|column| batch.column_by_name(column).map(Arc::clone))
            .collect();
        self.refuse_empty_text(&columns)?;
        let values = converter.convert_columns(&columns).map_err(failed)?;
        let ranges = partition(&columns).map_err(failed)?.ranges();
        for range in ranges {
            let value = values.row(range.start).owned();
            let part = batch.slice(range.start, range.len());
            self.write_part(Some(value), &part).await?;
        }
        Ok(())
    }

    /// The Delta protocol writes NULL as an empty partition value, so an empty text would come
    /// back as NULL.
    fn refuse_empty_text(&self, columns: &[ArrayRef]) -> Result<()> {
        let spec = &self.target.spec;
        for (column, name) in columns.iter().zip(&spec.partition_by) {
            let texts = column.as_string_opt::<i32>();
            if texts.is_some_and(|texts| texts.iter().flatten().any(str::is_empty)) {
                return Err(Error::Rows {
                    table: spec.name.clone(),
                    reason: format!(
                        "{name}, by which it is partitioned, has empty texts, which a Delta table \
                         cannot tell from NULL there; write nullif({name}, '') in the SQL, or \
                         partition by another column"
                    ),
                });
            }
        }
        Ok(())
    }

    async fn write_part(&mut self, partition: Option<OwnedRow>, part: &RecordBatch) -> Result<()> {
        let may_have_nan = part.columns().iter().any(has_nan);
        // What is known of the numbers in a file does not hold for NaN; they have files of their own.
        let is_other =
            |open: &Open| open.partition != partition || (may_have_nan && !open.may_have_nan);
        if self.open.as_ref().is_some_and(is_other) {
            self.close().await?;
        }
        self.refuse_impossible_dates(part)?;
        let open = self.open.get_or_insert_with(|| {
            let store = Arc::clone(&self.target.store);
            let writer = DeltaWriter::new(store, self.target.config.clone());
            let properties = encoding::properties(part, may_have_nan);
            Open {
                partition,
                writer: writer.with_writer_properties(properties),
                may_have_nan,
                extents: Extents::new(&self.target.spec.schema, BATCH_ROWS),
                bytes: 0,
            }
        });
        open.extents.add(part);
        open.bytes += bytes_of(part);
        let written = open.writer.write(part).await;
        written.map_err(|e| Error::delta(&self.target.spec.name, e))
    }

    fn refuse_impossible_dates(&self, part: &RecordBatch) -> Result<()> {
        let spec = &self.target.spec;
        for (field, column) in spec.schema.fields().iter().zip(part.columns()) {
            if let Some(day) = impossible_date(column) {
                return Err(Error::Rows {
                    table: spec.name.clone(),
                    reason: format!(
                        "{} has a date that is {day} days from 1970, in a year beyond what tables \
                         can have; look at how the SQL computes it",
                        field.name()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Sends the open file on its way, and waits where too much is on its way already.
    async fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.closing.push_back(Closing {
            bytes: open.bytes,
            files: SpawnedTask::spawn(open.close(self.target.clone())),
        });
        while self.closing.iter().map(|file| file.bytes).sum::<usize>() > CLOSING_BYTES {
            self.arrived().await?;
        }
        Ok(())
    }

    /// Waits for the file that was closed first.
    async fn arrived(&mut self) -> Result<()> {
        if let Some(closing) = self.closing.pop_front() {
            let files = closing.files.join_unwind().await;
            let failed = |e| {
                Error::query(
                    &self.target.spec.name,
                    DataFusionError::ExecutionJoin(Box::new(e)),
                )
            };
            self.files.extend(files.map_err(failed)??);
        }
        Ok(())
    }

    /// The files, and how many rows they have together.
    pub(crate) async fn finish(mut self) -> Result<Written> {
        self.close().await?;
        while !self.closing.is_empty() {
            self.arrived().await?;
        }
        Ok(Written {
            files: self.files,
            rows: self.rows,
        })
    }
}

/// How many bytes the rows have, without those that their buffers share with other rows.
fn bytes_of(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter();
    columns
        // One whose offsets make no sense is refused when it is written.
        .filter_map(|column| column.to_data().get_slice_memory_size().ok())
        .sum()
}

/// The batch with exactly the table's columns: the engine works on string
/// views and dictionaries, tables have plain types.
fn conform(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let index = batch.schema_ref().index_of(field.name())?;
            let column = batch.column(index);
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}
