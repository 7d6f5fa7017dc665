//! Functions over all rows of a key: how an author writes one, and what it receives.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};

use crate::function::name_of;
use crate::{
    Arguments, ColumnType, Emit, FieldDeclaration, FunctionError, PartitionFunctionDeclaration,
    Volatility,
};

/// The state of a partition function for one key: it sees the rows of that key, in the order that
/// the function states, and emits rows.
///
/// ```
/// use lake_plugin::prelude::*;
///
/// /// Plays of a user that are no more than a gap apart are one session.
/// struct Sessions {
///     gap: i64,
///     session: Option<Session>,
/// }
///
/// struct Session {
///     start: i64,
///     last: i64,
///     plays: i64,
/// }
///
/// impl Partition for Sessions {
///     fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError> {
///         for at in rows.timestamp("played_at")?.iter().flatten() {
///             match &mut self.session {
///                 Some(session) if at - session.last <= self.gap => {
///                     session.last = at;
///                     session.plays += 1;
///                 }
///                 session => {
///                     let next = Session { start: at, last: at, plays: 1 };
///                     if let Some(ended) = session.replace(next) {
///                         out.row((ended.start, ended.plays))?;
///                     }
///                 }
///             }
///         }
///         Ok(())
///     }
///
///     fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
///         match self.session.take() {
///             Some(ended) => out.row((ended.start, ended.plays)),
///             None => Ok(()),
///         }
///     }
/// }
///
/// /// `SELECT … FROM sessionize(standard.plays, $gap)`
/// fn sessionize() -> PartitionFunction {
///     Function::partition("sessionize")
///         .column("userid", text())
///         .column("played_at", timestamp())
///         .key(["userid"])
///         .order_by(["played_at"])
///         .argument(duration())
///         .returns("session_start", timestamp())
///         .returns("plays", integer())
///         .state(|arguments| {
///             Ok(Sessions { gap: arguments.duration(0)?.value(0), session: None })
///         })
/// }
/// # assert_eq!(Transform::new().function(sessionize()).declaration().partition_functions.len(), 1);
/// ```
pub trait Partition: Send + 'static {
    /// Takes the next rows of the key, at least one. A key of many rows comes in many pushes, and
    /// where they are cut means nothing.
    ///
    /// # Errors
    /// Where the rows are not what they should be, or the run was stopped.
    fn push(&mut self, rows: &Rows<'_>, out: &mut Emit<'_>) -> Result<(), FunctionError>;

    /// Ends the key: there are no more rows of it. The state is dropped afterwards.
    ///
    /// # Errors
    /// Where what was seen makes no sense, or the run was stopped.
    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError>;
}

/// Makes the state of a key.
type Factory =
    Arc<dyn Fn(&Arguments) -> Result<Box<dyn Partition>, FunctionError> + Send + Sync + 'static>;

/// A partition function of a transform, which its SQL calls by name where it names a table.
///
/// Keys are spread over threads. Each has a state of its own, so nothing is shared between them
/// but what the closure of [`PartitionBuilder::state`] captures.
#[derive(Clone)]
pub struct PartitionFunction {
    pub(crate) declaration: PartitionFunctionDeclaration,
    pub(crate) state: Factory,
}

impl fmt::Debug for PartitionFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PartitionFunction")
            .field(&self.declaration)
            .finish()
    }
}

/// A partition function without its code yet: [`state`](Self::state) ends it.
#[derive(Clone, Debug)]
#[must_use]
pub struct PartitionBuilder {
    declaration: PartitionFunctionDeclaration,
}

impl PartitionBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self {
            declaration: PartitionFunctionDeclaration {
                name,
                columns: Vec::new(),
                key: Vec::new(),
                order_by: Vec::new(),
                arguments: Vec::new(),
                returns: Vec::new(),
                volatility: Volatility::default(),
            },
        }
    }

    /// Adds a column that the function receives: the one of that name in what SQL gives it.
    pub fn column(mut self, name: impl Into<String>, column_type: ColumnType) -> Self {
        self.declaration.columns.push(FieldDeclaration {
            name: name.into(),
            column_type,
        });
        self
    }

    /// The columns that make a key: rows that are the same in all of them belong together. NULL
    /// is the same as NULL here.
    pub fn key<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.declaration.key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The columns by which the rows of a key are sorted: ascending, NULL last. Rows that are the
    /// same in all of them come in any order, so name as many as make a result certain.
    pub fn order_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.declaration.order_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a constant that comes after the table in SQL.
    pub fn argument(mut self, argument: ColumnType) -> Self {
        self.declaration.arguments.push(argument);
        self
    }

    /// Adds a column that the function emits. The columns of the key are put in front of them.
    pub fn returns(mut self, name: impl Into<String>, column_type: ColumnType) -> Self {
        self.declaration.returns.push(FieldDeclaration {
            name: name.into(),
            column_type,
        });
        self
    }

    /// Says that rows depend on something beside the input that does not change during a run.
    /// Without this, a function is taken to be immutable.
    pub fn stable(mut self) -> Self {
        self.declaration.volatility = Volatility::Stable;
        self
    }

    /// Says that rows differ from run to run.
    pub fn volatile(mut self) -> Self {
        self.declaration.volatility = Volatility::Volatile;
        self
    }

    /// Says how the state of a key begins. `state` receives the constants, as arrays of one row,
    /// and is called once for each key, from several threads at once.
    pub fn state<S: Partition>(
        self,
        state: impl Fn(&Arguments) -> Result<S, FunctionError> + Send + Sync + 'static,
    ) -> PartitionFunction {
        PartitionFunction {
            declaration: self.declaration,
            state: Arc::new(move |arguments| Ok(Box::new(state(arguments)?))),
        }
    }
}

