//! Text in other encodings is read like the same text in UTF-8.

use lake_reader::{Column, ColumnType, Encoding, EncodingError, Layout, Options, ReadError};
use proptest::prelude::*;

use crate::stored::{Outcome, gzip, outcome};
use crate::support::text_columns;

fn read(file: impl Into<Vec<u8>>, encoding: Encoding) -> Outcome {
    let layout = Layout {
        encoding,
        ..Layout::csv(text_columns(&["a", "b"]))
    };
    outcome(file, &layout, Options::default())
}

fn utf16(text: &str, encoding: Encoding) -> Vec<u8> {
    units(text.encode_utf16(), encoding)
}

fn units(units: impl IntoIterator<Item = u16>, encoding: Encoding) -> Vec<u8> {
    let bytes = |unit: u16| match encoding {
        Encoding::Utf16Be => unit.to_be_bytes(),
        _ => unit.to_le_bytes(),
    };
    units.into_iter().flat_map(bytes).collect()
}

const TEXT: &str = "a,b\n1,é€𝄞\n2,\"x\n\u{FEFF}y\"\n";

const BYTE_ORDERS: [Encoding; 2] = [Encoding::Utf16Le, Encoding::Utf16Be];

#[test]
fn utf_16_is_read_like_the_same_text_in_utf_8() {
    let plain = read(TEXT, Encoding::Utf8);
    assert_eq!(plain.cells(), ["1|é€𝄞", "2|x\n\u{FEFF}y"]);
    let marked = read(format!("\u{FEFF}{TEXT}"), Encoding::Utf8);
    for order in BYTE_ORDERS {
        assert_eq!(read(utf16(TEXT, order), order).rows, plain.rows);
        let file = utf16(&format!("\u{FEFF}{TEXT}"), order);
        for declared in [order, Encoding::Utf16] {
            let read = read(file.clone(), declared);
            assert_eq!(read.message(), "");
            assert_eq!(read.rows, marked.rows, "offsets count the byte order mark");
        }
        assert_eq!(read(gzip(&file), Encoding::Utf16).rows, marked.rows);
    }
}

#[test]
fn every_byte_of_latin_1_is_the_character_with_its_number() {
    let bytes: Vec<u8> = (0x20..=0xFF)
        .filter(|byte| !b",\"".contains(byte))
        .collect();
    let characters: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut file = b"a,b\nx,".to_vec();
    file.extend(&bytes);
    let read = read(file, Encoding::Latin1);
    assert_eq!(read.cells(), [format!("x|{characters}")]);
}

#[test]
fn a_byte_order_mark_of_another_encoding_says_which_to_declare() {
    let starts: [(&[u8], Encoding, Encoding); 8] = [
        (b"\xFF\xFE", Encoding::Utf8, Encoding::Utf16Le),
        (b"\xFE\xFF", Encoding::Utf8, Encoding::Utf16Be),
        (b"\xFF\xFE", Encoding::Utf16Be, Encoding::Utf16Le),
        (b"\xFE\xFF", Encoding::Utf16Le, Encoding::Utf16Be),
        (b"\xEF\xBB\xBF", Encoding::Utf16, Encoding::Utf8),
        (b"\xEF\xBB\xBF", Encoding::Utf16Le, Encoding::Utf8),
        (b"\xEF\xBB\xBF", Encoding::Latin1, Encoding::Utf8),
        (b"\xFF\xFE", Encoding::Latin1, Encoding::Utf16Le),
    ];
    for (start, declared, found) in starts {
        let mut file = start.to_vec();
        file.extend(b"a,b\n");
        match read(file, declared).error {
            Some(ReadError::Encoding(error)) => {
                assert_eq!(error, EncodingError::OtherMark { declared, found });
            }
            other => panic!("{declared}: {other:?}"),
        }
    }
    assert_eq!(
        read(b"\xFF\xFEa\0".to_vec(), Encoding::Utf8).message(),
        "the file is declared as utf-8, and starts with the byte order mark of utf-16le; \
         declare its encoding as utf-16le"
    );
}

#[test]
fn utf_16_without_a_byte_order_mark_is_not_guessed_at() {
    for file in [&b"a\0,\0b\0"[..], b"a", b"\xFF"] {
        assert_eq!(
            read(file, Encoding::Utf16).message(),
            "the file is declared as utf-16, and has no byte order mark that says which byte of \
             a character comes first; declare its encoding as utf-16le or utf-16be"
        );
    }
    let empty = read("", Encoding::Utf16).message();
    assert_eq!(empty, "the file is empty; a header was expected");
}

