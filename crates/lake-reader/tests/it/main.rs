//! What a user of the reader relies on.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod compressed;
mod dialects;
mod encodings;
mod header;
mod json;
mod json_conformance;
mod json_messy;
mod json_properties;
mod messy;
mod model;
mod parquet;
mod parquet_damage;
mod parquet_files;
mod properties;
mod reader;
mod roundtrip;
mod rules;
mod spectrum;
mod stored;
mod support;
mod values;
