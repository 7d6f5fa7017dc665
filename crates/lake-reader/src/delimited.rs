//! Delimited text: CSV, TSV, and their relatives.
//!
//! ```text
//!  bytes ──► Chunks ──► Chunk (whole records) ──► Binding::parse ──► Block
//!               │                                     ▲
//!               └─► Header ─► Binding::by_name ───────┘   (names to positions, once per file)
//! ```

use std::sync::Arc;

use crate::chunk::Options;
use crate::layout::{Dialect, Layout};
use crate::mismatch::HeaderError;
use crate::reader::{Opened, ReadError, in_order};
use crate::text::Text;

mod binding;
mod cells;
mod chunks;
pub(crate) mod header;
mod marks;
mod record;
mod rows;

use binding::Binding;
use chunks::Chunks;
use header::Header;

/// Reads the header, where there is one, and binds the declared columns to the fields of a record.
pub(crate) fn open(
    text: Text,
    dialect: Dialect,
    layout: &Layout,
    options: Options,
) -> Result<Opened, ReadError> {
    if let Some(problem) = dialect.problem() {
        return Err(HeaderError::Dialect { problem }.into());
    }
    let mut chunks = Chunks::new(text, dialect, options);
    let (binding, header) = if dialect.header {
        let header = Header::read(&mut chunks, dialect)?;
        let binding = Binding::by_name(&header, dialect, layout)?;
        (binding, header.raw().to_owned())
    } else {
        (Binding::by_position(dialect, layout)?, String::new())
    };
    Ok(Opened {
        schema: Arc::clone(binding.schema()),
        header,
        pieces: in_order(chunks, binding),
    })
}
