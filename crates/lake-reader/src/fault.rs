//! What is wrong with a record, in words for the person who has to mend it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The names of the checks that a record can fail.
pub mod check {
    /// The record has too few or too many fields, or one that is not declared and must be.
    pub const FIELDS: &str = "fields";
    /// A quote is not closed, or there is text after the one that closes.
    pub const QUOTE: &str = "quote";
    /// The record is not JSON, not an object, or has a name more than once.
    pub const JSON: &str = "json";
    /// A value is not UTF-8.
    pub const UTF_8: &str = "utf-8";
    /// A required value is empty.
    pub const REQUIRED: &str = "required";
    /// A value is not of its column's type.
    pub const TYPE: &str = "type";
    /// The record is longer than the limit.
    pub const RECORD_SIZE: &str = "record size";
    /// The file stops within the record.
    pub const TRUNCATED: &str = "truncated";
}

/// One reason why a record is not accepted.
///
/// A record can have several: one for each value that is wrong. Where its
/// fields cannot be told apart (checks [`FIELDS`](check::FIELDS),
/// [`RECORD_SIZE`](check::RECORD_SIZE) and a quote that is never closed), that
/// is its only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The row of the block that the record became.
    pub row: u32,
    /// The declared column, by position; none if the fault is the record's, or
    /// that of a column which is not declared.
    pub column: Option<usize>,
    /// What was checked: one of the names in [`check`].
    pub check: &'static str,
    /// The value, escaped as by [`Block::raw`](crate::Block::raw), and cut if
    /// it is long. Empty if the fault is the record's.
    pub value: String,
    /// What is wrong.
    pub message: String,
}

/// Longer values are cut in faults; the raw text has them in full.
const SHOWN_CHARS: usize = 100;

/// The value as faults show it.
pub(crate) fn shown(value: &[u8]) -> String {
    // No character has more than four bytes, and no byte becomes more than four.
    let head = &value[..value.len().min(4 * SHOWN_CHARS)];
    let text = escape_invalid(head);
    let cut = text.char_indices().nth(SHOWN_CHARS).map(|(at, _)| at);
    match cut {
        Some(at) => format!("{}…", &text[..at]),
        None if head.len() < value.len() => format!("{text}…"),
        None => text.into_owned(),
    }
}

/// Bytes as text, without losing any.
///
/// Valid UTF-8 is borrowed as it is. Otherwise every bad byte becomes `\xNN`
/// and every backslash two, so that the bytes can be had back.
pub(crate) fn escape_invalid(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for piece in bytes.utf8_chunks() {
        for character in piece.valid().chars() {
            if character == '\\' {
                text.push('\\');
            }
            text.push(character);
        }
        for byte in piece.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_is_not_touched() {
        assert!(matches!(escape_invalid(b"a\\b"), Cow::Borrowed("a\\b")));
    }

    #[test]
    fn bad_bytes_and_backslashes_are_escaped_together() {
        assert_eq!(escape_invalid(b"a\\b\xFF\xC3c"), "a\\\\b\\xFF\\xC3c");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shown("é".repeat(100).as_bytes()), "é".repeat(100));
        assert_eq!(
            shown("é".repeat(101).as_bytes()),
            format!("{}…", "é".repeat(100))
        );
        assert_eq!(
            shown(&[0xFF; 1000]).chars().count(),
            SHOWN_CHARS + 1,
            "escaped text is cut as well"
        );
    }
}
