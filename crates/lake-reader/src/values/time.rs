//! Dates and timestamps in the forms of ISO 8601 that data files use.

use super::reason::Reason;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
/// The day of 0001-01-01.
pub(crate) const FIRST_DAY: i32 = -719_162;
/// The day of 9999-12-31.
pub(crate) const LAST_DAY: i32 = 2_932_896;

/// A point in time in microseconds since 1970-01-01, and what that is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instant {
    /// The text says how far its clock is ahead of UTC.
    Utc(i64),
    /// The text says only what a clock shows.
    Shown(i64),
}

/// `YYYY-MM-DD` to the days since 1970-01-01.
pub(crate) fn date(text: &[u8]) -> Result<i32, Reason> {
    let mut cursor = Cursor(text);
    let day = cursor.date()?;
    if cursor.0.is_empty() {
        Ok(day)
    } else {
        Err(Reason::Malformed)
    }
}

/// A date with a time of day to the microseconds since 1970-01-01, in UTC unless it says otherwise.
#[inline]
pub(crate) fn timestamp(text: &[u8]) -> Result<i64, Reason> {
    match instant(text)? {
        Instant::Utc(micros) | Instant::Shown(micros) => Ok(micros),
    }
}

/// A date with a time of day.
#[inline]
pub(crate) fn instant(text: &[u8]) -> Result<Instant, Reason> {
    match usual_timestamp(text) {
        Some(instant) => Ok(instant),
        None => any_timestamp(text),
    }
}

/// The same microseconds, if timestamps have their year.
#[inline]
pub(crate) fn within_years(utc: i64) -> Result<i64, Reason> {
    const FIRST: i64 = FIRST_DAY as i64 * SECONDS_PER_DAY * MICROS_PER_SECOND;
    const END: i64 = (LAST_DAY as i64 + 1) * SECONDS_PER_DAY * MICROS_PER_SECOND;
    if (FIRST..END).contains(&utc) {
        Ok(utc)
    } else {
        Err(Reason::YearInUtc)
    }
}

/// The days from 1970-01-01 to a date.
#[inline]
pub(crate) fn day(year: u32, month: u32, day: u32) -> Result<i32, Reason> {
    if year == 0 {
        return Err(Reason::Year(0));
    }
    if !(1..=12).contains(&month) {
        return Err(Reason::Month(month as u8));
    }
    if day == 0 || day > days_in_month(year, month) {
        return Err(Reason::Day(day as u8));
    }
    Ok(days_since_epoch(year, month, day))
}

/// Takes a number of so many digits off the front of a text.
#[inline]
pub(crate) fn digits<const DIGITS: usize>(text: &mut &[u8]) -> Option<u32> {
    let (digits, rest) = text.split_first_chunk::<DIGITS>()?;
    let number = digits.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u32::from(digit))
    })?;
    *text = rest;
    Some(number)
}

/// The form that nearly all files have, `YYYY-MM-DD HH:MM:SS` with `T` or a
/// space and perhaps a `Z`, eight bytes at a time; `None` says nothing.
#[inline]
fn usual_timestamp(text: &[u8]) -> Option<Instant> {
    let (text, zone) = text.split_first_chunk::<19>()?;
    let is_utc = zone == b"Z";
    if !(zone.is_empty() || is_utc) {
        return None;
    }
    let (date, time) = text.split_first_chunk::<8>()?;
    let (time, second) = time.split_first_chunk::<8>()?;
    let [century, _, year, _, _, month, ..] = pairs(*date, *b"0000-00-")?;
    let mut time = *time;
    if time[2] == b' ' {
        time[2] = b'T';
    }
    let [day, _, _, hour, _, _, minute, _] = pairs(time, *b"00T00:00")?;
    let [b':', tens @ b'0'..=b'5', ones @ b'0'..=b'9'] = *second else {
        return None;
    };
    let second = 10 * u32::from(tens - b'0') + u32::from(ones - b'0');
    let year = u32::from(century) * 100 + u32::from(year);
    let (month, day) = (u32::from(month), u32::from(day));
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = u32::from(hour) * 3600 + u32::from(minute) * 60 + second;
    let day = i64::from(days_since_epoch(year, month, day));
    let micros = (day * SECONDS_PER_DAY + i64::from(seconds)) * MICROS_PER_SECOND;
    Some(if is_utc {
        Instant::Utc(micros)
    } else {
        Instant::Shown(micros)
    })
}

/// The number of two digits that starts at each byte, if the text has digits where the form has
/// zeros, and the same bytes as the form elsewhere. Where a pair is not two digits, its number
/// means nothing.
///
/// All eight bytes are dealt with at once, in one register: what differs from the form is a digit's
/// value or nothing, and adding to it sets the highest bit of a byte where it is more than that.
#[inline]
fn pairs(text: [u8; 8], form: [u8; 8]) -> Option<[u8; 8]> {
    const HIGH: u64 = u64::MAX / 0xFF * 0x80;
    let room = form.map(|byte| if byte == b'0' { 0x7F - 9 } else { 0x7F });
    let values = u64::from_le_bytes(text) ^ u64::from_le_bytes(form);
    let sums = (values & !HIGH) + u64::from_le_bytes(room);
    if (sums | values) & HIGH != 0 {
        return None;
    }
    // At most 99, so nothing carries into the next byte.
    Some((values * 10 + (values >> 8)).to_le_bytes())
}

