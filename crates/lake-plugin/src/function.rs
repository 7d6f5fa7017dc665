//! Rust where SQL ends: functions over Arrow arrays, what they receive and how they fail.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;

use crate::abi::HostLink;
use crate::{ColumnType, FunctionDeclaration, Level, Volatility};

/// A function of a transform, which its SQL calls by name.
///
/// It is called with many rows at a time, from several threads at once.
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
    /// [`Arguments::rows`] values; the host refuses anything else. What it captures is shared by
    /// all threads that call it.
    pub fn scalar(
        name: impl Into<String>,
        arguments: impl IntoIterator<Item = ColumnType>,
        returns: ColumnType,
        body: impl Fn(&Arguments) -> Result<ArrayRef, FunctionError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            declaration: FunctionDeclaration {
                name: name.into(),
                arguments: arguments.into_iter().collect(),
                returns,
                volatility: Volatility::default(),
            },
            body: Arc::new(body),
        }
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

/// What a function is called with: one array per argument, all of the same length.
pub struct Arguments {
    pub(crate) function: String,
    pub(crate) rows: usize,
    pub(crate) arrays: Vec<ArrayRef>,
    pub(crate) host: HostLink,
}

impl Arguments {
    /// How many rows there are, and how many values the result must have.
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
            let declared = ColumnType::from_arrow(array.data_type())
                .map_or_else(|| array.data_type().to_string(), |known| known.to_string());
            FunctionError::new(format!(
                "function `{}` reads argument {place} as {asked}, and declares it as {declared}",
                self.function
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
