//! Finding all bytes of some kinds in one pass.

/// Tells `found` the positions of all bytes for which `is_mark` holds, in order.
///
/// Marks are a few bytes apart, so that a search from one to the next spends its time on starting.
/// Here, 64 bytes at a time become the bits of one number. `is_mark` should have no branches.
#[inline]
pub(crate) fn for_each_mark(
    bytes: &[u8],
    is_mark: impl Fn(u8) -> bool,
    mut found: impl FnMut(usize),
) {
    let (blocks, rest) = bytes.as_chunks::<64>();
    // The rest is a block as well, with nothing behind it.
    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    for n in 0..=blocks.len() {
        let mut bits = match blocks.get(n) {
            Some(block) => mark_bits(block, &is_mark),
            None => mark_bits(&last, &is_mark) & !(u64::MAX << rest.len()),
        };
        while bits != 0 {
            found(64 * n + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}

/// Bit n is set if byte n is a mark.
#[inline]
fn mark_bits(block: &[u8; 64], is_mark: impl Fn(u8) -> bool) -> u64 {
    /// Moves the lowest bits of eight bytes into the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = block.map(|byte| u8::from(is_mark(byte)));
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
            let is_mark = |byte| (byte == b',') | (byte == b'\n');
            for_each_mark(&bytes, is_mark, |at| found.push(at));
            assert_eq!(found, expected);
        }
    }
}
