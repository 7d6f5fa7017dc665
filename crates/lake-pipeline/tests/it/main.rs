//! What people rely on when they write a pipeline file.
//!
//! Expected messages stand in the tests; after a change of wording, run them
//! with `UPDATE_EXPECT=1` and read the difference.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop a test as the tests themselves do"
)]

mod faults;
mod inputs;
mod overrides;
mod paths;
mod properties;
mod schema;
mod values;
mod variables;

use std::path::Path;

use expect_test::Expect;
use lake_pipeline::{Faults, Overrides, Pipeline, parse};

/// The smallest pipeline, to which tests add a line.
const SMALLEST: &str = r#"name: utility
transform: { name: utility, version: "1" }
root: ../lake
inputs:
  readings: { path: ../data/*.csv }
"#;

/// The smallest pipeline, with more keys in its transform: `params: { a: 1 }`.
fn with_transform(keys: &str) -> String {
    SMALLEST.replace("\"1\" }", &format!("\"1\", {keys} }}"))
}

/// Parses a file `/srv/pipelines/utility.yaml` in the working directory `/srv`.
fn parse_with(
    yaml: &str,
    variables: &[(&str, &str)],
    overrides: &Overrides,
) -> Result<Pipeline, Faults> {
    let environment = |wanted: &str| {
        variables
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| (*value).to_owned())
    };
    parse(
        yaml,
        Path::new("/srv/pipelines/utility.yaml"),
        Path::new("/srv"),
        &environment,
        overrides,
    )
}

/// The pipeline of a file that is right, without variables and flags.
#[track_caller]
fn pipeline(yaml: &str) -> Pipeline {
    parse_with(yaml, &[], &Overrides::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Checks what is said about a file, without variables and flags.
#[track_caller]
fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&said(parse_with(yaml, &[], &Overrides::default())));
}

/// What is said about an outcome.
fn said(outcome: Result<Pipeline, Faults>) -> String {
    match outcome {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(faults) => faults.to_string(),
    }
}
