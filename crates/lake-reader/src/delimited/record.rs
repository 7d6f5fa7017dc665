//! The one rule that says where fields and records end.
//!
//! [`Chunks`](super::chunks::Chunks) cuts the file with it and
//! [`Binding`](super::binding::Binding) finds the fields with it, so that
//! the two can never disagree.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use super::marks::for_each_mark;
use crate::layout::Dialect;

pub(crate) const LINE_FEED: u8 = b'\n';

/// Where a scan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the start of a field, where a quote opens.
    FieldStart,
    /// Within a field, where a quote is text.
    Unquoted,
    /// Inside quotes.
    Quoted,
}

/// How a scan for the end of a record came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The record ends with the line feed at this position.
    Line(usize),
    /// The bytes ran out outside quotes.
    Bare,
    /// The bytes ran out inside quotes, and the scan can be resumed from this
    /// position at [`Place::Quoted`].
    Quoted(usize),
}

/// What is found on the way through whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A delimiter is at this position.
    Delimiter(usize),
    /// A line ends, and its record does not.
    InnerLine,
    /// A record ends with the line feed at this position.
    End(usize),
}

impl Dialect {
    /// Walks through records from the start of one, and tells what is on the way: the same that
    /// [`scan`](Self::scan) finds record by record, faster where records are short. Delimiters
    /// are told about only if `FIELDS` says so. What has no end is not told about.
    #[inline]
    pub(crate) fn walk<const FIELDS: bool>(&self, bytes: &[u8], mut tell: impl FnMut(Mark)) {
        let delimiter = self.delimiter;
        // What a dialect does not have is looked for as something that it has.
        let quote = self.quote.unwrap_or(LINE_FEED);
        let escape = self.escape.unwrap_or(LINE_FEED);
        let is_mark = |byte: u8| {
            (byte == LINE_FEED)
                | (byte == quote)
                | (byte == escape)
                | (FIELDS & (byte == delimiter))
        };
        let mut start = 0;
        let mut is_comment = self.is_comment(bytes);
        let mut is_quoted = false;
        // The second of a pair of quotes, or what follows an escape.
        let mut meaningless = usize::MAX;
        for_each_mark(bytes, is_mark, |at| {
            let byte = bytes[at];
            if byte == LINE_FEED {
                if is_quoted || (at == meaningless && !is_comment) {
                    tell(Mark::InnerLine);
                } else {
                    tell(Mark::End(at));
                    start = at + 1;
                    is_comment = self.is_comment(&bytes[start..]);
                }
            } else if is_comment || at == meaningless {
            } else if FIELDS && byte == delimiter {
                if !is_quoted {
                    tell(Mark::Delimiter(at));
                }
            } else if byte == escape {
                meaningless = at + 1;
            } else if !is_quoted {
                let is_delimited = at > 0 && bytes[at - 1] == delimiter && at - 1 != meaningless;
                is_quoted = at == start || is_delimited;
            } else if bytes.get(at + 1) == Some(&quote) {
                meaningless = at + 1;
            } else {
                is_quoted = false;
            }
        });
    }

