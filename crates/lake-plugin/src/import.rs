//! Taking over an array that the other side has made.
//!
//! Nothing in the two structs is believed before it has been compared with what was declared:
//! the library that turns them into an array trusts them, asserts, and would read where they
//! point. So the structure is compared first, then every value is looked at, and only then is there
//! an array. The one thing that cannot be seen from here is how long a buffer really is.

#![expect(
    unsafe_code,
    reason = "arrays of the other side are read through its pointers"
)]

use std::ffi::{CStr, c_void};

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array, new_empty_array};
use arrow::datatypes::{DataType, Decimal128Type, Fields};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};

/// How far the other side is believed, once the structure of its array is right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Values are taken as they are: the host is the process that a transform runs in.
    Values,
    /// Every value is looked at: offsets, UTF-8, digits of decimals.
    #[cfg(feature = "loading")]
    Nothing,
}

/// Takes over an array of `rows` values of type `expected`, or says what it is instead.
///
/// Both structs are released in either case: `array` when the last user of the result is gone.
///
/// # Safety
/// Both are zero, or follow the Arrow C Data Interface as far as it can be followed: pointers
/// that are not null point to what they claim to.
pub(crate) unsafe fn array(
    mut array: FFI_ArrowArray,
    schema: &FFI_ArrowSchema,
    expected: &DataType,
    rows: usize,
    trust: Trust,
) -> Result<ArrayRef, String> {
    // SAFETY: passed on from the caller.
    unsafe {
        check_schema(schema, expected)?;
        check_array(&array, expected, rows, rows)?;
    }
    if rows == 0 {
        // An empty array may come without buffers, which the import would read all the same.
        return Ok(new_empty_array(expected));
    }
    // SAFETY: the structure has just been compared with `expected`, children included.
    let claimed = unsafe { unclaim(&mut array) };
    // SAFETY: the structure has just been compared with `expected`, pointers included; what they
    // point to is the caller's promise.
    let data = unsafe { from_ffi_and_data_type(array, expected.clone()) }
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let counted = std::iter::once(&data)
        .chain(data.child_data())
        .map(ArrayData::null_count);
    for (claimed, counted) in claimed.into_iter().zip(counted) {
        if usize::try_from(claimed).is_ok_and(|claimed| claimed != counted) {
            return Err(format!("it claims {claimed} nulls and has {counted}"));
        }
    }
    if matches!(expected, DataType::Struct(_)) && data.null_count() > 0 {
        return Err("it has rows that are NULL as a whole".to_owned());
    }
    match trust {
        Trust::Values => data.validate(),
        #[cfg(feature = "loading")]
        Trust::Nothing => data.validate_full(),
    }
    .map_err(|error| error.to_string())?;
    let array = make_array(data);
    if trust != Trust::Values {
        check_digits(&array)?;
    }
    Ok(array)
}

/// How much of a format is shown where it is not the expected one, in bytes.
const MOST_SHOWN: usize = 64;

/// Whether every exact number has as many digits as its type allows; no other check looks there.
fn check_digits(array: &dyn Array) -> Result<(), String> {
    match array.data_type() {
        DataType::Decimal128(precision, _) => array
            .as_primitive::<Decimal128Type>()
            .validate_decimal_precision(*precision)
            .map_err(|error| error.to_string()),
        DataType::Struct(_) => array
            .as_struct()
            .columns()
            .iter()
            .try_for_each(|column| check_digits(column)),
        _ => Ok(()),
    }
}

/// Makes the null counts of an array and of its children unknown, and returns what they were. The
/// import believes a null count and drops the validity where it is zero; unknown, it counts.
///
/// # Safety
/// [`check_array`] has found nothing wrong.
unsafe fn unclaim(array: &mut FFI_ArrowArray) -> Vec<i64> {
    let mut claimed = vec![std::mem::replace(&mut array.null_count, -1)];
    // SAFETY: the children were found to be as many as wanted, and none of them null. They are
    // ours with the array, and nothing else refers to them.
    if let Ok(children) = unsafe {
        let wanted = usize::try_from(array.n_children).unwrap_or(0);
        children_of(array.children, array.n_children, wanted)
    } {
        for child in children {
            // SAFETY: as above.
            claimed.push(unsafe { std::mem::replace(&mut (**child).null_count, -1) });
        }
    }
    claimed
}

