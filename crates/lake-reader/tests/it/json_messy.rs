//! JSON files that are not as they should be, and how reading goes on.

use std::io::{self, Read};

use lake_reader::{
    Column, ColumnType, Encoding, Format, Layout, OnTruncated, Options, ReadError, Reader, Source,
    Warning,
};

use crate::stored::{gzip, outcome};
use crate::support::{Row, cells, lines, read_as, rows_of};

const NO_FAULTS: &[String] = &[];

fn layout(format: Format) -> Layout {
    let columns = vec![
        Column::new("a", ColumnType::Int64),
        Column::new("b", ColumnType::Json),
    ];
    Layout::new(format, columns)
}

fn rows(format: Format, file: impl AsRef<[u8]>) -> Vec<Row> {
    rows_with(format, file, Options::default())
}

fn rows_with(format: Format, file: impl AsRef<[u8]>, options: Options) -> Vec<Row> {
    let blocks = read_as(&file.as_ref().to_vec(), &layout(format), options);
    blocks.iter().flat_map(rows_of).collect()
}

/// Raw texts and first faults, one line each.
fn judged(rows: &[Row]) -> Vec<String> {
    let judge = |row: &Row| match row.faults.first() {
        None => format!("good {}", row.cells),
        Some(fault) => format!("{} — {fault}", row.raw),
    };
    rows.iter().map(judge).collect()
}

#[test]
fn a_line_that_is_not_json_is_one_row_and_the_next_line_is_read() {
    let file = concat!(
        "{\"a\":1}\n",
        "{\"a\":2,}\n",
        "{\"a\":\"open\n",
        "  {\"a\":3} {\"a\":4}\n",
        "[{\"a\":5}]\n",
        "6\n",
        "{\"a\":7",
    );
    let rows = rows(Format::NdJson, file);
    assert_eq!(
        judged(&rows),
        [
            "good 1|∅",
            "{\"a\":2,} — json: not JSON at byte 8 of line 2: expected a name in quotes, found '}'",
            "{\"a\":\"open — json: not JSON at byte 11 of line 3: expected '\"', found the end",
            "{\"a\":3} {\"a\":4} — json: not JSON at byte 11 of line 4: expected nothing more, \
             found '{'",
            "[{\"a\":5}] — json: a JSON object was expected, and this is an array",
            "6 — json: a JSON object was expected, and this is a number",
            "{\"a\":7 — json: not JSON at byte 7 of line 7: expected ',' or '}', found the end",
        ]
    );
    assert_eq!(rows[3].cells, "∅|∅");
}

#[test]
fn bad_bytes_are_a_fault_of_their_value_and_shown_escaped() {
    let rows = rows(
        Format::NdJson,
        b"{\"b\":\"\xFF\",\"a\":1}\n{\"a\":2,\"\xC3\":0}\n{\"a\":3}\n",
    );
    assert_eq!(
        rows[0].faults[0],
        "utf-8: '\"\\xFF\"' is not UTF-8; its bad bytes are shown as \\xNN"
    );
    assert_eq!(rows[0].raw, "{\"b\":\"\\xFF\",\"a\":1}");
    assert!(rows[1].faults[0].starts_with("utf-8: a name or a value that is not declared"));
    assert_eq!(cells(&rows[2..]), ["3|∅"]);
    assert_eq!(rows[2].faults, NO_FAULTS);
}

#[test]
fn a_record_that_is_too_long_is_one_row_with_its_first_bytes() {
    let long = "x".repeat(100);
    let options = Options {
        max_record_bytes: 32,
        ..Options::default()
    };
    let record = format!("{{\"b\":[\"{long}\",\n{{}}]}}");
    for chunk_bytes in [1, 7, 1 << 20] {
        let options = Options {
            chunk_bytes,
            ..options
        };
        let line = record.replace('\n', "");
        let file = format!("{{\"a\":1}}\n{line}\n{{\"a\":2}}\n");
        let rows_of_lines = rows_with(Format::NdJson, file, options);
        assert_eq!(lines(&rows_of_lines), [1, 2, 3]);
        assert_eq!(rows_of_lines[1].raw, line[..32]);
        assert_eq!(
            rows_of_lines[1].faults,
            ["record size: the record has 113 bytes, 32 are allowed; its raw text is cut"]
        );

        let file = format!("[{{\"a\":1}},{record},{{\"a\":2}}]\n");
        let rows = rows_with(Format::Json, file, options);
        assert_eq!(lines(&rows), [1, 1, 2]);
        assert_eq!(cells(&rows), ["1|∅", "∅|∅", "2|∅"]);
        assert_eq!(rows[1].raw, record[..32]);
        assert_eq!(
            rows[1].faults,
            ["record size: the record has 114 bytes, 32 are allowed; its raw text is cut"]
        );
    }
}

