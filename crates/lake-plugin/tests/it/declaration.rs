//! What an author says, what becomes of it, and what is wrong with it.

use std::ops::Bound;

use lake_plugin::arrow::array::new_empty_array;
use lake_plugin::prelude::*;
use lake_plugin::{ColumnType, Declaration, Mode, Severity, TableDeclaration, Volatility, Zone};
use proptest::prelude::*;

fn meters() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("meter_id", text().required())
                .column("start_time", timestamp())
                .column("usage_kwh", decimal(12, 3).required())
                .column("count", integer())
                .column("small", int32())
                .column("ratio", float())
                .column("final", boolean())
                .column("day", date())
                .check("usage is not negative", "usage_kwh >= 0")
                .warn("ratio is small", "ratio < 1")
                .fail("count is not absurd", "count < 1000000"),
        )
        .table(
            Table::standard("readings")
                .sql("SELECT * FROM readings")
                .key(["meter_id", "start_time"])
                .partition_by(["usage_date"]),
        )
        .table(Table::standard("log").sql("SELECT * FROM readings"))
        .table(
            Table::consumption("daily")
                .sql("SELECT * FROM standard.readings")
                .key(["meter_id", "usage_date"])
                .refresh_by(["usage_date"]),
        )
        .table(Table::consumption("totals").sql("SELECT 1"))
        .table(
            Table::standard("latest")
                .sql("SELECT * FROM readings")
                .key(["meter_id"])
                .mode(Mode::Replace),
        )
        .function(Function::scalar(
            "band",
            [timestamp(), decimal(5, 2)],
            text(),
            |_| Ok(new_empty_array(&text().to_arrow())),
        ))
        .function(Function::scalar("dice", [], int32(), |_| Err("no dice".into())).volatile())
}

#[test]
fn a_declaration_survives_json() {
    let declaration = meters().declaration();
    assert_eq!(declaration.problems(), []);
    let json = serde_json::to_string(&declaration).unwrap();
    assert_eq!(
        serde_json::from_str::<Declaration>(&json).unwrap(),
        declaration
    );
}

#[test]
fn what_the_author_does_not_say_has_the_documented_default() {
    let declaration = meters().declaration();
    let modes: Vec<_> = declaration.tables.iter().map(|table| table.mode).collect();
    let expected = [
        Mode::Merge,
        Mode::Append,
        Mode::Merge,
        Mode::Replace,
        Mode::Replace,
    ];
    assert_eq!(modes, expected);
    let severities: Vec<_> = declaration.inputs[0]
        .checks
        .iter()
        .map(|check| check.severity)
        .collect();
    assert_eq!(
        severities,
        [Severity::Reject, Severity::Warn, Severity::Fail]
    );
    assert_eq!(declaration.functions[0].volatility, Volatility::Immutable);
    assert_eq!(declaration.functions[1].volatility, Volatility::Volatile);
    assert!(declaration.sdk.starts_with("lake-plugin "));
}

#[test]
fn a_transform_in_another_language_can_leave_out_what_has_a_default() {
    let json = r#"{
        "inputs": [{"name": "a", "format": {"csv": {"header": true}},
                    "columns": [{"name": "b", "type": "text"},
                                {"name": "c", "type": {"decimal": {"precision": 4, "scale": 1}}}]}],
        "tables": [{"zone": "standard", "name": "a", "sql": "SELECT b FROM a", "key": ["b"]}],
        "something from the future": {"is": "skipped"}
    }"#;
    let declaration: Declaration = serde_json::from_str(json).unwrap();
    assert_eq!(declaration.problems(), []);
    assert_eq!(declaration.tables[0].mode, Mode::Merge);
    assert!(!declaration.inputs[0].columns[0].required);
}

