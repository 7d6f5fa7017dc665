//! What a partition function emits: value by value, or whole arrays.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Date32Builder, Decimal128Builder,
    DurationMicrosecondBuilder, Float64Builder, Int32Builder, Int64Array, Int64Builder,
    StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

use crate::abi::HostLink;
use crate::function::name_of;
use crate::{ColumnType, FunctionError, Level, PartitionFunctionDeclaration};

/// Where a partition function puts its rows, in the order in which they are to come, and where it
/// talks to the host.
///
/// [`row`](Self::row) and [`rows`](Self::rows) can be mixed. What a call emits is in memory until
/// the call returns, so a function with much to say says it in [`push`](crate::Partition::push).
pub struct Emit<'a> {
    declaration: &'a PartitionFunctionDeclaration,
    host: &'a HostLink,
    /// The key whose state is running: its ordinal within the stream.
    key: i64,
    keys: Vec<i64>,
    columns: Vec<Builder>,
}

impl<'a> Emit<'a> {
    pub(crate) fn new(declaration: &'a PartitionFunctionDeclaration, host: &'a HostLink) -> Self {
        let columns = declaration.returns.iter();
        Self {
            declaration,
            host,
            key: 0,
            keys: Vec::new(),
            columns: columns
                .map(|column| Builder::new(column.column_type))
                .collect(),
        }
    }

    /// Says to which key the rows belong that come now.
    pub(crate) fn begin(&mut self, key: i64) {
        self.key = key;
    }

    /// Emits one row: a tuple of values, one per column that the function returns, in the order
    /// of the declaration, as in `out.row((start, plays))`. `None` is NULL.
    ///
    /// # Errors
    /// Where the values are not what the function declares; the row is then not emitted.
    pub fn row<'v>(&mut self, values: impl Row<'v>) -> Result<(), FunctionError> {
        let values = values.into_values();
        let values = values.as_ref();
        self.count(values.len())?;
        for (place, (column, value)) in self.columns.iter().zip(values).enumerate() {
            column
                .fits(value)
                .map_err(|problem| self.wrong(place, &problem))?;
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.put(value);
        }
        self.keys.push(self.key);
        Ok(())
    }

    /// Emits many rows: one array per column that the function returns, in the order of the
    /// declaration, all of the same length.
    ///
    /// # Errors
    /// Where the arrays are not what the function declares; none of the rows is then emitted.
    pub fn rows(&mut self, columns: impl AsRef<[ArrayRef]>) -> Result<(), FunctionError> {
        let arrays = columns.as_ref();
        self.count(arrays.len())?;
        let rows = arrays.first().map_or(0, |array| array.len());
        for (place, (column, array)) in self.columns.iter().zip(arrays).enumerate() {
            if array.len() != rows {
                let problem = format!("with {} values, beside one with {rows}", array.len());
                return Err(self.wrong(place, &problem));
            }
            column
                .takes(array)
                .map_err(|problem| self.wrong(place, &problem))?;
        }
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            column.append(array)?;
        }
        self.keys.resize(self.keys.len() + rows, self.key);
        Ok(())
    }

    /// Says something in the log of the run. Nothing happens where the host does not listen.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// Adds a measured value to those of the run. Nothing happens where the host does not listen.
    pub fn metric(&self, name: &str, value: f64) {
        self.host.metric(name, value);
    }

    /// Whether the run has been stopped. The host stops between pushes by itself; a function that
    /// takes long within one asks now and then, and returns [`FunctionError::cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.host.is_cancelled()
    }

    /// Everything that was emitted, as it crosses the boundary: the key of each row, then the
    /// declared columns.
    pub(crate) fn into_batch(self) -> Result<StructArray, ArrowError> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(self.keys))];
        arrays.extend(self.columns.into_iter().map(Builder::finish));
        let DataType::Struct(fields) = emitted_type(self.declaration) else {
            return Err(ArrowError::SchemaError("rows are a struct".to_owned()));
        };
        StructArray::try_new(fields, arrays, None)
    }

    fn count(&self, given: usize) -> Result<(), FunctionError> {
        if given == self.columns.len() {
            return Ok(());
        }
        Err(FunctionError::new(format!(
            "function `{}` emits a row of {given} columns, and declares {}",
            self.declaration.name,
            self.columns.len()
        )))
    }

    fn wrong(&self, place: usize, problem: &str) -> FunctionError {
        let column = self.declaration.returns.get(place);
        FunctionError::new(format!(
            "function `{}` emits column `{}` {problem}",
            self.declaration.name,
            column.map_or("", |column| &column.name)
        ))
    }
}

