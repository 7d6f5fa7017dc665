//! The function may fail, and what it is cannot.

use lake_plugin::prelude::*;

fn meters() -> Result<Transform, FunctionError> {
    Ok(Transform::new())
}
lake_plugin::export!(meters);

fn main() {}
