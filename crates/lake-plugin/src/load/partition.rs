//! Calling the four functions behind a partition function.

use std::ffi::c_void;
use std::ptr;

use arrow::array::ArrayRef;

use super::{Answer, Returned, Table, answer, batch, callbacks};
use crate::Host;
use crate::abi::{
    LakeError, LakeHost, PartitionClose, PartitionFinish, PartitionOpen, PartitionPush,
};

/// The four functions, of a transform that has them.
#[derive(Clone, Copy)]
pub(crate) struct Partitions {
    context: *mut c_void,
    open: PartitionOpen,
    push: PartitionPush,
    finish: PartitionFinish,
    close: PartitionClose,
}

/// A stream that is open. It is closed when it is dropped.
pub(crate) struct Stream {
    functions: Partitions,
    stream: *mut c_void,
}

// SAFETY: the header says that a stream is used by one thread at a time, not always the same; all
// that uses it needs the only reference to it.
unsafe impl Send for Stream {}

impl Table {
    /// The functions that run partition functions, where all of them are there.
    pub(crate) fn partitions(&self) -> Option<Partitions> {
        Some(Partitions {
            context: self.known.context,
            open: self.known.partition_open?,
            push: self.known.partition_push?,
            finish: self.known.partition_finish?,
            close: self.known.partition_close?,
        })
    }
}

impl Partitions {
    /// Opens a stream. The arguments, of one row, have been compared with the declaration.
    pub(crate) fn open(
        self,
        host: &dyn Host,
        function: usize,
        arguments: &[ArrayRef],
    ) -> Result<Stream, Answer> {
        let (mut array, mut schema) = batch(arguments, 1)?;
        let callbacks: LakeHost = callbacks(&host);
        let mut stream = ptr::null_mut();
        let mut error = LakeError::empty();
        // SAFETY: called as the header says: with its own context, arguments that are its own
        // from now on (what it leaves is released when our two structs are dropped), room for its
        // answers, and a host that outlives the call.
        let code = unsafe {
            (self.open)(
                self.context,
                &raw const callbacks,
                function as u64,
                &raw mut array,
                &raw mut schema,
                &raw mut stream,
                &raw mut error,
            )
        };
        answer(code, &error, Some(host))?;
        Ok(Stream {
            functions: self,
            stream,
        })
    }
}

impl Stream {
    /// Gives the stream `rows` rows. They and the starts of their keys have been checked.
    pub(crate) fn push(
        &mut self,
        host: &dyn Host,
        columns: &[ArrayRef],
        rows: usize,
        starts: &[u64],
    ) -> Result<Returned, Answer> {
        let (mut array, mut schema) = batch(columns, rows)?;
        let callbacks = callbacks(&host);
        let mut returned = Returned::nothing();
        let mut error = LakeError::empty();
        // SAFETY: as for `open`, with its own stream, which is not closed yet, and with as many
        // starts as we say, which are there until the call returns.
        let code = unsafe {
            (self.functions.push)(
                self.functions.context,
                &raw const callbacks,
                self.stream,
                &raw mut array,
                &raw mut schema,
                starts.as_ptr(),
                starts.len() as u64,
                &raw mut returned.array,
                &raw mut returned.schema,
                &raw mut error,
            )
        };
        answer(code, &error, Some(host))?;
        returned.left = array;
        Ok(returned)
    }

    /// Ends the last key.
    pub(crate) fn finish(&mut self, host: &dyn Host) -> Result<Returned, Answer> {
        let callbacks = callbacks(&host);
        let mut returned = Returned::nothing();
        let mut error = LakeError::empty();
        // SAFETY: as for `open`, with its own stream, which is not closed yet.
        let code = unsafe {
            (self.functions.finish)(
                self.functions.context,
                &raw const callbacks,
                self.stream,
                &raw mut returned.array,
                &raw mut returned.schema,
                &raw mut error,
            )
        };
        answer(code, &error, Some(host))?;
        Ok(returned)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: its own stream, which has not been closed: only this closes it, and once.
        unsafe { (self.functions.close)(self.functions.context, self.stream) };
    }
}
