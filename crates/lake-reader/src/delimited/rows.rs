//! Finding the records of a chunk and the fields of every record.
//!
//! One pass over the bytes leaves flat arrays of positions, which the columns
//! are then parsed from, each in a loop of its own.

use memchr::memchr_iter;

use super::marks::for_each_mark;
use super::record::{LINE_FEED, Mark};
use crate::chunk::{Broken, Chunk, Damage, Span};
use crate::fault::{Fault, check};
use crate::layout::Dialect;

/// The records of one chunk. Each is one row.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
    pub(crate) dialect: Dialect,
    /// How many fields a record has to have.
    width: usize,
    /// For every row, `width` positions at which a field starts, and one more
    /// past the delimiter that the last field would have. A row whose fields
    /// are not known has [`NOWHERE`] instead.
    bounds: Vec<u32>,
    pub(crate) spans: Vec<Span>,
    /// The physical line on which each record starts.
    pub(crate) lines: Vec<i64>,
    /// The faults that whole records have, in the order of the rows.
    pub(crate) faults: Vec<Fault>,
    /// Whether the bytes of any record contain a quote or an escape.
    pub(crate) has_special: bool,
    /// The physical line on which the next record starts.
    line: i64,
}

/// No field is here: what starts or ends here reads as empty.
const NOWHERE: u32 = u32::MAX;

/// How long the records of a chunk are expected to be at least, so that the
/// arrays rarely have to grow.
const TYPICAL_RECORD_BYTES: usize = 48;

impl<'a> Rows<'a> {
    /// The rows of a chunk of a file that has `width` columns.
    pub(crate) fn of(chunk: &'a Chunk, dialect: Dialect, width: usize) -> Self {
        let expected = chunk.bytes.len() / TYPICAL_RECORD_BYTES + 1;
        let mut rows = Self {
            bytes: &chunk.bytes,
            dialect,
            width,
            bounds: Vec::with_capacity(expected * (width + 1)),
            spans: Vec::with_capacity(expected),
            lines: Vec::with_capacity(expected),
            faults: Vec::new(),
            has_special: false,
            line: chunk.first_line as i64,
        };
        let mut at = 0;
        for broken in &chunk.broken {
            rows.whole_records(at, broken.start);
            rows.broken_record(broken);
            at = broken.end;
        }
        rows.whole_records(at, chunk.bytes.len());
        rows
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The bytes of one field of every row, quotes included. Empty where the
    /// fields of a row are not known.
    #[inline]
    pub(crate) fn fields(&self, position: usize) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.bounds.chunks_exact(self.width + 1).map(move |bounds| {
            match bounds.get(position..position + 2) {
                // The second bound is past the delimiter. It is never 0.
                Some(&[start, next]) => bytes
                    .get(start as usize..next as usize - 1)
                    .unwrap_or_default(),
                _ => &[],
            }
        })
    }

    /// Whether the fields of a row are known.
    pub(crate) fn has_fields(&self, row: usize) -> bool {
        self.bounds.get(row * (self.width + 1)) != Some(&NOWHERE)
    }

    /// Records with fields, between two positions.
    fn whole_records(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let dialect = self.dialect;
        let bytes = &self.bytes[from..to];
        let mut start = from;
        self.bounds.push(start as u32);
        let mut inner_lines = 0;
        let mut tell = |mark| match mark {
            Mark::Delimiter(at) => self.bounds.push((from + at) as u32 + 1),
            Mark::InnerLine => inner_lines += 1,
            Mark::End(at) => {
                self.end_record(start, from + at);
                self.line += 1 + inner_lines;
                inner_lines = 0;
                start = from + at + 1;
                self.bounds.push(start as u32);
            }
        };
        if dialect.find_special(bytes).is_some() {
            dialect.walk::<true>(bytes, tell);
            self.has_special = true;
        } else {
            // Without a quote or an escape, every line is a record, or a comment.
            let is_mark = |byte| (byte == dialect.delimiter) | (byte == LINE_FEED);
            for_each_mark(bytes, is_mark, |at| {
                tell(if bytes[at] == LINE_FEED {
                    Mark::End(at)
                } else {
                    Mark::Delimiter(at)
                });
            });
        }
        if start < to {
            self.end_record(start, to);
            self.line += inner_lines;
        } else {
            self.bounds.pop();
        }
    }

    /// Ends the record whose fields have been pushed; `end` is its line feed.
    #[inline]
    fn end_record(&mut self, start: usize, end: usize) {
        let stride = self.width + 1;
        let first = self.spans.len() * stride;
        let record = self.dialect.trim_line_end(&self.bytes[start..end]);
        let end = start + record.len();
        if record.is_empty() || self.dialect.is_comment(record) {
            self.bounds.truncate(first);
            return;
        }
        self.bounds.push(end as u32 + 1);
        let fields = self.bounds.len() - first - 1;
        if fields != self.width {
            self.no_fields();
            self.fault(
                check::FIELDS,
                format!("expected {}, found {fields}", counted(self.width, "field")),
            );
        }
        self.push_row(start, end);
    }

    fn broken_record(&mut self, broken: &Broken) {
        let record = &self.bytes[broken.start..broken.end];
        let (length, check, message) = match broken.damage {
            Damage::OpenQuote { within } => (
                self.dialect.trim_line_end(record).len(),
                check::QUOTE,
                format!("a quote opens here and is not closed within {within} bytes"),
            ),
            Damage::OpenQuoteAtEnd => (
                self.dialect.trim_line_end(record).len(),
                check::QUOTE,
                "a quote opens here and is not closed before the end of the file".to_owned(),
            ),
            Damage::Truncated => (
                self.dialect.trim_line_end(record).len(),
                check::TRUNCATED,
                "the compressed file stops within this record".to_owned(),
            ),
            Damage::TooLong { bytes, limit } => (
                record.len(),
                check::RECORD_SIZE,
                format!("the record has {bytes} bytes, {limit} are allowed; its raw text is cut"),
            ),
        };
        self.no_fields();
        self.fault(check, message);
        self.push_row(broken.start, broken.start + length);
        self.line += memchr_iter(LINE_FEED, record).count() as i64;
    }

    fn push_row(&mut self, start: usize, end: usize) {
        self.spans.push(Span {
            start: start as u32,
            end: end as u32,
        });
        self.lines.push(self.line);
    }

    /// The row that is about to be pushed has no known fields.
    #[cold]
    fn no_fields(&mut self) {
        let stride = self.width + 1;
        self.bounds.truncate(self.spans.len() * stride);
        self.bounds.resize((self.spans.len() + 1) * stride, NOWHERE);
    }

    /// Finds fault with the row that is about to be pushed.
    #[cold]
    fn fault(&mut self, check: &'static str, message: String) {
        self.faults.push(Fault {
            row: self.spans.len() as u32,
            column: None,
            check,
            value: String::new(),
            message,
        });
    }
}

/// `1 field`, `2 fields`.
fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
