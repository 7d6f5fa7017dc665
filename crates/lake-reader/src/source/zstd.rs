//! Zstandard, as RFC 8878 specifies it: frames one after the other, and between them some that
//! are to be skipped.

use std::fmt;
use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::raw::Raw;
use super::unpacked::Stop;

/// How every frame with data starts.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// How frames start that are to be skipped; the last four bits of the first byte may be anything.
const SKIPPED: [u8; 4] = [0x50, 0x2A, 0x4D, 0x18];

/// The most that a frame may make its reader remember, as a power of two in bytes. It is what the
/// `zstd` program accepts as well, unless it is told otherwise.
const WINDOW_LOG: u32 = 27;

/// Unpacks the frames of a file.
pub(crate) struct Zstd {
    decoder: Decoder<'static>,
    /// Whether a frame has started and is not at its end.
    in_frame: bool,
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd")
            .field("in_frame", &self.in_frame)
            .finish_non_exhaustive()
    }
}

/// Whether a file that starts with these bytes starts with a frame.
pub(crate) fn starts_frame(bytes: &[u8]) -> bool {
    bytes.len() >= MAGIC.len() && may_start_frame(bytes)
}

/// The same as far as there are bytes.
fn may_start_frame(bytes: &[u8]) -> bool {
    let mut first_four = bytes.iter().take(MAGIC.len()).enumerate();
    MAGIC.iter().zip(bytes).all(|(magic, byte)| magic == byte)
        || first_four.all(|(at, byte)| SKIPPED[at] == if at == 0 { byte & 0xF0 } else { *byte })
}

impl Zstd {
    pub(crate) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            decoder,
            in_frame: false,
        })
    }

    /// Appends what `out` has room for, and says whether the file ends there.
    pub(crate) fn append_to(&mut self, raw: &mut Raw, out: &mut Vec<u8>) -> Result<bool, Stop> {
        while out.len() < out.capacity() {
            if !self.in_frame {
                let start = raw.peek(MAGIC.len())?;
                if start.is_empty() {
                    return Ok(true);
                }
                if !starts_frame(start) {
                    return Err(if may_start_frame(start) {
                        truncated(raw)
                    } else {
                        damaged(raw, "what follows its last frame is not zstd")
                    });
                }
                self.decoder.reinit()?;
                self.in_frame = true;
            }
            let before = out.len();
            let stored = raw.peek(1)?;
            let is_all = stored.is_empty();
            let mut input = InBuffer::around(stored);
            let result = self
                .decoder
                .run(&mut input, &mut OutBuffer::around_pos(out, before));
            let taken = input.pos();
            raw.take(taken);
            match result {
                Ok(0) => self.in_frame = false,
                Ok(_) if is_all && out.len() == before => return Err(truncated(raw)),
                Ok(_) => {}
                Err(error) => return Err(refused(raw, &error)),
            }
        }
        Ok(false)
    }
}

/// What the decoder has to say, with the next step where there is one.
fn refused(raw: &Raw, error: &io::Error) -> Stop {
    let reason = error.to_string();
    if reason.contains("too much memory") {
        let most = 1u64 << (WINDOW_LOG - 20);
        let reason = format!(
            "a frame needs more than {most} MiB to be read; compress it again without a long window"
        );
        return damaged(raw, &reason);
    }
    damaged(raw, &format!("its data cannot be decoded ({reason})"))
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
        compression: "zstd",
        offset: raw.offset(),
        reason: reason.to_owned(),
    }
}
