//! One spelling for each meter: people and devices write the same identifier in many ways.
//!
//! A meter is letters and a number. Spaces and dashes are left out, letters are upper-case, and
//! the number has at least seven digits and no more zeroes in front than that needs: ` m-42 `,
//! `M 0042` and `M0000042` are all `M0000042`. What is not letters and a number is somebody
//! else's identifier: it keeps its inside, and is only trimmed and made upper-case.

use std::fmt::Write;
use std::sync::Arc;

use lake_plugin::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};

/// How many digits the number of a meter has at least.
const DIGITS: usize = 7;

/// Every identifier in its one spelling; NULL stays NULL.
pub(crate) fn normalise(meters: &StringArray) -> ArrayRef {
    // A padded identifier has a letter and seven digits, and most have little more.
    let bytes = meters.value_data().len() + meters.len() * (DIGITS + 1);
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
        let _ = into.write_char(character);
    };
    let Some(digits) = digits_of_number(meter) else {
        return meter.chars().flat_map(char::to_uppercase).for_each(push);
    };
    let letters = significant(meter).take_while(char::is_ascii_alphabetic);
    letters.for_each(|letter| push(letter.to_ascii_uppercase()));
    (digits..DIGITS).for_each(|_| push('0'));
    number(meter).for_each(push);
}

/// How many digits the number of a meter has, or `None` where it is not letters and a number.
fn digits_of_number(meter: &str) -> Option<usize> {
    let mut rest = significant(meter)
        .skip_while(char::is_ascii_alphabetic)
        .peekable();
    let has_letters = significant(meter).next()?.is_ascii_alphabetic();
    let has_number = rest.peek().is_some();
    (has_letters && has_number && rest.all(|character| character.is_ascii_digit()))
        .then(|| number(meter).count())
}

/// The digits of the number, without zeroes in front.
fn number(meter: &str) -> impl Iterator<Item = char> {
    significant(meter)
        .skip_while(char::is_ascii_alphabetic)
        .skip_while(|digit| *digit == '0')
}

/// The characters that tell one meter from another.
fn significant(meter: &str) -> impl Iterator<Item = char> {
    meter
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '-')
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
            ("größe-7", "GRÖSSE-7"),
            ("-", "-"),
            ("   ", ""),
        ] {
            assert_eq!(normalised(other), expected, "{other:?}");
        }
    }

    #[test]
    fn normalising_again_changes_nothing() {
        for meter in [
            "m-42",
            "m42-b",
            " größe-7",
            "ab 123456789",
            "--",
            "a-",
            "4 2",
        ] {
            let once = normalised(meter);
            assert_eq!(normalised(&once), once, "{meter:?}");
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
