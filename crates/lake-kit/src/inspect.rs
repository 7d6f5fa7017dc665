//! What is in a file that nobody has declared yet.
//!
//! The start of the file is looked at to guess what it is; then the whole file is read with that
//! guess as a declaration, by the reader that runs use. So what is said here about rows is what a
//! run would say, and the declaration is one that a transform can be begun with.

mod declare;
mod dialect;
mod nested;
mod types;

use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use lake_reader::{Block, Column, Compression, Encoding, Format, Layout, Options, Reader, Source};
use serde_json::Value;

use crate::error::{KitError, Result};
pub use dialect::Known;
use nested::Place;

/// How much of a file is looked at to guess what it is.
const SAMPLE_BYTES: usize = 1 << 20;
/// How many values of a column are looked at.
const SAMPLE_VALUES: usize = 1_000;

/// What is known about a file beforehand, and how much of it is to be shown.
#[derive(Debug, Clone)]
pub struct InspectOptions {
    /// What messages call the file.
    pub file: String,
    /// What the input is to be called; the file's name, if it is not said.
    pub name: Option<String>,
    /// What it is made of, where that is known.
    pub format: Option<FormatName>,
    /// How it is encoded, where that is known.
    pub encoding: Option<Encoding>,
    /// Its dialect, as far as that is known.
    pub known: Known,
    /// How many good rows to show.
    pub rows: usize,
    /// How many bad rows to show.
    pub bad_rows: usize,
    /// How many threads may read.
    pub threads: usize,
}

/// What a file can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatName {
    /// Lines of fields.
    Delimited,
    /// One JSON object a line.
    NdJson,
    /// JSON.
    Json,
    /// Parquet.
    Parquet,
}

/// What the reader sees in a file.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The file, as the caller named it.
    pub file: String,
    /// Its size as it is stored, in bytes.
    pub bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// What it was read as.
    pub layout: Layout,
    /// For each column, what a person has to decide about it; empty where nothing is doubtful.
    pub doubts: Vec<String>,
    /// How many records it has.
    pub rows: u64,
    /// How many of them are bad.
    pub bad: u64,
    /// The first good rows.
    pub first: RecordBatch,
    /// The first bad rows.
    pub bad_rows: Vec<BadRow>,
    /// What is odd about the file, and why it could not be read to its end.
    pub notes: Vec<String>,
    /// The declaration of an input, as an author writes it.
    pub declaration: String,
}

/// A record that a run would reject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadRow {
    /// The line on which it starts, counted from 1.
    pub line: i64,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its text, bad bytes escaped.
    pub raw: String,
    /// Everything that is wrong with it: the check, the column if it is one's, and the message.
    pub reasons: Vec<(String, Option<String>, String)>,
}

/// Looks at a file, and reads it to its end.
///
/// # Errors
/// [`KitError::Inspect`] where the file cannot be opened, has nothing in it, or is not what the
/// options say.
pub fn inspect(source: &dyn Source, options: &InspectOptions) -> Result<Inspection> {
    let failed = |message: String| KitError::Inspect {
        file: options.file.clone(),
        message,
    };
    let bytes = source.ranges().and_then(|ranges| ranges.size());
    let bytes = bytes.map_err(|e| failed(e.to_string()))?;
    let sample = lake_reader::Sample::of(source, SAMPLE_BYTES);
    let sample = sample.map_err(|e| failed(e.to_string()))?;
    if sample.bytes.is_empty() {
        return Err(failed("the file is empty".to_owned()));
    }
    let (layout, doubts) = guess(source, &sample, options).map_err(failed)?;
    let read = read(source, &layout, options).map_err(failed)?;
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| input_name(&options.file));
    Ok(Inspection {
        file: options.file.clone(),
        bytes,
        compression: sample.compression,
        declaration: declare::declaration(&name, &layout, &doubts),
        layout,
        doubts,
        rows: read.rows,
        bad: read.bad,
        first: read.first,
        bad_rows: read.bad_rows,
        notes: read.notes,
    })
}

