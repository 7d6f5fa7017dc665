//! Pieces of a JSON file to blocks: one row for each record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Int64Array, RecordBatch, StructArray};
use arrow::datatypes::{Schema, SchemaRef};
use memchr::memchr_iter;

use super::cells::Object;
use super::endless;
use super::found::Found;
use super::lines;
use super::nesting::{Nesting, Scan};
use super::piece::{Broken, Damage, Misplaced, Piece};
use super::read::Record;
use super::shape::Shape;
use super::syntax::{Kind, Parser, SyntaxError};
use super::window::{LINE_FEED, is_space};
use crate::block::{Block, Records};
use crate::chunk::{Chunk, Options, Span};
use crate::column::Column;
use crate::fault::{Fault, check};
use crate::layout::{ExtraColumns, Layout};
use crate::mismatch::{HeaderError, Warning};
use crate::reader::Parse;

/// What the records of a file are parsed with.
#[derive(Debug)]
pub(crate) struct Rows {
    shape: Shape,
    schema: SchemaRef,
    extra: ExtraColumns,
    separated: Separated,
    max_record_bytes: usize,
    /// The fields that nobody declared: how many records have each.
    undeclared: Mutex<BTreeMap<String, u64>>,
}

/// What is between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separated {
    /// A line feed.
    ByLines,
    /// Brackets, commas and whitespace.
    ByCommas,
}

/// How long the records of a piece are expected to be at least, so that the arrays rarely have to
/// grow.
const TYPICAL_RECORD_BYTES: usize = 96;

impl Rows {
    /// Records with these columns.
    ///
    /// # Errors
    ///
    /// Fails if a declared type cannot exist, or if the rules of a column contradict each other.
    pub(crate) fn new(
        layout: &Layout,
        separated: Separated,
        options: Options,
    ) -> Result<Self, HeaderError> {
        let columns = &layout.columns;
        let schema = Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>());
        Ok(Self {
            shape: Shape::new(columns)?,
            schema: Arc::new(schema),
            extra: layout.extra_columns,
            separated,
            max_record_bytes: options.within_bounds().max_record_bytes,
            undeclared: Mutex::default(),
        })
    }

    /// The schema of every batch.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn count_undeclared(&self, object: &Object<'_>) {
        let mut undeclared = None;
        object.visit(&mut |object| {
            for (name, records) in object.undeclared.counts() {
                let counts = undeclared.get_or_insert_with(|| {
                    self.undeclared
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                });
                let path = object.shape.path_of(&String::from_utf8_lossy(name));
                *counts.entry(path).or_default() += records;
            }
        });
    }
}

impl Parse<Piece> for Rows {
    fn parse(&self, piece: Piece) -> Block {
        let mut parsing = Parsing::new(self, &piece);
        let mut at = 0;
        for broken in &piece.broken {
            parsing.records(at, broken.start);
            parsing.broken(*broken);
            at = broken.end;
        }
        parsing.records(at, piece.bytes.len());

        let Parsing {
            object,
            spans,
            lines,
            mut faults,
            ..
        } = parsing;
        faults.sort_by_key(|fault| (fault.row, fault.column));
        self.count_undeclared(&object);
        let count = spans.len();
        let arrays = object.finish();
        let batch = if arrays.is_empty() {
            StructArray::new_empty_fields(count, None)
        } else {
            StructArray::new(self.schema.fields().clone(), arrays, None)
        };
        let Piece {
            bytes,
            offset,
            first_line,
            ..
        } = piece;
        Block {
            batch: RecordBatch::from(batch),
            lines: Int64Array::from(lines),
            faults,
            records: Records::Text {
                chunk: Chunk {
                    bytes,
                    offset,
                    first_line,
                    broken: Vec::new(),
                },
                spans,
            },
        }
    }

    fn warnings(&self) -> Vec<Warning> {
        let undeclared = self.undeclared.lock();
        undeclared
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(path, &records)| Warning::UndeclaredField {
                path: path.clone(),
                records,
            })
            .collect()
    }
}

