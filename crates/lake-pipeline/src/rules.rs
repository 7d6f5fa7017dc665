//! What single values may be. Each rule stands beside its JSON Schema.
//!
//! A rule is told the directory that relative paths start from; those here have
//! no use for it.

use std::path::Path;

use serde_json::{Value, json};

use crate::fault::Problem;
use crate::pipeline::RejectedLimit;
use crate::settings::nearest;

/// Directory and file names have to stay below 255 bytes together with what is
/// added to them.
const LONGEST_NAME: usize = 100;

/// Names of inputs and parameters: SQL identifiers that need no quotes.
pub(crate) const IDENTIFIER_PATTERN: &str = "^[a-z][a-z0-9_]*$";

/// The name of a pipeline: it becomes a directory.
pub(crate) fn name(text: &str, _: &Path) -> Result<String, Problem> {
    if !is_name(text, |c| c.is_ascii_lowercase(), "_-") {
        return Err(
            Problem::new(format!("`{text}` cannot be the name of a pipeline"))
                .help("use lower-case letters, digits, `_` and `-`, starting with a letter"),
        );
    }
    not_too_long(text)
}

/// The name that a pipeline file gives itself, where that can be told although the file has faults.
#[must_use]
pub fn name_at_a_glance(source: &str) -> Option<String> {
    let value = source.lines().find_map(|line| line.strip_prefix("name:"))?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    name(value.trim_matches(['"', '\'']), Path::new("")).ok()
}

pub(crate) fn name_schema() -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]*$", "maxLength": LONGEST_NAME })
}

/// The name of a transform, as Cargo allows it.
pub(crate) fn crate_name(text: &str, _: &Path) -> Result<String, Problem> {
    if !is_name(text, |c| c.is_ascii_alphabetic(), "_-") {
        return Err(
            Problem::new(format!("`{text}` cannot be the name of a transform")).help(
                "use the package name in the transform's Cargo.toml: letters, digits, `_` and `-`",
            ),
        );
    }
    not_too_long(text)
}

pub(crate) fn crate_name_schema() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]*$", "maxLength": LONGEST_NAME })
}

/// The name of an input.
pub(crate) fn input_name(text: &str) -> Result<(), Problem> {
    identifier(text, "an input")
}

/// The name of a parameter.
pub(crate) fn parameter_name(text: &str) -> Result<(), Problem> {
    identifier(text, "a parameter")
}

/// A name that SQL uses as it is.
fn identifier(text: &str, of_what: &str) -> Result<(), Problem> {
    if !is_name(text, |c| c.is_ascii_lowercase(), "_") {
        return Err(
            Problem::new(format!("`{text}` cannot be the name of {of_what}")).help(
                "SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter",
            ),
        );
    }
    not_too_long(text).map(drop)
}

/// Whether `text` starts with a letter and goes on with letters, digits and `others`.
fn is_name(text: &str, letter: fn(&char) -> bool, others: &str) -> bool {
    text.chars().next().is_some_and(|first| letter(&first))
        && text
            .chars()
            .all(|c| letter(&c) || c.is_ascii_digit() || others.contains(c))
}

fn not_too_long(name: &str) -> Result<String, Problem> {
    if name.len() > LONGEST_NAME {
        return Err(Problem::new(format!(
            "the name has {} characters, and {LONGEST_NAME} is the most",
            name.len()
        ))
        .help("choose a shorter one"));
    }
    Ok(name.to_owned())
}

/// Free text.
#[expect(
    clippy::unnecessary_wraps,
    reason = "a rule can fail; this one does not"
)]
pub(crate) fn any_text(text: &str, _: &Path) -> Result<String, Problem> {
    Ok(text.to_owned())
}

pub(crate) fn any_text_schema() -> Value {
    json!({ "type": "string" })
}

pub(crate) fn any_scalar_schema() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

/// A semver requirement.
pub(crate) fn version(text: &str, _: &Path) -> Result<semver::VersionReq, Problem> {
    semver::VersionReq::parse(text).map_err(|error| {
        Problem::new(format!("`{text}` is not a version requirement: {error}"))
            .help("write it as in Cargo: \"1\", \"1.2\", \"~1.2.3\" or \">=1.2, <1.5\"")
    })
}

pub(crate) fn version_schema() -> Value {
    json!({ "type": ["string", "number"], "minLength": 1 })
}

