//! Texts to values, and the reasons why some are none. Every format uses the same ones.

pub(crate) mod decimal;
pub(crate) mod number;
pub(crate) mod reason;
pub(crate) mod time;
