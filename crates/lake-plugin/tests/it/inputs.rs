//! What an author says about files and values, what becomes of it, and what is wrong with it.

use lake_plugin::prelude::*;
use lake_plugin::{
    ColumnDeclaration, ColumnType, Declaration, InputDeclaration, InputFormat, InputType,
    NestedType, ValueRules,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json as object};

/// The declaration of a transform with these inputs.
fn declared(inputs: impl IntoIterator<Item = Input>) -> Declaration {
    let transform = Transform::new().table(Table::standard("a").sql("SELECT 1"));
    let transform = inputs.into_iter().fold(transform, Transform::input);
    transform.declaration()
}

fn input(input: Input) -> InputDeclaration {
    declared([input]).inputs.remove(0)
}

fn problems(of: Input) -> Vec<String> {
    let problems = declared([of]).problems();
    problems.iter().map(ToString::to_string).collect()
}

fn to_json(declared: &InputDeclaration) -> Json {
    serde_json::to_value(declared).unwrap()
}

#[test]
fn what_could_always_be_declared_is_written_as_ever() {
    let plain = Input::csv("readings")
        .header()
        .column("meter", text().required())
        .column("kwh", decimal(12, 3))
        .check("positive", "kwh > 0");
    let expected = object!({
        "name": "readings",
        "format": {"csv": {"header": true}},
        "columns": [
            {"name": "meter", "type": "text", "required": true},
            {"name": "kwh", "type": {"decimal": {"precision": 12, "scale": 3}}, "required": false},
        ],
        "checks": [{"name": "positive", "sql": "kwh > 0", "severity": "reject"}],
    });
    let written = serde_json::to_string(&input(plain.clone())).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&written).unwrap(), expected);
    // The digest of a table's logic is over this text.
    assert_eq!(
        written,
        "{\"name\":\"readings\",\"format\":{\"csv\":{\"header\":true}},\"columns\":[\
         {\"name\":\"meter\",\"type\":\"text\",\"required\":true},\
         {\"name\":\"kwh\",\"type\":{\"decimal\":{\"precision\":12,\"scale\":3}},\"required\":false}],\
         \"checks\":[{\"name\":\"positive\",\"sql\":\"kwh > 0\",\"severity\":\"reject\"}]}"
    );
}

/// An input that says everything that can be said of delimited text.
fn everything() -> Input {
    Input::csv("sales")
        .header()
        .delimiter(';')
        .quote('\'')
        .escape('\\')
        .comment('#')
        .encoding(Encoding::Latin1)
        .missing_columns(MissingColumns::Null)
        .extra_columns(ExtraColumns::Ignore)
        .nulls(["NULL", "\\N"])
        .trim()
        .zone("Europe/Berlin")
        .decimal_separator(',')
        .group_separator('.')
        .column("shop", text().required().nulls(["-"]))
        .column(
            "sold_at",
            timestamp()
                .required()
                .formats(["%d.%m.%Y %H:%M"])
                .ambiguous(Ambiguous::Earliest)
                .nonexistent(Nonexistent::Shift),
        )
        .column("day", date().formats(["%d.%m.%Y"]).required())
        .column("paid", boolean().spellings(["ja", "1"], ["nein", "0"]))
        .column("amount", decimal(12, 2).required())
        .column("note", text().whitespace(Whitespace::Keep))
        .column("more", json())
        .column("year", integer().from_path())
}

fn nested() -> Input {
    Input::ndjson("events").column(
        "payload",
        structure()
            .field(
                "user",
                structure().field("id", integer().required()).required(),
            )
            .field("tags", list(text().required()))
            .field("labels", map(timestamp().zone("Asia/Tokyo")))
            .field("rest", json()),
    )
}

#[test]
fn everything_about_inputs_survives_json() {
    let all = [
        everything(),
        nested(),
        Input::tsv("tsv").no_quote().column("a", text()),
        Input::json("json").column("a", list(structure().field("b", float()))),
        Input::parquet("parquet").column("a", map(list(int32()))),
    ];
    let declaration = declared(all);
    assert_eq!(declaration.problems(), []);
    let json = serde_json::to_string(&declaration).unwrap();
    assert_eq!(
        serde_json::from_str::<Declaration>(&json).unwrap(),
        declaration
    );
}

