//! Whatever happens to a file, nothing of it is lost, and reading ends.
//!
//! Files of every format are spoiled at random and read twice: once by one thread, and once by
//! several, cut otherwise. `LAKE_FUZZ_SECONDS` says for how long (a few seconds, if it does not), and
//! `LAKE_FUZZ_SEED` where the random numbers begin.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails, and says why"
)]

mod mutate;
mod seeds;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use lake_reader::{Block, Format, Layout, OnTruncated, Options, ReadError, Reader};

use crate::mutate::{Random, mutate};
use crate::seeds::{Seed, seeds};

/// How long a case may take before it counts as one that does not end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much memory all cases together may take: the files are small, and so must be what they cost.
const MOST_MEMORY_KIB: u64 = 600 * 1024;

#[test]
fn spoiled_files_lose_nothing_and_reading_them_ends() {
    let seconds = variable("LAKE_FUZZ_SECONDS").unwrap_or(5);
    let seed = variable("LAKE_FUZZ_SEED").unwrap_or(1);
    let (deadline, seeds) = (Instant::now() + Duration::from_secs(seconds), seeds());
    let begun = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&begun));
    let clock = Instant::now();
    let mut cases = 0_u64;
    while Instant::now() < deadline {
        begun.store(clock.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let number = seed.wrapping_mul(1_000_003).wrapping_add(cases);
        let mut random = Random::new(number);
        let (kind, other) = (random.below(seeds.len()), random.below(seeds.len()));
        let file = mutate(&mut random, &seeds[kind].file, &seeds[other].file);
        let wrong = std::panic::catch_unwind(|| check(&seeds[kind], &file, number));
        let wrong = wrong.unwrap_or_else(|_| Err("it panicked".to_owned()));
        if let Err(wrong) = wrong {
            let kept = std::env::temp_dir().join(format!("lake-fuzz-{number}.bin"));
            std::fs::write(&kept, &file).unwrap();
            panic!(
                "{wrong}\nformat {:?}, case {number}, kept as {}",
                seeds[kind].layout.format,
                kept.display()
            );
        }
        cases += 1;
    }
    begun.store(0, Ordering::Relaxed);
    println!("{cases} cases in {seconds} s, memory {:?} KiB", peak_kib());
    assert!(cases > 0);
    if let Some(peak) = peak_kib() {
        assert!(peak < MOST_MEMORY_KIB, "{peak} KiB for files of a few KiB");
    }
}

/// Ends the process where a case does not end: a test that hangs says nothing.
fn watch(begun: Arc<AtomicU64>) {
    let clock = Instant::now();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let since = begun.load(Ordering::Relaxed);
            let now = clock.elapsed().as_millis() as u64;
            if since > 0 && now > since + PATIENCE.as_millis() as u64 {
                eprintln!("a case does not end; LAKE_FUZZ_SEED finds it again");
                std::process::abort();
            }
        }
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long to look is said outside"
)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// One record and all that is known about it, as text that can be compared and sorted.
type Row = (u64, i64, Vec<u8>, String);

/// Everything that a file yields: its rows by offset, and how it ended.
#[derive(Debug, PartialEq)]
struct Yielded {
    rows: Vec<Row>,
    ended: Result<(), String>,
}

/// What is wrong with reading a file, if anything is.
fn check(seed: &Seed, file: &[u8], number: u64) -> Result<(), String> {
    let mut random = Random::new(number ^ 0xABCD);
    let limit = *random.pick(&[40, 300, 1 << 20]);
    let on_truncated = *random.pick(&[OnTruncated::Fail, OnTruncated::Reject]);
    let options = |chunk_bytes| Options {
        chunk_bytes,
        max_record_bytes: limit,
        on_truncated,
    };
    let layout = &seed.layout;
    let whole = read(file, layout, options(1 << 20), 1)?;
    let cut = read(file, layout, options(1 + random.below(300)), 3)?;
    if whole.ended.is_ok() != cut.ended.is_ok() {
        return Err(format!(
            "it ends otherwise: {:?} {:?}",
            whole.ended, cut.ended
        ));
    }
    if whole.ended.is_ok() && whole.rows != cut.rows {
        let different = whole.rows.iter().zip(&cut.rows).find(|(a, b)| a != b);
        return Err(format!(
            "{} rows as a whole, {} in pieces; first difference: {different:?}",
            whole.rows.len(),
            cut.rows.len()
        ));
    }
    if whole.ended.is_ok() && seed.is_plain() {
        nothing_is_lost(file, &whole.rows, limit, layout.format)?;
    }
    Ok(())
}

