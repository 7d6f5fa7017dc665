//! Records that are not as they should be, and how reading goes on after them.

use lake_reader::{Column, ColumnType, Options};

use crate::support::{cells, lines, rows, rows_with, text_columns};

const NO_FAULTS: &[String] = &[];

fn ab() -> Vec<Column> {
    text_columns(&["a", "b"])
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_name_but_of_the_offsets() {
    let rows = rows("\u{FEFF}a,b\n1,2\n", &ab());
    assert_eq!(cells(&rows), ["1|2"]);
    assert_eq!(rows[0].offset, 7);
}

#[test]
fn crlf_and_lf_end_lines_alike_even_mixed() {
    let rows = rows("a,b\r\n1,2\r\n3,4\n\"5\",\"6\"\r\n", &ab());
    assert_eq!(cells(&rows), ["1|2", "3|4", "5|6"]);
    assert_eq!(rows[0].raw, "1,2");
    assert_eq!(rows[2].raw, "\"5\",\"6\"");
}

#[test]
fn a_cr_that_is_not_before_a_line_feed_is_text() {
    let rows = rows("a,b\n1\r,2\n3\r4,5\n", &ab());
    assert_eq!(cells(&rows), ["1\r|2", "3\r4|5"]);
    assert_eq!(lines(&rows), [2, 3]);
}

#[test]
fn the_last_line_end_may_be_missing_or_cut_in_half() {
    for end in ["", "\n", "\r\n", "\r"] {
        for last in ["3,4", "3,\"4\""] {
            let rows = rows(format!("a,b\n1,2\n{last}{end}"), &ab());
            assert_eq!(cells(&rows), ["1|2", "3|4"], "{last:?} {end:?}");
            assert_eq!(rows[1].raw, last);
        }
    }
}

#[test]
fn blank_lines_are_not_records_but_count_as_lines() {
    let rows = rows("\n\r\na,b\n\n1,2\n\r\n\n\"3\",4\n\n", &ab());
    assert_eq!(cells(&rows), ["1|2", "3|4"]);
    assert_eq!(lines(&rows), [5, 8]);
}

#[test]
fn quoted_newlines_belong_to_the_value_and_the_next_record_keeps_its_line() {
    let rows = rows("a,b\n\"1\r\n\n1\",\"x\n\"\n3,4\n", &ab());
    assert_eq!(cells(&rows), ["1\r\n\n1|x\n", "3|4"]);
    assert_eq!(lines(&rows), [2, 6]);
    assert_eq!(rows[0].raw, "\"1\r\n\n1\",\"x\n\"");
}

#[test]
fn quotes_hide_delimiters_and_pairs_of_quotes_are_one() {
    let rows = rows("a,b\n\"1,\"\"2\"\"\",\"\"\"\"\n", &ab());
    assert_eq!(cells(&rows), ["1,\"2\"|\""]);
}

#[test]
fn a_quote_inside_an_unquoted_field_is_text() {
    let rows = rows("a,b\n5\" pipe, \"x\"\n1,2\n", &ab());
    assert_eq!(cells(&rows), ["5\" pipe| \"x\"", "1|2"]);
    assert_eq!(rows[0].faults, NO_FAULTS);
}

#[test]
fn text_after_a_closing_quote_is_a_fault_of_that_value_only() {
    let rows = rows("a,b\n\"1\"x,2\n3,4\n", &ab());
    assert_eq!(cells(&rows), ["∅|2", "3|4"]);
    assert_eq!(
        rows[0].faults,
        ["quote: there is text after the closing quote of \"1\"x"]
    );
}

#[test]
fn a_misplaced_quote_is_noticed_in_a_column_that_nobody_declared() {
    let rows = rows("a,b\n1,\"2\"x\n", &text_columns(&["a"]));
    assert_eq!(cells(&rows), ["1"]);
    assert_eq!(
        rows[0].faults,
        ["quote: there is text after the closing quote of \"2\"x"]
    );
}

#[test]
fn too_few_and_too_many_fields_are_the_only_fault_of_their_record() {
    let columns = [
        Column::new("a", ColumnType::Int32).required(),
        Column::new("b", ColumnType::Text).required(),
    ];
    let rows = rows("a,b\nx\n1,2,3\n\"x\"\n4,5\n", &columns);
    assert_eq!(cells(&rows), ["∅|∅", "∅|∅", "∅|∅", "4|5"]);
    assert_eq!(rows[0].faults, ["fields: expected 2 fields, found 1"]);
    assert_eq!(rows[1].faults, ["fields: expected 2 fields, found 3"]);
    assert_eq!(rows[2].faults, ["fields: expected 2 fields, found 1"]);
    assert_eq!(rows[3].faults, NO_FAULTS);
    assert_eq!(rows[1].raw, "1,2,3");
}

#[test]
fn a_file_of_one_column_has_the_same_rules() {
    let columns = [Column::new("a", ColumnType::Text).required()];
    let rows = rows("a\nx\ny,z\n\"\"\n\nw", &columns);
    assert_eq!(cells(&rows), ["x", "∅", "∅", "w"]);
    assert_eq!(rows[1].faults, ["fields: expected 1 field, found 2"]);
    assert_eq!(
        rows[2].faults,
        ["required: 'a' is required, and empty here"]
    );
    assert_eq!(lines(&rows), [2, 3, 4, 6]);
}

#[test]
fn bad_utf_8_is_a_fault_of_its_value_and_its_bytes_can_be_read_back() {
    let columns = [
        Column::new("a", ColumnType::Text),
        Column::new("b", ColumnType::Int32),
    ];
    let rows = rows(b"a,b\nx\xFF\\,1\nok,\xC3\n\xC3,\xA9\nfine,2\n", &columns);
    assert_eq!(cells(&rows), ["∅|1", "ok|∅", "∅|∅", "fine|2"]);
    assert_eq!(rows[0].raw, "x\\xFF\\\\,1");
    assert_eq!(rows[0].raw_bytes, b"x\xFF\\,1");
    assert_eq!(
        rows[0].faults,
        ["utf-8: 'x\\xFF\\\\' is not UTF-8; its bad bytes are shown as \\xNN"]
    );
    assert_eq!(rows[1].faults.len(), 1);
    assert_eq!(rows[2].faults.len(), 2, "two halves make no character");
}

#[test]
fn bad_utf_8_where_nobody_looks_is_no_fault() {
    let rows = rows(b"a,b\n1,\xFF\n", &text_columns(&["a"]));
    assert_eq!(cells(&rows), ["1"]);
    assert_eq!(rows[0].faults, NO_FAULTS);
}

#[test]
fn a_file_of_only_bad_rows_is_read_to_its_end() {
    let columns = [Column::new("a", ColumnType::Int64).required()];
    let rows = rows(b"a\nx\n1,2\n\"\"\n\xFF\n", &columns);
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.faults.len() == 1));
}

