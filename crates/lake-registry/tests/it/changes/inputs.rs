//! What it means that files may look otherwise, or that their values are written otherwise.

use lake_plugin::prelude::*;
use lake_plugin::{ColumnType, Dialect, InputDeclaration, InputFormat, ValueRules};
use lake_registry::compare;

use super::{interface, says, says_of_undoing};

/// What is said about a change of the input.
fn says_of_input(change: fn(&mut InputDeclaration)) -> Vec<String> {
    says(|i| change(&mut i.declaration.inputs[0]))
}

/// What is said about undoing a change of the input.
fn undoing(change: fn(&mut InputDeclaration)) -> Vec<String> {
    says_of_undoing(|i| change(&mut i.declaration.inputs[0]))
}

#[test]
fn files_that_are_not_accepted_any_more_are_a_major_change_and_more_files_a_minor_one() {
    assert_eq!(
        says_of_input(|i| i.encoding = Encoding::Latin1),
        ["major: input readings reads another encoding; files that were read are not any more"]
    );
    let semicolons = |i: &mut InputDeclaration| {
        i.format = InputFormat::Csv(Dialect {
            delimiter: Some(';'),
            ..*i.format.dialect()
        });
    };
    assert_eq!(
        says_of_input(semicolons),
        ["major: input readings reads another format; files that were read are not any more"]
    );
    let lenient = |i: &mut InputDeclaration| i.missing_columns = MissingColumns::Null;
    assert_eq!(
        says_of_input(lenient),
        ["minor: input readings takes files without some of its columns"]
    );
    assert_eq!(
        undoing(lenient),
        ["major: input readings takes no files without some of its columns any more"]
    );
    let strict = |i: &mut InputDeclaration| i.extra_columns = ExtraColumns::Fail;
    assert_eq!(
        says_of_input(strict),
        ["major: input readings takes no files with columns of their own any more"]
    );
    assert_eq!(
        undoing(strict),
        ["minor: input readings takes files with columns of their own"]
    );
    assert_eq!(
        says_of_input(|i| i.extra_columns = ExtraColumns::Ignore),
        ["patch: input readings warns of columns that are not declared no more"]
    );
    assert_eq!(
        says_of_input(|i| i.columns[0].named = Some("Meter ID".to_owned())),
        ["major: input readings.meter_id is 'Meter ID' in files now, and was 'meter_id'"]
    );
    let path = |i: &mut InputDeclaration| i.columns[0].from_path = true;
    assert_eq!(
        says_of_input(path),
        [
            "major: input readings.meter_id comes from the path of a file now; what files say is not read"
        ]
    );
    assert_eq!(
        undoing(path),
        [
            "major: input readings.meter_id comes from the path of a file no more; files have to say it"
        ]
    );
}

#[test]
fn how_values_are_written_is_judged_by_the_values_that_were_accepted() {
    let nulls = |i: &mut InputDeclaration| i.rules.nulls = Some(vec!["-".to_owned()]);
    assert_eq!(
        says_of_input(nulls),
        [
            "minor: input readings.meter_id has other spellings of NULL",
            "minor: input readings.usage_kwh has other spellings of NULL",
        ]
    );
    // The same spellings, said in another place.
    let (mut old, mut new) = (interface(), interface());
    nulls(&mut old.declaration.inputs[0]);
    for column in &mut new.declaration.inputs[0].columns {
        column.rules.nulls = Some(vec!["-".to_owned()]);
    }
    assert_eq!(compare(&old, &new), []);

    let comma = |i: &mut InputDeclaration| i.rules.decimal_separator = Some(',');
    assert_eq!(
        says_of_input(comma),
        [
            "major: input readings.usage_kwh has numbers with other separators; files that were read \
          are rejected"
        ]
    );
    let groups = |i: &mut InputDeclaration| i.rules.group_separator = Some('_');
    assert_eq!(
        says_of_input(groups),
        ["minor: input readings.usage_kwh has a separator between groups of digits"]
    );
    assert_eq!(
        says_of_input(|i| i.rules.whitespace = Some(Whitespace::Keep)),
        [
            "major: input readings.usage_kwh deals in another way with spaces around values",
            "minor: input readings.meter_id deals in another way with spaces around values",
        ]
    );
}

#[test]
fn times_dates_and_booleans_are_judged_alike() {
    let typed = |column_type: ColumnType| {
        move |i: &mut InputDeclaration| {
            i.columns.truncate(1);
            i.columns[0].column_type = column_type.into();
        }
    };
    type Change = fn(&mut ValueRules);
    let both = |column_type: ColumnType, old: Change, new: Change| {
        let (mut one, mut other) = (interface(), interface());
        for (interface, change) in [(&mut one, old), (&mut other, new)] {
            let input = &mut interface.declaration.inputs[0];
            typed(column_type)(input);
            change(&mut input.columns[0].rules);
        }
        let changes = compare(&one, &other);
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let time = ColumnType::Timestamp;
    assert_eq!(
        both(time, |_| {}, |r| r.zone = Some("Asia/Tokyo".to_owned())),
        ["minor: input readings.meter_id has times of Asia/Tokyo without a zone, which were UTC"]
    );
    assert_eq!(
        both(time, |_| {}, |r| r.ambiguous = Some(Ambiguous::Latest)),
        ["minor: input readings.meter_id takes times in another way that a clock shows twice"]
    );
    assert_eq!(
        both(time, |r| r.nonexistent = Some(Nonexistent::Shift), |_| {}),
        ["major: input readings.meter_id takes no times any more that a clock skips"]
    );
    assert_eq!(
        both(time, |_| {}, |r| r.ambiguous = Some(Ambiguous::Reject)),
        [""; 0]
    );
    let form = |r: &mut ValueRules| r.formats = vec!["%F".to_owned()];
    let forms = |r: &mut ValueRules| r.formats = ["%F", "%D"].map(str::to_owned).into();
    assert_eq!(
        both(ColumnType::Date, form, forms),
        ["minor: input readings.meter_id has other formats, and those that it had"]
    );
    let lost = ["major: input readings.meter_id lost formats; files that have them are rejected"];
    assert_eq!(both(ColumnType::Date, forms, form), lost);
    // What was accepted without any is ISO 8601.
    assert_eq!(both(ColumnType::Date, |_| {}, form), lost);
    let yes = |r: &mut ValueRules| {
        r.true_values = ["TRUE", "yes"].map(str::to_owned).into();
        r.false_values = ["false", "no"].map(str::to_owned).into();
    };
    assert_eq!(
        both(ColumnType::Boolean, |_| {}, yes),
        ["minor: input readings.meter_id has more spellings of true or false"]
    );
    assert_eq!(
        both(ColumnType::Boolean, yes, |_| {}),
        [
            "major: input readings.meter_id lost spellings of true or false; files that have them are \
          rejected"
        ]
    );
}
