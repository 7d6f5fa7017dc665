//! The bytes of a file as they are stored, with the position in it.

use std::fmt;
use std::io::{self, Read};

/// How many bytes are asked for at a time.
const CAPACITY: usize = 1 << 17;

/// A stream of bytes that can be looked at before they are taken.
pub(crate) struct Raw {
    source: Box<dyn Read + Send>,
    /// Bytes that were read and, from `start` on, not taken yet.
    buffer: Vec<u8>,
    start: usize,
    /// Where in the file the first byte is that was not taken yet.
    offset: u64,
    at_end: bool,
    /// Why the source has no more, to be told when what it had is taken.
    failed: Option<io::Error>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("offset", &self.offset)
            .field("at_end", &self.at_end)
            .finish_non_exhaustive()
    }
}

impl Raw {
    /// Starts at the first byte of a file.
    pub(crate) fn new(source: Box<dyn Read + Send>) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            at_end: false,
            failed: None,
        }
    }

    /// How many bytes were taken.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes the file has, where it is at its end.
    pub(crate) fn size(&mut self) -> io::Result<u64> {
        Ok(self.offset + self.peek(1)?.len() as u64)
    }

    /// What comes next: at least so many bytes, or all that are left. They are not taken.
    pub(crate) fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < least && !self.at_end {
            self.buffer.drain(..self.start);
            self.start = 0;
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let missing = CAPACITY.max(least) - self.buffer.len();
            match append(&mut self.source, &mut self.buffer, missing) {
                Ok(at_end) => self.at_end = at_end,
                Err(error) if self.buffer.len() < least => return Err(error),
                Err(error) => self.failed = Some(error),
            }
        }
        Ok(&self.buffer[self.start..])
    }

    /// Takes bytes that have been looked at.
    pub(crate) fn take(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Takes the next byte; none at the end.
    pub(crate) fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek(1)?.first().copied();
        self.take(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Takes the next bytes up to what `out` has room for, and says whether the file ends there.
    pub(crate) fn append_to(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let room = out.capacity() - out.len();
        let known = &self.buffer[self.start..];
        if !known.is_empty() {
            let count = known.len().min(room);
            out.extend_from_slice(&known[..count]);
            self.take(count);
            return Ok(self.at_end && self.start == self.buffer.len());
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if !self.at_end {
            let before = out.len();
            let read = append(&mut self.source, out, room);
            self.offset += (out.len() - before) as u64;
            self.at_end = read?;
        }
        Ok(self.at_end)
    }
}

/// Appends so many bytes, or all that are left, and says whether there were fewer.
fn append(source: &mut Box<dyn Read + Send>, out: &mut Vec<u8>, count: usize) -> io::Result<bool> {
    out.reserve_exact(count);
    let read = source.take(count as u64).read_to_end(out)?;
    Ok(read < count)
}
