//! Files that are loaded once more, and files that are set aside.

use lake_run::{ReplayOptions, Result, RunError, replay};

use super::steps::Point;
use super::world::{NAMES, World};
use super::{Play, stop};
use crate::again::{again_through, skip_through};

impl Play {
    /// What a file holds now takes the place of all that it had yielded.
    pub(super) async fn reloaded(&mut self, file: usize, at: Option<Point>) {
        let name = NAMES[file];
        let Some(file) = self.inputs.get(name).cloned() else {
            return;
        };
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        let done = Box::pin(again_through(&self.lake, &store, name)).await;
        let is_done = done.is_ok();
        let least = self.least;
        let after = |world: &World| world.after_a_reload(&file, least);
        self.came_of(done.map(|_| ()), at, after).await;
        if is_done {
            self.is_touched = false;
        }
    }

    /// Rejected rows that pass now come into the tables, in the place that they would have had.
    pub(super) async fn replayed(&mut self, at: Option<Point>) {
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        let settings = self.lake.settings(&store);
        let done = Box::pin(replay(&settings, &ReplayOptions::default())).await;
        let least = self.least;
        let after = |world: &World| Some(world.after_a_replay(least));
        self.came_of(done.map(|_| ()), at, after).await;
    }

    /// Runs leave a file until its content changes.
    pub(super) async fn set_aside(&mut self, file: usize, at: Option<Point>) {
        let name = NAMES[file];
        let Some(file) = self.inputs.get(name).cloned() else {
            return;
        };
        // Before the first load there is no table to ask.
        if self.lake.files("standard/readings/_delta_log/").is_empty() {
            return;
        }
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        let done = Box::pin(skip_through(&self.lake, &store, name, false)).await;
        let after = |world: &World| Some(world.without(&file));
        self.came_of(done.map(|_| ()), at, after).await;
    }

    /// Or until somebody brings it back.
    pub(super) async fn not_aside(&mut self, file: usize, at: Option<Point>) {
        let name = NAMES[file];
        let store = self.store();
        if let Some(at) = at {
            stop(&store, at);
        }
        let done = Box::pin(skip_through(&self.lake, &store, name, true)).await;
        self.came_of(done.map(|_| ()), at, |world| world.with(name))
            .await;
    }

    /// What follows where something was done, refused, or killed on the way; `after` is `None` where
    /// it is refused.
    async fn came_of(
        &mut self,
        done: Result<()>,
        at: Option<Point>,
        after: impl Fn(&World) -> Option<World>,
    ) {
        match done {
            Ok(()) => {
                let possible: Vec<World> = self.worlds.iter().filter_map(&after).collect();
                let seen = self.ask().await;
                self.agree(possible, &seen);
            }
            Err(RunError::Refused { message }) => {
                // What is on its way may land after somebody has looked.
                let is_right = self.worlds.iter().any(|world| after(world).is_none());
                assert!(is_right, "{}: {message}", self.at);
            }
            Err(_) if at.is_some() => {
                let more: Vec<World> = self.worlds.iter().filter_map(&after).collect();
                for world in more {
                    if !self.worlds.contains(&world) {
                        self.worlds.push(world);
                    }
                }
            }
            Err(error) => panic!("{}: {error}", self.at),
        }
    }
}
