//! Reads a CSV file of meter readings on one thread and says how fast:
//! `cargo run --release -p lake-reader --example throughput -- readings.csv`.

use std::error::Error;
use std::time::Instant;

use lake_reader::{Column, ColumnType, Layout, LocalFile, Options, Reader};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: throughput FILE")?;
    let file = LocalFile(path.into());
    let bytes = file.0.metadata()?.len();
    let start = Instant::now();
    let reader = Reader::open(&file, &Layout::csv(columns()), Options::default())?;
    let (mut rows, mut faults) = (0, 0);
    while let Some(block) = reader.next_block() {
        let block = block?;
        rows += block.batch.num_rows();
        faults += block.faults.len();
    }
    report(bytes, rows, faults, start);
    Ok(())
}

fn columns() -> Vec<Column> {
    let decimal = ColumnType::Decimal {
        precision: 12,
        scale: 3,
    };
    vec![
        Column::new("customer_id", ColumnType::Text).required(),
        Column::new("meter_id", ColumnType::Text).required(),
        Column::new("start_time", ColumnType::Timestamp).required(),
        Column::new("end_time", ColumnType::Timestamp).required(),
        Column::new("usage_kwh", decimal).required(),
        Column::new("region", ColumnType::Text),
    ]
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn report(bytes: u64, rows: usize, faults: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds:.3} s, {:.0} MB/s, {rows} rows, {faults} faults, {:.2} million rows/s",
        bytes as f64 / 1e6 / seconds,
        rows as f64 / 1e6 / seconds
    );
}
