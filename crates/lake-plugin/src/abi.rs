//! `include/lake_plugin.h` in Rust: the structs that cross the boundary, and how each side reads
//! and fills them in.
//!
//! The header is where the rules are written; the crate's documentation tells why they are so.

#![expect(
    unsafe_code,
    reason = "the structs of the boundary hold pointers of the other side"
)]

use std::ffi::c_void;
use std::ptr;

use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

/// The version of the boundary that this crate speaks.
pub const VERSION: u32 = 1;

/// What a call across the boundary returns.
pub const OK: i32 = 0;

/// The symbol that a transform exports, as the linker knows it.
pub const SYMBOL: &str = "lake_plugin_v1";

/// Why a call across the boundary failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The caller broke a rule: no such function, or other arguments than declared.
    InvalidCall,
    /// The transform says that it cannot do it, and why.
    Failed,
    /// The transform panicked.
    Panic,
    /// It stopped because the host asked it to.
    Cancelled,
}

impl Code {
    /// The number that stands for the code in C.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::InvalidCall => 1,
            Self::Failed => 2,
            Self::Panic => 3,
            Self::Cancelled => 4,
        }
    }

    /// The code for a number other than [`OK`]; what is not known is a failure like any other.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::InvalidCall,
            3 => Self::Panic,
            4 => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// How much a log message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something went wrong.
    Error,
    /// Something may go wrong.
    Warn,
    /// Something worth knowing.
    Info,
    /// Something for whoever looks for a defect.
    Debug,
}

impl Level {
    /// The number that stands for the level in C.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Error => 1,
            Self::Warn => 2,
            Self::Info => 3,
            Self::Debug => 4,
        }
    }

    /// The level for a number; one that is not known is detail for those who look.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// `struct LakeString`: UTF-8 text that its receiver releases.
#[repr(C)]
#[derive(Debug)]
pub struct LakeString {
    /// The first byte.
    pub data: *const u8,
    /// How many bytes there are.
    pub length: u64,
    /// Releases the text, and sets itself to `None`.
    pub release: Option<unsafe extern "C" fn(*mut Self)>,
    /// For `release`.
    pub private_data: *mut c_void,
}

/// `struct LakeError`: why a call failed.
#[repr(C)]
#[derive(Debug)]
pub struct LakeError {
    /// The size of the struct, as whoever made room for it knows it.
    pub size: u32,
    /// [`VERSION`].
    pub version: u32,
    /// What the call returned.
    pub code: i32,
    /// What happened, for people.
    pub message: LakeString,
}

/// `struct LakeHost`: what the host offers to a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LakeHost {
    /// The size of the struct, as the host knows it.
    pub size: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Goes into every function below.
    pub context: *mut c_void,
    /// Logs a message of a level.
    pub log: Option<unsafe extern "C" fn(*mut c_void, i32, *const u8, u64)>,
    /// Records a named value.
    pub metric: Option<unsafe extern "C" fn(*mut c_void, *const u8, u64, f64)>,
    /// Whether the run has been stopped.
    pub cancelled: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
}

/// `struct LakePlugin`: a transform.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LakePlugin {
    /// The size of the struct, as the transform knows it.
    pub size: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Goes into every function below.
    pub context: *mut c_void,
    /// Gives the declaration as JSON.
    pub describe: Option<Describe>,
    /// Calls a scalar function.
    pub call_scalar: Option<CallScalar>,
    /// Opens a stream through a partition function.
    pub partition_open: Option<PartitionOpen>,
    /// Gives a stream its next rows.
    pub partition_push: Option<PartitionPush>,
    /// Ends the last key of a stream.
    pub partition_finish: Option<PartitionFinish>,
    /// Gives a stream up.
    pub partition_close: Option<PartitionClose>,
}

/// The type of [`LakePlugin::describe`].
pub type Describe = unsafe extern "C" fn(
    context: *mut c_void,
    host: *const LakeHost,
    declaration: *mut LakeString,
    error: *mut LakeError,
) -> i32;

