//! Files read ahead: their rows come one file after the other, while the next files are fetched.
//!
//! To read a data file, its end is asked for, and then its columns. On an object store each of these
//! is a round trip, and whoever reads many files one after the other pays for all of them.

use std::collections::VecDeque;
use std::future::Future;

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

/// How many bytes the files have together, at the most, that are fetched before it is their turn.
/// Of most files only some columns are.
const AHEAD_BYTES: u64 = 32 << 20;
/// How many files that are, at the most.
const AHEAD_FILES: usize = 8;
/// How many batches of each wait to be asked for.
const WAITING: usize = 1;

/// Something to read.
pub(crate) struct Source<T> {
    pub(crate) bytes: u64,
    pub(crate) what: T,
}

/// The rows of all `sources`, in order. `open` starts to read one.
pub(crate) fn in_order<T, F, R>(
    sources: impl IntoIterator<Item = Source<T>>,
    open: F,
) -> impl Stream<Item = Result<RecordBatch>> + Send
where
    T: Send + 'static,
    F: Fn(T) -> R + Send + 'static,
    R: Future<Output = Result<BoxStream<'static, Result<RecordBatch>>>> + Send + 'static,
{
    let reading = Reading {
        waiting: sources.into_iter().collect(),
        running: VecDeque::new(),
        open,
    };
    futures::stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(None) => None,
            Ok(Some(batch)) => Some((Ok(batch), Some(reading))),
            // Nothing is worth reading behind an error.
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Reading<T, F> {
    waiting: VecDeque<Source<T>>,
    /// The first one is what is being read.
    running: VecDeque<Running>,
    open: F,
}

struct Running {
    bytes: u64,
    rows: mpsc::Receiver<RecordBatch>,
    task: SpawnedTask<Result<()>>,
}

impl<T, F, R> Reading<T, F>
where
    F: Fn(T) -> R,
    R: Future<Output = Result<BoxStream<'static, Result<RecordBatch>>>> + Send + 'static,
{
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            self.start();
            let Some(first) = self.running.front_mut() else {
                return Ok(None);
            };
            if let Some(batch) = first.rows.recv().await {
                return Ok(Some(batch));
            }
            if let Some(done) = self.running.pop_front() {
                let done = done.task.join_unwind().await;
                done.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??;
            }
        }
    }

    /// Starts what can be read by now.
    fn start(&mut self) {
        while let Some(next) = self.waiting.front() {
            let ahead = self.running.iter().skip(1).map(|running| running.bytes);
            let is_turn = self.running.is_empty();
            let has_room = self.running.len() <= AHEAD_FILES
                && ahead.sum::<u64>().saturating_add(next.bytes) <= AHEAD_BYTES;
            if !is_turn && !has_room {
                return;
            }
            let Some(Source { bytes, what }) = self.waiting.pop_front() else {
                return;
            };
            let (sender, rows) = mpsc::channel(WAITING);
            let opened = (self.open)(what);
            let task = SpawnedTask::spawn(async move {
                let mut batches = opened.await?;
                while let Some(batch) = batches.next().await {
                    if sender.send(batch?).await.is_err() {
                        break;
                    }
                }
                Ok(())
            });
            self.running.push_back(Running { bytes, rows, task });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use futures::TryStreamExt;

    use super::*;

    fn batch(value: i32) -> RecordBatch {
        let field = Field::new("n", DataType::Int32, false);
        let column = Arc::new(Int32Array::from(vec![value]));
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
    }

    fn values(batches: &[RecordBatch]) -> Vec<i32> {
        let columns = batches.iter().map(|batch| batch.column(0));
        columns
            .map(|column| column.as_primitive::<Int32Type>().value(0))
            .collect()
    }

    fn sources(bytes: &[u64]) -> Vec<Source<i32>> {
        let all = (0..).zip(bytes);
        all.map(|(what, bytes)| Source {
            bytes: *bytes,
            what,
        })
        .collect()
    }

    type Rows = BoxStream<'static, Result<RecordBatch>>;

    #[tokio::test]
    async fn rows_come_in_the_order_of_their_files_whichever_is_faster() {
        let open = |n: i32| async move {
            let patience = Duration::from_millis(if n % 2 == 0 { 20 } else { 0 });
            tokio::time::sleep(patience).await;
            let rows = futures::stream::iter([Ok(batch(2 * n)), Ok(batch(2 * n + 1))]);
            Ok::<Rows, _>(rows.boxed())
        };
        let rows = in_order(sources(&[1; 30]), open);
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        assert_eq!(values(&rows), (0..60).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_next_files_are_opened_before_their_turn_and_large_ones_are_not() {
        for (bytes, expected) in [
            (vec![1; 30], AHEAD_FILES + 1),
            (vec![AHEAD_BYTES / 2; 30], 3),
            (vec![AHEAD_BYTES + 1; 30], 1),
        ] {
            let opened = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&opened);
            let open = move |n| {
                count.fetch_add(1, Ordering::SeqCst);
                async move {
                    let endless = futures::stream::iter((0..).map(move |_| Ok(batch(n))));
                    Ok::<Rows, _>(endless.boxed())
                }
            };
            let mut rows = Box::pin(in_order(sources(&bytes), open));
            rows.next().await.unwrap().unwrap();
            assert_eq!(opened.load(Ordering::SeqCst), expected);
        }
    }

    #[tokio::test]
    async fn an_error_comes_after_the_rows_before_it_and_ends_everything() {
        let open = |n| async move {
            if n == 1 {
                return Err(DataFusionError::Execution("gone".to_owned()));
            }
            let rows: Rows = futures::stream::iter([Ok(batch(n))]).boxed();
            Ok(rows)
        };
        let mut rows = Box::pin(in_order(sources(&[1, 1, 1]), open));
        assert_eq!(values(&[rows.next().await.unwrap().unwrap()]), [0]);
        let error = rows.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
        assert!(rows.next().await.is_none());
    }

    #[tokio::test]
    async fn a_panic_while_reading_is_not_taken_for_the_end() {
        let open = |_| async {
            let rows: Rows = futures::stream::poll_fn(|_| panic!("broken")).boxed();
            Ok(rows)
        };
        let rows = in_order(sources(&[1]), open).try_collect::<Vec<_>>();
        let joined = tokio::spawn(rows).await;
        assert!(joined.unwrap_err().is_panic());
    }
}
