//! A partition function as a host uses it: a stream of sorted rows in, rows out.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_empty_array};
use arrow::datatypes::{DataType, Int64Type};

use super::{CallError, Host, Plugin, other_lengths, other_types};
use crate::emit::emitted_type;
use crate::load::{Answer, Returned, Stream};
use crate::{ColumnType, PartitionFunctionDeclaration};

/// A stream of rows through a partition function: many keys, one after the other.
///
/// The host sorts rows by the function's key and order, and may spread keys over several streams.
/// A stream is used by one thread at a time. Dropping it gives it up, at any point: that is how a
/// run that was stopped ends.
pub struct PartitionStream {
    declaration: PartitionFunctionDeclaration,
    /// The types of what goes in.
    columns: Vec<ColumnType>,
    /// The type of what comes back.
    emitted: DataType,
    stream: Stream,
    /// How many keys have begun.
    begun: i64,
    /// Whether a call failed, so that nothing is left but to drop the stream.
    over: bool,
}

/// What a partition function emitted in one call. Every value in it has been checked.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The key of each row: its ordinal in the stream, counted from 0. It never decreases.
    pub keys: Int64Array,
    /// The columns that the function declares as `returns`, in that order.
    pub columns: Vec<ArrayRef>,
}

impl Plugin {
    /// Opens a stream through partition function `function`, its place in
    /// [`Declaration::partition_functions`](crate::Declaration::partition_functions). Each of the
    /// `arguments` is an array of one value.
    ///
    /// # Errors
    /// Where the arguments are not those declared, the function fails or panics, or the run was
    /// stopped.
    pub fn partition(
        &self,
        host: &dyn Host,
        function: usize,
        arguments: &[ArrayRef],
    ) -> Result<PartitionStream, CallError> {
        let functions = &self.inner.declaration.partition_functions;
        let missing = || CallError::NoPartitionFunction {
            place: function,
            declared: functions.len(),
        };
        let declaration = functions.get(function).ok_or_else(missing)?;
        // A transform with partition functions has what runs them, or was not loaded.
        let callable = self.inner.table.partitions().ok_or_else(missing)?;
        let wrong =
            other_types(&declaration.arguments, arguments).or_else(|| other_lengths(arguments, 1));
        if let Some(reason) = wrong {
            return Err(CallError::Arguments {
                function: declaration.name.clone(),
                reason,
            });
        }
        let stream = callable
            .open(host, function, arguments)
            .map_err(|answer| failed(declaration, answer))?;
        Ok(PartitionStream {
            declaration: declaration.clone(),
            columns: declaration
                .columns
                .iter()
                .map(|column| column.column_type)
                .collect(),
            emitted: emitted_type(declaration),
            stream,
            begun: 0,
            over: false,
        })
    }
}

impl PartitionStream {
    /// Gives the function its next rows: one array per declared column, sorted by key and order.
    ///
    /// `starts` are the positions at which a new key begins, ascending. Rows before the first
    /// belong to the key that the stream was at; the first rows of all begin a key, at 0. Where
    /// there are no rows, the function is not called.
    ///
    /// # Errors
    /// Where the rows or `starts` are not as they must be, the function fails or panics, what it
    /// emits is not what it declares, or the run was stopped. The stream can then only be dropped.
    pub fn push(
        &mut self,
        host: &dyn Host,
        columns: &[ArrayRef],
        starts: &[u64],
    ) -> Result<Emitted, CallError> {
        let rows = columns.first().map_or(0, |column| column.len());
        let wrong = self
            .ended()
            .or_else(|| self.other_rows(columns, rows))
            .or_else(|| self.misplaced(starts, rows));
        self.over = true;
        if let Some(reason) = wrong {
            return Err(self.refused(reason));
        }
        if rows == 0 {
            self.over = false;
            return Ok(self.nothing());
        }
        // Rows of the key that the stream is at may still be emitted: where that ends, or goes on.
        let first = self.begun.saturating_sub(1).max(0);
        self.begun = self.begun.saturating_add_unsigned(starts.len() as u64);
        let returned = self.stream.push(host, columns, rows, starts);
        let emitted = self.take(returned, first, columns)?;
        self.over = false;
        Ok(emitted)
    }

