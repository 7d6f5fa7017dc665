//! What is exported is a value, where it should be a function that returns one.

use lake_plugin::prelude::*;

static METERS: Option<Transform> = None;
lake_plugin::export!(METERS);

fn main() {}