    /// The first byte that makes a line more than delimiters and text: a quote or an escape.
    #[inline]
    pub(crate) fn find_special(&self, bytes: &[u8]) -> Option<usize> {
        match (self.quote, self.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, bytes),
            (Some(one), None) | (None, Some(one)) => memchr(one, bytes),
            (None, None) => None,
        }
    }

    /// Whether the line that starts with these bytes is a comment.
    #[inline]
    pub(crate) fn is_comment(&self, line: &[u8]) -> bool {
        self.comment.is_some() && line.first().copied() == self.comment
    }

    /// Whether there is a byte, and it is a quote.
    #[inline]
    pub(crate) fn is_quote(&self, byte: Option<&u8>) -> bool {
        self.quote.is_some() && byte.copied() == self.quote
    }

    #[inline]
    fn is_escape(&self, byte: u8) -> bool {
        self.escape == Some(byte)
    }

    /// Looks from `start` for the end of the record, and tells `mark` on the way the positions of
    /// all delimiters, and of all line feeds outside quotes that do not end the record, because
    /// they are escaped.
    ///
    /// `last` says that nothing follows `bytes`: a quote that is their very last
    /// byte then closes, where it otherwise might be the first of a pair.
    #[inline]
    pub(crate) fn scan(
        &self,
        bytes: &[u8],
        start: usize,
        mut place: Place,
        last: bool,
        mut mark: impl FnMut(usize),
    ) -> Scan {
        let mut at = start;
        loop {
            if place == Place::FieldStart && self.is_quote(bytes.get(at)) {
                place = Place::Quoted;
                at += 1;
            }
            if place == Place::Quoted {
                match self.close(bytes, at, last) {
                    Ok(after) => at = after,
                    Err(resume) => return Scan::Quoted(resume),
                }
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let found = match self.escape {
                None => memchr2(self.delimiter, LINE_FEED, rest),
                Some(escape) => memchr3(self.delimiter, LINE_FEED, escape, rest),
            };
            let Some(found) = found else {
                return Scan::Bare;
            };
            at += found;
            if bytes[at] == LINE_FEED {
                return Scan::Line(at);
            }
            if bytes[at] == self.delimiter {
                mark(at);
                at += 1;
                place = Place::FieldStart;
            } else {
                if bytes.get(at + 1) == Some(&LINE_FEED) {
                    mark(at + 1);
                }
                at += 2;
                place = Place::Unquoted;
            }
        }
    }

    /// From a position inside quotes to the one after the quote that closes them,
    /// or `Err` with the position from which the search can be resumed.
    fn close(&self, bytes: &[u8], mut at: usize, last: bool) -> Result<usize, usize> {
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = self.find_special(rest) else {
                return Err(bytes.len());
            };
            let special = at + found;
            match bytes.get(special + 1) {
                None if self.is_escape(bytes[special]) => return Err(special),
                Some(_) if self.is_escape(bytes[special]) => at = special + 2,
                next if next.is_some() && self.is_quote(next) => at = special + 2,
                None if !last => return Err(special),
                _ => return Ok(special + 1),
            }
        }
    }

    /// What a field says, without its quotes and escapes.
    pub(crate) fn content<'a>(&self, field: &'a [u8]) -> Result<Cow<'a, [u8]>, TextAfterQuote> {
        let is_quoted = self.is_quote(field.first());
        let inner = if is_quoted {
            // Nearly always, the next quote is the last byte.
            if self.escape.is_none()
                && self.find_special(&field[1..]).map(|at| at + 2) == Some(field.len())
            {
                return Ok(Cow::Borrowed(&field[1..field.len() - 1]));
            }
            if self.close(field, 1, true) != Ok(field.len()) {
                return Err(TextAfterQuote);
            }
            &field[1..field.len() - 1]
        } else {
            field
        };
        let find = |bytes: &[u8]| match (is_quoted, self.escape) {
            (true, _) => self.find_special(bytes),
            (false, Some(escape)) => memchr(escape, bytes),
            (false, None) => None,
        };
        let Some(mut special) = find(inner) else {
            return Ok(Cow::Borrowed(inner));
        };
        // Quotes come in pairs here, and an escape before something; each pair leaves its second
        // byte. An escape that ends the file has nothing to escape, and stays.
        let mut text = Vec::with_capacity(inner.len());
        let mut rest = inner;
        loop {
            text.extend_from_slice(&rest[..special]);
            let kept = rest.get(special + 1).unwrap_or(&rest[special]);
            text.push(*kept);
            rest = rest.get(special + 2..).unwrap_or_default();
            match find(rest) {
                Some(next) => special = next,
                None => break,
            }
        }
        text.extend_from_slice(rest);
        Ok(Cow::Owned(text))
    }

    /// A record's text without the line end that closes it.
    ///
    /// A CR that ends the whole input counts as a line end that was cut. What is escaped is text.
    #[inline]
    pub(crate) fn trim_line_end<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        self.trim_one(self.trim_one(record, LINE_FEED), b'\r')
    }

    #[inline]
    fn trim_one<'a>(&self, record: &'a [u8], end: u8) -> &'a [u8] {
        match (record.split_last(), self.escape) {
            (Some((last, text)), None) if *last == end => text,
            (Some((last, text)), Some(escape)) if *last == end => {
                let escapes = text.iter().rev().take_while(|&&byte| byte == escape);
                if escapes.count() % 2 == 0 {
                    text
                } else {
                    record
                }
            }
            _ => record,
        }
    }
}

