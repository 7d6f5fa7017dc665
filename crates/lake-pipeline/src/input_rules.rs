//! What the settings of an input may be. Each rule stands beside its JSON Schema.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::Problem;
use crate::input::{DoneMarker, FileOrder, OnChange, OnEmpty, OnLate, OnTruncated};
use crate::location;
use crate::pattern::Pattern;
use crate::rules::{choice, choice_schema, size, size_schema};

/// A file or a pattern of files.
pub(crate) fn path(text: &str, base: &Path) -> Result<Pattern, Problem> {
    Pattern::parse(&location::source(text, base)?)
}

pub(crate) fn path_schema() -> Value {
    location::source_schema()
}

const ON_CHANGE: [(&str, OnChange); 4] = [
    ("fail", OnChange::Fail),
    ("upsert", OnChange::Upsert),
    ("replace", OnChange::Replace),
    ("skip", OnChange::Skip),
];

pub(crate) fn on_change(text: &str, _: &Path) -> Result<OnChange, Problem> {
    choice(text, &ON_CHANGE)
}

pub(crate) fn on_change_schema() -> Value {
    choice_schema(&ON_CHANGE)
}

const ON_EMPTY: [(&str, OnEmpty); 3] = [
    ("wait", OnEmpty::Wait),
    ("load", OnEmpty::Load),
    ("fail", OnEmpty::Fail),
];

pub(crate) fn on_empty(text: &str, _: &Path) -> Result<OnEmpty, Problem> {
    choice(text, &ON_EMPTY)
}

pub(crate) fn on_empty_schema() -> Value {
    choice_schema(&ON_EMPTY)
}

const ON_TRUNCATED: [(&str, OnTruncated); 2] =
    [("fail", OnTruncated::Fail), ("reject", OnTruncated::Reject)];

pub(crate) fn on_truncated(text: &str, _: &Path) -> Result<OnTruncated, Problem> {
    choice(text, &ON_TRUNCATED)
}

pub(crate) fn on_truncated_schema() -> Value {
    choice_schema(&ON_TRUNCATED)
}

const ON_LATE: [(&str, OnLate); 2] = [("warn", OnLate::Warn), ("fail", OnLate::Fail)];

pub(crate) fn on_late(text: &str, _: &Path) -> Result<OnLate, Problem> {
    choice(text, &ON_LATE)
}

pub(crate) fn on_late_schema() -> Value {
    choice_schema(&ON_LATE)
}

const ORDER: [(&str, FileOrder); 2] =
    [("name", FileOrder::Name), ("modified", FileOrder::Modified)];

pub(crate) fn order(text: &str, _: &Path) -> Result<FileOrder, Problem> {
    choice(text, &ORDER)
}

pub(crate) fn order_schema() -> Value {
    choice_schema(&ORDER)
}

/// A length of time, written as the value of a transform's parameter of that type is.
pub(crate) fn duration(text: &str, _: &Path) -> Result<Duration, Problem> {
    let micros = lake_plugin::microseconds(text).and_then(|micros| u64::try_from(micros).ok());
    let micros = micros.ok_or_else(|| {
        Problem::new(format!("`{text}` is not a length of time"))
            .help("write numbers with units: 90s, 20m, 1h30m or 2d")
    })?;
    Ok(Duration::from_micros(micros))
}

pub(crate) fn duration_schema() -> Value {
    json!({ "type": "string", "pattern": "^ *([0-9]+(us|ms|s|m|h|d))+ *$" })
}

/// A length of time that is not zero.
pub(crate) fn period(text: &str, base: &Path) -> Result<Duration, Problem> {
    match duration(text, base)? {
        Duration::ZERO => Err(Problem::new(format!("`{text}` is no time at all"))
            .help("leave the setting out where a file may come at any time")),
        period => Ok(period),
    }
}

/// How many files.
pub(crate) fn count(text: &str, _: &Path) -> Result<u64, Problem> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let count = all_digits.then(|| text.parse().ok()).flatten();
    count.filter(|count| *count > 0).ok_or_else(|| {
        Problem::new(format!("`{text}` is not a number of files"))
            .help("write a whole number from 1 on, or leave the setting out to load all")
    })
}

pub(crate) fn count_schema() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^0*[1-9][0-9]*$" },
    ] })
}

/// How many bytes of files.
pub(crate) fn bytes(text: &str, _: &Path) -> Result<u64, Problem> {
    match size(text)? {
        0 => Err(Problem::new(format!("`{text}` is nothing at all"))
            .help("leave the setting out to load all")),
        bytes => Ok(bytes),
    }
}

pub(crate) fn bytes_schema() -> Value {
    size_schema()
}

/// The name of a file that says that another one is complete.
pub(crate) fn done_marker(text: &str, _: &Path) -> Result<DoneMarker, Problem> {
    let help = "write a name, such as `_SUCCESS`, or one with a `*` that stands for the name of the \
                file, such as `\"*.done\"`";
    if text.trim().is_empty() {
        return Err(Problem::new("the name is empty").help(help));
    }
    if text.contains(['/', '\0']) {
        return Err(Problem::new(format!(
            "`{text}` is not a name: a marker is in the directory of its file"
        ))
        .help(help));
    }
    match text.matches('*').count() {
        _ if text == "*" => {
            Err(Problem::new("`*` is the file itself, which is always there").help(help))
        }
        0 | 1 => Ok(DoneMarker::new(text)),
        _ => Err(Problem::new(format!("`{text}` has more than one `*`")).help(help)),
    }
}

pub(crate) fn done_marker_schema() -> Value {
    json!({ "type": "string", "pattern": "^([^/*]+|[^/*]+\\*[^/*]*|\\*[^/*]+)$" })
}
