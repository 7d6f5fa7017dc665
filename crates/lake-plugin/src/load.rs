//! Loading a library, and calling a transform's table of functions.
//!
//! A library is loaded once and stays: arrays that came from it are released by its code, long
//! after the call, from any thread; its thread-local values have destructors there; and there is
//! no way to know that no thread of its own is running. `dlclose` would save a few megabytes and
//! risk a jump into nothing.

#![expect(
    unsafe_code,
    reason = "libraries are loaded, and their functions called, through the system"
)]

mod partition;

use std::ffi::c_void;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::abi::{self, Code, Describe, LakeError, LakeHost, LakePlugin, LakeString};
use crate::export::message_of;
use crate::import::{self, Trust};
use crate::{Entry, Host, Level};

pub(crate) use partition::Stream;

/// Why a file is not a transform that can be called.
pub(crate) enum Refusal {
    NotALibrary(String),
    NoSymbol,
    OtherVersion(String),
}

/// What a transform answers where it does not do what it was asked.
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The functions of a transform, in the version that we speak.
pub(crate) struct Table {
    known: LakePlugin,
    describe: Describe,
}

/// What a function returned, before anything in it is believed.
pub(crate) struct Returned {
    array: FFI_ArrowArray,
    schema: FFI_ArrowSchema,
    /// What the transform has not taken of its arguments.
    left: FFI_ArrowArray,
}

/// The longest declaration, in bytes: a longer one is a mistake, or an attempt on our memory.
const MOST_DECLARED: u64 = 64 << 20;

/// How much of a message people are shown, in bytes.
const MOST_SHOWN: u64 = 64 << 10;

/// Loads the library at an absolute path: `dlopen` looks elsewhere for names without a slash.
pub(crate) fn open(path: &Path) -> Result<Table, Refusal> {
    // All symbols are resolved now, and none of them is seen by other libraries: what is missing
    // is an error here, and two transforms may contain different versions of the same crate.
    // SAFETY: the constructors of the library run, and may do anything. Whoever names a library
    // as a transform trusts its code; there is no way to load it without.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| Refusal::NotALibrary(reason_of(&error)))?;
    let library = ManuallyDrop::new(library);
    type EntryPoint = unsafe extern "C" fn() -> *const LakePlugin;
    // SAFETY: the header says what the symbol is; whoever exports it keeps to that.
    let entry = unsafe { library.get::<EntryPoint>(abi::SYMBOL) }.map_err(|_| Refusal::NoSymbol)?;
    // SAFETY: as above; the library is never unloaded, so the pointer stays what it is.
    unsafe { Table::read(entry()) }
}

/// The functions of a transform that is linked in.
pub(crate) fn linked(entry: Entry) -> Result<Table, Refusal> {
    // SAFETY: an entry is a reference to a table that this crate has filled in.
    unsafe { Table::read(entry.as_ptr()) }
}

