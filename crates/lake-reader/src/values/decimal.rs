//! Exact decimal numbers: bytes to an unscaled integer, without a float between.

use super::reason::Reason;
use crate::values::number::sign;

/// Powers of ten up to the largest that a decimal of 128 bits has.
const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// So many digits always fit 64 bits.
const SHORT_DIGITS: usize = 18;

/// A decimal type, prepared for parsing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    /// All digits, from 1 to 38.
    precision: usize,
    /// The digits after the point, at most as many.
    scale: usize,
}

impl Decimal {
    /// The caller has made sure that this precision and scale can exist.
    pub(crate) fn new(precision: u8, scale: i8) -> Self {
        Self {
            precision: usize::from(precision).min(POWERS.len() - 1),
            scale: usize::try_from(scale).unwrap_or(0),
        }
    }

    /// The value times ten to the power of the scale.
    #[inline]
    pub(crate) fn parse(self, text: &[u8]) -> Result<i128, Reason> {
        let (negative, number) = sign(text);
        let (digits, places) = if number.len() <= SHORT_DIGITS + 1 {
            self.short(number)?
        } else {
            self.long(number)?
        };
        // Compared before it is multiplied, so that nothing can overflow.
        let missing = self.scale - places;
        if digits >= POWERS[self.precision.saturating_sub(missing)] {
            return Err(Reason::Range);
        }
        let value = digits * POWERS[missing];
        Ok(if negative { -value } else { value })
    }

    /// The same for a decimal that is a number already: its digits, `scale` of them after the point.
    pub(crate) fn rescaled(self, digits: i128, scale: i8) -> Result<i128, Reason> {
        let missing = self.scale as i64 - i64::from(scale);
        let power = POWERS.get(missing.unsigned_abs() as usize);
        let value = match (power, missing >= 0) {
            _ if digits == 0 => 0,
            (Some(power), true) => digits.checked_mul(*power).ok_or(Reason::Range)?,
            (None, true) => return Err(Reason::Range),
            (Some(power), false) if digits % power == 0 => digits / power,
            (_, false) => return Err(Reason::DecimalPlaces),
        };
        if value.unsigned_abs() < POWERS[self.precision].unsigned_abs() {
            Ok(value)
        } else {
            Err(Reason::Range)
        }
    }

    /// The digits as a number, and how many of them are after the point.
    /// There are at most so many that they fit 64 bits.
    #[inline]
    fn short(self, number: &[u8]) -> Result<(i128, usize), Reason> {
        let mut digits: u64 = 0;
        let mut point = None;
        for (at, &byte) in number.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                digits = digits * 10 + u64::from(digit);
            } else if byte == b'.' && point.is_none() {
                point = Some(at);
            } else {
                return self.long(number);
            }
        }
        let places = point.map_or(0, |point| number.len() - 1 - point);
        // Nineteen digits still fit, but leave the shape of the number to one place.
        if places > self.scale || number.len() == usize::from(point.is_some()) {
            return self.long(number);
        }
        Ok((i128::from(digits), places))
    }

    /// The same for a number of any length, and with the reason if it is none.
    #[inline(never)]
    fn long(self, number: &[u8]) -> Result<(i128, usize), Reason> {
        let point = number.iter().position(|&byte| byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&number[..at], &number[at + 1..]),
            None => (number, &number[..0]),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(Reason::Malformed);
        }
        if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return Err(malformed(number));
        }
        let zeros = |byte: &&u8| **byte == b'0';
        let whole = &whole[whole.iter().take_while(zeros).count()..];
        let surplus = fraction.iter().rev().take_while(zeros).count();
        let fraction = &fraction[..fraction.len() - surplus];
        if fraction.len() > self.scale {
            return Err(Reason::DecimalPlaces);
        }
        if whole.len() > self.precision - self.scale {
            return Err(Reason::Range);
        }
        let digits = whole
            .iter()
            .chain(fraction)
            .fold(0, |digits, byte| digits * 10 + i128::from(byte - b'0'));
        Ok((digits, fraction.len()))
    }
}

