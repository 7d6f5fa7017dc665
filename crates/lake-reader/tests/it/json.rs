//! What JSON values become in the columns that are declared for them.

use std::sync::Arc;

use lake_reader::{
    Column, ColumnType, ExtraColumns, Format, Layout, Options, Reader, Rules, Warning, Whitespace,
};

use crate::support::{Row, cells, lines, read_as, rows_of};

const NO_FAULTS: &[String] = &[];

fn list(element: Column) -> ColumnType {
    ColumnType::List(Arc::new(element))
}

fn map(value: Column) -> ColumnType {
    ColumnType::Map(Arc::new(value))
}

fn structure(fields: Vec<Column>) -> ColumnType {
    ColumnType::Struct(fields.into())
}

fn rows_as(format: Format, file: impl AsRef<[u8]>, columns: &[Column]) -> Vec<Row> {
    let layout = Layout::new(format, columns);
    let blocks = read_as(&file.as_ref().to_vec(), &layout, Options::default());
    blocks.iter().flat_map(rows_of).collect()
}

fn rows(file: impl AsRef<[u8]>, columns: &[Column]) -> Vec<Row> {
    rows_as(Format::NdJson, file, columns)
}

/// The only cell of the only row for one column of this type, or the only fault.
fn value(data_type: ColumnType, value: &str) -> String {
    let rows = rows(format!("{{\"v\":{value}}}"), &[Column::new("v", data_type)]);
    assert_eq!(rows.len(), 1);
    if rows[0].faults.is_empty() {
        return rows[0].cells.clone();
    }
    assert_eq!(rows[0].cells, "∅");
    rows[0].faults.join("; ")
}

const DECIMAL: ColumnType = ColumnType::Decimal {
    precision: 12,
    scale: 3,
};

#[test]
fn fields_are_found_by_name_in_any_order() {
    let columns = [
        Column::new("id", ColumnType::Int64),
        Column::new("name", ColumnType::Text),
        Column::new("é", ColumnType::Boolean),
    ];
    let file = concat!(
        "{\"id\": 1, \"name\": \"a\", \"é\": true}\n",
        "{\"\\u00e9\": false, \"name\": \"b\", \"id\": 2}\r\n",
        "\n  \t\n",
        "  {\"name\": null}  \n",
        "{}",
    );
    let rows = rows(file, &columns);
    assert_eq!(cells(&rows), ["1|a|true", "2|b|false", "∅|∅|∅", "∅|∅|∅"]);
    assert_eq!(lines(&rows), [1, 2, 5, 6]);
    assert_eq!(rows[2].raw, "{\"name\": null}");
    assert!(rows.iter().all(|row| row.faults.is_empty()));
}

#[test]
fn whole_numbers_are_exact_in_any_notation() {
    assert_eq!(
        value(ColumnType::Int64, "9007199254740993"),
        "9007199254740993"
    );
    assert_eq!(
        value(ColumnType::Int64, "-9223372036854775808"),
        i64::MIN.to_string()
    );
    assert_eq!(value(ColumnType::Int64, "1.0"), "1");
    assert_eq!(value(ColumnType::Int64, "1e3"), "1000");
    assert_eq!(
        value(ColumnType::Int32, "2147483648e0"),
        "type: '2147483648e0' does not fit int32"
    );
    assert_eq!(
        value(ColumnType::Int64, "1.5"),
        "type: '1.5' is not an int64"
    );
    assert_eq!(
        value(ColumnType::Int64, "9223372036854775808"),
        "type: '9223372036854775808' does not fit int64"
    );
}

#[test]
fn decimals_never_pass_through_a_float() {
    assert_eq!(value(DECIMAL, "0.1"), "0.100");
    assert_eq!(value(DECIMAL, "123456789.123"), "123456789.123");
    assert_eq!(value(DECIMAL, "-1.25e2"), "-125.000");
    assert_eq!(value(DECIMAL, "0.30000"), "0.300");
    assert_eq!(
        value(DECIMAL, "0.1234"),
        "type: '0.1234' has more than 3 decimal places"
    );
    assert_eq!(
        value(DECIMAL, "1e9"),
        "type: '1e9' does not fit decimal(12, 3)"
    );
    let widest = ColumnType::Decimal {
        precision: 38,
        scale: 0,
    };
    assert_eq!(value(widest, &"9".repeat(38)), "9".repeat(38));
}

