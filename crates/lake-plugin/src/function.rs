//! Rust where SQL ends: functions over Arrow arrays, what they receive and how they fail.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::abi::HostLink;
use crate::{
    Column, ColumnType, FunctionDeclaration, Level, PartitionBuilder, PartitionFunction, Signature,
    Volatility,
};

/// A scalar function of a transform, which its SQL calls by name: values of one row in, one value
/// out.
///
/// It is called with many rows at a time, from several threads at once.
///
/// ```
/// use std::sync::Arc;
///
/// use lake_plugin::arrow::array::{Float64Array, Int64Array};
/// use lake_plugin::prelude::*;
///
/// /// `double(x)`, for integers and for floats: never NULL where `x` is not.
/// fn double() -> Function {
///     Function::scalar("double", [integer()], integer().required(), |arguments| {
///         Ok(if arguments.types() == [integer()] {
///             let values = arguments.integer(0)?;
///             let doubled = values.iter().map(|value| value.map(|value| value.wrapping_mul(2)));
///             Arc::new(doubled.collect::<Int64Array>())
///         } else {
///             let values = arguments.float(0)?;
///             let doubled = values.iter().map(|value| value.map(|value| value * 2.0));
///             Arc::new(doubled.collect::<Float64Array>())
///         })
///     })
///     .also([float()], float().required())
/// }
/// # assert_eq!(Transform::new().function(double()).declaration().functions.len(), 1);
/// ```
#[derive(Clone)]
pub struct Function {
    pub(crate) declaration: FunctionDeclaration,
    pub(crate) body: Body,
}

/// The author's code.
pub(crate) type Body =
    Arc<dyn Fn(&Arguments) -> Result<ArrayRef, FunctionError> + Send + Sync + 'static>;

impl Function {
    /// A scalar function: values of one row in, one value out.
    ///
    /// `body` receives whole arrays and returns one of type `returns` that has
    /// [`Arguments::rows`] values; the host refuses anything else. Where `returns` is
    /// [`required`](ColumnType::required), a row without NULL among its arguments must have a
    /// value, and the engine may plan with that. What `body` captures is shared by all threads
    /// that call it.
    pub fn scalar(
        name: impl Into<String>,
        arguments: impl IntoIterator<Item = ColumnType>,
        returns: impl Into<Column>,
        body: impl Fn(&Arguments) -> Result<ArrayRef, FunctionError> + Send + Sync + 'static,
    ) -> Self {
        let returns = returns.into();
        Self {
            declaration: FunctionDeclaration {
                name: name.into(),
                arguments: arguments.into_iter().collect(),
                returns: returns.column_type,
                required: returns.required,
                overloads: Vec::new(),
                volatility: Volatility::default(),
            },
            body: Arc::new(body),
        }
    }

    /// A partition function: all rows of a key in, rows out.
    pub fn partition(name: impl Into<String>) -> PartitionBuilder {
        PartitionBuilder::new(name.into())
    }

    /// Adds another list of arguments, with the result that it then has. The body is the same:
    /// [`Arguments::types`] says which list it was called with.
    #[must_use]
    pub fn also(
        mut self,
        arguments: impl IntoIterator<Item = ColumnType>,
        returns: impl Into<Column>,
    ) -> Self {
        let returns = returns.into();
        self.declaration.overloads.push(Signature {
            arguments: arguments.into_iter().collect(),
            returns: returns.column_type,
            required: returns.required,
        });
        self
    }

    /// Says that results depend on something beside the arguments that does not change during a
    /// run. Without this, a function is taken to be immutable.
    #[must_use]
    pub fn stable(mut self) -> Self {
        self.declaration.volatility = Volatility::Stable;
        self
    }

    /// Says that results differ from call to call, so that it is called for every row.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.declaration.volatility = Volatility::Volatile;
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.declaration).finish()
    }
}

/// A function of either kind, as a [`Transform`](crate::Transform) takes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyFunction {
    /// Values of one row in, one value out.
    Scalar(Function),
    /// All rows of a key in, rows out.
    Partition(PartitionFunction),
}

impl From<Function> for AnyFunction {
    fn from(function: Function) -> Self {
        Self::Scalar(function)
    }
}

impl From<PartitionFunction> for AnyFunction {
    fn from(function: PartitionFunction) -> Self {
        Self::Partition(function)
    }
}

