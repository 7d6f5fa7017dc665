//! Reading files as they are stored, to the end or to the error.

use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use lake_reader::{Layout, Options, ReadError, Reader, Warning};

use crate::support::{Row, rows_of};

/// Everything that reading a file yields.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) warnings: Vec<Warning>,
    /// Why it was not read to its end; none if it was.
    pub(crate) error: Option<ReadError>,
}

impl Outcome {
    /// The cells of every row.
    pub(crate) fn cells(&self) -> Vec<&str> {
        crate::support::cells(&self.rows)
    }

    /// The message of the error, or nothing.
    pub(crate) fn message(&self) -> String {
        self.error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

/// Reads a file on one thread.
pub(crate) fn outcome(file: impl Into<Vec<u8>>, layout: &Layout, options: Options) -> Outcome {
    let mut outcome = Outcome {
        rows: Vec::new(),
        warnings: Vec::new(),
        error: None,
    };
    let reader = match Reader::open(&file.into(), layout, options) {
        Ok(reader) => reader,
        Err(error) => {
            outcome.error = Some(error);
            return outcome;
        }
    };
    while let Some(block) = reader.next_block() {
        match block {
            Ok(block) => outcome.rows.extend(rows_of(&block)),
            Err(error) => outcome.error = Some(error),
        }
    }
    outcome.warnings = reader.warnings();
    outcome
}

/// One gzip member.
pub(crate) fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// A Parquet file with these columns.
pub(crate) fn parquet(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// One zstd frame, with a checksum.
pub(crate) fn zstd(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}
