//! A Parquet file as its library wants to see it, and the library as we want to see it: it may
//! panic on a file that is damaged, and that is an error like any other.

use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::reader::ReadError;
use crate::source::Ranges;

/// How much is read at once to find where a page starts.
const HEADER_BYTES: usize = 1 << 12;

/// The bytes of a Parquet file.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    ranges: Arc<dyn Ranges>,
    size: u64,
}

impl Stored {
    pub(crate) fn new(ranges: Box<dyn Ranges>) -> io::Result<Self> {
        Ok(Self {
            size: ranges.size()?,
            ranges: ranges.into(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }
}

impl Length for Stored {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Stored {
    type T = BufReader<Rest>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let rest = Rest {
            stored: self.clone(),
            at: start,
        };
        Ok(BufReader::with_capacity(HEADER_BYTES, rest))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Before room is made for them: a damaged file may say any number.
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.size)
        {
            let size = self.size;
            let message =
                format!("it refers to bytes {start} and after; the file has {size} bytes");
            return Err(ParquetError::EOF(message));
        }
        let bytes = self.ranges.read_at(start, length);
        bytes
            .map(Bytes::from)
            .map_err(|e| ParquetError::External(Box::new(e)))
    }
}

/// The bytes of a file from one on.
#[derive(Debug)]
pub(crate) struct Rest {
    stored: Stored,
    at: u64,
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.stored.size.saturating_sub(self.at);
        let count = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.stored.ranges.read_at(self.at, count)?;
        buffer[..count].copy_from_slice(&bytes);
        self.at += count as u64;
        Ok(count)
    }
}

/// Calls the library, which reads the part of a file that starts at `offset`.
pub(crate) fn guarded<T>(
    part: &str,
    offset: u64,
    call: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, ReadError> {
    let unreadable = |reason: String| ReadError::Parquet {
        part: part.to_owned(),
        reason,
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::External(error))) => match error.downcast::<io::Error>() {
            Ok(source) => Err(ReadError::Io {
                offset,
                source: *source,
            }),
            Err(error) => Err(unreadable(error.to_string())),
        },
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(unreadable(message.unwrap_or("it is damaged").to_owned()))
        }
    }
}

/// What a file says about itself.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ArrowReaderMetadata,
    pub(crate) row_groups: Vec<RowGroup>,
}

/// Where a row group is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowGroup {
    /// Its first byte.
    pub(crate) offset: u64,
    /// Its first row, counted from 0 in the file.
    pub(crate) first_row: u64,
    /// How many rows it has.
    pub(crate) rows: u64,
}

/// Reads what a file says about itself.
///
/// Only Parquet's own types count, not what some writer adds about Arrow. Texts are read as bytes:
/// then one that is not UTF-8 is a fault of its row, where the library would give up.
pub(crate) fn footer(stored: &Stored) -> Result<Footer, ReadError> {
    guarded("its footer", stored.size, || {
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let own = ArrowReaderMetadata::load(stored, options())?;
        let untyped = Type::group_type_builder(own.parquet_schema().name())
            .with_fields(
                own.parquet_schema()
                    .root_schema()
                    .get_fields()
                    .iter()
                    .map(bytes_for_text)
                    .collect::<Result<_, _>>()?,
            )
            .build()?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(untyped)));
        let options = options().with_parquet_schema(Arc::clone(&schema));
        let found = ArrowReaderMetadata::load(stored, options.clone())?;
        let mut leaf = 0;
        let fields: Fields = found
            .schema()
            .fields()
            .iter()
            .map(|field| wanted(field, &schema, &mut leaf))
            .collect();
        let options = options.with_schema(Arc::new(Schema::new(fields)));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options)?;
        let row_groups = row_groups(&metadata)?;
        Ok(Footer {
            metadata,
            row_groups,
        })
    })
}

/// Where the row groups are, if that can be true.
fn row_groups(metadata: &ArrowReaderMetadata) -> Result<Vec<RowGroup>, ParquetError> {
    let mut first_row = 0_u64;
    let mut found = Vec::new();
    for row_group in metadata.metadata().row_groups() {
        let rows = u64::try_from(row_group.num_rows())?;
        let starts = row_group.columns().iter().map(|c| c.byte_range().0);
        found.push(RowGroup {
            offset: starts.min().unwrap_or(0),
            first_row,
            rows,
        });
        first_row = first_row.saturating_add(rows);
    }
    let rows = metadata.metadata().file_metadata().num_rows();
    if i64::try_from(first_row).ok() != Some(rows) {
        let message = format!("its row groups have {first_row} rows, the whole file {rows}");
        return Err(ParquetError::General(message));
    }
    Ok(found)
}

/// A part of a schema, in which texts are nothing but bytes.
fn bytes_for_text(part: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = part.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if part.is_group() {
        let fields = part.get_fields().iter().map(bytes_for_text);
        let group = Type::group_type_builder(part.name())
            .with_repetition(info.repetition())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_converted_type(info.converted_type())
            .with_id(id)
            .with_fields(fields.collect::<Result<_, _>>()?)
            .build()?;
        return Ok(Arc::new(group));
    }
    let is_text = matches!(
        info.logical_type_ref(),
        Some(LogicalType::String | LogicalType::Json | LogicalType::Enum)
    ) || matches!(
        info.converted_type(),
        ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM
    );
    if !is_text || part.get_physical_type() != Physical::BYTE_ARRAY {
        return Ok(Arc::clone(part));
    }
    let bytes = Type::primitive_type_builder(part.name(), Physical::BYTE_ARRAY)
        .with_repetition(info.repetition())
        .with_id(id)
        .build()?;
    Ok(Arc::new(bytes))
}

/// The field as it is to be read: bytes where they are in the file's pages, which may mention one
/// value many times; and the oldest kind of timestamp in microseconds, because in nanoseconds it
/// overflows in the years that it is used for.
fn wanted(field: &FieldRef, schema: &SchemaDescriptor, leaf: &mut usize) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| wanted(field, schema, leaf));
            DataType::Struct(fields.collect())
        }
        DataType::List(element) => DataType::List(wanted(element, schema, leaf)),
        DataType::Map(entries, sorted) => DataType::Map(wanted(entries, schema, leaf), *sorted),
        scalar => {
            let column = (*leaf < schema.num_columns()).then(|| schema.column(*leaf));
            *leaf += 1;
            let is_oldest = column.is_some_and(|c| c.physical_type() == Physical::INT96);
            match scalar {
                DataType::Binary => DataType::BinaryView,
                DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_oldest => {
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
                }
                other => other.clone(),
            }
        }
    };
    let field = Field::clone(field).with_data_type(data_type);
    Arc::new(field)
}
