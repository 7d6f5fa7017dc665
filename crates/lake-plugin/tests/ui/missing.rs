//! The function that is exported does not exist.

lake_plugin::export!(meters);

fn main() {}
