//! The one rule that says where fields and records end.
//!
//! [`Chunks`](super::chunks::Chunks) cuts the file with it and
//! [`Binding`](super::binding::Binding) finds the fields with it, so that
//! the two can never disagree.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

pub(crate) const DELIMITER: u8 = b',';
pub(crate) const QUOTE: u8 = b'"';
pub(crate) const LINE_FEED: u8 = b'\n';

/// Where a scan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the start of a field, where a quote opens.
    FieldStart,
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

/// Looks from `start` for the end of the record, and tells `delimiter` the
/// position of every delimiter on the way.
///
/// `last` says that nothing follows `bytes`: a quote that is their very last
/// byte then closes, where it otherwise might be the first of a pair.
#[inline]
pub(crate) fn scan(
    bytes: &[u8],
    start: usize,
    place: Place,
    last: bool,
    mut delimiter: impl FnMut(usize),
) -> Scan {
    let mut at = start;
    let mut quoted = place == Place::Quoted;
    loop {
        if !quoted && bytes.get(at) == Some(&QUOTE) {
            quoted = true;
            at += 1;
        }
        if quoted {
            match close(bytes, at, last) {
                Ok(after) => at = after,
                Err(resume) => return Scan::Quoted(resume),
            }
            quoted = false;
        }
        match memchr2(DELIMITER, LINE_FEED, &bytes[at..]) {
            None => return Scan::Bare,
            Some(found) => {
                at += found;
                if bytes[at] == LINE_FEED {
                    return Scan::Line(at);
                }
                delimiter(at);
                at += 1;
            }
        }
    }
}

/// From a position inside quotes to the one after the quote that closes them,
/// or `Err` with the position from which the search can be resumed.
fn close(bytes: &[u8], mut at: usize, last: bool) -> Result<usize, usize> {
    loop {
        let Some(found) = memchr(QUOTE, &bytes[at..]) else {
            return Err(bytes.len());
        };
        let quote = at + found;
        match bytes.get(quote + 1) {
            Some(&QUOTE) => at = quote + 2,
            Some(_) => return Ok(quote + 1),
            None if last => return Ok(quote + 1),
            None => return Err(quote),
        }
    }
}

/// Text between a closing quote and the end of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextAfterQuote;

/// What a field says, without its quotes.
pub(crate) fn content(field: &[u8]) -> Result<Cow<'_, [u8]>, TextAfterQuote> {
    if field.first() != Some(&QUOTE) {
        return Ok(Cow::Borrowed(field));
    }
    if close(field, 1, true) != Ok(field.len()) {
        return Err(TextAfterQuote);
    }
    let inner = &field[1..field.len() - 1];
    let Some(mut quote) = memchr(QUOTE, inner) else {
        return Ok(Cow::Borrowed(inner));
    };
    // Quotes come in pairs here; each pair leaves its first one.
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        text.extend_from_slice(&rest[..=quote]);
        rest = &rest[quote + 2..];
        match memchr(QUOTE, rest) {
            Some(next) => quote = next,
            None => break,
        }
    }
    text.extend_from_slice(rest);
    Ok(Cow::Owned(text))
}

/// A record's text without the line end that closes it.
///
/// A CR that ends the whole input counts as a line end that was cut.
pub(crate) fn trim_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(record: &str) -> (Vec<usize>, Scan) {
        let mut delimiters = Vec::new();
        let scan = scan(record.as_bytes(), 0, Place::FieldStart, true, |at| {
            delimiters.push(at);
        });
        (delimiters, scan)
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
        let cut = scan(b"a,\"b\"", 0, Place::FieldStart, false, |_| {});
        assert_eq!(cut, Scan::Quoted(4), "the next byte may be a quote as well");
    }

    #[test]
    fn a_pair_of_quotes_is_one_quote() {
        assert_eq!(content(b"\"a\"\"b\"\"\"").unwrap().as_ref(), b"a\"b\"");
        assert_eq!(content(b"\"\"\"\"").unwrap().as_ref(), b"\"");
        assert_eq!(content(b"\"\"").unwrap().as_ref(), b"");
        assert_eq!(content(b"a\"\"b").unwrap().as_ref(), b"a\"\"b");
    }

    #[test]
    fn text_after_a_closing_quote_is_noticed() {
        assert_eq!(content(b"\"a\"b"), Err(TextAfterQuote));
        assert_eq!(content(b"\"a\" \"b\""), Err(TextAfterQuote));
    }
}
