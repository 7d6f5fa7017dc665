//! Times of a zone to instants.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono_tz::{GapInfo, Tz};

use super::reason::Reason;
use super::time::{self, MICROS_PER_SECOND, SECONDS_PER_DAY};
use crate::rules::{Ambiguous, Nonexistent, Zone};

/// How far a zone is ahead of UTC, at any time that its clocks show.
///
/// Looking a time up in the time zone database takes longer than parsing it, and the times of a
/// file are close to each other. So the answer for whole days is remembered: nothing else is in an
/// entry, so threads may read and write them without caring for each other.
pub(crate) struct Offsets {
    zone: Zone,
    /// The last answers, each at the place that its day has: the day in the upper half, the seconds
    /// in the lower one.
    days: Box<[AtomicU64]>,
}

/// How many days are remembered: a power of two, some years of readings.
const DAYS: usize = 1024;

/// The lower half of an entry that has no answer.
const UNKNOWN: u32 = i32::MIN as u32;

impl Offsets {
    pub(crate) fn new(zone: Zone) -> Self {
        let empty = || AtomicU64::new(u64::from(UNKNOWN));
        Self {
            zone,
            days: std::iter::repeat_with(empty).take(DAYS).collect(),
        }
    }

    /// The instant at which clocks show this time, in microseconds since 1970-01-01 as the clocks
    /// have it.
    #[inline]
    pub(crate) fn instant(&self, shown: i64) -> Result<i64, Reason> {
        let seconds = shown.div_euclid(MICROS_PER_SECOND);
        let day = seconds.div_euclid(SECONDS_PER_DAY) as u32;
        let entry = &self.days[day as usize % DAYS];
        let known = entry.load(Ordering::Relaxed);
        let offset = if (known >> 32) as u32 == day && known as u32 != UNKNOWN {
            known as u32 as i32
        } else {
            self.look_up(seconds, day, entry)?
        };
        time::within_years(shown - i64::from(offset) * MICROS_PER_SECOND)
    }

    /// Remembers the answer if the day begins and ends with it: no zone changes twice in one day.
    #[cold]
    fn look_up(&self, seconds: i64, day: u32, entry: &AtomicU64) -> Result<i32, Reason> {
        let midnight = i64::from(day as i32) * SECONDS_PER_DAY;
        let first = self.only_offset(midnight);
        if let Some(offset) = first
            && first == self.only_offset(midnight + SECONDS_PER_DAY - 1)
        {
            let known = u64::from(day) << 32 | u64::from(offset as u32);
            entry.store(known, Ordering::Relaxed);
            return Ok(offset);
        }
        self.offset(seconds)
    }

    fn only_offset(&self, seconds: i64) -> Option<i32> {
        let found = offsets_at(self.zone.name, seconds)?;
        found.single()
    }

    /// The offset of a time that may exist twice, or not at all.
    fn offset(&self, seconds: i64) -> Result<i32, Reason> {
        use chrono::MappedLocalTime as Found;
        let zone = self.zone.name;
        match offsets_at(zone, seconds).ok_or(Reason::Range)? {
            Found::Single(offset) => Ok(offset),
            Found::Ambiguous(first, second) => match self.zone.ambiguous {
                Ambiguous::Reject => Err(Reason::Twice(zone)),
                Ambiguous::Earliest => Ok(first),
                Ambiguous::Latest => Ok(second),
            },
            Found::None => match self.zone.nonexistent {
                Nonexistent::Reject => Err(Reason::Skipped(zone)),
                // The clock as it was before it was set forward, read on.
                Nonexistent::Shift => offset_before(zone, seconds).ok_or(Reason::Skipped(zone)),
            },
        }
    }
}

fn shown_time(seconds: i64) -> Option<chrono::NaiveDateTime> {
    Some(chrono::DateTime::from_timestamp(seconds, 0)?.naive_utc())
}

/// The seconds ahead of UTC when clocks show this time.
fn offsets_at(zone: Tz, seconds: i64) -> Option<chrono::MappedLocalTime<i32>> {
    use chrono::{Offset, TimeZone};
    let found = zone.offset_from_local_datetime(&shown_time(seconds)?);
    Some(found.map(|offset| offset.fix().local_minus_utc()))
}