/// Every accepted form, and the reason if it is none.
#[inline(never)]
fn any_timestamp(text: &[u8]) -> Result<Instant, Reason> {
    let mut cursor = Cursor(text);
    let day = cursor.date()?;
    if cursor.0.is_empty() {
        return Err(Reason::NoTime);
    }
    if !(cursor.eat(b'T') || cursor.eat(b' ')) {
        return Err(Reason::Malformed);
    }
    let (seconds, fraction) = cursor.time_of_day()?;
    let offset = cursor.zone()?;
    if !cursor.0.is_empty() {
        return Err(Reason::Malformed);
    }
    let seconds = i64::from(day) * SECONDS_PER_DAY + i64::from(seconds);
    let shown = seconds * MICROS_PER_SECOND + i64::from(fraction);
    match offset {
        None => Ok(Instant::Shown(shown)),
        Some(offset) => {
            within_years(shown - i64::from(offset) * MICROS_PER_SECOND).map(Instant::Utc)
        }
    }
}

/// What is left of the text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn number<const DIGITS: usize>(&mut self) -> Result<u32, Reason> {
        digits::<DIGITS>(&mut self.0).ok_or(Reason::Malformed)
    }

    /// A number of two digits.
    fn two(&mut self) -> Result<u32, Reason> {
        self.number::<2>()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(Reason::Malformed)
        }
    }

    /// The days since the epoch.
    fn date(&mut self) -> Result<i32, Reason> {
        let year = self.number::<4>()?;
        self.expect(b'-')?;
        let month = self.two()?;
        self.expect(b'-')?;
        let day = self.two()?;
        self::day(year, month, day)
    }

    /// The seconds since midnight, and the microseconds beyond them.
    fn time_of_day(&mut self) -> Result<(u32, u32), Reason> {
        let hour = self.two()?;
        self.expect(b':')?;
        let minute = self.two()?;
        let (mut second, mut fraction) = (0, 0);
        if self.eat(b':') {
            second = self.two()?;
            if self.eat(b'.') {
                fraction = self.fraction()?;
            }
        }
        match (hour, minute, second) {
            (24.., _, _) => Err(Reason::Hour(hour as u8)),
            (_, 60.., _) => Err(Reason::Minute(minute as u8)),
            (_, _, 60) => Err(Reason::LeapSecond),
            (_, _, 61..) => Err(Reason::Second(second as u8)),
            _ => Ok((hour * 3600 + minute * 60 + second, fraction)),
        }
    }

    /// The microseconds that the digits after the point are.
    fn fraction(&mut self) -> Result<u32, Reason> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        if digits.is_empty() {
            return Err(Reason::Malformed);
        }
        if digits.iter().skip(6).any(|&digit| digit != b'0') {
            return Err(Reason::SubMicrosecond);
        }
        let padded = digits.iter().chain(std::iter::repeat(&b'0'));
        Ok(padded
            .take(6)
            .fold(0, |micros, digit| micros * 10 + u32::from(digit - b'0')))
    }

    /// How many seconds the zone is ahead of UTC; none if there is no zone.
    fn zone(&mut self) -> Result<Option<i32>, Reason> {
        if self.0.is_empty() {
            return Ok(None);
        }
        if self.eat(b'Z') {
            return Ok(Some(0));
        }
        let west = self.eat(b'-');
        if !west {
            self.expect(b'+')?;
        }
        let hours = self.two()?;
        let minutes = match (self.eat(b':'), self.0.is_empty()) {
            (false, true) => 0,
            _ => self.two()?,
        };
        if hours > 23 || minutes > 59 {
            return Err(Reason::Offset);
        }
        let seconds = (hours * 3600 + minutes * 60) as i32;
        Ok(Some(if west { -seconds } else { seconds }))
    }
}

