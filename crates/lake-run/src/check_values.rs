//! The values that table checks compare: exactly, where they are exact.

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, i256};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// The most digits that a number in a check may have.
const MOST_DIGITS: usize = 38;

/// A number with what it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    value: Value,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    /// An integer and how many of its digits come after the point.
    Exact(i256, u32),
    Float(f64),
}

impl Number {
    /// A number that the engine has computed; NULL, the sum of nothing, is 0.
    ///
    /// # Errors
    /// Where the value is no number.
    pub(crate) fn of(value: &ScalarValue) -> Result<Self> {
        if value.is_null() {
            return Ok(Self {
                value: Value::Exact(i256::ZERO, 0),
                text: "0".to_owned(),
            });
        }
        let text = shown(value);
        let wide = wide(&value.data_type()).unwrap_or(DataType::Float64);
        let value = match value.cast_to(&wide)? {
            ScalarValue::Decimal256(Some(digits), _, scale) => {
                Value::Exact(digits, u32::from(scale.unsigned_abs()))
            }
            ScalarValue::Float64(Some(value)) => Value::Float(value),
            other => {
                return Err(datafusion::error::DataFusionError::Execution(format!(
                    "{other} is no number"
                )));
            }
        };
        Ok(Self { value, text })
    }

    fn approximate(&self) -> f64 {
        match self.value {
            Value::Float(value) => value,
            Value::Exact(digits, scale) => {
                let digits: f64 = digits.to_string().parse().unwrap_or(f64::NAN);
                digits / 10f64.powi(i32::try_from(scale).unwrap_or(i32::MAX))
            }
        }
    }
}

/// The type in which numbers of a type are summed without loss; `None` for
/// what is no number.
pub(crate) fn wide(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale),
        integer if integer.is_integer() => DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0),
        float if float.is_floating() => DataType::Float64,
        _ => return None,
    })
}

/// Whether a sum differs from its reference by at most a share of that, and
/// the figures.
pub(crate) fn close(sum: &Number, reference: &Number, tolerance: &str) -> (bool, String) {
    let share = tolerance.trim().parse().unwrap_or(0.0);
    let holds = match (sum.value, reference.value) {
        (Value::Exact(..), Value::Exact(..)) => exactly_close(sum, reference, tolerance),
        _ => None,
    };
    let (a, b) = (sum.approximate(), reference.approximate());
    let holds = holds.unwrap_or_else(|| (a - b).abs() <= share * b.abs());
    let both = format!("sum {} and reference {}", sum.text, reference.text);
    let apart = (a - b).abs();
    let detail = if apart == 0.0 && holds {
        format!("{both} are the same")
    } else if b == 0.0 {
        format!("{both} differ by {apart}")
    } else {
        format!(
            "{both} differ by {} %, {} % is allowed",
            percent(apart / b.abs()),
            percent(share)
        )
    };
    (holds, detail)
}

/// `None` where the numbers are too long to compare exactly, or are not exact.
fn exactly_close(sum: &Number, reference: &Number, tolerance: &str) -> Option<bool> {
    let (Value::Exact(a, a_scale), Value::Exact(b, b_scale)) = (sum.value, reference.value) else {
        return None;
    };
    let (share, share_scale) = digits(tolerance)?;
    let share = i256::from_i128(share);
    let scale = a_scale.max(b_scale);
    let a = a.checked_mul(power_of_ten(scale - a_scale)?)?;
    let b = b.checked_mul(power_of_ten(scale - b_scale)?)?;
    let apart = a.checked_sub(b)?.wrapping_abs();
    let allowed = b.wrapping_abs().checked_mul(share)?;
    Some(apart.checked_mul(power_of_ten(share_scale)?)? <= allowed)
}