#[test]
fn an_open_quote_at_the_end_of_the_file_spoils_only_its_own_line() {
    let rows = rows("a,b\n1,\"2\n3,4\n5,6", &ab());
    assert_eq!(cells(&rows), ["∅|∅", "3|4", "5|6"]);
    assert_eq!(lines(&rows), [2, 3, 4]);
    assert_eq!(rows[0].raw, "1,\"2");
    assert_eq!(
        rows[0].faults,
        ["quote: a quote opens here and is not closed before the end of the file"]
    );
}

#[test]
fn an_open_quote_in_the_last_line_is_one_broken_record() {
    for end in ["", "\n", "\r\n"] {
        let rows = rows(format!("a,b\n1,2\n3,\"4{end}"), &ab());
        assert_eq!(cells(&rows), ["1|2", "∅|∅"]);
        assert_eq!(rows[1].raw, "3,\"4");
    }
}

#[test]
fn an_open_quote_does_not_swallow_more_than_a_record_may_have() {
    let options = Options {
        max_record_bytes: 20,
        ..Options::default()
    };
    let file = format!("a,b\n1,\"2\n{}\"x\",9\n", "3,4\n".repeat(10));
    let rows = rows_with(file, &ab(), options);
    assert_eq!(rows.len(), 12);
    assert_eq!(
        rows[0].faults,
        ["quote: a quote opens here and is not closed within 20 bytes"]
    );
    assert!(rows[1..].iter().all(|row| row.faults.is_empty()));
    assert_eq!(rows[11].cells, "x|9");
}

