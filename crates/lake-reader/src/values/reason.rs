//! Why a value is not of its type.

use chrono_tz::Tz;

use crate::column::{Column, ColumnType};

/// Why a value does not parse. Cheap to make, because the parsers return it
/// before anyone knows whether it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It does not look like the type at all.
    Malformed,
    /// It has an exponent, and the type has no such thing.
    Exponent,
    /// It has more decimal places than the column.
    DecimalPlaces,
    /// It is too large or too small for the type.
    Range,
    /// It is not a number, or infinite.
    NotFinite,
    /// A date, where there should be a time as well.
    NoTime,
    /// A time that is not midnight, where there should be a date alone.
    TimeOfDay,
    /// No calendar or clock shows it.
    Impossible,
    Year(u16),
    Month(u8),
    Day(u8),
    Hour(u8),
    Minute(u8),
    Second(u8),
    LeapSecond,
    /// More precise than a microsecond.
    SubMicrosecond,
    /// A zone offset that no clock has.
    Offset,
    /// In UTC it is not in the years that timestamps have.
    YearInUtc,
    /// It is not JSON, because of the byte at this position.
    Syntax {
        at: usize,
        expected: &'static str,
    },
    /// The clocks of the zone show it twice.
    Twice(Tz),
    /// The clocks of the zone skip it.
    Skipped(Tz),
}

impl Reason {
    /// The message of a fault in a column; `value` is what was to be parsed.
    pub(crate) fn about(self, value: &str, column: &Column) -> String {
        let wanted = &column.data_type;
        match self {
            Self::Malformed => match column.form() {
                Some(form) => format!("'{value}' is not {} ({form})", with_article(wanted)),
                None => self.message(value, wanted),
            },
            _ => self.message(value, wanted),
        }
    }

    /// The same for a value that is written as its type usually is.
    pub(crate) fn message(self, value: &str, wanted: &ColumnType) -> String {
        let detail = match self {
            Self::Range => return format!("'{value}' does not fit {wanted}"),
            Self::DecimalPlaces => {
                let ColumnType::Decimal { scale, .. } = wanted else {
                    return Self::Malformed.message(value, wanted);
                };
                let places = if *scale == 1 { "place" } else { "places" };
                return format!("'{value}' has more than {scale} decimal {places}");
            }
            Self::SubMicrosecond => return format!("'{value}' is more precise than a microsecond"),
            Self::Malformed => match wanted.form() {
                None => String::new(),
                Some(form) => format!(" ({form})"),
            },
            Self::Exponent => ": it has an exponent".to_owned(),
            Self::NotFinite => ": only finite numbers are".to_owned(),
            Self::NoTime => ": it has no time of day".to_owned(),
            Self::TimeOfDay => ": it has a time of day".to_owned(),
            Self::Impossible => ": there is no such day or time".to_owned(),
            Self::Year(year) => format!(": year {year:04}"),
            Self::Month(month) => format!(": month {month:02}"),
            Self::Day(day) => format!(": the month has no day {day:02}"),
            Self::Hour(hour) => format!(": hour {hour:02}"),
            Self::Minute(minute) => format!(": minute {minute:02}"),
            Self::Second(second) => format!(": second {second:02}"),
            Self::LeapSecond => ": second 60, and leap seconds do not exist here".to_owned(),
            Self::Offset => ": no zone is that far from UTC".to_owned(),
            Self::YearInUtc => ": in UTC it is outside the years 0001 to 9999".to_owned(),
            Self::Syntax { at, expected } => format!(": {expected} is expected at byte {}", at + 1),
            Self::Twice(zone) => format!(": clocks in {zone} show it twice"),
            Self::Skipped(zone) => format!(": clocks in {zone} skip it"),
        };
        format!("'{value}' is not {}{detail}", with_article(wanted))
    }
}

/// `an int32`, `a date`, `json`.
fn with_article(wanted: &ColumnType) -> String {
    let article = match wanted {
        ColumnType::Int32 | ColumnType::Int64 => "an ",
        ColumnType::Json => "",
        _ => "a ",
    };
    format!("{article}{wanted}")
}
