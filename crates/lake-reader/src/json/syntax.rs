//! The grammar of JSON, [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), exactly: a pull parser
//! over bytes.
//!
//! Nothing is copied and nothing is converted: a string is the bytes between its quotes, and a
//! number is its text. Whether strings are UTF-8 is not looked at here. The first byte that cannot
//! be there is a [`SyntaxError`].

use super::text::Text;

/// How deep objects and arrays may lie in each other. It bounds the stack, not what people write.
pub(crate) const DEEPEST: usize = 128;

/// A position in some JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

/// The six kinds of JSON values, by their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    /// `true` or `false`.
    Boolean,
    Null,
}

impl Kind {
    /// With its article, as in "it is an object".
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

/// Where some text stops being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// The position of the byte that cannot be there; that of the end, if more bytes are needed.
    pub(crate) at: usize,
    /// What could be there.
    pub(crate) expected: &'static str,
}

impl<'a> Parser<'a> {
    /// Starts at a position.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            depth: 0,
        }
    }

    /// The position of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was parsed since an earlier position.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError {
            at: self.at,
            expected,
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    #[inline]
    pub(crate) fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips whitespace, and says what the next value is going to be.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind, SyntaxError> {
        self.whitespace();
        match self.peek() {
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.error("a value")),
        }
    }

    /// Whitespace, and then the end of the text.
    pub(crate) fn end(&mut self) -> Result<(), SyntaxError> {
        self.whitespace();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("nothing more")),
        }
    }

    /// An object, which is next. `field` is called after every name and its colon, and has to
    /// parse the value.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, Text<'a>) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.open()?;
        self.whitespace();
        if !self.eat(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.error("a name in quotes"));
                }
                let name = self.string()?;
                self.whitespace();
                if !self.eat(b':') {
                    return Err(self.error("':'"));
                }
                field(self, name)?;
                self.whitespace();
                if self.eat(b'}') {
                    break;
                }
                if !self.eat(b',') {
                    return Err(self.error("',' or '}'"));
                }
                self.whitespace();
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// An array, which is next. `element` has to parse every value.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.open()?;
        self.whitespace();
        if !self.eat(b']') {
            loop {
                element(self)?;
                self.whitespace();
                if self.eat(b']') {
                    break;
                }
                if !self.eat(b',') {
                    return Err(self.error("',' or ']'"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over the bracket that opens an object or an array.
    #[inline]
    fn open(&mut self) -> Result<(), SyntaxError> {
        if self.depth == DEEPEST {
            return Err(self.error("no more than 128 objects and arrays in each other"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// A string, which is next.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>, SyntaxError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = special(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("no control character in a string")),
                None => return Err(self.error("'\"'")),
            }
        }
    }

    /// A backslash and what belongs to it.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    match self.peek() {
                        Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                        _ => return Err(self.error("four hexadecimal digits after \\u")),
                    }
                }
            }
            _ => return Err(self.error("one of \" \\ / b f n r t u after a backslash")),
        }
        Ok(())
    }

    /// A number, which is next: its text.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a [u8], SyntaxError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    /// One or more digits.
    #[inline]
    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error("a digit"));
        }
        Ok(())
    }

    /// `true` or `false`, which is next by its first letter.
    pub(crate) fn boolean(&mut self) -> Result<bool, SyntaxError> {
        let value = self.peek() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// `null`, which is next by its first letter.
    pub(crate) fn null(&mut self) -> Result<(), SyntaxError> {
        self.word("null")
    }

    fn word(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        for &byte in word.as_bytes() {
            if !self.eat(byte) {
                return Err(self.error(word));
            }
        }
        Ok(())
    }

    /// Any value, after whitespace.
    pub(crate) fn skip(&mut self) -> Result<Kind, SyntaxError> {
        let kind = self.kind()?;
        match kind {
            Kind::Object => self.object(|parser, _| parser.skip().map(drop))?,
            Kind::Array => self.array(|parser| parser.skip().map(drop))?,
            Kind::String => drop(self.string()?),
            Kind::Number => drop(self.number()?),
            Kind::Boolean => drop(self.boolean()?),
            Kind::Null => self.null()?,
        }
        Ok(kind)
    }
}

/// The position of the next quote, backslash or control character from `at` on; the end, if there
/// is none.
///
/// Eight bytes at a time, by arithmetic in one register: a byte is zero after it was compared with
/// itself, and subtracting one from it borrows from its highest bit. A borrow can reach the bytes
/// above the first that is found, so only the first counts.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES * 0x80;
    while let Some(&word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(word);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGH != 0 {
            return at + ((found & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let is_special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(is_special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Option<(usize, &'static str)> {
        let mut parser = Parser::new(text.as_bytes(), 0);
        let parsed = parser.skip().and_then(|_| parser.end());
        parsed.err().map(|error| (error.at, error.expected))
    }

    #[test]
    fn every_kind_of_value_is_accepted() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            "\"\"",
            "0",
            "-0",
            "-1.50e+07",
            "true",
            "false",
            "null",
            "{\"a\":[1,{\"b\":null}],\"\":\"\\u00e9\\n\"}",
            "\r\n\t 1 \n",
        ] {
            assert_eq!(error(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_byte_that_cannot_be_there_is_named() {
        for (text, at, expected) in [
            ("", 0, "a value"),
            ("[1,]", 3, "a value"),
            ("[1 2]", 3, "',' or ']'"),
            ("{\"a\" 1}", 5, "':'"),
            ("{\"a\":1,}", 7, "a name in quotes"),
            ("{a:1}", 1, "a name in quotes"),
            ("{\"a\":1", 6, "',' or '}'"),
            ("01", 1, "nothing more"),
            ("-", 1, "a digit"),
            ("1.", 2, "a digit"),
            ("1e+", 3, "a digit"),
            ("+1", 0, "a value"),
            ("NaN", 0, "a value"),
            ("nul", 3, "null"),
            ("tru3", 3, "true"),
            ("\"a", 2, "'\"'"),
            ("\"a\nb\"", 2, "no control character in a string"),
            ("\"\\x\"", 2, "one of \" \\ / b f n r t u after a backslash"),
            ("\"\\u12g4\"", 5, "four hexadecimal digits after \\u"),
            ("1 ]", 2, "nothing more"),
        ] {
            assert_eq!(error(text), Some((at, expected)), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_and_side_by_side_is_not_deep() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(error(&nested(DEEPEST)), None);
        assert_eq!(error(&nested(DEEPEST + 1)).unwrap().0, DEEPEST);
        assert_eq!(error(&nested(1_000_000)).unwrap().0, DEEPEST);
        let wide = format!("[{}[]]", "[[]],".repeat(1000));
        assert_eq!(error(&wide), None);
    }

    #[test]
    fn the_end_of_a_string_is_found_wherever_it_is() {
        for length in 0..40 {
            for stop in [b'"', b'\\', b'\n', 0, 0x1F] {
                for fill in [b'a', b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xFF] {
                    let mut bytes = vec![fill; length];
                    bytes.push(stop);
                    bytes.extend_from_slice(b"\"\\\n\"\"\"\"\"\"\"");
                    assert_eq!(special(&bytes, 0), length, "{fill} {stop}");
                    assert_eq!(special(&bytes[..length], 0), length);
                }
            }
        }
    }
}
