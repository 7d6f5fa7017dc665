//! What C can do to a transform that no Rust host does.

use std::cell::RefCell;

use arrow::array::{ArrayRef, StringArray};
use std::sync::Arc;

use super::*;
use crate::{Input, Level, Table, text};

static TRANSFORM: Exported = Exported::new("tests", "1.0.0", || {
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(Function::scalar("says", [text()], text(), |arguments| {
            arguments.log(Level::Info, "here");
            arguments.metric("calls", 1.0);
            if arguments.is_cancelled() {
                return Err(crate::FunctionError::cancelled());
            }
            Ok(Arc::clone(arguments.array(0)?))
        }))
});

/// A call as C makes it, which a test can spoil.
struct Call {
    context: *mut c_void,
    function: u64,
    arguments: FFI_ArrowArray,
    schema: FFI_ArrowSchema,
    error: LakeError,
}

impl Call {
    fn new() -> Self {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let field = Field::new("", texts.data_type().clone(), true);
        let batch = StructArray::from(vec![(Arc::new(field), texts)]);
        Self {
            context: TRANSFORM.entry().table.context,
            function: 0,
            arguments: FFI_ArrowArray::new(&batch.to_data()),
            schema: FFI_ArrowSchema::try_from(batch.data_type()).unwrap(),
            error: LakeError::empty(),
        }
    }

    /// Makes the call, and says what it returned: a code, and the message of its error.
    fn make(&mut self, host: *const LakeHost) -> (i32, String) {
        let mut result = FFI_ArrowArray::empty();
        let mut result_schema = FFI_ArrowSchema::empty();
        // SAFETY: everything is there, or spoiled in a way that the header allows.
        let code = unsafe {
            call_scalar(
                self.context,
                host,
                self.function,
                &raw mut self.arguments,
                &raw mut self.schema,
                &raw mut result,
                &raw mut result_schema,
                &raw mut self.error,
            )
        };
        assert_eq!(result.release.is_some(), code == abi::OK);
        assert_eq!(result_schema.release.is_some(), code == abi::OK);
        // SAFETY: the message has not been released.
        let message = unsafe { self.error.message.bytes() }.unwrap();
        (code, String::from_utf8(message.to_vec()).unwrap())
    }
}

