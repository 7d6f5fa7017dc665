//! Cutting JSON: records are the elements of arrays at the top level, or objects at the top level.
//!
//! Where a record ends is found by its brackets and strings ([`Nesting`]). Everything between
//! records is looked at: what is not a bracket of an array at the top level, a comma where one
//! belongs, or whitespace, is a broken record of its own.
//!
//! A record whose end cannot be found is broken. Where exactly it stops being JSON decides what
//! that means:
//!
//! - It does not, as far as a record may go: it is too long. It ends where its brackets close.
//! - It does not, up to the end of the file: the file is cut off.
//! - Otherwise, it goes on up to a line that looks as if it started another record ([`Resync`]).

use super::endless::{self, Resync, Until};
use super::nesting::{Nesting, Scan};
use super::piece::{Broken, Damage, Piece};
use super::syntax::{Parser, SyntaxError};
use super::window::{Indent, LINE_FEED, Window, is_space};
use crate::chunk::{OnTruncated, Options};
use crate::mismatch::Warning;
use crate::reader::{Cut, ReadError};

/// The records of a text, in order.
#[derive(Debug)]
pub(crate) struct Elements {
    window: Window,
    options: Options,
    place: Place,
    /// That the file is cut off, if it is and may be.
    cut_off: Option<Warning>,
    failed: bool,
}

/// Where in the text the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside arrays.
    Top,
    /// In the array that opens at this byte of the text.
    Array { opens: u64, after: After },
}

/// What came last in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Start,
    Comma,
    Record,
    /// A record whose end is a guess, so that a comma may be part of it.
    Broken,
}

/// What is at some position of the window.
enum Next {
    /// Something between records, up to there.
    Between(usize),
    /// A record, up to there.
    Record(usize),
    Broken(Broken),
    /// A record that does not end within the window.
    Endless(Until),
    /// A record at the end of the file, which is cut off.
    Unfinished,
    /// More bytes are needed to tell.
    Unknown,
}

impl Elements {
    /// Starts at the beginning of a text.
    pub(crate) fn new(window: Window, options: Options) -> Self {
        Self {
            window,
            options: options.within_bounds(),
            place: Place::Top,
            cut_off: None,
            failed: false,
        }
    }

    fn cut(&mut self) -> Result<Option<Piece>, ReadError> {
        let target = self.options.chunk_bytes;
        self.window.fill(target)?;
        let mut at = 0;
        let mut broken = Vec::new();
        while at < target {
            let bytes = self.window.bytes();
            at += bytes[at..].iter().take_while(|&&b| is_space(b)).count();
            if at == bytes.len() {
                if at > 0 || self.window.is_last() {
                    break;
                }
                self.window.fill(target)?;
                continue;
            }
            match self.next(at) {
                Next::Between(end) => {
                    self.pass_between(at);
                    at = end;
                }
                Next::Record(end) => {
                    self.pass_record(After::Record);
                    at = end;
                }
                Next::Broken(record) => {
                    self.pass_broken(record);
                    broken.push(record);
                    at = record.end;
                }
                Next::Endless(until) => {
                    self.pass_record(After::Broken);
                    let mut piece = endless::cut(&mut self.window, at, self.options, until)?;
                    broken.append(&mut piece.broken);
                    piece.broken = broken;
                    return Ok(Some(piece));
                }
                Next::Unfinished | Next::Unknown if at > 0 => break,
                Next::Unfinished => {
                    self.not_closed("record", self.window.offset())?;
                    self.pass_record(After::Broken);
                    let end = self.window.bytes().len();
                    broken.push(Broken {
                        start: at,
                        end,
                        damage: Damage::Unfinished,
                    });
                    at = end;
                }
                Next::Unknown => {
                    let more = target.max(2 * self.window.bytes().len());
                    self.window.fill(more)?;
                }
            }
        }
        if at > 0 {
            let mut piece = self.window.take(at, target);
            piece.broken = broken;
            return Ok(Some(piece));
        }
        match (self.place, self.window.text().cut_error()) {
            (Place::Array { opens, .. }, _) => self.not_closed("array", opens)?,
            (Place::Top, Some(error)) if self.options.on_truncated == OnTruncated::Fail => {
                return Err(error);
            }
            (Place::Top, _) => {}
        }
        Ok(None)
    }

    /// The file ends inside of something that opens at a byte of the text.
    fn not_closed(&mut self, what: &'static str, opens: u64) -> Result<(), ReadError> {
        let end = self.window.offset() + self.window.bytes().len() as u64;
        let text = self.window.text();
        match self.options.on_truncated {
            OnTruncated::Fail => {
                Err(text
                    .cut_error()
                    .unwrap_or(ReadError::NotClosed { what, opens, end }))
            }
            OnTruncated::Reject => {
                let warning = text.cut_warning();
                let warning = warning.unwrap_or(Warning::NotClosed { what, opens, end });
                self.cut_off.get_or_insert(warning);
                Ok(())
            }
        }
    }

    /// What is at a position that is not whitespace.
    fn next(&self, at: usize) -> Next {
        let byte = self.window.bytes()[at];
        match (self.place, byte) {
            (Place::Top, b'[') => return Next::Between(at + 1),
            (Place::Array { after, .. }, b',') => match after {
                After::Record | After::Broken => return Next::Between(at + 1),
                After::Start | After::Comma => {}
            },
            (Place::Array { after, .. }, b']') if after != After::Comma => {
                return Next::Between(at + 1);
            }
            _ => {}
        }
        match byte {
            b'{' | b'[' => self.record(at),
            _ => self.stray(at),
        }
    }

