//! Every setting of a pipeline file, described once.
//!
//! The checks for unknown keys, the flag `--set`, the variables, the JSON
//! Schema and the help all read this description. A setting is added here and
//! read in `resolve`; a test fails where only one of the two was done.

mod inputs;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fault::Problem;
use crate::pipeline::{RejectedLimit, RollbackWindow};
use crate::yaml::Kind;
use crate::{cron, location, rules, window};

pub(crate) use inputs::{
    ARCHIVE, DONE_MARKER, EXPECT_EVERY, INPUT_NAME, INPUTS, MAX_BYTES, MAX_FILES, ON_CHANGE,
    ON_EMPTY, ON_LATE, ON_TRUNCATED, ORDER, PATH, SETTLE,
};

/// One key, and what may stand behind it.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) required: bool,
    /// What holds where it is left out, in words or as it would be written.
    pub(crate) default: Option<&'static str>,
    /// A value to copy.
    pub(crate) example: Option<&'static str>,
    /// The flag for it, beside `--set`; `<name>` is the name of the input.
    pub(crate) flag: Option<&'static str>,
    /// The variable for it; `<NAME>` is the upper-case name of the input or
    /// parameter.
    pub(crate) variable: Option<&'static str>,
    pub(crate) shape: Shape,
}

impl Setting {
    /// The flag and the variable for it, in the order in which they win.
    pub(crate) fn ways(&self) -> impl Iterator<Item = &'static str> {
        self.flag.into_iter().chain(self.variable)
    }
}

/// What may stand behind a key.
#[derive(Debug)]
pub(crate) enum Shape {
    Scalar {
        /// What is fine without quotes.
        plain: Plain,
        /// The JSON Schema of the value.
        schema: fn() -> Value,
    },
    /// One value without quotes as text, or a list of them.
    OneOrMore {
        /// The JSON Schema of each.
        schema: fn() -> Value,
    },
    /// A mapping with these keys.
    Group(&'static [&'static Setting]),
    /// A mapping from names to mappings with these keys.
    Named {
        name: &'static NameRule,
        members: &'static [&'static Setting],
    },
    /// A mapping from names to single values. The names need not stand in the
    /// file: `--set` can add one.
    Values {
        name: &'static NameRule,
        value: &'static Setting,
    },
}

/// What a value may be without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    Text,
    TextOrNumber,
    TextOrBoolean,
    Anything,
}

impl Plain {
    pub(crate) fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::Text => true,
            Kind::Number => matches!(self, Self::TextOrNumber | Self::Anything),
            Kind::Boolean => matches!(self, Self::TextOrBoolean | Self::Anything),
            Kind::Null => false,
        }
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextOrNumber => "text or a number",
            Self::TextOrBoolean => "true or false",
            Self::Anything => "text, a number or a boolean",
        }
    }
}

/// Which names may be chosen as keys.
#[derive(Debug)]
pub(crate) struct NameRule {
    /// What has the name, in one word.
    pub(crate) of: &'static str,
    pub(crate) check: fn(&str) -> Result<(), Problem>,
    pub(crate) pattern: &'static str,
}

/// A setting with a single value of type `T`.
#[derive(Debug)]
pub(crate) struct Scalar<T: 'static> {
    pub(crate) setting: Setting,
    /// Checks the text; relative paths start from the directory.
    pub(crate) parse: fn(&str, &Path) -> Result<T, Problem>,
}

/// The whole file.
pub(crate) static FILE: Setting = Setting {
    doc: "A lake pipeline: where data comes from, where it goes, when and how much. \
          What the data means is said by the transform.",
    required: true,
    shape: Shape::Group(&[
        &NAME.setting,
        &DESCRIPTION.setting,
        &TRANSFORM,
        &ROOT.setting,
        &INPUTS,
        &LIMITS,
        &SCHEDULE.setting,
        &ROLLBACK_WINDOW.setting,
    ]),
    ..BLANK
};

pub(crate) static NAME: Scalar<String> = Scalar {
    setting: Setting {
        key: "name",
        doc: "The name of the pipeline, also of its directory below the root: \
              lower-case letters, digits, `_` and `-`, starting with a letter.",
        required: true,
        example: Some("utility"),
        shape: text(rules::name_schema),
        ..BLANK
    },
    parse: rules::name,
};

pub(crate) static DESCRIPTION: Scalar<String> = Scalar {
    setting: Setting {
        key: "description",
        doc: "What the pipeline is for, in a sentence.",
        example: Some("Meter readings, validated, and daily usage per customer"),
        shape: text(rules::any_text_schema),
        ..BLANK
    },
    parse: rules::any_text,
};

