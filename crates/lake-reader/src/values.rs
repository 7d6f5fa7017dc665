//! Texts to values, and the reasons why some are none. Every format uses the same ones.

pub(crate) mod decimal;
mod format;
pub(crate) mod number;
pub(crate) mod parser;
pub(crate) mod reason;
mod separators;
pub(crate) mod time;
mod zone;
