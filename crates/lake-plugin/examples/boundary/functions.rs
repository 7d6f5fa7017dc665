//! The functions that are measured: the host and the transform compile the same source.

use std::sync::Arc;

use lake_plugin::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder};
use lake_plugin::arrow::datatypes::Int64Type;

/// Returns what it is given: all that is left is the way there and back.
pub(crate) fn same(values: &ArrayRef) -> ArrayRef {
    Arc::clone(values)
}

/// Adds 1 to each integer.
pub(crate) fn add_one(values: &ArrayRef) -> ArrayRef {
    let values = values.as_primitive::<Int64Type>();
    let more: Int64Array = values.unary(|value| value.wrapping_add(1));
    Arc::new(more)
}

/// Takes spaces off both ends of each text, and makes its letters upper case.
pub(crate) fn normalise(values: &ArrayRef) -> ArrayRef {
    let values: &StringArray = values.as_string();
    let mut normal = StringBuilder::with_capacity(values.len(), values.value_data().len());
    let mut buffer = String::new();
    for value in values {
        let Some(value) = value else {
            normal.append_null();
            continue;
        };
        buffer.clear();
        buffer.push_str(value.trim());
        buffer.make_ascii_uppercase();
        normal.append_value(&buffer);
    }
    Arc::new(normal.finish())
}
