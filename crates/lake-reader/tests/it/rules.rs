//! Values that are written otherwise than their type usually is.

use lake_reader::{
    Ambiguous, Column, ColumnType, Layout, Nonexistent, Options, Reader, Rules, Whitespace, Zone,
};

use crate::support::{cells, rows};

const KWH: ColumnType = ColumnType::Decimal {
    precision: 12,
    scale: 3,
};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn formats(formats: &[&str]) -> Rules {
    Rules {
        formats: words(formats),
        ..Rules::default()
    }
}

fn nulls(nulls: &[&str]) -> Rules {
    Rules {
        nulls: words(nulls),
        ..Rules::default()
    }
}

fn numbers(decimal_separator: Option<char>, group_separator: Option<char>) -> Rules {
    Rules {
        decimal_separator,
        group_separator,
        ..Rules::default()
    }
}

fn whitespace(whitespace: Whitespace) -> Rules {
    Rules {
        whitespace,
        ..Rules::default()
    }
}

fn zone(name: &str, ambiguous: Ambiguous, nonexistent: Nonexistent) -> Rules {
    Rules {
        zone: Some(Zone {
            name: name.parse().unwrap(),
            ambiguous,
            nonexistent,
        }),
        ..Rules::default()
    }
}

/// The cell, or else the message of the fault, of one field as it is in the file.
fn read(data_type: &ColumnType, rules: &Rules, field: &str) -> String {
    let columns = [Column::new("a", data_type.clone()).with_rules(rules.clone())];
    let mut rows = rows(format!("a,b\n{field},\n"), &columns);
    assert_eq!(rows.len(), 1);
    let row = rows.remove(0);
    match &row.faults[..] {
        [] => row.cells,
        [fault] => {
            assert_eq!(row.cells, "∅");
            fault.clone()
        }
        several => panic!("{several:?}"),
    }
}

/// What is said when a file is opened.
fn refused(data_type: ColumnType, rules: Rules) -> String {
    let columns = vec![Column::new("a", data_type).with_rules(rules)];
    let error = Reader::open(&b"a\n".to_vec(), &Layout::csv(columns), Options::default());
    error.unwrap_err().to_string()
}

#[test]
fn declared_spellings_are_null_in_every_type_and_others_are_not() {
    let rules = nulls(&["NA", "-", "\\N", "0"]);
    for data_type in [
        ColumnType::Text,
        ColumnType::Int64,
        KWH,
        ColumnType::Date,
        ColumnType::Boolean,
    ] {
        for null in ["NA", "-", "\\N", "0", ""] {
            assert_eq!(read(&data_type, &rules, null), "∅", "{data_type} {null}");
        }
    }
    assert_eq!(read(&ColumnType::Text, &rules, "na"), "na");
    assert_eq!(read(&ColumnType::Int64, &rules, "00"), "0");
    assert_eq!(read(&ColumnType::Int64, &rules, "10"), "10");
    assert_eq!(
        read(&ColumnType::Int64, &rules, "n/a"),
        "type: 'n/a' is not an int64"
    );
}

#[test]
fn a_quoted_spelling_of_null_is_text_unless_it_is_declared_with_its_quotes() {
    let rules = nulls(&["NA"]);
    assert_eq!(read(&ColumnType::Text, &rules, "\"NA\""), "NA");
    assert_eq!(read(&ColumnType::Int32, &rules, "\"NA\""), "∅");
    assert_eq!(
        read(&ColumnType::Text, &nulls(&["NA", "\"NA\""]), "\"NA\""),
        "∅"
    );
    assert_eq!(read(&ColumnType::Text, &nulls(&["\"\""]), "\"\""), "∅");
}

#[test]
fn a_spelling_of_null_in_a_required_column_is_named() {
    let columns = [Column::new("a", ColumnType::Text)
        .required()
        .with_rules(nulls(&["NA"]))];
    let rows = rows("a\nNA\nx\n", &columns);
    assert_eq!(
        rows[0].faults,
        ["required: 'a' is required, and 'NA' stands for NULL"]
    );
    assert_eq!(cells(&rows), ["∅", "x"]);
}

