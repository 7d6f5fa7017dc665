//! Files that are compressed, whole and not.

use std::io::Write;

use lake_reader::{Layout, OnTruncated, Options, ReadError, Warning, check};
use proptest::prelude::*;

use crate::stored::{gzip, outcome, zstd};
use crate::support::text_columns;

const TEXT: &str = "a,b\n1,one\n2,\"two\nlines\"\n3,three\n4,four\n";

fn layout() -> Layout {
    Layout::csv(text_columns(&["a", "b"]))
}

fn options() -> Options {
    Options::default()
}

fn rejecting() -> Options {
    Options {
        on_truncated: OnTruncated::Reject,
        ..Options::default()
    }
}

/// A way to compress a text as one member or frame.
type Pack = fn(&[u8]) -> Vec<u8>;

const PACKS: [(&str, Pack); 2] = [("gzip", |text| gzip(text)), ("zstd", |text| zstd(text))];

#[test]
fn what_a_file_is_compressed_with_does_not_matter() {
    let plain = outcome(TEXT, &layout(), options());
    assert_eq!(
        plain.cells(),
        ["1|one", "2|two\nlines", "3|three", "4|four"]
    );
    for (name, pack) in PACKS {
        let packed = outcome(pack(TEXT.as_bytes()), &layout(), options());
        assert_eq!(packed.rows, plain.rows, "{name}");
        assert_eq!(packed.message(), "", "{name}");
        assert_eq!(packed.warnings, [], "{name}");
    }
}

#[test]
fn members_and_frames_one_after_the_other_are_one_text() {
    let plain = outcome(TEXT, &layout(), options());
    for (name, pack) in PACKS {
        let mut file = pack(b"");
        for piece in TEXT.as_bytes().chunks(5) {
            file.extend(pack(piece));
            file.extend(pack(b""));
        }
        let packed = outcome(file, &layout(), options());
        assert_eq!(packed.rows, plain.rows, "{name}");
        assert_eq!(packed.message(), "", "{name}");
    }
}

#[test]
fn a_compressed_file_may_have_no_text() {
    for (name, pack) in PACKS {
        let empty = outcome(pack(b""), &layout(), options());
        let message = empty.message();
        assert_eq!(
            message, "the file is empty; a header was expected",
            "{name}"
        );
    }
}

#[test]
fn frames_that_are_to_be_skipped_are_skipped() {
    let skipped = |content: &[u8]| {
        let mut frame = b"\x5A\x2A\x4D\x18".to_vec();
        frame.extend((content.len() as u32).to_le_bytes());
        frame.extend(content);
        frame
    };
    let middle = TEXT.len() / 2;
    let mut file = skipped(b"an index");
    file.extend(zstd(&TEXT[..middle]));
    file.extend(skipped(b""));
    file.extend(zstd(&TEXT[middle..]));
    file.extend(skipped(b"another"));
    let packed = outcome(file, &layout(), options());
    assert_eq!(packed.rows, outcome(TEXT, &layout(), options()).rows);
    assert_eq!(packed.message(), "");
}

#[test]
fn a_gzip_header_may_have_everything_that_the_format_has() {
    let mut file = flate2::GzBuilder::new()
        .filename("readings.csv")
        .comment("from the meter")
        .extra(vec![1, 2, 3])
        .mtime(1_772_341_200)
        .write(Vec::new(), flate2::Compression::fast());
    file.write_all(TEXT.as_bytes()).unwrap();
    let mut file = file.finish().unwrap();
    // The checksum of the header is the one thing that the encoder does not write.
    let end = 10 + 2 + 3 + "readings.csv\0from the meter\0".len();
    file[3] |= 1 << 1;
    let mut checksum = flate2::Crc::new();
    checksum.update(&file[..end]);
    let checksum = (checksum.sum() as u16).to_le_bytes();
    file.splice(end..end, checksum);
    let packed = outcome(file.clone(), &layout(), options());
    assert_eq!(packed.message(), "");
    assert_eq!(packed.rows.len(), 4);

    file[15] ^= 1;
    let damaged = outcome(file, &layout(), options());
    assert!(
        damaged
            .message()
            .contains("a member's header does not have the checksum")
    );
}

#[test]
fn zeros_after_the_last_member_mean_nothing() {
    let mut file = gzip(TEXT);
    file.resize(file.len() + 300_000, 0);
    let padded = outcome(file.clone(), &layout(), options());
    assert_eq!(padded.message(), "");
    assert_eq!(padded.rows.len(), 4);

    let length = file.len();
    file.push(b'x');
    let followed = outcome(file, &layout(), options());
    assert_eq!(
        followed.message(),
        format!(
            "the gzip data of the file is damaged at byte {length}: \
             what follows its last member is not gzip; its text was read up to byte {}",
            TEXT.len()
        )
    );
}

