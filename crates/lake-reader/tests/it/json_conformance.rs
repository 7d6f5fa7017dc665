//! JSONTestSuite: every text that is JSON is accepted, and every text that is not is rejected.
//!
//! Each case is the value of a field of type `json`, in a file that is nothing but its record. A
//! case is accepted if that file is one good row. What the two long cases are is written here, and
//! so are some of the cases that are not UTF-8.

use lake_reader::{Column, ColumnType, Format, Layout, OnTruncated, Options};
use serde_json::Value;

use crate::support::{Row, read_as, rows_of};

const CASES: &str = include_str!("../data/json-test-suite/cases.ndjson");

/// What the suite leaves to the implementation, and what is done here.
const DECIDED: &[(&str, bool)] = &[
    // A number is its text; whether it fits is for the column to say.
    ("i_number_double_huge_neg_exp", true),
    ("i_number_huge_exp", true),
    ("i_number_neg_int_huge_exp", true),
    ("i_number_pos_double_huge_exp", true),
    ("i_number_real_neg_overflow", true),
    ("i_number_real_pos_overflow", true),
    ("i_number_real_underflow", true),
    ("i_number_too_big_neg_int", true),
    ("i_number_too_big_pos_int", true),
    ("i_number_very_big_negative_int", true),
    // The text of a value of type `json` stays as it is; only a column that wants the text that a
    // string means rejects half of a surrogate pair.
    ("i_object_key_lone_2nd_surrogate", true),
    ("i_string_1st_surrogate_but_2nd_missing", true),
    ("i_string_1st_valid_surrogate_2nd_invalid", true),
    ("i_string_incomplete_surrogate_and_escape_valid", true),
    ("i_string_incomplete_surrogate_pair", true),
    ("i_string_incomplete_surrogates_escape_valid", true),
    ("i_string_invalid_lonely_surrogate", true),
    ("i_string_invalid_surrogate", true),
    ("i_string_inverted_surrogates_U+1D11E", true),
    ("i_string_lone_second_surrogate", true),
    // More than 128 objects and arrays in each other.
    ("i_structure_500_nested_arrays", false),
    // A byte order mark is skipped at the start of a file, and nowhere else.
    ("i_structure_UTF-8_BOM_empty_object", false),
];

/// The rows of a file whose only record has this value.
fn rows(value: &[u8]) -> Vec<Row> {
    let columns = vec![Column::new("v", ColumnType::Json)];
    let layout = Layout::new(Format::Json, columns);
    let options = Options {
        on_truncated: OnTruncated::Reject,
        ..Options::default()
    };
    let file = [b"{\"v\":", value, b"}"].concat();
    let blocks = read_as(&file, &layout, options);
    blocks.iter().flat_map(rows_of).collect()
}

fn is_accepted(value: &[u8]) -> bool {
    let rows = rows(value);
    rows.len() == 1 && rows[0].faults.is_empty()
}

#[test]
fn what_is_json_is_accepted_and_what_is_not_is_rejected() {
    let mut decided = DECIDED.iter();
    let (mut accepted, mut rejected) = (0, 0);
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (name, input) = (
            case["name"].as_str().unwrap(),
            case["input"].as_str().unwrap(),
        );
        let expected = match name.split_once('_').unwrap().0 {
            "y" => true,
            "n" => false,
            _ => {
                let (decided, expected) = decided.next().unwrap();
                assert_eq!(name, *decided, "every case that is left open is decided");
                *expected
            }
        };
        assert_eq!(is_accepted(input.as_bytes()), expected, "{name}: {input:?}");
        *(if expected {
            &mut accepted
        } else {
            &mut rejected
        }) += 1;
    }
    assert!(decided.next().is_none());
    assert!(accepted > 100 && rejected > 150, "{accepted} {rejected}");
}

#[test]
fn what_is_accepted_means_the_same_as_before() {
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let input = case["input"].as_str().unwrap();
        let rows = rows(input.as_bytes());
        if let ([row], Ok(value)) = (&rows[..], serde_json::from_str::<Value>(input))
            && row.faults.is_empty()
            && !value.is_null()
        {
            let read: Value = serde_json::from_str(&row.cells).unwrap();
            assert_eq!(read, value, "{input:?}");
        }
    }
}

#[test]
fn no_depth_overflows_the_stack() {
    assert!(!is_accepted("[".repeat(100_000).as_bytes()));
    assert!(!is_accepted("[{\"\":".repeat(50_000).as_bytes()));
    let deep = "[".repeat(127) + &"]".repeat(127);
    assert!(is_accepted(deep.as_bytes()));
}

#[test]
fn bytes_that_are_not_utf_8_are_rejected() {
    for text in [
        &b"[\"\xFF\"]"[..],
        b"[\"\xE0\xFF\"]",
        b"[\"\x81\"]",
        b"[\"\xC0\xAF\"]",
        b"[\"\xED\xA0\x80\"]",
        b"[\"\xF4\xBF\xBF\xBF\"]",
        b"[\"\xE9\"]",
        b"[\"\\\xE5\"]",
        b"[\"\\u\xE5\"]",
        b"[1\xE5]",
        b"[1e1\xE5]",
        b"[a\xE5]",
        b"[\xFF]",
        b"{\"\xB9\":\"0\",}",
        b"\xE5",
        b"\xEF\xBB{}",
    ] {
        let rows = rows(text);
        assert!(rows.iter().all(|row| !row.faults.is_empty()), "{text:x?}");
        assert!(!rows.is_empty(), "{text:x?}");
    }
}