/// The value that `text` names, of all that there are.
pub(crate) fn choice<T: Copy>(text: &str, all: &[(&str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let accepted: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let guess = nearest(text, accepted.iter().copied())
        .map(|name| format!("did you mean `{name}`? "))
        .unwrap_or_default();
    Err(Problem::new(format!("`{text}` is not accepted"))
        .help(format!("{guess}accepted are: {}", accepted.join(", "))))
}

pub(crate) fn choice_schema<T>(all: &[(&str, T)]) -> Value {
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    json!({ "type": "string", "enum": names })
}

const BOOLEAN: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(crate) fn boolean(text: &str, _: &Path) -> Result<bool, Problem> {
    choice(text, &BOOLEAN)
}

pub(crate) fn boolean_schema() -> Value {
    json!({ "anyOf": [{ "type": "boolean" }, choice_schema(&BOOLEAN)] })
}

/// Units of sizes, in lower case.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// An amount of memory.
pub(crate) fn memory(text: &str, _: &Path) -> Result<u64, Problem> {
    match size(text)? {
        0 => Err(Problem::new(format!("`{text}` is no memory at all"))
            .help("leave the setting out for the default")),
        bytes => Ok(bytes),
    }
}

/// The shortest and the longest limit of records.
const RECORD_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=256 << 20;

/// How long a record may be.
pub(crate) fn record_bytes(text: &str, _: &Path) -> Result<u64, Problem> {
    let bytes = size(text)?;
    if RECORD_BYTES.contains(&bytes) {
        return Ok(bytes);
    }
    Err(
        Problem::new(format!("`{text}` is not between 1KiB and 256MiB")).help(
            "a record is held in memory, once per thread; leave the setting out for the default",
        ),
    )
}

pub(crate) fn record_bytes_schema() -> Value {
    let mut schema = size_schema();
    schema["anyOf"][0] = json!({
        "type": "integer",
        "minimum": RECORD_BYTES.start(),
        "maximum": RECORD_BYTES.end(),
    });
    schema
}

/// A number of bytes; a fraction of a byte is dropped.
pub(crate) fn size(text: &str) -> Result<u64, Problem> {
    let not_a_size = || {
        Problem::new(format!("`{text}` is not a size"))
            .help("write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB")
    };
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(not_a_size)?;
    let too_large = || {
        Problem::new(format!("`{text}` is more than any machine has"))
            .help("write what this machine can spare, for example 4GiB")
    };
    let (digits, scale) = decimal(number).ok_or_else(not_a_size)?;
    digits
        .checked_mul(u128::from(*factor))
        .map(|scaled| scaled / scale)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(too_large)
}

pub(crate) fn size_schema() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?( ?([kKmMgGtT][iI]?)?[bB])?$" },
    ] })
}

/// A share of rows: `5%`, or `0.05` as a fraction.
pub(crate) fn share(text: &str, _: &Path) -> Result<RejectedLimit, Problem> {
    let not_a_share = || {
        Problem::new(format!("`{text}` is not a share of rows"))
            .help("write a percentage or a fraction: 5% or 0.05")
    };
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.strip_suffix(' ').unwrap_or(percent), 100_u128),
        None => (text, 1),
    };
    let (digits, scale) = decimal(number).ok_or_else(not_a_share)?;
    // A bare 5 may mean 5 % or five times all rows, and a bare 1 is no clearer.
    if whole == 1 && digits >= scale {
        return Err(
            Problem::new(format!("`{text}` could be a percentage or a fraction"))
                .help(format!("write {text}%, or a fraction below 1")),
        );
    }
    if digits > scale * whole {
        return Err(Problem::new(format!("`{text}` is more than all rows"))
            .help("100% accepts any number of rejected rows"));
    }
    let millionths = digits * 1_000_000;
    if millionths % (scale * whole) != 0 {
        return Err(
            Problem::new(format!("`{text}` is finer than one in a million"))
                .help("four decimals of a percentage are the most"),
        );
    }
    u32::try_from(millionths / (scale * whole))
        .map(RejectedLimit::of_millionths)
        .map_err(|_| not_a_share())
}

pub(crate) fn share_schema() -> Value {
    json!({ "anyOf": [
        { "type": "number", "minimum": 0, "exclusiveMaximum": 1 },
        { "type": "string", "pattern": "^([0-9]+(\\.[0-9]+)? ?%|0(\\.[0-9]+)?)$" },
    ] })
}

/// A decimal number as its digits and the power of ten that divides them.
///
/// `None` for anything else, and for more digits than any setting has use for.
fn decimal(text: &str) -> Option<(u128, u128)> {
    const MOST_DIGITS: usize = 24;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    if whole.len() + fraction.len() > MOST_DIGITS {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some((digits, scale))
}
