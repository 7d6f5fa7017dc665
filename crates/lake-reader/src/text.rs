//! The text of a file: unpacked, and in UTF-8.
//!
//! ```text
//!  Source ──► Raw ──► Unpacked ──► Text ──► whoever cuts it into records
//!            (stored)  (gzip, zstd)  (UTF-16, ISO 8859-1 to UTF-8; byte order mark)
//! ```
//!
//! Whoever cuts the text into records has a buffer of its own, and asks for it to be filled.

use crate::layout::Encoding;
use crate::mismatch::Warning;
use crate::reader::ReadError;
use crate::source::Source;
use crate::source::unpacked::{Stop, Unpacked};

mod encoding;
mod mark;

pub use mark::EncodingError;
use mark::{Decoding, start_of};

/// The text of a file, from the first character to the last.
///
/// Offsets in it are those of its UTF-8. They count the byte order mark, which is not part of what
/// is delivered.
#[derive(Debug)]
pub(crate) struct Text {
    unpacked: Unpacked,
    decoding: Decoding,
    /// Bytes of another encoding that could not be understood yet.
    pending: Vec<u8>,
    /// Text that is decoded and, from `head_start` on, not delivered yet.
    head: Vec<u8>,
    head_start: usize,
    /// How much text was delivered, the byte order mark included.
    delivered: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    More,
    Ended,
    /// Compressed data stops before its end, after so many bytes of the file.
    Cut {
        stored: u64,
    },
}

/// A byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// As many bytes as tell whether a text has a byte order mark.
const TELLING_BYTES: usize = 4;

/// How much is read in another encoding at a time.
const PENDING_BYTES: usize = 1 << 16;

impl Text {
    /// Looks at the first bytes of a file, and skips a byte order mark.
    ///
    /// # Errors
    ///
    /// Fails if the source does, or if the file starts with a byte order mark that is not the one
    /// of its encoding.
    pub(crate) fn open(source: &dyn Source, encoding: Encoding) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { offset: 0, source };
        let unpacked = Unpacked::open(source.stream().map_err(failed)?).map_err(failed)?;
        let mut text = Self {
            unpacked,
            decoding: Decoding::None,
            pending: Vec::new(),
            head: Vec::new(),
            head_start: 0,
            delivered: 0,
            state: State::More,
        };
        let mut start = Vec::with_capacity(TELLING_BYTES);
        text.read(&mut start)?;
        let (decoding, mark) = start_of(&start, encoding)?;
        text.decoding = decoding;
        if mark > 0 {
            text.delivered = BYTE_ORDER_MARK.len() as u64;
        }
        match decoding {
            Decoding::None => text.head = start.split_off(mark),
            Decoding::Utf16(_) | Decoding::Latin1 => {
                text.pending = start.split_off(mark);
                text.decode();
            }
        }
        Ok(text)
    }

    /// Where the text starts: behind the byte order mark, if there is one.
    pub(crate) fn offset(&self) -> u64 {
        self.delivered
    }

    /// Whether everything was delivered.
    pub(crate) fn at_end(&self) -> bool {
        self.state != State::More && self.head_start == self.head.len()
    }

    /// Whether everything was delivered and is not the whole text, because the compressed data
    /// stops before its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.at_end() && matches!(self.state, State::Cut { .. })
    }

    /// The error that the compressed data stops before its end.
    pub(crate) fn cut_error(&self) -> Option<ReadError> {
        match self.state {
            State::Cut { stored } => Some(ReadError::Truncated {
                stored,
                text: self.delivered,
            }),
            State::More | State::Ended => None,
        }
    }

    /// The warning that the compressed data stops before its end.
    pub(crate) fn cut_warning(&self) -> Option<Warning> {
        match self.state {
            State::Cut { stored } if self.at_end() => Some(Warning::Truncated {
                stored,
                text: self.delivered,
            }),
            _ => None,
        }
    }

    /// Appends text until the buffer has so many bytes or [`at_end`](Self::at_end). It may become
    /// a little more.
    ///
    /// # Errors
    ///
    /// Fails if the source does, or if compressed data is damaged.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>, target: usize) -> Result<(), ReadError> {
        while buffer.len() < target && !self.at_end() {
            buffer.reserve_exact(target - buffer.len());
            let before = buffer.len();
            let head = &self.head[self.head_start..];
            if !head.is_empty() {
                let count = head.len().min(target - before);
                buffer.extend_from_slice(&head[..count]);
                self.head_start += count;
            } else if self.decoding == Decoding::None {
                self.read(buffer)?;
            } else {
                let mut pending = std::mem::take(&mut self.pending);
                pending.reserve_exact(PENDING_BYTES);
                self.read(&mut pending)?;
                self.pending = pending;
                self.decode();
            }
            self.delivered += (buffer.len() - before) as u64;
        }
        Ok(())
    }

    /// Appends bytes that are not decoded yet, until `out` is full or there are no more.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let before = out.len();
        while self.state == State::More && out.len() < out.capacity() {
            match self.unpacked.append_to(out) {
                Ok(false) => {}
                Ok(true) => self.state = State::Ended,
                Err(Stop::Truncated { stored }) => self.state = State::Cut { stored },
                Err(stop) => {
                    let decoded = match self.decoding {
                        Decoding::None => out.len() - before,
                        Decoding::Utf16(_) | Decoding::Latin1 => 0,
                    };
                    return Err(stopped(stop, self.delivered + decoded as u64));
                }
            }
        }
        Ok(())
    }

    /// Decodes what is pending, as far as it can be understood yet.
    fn decode(&mut self) {
        self.head.clear();
        self.head_start = 0;
        let last = self.state != State::More;
        let taken = match self.decoding {
            Decoding::None => 0,
            Decoding::Latin1 => {
                encoding::latin1(&self.pending, &mut self.head);
                self.pending.len()
            }
            Decoding::Utf16(order) => encoding::utf16(&self.pending, order, last, &mut self.head),
        };
        self.pending.drain(..taken);
    }
}

/// Why there is no more text than this.
fn stopped(stop: Stop, text: u64) -> ReadError {
    match stop {
        Stop::Source(source) => ReadError::Io {
            offset: text,
            source,
        },
        Stop::Truncated { stored } => ReadError::Truncated { stored, text },
        Stop::Damaged {
            compression,
            offset,
            reason,
        } => ReadError::Damaged {
            compression,
            stored: offset,
            text,
            reason,
        },
    }
}
