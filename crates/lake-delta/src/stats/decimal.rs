//! Decimals as text, and as bounds that every reader understands.

/// The number at `scale`, with all its digits.
pub(super) fn text(number: i128, scale: u8) -> String {
    let places = usize::from(scale);
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let point = if places == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// The number at `scale` that a text of JSON says; `None` where it has more
/// digits than that.
pub(super) fn parse(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let shift = i32::from(scale)
        .checked_add(exponent)?
        .checked_sub(places)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    if shift >= 0 {
        return if digits == 0 {
            Some(0)
        } else {
            digits.checked_mul(power?)
        };
    }
    // A power that does not fit divides nothing but zero.
    match power {
        Some(power) => (digits % power == 0).then(|| digits / power),
        None => (digits == 0).then_some(0),
    }
}

/// The text of a number of the type that is not above `number`, whatever a
/// reader makes of it; `None` for a type that tables do not have.
///
/// Some readers parse all digits, others (Trino, and whoever has no decimals)
/// make a double of them, and perhaps a decimal of that again, by its shortest
/// text or by its exact value. Where these do not all say the number itself,
/// the bound is that of the next double below.
///
/// A bound is never left out, although that is right as well: the Python
/// package of delta-rs takes a missing bound for one that nothing fulfils when
/// it makes a PyArrow dataset. So at the end of what the type holds, its last
/// number is the bound.
pub(super) fn low_bound(number: i128, precision: u8, scale: u8) -> Option<String> {
    let end = 10_i128.checked_pow(precision.into())?;
    let low = not_above(number, scale)?.max(1 - end);
    Some(text(low, scale))
}

/// The same for a number that is not below `number`.
pub(super) fn high_bound(number: i128, precision: u8, scale: u8) -> Option<String> {
    let low = low_bound(number.checked_neg()?, precision, scale)?;
    let high = parse(&low, scale)?.checked_neg()?;
    Some(text(high, scale))
}

fn not_above(number: i128, scale: u8) -> Option<i128> {
    let places = usize::from(scale);
    let near: f64 = text(number, scale).parse().ok()?;
    let shortest = parse(&format!("{near:?}"), scale);
    let exact = parse(&format!("{near:.places$}"), scale);
    if shortest == Some(number) && exact == Some(number) {
        return Some(number);
    }
    // The nearest double may be half a step too high, the one below it is not,
    // and neither is its shortest text.
    let below = near.next_down();
    let rounded = parse(&format!("{below:.places$}"), scale)?;
    let read: f64 = text(rounded, scale).parse().ok()?;
    Some(if read <= below { rounded } else { rounded - 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What readers take a bound for, as a number at `scale`: from all its
    /// digits, from the exact value of its double, and from the shortest text
    /// of its double. What does not fit the scale is rounded to the nearest.
    fn readings(bound: &str, scale: u8) -> Vec<i128> {
        let double: f64 = bound.parse().unwrap();
        let places = usize::from(scale);
        let exact = format!("{double:.places$}");
        let mut readings = vec![parse(bound, scale).unwrap(), parse(&exact, scale).unwrap()];
        let shortest = format!("{double:?}");
        readings.extend((0..=17).find_map(|more| {
            let power = 10_i128.pow(more.into());
            let number = parse(&shortest, scale + more)?;
            Some((number + number.signum() * (power / 2)) / power)
        }));
        readings
    }

    #[test]
    fn what_doubles_can_say_is_exact() {
        for (number, scale, said) in [
            (0, 3, "0.000"),
            (-1, 3, "-0.001"),
            (123_456_789_012_345, 3, "123456789012.345"),
            (999_999_999_999_999, 15, "0.999999999999999"),
            (42, 0, "42"),
        ] {
            assert_eq!(low_bound(number, 18, scale).as_deref(), Some(said));
            assert_eq!(high_bound(number, 18, scale).as_deref(), Some(said));
        }
    }

    #[test]
    fn beyond_them_a_bound_is_one_double_further() {
        let number = 123_456_789_012_345_678;
        assert_eq!(low_bound(number, 18, 3).unwrap(), "123456789012345.656");
        assert_eq!(high_bound(number, 18, 3).unwrap(), "123456789012345.688");
    }

    #[test]
    fn at_the_end_of_a_type_its_last_number_is_the_bound() {
        for precision in [5, 15, 16, 17, 38] {
            let last = 10_i128.pow(precision.into()) - 1;
            for scale in [0, 1, precision] {
                let high = high_bound(last, precision, scale);
                assert_eq!(high, Some(text(last, scale)));
                let low = low_bound(-last, precision, scale);
                assert_eq!(low, Some(text(-last, scale)));
            }
        }
    }

    #[test]
    fn numbers_of_json_are_parsed_exactly_or_not_at_all() {
        for (text, scale, number) in [
            ("-0.05", 2, Some(-5)),
            ("1e-2", 2, Some(1)),
            ("1.50E+2", 1, Some(1500)),
            ("0e99", 3, Some(0)),
            ("0.0e-99", 3, Some(0)),
            ("1e39", 0, None),
            ("1e-3", 2, None),
            ("0.123", 2, None),
            ("0.120", 2, Some(12)),
            ("170141183460469231731687303715884105728", 0, None),
            ("null", 2, None),
        ] {
            assert_eq!(parse(text, scale), number, "{text}");
        }
    }

    fn numbers() -> impl Strategy<Value = (i128, u8)> {
        // Fewer than the type has: what is at its end has a test of its own.
        (
            1_u32..=37,
            0_u8..=38,
            any::<u128>(),
            any::<bool>(),
            -3_i128..=3,
        )
            .prop_map(|(digits, scale, random, negative, step)| {
                let end = 10_i128.pow(digits);
                // Powers of two are where doubles change their distance.
                let number = match random % 3 {
                    0 => (1_i128 << (random % 126)) % end + step,
                    _ => (random % end.unsigned_abs()) as i128,
                };
                (if negative { -number } else { number }, scale)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn no_reader_takes_a_bound_for_more_than_it_is((number, scale) in numbers()) {
            let double: f64 = text(number, scale).parse().unwrap();
            let low = low_bound(number, 38, scale).unwrap();
            for reading in readings(&low, scale) {
                prop_assert!(reading <= number, "{low} for {}", text(number, scale));
            }
            prop_assert!(low.parse::<f64>().unwrap() <= double);
            let high = high_bound(number, 38, scale).unwrap();
            for reading in readings(&high, scale) {
                prop_assert!(reading >= number, "{high} for {}", text(number, scale));
            }
            prop_assert!(high.parse::<f64>().unwrap() >= double);
        }

        #[test]
        fn every_number_comes_back_from_its_text((number, scale) in numbers()) {
            prop_assert_eq!(parse(&text(number, scale), scale), Some(number));
        }
    }
}
