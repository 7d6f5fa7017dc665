//! The function wants an argument, and nobody has one to give.

use lake_plugin::prelude::*;

fn meters(name: &str) -> Transform {
    Transform::new().input(Input::csv(name))
}
lake_plugin::export!(meters);

fn main() {}
