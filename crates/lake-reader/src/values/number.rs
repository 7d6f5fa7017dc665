//! Whole numbers, floating point numbers, and booleans.

use std::str::FromStr;

use super::reason::Reason;

pub(crate) fn int32(text: &[u8]) -> Result<i32, Reason> {
    i32::try_from(int64(text)?).map_err(|_| Reason::Range)
}

pub(crate) fn int64(text: &[u8]) -> Result<i64, Reason> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return Err(Reason::Malformed);
    }
    // A magnitude of 18 digits cannot overflow; longer ones are rare.
    let short = digits.len() <= 18;
    let mut magnitude: u64 = 0;
    let mut overflow = false;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Reason::Malformed);
        }
        if short {
            magnitude = magnitude * 10 + u64::from(digit);
        } else if !overflow {
            let next = magnitude
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit)));
            overflow = next.is_none();
            magnitude = next.unwrap_or_default();
        }
    }
    let value = if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    };
    value.filter(|_| !overflow).ok_or(Reason::Range)
}

pub(crate) fn float64(text: &[u8]) -> Result<f64, Reason> {
    let value = std::str::from_utf8(text)
        .ok()
        .and_then(|text| f64::from_str(text).ok())
        .ok_or(Reason::Malformed)?;
    if value.is_finite() {
        Ok(value)
    } else if text.iter().any(u8::is_ascii_digit) {
        Err(Reason::Range)
    } else {
        Err(Reason::NotFinite)
    }
}

pub(crate) fn boolean(text: &[u8]) -> Result<bool, Reason> {
    if text.eq_ignore_ascii_case(b"true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Ok(false)
    } else {
        Err(Reason::Malformed)
    }
}

/// Whether there is a minus sign, and what follows the sign.
#[inline]
pub(crate) fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_reach_exactly_to_the_ends_of_their_range() {
        assert_eq!(int64(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(int64(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(int64(b"9223372036854775808"), Err(Reason::Range));
        assert_eq!(int64(b"-9223372036854775809"), Err(Reason::Range));
        assert_eq!(int64(b"99999999999999999999999"), Err(Reason::Range));
        assert_eq!(int64(b"000000000000000000000000007"), Ok(7));
        assert_eq!(int32(b"2147483647"), Ok(i32::MAX));
        assert_eq!(int32(b"-2147483649"), Err(Reason::Range));
    }

    #[test]
    fn only_digits_after_a_sign_are_an_integer() {
        assert_eq!(int64(b"+5"), Ok(5));
        for text in ["", "-", "+", "--5", "1.0", "1e3", "0x10", "1 2", "٣"] {
            assert_eq!(int64(text.as_bytes()), Err(Reason::Malformed), "{text}");
        }
        assert_eq!(int64(b"99999999999999999999999x"), Err(Reason::Malformed));
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(float64(b"-1.5e3"), Ok(-1500.0));
        assert_eq!(float64(b".5"), Ok(0.5));
        assert_eq!(float64(b"1e999"), Err(Reason::Range));
        assert_eq!(float64(b"NaN"), Err(Reason::NotFinite));
        assert_eq!(float64(b"-inf"), Err(Reason::NotFinite));
        assert_eq!(float64(b"1,5"), Err(Reason::Malformed));
    }

    #[test]
    fn booleans_are_words_in_any_case() {
        assert_eq!(boolean(b"TRUE"), Ok(true));
        assert_eq!(boolean(b"False"), Ok(false));
        assert_eq!(boolean(b"1"), Err(Reason::Malformed));
        assert_eq!(boolean(b"yes"), Err(Reason::Malformed));
    }
}