#[test]
fn floats_are_finite() {
    assert_eq!(value(ColumnType::Float64, "-1.5e3"), "-1500.0");
    assert_eq!(value(ColumnType::Float64, "1"), "1.0");
    assert_eq!(
        value(ColumnType::Float64, "1e999"),
        "type: '1e999' does not fit float64"
    );
}

#[test]
fn a_string_is_what_the_same_text_is_in_a_delimited_file() {
    assert_eq!(value(DECIMAL, "\"12.5\""), "12.500");
    assert_eq!(value(ColumnType::Int64, "\" 7 \""), "7");
    assert_eq!(value(ColumnType::Boolean, "\"TRUE\""), "true");
    assert_eq!(value(ColumnType::Date, "\"2026-03-01\""), "2026-03-01");
    assert_eq!(
        value(ColumnType::Timestamp, "\"2026-03-01T05:00:00.25+02:00\""),
        "2026-03-01T03:00:00.250"
    );
    assert_eq!(value(ColumnType::Int64, "\"\""), "∅");
    assert_eq!(
        value(DECIMAL, "\"a lot\""),
        "type: 'a lot' is not a decimal(12, 3)"
    );
    assert_eq!(
        value(ColumnType::Int64, "\"1e3\""),
        "type: '1e3' is not an int64"
    );
    assert_eq!(
        value(ColumnType::Date, "\"2026-02-30\""),
        "type: '2026-02-30' is not a date: the month has no day 30"
    );
}

