//! Numbers that are not written with a point, or have separators between groups of digits.

use super::reason::Reason;
use crate::rules::Rules;

/// The separators of a column's numbers, where they are not the usual ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Separators {
    /// What is between the whole part and the fraction.
    decimal: Vec<u8>,
    /// What may be between groups of three digits.
    group: Option<Vec<u8>>,
}

/// Longer numbers, which nobody writes, are put on the heap.
const SHORT_BYTES: usize = 64;

impl Separators {
    /// None if numbers are written in the usual way.
    pub(crate) fn of(rules: &Rules) -> Option<Self> {
        let is_usual = matches!(rules.decimal_separator, None | Some('.'));
        (!is_usual || rules.group_separator.is_some()).then(|| {
            let bytes = |separator: char| separator.to_string().into_bytes();
            Self {
                decimal: bytes(rules.decimal_separator.unwrap_or('.')),
                group: rules.group_separator.map(bytes),
            }
        })
    }

    /// What `parse` says of the number as it is written in the usual way.
    pub(crate) fn usual<T>(
        &self,
        text: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        if text.len() <= SHORT_BYTES {
            let mut buffer = [0; SHORT_BYTES];
            let length = self.rewrite(text, &mut buffer)?;
            parse(&buffer[..length])
        } else {
            let mut buffer = vec![0; text.len()];
            let length = self.rewrite(text, &mut buffer)?;
            parse(&buffer[..length])
        }
    }

    /// Writes the number with a point and without groups; returns its length, which is at most
    /// what it was.
    fn rewrite(&self, text: &[u8], to: &mut [u8]) -> Result<usize, Reason> {
        let mut length = 0;
        let mut push = |byte: u8| {
            to[length] = byte;
            length += 1;
        };
        let mut rest = text;
        if let Some((&sign @ (b'-' | b'+'), after)) = rest.split_first() {
            push(sign);
            rest = after;
        }
        // The digits since the last separator, and whether there was one.
        let (mut digits, mut grouped) = (0, false);
        let whole_groups = |digits: usize, grouped: bool| !grouped || digits == 3;
        while let Some((&byte, after)) = rest.split_first() {
            if byte.is_ascii_digit() {
                push(byte);
                digits += 1;
                rest = after;
            } else if let Some(after) = self.group.as_ref().and_then(|g| rest.strip_prefix(&g[..]))
            {
                if !(1..=3).contains(&digits) || !whole_groups(digits, grouped) {
                    return Err(Reason::Malformed);
                }
                (digits, grouped) = (0, true);
                rest = after;
            } else {
                break;
            }
        }
        if !whole_groups(digits, grouped) {
            return Err(Reason::Malformed);
        }
        if let Some(after) = rest.strip_prefix(&self.decimal[..]) {
            push(b'.');
            rest = after;
        }
        // A fraction, an exponent, or what is no number: only never a point of its own.
        if rest.contains(&b'.') {
            return Err(Reason::Malformed);
        }
        rest.iter().for_each(|&byte| push(byte));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::number::float64;

    fn usual(decimal: Option<char>, group: Option<char>, text: &str) -> Option<String> {
        let rules = Rules {
            decimal_separator: decimal,
            group_separator: group,
            ..Rules::default()
        };
        let separators = Separators::of(&rules).unwrap();
        let text = separators.usual(text.as_bytes(), |usual| Ok(usual.to_vec()));
        text.ok().map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_comma_is_a_point_where_it_is_declared() {
        let german = |text| usual(Some(','), Some('.'), text);
        assert_eq!(german("1.234.567,89").as_deref(), Some("1234567.89"));
        assert_eq!(german("-1,5").as_deref(), Some("-1.5"));
        assert_eq!(german("+1234,5").as_deref(), Some("+1234.5"));
        assert_eq!(german(",5").as_deref(), Some(".5"));
        assert_eq!(german("1,5e-3").as_deref(), Some("1.5e-3"));
        assert_eq!(usual(Some(','), None, "1.5"), None);
        assert_eq!(usual(Some(','), None, "1,2.5"), None);
    }

    #[test]
    fn groups_have_three_digits() {
        let english = |text| usual(None, Some(','), text);
        assert_eq!(english("12,345").as_deref(), Some("12345"));
        assert_eq!(english("1,234,567.25").as_deref(), Some("1234567.25"));
        for text in [
            ",123", "1,23", "1234,567", "1,,234", "1,234,", "1,2345", "1,23.5",
        ] {
            assert_eq!(english(text), None, "{text}");
        }
    }

    #[test]
    fn a_separator_may_have_more_than_one_byte() {
        let text = usual(Some('٫'), Some('\u{202F}'), "1\u{202F}234٫5");
        assert_eq!(text.as_deref(), Some("1234.5"));
    }

    #[test]
    fn what_is_no_number_stays_none_and_long_numbers_are_numbers() {
        let rules = Rules {
            decimal_separator: Some(','),
            ..Rules::default()
        };
        let separators = Separators::of(&rules).unwrap();
        assert_eq!(separators.usual(b"x", float64), Err(Reason::Malformed));
        assert_eq!(separators.usual(b"nan", float64), Err(Reason::NotFinite));
        let long = format!("{}1,5", "0".repeat(100));
        assert_eq!(separators.usual(long.as_bytes(), float64), Ok(1.5));
    }

    #[test]
    fn the_usual_separators_need_no_rewriting() {
        assert_eq!(Separators::of(&Rules::default()), None);
        let rules = Rules {
            decimal_separator: Some('.'),
            ..Rules::default()
        };
        assert_eq!(Separators::of(&rules), None);
    }
}
