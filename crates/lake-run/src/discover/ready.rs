//! Whether a file is complete, and whether one should have come by now.

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use lake_pipeline::InputSource;

use lake_store::Stores;

use super::PendingFile;
use super::listing::name_of;
use crate::error::{Result, RunError};
use crate::raw::RawFile;

/// Why a file is left for a later run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotReady {
    /// It was changed a moment ago.
    Unsettled,
    /// Nothing says that it is complete.
    Unmarked,
}

/// Finds out which files are complete.
#[derive(Debug)]
pub(super) struct Readiness<'a> {
    source: &'a InputSource,
    /// Microseconds since 1970: what time it is.
    now: i64,
    /// The directories that were looked at for a marker, and whether it is there.
    marked: HashMap<String, bool>,
    stores: &'a Stores,
}

impl<'a> Readiness<'a> {
    pub(super) fn new(source: &'a InputSource, now: i64, stores: &'a Stores) -> Self {
        Self {
            source,
            now,
            marked: HashMap::new(),
            stores,
        }
    }

    /// What speaks against loading a file now.
    pub(super) async fn of(&mut self, file: &PendingFile) -> Result<Option<NotReady>> {
        // A time in the future is not long ago either.
        if !self.source.settle.is_zero() && since(file.modified, self.now) < self.source.settle {
            return Ok(Some(NotReady::Unsettled));
        }
        let Some(marker) = &self.source.done_marker else {
            return Ok(None);
        };
        let name = name_of(&file.path);
        let directory = file.path.strip_suffix(name).unwrap_or_default();
        let known = self.marked.get(directory);
        let is_marked = match known.filter(|_| marker.is_for_directories()) {
            Some(known) => *known,
            None => {
                let marker = format!("{directory}{}", marker.of(name));
                let found = RawFile::at(self.stores, &marker)?.stat().await;
                let found = found.map_err(|source| RunError::Io {
                    path: marker.into(),
                    source,
                })?;
                self.marked.insert(directory.to_owned(), found.is_some());
                found.is_some()
            }
        };
        Ok((!is_marked).then_some(NotReady::Unmarked))
    }
}

/// What there is to say if no file of an input came for longer than it expects. `newest` is when
/// the newest of those that are there or loaded was changed, in microseconds since 1970.
pub(super) fn lateness(
    input: &str,
    source: &InputSource,
    newest: Option<i64>,
    now: i64,
) -> Option<String> {
    let expected = source.expect_every?;
    let every = format!("one is expected every {}", written(expected));
    let Some(newest) = newest else {
        return Some(format!("input {input}: no file has come yet, and {every}"));
    };
    let age = since(newest, now);
    if age <= expected {
        return None;
    }
    let when = DateTime::from_timestamp_micros(newest);
    let when = when.map_or_else(String::new, |when| {
        format!(
            " (the newest is of {})",
            when.format("%Y-%m-%d %H:%M:%S UTC")
        )
    });
    Some(format!(
        "input {input}: no file has come for {}{when}, and {every}",
        written(age)
    ))
}

/// How long ago something was, both in microseconds since 1970; zero for what is to come.
fn since(then: i64, now: i64) -> Duration {
    Duration::from_micros(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}

/// A length of time as settings have it, `1d2h`, down to seconds where it has any.
pub(super) fn written(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds == 0 {
        return match length.subsec_micros() {
            0 => "0s".to_owned(),
            micros if micros % 1_000 == 0 => format!("{}ms", micros / 1_000),
            micros => format!("{micros}us"),
        };
    }
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let units = units.iter().filter(|(number, _)| *number > 0);
    units
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_shown_as_it_would_be_written() {
        for text in ["1d", "1h30m", "90s", "2d3h4m5s", "250ms", "3us", "0s"] {
            let micros = lake_plugin::microseconds(text).unwrap();
            let shown = written(Duration::from_micros(micros as u64));
            assert_eq!(lake_plugin::microseconds(&shown), Some(micros), "{text}");
        }
        assert_eq!(written(Duration::from_secs(90)), "1m30s");
    }
}
