//! Which of an input's files a run loads: what is not loaded, is complete, and fits into the run.

use std::collections::{BTreeSet, HashSet};

use lake_pipeline::{FileOrder, InputSource, OnChange, OnEmpty};
use lake_store::Stores;

use super::loaded::{Known, Loaded};
use super::ready::{NotReady, Readiness, written};
use super::{Again, Left, PendingFile};
use crate::error::{Result, RunError};

/// How many files a message names.
const NAMED: usize = 5;

/// One input, and what its files are held against.
pub(super) struct Choosing<'a> {
    pub(super) input: &'a str,
    pub(super) source: &'a InputSource,
    /// Microseconds since 1970: what time it is.
    pub(super) now: i64,
    pub(super) stores: &'a Stores,
}

impl Choosing<'_> {
    /// The files that are to be loaded, of some that there are; the others are `passed` over.
    pub(super) async fn pending(
        &self,
        files: Vec<PendingFile>,
        known_files: &Known,
        passed: &mut PassedOver,
    ) -> Result<Vec<PendingFile>> {
        let mut readiness = Readiness::new(self.source, self.now, self.stores);
        let mut pending = Vec::new();
        for mut file in files {
            let known = known_files.loaded.get(&file.path);
            if known.is_some_and(|known| known.looks_like(&file)) {
                continue;
            }
            if self.is_set_aside(&file, known_files).await? {
                passed.set_aside.push(file.name());
                continue;
            }
            // What was loaded once was complete.
            if file.copy().is_none()
                && let Some(why) = readiness.of(&file).await?
            {
                passed.not_ready(why, file.name());
                continue;
            }
            if file.size == 0 && self.source.on_empty != OnEmpty::Load {
                passed.empty.push(file.name());
                continue;
            }
            if let Some(known) = known {
                if !known.differs_from(&file, self.stores).await? {
                    continue;
                }
                match self.source.on_change {
                    OnChange::Upsert | OnChange::Replace => {
                        file.received_at = received_again(&file, known);
                    }
                    OnChange::Skip => {
                        passed.skipped.push((file.name(), known.run));
                        continue;
                    }
                    OnChange::Fail => {
                        let surprise = format!("{} (loaded by run {})", file.name(), known.run);
                        passed.surprises.push(surprise);
                        continue;
                    }
                }
            }
            pending.push(file);
        }
        Ok(pending)
    }

    /// All files, where none that was loaded is missing or empty: its rows would be lost. And the
    /// names of those that are set aside.
    pub(super) async fn all(
        &self,
        files: Vec<PendingFile>,
        known_files: &Known,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<PendingFile>, Vec<String>)> {
        let mut readiness = Readiness::new(self.source, self.now, self.stores);
        let mut passed = PassedOver::default();
        let mut all = Vec::new();
        let mut changed = Vec::new();
        let mut there = HashSet::new();
        for mut file in files {
            let name = file.name();
            if self.is_set_aside(&file, known_files).await? {
                passed.set_aside.push(name);
                continue;
            }
            let known = known_files.loaded.get(&name);
            let was_empty = known.is_some_and(|known| known.size == 0);
            if file.size == 0 && self.source.on_empty != OnEmpty::Load && !was_empty {
                passed.empty.push(name);
                continue;
            }
            match known {
                // What was loaded once is loaded again, whoever touches it: its rows would be lost.
                Some(known) if known.differs_from(&file, self.stores).await? => {
                    match self.source.on_change {
                        OnChange::Upsert | OnChange::Replace => {
                            file.received_at = received_again(&file, known);
                        }
                        OnChange::Skip | OnChange::Fail => changed.push(name.clone()),
                    }
                }
                Some(known) => file.received_at = known.received_at,
                None => {
                    if file.copy().is_none()
                        && let Some(why) = readiness.of(&file).await?
                    {
                        passed.not_ready(why, name);
                        continue;
                    }
                }
            }
            there.insert(name);
            all.push(file);
        }
        let mut gone: Vec<String> = known_files
            .loaded
            .iter()
            .filter(|(path, known)| known.size > 0 && !there.contains(*path))
            .filter(|(path, _)| !passed.set_aside.contains(path))
            .map(|(path, _)| path.clone())
            .collect();
        gone.sort_unstable();
        let refuse = |what: &str, paths: &[String], next: &str| {
            self.refuse(format!(
                "{} of the files that were loaded {what}, and loading all files again would lose \
                 their rows: {}; {next}; nothing was published",
                paths.len(),
                named(paths)
            ))
        };
        if !gone.is_empty() {
            return Err(refuse(
                "are not there any more, or are empty",
                &gone,
                "bring them back",
            ));
        }
        if !changed.is_empty() {
            let next = format!(
                "set inputs.{}.on_change to upsert or replace if the new content is the right one",
                self.input
            );
            return Err(refuse("have changed since", &changed, &next));
        }
        let set_aside = passed.set_aside.clone();
        self.tell(&passed, warnings)?;
        Ok((all, set_aside))
    }

    /// The files that are loaded and are to be loaded again: those that `pattern` takes, of runs from
    /// `since` on.
    pub(super) async fn again(
        &self,
        files: Vec<PendingFile>,
        known_files: &Known,
        Again { files: pattern, .. }: &Again,
        since: i64,
    ) -> Result<Vec<PendingFile>> {
        let wanted = known_files.loaded.iter().filter(|(path, known)| {
            known.run >= since && pattern.as_ref().is_none_or(|pattern| pattern.selects(path))
        });
        let wanted = wanted.map(|(path, _)| path);
        let mut missing: BTreeSet<&String> = wanted
            .filter(|path| !known_files.skipped.contains_key(*path))
            .collect();
        let mut again = Vec::new();
        let mut changed = Vec::new();
        for mut file in files {
            let name = file.name();
            let Some(known) = known_files.loaded.get(&name) else {
                continue;
            };
            let is_emptied =
                file.size == 0 && known.size > 0 && self.source.on_empty != OnEmpty::Load;
            if is_emptied || !missing.remove(&name) {
                continue;
            }
            file.received_at = match known.differs_from(&file, self.stores).await? {
                false => known.received_at,
                true => {
                    if let OnChange::Skip | OnChange::Fail = self.source.on_change {
                        changed.push(name);
                    }
                    received_again(&file, known)
                }
            };
            again.push(file);
        }
        let missing: Vec<String> = missing.into_iter().cloned().collect();
        for (paths, what, next) in [
            (
                missing,
                "are not there any more, or are empty",
                "bring them back".to_owned(),
            ),
            (
                changed,
                "have changed since",
                format!("set inputs.{}.on_change to upsert or replace", self.input),
            ),
        ] {
            if !paths.is_empty() {
                return Err(self.refuse(format!(
                    "{} of the files that are to be loaded again {what}: {}; {next}; nothing was \
                     published",
                    paths.len(),
                    named(&paths)
                )));
            }
        }
        Ok(again)
    }

    /// Whether somebody has set a file aside that still is what it was.
    async fn is_set_aside(&self, file: &PendingFile, known_files: &Known) -> Result<bool> {
        match known_files.skipped.get(&file.path) {
            None => Ok(false),
            Some(then) => Ok(!then.differs_from(file, self.stores).await?),
        }
    }

    /// Takes as many files as a run may load, and says what is left for later runs.
    pub(super) fn first(&self, files: &mut Vec<PendingFile>) -> Left {
        if self.source.order == FileOrder::Modified {
            files.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        }
        let most_files = self.source.max_files.unwrap_or(u64::MAX);
        let most_bytes = self.source.max_bytes.unwrap_or(u64::MAX);
        let (mut count, mut bytes) = (0_u64, 0_u64);
        let fits = |file: &&PendingFile| {
            count += 1;
            bytes = bytes.saturating_add(file.size);
            // One file at least, or a large one would be there for ever.
            count == 1 || (count <= most_files && bytes <= most_bytes)
        };
        let taken = files.iter().take_while(fits).count();
        let left = files.split_off(taken);
        Left {
            files: left.len() as u64,
            bytes: left.iter().map(|file| file.size).sum(),
        }
    }

    /// Says which files were passed over, and why.
    ///
    /// # Errors
    /// [`RunError::Input`] where one of them may not be passed over.
    pub(super) fn tell(&self, passed: &PassedOver, warnings: &mut Vec<String>) -> Result<()> {
        let input = self.input;
        if !passed.surprises.is_empty() {
            return Err(self.refuse(format!(
                "files that were loaded have changed: {}; set inputs.{input}.on_change to upsert \
                 or replace to load them again, or to skip to leave them",
                named(&passed.surprises),
            )));
        }
        if self.source.on_empty == OnEmpty::Fail && !passed.empty.is_empty() {
            return Err(self.refuse(format!(
                "there is nothing in these files, and on_empty is fail: {}; mend or remove them",
                named(&passed.empty)
            )));
        }
        for name in passed.empty.iter().take(NAMED) {
            warnings.push(format!(
                "{name}: the file is empty; it stays pending until there is something in it"
            ));
        }
        for (name, run) in passed.skipped.iter().take(NAMED) {
            warnings.push(format!(
                "{name} has changed since run {run} loaded it, and is skipped (on_change: skip)"
            ));
        }
        for (count, what) in [
            (passed.empty.len(), "are empty, and stay pending"),
            (passed.skipped.len(), "have changed, and are skipped"),
        ] {
            if let more @ 1.. = count.saturating_sub(NAMED) {
                warnings.push(format!("input {input}: {more} more files {what}"));
            }
        }
        if !passed.set_aside.is_empty() {
            warnings.push(format!(
                "input {input}: {} set aside, until their content changes or `lake skip --undo`: {}",
                match passed.set_aside.len() {
                    1 => "1 file is".to_owned(),
                    many => format!("{many} files are"),
                },
                named(&passed.set_aside)
            ));
        }
        if !passed.unsettled.is_empty() {
            warnings.push(format!(
                "input {input}: {} for a later run, changed less than {} ago: {}",
                left(passed.unsettled.len()),
                written(self.source.settle),
                named(&passed.unsettled)
            ));
        }
        if let Some(marker) = &self.source.done_marker
            && !passed.unmarked.is_empty()
        {
            warnings.push(format!(
                "input {input}: {} for a later run, without a done marker ({}) beside them: {}",
                left(passed.unmarked.len()),
                marker.as_str(),
                named(&passed.unmarked)
            ));
        }
        Ok(())
    }

    fn refuse(&self, message: String) -> RunError {
        RunError::Input {
            place: format!("input {}", self.input),
            message,
        }
    }
}

/// The files that are not loaded, by the reason.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    empty: Vec<String>,
    unsettled: Vec<String>,
    unmarked: Vec<String>,
    set_aside: Vec<String>,
    /// With the run that has loaded the content before.
    skipped: Vec<(String, i64)>,
    /// Those that were loaded with other content, where that is not expected, in words.
    surprises: Vec<String>,
}

impl PassedOver {
    fn not_ready(&mut self, why: NotReady, name: String) {
        match why {
            NotReady::Unsettled => self.unsettled.push(name),
            NotReady::Unmarked => self.unmarked.push(name),
        }
    }
}

fn left(count: usize) -> String {
    match count {
        1 => "1 file is left".to_owned(),
        many => format!("{many} files are left"),
    }
}

/// The first of some paths, and how many more there are.
pub(super) fn named(paths: &[String]) -> String {
    let first = paths.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match paths.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// When new content of a file was received: after its earlier content, also where somebody kept
/// the time of the file.
fn received_again(file: &PendingFile, known: &Loaded) -> i64 {
    file.received_at
        .max(known.received_at.saturating_add(known.run))
}
