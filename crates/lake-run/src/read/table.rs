//! The accepted rows of an input as a table that a query can scan.

use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::file::Outlet;
use super::gather::Gather;
use super::pass::Pass;
use super::{InputReader, lock};

/// How many batches of accepted rows may wait for the query, per stream.
const WAITING_ROWS: usize = 2;

/// The accepted rows of an input. Every scan reads the files anew.
#[derive(Debug)]
pub(crate) struct InputTable {
    reader: Arc<InputReader>,
    streams: usize,
}

impl InputTable {
    /// A table that is read in at most `threads` streams: fewer, where there is not enough to
    /// read for them.
    pub(crate) fn new(reader: Arc<InputReader>, threads: usize) -> Self {
        let files = &reader.reading.files;
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let blocks = bytes / reader.reading.options.chunk_bytes.max(1) as u64;
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        let streams = threads.min(files.len().max(blocks)).max(1);
        Self { reader, streams }
    }
}

#[async_trait]
impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.reader.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let passes = Arc::new(Passes {
            reader: Arc::clone(&self.reader),
            begun: Mutex::default(),
        });
        let parts = (0..self.streams).map(|_| {
            Arc::new(Part {
                passes: Arc::clone(&passes),
                executed: Mutex::default(),
            }) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&self.reader.schema),
            parts.collect(),
            projection,
            None,
            false,
            limit,
        )?))
    }
}

/// What the streams of one scan read. A plan may execute its streams several times: the first
/// time of each is one pass over the files, the second time another.
#[derive(Debug)]
struct Passes {
    reader: Arc<InputReader>,
    begun: Mutex<Vec<Arc<Pass>>>,
}

/// One of the streams of a scan. Which rows it yields is chance: whatever it gets to read.
#[derive(Debug)]
struct Part {
    passes: Arc<Passes>,
    executed: Mutex<usize>,
}

impl Part {
    /// The pass that this execution is part of.
    fn pass(&self) -> Arc<Pass> {
        let mut executed = lock(&self.executed);
        let mut begun = lock(&self.passes.begun);
        let pass = match begun.get(*executed) {
            Some(pass) => Arc::clone(pass),
            None => {
                let pass = Arc::new(Pass::new(Arc::clone(&self.passes.reader)));
                begun.push(Arc::clone(&pass));
                pass
            }
        };
        *executed += 1;
        pass
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.passes.reader.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let pass = self.pass();
        let schema = Arc::clone(&self.passes.reader.schema);
        let mut stream = RecordBatchReceiverStreamBuilder::new(schema, WAITING_ROWS);
        let rows = stream.tx();
        let gathered = Arc::clone(&self.passes.reader.schema);
        let rejections = pass.is_kept.then(|| lock(&pass.input.rejections).clone());
        stream.spawn_blocking(move || {
            let mut gather = Gather::new(gathered, |batch: Result<_, ArrowError>| {
                rows.blocking_send(batch.map_err(Into::into)).is_ok()
            });
            let done = pass.read(&mut Outlet {
                accepted: &mut |batch| gather.push(batch),
                rejections: rejections.flatten(),
            });
            done.map_err(|error| {
                let message = error.to_string();
                lock(&pass.input.yielded).error.get_or_insert(error);
                DataFusionError::Execution(message)
            })?;
            gather.flush();
            Ok(())
        });
        stream.build()
    }
}