#[test]
fn what_follows_compressed_data_and_is_none_is_an_error() {
    for (name, pack) in PACKS {
        let mut file = pack(TEXT.as_bytes());
        let length = file.len() as u64;
        file.extend(b"a,b\n5,five\n");
        let error = outcome(file, &layout(), options()).error.unwrap();
        assert!(
            matches!(error, ReadError::Damaged { stored, .. } if stored == length),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_file_that_is_only_named_as_if_it_were_compressed_is_read_as_it_is() {
    // A reader does not know names; these are texts that begin a little like compressed data.
    for start in ["\u{1F}", "(", "P*M", "(\u{B5}/"] {
        let text = format!("{start},b\n1,2\n");
        let plain = outcome(text, &Layout::csv(text_columns(&["b"])), options());
        assert_eq!(plain.cells(), ["2"]);
    }
}

#[test]
fn a_file_cut_anywhere_keeps_the_rows_before_and_fails() {
    let whole = outcome(TEXT, &layout(), options()).rows;
    for (name, pack) in PACKS {
        // More than one member, so that some cuts are between two.
        let middle = TEXT.len() / 2;
        let first = pack(&TEXT.as_bytes()[..middle]);
        let mut file = first.clone();
        file.extend(pack(&TEXT.as_bytes()[middle..]));
        let telling = if name == "gzip" { 2 } else { 4 };
        for cut in telling..file.len() {
            if cut == first.len() {
                continue;
            }
            let result = outcome(&file[..cut], &layout(), options());
            let error = result.error.unwrap();
            let ReadError::Truncated { stored, text } = error else {
                panic!("{name} cut at {cut}: {error}");
            };
            assert_eq!(stored, cut as u64);
            let text = text as usize;
            assert!(text <= TEXT.len());
            let expected = whole
                .iter()
                .filter(|row| row.offset as usize + row.raw.len() < text)
                .count();
            assert_eq!(result.rows, whole[..expected], "{name} cut at {cut}");
        }
    }
}

#[test]
fn with_reject_the_record_that_is_cut_is_one_rejected_row() {
    let whole = outcome(TEXT, &layout(), options()).rows;
    for (name, pack) in PACKS {
        let file = pack(TEXT.as_bytes());
        for cut in 4..file.len() {
            let failed = outcome(&file[..cut], &layout(), options());
            let Some(ReadError::Truncated { stored, text }) = failed.error else {
                panic!("{name} cut at {cut}: {failed:?}");
            };
            let kept = outcome(&file[..cut], &layout(), rejecting());
            if (text as usize) < "a,b\n".len() {
                let error = kept.error.unwrap();
                assert!(matches!(error, ReadError::Truncated { .. }), "{error}");
                continue;
            }
            assert_eq!(kept.message(), "", "{name} cut at {cut}");
            assert_eq!(kept.warnings, [Warning::Truncated { stored, text }]);
            let good = failed.rows.len();
            assert_eq!(kept.rows[..good], whole[..good]);
            let end = whole[..good]
                .last()
                .map_or(4, |row| row.offset as usize + row.raw.len() + 1);
            let rest = &TEXT[end..text as usize];
            match &kept.rows[good..] {
                [] => assert_eq!(rest, "", "{name} cut at {cut}"),
                [row] => {
                    assert_eq!(row.raw, rest.trim_end_matches('\n'));
                    assert_eq!(row.cells, "∅|∅");
                    let fault = "truncated: the compressed file stops within this record";
                    assert_eq!(row.faults, [fault]);
                }
                more => panic!("{name} cut at {cut}: {more:?}"),
            }
        }
    }
}

/// A member of which all data is there, in stored blocks, and the checksum is not.
fn cut_behind(text: &str) -> Vec<u8> {
    let mut file = gzip(text);
    file.truncate(file.len() - 8);
    file
}

#[test]
fn a_cut_between_two_records_rejects_nothing() {
    let file = cut_behind("a,b\n1,one\n2,two\n");
    let kept = outcome(file.clone(), &layout(), rejecting());
    assert_eq!(kept.cells(), ["1|one", "2|two"]);
    let stored = file.len() as u64;
    assert_eq!(kept.warnings, [Warning::Truncated { stored, text: 16 }]);
    assert_eq!(
        kept.warnings[0].to_string(),
        format!(
            "the compressed file stops at byte {stored}, before its end; \
             its 16 bytes of text were read"
        )
    );
    let failed = outcome(file, &layout(), options());
    assert_eq!(failed.cells(), ["1|one", "2|two"]);
    assert_eq!(
        failed.message(),
        format!(
            "the compressed file stops at byte {stored}, before its end; \
             its text stops at byte 16; \
             get the whole file, or declare on_truncated: reject to go without the rest"
        )
    );
}

#[test]
fn a_cut_line_end_and_a_blank_line_are_no_record() {
    let kept = outcome(cut_behind("a,b\r\n1,one\r\n\r"), &layout(), rejecting());
    assert_eq!(kept.cells(), ["1|one"]);
    // Here the CR may be the first half of a line end, or text of a longer field.
    let kept = outcome(cut_behind("a,b\r\n1,one\r"), &layout(), rejecting());
    assert_eq!(kept.cells(), ["∅|∅"]);
    assert_eq!(kept.rows[0].raw, "1,one");
}

#[test]
fn an_open_quote_at_the_cut_is_part_of_the_record_that_is_cut() {
    let file = cut_behind("a,b\n1,one\n2,\"two\n3,three\n");
    let kept = outcome(file.clone(), &layout(), rejecting());
    assert_eq!(kept.cells(), ["1|one", "∅|∅"]);
    assert_eq!(kept.rows[1].raw, "2,\"two\n3,three");
    assert!(kept.rows[1].faults[0].starts_with(check::TRUNCATED));
    assert_eq!(outcome(file, &layout(), options()).cells(), ["1|one"]);
}

#[test]
fn a_header_that_is_cut_cannot_be_used_whatever_the_policy() {
    for options in [options(), rejecting()] {
        let cut = outcome(cut_behind("a,b"), &layout(), options);
        assert!(matches!(
            cut.error,
            Some(ReadError::Truncated { text: 3, .. })
        ));
        let cut = outcome(cut_behind(""), &layout(), options);
        assert!(matches!(
            cut.error,
            Some(ReadError::Truncated { text: 0, .. })
        ));
    }
}

#[test]
fn damaged_data_is_an_error_whatever_the_policy() {
    let long: String = (0..20_000).map(|n| format!("{n},{}\n", n * 7919)).collect();
    let text = format!("a,b\n{long}");
    for (name, pack) in PACKS {
        let good = pack(text.as_bytes());
        for at in [good.len() / 2, good.len() - 2] {
            let mut file = good.clone();
            file[at] ^= 0xFF;
            let error = outcome(file, &layout(), rejecting()).error.unwrap();
            let ReadError::Damaged {
                compression,
                stored,
                ..
            } = &error
            else {
                panic!("{name} at {at}: {error}");
            };
            assert_eq!(*compression, name);
            assert!(*stored <= good.len() as u64);
        }
    }
}

#[test]
fn a_wrong_checksum_and_a_wrong_length_say_so() {
    let good = gzip(TEXT);
    let mut file = good.clone();
    let at = file.len() - 8;
    file[at] ^= 1;
    let message = outcome(file, &layout(), options()).message();
    assert!(
        message.contains("its data does not have the checksum that it should"),
        "{message}"
    );
    let mut file = good;
    let at = file.len() - 1;
    file[at] ^= 1;
    let message = outcome(file, &layout(), options()).message();
    assert!(
        message.contains("its data does not have the length that it should"),
        "{message}"
    );
}

#[test]
fn unknown_flags_of_a_gzip_header_are_damage() {
    let mut file = gzip(TEXT);
    file[3] |= 0x80;
    let message = outcome(file, &layout(), options()).message();
    assert!(
        message.contains("a member's header has unknown flags"),
        "{message}"
    );
}

#[test]
fn a_frame_that_needs_too_much_memory_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(TEXT.as_bytes()).unwrap();
    let file = encoder.finish().unwrap();
    let message = outcome(file, &layout(), options()).message();
    assert!(
        message.contains(
            "needs more than 128 MiB to be read; compress it again without a long window"
        ),
        "{message}"
    );
}

proptest! {
    #[test]
    fn compressed_in_any_pieces_a_file_reads_like_the_plain_one(
        lines in prop::collection::vec("[a-z\",\r\n]{0,12}", 0..40),
        pieces in prop::collection::vec(1usize..60, 1..8),
        chunk_bytes in 1usize..200,
        with_zstd: bool,
    ) {
        let text = format!("a,b\n{}", lines.join("\n"));
        let pack = PACKS[usize::from(with_zstd)].1;
        let mut file = Vec::new();
        let mut rest = text.as_bytes();
        for piece in pieces.iter().cycle() {
            let (head, tail) = rest.split_at(rest.len().min(*piece));
            file.extend(pack(head));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let options = Options { chunk_bytes, ..Options::default() };
        let packed = outcome(file, &layout(), options);
        let plain = outcome(text.as_str(), &layout(), options);
        prop_assert_eq!(packed.message(), plain.message());
        prop_assert_eq!(packed.rows, plain.rows);
    }

    #[test]
    fn compressed_data_with_any_byte_changed_is_read_or_refused(
        at in 0usize..10_000,
        change in 1u8..,
        with_zstd: bool,
    ) {
        let pack = PACKS[usize::from(with_zstd)].1;
        let mut file = pack(TEXT.repeat(30).as_bytes());
        let at = at % file.len();
        file[at] ^= change;
        // Some bytes mean nothing, such as the time in a gzip header.
        let _ = outcome(file, &layout(), options());
    }
}