/// What a file is, as far as its start shows, and what is doubtful about each column.
fn guess(
    source: &dyn Source,
    sample: &lake_reader::Sample,
    options: &InspectOptions,
) -> std::result::Result<(Layout, Vec<String>), String> {
    let bytes = sample.bytes.as_slice();
    let is_parquet = bytes.starts_with(b"PAR1") && sample.compression == Compression::None;
    if options.format == Some(FormatName::Parquet) || (options.format.is_none() && is_parquet) {
        let columns = lake_reader::parquet_columns(source).map_err(|e| chain(&e))?;
        let doubts = vec![String::new(); columns.len()];
        return Ok((Layout::new(Format::Parquet, columns), doubts));
    }
    let encoding = options.encoding.unwrap_or_else(|| encoding_of(bytes));
    let text = sample.text(encoding).map_err(|e| chain(&e))?;
    let format = options.format.unwrap_or_else(|| format_of(&text));
    let (format, columns) = match format {
        FormatName::NdJson => (Format::NdJson, objects(&text)),
        FormatName::Json | FormatName::Parquet => (Format::Json, objects(&text)),
        FormatName::Delimited => {
            let table = dialect::cut(&text, options.known);
            (Format::Delimited(table.dialect), delimited(&table))
        }
    };
    if columns.is_empty() {
        return Err("no record is found at its start".to_owned());
    }
    let (columns, doubts): (Vec<Column>, Vec<String>) = columns.into_iter().unzip();
    let layout = Layout {
        encoding,
        ..Layout::new(format, columns)
    };
    Ok((layout, doubts))
}

/// How a text is encoded: by its byte order mark, by the zeros of UTF-16, and by what is not UTF-8.
fn encoding_of(bytes: &[u8]) -> Encoding {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Encoding::Utf16;
    }
    // Text of mostly Latin letters has a zero in every second byte.
    let zeros = |from: usize| {
        let half = bytes.iter().skip(from).step_by(2);
        half.filter(|byte| **byte == 0).count() * 4 > bytes.len()
    };
    match (zeros(0), zeros(1)) {
        (false, true) => return Encoding::Utf16Le,
        (true, false) => return Encoding::Utf16Be,
        _ => {}
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Encoding::Utf8,
        // The sample may end within a character.
        Err(error) if error.error_len().is_none() => Encoding::Utf8,
        // One bad byte among many good characters is a bad byte; without any, the file is Latin-1.
        Err(_) => {
            let pieces = bytes.utf8_chunks();
            let (mut good, mut bad) = (0, 0);
            for piece in pieces {
                good += piece.valid().chars().filter(|c| !c.is_ascii()).count();
                bad += usize::from(!piece.invalid().is_empty());
            }
            if bad > good {
                Encoding::Latin1
            } else {
                Encoding::Utf8
            }
        }
    }
}

/// What a text is made of: objects, arrays, or else fields.
fn format_of(text: &str) -> FormatName {
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    if !text.starts_with(['{', '[']) {
        return FormatName::Delimited;
    }
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    match serde_json::from_str::<Value>(first) {
        Ok(Value::Object(_)) => FormatName::NdJson,
        _ => FormatName::Json,
    }
}

/// The columns of JSON objects, with what is doubtful about each.
fn objects(text: &str) -> Vec<(Column, String)> {
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    let mut place = Place::default();
    // An array is looked into; its last element may be cut off by the end of the sample.
    let mut rest = text.strip_prefix('[').unwrap_or(text);
    for _ in 0..SAMPLE_VALUES {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                if value.is_object() {
                    place.note(&value);
                }
                let end = values.byte_offset();
                rest = rest.get(end..).unwrap_or_default();
            }
            // A broken line is not evidence.
            Some(Err(_)) => match rest.split_once('\n') {
                Some((_, next)) => rest = next,
                None => break,
            },
            None => break,
        }
    }
    let columns = place.columns().into_iter();
    columns
        .map(|(column, doubts)| (column, doubt(&doubts)))
        .collect()
}

