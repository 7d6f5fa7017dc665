//! JSON: objects one a line, or the elements of arrays.
//!
//! ```text
//!  Text ──► Window ──► Lines, Elements ──► Piece (whole records) ──► Rows ──► Block
//!                       (in order: brackets    │                 (any thread: the exact grammar,
//!                        and strings only)     └─ and broken ones          values, faults)
//! ```
//!
//! The grammar is [`syntax`]'s and nobody else's. A record is parsed straight into the cells of
//! its columns ([`read`]); where it turns out not to be JSON, they are cut back.

use std::sync::Arc;

use crate::chunk::Options;
use crate::layout::Layout;
use crate::reader::{Opened, ReadError, in_order};
use crate::text::Text;
use crate::values::reason::Reason;

mod cells;
mod compact;
mod elements;
mod endless;
mod found;
mod lines;
mod nesting;
mod number;
mod piece;
mod read;
mod rows;
mod shape;
mod syntax;
mod text;
mod undeclared;
mod window;

use elements::Elements;
use lines::Lines;
use rows::{Rows, Separated};
use window::Window;

/// Whether a text is one JSON value.
pub(crate) fn validate(text: &[u8]) -> Result<(), Reason> {
    compact::check(text).map_err(|error| Reason::Syntax {
        at: error.at,
        expected: error.expected,
    })
}

/// Opens a file that has a record on every line.
pub(crate) fn open_lines(
    text: Text,
    layout: &Layout,
    options: Options,
) -> Result<Opened, ReadError> {
    let rows = Rows::new(layout, Separated::ByLines, options)?;
    let lines = Lines::new(Window::new(text), options);
    Ok(Opened {
        schema: Arc::clone(rows.schema()),
        header: String::new(),
        pieces: in_order(lines, rows),
    })
}

/// Opens a file whose records are the elements of arrays, or stand one after the other.
pub(crate) fn open_elements(
    text: Text,
    layout: &Layout,
    options: Options,
) -> Result<Opened, ReadError> {
    let rows = Rows::new(layout, Separated::ByCommas, options)?;
    let elements = Elements::new(Window::new(text), options);
    Ok(Opened {
        schema: Arc::clone(rows.schema()),
        header: String::new(),
        pieces: in_order(elements, rows),
    })
}
