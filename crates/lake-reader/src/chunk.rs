//! Pieces of a text file that have whole records, and the records that are broken.

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// About how many bytes of text one [`Block`](crate::Block) is made from. It is more where a
    /// single record is longer, up to twice [`max_record_bytes`](Self::max_record_bytes).
    pub chunk_bytes: usize,
    /// How many bytes a record may have, up to its line end.
    pub max_record_bytes: usize,
    /// What happens where compressed data stops before its end, or JSON inside of an array or a
    /// record.
    pub on_truncated: OnTruncated,
}

/// What happens where compressed data stops before its end, or JSON inside of an array or a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTruncated {
    /// The records before the cut are delivered, and then reading fails.
    #[default]
    Fail,
    /// The records before the cut are delivered, and the one that it goes through is a fault.
    Reject,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk_bytes: 1 << 20,
            max_record_bytes: 1 << 20,
            on_truncated: OnTruncated::default(),
        }
    }
}

impl Options {
    /// Positions within a chunk are kept in 32 bits, and so are Arrow's
    /// offsets into text.
    const LARGEST: usize = 1 << 28;
    /// How much is kept of a record that is too long.
    pub(crate) const KEPT_BYTES: usize = 1 << 16;

    pub(crate) fn within_bounds(self) -> Self {
        Self {
            chunk_bytes: self.chunk_bytes.clamp(1, Self::LARGEST),
            max_record_bytes: self.max_record_bytes.clamp(1, Self::LARGEST),
            on_truncated: self.on_truncated,
        }
    }
}

/// Some whole records of a text file, in order, as they came (in UTF-8, where the file is encoded
/// otherwise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The records with what is between them. Of a record that is too long, only
    /// the first bytes; it is always the last of its chunk.
    pub(crate) bytes: Vec<u8>,
    /// Where in the text the first byte is, counted from 0.
    pub(crate) offset: u64,
    /// The physical line of the text on which the chunk starts, counted from 1.
    pub(crate) first_line: u64,
    /// The records that have no readable fields, by position.
    pub(crate) broken: Vec<Broken>,
}

/// A record of which only the extent is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Where the record starts in its chunk.
    pub(crate) start: usize,
    /// Where the next one would start.
    pub(crate) end: usize,
    pub(crate) damage: Damage,
}

/// Why a record has no readable fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A quote opens and is not closed in so many bytes.
    OpenQuote { within: usize },
    /// A quote opens and is not closed before the end of the file.
    OpenQuoteAtEnd,
    /// The compressed file stops before it is known where the record ends.
    Truncated,
    /// The record has so many bytes, and may only have fewer.
    TooLong { bytes: u64, limit: usize },
}

/// Where a record is in its chunk, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}