#[test]
fn whitespace_is_part_of_a_value_or_not_as_declared() {
    let (trim, keep) = (whitespace(Whitespace::Trim), whitespace(Whitespace::Keep));
    assert_eq!(read(&ColumnType::Text, &trim, " x y\t"), "x y");
    assert_eq!(
        read(&ColumnType::Text, &trim, "\" x \"\"y\"\" \""),
        "x \"y\""
    );
    assert_eq!(read(&ColumnType::Text, &trim, "  "), "∅");
    assert_eq!(read(&ColumnType::Text, &trim, "\"  \""), "");
    assert_eq!(read(&ColumnType::Text, &keep, " x "), " x ");
    assert_eq!(read(&ColumnType::Int32, &trim, " 7 "), "7");
    assert_eq!(read(&ColumnType::Int32, &keep, "7"), "7");
    assert_eq!(
        read(&ColumnType::Int32, &keep, " 7"),
        "type: ' 7' is not an int32"
    );
    assert_eq!(
        read(&ColumnType::Int32, &keep, " "),
        "type: ' ' is not an int32"
    );
    let null = Rules {
        nulls: words(&["NA"]),
        ..trim
    };
    assert_eq!(read(&ColumnType::Text, &null, " NA "), "∅");
    assert_eq!(read(&ColumnType::Text, &nulls(&["NA"]), " NA "), " NA ");
    assert_eq!(read(&ColumnType::Int32, &nulls(&["NA"]), " NA "), "∅");
}

#[test]
fn booleans_are_spelled_as_declared_in_any_case_and_no_other_way() {
    let rules = Rules {
        true_values: words(&["Ja", "Да", "1"]),
        false_values: words(&["nein", "0"]),
        ..Rules::default()
    };
    for (field, cell) in [
        ("JA", "true"),
        ("да", "true"),
        ("1", "true"),
        (" Nein ", "false"),
        ("0", "false"),
    ] {
        assert_eq!(read(&ColumnType::Boolean, &rules, field), cell);
    }
    assert_eq!(
        read(&ColumnType::Boolean, &rules, "true"),
        "type: 'true' is not a boolean (Ja or Да or 1 or nein or 0)"
    );
    let flag = Rules {
        true_values: words(&["X"]),
        ..Rules::default()
    };
    assert_eq!(read(&ColumnType::Boolean, &flag, "x"), "true");
    assert_eq!(read(&ColumnType::Boolean, &flag, ""), "∅");
}

#[test]
fn numbers_have_the_declared_separators() {
    let german = numbers(Some(','), Some('.'));
    assert_eq!(read(&KWH, &german, "\"1.234,5\""), "1234.500");
    assert_eq!(
        read(&KWH, &german, "\"1.234,5678\""),
        "type: '1.234,5678' has more than 3 decimal places"
    );
    assert_eq!(
        read(&KWH, &german, "1.5"),
        "type: '1.5' is not a decimal(12, 3)"
    );
    assert_eq!(
        read(&ColumnType::Float64, &german, "\"-1.234,5e2\""),
        "-123450.0"
    );
    assert_eq!(
        read(&ColumnType::Int64, &numbers(None, Some('\'')), "1'234'567"),
        "1234567"
    );
    assert_eq!(
        read(&ColumnType::Int32, &numbers(None, Some(' ')), " 12 345 "),
        "12345"
    );
    assert_eq!(
        read(&ColumnType::Int32, &numbers(None, Some(' ')), "12 34"),
        "type: '12 34' is not an int32"
    );
    assert_eq!(
        read(
            &ColumnType::Int32,
            &numbers(None, Some(' ')),
            "3 000 000 000"
        ),
        "type: '3 000 000 000' does not fit int32"
    );
}

#[test]
fn dates_have_the_declared_forms() {
    let rules = formats(&["%d.%m.%Y", "%d %b %y"]);
    let date = |field| read(&ColumnType::Date, &rules, field);
    assert_eq!(date("31.12.2026"), "2026-12-31");
    assert_eq!(date("1.2.2026"), "2026-02-01");
    assert_eq!(date("07 Mar 26"), "2026-03-07");
    assert_eq!(
        date("30.02.2026"),
        "type: '30.02.2026' is not a date: there is no such day or time"
    );
    assert_eq!(
        date("2026-12-31"),
        "type: '2026-12-31' is not a date (%d.%m.%Y or %d %b %y)"
    );
    assert_eq!(
        date("01.01.12026"),
        "type: '01.01.12026' is not a date (%d.%m.%Y or %d %b %y)"
    );
    assert_eq!(
        date("01.01.+12026"),
        "type: '01.01.+12026' is not a date: there is no such day or time"
    );
}