/// The type of [`LakePlugin::call_scalar`].
pub type CallScalar = unsafe extern "C" fn(
    context: *mut c_void,
    host: *const LakeHost,
    function: u64,
    arguments: *mut FFI_ArrowArray,
    arguments_schema: *mut FFI_ArrowSchema,
    result: *mut FFI_ArrowArray,
    result_schema: *mut FFI_ArrowSchema,
    error: *mut LakeError,
) -> i32;

/// The type of [`LakePlugin::partition_open`].
pub type PartitionOpen = unsafe extern "C" fn(
    context: *mut c_void,
    host: *const LakeHost,
    function: u64,
    arguments: *mut FFI_ArrowArray,
    arguments_schema: *mut FFI_ArrowSchema,
    stream: *mut *mut c_void,
    error: *mut LakeError,
) -> i32;

/// The type of [`LakePlugin::partition_push`].
pub type PartitionPush = unsafe extern "C" fn(
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
) -> i32;

/// The type of [`LakePlugin::partition_finish`].
pub type PartitionFinish = unsafe extern "C" fn(
    context: *mut c_void,
    host: *const LakeHost,
    stream: *mut c_void,
    out: *mut FFI_ArrowArray,
    out_schema: *mut FFI_ArrowSchema,
    error: *mut LakeError,
) -> i32;

/// The type of [`LakePlugin::partition_close`].
pub type PartitionClose = unsafe extern "C" fn(context: *mut c_void, stream: *mut c_void);

// SAFETY: the header demands that everything in a transform may be called from any thread, and
// from several at once, `context` included.
unsafe impl Send for LakePlugin {}
// SAFETY: as above.
unsafe impl Sync for LakePlugin {}

// SAFETY: the header demands that everything may be called from any thread, the host's callbacks
// included.
unsafe impl Send for LakeHost {}
// SAFETY: as above.
unsafe impl Sync for LakeHost {}

/// The size of a struct of the boundary, as this crate knows it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the structs of the boundary have a handful of fields"
)]
pub(crate) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// A struct that begins with its size and version, only grows, and in which a missing field is
/// the same as a field of zeroes.
///
/// # Safety
/// The type is `repr(C)` and `Copy`, begins with `size: u32` and `version: u32`, and every other
/// field is as wide as a pointer and valid when all its bytes are zero.
pub(crate) unsafe trait Grows: Copy {}

// SAFETY: a pointer and nullable functions follow the two numbers.
unsafe impl Grows for LakeHost {}
// SAFETY: a pointer and nullable functions follow the two numbers.
unsafe impl Grows for LakePlugin {}

/// Copies as much of a struct as both sides know: what the other side does not have is zero, and
/// what it has beyond `T` is skipped. `size` in the copy is the other side's.
///
/// # Safety
/// `theirs` is aligned, and points to as many readable bytes as its first field says.
pub(crate) unsafe fn read_known<T: Grows>(theirs: *const T) -> T {
    // SAFETY: `Grows` says that all zeroes are a valid `T`.
    let mut ours: T = unsafe { std::mem::zeroed() };
    // SAFETY: `Grows` says that the struct begins with its size, and the caller that it is there.
    let size = unsafe { theirs.cast::<u32>().read() } as usize;
    let known = size.min(size_of::<T>());
    // A field that is there in part only is not there: fields are as wide as a pointer.
    let whole = known - known % size_of::<*const c_void>();
    // SAFETY: both have at least `whole` bytes, and do not overlap as `ours` is on our stack.
    unsafe { ptr::copy_nonoverlapping(theirs.cast::<u8>(), (&raw mut ours).cast::<u8>(), whole) };
    ours
}

