//! One contender of a benchmark, alone in its process: what it did and how long it took, as JSON.
//!
//! ```text
//! bench read-lake FILE…             reads the columns of meter readings with lake's reader
//! bench read-datafusion FILE…       reads the same columns with DataFusion's CSV scan
//! bench copy-datafusion DIR FILE…   reads them with DataFusion and writes them to Parquet in DIR
//! ```
//!
//! `bench/reading` and `bench/append` run it.

mod datafusion;
mod lake;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::array::{Array, RecordBatch};
use arrow::compute::kernels::aggregate::sum;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Schema, TimeUnit, TimestampMicrosecondType,
};

/// What a contender has read. The sums are wrong if any value is.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    rows: u64,
    /// Bytes of all texts.
    text: u64,
    /// All instants, in microseconds since 1970.
    instants: i128,
    /// All numbers, in thousandths.
    numbers: i128,
}

impl Sums {
    fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for column in batch.columns() {
            match column.data_type() {
                DataType::Utf8 => {
                    let text = column.as_string::<i32>();
                    let offsets = text.value_offsets();
                    let bytes = offsets
                        .last()
                        .zip(offsets.first())
                        .map(|(last, first)| last - first);
                    self.text += u64::from(bytes.unwrap_or(0).unsigned_abs());
                }
                DataType::Timestamp(TimeUnit::Microsecond, _) => {
                    let instants = column.as_primitive::<TimestampMicrosecondType>();
                    self.instants += instants
                        .values()
                        .iter()
                        .map(|instant| i128::from(*instant))
                        .sum::<i128>();
                }
                DataType::Decimal128(_, _) => {
                    self.numbers += sum(column.as_primitive::<Decimal128Type>()).unwrap_or(0);
                }
                _ => {}
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.text += other.text;
        self.instants += other.instants;
        self.numbers += other.numbers;
    }
}

/// The columns of meter readings, as the transform declares them.
fn schema() -> Schema {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Schema::new(vec![
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("meter_id", DataType::Utf8, true),
        Field::new("start_time", instant.clone(), true),
        Field::new("end_time", instant, true),
        Field::new("usage_kwh", DataType::Decimal128(12, 3), true),
        Field::new("region", DataType::Utf8, true),
    ])
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[expect(
    clippy::print_stdout,
    reason = "its report is what this program is for"
)]
fn main() -> Result<(), Box<dyn Error>> {
    const USAGE: &str =
        "usage: bench read-lake|read-datafusion FILE… | bench copy-datafusion DIRECTORY FILE…";
    let mut arguments = std::env::args_os().skip(1);
    let what = arguments.next().ok_or(USAGE)?;
    let mut paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let started = Instant::now();
    let sums = match what.to_str() {
        Some("read-lake") => lake::read(&paths)?,
        Some("read-datafusion") => datafusion::read(&paths)?,
        Some("copy-datafusion") if paths.len() > 1 => {
            datafusion::copy(&paths.split_off(1), &paths)?
        }
        _ => return Err(USAGE.into()),
    };
    let seconds = started.elapsed().as_secs_f64();
    let Sums {
        rows,
        text,
        instants,
        numbers,
    } = sums;
    println!(
        "{{\"seconds\":{seconds:.3},\"rows\":{rows},\"text\":{text},\"instants\":\"{instants}\",\
         \"numbers\":\"{numbers}\",\"peak_memory_bytes\":{}}}",
        peak_memory()
    );
    Ok(())
}

/// The most memory that this process has held, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    kibibytes.unwrap_or(0) * 1024
}
