//! Dates and timestamps in declared forms.

use std::fmt::Write as _;

use chrono::format::{Fixed, Item, Numeric, Pad, ParseErrorKind, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::decimal::Decimal;
use super::reason::Reason;
use super::time::{self, Instant, MICROS_PER_SECOND, SECONDS_PER_DAY};

/// One declared form, prepared for parsing.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// A number of units since 1970-01-01, UTC.
    Epoch(Decimal),
    /// What `strftime` would write.
    Pattern(Pattern),
}

/// The names of forms that `strftime` has none for, and the digits that microseconds have beyond
/// their unit.
const EPOCHS: [(&str, i8); 3] = [("epoch_s", 6), ("epoch_ms", 3), ("epoch_us", 0)];

/// Microseconds of all years have fewer digits.
const EPOCH_PRECISION: u8 = 18;

impl Format {
    /// Prepares a form of dates.
    ///
    /// # Errors
    /// Says why no date can be read with it.
    pub(crate) fn of_dates(text: &str) -> Result<Self, &'static str> {
        if EPOCHS.iter().any(|(name, _)| *name == text) {
            return Err("is a form of timestamps, not of dates");
        }
        let pattern = Pattern::new(text)?;
        let sample = pattern.sample().ok_or(UNKNOWN)?;
        match pattern.date(sample.as_bytes()) {
            Ok(_) | Err(Reason::TimeOfDay) => Ok(Self::Pattern(pattern)),
            Err(_) => Err("does not say which day it is"),
        }
    }

    /// Prepares a form of timestamps.
    ///
    /// # Errors
    /// Says why no timestamp can be read with it.
    pub(crate) fn of_timestamps(text: &str) -> Result<Self, &'static str> {
        if let Some((_, places)) = EPOCHS.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Epoch(Decimal::new(EPOCH_PRECISION, *places)));
        }
        let pattern = Pattern::new(text)?;
        let sample = pattern.sample().ok_or(UNKNOWN)?;
        match pattern.instant(sample.as_bytes()) {
            Ok(_) => Ok(Self::Pattern(pattern)),
            Err(_) => Err("does not say which day and time it is"),
        }
    }

    /// The days since 1970-01-01.
    pub(crate) fn date(&self, text: &[u8]) -> Result<i32, Reason> {
        match self {
            Self::Epoch(_) => Err(Reason::Malformed),
            Self::Pattern(pattern) => pattern.date(text),
        }
    }

    /// The time that is meant.
    #[inline]
    pub(crate) fn instant(&self, text: &[u8]) -> Result<Instant, Reason> {
        match self {
            Self::Epoch(decimal) => epoch(*decimal, text),
            Self::Pattern(pattern) => pattern.instant(text),
        }
    }
}

const UNKNOWN: &str = "is not in the notation of strftime";

fn epoch(decimal: Decimal, text: &[u8]) -> Result<Instant, Reason> {
    let micros = decimal.parse(text).map_err(|reason| match reason {
        Reason::DecimalPlaces => Reason::SubMicrosecond,
        Reason::Range => Reason::YearInUtc,
        other => other,
    })?;
    let micros = i64::try_from(micros).map_err(|_| Reason::YearInUtc)?;
    time::within_years(micros).map(Instant::Utc)
}

/// A form in the notation of `strftime`.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    items: Vec<Item<'static>>,
    /// The same if it is made of numbers of fixed width, which nearly all are.
    steps: Option<Vec<Step>>,
}

