//! A transform as the other side sees it: the functions behind [`export!`](crate::export).
//!
//! No panic leaves this module. The author's code runs inside [`caught`], which names what
//! panicked; everything else runs inside [`answer`], which catches what should not happen.

#![expect(
    unsafe_code,
    reason = "the entry points are called through C, with pointers of the host"
)]

mod partition;

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::abi::{self, Code, HostLink, LakeError, LakeHost, LakePlugin, LakeString};
use crate::import::{self, Trust};
use crate::{Arguments, ColumnType, Function, FunctionError, PartitionFunction, Transform};

/// A transform that can be called through the boundary: what [`export!`](crate::export) keeps.
///
/// The author's function runs once, when somebody first asks what the transform is.
#[derive(Debug)]
pub struct Exported {
    name: &'static str,
    version: &'static str,
    build: fn() -> Transform,
    built: OnceLock<Result<Built, Failure>>,
    table: OnceLock<LakePlugin>,
}

/// A transform as the host gets it, whether it is linked in or loaded: a pointer to its table of
/// functions.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    table: &'static LakePlugin,
}

impl Exported {
    /// The transform that `build` returns, with the name and version of its crate.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str, build: fn() -> Transform) -> Self {
        Self {
            name,
            version,
            build,
            built: OnceLock::new(),
            table: OnceLock::new(),
        }
    }

    /// What a host calls.
    pub fn entry(&'static self) -> Entry {
        Entry {
            table: self.table.get_or_init(|| LakePlugin {
                size: abi::size::<LakePlugin>(),
                version: abi::VERSION,
                context: ptr::from_ref(self).cast_mut().cast(),
                describe: Some(describe),
                call_scalar: Some(call_scalar),
                partition_open: Some(partition::open),
                partition_push: Some(partition::push),
                partition_finish: Some(partition::finish),
                partition_close: Some(partition::close),
            }),
        }
    }

    /// The author's transform, built once.
    fn built(&self) -> Result<&Built, Failure> {
        let built = self.built.get_or_init(|| {
            let what = format!(
                "the transform `{}`, while it was asked what it is,",
                self.name
            );
            let transform = caught(&what, self.build)?;
            let mut declaration = transform.declaration();
            declaration.name = Some(self.name.to_owned());
            declaration.version = Some(self.version.to_owned());
            let declaration = serde_json::to_string(&declaration).map_err(|error| {
                Failure::new(
                    Code::Failed,
                    format!("its declaration is not JSON: {error}"),
                )
            })?;
            Ok(Built {
                declaration,
                functions: transform.functions,
                partition_functions: transform
                    .partition_functions
                    .into_iter()
                    .map(Arc::new)
                    .collect(),
            })
        });
        built.as_ref().map_err(Clone::clone)
    }
}

impl Entry {
    /// The table of functions, as C gets it.
    #[must_use]
    pub fn as_ptr(self) -> *const LakePlugin {
        self.table
    }
}

/// What the author's function returned.
#[derive(Debug)]
struct Built {
    declaration: String,
    functions: Vec<Function>,
    partition_functions: Vec<Arc<PartitionFunction>>,
}

/// Why an entry point does not return [`abi::OK`].
#[derive(Clone, Debug)]
struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

unsafe extern "C" fn describe(
    context: *mut c_void,
    _host: *const LakeHost,
    declaration: *mut LakeString,
    error: *mut LakeError,
) -> i32 {
    // SAFETY: the header says that the caller hands back our context, and room for an error.
    unsafe {
        answer(context, error, |exported| {
            let text = exported.built()?.declaration.clone();
            if declaration.is_null() {
                return Err(Failure::new(
                    Code::InvalidCall,
                    "no room for the declaration",
                ));
            }
            // SAFETY: not null, so it is room for a string; it is zeroed, and not dropped.
            declaration.write(LakeString::new(text));
            Ok(())
        })
    }
}

