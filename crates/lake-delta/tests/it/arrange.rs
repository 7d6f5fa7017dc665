//! Rows beyond the memory limit make the same table as rows within it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use lake_delta::{Attempt, Prepared};

use crate::support::{Lake, PIPELINE, Row, batch, read, runtime, schema, spec, versions};

const ROWS: i64 = 24_000;

/// Long rows, about 25 MB of them. Of most keys there is a newer version, far away.
fn rows(keys: i64) -> Vec<Row> {
    let row = |n: i64| {
        let key = (n * 7_919) % keys;
        (key, n, format!("value {n} of {key}").repeat(50))
    };
    (0..ROWS).map(row).collect()
}

fn newest(rows: &[Row]) -> BTreeMap<i64, (i64, String)> {
    let mut newest: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    for (key, sequence, value) in rows {
        let stays = newest.get(key).is_some_and(|(stored, _)| stored > sequence);
        if !stays {
            newest.insert(*key, (*sequence, value.clone()));
        }
    }
    newest
}

/// An attempt whose engine has `limit` bytes.
fn limited(lake: &Lake, limit: usize) -> Attempt {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(limit)));
    // As in a run: the engine's sorts set aside what merging needs.
    let mut config = SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(512);
    config.options_mut().execution.sort_spill_reservation_bytes = limit / 16;
    let runtime = runtime.build_arc().unwrap();
    lake.root.register(&runtime);
    Attempt {
        root: lake.root.clone(),
        pipeline: PIPELINE.to_owned(),
        id: format!("limit-{limit}"),
        session: SessionContext::new_with_config_rt(config, runtime),
    }
}

async fn plan(session: &SessionContext, rows: &[Row], streams: usize) -> Arc<dyn ExecutionPlan> {
    let mut parts = vec![Vec::new(); streams];
    for (n, rows) in rows.chunks(250).enumerate() {
        parts[n % streams].push(batch(rows));
    }
    let table = MemTable::try_new(schema(), parts).unwrap();
    let frame = session.read_table(Arc::new(table)).unwrap();
    frame.create_physical_plan().await.unwrap()
}

async fn merge(
    lake: &Lake,
    partitioned: bool,
    limit: usize,
    streams: usize,
    rows: &[Row],
) -> Prepared {
    let attempt = limited(lake, limit);
    let plan = plan(&attempt.session, rows, streams).await;
    let merged = attempt
        .merge_newest(&spec(partitioned), None, plan, versions())
        .await;
    merged.unwrap().table
}

#[test]
fn whatever_the_memory_limit_and_the_number_of_streams_the_newest_row_of_each_key_stays() {
    runtime().block_on(async {
        // The limits have everything in memory; buckets in temporary files; and buckets that are
        // larger than the memory there is.
        for (limit, streams, keys) in [
            (1 << 30, 2, 8_000),
            (40 << 20, 1, 8_000),
            (40 << 20, 3, 8_000),
            (16 << 20, 2, 8_000),
            (16 << 20, 2, 1),
        ] {
            for partitioned in [true, false] {
                let lake = Lake::new();
                let rows = rows(keys);
                let prepared = merge(&lake, partitioned, limit, streams, &rows).await;
                let found = read(prepared.provider().await.unwrap()).await;
                assert!(
                    found == newest(&rows),
                    "limit {limit}, {streams} streams, {keys} keys, partitioned: {partitioned}"
                );
                assert_eq!(prepared.counts.inserted, keys as u64);
                assert_eq!(prepared.counts.superseded, (ROWS - keys) as u64);
            }
        }
    });
}

#[test]
fn nothing_is_left_in_the_directory_for_temporary_files() {
    runtime().block_on(async {
        let lake = Lake::new();
        let attempt = limited(&lake, 16 << 20);
        let plan = plan(&attempt.session, &rows(8_000), 2).await;
        let merged = attempt
            .merge_newest(&spec(true), None, plan, versions())
            .await;
        merged.unwrap();
        let disk = &attempt.session.runtime_env().disk_manager;
        assert!(!disk.temp_dir_paths().is_empty(), "it did not spill");
        assert_eq!(disk.used_disk_space(), 0);
        let memory = &attempt.session.runtime_env().memory_pool;
        assert_eq!(memory.reserved(), 0);
    });
}