/// The rows of one piece, as far as it is parsed.
struct Parsing<'a> {
    rows: &'a Rows,
    piece: &'a Piece,
    /// Whether all of the piece is UTF-8, which is quicker to know at once.
    is_utf_8: bool,
    object: Object<'a>,
    spans: Vec<Span>,
    lines: Vec<i64>,
    faults: Vec<Fault>,
    found: Found,
    /// The physical line of the byte at `counted`.
    line: i64,
    counted: usize,
}

impl<'a> Parsing<'a> {
    fn new(rows: &'a Rows, piece: &'a Piece) -> Self {
        let expected = piece.bytes.len() / TYPICAL_RECORD_BYTES + 1;
        Self {
            rows,
            piece,
            is_utf_8: std::str::from_utf8(&piece.bytes).is_ok(),
            object: Object::new(&rows.shape, expected),
            spans: Vec::with_capacity(expected),
            lines: Vec::with_capacity(expected),
            faults: Vec::new(),
            found: Found::default(),
            line: piece.first_line as i64,
            counted: 0,
        }
    }

    /// The records between two positions.
    fn records(&mut self, from: usize, to: usize) {
        match self.rows.separated {
            Separated::ByLines => self.lines(from, to),
            Separated::ByCommas => self.elements(from, to),
        }
    }

    fn lines(&mut self, from: usize, to: usize) {
        let bytes = &self.piece.bytes;
        let limit = self.rows.max_record_bytes;
        for (start, end) in lines::records(&bytes[from..to]) {
            let (start, end) = (from + start, from + end);
            if end - start > limit {
                self.broken(Broken {
                    start,
                    end: endless::kept(bytes, start, limit),
                    damage: Damage::TooLong {
                        bytes: (end - start) as u64,
                        limit,
                    },
                });
                continue;
            }
            let (start, end) = trimmed(bytes, start, end);
            if start == end {
                continue;
            }
            self.start_row(start);
            let mut parser = Parser::new(&bytes[..end], start);
            let parsed = self.record(&mut parser).and_then(|()| parser.end());
            self.end_row(start, end, parsed);
        }
    }

    fn elements(&mut self, from: usize, to: usize) {
        let bytes = &self.piece.bytes[..to];
        let mut at = from;
        // Whoever has cut the piece has looked at everything that is between records.
        while let Some(found) = bytes[at..].iter().position(|&byte| byte == b'{') {
            let start = at + found;
            self.start_row(start);
            let mut parser = Parser::new(bytes, start);
            let parsed = self.record(&mut parser);
            at = match parsed {
                Ok(()) => parser.at(),
                Err(_) => match Nesting::default().scan(bytes, start) {
                    Scan::Closed(end) => end,
                    Scan::Failed(_) | Scan::More => to,
                },
            };
            self.end_row(start, at, parsed);
        }
    }

    /// One record to one more cell of every column.
    fn record(&mut self, parser: &mut Parser<'a>) -> Result<(), SyntaxError> {
        let index = self.spans.len();
        let start = parser.at();
        let kind = parser.kind()?;
        if kind != Kind::Object {
            parser.skip()?;
            parser.end()?;
            let message = format!(
                "a JSON object was expected, and this is {}",
                kind.described()
            );
            self.fault(check::JSON, message);
            self.object.push_null();
            return Ok(());
        }
        let mut record = Record {
            row: index as u32,
            is_utf_8: self.is_utf_8,
            extra: self.rows.extra,
            found: &mut self.found,
        };
        self.object.read(parser, &mut record, index)?;
        if !self.is_utf_8 {
            let raw = parser.since(start);
            if !self.found.has_bad_text() && std::str::from_utf8(raw).is_err() {
                let message = "a name or a value that is not declared is not UTF-8; bad bytes are \
                               shown as \\xNN";
                self.fault(check::UTF_8, message.to_owned());
            }
        }
        Ok(())
    }