/// Text between a closing quote and the end of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextAfterQuote;

#[cfg(test)]
mod tests {
    use super::*;

    const ESCAPING: Dialect = Dialect {
        escape: Some(b'\\'),
        ..Dialect::CSV
    };

    fn fields_of(dialect: Dialect, record: &str) -> (Vec<usize>, Scan) {
        let mut marks = Vec::new();
        let scan = dialect.scan(record.as_bytes(), 0, Place::FieldStart, true, |at| {
            marks.push(at);
        });
        (marks, scan)
    }

    fn fields(record: &str) -> (Vec<usize>, Scan) {
        fields_of(Dialect::CSV, record)
    }

    fn content(dialect: Dialect, field: &str) -> Result<String, TextAfterQuote> {
        let content = dialect.content(field.as_bytes())?;
        Ok(String::from_utf8(content.into_owned()).unwrap())
    }

    #[test]
    fn a_quote_opens_only_at_the_start_of_a_field() {
        assert_eq!(fields("a,\"b,c\",d\n"), (vec![1, 7], Scan::Line(9)));
        assert_eq!(fields("a\",b\n"), (vec![2], Scan::Line(4)));
        assert_eq!(fields("a, \"b\nc"), (vec![1], Scan::Line(5)));
    }

    #[test]
    fn line_feeds_inside_quotes_do_not_end_a_record() {
        assert_eq!(fields("\"a\nb\"\nc"), (vec![], Scan::Line(5)));
        assert_eq!(fields("\"a\"\"\n\"\n"), (vec![], Scan::Line(6)));
    }

    #[test]
    fn running_out_of_bytes_says_whether_a_quote_is_open() {
        assert_eq!(fields("a,b").1, Scan::Bare);
        assert_eq!(fields("a,\"b").1, Scan::Quoted(4));
        assert_eq!(fields("a,\"b\"").1, Scan::Bare);
        let cut = Dialect::CSV.scan(b"a,\"b\"", 0, Place::FieldStart, false, |_| {});
        assert_eq!(cut, Scan::Quoted(4), "the next byte may be a quote as well");
    }

    #[test]
    fn an_escape_takes_the_meaning_from_the_next_byte_inside_quotes_and_outside() {
        let escaped = |record| fields_of(ESCAPING, record);
        assert_eq!(escaped("a\\,b,c\n"), (vec![4], Scan::Line(6)));
        assert_eq!(escaped("\\\"a,b\"\n"), (vec![3], Scan::Line(6)));
        assert_eq!(escaped("\"a\\\",b\",c\n"), (vec![7], Scan::Line(9)));
        assert_eq!(escaped("a\\\nb\n"), (vec![2], Scan::Line(4)));
        assert_eq!(escaped("a\\\\\nb\n"), (vec![], Scan::Line(3)));
        assert_eq!(escaped("\"a\\"), (vec![], Scan::Quoted(2)));
        assert_eq!(escaped("a\\"), (vec![], Scan::Bare));
    }