/// Rows of one key, in order: some of them, or all.
///
/// Columns are read by the names that the function declares. Each is an array of [`len`](Self::len)
/// values that shares the memory of the batch it came in.
pub struct Rows<'a> {
    declaration: &'a PartitionFunctionDeclaration,
    columns: &'a [ArrayRef],
    range: Range<usize>,
}

impl<'a> Rows<'a> {
    /// The rows at `range` of the columns that `declaration` names.
    pub(crate) fn new(
        declaration: &'a PartitionFunctionDeclaration,
        columns: &'a [ArrayRef],
        range: Range<usize>,
    ) -> Self {
        Self {
            declaration,
            columns,
            range,
        }
    }

    /// How many rows there are: at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no rows. A function is not called for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Column `name`, whatever its type.
    ///
    /// # Errors
    /// Where the function does not declare such a column.
    pub fn array(&self, name: &str) -> Result<ArrayRef, FunctionError> {
        let column = self.column(name)?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as text.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn text(&self, name: &str) -> Result<StringArray, FunctionError> {
        let column: &StringArray = self.typed(name, "text")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as true or false.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn boolean(&self, name: &str) -> Result<BooleanArray, FunctionError> {
        let column: &BooleanArray = self.typed(name, "boolean")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as 64-bit integers.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn integer(&self, name: &str) -> Result<Int64Array, FunctionError> {
        let column: &Int64Array = self.typed(name, "integer")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as 32-bit integers.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn int32(&self, name: &str) -> Result<Int32Array, FunctionError> {
        let column: &Int32Array = self.typed(name, "int32")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as floating point numbers.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn float(&self, name: &str) -> Result<Float64Array, FunctionError> {
        let column: &Float64Array = self.typed(name, "float")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as exact numbers: each value is an `i128`, counted in units of the scale.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn decimal(&self, name: &str) -> Result<Decimal128Array, FunctionError> {
        let column: &Decimal128Array = self.typed(name, "decimal")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as days since 1970-01-01.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn date(&self, name: &str) -> Result<Date32Array, FunctionError> {
        let column: &Date32Array = self.typed(name, "date")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as microseconds since 1970-01-01 in UTC.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn timestamp(&self, name: &str) -> Result<TimestampMicrosecondArray, FunctionError> {
        let column: &TimestampMicrosecondArray = self.typed(name, "timestamp")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    /// Column `name` as lengths of time, in microseconds.
    ///
    /// # Errors
    /// Where there is no such column, or it is declared as something else.
    pub fn duration(&self, name: &str) -> Result<DurationMicrosecondArray, FunctionError> {
        let column: &DurationMicrosecondArray = self.typed(name, "duration")?;
        Ok(column.slice(self.range.start, self.range.len()))
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef, FunctionError> {
        let declared = &self.declaration.columns;
        declared
            .iter()
            .zip(self.columns)
            .find_map(|(declared, column)| (declared.name == name).then_some(column))
            .ok_or_else(|| {
                let known: Vec<_> = declared.iter().map(|column| &*column.name).collect();
                FunctionError::new(format!(
                    "function `{}` reads column `{name}`, and declares {}",
                    self.declaration.name,
                    known.join(", ")
                ))
            })
    }

    fn typed<A: Array + 'static>(&self, name: &str, asked: &str) -> Result<&'a A, FunctionError> {
        let column = self.column(name)?;
        column.as_any().downcast_ref().ok_or_else(|| {
            FunctionError::new(format!(
                "function `{}` reads column `{name}` as {asked}, and declares it as {}",
                self.declaration.name,
                name_of(column.data_type())
            ))
        })
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("function", &self.declaration.name)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
