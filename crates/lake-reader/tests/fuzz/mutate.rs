//! Files that are nearly right.

/// A generator of numbers that look random and are the same for the same seed: xorshift64*, see
/// Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What formats, values and encodings are sensitive to.
const TOKENS: [&[u8]; 40] = [
    b"\"",
    b"\"\"",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\\",
    b"'",
    b"#",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF\xFE",
    b"\xC3",
    b"\xED\xA0\x80",
    "é".as_bytes(),
    "\u{1F600}".as_bytes(),
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"true",
    b"1e400",
    b"-",
    b"99999999999999999999999999999999999999999",
    b"0.0000000000000000000000001",
    b"2026-02-30",
    b"2026-03-29T02:30:00",
    b"23:59:60",
    b"\\u",
    b"\\uD800",
    b"\\uDC00",
    b"{\"a\":",
    b"[[[[[[[[",
    b"\x1F\x8B\x08",
    b"\x28\xB5\x2F\xFD",
    b"PAR1",
];

/// The same file with some things wrong.
pub(crate) fn mutate(random: &mut Random, file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(file.len() + 1);
        let length = random.below(40).min(file.len() - at);
        match random.below(9) {
            0 => drop(file.drain(at..at + length)),
            1 => {
                let piece = file[at..at + length].to_vec();
                for _ in 0..=random.below(3) {
                    file.splice(at..at, piece.iter().copied());
                }
            }
            2 => file.truncate(at),
            3 if at < file.len() => file[at] ^= 1 << random.below(8),
            4 if at < file.len() => file[at] = random.next() as u8,
            5 => {
                let from = random.below(other.len() + 1);
                let piece = random.below(200).min(other.len() - from);
                file.splice(at..at, other[from..from + piece].iter().copied());
            }
            6 => {
                let to = random.below(file.len() + 1);
                let piece = file[at..at + length].to_vec();
                file.splice(to..to, piece);
            }
            _ => {
                let token = *random.pick(&TOKENS);
                file.splice(at..at, token.iter().copied());
            }
        }
    }
    file
}