/// Between the raw texts of a file there is nothing but what separates them.
fn nothing_is_lost(file: &[u8], rows: &[Row], limit: usize, format: Format) -> Result<(), String> {
    // Decoded or cut files have other offsets; a header and comments are no rows.
    let is_compressed = [&b"\x1F\x8B"[..], b"\x28\xB5\x2F\xFD"]
        .iter()
        .any(|m| file.starts_with(m));
    if is_compressed || limit < 1 << 20 {
        return Ok(());
    }
    let separators: &[u8] = match format {
        Format::Json => b" \t\r\n,[]",
        Format::NdJson => b" \t\r\n",
        _ => b"\r\n",
    };
    let mark = if file.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let mut end = mark;
    for (n, (offset, _, raw, _)) in rows.iter().enumerate() {
        let start = *offset as usize;
        let between = file
            .get(end..start)
            .ok_or(format!("row {n} begins within another"))?;
        let is_header = n == 0 && matches!(format, Format::Delimited(dialect) if dialect.header);
        let is_comment = matches!(format, Format::Delimited(dialect) if dialect.comment.is_some());
        if !is_header && !is_comment && !between.iter().all(|byte| separators.contains(byte)) {
            return Err(format!(
                "lost before row {n}: {:?}",
                String::from_utf8_lossy(between)
            ));
        }
        if !file[start..].starts_with(raw) {
            return Err(format!("row {n} has another text than the file"));
        }
        end = start + raw.len();
    }
    Ok(())
}

fn read(file: &[u8], layout: &Layout, options: Options, threads: usize) -> Result<Yielded, String> {
    let reader = match Reader::open(&file.to_vec(), layout, options) {
        Ok(reader) => reader,
        Err(error) => {
            return Ok(Yielded {
                rows: Vec::new(),
                ended: Err(shown(&error)),
            });
        }
    };
    let found: Mutex<(Vec<Row>, Result<(), String>)> = Mutex::new((Vec::new(), Ok(())));
    let wrong: Mutex<Option<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(block) = reader.next_block() {
                    match block.map_err(|error| shown(&error)) {
                        Ok(block) => match rows(&block) {
                            Ok(rows) => found.lock().unwrap().0.extend(rows),
                            Err(what) => *wrong.lock().unwrap() = Some(what),
                        },
                        Err(error) => found.lock().unwrap().1 = Err(error),
                    }
                }
            });
        }
    });
    if let Some(wrong) = wrong.into_inner().unwrap() {
        return Err(wrong);
    }
    let (mut rows, ended) = found.into_inner().unwrap();
    rows.sort();
    Ok(Yielded { rows, ended })
}

fn shown(error: &ReadError) -> String {
    error.to_string()
}

/// The rows of a block; an error where it contradicts itself.
fn rows(block: &Block) -> Result<Vec<Row>, String> {
    let count = block.batch.num_rows();
    let mut texts = vec![String::new(); count];
    for (row, text) in texts.iter_mut().enumerate() {
        for column in block.batch.columns() {
            // Not as people read it: that would need a database of time zones.
            let _ = write!(text, "{:?}|", column.slice(row, 1));
        }
    }
    for fault in &block.faults {
        let row = fault.row as usize;
        let text = texts
            .get_mut(row)
            .ok_or("a fault of a row that is not there")?;
        let _ = write!(text, "{}: {}|", fault.check, fault.message);
        if let Some(column) = fault.column
            && block.batch.column(column).is_valid(row)
            && !block.batch.column(column).data_type().is_nested()
        {
            return Err(format!("a value with a fault: {}", fault.message));
        }
    }
    Ok(texts
        .into_iter()
        .enumerate()
        .map(|(row, text)| {
            let raw = block.raw_bytes(row).to_vec();
            (block.byte_offset(row), block.lines.value(row), raw, text)
        })
        .collect())
}