thread_local! {
    static TOLD: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// A host of any size. The callbacks beyond it stop the process, if somebody calls them.
fn host(size: usize) -> LakeHost {
    unsafe extern "C" fn log(_: *mut c_void, _: i32, _: *const u8, _: u64) {
        TOLD.with_borrow_mut(|told| told.push("log"));
    }
    unsafe extern "C" fn metric(_: *mut c_void, _: *const u8, _: u64, _: f64) {
        TOLD.with_borrow_mut(|told| told.push("metric"));
    }
    unsafe extern "C" fn cancelled(_: *mut c_void) -> i32 {
        TOLD.with_borrow_mut(|told| told.push("cancelled"));
        0
    }
    LakeHost {
        size: u32::try_from(size).unwrap(),
        version: abi::VERSION,
        context: ptr::null_mut(),
        log: Some(log),
        metric: Some(metric),
        cancelled: Some(cancelled),
    }
}

#[test]
fn a_shorter_host_is_used_as_far_as_it_goes() {
    use std::mem::offset_of;
    for (size, expected) in [
        (0, vec![]),
        (offset_of!(LakeHost, log), vec![]),
        // A field that is there by half is not there.
        (offset_of!(LakeHost, log) + 4, vec![]),
        (offset_of!(LakeHost, metric), vec!["log"]),
        (offset_of!(LakeHost, cancelled), vec!["log", "metric"]),
    ] {
        let host = host(size);
        let (code, message) = Call::new().make(&raw const host);
        assert_eq!((code, message.as_str()), (abi::OK, ""));
        assert_eq!(TOLD.take(), expected, "{size}");
    }
}

#[test]
fn a_longer_host_from_the_future_is_used_as_far_as_we_know_it() {
    #[repr(C)]
    struct Longer {
        known: LakeHost,
        more: [usize; 4],
    }
    let longer = Longer {
        known: host(size_of::<Longer>()),
        more: [usize::MAX; 4],
    };
    assert_eq!(longer.more.len(), 4);
    let (code, _) = Call::new().make((&raw const longer).cast());
    assert_eq!(code, abi::OK);
    assert_eq!(TOLD.take(), ["cancelled", "log", "metric", "cancelled"]);
}

#[test]
fn arguments_are_taken_whatever_the_answer_is() {
    for (function, expected) in [(0, abi::OK), (7, 1), (u64::MAX, 1)] {
        let mut call = Call::new();
        call.function = function;
        let (code, _) = call.make(ptr::null());
        assert_eq!(code, expected);
        assert!(call.arguments.release.is_none());
        assert!(call.schema.release.is_none());
    }
}

#[test]
fn a_call_of_no_function_says_how_many_there_are() {
    let mut call = Call::new();
    call.function = 1;
    let (_, message) = call.make(ptr::null());
    assert_eq!(
        message,
        "there is no function 1: `tests` declares 1, counted from 0"
    );
}

#[test]
fn other_arguments_than_declared_are_refused() {
    let spoiled = |spoil: fn(&mut Call)| {
        let mut call = Call::new();
        spoil(&mut call);
        let (code, message) = call.make(ptr::null());
        assert_eq!(code, Code::InvalidCall.number(), "{message}");
        message
    };
    let message = spoiled(|call| call.arguments = FFI_ArrowArray::empty());
    let start = "the arguments of function `says` are not what it declares: ";
    assert_eq!(message, format!("{start}there is no array"));
    let message = spoiled(|call| call.schema = FFI_ArrowSchema::empty());
    assert_eq!(message, format!("{start}it has no schema"));
    let message = spoiled(|call| call.arguments.length = -1);
    assert_eq!(message, format!("{start}a length of -1"));
    let message = spoiled(|call| call.arguments.length = 3);
    assert_eq!(
        message,
        format!("{start}column 0: it has 2 values instead of 3")
    );
    let message = spoiled(|call| {
        call.schema = FFI_ArrowSchema::try_from(&DataType::Int64).unwrap();
    });
    assert!(
        message.starts_with(&format!("{start}it is of Arrow format `l`")),
        "{message}"
    );
    let message = spoiled(|call| {
        let field = Field::new("", DataType::Int64, true);
        let batch = DataType::Struct(vec![field].into());
        call.schema = FFI_ArrowSchema::try_from(&batch).unwrap();
    });
    assert!(
        message.starts_with(&format!("{start}column 0: it is of Arrow format `l`")),
        "{message}"
    );
}

#[test]
fn a_call_without_a_context_is_refused() {
    let mut call = Call::new();
    call.context = ptr::null_mut();
    let (code, message) = call.make(ptr::null());
    assert_eq!((code, message.as_str()), (1, "the call has no context"));
}

#[test]
fn a_caller_without_room_for_an_error_gets_the_code() {
    let mut call = Call::new();
    call.function = 1;
    call.error.size -= 8;
    assert_eq!(call.make(ptr::null()), (1, String::new()));
    let context = call.context;
    // SAFETY: everything that may be null is.
    let code = unsafe { describe(context, ptr::null(), ptr::null_mut(), ptr::null_mut()) };
    assert_eq!(code, Code::InvalidCall.number());
    // SAFETY: as above.
    let code = unsafe {
        call_scalar(
            context,
            ptr::null(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    assert_eq!(code, Code::InvalidCall.number());
}

#[test]
fn a_declaration_is_released_once() {
    let mut text = LakeString::empty();
    let context = TRANSFORM.entry().table.context;
    // SAFETY: there is room for the text.
    let code = unsafe { describe(context, ptr::null(), &raw mut text, ptr::null_mut()) };
    assert_eq!(code, abi::OK);
    let release = text.release.unwrap();
    // SAFETY: the first time releases, the second finds nothing to release.
    unsafe {
        assert!(text.bytes().unwrap().starts_with(b"{\"name\":\"tests\""));
        release(&raw mut text);
        assert!(text.release.is_none());
        release(&raw mut text);
        release(ptr::null_mut());
    }
}
