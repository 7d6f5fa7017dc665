//! How the columns of a file are matched to those that are declared.

use lake_reader::{Column, ColumnType, HeaderError, Layout, Options, ReadError, Reader};

use crate::support::{cells, header_error, rows, text_columns};

fn message(file: &str, names: &[&str]) -> String {
    header_error(file, &text_columns(names)).to_string()
}

#[test]
fn columns_are_found_in_any_order() {
    let rows = rows("c,a,b\n3,1,2\n", &text_columns(&["a", "b", "c"]));
    assert_eq!(cells(&rows), ["1|2|3"]);
}

#[test]
fn names_may_be_quoted_and_padded_and_an_exact_one_wins() {
    let columns = text_columns(&["a", "b", "c,d"]);
    let rows = rows("\"a\",\t b ,\"c,d\"\r\n1,2,3\n", &columns);
    assert_eq!(cells(&rows), ["1|2|3"]);
}

#[test]
fn a_name_may_be_declared_with_spaces() {
    let rows = rows(" a,b\n1,2\n", &text_columns(&[" a"]));
    assert_eq!(cells(&rows), ["1"]);
}

#[test]
fn undeclared_columns_are_warnings() {
    let file = b"a,x,\n1,2,3\n".to_vec();
    let layout = Layout::csv(text_columns(&["a"]));
    let reader = Reader::open(&file, &layout, Options::default()).unwrap();
    let warnings: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "column 'x' is not declared and is not read",
            "column 3 has no name and is not read"
        ]
    );
}

#[test]
fn every_missing_column_is_named_with_the_one_that_was_perhaps_meant() {
    assert_eq!(
        message(
            "id,Usage KWH,region\n",
            &["id", "usage_kwh", "start_time", "region"]
        ),
        "the header has no column 'usage_kwh' (perhaps 'Usage KWH' is meant), 'start_time'; \
         its columns are 'id', 'Usage KWH', 'region'"
    );
}

#[test]
fn a_declared_column_is_never_suggested_for_another() {
    assert_eq!(
        message("end_tim,x\n", &["end_tim", "end_time"]),
        "the header has no column 'end_time'; its columns are 'end_tim', 'x'"
    );
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    assert_eq!(
        message("a,b,a,\" b\"\n", &["a", "b"]),
        "the header has more than one column named 'a', 'b'; rename them"
    );
}

#[test]
fn several_columns_without_a_name_are_no_duplicates() {
    assert_eq!(cells(&rows("a,,\n1,2,3\n", &text_columns(&["a"]))), ["1"]);
}

#[test]
fn data_in_the_first_line_is_recognised() {
    assert_eq!(
        message("C1,M1,2026\n", &["customer_id", "meter_id"]),
        "the file seems to have no header: its first line is 'C1,M1,2026', \
         and none of the declared columns is in it (customer_id, meter_id)"
    );
}

#[test]
fn other_formats_are_hinted_at() {
    let names = &["a", "b"];
    assert!(message("a;b\n1;2\n", names).ends_with("separated by commas"));
    assert!(message("x,y\r1,2\r", names).ends_with("bare CR; convert them to LF"));
    assert!(message("a\0,\0b\0\n\0", names).ends_with("convert it to UTF-8"));
}

#[test]
fn an_empty_file_is_an_error_of_its_own() {
    for file in ["", "\u{FEFF}", "\n\r\n\n", "\u{FEFF}\n", "\r"] {
        let error = header_error(file, &text_columns(&["a"]));
        assert!(
            matches!(error, ReadError::Header(HeaderError::Empty)),
            "{file:?}"
        );
    }
}

#[test]
fn a_header_alone_has_no_rows() {
    for file in ["a,b", "a,b\n", "\na,b\r\n\r\n"] {
        assert!(rows(file, &text_columns(&["a", "b"])).is_empty());
    }
}

#[test]
fn a_header_that_cannot_be_read_says_why() {
    assert_eq!(
        message("\n\"a,b\n1,2\n", &["a", "b"]),
        "the header on line 2 cannot be read: a quote opens and is not closed; \
         it starts with '\"a,b'"
    );
    let long = format!("{},b\n", "a".repeat(2 << 20));
    assert!(message(&long, &["a"]).contains("it is too long for a record"));
}

#[test]
fn the_header_keeps_its_raw_text() {
    let file = b"\"a\", b\xFF\r\n1,2\n".to_vec();
    let layout = Layout::csv(text_columns(&["a"]));
    let reader = Reader::open(&file, &layout, Options::default()).unwrap();
    assert_eq!(reader.header(), "\"a\", b\\xFF");
}

#[test]
fn a_decimal_that_cannot_exist_is_refused() {
    for (precision, scale) in [(0, 0), (39, 0), (5, 6), (5, -1)] {
        let column = Column::new("a", ColumnType::Decimal { precision, scale });
        let error = header_error("a\n", &[column]);
        assert!(
            matches!(error, ReadError::Header(HeaderError::ImpossibleType { .. })),
            "{precision} {scale}"
        );
    }
}
