//! Text in another encoding to UTF-8, without losing anything.
//!
//! What another encoding cannot mean is written as bytes that UTF-8 cannot have, so that it is a
//! fault of its record like any other bad byte:
//!
//! - half a surrogate pair in UTF-16 as the three bytes that its number would have
//!   ([generalised UTF-8](https://simonsapin.github.io/wtf-8/#generalized-utf8)),
//! - the first half of a unit at the end of UTF-16 as itself, or, where that would be a character,
//!   as the two bytes of an overlong form.

use encoding_rs::mem;

/// How many units are transcoded at a time: few enough to stay in a cache.
const UNITS: usize = 1 << 13;

/// The order of the two bytes of a unit of UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    LittleEndian,
    BigEndian,
}

/// Appends ISO 8859-1 as UTF-8.
pub(crate) fn latin1(bytes: &[u8], text: &mut Vec<u8>) {
    for bytes in bytes.chunks(UNITS) {
        let before = text.len();
        text.resize(before + 2 * bytes.len(), 0);
        let written = mem::convert_latin1_to_utf8(bytes, &mut text[before..]);
        text.truncate(before + written);
    }
}

/// Appends as much of UTF-16 as can be understood yet, and says how many bytes that was.
///
/// `last` says that nothing follows: then it is everything.
pub(crate) fn utf16(bytes: &[u8], order: ByteOrder, last: bool, text: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    let mut units = Vec::with_capacity(UNITS.min(bytes.len() / 2));
    loop {
        units.clear();
        let rest = &bytes[taken..];
        let pairs = rest.chunks_exact(2).take(UNITS);
        let both = |pair: &[u8]| [pair[0], pair[1]];
        match order {
            ByteOrder::LittleEndian => units.extend(pairs.map(|p| u16::from_le_bytes(both(p)))),
            ByteOrder::BigEndian => units.extend(pairs.map(|p| u16::from_be_bytes(both(p)))),
        }
        let is_all = rest.len() / 2 == units.len();
        let understood = characters(&units, last && is_all, text);
        taken += 2 * understood;
        if is_all {
            break;
        }
    }
    if let (true, &[half]) = (last, &bytes[taken..]) {
        if half < 0x80 {
            text.push(0xC0 | half >> 6);
            text.push(0x80 | half & 0x3F);
        } else {
            text.push(half);
        }
        taken += 1;
    }
    taken
}

/// Appends units as UTF-8 and says how many: all, but for a first half of a pair at the end whose
/// other half may follow.
fn characters(units: &[u16], last: bool, text: &mut Vec<u8>) -> usize {
    let mut done = 0;
    loop {
        let rest = &units[done..];
        let valid = mem::utf16_valid_up_to(rest);
        let before = text.len();
        text.resize(before + 3 * valid, 0);
        let written = mem::convert_utf16_to_utf8(&rest[..valid], &mut text[before..]);
        text.truncate(before + written);
        done += valid;
        let Some(&lone) = rest.get(valid) else {
            return done;
        };
        let is_first_half = (0xD800..0xDC00).contains(&lone);
        if is_first_half && valid + 1 == rest.len() && !last {
            return done;
        }
        text.push(0xE0 | (lone >> 12) as u8);
        text.push(0x80 | (lone >> 6 & 0x3F) as u8);
        text.push(0x80 | (lone & 0x3F) as u8);
        done += 1;
    }
}
