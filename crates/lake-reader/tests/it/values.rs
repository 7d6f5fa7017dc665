//! Values, and what is said about those that are not of their type.

use lake_reader::{Column, ColumnType};

use crate::support::{cells, rows};

const KWH: ColumnType = ColumnType::Decimal {
    precision: 12,
    scale: 3,
};

/// The cell and the faults of one value in an optional column.
fn one(data_type: ColumnType, value: &str) -> (String, Vec<String>) {
    let columns = [Column::new("a", data_type)];
    let row = rows(format!("a,b\n{value},\n"), &columns).remove(0);
    (row.cells, row.faults)
}

fn good(data_type: ColumnType, value: &str) -> String {
    let (cell, faults) = one(data_type, value);
    assert!(faults.is_empty(), "{faults:?}");
    cell
}

fn bad(data_type: ColumnType, value: &str) -> String {
    let (cell, faults) = one(data_type, value);
    assert_eq!(cell, "∅");
    faults.join("; ")
}

const ALL: [ColumnType; 9] = [
    ColumnType::Text,
    ColumnType::Json,
    ColumnType::Boolean,
    ColumnType::Int32,
    ColumnType::Int64,
    ColumnType::Float64,
    KWH,
    ColumnType::Date,
    ColumnType::Timestamp,
];

#[test]
fn an_empty_field_is_null_in_every_type() {
    for data_type in ALL {
        assert_eq!(good(data_type, ""), "∅");
    }
}

#[test]
fn a_quoted_empty_field_is_the_empty_string_in_text_and_null_elsewhere() {
    for data_type in ALL {
        let expected = if data_type == ColumnType::Text {
            ""
        } else {
            "∅"
        };
        assert_eq!(good(data_type, "\"\""), expected);
    }
}

#[test]
fn a_required_column_takes_neither_null_nor_the_empty_string() {
    for data_type in ALL {
        let columns = [Column::new("a", data_type).required()];
        for row in rows("a,b\n,1\n\"\",1\n", &columns) {
            assert_eq!(row.cells, "∅");
            assert_eq!(row.faults, ["required: 'a' is required, and empty here"]);
        }
    }
}

#[test]
fn values_may_be_padded_and_quoted_but_text_is_kept_as_it_is() {
    assert_eq!(good(ColumnType::Int32, " 7\t"), "7");
    assert_eq!(good(ColumnType::Int32, "\" 7 \""), "7");
    assert_eq!(good(ColumnType::Int32, "   "), "∅");
    assert_eq!(good(ColumnType::Boolean, " True "), "true");
    assert_eq!(good(KWH, " 1.25 "), "1.250");
    assert_eq!(good(ColumnType::Text, " x "), " x ");
    assert_eq!(good(ColumnType::Text, "  "), "  ");
}

#[test]
fn numbers_are_exact() {
    assert_eq!(
        good(ColumnType::Int64, "-9223372036854775808"),
        "-9223372036854775808"
    );
    assert_eq!(good(KWH, "999999999.999"), "999999999.999");
    assert_eq!(good(KWH, "-0.0010000"), "-0.001");
    assert_eq!(good(ColumnType::Float64, "1e-3"), "0.001");
    let wide = ColumnType::Decimal {
        precision: 38,
        scale: 10,
    };
    let number = "1234567890123456789012345678.0123456789";
    assert_eq!(good(wide, number), number);
}

#[test]
fn json_is_kept_as_it_is_written_and_has_to_be_json() {
    assert_eq!(good(ColumnType::Json, " [ {} ]\t"), "[ {} ]");
    assert_eq!(
        good(ColumnType::Json, "\"{\"\"a\"\": [1.0, null, \"\"b,\"\"]}\""),
        "{\"a\": [1.0, null, \"b,\"]}"
    );
    assert_eq!(good(ColumnType::Json, "null"), "null");
    assert_eq!(
        bad(ColumnType::Json, "{'a': 1}"),
        "type: '{'a': 1}' is not json: a name in quotes is expected at byte 2"
    );
    assert_eq!(
        bad(ColumnType::Json, "[1]]"),
        "type: '[1]]' is not json: nothing more is expected at byte 4"
    );
}