#[test]
fn a_date_may_be_written_with_a_time_of_day_that_is_midnight() {
    for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %l:%M:%S %p"] {
        let rules = formats(&[format]);
        let midnight = if format.contains('p') {
            "2026-12-31 12:00:00 AM"
        } else {
            "2026-12-31 00:00:00"
        };
        assert_eq!(read(&ColumnType::Date, &rules, midnight), "2026-12-31");
        let later = midnight
            .replace(":00 ", ":01 ")
            .replace("00:00:00", "00:00:01");
        assert_eq!(
            read(&ColumnType::Date, &rules, &later),
            format!("type: '{later}' is not a date: it has a time of day")
        );
    }
}

#[test]
fn timestamps_have_the_declared_forms() {
    let at = |format: &str, field: &str| read(&ColumnType::Timestamp, &formats(&[format]), field);
    let seven = "2026-03-01T07:05:00";
    assert_eq!(at("%d.%m.%Y %H:%M", "01.03.2026 07:05"), seven);
    assert_eq!(at("%d.%m.%Y %H:%M", "1.3.2026 7:05"), seven);
    assert_eq!(at("%Y%m%d%H%M%S", "20260301070500"), seven);
    assert_eq!(at("%m/%d/%Y %I:%M:%S %p", "03/01/2026 07:05:00 AM"), seven);
    assert_eq!(at("%Y-%m-%dT%H:%M:%S%z", "2026-03-01T09:05:00+0200"), seven);
    assert_eq!(
        at("%a, %d %b %Y %T %z", "\"Sun, 01 Mar 2026 09:05:00 +0200\""),
        seven
    );
    assert_eq!(
        at("%d/%b/%Y:%T%.f", "01/Mar/2026:07:05:00.250"),
        format!("{seven}.250")
    );
    assert_eq!(
        at("%F %T%.f", "2026-03-01 07:05:00.250"),
        format!("{seven}.250")
    );
    assert_eq!(at("%F %T%.f", "2026-03-01 07:05:00"), seven);
    assert_eq!(at("%F", "2026-03-01"), "2026-03-01T00:00:00");
    assert_eq!(at("%F %H", "2026-03-01 07"), "2026-03-01T07:00:00");
    assert_eq!(at("%s", "1772348700"), seven);
    assert_eq!(
        at("%F %T%.f", "2026-03-01 07:05:00.1234567"),
        "type: '2026-03-01 07:05:00.1234567' is more precise than a microsecond"
    );
    assert_eq!(
        at("%F %T", "2026-03-01 07:05:60"),
        "type: '2026-03-01 07:05:60' is not a timestamp: second 60, and leap seconds do not exist here"
    );
    assert_eq!(
        at("%F %T", "2026-03-01 25:05:00"),
        "type: '2026-03-01 25:05:00' is not a timestamp: there is no such day or time"
    );
    assert_eq!(
        at("%F %T", "2026-03-01T07:05:00"),
        "type: '2026-03-01T07:05:00' is not a timestamp (%F %T)"
    );
}

#[test]
fn timestamps_may_be_counted_from_1970() {
    let at = |format: &str, field: &str| read(&ColumnType::Timestamp, &formats(&[format]), field);
    assert_eq!(at("epoch_s", "1772348700"), "2026-03-01T07:05:00");
    assert_eq!(at("epoch_s", "1772348700.25"), "2026-03-01T07:05:00.250");
    assert_eq!(at("epoch_ms", "1772348700250"), "2026-03-01T07:05:00.250");
    assert_eq!(at("epoch_us", "-1"), "1969-12-31T23:59:59.999999");
    assert_eq!(
        at("epoch_ms", "1.0005"),
        "type: '1.0005' is more precise than a microsecond"
    );
    assert_eq!(
        at("epoch_us", "1.5"),
        "type: '1.5' is more precise than a microsecond"
    );
    assert_eq!(
        at("epoch_s", "1772348700250"),
        "type: '1772348700250' is not a timestamp: in UTC it is outside the years 0001 to 9999"
    );
    assert_eq!(
        at("epoch_s", "today"),
        "type: 'today' is not a timestamp (epoch_s)"
    );
}

