//! lake's reader: the same columns, with line, raw text and reasons at hand for every row.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lake_reader::{Column, ColumnType, Layout, LocalFile, Options, Reader};

use crate::{Sums, threads};

/// Reads the files one after the other, each on all cores.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Sums, Box<dyn Error>> {
    let mut all = Sums::default();
    for path in paths {
        let file = LocalFile(path.clone());
        let reader = Reader::open(&file, &Layout::csv(columns()), Options::default())?;
        let faults = AtomicUsize::new(0);
        let parts = thread::scope(|scope| {
            let read = || {
                let mut sums = Sums::default();
                while let Some(block) = reader.next_block() {
                    let block = block.map_err(|error| error.to_string())?;
                    faults.fetch_add(block.faults.len(), Ordering::Relaxed);
                    sums.add(&block.batch);
                }
                Ok::<Sums, String>(sums)
            };
            let threads: Vec<_> = (0..threads()).map(|_| scope.spawn(read)).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.collect::<Vec<_>>()
        });
        for part in parts {
            all.merge(&part.map_err(|_| "a reading thread panicked")??);
        }
        if faults.into_inner() > 0 {
            return Err("the file has bad records, at which DataFusion would stop".into());
        }
    }
    Ok(all)
}

fn columns() -> Vec<Column> {
    let decimal = ColumnType::Decimal {
        precision: 12,
        scale: 3,
    };
    vec![
        Column::new("customer_id", ColumnType::Text),
        Column::new("meter_id", ColumnType::Text),
        Column::new("start_time", ColumnType::Timestamp),
        Column::new("end_time", ColumnType::Timestamp),
        Column::new("usage_kwh", decimal),
        Column::new("region", ColumnType::Text),
    ]
}