pub(crate) static TRANSFORM: Setting = Setting {
    key: "transform",
    doc: "The transform: the crate that says what the data means.",
    required: true,
    shape: Shape::Group(&[
        &TRANSFORM_NAME.setting,
        &TRANSFORM_VERSION.setting,
        &TRANSFORM_PATH.setting,
        &PARAMS,
        &REGISTRY.setting,
        &TRUSTED_KEYS.setting,
    ]),
    ..BLANK
};

pub(crate) static TRANSFORM_NAME: Scalar<String> = Scalar {
    setting: Setting {
        key: "name",
        doc: "The name of the transform, as in its Cargo.toml.",
        required: true,
        example: Some("utility"),
        shape: text(rules::crate_name_schema),
        ..BLANK
    },
    parse: rules::crate_name,
};

pub(crate) static TRANSFORM_VERSION: Scalar<semver::VersionReq> = Scalar {
    setting: Setting {
        key: "version",
        doc: "Which releases are acceptable: a semver requirement as in Cargo, \
              such as \"1\", \"1.2\", \"~1.2.3\" or \">=1.2, <1.5\". \
              A lake.lock beside this file pins one of them.",
        required: true,
        example: Some("1"),
        shape: text_or_number(rules::version_schema),
        ..BLANK
    },
    parse: rules::version,
};

pub(crate) static TRANSFORM_PATH: Scalar<PathBuf> = Scalar {
    setting: Setting {
        key: "path",
        doc: "The directory of the crate, relative to this file. \
              It wins over releases, for development; with --locked it is refused.",
        example: Some("../crates/transforms/utility"),
        shape: text(location::directory_schema),
        ..BLANK
    },
    parse: location::directory,
};

pub(crate) static PARAMS: Setting = Setting {
    key: "params",
    doc: "Values of the transform's parameters, by the names that it declares.",
    shape: Shape::Values {
        name: &PARAMETER_NAME,
        value: &PARAMETER.setting,
    },
    ..BLANK
};

pub(crate) static PARAMETER_NAME: NameRule = NameRule {
    of: "parameter",
    check: rules::parameter_name,
    pattern: rules::IDENTIFIER_PATTERN,
};

pub(crate) static PARAMETER: Scalar<String> = Scalar {
    setting: Setting {
        key: ANY_NAME,
        doc: "The value of a parameter: text, a number or a boolean, of the type that \
              the transform declares for it. The variable sets a parameter that this \
              file names; --set can add one.",
        example: Some("30m"),
        variable: Some("LAKE_PARAM_<NAME>"),
        shape: Shape::Scalar {
            plain: Plain::Anything,
            schema: rules::any_scalar_schema,
        },
        ..BLANK
    },
    parse: rules::any_text,
};

pub(crate) static REGISTRY: Scalar<String> = Scalar {
    setting: Setting {
        key: "registry",
        doc: "Where releases of the transform are: a directory, relative to this file, \
              or the URL of a prefix in an object store.",
        example: Some("../registry"),
        variable: Some("LAKE_REGISTRY"),
        shape: text(location::root_schema),
        ..BLANK
    },
    parse: location::root,
};

pub(crate) static TRUSTED_KEYS: Scalar<PathBuf> = Scalar {
    setting: Setting {
        key: "trusted_keys",
        doc: "The file with the public keys that may sign releases of the transform, \
              relative to this file.",
        example: Some("trusted.keys"),
        variable: Some("LAKE_TRUSTED_KEYS"),
        shape: text(location::file_schema),
        ..BLANK
    },
    parse: location::file,
};

pub(crate) static ROOT: Scalar<String> = Scalar {
    setting: Setting {
        key: "root",
        doc: "Where the tables live: a directory, relative to this file, or the \
              URL of a prefix in an object store, such as s3://bucket/prefix.",
        required: true,
        example: Some("${LAKE_ROOT:-../lake}"),
        flag: Some("--root"),
        variable: Some("LAKE_ROOT"),
        shape: text(location::root_schema),
        ..BLANK
    },
    parse: location::root,
};

pub(crate) static LIMITS: Setting = Setting {
    key: "limits",
    doc: "How much a run may use and tolerate.",
    shape: Shape::Group(&[
        &MEMORY.setting,
        &REJECTED.setting,
        &MAX_RECORD_BYTES.setting,
    ]),
    ..BLANK
};

pub(crate) static MEMORY: Scalar<u64> = Scalar {
    setting: Setting {
        key: "memory",
        doc: "Memory for the whole run: bytes, or a number with a unit (512MiB, 1GB).",
        default: Some("half of what the machine or cgroup has"),
        example: Some("512MiB"),
        shape: text_or_number(rules::size_schema),
        ..BLANK
    },
    parse: rules::memory,
};

pub(crate) static REJECTED: Scalar<RejectedLimit> = Scalar {
    setting: Setting {
        key: "rejected",
        doc: "The share of an input's rows that may be rejected (5% or 0.05); \
              above it nothing is published.",
        default: Some("10 %, from 100 rows on"),
        example: Some("5%"),
        shape: text_or_number(rules::share_schema),
        ..BLANK
    },
    parse: rules::share,
};