/// What a function is called with: one array per argument, all of the same length.
pub struct Arguments {
    pub(crate) function: String,
    pub(crate) types: Vec<ColumnType>,
    pub(crate) rows: usize,
    pub(crate) arrays: Vec<ArrayRef>,
    pub(crate) host: HostLink,
}

impl Arguments {
    /// The types of the arguments: one of the lists that the function declares.
    #[must_use]
    pub fn types(&self) -> &[ColumnType] {
        &self.types
    }

    /// How many rows there are, and how many values the result of a scalar function must have.
    /// The constants of a partition function come as one row.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Argument `place`, counted from 0, whatever its type.
    ///
    /// # Errors
    /// Where the function has fewer arguments.
    pub fn array(&self, place: usize) -> Result<&ArrayRef, FunctionError> {
        self.arrays.get(place).ok_or_else(|| {
            FunctionError::new(format!(
                "function `{}` reads argument {place}, counted from 0, and declares {} in all",
                self.function,
                self.arrays.len()
            ))
        })
    }

    /// Argument `place` as text.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn text(&self, place: usize) -> Result<&StringArray, FunctionError> {
        self.typed(place, "text")
    }

    /// Argument `place` as true or false.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn boolean(&self, place: usize) -> Result<&BooleanArray, FunctionError> {
        self.typed(place, "boolean")
    }

    /// Argument `place` as 64-bit integers.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn integer(&self, place: usize) -> Result<&Int64Array, FunctionError> {
        self.typed(place, "integer")
    }

    /// Argument `place` as 32-bit integers.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn int32(&self, place: usize) -> Result<&Int32Array, FunctionError> {
        self.typed(place, "int32")
    }

    /// Argument `place` as floating point numbers.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn float(&self, place: usize) -> Result<&Float64Array, FunctionError> {
        self.typed(place, "float")
    }

    /// Argument `place` as exact numbers: each value is an `i128`, counted in units of the scale.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn decimal(&self, place: usize) -> Result<&Decimal128Array, FunctionError> {
        self.typed(place, "decimal")
    }

    /// Argument `place` as days since 1970-01-01.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn date(&self, place: usize) -> Result<&Date32Array, FunctionError> {
        self.typed(place, "date")
    }

    /// Argument `place` as microseconds since 1970-01-01 in UTC.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn timestamp(&self, place: usize) -> Result<&TimestampMicrosecondArray, FunctionError> {
        self.typed(place, "timestamp")
    }

    /// Argument `place` as lengths of time, in microseconds.
    ///
    /// # Errors
    /// Where there is no such argument, or it is declared as something else.
    pub fn duration(&self, place: usize) -> Result<&DurationMicrosecondArray, FunctionError> {
        self.typed(place, "duration")
    }

    /// Says something in the log of the run. Nothing happens where the host does not listen.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// Adds a measured value to those of the run. Nothing happens where the host does not listen.
    pub fn metric(&self, name: &str, value: f64) {
        self.host.metric(name, value);
    }

    /// Whether the run has been stopped. A function that takes long asks now and then, and
    /// returns [`FunctionError::cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.host.is_cancelled()
    }

    fn typed<A: Array + 'static>(&self, place: usize, asked: &str) -> Result<&A, FunctionError> {
        let array = self.array(place)?;
        array.as_any().downcast_ref().ok_or_else(|| {
            FunctionError::new(format!(
                "function `{}` reads argument {place} as {asked}, and declares it as {}",
                self.function,
                name_of(array.data_type())
            ))
        })
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments")
            .field("function", &self.function)
            .field("rows", &self.rows)
            .field("arrays", &self.arrays)
            .finish_non_exhaustive()
    }
}

/// What an author calls an Arrow type.
pub(crate) fn name_of(arrow: &DataType) -> String {
    ColumnType::from_arrow(arrow).map_or_else(|| arrow.to_string(), |known| known.to_string())
}

/// Why a function could not do its work. The run stops, and people read the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    pub(crate) message: String,
    pub(crate) cancelled: bool,
}

impl FunctionError {
    /// An error that says `message`: what was wrong, and with which value.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            cancelled: false,
        }
    }

    /// What a function returns when it stops because [`Arguments::is_cancelled`] said so.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            message: "stopped, because the run was".to_owned(),
            cancelled: true,
        }
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FunctionError {}

impl From<ArrowError> for FunctionError {
    fn from(error: ArrowError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<String> for FunctionError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for FunctionError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}