unsafe extern "C" fn call_scalar(
    context: *mut c_void,
    host: *const LakeHost,
    function: u64,
    arguments: *mut FFI_ArrowArray,
    arguments_schema: *mut FFI_ArrowSchema,
    result: *mut FFI_ArrowArray,
    result_schema: *mut FFI_ArrowSchema,
    error: *mut LakeError,
) -> i32 {
    // SAFETY: the header says that the caller hands back our context, and room for an error; that
    // the arguments are ours now; that there is zeroed room for the result; and that the host is
    // there until we return.
    unsafe {
        answer(context, error, |exported| {
            if arguments.is_null() || arguments_schema.is_null() {
                return Err(Failure::new(Code::InvalidCall, "there are no arguments"));
            }
            let array = FFI_ArrowArray::from_raw(arguments);
            let schema = FFI_ArrowSchema::from_raw(arguments_schema);
            if result.is_null() || result_schema.is_null() {
                return Err(Failure::new(Code::InvalidCall, "no room for the result"));
            }
            let function = exported.function(function)?;
            let name = &function.declaration.name;
            let lists = function.declaration.signatures();
            let lists = lists.map(|signature| signature.arguments).collect();
            let arguments = take_arguments(name, lists, array, &schema, HostLink::new(host))?;
            let (array, schema) = run(function, arguments)?;
            result.write(array);
            result_schema.write(schema);
            Ok(())
        })
    }
}

impl Exported {
    fn function(&self, place: u64) -> Result<&Function, Failure> {
        self.at("function", &self.built()?.functions, place)
    }

    fn at<'a, T>(&self, what: &str, functions: &'a [T], place: u64) -> Result<&'a T, Failure> {
        usize::try_from(place)
            .ok()
            .and_then(|place| functions.get(place))
            .ok_or_else(|| {
                Failure::new(
                    Code::InvalidCall,
                    format!(
                        "there is no {what} {place}: `{}` declares {}, counted from 0",
                        self.name,
                        functions.len()
                    ),
                )
            })
    }
}

/// Takes over what function `name` is called with: its schema says which of the declared `lists`
/// of arguments that is.
///
/// The host is the process that we run in, so its values are taken as they are; that their
/// structure is what was declared is checked, as a mistake there would be a crash here.
///
/// # Safety
/// As for [`import::array`].
unsafe fn take_arguments(
    name: &str,
    lists: Vec<Vec<ColumnType>>,
    array: FFI_ArrowArray,
    schema: &FFI_ArrowSchema,
    host: HostLink,
) -> Result<Arguments, Failure> {
    let invalid = |reason: String| {
        Failure::new(
            Code::InvalidCall,
            format!("the arguments of function `{name}` are not what it declares: {reason}"),
        )
    };
    let rows = usize::try_from(array.length)
        .map_err(|_| invalid(format!("a length of {}", array.length)))?;
    let declared = lists.len();
    let mut reason = String::new();
    let mut found = None;
    for types in lists {
        let expected = struct_of(types.iter().copied());
        // SAFETY: passed on from the caller.
        match unsafe { import::check_schema(schema, &expected) } {
            Ok(()) => {
                found = Some((types, expected));
                break;
            }
            Err(error) if reason.is_empty() => reason = error,
            Err(_) => {}
        }
    }
    let Some((types, expected)) = found else {
        return Err(invalid(if declared > 1 {
            format!("of {declared} lists of arguments, none is this one; of the first: {reason}")
        } else {
            reason
        }));
    };
    // SAFETY: passed on from the caller.
    let batch =
        unsafe { import::array(array, schema, &expected, rows, Trust::Values) }.map_err(invalid)?;
    let batch: StructArray = batch.to_data().into();
    Ok(Arguments {
        function: name.to_owned(),
        types,
        rows,
        arrays: batch.columns().to_vec(),
        host,
    })
}

/// A struct of columns without names: what crosses has them by place.
fn struct_of(types: impl Iterator<Item = ColumnType>) -> DataType {
    let fields: Fields = types
        .map(|column| Field::new("", column.to_arrow(), true))
        .collect();
    DataType::Struct(fields)
}

