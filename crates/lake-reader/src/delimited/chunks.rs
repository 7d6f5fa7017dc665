//! Cutting a stream of bytes into chunks of whole records.
//!
//! This is the part of reading that has to happen in order, so it does as
//! little as possible: it looks for quotes and line feeds and copies nothing
//! but the piece of a record at the end of its buffer. What a chunk contains
//! depends on [`Options::chunk_bytes`]; where its records start and end does
//! not, because a record is only decided on once all bytes that its end can
//! depend on are there.

use std::fmt;

use memchr::{memchr, memchr_iter, memrchr};

use super::record::{LINE_FEED, Mark, Place, Scan};
use crate::chunk::{Broken, Chunk, Damage, OnTruncated, Options};
use crate::layout::Dialect;
use crate::mismatch::Warning;
use crate::reader::{Cut, ReadError};
use crate::text::Text;

/// The chunks of a file, in order.
///
/// Memory is bounded by the [`Options`], whatever the file contains. After an
/// error there are no more chunks.
pub(crate) struct Chunks {
    text: Text,
    dialect: Dialect,
    options: Options,
    /// Bytes that were read and are not part of a chunk yet.
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    offset: u64,
    /// The physical line on which the buffer starts.
    line: u64,
    failed: bool,
    /// Up to here a scan of the current or an earlier record has been, and was inside quotes at
    /// every line feed but the [`bare`](Self::bare) ones. See [`Chunks::record_end`].
    quoted_until: u64,
    /// The line feeds that were escaped outside quotes when `quoted_until` was reached, in order.
    bare: Vec<u64>,
}

/// What is known about the record at some position of the buffer.
enum Found {
    /// One or more whole records end here.
    Whole(usize),
    /// One record that has no readable fields.
    Broken(Broken),
    /// The text stops here, because the compressed file does, and the record may go on.
    Cut(usize),
    /// One record that is too long; its end may not have been read yet.
    TooLong,
    /// The same for a comment.
    LongComment,
    /// More bytes are needed to tell.
    Unknown,
}

impl Cut for Chunks {
    fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        self.cut(Amount::Many)
    }

    fn warnings(&self) -> Vec<Warning> {
        self.text.cut_warning().into_iter().collect()
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("offset", &self.offset)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// How many records a chunk is to have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    One,
    Many,
}

impl Chunks {
    /// Starts at the beginning of a file.
    pub(crate) fn new(text: Text, dialect: Dialect, options: Options) -> Self {
        Self {
            dialect,
            options: options.within_bounds(),
            buffer: Vec::new(),
            offset: text.offset(),
            text,
            line: 1,
            failed: false,
            quoted_until: 0,
            bare: Vec::new(),
        }
    }

    /// A chunk that has only the next record, or only the next blank line or comment.
    pub(crate) fn next_record(&mut self) -> Result<Option<Chunk>, ReadError> {
        self.cut(Amount::One)
    }

    fn cut(&mut self, amount: Amount) -> Result<Option<Chunk>, ReadError> {
        if self.failed {
            return Ok(None);
        }
        let cut = self.cut_unfailed(amount);
        self.failed = cut.is_err();
        cut
    }

    fn cut_unfailed(&mut self, amount: Amount) -> Result<Option<Chunk>, ReadError> {
        let target = self.options.chunk_bytes;
        self.fill(target)?;
        // A header that is cut does not say what the columns are.
        let rejects_cut =
            self.options.on_truncated == OnTruncated::Reject && amount == Amount::Many;
        let mut end = 0;
        let mut broken = Vec::new();
        while end < target && !(self.text.at_end() && end == self.buffer.len()) {
            match self.find(end, amount) {
                Found::Whole(to) => end = to,
                Found::Broken(record) => {
                    end = record.end;
                    broken.push(record);
                }
                Found::Cut(to) if rejects_cut => {
                    broken.push(Broken {
                        start: end,
                        end: to,
                        damage: Damage::Truncated,
                    });
                    end = to;
                }
                Found::Cut(_) => break,
                Found::TooLong => return self.cut_too_long(end, broken).map(Some),
                Found::LongComment => return self.cut_long_comment(end, broken).map(Some),
                Found::Unknown if end > 0 => break,
                Found::Unknown => self.fill(target.max(2 * self.buffer.len()))?,
            }
            if amount == Amount::One && end > 0 {
                break;
            }
        }
        if end == 0 {
            return match self.text.cut_error() {
                Some(error) if !rejects_cut => Err(error),
                _ => Ok(None),
            };
        }
        let mut rest = Vec::with_capacity(target.max(self.buffer.len() - end));
        rest.extend_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let chunk = Chunk {
            offset: self.offset,
            first_line: self.line,
            broken,
            bytes,
        };
        self.offset += end as u64;
        self.line += line_feeds(&chunk.bytes);
        Ok(Some(chunk))
    }

