//! How long each stage of a run takes.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::progress::Progress;
use crate::record::StageRecord;

/// The stages of a run in their order. A run may leave some out.
const ORDER: [&str; 8] = [
    "open",
    "discover",
    "plan",
    "standard",
    "consumption",
    "audit",
    "seal",
    "apply",
];

/// How long the stages take.
#[derive(Debug, Clone)]
pub(crate) struct Stages {
    pub(crate) started: DateTime<Utc>,
    begun: Instant,
    last: Instant,
    pub(crate) done: Vec<StageRecord>,
    progress: Arc<Progress>,
}

impl Stages {
    pub(crate) fn new(clock: fn() -> DateTime<Utc>, progress: Arc<Progress>) -> Self {
        let now = Instant::now();
        progress.begin(ORDER[0]);
        Self {
            started: clock(),
            begun: now,
            last: now,
            done: Vec::new(),
            progress,
        }
    }

    pub(crate) fn end(&mut self, stage: &str) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        tracing::debug!(stage, seconds, "stage done");
        self.done.push(StageRecord {
            stage: stage.to_owned(),
            seconds,
        });
        self.last = now;
        let next = ORDER.iter().skip_while(|other| **other != stage).nth(1);
        self.progress.begin(next.copied().unwrap_or_default());
    }

    pub(crate) fn total(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}