impl fmt::Debug for Emit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit")
            .field("function", &self.declaration.name)
            .field("rows", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// What a partition function emits, as an Arrow type: a struct of the key's ordinal and of the
/// declared columns.
pub(crate) fn emitted_type(declaration: &PartitionFunctionDeclaration) -> DataType {
    // That a key is never NULL is checked apart, with words of its own.
    let key = Field::new("key", DataType::Int64, true);
    let columns = declaration
        .returns
        .iter()
        .map(|column| Field::new(&*column.name, column.column_type.to_arrow(), true));
    DataType::Struct(std::iter::once(key).chain(columns).collect::<Fields>())
}

/// One value of a row that is emitted. Numbers become the type of their column where they fit it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'v> {
    /// No value.
    Null,
    /// For a column of text.
    Text(&'v str),
    /// For a column of true and false.
    Boolean(bool),
    /// For a column of any whole number: also of days, microseconds, and of exact numbers counted
    /// in units of their scale.
    Whole(i128),
    /// For a column of floating point numbers.
    Float(f64),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(value)
    }
}

impl<'v, T: Into<Self>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! whole {
    ($($number:ty),+) => {$(
        impl From<$number> for Value<'_> {
            fn from(value: $number) -> Self {
                Self::Whole(i128::from(value))
            }
        }
    )+};
}

whole!(i32, i64, i128, u32, u64);

/// How many there are of something: no machine counts beyond `u64`.
impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Whole(value as i128)
    }
}

/// The values of a row: a tuple of things that are a [`Value`], an array of values, or a slice.
pub trait Row<'v> {
    /// The values, in order.
    type Values: AsRef<[Value<'v>]>;

    /// Takes the values out.
    fn into_values(self) -> Self::Values;
}

impl<'v, const N: usize> Row<'v> for [Value<'v>; N] {
    type Values = Self;

    fn into_values(self) -> Self {
        self
    }
}

impl<'v, 's> Row<'v> for &'s [Value<'v>] {
    type Values = &'s [Value<'v>];

    fn into_values(self) -> &'s [Value<'v>] {
        self
    }
}

macro_rules! row {
    ($count:literal: $($value:ident)+) => {
        impl<'v, $($value: Into<Value<'v>>),+> Row<'v> for ($($value,)+) {
            type Values = [Value<'v>; $count];

            fn into_values(self) -> Self::Values {
                #[expect(non_snake_case, reason = "each value is called as its type is")]
                let ($($value,)+) = self;
                [$($value.into()),+]
            }
        }
    };
}

row!(1: A);
row!(2: A B);
row!(3: A B C);
row!(4: A B C D);
row!(5: A B C D E);
row!(6: A B C D E F);
row!(7: A B C D E F G);
row!(8: A B C D E F G H);
row!(9: A B C D E F G H I);
row!(10: A B C D E F G H I J);
row!(11: A B C D E F G H I J K);
row!(12: A B C D E F G H I J K L);

/// A column that grows.
enum Builder {
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, DataType),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder, DataType),
    Duration(DurationMicrosecondBuilder),
}

impl Builder {
    fn new(column_type: ColumnType) -> Self {
        let arrow = column_type.to_arrow();
        match column_type {
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Int32 => Self::Int32(Int32Builder::new()),
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::Decimal { .. } => {
                let builder = Decimal128Builder::new().with_data_type(arrow.clone());
                Self::Decimal(builder, arrow)
            }
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => {
                let builder = TimestampMicrosecondBuilder::new().with_data_type(arrow.clone());
                Self::Timestamp(builder, arrow)
            }
            ColumnType::Duration => Self::Duration(DurationMicrosecondBuilder::new()),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => ColumnType::Text.to_arrow(),
            Self::Boolean(_) => ColumnType::Boolean.to_arrow(),
            Self::Int32(_) => ColumnType::Int32.to_arrow(),
            Self::Int64(_) => ColumnType::Int64.to_arrow(),
            Self::Float64(_) => ColumnType::Float64.to_arrow(),
            Self::Date(_) => ColumnType::Date.to_arrow(),
            Self::Duration(_) => ColumnType::Duration.to_arrow(),
            Self::Decimal(_, arrow) | Self::Timestamp(_, arrow) => arrow.clone(),
        }
    }

