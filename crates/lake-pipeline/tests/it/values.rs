//! What single values may be, and what is said about those that are not.

use std::path::Path;

use expect_test::expect;
use lake_pipeline::{OnChange, Overrides, RejectedLimit, RollbackWindow};

use crate::{SMALLEST, check, parse_with, pipeline, said, with_transform};

#[test]
fn the_example_in_the_repository_means_what_it_says() {
    let pipeline = pipeline(include_str!("../../../../pipelines/utility.yaml"));
    assert_eq!(pipeline.name, "utility");
    assert_eq!(
        pipeline.description.as_deref(),
        Some("Meter readings, validated, and daily usage per customer")
    );
    assert_eq!(pipeline.transform.name, "utility");
    assert_eq!(pipeline.transform.version.to_string(), "^1");
    assert_eq!(
        pipeline.transform.path.as_deref(),
        Some(Path::new("/srv/crates/transforms/utility"))
    );
    assert_eq!(pipeline.root, "/srv/lake");
    assert_eq!(pipeline.inputs.len(), 1);
    assert_eq!(
        pipeline.inputs["readings"].paths[0].as_str(),
        "/srv/data/utility/*.csv"
    );
    assert_eq!(pipeline.inputs["readings"].on_change, OnChange::Upsert);
    assert_eq!(pipeline.limits.memory, Some(512 << 20));
    assert_eq!(pipeline.limits.rejected.to_string(), "5 %");
    assert_eq!(pipeline.schedule.as_deref(), Some("*/15 * * * *"));
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let pipeline = pipeline(SMALLEST);
    assert_eq!(pipeline.description, None);
    assert_eq!(pipeline.transform.path, None);
    assert!(pipeline.transform.params.is_empty());
    assert_eq!(pipeline.transform.registry, None);
    assert_eq!(pipeline.transform.trusted_keys, None);
    assert_eq!(pipeline.inputs["readings"].on_change, OnChange::Fail);
    assert_eq!(pipeline.inputs["readings"].max_files, None);
    assert_eq!(pipeline.inputs["readings"].max_bytes, None);
    assert!(!pipeline.inputs["readings"].archive);
    assert_eq!(pipeline.limits.memory, None);
    assert_eq!(pipeline.limits.rejected, RejectedLimit::default());
    assert_eq!(pipeline.schedule, None);
    assert_eq!(pipeline.rollback_window, RollbackWindow::default());
}

#[test]
fn the_defaults_in_the_documentation_are_those_that_hold() {
    let documented = |key: &str| {
        let all = lake_pipeline::settings();
        let setting = all.into_iter().find(|setting| setting.key == key);
        setting.and_then(|setting| setting.default).unwrap()
    };
    let pipeline = pipeline(SMALLEST);
    for key in [
        "on_change",
        "on_empty",
        "on_truncated",
        "settle",
        "on_late",
        "order",
    ] {
        let value = documented(&format!("inputs.<name>.{key}"));
        let written = SMALLEST.replace("*.csv", &format!("*.csv, {key}: {value}"));
        assert_eq!(pipeline, crate::pipeline(&written), "{key}");
    }
    let record = documented("limits.max_record_bytes");
    let written = format!("{SMALLEST}limits: {{ max_record_bytes: {record} }}\n");
    assert_eq!(pipeline, crate::pipeline(&written));
    let window = documented("rollback_window");
    let written = format!("{SMALLEST}rollback_window: {window}\n");
    assert_eq!(pipeline, crate::pipeline(&written));
    let rejected = pipeline.limits.rejected;
    assert_eq!(
        documented("limits.rejected"),
        format!("{rejected}, from {} rows on", rejected.from_rows())
    );
}

#[test]
fn sizes_are_bytes_or_have_a_unit() {
    for (written, bytes) in [
        ("1048576", 1_048_576),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("1GB", 1_000_000_000),
        ("2kB", 2_000),
        ("3KiB", 3 << 10),
        ("1TB", 1_000_000_000_000),
        ("1TiB", 1 << 40),
        ("\"64B\"", 64),
    ] {
        let pipeline = pipeline(&format!("{SMALLEST}limits: {{ memory: {written} }}\n"));
        assert_eq!(pipeline.limits.memory, Some(bytes), "{written}");
    }
}