#[test]
fn what_an_author_says_is_in_the_json_under_its_own_name() {
    let written = to_json(&input(everything()));
    assert_eq!(
        written["format"],
        object!({"csv": {
            "header": true,
            "delimiter": ";",
            "quote": {"with": "'"},
            "escape": "\\",
            "comment": "#",
        }})
    );
    assert_eq!(written["encoding"], "latin1");
    assert_eq!(written["nulls"], object!(["NULL", "\\N"]));
    assert_eq!(written["missing_columns"], "null");
    assert_eq!(
        written["columns"][1],
        object!({
            "name": "sold_at",
            "type": "timestamp",
            "required": true,
            "formats": ["%d.%m.%Y %H:%M"],
            "ambiguous": "earliest",
            "nonexistent": "shift",
        })
    );
    assert_eq!(written["columns"][7]["from_path"], true);
    let nested = to_json(&input(nested()));
    assert_eq!(
        nested["columns"][0]["type"]["struct"][1],
        object!({
            "name": "tags",
            "type": {"list": {"type": "text", "required": true}},
            "required": false,
        })
    );
}

#[test]
fn a_type_that_there_is_not_is_refused_with_those_that_there_are() {
    let column = r#"{"name": "a", "type": "integer"}"#;
    let error = serde_json::from_str::<ColumnDeclaration>(column).unwrap_err();
    assert!(error.to_string().contains("\"int64\""), "{error}");
}

#[test]
fn what_a_column_says_goes_before_what_its_input_says() {
    let input = input(everything());
    let rules = |name: &str| {
        let column = input.columns.iter().find(|column| column.name == name);
        let column = column.unwrap();
        column.rules.or(&input.rules).for_type(&column.column_type)
    };
    assert_eq!(rules("shop").nulls, Some(vec!["-".to_owned()]));
    assert_eq!(rules("note").whitespace, Some(Whitespace::Keep));
    assert_eq!(rules("day").whitespace, Some(Whitespace::Trim));
    assert_eq!(rules("sold_at").zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(rules("amount").decimal_separator, Some(','));
    // What is said for all columns is for those that it fits.
    assert_eq!(rules("shop").decimal_separator, None);
    assert_eq!(rules("day").zone, None);
    assert_eq!(rules("year").group_separator, Some('.'));
}

#[test]
fn a_format_knows_what_is_between_values_where_the_author_does_not_say() {
    let of = |of: Input| {
        let format = input(of).format;
        (format.delimiter(), format.quote(), format.is_by_place())
    };
    assert_eq!(of(Input::csv("a")), (',', Some('"'), true));
    assert_eq!(of(Input::csv("a").header()), (',', Some('"'), false));
    assert_eq!(of(Input::csv("a").no_quote()), (',', None, true));
    assert_eq!(of(Input::tsv("a")), ('\t', None, true));
    assert_eq!(
        of(Input::tsv("a").quote('"').delimiter('|')),
        ('|', Some('"'), true)
    );
    assert!(matches!(
        input(Input::json("a")).format,
        InputFormat::Json(_)
    ));
}

#[test]
fn a_nested_type_is_named_as_an_author_reads_it() {
    let shown = input(nested()).columns[0].column_type.to_string();
    assert_eq!(
        shown,
        "struct of (user struct of (id integer required) required, tags list of text required, \
         labels map of timestamp, rest json)"
    );
}

/// Each input has these problems, and no others.
#[track_caller]
fn assert_problems(of: Input, expected: &[&str]) {
    let found = problems(of);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, expected) in found.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem}\nhas no\n{expected}");
    }
}

#[test]
fn a_dialect_that_contradicts_itself_is_found() {
    let csv = || Input::csv("a").header().column("b", text());
    assert_problems(
        csv().delimiter('"'),
        &["input `a`, quote: it is '\"', and so is the delimiter; choose another one"],
    );
    assert_problems(
        csv().delimiter('§').comment('\n').escape('"'),
        &[
            "input `a`, delimiter: it is '§', and has to be one ASCII character",
            "input `a`, escape: it is '\"', and so is the quote",
            "input `a`, comment: it is '\\n', and has to be one ASCII character",
        ],
    );
    // Without quoting, a quote is a character like any other.
    assert_problems(csv().no_quote().delimiter('"'), &[]);
}

