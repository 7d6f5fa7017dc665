//! Byte order marks: what the first bytes of a text say about its encoding.

use super::encoding::ByteOrder;
use crate::layout::Encoding;

/// How the bytes of a text become UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// They are UTF-8 already.
    None,
    Utf16(ByteOrder),
    Latin1,
}

/// Why the first bytes of a file and its declared encoding do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The file begins with the byte order mark of another encoding.
    #[error(
        "the file is declared as {declared}, and starts with the byte order mark of {found}; \
         declare its encoding as {found}"
    )]
    OtherMark {
        /// The declared encoding.
        declared: Encoding,
        /// The one that has this byte order mark.
        found: Encoding,
    },
    /// The file is declared to say its byte order itself, and does not.
    #[error(
        "the file is declared as {}, and has no byte order mark that says which byte of a \
         character comes first; declare its encoding as {} or {}",
        Encoding::Utf16,
        Encoding::Utf16Le,
        Encoding::Utf16Be
    )]
    NoMark,
}

/// Every byte order mark, with the encoding that it says.
const MARKS: [(&[u8], Encoding); 3] = [
    (b"\xEF\xBB\xBF", Encoding::Utf8),
    (b"\xFF\xFE", Encoding::Utf16Le),
    (b"\xFE\xFF", Encoding::Utf16Be),
];

/// How to decode a text that starts with these bytes, and how many of them are its byte order
/// mark.
pub(crate) fn start_of(
    start: &[u8],
    declared: Encoding,
) -> Result<(Decoding, usize), EncodingError> {
    let mark = MARKS.iter().find(|(mark, _)| start.starts_with(mark));
    let (length, found) = match mark {
        Some((mark, found)) => (mark.len(), Some(*found)),
        None => (0, None),
    };
    let is_utf16 = matches!(found, Some(Encoding::Utf16Le | Encoding::Utf16Be));
    let encoding = match (declared, found) {
        (Encoding::Utf16, Some(found)) if is_utf16 => found,
        (Encoding::Utf16, None) if start.is_empty() => Encoding::Utf16Le,
        (Encoding::Utf16, None) => return Err(EncodingError::NoMark),
        (declared, Some(found)) if found != declared => {
            return Err(EncodingError::OtherMark { declared, found });
        }
        (declared, _) => declared,
    };
    let decoding = match encoding {
        Encoding::Utf8 => Decoding::None,
        Encoding::Latin1 => Decoding::Latin1,
        Encoding::Utf16 | Encoding::Utf16Le => Decoding::Utf16(ByteOrder::LittleEndian),
        Encoding::Utf16Be => Decoding::Utf16(ByteOrder::BigEndian),
    };
    Ok((decoding, length))
}