    /// What starts at `start`, which is the start of a record.
    fn find(&mut self, start: usize, amount: Amount) -> Found {
        let dialect = self.dialect;
        let limit = self.options.max_record_bytes;
        // One byte more than a record may have, so that its line feed is seen.
        let stop = self.buffer.len().min(start + limit + 1);
        let window = &self.buffer[start..stop];
        let last = self.text.at_end() && stop == self.buffer.len();
        // A quote at the very end of the file closes, elsewhere it may be the first
        // of a pair: before it is known which, nothing is said about it.
        let end_is_known = self.text.at_end() || stop < self.buffer.len();
        let complete = end_is_known && (last || window.len() > limit);

        if dialect.is_comment(window) {
            return match memchr(LINE_FEED, window) {
                Some(line_feed) => Found::Whole(start + line_feed + 1),
                None if window.len() > limit => Found::LongComment,
                None if last => Found::Whole(stop),
                None => Found::Unknown,
            };
        }
        // Where an earlier scan has already been, records are looked at one by one.
        if amount == Amount::Many && self.quoted_until <= self.offset + start as u64 {
            let end = if dialect.find_special(window).is_some() {
                let mut end = None;
                dialect.walk::<false>(window, |mark| {
                    if let Mark::End(line_feed) = mark {
                        end = Some(line_feed);
                    }
                });
                end
            } else {
                // Without a quote or an escape, every line is a record, or a comment.
                memrchr(LINE_FEED, window)
            };
            if let Some(line_feed) = end {
                return Found::Whole(start + line_feed + 1);
            }
        }
        let mut bare = Vec::new();
        match self.record_end(start, window, last, &mut bare) {
            Scan::Line(line_feed) => Found::Whole(start + line_feed + 1),
            _ if !complete => Found::Unknown,
            _ if self.text.is_cut() && window.len() <= limit => {
                if dialect.trim_line_end(window).is_empty() {
                    Found::Whole(stop)
                } else {
                    Found::Cut(stop)
                }
            }
            Scan::Bare if window.len() <= limit => Found::Whole(stop),
            Scan::Bare => Found::TooLong,
            Scan::Quoted(resume) => {
                let line = memchr(LINE_FEED, window).map(|line_feed| line_feed + 1);
                let damage = if last {
                    Damage::OpenQuoteAtEnd
                } else {
                    Damage::OpenQuote { within: limit }
                };
                let end = match line {
                    Some(length) => start + length,
                    None if window.len() <= limit => stop,
                    None => return Found::TooLong,
                };
                self.quoted_until = self.offset + (start + resume) as u64;
                self.bare = bare;
                Found::Broken(Broken { start, end, damage })
            }
        }
    }

