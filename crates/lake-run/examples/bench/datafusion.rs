//! DataFusion's own CSV scan, with the types declared.

use std::error::Error;
use std::path::{Path, PathBuf};

use datafusion::config::TableParquetOptions;
use datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream_partitioned};
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext, lit};
use futures::StreamExt;
use tokio::runtime::Runtime;

use crate::{Sums, schema, threads};

/// Reads all columns; one task per stream of the scan.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Sums, Box<dyn Error>> {
    Runtime::new()?.block_on(async {
        let (session, rows) = scan(paths).await?;
        let plan = rows.create_physical_plan().await?;
        debug_assert!(plan.output_partitioning().partition_count() > 0);
        let streams = execute_stream_partitioned(plan, session.task_ctx())?;
        let tasks = streams.into_iter().map(|mut stream| {
            tokio::spawn(async move {
                let mut sums = Sums::default();
                while let Some(batch) = stream.next().await {
                    sums.add(&batch?);
                }
                Ok::<_, datafusion::error::DataFusionError>(sums)
            })
        });
        let mut all = Sums::default();
        for sums in futures::future::join_all(tasks.collect::<Vec<_>>()).await {
            all.merge(&sums??);
        }
        Ok(all)
    })
}

/// Reads all columns and writes them to `directory`, with constants for what lake says of a row
/// beside its values, except for its line, which DataFusion does not know.
pub(crate) fn copy(paths: &[PathBuf], directory: &[PathBuf]) -> Result<Sums, Box<dyn Error>> {
    let directory = directory
        .first()
        .ok_or("there is no directory to write to")?;
    Runtime::new()?.block_on(async {
        let (_, rows) = scan(paths).await?;
        let file = paths
            .first()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        let rows = rows
            .with_column("received_at", lit(1_773_532_800_000_000_i64))?
            .with_column("_file", lit(file))?
            .with_column("_loaded_at", lit(1_773_532_800_000_000_i64))?
            .with_column("_run", lit(1_i64))?;
        let mut options = TableParquetOptions::default();
        options.global.compression = Some("zstd(1)".to_owned());
        let target = format!("{}/", directory.display());
        let written = rows
            .write_parquet(&target, DataFrameWriteOptions::new(), Some(options))
            .await?;
        let mut all = Sums::default();
        for batch in written {
            let counts = batch.column(0);
            let counts =
                arrow::array::AsArray::as_primitive::<arrow::datatypes::UInt64Type>(counts);
            all.rows += counts.values().iter().sum::<u64>();
        }
        Ok(all)
    })
}

async fn scan(paths: &[PathBuf]) -> Result<(SessionContext, DataFrame), Box<dyn Error>> {
    let mut config = SessionConfig::new().with_target_partitions(threads());
    config
        .options_mut()
        .execution
        .parquet
        .schema_force_view_types = false;
    let session = SessionContext::new_with_config(config);
    let schema = schema();
    let options = CsvReadOptions::new().has_header(true).schema(&schema);
    let paths: Vec<String> = paths.iter().map(|path| text(path)).collect();
    let rows = session.read_csv(paths, options).await?;
    Ok((session, rows))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
