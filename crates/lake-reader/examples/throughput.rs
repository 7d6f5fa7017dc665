//! Reads a CSV file of meter readings on one thread and says how fast:
//! `cargo run --release -p lake-reader --example throughput -- readings.csv`.

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use lake_reader::{Binding, Chunks, Column, ColumnType, Header, Options, Reader};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: throughput FILE")?;

    // Cutting alone, which is the part that cannot run in parallel.
    let start = Instant::now();
    let mut chunks = Chunks::new(File::open(&path)?, Options::default());
    let header = Header::read(&mut chunks)?;
    Binding::new(&header, columns())?;
    for chunk in chunks.by_ref() {
        chunk?;
    }
    report("cutting", None, chunks.offset(), start);

    let start = Instant::now();
    let mut reader = Reader::open(File::open(&path)?, columns(), Options::default())?;
    for block in reader.by_ref() {
        block?;
    }
    let counters = reader.counters();
    report("reading", Some(counters.rows), counters.bytes, start);
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
fn report(what: &str, rows: Option<u64>, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let megabytes = bytes as f64 / 1e6 / seconds;
    match rows {
        None => println!("{what}: {seconds:.3} s, {megabytes:.0} MB/s"),
        Some(rows) => println!(
            "{what}: {seconds:.3} s, {megabytes:.0} MB/s, {rows} rows, {:.2} million rows/s",
            rows as f64 / 1e6 / seconds
        ),
    }
}