    /// Where the record at `start` ends within its window. The line feeds in it that are escaped
    /// outside quotes are added to `bare`.
    ///
    /// After an open quote, the scan starts again on the next line, and may run
    /// into the limit from there as well: a file of such lines would be scanned
    /// to the limit once per line. But two scans that are both inside quotes at a line feed, or
    /// both outside, are in the same state from there on, and it is known where the earlier one
    /// was. So the later one can jump to where the earlier one ended, inside quotes, and the whole
    /// file is scanned about twice at worst.
    fn record_end(&self, start: usize, window: &[u8], last: bool, bare: &mut Vec<u64>) -> Scan {
        let dialect = self.dialect;
        let offset = self.offset + start as u64;
        let known = self.quoted_until.saturating_sub(offset) as usize;
        let known = known.min(window.len());
        let (mut at, mut place) = (0, Place::FieldStart);
        while let Some(found) = memchr(LINE_FEED, &window[at..known]) {
            let line_feed = at + found;
            let is_bare = match dialect.scan(&window[..=line_feed], at, place, false, |_| {}) {
                Scan::Line(end) => return Scan::Line(end),
                Scan::Bare => true,
                Scan::Quoted(_) => false,
            };
            let earlier = self.bare.binary_search(&(offset + line_feed as u64));
            if is_bare {
                bare.push(offset + line_feed as u64);
            }
            if is_bare == earlier.is_ok() {
                let (Ok(next) | Err(next)) = earlier.map(|same| same + 1);
                bare.extend_from_slice(&self.bare[next..]);
                (at, place) = (known, Place::Quoted);
                break;
            }
            at = line_feed + 1;
            place = if is_bare {
                Place::Unquoted
            } else {
                Place::Quoted
            };
        }
        let is_bare = |at: &usize| window[*at] == LINE_FEED;
        dialect.scan(window, at, place, last, |mark| {
            bare.extend(Some(mark).filter(is_bare).map(|at| offset + at as u64));
        })
    }

    /// Ends a chunk with the first bytes of a record that is too long, and
    /// drops the rest of that record.
    fn cut_too_long(&mut self, start: usize, mut broken: Vec<Broken>) -> Result<Chunk, ReadError> {
        let limit = self.options.max_record_bytes;
        let (mut chunk, length) = self.cut_long(start)?;
        let mut end = start + limit.min(Options::KEPT_BYTES);
        // Not in the middle of a character: at most three bytes continue one.
        for _ in 0..3 {
            if end > start && chunk.bytes[end] & 0xC0 == 0x80 {
                end -= 1;
            }
        }
        chunk.bytes.truncate(end);
        broken.push(Broken {
            start,
            end,
            damage: Damage::TooLong {
                bytes: length,
                limit,
            },
        });
        chunk.broken = broken;
        Ok(chunk)
    }

    /// Ends a chunk with the first byte of a comment that is too long for a record, which nobody
    /// minds, and drops the rest of it.
    fn cut_long_comment(&mut self, start: usize, broken: Vec<Broken>) -> Result<Chunk, ReadError> {
        let (mut chunk, _) = self.cut_long(start)?;
        chunk.bytes.truncate(start + 1);
        chunk.broken = broken;
        Ok(chunk)
    }

    /// A chunk of all that was seen of what starts at `start` and is longer than a record may be,
    /// and the bytes that it has up to its line end.
    fn cut_long(&mut self, start: usize) -> Result<(Chunk, u64), ReadError> {
        let seen = self.options.max_record_bytes + 1;
        let rest = self.buffer.split_off(start + seen);
        let mut lines = line_feeds(&self.buffer);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let offset = self.offset;
        self.offset += bytes.len() as u64;

        let mut length = seen as u64;
        loop {
            if let Some(line_feed) = memchr(LINE_FEED, &self.buffer) {
                self.buffer.drain(..=line_feed);
                self.offset += line_feed as u64 + 1;
                length += line_feed as u64;
                lines += 1;
                break;
            }
            self.offset += self.buffer.len() as u64;
            length += self.buffer.len() as u64;
            self.buffer.clear();
            if self.text.at_end() {
                break;
            }
            self.fill(self.options.chunk_bytes)?;
        }
        let first_line = self.line;
        self.line += lines;
        let chunk = Chunk {
            bytes,
            offset,
            first_line,
            broken: Vec::new(),
        };
        Ok((chunk, length))
    }

    /// Reads until the buffer has so many bytes, or the source has no more.
    fn fill(&mut self, target: usize) -> Result<(), ReadError> {
        self.text.fill(&mut self.buffer, target)
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr_iter(LINE_FEED, bytes).count() as u64
}
