//! Records whose end is not in sight: their first bytes are kept, and the rest is passed over.

use memchr::memchr;

use super::nesting::{Nesting, Scan};
use super::piece::{Broken, Damage, Misplaced, Piece};
use super::window::{Indent, LINE_FEED, Window};
use crate::chunk::Options;
use crate::reader::ReadError;

/// What ends a record that is too long to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The bracket that closes it; the end of the line, where there can be none any more.
    Closed(Nesting),
    /// The end of the line.
    Line,
    /// A line that starts another record. It is known where this one stops being JSON.
    Record(Resync, Misplaced),
}

/// The search for a line on which another record, or the end of the array, is.
///
/// It begins with a bracket that opens a record (or closes the array), and is not indented deeper
/// than the record before: so a value inside a record that is written over several lines is not
/// taken for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resync {
    /// How far the line may be indented.
    pub(crate) indent: usize,
    /// What else than `{` may be at its start.
    pub(crate) other: u8,
    /// The whitespace at the start of the line so far.
    pub(crate) line: Indent,
}

impl Resync {
    /// Looks on, and returns the position of the bracket.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.line.ended {
                at += memchr(LINE_FEED, &bytes[at..])? + 1;
                self.line = Indent::default();
                continue;
            }
            match bytes[at] {
                LINE_FEED => self.line = Indent::default(),
                b' ' | b'\t' | b'\r' => self.line.width += 1,
                byte => {
                    self.line.ended = true;
                    let is_start = byte == b'{' || byte == self.other;
                    if is_start && self.line.width <= self.indent {
                        return Some(at);
                    }
                }
            }
            at += 1;
        }
        None
    }
}

/// Takes the first bytes of a record out of the window, with what is before it, and drops the rest
/// of it. More bytes than a record may have are in the window from its start on.
pub(crate) fn cut(
    window: &mut Window,
    start: usize,
    options: Options,
    mut until: Until,
) -> Result<Piece, ReadError> {
    let limit = options.max_record_bytes;
    let seen = window.bytes().len().min(start + limit);
    let kept = kept(window.bytes(), start, limit);
    let mut piece = window.take(seen, options.chunk_bytes);
    let from = piece.offset + start as u64;
    let end = loop {
        let bytes = window.bytes();
        let end = match &mut until {
            Until::Closed(nesting) => match nesting.scan(bytes, 0) {
                Scan::Closed(end) => Some(end),
                Scan::More => None,
                Scan::Failed(at) => {
                    window.skip(at);
                    until = Until::Line;
                    continue;
                }
            },
            Until::Line => memchr(LINE_FEED, bytes),
            Until::Record(resync, _) => resync.find(bytes),
        };
        match end {
            Some(end) => {
                window.skip(end);
                break window.offset();
            }
            None => window.skip(bytes.len()),
        }
        if window.is_last() {
            break window.offset();
        }
        window.fill(options.chunk_bytes)?;
    };

    piece.bytes.truncate(kept);
    let damage = match until {
        Until::Record(_, misplaced) => Damage::Malformed(misplaced),
        Until::Closed(_) | Until::Line => Damage::TooLong {
            bytes: end - from,
            limit,
        },
    };
    piece.broken.push(Broken {
        start,
        end: kept,
        damage,
    });
    Ok(piece)
}

/// Up to where a record is kept that starts here and is longer than it may be.
pub(crate) fn kept(bytes: &[u8], start: usize, limit: usize) -> usize {
    let mut kept = start + limit.min(Options::KEPT_BYTES);
    // Not in the middle of a character: at most three bytes continue one.
    for _ in 0..3 {
        let continues = |byte: &u8| byte & 0xC0 == 0x80;
        if kept > start && bytes.get(kept).is_some_and(continues) {
            kept -= 1;
        }
    }
    kept.min(bytes.len())
}
