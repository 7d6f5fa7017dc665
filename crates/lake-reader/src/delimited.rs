//! Delimited text: CSV, TSV, and their relatives.
//!
//! ```text
//!  bytes ──► Chunks ──► Chunk (whole records) ──► Binding::parse ──► Block
//!               │                                     ▲
//!               └─► Header ─► Binding::new ───────────┘   (names to positions, once per file)
//! ```

use std::sync::Arc;

use crate::chunk::Options;
use crate::layout::{Dialect, Layout};
use crate::reader::{Opened, ReadError, in_order};
use crate::text::Text;

mod binding;
mod cells;
mod chunks;
pub(crate) mod header;
mod record;
mod rows;

use binding::Binding;
use chunks::Chunks;
use header::Header;

/// Reads the header and binds the declared columns to it.
pub(crate) fn open(
    text: Text,
    _dialect: Dialect,
    layout: &Layout,
    options: Options,
) -> Result<Opened, ReadError> {
    let mut chunks = Chunks::new(text, options);
    let header = Header::read(&mut chunks)?;
    let binding = Binding::new(&header, Arc::clone(&layout.columns))?;
    Ok(Opened {
        schema: Arc::clone(binding.schema()),
        header: header.raw().to_owned(),
        pieces: in_order(chunks, binding),
    })
}
