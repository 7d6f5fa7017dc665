//! What holds for every text, also for those nobody would write.

use lake_pipeline::{Overrides, Place};
use proptest::prelude::*;

use crate::{SMALLEST, parse_with, with_transform};

const EXAMPLE: &str = include_str!("../../../../pipelines/utility.yaml");

/// Parses, and checks that every fault lies inside the text.
fn places_are_inside(source: &str) -> Result<(), TestCaseError> {
    let Err(faults) = parse_with(source, &[], &Overrides::default()) else {
        return Ok(());
    };
    prop_assert!(faults.iter().next().is_some(), "refused without a reason");
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let lines: Vec<&str> = source.split('\n').collect();
    for fault in &faults {
        let Place::File { line, column, .. } = fault.place else {
            continue;
        };
        prop_assert!((1..=lines.len()).contains(&line), "{fault}");
        let width = lines[line - 1].chars().count();
        // One behind the last character is where a missing one would be.
        prop_assert!((1..=width + 1).contains(&column), "{fault}");
        prop_assert!(!fault.message.is_empty());
    }
    Ok(())
}

/// Pieces that mean something to YAML or to us.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("name: ".to_owned()),
        Just("inputs:\n  readings:\n    path: ".to_owned()),
        Just("limits: {memory: ".to_owned()),
        Just("transform:\n  params:\n    gap: ".to_owned()),
        Just("schedule: '".to_owned()),
        Just("${".to_owned()),
        Just("${A:-".to_owned()),
        Just("\n---\n".to_owned()),
        "[\\[\\]{}:,&*!?|>%@`'\"#~$\\- \t\r\n\u{feff}]{1,3}",
        "[a-z0-9é\u{1F600}]{1,4}",
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn no_text_panics_and_every_place_is_inside(source in any::<String>()) {
        places_are_inside(&source)?;
    }

    #[test]
    fn no_mix_of_yaml_panics(pieces in prop::collection::vec(piece(), 0..24)) {
        places_are_inside(&pieces.concat())?;
    }

    #[test]
    fn no_damage_to_a_good_file_panics(
        at in any::<prop::sample::Index>(),
        removed in 0_usize..6,
        inserted in piece(),
    ) {
        let mut characters: Vec<char> = EXAMPLE.chars().collect();
        let start = at.index(characters.len());
        let end = (start + removed).min(characters.len());
        characters.splice(start..end, inserted.chars());
        places_are_inside(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn no_flag_panics(key in ".*", value in ".*") {
        let overrides = Overrides {
            root: Some(value.clone()),
            inputs: vec![(key.clone(), value.clone())],
            set: vec![(key, value)],
        };
        let _ = parse_with(EXAMPLE, &[], &overrides);
    }

    #[test]
    fn any_text_survives_with_its_dollars_doubled(text in "[^\\p{C}]*") {
        // A JSON string is a YAML string.
        let quoted = serde_json::to_string(&text.replace('$', "$$")).unwrap();
        let yaml = format!("{SMALLEST}description: {quoted}\n");
        let pipeline = parse_with(&yaml, &[], &Overrides::default()).unwrap();
        prop_assert_eq!(pipeline.description, Some(text));
    }

    #[test]
    fn a_parameter_holds_any_text_wherever_it_comes_from(
        name in "[a-z][a-z0-9_]{0,20}",
        text in "[^\\p{C}]+",
    ) {
        let key = format!("transform.params.{name}");
        let quoted = serde_json::to_string(&text.replace('$', "$$")).unwrap();
        let in_file = with_transform(&format!("params: {{ {name}: {quoted} }}"));
        let other = with_transform(&format!("params: {{ {name}: other }}"));
        let variable = format!("LAKE_PARAM_{}", name.to_uppercase());
        let flag = Overrides { set: vec![(key, text.clone())], ..Overrides::default() };
        let none = Overrides::default();
        for outcome in [
            parse_with(&in_file, &[], &none),
            parse_with(&other, &[(&variable, &text)], &none),
            parse_with(&other, &[], &flag),
            parse_with(SMALLEST, &[], &flag),
        ] {
            let params = outcome.unwrap().transform.params;
            prop_assert_eq!(params.into_iter().collect::<Vec<_>>(), [(name.clone(), text.clone())]);
        }
    }

    #[test]
    fn a_number_is_kept_digit_by_digit(number in "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e[0-9]{1,3})?") {
        let yaml = with_transform(&format!("params: {{ top: {number} }}"));
        let pipeline = parse_with(&yaml, &[], &Overrides::default()).unwrap();
        prop_assert_eq!(&pipeline.transform.params["top"], &number);
    }

    #[test]
    fn no_parameter_flag_panics(name in ".*", value in ".*") {
        let overrides = Overrides {
            set: vec![(format!("transform.params.{name}"), value)],
            ..Overrides::default()
        };
        let _ = parse_with(EXAMPLE, &[], &overrides);
    }

    #[test]
    fn a_variable_holds_any_text(text in any::<String>()) {
        let yaml = format!("{SMALLEST}description: a${{X:-}}b\n");
        let pipeline = parse_with(&yaml, &[("X", &text)], &Overrides::default()).unwrap();
        prop_assert_eq!(pipeline.description, Some(format!("a{text}b")));
    }

    #[test]
    fn every_cron_expression_within_the_ranges_is_accepted(
        minute in 0_u32..60,
        hour in 0_u32..24,
        day in 1_u32..29,
        month in 1_u32..13,
        weekday in 0_u32..7,
        step in 1_u32..24,
    ) {
        let expression = format!("{minute},*/{step} 0-{hour} {day} {month} {weekday}");
        let yaml = format!("{SMALLEST}schedule: '{expression}'\n");
        let pipeline = parse_with(&yaml, &[], &Overrides::default()).unwrap();
        prop_assert_eq!(pipeline.schedule, Some(expression));
    }

    #[test]
    fn a_share_of_rows_is_decided_exactly(
        percent in 0_u64..=100,
        rows in 1_u64..10_000,
        rejected in 0_u64..10_000,
    ) {
        let yaml = format!("{SMALLEST}limits: {{ rejected: {percent}% }}\n");
        let pipeline = parse_with(&yaml, &[], &Overrides::default()).unwrap();
        prop_assert_eq!(
            pipeline.limits.rejected.is_exceeded_by(rejected, rows),
            rejected * 100 > rows * percent
        );
    }
}
