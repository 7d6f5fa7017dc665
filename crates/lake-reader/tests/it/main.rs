//! What a user of the reader relies on.

mod header;
mod messy;
mod model;
mod properties;
mod reader;
mod roundtrip;
mod support;
mod values;
