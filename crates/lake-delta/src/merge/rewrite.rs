//! Files without the rows that go, and the change that names them.

use std::sync::Arc;

use arrow::compute::filter_record_batch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};

use super::decide::Decided;
use super::{Side, numbered};
use crate::drops::Drops;
use crate::prepare::Attempt;
use crate::prepared::{Changed, Counts, Gone, Operation, Prepared};
use crate::scan::{DataFile, data_files};
use crate::write::FileWriter;
use crate::{Error, Result, stats};

impl Side {
    /// Writes again what stays of the files that lose rows.
    pub(super) async fn rewrite(
        self,
        attempt: &Attempt,
        decided: Decided,
        counts: Counts,
    ) -> Result<Prepared> {
        let new_gone = Arc::new(decided.new_gone);
        let old_gone = Arc::new(decided.old_gone);
        let mut adds = self.trim(attempt, &self.new, &new_gone).await?;
        let untouched = numbered(&self.new, 0).filter(|(index, _)| !new_gone.touches(*index));
        adds.extend(untouched.map(|(_, add)| add));
        let copies = self.trim(attempt, &self.old, &old_gone).await?;

        let unneeded = self.trimmed(&new_gone);
        let place = attempt.root.child(&self.spec.name);
        let operation = Operation::Merge;
        let mut prepared =
            Prepared::new(&self.spec, place, &attempt.pipeline, self.base, operation)?;
        prepared.counts = counts;
        prepared.copied = copies.iter().filter_map(stats::rows).sum();
        let removed = numbered(&self.old, 0).filter(|(index, _)| old_gone.touches(*index));
        prepared.removes = removed.map(|(_, add)| add).collect();
        prepared.removes.extend(self.lost);
        prepared.changed = Changed {
            new: data_files(adds.iter().cloned()),
            old: self.old,
            gone: Gone::Rows(old_gone),
        };
        prepared.adds = adds;
        prepared.adds.extend(copies);
        prepared.unneeded = unneeded;
        Ok(prepared)
    }

    /// The touched files without the rows that go; a file that loses all has no successor.
    async fn trim(
        &self,
        attempt: &Attempt,
        files: &[DataFile],
        gone: &Arc<Drops>,
    ) -> Result<Vec<Add>> {
        let fields = self.spec.schema.fields().iter();
        let columns: Vec<String> = fields.map(|field| field.name().clone()).collect();
        let streams = attempt.session.copied_config().target_partitions();
        // A file whose statistics do not say how many rows it has is read; a
        // writer that gets no rows writes no file.
        let touched = gone.touched().filter_map(|(index, count)| {
            let file = files.get(index)?;
            (file.rows != Some(count)).then(|| (index, file.add.clone()))
        });
        let touched: Vec<(usize, Add)> = touched.collect();
        let tasks = touched.into_iter().map(|(index, add)| {
            let source = self.files(attempt, &self.spec);
            let columns = columns.clone();
            let gone = Arc::clone(gone);
            let writer = FileWriter::new(&self.target);
            let table = self.spec.name.clone();
            async move {
                let mut writer = writer?;
                let failed = |e: DataFusionError| Error::query(&table, e);
                let mut rows = source.read(&add, &columns).await.map_err(failed)?;
                let mut start = 0;
                while let Some(batch) = rows.next().await {
                    let batch = batch.map_err(failed)?;
                    let kept = gone.kept(index, start, batch.num_rows());
                    start += batch.num_rows();
                    let batch = filter_record_batch(&batch, &kept).map_err(|e| failed(e.into()))?;
                    writer.write(&batch).await?;
                }
                Ok::<_, Error>(writer.finish().await?.files)
            }
        });
        let written: Vec<Vec<Add>> = futures::stream::iter(tasks)
            .map(|task| async move {
                // Aborted when dropped: a failed run leaves nothing writing behind it.
                let joined = SpawnedTask::spawn(task).join().await;
                joined.map_err(|e| {
                    Error::query(&self.spec.name, DataFusionError::ExecutionJoin(Box::new(e)))
                })?
            })
            .buffered(streams)
            .try_collect()
            .await?;
        Ok(written.into_iter().flatten().collect())
    }

    /// New files that others have taken the place of.
    fn trimmed(&self, gone: &Drops) -> Vec<String> {
        let touched = gone.touched();
        touched
            .filter_map(|(index, _)| self.new.get(index))
            .map(|file| file.add.path.clone())
            .collect()
    }
}