#[inline]
fn is_leap_year(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The month is 1 to 12.
#[inline]
fn days_in_month(year: u32, month: u32) -> u32 {
    if month == 2 {
        28 + u32::from(is_leap_year(year))
    } else {
        // The lengths alternate, and start anew in August.
        30 + ((month + month / 8) & 1)
    }
}

/// The days from 1970-01-01 to a date that exists.
///
/// Years are counted from March, so that the leap day is the last of its year
/// and the lengths of the months before it follow one pattern.
#[inline]
fn days_since_epoch(year: u32, month: u32, day: u32) -> i32 {
    let january_or_february = u32::from(month <= 2);
    let year = year - january_or_february;
    let month = month + 12 * january_or_february - 3;
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // From 0000-03-01, where this count starts, to 1970-01-01.
    (365 * year + leap_days + day_of_year) as i32 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<i64, Reason> {
        timestamp(text.as_bytes())
    }

    #[test]
    fn every_day_of_the_calendar_has_the_next_number() {
        let mut expected = FIRST_DAY;
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, LAST_DAY + 1);
        assert_eq!(date(b"1970-01-01"), Ok(0));
        assert_eq!(date(b"2000-02-29"), Ok(11_016));
    }

    #[test]
    fn dates_that_do_not_exist_say_why() {
        assert_eq!(date(b"2026-13-01"), Err(Reason::Month(13)));
        assert_eq!(date(b"2026-00-01"), Err(Reason::Month(0)));
        assert_eq!(date(b"2026-02-29"), Err(Reason::Day(29)));
        assert_eq!(date(b"1900-02-29"), Err(Reason::Day(29)));
        assert_eq!(date(b"2026-04-31"), Err(Reason::Day(31)));
        assert_eq!(date(b"2026-04-00"), Err(Reason::Day(0)));
        assert_eq!(date(b"0000-01-01"), Err(Reason::Year(0)));
        for text in [
            "",
            "2026-1-1",
            "20260101",
            "01/02/2026",
            "2026-01-01 ",
            "2026-01-0x",
        ] {
            assert_eq!(date(text.as_bytes()), Err(Reason::Malformed), "{text}");
        }
    }

    #[test]
    fn the_ways_to_write_an_instant_mean_the_same() {
        let expected = Ok(1_772_341_200_000_000);
        for text in [
            "2026-03-01T05:00:00Z",
            "2026-03-01T05:00:00",
            "2026-03-01 05:00:00",
            "2026-03-01 05:00",
            "2026-03-01T05:00Z",
            "2026-03-01T05:00:00.000000000Z",
            "2026-03-01T07:30:00+02:30",
            "2026-03-01T07:30:00+0230",
            "2026-03-01T07:00:00+02",
            "2026-02-28T23:00:00.0-06:00",
            "2026-03-01T05:00-00:00",
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn the_fast_way_to_read_the_usual_form_never_says_anything_else_than_the_slow_one() {
        for usual in [
            "2026-03-01T05:07:09Z",
            "1999-12-31 23:59:58",
            "2000-02-29T00:00:00",
        ] {
            assert_eq!(
                usual_timestamp(usual.as_bytes()).map(Ok),
                Some(any_timestamp(usual.as_bytes()))
            );
            for at in 0..usual.len() {
                for byte in 0..=255 {
                    let mut text = usual.as_bytes().to_vec();
                    text[at] = byte;
                    if let Some(fast) = usual_timestamp(&text) {
                        assert_eq!(any_timestamp(&text), Ok(fast), "{usual} {at} {byte}");
                    }
                }
            }
        }
    }

    #[test]
    fn fractions_are_exact_to_the_microsecond() {
        assert_eq!(at("1970-01-01T00:00:00.1"), Ok(100_000));
        assert_eq!(at("1970-01-01T00:00:00.000001"), Ok(1));
        assert_eq!(
            at("1970-01-01T00:00:00.1234567"),
            Err(Reason::SubMicrosecond)
        );
        assert_eq!(at("1969-12-31T23:59:59.999999"), Ok(-1));
    }

    #[test]
    fn times_that_do_not_exist_say_why() {
        assert_eq!(at("2026-03-01T24:00:00"), Err(Reason::Hour(24)));
        assert_eq!(at("2026-03-01T05:60:00"), Err(Reason::Minute(60)));
        assert_eq!(at("2016-12-31T23:59:60Z"), Err(Reason::LeapSecond));
        assert_eq!(at("2026-03-01T05:00:61"), Err(Reason::Second(61)));
        assert_eq!(at("2026-13-01T05:00:00Z"), Err(Reason::Month(13)));
        assert_eq!(at("2026-03-01T05:00:00+24:00"), Err(Reason::Offset));
        assert_eq!(at("2026-03-01"), Err(Reason::NoTime));
        assert_eq!(at("0001-01-01T00:00:00+01:00"), Err(Reason::YearInUtc));
        assert_eq!(at("9999-12-31T23:59:59-01:00"), Err(Reason::YearInUtc));
    }

    #[test]
    fn the_first_and_the_last_instant_are_accepted() {
        assert_eq!(at("0001-01-01T00:00:00Z"), Ok(-62_135_596_800_000_000));
        assert_eq!(
            at("9999-12-31T23:59:59.999999Z"),
            Ok(253_402_300_799_999_999)
        );
    }

    #[test]
    fn other_forms_are_not_guessed_at() {
        for text in [
            "",
            "2026-03-01t05:00:00",
            "2026-03-01T05:00:00z",
            "2026-03-01  05:00:00",
            "2026-03-01T5:00:00",
            "2026-03-01T05",
            "2026-03-01T05:00:00.",
            "2026-03-01T05:00:00 Z",
            "2026-03-01T05:00:00 +02:00",
            "2026-03-01T05:00:00+2",
            "2026-03-01T05:00:00+02:",
            "2026-03-01T05:00:00ZZ",
            "2026-03-01T05:00:00 UTC",
            "2026-03-01T05:00:0é",
            "1772341200",
        ] {
            assert_eq!(at(text), Err(Reason::Malformed), "{text}");
        }
    }
}