/// Compares a schema with a type, all children included.
///
/// # Safety
/// As for [`array`].
pub(crate) unsafe fn check_schema(
    schema: &FFI_ArrowSchema,
    expected: &DataType,
) -> Result<(), String> {
    if schema.release.is_none() {
        return Err("it has no schema".to_owned());
    }
    if schema.format.is_null() {
        return Err("its schema has no format".to_owned());
    }
    // SAFETY: not null, so the caller says that it is a string that ends.
    let format = unsafe { CStr::from_ptr(schema.format) }.to_bytes();
    let wanted = FFI_ArrowSchema::try_from(expected).map_err(|error| error.to_string())?;
    let wanted = wanted.format();
    // A decimal may name its width in bits, which is 128 where it does not.
    let named = match expected {
        DataType::Decimal128(..) => format.strip_suffix(b",128").unwrap_or(format),
        _ => format,
    };
    if named != wanted.as_bytes() || !schema.dictionary.is_null() {
        let encoded = if schema.dictionary.is_null() {
            ""
        } else {
            " (dictionary-encoded)"
        };
        let start = &format[..format.len().min(MOST_SHOWN)];
        let more = if start.len() < format.len() {
            "…"
        } else {
            ""
        };
        return Err(format!(
            "it is of Arrow format `{}{more}`{encoded}, and {expected} is `{wanted}`",
            String::from_utf8_lossy(start)
        ));
    }
    let fields = match expected {
        DataType::Struct(fields) => fields,
        _ => &Fields::empty(),
    };
    // SAFETY: passed on from the caller.
    let children = unsafe { children_of(schema.children, schema.n_children, fields.len()) }?;
    for (place, (child, field)) in children.iter().zip(fields).enumerate() {
        // SAFETY: `children_of` returns pointers that are not null, to what the caller says.
        unsafe { check_schema(&**child, field.data_type()) }
            .map_err(|error| format!("column {place}: {error}"))?;
    }
    Ok(())
}

/// Compares everything in an array's struct with a type, and with a length: between `least` and
/// `most` values.
///
/// # Safety
/// As for [`array`].
unsafe fn check_array(
    array: &FFI_ArrowArray,
    expected: &DataType,
    least: usize,
    most: usize,
) -> Result<(), String> {
    if array.release.is_none() {
        return Err("there is no array".to_owned());
    }
    let (Ok(length), Ok(offset)) = (usize::try_from(array.length), usize::try_from(array.offset))
    else {
        return Err(format!(
            "it claims a length of {} from offset {}",
            array.length, array.offset
        ));
    };
    if !(least..=most).contains(&length) {
        return Err(format!("it has {length} values instead of {least}"));
    }
    let Some(end) = length.checked_add(offset).filter(|end| *end <= MOST_VALUES) else {
        return Err(format!("it claims {length} values from offset {offset}"));
    };
    if !(-1..=array.length).contains(&array.null_count) {
        return Err(format!(
            "it claims {} nulls among {length} values",
            array.null_count
        ));
    }
    if !array.dictionary.is_null() {
        return Err("it has a dictionary".to_owned());
    }
    // SAFETY: passed on from the caller.
    unsafe { check_buffers(array, expected, length, end) }?;

    let fields = match expected {
        DataType::Struct(fields) => fields.len(),
        _ => 0,
    };
    // SAFETY: passed on from the caller.
    let children = unsafe { children_of(array.children, array.n_children, fields) }?;
    if let DataType::Struct(fields) = expected {
        for (place, (child, field)) in children.iter().zip(fields).enumerate() {
            // SAFETY: `children_of` returns pointers that are not null, to what the caller says.
            unsafe { check_array(&**child, field.data_type(), end, MOST_VALUES) }
                .map_err(|error| format!("column {place}: {error}"))?;
        }
    }
    Ok(())
}

/// No array is longer: the widest value has 16 bytes, and memory ends at `isize::MAX`.
const MOST_VALUES: usize = isize::MAX as usize / 16 - 1;

/// How many buffers an array has.
fn buffers_of(expected: &DataType) -> usize {
    match expected {
        DataType::Struct(_) => 1,
        DataType::Utf8 => 3,
        _ => 2,
    }
}

