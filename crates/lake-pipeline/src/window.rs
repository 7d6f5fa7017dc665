//! How far back a rollback can go, as people write it: `30 days, at least 20 runs`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::Problem;
use crate::pipeline::RollbackWindow;

/// Units of time in words, and how many minutes they have.
const UNITS: [(&str, u64); 4] = [
    ("minute", 1),
    ("hour", 60),
    ("day", 24 * 60),
    ("week", 7 * 24 * 60),
];

/// A length of time, a number of runs, or both in this order.
pub(crate) fn window(text: &str, _: &Path) -> Result<RollbackWindow, Problem> {
    let wrong = || {
        Problem::new(format!(
            "`{text}` does not say how far back a rollback can go"
        ))
        .help("write a length of time, a number of runs, or both: 30 days, at least 20 runs")
    };
    let mut window = RollbackWindow {
        time: Duration::ZERO,
        runs: 1,
    };
    let mut parts = text.split(',').map(str::trim).peekable();
    if let Some(time) = parts.peek().and_then(|part| time(part)) {
        window.time = time;
        parts.next();
    }
    if let Some(part) = parts.next() {
        window.runs = runs(part).ok_or_else(wrong)?;
    }
    match parts.next() {
        None => Ok(window),
        Some(_) => Err(wrong()),
    }
}

/// `30 days`, or as other settings have it: `30d`.
fn time(text: &str) -> Option<Duration> {
    if let Some(micros) = lake_plugin::microseconds(text) {
        return u64::try_from(micros).ok().map(Duration::from_micros);
    }
    let (number, unit) = text.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim();
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    let (_, minutes) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let seconds = number.checked_mul(minutes)?.checked_mul(60)?;
    Some(Duration::from_secs(seconds))
}

/// `at least 20 runs`, or `20 runs`.
fn runs(text: &str) -> Option<u64> {
    let text = text.strip_prefix("at least ").unwrap_or(text).trim();
    let number = text
        .strip_suffix("runs")
        .or_else(|| text.strip_suffix("run"))?;
    let number = number.trim().parse().ok()?;
    (number > 0).then_some(number)
}

pub(crate) fn schema() -> Value {
    let time = "([0-9]+ +(week|day|hour|minute)s?|([0-9]+(us|ms|s|m|h|d))+)";
    let runs = "(at least +)?[0-9]+ *runs?";
    json!({ "type": "string", "pattern": format!("^ *({time} *(, *{runs})?|{runs}) *$") })
}