    /// Whether a value can be put here, and why not.
    fn fits(&self, value: &Value<'_>) -> Result<(), String> {
        let fits = match (self, value) {
            (_, Value::Null)
            | (Self::Boolean(_), Value::Boolean(_))
            | (Self::Float64(_), Value::Float(_))
            | (Self::Decimal(..), Value::Whole(_)) => true,
            (Self::Text(builder), Value::Text(text)) => return room(builder, text.len()),
            (Self::Int32(_) | Self::Date(_), Value::Whole(whole)) => i32::try_from(*whole).is_ok(),
            (Self::Int64(_) | Self::Timestamp(..) | Self::Duration(_), Value::Whole(whole)) => {
                i64::try_from(*whole).is_ok()
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(format!(
            "with the value {value:?}, and declares it as {}",
            name_of(&self.data_type())
        ))
    }

    /// Adds a value that [fits](Self::fits); what does not would become NULL.
    fn put(&mut self, value: &Value<'_>) {
        let whole = match value {
            Value::Whole(whole) => Some(*whole),
            _ => None,
        };
        let int = |whole: Option<i128>| whole.and_then(|whole| i32::try_from(whole).ok());
        let long = |whole: Option<i128>| whole.and_then(|whole| i64::try_from(whole).ok());
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(*value),
            (Self::Float64(builder), Value::Float(value)) => builder.append_value(*value),
            (Self::Int32(builder), _) => builder.append_option(int(whole)),
            (Self::Date(builder), _) => builder.append_option(int(whole)),
            (Self::Int64(builder), _) => builder.append_option(long(whole)),
            (Self::Timestamp(builder, _), _) => builder.append_option(long(whole)),
            (Self::Duration(builder), _) => builder.append_option(long(whole)),
            (Self::Decimal(builder, _), _) => builder.append_option(whole),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Boolean(builder), _) => builder.append_null(),
            (Self::Float64(builder), _) => builder.append_null(),
        }
    }

    /// Whether an array can be appended here, and why not.
    fn takes(&self, array: &ArrayRef) -> Result<(), String> {
        let declared = self.data_type();
        if *array.data_type() != declared {
            return Err(format!(
                "as {}, and declares it as {}",
                name_of(array.data_type()),
                name_of(&declared)
            ));
        }
        match self {
            Self::Text(builder) => {
                let offsets = array.as_string::<i32>().value_offsets();
                let bytes = offsets.last().zip(offsets.first());
                let bytes = bytes.map_or(0, |(last, first)| last - first);
                room(builder, usize::try_from(bytes).unwrap_or(usize::MAX))
            }
            _ => Ok(()),
        }
    }

    /// Appends an array that this column [takes](Self::takes).
    fn append(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        match self {
            Self::Text(builder) => return builder.append_array(array.as_string()),
            Self::Boolean(builder) => builder.append_array(array.as_boolean()),
            Self::Int32(builder) => builder.append_array(array.as_primitive()),
            Self::Int64(builder) => builder.append_array(array.as_primitive()),
            Self::Float64(builder) => builder.append_array(array.as_primitive()),
            Self::Decimal(builder, _) => builder.append_array(array.as_primitive()),
            Self::Date(builder) => builder.append_array(array.as_primitive()),
            Self::Timestamp(builder, _) => builder.append_array(array.as_primitive()),
            Self::Duration(builder) => builder.append_array(array.as_primitive()),
        }
        Ok(())
    }

    fn finish(mut self) -> ArrayRef {
        match &mut self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder, _) => Arc::new(builder.finish()),
            Self::Duration(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Whether a column of text has room for more: its offsets have 32 bits.
fn room(builder: &StringBuilder, more: usize) -> Result<(), String> {
    let most = i32::MAX as usize;
    if builder.values_slice().len().saturating_add(more) <= most {
        return Ok(());
    }
    Err("with more than 2 GiB of text in one call: emit it over several pushes".to_owned())
}
