//! Sorted rows through a partition function: batches in, batches out.
//!
//! The library is called where the engine polls, as scalar functions are and as operators do their
//! own work: a call has one batch to work on, there are as many partitions as threads, and handing
//! every batch to another thread and back would cost more than most calls. Before each batch the
//! stream asks whether it is time to let others run.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{interleave, partition, take};
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use lake_plugin::{Emitted, PartitionStream};

use super::{PartitionFunction, node};

/// One stream of the library, and the rows on their way into it and out of it.
pub(super) struct Flow {
    function: Arc<PartitionFunction>,
    arguments: Vec<ArrayRef>,
    /// The places of the key's columns.
    key: Vec<usize>,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    /// Opened with the first row: of a partition without rows, the function hears nothing.
    stream: Option<PartitionStream>,
    /// How many keys have begun.
    begun: i64,
    /// The key of the last row: arrays of one value.
    last: Option<Vec<ArrayRef>>,
    /// What was emitted and has not been passed on.
    emitted: Option<RecordBatch>,
    /// What `emitted` holds, counted against the limit of the run.
    memory: MemoryReservation,
    most_rows: usize,
    ended: bool,
}

/// The keys that begin in a batch.
struct Begun<'a> {
    /// The key's columns of the batch.
    columns: &'a [ArrayRef],
    /// The rows at which they begin.
    starts: &'a [u64],
    /// The ordinal of the first of them in the stream.
    first: i64,
}

/// What a flow yields. Batches have no more rows than the engine's own.
pub(super) fn stream(flow: Flow) -> SendableRecordBatchStream {
    let schema = Arc::clone(&flow.schema);
    let batches = stream::try_unfold(flow, |mut flow| async move {
        let batch = flow.next().await?;
        Ok(batch.map(|batch| (batch, flow)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

impl Flow {
    pub(super) fn new(
        function: Arc<PartitionFunction>,
        arguments: Vec<ArrayRef>,
        schema: SchemaRef,
        input: SendableRecordBatchStream,
        context: &TaskContext,
    ) -> Self {
        let consumer = MemoryConsumer::new(format!("function {}", function.declaration.name));
        Self {
            key: node::key(&function).collect(),
            function,
            arguments,
            schema,
            input: make_cooperative(input),
            stream: None,
            begun: 0,
            last: None,
            emitted: None,
            memory: consumer.register(context.memory_pool()),
            most_rows: context.session_config().batch_size().max(1),
            ended: false,
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.pass_on() {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            match self.input.next().await {
                Some(batch) => self.push(&batch?)?,
                None => {
                    self.ended = true;
                    self.finish()?;
                }
            }
        }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let Some(end) = rows.checked_sub(1) else {
            return Ok(());
        };
        let of_key = |place: &usize| Arc::clone(batch.column(*place));
        let keys: Vec<ArrayRef> = self.key.iter().map(of_key).collect();
        let starts = self.starts(&keys)?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open()?,
        };
        let function = &self.function;
        let pushed = function.calls.time(function.figure(), rows, |host| {
            stream.push(host, batch.columns(), &starts)
        });
        let emitted = pushed.map_err(external)?;
        self.stream = Some(stream);
        let begun = Begun {
            columns: &keys,
            starts: &starts,
            first: self.begun,
        };
        self.begun = self.begun.saturating_add_unsigned(starts.len() as u64);
        self.take(emitted, Some(&begun))?;
        let end = UInt32Array::from_value(u32::try_from(end).map_err(external)?, 1);
        let last = keys.iter().map(|column| take(column, &end, None));
        self.last = Some(last.collect::<std::result::Result<_, _>>()?);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(stream) = self.stream.take() else {
            return Ok(());
        };
        let function = &self.function;
        let finished = function
            .calls
            .time(function.figure(), 0, |host| stream.finish(host));
        self.take(finished.map_err(external)?, None)
    }

    fn open(&self) -> Result<PartitionStream> {
        let PartitionFunction {
            plugin,
            calls,
            place,
            ..
        } = &*self.function;
        plugin
            .partition(calls.as_ref(), *place, &self.arguments)
            .map_err(external)
    }

    /// The rows at which another key begins than that of the row before. NULL is the same as NULL.
    fn starts(&self, keys: &[ArrayRef]) -> Result<Vec<u64>> {
        let ranges = partition(keys)?.ranges();
        let mut starts: Vec<u64> = ranges.iter().map(|range| range.start as u64).collect();
        if let Some(last) = &self.last {
            let mut differs = false;
            for (last, column) in last.iter().zip(keys) {
                differs |= distinct(last, &column.slice(0, 1))?.value(0);
            }
            if !differs {
                starts.remove(0);
            }
        }
        Ok(starts)
    }

    /// Puts the key of each row in front of it.
    fn take(&mut self, emitted: Emitted, begun: Option<&Begun<'_>>) -> Result<()> {
        if emitted.keys.is_empty() {
            return Ok(());
        }
        let first = begun.map_or(self.begun, |begun| begun.first);
        // The last key of the rows before comes first, where there is one.
        let before = usize::from(self.last.is_some());
        let places = emitted.keys.values().iter().map(|key| {
            let row = usize::try_from(key - first).ok();
            let start = row.and_then(|row| begun?.starts.get(row));
            start.map_or((0, 0), |start| (before, *start as usize))
        });
        let places: Vec<(usize, usize)> = places.collect();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for column in 0..self.key.len() {
            let before = self.last.iter().map(|last| last[column].as_ref());
            let here = begun.map(|begun| begun.columns[column].as_ref());
            let sources: Vec<&dyn Array> = before.chain(here).collect();
            columns.push(interleave(&sources, &places)?);
        }
        columns.extend(emitted.columns);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.memory.try_resize(batch.get_array_memory_size())?;
        self.emitted = Some(batch);
        Ok(())
    }

    /// The next rows of what was emitted.
    fn pass_on(&mut self) -> Option<RecordBatch> {
        let batch = self.emitted.take()?;
        if batch.num_rows() <= self.most_rows {
            self.memory.free();
            return Some(batch);
        }
        let rest = batch.num_rows() - self.most_rows;
        self.emitted = Some(batch.slice(self.most_rows, rest));
        Some(batch.slice(0, self.most_rows))
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
