//! JSON strings: what is between the quotes to the text that it means.

use std::borrow::Cow;

use memchr::memchr;

/// A string whose grammar is right, as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    /// What is between the quotes.
    pub(crate) raw: &'a [u8],
    /// Whether there is a backslash in it.
    pub(crate) escaped: bool,
}

/// An escape that is half of a surrogate pair, without the other half: no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoneSurrogate;

impl<'a> Text<'a> {
    /// The text that it means. It is UTF-8 where the file is.
    #[inline]
    pub(crate) fn content(self) -> Result<Cow<'a, [u8]>, LoneSurrogate> {
        if self.escaped {
            unescaped(self.raw).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(self.raw))
        }
    }

    /// Whether it means this text.
    #[inline]
    pub(crate) fn is(self, text: &str) -> bool {
        if self.escaped {
            self.content()
                .is_ok_and(|content| content == text.as_bytes())
        } else {
            self.raw == text.as_bytes()
        }
    }
}

fn unescaped(raw: &[u8]) -> Result<Vec<u8>, LoneSurrogate> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(backslash) = memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some((&escape, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let byte = match escape {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = character(&mut rest).ok_or(LoneSurrogate)?;
                let mut utf_8 = [0; 4];
                text.extend_from_slice(character.encode_utf8(&mut utf_8).as_bytes());
                continue;
            }
            itself => itself,
        };
        text.push(byte);
    }
    text.extend_from_slice(rest);
    Ok(text)
}

/// The character whose four digits are next, or eight with `\u` between them.
fn character(rest: &mut &[u8]) -> Option<char> {
    let first = unit(rest)?;
    let number = match first {
        0xD800..=0xDBFF => {
            *rest = rest.strip_prefix(b"\\u")?;
            let second = unit(rest).filter(|second| (0xDC00..=0xDFFF).contains(second))?;
            0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        }
        _ => first,
    };
    char::from_u32(number)
}

/// The number that the next four digits are.
fn unit(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    digits.iter().try_fold(0, |number, &digit| {
        Some(number * 16 + char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(raw: &str) -> Result<String, LoneSurrogate> {
        let text = Text {
            raw: raw.as_bytes(),
            escaped: raw.contains('\\'),
        };
        text.content()
            .map(|content| String::from_utf8(content.into_owned()).unwrap())
    }

    #[test]
    fn escapes_mean_their_characters() {
        assert_eq!(content("plain é").unwrap(), "plain é");
        assert_eq!(
            content(r#"\"\\\/\b\f\n\r\t"#).unwrap(),
            "\"\\/\u{8}\u{c}\n\r\t"
        );
        assert_eq!(content(r"a\u0000b\u00E9\u20ac").unwrap(), "a\0bé€");
        assert_eq!(content(r"\\u0041").unwrap(), "\\u0041");
    }

    #[test]
    fn two_surrogates_are_one_character_and_one_is_none() {
        assert_eq!(content(r"\uD83D\uDE00!").unwrap(), "😀!");
        for lone in [
            r"\uD83D",
            r"\uD83Dx",
            r"\uD83D\n",
            r"\uD83D\u0041",
            r"\uDE00",
            r"\uDE00\uD83D",
        ] {
            assert_eq!(content(lone), Err(LoneSurrogate), "{lone}");
        }
    }

    #[test]
    fn names_are_compared_by_what_they_mean() {
        let name = |raw: &'static str| Text {
            raw: raw.as_bytes(),
            escaped: raw.contains('\\'),
        };
        assert!(name("caf\u{e9}").is("café"));
        assert!(name(r"caf\u00e9").is("café"));
        assert!(!name(r"\ud800").is("café"));
    }
}
