//! What a user of prepared and applied tables relies on.

#![expect(missing_docs, reason = "tests say what they are in their names")]

mod merge;
mod support;
mod tables;