    /// A record whose fields are not known.
    fn broken(&mut self, broken: Broken) {
        let (start, end) = trimmed(&self.piece.bytes, broken.start, broken.end);
        self.start_row(start);
        let line = self.line;
        let (check, message) = match broken.damage {
            Damage::Malformed(misplaced) => (check::JSON, misplaced.message(line)),
            Damage::TooLong { bytes, limit } => (
                check::RECORD_SIZE,
                format!("the record has {bytes} bytes, {limit} are allowed; its raw text is cut"),
            ),
            Damage::Unfinished => (
                check::TRUNCATED,
                "the file ends in the middle of this record".to_owned(),
            ),
            Damage::NoComma => (
                check::JSON,
                "there is no comma between this record and the one before".to_owned(),
            ),
            Damage::NotARecord => (check::JSON, not_a_record(&self.piece.bytes[start..end])),
        };
        self.fault(check, message);
        self.object.push_null();
        self.push_span(start, end);
    }

    /// Counts lines up to a record that starts here.
    fn start_row(&mut self, start: usize) {
        let passed = &self.piece.bytes[self.counted..start];
        self.line += memchr_iter(LINE_FEED, passed).count() as i64;
        self.counted = start;
    }

    /// Ends the row of the record that was parsed.
    fn end_row(&mut self, start: usize, end: usize, parsed: Result<(), SyntaxError>) {
        let index = self.spans.len();
        if let Err(error) = parsed {
            self.undo(index);
            let head = &self.piece.bytes[..start];
            let before = match memchr::memrchr(LINE_FEED, head) {
                Some(line_feed) => head.len() - line_feed - 1,
                None => self.piece.before + head.len(),
            };
            let error = SyntaxError {
                at: error.at - start,
                ..error
            };
            let misplaced = Misplaced::new(&self.piece.bytes[start..end], before, error);
            self.fault(check::JSON, misplaced.message(self.line));
        } else if self.found.count() > 0 {
            self.take_found(index);
        }
        self.push_span(start, end);
    }

    /// The record that was parsed turns out not to be one: all of its cells are NULL.
    #[cold]
    fn undo(&mut self, index: usize) {
        self.found.clear();
        self.faults.pop_if(|fault| fault.row as usize == index);
        self.object.truncate(index);
        self.object.push_null();
    }

    /// What was found wrong with the record becomes faults, and wrong cells NULL.
    #[cold]
    fn take_found(&mut self, index: usize) {
        let fields = &self.rows.shape.fields;
        let column_of = |name: &str| fields.iter().position(|field| field.column.name == name);
        for fault in self.found.take(index as u32, column_of) {
            if let Some(cells) = fault
                .column
                .and_then(|column| self.object.cells.get_mut(column))
            {
                cells.truncate(index);
                cells.push_null();
            }
            self.faults.push(fault);
        }
    }

    fn push_span(&mut self, start: usize, end: usize) {
        self.spans.push(Span {
            start: start as u32,
            end: end as u32,
        });
        self.lines.push(self.line);
    }

    /// Finds fault with the record that is about to become a row.
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

/// What text is that stands where a record should.
fn not_a_record(text: &[u8]) -> String {
    let mut parser = Parser::new(text, 0);
    match parser.skip().and_then(|kind| parser.end().map(|()| kind)) {
        Ok(kind) => format!(
            "a JSON object was expected, and this is {}",
            kind.described()
        ),
        Err(_) => "a JSON object was expected here".to_owned(),
    }
}

/// The same range without the whitespace at its ends.
fn trimmed(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let text = &bytes[start..end];
    let before = text.iter().take_while(|&&byte| is_space(byte)).count();
    let after = text[before..]
        .iter()
        .rev()
        .take_while(|&&byte| is_space(byte))
        .count();
    (start + before, end - after)
}
