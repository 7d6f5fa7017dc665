//! Statistics as JSON text, in which every number keeps all its digits.
//!
//! `serde_json` knows numbers as `f64`, and its quick parser may miss even
//! those by one in the last place. So the text of a number stays as it stands.

use serde::de::{DeserializeOwned, IgnoredAny};

/// The members of an object, in order, every value as it is written; `None`
/// where the text is no object.
pub(super) fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = object.trim_start().strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    if let Some(end) = rest.strip_prefix('}') {
        return end.trim().is_empty().then_some(found);
    }
    loop {
        let (name, end) = first::<String>(rest)?;
        rest = rest.get(end..)?.trim_start().strip_prefix(':')?;
        let (_, end) = first::<IgnoredAny>(rest)?;
        found.push((name, rest.get(..end)?.trim()));
        rest = rest.get(end..)?.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (rest.trim_end() == "}").then_some(found),
        }
    }
}

/// The value of one member.
pub(super) fn member<'a>(members: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    let found = members.iter().find(|(member, _)| member == name);
    found.map(|(_, value)| *value)
}

/// An object of members whose values are JSON already.
pub(super) fn object<N: AsRef<str>, V: AsRef<str>>(
    members: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&string(name.as_ref()));
        text.push(':');
        text.push_str(value.as_ref());
    }
    text.push('}');
    text
}

/// A text as JSON.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The first value of a text, and where it ends.
fn first<T: DeserializeOwned>(text: &str) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text =
            r#" { "a\"b" : 0.10000000000000000000001 ,"c":{"d":[1,{"e":"}"}]}, "f":-1E+400}"#;
        let found = members(text).unwrap();
        let expected = [
            ("a\"b", "0.10000000000000000000001"),
            ("c", r#"{"d":[1,{"e":"}"}]}"#),
            ("f", "-1E+400"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(found, expected);
        assert_eq!(member(&found, "c"), Some(r#"{"d":[1,{"e":"}"}]}"#));
        let again = object(found);
        let compact = r#"{"a\"b":0.10000000000000000000001,"c":{"d":[1,{"e":"}"}]},"f":-1E+400}"#;
        assert_eq!(again, compact);
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in [
            "",
            "null",
            "[1]",
            "{",
            "{}x",
            "{\"a\"}",
            "{\"a\":1",
            "{\"a\":1}}",
            "{\"a\":1,}",
        ] {
            assert_eq!(members(text), None, "{text}");
        }
        assert_eq!(members(" { } "), Some(Vec::new()));
    }
}