    #[test]
    fn a_walk_finds_what_scans_find() {
        let pieces = ["\"", "\"", ",", "\n", "\r\n", "\\", "#", "ab", "\n#"];
        let mut state = 7u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % below
        };
        for case in 0..20_000 {
            let dialect = Dialect {
                quote: (case % 2 == 0).then_some(b'"'),
                escape: (case / 2 % 2 == 0).then_some(b'\\'),
                comment: (case / 4 % 2 == 0).then_some(b'#'),
                ..Dialect::CSV
            };
            let text: String = (0..next(150)).map(|_| pieces[next(pieces.len())]).collect();
            let bytes = text.as_bytes();
            let mut walked = Vec::new();
            dialect.walk::<true>(bytes, |mark| walked.push(mark));
            let last = walked.iter().rposition(|mark| matches!(mark, Mark::End(_)));
            walked.truncate(last.map_or(0, |last| last + 1));
            let mut ends = Vec::new();
            dialect.walk::<false>(bytes, |mark| ends.push(mark));
            let last = ends.iter().rposition(|mark| matches!(mark, Mark::End(_)));
            ends.truncate(last.map_or(0, |last| last + 1));

            let mut scanned = Vec::new();
            let mut start = 0;
            loop {
                let line = &bytes[start..];
                let mut marks = Vec::new();
                let end = if dialect.is_comment(line) {
                    memchr(LINE_FEED, line).map(|end| start + end)
                } else {
                    let place = Place::FieldStart;
                    match dialect.scan(bytes, start, place, true, |at| marks.push(at)) {
                        Scan::Line(end) => Some(end),
                        _ => None,
                    }
                };
                let Some(end) = end else { break };
                if !dialect.is_comment(line) {
                    marks.extend((start..end).filter(|&at| bytes[at] == LINE_FEED));
                    marks.sort_unstable();
                    marks.dedup();
                }
                scanned.extend(marks.into_iter().map(|at| match bytes[at] {
                    LINE_FEED => Mark::InnerLine,
                    _ => Mark::Delimiter(at),
                }));
                scanned.push(Mark::End(end));
                start = end + 1;
            }
            assert_eq!(walked, scanned, "{dialect:?} {text:?}");
            scanned.retain(|mark| !matches!(mark, Mark::Delimiter(_)));
            assert_eq!(ends, scanned, "{dialect:?} {text:?}");
        }
    }

    #[test]
    fn without_a_quote_character_quotes_are_text() {
        assert_eq!(fields_of(Dialect::TSV, "\"a\n\"\t\n").1, Scan::Line(2));
        assert_eq!(content(Dialect::TSV, "\"a\"").as_deref(), Ok("\"a\""));
    }

    #[test]
    fn a_pair_of_quotes_is_one_quote() {
        assert_eq!(
            content(Dialect::CSV, "\"a\"\"b\"\"\"").as_deref(),
            Ok("a\"b\"")
        );
        assert_eq!(content(Dialect::CSV, "\"\"\"\"").as_deref(), Ok("\""));
        assert_eq!(content(Dialect::CSV, "\"\"").as_deref(), Ok(""));
        assert_eq!(content(Dialect::CSV, "a\"\"b").as_deref(), Ok("a\"\"b"));
    }

    #[test]
    fn an_escape_is_not_part_of_the_content() {
        assert_eq!(content(ESCAPING, "a\\,\\\\\\n").as_deref(), Ok("a,\\n"));
        assert_eq!(content(ESCAPING, "\"a\\\"\"\"b\"").as_deref(), Ok("a\"\"b"));
        assert_eq!(content(ESCAPING, "\\\"a\"").as_deref(), Ok("\"a\""));
        assert_eq!(
            content(ESCAPING, "a\\").as_deref(),
            Ok("a\\"),
            "at the end of the file"
        );
    }

    #[test]
    fn text_after_a_closing_quote_is_noticed() {
        assert_eq!(content(Dialect::CSV, "\"a\"b"), Err(TextAfterQuote));
        assert_eq!(content(Dialect::CSV, "\"a\" \"b\""), Err(TextAfterQuote));
        assert_eq!(content(ESCAPING, "\"a\"\\\""), Err(TextAfterQuote));
    }

    #[test]
    fn what_is_escaped_is_not_part_of_a_line_end() {
        assert_eq!(Dialect::CSV.trim_line_end(b"a\\\r\n"), b"a\\");
        assert_eq!(ESCAPING.trim_line_end(b"a\\\r\n"), b"a\\\r");
        assert_eq!(ESCAPING.trim_line_end(b"a\\\\\r\n"), b"a\\\\");
        assert_eq!(ESCAPING.trim_line_end(b"a\\\n"), b"a\\\n");
    }
}
