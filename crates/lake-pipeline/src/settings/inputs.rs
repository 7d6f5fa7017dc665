//! The settings of an input.

use std::time::Duration;

use super::{BLANK, NameRule, Scalar, Setting, Shape, one_or_more, text, text_or_number, truth};
use crate::input::{DoneMarker, FileOrder, OnChange, OnEmpty, OnLate, OnTruncated};
use crate::pattern::Pattern;
use crate::{input_rules, rules};

pub(crate) static INPUTS: Setting = Setting {
    key: "inputs",
    doc: "Where each input of the transform comes from, by the name that the \
          transform gives it.",
    required: true,
    shape: Shape::Named {
        name: &INPUT_NAME,
        members: &[
            &PATH.setting,
            &ON_CHANGE.setting,
            &ON_EMPTY.setting,
            &ON_TRUNCATED.setting,
            &SETTLE.setting,
            &DONE_MARKER.setting,
            &EXPECT_EVERY.setting,
            &ON_LATE.setting,
            &ORDER.setting,
            &MAX_FILES.setting,
            &MAX_BYTES.setting,
            &ARCHIVE.setting,
        ],
    },
    ..BLANK
};

pub(crate) static INPUT_NAME: NameRule = NameRule {
    of: "input",
    check: rules::input_name,
    pattern: rules::IDENTIFIER_PATTERN,
};

pub(crate) static PATH: Scalar<Pattern> = Scalar {
    setting: Setting {
        key: "path",
        doc: "A file, a pattern of files, or a list of them, relative to this file, or \
              URLs in an object store. `*`, `?` and `[a-z]` stand for characters of a \
              name, `**` for any directories, and `{name}` for a piece of a name that \
              is kept as a value of the file, as in events/{year}/{month}/*.csv; \
              directories such as year=2025 are values without being written. Hidden \
              files (`_x`, `.x`) and unfinished ones (`x.tmp`) are left out.",
        required: true,
        example: Some("../data/utility/*.csv"),
        flag: Some("--input <name>"),
        variable: Some("LAKE_INPUT_<NAME>"),
        shape: one_or_more(input_rules::path_schema),
        ..BLANK
    },
    parse: input_rules::path,
};

pub(crate) static ON_CHANGE: Scalar<OnChange> = Scalar {
    setting: Setting {
        key: "on_change",
        doc: "What happens when a file that was loaded before has new content: \
              `fail` stops the run, `upsert` merges its rows over the earlier \
              ones, `replace` also removes the rows that only its earlier content \
              had, `skip` leaves it unread.",
        default: Some("fail"),
        example: Some("upsert"),
        shape: text(input_rules::on_change_schema),
        ..BLANK
    },
    parse: input_rules::on_change,
};

pub(crate) static ON_EMPTY: Scalar<OnEmpty> = Scalar {
    setting: Setting {
        key: "on_empty",
        doc: "What happens to a file with nothing in it, not even a header: `wait` \
              leaves it for a later run, `load` takes note of it as loaded with no \
              rows, `fail` stops the run.",
        default: Some("wait"),
        example: Some("load"),
        shape: text(input_rules::on_empty_schema),
        ..BLANK
    },
    parse: input_rules::on_empty,
};

pub(crate) static ON_TRUNCATED: Scalar<OnTruncated> = Scalar {
    setting: Setting {
        key: "on_truncated",
        doc: "What happens to a compressed file that ends too early: `fail` stops \
              the run, `reject` loads the rows in front of the cut and rejects what \
              is left of the one that was cut.",
        default: Some("fail"),
        example: Some("reject"),
        shape: text(input_rules::on_truncated_schema),
        ..BLANK
    },
    parse: input_rules::on_truncated,
};

pub(crate) static SETTLE: Scalar<Duration> = Scalar {
    setting: Setting {
        key: "settle",
        doc: "How long a file has to be left alone by its writer before it is \
              loaded; one that was changed later is left for a later run.",
        default: Some("0s"),
        example: Some("30s"),
        shape: text_or_number(input_rules::duration_schema),
        ..BLANK
    },
    parse: input_rules::duration,
};

pub(crate) static DONE_MARKER: Scalar<DoneMarker> = Scalar {
    setting: Setting {
        key: "done_marker",
        doc: "The name of a file that says that others are complete, and without \
              which they are left for a later run: one for its whole directory \
              (`_SUCCESS`), or one per file, with a `*` that stands for the name of \
              the file (`*.done`). Markers are never input.",
        example: Some("_SUCCESS"),
        shape: text(input_rules::done_marker_schema),
        ..BLANK
    },
    parse: input_rules::done_marker,
};

pub(crate) static EXPECT_EVERY: Scalar<Duration> = Scalar {
    setting: Setting {
        key: "expect_every",
        doc: "The longest time in which no file may come; if the newest one is \
              older, `on_late` says what happens.",
        example: Some("1d"),
        shape: text_or_number(input_rules::duration_schema),
        ..BLANK
    },
    parse: input_rules::period,
};

pub(crate) static ON_LATE: Scalar<OnLate> = Scalar {
    setting: Setting {
        key: "on_late",
        doc: "What happens when no file came for longer than `expect_every`: `warn` \
              says so and loads what there is, `fail` stops the run before it loads \
              anything, of other inputs neither.",
        default: Some("warn"),
        example: Some("fail"),
        shape: text(input_rules::on_late_schema),
        ..BLANK
    },
    parse: input_rules::on_late,
};

pub(crate) static ORDER: Scalar<FileOrder> = Scalar {
    setting: Setting {
        key: "order",
        doc: "Which files come first where a run does not load all: by `name`, or \
              as they were `modified`. It has no influence on the tables.",
        default: Some("name"),
        example: Some("modified"),
        shape: text(input_rules::order_schema),
        ..BLANK
    },
    parse: input_rules::order,
};

pub(crate) static MAX_FILES: Scalar<u64> = Scalar {
    setting: Setting {
        key: "max_files",
        doc: "How many files a run loads at the most; the others are left for later \
              runs. `--reload` takes all.",
        default: Some("no limit"),
        example: Some("1000"),
        shape: text_or_number(input_rules::count_schema),
        ..BLANK
    },
    parse: input_rules::count,
};

pub(crate) static MAX_BYTES: Scalar<u64> = Scalar {
    setting: Setting {
        key: "max_bytes",
        doc: "How many bytes of files a run loads at the most, one file at least; \
              the others are left for later runs. `--reload` takes all.",
        default: Some("no limit"),
        example: Some("10GB"),
        shape: text_or_number(input_rules::bytes_schema),
        ..BLANK
    },
    parse: input_rules::bytes,
};

pub(crate) static ARCHIVE: Scalar<bool> = Scalar {
    setting: Setting {
        key: "archive",
        doc: "Whether a copy of every file that is loaded is kept, as it came, below the root of \
              the pipeline in `raw/`. `--reload` and rollbacks use it where the file is gone.",
        default: Some("false"),
        example: Some("true"),
        shape: truth(rules::boolean_schema),
        ..BLANK
    },
    parse: rules::boolean,
};