#[test]
fn all_nonsense_is_found_at_once_with_the_fix() {
    let transform = Transform::new()
        .input(
            Input::csv("Readings")
                .column("_file", text())
                .column("received_at", text())
                .column("_mine", text())
                .column("select", text())
                .column("twice", decimal(0, 0))
                .column("twice", decimal(4, 5))
                .column("negative", decimal(4, -1))
                .check("", "a > 0")
                .check("positive", " ")
                .check("positive", "b > 0"),
        )
        .input(Input::csv("standard").header())
        .input(Input::csv("standard").header().column("", text()))
        .table(Table::standard("a").key(["x", "x"]).refresh_by(["x"]))
        .table(Table::standard("a").sql("SELECT 1").mode(Mode::Merge))
        .table(Table::consumption("b").sql("SELECT 1").refresh_by(["day"]))
        .table(
            Table::consumption("c")
                .sql("SELECT 1")
                .key(["k"])
                .refresh_by(["day"]),
        )
        .table(
            Table::consumption("d")
                .sql("SELECT 1")
                .partition_by(["Day"]),
        )
        .function(Function::scalar(
            "sum",
            [decimal(39, 0)],
            decimal(10, 11),
            |_| Err("".into()),
        ))
        .function(Function::scalar("f", [], text(), |_| Err("".into())))
        .function(Function::scalar("f", [], text(), |_| Err("".into())));
    let found: Vec<String> = transform
        .declaration()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "\
input `Readings`: it needs quotes in SQL, or means something else without them; use a lower-case letter, then lower-case letters, digits and _
input `Readings`, column `_file`: that name belongs to a column that the host adds; choose another name
input `Readings`, column `received_at`: that name belongs to a column that the host adds; choose another name
input `Readings`, column `_mine`: names that begin with _ belong to the host; choose another name
input `Readings`, column `select`: it needs quotes in SQL, or means something else without them; use a lower-case letter, then lower-case letters, digits and _
input `Readings`, column `twice`: decimal(0, 0) has a precision of 0; give it between 1 and 38 digits
input `Readings`, column `twice`: decimal(4, 5) has 5 digits after the point, of 4 in all; give it a scale between 0 and 4
input `Readings`, column `negative`: decimal(4, -1) has -1 digits after the point, of 4 in all; give it a scale between 0 and 4
input `Readings`, column `twice`: it is there more than once; keep one, or rename the others
input `Readings`, check ``: it has no name; say in words what holds: it is the reason people see on a rejected row
input `Readings`, check `positive`: it has no SQL; give a boolean expression, such as amount >= 0
input `Readings`, check `positive`: it is there more than once; keep one, or rename the others
input `standard`: it has the name of a zone, which means something else in SQL; choose another name
input `standard`: it has no columns; name them: .column(\"name\", text())
input `standard`: it has the name of a zone, which means something else in SQL; choose another name
input `standard`, column ``: it has no name; give it one
table `standard.a`: it has no SQL; give the query whose rows it holds: .sql(\"SELECT …\")
table `standard.a`, key column `x`: it is there more than once; keep one, or rename the others
table `standard.a`, refresh_by: standard tables take the rows of a run and are not computed by group; leave it out, or make this a consumption table
table `standard.a`: it is merged, but has no key to merge by; name the columns that identify a row: .key([…])
table `consumption.b`, refresh_by: the table has no key, so its groups cannot be told apart; add .key([…]) with the columns of refresh_by among them
table `consumption.c`, refresh_by column `day`: it is not part of the key, so a group is not a whole number of keys; refresh by columns of the key (k), or add it there
table `consumption.d`, partition_by column `Day`: it needs quotes in SQL, or means something else without them; use a lower-case letter, then lower-case letters, digits and _
function `sum`: SQL has a function of that name, with another meaning; choose another name
function `sum`, argument 0: decimal(39, 0) has a precision of 39; give it between 1 and 38 digits
function `sum`, result: decimal(10, 11) has 11 digits after the point, of 10 in all; give it a scale between 0 and 10
input `standard`: it is there more than once; keep one, or rename the others
table `standard.a`: it is there more than once; keep one, or rename the others
function `f`: it is there more than once; keep one, or rename the others";
    assert_eq!(found.join("\n"), expected);
}

#[test]
fn a_transform_without_inputs_and_tables_is_nonsense() {
    let problems = Transform::new().declaration().problems();
    let reasons: Vec<_> = problems
        .iter()
        .map(|problem| problem.reason.as_str())
        .collect();
    assert_eq!(reasons, ["it has no input", "it has no table"]);
}

#[test]
fn an_input_and_tables_of_both_zones_may_share_a_name() {
    let declaration = Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .table(Table::consumption("a").sql("SELECT b FROM standard.a"))
        .declaration();
    assert_eq!(declaration.problems(), []);
    assert_eq!(declaration.tables[1].zone.to_string(), "consumption");
}

#[test]
fn names_are_as_long_as_every_engine_takes_them() {
    let named = |length: usize| {
        Transform::new()
            .input(Input::csv("a".repeat(length)).header().column("b", text()))
            .table(Table::standard("a").sql("SELECT 1"))
            .declaration()
            .problems()
    };
    assert_eq!(named(63), []);
    assert_eq!(named(64)[0].reason, "its name has 64 characters");
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    prop_oneof![
        Just(ColumnType::Text),
        Just(ColumnType::Boolean),
        Just(ColumnType::Int32),
        Just(ColumnType::Int64),
        Just(ColumnType::Float64),
        Just(ColumnType::Date),
        Just(ColumnType::Timestamp),
        Just(ColumnType::Duration),
        (any::<u8>(), any::<i8>())
            .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
    ]
}

proptest! {
    #[test]
    fn a_type_is_the_same_after_arrow_and_after_json(column_type in column_type()) {
        prop_assert_eq!(ColumnType::from_arrow(&column_type.to_arrow()), Some(column_type));
        let json = serde_json::to_string(&column_type).unwrap();
        prop_assert_eq!(serde_json::from_str::<ColumnType>(&json).unwrap(), column_type);
    }

    #[test]
    fn any_text_as_a_name_is_judged_and_never_breaks(name in ".{0,80}", sql in ".{0,20}") {
        let declaration = Transform::new()
            .input(Input::csv(name.clone()).header().column(name.clone(), text()))
            .table(Table::consumption(name.clone()).sql(sql).key([name.clone()]).refresh_by([name]))
            .declaration();
        for problem in declaration.problems() {
            prop_assert!(!problem.thing.is_empty() && !problem.fix.is_empty());
        }
        let json = serde_json::to_string(&declaration).unwrap();
        prop_assert_eq!(serde_json::from_str::<Declaration>(&json).unwrap(), declaration);
    }
}

#[test]
fn a_table_is_written_with_its_mode() {
    let json = serde_json::to_value(&meters().declaration().tables[1]).unwrap();
    assert_eq!(json["mode"], "append");
    let back: TableDeclaration = serde_json::from_value(json).unwrap();
    assert_eq!((back.zone, back.mode), (Zone::Standard, Mode::Append));
}

/// A transform that says everything about versions, parameters and tables that can be said.
fn ledger() -> Transform {
    Transform::new()
        .input(
            Input::csv("entries")
                .header()
                .column("id", text().required())
                .column("revision", integer())
                .column("operation", text())
                .column("amount", decimal(12, 2)),
        )
        .param(
            param("most", integer())
                .default("50")
                .about("How many rows are shown."),
        )
        .table(
            Table::standard("entries")
                .sql("SELECT id, revision, amount FROM entries")
                .key(["id"])
                .newest_by(["revision"])
                .delete_when("operation = 'D'")
                .history()
                .check(TableCheck::rows(1..))
                .check(TableCheck::unique(["id"]))
                .check(TableCheck::not_null("amount"))
                .check(TableCheck::accepted("id", ["a", "b"]))
                .check(TableCheck::range("amount", Some(0), None))
                .check(TableCheck::fresh("received_at", "36h").warn())
                .check(TableCheck::sum("amount", "SELECT 1", 0.01))
                .check(TableCheck::sql("holds", "SELECT true").named("it holds")),
        )
}

#[test]
fn everything_about_versions_parameters_and_checks_survives_json() {
    let declaration = ledger().declaration();
    assert_eq!(declaration.problems(), []);
    let json = serde_json::to_string(&declaration).unwrap();
    assert_eq!(
        serde_json::from_str::<Declaration>(&json).unwrap(),
        declaration
    );
}

#[test]
fn nonsense_about_versions_parameters_and_checks_is_found_with_the_fix() {
    let transform = Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .param(param("top", integer()).default("many"))
        .param(param("top", decimal(0, 0)))
        .table(
            Table::standard("a")
                .sql("SELECT b FROM a")
                .newest_by(["b"])
                .delete_when("b = 'x'")
                .history(),
        )
        .table(Table::standard("a_history").sql("SELECT b FROM a"))
        .table(
            Table::standard("c")
                .sql("SELECT b FROM a")
                .key(["b"])
                .delete_when(" ")
                .check(TableCheck::rows(..))
                .check(TableCheck::rows((Bound::Included(9), Bound::Excluded(3))))
                .check(TableCheck::unique(Vec::<String>::new()))
                .check(TableCheck::accepted("b", Vec::<String>::new()))
                .check(TableCheck::range::<u8>("b", None, None))
                .check(TableCheck::fresh("b", "soon"))
                .check(TableCheck::sum("b", " ", 0.1))
                .check(TableCheck::sum("b", "SELECT 1", -1.0).named("sum below nothing"))
                .check(TableCheck::sql("", " "))
                .check(TableCheck::sql("", "SELECT true")),
        );
    let problems: Vec<String> = transform
        .declaration()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "newest_by: only a standard table",
        "delete_when: only a standard table",
        "history: only a standard table",
        "table `standard.a_history`: it is there more than once",
        "table `standard.c`, delete_when: it has no SQL",
        "any number of rows passes",
        "no number is at least 9 and at most 2",
        "it names no columns",
        "no value is accepted",
        "any value passes",
        "'soon' is no length of time",
        "'-1' is no tolerance",
        "check ``: it has no name",
        "check ``: it has no SQL",
        "check ``: it is there more than once",
        "parameter top is integer, and 'many' is none",
        "parameter `top`: decimal(0, 0) has a precision of 0",
        "parameter `top`: it is there more than once",
    ];
    for wanted in expected {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "nothing says '{wanted}': {problems:#?}"
        );
    }
}