/// The seconds ahead of UTC before clocks skipped this time.
fn offset_before(zone: Tz, seconds: i64) -> Option<i32> {
    use chrono::Offset;
    let (_, offset) = GapInfo::new(&shown_time(seconds)?, &zone)?.begin?;
    Some(offset.fix().local_minus_utc())
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offsets").field(&self.zone).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::time::timestamp;

    fn berlin(ambiguous: Ambiguous, nonexistent: Nonexistent) -> Offsets {
        Offsets::new(Zone {
            name: Tz::Europe__Berlin,
            ambiguous,
            nonexistent,
        })
    }

    fn micros(text: &str) -> i64 {
        timestamp(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_time_is_the_instant_at_which_the_clock_shows_it() {
        let offsets = berlin(Ambiguous::Reject, Nonexistent::Reject);
        for (shown, utc) in [
            ("2026-01-15T12:00:00", "2026-01-15T11:00:00Z"),
            ("2026-07-15T12:00:00.5", "2026-07-15T10:00:00.5Z"),
            ("2026-07-15T23:59:59", "2026-07-15T21:59:59Z"),
            ("2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
            ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
            ("2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
            ("2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
            ("1969-12-31T23:59:59.999999", "1969-12-31T22:59:59.999999Z"),
            ("1970-01-01T00:00:00", "1969-12-31T23:00:00Z"),
        ] {
            // The second time, it is remembered.
            for _ in 0..2 {
                assert_eq!(offsets.instant(micros(shown)), Ok(micros(utc)), "{shown}");
            }
        }
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_is_what_the_zone_says() {
        let shown = micros("2026-10-25T02:30:00");
        let instant = |ambiguous| berlin(ambiguous, Nonexistent::Reject).instant(shown);
        let twice = Reason::Twice(Tz::Europe__Berlin);
        assert_eq!(instant(Ambiguous::Reject), Err(twice));
        let (first, second) = (
            micros("2026-10-25T00:30:00Z"),
            micros("2026-10-25T01:30:00Z"),
        );
        assert_eq!(instant(Ambiguous::Earliest), Ok(first));
        assert_eq!(instant(Ambiguous::Latest), Ok(second));
    }

    #[test]
    fn a_time_that_the_clock_skips_is_a_fault_or_as_long_after_the_change() {
        let shown = micros("2026-03-29T02:30:00");
        let instant = |nonexistent| berlin(Ambiguous::Reject, nonexistent).instant(shown);
        let skipped = Reason::Skipped(Tz::Europe__Berlin);
        assert_eq!(instant(Nonexistent::Reject), Err(skipped));
        // 03:30 on the clock that was set forward.
        let shifted = micros("2026-03-29T01:30:00Z");
        assert_eq!(instant(Nonexistent::Shift), Ok(shifted));
    }

    #[test]
    fn days_that_share_an_entry_do_not_share_an_answer() {
        let offsets = berlin(Ambiguous::Reject, Nonexistent::Reject);
        let day = 86_400 * MICROS_PER_SECOND;
        let winter = micros("2026-01-15T12:00:00");
        for days in (-700..700).map(|n| n * DAYS as i64 / 4) {
            let shown = winter + days * day;
            let expected = offsets.offset(shown.div_euclid(MICROS_PER_SECOND)).unwrap();
            let instant = shown - i64::from(expected) * MICROS_PER_SECOND;
            assert_eq!(offsets.instant(shown), Ok(instant), "{days}");
        }
    }

    #[test]
    fn a_day_that_begins_and_ends_alike_is_alike_in_between_in_all_zones() {
        for zone in chrono_tz::TZ_VARIANTS {
            let at = |hour: i64| offsets_at(zone, hour * 3600).and_then(|found| found.single());
            // From 1990 to 2037.
            for day in 7305..24_837 {
                let midnight = at(24 * day);
                if midnight.is_some() && midnight == at(24 * day + 23) {
                    assert_eq!(at(24 * day + 3), midnight, "{zone} {day}");
                }
            }
        }
    }
}
