//! The run: one module per stage.
