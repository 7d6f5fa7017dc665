//! One spelling for each meter: people and devices write the same identifier in many ways.
//!
//! A meter is letters and a number. Spaces and dashes are left out, letters are upper-case, and
//! the number has at least seven digits and no more zeroes in front than that needs: ` m-42 `,
//! `M 0042` and `M0000042` are all `M0000042`. What is not letters and a number is somebody
//! else's identifier: it keeps its inside, and is only trimmed and made upper-case. Upper-case is
//! that of the letters A to Z: others have none that can be relied on (`ß` would become two).

use std::fmt::Write;
use std::sync::Arc;

use lake_plugin::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};

/// How many digits the number of a meter has at least.
const DIGITS: usize = 7;

/// Every identifier in its one spelling; NULL stays NULL.
pub(crate) fn normalise(meters: &StringArray) -> ArrayRef {
    // At most seven zeroes are added to an identifier.
    let text: usize = meters.iter().flatten().map(str::len).sum();
    let bytes = text + meters.len() * DIGITS;
    let mut normalised = StringBuilder::with_capacity(meters.len(), bytes);
    for meter in meters {
        match meter {
            Some(meter) => {
                write(meter.trim(), &mut normalised);
                // The value is what has been written since the last one.
                normalised.append_value("");
            }
            None => normalised.append_null(),
        }
    }
    Arc::new(normalised.finish())
}

/// Writes one identifier, without a copy on the way.
fn write(meter: &str, into: &mut StringBuilder) {
    // Writing to memory does not fail.
    let mut push = |character: char| {
        let _ = into.write_char(character.to_ascii_uppercase());
    };
    let Some(digits) = digits_of_number(meter) else {
        return meter.chars().for_each(push);
    };
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    for letter in significant(meter).take_while(is_letter) {
        push(char::from(letter));
    }
    for _ in digits..DIGITS {
        push('0');
    }
    let number = significant(meter).skip_while(is_letter);
    for digit in number.skip_while(|digit| *digit == b'0') {
        push(char::from(digit));
    }
}

/// How many digits the number of a meter has, without zeroes in front, or `None` where it is not
/// letters and a number.
fn digits_of_number(meter: &str) -> Option<usize> {
    let (mut has_letters, mut has_number, mut digits) = (false, false, 0);
    for byte in significant(meter) {
        if byte.is_ascii_digit() && has_letters {
            has_number = true;
            digits += usize::from(digits > 0 || byte != b'0');
        } else if byte.is_ascii_alphabetic() && !has_number {
            has_letters = true;
        } else {
            return None;
        }
    }
    has_number.then_some(digits)
}

/// The bytes that tell one meter from another: all of them ASCII in a meter.
fn significant(meter: &str) -> impl Iterator<Item = u8> {
    meter
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(meter: &str) -> String {
        let meters = normalise(&StringArray::from(vec![meter]));
        let meters: &StringArray = meters.as_any().downcast_ref().unwrap();
        meters.value(0).to_owned()
    }

    #[test]
    fn all_spellings_of_a_meter_are_one() {
        for spelling in [
            " m-42 ",
            "M42",
            "m 0042",
            "M-00-42",
            "m0000042",
            "M000000042",
            "M 4 2",
        ] {
            assert_eq!(normalised(spelling), "M0000042", "{spelling:?}");
        }
    }

    #[test]
    fn letters_and_long_numbers_are_kept() {
        assert_eq!(normalised("ab-12345678"), "AB12345678");
        assert_eq!(normalised("e0"), "E0000000");
    }

    #[test]
    fn other_identifiers_are_only_trimmed_and_made_upper_case() {
        for (other, expected) in [
            (" 42 ", "42"),
            ("meter", "METER"),
            ("m42-b ", "M42-B"),
            ("m 4.2", "M 4.2"),
            ("größe-7", "GRößE-7"),
            ("-", "-"),
            ("   ", ""),
        ] {
            assert_eq!(normalised(other), expected, "{other:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn normalising_again_changes_nothing(meter in "[a-cA-Cß]{0,2}[ -]{0,2}[0-9 -]{0,10}|.{0,20}") {
            let once = normalised(&meter);
            proptest::prop_assert_eq!(normalised(&once), once);
        }
    }

    #[test]
    fn null_stays_null_and_rows_stay_in_place() {
        let meters = StringArray::from(vec![Some("a1"), None, Some(""), Some("b2")]);
        let expected = StringArray::from(vec![Some("A0000001"), None, Some(""), Some("B0000002")]);
        assert_eq!(normalise(&meters).as_ref(), &expected as &dyn Array);
        // A slice has its own start, and leaves out what is before it.
        let expected: ArrayRef = Arc::new(expected);
        assert_eq!(&normalise(&meters.slice(1, 2)), &expected.slice(1, 2));
    }
}
