//! `${NAME}` and `${NAME:-default}` in values.

use expect_test::expect;
use lake_pipeline::Overrides;

use crate::{SMALLEST, check, parse_with, pipeline, said};

/// The description of a pipeline whose file says `written` there.
#[track_caller]
fn description(written: &str, variables: &[(&str, &str)]) -> String {
    let yaml = format!("{SMALLEST}description: {written}\n");
    parse_with(&yaml, variables, &Overrides::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
        .description
        .unwrap_or_default()
}

#[test]
fn variables_are_substituted_anywhere_in_a_value() {
    let variables = [("A", "one"), ("B_2", "two")];
    assert_eq!(description("x ${A}-${B_2} y", &variables), "x one-two y");
    assert_eq!(description("'${A}'", &variables), "one");
}

#[test]
fn a_default_replaces_a_variable_that_is_unset_or_empty() {
    assert_eq!(description("${A:-or this}", &[]), "or this");
    assert_eq!(description("${A:-or this}", &[("A", "")]), "or this");
    assert_eq!(description("${A:-or this}", &[("A", "that")]), "that");
    assert_eq!(description("a${A:-}b", &[]), "ab");
}

#[test]
fn two_dollars_are_one_and_never_start_a_variable() {
    assert_eq!(
        description("costs $$5, not $${A}", &[]),
        "costs $5, not ${A}"
    );
}

#[test]
fn the_content_of_a_variable_is_never_yaml_and_never_substituted_again() {
    let content = "x\nroot: /elsewhere # ${B} $$";
    assert_eq!(description("${A}", &[("A", content)]), content);
}

#[test]
fn a_variable_that_is_not_set_is_reported_where_it_stands() {
    check(
        &format!(
            "{SMALLEST}description: from ${{HERE}} to ${{THERE}}\nlimits:\n  memory: \"${{MEMORY}}\"\n"
        ),
        expect![[r#"
            pipelines/utility.yaml:6:19: description: the variable `HERE` is not set
              help: set it, or give a default: ${HERE:-…}
            pipelines/utility.yaml:6:30: description: the variable `THERE` is not set
              help: set it, or give a default: ${THERE:-…}
            pipelines/utility.yaml:8:12: limits.memory: the variable `MEMORY` is not set
              help: set it, or give a default: ${MEMORY:-…}"#]],
    );
}

#[test]
fn behind_escapes_and_line_breaks_the_start_of_the_value_is_named() {
    check(
        &format!("{SMALLEST}description: \"a\\tb ${{HERE}}\"\n"),
        expect![[r#"
            pipelines/utility.yaml:6:14: description: the variable `HERE` is not set
              help: set it, or give a default: ${HERE:-…}"#]],
    );
    check(
        &format!("{SMALLEST}description: >\n  folded\n  ${{HERE}}\n"),
        expect![[r#"
            pipelines/utility.yaml:7:3: description: the variable `HERE` is not set
              help: set it, or give a default: ${HERE:-…}"#]],
    );
}

#[test]
fn what_only_looks_like_a_variable_is_refused() {
    check(
        &format!("{SMALLEST}description: $HOME ${{}} ${{1A}} ${{A-b}} ${{A:-$B}} $5 ${{open\n"),
        expect![[r#"
            pipelines/utility.yaml:6:14: description: `$HOME` is neither text nor a variable
              help: write ${HOME} for the variable, or $$ for a dollar sign
            pipelines/utility.yaml:6:20: description: `${}` is not a variable
              help: write ${NAME} or ${NAME:-default}
            pipelines/utility.yaml:6:24: description: `${1A}` is not a variable
              help: write ${NAME} or ${NAME:-default}
            pipelines/utility.yaml:6:30: description: `${A-b}` is not a variable
              help: write ${NAME} or ${NAME:-default}
            pipelines/utility.yaml:6:37: description: the default of `A` contains a `$`
              help: a default is plain text; it cannot contain `$` or `}`
            pipelines/utility.yaml:6:46: description: `$5` is neither text nor a variable
              help: write $$ for a dollar sign
            pipelines/utility.yaml:6:49: description: `${` is not closed
              help: write ${NAME} or ${NAME:-default}"#]],
    );
}

#[test]
fn a_value_from_a_variable_follows_the_rule_of_its_setting() {
    let yaml = format!("{SMALLEST}limits: {{ memory: \"${{MEMORY:-1GB}}\" }}\n");
    assert_eq!(pipeline(&yaml).limits.memory, Some(1_000_000_000));
    let outcome = parse_with(&yaml, &[("MEMORY", "plenty")], &Overrides::default());
    expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `plenty` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]]
    .assert_eq(&said(outcome));
}

#[test]
fn keys_are_taken_literally() {
    check(
        &format!("{SMALLEST}${{KEY}}: x\n"),
        expect![[r#"
            pipelines/utility.yaml:6:1: unknown key `${KEY}`
              help: known here: name, description, transform, root, inputs, limits, schedule, rollback_window"#]],
    );
}
