//! Whether every function of a library keeps to the boundary, where there is nothing to compute.
//!
//! No rows, and rows of NULL, are what authors forget and what data brings sooner or later. A
//! function may refuse NULL with a reason; it may not panic, and may not return anything but what
//! it declares.

use arrow::array::{ArrayRef, new_empty_array, new_null_array};
use lake_plugin::abi::Code;
use lake_plugin::{CallError, ColumnType, Plugin};

/// How many rows of NULL a function gets.
const ROWS: usize = 3;

/// Calls every function in every way that it declares; gives how many functions there are, or
/// everything that is wrong with them.
pub(crate) fn check(plugin: &Plugin) -> Result<usize, Vec<String>> {
    let declaration = plugin.declaration();
    let mut problems = Vec::new();
    for (place, function) in declaration.functions.iter().enumerate() {
        for signature in function.signatures() {
            let empty = columns(&signature.arguments, |t| new_empty_array(&t.to_arrow()));
            if let Err(error) = plugin.call(place, &empty, 0) {
                problems.push(format!("called for no rows: {error}"));
            }
            let nulls = columns(&signature.arguments, |t| {
                new_null_array(&t.to_arrow(), ROWS)
            });
            match plugin.call(place, &nulls, ROWS) {
                Err(error) if !is_refusal(&error) => {
                    problems.push(format!("called for rows of NULL: {error}"));
                }
                _ => {}
            }
        }
    }
    for (place, function) in declaration.partition_functions.iter().enumerate() {
        let nulls = columns(&function.arguments, |t| new_null_array(&t.to_arrow(), 1));
        let stream = plugin.partition(&(), place, &nulls);
        match stream.and_then(|stream| stream.finish(&())) {
            Err(error) if !is_refusal(&error) => {
                problems.push(format!("called for no rows: {error}"));
            }
            _ => {}
        }
    }
    if problems.is_empty() {
        Ok(declaration.functions.len() + declaration.partition_functions.len())
    } else {
        Err(problems)
    }
}

fn columns(types: &[ColumnType], make: impl Fn(&ColumnType) -> ArrayRef) -> Vec<ArrayRef> {
    types.iter().map(make).collect()
}

/// Whether a function says, in words of its own, that it cannot do what it was asked for.
fn is_refusal(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Failed {
            code: Code::Failed,
            ..
        }
    )
}
