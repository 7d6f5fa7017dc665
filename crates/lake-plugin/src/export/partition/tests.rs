//! What C can do to a stream that no Rust host does.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};

use super::*;
use crate::abi::{self, LakePlugin, LakeString};
use crate::{Function, Input, Table, Transform, integer, text};

/// How many states of keys there are. Only one test begins keys.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Last(i64);

impl Partition for Last {
    fn push(&mut self, rows: &Rows<'_>, _: &mut Emit<'_>) -> Result<(), FunctionError> {
        let values = rows.integer("v")?;
        self.0 = values.values().last().copied().unwrap_or(self.0);
        Ok(())
    }

    fn finish(&mut self, out: &mut Emit<'_>) -> Result<(), FunctionError> {
        out.row((self.0,))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

static TRANSFORM: Exported = Exported::new("tests", "1.0.0", || {
    Transform::new()
        .input(Input::csv("a").header().column("b", text()))
        .table(Table::standard("a").sql("SELECT b FROM a"))
        .function(
            Function::partition("last")
                .column("k", text())
                .column("v", integer())
                .key(["k"])
                .argument(integer())
                .returns("last", integer())
                .state(|_| {
                    ALIVE.fetch_add(1, Ordering::SeqCst);
                    Ok(Last(0))
                }),
        )
});

fn table() -> LakePlugin {
    // SAFETY: the entry points to a table that stays.
    unsafe { TRANSFORM.entry().as_ptr().read() }
}

fn batch(columns: Vec<ArrayRef>) -> (FFI_ArrowArray, FFI_ArrowSchema) {
    let fields = columns
        .into_iter()
        .map(|column| {
            let field = Field::new("", column.data_type().clone(), true);
            (Arc::new(field), column)
        })
        .collect::<Vec<_>>();
    exported_as(StructArray::from(fields)).unwrap()
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Two rows.
fn rows() -> (FFI_ArrowArray, FFI_ArrowSchema) {
    let keys = StringArray::from(vec!["a", "b"]);
    batch(vec![Arc::new(keys), numbers(&[1, 2])])
}

fn message(error: &LakeError) -> String {
    // SAFETY: the message has not been released.
    let bytes = unsafe { error.message.bytes() }.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Opens a stream, and says what came of it.
fn opened(function: u64, arguments: &[i64]) -> Result<*mut c_void, String> {
    let (mut array, mut schema) = batch(vec![numbers(arguments)]);
    let mut stream = ptr::null_mut();
    let mut error = LakeError::empty();
    // SAFETY: everything is there.
    let code = unsafe {
        open(
            table().context,
            ptr::null(),
            function,
            &raw mut array,
            &raw mut schema,
            &raw mut stream,
            &raw mut error,
        )
    };
    assert!(array.release.is_none() && schema.release.is_none());
    assert_eq!(stream.is_null(), code != abi::OK);
    if code == abi::OK {
        return Ok(stream);
    }
    assert_eq!(code, Code::InvalidCall.number());
    Err(message(&error))
}

/// Pushes a batch, and says how many rows were emitted, or why not.
fn pushed(
    stream: *mut c_void,
    (mut array, mut schema): (FFI_ArrowArray, FFI_ArrowSchema),
    starts: *const u64,
    n_starts: u64,
) -> Result<i64, String> {
    let mut out = FFI_ArrowArray::empty();
    let mut out_schema = FFI_ArrowSchema::empty();
    let mut error = LakeError::empty();
    // SAFETY: everything is there, or spoiled in a way that the header allows.
    let code = unsafe {
        push(
            table().context,
            ptr::null(),
            stream,
            &raw mut array,
            &raw mut schema,
            starts,
            n_starts,
            &raw mut out,
            &raw mut out_schema,
            &raw mut error,
        )
    };
    assert!(array.release.is_none() && schema.release.is_none());
    assert_eq!(out.release.is_some(), code == abi::OK);
    assert_eq!(out_schema.release.is_some(), code == abi::OK);
    if code == abi::OK {
        return Ok(out.length);
    }
    assert_eq!(code, Code::InvalidCall.number());
    Err(message(&error))
}

fn finished(stream: *mut c_void) -> Result<i64, String> {
    let mut out = FFI_ArrowArray::empty();
    let mut out_schema = FFI_ArrowSchema::empty();
    let mut error = LakeError::empty();
    // SAFETY: everything is there, or spoiled in a way that the header allows.
    let code = unsafe {
        finish(
            table().context,
            ptr::null(),
            stream,
            &raw mut out,
            &raw mut out_schema,
            &raw mut error,
        )
    };
    if code == abi::OK {
        return Ok(out.length);
    }
    assert_eq!(code, Code::InvalidCall.number());
    Err(message(&error))
}

fn closed(stream: *mut c_void) {
    // SAFETY: a stream that is open, or none.
    unsafe { close(table().context, stream) };
}

#[test]
fn a_stream_that_cannot_be_opened_says_why() {
    assert_eq!(
        opened(1, &[1]),
        Err("there is no partition function 1: `tests` declares 1, counted from 0".to_owned())
    );
    assert_eq!(
        opened(0, &[1, 2]),
        Err("the arguments of function `last` come as 2 rows instead of one".to_owned())
    );
    let context = table().context;
    let mut stream = ptr::null_mut();
    let (none, nothing) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: everything that may be null is.
    let code = unsafe {
        open(
            context,
            ptr::null(),
            0,
            none,
            nothing,
            &raw mut stream,
            ptr::null_mut(),
        )
    };
    assert_eq!(code, Code::InvalidCall.number());
    let (mut array, mut schema) = batch(vec![numbers(&[1])]);
    // SAFETY: as above; the arguments are there.
    let code = unsafe {
        open(
            context,
            ptr::null(),
            0,
            &raw mut array,
            &raw mut schema,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    assert_eq!(code, Code::InvalidCall.number());
    assert!(array.release.is_none() && schema.release.is_none());
}

#[test]
fn wrong_rows_and_wrong_starts_are_refused_and_end_the_stream() {
    let wrong = "the rows for function `last` are not what it declares: ";
    let too_far = [0, u64::MAX];
    let zeros = [0_u64, 0];
    let one = [1_u64];
    let texts = || batch(vec![numbers(&[1]), numbers(&[2])]);
    let negative = || {
        let (mut array, schema) = rows();
        array.length = -1;
        (array, schema)
    };
    for (rows, starts, n_starts, expected) in [
        (
            rows(),
            ptr::null(),
            2,
            "2 starts of keys are nowhere".to_owned(),
        ),
        (
            rows(),
            zeros.as_ptr(),
            u64::MAX,
            format!("{} starts of keys are nowhere", u64::MAX),
        ),
        (
            rows(),
            zeros.as_ptr(),
            2,
            format!("{wrong}the starts of its keys do not ascend"),
        ),
        (
            rows(),
            too_far.as_ptr(),
            2,
            format!("{wrong}a key begins at {}, of 2 rows", usize::MAX),
        ),
        (
            rows(),
            one.as_ptr(),
            1,
            format!("{wrong}the first row belongs to no key"),
        ),
        (
            rows(),
            ptr::null(),
            0,
            format!("{wrong}the first row belongs to no key"),
        ),
        (
            texts(),
            zeros.as_ptr(),
            1,
            format!("{wrong}column 0: it is of Arrow format `l`, and Utf8 is `u`"),
        ),
        (
            negative(),
            zeros.as_ptr(),
            1,
            format!("{wrong}a length of -1"),
        ),
    ] {
        let stream = opened(0, &[1]).unwrap();
        assert_eq!(pushed(stream, rows, starts, n_starts), Err(expected));
        closed(stream);
    }
    let stream = opened(0, &[1]).unwrap();
    pushed(stream, rows(), one.as_ptr(), 1).unwrap_err();
    let over = "a stream of function `last` that is over can only be closed".to_owned();
    assert_eq!(pushed(stream, rows(), zeros.as_ptr(), 1), Err(over.clone()));
    assert_eq!(finished(stream), Err(over));
    closed(stream);
}

#[test]
fn a_stream_is_used_as_the_header_says_and_drops_its_states() {
    let starts = [0_u64, 1];
    let stream = opened(0, &[1]).unwrap();
    // Without any key there is nothing to say; a host in C may ask all the same.
    let (empty, schema) = batch(vec![Arc::new(StringArray::new_null(0)), numbers(&[])]);
    assert_eq!(pushed(stream, (empty, schema), ptr::null(), 0), Ok(0));
    assert_eq!(pushed(stream, rows(), starts.as_ptr(), 2), Ok(1));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1);
    assert_eq!(finished(stream), Ok(1));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
    let over = "a stream of function `last` that is over can only be closed".to_owned();
    assert_eq!(finished(stream), Err(over));
    closed(stream);

    let stream = opened(0, &[1]).unwrap();
    assert_eq!(pushed(stream, rows(), starts.as_ptr(), 2), Ok(1));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1);
    closed(stream);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);

    let stream = opened(0, &[1]).unwrap();
    assert_eq!(finished(stream), Ok(0));
    closed(stream);
}

#[test]
fn no_stream_and_no_room_are_refused() {
    let starts = [0_u64];
    assert_eq!(
        pushed(ptr::null_mut(), rows(), starts.as_ptr(), 1),
        Err("there is no stream".to_owned())
    );
    assert_eq!(
        finished(ptr::null_mut()),
        Err("there is no stream".to_owned())
    );
    closed(ptr::null_mut());

    let stream = opened(0, &[1]).unwrap();
    let context = table().context;
    let mut error = LakeError::empty();
    // SAFETY: everything that may be null is.
    let code = unsafe {
        push(
            context,
            ptr::null(),
            stream,
            ptr::null_mut(),
            ptr::null_mut(),
            starts.as_ptr(),
            1,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut error,
        )
    };
    assert_eq!((code, message(&error)), (1, "there are no rows".to_owned()));
    error.message = LakeString::empty();
    let nowhere = ptr::null_mut();
    // SAFETY: as above.
    let code = unsafe {
        finish(
            context,
            ptr::null(),
            stream,
            nowhere,
            ptr::null_mut(),
            &raw mut error,
        )
    };
    assert_eq!(
        (code, message(&error)),
        (1, "no room for what is emitted".to_owned())
    );
    closed(stream);
}

#[test]
fn what_is_emitted_is_a_struct_of_keys_and_columns() {
    let function = Function::partition("f")
        .returns("n", integer())
        .state(|_| Ok(Last(0)));
    let host = HostLink::none();
    let batch = Emit::new(&function.declaration, &host)
        .into_batch()
        .unwrap();
    let key = Field::new("key", DataType::Int64, true);
    let number = Field::new("n", DataType::Int64, true);
    assert_eq!(
        *batch.data_type(),
        DataType::Struct(vec![key, number].into())
    );
}