impl LakeString {
    /// Room for a string of the other side.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            data: ptr::null(),
            length: 0,
            release: None,
            private_data: ptr::null_mut(),
        }
    }

    /// Text for the other side, which releases it.
    pub(crate) fn new(text: String) -> Self {
        let owner = Box::new(text);
        Self {
            data: owner.as_ptr(),
            length: owner.len() as u64,
            release: Some(release_string),
            private_data: Box::into_raw(owner).cast(),
        }
    }

    /// The bytes, or `None` where the struct claims some and points nowhere, or claims more than
    /// there can be.
    ///
    /// # Safety
    /// Where `data` is not null, it points to `length` bytes that stay there until `release`.
    #[must_use]
    pub unsafe fn bytes(&self) -> Option<&[u8]> {
        let length = usize::try_from(self.length).ok()?;
        if length == 0 {
            return Some(&[]);
        }
        if self.data.is_null() || isize::try_from(length).is_err() {
            return None;
        }
        // SAFETY: not null and not longer than memory can be; the rest is the caller's promise.
        Some(unsafe { std::slice::from_raw_parts(self.data, length) })
    }
}

/// Whoever holds a string releases it, once: `release` is there until somebody has.
impl Drop for LakeString {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the header says that a string with a `release` has not been released, and
            // that whoever holds it calls that once; `self` is gone afterwards.
            unsafe { release(self) };
        }
    }
}

/// Releases what [`LakeString::new`] made.
unsafe extern "C" fn release_string(string: *mut LakeString) {
    // SAFETY: the header says that `release` is given the string that it belongs to.
    let Some(string) = (unsafe { string.as_mut() }) else {
        return;
    };
    if string.release.take().is_some() {
        // SAFETY: `LakeString::new` put a box there, and `release` was still set, so this is
        // the first time that it is taken.
        drop(unsafe { Box::from_raw(string.private_data.cast::<String>()) });
        string.private_data = ptr::null_mut();
        string.data = ptr::null();
        string.length = 0;
    }
}

impl LakeError {
    /// Room for an error of the other side.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            size: size::<Self>(),
            version: VERSION,
            code: OK,
            message: LakeString::empty(),
        }
    }

    /// Fills in the error of a caller, if it made room for one.
    ///
    /// # Safety
    /// `error` is null, or aligned and writable for as many bytes as its first field says.
    pub(crate) unsafe fn put(error: *mut Self, code: i32, message: String) {
        if error.is_null() {
            return;
        }
        // SAFETY: not null, and the caller says that the first field is there.
        let room = unsafe { (&raw const (*error).size).read() };
        if room < size::<Self>() {
            return;
        }
        // SAFETY: there is room for the whole struct. What was in `message` is overwritten and
        // not dropped: the caller has zeroed it.
        unsafe {
            (&raw mut (*error).code).write(code);
            (&raw mut (*error).message).write(LakeString::new(message));
        }
    }
}

/// What a call can say to its host, with whichever callbacks that has.
#[derive(Clone, Copy)]
pub(crate) struct HostLink(Option<LakeHost>);

impl HostLink {
    /// A link to the host of a call.
    ///
    /// # Safety
    /// `host` is null, or follows the header, and does so until no copy of the link is used.
    pub(crate) unsafe fn new(host: *const LakeHost) -> Self {
        // SAFETY: not null, and the caller says that it follows the header.
        Self((!host.is_null()).then(|| unsafe { read_known(host) }))
    }

    /// A link to nobody.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        if let Some(LakeHost {
            context,
            log: Some(log),
            ..
        }) = self.0
        {
            // SAFETY: the host's own function with its own context; the text is ours until then.
            unsafe {
                log(
                    context,
                    level.number(),
                    message.as_ptr(),
                    message.len() as u64,
                )
            };
        }
    }

    pub(crate) fn metric(&self, name: &str, value: f64) {
        if let Some(LakeHost {
            context,
            metric: Some(metric),
            ..
        }) = self.0
        {
            // SAFETY: the host's own function with its own context; the text is ours until then.
            unsafe { metric(context, name.as_ptr(), name.len() as u64, value) };
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        let Some(LakeHost {
            context,
            cancelled: Some(cancelled),
            ..
        }) = self.0
        else {
            return false;
        };
        // SAFETY: the host's own function with its own context.
        unsafe { cancelled(context) != 0 }
    }
}
