//! JSON numbers to exact ones, in whatever notation they are written.
//!
//! `1.0`, `1e3` and `100e-2` are whole numbers and `12.5e-1` is an exact decimal: the digits and
//! the exponent of a number say exactly what it is, and no floating point number comes between.

use crate::values::reason::Reason;

/// The number times ten to the power of `scale`, if that is whole and has at most `precision`
/// digits, which are at most 38.
///
/// The text has the grammar of JSON numbers.
pub(crate) fn exact(text: &[u8], precision: usize, scale: usize) -> Result<i128, Reason> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mark = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match mark {
        Some(at) => (&text[..at], exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let places = point.map_or(0, |point| mantissa.len() - 1 - point);

    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let zeros = |byte: &&u8| **byte == b'0';
    let digits = mantissa.iter().filter(is_digit).skip_while(zeros).count();
    if digits == 0 {
        return Ok(0);
    }
    let backwards = mantissa.iter().rev().filter(is_digit);
    let surplus = backwards.take_while(zeros).count();
    let significant = digits - surplus;
    // The number is its significant digits times ten to this power, and times the scale that.
    let power = exponent
        .saturating_sub(places as i64)
        .saturating_add(surplus as i64);
    let shift = power.saturating_add(scale as i64);
    let Ok(shift) = usize::try_from(shift) else {
        return Err(Reason::DecimalPlaces);
    };
    if significant.saturating_add(shift) > precision {
        return Err(Reason::Range);
    }
    let value = mantissa
        .iter()
        .filter(is_digit)
        .skip_while(zeros)
        .take(significant)
        .chain(std::iter::repeat_n(&b'0', shift))
        .fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

/// An exponent. One that is too large for any number that people mean is the largest.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // Far beyond any length of text, so that adding lengths to it changes nothing.
    const LARGEST: i64 = i64::MAX / 4;
    let value = digits.iter().fold(0i64, |value, digit| {
        let next = value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'));
        next.min(LARGEST)
    });
    if negative { -value } else { value }
}

/// A whole number of 64 bits.
pub(crate) fn whole(text: &[u8]) -> Result<i64, Reason> {
    // Nineteen digits are what 64 bits can have.
    match exact(text, 19, 0) {
        Ok(value) => i64::try_from(value).map_err(|_| Reason::Range),
        Err(Reason::DecimalPlaces) => Err(Reason::Malformed),
        Err(reason) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_whole_in_any_notation() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e7", 0),
            ("0e999999999999999999999", 0),
            ("1.0", 1),
            ("-1e3", -1000),
            ("100e-2", 1),
            ("1.5E+1", 15),
            ("9223372036854775807", i64::MAX),
            ("9223372036854775807.000", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9.223372036854775808e18", i64::MIN),
        ] {
            assert_eq!(whole(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(whole(b"1.5"), Err(Reason::Malformed));
        assert_eq!(whole(b"1e-1"), Err(Reason::Malformed));
        assert_eq!(whole(b"9223372036854775808"), Err(Reason::Range));
        assert_eq!(whole(b"1e19"), Err(Reason::Range));
        assert_eq!(whole(b"1e99999999999999999999999"), Err(Reason::Range));
        assert_eq!(whole(b"1e-99999999999999999999999"), Err(Reason::Malformed));
    }

    #[test]
    fn decimals_are_exact_or_say_what_does_not_fit() {
        assert_eq!(exact(b"12.5", 12, 3), Ok(12_500));
        assert_eq!(exact(b"-0.125e1", 12, 3), Ok(-1_250));
        assert_eq!(exact(b"1.2340000", 12, 3), Ok(1_234));
        assert_eq!(exact(b"1.2345", 12, 3), Err(Reason::DecimalPlaces));
        assert_eq!(exact(b"1234.5e-1", 12, 1), Err(Reason::DecimalPlaces));
        assert_eq!(exact(b"999999999.999", 12, 3), Ok(999_999_999_999));
        assert_eq!(exact(b"1000000000", 12, 3), Err(Reason::Range));
        assert_eq!(exact(b"1e9", 12, 3), Err(Reason::Range));
        assert_eq!(exact(b"1e37", 38, 0), Ok(10i128.pow(37)));
        assert_eq!(exact(b"1e38", 38, 0), Err(Reason::Range));
        let long = format!("0.{}1e40", "0".repeat(39));
        assert_eq!(exact(long.as_bytes(), 1, 0), Ok(1));
    }
}
