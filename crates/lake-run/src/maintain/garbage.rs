//! What maintenance deletes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use lake_delta::{Root, Unneeded};
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::json;

use crate::archive::RAW;
use crate::error::{Result, RunError};
use crate::history::STOPPED;
use crate::record::Cleaned;

/// Where commits are prepared, below the pipeline's root.
const PREPARED: &str = "_lake/prepared";
/// The commits that so many attempts have prepared are no reason for a run by themselves.
const FEW_ATTEMPTS: usize = 20;
/// A comparison (`lake diff`) writes files as a run does, and is in nobody's way: what an attempt
/// that no run knows has begun to write less than so many milliseconds ago stays.
const COMPARING: i64 = 3_600_000;

/// Objects that nobody needs, in the order in which they go.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    objects: Vec<(Path, u64)>,
    /// Directories of which nothing stays, what a killed upload has left in them neither.
    directories: Vec<Path>,
    tables: BTreeSet<String>,
    /// How many of the objects are commits that were prepared, and by how many attempts.
    prepared: usize,
    attempts: usize,
    /// The attempt that is looking.
    own: String,
    /// The attempts of finished runs.
    known: HashSet<String>,
    /// Milliseconds since 1970.
    now: i64,
}

impl Garbage {
    pub(super) fn new(own: &str, known: HashSet<String>, now: i64) -> Self {
        Self {
            own: own.to_owned(),
            known,
            now,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Every run leaves the commits that it has prepared, a run of maintenance too: those of a few
    /// runs wait until there is something else to do.
    pub(super) fn is_worth_a_run(&self) -> bool {
        self.objects.len() > self.prepared
            || self.attempts > FEW_ATTEMPTS
            || !self.directories.is_empty()
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(String::as_str)
    }

    pub(super) fn sum(&self) -> Cleaned {
        let bytes = self.objects.iter().map(|(_, bytes)| bytes);
        Cleaned {
            objects: self.objects.len() as u64,
            bytes: bytes.sum(),
        }
    }

    /// The list, one object a line.
    pub(super) fn lines(&self) -> Vec<u8> {
        let lines = self.objects.iter();
        let lines = lines
            .map(|(path, bytes)| format!("{}\n", json!({ "path": path.as_ref(), "bytes": bytes })));
        lines.collect::<String>().into_bytes()
    }

    /// Takes what is unneeded of a table; how many objects of how many bytes.
    pub(super) fn of_table(&mut self, name: &str, found: Vec<Unneeded>) -> (u64, u64) {
        let (mut objects, mut bytes) = (0, 0);
        for object in found {
            if object.attempt.as_ref().is_some_and(|id| !self.is_over(id)) {
                continue;
            }
            objects += 1;
            bytes += object.bytes;
            let path = Path::from(name)
                .parts()
                .chain(object.path.parts())
                .collect();
            self.objects.push((path, object.bytes));
            self.tables.insert(name.to_owned());
        }
        (objects, bytes)
    }

    fn is_over(&self, attempt: &str) -> bool {
        if attempt == self.own {
            return false;
        }
        self.known.contains(attempt)
            || began(attempt).is_none_or(|began| (self.now - began).abs() > COMPARING)
    }

    /// Takes what attempts have left beside tables: commits that are applied, or never will be, but
    /// for those of the `last` run, and what is known of attempts that were stopped before `since`,
    /// in microseconds since 1970.
    pub(super) async fn of_attempts(&mut self, root: &Root, last: &str, since: i64) -> Result<()> {
        for (attempt, objects) in below(root, PREPARED).await? {
            if attempt != self.own && attempt != last {
                self.prepared += objects.len();
                self.attempts += 1;
                self.objects.extend(objects);
            }
        }
        for (attempt, objects) in below(root, STOPPED).await? {
            if began(&attempt).is_some_and(|began| began < since / 1000) {
                self.objects.extend(objects);
            }
        }
        Ok(())
    }

    /// Takes copies of files that no run has kept: those of attempts that are in none of the runs
    /// that count.
    pub(super) async fn of_archive(&mut self, root: &Root, count: &HashSet<String>) -> Result<()> {
        let store = root.store();
        let failed = |e| RunError::store(RAW, e);
        let inputs = store.list_with_delimiter(Some(&Path::from(RAW))).await;
        for input in inputs.map_err(failed)?.common_prefixes {
            let attempts = store.list_with_delimiter(Some(&input)).await;
            for attempt in attempts.map_err(failed)?.common_prefixes {
                let id = attempt
                    .filename()
                    .and_then(|name| name.strip_prefix("run-"));
                // What is not named by lake is somebody else's.
                let id = id.filter(|id| began(id).is_some());
                if id.is_none_or(|id| count.contains(id) || !self.is_over(id)) {
                    continue;
                }
                let mut copies = store.list(Some(&attempt));
                while let Some(copy) = copies.try_next().await.map_err(failed)? {
                    self.objects.push((copy.location, copy.size));
                }
                self.directories.push(attempt);
            }
        }
        Ok(())
    }

    /// Deletes all but what is `needed` after all; what there is to say about it. What stays is
    /// found by the next maintenance.
    pub(super) async fn delete(&self, root: &Root, needed: &HashSet<Path>) -> Vec<String> {
        let paths = self.objects.iter().map(|(path, _)| path);
        let paths: Vec<Path> = paths
            .filter(|path| !needed.contains(path))
            .cloned()
            .collect();
        let wanted = futures::stream::iter(paths.clone()).map(Ok).boxed();
        let mut deleted = root.store().delete_stream(wanted);
        let (mut failures, mut first) = (0_u64, None);
        while let Some(one) = deleted.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    failures += 1;
                    first.get_or_insert(error);
                }
            }
        }
        root.prune(&paths).await;
        root.remove_directories(&self.directories).await;
        let told = first.map(|error| {
            format!("{failures} objects could not be deleted, and stay until the next maintenance: {error}")
        });
        told.into_iter().collect()
    }
}

/// The objects of each attempt below a place.
async fn below(root: &Root, place: &str) -> Result<BTreeMap<String, Vec<(Path, u64)>>> {
    let mut attempts: BTreeMap<String, Vec<(Path, u64)>> = BTreeMap::new();
    let prefix = Path::from(place);
    let store = root.store();
    let mut listed = store.list(Some(&prefix));
    let failed = |e| RunError::store(place, e);
    while let Some(object) = listed.try_next().await.map_err(failed)? {
        let attempt = object.location.prefix_match(&prefix);
        let attempt = attempt.and_then(|mut parts| parts.next());
        if let Some(attempt) = attempt {
            let attempt = attempt.as_ref().to_owned();
            let objects = attempts.entry(attempt).or_default();
            objects.push((object.location.clone(), object.size));
        }
    }
    Ok(attempts)
}

/// When an attempt began, in milliseconds since 1970: its name says it.
fn began(attempt: &str) -> Option<i64> {
    let (seconds, nanoseconds) = uuid::Uuid::parse_str(attempt)
        .ok()?
        .get_timestamp()?
        .to_unix();
    i64::try_from(seconds * 1000 + u64::from(nanoseconds / 1_000_000)).ok()
}
