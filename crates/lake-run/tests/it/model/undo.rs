//! Maintenance, and what is brought back.

use lake_run::{RollbackOptions, RunError};

use super::steps::Point;
use super::{Play, stop};
use crate::maintain::maintain_through;
use crate::rollback::{back_through, to};

impl Play {
    /// No row changes, whether maintenance comes to its end or not.
    pub(super) async fn maintained(&mut self, runs: u64, at: Option<Point>) {
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        match Box::pin(maintain_through(&self.lake, &store, runs)).await {
            Ok(_) => {
                let seen = self.ask().await;
                self.agree(self.worlds.clone(), &seen);
            }
            Err(_) if at.is_some() => {}
            Err(error) => panic!("{}: {error}", self.at),
        }
    }

    /// Remembers what there is, where that is one state for sure, and all of it comes from files.
    pub(super) async fn remember(&mut self) {
        if self.under_way.is_some() || self.usage_is_wrong || self.is_touched {
            return;
        }
        let seen = self.ask().await;
        self.agree(self.worlds.clone(), &seen);
        if seen.is_empty() {
            return;
        }
        let runs = self.lake.rows("SELECT max(run) FROM _lake.runs").await;
        let last = runs.first().and_then(|run| run.parse().ok());
        if let (Some(last), [world]) = (last, self.worlds.as_slice()) {
            self.remembered = Some((last, world.clone()));
        }
    }

    pub(super) async fn brought_back(&mut self, at: Option<Point>) {
        let Some((run, world)) = self.remembered.clone() else {
            return;
        };
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        let options = RollbackOptions {
            keep_release: true,
            discard_outside: true,
            ..to(run)
        };
        match Box::pin(back_through(&self.lake, &store, options)).await {
            Ok(_) => {
                self.worlds = vec![world];
                (self.usage_is_wrong, self.is_touched) = (false, true);
                let seen = self.ask().await;
                self.agree(self.worlds.clone(), &seen);
            }
            // It is the last one, or maintenance has deleted what it needs.
            Err(RunError::Refused { .. }) => {}
            Err(_) if at.is_some() => {
                self.is_touched = true;
                if !self.worlds.contains(&world) {
                    self.worlds.push(world);
                }
            }
            Err(error) => panic!("{}: {error}", self.at),
        }
    }
}