#[test]
fn a_size_that_is_none_is_refused() {
    let memory = |text: &str| format!("{SMALLEST}limits: {{ memory: {text} }}\n");
    check(
        &memory("512Mi"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `512Mi` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    check(
        &memory("-1"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `-1` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    check(
        &memory("1e6"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `1e6` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    check(
        &memory(".5GB"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `.5GB` is not a size
          help: write bytes, or a number with a unit: 1048576, 512MiB, 1.5GiB, 1GB"#]],
    );
    check(
        &memory("0"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `0` is no memory at all
          help: leave the setting out for the default"#]],
    );
    check(
        &memory("99999999999999999999"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: `99999999999999999999` is more than any machine has
          help: write what this machine can spare, for example 4GiB"#]],
    );
    check(
        &memory("true"),
        expect![[r#"
        pipelines/utility.yaml:6:19: limits.memory: expected text or a number, found the boolean `true`
          help: give it one value, for example `memory: 512MiB`"#]],
    );
}

#[test]
fn a_share_is_a_percentage_or_a_fraction_below_one() {
    for (written, shown) in [
        ("5%", "5 %"),
        ("5 %", "5 %"),
        ("0.05", "5 %"),
        ("0", "0 %"),
        ("0.5%", "0.5 %"),
        ("0.0001%", "0.0001 %"),
        ("100%", "100 %"),
        ("0.999999", "99.9999 %"),
    ] {
        let pipeline = pipeline(&format!("{SMALLEST}limits: {{ rejected: {written} }}\n"));
        assert_eq!(pipeline.limits.rejected.to_string(), shown, "{written}");
    }
}

#[test]
fn a_share_that_is_unclear_or_none_is_refused() {
    let rejected = |text: &str| format!("{SMALLEST}limits: {{ rejected: {text} }}\n");
    check(
        &rejected("5"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `5` could be a percentage or a fraction
          help: write 5%, or a fraction below 1"#]],
    );
    check(
        &rejected("1"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `1` could be a percentage or a fraction
          help: write 1%, or a fraction below 1"#]],
    );
    check(
        &rejected("101%"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `101%` is more than all rows
          help: 100% accepts any number of rejected rows"#]],
    );
    check(
        &rejected("0.00001%"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `0.00001%` is finer than one in a million
          help: four decimals of a percentage are the most"#]],
    );
    check(
        &rejected("-1%"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `-1%` is not a share of rows
          help: write a percentage or a fraction: 5% or 0.05"#]],
    );
    check(
        &rejected("some"),
        expect![[r#"
        pipelines/utility.yaml:6:21: limits.rejected: `some` is not a share of rows
          help: write a percentage or a fraction: 5% or 0.05"#]],
    );
}

#[test]
fn the_share_that_is_written_is_exact_and_holds_from_the_first_row_on() {
    let limit = |text: &str| {
        pipeline(&format!("{SMALLEST}limits: {{ rejected: {text} }}\n"))
            .limits
            .rejected
    };
    // In binary fractions, 0.29 * 100 is a little less than 29.
    assert!(!limit("29%").is_exceeded_by(29, 100));
    assert!(limit("29%").is_exceeded_by(30, 100));
    assert!(limit("0%").is_exceeded_by(1, 3));
    assert!(!limit("100%").is_exceeded_by(3, 3));
    assert!(!limit("5%").is_exceeded_by(0, 0));
    assert!(limit("5%").is_exceeded_by(u64::MAX, u64::MAX));
    assert!((limit("12.5%").fraction() - 0.125).abs() < f64::EPSILON);
}

#[test]
fn the_default_share_spares_inputs_of_fewer_than_a_hundred_rows() {
    let limit = pipeline(SMALLEST).limits.rejected;
    assert_eq!(
        (limit.to_string().as_str(), limit.from_rows()),
        ("10 %", 100)
    );
    assert!(!limit.is_exceeded_by(99, 99));
    assert!(!limit.is_exceeded_by(10, 100));
    assert!(limit.is_exceeded_by(11, 100));
}

#[test]
fn a_version_is_a_requirement_as_in_cargo_with_or_without_quotes() {
    for (written, shown) in [
        ("1", "^1"),
        ("1.20", "^1.20"),
        ("1.2.3", "^1.2.3"),
        ("\"~1.2\"", "~1.2"),
        ("\">=1.2, <1.5\"", ">=1.2, <1.5"),
        ("'*'", "*"),
    ] {
        let version = pipeline(&SMALLEST.replace("\"1\"", written))
            .transform
            .version;
        assert_eq!(version.to_string(), shown, "{written}");
    }
    check(
        &SMALLEST.replace("\"1\"", "latest"),
        expect![[r#"
        pipelines/utility.yaml:2:38: transform.version: `latest` is not a version requirement: unexpected character 'l' while parsing major version number
          help: write it as in Cargo: "1", "1.2", "~1.2.3" or ">=1.2, <1.5""#]],
    );
    check(
        &SMALLEST.replace("\"1\"", "1.x.2"),
        expect![[r#"
        pipelines/utility.yaml:2:38: transform.version: `1.x.2` is not a version requirement: unexpected character after wildcard in version req
          help: write it as in Cargo: "1", "1.2", "~1.2.3" or ">=1.2, <1.5""#]],
    );
    check(
        &SMALLEST.replace("\"1\"", "''"),
        expect![[r#"
        pipelines/utility.yaml:2:38: transform.version: `` is not a version requirement: unexpected end of input while parsing major version number
          help: write it as in Cargo: "1", "1.2", "~1.2.3" or ">=1.2, <1.5""#]],
    );
}

#[test]
fn names_fit_where_they_are_used() {
    let named = |name: &str| SMALLEST.replacen("utility", name, 1);
    assert_eq!(pipeline(&named("a-b_9")).name, "a-b_9");
    check(
        &named("9lives"),
        expect![[r#"
        pipelines/utility.yaml:1:7: name: `9lives` cannot be the name of a pipeline
          help: use lower-case letters, digits, `_` and `-`, starting with a letter"#]],
    );
    check(
        &named("_lake"),
        expect![[r#"
        pipelines/utility.yaml:1:7: name: `_lake` cannot be the name of a pipeline
          help: use lower-case letters, digits, `_` and `-`, starting with a letter"#]],
    );
    check(
        &named("../up"),
        expect![[r#"
        pipelines/utility.yaml:1:7: name: `../up` cannot be the name of a pipeline
          help: use lower-case letters, digits, `_` and `-`, starting with a letter"#]],
    );
    check(
        &named("''"),
        expect![[r#"
        pipelines/utility.yaml:1:7: name: `` cannot be the name of a pipeline
          help: use lower-case letters, digits, `_` and `-`, starting with a letter"#]],
    );
    check(
        &named(&"n".repeat(101)),
        expect![[r#"
        pipelines/utility.yaml:1:7: name: the name has 101 characters, and 100 is the most
          help: choose a shorter one"#]],
    );
    check(
        &SMALLEST.replace("{ name: utility", "{ name: my transform"),
        expect![[r#"
            pipelines/utility.yaml:2:20: transform.name: `my transform` cannot be the name of a transform
              help: use the package name in the transform's Cargo.toml: letters, digits, `_` and `-`"#]],
    );
    check(
        &SMALLEST.replace("readings:", "meter-readings:"),
        expect![[r#"
            pipelines/utility.yaml:5:3: inputs: `meter-readings` cannot be the name of an input
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter"#]],
    );
}

#[test]
fn the_value_of_a_parameter_is_the_text_that_was_written() {
    for (written, text) in [
        ("30m", "30m"),
        ("50", "50"),
        ("-1.50", "-1.50"),
        ("1e6", "1e6"),
        ("0x1F", "0x1F"),
        ("007", "007"),
        ("True", "True"),
        ("2026-01-31", "2026-01-31"),
        ("'null'", "null"),
        ("''", ""),
        ("\" 5\\t\"", " 5\t"),
        ("'${NOT_SET:-50}'", "50"),
        ("costs $$5", "costs $5"),
    ] {
        let params = pipeline(&with_transform(&format!("params: {{ top: {written} }}")))
            .transform
            .params;
        assert_eq!(params["top"], text, "{written}");
        assert_eq!(params.len(), 1);
    }
}

#[test]
fn a_transform_has_as_many_parameters_as_the_file_names() {
    let read = |written: &str| {
        let pipeline = pipeline(&with_transform(&format!("params: {written}")));
        let pairs = pipeline.transform.params.into_iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        read("{ top: 50, gap_2: 30m, all: true }"),
        "all=true gap_2=30m top=50"
    );
    assert_eq!(read("{}"), "");
}

#[test]
fn names_of_parameters_are_those_that_sql_takes() {
    check(
        &with_transform("params: { Gap: 1, a-b: 2, 1st: 3, '': 4, _x: 5 }"),
        expect![[r#"
            pipelines/utility.yaml:2:53: transform.params: `Gap` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:2:61: transform.params: `a-b` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:2:69: transform.params: `1st` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:2:77: transform.params: `` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter
            pipelines/utility.yaml:2:84: transform.params: `_x` cannot be the name of a parameter
              help: SQL uses it as it is: lower-case letters, digits and `_`, starting with a letter"#]],
    );
    check(
        &with_transform(&format!("params: {{ {}: 1 }}", "n".repeat(101))),
        expect![[r#"
            pipelines/utility.yaml:2:53: transform.params: the name has 101 characters, and 100 is the most
              help: choose a shorter one"#]],
    );
}

#[test]
fn schedules_are_cron_expressions_of_five_fields() {
    for (written, read) in [
        ("*/15 * * * *", "*/15 * * * *"),
        ("  0   6  * * mon-FRI ", "0 6 * * mon-FRI"),
        ("0,30 0-23/2 1,15 jan,Jul *", "0,30 0-23/2 1,15 jan,Jul *"),
        ("59 23 31 12 6", "59 23 31 12 6"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 30 2 0", "0 0 30 2 0"),
    ] {
        let pipeline = pipeline(&format!("{SMALLEST}schedule: '{written}'\n"));
        assert_eq!(pipeline.schedule.as_deref(), Some(read), "{written}");
    }
}

#[test]
fn how_far_back_a_rollback_can_go_is_a_time_a_number_of_runs_or_both() {
    const DAY: u64 = 24 * 3600;
    for (written, seconds, runs) in [
        ("30 days, at least 20 runs", 30 * DAY, 20),
        ("30d, 20 runs", 30 * DAY, 20),
        ("1 week", 7 * DAY, 1),
        ("36 hours", 36 * 3600, 1),
        ("90m", 90 * 60, 1),
        ("at least 1 run", 0, 1),
        ("0 days, at least 5 runs", 0, 5),
    ] {
        let window = pipeline(&format!("{SMALLEST}rollback_window: {written}\n")).rollback_window;
        assert_eq!(
            (window.time.as_secs(), window.runs),
            (seconds, runs),
            "{written}"
        );
    }
    for written in [
        "always",
        "20 times",
        "0 runs",
        "3 runs, 3 days",
        "1 day, 2 days",
        "1 day, 2 runs, 3",
        "9999999999999999999 days",
    ] {
        let yaml = format!("{SMALLEST}rollback_window: {written}\n");
        let message = said(parse_with(&yaml, &[], &Overrides::default()));
        assert!(
            message.contains("rollback_window") && message.contains("at least 20 runs"),
            "{message}"
        );
    }
}

#[test]
fn a_schedule_that_is_none_says_which_field_and_why() {
    let schedule = |text: &str| format!("{SMALLEST}schedule: '{text}'\n");
    check(
        &schedule("@daily"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `@daily` has 1 of the 5 fields of a cron expression
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("0 0 0 * * *"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `0 0 0 * * *` has 6 of the 5 fields of a cron expression
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("60 24 0 13 8"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `60 24 0 13 8` is not a cron expression: minute: `60` is not between 0 and 59; hour: `24` is not between 0 and 23; day of month: `0` is not between 1 and 31; month: `13` is not between 1 and 12; day of week: `8` is not between 0 and 6
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("0 0 * * 7"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `0 0 * * 7` is not a cron expression: day of week: Sunday is 0, as Kubernetes does not take 7
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("5/15 * * * *"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `5/15 * * * *` is not a cron expression: minute: a step needs a range; write `5-59/15`
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("*/60 */0 */x * *"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `*/60 */0 */x * *` is not a cron expression: minute: the step 60 is longer than the range it steps over; hour: a step of 0 leads nowhere; day of month: the step `x` is not a number
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("30-10 * * foo fri-mon"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `30-10 * * foo fri-mon` is not a cron expression: minute: the range `30-10` runs backwards; month: `foo` is not between 1 and 12; day of week: the range `fri-mon` runs backwards
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("1,,2 - ? * *"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `1,,2 - ? * *` is not a cron expression: minute: `` is not between 0 and 59; hour: `` is not between 0 and 23; day of month: `?` is not between 1 and 31
          help: write minute, hour, day of month, month and day of week: "*/15 * * * *" is every 15 minutes"#]],
    );
    check(
        &schedule("0 0 31 2,4 *"),
        expect![[r#"
        pipelines/utility.yaml:6:11: schedule: `0 0 31 2,4 *` never comes: no such day in that month
          help: check the third and fourth field, the day of month and the month"#]],
    );
}