/// # Safety
/// As for [`array`].
unsafe fn check_buffers(
    array: &FFI_ArrowArray,
    expected: &DataType,
    length: usize,
    end: usize,
) -> Result<(), String> {
    let wanted = buffers_of(expected);
    if usize::try_from(array.n_buffers) != Ok(wanted) {
        return Err(format!(
            "it has {} buffers, and {expected} has {wanted}",
            array.n_buffers
        ));
    }
    if array.buffers.is_null() {
        return Err(format!("it has {wanted} buffers, and they are nowhere"));
    }
    // SAFETY: there are `wanted` buffers, and the place of the first is not null.
    let buffer = |place: usize| -> *const c_void { unsafe { array.buffers.add(place).read() } };
    if buffer(0).is_null() && array.null_count > 0 {
        return Err(format!(
            "it claims {} nulls, and does not say which",
            array.null_count
        ));
    }
    if length == 0 || matches!(expected, DataType::Struct(_)) {
        return Ok(());
    }
    if buffer(1).is_null() {
        return Err("its buffer 1 is null".to_owned());
    }
    if *expected == DataType::Utf8 {
        let offsets = buffer(1).cast::<i32>();
        if !offsets.is_aligned() {
            return Err("its offsets are not aligned to 4 bytes".to_owned());
        }
        // SAFETY: aligned and not null, and text of `end` values has `end + 1` offsets.
        let bytes = unsafe { offsets.add(end).read() };
        if bytes < 0 {
            return Err(format!("its last offset is {bytes}"));
        }
        if bytes > 0 && buffer(2).is_null() {
            return Err("its buffer 2 is null".to_owned());
        }
    }
    Ok(())
}

/// The children of an array or a schema, none of them null.
///
/// # Safety
/// Where `children` is not null, it points to `claimed` pointers.
unsafe fn children_of<'a, T>(
    children: *mut *mut T,
    claimed: i64,
    wanted: usize,
) -> Result<&'a [*mut T], String> {
    if usize::try_from(claimed) != Ok(wanted) {
        return Err(format!("it has {claimed} columns instead of {wanted}"));
    }
    if wanted == 0 {
        return Ok(&[]);
    }
    if children.is_null() {
        return Err("its children are null".to_owned());
    }
    // SAFETY: not null, and the caller says that there are `claimed`, which is `wanted`.
    let children = unsafe { std::slice::from_raw_parts(children, wanted) };
    if children.iter().any(|child| child.is_null()) {
        return Err("one of its children is null".to_owned());
    }
    Ok(children)
}

/// Whether a result points into a column that was moved into the call, and that the callee has
/// neither taken nor released: then both would be released, or the result would outlive the column.
///
/// `left` is the batch after the call, and `columns` are those that it was made of.
///
/// # Safety
/// As for [`array`]. Where `left` still has a `release`, it is as the host made it, but for the
/// children that were taken from it.
#[cfg(feature = "loading")]
pub(crate) unsafe fn borrows(
    result: &FFI_ArrowArray,
    expected: &DataType,
    left: &FFI_ArrowArray,
    columns: &[ArrayRef],
) -> bool {
    let buffers = buffers_of(expected);
    if left.release.is_none()
        || result.release.is_none()
        || result.buffers.is_null()
        || usize::try_from(result.n_buffers) != Ok(buffers)
    {
        return false;
    }
    if let DataType::Struct(fields) = expected {
        // SAFETY: the caller says that there are `n_children`.
        let children = unsafe { children_of(result.children, result.n_children, fields.len()) };
        let children = children.unwrap_or_default();
        let mut children = children.iter().zip(fields);
        // SAFETY: passed on from the caller; `children_of` returns pointers that are not null.
        return children
            .any(|(child, field)| unsafe { borrows(&**child, field.data_type(), left, columns) });
    }
    // SAFETY: not null, and the caller says that there are `n_buffers`.
    let buffers = unsafe { std::slice::from_raw_parts(result.buffers, buffers) };
    columns.iter().enumerate().any(|(place, column)| {
        // SAFETY: the host has put a child there for each column.
        let is_left = unsafe { (**left.children.add(place)).release.is_some() };
        let data = column.to_data();
        let values = data.buffers().iter();
        is_left
            && values
                .chain(data.nulls().map(|nulls| nulls.buffer()))
                .any(|owned| {
                    buffers
                        .iter()
                        .any(|buffer| owned.as_ptr_range().contains(&buffer.cast::<u8>()))
                })
    })
}