    /// A record, which opens here.
    fn record(&self, start: usize) -> Next {
        let limit = self.options.max_record_bytes;
        let bytes = self.window.bytes();
        let stop = bytes.len().min(start + limit);
        let is_all = stop == bytes.len();
        let mut nesting = Nesting::default();
        match nesting.scan(&bytes[..stop], start) {
            Scan::Closed(end) => {
                let no_comma = matches!(
                    self.place,
                    Place::Array {
                        after: After::Record,
                        ..
                    }
                );
                let damage = match bytes[start] {
                    _ if no_comma => Damage::NoComma,
                    b'[' => Damage::NotARecord,
                    _ => return Next::Record(end),
                };
                return Next::Broken(Broken { start, end, damage });
            }
            Scan::More if is_all && !self.window.is_last() => return Next::Unknown,
            Scan::More | Scan::Failed(_) => {}
        }
        let record = &bytes[start..stop];
        match Parser::new(record, 0).skip() {
            Err(error) if error.at < record.len() => self.malformed(start, stop, error),
            _ if is_all => Next::Unfinished,
            _ => Next::Endless(Until::Closed(nesting)),
        }
    }

    /// A record that stops being JSON: where reading can go on.
    fn malformed(&self, start: usize, stop: usize, error: SyntaxError) -> Next {
        let bytes = self.window.bytes();
        let misplaced = self.window.misplaced(start, stop, error);
        let mut resync = Resync {
            indent: self.window.indent_at(start),
            other: match self.place {
                Place::Top => b'[',
                Place::Array { .. } => b']',
            },
            line: Indent {
                width: 0,
                ended: true,
            },
        };
        // The line on which it stops may be the first of the next record.
        let head = &bytes[start..start + error.at];
        let mut from = start + error.at;
        if let Some(line_feed) = memchr::memrchr(LINE_FEED, head) {
            from = start + line_feed + 1;
            resync.line = Indent::default();
        }
        match resync.find(&bytes[from..stop]) {
            Some(found) => Next::Broken(Broken {
                start,
                end: from + found,
                damage: Damage::Malformed(misplaced),
            }),
            None if stop < bytes.len() => Next::Endless(Until::Record(resync, misplaced)),
            None if self.window.is_last() => Next::Broken(Broken {
                start,
                end: stop,
                damage: Damage::Malformed(misplaced),
            }),
            None => Next::Unknown,
        }
    }

    /// Text that no record starts with: up to where the next one may start.
    fn stray(&self, start: usize) -> Next {
        let limit = self.options.max_record_bytes;
        let bytes = self.window.bytes();
        let stop = bytes.len().min(start + limit);
        let end = match stray_end(&bytes[..stop], start) {
            Some(end) => end,
            None if stop < bytes.len() => return Next::Endless(Until::Line),
            None if self.window.is_last() => stop,
            None => return Next::Unknown,
        };
        Next::Broken(Broken {
            start,
            end,
            damage: Damage::NotARecord,
        })
    }

    /// Steps over what is between records.
    fn pass_between(&mut self, at: usize) {
        let opens = self.window.offset() + at as u64;
        self.place = match (self.place, self.window.bytes()[at]) {
            (Place::Top, _) => Place::Array {
                opens,
                after: After::Start,
            },
            (Place::Array { .. }, b']') => Place::Top,
            (Place::Array { opens, .. }, _) => Place::Array {
                opens,
                after: After::Comma,
            },
        };
    }

    fn pass_record(&mut self, now: After) {
        if let Place::Array { after, .. } = &mut self.place {
            *after = now;
        }
    }

    /// Steps over what is not to be parsed. It is said to be wrong already, so that what follows is
    /// not held against it.
    fn pass_broken(&mut self, record: Broken) {
        match (record.damage, self.window.bytes()[record.start]) {
            (Damage::NoComma, _) => self.pass_record(After::Record),
            (Damage::NotARecord, b',') => self.pass_record(After::Comma),
            (Damage::NotARecord, b']') => self.place = Place::Top,
            _ => self.pass_record(After::Broken),
        }
    }
}

/// Where text ends that is not a record: at a comma, at a bracket that opens a record or closes an
/// array, or at the end of the line. A comma or a bracket in the wrong place is one byte.
fn stray_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    if let Some(b',' | b']') = bytes.get(at) {
        return Some(at + 1);
    }
    loop {
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                at += memchr::memchr3(b'"', b'\\', LINE_FEED, bytes.get(at..)?)?;
                match bytes[at] {
                    b'\\' if bytes.get(at + 1) != Some(&LINE_FEED) => at += 2,
                    b'\\' => at += 1,
                    b'"' => break,
                    _ => return Some(at),
                }
            }
        }
        at += 1;
        match bytes.get(at)? {
            b',' | b'{' | b'[' | b']' | &LINE_FEED => return Some(at),
            _ => {}
        }
    }
}

impl Cut<Piece> for Elements {
    fn next_chunk(&mut self) -> Result<Option<Piece>, ReadError> {
        if self.failed {
            return Ok(None);
        }
        let cut = self.cut();
        self.failed = cut.is_err();
        cut
    }

    fn warnings(&self) -> Vec<Warning> {
        let cut_off = self.cut_off.clone();
        let cut_off = cut_off.or_else(|| self.window.text().cut_warning());
        cut_off.into_iter().collect()
    }
}
