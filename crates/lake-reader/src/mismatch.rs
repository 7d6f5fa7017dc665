//! Where a file and the declared columns do not go together.

use std::fmt;

use crate::column::Column;

/// Something odd about a header that does not stop anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The file has a column that is not declared. It is not read.
    UndeclaredColumn {
        /// Its name; empty if it has none.
        name: String,
        /// Its position in the file, counted from 0.
        position: usize,
    },
    /// Compressed data stops before its end, and what is there was read
    /// ([`OnTruncated::Reject`](crate::OnTruncated::Reject)).
    Truncated {
        /// How many bytes the file has, as it is stored.
        stored: u64,
        /// How many bytes of text they are.
        text: u64,
    },
    /// Records of a JSON file have a field that is not declared. It is not read.
    UndeclaredField {
        /// Where it is, as in `payload.items[].price`.
        path: String,
        /// How many records have it.
        records: u64,
    },
    /// A JSON file ends inside of something, and was read as far as it goes.
    NotClosed {
        /// What is not closed: `array` or `record`.
        what: &'static str,
        /// The byte of the file's text at which it opens, counted from 0.
        opens: u64,
        /// How many bytes the file's text has.
        end: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndeclaredColumn { name, position } if name.is_empty() => {
                write!(f, "column {} has no name and is not read", position + 1)
            }
            Self::UndeclaredColumn { name, .. } => {
                write!(f, "column '{name}' is not declared and is not read")
            }
            Self::Truncated { stored, text } => write!(
                f,
                "the compressed file stops at byte {stored}, before its end; \
                 its {text} bytes of text were read"
            ),
            Self::UndeclaredField { path, records } => {
                let records = match records {
                    1 => "1 record has".to_owned(),
                    _ => format!("{records} records have"),
                };
                write!(
                    f,
                    "{records} the field '{path}', which is not declared and is not read"
                )
            }
            Self::NotClosed { what, opens, end } => write!(
                f,
                "the {what} that opens at byte {opens} is not closed where the file ends, at byte \
                 {end}: the file seems to be cut off, and was read as far as it goes"
            ),
        }
    }
}

/// Why a file's header and the declared columns do not go together.
///
/// The messages do not name the file, because a reader of bytes does not know
/// it: `{file}: {error}` is a whole sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is no record at all: no bytes, or nothing but a byte order mark
    /// and blank lines.
    #[error("the file is empty; a header was expected")]
    Empty,
    /// The first record has no readable fields.
    #[error("the header on line {line} cannot be read: {reason}; it starts with '{start}'")]
    Broken {
        /// The physical line on which it starts, counted from 1.
        line: u64,
        /// Its first line, cut if it is long.
        start: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// None of the declared columns is in the first record.
    #[error(
        "the file seems to have no header: its first line is '{start}', and none of the declared columns is in it ({})\
         {}",
        expected.join(", "),
        hint.map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    NoHeader {
        /// The first record, cut if it is long.
        start: String,
        /// The declared columns.
        expected: Vec<String>,
        /// What the file may be instead.
        hint: Option<&'static str>,
    },
    /// Several columns of the file have the same name.
    #[error(
        "the header has more than one column named {}; rename them",
        quoted(names)
    )]
    Duplicated {
        /// Each such name once, in alphabetical order.
        names: Vec<String>,
    },
    /// Declared columns are not in the header.
    #[error(
        "the header has no column {}; its columns are {}",
        missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        quoted(names)
    )]
    Missing {
        /// Each of them, in the order of their declaration.
        missing: Vec<MissingColumn>,
        /// The columns that the header has.
        names: Vec<String>,
    },
    /// The header has columns that are not declared, and may not.
    #[error(
        "the header has columns that are not declared: {}{}",
        quoted(names),
        if missing.is_empty() {
            String::new()
        } else {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            format!("; declared, and not in the header: {}", missing.join(", "))
        }
    )]
    Undeclared {
        /// Each of them, in the order of the file.
        names: Vec<String>,
        /// The declared columns that the header does not have.
        missing: Vec<MissingColumn>,
    },
    /// The declared dialect cannot be told apart, whatever the file.
    #[error("the declared dialect cannot be read: {problem}")]
    Dialect {
        /// What is wrong with it.
        problem: String,
    },
    /// What is declared about the values of a column contradicts itself, whatever the file.
    #[error("column '{column}' cannot be read as it is declared: {problem}")]
    Rules {
        /// The column's name.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// A column of delimited text is declared with a type that has parts.
    #[error(
        "column '{column}' is declared as {data_type}, which delimited text cannot say; \
         declare it as json, or as text"
    )]
    Nested {
        /// The column's name.
        column: String,
        /// The declared type.
        data_type: String,
    },
    /// A column has a type in the file that cannot become the declared one.
    #[error(
        "column '{column}' is declared as {declared}, and is {found} in the file; \
         it can be declared as {possible}"
    )]
    OtherType {
        /// The column, or where in one it is, as in `payload.items[].price`.
        column: String,
        /// The declared type.
        declared: String,
        /// The type in the file.
        found: String,
        /// What can be declared instead.
        possible: &'static str,
    },
    /// The declaration itself is wrong, whatever the file.
    #[error(
        "column '{column}' is declared as {data_type}, which cannot exist: \
         the precision of a decimal is 1 to 38, and its scale 0 to the precision"
    )]
    ImpossibleType {
        /// The column's name.
        column: String,
        /// The declared type.
        data_type: String,
    },
}

/// A declared column that a header does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumn {
    /// Its declared name.
    pub name: String,
    /// The undeclared name in the header that was perhaps meant.
    pub nearest: Option<String>,
}

impl fmt::Display for MissingColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, " (perhaps '{nearest}' is meant)"),
            None => Ok(()),
        }
    }
}

/// The name in a file that was perhaps meant, if it is not declared itself.
pub(crate) fn nearest<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
    declared: &[Column],
) -> Option<String> {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    let wanted = plain(wanted);
    names
        .filter(|name| declared.iter().all(|column| column.name != *name))
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .min()
        .filter(|&(edits, _)| edits <= wanted.chars().count() / 3)
        .map(|(_, name)| name.to_owned())
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}