/// Calls the author's code, and makes its result ready for the host.
fn run(
    function: &Function,
    arguments: Arguments,
) -> Result<(FFI_ArrowArray, FFI_ArrowSchema), Failure> {
    let name = &function.declaration.name;
    if arguments.is_cancelled() {
        return Err(Failure::new(
            Code::Cancelled,
            format!("function `{name}` was not called: the run was stopped"),
        ));
    }
    let what = format!("function `{name}`");
    let result =
        caught(&what, || (function.body)(&arguments))?.map_err(|error| failure(name, error))?;
    let data = result.to_data();
    let schema = FFI_ArrowSchema::try_from(data.data_type()).map_err(|error| {
        Failure::new(
            Code::Failed,
            format!("{what} returned an array that cannot cross the boundary: {error}"),
        )
    })?;
    Ok((FFI_ArrowArray::new(&data), schema))
}

/// What the author's code says went wrong.
fn failure(function: &str, error: FunctionError) -> Failure {
    let code = if error.cancelled {
        Code::Cancelled
    } else {
        Code::Failed
    };
    Failure::new(code, about(function, error.message))
}

/// What went wrong in a function, with its name, unless the message has it already.
fn about(function: &str, message: String) -> String {
    if message.contains(&format!("`{function}`")) {
        return message;
    }
    format!("function `{function}`: {message}")
}

/// Runs an entry point: finds the transform, catches what panics, and says what went wrong.
///
/// # Safety
/// `context` is that of [`Exported::entry`], and `error` is as [`LakeError::put`] wants it.
unsafe fn answer(
    context: *mut c_void,
    error: *mut LakeError,
    body: impl FnOnce(&Exported) -> Result<(), Failure>,
) -> i32 {
    let answered = caught("the kit that this transform is built with", || {
        // SAFETY: the caller says that this is a context of ours, which is never freed.
        let exported = unsafe { context.cast::<Exported>().as_ref() };
        let exported =
            exported.ok_or_else(|| Failure::new(Code::InvalidCall, "the call has no context"))?;
        body(exported)
    });
    match answered.and_then(|result| result) {
        Ok(()) => abi::OK,
        Err(failure) => {
            let code = failure.code.number();
            // SAFETY: passed on from the caller.
            unsafe { LakeError::put(error, code, failure.message) };
            code
        }
    }
}

/// Runs something that may panic; the failure says that `what` did.
fn caught<T>(what: &str, body: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let message = message_of(payload);
        Failure::new(Code::Panic, format!("{what} panicked: {message}"))
    })
}

/// What `panic!` was told, or that it was told something else than text.
pub(crate) fn message_of(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(strange) => {
            // Dropping it would run the code of whoever made it, which may panic again, outside.
            std::mem::forget(strange);
            "(without a message)".to_owned()
        }
    }
}

/// Makes a crate a transform: exports `lake_plugin_v1`, and `plugin()` for tests that link it.
///
/// The argument is a function without parameters that returns a [`Transform`]. It is called once,
/// by the first host that asks; a panic in it becomes an error of that host.
///
/// ```
/// use lake_plugin::prelude::*;
///
/// fn visits() -> Transform {
///     Transform::new()
///         .input(Input::csv("visits").header().column("page", text().required()))
///         .table(Table::standard("visits").sql("SELECT page FROM visits"))
/// }
/// lake_plugin::export!(visits);
/// # fn main() {
/// # assert!(lake_plugin::Plugin::from_entry(plugin()).is_ok());
/// # }
/// ```
#[macro_export]
macro_rules! export {
    ($transform:path) => {
        /// This transform, for a test that links it instead of loading it: the same functions
        /// are called in the same way.
        pub fn plugin() -> $crate::Entry {
            // Typed here, so that the compiler speaks of the author's function, not of ours.
            const LAKE_BUILD: fn() -> $crate::Transform = $transform;
            static LAKE_TRANSFORM: $crate::Exported = $crate::Exported::new(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
                LAKE_BUILD,
            );
            LAKE_TRANSFORM.entry()
        }

        #[unsafe(no_mangle)]
        extern "C" fn lake_plugin_v1() -> *const $crate::abi::LakePlugin {
            plugin().as_ptr()
        }
    };
}

#[cfg(test)]
mod tests;