pub(crate) static MAX_RECORD_BYTES: Scalar<u64> = Scalar {
    setting: Setting {
        key: "max_record_bytes",
        doc: "How long a record may be, from 1KiB to 256MiB; a longer one is \
              rejected, and its beginning is kept.",
        default: Some("1MiB"),
        example: Some("16MiB"),
        shape: text_or_number(rules::record_bytes_schema),
        ..BLANK
    },
    parse: rules::record_bytes,
};

pub(crate) static SCHEDULE: Scalar<String> = Scalar {
    setting: Setting {
        key: "schedule",
        doc: "When the pipeline runs, where something schedules it: a cron \
              expression of five fields (minute, hour, day of month, month, \
              day of week).",
        example: Some("*/15 * * * *"),
        shape: text(cron::schedule_schema),
        ..BLANK
    },
    parse: cron::schedule,
};

pub(crate) static ROLLBACK_WINDOW: Scalar<RollbackWindow> = Scalar {
    setting: Setting {
        key: "rollback_window",
        doc: "How far back `lake rollback` can go after `lake maintain`, which deletes what is \
              older: a length of time, a number of runs, or both, and then whichever goes \
              back further.",
        default: Some("30 days, at least 20 runs"),
        example: Some("30 days, at least 20 runs"),
        shape: text(window::schema),
        ..BLANK
    },
    parse: window::window,
};

/// Stands for a name that the pipeline chooses.
const ANY_NAME: &str = "<name>";

const BLANK: Setting = Setting {
    key: "",
    doc: "",
    required: false,
    default: None,
    example: None,
    flag: None,
    variable: None,
    shape: Shape::Group(&[]),
};

const fn text(schema: fn() -> Value) -> Shape {
    Shape::Scalar {
        plain: Plain::Text,
        schema,
    }
}

const fn one_or_more(schema: fn() -> Value) -> Shape {
    Shape::OneOrMore { schema }
}

const fn truth(schema: fn() -> Value) -> Shape {
    Shape::Scalar {
        plain: Plain::TextOrBoolean,
        schema,
    }
}

const fn text_or_number(schema: fn() -> Value) -> Shape {
    Shape::Scalar {
        plain: Plain::TextOrNumber,
        schema,
    }
}

/// One setting, as help texts show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingHelp {
    /// The dotted key that `--set` takes; `<name>` stands for the name of an
    /// input or parameter.
    pub key: String,
    /// What it means.
    pub doc: &'static str,
    /// Whether a pipeline is incomplete without it.
    pub required: bool,
    /// What holds where it is left out.
    pub default: Option<&'static str>,
    /// A value to copy.
    pub example: Option<&'static str>,
    /// The flag for it, beside `--set`; `<name>` stands for an input's name.
    pub flag: Option<&'static str>,
    /// The variable for it; `<NAME>` stands for the name of an input or
    /// parameter in upper case.
    pub variable: Option<&'static str>,
}

/// Every setting that has a value, in the order of the documentation.
#[must_use]
pub fn settings() -> Vec<SettingHelp> {
    scalars(&[ANY_NAME])
        .into_iter()
        .map(|(key, setting)| SettingHelp {
            key,
            doc: setting.doc,
            required: setting.required,
            default: setting.default,
            example: setting.example,
            flag: setting.flag,
            variable: setting.variable,
        })
        .collect()
}

/// Every setting that has a value, by dotted key, for inputs of these names.
/// Parameters are there once, as [`ANY_NAME`], as they may have any.
pub(crate) fn scalars(names: &[&str]) -> Vec<(String, &'static Setting)> {
    let mut found = Vec::new();
    collect(&FILE, "", names, &mut found);
    found
}

fn collect(
    setting: &'static Setting,
    key: &str,
    names: &[&str],
    found: &mut Vec<(String, &'static Setting)>,
) {
    match &setting.shape {
        Shape::Scalar { .. } | Shape::OneOrMore { .. } => found.push((key.to_owned(), setting)),
        Shape::Group(members) => {
            for member in *members {
                collect(member, &dotted(key, member.key), names, found);
            }
        }
        Shape::Named { members, .. } => {
            for name in names {
                for member in *members {
                    let key = dotted(&dotted(key, name), member.key);
                    collect(member, &key, names, found);
                }
            }
        }
        Shape::Values { value, .. } => {
            collect(value, &dotted(key, value.key), names, found);
        }
    }
}

/// The dotted key of `key` in the group `parent`.
pub(crate) fn dotted(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The known key that somebody most likely meant by `wanted`, if any is close.
pub(crate) fn nearest<'k>(
    wanted: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    known
        .into_iter()
        .map(|key| (strsim::damerau_levenshtein(wanted, key), key))
        .filter(|(distance, key)| *distance <= wanted.len().max(key.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}
