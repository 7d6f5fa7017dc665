//! Whole records of a JSON file, and those that are known to be broken before anything is parsed.

use super::syntax::SyntaxError;

/// Some whole records, in order, with what is between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The text. Of a record that has no end within the limit, only the first bytes; it is always
    /// the last.
    pub(crate) bytes: Vec<u8>,
    /// Where in the text of the file the first byte is, counted from 0.
    pub(crate) offset: u64,
    /// The physical line on which it starts, counted from 1.
    pub(crate) first_line: u64,
    /// How many bytes of that line come before it.
    pub(crate) before: usize,
    /// The records that are not to be parsed, by position.
    pub(crate) broken: Vec<Broken>,
}

/// A record that is not to be parsed, or text that stands where a record should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) damage: Damage,
}

/// Why a record is not to be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It stops being JSON here.
    Malformed(Misplaced),
    /// It has so many bytes, and may only have fewer.
    TooLong { bytes: u64, limit: usize },
    /// The file ends before it does.
    Unfinished,
    /// It follows another record without a comma.
    NoComma,
    /// It is not an object.
    NotARecord,
}

/// A byte that cannot be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// How many lines after that on which the record starts.
    pub(crate) lines: u64,
    /// Which byte of its line, counted from 1.
    pub(crate) byte: usize,
    /// What could be there.
    pub(crate) expected: &'static str,
    /// What is there; nothing at the end.
    pub(crate) found: Option<char>,
}

impl Misplaced {
    /// Where an error is in the text of a record, which starts on its line behind `before` bytes.
    pub(crate) fn new(record: &[u8], before: usize, error: SyntaxError) -> Self {
        let (head, rest) = record.split_at(error.at.min(record.len()));
        let lines = memchr::memchr_iter(b'\n', head).count() as u64;
        let byte = match memchr::memrchr(b'\n', head) {
            Some(line_feed) => head.len() - line_feed,
            None => before + head.len() + 1,
        };
        let found = rest.utf8_chunks().next().map(|chunk| {
            let valid = chunk.valid().chars().next();
            valid.unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        Self {
            lines,
            byte,
            expected: error.expected,
            found,
        }
    }

    /// The message of a fault of a record that starts on `line`.
    pub(crate) fn message(&self, line: i64) -> String {
        let Self {
            byte,
            expected,
            lines,
            ..
        } = self;
        let line = line as u64 + lines;
        let found = match self.found {
            None => "the end".to_owned(),
            Some('\'') => "\"'\"".to_owned(),
            Some(char::REPLACEMENT_CHARACTER) => "a byte that is not UTF-8".to_owned(),
            Some(found) if found.is_control() => format!("'{}'", found.escape_default()),
            Some(found) => format!("'{found}'"),
        };
        format!("not JSON at byte {byte} of line {line}: expected {expected}, found {found}")
    }
}
