//! Partition functions as the other side sees them: streams of keys, each with its state.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use super::{Exported, Failure, answer, caught, failure, struct_of, take_arguments};
use crate::abi::{Code, HostLink, LakeError, LakeHost};
use crate::import::{self, Trust};
use crate::{Arguments, Emit, FunctionError, Partition, PartitionFunction, Rows};

/// What `partition_open` gives to the host: a function with its constants, and where it is.
struct Stream {
    function: Arc<PartitionFunction>,
    /// What the state of each key begins with; its host is the one of the call that runs.
    arguments: Arguments,
    /// The state of the key that the stream is at, until that has ended.
    ///
    /// Author's code that panics does so while its state lies here: unwinding must not drop it,
    /// as a state that panics then too would end the process.
    state: Option<Box<dyn Partition>>,
    /// How many keys have begun.
    begun: i64,
    /// Whether something failed, or the last key has ended: then only closing is left.
    over: bool,
}

pub(super) unsafe extern "C" fn open(
    context: *mut c_void,
    host: *const LakeHost,
    function: u64,
    arguments: *mut FFI_ArrowArray,
    arguments_schema: *mut FFI_ArrowSchema,
    stream: *mut *mut c_void,
    error: *mut LakeError,
) -> i32 {
    // SAFETY: the header says that the caller hands back our context, and room for an error; that
    // the arguments are ours now; that there is room for the stream; and that the host is there
    // until we return.
    unsafe {
        answer(context, error, |exported| {
            if arguments.is_null() || arguments_schema.is_null() {
                return Err(invalid("there are no arguments"));
            }
            let array = FFI_ArrowArray::from_raw(arguments);
            let schema = FFI_ArrowSchema::from_raw(arguments_schema);
            if stream.is_null() {
                return Err(invalid("no room for the stream"));
            }
            let opened = Stream::open(exported, HostLink::new(host), function, array, &schema)?;
            stream.write(Box::into_raw(Box::new(opened)).cast());
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn push(
    context: *mut c_void,
    host: *const LakeHost,
    stream: *mut c_void,
    rows: *mut FFI_ArrowArray,
    rows_schema: *mut FFI_ArrowSchema,
    starts: *const u64,
    n_starts: u64,
    out: *mut FFI_ArrowArray,
    out_schema: *mut FFI_ArrowSchema,
    error: *mut LakeError,
) -> i32 {
    // SAFETY: the header says that the caller hands back our context, and room for an error; that
    // the rows are ours now; that `starts` are as many as it says; that there is zeroed room for
    // the result; and that the host is there until we return.
    unsafe {
        answer(context, error, |_| {
            if rows.is_null() || rows_schema.is_null() {
                return Err(invalid("there are no rows"));
            }
            let array = FFI_ArrowArray::from_raw(rows);
            let schema = FFI_ArrowSchema::from_raw(rows_schema);
            let starts = starts_of(starts, n_starts)?;
            let host = HostLink::new(host);
            run(stream, host, out, out_schema, false, |stream, emit| {
                stream.push(array, &schema, &starts, emit)
            })
        })
    }
}

pub(super) unsafe extern "C" fn finish(
    context: *mut c_void,
    host: *const LakeHost,
    stream: *mut c_void,
    out: *mut FFI_ArrowArray,
    out_schema: *mut FFI_ArrowSchema,
    error: *mut LakeError,
) -> i32 {
    // SAFETY: the header says that the caller hands back our context, and room for an error; that
    // there is zeroed room for the result; and that the host is there until we return.
    unsafe {
        answer(context, error, |_| {
            let host = HostLink::new(host);
            run(stream, host, out, out_schema, true, |stream, emit| {
                stream.author(|stream| stream.end_key(emit))
            })
        })
    }
}

pub(super) unsafe extern "C" fn close(_context: *mut c_void, stream: *mut c_void) {
    if stream.is_null() {
        return;
    }
    // Nobody can be told what goes wrong here, and it goes no further.
    let _ = caught("closing", || {
        // SAFETY: the header says that this is what `open` gave, and that it is given back once.
        let mut stream = unsafe { Box::from_raw(stream.cast::<Stream>()) };
        // The author's state goes alone: where it panics, the rest is dropped while unwinding.
        drop(stream.state.take());
    });
}

fn invalid(reason: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidCall, reason)
}

/// # Safety
/// Where `starts` is not null, it points to `count` numbers.
unsafe fn starts_of(starts: *const u64, count: u64) -> Result<Vec<usize>, Failure> {
    let nowhere = || invalid(format!("{count} starts of keys are nowhere"));
    let count = usize::try_from(count).map_err(|_| nowhere())?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if starts.is_null() || !starts.is_aligned() || count > isize::MAX as usize / size_of::<u64>() {
        return Err(nowhere());
    }
    // SAFETY: not null, aligned, and not longer than memory; the rest is the caller's promise.
    let starts = unsafe { std::slice::from_raw_parts(starts, count) };
    // A start that no position can be is beyond every batch, and found to be so.
    let position = |start: &u64| usize::try_from(*start).unwrap_or(usize::MAX);
    Ok(starts.iter().map(position).collect())
}

fn refuse_if_cancelled(function: &str, host: HostLink) -> Result<(), Failure> {
    if !host.is_cancelled() {
        return Ok(());
    }
    Err(Failure::new(
        Code::Cancelled,
        format!("function `{function}` was not called: the run was stopped"),
    ))
}

/// Runs a part of a stream, and hands what it emits to the host. Whatever fails, and after the
/// `last` part, the stream is over.
///
/// # Safety
/// `stream` is null, or from [`open`], not closed yet and not used by anybody else meanwhile;
/// `out` and `out_schema` are null, or room for a result.
unsafe fn run(
    stream: *mut c_void,
    host: HostLink,
    out: *mut FFI_ArrowArray,
    out_schema: *mut FFI_ArrowSchema,
    last: bool,
    body: impl FnOnce(&mut Stream, &mut Emit<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // SAFETY: passed on from the caller.
    let stream = unsafe { stream.cast::<Stream>().as_mut() };
    let stream = stream.ok_or_else(|| invalid("there is no stream"))?;
    let function = Arc::clone(&stream.function);
    let name = &function.declaration.name;
    // What is not known to have worked has failed: this holds where something unwinds, too.
    if std::mem::replace(&mut stream.over, true) {
        return Err(invalid(format!(
            "a stream of function `{name}` that is over can only be closed"
        )));
    }
    if out.is_null() || out_schema.is_null() {
        return Err(invalid("no room for what is emitted"));
    }
    refuse_if_cancelled(name, host)?;
    let mut emit = Emit::new(&function.declaration, &host);
    stream.arguments.host = host;
    let answered = body(stream, &mut emit);
    stream.arguments.host = HostLink::none();
    answered?;
    let (array, schema) = emit.into_batch().and_then(exported_as).map_err(|error| {
        let message = format!("function `{name}` emitted what cannot cross the boundary: {error}");
        Failure::new(Code::Failed, message)
    })?;
    // SAFETY: neither is null, so there is room for both; they are zeroed, and not dropped.
    unsafe {
        out.write(array);
        out_schema.write(schema);
    }
    stream.over = last;
    Ok(())
}

fn exported_as(batch: StructArray) -> Result<(FFI_ArrowArray, FFI_ArrowSchema), ArrowError> {
    let data = batch.into_data();
    let schema = FFI_ArrowSchema::try_from(data.data_type())?;
    Ok((FFI_ArrowArray::new(&data), schema))
}

impl Stream {
    /// # Safety
    /// As for [`import::array`].
    unsafe fn open(
        exported: &Exported,
        host: HostLink,
        function: u64,
        array: FFI_ArrowArray,
        schema: &FFI_ArrowSchema,
    ) -> Result<Self, Failure> {
        let functions = &exported.built()?.partition_functions;
        let function = exported.at("partition function", functions, function)?;
        let name = &function.declaration.name;
        refuse_if_cancelled(name, host)?;
        let lists = vec![function.declaration.arguments.clone()];
        // SAFETY: passed on from the caller.
        let arguments = unsafe { take_arguments(name, lists, array, schema, HostLink::none()) }?;
        if arguments.rows != 1 {
            return Err(invalid(format!(
                "the arguments of function `{name}` come as {} rows instead of one",
                arguments.rows
            )));
        }
        Ok(Self {
            function: Arc::clone(function),
            arguments,
            state: None,
            begun: 0,
            over: false,
        })
    }

    /// Takes over a batch, and has the states of its keys see it.
    ///
    /// # Safety
    /// As for [`import::array`].
    unsafe fn push(
        &mut self,
        array: FFI_ArrowArray,
        schema: &FFI_ArrowSchema,
        starts: &[usize],
        emit: &mut Emit<'_>,
    ) -> Result<(), Failure> {
        let declaration = &self.function.declaration;
        let wrong = |reason: String| {
            invalid(format!(
                "the rows for function `{}` are not what it declares: {reason}",
                declaration.name
            ))
        };
        let rows = usize::try_from(array.length)
            .map_err(|_| wrong(format!("a length of {}", array.length)))?;
        let expected = struct_of(declaration.columns.iter().map(|column| column.column_type));
        // SAFETY: passed on from the caller.
        let batch = unsafe { import::array(array, schema, &expected, rows, Trust::Values) }
            .map_err(wrong)?;
        if let Some(reason) = self.misplaced(starts, rows) {
            return Err(wrong(reason));
        }
        let batch: StructArray = batch.to_data().into();
        self.author(|stream| stream.see(batch.columns(), rows, starts, emit))
    }

    /// What is wrong with the places at which keys begin.
    fn misplaced(&self, starts: &[usize], rows: usize) -> Option<String> {
        if !starts.is_sorted_by(|a, b| a < b) {
            return Some("the starts of its keys do not ascend".to_owned());
        }
        if let Some(last) = starts.last().filter(|last| **last >= rows) {
            return Some(format!("a key begins at {last}, of {rows} rows"));
        }
        (self.begun == 0 && rows > 0 && starts.first() != Some(&0))
            .then(|| "the first row belongs to no key".to_owned())
    }

    /// Runs the author's code: what it panics with, and what it fails with, names the function.
    fn author(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<(), FunctionError>,
    ) -> Result<(), Failure> {
        let function = Arc::clone(&self.function);
        let name = &function.declaration.name;
        caught(&format!("function `{name}`"), || body(self))?.map_err(|error| failure(name, error))
    }

    fn see(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        starts: &[usize],
        emit: &mut Emit<'_>,
    ) -> Result<(), FunctionError> {
        self.continue_key(columns, 0..starts.first().copied().unwrap_or(rows), emit)?;
        let ends = starts.iter().skip(1).copied().chain([rows]);
        for (start, end) in starts.iter().copied().zip(ends) {
            self.end_key(emit)?;
            self.state = Some((self.function.state)(&self.arguments)?);
            self.begun += 1;
            self.continue_key(columns, start..end, emit)?;
        }
        Ok(())
    }

    /// Shows rows to the state of the key that the stream is at.
    fn continue_key(
        &mut self,
        columns: &[ArrayRef],
        range: Range<usize>,
        emit: &mut Emit<'_>,
    ) -> Result<(), FunctionError> {
        match &mut self.state {
            Some(state) if !range.is_empty() => {
                emit.begin(self.begun - 1);
                let rows = Rows::new(&self.function.declaration, columns, range);
                state.push(&rows, emit)
            }
            _ => Ok(()),
        }
    }

    /// Ends the key that the stream is at, if there is one, and drops its state.
    fn end_key(&mut self, emit: &mut Emit<'_>) -> Result<(), FunctionError> {
        if let Some(state) = &mut self.state {
            emit.begin(self.begun - 1);
            state.finish(emit)?;
        }
        drop(self.state.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