#[test]
fn a_record_may_have_exactly_as_many_bytes_as_are_allowed() {
    for (limit, good) in [(7, true), (6, false)] {
        let options = Options {
            max_record_bytes: limit,
            ..Options::default()
        };
        for (format, file) in [
            (Format::NdJson, "{\"a\":1}\n"),
            (Format::NdJson, "{\"a\":1}"),
            (Format::Json, "[{\"a\":1}]"),
        ] {
            let rows = rows_with(format, file, options);
            assert_eq!(rows[0].faults.is_empty(), good, "{file:?}");
        }
    }
}

#[test]
fn what_is_between_records_is_never_skipped() {
    let file = "x [{\"a\":1} {\"a\":2},, 5, \"s, ]\" , [1], nul {\"a\":3},] , {\"a\":4} ]";
    assert_eq!(
        judged(&rows(Format::Json, file)),
        [
            "x — json: a JSON object was expected here",
            "good 1|∅",
            "{\"a\":2} — json: there is no comma between this record and the one before",
            ", — json: a JSON object was expected here",
            "5 — json: a JSON object was expected, and this is a number",
            "\"s, ]\" — json: a JSON object was expected, and this is a string",
            "[1] — json: a JSON object was expected, and this is an array",
            "nul — json: a JSON object was expected here",
            "good 3|∅",
            "] — json: a JSON object was expected here",
            ", — json: a JSON object was expected here",
            "good 4|∅",
            "] — json: a JSON object was expected here",
        ]
    );
}

#[test]
fn a_record_that_is_not_json_but_closes_is_one_row() {
    let file = "[\n  {\"a\": 1,},\n {\n \"a\":\n01}, {\"a\": 3}]";
    assert_eq!(
        judged(&rows(Format::Json, file)),
        [
            "{\"a\": 1,} — json: not JSON at byte 11 of line 2: expected a name in quotes, \
             found '}'",
            "{\n \"a\":\n01} — json: not JSON at byte 2 of line 5: expected ',' or '}', found '1'",
            "good 3|∅",
        ]
    );
}

#[test]
fn after_a_string_that_is_not_closed_reading_goes_on_with_the_next_record() {
    let one_a_line = "[{\"a\":1},\n{\"a\":\"2},\n{\"a\":3},\n{\"a\":4}]\n";
    assert_eq!(
        judged(&rows(Format::Json, one_a_line)),
        [
            "good 1|∅",
            "{\"a\":\"2}, — json: not JSON at byte 10 of line 2: expected no control character in \
             a string, found '\\n'",
            "good 3|∅",
            "good 4|∅",
        ]
    );
    let pretty = r#"[
  {
    "a": 1,
    "b": [
      {
        "c": "open
      },
      {
        "c": "2"
      }
    ]
  },
  {
    "a": 2
  }
]
"#;
    let rows = rows(Format::Json, pretty);
    assert_eq!(lines(&rows), [2, 13]);
    assert!(rows[0].raw.ends_with("    ]\n  },"));
    assert_eq!(
        rows[0].faults,
        [
            "json: not JSON at byte 19 of line 6: expected no control character in a string, \
          found '\\n'"
        ]
    );
    assert_eq!(rows[1].cells, "2|∅");
}

#[test]
fn after_a_bracket_that_is_missing_or_wrong_reading_goes_on_with_the_next_record() {
    let missing = "{\"a\":1,\"b\":{\"c\":1}\n{\"a\":2}\n{\"a\":3}\n";
    assert_eq!(
        judged(&rows(Format::Json, missing)),
        [
            "{\"a\":1,\"b\":{\"c\":1} — json: not JSON at byte 1 of line 2: expected ',' or '}', \
             found '{'",
            "good 2|∅",
            "good 3|∅",
        ]
    );
    let wrong = "[\n {\"b\": [1}\n },\n {\"a\": 2}\n]\n";
    assert_eq!(
        judged(&rows(Format::Json, wrong)),
        [
            "{\"b\": [1}\n }, — json: not JSON at byte 10 of line 2: expected ',' or ']', found '}'",
            "good 2|∅",
        ]
    );
    let extra = "[{\"a\":1}},\n{\"a\":2}]";
    assert_eq!(
        judged(&rows(Format::Json, extra)),
        [
            "good 1|∅",
            "} — json: a JSON object was expected here",
            "good 2|∅"
        ]
    );
}

