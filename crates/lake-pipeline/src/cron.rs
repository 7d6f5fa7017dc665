//! Cron expressions of five fields.
//!
//! What is accepted is what every cron and Kubernetes agree on: `*`, values,
//! ranges, lists, steps over `*` or a range, and English names of months and
//! days. Where they differ (7 for Sunday, `@daily`, steps after a single
//! value), the message says what to write instead.

use std::path::Path;

use serde_json::{Value, json};

use crate::fault::Problem;

/// A cron expression, with single spaces between its fields.
pub(crate) fn schedule(text: &str, _: &Path) -> Result<String, Problem> {
    const HELP: &str = "write minute, hour, day of month, month and day of week: \"*/15 * * * *\" is every 15 minutes";
    let written: Vec<&str> = text.split_whitespace().collect();
    if written.len() != FIELDS.len() {
        return Err(Problem::new(format!(
            "`{text}` has {} of the 5 fields of a cron expression",
            written.len()
        ))
        .help(HELP));
    }
    let mut sets = [0_u64; 5];
    let mut faults = Vec::new();
    for ((field, written), set) in FIELDS.iter().zip(&written).zip(&mut sets) {
        match field.values(written) {
            Ok(values) => *set = values,
            Err(fault) => faults.push(format!("{}: {fault}", field.name)),
        }
    }
    if !faults.is_empty() {
        return Err(Problem::new(format!(
            "`{text}` is not a cron expression: {}",
            faults.join("; ")
        ))
        .help(HELP));
    }
    let [_, _, days, months, _] = sets;
    let any_weekday = written.last().is_some_and(|field| *field == "*");
    if any_weekday && !comes(days, months) {
        return Err(
            Problem::new(format!("`{text}` never comes: no such day in that month"))
                .help("check the third and fourth field, the day of month and the month"),
        );
    }
    Ok(written.join(" "))
}

pub(crate) fn schedule_schema() -> Value {
    json!({ "type": "string", "pattern": "^\\s*\\S+(\\s+\\S+){4}\\s*$" })
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names of the values from `low` on.
    names: &'static [&'static str],
}

static FIELDS: [Field; 5] = [
    Field::plain("minute", 0, 59),
    Field::plain("hour", 0, 23),
    Field::plain("day of month", 1, 31),
    Field {
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        ..Field::plain("month", 1, 12)
    },
    Field {
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        ..Field::plain("day of week", 0, 6)
    },
];

impl Field {
    const fn plain(name: &'static str, low: u32, high: u32) -> Self {
        Self {
            name,
            low,
            high,
            names: &[],
        }
    }

    /// The values that a list stands for, one bit each.
    fn values(&self, list: &str) -> Result<u64, String> {
        list.split(',')
            .try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// The values of one item of a list: `*`, `*/5`, `3`, `3-9` or `3-9/2`.
    fn item(&self, item: &str) -> Result<u64, String> {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (item, None),
        };
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (self.low, self.high),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if step.is_some() => {
                self.value(span)?;
                return Err(format!(
                    "a step needs a range; write `{span}-{}/{}`",
                    self.high,
                    step.unwrap_or_default()
                ));
            }
            None => {
                let value = self.value(span)?;
                (value, value)
            }
        };
        if from > to {
            return Err(format!("the range `{span}` runs backwards"));
        }
        let step = match step {
            Some(step) => self.step(step, to - from)?,
            None => 1,
        };
        Ok((from..=to)
            .step_by(step)
            .fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let named = self
            .names
            .iter()
            .zip(self.low..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, value)) = named {
            return Ok(value);
        }
        if text == "7" && self.name == "day of week" {
            return Err("Sunday is 0, as Kubernetes does not take 7".to_owned());
        }
        number(text)
            .filter(|value| (self.low..=self.high).contains(value))
            .ok_or_else(|| format!("`{text}` is not between {} and {}", self.low, self.high))
    }

    fn step(&self, text: &str, width: u32) -> Result<usize, String> {
        match number(text) {
            Some(0) => Err("a step of 0 leads nowhere".to_owned()),
            Some(step) if step > width => Err(format!(
                "the step {step} is longer than the range it steps over"
            )),
            Some(step) => Ok(step as usize),
            None => Err(format!("the step `{text}` is not a number")),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Whether one of the days exists in one of the months.
fn comes(days: u64, months: u64) -> bool {
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let first_day = days.trailing_zeros();
    LENGTHS
        .iter()
        .zip(1..)
        .any(|(length, month): (_, u32)| months & (1 << month) != 0 && first_day <= *length)
}
