//! What a change means, and which version it takes.

mod inputs;

use std::collections::BTreeMap;

use lake_plugin::prelude::*;
use lake_plugin::{ColumnType, Declaration, Severity, TableRule, Zone};
use lake_registry::{
    Interface, Level, TableColumn, TrustedKeys, check_bump, compare, previous, required_bump,
};

use crate::support::{Place, noon, v};

fn declaration() -> Declaration {
    serde_json::from_value(serde_json::json!({
        "sdk": "test",
        "inputs": [{
            "name": "readings",
            "format": {"csv": {"header": true}},
            "columns": [
                {"name": "meter_id", "type": "text", "required": true},
                {"name": "usage_kwh", "type": {"decimal": {"precision": 12, "scale": 3}}},
            ],
            "checks": [{"name": "not negative", "sql": "usage_kwh >= 0"}],
        }],
        "tables": [{
            "zone": "standard",
            "name": "readings",
            "sql": "SELECT * FROM readings",
            "key": ["meter_id"],
            "checks": [{"name": "has rows", "check": "rows", "at_least": 1}],
        }],
        "parameters": [
            {"name": "top", "type": "int64", "default": "50"},
            {"name": "zone", "type": "text"},
        ],
        "functions": [{"name": "clean", "arguments": ["text"], "returns": "text"}],
    }))
    .unwrap()
}

fn interface() -> Interface {
    let columns = vec![
        TableColumn::new("meter_id", "text"),
        TableColumn::new("usage_kwh", "decimal(12, 3)"),
    ];
    let tables = BTreeMap::from([("standard/readings".to_owned(), columns)]);
    Interface::new(declaration(), tables)
}

/// What is said about a change, a line each.
fn says(change: impl FnOnce(&mut Interface)) -> Vec<String> {
    let mut new = interface();
    change(&mut new);
    let changes = compare(&interface(), &new);
    changes.iter().map(ToString::to_string).collect()
}

/// What is said about undoing a change.
fn says_of_undoing(change: impl FnOnce(&mut Interface)) -> Vec<String> {
    let mut old = interface();
    change(&mut old);
    let changes = compare(&old, &interface());
    changes.iter().map(ToString::to_string).collect()
}

fn columns(interface: &mut Interface) -> &mut Vec<TableColumn> {
    interface.tables.get_mut("standard/readings").unwrap()
}

#[test]
fn the_same_interface_has_not_changed() {
    assert_eq!(says(|_| {}), [""; 0]);
    assert_eq!(
        says(|new| {
            new.declaration.version = Some("9.9.9".to_owned());
            new.declaration.sdk = "another".to_owned();
            new.declaration.parameters[0].about = "How many.".to_owned();
        }),
        [""; 0]
    );
}

#[test]
fn columns_of_tables() {
    let more = |i: &mut Interface| columns(i).push(TableColumn::new("day", "date"));
    assert_eq!(says(more), ["minor: standard/readings.day is new, date"]);
    assert_eq!(
        says_of_undoing(more),
        ["major: standard/readings.day is removed"]
    );
    for other in [
        "decimal(10, 3)",
        "decimal(14, 3)",
        "decimal(12, 2)",
        "float",
    ] {
        assert_eq!(
            says(|i| columns(i)[1].column_type = other.to_owned()),
            [format!(
                "major: standard/readings.usage_kwh was decimal(12, 3) and is {other}"
            )]
        );
    }
    assert_eq!(
        says(|i| columns(i).reverse()),
        ["patch: standard/readings has its columns in another order"]
    );
    assert_eq!(
        says(|i| columns(i)[0].name = "meter".to_owned()),
        [
            "major: standard/readings.meter_id is removed",
            "minor: standard/readings.meter is new, text"
        ]
    );
}