/// Tells `1.2E+05`, which spreadsheets write, from what is no number at all.
fn malformed(number: &[u8]) -> Reason {
    let exponent = number
        .iter()
        .position(|byte| byte.eq_ignore_ascii_case(&b'e'));
    let is_number = |text: &[u8]| crate::values::number::float64(text).is_ok();
    match exponent {
        Some(at)
            if is_number(&number[..at])
                && crate::values::number::int64(&number[at + 1..]).is_ok() =>
        {
            Reason::Exponent
        }
        _ => Reason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(precision: u8, scale: i8, text: &str) -> Result<i128, Reason> {
        Decimal::new(precision, scale).parse(text.as_bytes())
    }

    #[test]
    fn digits_are_kept_exactly() {
        assert_eq!(parse(12, 3, "1.234"), Ok(1234));
        assert_eq!(parse(12, 3, "-0.1"), Ok(-100));
        assert_eq!(parse(12, 3, "+7"), Ok(7000));
        assert_eq!(parse(12, 3, ".5"), Ok(500));
        assert_eq!(parse(12, 3, "5."), Ok(5000));
        assert_eq!(parse(12, 3, "-0"), Ok(0));
        assert_eq!(parse(38, 0, &"9".repeat(38)), Ok(POWERS[38] - 1));
        assert_eq!(
            parse(38, 38, &format!("-.{}", "9".repeat(38))),
            Ok(1 - POWERS[38])
        );
        assert_eq!(parse(38, 38, "0.1"), Ok(POWERS[37]));
    }

    #[test]
    fn leading_and_trailing_zeros_never_matter() {
        assert_eq!(
            parse(5, 2, "0000000000000000000000000000000000000000001.5"),
            Ok(150)
        );
        assert_eq!(
            parse(5, 2, "1.5000000000000000000000000000000000000000000"),
            Ok(150)
        );
        assert_eq!(parse(5, 2, "001.500"), Ok(150));
        assert_eq!(parse(3, 3, "0.5"), Ok(500));
        assert_eq!(parse(3, 3, "00.5"), Ok(500));
    }

    #[test]
    fn more_decimal_places_than_the_scale_are_never_rounded_away() {
        assert_eq!(parse(12, 3, "1.2345"), Err(Reason::DecimalPlaces));
        assert_eq!(parse(12, 3, "1.2340"), Ok(1234));
        assert_eq!(parse(12, 0, "1.0"), Ok(1));
        assert_eq!(parse(12, 0, "1.5"), Err(Reason::DecimalPlaces));
    }

    #[test]
    fn more_digits_than_the_precision_do_not_fit() {
        assert_eq!(parse(5, 2, "999.99"), Ok(99999));
        assert_eq!(parse(5, 2, "1000"), Err(Reason::Range));
        assert_eq!(parse(5, 2, "-1000.00"), Err(Reason::Range));
        assert_eq!(parse(3, 3, "1"), Err(Reason::Range));
        assert_eq!(parse(38, 0, &"9".repeat(39)), Err(Reason::Range));
        assert_eq!(parse(38, 0, &"9".repeat(4000)), Err(Reason::Range));
        assert_eq!(parse(38, 37, "99999999999999999"), Err(Reason::Range));
    }

    #[test]
    fn what_is_not_a_plain_number_is_told_apart_from_an_exponent() {
        for text in [
            "", ".", "-", "-.", "1.2.3", "1,5", "abc", "1 000", "--1", "e5", "1e",
        ] {
            assert_eq!(parse(12, 3, text), Err(Reason::Malformed), "{text}");
        }
        assert_eq!(parse(12, 3, "1.2E+05"), Err(Reason::Exponent));
        assert_eq!(parse(12, 3, "-5e-1"), Err(Reason::Exponent));
    }
}
