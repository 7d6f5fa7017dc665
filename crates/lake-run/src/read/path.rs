//! Columns whose values are parts of a file's path.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use lake_pipeline::PathValues;
use lake_plugin::InputDeclaration;
use lake_reader::{Column, Dialect, Format, Layout, Options, Reader};

use super::layout;
use crate::discover::PendingFile;
use crate::error::{Result, RunError};

/// The columns of an input that come from the paths of its files.
#[derive(Debug)]
pub(super) struct PathColumns {
    input: String,
    /// Each column of the input, in the order of its author: its declaration for the reader, if
    /// its values are in the path.
    columns: Vec<Option<Column>>,
}

/// How the value of one column is read: as the one value of the one record of a text. The
/// delimiter separates units in ASCII, and nobody has it in a path.
const ONE_VALUE: Dialect = Dialect {
    delimiter: 0x1F,
    quote: None,
    escape: None,
    comment: None,
    header: false,
};

/// A path is short, whatever it is.
const CHUNK_BYTES: usize = 1 << 14;

impl PathColumns {
    pub(super) fn of(input: &InputDeclaration) -> Result<Self> {
        let columns = input.columns.iter().map(|column| {
            let from_path = column.from_path;
            let read = from_path.then(|| layout::column(input, column, &input.rules));
            read.transpose()
        });
        Ok(Self {
            input: input.name.clone(),
            columns: columns.collect::<Result<_>>()?,
        })
    }

    /// The values of one file, one for each column that comes from its path.
    ///
    /// # Errors
    /// [`RunError::Input`] where the path does not have a value, or one that cannot be in the
    /// column: all rows of the file would be wrong.
    pub(super) fn values(&self, file: &PendingFile) -> Result<Vec<ArrayRef>> {
        let columns = self.columns.iter().flatten();
        columns.map(|column| self.value(file, column)).collect()
    }

    fn value(&self, file: &PendingFile, column: &Column) -> Result<ArrayRef> {
        let failed = |message: String| RunError::Input {
            place: file.name(),
            message: format!(
                "column {} of input {} comes from the path, {message}",
                column.name, self.input
            ),
        };
        let Some(value) = file.captures.get(&column.name) else {
            return Err(failed(missing(&column.name, &file.captures)));
        };
        let read = match value {
            None => None,
            Some(text) => parse(column, text).map_err(&failed)?,
        };
        match read {
            Some(array) => Ok(array),
            None if column.required => Err(failed(
                "which says that there is no value, and the column is required; \
                 move the file, or let the column be optional"
                    .to_owned(),
            )),
            None => Ok(new_null_array(&column.data_type.arrow(), 1)),
        }
    }

    /// The columns of a block and those of the path, in the order of the author.
    pub(super) fn beside(
        &self,
        in_file: &[ArrayRef],
        in_path: &[ArrayRef],
        rows: usize,
    ) -> Vec<ArrayRef> {
        if in_path.is_empty() {
            return in_file.to_vec();
        }
        let first = UInt32Array::from_value(0, rows);
        let (mut in_file, mut in_path) = (in_file.iter(), in_path.iter());
        let columns = self.columns.iter().filter_map(|column| match column {
            None => in_file.next().map(Arc::clone),
            // Every index is 0, and every value has one row.
            Some(_) => take(in_path.next()?, &first, None).ok(),
        });
        columns.collect()
    }
}

/// The one value of a column; `None` where it is NULL.
fn parse(column: &Column, text: &str) -> std::result::Result<Option<ArrayRef>, String> {
    let wrong = |why: String| format!("where it is '{text}': {why}");
    let layout = Layout::new(Format::Delimited(ONE_VALUE), vec![column.clone()]);
    let options = Options {
        chunk_bytes: CHUNK_BYTES,
        ..Options::default()
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(['\n', '\r', char::from(ONE_VALUE.delimiter)]) {
        return Err(wrong("a value has no line end in it; rename it".to_owned()));
    }
    let bytes = text.as_bytes().to_vec();
    let reader = Reader::open(&bytes, &layout, options).map_err(|e| wrong(e.to_string()))?;
    let Some(block) = reader.next_block() else {
        return Ok(None);
    };
    let block = block.map_err(|e| wrong(e.to_string()))?;
    if let Some(fault) = block.faults.first() {
        return Err(wrong(format!(
            "{}; move the file, or correct its path",
            fault.message
        )));
    }
    let array = block.batch.columns().first();
    Ok(array.filter(|array| array.len() == 1).map(Arc::clone))
}

fn missing(column: &str, captures: &PathValues) -> String {
    let there: Vec<&str> = captures.keys().map(String::as_str).collect();
    let there = match there.is_empty() {
        true => "nothing".to_owned(),
        false => there.join(", "),
    };
    format!(
        "which names {there}; say where it is with {{{column}}} in the input's path in the pipeline \
         file, or have directories {column}=value"
    )
}