#[test]
fn tables() {
    let more = |i: &mut Interface| {
        let mut table = i.declaration.tables[0].clone();
        table.zone = Zone::Consumption;
        table.name = "daily".to_owned();
        i.declaration.tables.push(table);
    };
    assert_eq!(says(more), ["minor: consumption/daily is new"]);
    assert_eq!(
        says_of_undoing(more),
        ["major: consumption/daily is removed"]
    );
    assert_eq!(
        says(|i| i.declaration.tables[0].zone = Zone::Consumption),
        [
            "major: standard/readings is removed",
            "minor: consumption/readings is new"
        ]
    );
    let table = |change: fn(&mut lake_plugin::TableDeclaration)| {
        says(|i| change(&mut i.declaration.tables[0]))
    };
    assert_eq!(
        table(|t| t.key = vec!["meter_id".to_owned(), "day".to_owned()]),
        ["major: standard/readings had key (meter_id) and has key (meter_id, day)"]
    );
    assert_eq!(
        table(|t| t.key.clear()),
        ["major: standard/readings had key (meter_id) and has no key"]
    );
    assert_eq!(
        table(|t| t.mode = Mode::Append),
        ["major: standard/readings was mode merge and is append"]
    );
    assert_eq!(
        table(|t| t.partition_by = vec!["day".to_owned()]),
        ["major: standard/readings was partitioned by nothing and is by (day)"]
    );
    assert_eq!(
        table(|t| t.refresh_by = vec!["meter_id".to_owned()]),
        ["patch: standard/readings is refreshed by other columns"]
    );
    assert_eq!(
        table(|t| t.sql = "SELECT 1".to_owned()),
        ["patch: standard/readings has another query"]
    );
    assert_eq!(
        table(|t| t.newest_by = vec!["usage_kwh".to_owned()]),
        ["minor: standard/readings decides by other columns which row of a key stays"]
    );
}

#[test]
fn deletes_and_history() {
    let deletes = |i: &mut Interface| i.declaration.tables[0].delete_when = Some("a".to_owned());
    assert_eq!(says(deletes), ["minor: standard/readings deletes rows now"]);
    assert_eq!(
        says_of_undoing(deletes),
        ["minor: standard/readings does not delete rows any more"]
    );
    let (mut old, mut new) = (interface(), interface());
    deletes(&mut old);
    new.declaration.tables[0].delete_when = Some("b".to_owned());
    assert_eq!(
        compare(&old, &new)[0].to_string(),
        "patch: standard/readings deletes rows on another condition"
    );
    new.declaration.tables[0].newest_by = vec!["usage_kwh".to_owned()];
    assert_eq!(
        compare(&old, &new)[0].to_string(),
        "major: standard/readings decides by other columns which row of a key stays"
    );
    let history = |i: &mut Interface| i.declaration.tables[0].history = true;
    assert_eq!(says(history), ["minor: standard/readings_history is new"]);
    assert_eq!(
        says_of_undoing(history),
        ["major: standard/readings_history is removed"]
    );
}

#[test]
fn inputs() {
    let more = |i: &mut Interface| {
        let mut input = i.declaration.inputs[0].clone();
        input.name = "meters".to_owned();
        i.declaration.inputs.push(input);
    };
    assert_eq!(
        says(more),
        ["major: input meters is new; pipelines have to say where it is"]
    );
    assert_eq!(
        says_of_undoing(more),
        ["major: input meters is removed; pipelines that name it are refused"]
    );
    let input = |change: fn(&mut lake_plugin::InputDeclaration)| {
        says(|i| change(&mut i.declaration.inputs[0]))
    };
    let headless = lake_plugin::InputFormat::Csv(lake_plugin::Dialect::default());
    assert_eq!(
        says(|i| i.declaration.inputs[0].format = headless.clone()),
        ["major: input readings reads another format; files that were read are not any more"]
    );
    assert_eq!(
        input(|i| i.columns.reverse()),
        ["patch: input readings has its columns in another order"]
    );
    let (mut old, mut new) = (interface(), interface());
    for interface in [&mut old, &mut new] {
        interface.declaration.inputs[0].format = headless.clone();
    }
    new.declaration.inputs[0].columns.reverse();
    assert_eq!(
        compare(&old, &new)[0].to_string(),
        "major: input readings has its columns in another order"
    );
    assert_eq!(
        input(|i| i.columns[0].column_type = ColumnType::Int64.into()),
        ["major: input readings.meter_id was text and is integer"]
    );
    assert_eq!(
        input(|i| i.columns[0].required = false),
        ["minor: input readings.meter_id is optional now"]
    );
    assert_eq!(
        input(|i| i.columns[1].required = true),
        ["major: input readings.usage_kwh is required now; rows without a value are rejected"]
    );
    assert_eq!(
        input(|i| i.columns.truncate(1)),
        ["major: input readings.usage_kwh is removed; files still have it"]
    );
    for (required, what) in [
        (false, "minor: input readings.day is new and optional"),
        (
            true,
            "major: input readings.day is new and required; files without it are rejected",
        ),
    ] {
        let says = says(|i| {
            let columns = &mut i.declaration.inputs[0].columns;
            let mut column = columns[0].clone();
            column.name = "day".to_owned();
            column.required = required;
            columns.push(column);
        });
        assert_eq!(says, [what]);
    }
}

