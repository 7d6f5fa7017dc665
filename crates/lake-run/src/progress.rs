//! How far a run is, for whoever watches it.
//!
//! A run writes here while it works; nothing of it decides anything. Whoever shows it, reads it as
//! often as they like, from another thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far a run is. Figures only grow, and are not taken at one instant.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    read: AtomicU64,
    rows: AtomicU64,
    stage: Mutex<&'static str>,
}

impl Progress {
    /// The bytes of all files that the run is going to read, as they are stored; 0 before that is
    /// known.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many of [`bytes`](Self::bytes) are read. It can be more, where rows are read twice.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How many records are read, good and bad.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// What the run is doing: the name of a stage, as `_lake/runs` has it; empty before the first.
    pub fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}
