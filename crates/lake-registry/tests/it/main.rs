//! What publishers and hosts rely on.