    /// Ends the last key, and with it the stream.
    ///
    /// # Errors
    /// Where a push failed before, the function fails or panics, what it emits is not what it
    /// declares, or the run was stopped.
    pub fn finish(mut self, host: &dyn Host) -> Result<Emitted, CallError> {
        if let Some(reason) = self.ended() {
            return Err(self.refused(reason));
        }
        if self.begun == 0 {
            return Ok(self.nothing());
        }
        let returned = self.stream.finish(host);
        self.take(returned, self.begun - 1, &[])
    }

    fn ended(&self) -> Option<String> {
        self.over
            .then(|| "a call to this stream failed, so that it can only be dropped".to_owned())
    }

    /// How rows differ from those declared.
    fn other_rows(&self, columns: &[ArrayRef], rows: usize) -> Option<String> {
        if columns.len() != self.columns.len() {
            return Some(format!(
                "it receives {} columns, not {}",
                self.columns.len(),
                columns.len()
            ));
        }
        let declared = self.declaration.columns.iter().zip(&self.columns);
        declared
            .zip(columns)
            .find_map(|((declared, wanted), given)| {
                let name = &declared.name;
                if *given.data_type() != wanted.to_arrow() {
                    let given = given.data_type();
                    return Some(format!("column `{name}` is {wanted}, not {given}"));
                }
                let values = given.len();
                (values != rows)
                    .then(|| format!("column `{name}` has {values} values for {rows} rows"))
            })
    }

    /// What is wrong with the positions at which keys begin.
    fn misplaced(&self, starts: &[u64], rows: usize) -> Option<String> {
        if !starts.is_sorted_by(|one, next| one < next) {
            return Some("the starts of its keys do not ascend".to_owned());
        }
        if let Some(last) = starts.last().filter(|last| **last >= rows as u64) {
            return Some(format!("a key begins at {last}, of {rows} rows"));
        }
        (self.begun == 0 && rows > 0 && starts.first() != Some(&0))
            .then(|| "the first row belongs to no key".to_owned())
    }

    fn refused(&self, reason: String) -> CallError {
        CallError::Arguments {
            function: self.declaration.name.clone(),
            reason,
        }
    }

    fn nothing(&self) -> Emitted {
        let declared = self.declaration.returns.iter();
        Emitted {
            keys: Vec::<i64>::new().into(),
            columns: declared
                .map(|column| new_empty_array(&column.column_type.to_arrow()))
                .collect(),
        }
    }

    /// What a call returned, if it is true: of keys from `first` to the last that has begun.
    fn take(
        &self,
        returned: Result<Returned, Answer>,
        first: i64,
        pushed: &[ArrayRef],
    ) -> Result<Emitted, CallError> {
        let returned = returned.map_err(|answer| failed(&self.declaration, answer))?;
        returned
            .take_rows(&self.emitted, pushed)
            .and_then(|rows| {
                let (_, columns, _) = rows.into_parts();
                let mut columns = columns.into_iter();
                let keys = columns.next().ok_or("it has no keys")?;
                let keys = keys.as_primitive::<Int64Type>().clone();
                wrong_keys(&keys, first, self.begun - 1).map_or(Ok(()), Err)?;
                Ok(Emitted {
                    keys,
                    columns: columns.collect(),
                })
            })
            .map_err(|reason| CallError::Emitted {
                function: self.declaration.name.clone(),
                reason,
            })
    }
}

/// What is wrong with the keys of emitted rows, which may be `first` to `last`.
fn wrong_keys(keys: &Int64Array, first: i64, last: i64) -> Option<String> {
    if keys.null_count() > 0 {
        return Some(format!("{} of its rows have no key", keys.null_count()));
    }
    let values = keys.values();
    if let Some(wrong) = values.iter().find(|key| !(first..=last).contains(key)) {
        return Some(format!(
            "a row is of key {wrong}, and there can be rows of {first} to {last} only"
        ));
    }
    let falls = values.windows(2).find(|pair| pair[1] < pair[0])?;
    Some(format!(
        "a row of key {} comes after one of key {}",
        falls[1], falls[0]
    ))
}

fn failed(declaration: &PartitionFunctionDeclaration, answer: Answer) -> CallError {
    let Answer { code, message } = answer;
    CallError::Failed {
        function: declaration.name.clone(),
        code,
        message,
    }
}

impl fmt::Debug for PartitionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionStream")
            .field("function", &self.declaration.name)
            .field("begun", &self.begun)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
