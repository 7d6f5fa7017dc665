//! What the boundary costs: functions of a loaded transform, beside the same functions compiled
//! into the host, over the same batches.
//!
//! ```text
//! bench/boundary                # 10 million rows
//! bench/boundary 1000000 3      # rows, and repetitions
//! ```
//!
//! The script builds this program and the transform that it loads, optimised, and runs it. Each
//! figure is a median over the repetitions, in which both sides take turns. `validation` is the
//! part of the boundary's time in which the host looks at every value of a result, measured by
//! doing that alone. `crossing` is what is then left: the way there and back, which does not
//! depend on the rows. Beside a function that takes long it is lost in the noise.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lake_plugin::Plugin;
use lake_plugin::arrow::array::{Array, ArrayRef, Int64Array, StringArray};

mod functions;

type Function = fn(&ArrayRef) -> ArrayRef;

/// A function of the transform, the same one here, and the batches that both get.
struct Case {
    name: &'static str,
    direct: Function,
    batch: fn(usize, usize) -> ArrayRef,
}

const CASES: [Case; 4] = [
    Case {
        name: "same_integer",
        direct: functions::same,
        batch: integers,
    },
    Case {
        name: "same_text",
        direct: functions::same,
        batch: texts,
    },
    Case {
        name: "add_one",
        direct: functions::add_one,
        batch: integers,
    },
    Case {
        name: "normalise",
        direct: functions::normalise,
        batch: texts,
    },
];

const BATCH_SIZES: [usize; 3] = [1024, 8192, 65_536];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().map_or(Ok(10_000_000), |n| n.parse())?;
    let repetitions: usize = arguments.next().map_or(Ok(7), |n| n.parse())?;
    if rows == 0 || repetitions == 0 {
        return Err("rows and repetitions are 1 at least".into());
    }
    let plugin = Plugin::load(&transform()?)?;
    println!("{rows} rows, medians of {repetitions}; every 10th value is NULL");
    println!(
        "{:<13} {:>6}  {:>8} {:>8} {:>8}  {:>9} {:>9} {:>10} {:>8}",
        "function",
        "batch",
        "direct",
        "boundary",
        "ratio",
        "direct",
        "boundary",
        "validation",
        "crossing"
    );
    println!(
        "{:<13} {:>6}  {:>8} {:>8} {:>8}  {:>9} {:>9} {:>10} {:>8}",
        "", "rows", "ns/row", "ns/row", "", "ns/batch", "ns/batch", "ns/batch", "ns/batch"
    );
    for case in &CASES {
        for size in BATCH_SIZES {
            measure(&plugin, case, size, rows, repetitions)?;
        }
    }
    Ok(())
}

/// The transform, which cargo builds beside this program.
fn transform() -> Result<PathBuf, Box<dyn Error>> {
    let name = format!(
        "{}boundary_transform{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn measure(
    plugin: &Plugin,
    case: &Case,
    size: usize,
    rows: usize,
    repetitions: usize,
) -> Result<(), Box<dyn Error>> {
    let functions = &plugin.declaration().functions;
    let place = functions
        .iter()
        .position(|function| function.name == case.name)
        .ok_or_else(|| format!("the transform has no `{}`: build it again", case.name))?;
    let batches: Vec<ArrayRef> = (0..rows)
        .step_by(size)
        .map(|start| (case.batch)(start, size.min(rows - start)))
        .collect();
    let results: Vec<ArrayRef> = batches.iter().map(case.direct).collect();

    let mut direct = Vec::new();
    let mut boundary = Vec::new();
    let mut validation = Vec::new();
    for _ in 0..repetitions {
        direct.push(nanoseconds(|| {
            for batch in &batches {
                black_box((case.direct)(black_box(batch)));
            }
            Ok(())
        })?);
        boundary.push(nanoseconds(|| {
            for batch in &batches {
                black_box(plugin.call(place, std::slice::from_ref(batch), batch.len())?);
            }
            Ok(())
        })?);
        validation.push(nanoseconds(|| {
            for result in &results {
                black_box(result.to_data()).validate_full()?;
            }
            Ok(())
        })?);
    }
    let [direct, boundary, validation] = [direct, boundary, validation].map(median);
    let per_batch = |total: f64| total / batches.len() as f64;
    let per_row = |total: f64| total / rows as f64;
    println!(
        "{:<13} {size:>6}  {:>8.3} {:>8.3} {:>8.2}  {:>9.0} {:>9.0} {:>10.0} {:>8.0}",
        case.name,
        per_row(direct),
        per_row(boundary),
        boundary / direct,
        per_batch(direct),
        per_batch(boundary),
        per_batch(validation),
        per_batch(boundary - direct - validation),
    );
    Ok(())
}

fn nanoseconds(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_nanos() as f64)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len() % 2 == 1 {
        return times[middle];
    }
    f64::midpoint(times[middle - 1], times[middle])
}

fn integers(start: usize, rows: usize) -> ArrayRef {
    let values = (start..start + rows).map(|row| (row % 10 != 0).then_some(row as i64));
    Arc::new(values.collect::<Int64Array>())
}

/// Names of meters as people write them: with spaces around, in lower and upper case.
fn texts(start: usize, rows: usize) -> ArrayRef {
    let values = (start..start + rows).map(|row| {
        (row % 10 != 0).then(|| match row % 3 {
            0 => format!("mtr-{row:07}"),
            1 => format!(" MTR-{row:07}"),
            _ => format!("Mtr-{row:07}  "),
        })
    });
    Arc::new(values.collect::<StringArray>())
}