fn power_of_ten(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// A plain number as an integer and the number of digits after its point.
fn digits(text: &str) -> Option<(i128, u32)> {
    let text = text.trim();
    let (sign, plain) = match text.strip_prefix('-') {
        Some(plain) => ("-", plain),
        None => ("", text),
    };
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    let all = format!("{whole}{part}");
    let plain = !all.is_empty() && all.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || all.len() > MOST_DIGITS {
        return None;
    }
    let value = format!("{sign}{all}").parse().ok()?;
    Some((value, u32::try_from(part.len()).ok()?))
}

/// `16.7`, and as many digits as it takes to show that it is not 0.
fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let mut text = String::new();
    for places in 1..=12 {
        text = format!("{value:.places$}");
        if text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
            break;
        }
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether the latest value is not older than `within` microseconds when the
/// run began. A date is the midnight with which it begins.
pub(crate) fn fresh(column: &str, latest: &ScalarValue, began: i64, within: i64) -> (bool, String) {
    const DAY: i64 = 86_400_000_000;
    let micros = match latest {
        ScalarValue::Date32(Some(days)) => i64::from(*days).checked_mul(DAY),
        ScalarValue::TimestampSecond(Some(value), _) => value.checked_mul(1_000_000),
        ScalarValue::TimestampMillisecond(Some(value), _) => value.checked_mul(1_000),
        ScalarValue::TimestampMicrosecond(Some(value), _) => Some(*value),
        ScalarValue::TimestampNanosecond(Some(value), _) => Some(value.div_euclid(1_000)),
        _ => None,
    };
    let Some(micros) = micros else {
        return (false, format!("there is no {column}"));
    };
    let age = began.saturating_sub(micros);
    let when = match latest {
        ScalarValue::Date32(_) => shown(latest),
        _ => DateTime::from_timestamp_micros(micros).map_or_else(
            || shown(latest),
            |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        ),
    };
    let ago = match age {
        0.. => format!("{} before", length(age)),
        _ => format!("{} after", length(age.saturating_neg())),
    };
    (
        age <= within,
        format!("latest {column} is {when}, {ago} the run"),
    )
}

/// A length of time in the unit that people would say it in.
fn length(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..345_600 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A value of a check as a constant that a column of `data_type` is compared
/// with. A number keeps all its digits, whatever the column's scale.
///
/// # Errors
/// In words, where the text is no value of the type.
pub(crate) fn literal(text: &str, data_type: &DataType) -> std::result::Result<Expr, String> {
    let refuse = || format!("{data_type}, and '{text}' is none");
    let exact = |text: &str| {
        let (value, scale) = digits(text)?;
        let scale = i8::try_from(scale).ok()?;
        let precision = value
            .unsigned_abs()
            .to_string()
            .len()
            .max(scale.unsigned_abs().into());
        let precision = u8::try_from(precision.max(1)).ok()?;
        Some(ScalarValue::Decimal128(Some(value), precision, scale))
    };
    let value = match data_type {
        DataType::Dictionary(_, values) => return literal(text, values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        float if float.is_floating() => {
            ScalarValue::Float64(Some(text.trim().parse().map_err(|_| refuse())?))
        }
        number if number.is_numeric() => exact(text).ok_or_else(refuse)?,
        other => {
            let written: ArrayRef = Arc::new(StringArray::from(vec![text.trim()]));
            let strict = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            let value = cast_with_options(&written, other, &strict).map_err(|_| refuse())?;
            ScalarValue::try_from_array(&value, 0).map_err(|_| refuse())?
        }
    };
    Ok(lit(value))
}

/// A value as people read it.
pub(crate) fn shown(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    let text = value.to_array().ok();
    let text = text.and_then(|array| array_value_to_string(&array, 0).ok());
    text.unwrap_or_else(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, scale: i8) -> Number {
        Number::of(&ScalarValue::Decimal128(Some(value), 38, scale)).unwrap()
    }

    #[test]
    fn sums_of_decimals_are_compared_exactly() {
        let detail = |a: &Number, b: &Number, tolerance: &str| close(a, b, tolerance);
        assert_eq!(
            detail(&decimal(100, 1), &decimal(120, 1), "0.01"),
            (
                false,
                "sum 10.0 and reference 12.0 differ by 16.7 %, 1 % is allowed".to_owned()
            )
        );
        // A share of exactly one percent is one percent, which floats do not know.
        assert!(close(&decimal(101, 2), &decimal(1, 0), "0.01").0);
        assert!(!close(&decimal(1_010_000_001, 9), &decimal(1, 0), "0.01").0);
        let long = 10i128.pow(30);
        assert!(!close(&decimal(long + 1, 0), &decimal(long, 0), "0").0);
        assert!(close(&decimal(1000, 3), &decimal(1, 0), "0").0);
    }

    #[test]
    fn the_sum_of_nothing_is_zero() {
        let nothing = Number::of(&ScalarValue::Decimal256(None, 76, 3)).unwrap();
        assert!(close(&nothing, &decimal(0, 0), "0").0);
        let (holds, detail) = close(&decimal(15, 1), &nothing, "0.5");
        assert_eq!(
            (holds, detail.as_str()),
            (false, "sum 1.5 and reference 0 differ by 1.5")
        );
    }

    #[test]
    fn floats_are_compared_within_their_tolerance() {
        let float = |value| Number::of(&ScalarValue::Float64(Some(value))).unwrap();
        assert!(close(&float(0.1 + 0.2), &float(0.3), "0.000001").0);
        assert!(!close(&float(f64::NAN), &float(1.0), "1").0);
    }

    #[test]
    fn a_latest_value_is_fresh_up_to_the_very_microsecond() {
        let hour = 3_600_000_000;
        let noon = ScalarValue::TimestampMicrosecond(Some(12 * hour), Some("UTC".into()));
        assert!(fresh("t", &noon, 14 * hour, 2 * hour).0);
        assert_eq!(
            fresh("t", &noon, 14 * hour + 1, 2 * hour),
            (
                false,
                "latest t is 1970-01-01T12:00:00Z, 2 h before the run".to_owned()
            )
        );
        assert!(fresh("t", &noon, 0, 0).1.ends_with("12 h after the run"));
        let day = ScalarValue::Date32(Some(1));
        assert_eq!(
            fresh("d", &day, 48 * hour, 24 * hour).1,
            "latest d is 1970-01-02, 24 h before the run"
        );
        assert!(!fresh("t", &ScalarValue::TimestampMicrosecond(None, None), 0, hour).0);
    }

    #[test]
    fn a_bound_keeps_the_digits_that_its_column_does_not_have() {
        let number = |text: &str, data_type| literal(text, &data_type).unwrap().to_string();
        assert_eq!(
            number("0.0005", DataType::Decimal128(12, 3)),
            "Decimal128(0.0005,4,4)"
        );
        assert_eq!(number("-3", DataType::Int64), "Decimal128(-3,1,0)");
        assert_eq!(
            number("2026-01-31", DataType::Date32),
            "Date32(\"2026-01-31\")"
        );
        let refused = literal("many", &DataType::Int64).unwrap_err();
        assert_eq!(refused, "Int64, and 'many' is none");
        assert!(literal("1e3", &DataType::Int64).is_err());
        assert!(literal("yesterday", &DataType::Date32).is_err());
    }

    #[test]
    fn small_shares_are_not_shown_as_nothing() {
        assert_eq!(
            [
                percent(0.01),
                percent(0.16667),
                percent(0.0),
                percent(0.0000042)
            ],
            ["1", "16.7", "0", "0.0004"]
        );
    }
}
