//! JSON text in its shortest form: without the whitespace around its values.

use super::syntax::{Parser, SyntaxError};

/// Appends a value whose grammar is right, without the whitespace that is not in a string.
/// Everything else stays as it is written: the order of names, escapes, and the digits of numbers.
pub(crate) fn append(value: &[u8], text: &mut Vec<u8>) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    if !value.iter().any(is_space) {
        text.extend_from_slice(value);
        return;
    }
    let mut rest = value;
    while let Some(&byte) = rest.first() {
        if byte == b'"' {
            let mut parser = Parser::new(rest, 0);
            // The grammar is right, so the string ends.
            let length = parser.string().map_or(rest.len(), |_| parser.at());
            text.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        } else {
            if !is_space(&byte) {
                text.push(byte);
            }
            rest = &rest[1..];
        }
    }
}

/// Whether a text is one JSON value, and where it stops being one if it is not.
pub(crate) fn check(text: &[u8]) -> Result<(), SyntaxError> {
    let mut parser = Parser::new(text, 0);
    parser.skip()?;
    parser.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whitespace_outside_strings_goes() {
        let mut text = b"before ".to_vec();
        append(
            b"{ \"a b\" : [ 1.0 , \"x \\\" y\\\\\" ] ,\r\n\t\"c\" : { } }",
            &mut text,
        );
        assert_eq!(text, b"before {\"a b\":[1.0,\"x \\\" y\\\\\"],\"c\":{}}");
    }
}