#[test]
fn a_time_without_a_zone_is_in_the_declared_one() {
    let rules = zone("Europe/Berlin", Ambiguous::Reject, Nonexistent::Reject);
    let at = |field| read(&ColumnType::Timestamp, &rules, field);
    assert_eq!(at("2026-01-15 12:00:00"), "2026-01-15T11:00:00");
    assert_eq!(at("2026-07-15 12:00"), "2026-07-15T10:00:00");
    assert_eq!(at("2026-07-15 12:00:00Z"), "2026-07-15T12:00:00");
    assert_eq!(at("2026-07-15 12:00:00+05:30"), "2026-07-15T06:30:00");
    assert_eq!(
        at("2026-10-25 02:30:00"),
        "type: '2026-10-25 02:30:00' is not a timestamp: clocks in Europe/Berlin show it twice"
    );
    assert_eq!(
        at("2026-03-29 02:30:00"),
        "type: '2026-03-29 02:30:00' is not a timestamp: clocks in Europe/Berlin skip it"
    );
    assert_eq!(
        at("0001-01-01 00:00:00"),
        "type: '0001-01-01 00:00:00' is not a timestamp: in UTC it is outside the years 0001 to 9999"
    );
    let rules = Rules {
        formats: words(&["%d.%m.%Y %H:%M", "epoch_s"]),
        ..zone("America/New_York", Ambiguous::Latest, Nonexistent::Shift)
    };
    let at = |field| read(&ColumnType::Timestamp, &rules, field);
    assert_eq!(at("01.11.2026 01:30"), "2026-11-01T06:30:00");
    assert_eq!(at("08.03.2026 02:30"), "2026-03-08T07:30:00");
    assert_eq!(at("1772348700"), "2026-03-01T07:05:00");
}

#[test]
fn rules_that_contradict_each_other_are_refused_when_a_file_is_opened() {
    let both = Rules {
        true_values: words(&["Y"]),
        false_values: words(&["N", "y"]),
        ..Rules::default()
    };
    assert_eq!(
        refused(ColumnType::Boolean, both),
        "column 'a' cannot be read as it is declared: 'y' is declared as true and as false"
    );
    assert!(
        refused(ColumnType::Boolean, nulls(&["False"]))
            .ends_with("'False' is declared as NULL and as true or false")
    );
    assert!(
        refused(KWH, numbers(Some(','), Some(',')))
            .ends_with("',' separates groups of digits and the fraction")
    );
    assert!(
        refused(KWH, numbers(None, Some('.')))
            .ends_with("'.' separates groups of digits and the fraction")
    );
    for separator in ['0', '-', 'e', '\n'] {
        let message = refused(ColumnType::Int32, numbers(None, Some(separator)));
        assert!(
            message.ends_with("cannot separate the digits of a number"),
            "{message}"
        );
    }
}

#[test]
fn forms_that_say_no_date_or_time_are_refused_when_a_file_is_opened() {
    for (data_type, format, message) in [
        (
            ColumnType::Date,
            "%d.%m.",
            "the format '%d.%m.' does not say which day it is",
        ),
        (
            ColumnType::Date,
            "today",
            "the format 'today' does not say which day it is",
        ),
        (
            ColumnType::Date,
            "epoch_s",
            "the format 'epoch_s' is a form of timestamps, not of dates",
        ),
        (
            ColumnType::Date,
            "%Q",
            "the format '%Q' is not in the notation of strftime",
        ),
        (
            ColumnType::Timestamp,
            "%H:%M",
            "the format '%H:%M' does not say which day and time it is",
        ),
        (
            ColumnType::Timestamp,
            "%F %I:%M",
            "the format '%F %I:%M' does not say which day and time it is",
        ),
        (
            ColumnType::Timestamp,
            "%F %T %Z",
            "the format '%F %T %Z' has %Z, and the name of a zone does not say its offset: use %z, or a zone",
        ),
    ] {
        let refused = refused(data_type, formats(&[format]));
        assert_eq!(
            refused,
            format!("column 'a' cannot be read as it is declared: {message}")
        );
    }
}

#[test]
fn rules_without_a_meaning_for_the_type_change_nothing() {
    let rules = Rules {
        formats: words(&["%Q"]),
        true_values: words(&["1"]),
        decimal_separator: Some('1'),
        ..zone("Asia/Tokyo", Ambiguous::Reject, Nonexistent::Reject)
    };
    assert_eq!(read(&ColumnType::Text, &rules, " 1 "), " 1 ");
}