#[test]
fn the_array_is_closed_even_if_its_last_record_is_not() {
    let file = "[\n  {\"a\":1},\n  {\"a\":2\n]\n{\"a\":3}";
    assert_eq!(
        judged(&rows(Format::Json, file)),
        [
            "good 1|∅",
            "{\"a\":2 — json: not JSON at byte 1 of line 4: expected ',' or '}', found ']'",
            "good 3|∅",
        ]
    );
}

/// The rows before a file cannot be read any further, and why.
fn until_error(file: &str) -> (Vec<Row>, ReadError) {
    for chunk_bytes in [1, 10, 1 << 20] {
        let options = Options {
            chunk_bytes,
            ..Options::default()
        };
        let reader =
            Reader::open(&file.as_bytes().to_vec(), &layout(Format::Json), options).unwrap();
        let mut rows = Vec::new();
        loop {
            match reader.next_block().unwrap() {
                Ok(block) => rows.extend(rows_of(&block)),
                Err(error) => {
                    assert!(
                        reader.next_block().is_none(),
                        "after an error there is nothing"
                    );
                    if chunk_bytes > 10 {
                        return (rows, error);
                    }
                    break;
                }
            }
        }
    }
    unreachable!()
}

#[test]
fn a_file_that_is_cut_off_fails_after_its_last_whole_record() {
    let whole = "[{\"a\":1},\n{\"a\":2,\"b\":[true]},\n{\"a\":3}\n]";
    for cut in 1..whole.len() {
        let (rows, error) = until_error(&whole[..cut]);
        let expected = ["{\"a\":1}", "]}", "{\"a\":3}"]
            .iter()
            .filter(|end| whole[..cut].contains(*end))
            .count();
        assert_eq!(rows.len(), expected, "{}", &whole[..cut]);
        let ReadError::NotClosed { end, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(end, cut as u64);
    }
}

#[test]
fn the_error_of_a_file_that_is_cut_off_says_what_is_open_and_what_to_do() {
    let (_, error) = until_error("[{\"a\":1},");
    assert_eq!(
        error.to_string(),
        "the array that opens at byte 0 is not closed where the file ends, at byte 9: the file \
         is cut off, or broken up to its end; load it again when it is complete, or set \
         `on_truncated: reject`"
    );
    let (_, error) = until_error("{\"a\":1}\n{\"a\":");
    assert!(
        error
            .to_string()
            .starts_with("the record that opens at byte 8 is not closed")
    );
}

#[test]
fn a_file_that_is_cut_off_can_be_read_as_far_as_it_goes() {
    let options = Options {
        on_truncated: OnTruncated::Reject,
        ..Options::default()
    };
    for (file, expected) in [
        (
            "[{\"a\":1},\n{\"a\":",
            &[
                "good 1|∅",
                "{\"a\": — truncated: the file ends in the middle of this record",
            ][..],
        ),
        ("[{\"a\":1},", &["good 1|∅"]),
    ] {
        let reader =
            Reader::open(&file.as_bytes().to_vec(), &layout(Format::Json), options).unwrap();
        let blocks: Vec<_> = std::iter::from_fn(|| reader.next_block())
            .collect::<Result<_, _>>()
            .unwrap();
        let rows: Vec<Row> = blocks.iter().flat_map(rows_of).collect();
        assert_eq!(judged(&rows), expected);
        let warnings: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{file}");
        assert!(warnings[0].contains("seems to be cut off"), "{warnings:?}");
    }
}

const COMPRESSED: [(Format, &str); 2] = [
    (
        Format::NdJson,
        "{\"a\":1}\n\n{\"b\":[\"x\",{}]}\n{\"a\":3}\n{\"b\":4}\n",
    ),
    (
        Format::Json,
        "[{\"a\":1},\n {\"b\":[\"x\",{}]}]{\"a\":3}\n[{\"b\":4}]\n",
    ),
];

#[test]
fn a_compressed_file_cut_anywhere_keeps_the_records_before_and_fails() {
    for (format, text) in COMPRESSED {
        let whole = rows(format, text);
        assert_eq!(whole.len(), 4);
        let file = gzip(text);
        for cut in 2..file.len() {
            let result = outcome(&file[..cut], &layout(format), Options::default());
            let Some(ReadError::Truncated { stored, text }) = result.error else {
                panic!("{result:?}");
            };
            assert_eq!(stored, cut as u64);
            let line_feed = usize::from(format == Format::NdJson);
            let is_there =
                |row: &&Row| row.offset as usize + row.raw.len() + line_feed <= text as usize;
            let expected = whole.iter().take_while(is_there).count();
            assert_eq!(result.rows, whole[..expected]);
        }
    }
}

#[test]
fn with_reject_only_the_record_at_the_cut_of_a_compressed_file_is_lost() {
    let options = Options {
        on_truncated: OnTruncated::Reject,
        ..Options::default()
    };
    for (format, whole) in COMPRESSED {
        let file = gzip(whole);
        for cut in 2..file.len() {
            let failed = outcome(&file[..cut], &layout(format), Options::default());
            let Some(ReadError::Truncated { stored, text }) = failed.error else {
                panic!("{failed:?}");
            };
            let kept = outcome(&file[..cut], &layout(format), options);
            assert!(kept.error.is_none());
            assert_eq!(kept.warnings, [Warning::Truncated { stored, text }]);
            let good = failed.rows.len();
            assert_eq!(kept.rows[..good], failed.rows);
            let end = failed
                .rows
                .last()
                .map_or(0, |row| row.offset as usize + row.raw.len());
            let rest = whole[end..text as usize].trim_matches([',', '\n', ' ', '[', ']']);
            match &kept.rows[good..] {
                [] => assert_eq!(rest, ""),
                [row] => {
                    assert!(row.raw.starts_with(rest), "{row:?} {rest}");
                    assert_eq!(
                        row.faults,
                        ["truncated: the file ends in the middle of this record"]
                    );
                }
                more => panic!("{more:?}"),
            }
        }
    }
}

#[test]
fn other_encodings_are_the_same_text() {
    for (format, text) in [
        (Format::NdJson, "{\"a\":1,\"b\":\"é\"}\n{\"a\":2}\n"),
        (Format::Json, "[{\"a\":1,\"b\":\"é\"},\n{\"a\":2}]\n"),
    ] {
        let expected = rows(format, text);
        let mut file = vec![0xFF, 0xFE];
        file.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let layout = Layout {
            encoding: Encoding::Utf16,
            ..layout(format)
        };
        let read = outcome(file, &layout, Options::default());
        assert_eq!(cells(&read.rows), cells(&expected));
        assert_eq!(cells(&read.rows), ["1|\"é\"", "2|∅"]);
        assert_eq!(read.message(), "");
    }
}

/// A text that repeats its middle, without being in memory.
#[derive(Debug)]
struct Long {
    start: &'static [u8],
    middle: &'static [u8],
    times: usize,
    end: &'static [u8],
}

impl Source for Long {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        let middles = std::iter::repeat_n(self.middle, self.times);
        let mut pieces = std::iter::once(self.start)
            .chain(middles)
            .chain(std::iter::once(self.end));
        let mut piece: &[u8] = &[];
        Ok(Box::new(Pull(move |buffer: &mut [u8]| {
            while piece.is_empty() {
                match pieces.next() {
                    Some(next) => piece = next,
                    None => return 0,
                }
            }
            let length = piece.len().min(buffer.len());
            buffer[..length].copy_from_slice(&piece[..length]);
            piece = &piece[length..];
            length
        })))
    }

    fn ranges(&self) -> io::Result<Box<dyn lake_reader::Ranges>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A reader that asks a function for its next bytes.
struct Pull<F>(F);

impl<F: FnMut(&mut [u8]) -> usize> Read for Pull<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok((self.0)(buffer))
    }
}

