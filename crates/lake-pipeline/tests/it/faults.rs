//! Everything that is wrong is said at once, where it stands, with a way out.

use expect_test::expect;
use lake_pipeline::Overrides;

use crate::{SMALLEST, check, parse_with, said, with_transform};

#[test]
fn every_kind_of_fault_is_reported_in_one_go() {
    check(
        r#"name: Utility Readings
descripton: typo in the key
transform:
  name: 7
  version: one
  pth: ../crates
root: ${LAKE_HOME}/lake
root: ../again
inputs:
  Readings:
    on_change: append
  events: ../data/events.csv
  tariffs:
    path: { a: b.csv }
    path: &p a.csv
limits:
  memory: lots
  rejected: 5
  retries: 3
memory: 1GB
schedule: "61 * * *"
description: !note hello
tags:
---
name: second
"#,
        expect![[r#"
            pipelines/utility.yaml:1:7: name: `Utility Readings` cannot be the name of a pipeline
              help: use lower-case letters, digits, `_` and `-`, starting with a letter
            pipelines/utility.yaml:2:1: unknown key `descripton`
              help: did you mean `description`?
            pipelines/utility.yaml:4:9: transform.name: expected text, found the number `7`
              help: put it in quotes: "7"
            pipelines/utility.yaml:5:12: transform.version: `one` is not a version requirement: unexpected character 'o' while parsing major version number
              help: write it as in Cargo: "1", "1.2", "~1.2.3" or ">=1.2, <1.5"
            pipelines/utility.yaml:6:3: unknown key `transform.pth`
              help: did you mean `path`?
            pipelines/utility.yaml:7:7: root: the variable `LAKE_HOME` is not set
              help: set it, or give a default: ${LAKE_HOME:-…}
            pipelines/utility.yaml:8:1: `root` is here twice; the first is in line 7
              help: keep one of them
            pipelines/utility.yaml:10:3: `inputs.Readings.path` is missing
              help: add it, for example `path: ../data/utility/*.csv`, or set --input Readings or LAKE_INPUT_READINGS
            pipelines/utility.yaml:10:3: inputs: `Readings` cannot be the name of an input
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:11:16: inputs.Readings.on_change: `append` is not accepted
              help: accepted are: fail, upsert, replace, skip
            pipelines/utility.yaml:12:11: inputs.events: expected a mapping of `key: value` lines, found text
              help: write below it: path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
            pipelines/utility.yaml:14:11: inputs.tariffs.path: expected text or a list of it, found a mapping
              help: give it one value, for example `path: ../data/utility/*.csv`
            pipelines/utility.yaml:15:5: `inputs.tariffs.path` is here twice; the first is in line 14
              help: keep one of them
            pipelines/utility.yaml:15:11: the anchor `&p` is not accepted
              help: write the value out where it is needed
            pipelines/utility.yaml:17:11: limits.memory: `lots` is not a size
              help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB
            pipelines/utility.yaml:18:13: limits.rejected: `5` could be a percentage or a fraction
              help: write 5%, or a fraction below 1
            pipelines/utility.yaml:19:3: unknown key `limits.retries`
              help: known here: memory, rejected, max_record_bytes
            pipelines/utility.yaml:20:1: unknown key `memory`
              help: its place is `limits.memory`
            pipelines/utility.yaml:21:11: schedule: `61 * * *` has 4 of the 5 fields of a cron expression
              help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes
            pipelines/utility.yaml:22:14: the tag `!note` is not accepted
              help: leave it out, or put a value that starts with `!` in quotes
            pipelines/utility.yaml:23:1: unknown key `tags`
              help: known here: name, description, transform, root, inputs, limits, schedule, rollback_window
            pipelines/utility.yaml:24:1: a second document starts here
              help: keep one pipeline per file"#]],
    );
}

#[test]
fn a_typo_in_a_key_names_the_nearest_key() {
    check(
        &format!("{SMALLEST}shedule: '* * * * *'\n"),
        expect![[r#"
            pipelines/utility.yaml:6:1: unknown key `shedule`
              help: did you mean `schedule`?"#]],
    );
    check(
        &format!("{SMALLEST}limits:\n  memroy: 1GB\n"),
        expect![[r#"
            pipelines/utility.yaml:7:3: unknown key `limits.memroy`
              help: did you mean `memory`?"#]],
    );
}

#[test]
fn a_key_in_the_wrong_mapping_is_told_its_place() {
    check(
        &format!("{SMALLEST}on_change: skip\n"),
        expect![[r#"
        pipelines/utility.yaml:6:1: unknown key `on_change`
          help: its place is `inputs.<name>.on_change`"#]],
    );
}

#[test]
fn a_group_in_the_wrong_mapping_is_told_its_place() {
    check(
        &format!("{SMALLEST}params: {{ gap: 30m }}\n"),
        expect![[r#"
            pipelines/utility.yaml:6:1: unknown key `params`
              help: its place is `transform.params`"#]],
    );
    check(
        &with_transform("limits: { memory: 1GB }"),
        expect![[r#"
        pipelines/utility.yaml:2:43: unknown key `transform.limits`
          help: its place is `limits`"#]],
    );
    check(
        &with_transform("registery: ../r, trusted_key: k"),
        expect![[r#"
            pipelines/utility.yaml:2:43: unknown key `transform.registery`
              help: did you mean `registry`?
            pipelines/utility.yaml:2:60: unknown key `transform.trusted_key`
              help: did you mean `trusted_keys`?"#]],
    );
}

#[test]
fn a_key_that_resembles_nothing_gets_the_known_ones() {
    check(
        &format!("{SMALLEST}limits:\n  parallelism: 4\n"),
        expect![[r#"
            pipelines/utility.yaml:7:3: unknown key `limits.parallelism`
              help: known here: memory, rejected, max_record_bytes"#]],
    );
}

#[test]
fn every_missing_key_is_named_at_its_parent() {
    check(
        "description: nothing else\ntransform:\n  path: ..\ninputs:\n  readings:\n    on_change: skip\n",
        expect![[r#"
            pipelines/utility.yaml:1:1: `name` is missing
              help: add it, for example `name: utility`
            pipelines/utility.yaml:1:1: `root` is missing
              help: add it, for example `root: ${LAKE_ROOT:-../lake}`, or set --root or LAKE_ROOT
            pipelines/utility.yaml:2:1: `transform.name` is missing
              help: add it, for example `name: utility`
            pipelines/utility.yaml:2:1: `transform.version` is missing
              help: add it, for example `version: 1`
            pipelines/utility.yaml:5:3: `inputs.readings.path` is missing
              help: add it, for example `path: ../data/utility/*.csv`, or set --input readings or LAKE_INPUT_READINGS"#]],
    );
}

#[test]
fn a_group_that_is_missing_is_one_fault_and_not_one_per_key() {
    check(
        "name: utility\nroot: ../lake\n",
        expect![[r#"
            pipelines/utility.yaml:1:1: `inputs` is missing
              help: add `inputs:` with a `name:` per input, and in it path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
            pipelines/utility.yaml:1:1: `transform` is missing
              help: add `transform:` with name, version, path, params, registry, trusted_keys"#]],
    );
}

#[test]
fn a_pipeline_without_inputs_is_refused() {
    check(
        "name: utility\ntransform: {name: a, version: '1'}\nroot: ..\ninputs: {}\n",
        expect![[r#"
            pipelines/utility.yaml:4:1: inputs: there is none, and a transform reads at least one
              help: name one: `readings: { path: ../data/*.csv }`"#]],
    );
}

#[test]
fn a_key_given_twice_names_the_first_line_at_every_level() {
    check(
        &format!(
            "{SMALLEST}  readings: {{ path: b.csv }}\nlimits:\n  memory: 1GB\n  memory: 2GB\n"
        ),
        expect![[r#"
            pipelines/utility.yaml:6:3: `inputs.readings` is here twice; the first is in line 5
              help: keep one of them
            pipelines/utility.yaml:9:3: `limits.memory` is here twice; the first is in line 8
              help: keep one of them"#]],
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_was_expected_and_found() {
    check(
        "name: true\ndescription: 2024\ntransform: utility\nroot:\n  path: ../lake\ninputs: [readings]\nlimits: 5%\n",
        expect![[r#"
            pipelines/utility.yaml:1:7: name: expected text, found the boolean `true`
              help: put it in quotes: "true"
            pipelines/utility.yaml:2:14: description: expected text, found the number `2024`
              help: put it in quotes: "2024"
            pipelines/utility.yaml:3:12: transform: expected a mapping of `key: value` lines, found text
              help: write below it: name, version, path, params, registry, trusted_keys
            pipelines/utility.yaml:5:3: root: expected text, found a mapping
              help: give it one value, for example `root: ${LAKE_ROOT:-../lake}`
            pipelines/utility.yaml:6:9: inputs: expected a mapping of `key: value` lines, found a list
              help: write below it: a `name:` per input, and in it path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
            pipelines/utility.yaml:7:9: limits: expected a mapping of `key: value` lines, found text
              help: write below it: memory, rejected, max_record_bytes"#]],
    );
}

#[test]
fn a_key_without_a_value_is_refused() {
    check(
        "name:\ntransform: ~\nroot: null\ninputs:\n  readings:\nlimits:\n",
        expect![[r#"
            pipelines/utility.yaml:1:1: `name` has no value
              help: give it one value, for example `name: utility`
            pipelines/utility.yaml:2:1: `transform` has no value
              help: write below it: name, version, path, params, registry, trusted_keys
            pipelines/utility.yaml:3:1: `root` has no value
              help: give it one value, for example `root: ${LAKE_ROOT:-../lake}`
            pipelines/utility.yaml:5:3: `inputs.readings` has no value
              help: write below it: path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
            pipelines/utility.yaml:6:1: `limits` has no value
              help: write below it: memory, rejected, max_record_bytes"#]],
    );
}

#[test]
fn every_wrong_parameter_is_reported_where_it_stands() {
    check(
        r#"name: utility
transform:
  name: utility
  version: "1"
  params:
    gap: 30m
    top:
    all: ~
    days: [1, 2]
    price: { min: 1 }
    Rate: 5
    gap: 40m
    zone: ${ZONE}
    unit: !kwh 1
    base: *b
root: ../lake
inputs:
  readings: { path: ../data/*.csv }
"#,
        expect![[r#"
            pipelines/utility.yaml:7:5: `transform.params.top` has no value
              help: give it one value, for example `top: 30m`
            pipelines/utility.yaml:8:5: `transform.params.all` has no value
              help: give it one value, for example `all: 30m`
            pipelines/utility.yaml:9:11: transform.params.days: expected text, a number or a boolean, found a list
              help: give it one value, for example `days: 30m`
            pipelines/utility.yaml:10:12: transform.params.price: expected text, a number or a boolean, found a mapping
              help: give it one value, for example `price: 30m`
            pipelines/utility.yaml:11:5: transform.params: `Rate` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:12:5: `transform.params.gap` is here twice; the first is in line 6
              help: keep one of them
            pipelines/utility.yaml:13:11: transform.params.zone: the variable `ZONE` is not set
              help: set it, or give a default: ${ZONE:-…}
            pipelines/utility.yaml:14:11: the tag `!kwh` is not accepted
              help: leave it out, or put a value that starts with `!` in quotes
            pipelines/utility.yaml:15:11: `*b` is an alias to YAML, and aliases are not accepted
              help: write the value out; one that starts with `*` needs quotes"#]],
    );
}

#[test]
fn parameters_are_a_mapping() {
    check(
        &with_transform("params: gap"),
        expect![[r#"
        pipelines/utility.yaml:2:51: transform.params: expected a mapping of `key: value` lines, found text
          help: write below it: a `name: value` per parameter"#]],
    );
    check(
        &with_transform("params: [gap, top]"),
        expect![[r#"
        pipelines/utility.yaml:2:51: transform.params: expected a mapping of `key: value` lines, found a list
          help: write below it: a `name: value` per parameter"#]],
    );
    check(
        &with_transform("params: "),
        expect![[r#"
        pipelines/utility.yaml:2:43: `transform.params` has no value
          help: write below it: a `name: value` per parameter"#]],
    );
    check(
        &with_transform("params: { [gap]: 1 }"),
        expect![[r#"
        pipelines/utility.yaml:2:53: this key is not a name
          help: write `key: value`"#]],
    );
}

#[test]
fn an_empty_file_and_one_of_comments_are_empty() {
    check(
        "",
        expect![[r#"
        pipelines/utility.yaml:1:1: the file is empty
          help: a pipeline has at least: name, transform, root, inputs"#]],
    );
    check(
        "# later\n\n",
        expect![[r#"
        pipelines/utility.yaml:1:1: the file is empty
          help: a pipeline has at least: name, transform, root, inputs"#]],
    );
}

#[test]
fn a_file_that_is_not_a_mapping_is_refused() {
    check(
        "- name: utility\n",
        expect![[r#"
        pipelines/utility.yaml:1:1: a pipeline file is a mapping, and this is a list
          help: start with `name: …`"#]],
    );
    check(
        "just a sentence\n",
        expect![[r#"
        pipelines/utility.yaml:1:1: a pipeline file is a mapping, and this is text
          help: start with `name: …`"#]],
    );
    check(
        "--- ~\n",
        expect![[r#"
        pipelines/utility.yaml:1:5: a pipeline file is a mapping, and this is empty
          help: start with `name: …`"#]],
    );
}

#[test]
fn text_that_is_not_yaml_is_reported_alone() {
    check(
        "name: [utility\nroot: ../lake\n",
        expect![[r#"
        pipelines/utility.yaml:2:5: not valid YAML: illegal placement of ':' indicator
          help: check the indentation and the quotes here and in the line above"#]],
    );
    check(
        "name: utility\n  root: ../lake\nnonsense: 1\n",
        expect![[r#"
            pipelines/utility.yaml:2:7: not valid YAML: mapping values are not allowed in this context
              help: check the indentation and the quotes here and in the line above"#]],
    );
    check(
        "description: \"open\nname: x\n",
        expect![[r#"
        pipelines/utility.yaml:2:1: not valid YAML: invalid indentation in multiline quoted scalar
          help: check the indentation and the quotes here and in the line above"#]],
    );
}

#[test]
fn a_cron_expression_without_quotes_is_told_to_use_them() {
    check(
        &format!("{SMALLEST}schedule: */15 * * * *\n"),
        expect![[r#"
            pipelines/utility.yaml:6:11: not valid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character
              help: put the value in quotes: "*/15 * * * *""#]],
    );
    check(
        &format!("{SMALLEST}description: @hourly\n"),
        expect![[r#"
            pipelines/utility.yaml:6:14: not valid YAML: unexpected character: `@'
              help: put the value in quotes: "@hourly""#]],
    );
}

#[test]
fn anchors_aliases_and_tags_are_refused_where_they_stand() {
    check(
        "name: &n utility\ntransform: &t {name: *n, version: !!str 1}\nroot: *nowhere\ninputs:\n  readings:\n    path: *.csv\n",
        expect![[r#"
            pipelines/utility.yaml:1:7: the anchor `&n` is not accepted
              help: write the value out where it is needed
            pipelines/utility.yaml:2:12: the anchor `&t` is not accepted
              help: write the value out where it is needed
            pipelines/utility.yaml:2:22: `*n` is an alias to YAML, and aliases are not accepted
              help: write the value out; one that starts with `*` needs quotes
            pipelines/utility.yaml:2:35: the tag `!!str` is not accepted
              help: leave it out, or put a value that starts with `!` in quotes
            pipelines/utility.yaml:3:7: `*nowhere` is an alias to YAML, and aliases are not accepted
              help: write the value out; one that starts with `*` needs quotes
            pipelines/utility.yaml:6:11: `*.csv` is an alias to YAML, and aliases are not accepted
              help: write the value out; one that starts with `*` needs quotes"#]],
    );
    check(
        "&all\nname: utility\n",
        expect![[r#"
            pipelines/utility.yaml:1:1: the anchor `&all` is not accepted
              help: write the value out where it is needed
            pipelines/utility.yaml:2:1: `inputs` is missing
              help: add `inputs:` with a `name:` per input, and in it path, on_change, on_empty, on_truncated, settle, done_marker, expect_every, on_late, order, max_files, max_bytes, archive
            pipelines/utility.yaml:2:1: `root` is missing
              help: add it, for example `root: ${LAKE_ROOT:-../lake}`, or set --root or LAKE_ROOT
            pipelines/utility.yaml:2:1: `transform` is missing
              help: add `transform:` with name, version, path, params, registry, trusted_keys"#]],
    );
    check(
        "*x\n",
        expect![[r#"
        pipelines/utility.yaml:1:1: `*x` is an alias to YAML, and aliases are not accepted
          help: write the value out; one that starts with `*` needs quotes"#]],
    );
}

#[test]
fn a_list_is_refused_and_so_is_what_hides_inside() {
    check(
        &format!("{SMALLEST}limits: [ &a 1, [ *a ], {{ b: !c d }} ]\n"),
        expect![[r#"
            pipelines/utility.yaml:6:9: limits: expected a mapping of `key: value` lines, found a list
              help: write below it: memory, rejected, max_record_bytes
            pipelines/utility.yaml:6:11: the anchor `&a` is not accepted
              help: write the value out where it is needed
            pipelines/utility.yaml:6:19: `*a` is an alias to YAML, and aliases are not accepted
              help: write the value out; one that starts with `*` needs quotes
            pipelines/utility.yaml:6:30: the tag `!c` is not accepted
              help: leave it out, or put a value that starts with `!` in quotes"#]],
    );
}

#[test]
fn keys_that_are_not_names_are_refused() {
    check(
        &format!("{SMALLEST}? [a, b]\n: c\n? {{a: b}}\n: c\n~: d\n"),
        expect![[r#"
            pipelines/utility.yaml:6:3: this key is not a name
              help: write `key: value`
            pipelines/utility.yaml:8:3: this key is not a name
              help: write `key: value`
            pipelines/utility.yaml:10:1: this key is not a name
              help: write `key: value`"#]],
    );
}

#[test]
fn a_second_document_is_refused_and_the_first_is_still_checked() {
    check(
        &format!("%YAML 1.2\n---\n{SMALLEST}limits: {{ memory: 0 }}\n---\nname: other\n"),
        expect![[r#"
            pipelines/utility.yaml:8:19: limits.memory: `0` is no memory at all
              help: leave the setting out for the default
            pipelines/utility.yaml:9:1: a second document starts here
              help: keep one pipeline per file"#]],
    );
}

#[test]
fn columns_count_characters_and_a_byte_order_mark_is_not_one() {
    check(
        &format!("\u{feff}{SMALLEST}limits: {{ größe: 1, memory: x }}\n"),
        expect![[r#"
            pipelines/utility.yaml:6:11: unknown key `limits.größe`
              help: known here: memory, rejected, max_record_bytes
            pipelines/utility.yaml:6:29: limits.memory: `x` is not a size
              help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    check(
        &format!("\u{feff}nam: x\n{}", &SMALLEST[14..]),
        expect![[r#"
            pipelines/utility.yaml:1:1: `name` is missing
              help: add it, for example `name: utility`
            pipelines/utility.yaml:1:1: unknown key `nam`
              help: did you mean `name`?"#]],
    );
}

#[test]
fn windows_line_ends_change_nothing() {
    let yaml = format!("{SMALLEST}limits:\n  memory: lots\n").replace('\n', "\r\n");
    check(
        &yaml,
        expect![[r#"
        pipelines/utility.yaml:7:11: limits.memory: `lots` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
}

#[test]
fn nesting_without_end_is_a_fault_and_not_a_crash() {
    for open in ["[", "{a: ", "- "] {
        check_refused(&format!("name: x\ninputs: {}", open.repeat(50_000)));
    }
    let steps: String = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    check_refused(&steps);
}

#[track_caller]
fn check_refused(yaml: &str) {
    let faults = said(parse_with(yaml, &[], &Overrides::default()));
    assert!(faults.contains("not valid YAML"), "{faults}");
}
