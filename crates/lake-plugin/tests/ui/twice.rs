//! A library is one transform.

use lake_plugin::prelude::*;

fn meters() -> Transform {
    Transform::new()
}
fn readings() -> Transform {
    Transform::new()
}
lake_plugin::export!(meters);
lake_plugin::export!(readings);

fn main() {}
