//! Where an object or an array ends: brackets and strings, and nothing else of the grammar.
//!
//! This runs over every byte of a file in order, so it does as little as tells where records end.
//! What is between is looked at by [`Parser`](super::syntax::Parser), on any thread.

use memchr::memchr3;

use super::syntax::DEEPEST;

/// The brackets that are open at some position, and whether it is inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Nesting {
    /// One bit for each open bracket, the innermost lowest: set, if it is that of an array.
    arrays: u128,
    depth: usize,
    in_string: bool,
    /// Whether the byte before is a backslash that takes the meaning from the next.
    escaped: bool,
}

/// How a scan came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The bracket that opened first closes just before this position.
    Closed(usize),
    /// The byte at this position cannot be: a line feed in a string, a bracket that closes what
    /// another kind opened, or one bracket too many inside others.
    Failed(usize),
    /// The bytes ran out.
    More,
}

/// The bytes that mean something outside strings.
const MATTERS: [bool; 256] = {
    let mut matters = [false; 256];
    let bytes = b"\"{}[]";
    let mut at = 0;
    while at < bytes.len() {
        matters[bytes[at] as usize] = true;
        at += 1;
    }
    matters
};

impl Nesting {
    /// Scans on from a position, which is that of a bracket that opens if this is the first scan.
    pub(crate) fn scan(&mut self, bytes: &[u8], mut at: usize) -> Scan {
        if std::mem::take(&mut self.escaped) {
            at += 1;
        }
        loop {
            if self.in_string {
                match memchr3(b'"', b'\\', b'\n', bytes.get(at..).unwrap_or_default()) {
                    None => return Scan::More,
                    Some(found) => at += found,
                }
                match bytes[at] {
                    b'\\' if at + 1 == bytes.len() => {
                        self.escaped = true;
                        return Scan::More;
                    }
                    b'\\' => at += 2,
                    b'"' => {
                        self.in_string = false;
                        at += 1;
                    }
                    _ => return Scan::Failed(at),
                }
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            match rest.iter().position(|&byte| MATTERS[usize::from(byte)]) {
                None => return Scan::More,
                Some(found) => at += found,
            }
            match bytes[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' if self.depth == DEEPEST => return Scan::Failed(at),
                open @ (b'{' | b'[') => {
                    self.arrays = self.arrays << 1 | u128::from(open == b'[');
                    self.depth += 1;
                }
                close => {
                    if self.depth == 0 || (self.arrays & 1 == 1) != (close == b']') {
                        return Scan::Failed(at);
                    }
                    self.arrays >>= 1;
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Scan::Closed(at + 1);
                    }
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Scan {
        Nesting::default().scan(text.as_bytes(), 0)
    }

    #[test]
    fn brackets_in_strings_are_text() {
        assert_eq!(scan(r#"{"a}":"]\"}\\"} {"#), Scan::Closed(15));
        assert_eq!(scan("[[{}],[]]]"), Scan::Closed(9));
    }

    #[test]
    fn what_can_never_close_is_told_from_what_is_not_closed_yet() {
        assert_eq!(scan("{\"a\":[1}"), Scan::Failed(7));
        assert_eq!(scan("{\"a\":\"x\n\"}"), Scan::Failed(7));
        assert_eq!(scan(&"[".repeat(DEEPEST + 1)), Scan::Failed(DEEPEST));
        assert_eq!(scan("{\"a\":[1]"), Scan::More);
        assert_eq!(scan("{\"a\":\"x"), Scan::More);
    }

    #[test]
    fn a_scan_goes_on_where_the_bytes_ran_out() {
        let text = br#"{"a\\":["}\"",{}],"b":"\\"}"#;
        for cut in 0..text.len() {
            let mut nesting = Nesting::default();
            assert_eq!(nesting.scan(&text[..cut], 0), Scan::More, "{cut}");
            assert_eq!(
                nesting.scan(&text[cut..], 0),
                Scan::Closed(text.len() - cut),
                "{cut}"
            );
        }
    }
}
