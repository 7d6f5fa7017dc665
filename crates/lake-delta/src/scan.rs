//! Reading single data files, rows in the order in which they are stored.
//!
//! MERGE names rows by file and position, which a table scan of the library
//! does not tell. Partition columns are not in the files; they are filled in.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use deltalake::kernel::Add;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::ahead::{self, Source};
use crate::drops::Drops;

/// The column that says where a row is: the file's index in the upper half,
/// the row's index in that file in the lower.
pub(crate) const POSITION: &str = "__position";

/// A data file. Where files are in a list, a row's position names them by
/// their place in it.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) add: Add,
    /// How many rows it has; `None` where its statistics do not say.
    pub(crate) rows: Option<usize>,
}

/// Data files as a list.
pub(crate) fn data_files(adds: impl IntoIterator<Item = Add>) -> Vec<DataFile> {
    let adds = adds.into_iter();
    adds.map(|add| DataFile {
        rows: crate::stats::rows(&add).map(|rows| rows as usize),
        add,
    })
    .collect()
}

/// The position of the first row of the file at `index`.
pub(crate) fn first_position(index: usize) -> i64 {
    (index as i64) << 32
}

pub(crate) fn split_position(position: i64) -> (usize, usize) {
    ((position >> 32) as usize, (position & 0xffff_ffff) as usize)
}

/// The data files of one table, with what is needed to read them.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) schema: SchemaRef,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// The rows of one file, `columns` only, in stored order.
    pub(crate) async fn read(
        &self,
        add: &Add,
        columns: &[String],
    ) -> Result<BoxStream<'static, Result<RecordBatch, DataFusionError>>, DataFusionError> {
        let reader = StoreReader {
            store: Arc::clone(&self.store),
            path: Path::parse(&add.path).map_err(object_store::Error::from)?,
            size: u64::try_from(add.size).unwrap_or(0),
        };
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
        let roots = builder.parquet_schema().root_schema().get_fields().iter();
        let wanted = roots
            .enumerate()
            .filter(|(_, field)| columns.iter().any(|name| name == field.name()))
            .map(|(index, _)| index);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let schema = Arc::new(project(&self.schema, columns)?);
        let partition_values = add.partition_values.clone();
        let stream = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()?;
        Ok(stream
            .map_err(DataFusionError::from)
            .map(move |batch| complete(&batch?, &schema, &partition_values))
            .boxed())
    }

    /// A table of `columns` and [`POSITION`] over the selected rows of a list
    /// of files, in `streams` parallel streams.
    pub(crate) fn positions(
        &self,
        files: impl IntoIterator<Item = (usize, Add)>,
        columns: &[String],
        selection: Selection,
        streams: usize,
    ) -> Result<StreamingTable, DataFusionError> {
        let mut fields: Vec<Arc<Field>> = project(&self.schema, columns)?.fields().to_vec();
        fields.push(Arc::new(Field::new(POSITION, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let files: Vec<(usize, Add)> = files.into_iter().collect();
        let mut parts: Vec<Vec<(usize, Add)>> =
            vec![Vec::new(); streams.clamp(1, files.len().max(1))];
        let count = parts.len();
        for (n, file) in files.into_iter().enumerate() {
            if let Some(part) = parts.get_mut(n % count) {
                part.push(file);
            }
        }
        let parts = parts
            .into_iter()
            .map(|files| {
                Arc::new(PositionStream {
                    source: self.clone(),
                    schema: Arc::clone(&schema),
                    columns: columns.to_vec(),
                    files,
                    selection: selection.clone(),
                }) as Arc<dyn PartitionStream>
            })
            .collect();
        StreamingTable::try_new(schema, parts)
    }
}

/// Which rows of the files are wanted.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    /// Every row.
    All,
    /// The rows that were dropped.
    Dropped(Arc<Drops>),
}

const BATCH_ROWS: usize = 8192;

struct PositionStream {
    source: Files,
    schema: SchemaRef,
    columns: Vec<String>,
    files: Vec<(usize, Add)>,
    selection: Selection,
}

impl fmt::Debug for PositionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PositionStream")
            .field("columns", &self.columns)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl PartitionStream for PositionStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let source = self.source.clone();
        let schema = Arc::clone(&self.schema);
        let columns = self.columns.clone();
        let selection = self.selection.clone();
        let files = self.files.iter().map(|(index, add)| Source {
            bytes: u64::try_from(add.size).unwrap_or(0),
            what: (*index, add.clone()),
        });
        let stream = ahead::in_order(files.collect::<Vec<_>>(), move |(index, add)| {
            let source = source.clone();
            let schema = Arc::clone(&schema);
            let columns = columns.clone();
            let selection = selection.clone();
            async move {
                let batches = source.read(&add, &columns).await?;
                let mut next = 0_i64;
                let placed = batches.map(move |batch| {
                    let batch = batch?;
                    let rows = batch.num_rows() as i64;
                    let first = first_position(index) + next;
                    let start = next as usize;
                    next += rows;
                    let mut arrays = batch.columns().to_vec();
                    arrays.push(Arc::new(Int64Array::from_iter_values(first..first + rows)));
                    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
                    match &selection {
                        Selection::All => Ok(batch),
                        Selection::Dropped(drops) => {
                            let kept = drops.kept(index, start, batch.num_rows());
                            let mask = BooleanArray::new(!kept.values(), None);
                            Ok(filter_record_batch(&batch, &mask)?)
                        }
                    }
                });
                Ok(placed.boxed())
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        ))
    }
}

fn project(schema: &Schema, columns: &[String]) -> Result<Schema, DataFusionError> {
    let fields = columns
        .iter()
        .map(|name| schema.field_with_name(name).cloned())
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Schema::new(fields))
}

/// Adds what a data file does not hold: partition values, and NULLs for
/// columns that are younger than the file.
fn complete(
    batch: &RecordBatch,
    schema: &SchemaRef,
    partition_values: &std::collections::HashMap<String, Option<String>>,
) -> Result<RecordBatch, DataFusionError> {
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> Result<ArrayRef, DataFusionError> {
            if let Some(stored) = batch.column_by_name(field.name()) {
                if stored.data_type() == field.data_type() {
                    return Ok(Arc::clone(stored));
                }
                return Ok(cast(stored, field.data_type())?);
            }
            match partition_values.get(field.name()) {
                // The protocol says that an empty partition value is NULL.
                Some(Some(text)) if !text.is_empty() => {
                    let one = cast(&StringArray::from(vec![text.as_str()]), field.data_type())?;
                    let repeated = arrow::array::UInt32Array::from(vec![0; rows]);
                    Ok(arrow::compute::take(&one, &repeated, None)?)
                }
                _ => Ok(new_null_array(field.data_type(), rows)),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// Ranged reads of one Parquet object.
struct StoreReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for StoreReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let read = self.store.get_range(&self.path, range).await;
            read.map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let read = self.store.get_ranges(&self.path, &ranges).await;
            read.map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .load_and_finish(self, size)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}