#[test]
fn times_are_utc() {
    assert_eq!(
        good(ColumnType::Timestamp, "2026-03-01 07:00:00.5+02:00"),
        "2026-03-01T05:00:00.500"
    );
    assert_eq!(good(ColumnType::Date, "0001-01-01"), "0001-01-01");
}

#[test]
fn messages_say_what_was_wanted_and_why_it_is_not() {
    use ColumnType::{Boolean, Date, Float64, Int32, Int64, Timestamp};
    for (data_type, value, message) in [
        (KWH, "abc", "'abc' is not a decimal(12, 3)"),
        (KWH, "1.2345", "'1.2345' has more than 3 decimal places"),
        (
            KWH,
            "9999999999",
            "'9999999999' does not fit decimal(12, 3)",
        ),
        (
            KWH,
            "1e3",
            "'1e3' is not a decimal(12, 3): it has an exponent",
        ),
        (Int32, "2147483648", "'2147483648' does not fit int32"),
        (Int64, "1.0", "'1.0' is not an int64"),
        (Float64, "1e400", "'1e400' does not fit float64"),
        (
            Float64,
            "nan",
            "'nan' is not a float64: only finite numbers are",
        ),
        (Boolean, "yes", "'yes' is not a boolean (true or false)"),
        (
            Date,
            "01/02/2026",
            "'01/02/2026' is not a date (YYYY-MM-DD)",
        ),
        (
            Date,
            "2026-02-30",
            "'2026-02-30' is not a date: the month has no day 30",
        ),
        (
            Timestamp,
            "2026-13-01T00:00:00Z",
            "'2026-13-01T00:00:00Z' is not a timestamp: month 13",
        ),
        (
            Timestamp,
            "2026-01-01",
            "'2026-01-01' is not a timestamp: it has no time of day",
        ),
        (
            Timestamp,
            "2016-12-31T23:59:60Z",
            "'2016-12-31T23:59:60Z' is not a timestamp: second 60, and leap seconds do not exist here",
        ),
        (
            Timestamp,
            "yesterday",
            "'yesterday' is not a timestamp (YYYY-MM-DDTHH:MM:SS)",
        ),
        (
            Timestamp,
            "2026-01-01T00:00:00.0000001",
            "'2026-01-01T00:00:00.0000001' is more precise than a microsecond",
        ),
    ] {
        assert_eq!(bad(data_type, value), format!("type: {message}"));
    }
}

#[test]
fn all_faults_of_a_record_are_listed_in_the_order_of_the_columns() {
    let columns = [
        Column::new("a", ColumnType::Int32),
        Column::new("b", ColumnType::Text).required(),
        Column::new("c", ColumnType::Date),
        Column::new("d", KWH),
    ];
    let rows = rows("d,c,b,a\nx,y,,z\n1,2026-01-01,b,1\n,,\"b\"x,2\n", &columns);
    assert_eq!(cells(&rows), ["∅|∅|∅|∅", "1|b|2026-01-01|1.000", "2|∅|∅|∅"]);
    assert_eq!(
        rows[0].faults,
        [
            "type: 'z' is not an int32",
            "required: 'b' is required, and empty here",
            "type: 'y' is not a date (YYYY-MM-DD)",
            "type: 'x' is not a decimal(12, 3)",
        ]
    );
    assert_eq!(rows[2].faults.len(), 1);
}

#[test]
fn a_long_value_is_cut_in_its_fault_and_whole_in_the_raw_text() {
    let value = "x".repeat(1000);
    let columns = [Column::new("a", ColumnType::Int32)];
    let row = rows(format!("a\n{value}\n"), &columns).remove(0);
    assert_eq!(row.raw, value);
    assert!(row.faults[0].chars().count() < 150);
}
