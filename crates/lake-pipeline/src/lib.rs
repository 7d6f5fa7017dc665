//! From a pipeline file to a checked plan, or to everything that is wrong with
//! the file, at once, with line and column.
//!
//! ```
//! use std::path::Path;
//! use lake_pipeline::{Overrides, parse};
//!
//! let source = r#"
//! name: utility
//! transform: { name: utility, version: "1" }
//! root: "${LAKE_ROOT:-../lake}"
//! inputs:
//!   readings: { path: ../data/utility/*.csv }
//! "#;
//! let pipeline = parse(
//!     source,
//!     Path::new("/srv/pipelines/utility.yaml"),
//!     Path::new("/srv"),
//!     &|_| None,
//!     &Overrides::default(),
//! )
//! .unwrap();
//! assert_eq!(pipeline.root, "/srv/lake");
//! assert_eq!(pipeline.inputs["readings"].paths[0].as_str(), "/srv/data/utility/*.csv");
//! ```
//!
//! The crate touches nothing: it reads no file, no environment and no clock.
//! The caller passes the text, the directories and a closure for variables, so
//! the same arguments always give the same plan.
//!
//! # How it works
//!
//! 1. `yaml` turns the text into a tree that keeps the position of every key
//!    and value.
//! 2. `settings` describes every key once: its meaning, its type, whether it is
//!    required. Unknown keys, `--set` and [`json_schema`] all come from this
//!    description, so they cannot disagree.
//! 3. `resolve` walks both together and applies flags, variables and defaults.
//!    `rules` (with `cron`, `location` and `input_rules`) decide about single
//!    values, `phrases` say what belongs where.
//!
//! `pattern` reads what an input's path describes, and matches paths with it:
//! text in, text out, so that any store can be listed with it.
//!
//! Nothing stops at the first fault, apart from text that is not YAML at all.
//!
//! # Why `granit-parser`
//!
//! `granit-parser` hands out YAML events with the position of every key, value,
//! anchor, tag and alias, so each of them can be reported where it stands and
//! everything else is still checked; the layers above such parsers
//! (`serde-saphyr`, `saphyr`, `marked-yaml`) stop at the first duplicate key,
//! wrong type or anchor, or resolve them before we see them. It is the
//! maintained parser under `serde-saphyr`, forbids `unsafe`, bounds nesting, is
//! fuzzed and tested against the YAML test suite, and is MIT or Apache-2.0.

mod cron;
mod fault;
mod input;
mod input_rules;
mod interpolate;
mod location;
mod overrides;
mod pattern;
mod phrases;
mod pipeline;
mod resolve;
mod rules;
mod schema;
mod settings;
mod window;
mod yaml;

pub use fault::{Fault, Faults, Place};
pub use input::{DoneMarker, FileOrder, InputSource, OnChange, OnEmpty, OnLate, OnTruncated};
pub use location::absolute;
pub use overrides::Overrides;
pub use pattern::{PathValues, Pattern};
pub use pipeline::{Limits, Pipeline, RejectedLimit, RollbackWindow, TransformRef};
pub use resolve::parse;
pub use rules::name_at_a_glance;
pub use schema::json_schema;
pub use settings::{SettingHelp, settings};
