//! The bytes of a file, unpacked where they are compressed.
//!
//! What a file is compressed with is known by its first bytes, whatever its name.

use std::io::{self, Read};

use super::gzip::{self, Gzip};
use super::raw::Raw;
use super::zstd::{self, Zstd};
use crate::sample::Compression;

/// As many bytes as tell what a file is compressed with.
const TELLING_BYTES: usize = 4;

/// The unpacked bytes of a file, from the first to the last.
#[derive(Debug)]
pub(crate) struct Unpacked {
    raw: Raw,
    packing: Packing,
}

#[derive(Debug)]
enum Packing {
    None,
    Gzip(Gzip),
    Zstd(Zstd),
}

/// Why there are no more bytes, although the end was not reached.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The source failed.
    Source(io::Error),
    /// The file ends inside of compressed data. Everything before was delivered.
    Truncated {
        /// How many bytes the file has.
        stored: u64,
    },
    /// The compressed data cannot be what was compressed.
    Damaged {
        compression: &'static str,
        /// Where in the file this was noticed, counted from 0 in bytes.
        offset: u64,
        reason: String,
    },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

impl Unpacked {
    /// Looks at the first bytes of a file.
    pub(crate) fn open(source: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut raw = Raw::new(source);
        let start = raw.peek(TELLING_BYTES)?;
        let is_gzip = start.len() >= 2 && gzip::MAGIC.iter().zip(start).all(|(a, b)| a == b);
        let packing = if is_gzip {
            Packing::Gzip(Gzip::new())
        } else if zstd::starts_frame(start) {
            Packing::Zstd(Zstd::new()?)
        } else {
            Packing::None
        };
        Ok(Self { raw, packing })
    }

    /// How the file is compressed.
    pub(crate) fn compression(&self) -> Compression {
        match self.packing {
            Packing::None => Compression::None,
            Packing::Gzip(_) => Compression::Gzip,
            Packing::Zstd(_) => Compression::Zstd,
        }
    }

    /// Appends bytes until `out` is full, and says whether the file ends there. It does not grow
    /// `out`, and after an error, `out` has what could be read before.
    pub(crate) fn append_to(&mut self, out: &mut Vec<u8>) -> Result<bool, Stop> {
        match &mut self.packing {
            Packing::None => Ok(self.raw.append_to(out)?),
            Packing::Gzip(gzip) => gzip.append_to(&mut self.raw, out),
            Packing::Zstd(zstd) => zstd.append_to(&mut self.raw, out),
        }
    }
}
