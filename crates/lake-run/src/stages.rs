//! How long each stage of a run takes.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::record::StageRecord;

/// How long the stages take.
#[derive(Clone)]
pub(crate) struct Stages {
    pub(crate) started: DateTime<Utc>,
    begun: Instant,
    last: Instant,
    pub(crate) done: Vec<StageRecord>,
}

impl Stages {
    pub(crate) fn new(clock: fn() -> DateTime<Utc>) -> Self {
        let now = Instant::now();
        Self {
            started: clock(),
            begun: now,
            last: now,
            done: Vec::new(),
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
    }

    pub(crate) fn total(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}
