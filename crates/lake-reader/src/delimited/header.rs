//! The first record of a file: the names of its columns.

use super::chunks::Chunks;
use super::record::{LINE_FEED, Place};
use crate::chunk::{Chunk, Damage};
use crate::column::Column;
use crate::fault::{escape_invalid, shown};
use crate::layout::{Dialect, ExtraColumns, Layout, MissingColumns};
use crate::mismatch::{self, HeaderError, MissingColumn};
use crate::reader::ReadError;

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    dialect: Dialect,
    names: Vec<String>,
    raw: String,
}

impl Header {
    /// Takes the first record of a file for its header. Blank lines and comments before it
    /// are skipped.
    ///
    /// # Errors
    ///
    /// Fails if the source does, if there is no record at all, or if the first
    /// one is broken.
    pub(crate) fn read(chunks: &mut Chunks, dialect: Dialect) -> Result<Self, ReadError> {
        while let Some(chunk) = chunks.next_record()? {
            if let Some(header) = Self::of(&chunk, dialect)? {
                return Ok(header);
            }
        }
        Err(HeaderError::Empty.into())
    }

    /// The header that a chunk of one record is; `None` if it is a blank line or a comment.
    fn of(chunk: &Chunk, dialect: Dialect) -> Result<Option<Self>, HeaderError> {
        let record = dialect.trim_line_end(&chunk.bytes);
        if let Some(broken) = chunk.broken.first() {
            let line = record.split(|&byte| byte == LINE_FEED).next();
            return Err(HeaderError::Broken {
                line: chunk.first_line,
                start: shown(line.unwrap_or_default()),
                reason: match broken.damage {
                    Damage::OpenQuote { .. } | Damage::OpenQuoteAtEnd => {
                        "a quote opens and is not closed"
                    }
                    Damage::Truncated => "the compressed file stops within it",
                    Damage::TooLong { .. } => "it is too long for a record",
                },
            });
        }
        if record.is_empty() || dialect.is_comment(record) {
            return Ok(None);
        }
        let mut names = Vec::new();
        let mut start = 0;
        let mut push = |end: usize| {
            let field = &record[start..end];
            // A name with misplaced quotes is kept with them, and matches nothing.
            let name = dialect.content(field).unwrap_or(field.into());
            names.push(escape_invalid(&name).into_owned());
            start = end + 1;
        };
        dialect.scan(record, 0, Place::FieldStart, true, |mark| {
            if record[mark] == dialect.delimiter {
                push(mark);
            }
        });
        push(record.len());
        Ok(Some(Self {
            dialect,
            names,
            raw: escape_invalid(record).into_owned(),
        }))
    }

    /// The names of the columns in the order of the file, unquoted.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The header's text as it is in the file, without its line end; bytes
    /// that are not UTF-8 are escaped as by [`Block::raw`](crate::Block::raw).
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// Where every declared column is; none where the file does not have it.
    pub(crate) fn positions_of(&self, layout: &Layout) -> Result<Vec<Option<usize>>, HeaderError> {
        let columns = &*layout.columns;
        let duplicated = self.duplicated();
        let found: Vec<Option<usize>> = columns.iter().map(|c| self.find(&c.name)).collect();
        if !columns.is_empty() && found.iter().all(Option::is_none) && duplicated.is_empty() {
            return Err(HeaderError::NoHeader {
                start: shown(self.raw.as_bytes()),
                expected: columns.iter().map(|c| c.name.clone()).collect(),
                hint: self.hint(),
            });
        }
        if !duplicated.is_empty() {
            return Err(HeaderError::Duplicated { names: duplicated });
        }
        let missing: Vec<MissingColumn> = columns
            .iter()
            .zip(&found)
            .filter(|(_, position)| position.is_none())
            .map(|(column, _)| MissingColumn {
                name: column.name.clone(),
                nearest: self.nearest(&column.name, columns),
            })
            .collect();
        if layout.missing_columns == MissingColumns::Fail && !missing.is_empty() {
            return Err(HeaderError::Missing {
                missing,
                names: self.names.clone(),
            });
        }
        if layout.extra_columns == ExtraColumns::Fail
            && self.names.len() > found.iter().flatten().count()
        {
            let extra = self.names.iter().enumerate();
            let extra = extra.filter(|(position, _)| !found.contains(&Some(*position)));
            return Err(HeaderError::Undeclared {
                names: extra.map(|(_, name)| name.trim().to_owned()).collect(),
                missing,
            });
        }
        Ok(found)
    }

    /// The column with exactly this name, or with it and spaces around it.
    fn find(&self, name: &str) -> Option<usize> {
        let exact = self.names.iter().position(|other| other == name);
        exact.or_else(|| self.names.iter().position(|other| other.trim() == name))
    }

    /// The names that more than one column has. Columns without a name, which
    /// spreadsheets leave behind, are not meant to be told apart.
    fn duplicated(&self) -> Vec<String> {
        let mut names: Vec<&str> = self.names.iter().map(|name| name.trim()).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        let runs = names.chunk_by(|a, b| a == b);
        runs.filter(|run| run.len() > 1)
            .map(|run| run[0].to_owned())
            .collect()
    }

    /// The name in the file that was perhaps meant, if it is not declared itself.
    fn nearest(&self, wanted: &str, columns: &[Column]) -> Option<String> {
        let names = self.names.iter().map(|name| name.trim());
        mismatch::nearest(wanted, names, columns)
    }

    /// What the file may be instead of what it was taken for.
    fn hint(&self) -> Option<&'static str> {
        let one_field = self.names.len() == 1;
        if self.raw.contains('\0') {
            Some("it contains zero bytes, as UTF-16 does; convert it to UTF-8")
        } else if self.raw.contains('\r') {
            Some("its lines seem to end with a bare CR; convert them to LF")
        } else if one_field && self.raw.contains([',', ';', '\t', '|']) {
            Some(match self.dialect.delimiter {
                b',' => "its fields do not seem to be separated by commas",
                b'\t' => "its fields do not seem to be separated by tabs",
                _ => "its fields do not seem to be separated by the declared delimiter",
            })
        } else {
            None
        }
    }
}