#[test]
fn checks() {
    assert_eq!(
        says(|i| i.declaration.inputs[0].checks.clear()),
        ["minor: input readings: check \"not negative\" is removed"]
    );
    assert_eq!(
        says_of_undoing(|i| i.declaration.inputs[0].checks.clear()),
        ["minor: input readings: check \"not negative\" is new"]
    );
    assert_eq!(
        says(|i| {
            let check = &mut i.declaration.inputs[0].checks[0];
            check.sql = "usage_kwh > 0".to_owned();
            check.severity = Severity::Warn;
        }),
        [
            "minor: input readings: check \"not negative\" has another severity",
            "patch: input readings: check \"not negative\" has another condition"
        ]
    );
    assert_eq!(
        says(|i| {
            let check = &mut i.declaration.tables[0].checks[0];
            check.rule = TableRule::NotNull {
                column: "meter_id".to_owned(),
            };
            check.severity = Severity::Warn;
        }),
        [
            "minor: standard/readings: check \"has rows\" has another severity",
            "patch: standard/readings: check \"has rows\" has another condition"
        ]
    );
    assert_eq!(
        says(|i| i.declaration.tables[0].checks.clear()),
        ["minor: standard/readings: check \"has rows\" is removed"]
    );
}

#[test]
fn parameters() {
    let parameter = |at: usize, change: fn(&mut lake_plugin::ParameterDeclaration)| {
        says(|i| change(&mut i.declaration.parameters[at]))
    };
    assert_eq!(
        says(|i| i.declaration.parameters.truncate(1)),
        ["major: parameter zone is removed; pipelines that set it are refused"]
    );
    assert_eq!(
        says_of_undoing(|i| i.declaration.parameters.truncate(1)),
        ["major: parameter zone is new and has no default; pipelines have to set it"]
    );
    assert_eq!(
        says_of_undoing(|i| drop(i.declaration.parameters.remove(0))),
        ["minor: parameter top is new"]
    );
    assert_eq!(
        parameter(0, |p| p.parameter_type = ColumnType::Text),
        ["major: parameter top was integer and is text"]
    );
    assert_eq!(
        parameter(0, |p| p.default = None),
        ["major: parameter top has no default any more; pipelines have to set it"]
    );
    assert_eq!(
        parameter(0, |p| p.default = Some("60".to_owned())),
        ["minor: parameter top had default 50 and has 60"]
    );
    assert_eq!(
        parameter(1, |p| p.default = Some("utc".to_owned())),
        ["minor: parameter zone has a default now"]
    );
}

#[test]
fn functions_are_between_the_transform_and_itself() {
    assert_eq!(
        says(|i| i.declaration.functions.clear()),
        ["patch: function clean is removed"]
    );
    assert_eq!(
        says_of_undoing(|i| i.declaration.functions.clear()),
        ["patch: function clean is new"]
    );
    assert_eq!(
        says(|i| i.declaration.functions[0].returns = ColumnType::Date),
        ["patch: function clean is declared in another way"]
    );
}

#[test]
fn the_gravest_change_comes_first() {
    let said = says(|i| {
        i.declaration.tables[0].sql = "SELECT 1".to_owned();
        columns(i).push(TableColumn::new("day", "date"));
        i.declaration.inputs.clear();
    });
    let levels: Vec<&str> = said
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(levels, ["major", "minor", "patch"]);
}

#[test]
fn the_next_version_is_as_in_cargo() {
    for (old, major, minor, patch) in [
        ("1.2.3", "2.0.0", "1.3.0", "1.2.4"),
        ("0.2.3", "0.3.0", "0.2.4", "0.2.4"),
        ("0.0.3", "0.0.4", "0.0.4", "0.0.4"),
        ("1.0.0-rc.1", "2.0.0", "1.1.0", "1.0.0"),
    ] {
        let next = |level| required_bump(level, &v(old)).to_string();
        let all = [Level::Major, Level::Minor, Level::Patch].map(next);
        assert_eq!(all, [major, minor, patch], "{old}");
    }
}