/// What `dlopen` says, without what the library around it adds.
fn reason_of(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Table {
    /// # Safety
    /// `table` is null, or follows the header and stays as it is for ever.
    unsafe fn read(table: *const LakePlugin) -> Result<Self, Refusal> {
        let other = |found: String| Err(Refusal::OtherVersion(found));
        if table.is_null() {
            return other("no table of functions".to_owned());
        }
        // SAFETY: not null, and the caller says that it follows the header.
        let known = unsafe { abi::read_known(table) };
        if known.version != abi::VERSION {
            return other(format!("version {}", known.version));
        }
        // A table of an older kit is shorter: what it does not have is null, and is missed only
        // where its declaration needs it.
        match known.describe {
            Some(describe) => Ok(Self { known, describe }),
            None if known.size as usize <= offset_of!(LakePlugin, describe) => {
                other(format!("a table of {} bytes", known.size))
            }
            None => other("no `describe`".to_owned()),
        }
    }

    /// Whether scalar functions can be called.
    pub(crate) fn has_scalars(&self) -> bool {
        self.known.call_scalar.is_some()
    }

    /// The declaration: bytes that should be JSON, or why there are none.
    pub(crate) fn describe(&self) -> Result<Result<Vec<u8>, String>, Answer> {
        let mut text = LakeString::empty();
        let mut error = LakeError::empty();
        // SAFETY: called with its own context and with room for its answers, as the header says.
        let code = unsafe {
            (self.describe)(
                self.known.context,
                std::ptr::null(),
                &raw mut text,
                &raw mut error,
            )
        };
        answer(code, &error, None)?;
        if text.length > MOST_DECLARED {
            return Ok(Err(format!(
                "it claims {} bytes, and no declaration has more than {MOST_DECLARED}",
                text.length
            )));
        }
        // SAFETY: a string of the header, which has not been released yet.
        Ok(unsafe { text.bytes() }
            .map(<[u8]>::to_vec)
            .ok_or_else(|| "the text that it gives has no bytes".to_owned()))
    }

    /// Calls a scalar function. The arguments have been compared with its declaration.
    pub(crate) fn call_scalar(
        &self,
        host: Option<&dyn Host>,
        function: usize,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<Returned, Answer> {
        let Some(call_scalar) = self.known.call_scalar else {
            return Err(Answer {
                code: Code::InvalidCall,
                message: "the transform has no `call_scalar`".to_owned(),
            });
        };
        let (mut array, mut schema) = batch(arguments, rows)?;
        let callbacks = host.as_ref().map(callbacks);
        let mut returned = Returned::nothing();
        let mut error = LakeError::empty();
        // SAFETY: called as the header says: with its own context, arguments that are its own
        // from now on (what it leaves is released when our two structs are dropped), empty room
        // for its answers, and a host that outlives the call.
        let code = unsafe {
            call_scalar(
                self.known.context,
                callbacks
                    .as_ref()
                    .map_or(std::ptr::null(), std::ptr::from_ref),
                function as u64,
                &raw mut array,
                &raw mut schema,
                &raw mut returned.array,
                &raw mut returned.schema,
                &raw mut error,
            )
        };
        answer(code, &error, host)?;
        returned.left = array;
        Ok(returned)
    }
}

impl Returned {
    /// Room for a result.
    fn nothing() -> Self {
        Self {
            array: FFI_ArrowArray::empty(),
            schema: FFI_ArrowSchema::empty(),
            left: FFI_ArrowArray::empty(),
        }
    }

    /// The array, if it has `rows` good values of type `expected`. `arguments` are those of the
    /// call.
    pub(crate) fn take(
        self,
        expected: &DataType,
        rows: usize,
        arguments: &[ArrayRef],
    ) -> Result<ArrayRef, String> {
        // SAFETY: the result is as the transform filled it in, or still empty; what is left of
        // the arguments is as we made it, but for what the transform took.
        if unsafe { import::borrows(&self.array, expected, &self.left, arguments) } {
            // Nobody can tell whether the result also releases what it points into: once too
            // little is a leak, once too often would be the end of the process.
            std::mem::forget(self.left);
            return Err("it points into an argument that the function did not take".to_owned());
        }
        drop(self.left);
        // SAFETY: both are as the transform filled them in, or still empty.
        unsafe { import::array(self.array, &self.schema, expected, rows, Trust::Nothing) }
    }

    /// The rows, if they are a good struct of type `expected`, however many there are.
    /// `arguments` are those of the call.
    pub(crate) fn take_rows(
        self,
        expected: &DataType,
        arguments: &[ArrayRef],
    ) -> Result<StructArray, String> {
        let length = self.array.length;
        let rows = usize::try_from(length).map_err(|_| format!("it claims {length} rows"))?;
        let rows = self.take(expected, rows, arguments)?;
        Ok(rows.to_data().into())
    }
}

/// The arguments as one struct array, so that there is a length also where there are none.
fn batch(arguments: &[ArrayRef], rows: usize) -> Result<(FFI_ArrowArray, FFI_ArrowSchema), Answer> {
    let impossible = |error: arrow::error::ArrowError| Answer {
        code: Code::InvalidCall,
        message: error.to_string(),
    };
    let fields: Fields = arguments
        .iter()
        .enumerate()
        .map(|(place, array)| Field::new(place.to_string(), array.data_type().clone(), true))
        .collect();
    let batch = StructArray::try_new_with_length(fields, arguments.to_vec(), None, rows)
        .map_err(impossible)?;
    let schema = FFI_ArrowSchema::try_from(batch.data_type()).map_err(impossible)?;
    Ok((FFI_ArrowArray::new(&batch.to_data()), schema))
}

/// What the code and the error of a call say together. Only a host that has stopped the run is
/// told that a function stopped for that reason.
fn answer(code: i32, error: &LakeError, host: Option<&dyn Host>) -> Result<(), Answer> {
    if code == abi::OK {
        return Ok(());
    }
    // SAFETY: a string of the header, which has not been released yet, or an empty one.
    let message = unsafe { shown(&error.message) };
    let code = match Code::from_number(code) {
        Code::Cancelled if !host.is_some_and(|host| host.is_cancelled()) => {
            return Err(Answer {
                code: Code::Failed,
                message: "it says that the run was stopped, and nobody has stopped it".to_owned(),
            });
        }
        known if message.is_empty() => {
            return Err(Answer {
                code: known,
                message: format!("it failed with code {code} and does not say why"),
            });
        }
        known => known,
    };
    Err(Answer { code, message })
}

/// Text of a transform that people read: its start, where it is very long, and no more than that
/// is read. What is not UTF-8 is replaced.
///
/// # Safety
/// Where `data` is not null, it points to `length` bytes that stay there until `release`.
unsafe fn shown(text: &LakeString) -> String {
    if isize::try_from(text.length).is_err() {
        // Nothing is that long, so what is there is not known either.
        return String::new();
    }
    let start = ManuallyDrop::new(LakeString {
        data: text.data,
        length: text.length.min(MOST_SHOWN),
        ..LakeString::empty()
    });
    // SAFETY: not longer than what the caller promises.
    let bytes = unsafe { start.bytes() }.unwrap_or_default();
    let shown = String::from_utf8_lossy(bytes);
    if bytes.is_empty() || text.length <= MOST_SHOWN {
        return shown.into_owned();
    }
    format!("{shown}… ({} bytes in all)", text.length)
}

/// The callbacks through which a transform reaches `host`, while the reference lives.
fn callbacks(host: &&dyn Host) -> LakeHost {
    LakeHost {
        size: abi::size::<LakeHost>(),
        version: abi::VERSION,
        context: std::ptr::from_ref(host).cast_mut().cast(),
        log: Some(log),
        metric: Some(metric),
        cancelled: Some(cancelled),
    }
}

/// Runs a callback with the host behind `context`. A panic in it is the host's own, and must not
/// unwind through the transform: it is dropped here, after the panic hook has reported it.
///
/// # Safety
/// `context` is that of [`callbacks`], and the call that it was made for has not returned.
unsafe fn host_of<T>(context: *mut c_void, body: impl FnOnce(&dyn Host) -> T) -> Option<T> {
    // SAFETY: the context is a pointer to a reference that outlives the call.
    let host = unsafe { context.cast::<&dyn Host>().as_ref() }?;
    match catch_unwind(AssertUnwindSafe(|| body(*host))) {
        Ok(value) => Some(value),
        Err(payload) => {
            drop(message_of(payload));
            None
        }
    }
}

/// Text that a transform passes to a callback.
///
/// # Safety
/// Where `data` is not null, it points to `length` bytes.
unsafe fn text_of(data: *const u8, length: u64) -> String {
    let text = ManuallyDrop::new(LakeString {
        data,
        length,
        ..LakeString::empty()
    });
    // SAFETY: passed on from the caller.
    unsafe { shown(&text) }
}

unsafe extern "C" fn log(context: *mut c_void, level: i32, message: *const u8, length: u64) {
    // SAFETY: the header says that a transform hands back our context, and text of that length.
    unsafe {
        let message = text_of(message, length);
        host_of(context, |host| {
            host.log(Level::from_number(level), &message)
        });
    }
}

unsafe extern "C" fn metric(context: *mut c_void, name: *const u8, length: u64, value: f64) {
    // SAFETY: the header says that a transform hands back our context, and text of that length.
    unsafe {
        let name = text_of(name, length);
        host_of(context, |host| host.metric(&name, value));
    }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: the header says that a transform hands back our context.
    let cancelled = unsafe { host_of(context, |host| host.is_cancelled()) };
    i32::from(cancelled.unwrap_or(false))
}
