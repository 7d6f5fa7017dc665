//! Bytes to record batches and rejected records.
//!
//! The usual CSV readers stop at the first bad row, or turn it into NULLs
//! without a word. This one treats messy input as data: every record of the
//! file becomes one row, and everything that is wrong with it is listed beside
//! the row as a [`Fault`], together with the line, the byte offset and the raw
//! text of the record. `Err` means that reading cannot go on at all.
//!
//! The work is split so that the cheap part is sequential and the expensive
//! part is a pure function:
//!
//! ```text
//!  Source ──► text ──► cut (in order) ──► whole records ──► parse (any thread) ──► Block
//! ```
//!
//! [`Reader::next_block`] does both for the next piece of a file, and may be called from any number
//! of threads:
//!
//! ```
//! use lake_reader::{Column, ColumnType, Layout, Options, Reader};
//!
//! let columns = vec![
//!     Column::new("meter", ColumnType::Text).required(),
//!     Column::new("kwh", ColumnType::Decimal { precision: 12, scale: 3 }),
//! ];
//! let file = b"meter,kwh\nM1,1.25\nM2,a lot\n".to_vec();
//! let reader = Reader::open(&file, &Layout::csv(columns), Options::default())?;
//! while let Some(block) = reader.next_block() {
//!     let block = block?;
//!     assert_eq!(block.batch.num_rows(), 2);
//!     assert_eq!(block.faults[0].message, "'a lot' is not a decimal(12, 3)");
//!     assert_eq!(block.raw(1), "M2,a lot");
//!     assert_eq!(block.lines.value(1), 3);
//! }
//! # Ok::<(), lake_reader::ReadError>(())
//! ```
//!
//! # What a record is
//!
//! - Fields are separated by commas. A quote (`"`) opens only at the very start
//!   of a field; anywhere else it is ordinary text. Inside quotes, two quotes
//!   are one literal quote, and one quote closes.
//! - LF and CRLF end a record. A CR anywhere else is text, as in RFC 4180; only
//!   at the end of the file does it end a record too, because that is a CRLF
//!   which was cut in the middle.
//! - A byte order mark at the start of the file is skipped, a missing line end
//!   at the end of the file is fine, and lines without any text are skipped,
//!   but counted as lines.
//! - A quote that is still open at the end of the file, or after
//!   [`Options::max_record_bytes`], is taken for a mistake: the line on which
//!   its record starts is one broken record, and reading goes on with the next
//!   line.
//! - A record longer than the limit is one broken record, of which only the
//!   first bytes are kept. It ends at the first line end after the limit.
//!
//! None of this depends on the chunk size: the same bytes give the same rows,
//! lines and faults.
//!
//! # What a value is
//!
//! | type | accepted |
//! |---|---|
//! | text | anything that is UTF-8, kept as it is |
//! | boolean | `true`, `false`, in any case |
//! | int32, int64 | an optional sign and digits |
//! | float64 | decimal or exponent notation; not `NaN`, not infinite |
//! | decimal(p, s) | an optional sign, digits, and a fraction; no exponent; decimal places beyond the scale only if they are zeros |
//! | date | `YYYY-MM-DD`, years 0001 to 9999 |
//! | timestamp | a date, `T` or a space, `HH:MM`, and optionally `:SS`, a fraction down to microseconds, and a zone (`Z`, `+HH`, `+HHMM`, `+HH:MM`); without a zone it is UTC |
//!
//! An empty field is NULL. A quoted empty field is the empty string in a text
//! column and NULL in any other. A required column takes neither NULL nor the
//! empty string. Spaces and tabs around a value are ignored, except in text.
//!
//! # JSON
//!
//! The grammar is [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), exactly, with objects and
//! arrays up to 128 deep. What is not JSON is a fault that names the byte, and what could be there.
//!
//! | type | accepted |
//! |---|---|
//! | text | strings, as the text that they mean; half of a surrogate pair is a fault |
//! | boolean | `true` and `false`; declared spellings as strings or numbers |
//! | int32, int64 | numbers that are whole in any notation: `7`, `7.0`, `7e2` |
//! | float64 | finite numbers |
//! | decimal(p, s) | numbers in any notation, exactly; never through a float |
//! | date, timestamp | strings; numbers only where a declared format takes them |
//! | json | any value, as its text without the whitespace outside of strings |
//! | struct | objects, by the names of its fields |
//! | list | arrays |
//! | map | objects; a name that is there twice is a fault |
//!
//! - In every type but text and json, a string is what the same text is in a delimited file, with
//!   the same [`Rules`]: `"12.50"` is a decimal, and `"12,50"` one where a comma separates the
//!   fraction. Numbers are written as JSON writes them, whatever the rules say.
//! - `null` and a missing field are NULL, and so are declared spellings of NULL. A field that is
//!   there twice in one object is a fault: nobody can know which one is meant.
//! - Every wrong value is a fault of its own that says where it is: `items[3].price`. Cells of
//!   declared columns that have a fault in any part are NULL as a whole.
//! - In [`Format::NdJson`], a record is a line.
//! - In [`Format::Json`], records are the elements of arrays at the top level, or objects at the
//!   top level. Where one ends is found by its brackets and strings. What is between records and is
//!   neither a comma where one belongs, nor the bracket of an array, nor whitespace, is a broken
//!   record.
//! - A record whose brackets or strings do not close is broken. It goes on up to the next line that
//!   starts with `{` (or with the `]` of the array) and is indented no deeper than the line on
//!   which the broken record starts.
//! - A file that ends inside of an array or a record is cut off, which
//!   [`Options::on_truncated`] decides on as for compressed data that stops before its end.

mod block;
mod chunk;
mod column;
mod delimited;
mod fault;
mod json;
mod layout;
mod mismatch;
mod parquet;
mod reader;
mod rules;
mod sample;
mod source;
mod text;
mod values;

pub use block::Block;
pub use chunk::{OnTruncated, Options};
pub use column::{Column, ColumnType};
pub use fault::{Fault, check};
pub use layout::{Dialect, Encoding, ExtraColumns, Format, Layout, MissingColumns};
pub use mismatch::{HeaderError, MissingColumn, Warning};
pub use parquet::parquet_columns;
pub use reader::{ReadError, Reader};
pub use rules::{Ambiguous, Nonexistent, Rules, Whitespace, Zone};
pub use sample::{Compression, Sample};
pub use source::{LocalFile, Ranges, Source};
pub use text::EncodingError;