#[test]
fn of_a_record_without_end_only_the_first_bytes_are_ever_kept() {
    let long = Long {
        start: b"[{\"a\":1},{\"b\":[",
        middle: b"[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", {}],",
        times: 1_000_000,
        end: b"0]},{\"a\":2}]",
    };
    for (format, expected) in [(Format::Json, 3), (Format::NdJson, 1)] {
        let blocks = read_as(&long, &layout(format), Options::default());
        let rows: Vec<Row> = blocks.iter().flat_map(rows_of).collect();
        assert_eq!(rows.len(), expected);
        let broken = rows.iter().find(|row| !row.faults.is_empty()).unwrap();
        assert!(
            broken.faults[0].starts_with("record size: the record has 57000"),
            "{:?}",
            broken.faults
        );
        assert_eq!(broken.raw.len(), 1 << 16);
    }
}

#[test]
fn a_file_in_which_no_record_closes_is_not_read_over_and_over() {
    // Every record reaches into the next ones, as deep as anything may be.
    let long = Long {
        start: b"[\n",
        middle: b"{\"a\":1,\"b\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0\n",
        times: 50_000,
        end: b"]}]",
    };
    let rows: Vec<Row> = read_as(&long, &layout(Format::Json), Options::default())
        .iter()
        .flat_map(rows_of)
        .collect();
    assert_eq!(rows.len(), 50_000);
    assert_eq!(rows.iter().filter(|row| row.faults.is_empty()).count(), 1);
}
