//! What the bytes of a file mean: its format, its encoding, and the columns that are wanted from it.
//!
//! Nothing of it is ever guessed from a file.

use std::fmt;
use std::sync::Arc;

use crate::column::Column;

/// Everything that has to be known to read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the file is made of.
    pub format: Format,
    /// How its text is encoded. Parquet has no text encoding and ignores it.
    pub encoding: Encoding,
    /// The columns that are wanted, in the order in which they are delivered.
    pub columns: Arc<[Column]>,
    /// What happens where a file does not have one of them.
    pub missing_columns: MissingColumns,
    /// What happens where a file has others.
    pub extra_columns: ExtraColumns,
}

impl Layout {
    /// Columns of files in this format: UTF-8, every column has to be there, others are only
    /// noted.
    pub fn new(format: Format, columns: impl Into<Arc<[Column]>>) -> Self {
        Self {
            format,
            encoding: Encoding::default(),
            columns: columns.into(),
            missing_columns: MissingColumns::default(),
            extra_columns: ExtraColumns::default(),
        }
    }

    /// Columns of comma-separated files with a header.
    pub fn csv(columns: impl Into<Arc<[Column]>>) -> Self {
        Self::new(Format::Delimited(Dialect::CSV), columns)
    }
}

/// What a file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of fields: CSV, TSV, and their relatives.
    Delimited(Dialect),
    /// One JSON object a line.
    NdJson,
    /// JSON objects: the elements of arrays at the top level, or one after the other. They may
    /// span lines.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// How delimited text says where fields and records end.
///
/// Every special byte is ASCII, so that it can be found without decoding, and none of them has two
/// roles or is a line end: [`problem`](Self::problem) says so, and such a file is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What is between two fields.
    pub delimiter: u8,
    /// What encloses a field in which other special bytes are text. It opens only at the very start
    /// of a field, anywhere else it is text; two of them inside are one.
    pub quote: Option<u8>,
    /// What takes its meaning from the byte that follows, inside quotes and outside, a line feed
    /// too. It is not part of the value, unless it is the last byte of the file.
    pub escape: Option<u8>,
    /// A line that starts with it, where a record would start, is skipped up to its line feed.
    pub comment: Option<u8>,
    /// Whether the first record names the columns. Without it, the fields of a record are the
    /// declared columns in their order.
    pub header: bool,
}

impl Dialect {
    /// RFC 4180 with a header: commas, and quotes where needed.
    pub const CSV: Self = Self {
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        comment: None,
        header: true,
    };

    /// Tabs, without any quoting, with a header.
    pub const TSV: Self = Self {
        delimiter: b'\t',
        quote: None,
        ..Self::CSV
    };

    /// What makes it impossible to tell records and fields apart; none if nothing does.
    pub fn problem(&self) -> Option<String> {
        let roles = [
            ("delimiter", Some(self.delimiter)),
            ("quote", self.quote),
            ("escape", self.escape),
            ("comment character", self.comment),
        ];
        let declared: Vec<(&str, u8)> = roles
            .into_iter()
            .filter_map(|(role, byte)| Some((role, byte?)))
            .collect();
        for (index, &(role, byte)) in declared.iter().enumerate() {
            let shown = byte.escape_ascii();
            if !byte.is_ascii() {
                return Some(format!("the {role} '{shown}' is not ASCII"));
            }
            if matches!(byte, b'\n' | b'\r') {
                return Some(format!("the {role} '{shown}' is a line end"));
            }
            if let Some((other, _)) = declared[..index].iter().find(|(_, same)| *same == byte) {
                return Some(format!("'{shown}' is both the {other} and the {role}"));
            }
        }
        None
    }
}

/// How text is encoded. A byte order mark at the start of a file is skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8. What is not is a fault of its record.
    #[default]
    Utf8,
    /// UTF-16 in the byte order that the file's byte order mark says; a file without one cannot
    /// be read.
    Utf16,
    /// UTF-16, the less significant byte first.
    Utf16Le,
    /// UTF-16, the more significant byte first.
    Utf16Be,
    /// ISO 8859-1: every byte is the character with its number.
    Latin1,
}

/// As transforms declare it.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Latin1 => "latin-1",
        })
    }
}

/// What happens where a file does not have a declared column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingColumns {
    /// The file cannot be read. In JSON, where every record names its own fields, a missing field
    /// is NULL, and a fault if it is required.
    #[default]
    Fail,
    /// Its values are NULL; if it is required, every row has that fault. A header that has none of
    /// the declared columns is still taken for none.
    Null,
}

/// What happens where a file has a column that nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExtraColumns {
    /// It is not read, and there is a warning that names it.
    #[default]
    Warn,
    /// It is not read.
    Ignore,
    /// The file cannot be read. In JSON, it is a fault of the record that has it.
    Fail,
}
