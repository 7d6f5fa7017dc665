//! gzip, as RFC 1952 specifies it: members one after the other, each with a checksum.
//!
//! Zeros after the last member are what tapes and some archivers leave behind, and mean nothing.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::raw::Raw;
use super::unpacked::Stop;

/// How every member starts: two bytes that say gzip, and one for the only method there is.
pub(crate) const MAGIC: [u8; 3] = [0x1F, 0x8B, 8];

/// The flags of a member's header.
mod flag {
    pub(super) const HEADER_CHECKSUM: u8 = 1 << 1;
    pub(super) const EXTRA: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const COMMENT: u8 = 1 << 4;
    pub(super) const RESERVED: u8 = 0b1110_0000;
}

/// The bytes that follow the flags and say nothing about the data: time, level, system.
const IGNORED_BYTES: usize = 6;

/// Unpacks the members of a file.
#[derive(Debug)]
pub(crate) struct Gzip {
    inflate: Decompress,
    /// Of what the current member has yielded.
    checksum: Crc,
    /// Whether a header was read and its member is not at its end.
    in_member: bool,
}

impl Gzip {
    pub(crate) fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            checksum: Crc::new(),
            in_member: false,
        }
    }

    /// Appends what `out` has room for, and says whether the file ends there.
    pub(crate) fn append_to(&mut self, raw: &mut Raw, out: &mut Vec<u8>) -> Result<bool, Stop> {
        while out.len() < out.capacity() {
            if !self.in_member {
                if raw.offset() > 0 && only_padding_is_left(raw)? {
                    return Ok(true);
                }
                header(raw)?;
                self.inflate.reset(false);
                self.checksum.reset();
                self.in_member = true;
            }
            let (before, taken) = (out.len(), self.inflate.total_in());
            let input = raw.peek(1)?;
            let is_all = input.is_empty();
            let status = self
                .inflate
                .decompress_vec(input, out, FlushDecompress::None);
            raw.take((self.inflate.total_in() - taken) as usize);
            self.checksum.update(&out[before..]);
            match status {
                Ok(Status::StreamEnd) => self.trailer(raw)?,
                Ok(_) if is_all && out.len() == before => return Err(truncated(raw)),
                Ok(_) => {}
                Err(_) => return Err(damaged(raw, "its data cannot be decoded")),
            }
        }
        Ok(false)
    }

    /// Ends a member, whose checksum and length have to be those of its data.
    fn trailer(&mut self, raw: &mut Raw) -> Result<(), Stop> {
        self.in_member = false;
        let mut next = || -> Result<u32, Stop> {
            let mut bytes = [0; 4];
            for byte in &mut bytes {
                *byte = raw.byte()?.ok_or_else(|| truncated(raw))?;
            }
            Ok(u32::from_le_bytes(bytes))
        };
        let (checksum, length) = (next()?, next()?);
        if checksum != self.checksum.sum() {
            return Err(damaged(
                raw,
                "its data does not have the checksum that it should",
            ));
        }
        if length != self.checksum.amount() {
            return Err(damaged(
                raw,
                "its data does not have the length that it should",
            ));
        }
        Ok(())
    }
}

/// Whether there is nothing after a member, or nothing but zeros.
fn only_padding_is_left(raw: &mut Raw) -> Result<bool, Stop> {
    if raw.peek(1)?.first().is_some_and(|&byte| byte != 0) {
        return Ok(false);
    }
    loop {
        let rest = raw.peek(1)?;
        if rest.is_empty() {
            return Ok(true);
        }
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        let is_padding = zeros == rest.len();
        raw.take(zeros);
        if !is_padding {
            return Err(foreign(raw));
        }
    }
}

/// Takes the header of a member.
fn header(raw: &mut Raw) -> Result<(), Stop> {
    let start = raw.peek(MAGIC.len())?;
    if !start.starts_with(&MAGIC) {
        let is_start = MAGIC.starts_with(start);
        return Err(if is_start {
            truncated(raw)
        } else {
            foreign(raw)
        });
    }
    let mut header = Header {
        raw,
        checksum: Crc::new(),
    };
    header.skip(MAGIC.len())?;
    let flags = header.byte()?;
    header.skip(IGNORED_BYTES)?;
    if flags & flag::RESERVED != 0 {
        return Err(damaged(header.raw, "a member's header has unknown flags"));
    }
    if flags & flag::EXTRA != 0 {
        let length = u16::from_le_bytes([header.byte()?, header.byte()?]);
        header.skip(length.into())?;
    }
    for text in [flag::NAME, flag::COMMENT] {
        if flags & text != 0 {
            while header.byte()? != 0 {}
        }
    }
    if flags & flag::HEADER_CHECKSUM != 0 {
        let expected = header.checksum.sum() as u16;
        if u16::from_le_bytes([header.byte()?, header.byte()?]) != expected {
            let reason = "a member's header does not have the checksum that it should";
            return Err(damaged(header.raw, reason));
        }
    }
    Ok(())
}

/// The header of a member, while it is being read.
struct Header<'a> {
    raw: &'a mut Raw,
    checksum: Crc,
}

impl Header<'_> {
    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.raw.byte()?.ok_or_else(|| truncated(self.raw))?;
        self.checksum.update(&[byte]);
        Ok(byte)
    }

    fn skip(&mut self, count: usize) -> Result<(), Stop> {
        (0..count).try_for_each(|_| self.byte().map(drop))
    }
}

fn foreign(raw: &Raw) -> Stop {
    damaged(raw, "what follows its last member is not gzip")
}

/// The file ends here, and should not.
fn truncated(raw: &mut Raw) -> Stop {
    match raw.size() {
        Ok(stored) => Stop::Truncated { stored },
        Err(error) => error.into(),
    }
}

fn damaged(raw: &Raw, reason: &str) -> Stop {
    Stop::Damaged {
        compression: "gzip",
        offset: raw.offset(),
        reason: reason.to_owned(),
    }
}
