//! The part of a text that is in memory while it is cut into records.

use std::fmt;

use memchr::{memchr_iter, memrchr};

use super::piece::{Misplaced, Piece};
use super::syntax::SyntaxError;
use crate::reader::ReadError;
use crate::text::Text;

pub(crate) const LINE_FEED: u8 = b'\n';

/// Bytes that were read and are not part of a piece yet.
pub(crate) struct Window {
    text: Text,
    buffer: Vec<u8>,
    /// Where in the text the buffer starts.
    offset: u64,
    /// The physical line on which it starts.
    line: u64,
    /// How many bytes of that line come before it.
    before: usize,
    /// How far the text of that line is indented.
    indent: Indent,
}

/// The whitespace at the start of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Indent {
    /// How many bytes it has.
    pub(crate) width: usize,
    /// Whether something else has followed.
    pub(crate) ended: bool,
}

impl Indent {
    /// Of the last line, when these bytes follow.
    pub(crate) fn after(mut self, bytes: &[u8]) -> Self {
        let mut line = bytes;
        if let Some(line_feed) = memrchr(LINE_FEED, bytes) {
            self = Self::default();
            line = &bytes[line_feed + 1..];
        }
        if !self.ended {
            let width = line.iter().take_while(|&&byte| is_space(byte)).count();
            self.width += width;
            self.ended = width < line.len();
        }
        self
    }
}

/// Whether a byte is JSON's whitespace.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("offset", &self.offset)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Window {
    /// Starts at the beginning of a text.
    pub(crate) fn new(text: Text) -> Self {
        Self {
            offset: text.offset(),
            text,
            buffer: Vec::new(),
            line: 1,
            before: 0,
            indent: Indent::default(),
        }
    }

    /// What is in memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Where in the text the first byte of it is.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nothing follows it.
    pub(crate) fn is_last(&self) -> bool {
        self.text.at_end()
    }

    /// The indentation of the line on which a position is.
    pub(crate) fn indent_at(&self, at: usize) -> usize {
        self.indent.after(&self.buffer[..at]).width
    }

    /// Reads until so many bytes are in memory, or nothing follows.
    pub(crate) fn fill(&mut self, target: usize) -> Result<(), ReadError> {
        self.text.fill(&mut self.buffer, target)
    }

    /// The text, which knows whether the file that it comes from is whole.
    pub(crate) fn text(&self) -> &Text {
        &self.text
    }

    /// Takes the first bytes out; about `next` are going to be read after them.
    pub(crate) fn take(&mut self, end: usize, next: usize) -> Piece {
        let mut rest = Vec::with_capacity(next.max(self.buffer.len() - end));
        rest.extend_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let piece = Piece {
            offset: self.offset,
            first_line: self.line,
            before: self.before,
            broken: Vec::new(),
            bytes,
        };
        self.pass(&piece.bytes);
        piece
    }

    /// Drops the first bytes.
    pub(crate) fn skip(&mut self, end: usize) {
        let rest = self.buffer.split_off(end);
        let passed = std::mem::replace(&mut self.buffer, rest);
        self.pass(&passed);
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.line += memchr_iter(LINE_FEED, bytes).count() as u64;
        self.before = self.before_at(bytes, bytes.len());
        self.indent = self.indent.after(bytes);
    }

    /// How many bytes of its line come before a position in bytes that are next.
    fn before_at(&self, bytes: &[u8], at: usize) -> usize {
        match memrchr(LINE_FEED, &bytes[..at]) {
            Some(line_feed) => at - line_feed - 1,
            None => self.before + at,
        }
    }

    /// Where the record at a position, up to another one, stops being JSON.
    pub(crate) fn misplaced(&self, start: usize, end: usize, error: SyntaxError) -> Misplaced {
        let before = self.before_at(&self.buffer, start);
        Misplaced::new(&self.buffer[start..end], before, error)
    }
}