#[test]
fn what_only_delimited_text_has_is_refused_elsewhere() {
    assert_problems(
        Input::ndjson("a")
            .header()
            .delimiter(';')
            .column("b", text()),
        &[
            "input `a`, header: only delimited text has one; leave it out, or say Input::csv(…)",
            "input `a`, delimiter: only delimited text has one",
        ],
    );
    assert_problems(
        Input::parquet("a")
            .quote('\'')
            .encoding(Encoding::Utf16)
            .column("b", text()),
        &[
            "input `a`, quote: only delimited text has one",
            "input `a`, encoding: Parquet says itself how its text is encoded",
        ],
    );
}

#[test]
fn columns_cannot_be_missing_where_they_have_no_names() {
    assert_problems(
        Input::csv("a")
            .missing_columns(MissingColumns::Null)
            .extra_columns(ExtraColumns::Fail)
            .column("b", text()),
        &[
            "input `a`, missing_columns: its files have no header",
            "input `a`, extra_columns: its files have no header",
        ],
    );
    assert_problems(Input::tsv("a").column("b", text()), &[]);
}

#[test]
fn delimited_text_has_no_nested_values() {
    assert_problems(
        Input::csv("a")
            .header()
            .column("b", list(text()))
            .column("c", structure().field("d", text()))
            .column("e", json()),
        &[
            "input `a`, column `b`: it is a list of text, which delimited text cannot say; declare \
             it as json()",
            "input `a`, column `c`: it is a struct of (d text), which delimited text cannot say",
        ],
    );
}

#[test]
fn rules_for_values_of_another_type_are_found() {
    assert_problems(
        Input::csv("a")
            .column("b", integer().formats(["%Y-%m-%d"]))
            .column("c", text().spellings(["ja"], ["nein"]))
            .column("d", date().zone("UTC"))
            .column("e", date().decimal_separator(','))
            .column("f", boolean().group_separator('.'))
            .column("g", text().ambiguous(Ambiguous::Latest)),
        &[
            "input `a`, column `b`, formats: that is for a date or a timestamp, and this is integer",
            "input `a`, column `c`, spellings: that is for a boolean, and this is text",
            "input `a`, column `d`, zone: that is for a timestamp, and this is date",
            "input `a`, column `e`, decimal_separator: that is for a number, and this is date",
            "input `a`, column `f`, group_separator: that is for a number, and this is boolean",
            "input `a`, column `g`, ambiguous: that is for a timestamp, and this is text",
        ],
    );
    assert_problems(
        Input::csv("a").formats(["%Y"]).column("b", text()),
        &["input `a`: it says formats for all of its columns; say them of each date and timestamp"],
    );
}

#[test]
fn spellings_with_two_meanings_are_found() {
    assert_problems(
        Input::csv("a")
            .nulls(["none", "NO"])
            .column("b", boolean().spellings(["yes", "No"], ["no", ""]))
            .column("c", boolean().spellings(["1"], Vec::<String>::new()))
            .column("d", boolean().nulls(["false"]))
            .column("e", boolean().spellings([" ja"], ["nein"]))
            .column("f", boolean()),
        &[
            "input `a`, column `b`, spelling 'No': it is NULL, and true or false; give it one",
            "input `a`, column `b`, spelling 'no': it is NULL",
            "input `a`, column `b`, spellings: an empty value is NULL",
            "input `a`, column `b`, spelling 'No': it is both true and false",
            "input `a`, column `c`, spellings: only one of true and false has a spelling",
            "input `a`, column `d`, spelling 'false': it is NULL",
            "input `a`, column `e`, spelling ' ja': spaces around a value are ignored",
        ],
    );
}

#[test]
fn times_that_cannot_be_told_are_found() {
    assert_problems(
        Input::csv("a")
            .column("b", timestamp().formats(["%H:%M", "%d.%m.%Y %H:%M", "%s"]))
            .column("c", date().formats(["%Y %m"]))
            .column("d", timestamp().ambiguous(Ambiguous::Latest))
            .column("e", timestamp().zone("+02:00"))
            .column(
                "f",
                timestamp().formats(["%-d/%-m/%Y", "%Y-%j", "100 %% %F"]),
            ),
        &[
            "input `a`, column `b`, format '%H:%M': it does not say which day it is; write it as in",
            "input `a`, column `c`, format '%Y %m': it does not say which day",
            "input `a`, column `d`: it says what times are that a clock shows twice or never, and \
             not whose clock; say .zone(",
            "input `a`, column `e`, zone '+02:00': the IANA database has no such name",
        ],
    );
}