#[test]
fn a_version_is_held_against_the_changes() {
    let major = |i: &mut Interface| drop(columns(i).remove(0));
    let minor = |i: &mut Interface| columns(i).push(TableColumn::new("day", "date"));
    let patch = |i: &mut Interface| i.declaration.tables[0].sql = "SELECT 1".to_owned();
    let fits = |change: &dyn Fn(&mut Interface), old: &str, new: &str| {
        let mut interface_now = interface();
        change(&mut interface_now);
        let changes = compare(&interface(), &interface_now);
        check_bump(&v(old), &v(new), &changes).is_ok()
    };
    for (old, new, allows) in [
        ("1.2.3", "1.2.4", Level::Patch),
        ("1.2.3", "1.2.9", Level::Patch),
        ("1.2.3", "1.3.0", Level::Minor),
        ("1.2.3", "1.4.2", Level::Minor),
        ("1.2.3", "2.0.0", Level::Major),
        ("1.2.3", "2.0.0-alpha.1", Level::Major),
        ("1.2.3", "1.3.0-alpha.1", Level::Minor),
        ("0.2.3", "0.2.4", Level::Minor),
        ("0.2.3", "0.3.0", Level::Major),
        ("0.2.3", "1.0.0", Level::Major),
        ("0.0.3", "0.0.4", Level::Major),
    ] {
        assert!(fits(&patch, old, new), "{old} {new}");
        assert_eq!(
            fits(&minor, old, new),
            allows >= Level::Minor,
            "{old} {new}"
        );
        assert_eq!(
            fits(&major, old, new),
            allows >= Level::Major,
            "{old} {new}"
        );
    }
    assert!(
        !fits(&|_| {}, "1.2.3", "1.2.3"),
        "a release is newer than the one before it"
    );
    assert!(!fits(&|_| {}, "1.2.3", "1.2.3-rc.1"));
}

#[test]
fn a_wrong_bump_is_told_with_all_reasons_and_the_right_version() {
    let mut new = interface();
    columns(&mut new).remove(1);
    new.declaration.tables[0].key.clear();
    new.declaration.tables[0].sql = "SELECT 1".to_owned();
    columns(&mut new).push(TableColumn::new("day", "date"));
    let changes = compare(&interface(), &new);
    let wrong = check_bump(&v("1.2.0"), &v("1.2.1"), &changes).unwrap_err();
    assert_eq!(wrong.needs, Level::Major);
    assert_eq!(wrong.smallest, v("2.0.0"));
    assert_eq!(
        wrong.to_string(),
        "1.2.1 cannot follow 1.2.0: the changes are major, so the next version is 2.0.0
  major: standard/readings had key (meter_id) and has no key
  major: standard/readings.usage_kwh is removed
  minor: standard/readings.day is new, date"
    );
    // What the version allows for is no reason.
    let wrong = check_bump(&v("1.2.0"), &v("1.3.0"), &changes).unwrap_err();
    assert_eq!(wrong.reasons.len(), 2);
}

#[tokio::test]
async fn a_version_follows_the_highest_below_it_that_is_not_yanked() {
    let versions = ["1.0.0", "1.1.0", "1.2.0-rc.1", "1.3.0", "2.0.0"];
    let place = Place::with(&versions).await;
    let bad = v("1.3.0");
    let yank = place
        .registry
        .yank("utility", &bad, None, None, noon())
        .await;
    assert_eq!(yank.unwrap(), lake_registry::Yanked::Now);
    place.put("utility/1.0.5/release.json", "{").await;
    let trusted = TrustedKeys::default();
    let listing = place
        .registry
        .list(Some("utility"), &trusted)
        .await
        .unwrap();
    for (new, old) in [
        ("0.9.0", None),
        ("1.0.0", None),
        ("1.0.9", Some("1.0.0")),
        ("1.2.0", Some("1.1.0")),
        ("1.3.1", Some("1.1.0")),
        ("2.0.1", Some("2.0.0")),
    ] {
        let found = previous(&listing.releases, &v(new)).map(|release| release.version.to_string());
        assert_eq!(found.as_deref(), old, "{new}");
    }
}

#[test]
fn an_interface_is_read_as_it_was_written_and_by_newer_lakes() {
    let json = interface().to_json().unwrap();
    let read: Interface = serde_json::from_slice(&json).unwrap();
    assert_eq!(read, interface());
    let sparse: Interface = serde_json::from_str(r#"{"declaration": {}, "more": 1}"#).unwrap();
    assert_eq!(sparse, Interface::default());
}
