//! Parameters: values of a transform that a pipeline can set.

use std::sync::Arc;

use arrow::array::{ArrayRef, DurationMicrosecondArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use serde::{Deserialize, Serialize};

use crate::ColumnType;

/// A parameter as an author declares it; [`param`] makes one.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub(crate) declaration: ParameterDeclaration,
}

/// A parameter of a transform, as in `param("top", integer()).default("50")`.
///
/// The SQL of checks and tables reads it as `$top`; the pipeline file sets it under
/// `transform.params`.
pub fn param(name: impl Into<String>, parameter_type: ColumnType) -> Parameter {
    Parameter {
        declaration: ParameterDeclaration {
            name: name.into(),
            parameter_type,
            default: None,
            about: String::new(),
        },
    }
}

impl Parameter {
    /// The value where a pipeline sets none, as a pipeline file would write it. A parameter
    /// without a default must be set.
    #[must_use]
    pub fn default(mut self, value: impl Into<String>) -> Self {
        self.declaration.default = Some(value.into());
        self
    }

    /// What the parameter means, in a sentence.
    #[must_use]
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.declaration.about = text.into();
        self
    }
}

/// A parameter as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterDeclaration {
    /// What the pipeline file and the SQL call it.
    pub name: String,
    /// What its value is.
    #[serde(rename = "type")]
    pub parameter_type: ColumnType,
    /// The value where a pipeline sets none, as it would be written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl ParameterDeclaration {
    /// What `text` stands for: an array with that one value, of the parameter's type.
    ///
    /// # Errors
    /// In words, where the text is no value of the type.
    pub fn value(&self, text: &str) -> Result<ArrayRef, String> {
        let wanted = self.parameter_type.to_arrow();
        let refuse = |example: &str| {
            format!(
                "parameter {} is {}, and '{text}' is none; write it as {example}",
                self.name, self.parameter_type
            )
        };
        let example = match self.parameter_type {
            ColumnType::Text => return Ok(Arc::new(StringArray::from(vec![text]))),
            ColumnType::Boolean => "true or false",
            ColumnType::Int32 | ColumnType::Int64 => "42",
            ColumnType::Float64 => "0.5",
            ColumnType::Decimal { .. } => "12.50",
            ColumnType::Date => "2026-01-31",
            ColumnType::Timestamp => "2026-01-31T12:00:00Z",
            ColumnType::Duration => {
                let length = microseconds(text).ok_or_else(|| refuse("90s, 20m, 1h30m or 2d"))?;
                return Ok(Arc::new(DurationMicrosecondArray::from(vec![length])));
            }
        };
        let written: ArrayRef = Arc::new(StringArray::from(vec![text.trim()]));
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        cast_with_options(&written, &wanted, &strict).map_err(|_| refuse(example))
    }
}

/// A length of time as people write it: `90s`, `20m`, `1h30m`, `2d`; in microseconds.
///
/// `None` where it is none, or too long.
#[must_use]
pub fn microseconds(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit: i64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        let number: i64 = number.parse().ok()?;
        let part = number.checked_mul(unit)?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Date32Type, Decimal128Type, DurationMicrosecondType, Int64Type};

    use super::*;
    use crate::{date, decimal, duration, integer, text};

    fn value(parameter: Parameter, written: &str) -> Result<ArrayRef, String> {
        parameter.declaration.value(written)
    }

    #[test]
    fn a_value_is_read_exactly_as_its_type_says() {
        let top = value(param("top", integer()), " 50 ").unwrap();
        assert_eq!(top.as_primitive::<Int64Type>().value(0), 50);
        let price = value(param("price", decimal(12, 2)), "12.5").unwrap();
        assert_eq!(price.as_primitive::<Decimal128Type>().value(0), 1250);
        let day = value(param("day", date()), "1970-01-02").unwrap();
        assert_eq!(day.as_primitive::<Date32Type>().value(0), 1);
        let name = value(param("name", text()), " as it is ").unwrap();
        assert_eq!(name.as_string::<i32>().value(0), " as it is ");
    }

    #[test]
    fn a_text_that_is_no_value_of_the_type_is_refused_with_one_that_would_be() {
        for (parameter, written) in [
            (param("top", integer()), "many"),
            (param("top", integer()), "1.5"),
            (param("top", integer()), ""),
            (param("day", date()), "yesterday"),
            (param("price", decimal(4, 2)), "123.45"),
        ] {
            let message = value(parameter, written).unwrap_err();
            assert!(message.contains("write it as"), "{message}");
        }
    }

    #[test]
    fn a_duration_is_written_as_people_do() {
        let gap = value(param("gap", duration()), "1h30m").unwrap();
        let gap = gap.as_primitive::<DurationMicrosecondType>();
        assert_eq!(gap.value(0), 5_400_000_000);
        assert!(
            value(param("gap", duration()), "20")
                .unwrap_err()
                .contains("20m")
        );
    }

    #[test]
    fn lengths_of_time_add_up_and_need_a_unit() {
        assert_eq!(microseconds("1h30m"), Some(5_400_000_000));
        assert_eq!(microseconds("250ms"), Some(250_000));
        for wrong in ["", "20", "m", "1x", "1h 30m", "-1s", "99999999999999999d"] {
            assert_eq!(microseconds(wrong), None, "{wrong}");
        }
    }
}
