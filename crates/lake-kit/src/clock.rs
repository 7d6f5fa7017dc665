//! The clock of golden runs: it stands where the case says.
//!
//! A run asks a plain function what time it is, so what that answers is kept here. Cases are run
//! one after the other, and each run sets it first.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// Microseconds since 1970, UTC.
static NOW: AtomicI64 = AtomicI64::new(0);

pub(crate) fn stand_at(instant: DateTime<Utc>) {
    NOW.store(instant.timestamp_micros(), Ordering::SeqCst);
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(NOW.load(Ordering::SeqCst)).unwrap_or_default()
}
