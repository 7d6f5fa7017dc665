//! Whole-system tests, through the built binary.