#[test]
fn separators_that_numbers_have_themselves_are_found() {
    assert_problems(
        Input::csv("a")
            .column("b", decimal(9, 2).group_separator('.'))
            .column("c", float().decimal_separator('e'))
            .column(
                "d",
                decimal(9, 2).decimal_separator(',').group_separator(','),
            )
            .column("e", integer().group_separator('-'))
            .column(
                "f",
                decimal(9, 2).decimal_separator(',').group_separator('.'),
            ),
        &[
            "input `a`, column `b`, group_separator: it is '.', and so is what is before the \
             fraction; say .decimal_separator(',') too",
            "input `a`, column `c`, decimal_separator: 'e' can be a part of a number itself",
            "input `a`, column `d`, group_separator: it is ','",
            "input `a`, column `e`, group_separator: '-' can be a part of a number",
        ],
    );
}

#[test]
fn nested_columns_are_looked_into() {
    assert_problems(
        Input::json("a")
            .column("b", structure())
            .column(
                "c",
                structure()
                    .field("a b", text())
                    .field("d", text())
                    .field("d", decimal(0, 0))
                    .field("", text()),
            )
            .column("e", list(duration()))
            .column("f", map(integer().from_path()))
            .column("g", list(text()).from_path())
            .column("h", list(text()).formats(["%F"])),
        &[
            "input `a`, column `b`: it is a struct without fields; name them: structure().field(",
            "input `a`, column `c`, field `a b`: its name has a ' '",
            "input `a`, column `c`, field ``: it has no name",
            "input `a`, column `c`, field `d`: it is there more than once",
            "input `a`, column `c`, field `d`: decimal(0, 0) has a precision of 0",
            "input `a`, column `e`, element: lengths of time are for functions",
            "input `a`, column `f`, value: only a column can come from the path",
            "input `a`, column `g`: a part of a path is no list of text",
            "input `a`, column `h`, formats: that is for a date or a timestamp, and this is list",
        ],
    );
    // Files call fields what they like; the columns of tables are a matter of SQL.
    let camel = structure().field("userId", text()).field("@type", text());
    assert_problems(Input::json("a").column("b", camel), &[]);
}

#[test]
fn an_input_reads_something_from_its_files() {
    assert_problems(
        Input::csv("a").column("year", integer().from_path()),
        &["input `a`: all of its columns come from the path"],
    );
}

fn scalar() -> impl Strategy<Value = InputType> {
    prop_oneof![
        Just(ColumnType::Text),
        Just(ColumnType::Boolean),
        Just(ColumnType::Timestamp),
        (1..=38_u8, 0..=9_i8)
            .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
    ]
    .prop_map(InputType::Scalar)
}

fn rules() -> impl Strategy<Value = ValueRules> {
    (
        proptest::option::of(proptest::collection::vec(".{0,5}", 0..3)),
        proptest::collection::vec(".{0,9}", 0..3),
        proptest::option::of(".{0,9}"),
        proptest::option::of(any::<char>()),
    )
        .prop_map(|(nulls, formats, zone, separator)| ValueRules {
            nulls,
            formats,
            zone,
            decimal_separator: separator,
            ..ValueRules::default()
        })
}

fn column(
    column_type: impl Strategy<Value = InputType>,
) -> impl Strategy<Value = ColumnDeclaration> {
    (".{0,9}", column_type, any::<bool>(), rules()).prop_map(
        |(name, column_type, required, rules)| ColumnDeclaration {
            named: None,
            name,
            column_type,
            required,
            from_path: false,
            rules,
        },
    )
}

fn input_type() -> impl Strategy<Value = InputType> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            Just(InputType::Nested(NestedType::Json)),
            proptest::collection::vec(column(inner.clone()), 0..3)
                .prop_map(|fields| InputType::Nested(NestedType::Struct(fields))),
            column(inner.clone()).prop_map(|c| InputType::Nested(NestedType::List(Box::new(c)))),
            column(inner).prop_map(|c| InputType::Nested(NestedType::Map(Box::new(c)))),
        ]
    })
}

proptest! {
    #[test]
    fn any_column_survives_json_and_is_judged(column in column(input_type())) {
        let json = serde_json::to_string(&column).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ColumnDeclaration>(&json).unwrap(), &column);
        let mut declaration = declared([Input::json("a")]);
        declaration.inputs[0].columns.push(column);
        for problem in declaration.problems() {
            prop_assert!(!problem.thing.is_empty() && !problem.fix.is_empty());
        }
    }
}
