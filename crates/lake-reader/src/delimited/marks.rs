//! Finding all bytes of two kinds in one pass.

/// Tells `found` the positions of all bytes that are one of two, in order.
///
/// Delimiters are a few bytes apart, so that a search from one to the next spends its time on
/// starting. Here, 64 bytes at a time become the bits of one number.
#[inline]
pub(crate) fn for_each_of_two(bytes: &[u8], one: u8, other: u8, mut found: impl FnMut(usize)) {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut start = 0;
    for block in blocks {
        let mut bits = equal_bits(block, one, other);
        while bits != 0 {
            found(start + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
        start += 64;
    }
    for (at, &byte) in rest.iter().enumerate() {
        if byte == one || byte == other {
            found(start + at);
        }
    }
}

/// Bit n is set if byte n is one of the two.
#[inline]
fn equal_bits(block: &[u8; 64], one: u8, other: u8) -> u64 {
    /// Moves the lowest bits of eight bytes into the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = block.map(|byte| u8::from(byte == one) | u8::from(byte == other));
    let (words, _) = flags.as_chunks::<8>();
    let mut bits = 0;
    for (n, word) in words.iter().enumerate() {
        bits |= (u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56) << (8 * n);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_found_in_order() {
        // Any pattern of a few bytes, at every place of a block and of the rest.
        let mut state = 1u32;
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [b',', b'\n', b'a', b'-', 0x80, 0xFF][(state >> 16) as usize % 6]
                })
                .collect();
            let expected: Vec<usize> = (0..length)
                .filter(|&at| bytes[at] == b',' || bytes[at] == b'\n')
                .collect();
            let mut found = Vec::new();
            for_each_of_two(&bytes, b',', b'\n', |at| found.push(at));
            assert_eq!(found, expected);
        }
    }
}
