//! Cutting NDJSON: a record is a line, whatever is on it.
//!
//! JSON has no line feeds inside strings, so that a broken line can never reach into the next.

use memchr::{memchr, memrchr};

use super::endless::{self, Until};
use super::piece::{Broken, Damage, Piece};
use super::window::{LINE_FEED, Window, is_space};
use crate::chunk::{OnTruncated, Options};
use crate::mismatch::Warning;
use crate::reader::{Cut, ReadError};

/// The lines of a text, in order.
#[derive(Debug)]
pub(crate) struct Lines {
    window: Window,
    options: Options,
    failed: bool,
}

impl Lines {
    /// Starts at the beginning of a text.
    pub(crate) fn new(window: Window, options: Options) -> Self {
        Self {
            window,
            options: options.within_bounds(),
            failed: false,
        }
    }

    /// Lines that are longer than a record may be and lie in the piece as a whole are found by
    /// whoever parses it.
    fn cut(&mut self) -> Result<Option<Piece>, ReadError> {
        let Options {
            chunk_bytes,
            max_record_bytes: limit,
            ..
        } = self.options;
        self.window.fill(chunk_bytes)?;
        loop {
            let bytes = self.window.bytes();
            if let Some(line_feed) = memrchr(LINE_FEED, bytes) {
                return Ok(Some(self.window.take(line_feed + 1, chunk_bytes)));
            }
            if bytes.len() > limit {
                return endless::cut(&mut self.window, 0, self.options, Until::Line).map(Some);
            }
            if self.window.is_last() {
                return self.cut_last();
            }
            let more = chunk_bytes.max(2 * bytes.len()).min(limit + 1);
            self.window.fill(more)?;
        }
    }
}

impl Lines {
    /// The last line, which has no line feed.
    fn cut_last(&mut self) -> Result<Option<Piece>, ReadError> {
        let bytes = self.window.bytes();
        let end = bytes.len();
        let is_blank = bytes.iter().all(|&byte| is_space(byte));
        let cut = self.window.text().cut_error();
        let mut broken = Vec::new();
        match (cut, self.options.on_truncated) {
            (Some(error), OnTruncated::Fail) => return Err(error),
            (Some(_), OnTruncated::Reject) if !is_blank => broken.push(Broken {
                start: 0,
                end,
                damage: Damage::Unfinished,
            }),
            _ => {}
        }
        Ok((end > 0).then(|| {
            let piece = self.window.take(end, 0);
            Piece { broken, ..piece }
        }))
    }
}

impl Cut<Piece> for Lines {
    fn next_chunk(&mut self) -> Result<Option<Piece>, ReadError> {
        if self.failed {
            return Ok(None);
        }
        let cut = self.cut();
        self.failed = cut.is_err();
        cut
    }

    fn warnings(&self) -> Vec<Warning> {
        self.window.text().cut_warning().into_iter().collect()
    }
}

/// The records of a piece of lines: where each starts and ends, without its line feed.
pub(crate) fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let length = memchr(LINE_FEED, rest).unwrap_or(rest.len());
        at += length + 1;
        Some((start, start + length))
    })
}