#[test]
fn a_record_that_is_too_long_is_one_row_and_the_next_is_good() {
    let options = Options {
        max_record_bytes: 16,
        chunk_bytes: 32,
        ..Options::default()
    };
    let long = "é".repeat(50);
    let rows = rows_with(format!("a,b\n1,2\n1,{long}\n3,4\n"), &ab(), options);
    assert_eq!(cells(&rows), ["1|2", "∅|∅", "3|4"]);
    assert_eq!(lines(&rows), [2, 3, 4]);
    assert_eq!(rows[1].raw, format!("1,{}", "é".repeat(7)));
    assert_eq!(rows[2].offset, 4 + 4 + 2 + 100 + 1);
    assert_eq!(
        rows[1].faults,
        ["record size: the record has 102 bytes, 16 are allowed; its raw text is cut"]
    );
}

#[test]
fn a_record_may_be_exactly_as_long_as_allowed() {
    let options = Options {
        max_record_bytes: 5,
        ..Options::default()
    };
    for record in ["1,234", "\"1\",2"] {
        for end in ["", "\n"] {
            let rows = rows_with(format!("a,b\n{record}{end}"), &ab(), options);
            assert_eq!(rows[0].faults, NO_FAULTS, "{record:?}");
        }
    }
    let rows = rows_with("a,b\n1,2345\n6,7", &ab(), options);
    assert_eq!(rows[0].faults.len(), 1);
    assert_eq!(rows[1].cells, "6|7");
}

#[test]
fn a_too_long_record_with_quoted_lines_ends_at_the_first_line_end_after_the_limit() {
    let options = Options {
        max_record_bytes: 12,
        ..Options::default()
    };
    let rows = rows_with("a,b\n\"x\ny\",0123456789\n1,2\n", &ab(), options);
    assert_eq!(cells(&rows), ["∅|∅", "1|2"]);
    assert_eq!(lines(&rows), [2, 4]);
    assert!(rows[0].faults[0].starts_with("record size: the record has 16 bytes"));
}

#[test]
fn a_line_with_an_open_quote_that_is_too_long_itself_is_too_long() {
    let options = Options {
        max_record_bytes: 8,
        ..Options::default()
    };
    let rows = rows_with("a,b\n\"0123456789,\n1,2\n", &ab(), options);
    assert_eq!(cells(&rows), ["∅|∅", "1|2"]);
    assert!(rows[0].faults[0].starts_with("record size:"));
}

#[test]
fn of_a_huge_record_only_the_first_bytes_are_kept() {
    let mut file = b"a,b\n1,".to_vec();
    file.resize(5 << 20, b'x');
    file.extend_from_slice(b"\n3,4\n");
    let rows = rows(&file, &ab());
    assert_eq!(cells(&rows), ["∅|∅", "3|4"]);
    assert_eq!(rows[0].raw.len(), 1 << 16);
    assert_eq!(rows[1].line, 3);
}

#[test]
fn a_file_in_which_every_line_opens_a_quote_is_read_in_reasonable_time() {
    // Every line ends inside quotes, whether it starts inside or outside. The
    // naive way scans up to the limit from each of them.
    let lines = 200_000;
    let file = format!("a,b\n{}", "\"x\",\"z\n".repeat(lines));
    let rows = rows(file, &ab());
    assert_eq!(rows.len(), lines);
    assert!(rows.iter().all(|row| row.raw == "\"x\",\"z"));
}