/// The columns of a delimited text, with what is doubtful about each.
fn delimited(table: &dialect::Table) -> Vec<(Column, String)> {
    let width = match &table.names {
        Some(names) => names.len(),
        None => table.records.first().map_or(0, Vec::len),
    };
    let column = |position: usize| {
        let name = match &table.names {
            Some(names) => names.get(position).map(|name| name.trim().to_owned()),
            None => None,
        };
        let records = table.records.iter().take(SAMPLE_VALUES);
        let values: Vec<&str> = records
            .filter_map(|record| record.get(position).map(String::as_str))
            .collect();
        let found = types::suggest(&values);
        let name = name.unwrap_or_else(|| format!("column_{}", position + 1));
        let column = Column::new(name, found.data_type).with_rules(found.rules);
        let is_null = |value: &&str| {
            value.is_empty() || column.rules.nulls.iter().any(|null| null == value.trim())
        };
        let column = match values.is_empty() || values.iter().any(is_null) {
            true => column,
            false => column.required(),
        };
        (column, doubt(&found.doubts))
    };
    (0..width).map(column).collect()
}

fn doubt(other_forms: &[&str]) -> String {
    match other_forms {
        [] => String::new(),
        forms => format!("fits {} as well: which is meant?", forms.join(" and ")),
    }
}

/// What reading a file to its end has shown.
struct Read {
    rows: u64,
    bad: u64,
    first: RecordBatch,
    bad_rows: Vec<BadRow>,
    notes: Vec<String>,
}

/// What the threads that read have found so far.
#[derive(Default)]
struct Seen {
    rows: u64,
    bad: u64,
    /// Good rows by the line where they start.
    good: Vec<(i64, RecordBatch)>,
    bad_rows: Vec<BadRow>,
    ended: Option<String>,
}

fn read(
    source: &dyn Source,
    layout: &Layout,
    options: &InspectOptions,
) -> std::result::Result<Read, String> {
    let reader = Reader::open(source, layout, Options::default()).map_err(|e| chain(&e))?;
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                while let Some(block) = reader.next_block() {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    match block {
                        Ok(block) => seen.note(&block, layout, options),
                        Err(error) => {
                            seen.ended =
                                Some(format!("it cannot be read further: {}", chain(&error)));
                        }
                    }
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.good.sort_by_key(|(line, _)| *line);
    let good = seen.good.iter().map(|(_, row)| row);
    let first = concat_batches(reader.schema(), good).map_err(|e| e.to_string())?;
    let first = first.slice(0, first.num_rows().min(options.rows));
    seen.bad_rows.sort();
    seen.bad_rows.truncate(options.bad_rows);
    let mut notes: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
    notes.extend(seen.ended);
    Ok(Read {
        rows: seen.rows,
        bad: seen.bad,
        first,
        bad_rows: seen.bad_rows,
        notes,
    })
}

impl Seen {
    fn note(&mut self, block: &Block, layout: &Layout, options: &InspectOptions) {
        let rows = block.batch.num_rows();
        self.rows += rows as u64;
        self.bad += block.faulty_rows() as u64;
        let mut faulty = block
            .faults
            .iter()
            .map(|fault| fault.row as usize)
            .peekable();
        let mut good = 0;
        for row in 0..rows {
            if faulty.peek() == Some(&row) {
                while faulty.next_if_eq(&row).is_some() {}
            } else if good < options.rows {
                good += 1;
                self.good
                    .push((block.lines.value(row), block.batch.slice(row, 1)));
            } else {
                break;
            }
        }
        self.good.sort_by_key(|(line, _)| *line);
        self.good.truncate(options.rows);
        let faults = block.faults.chunk_by(|a, b| a.row == b.row);
        for faults in faults.take(options.bad_rows) {
            let Some(row) = faults.first().map(|fault| fault.row as usize) else {
                continue;
            };
            let reason = |fault: &lake_reader::Fault| {
                let column = fault.column.and_then(|index| layout.columns.get(index));
                let column = column.map(|column| column.name.clone());
                (fault.check.to_owned(), column, fault.message.clone())
            };
            self.bad_rows.push(BadRow {
                line: block.lines.value(row),
                offset: block.byte_offset(row),
                raw: block.raw(row).into_owned(),
                reasons: faults.iter().map(reason).collect(),
            });
        }
        self.bad_rows.sort();
        self.bad_rows.truncate(options.bad_rows);
    }
}

/// The name of an input for a file: what comes before the first point, as an identifier.
fn input_name(file: &str) -> String {
    let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = base.split('.').next().unwrap_or(base);
    let letters = stem.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '_',
    });
    let name: String = letters.collect();
    let name = name.trim_matches('_');
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => name.to_owned(),
        _ => "input".to_owned(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