#[test]
fn half_of_a_surrogate_pair_is_a_fault_of_its_record() {
    for order in BYTE_ORDERS {
        let mut file = utf16("a,b\n1,x", order);
        file.extend(units([0xD834], order));
        file.extend(utf16("y\n2,", order));
        file.extend(units([0xDD1E, 0xD834, 0xD834, 0xDD1E], order));
        file.extend(utf16("\n3,fine\n4,", order));
        file.extend(units([0xD834], order));
        let read = read(file, order);
        let messages: Vec<&str> = read
            .rows
            .iter()
            .flat_map(|row| &row.faults)
            .map(String::as_str)
            .collect();
        assert_eq!(
            messages,
            [
                "utf-8: 'x\\xED\\xA0\\xB4y' is not UTF-8; its bad bytes are shown as \\xNN",
                "utf-8: '\\xED\\xB4\\x9E\\xED\\xA0\\xB4𝄞' is not UTF-8; its bad bytes are shown as \\xNN",
                "utf-8: '\\xED\\xA0\\xB4' is not UTF-8; its bad bytes are shown as \\xNN",
            ]
        );
        assert_eq!(read.rows[2].cells, "3|fine");
        assert_eq!(read.rows[3].raw_bytes, b"4,\xED\xA0\xB4");
    }
}

#[test]
fn an_odd_byte_at_the_end_of_utf_16_is_a_fault_of_the_last_record() {
    for (odd, shown) in [(b'a', "\\xC1\\xA1"), (b'\n', "\\xC0\\x8A"), (0xE9, "\\xE9")] {
        let mut file = utf16("a,b\n1,x\n2,y", Encoding::Utf16Le);
        file.push(odd);
        let read = read(file, Encoding::Utf16Le);
        assert_eq!(read.cells(), ["1|x", "2|∅"]);
        assert_eq!(read.rows[1].raw, format!("2,y{shown}"));
    }
}

#[test]
fn a_bad_value_shows_what_the_file_says_in_the_language_of_its_readers() {
    let columns = vec![Column::new("größe", ColumnType::Int32)];
    let layout = Layout {
        encoding: Encoding::Latin1,
        ..Layout::csv(columns)
    };
    let file = b"gr\xF6\xDFe\n\xFC5\n".to_vec();
    let read = outcome(file, &layout, Options::default());
    assert_eq!(read.rows[0].faults, ["type: 'ü5' is not an int32"]);
    assert_eq!(read.rows[0].raw, "ü5");
}

proptest! {
    #[test]
    fn the_same_text_in_any_encoding_gives_the_same_rows(
        lines in prop::collection::vec("[a-z\",\r\n\u{80}-\u{FF}]{0,12}", 0..300),
        chunk_bytes in 1usize..5000,
        max_record_bytes in 20usize..200,
    ) {
        let text = format!("a,b\n{}", lines.join("\n"));
        let options = Options { chunk_bytes, max_record_bytes, ..Options::default() };
        let read = |file: Vec<u8>, encoding| {
            let layout = Layout { encoding, ..Layout::csv(text_columns(&["a", "b"])) };
            outcome(file, &layout, options)
        };
        let plain = read(text.clone().into_bytes(), Encoding::Utf8);
        let latin1: Vec<u8> = text.chars().map(|c| u32::from(c) as u8).collect();
        let latin1 = read(latin1, Encoding::Latin1);
        prop_assert_eq!(latin1.message(), plain.message());
        prop_assert_eq!(latin1.rows, plain.rows.clone());
        for order in BYTE_ORDERS {
            let read = read(utf16(&text, order), order);
            prop_assert_eq!(read.message(), plain.message());
            prop_assert_eq!(read.rows, plain.rows.clone());
        }
    }

    #[test]
    fn no_text_of_utf_16_is_lost(
        values in prop::collection::vec(any::<u16>(), 0..20_000),
        surrogates in prop::collection::vec((0usize..20_000, 0xD800u16..0xE000), 0..200),
        chunk_bytes in 1usize..100_000,
    ) {
        let mut values = values;
        values.retain(|unit| !b"\n\r,\"".contains(&(*unit as u8)) || *unit > 0xFF);
        for (at, half) in surrogates {
            if let Some(unit) = values.get_mut(at) {
                *unit = half;
            }
        }
        let mut file = utf16("a\n", Encoding::Utf16Be);
        file.extend(units(values.iter().copied(), Encoding::Utf16Be));
        let layout = Layout { encoding: Encoding::Utf16Be, ..Layout::csv(text_columns(&["a"])) };
        let options = Options { chunk_bytes, ..Options::default() };
        let read = outcome(file, &layout, options);
        let raw: Vec<u8> = read.rows.iter().flat_map(|row| row.raw_bytes.clone()).collect();
        let mut expected = Vec::new();
        for character in char::decode_utf16(values) {
            match character {
                Ok(character) => expected.extend(character.to_string().into_bytes()),
                Err(half) => {
                    let half = half.unpaired_surrogate();
                    expected.extend([
                        0xE0 | (half >> 12) as u8,
                        0x80 | (half >> 6 & 0x3F) as u8,
                        0x80 | (half & 0x3F) as u8,
                    ]);
                }
            }
        }
        prop_assert_eq!(raw, expected);
    }
}