/// One part of a form whose numbers all have a fixed width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// A point and up to six digits, or nothing.
    Fraction,
    Byte(u8),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, &'static str> {
        let items = StrftimeItems::new(text);
        let items = items.parse_to_owned().map_err(|_| UNKNOWN)?;
        if items.contains(&Item::Fixed(Fixed::TimezoneName)) {
            return Err(
                "has %Z, and the name of a zone does not say its offset: use %z, or a zone",
            );
        }
        let steps = steps(&items);
        Ok(Self { items, steps })
    }

    /// Some time in this form.
    fn sample(&self) -> Option<String> {
        let time = DateTime::from_timestamp(1_700_000_000, 0)?.fixed_offset();
        let mut text = String::new();
        write!(text, "{}", time.format_with_items(self.items.iter())).ok()?;
        Some(text)
    }

    fn date(&self, text: &[u8]) -> Result<i32, Reason> {
        let (day, micros) = match self.fixed(text) {
            Some(found) => found,
            None => {
                let parsed = self.parsed(text)?;
                let midnight = NaiveTime::MIN;
                let time = time_of_day(&parsed)?.unwrap_or(midnight);
                let date = parsed.to_naive_date().map_err(reason)?;
                (day_of(date)?, i64::from(time != midnight))
            }
        };
        match micros {
            0 => Ok(day),
            _ => Err(Reason::TimeOfDay),
        }
    }

    #[inline]
    fn instant(&self, text: &[u8]) -> Result<Instant, Reason> {
        match self.fixed(text) {
            Some((day, micros)) => Ok(Instant::Shown(
                i64::from(day) * SECONDS_PER_DAY * MICROS_PER_SECOND + micros,
            )),
            None => self.any_instant(text),
        }
    }

    #[inline(never)]
    fn any_instant(&self, text: &[u8]) -> Result<Instant, Reason> {
        let parsed = self.parsed(text)?;
        let time = time_of_day(&parsed)?;
        let offset = parsed.offset().unwrap_or(0);
        let shown = if parsed.timestamp().is_some() {
            parsed
                .to_naive_datetime_with_offset(offset)
                .map_err(reason)?
        } else {
            let date = parsed.to_naive_date().map_err(reason)?;
            NaiveDateTime::new(date, time.unwrap_or(NaiveTime::MIN))
        };
        let day = i64::from(day_of(shown.date())?);
        let time = shown.time();
        let seconds = day * SECONDS_PER_DAY + i64::from(time.num_seconds_from_midnight());
        let micros = i64::from(time.nanosecond() / 1000);
        if parsed.timestamp().is_some() || parsed.offset().is_some() {
            let utc = (seconds - i64::from(offset)) * MICROS_PER_SECOND + micros;
            time::within_years(utc).map(Instant::Utc)
        } else {
            Ok(Instant::Shown(seconds * MICROS_PER_SECOND + micros))
        }
    }

    fn parsed(&self, text: &[u8]) -> Result<Parsed, Reason> {
        let text = std::str::from_utf8(text).map_err(|_| Reason::Malformed)?;
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).map_err(reason)?;
        if parsed.second() == Some(60) {
            return Err(Reason::LeapSecond);
        }
        if parsed
            .nanosecond()
            .is_some_and(|nanos| !nanos.is_multiple_of(1000))
        {
            return Err(Reason::SubMicrosecond);
        }
        Ok(parsed)
    }

    /// The day, and the microseconds since midnight, if all numbers have their full width and are
    /// what a calendar and a clock can show. `None` says nothing.
    #[inline]
    fn fixed(&self, text: &[u8]) -> Option<(i32, i64)> {
        let (mut year, mut month, mut day) = (0, 0, 0);
        let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
        let mut rest = text;
        for step in self.steps.as_ref()? {
            match step {
                Step::Byte(byte) => {
                    let (first, after) = rest.split_first()?;
                    if first != byte {
                        return None;
                    }
                    rest = after;
                }
                Step::Year => year = time::digits::<4>(&mut rest)?,
                Step::Month => month = time::digits::<2>(&mut rest)?,
                Step::Day => day = time::digits::<2>(&mut rest)?,
                Step::Hour => hour = time::digits::<2>(&mut rest)?,
                Step::Minute => minute = time::digits::<2>(&mut rest)?,
                Step::Second => second = time::digits::<2>(&mut rest)?,
                Step::Fraction => {
                    if let Some((b'.', after)) = rest.split_first() {
                        let count = after.iter().take_while(|b| b.is_ascii_digit()).count();
                        let (digits, after) = after.split_at_checked(count.min(6))?;
                        let padded = digits.iter().chain(std::iter::repeat_n(&b'0', 6));
                        let padded = padded.take(if digits.is_empty() { 0 } else { 6 });
                        micros = padded.fold(0, |all, digit| all * 10 + u32::from(digit - b'0'));
                        rest = after;
                        if digits.is_empty() {
                            return None;
                        }
                    }
                }
            }
        }
        if !rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let day = time::day(year, month, day).ok()?;
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        Some((day, seconds * MICROS_PER_SECOND + i64::from(micros)))
    }
}

/// The time of day; none where the form has none, which means midnight.
fn time_of_day(parsed: &Parsed) -> Result<Option<NaiveTime>, Reason> {
    let has_none = parsed.hour_mod_12().is_none() && parsed.minute().is_none();
    if has_none || parsed.timestamp().is_some() {
        return Ok(None);
    }
    parsed.to_naive_time().map(Some).map_err(reason)
}

fn day_of(date: NaiveDate) -> Result<i32, Reason> {
    let day = date.to_epoch_days();
    if (time::FIRST_DAY..=time::LAST_DAY).contains(&day) {
        Ok(day)
    } else {
        Err(Reason::Impossible)
    }
}

fn reason(error: chrono::format::ParseError) -> Reason {
    match error.kind() {
        ParseErrorKind::OutOfRange | ParseErrorKind::Impossible => Reason::Impossible,
        _ => Reason::Malformed,
    }
}

/// The parts of a form whose numbers all have a fixed width, and which has each of them once.
fn steps(items: &[Item<'static>]) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for item in items {
        let text = match item {
            Item::Literal(text) | Item::Space(text) => text,
            Item::OwnedLiteral(text) | Item::OwnedSpace(text) => &**text,
            Item::Numeric(number, Pad::Zero) => {
                let step = match number {
                    Numeric::Year => Step::Year,
                    Numeric::Month => Step::Month,
                    Numeric::Day => Step::Day,
                    Numeric::Hour => Step::Hour,
                    Numeric::Minute => Step::Minute,
                    Numeric::Second => Step::Second,
                    _ => return None,
                };
                if steps.contains(&step) {
                    return None;
                }
                steps.push(step);
                continue;
            }
            Item::Fixed(Fixed::Nanosecond) if !steps.contains(&Step::Fraction) => {
                steps.push(Step::Fraction);
                continue;
            }
            _ => return None,
        };
        steps.extend(text.bytes().map(Step::Byte));
    }
    let without = |part, whole| steps.contains(&part) && !steps.contains(&whole);
    let has_gap = without(Step::Minute, Step::Hour)
        || without(Step::Second, Step::Minute)
        || without(Step::Fraction, Step::Second);
    (!has_gap).then_some(steps)
}