#[test]
fn text_is_only_strings_and_means_its_characters() {
    assert_eq!(
        value(ColumnType::Text, r#""a\tb\u0000\ud83d\ude00é""#),
        "a\tb\0😀é"
    );
    assert_eq!(value(ColumnType::Text, "\" x \""), " x ");
    assert_eq!(value(ColumnType::Text, "\"\""), "");
    assert_eq!(
        value(ColumnType::Text, "5"),
        "type: '5' is not text: it is a number"
    );
    assert_eq!(
        value(ColumnType::Text, "{\"a\": [1]}"),
        "type: '{\"a\": [1]}' is not text: it is an object"
    );
    assert_eq!(
        value(ColumnType::Text, r#""x\ud83d""#),
        r"utf-8: 'x\ud83d' has half of a surrogate pair, which is no character"
    );
}

#[test]
fn a_value_of_another_kind_says_what_it_is() {
    assert_eq!(
        value(ColumnType::Int64, "true"),
        "type: 'true' is not an int64: it is a boolean"
    );
    assert_eq!(
        value(ColumnType::Boolean, "1"),
        "type: '1' is not a boolean (true or false)"
    );
    assert_eq!(
        value(DECIMAL, "[1]"),
        "type: '[1]' is not a decimal(12, 3): it is an array"
    );
    assert_eq!(
        value(ColumnType::Timestamp, "1772341200"),
        "type: '1772341200' is not a timestamp (YYYY-MM-DDTHH:MM:SS)"
    );
    let texts = list(Column::new("element", ColumnType::Text));
    assert_eq!(
        value(texts, "\"a\""),
        "type: '\"a\"' is not a list of text: it is a string"
    );
    let numbers = map(Column::new("value", ColumnType::Int64));
    assert_eq!(
        value(numbers, "[]"),
        "type: '[]' is not a map of int64: it is an array"
    );
    assert_eq!(
        value(structure(vec![]), "3"),
        "type: '3' is not a struct: it is a number"
    );
}

#[test]
fn json_is_any_value_in_its_shortest_form() {
    assert_eq!(
        value(ColumnType::Json, "{ \"b\" : [ 1.0 , \"x  y\" ], \"a\":{} }"),
        "{\"b\":[1.0,\"x  y\"],\"a\":{}}"
    );
    assert_eq!(value(ColumnType::Json, "1e5"), "1e5");
    assert_eq!(value(ColumnType::Json, "\"text\""), "\"text\"");
    assert_eq!(value(ColumnType::Json, "null"), "∅");
}

fn event() -> Vec<Column> {
    let item = structure(vec![
        Column::new("sku", ColumnType::Text).required(),
        Column::new("price", DECIMAL),
    ]);
    let user = structure(vec![
        Column::new("id", ColumnType::Int64).required(),
        Column::new("tags", list(Column::new("element", ColumnType::Text))),
    ]);
    vec![
        Column::new("payload", structure(vec![Column::new("user", user)])),
        Column::new("items", list(Column::new("element", item))),
        Column::new(
            "counts",
            map(Column::new("value", ColumnType::Int64).required()),
        ),
    ]
}

#[test]
fn nested_values_become_structs_lists_and_maps() {
    let file = concat!(
        r#"{"payload":{"user":{"id":7,"tags":["a",null,"b"]}},"#,
        r#""items":[{"sku":"x","price":1.5},{"price":2,"sku":"y"}],"counts":{"in":1,"out":2}}"#,
        "\n",
        r#"{"payload":{},"items":[],"counts":{}}"#,
        "\n",
        r#"{"payload":null,"items":[null]}"#,
        "\n",
    );
    let rows = rows(file, &event());
    assert_eq!(
        cells(&rows),
        [
            "{user: {id: 7, tags: [a, ∅, b]}}|[{sku: x, price: 1.500}, {sku: y, price: 2.000}]\
             |{in: 1, out: 2}",
            "{user: ∅}|[]|{}",
            "∅|[∅]|∅",
        ]
    );
    assert!(rows.iter().all(|row| row.faults.is_empty()));
}

#[test]
fn every_wrong_value_has_its_path() {
    let file = r#"{"payload":{"user":{"tags":["a",5,{}]}},"items":[{"price":"x"},{"sku":"y","price":1e99}],"counts":{"in":null,"a b":"?"}}"#;
    let rows = rows(file, &event());
    assert_eq!(cells(&rows), ["∅|∅|∅"]);
    assert_eq!(
        rows[0].faults,
        [
            "type: payload.user.tags[1]: '5' is not text: it is a number",
            "type: payload.user.tags[2]: '{}' is not text: it is an object",
            "required: 'payload.user.id' is required, and missing here",
            "type: items[0].price: 'x' is not a decimal(12, 3)",
            "required: 'items[0].sku' is required, and missing here",
            "type: items[1].price: '1e99' does not fit decimal(12, 3)",
            "required: 'counts.in' is required, and null here",
            "type: counts.a b: '?' is not an int64",
        ]
    );
}

#[test]
fn a_required_value_is_neither_missing_nor_null_nor_empty() {
    let columns = [
        Column::new("a", ColumnType::Text).required(),
        Column::new("b", ColumnType::Int64).required(),
        Column::new("c", ColumnType::Json).required(),
    ];
    let rows = rows("{\"a\":\"\",\"b\":null}", &columns);
    assert_eq!(
        rows[0].faults,
        [
            "required: 'a' is required, and empty here",
            "required: 'b' is required, and null here",
            "required: 'c' is required, and missing here",
        ]
    );
}

#[test]
fn a_name_that_is_there_twice_is_never_guessed_at() {
    let columns = [
        Column::new("a", ColumnType::Int64),
        Column::new("m", map(Column::new("value", ColumnType::Int64))),
        Column::new("s", structure(vec![Column::new("x", ColumnType::Int64)])),
    ];
    let file = r#"{"a":1,"a":1,"m":{"k":1,"k":2},"s":{"x":1,"\u0078":2}}"#;
    let rows = rows(file, &columns);
    assert_eq!(cells(&rows), ["∅|∅|∅"]);
    assert_eq!(
        rows[0].faults,
        [
            "json: 'a' is there more than once",
            "json: 'm.k' is there more than once",
            "json: 's.x' is there more than once",
        ]
    );
}

/// The rows of a file with undeclared fields, and the warnings about them.
fn with_extra(extra_columns: ExtraColumns, chunk_bytes: usize) -> (Vec<Row>, Vec<String>) {
    let columns = vec![
        Column::new("a", ColumnType::Int64),
        Column::new(
            "s",
            list(Column::new(
                "element",
                structure(vec![Column::new("x", ColumnType::Int64)]),
            )),
        ),
    ];
    let layout = Layout {
        extra_columns,
        ..Layout::new(Format::NdJson, columns)
    };
    let file = concat!(
        "{\"b\":1,\"a\":2,\"s\":[{\"x\":1,\"y\":2},{\"y\":3}]}\n",
        "{\"a\":3,\"b\":{\"c\":1}}\n",
        "{\"a\":4,\"s\":[{\"y\":1}]}\n",
        "{\"a\":5}\n",
    )
    .as_bytes()
    .to_vec();
    let options = Options {
        chunk_bytes,
        ..Options::default()
    };
    let reader = Reader::open(&file, &layout, options).unwrap();
    let blocks: Vec<_> = std::iter::from_fn(|| reader.next_block())
        .collect::<Result<_, _>>()
        .unwrap();
    let warnings = reader.warnings().iter().map(Warning::to_string).collect();
    (blocks.iter().flat_map(rows_of).collect(), warnings)
}

#[test]
fn undeclared_fields_are_counted_by_path() {
    for chunk_bytes in [1, 40, 1 << 20] {
        let (rows, warnings) = with_extra(ExtraColumns::Warn, chunk_bytes);
        assert!(rows.iter().all(|row| row.faults.is_empty()));
        assert_eq!(
            warnings,
            [
                "2 records have the field 'b', which is not declared and is not read",
                "2 records have the field 's[].y', which is not declared and is not read",
            ]
        );
    }
}

#[test]
fn undeclared_fields_can_be_ignored_or_faults() {
    let (rows, warnings) = with_extra(ExtraColumns::Ignore, 1 << 20);
    assert!(rows.iter().all(|row| row.faults.is_empty()));
    assert_eq!(warnings, [""; 0]);

    let (rows, warnings) = with_extra(ExtraColumns::Fail, 1 << 20);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        rows[0].faults,
        [
            "fields: 'b' is not declared",
            "fields: 's[0].y' is not declared",
            "fields: 's[1].y' is not declared",
        ]
    );
    assert_eq!(rows[1].faults, ["fields: 'b' is not declared"]);
    assert_eq!(rows[3].faults, NO_FAULTS);
}

#[test]
fn a_file_of_either_format_without_records_has_no_rows() {
    let columns = [Column::new("a", ColumnType::Int64)];
    for file in ["", "\n \r\n", "\u{FEFF}", "\u{FEFF}\n"] {
        assert_eq!(rows_as(Format::NdJson, file, &columns), []);
        assert_eq!(rows_as(Format::Json, file, &columns), []);
    }
    assert_eq!(rows_as(Format::Json, " [ ] []\n", &columns), []);
}

#[test]
fn elements_of_arrays_and_objects_side_by_side_are_records() {
    let columns = [Column::new("a", ColumnType::Int64)];
    let file = "\u{FEFF}[{\"a\":1},\n  {\n    \"a\": 2\n  }\n] {\"a\":3}{\"a\":4}\n[\n{\"a\":5}]";
    let rows = rows_as(Format::Json, file, &columns);
    assert_eq!(cells(&rows), ["1", "2", "3", "4", "5"]);
    assert_eq!(lines(&rows), [1, 2, 5, 5, 7]);
    assert_eq!(rows[1].raw, "{\n    \"a\": 2\n  }");
    assert_eq!(rows[0].offset, 4);
    assert!(rows.iter().all(|row| row.faults.is_empty()));
}

#[test]
fn a_type_that_cannot_exist_is_refused_however_deep_it_is() {
    let impossible = ColumnType::Decimal {
        precision: 39,
        scale: 0,
    };
    let columns = vec![Column::new("a", list(Column::new("element", impossible)))];
    let layout = Layout::new(Format::NdJson, columns);
    let error = Reader::open(&Vec::new(), &layout, Options::default()).unwrap_err();
    assert!(error.to_string().contains("cannot exist"), "{error}");
}

/// The only cell of the only row for a column with these rules, or the only fault.
fn by_rules(data_type: ColumnType, rules: Rules, value: &str) -> String {
    let column = Column::new("v", data_type).with_rules(rules);
    let rows = rows(format!("{{\"v\":{value}}}"), &[column]);
    match &rows[0].faults[..] {
        [] => rows[0].cells.clone(),
        faults => faults.join("; "),
    }
}

#[test]
fn strings_obey_the_rules_of_their_column_and_numbers_are_json() {
    let comma = Rules {
        decimal_separator: Some(','),
        group_separator: Some('.'),
        ..Rules::default()
    };
    assert_eq!(by_rules(DECIMAL, comma.clone(), "\"1.234,5\""), "1234.500");
    assert_eq!(by_rules(DECIMAL, comma, "1234.5"), "1234.500");

    let german = Rules {
        formats: vec!["%d.%m.%Y".to_owned()],
        ..Rules::default()
    };
    assert_eq!(
        by_rules(ColumnType::Date, german.clone(), "\"01.03.2026\""),
        "2026-03-01"
    );
    assert!(by_rules(ColumnType::Date, german, "\"2026-03-01\"").starts_with("type: "));

    let seconds = Rules {
        formats: vec!["%s".to_owned()],
        ..Rules::default()
    };
    assert_eq!(
        by_rules(ColumnType::Timestamp, seconds, "1772341200"),
        "2026-03-01T05:00:00"
    );

    let yes = Rules {
        true_values: vec!["yes".to_owned(), "1".to_owned()],
        false_values: vec!["no".to_owned(), "0".to_owned()],
        ..Rules::default()
    };
    for (value, expected) in [("\"Yes\"", "true"), ("0", "false"), ("true", "true")] {
        assert_eq!(by_rules(ColumnType::Boolean, yes.clone(), value), expected);
    }
}

#[test]
fn spellings_of_null_are_null_in_strings_and_numbers() {
    let rules = Rules {
        nulls: vec!["n/a".to_owned(), "-999".to_owned()],
        ..Rules::default()
    };
    for data_type in [ColumnType::Int64, DECIMAL] {
        for null in ["\"n/a\"", "\" n/a \"", "-999", "\"-999\""] {
            assert_eq!(
                by_rules(data_type.clone(), rules.clone(), null),
                "∅",
                "{null}"
            );
        }
        assert_eq!(
            by_rules(data_type, rules.clone(), "-9990")
                .split('.')
                .next(),
            Some("-9990")
        );
    }
    assert_eq!(by_rules(ColumnType::Text, rules.clone(), "\"n/a\""), "∅");
    assert_eq!(
        by_rules(ColumnType::Text, rules.clone(), "\" n/a\""),
        " n/a"
    );
    assert_eq!(by_rules(ColumnType::Json, rules.clone(), "\"n/a\""), "∅");
    assert_eq!(
        by_rules(ColumnType::Json, rules.clone(), "[\"n/a\"]"),
        "[\"n/a\"]"
    );

    let column = Column::new("v", ColumnType::Text)
        .required()
        .with_rules(rules);
    let rows = rows("{\"v\":\"n/a\"}", &[column]);
    assert_eq!(
        rows[0].faults,
        ["required: 'v' is required, and 'n/a' stands for NULL"]
    );
}

#[test]
fn whitespace_in_strings_is_what_the_rules_say() {
    let rules = |whitespace| Rules {
        whitespace,
        ..Rules::default()
    };
    let (trim, keep) = (rules(Whitespace::Trim), rules(Whitespace::Keep));
    assert_eq!(by_rules(ColumnType::Text, trim.clone(), "\" a \""), "a");
    assert_eq!(by_rules(ColumnType::Text, trim, "\"  \""), "");
    assert_eq!(
        by_rules(ColumnType::Int64, keep, "\" 7\""),
        "type: ' 7' is not an int64"
    );
}

#[test]
fn rules_that_contradict_each_other_are_refused_with_their_path() {
    let rules = Rules {
        true_values: vec!["1".to_owned()],
        false_values: vec!["1".to_owned()],
        ..Rules::default()
    };
    let flag = Column::new("flag", ColumnType::Boolean).with_rules(rules);
    let columns = vec![Column::new("user", structure(vec![flag]))];
    let layout = Layout::new(Format::Json, columns);
    let error = Reader::open(&Vec::new(), &layout, Options::default()).unwrap_err();
    assert!(error.to_string().contains("'user.flag'"), "{error}");
}
