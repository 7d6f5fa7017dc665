//! Discover: which files are there, and which of them a run loads.
//!
//! A file is pending if `_lake/files` does not know its path, or knows it with other content and
//! the input says that changed files are loaded again; and if it is complete, as far as the input
//! says how to tell. `walk` lists, `loaded` knows what earlier runs did, `ready` tells whether a
//! file is complete and whether one is late, and `choose` puts them together.

mod archived;
mod choose;
mod listing;
mod loaded;
mod ready;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use lake_pipeline::{FileOrder, InputSource, OnChange, OnEmpty, OnLate, PathValues, Pattern};
use lake_store::Stores;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::archive::{Archive, ArchivedFile};
use crate::error::{Result, RunError};
use crate::prepare::Change;
use crate::raw::{RawFile, Stat};
use crate::record::{FILES, FileRecord};
use crate::run::Settings;
use crate::runs::Runs;
use crate::state::State;
use archived::Copies;
use choose::{Choosing, PassedOver};
use listing::Listing;
use loaded::KnownFiles;

/// So many files are held against what is known at a time.
const CHUNK: usize = 10_000;

/// A file that is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingFile {
    /// What tables and messages call it: an absolute path, or a URL.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Microseconds since 1970: when the file was last changed, as the system says.
    pub(crate) modified: i64,
    /// Microseconds since 1970: when its content was received.
    pub(crate) received_at: i64,
    /// What its store calls its content, where it is an object.
    pub(crate) etag: Option<String>,
    /// What its path says about it, by name.
    pub(crate) captures: PathValues,
    /// Where its bytes are.
    pub(crate) content: Content,
}

/// Where the bytes of a pending file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the file itself.
    File,
    /// The file is gone, and this is a copy of it.
    Copy(Arc<ArchivedFile>),
    /// In the rejection table: one record of the file.
    Excerpt(Arc<Excerpt>),
}

/// One record of a file that was rejected, as the rejection table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// Which rejected row it is.
    pub(crate) row_id: String,
    /// The line of the file that it begins in.
    pub(crate) line: i64,
    /// The file's header, where it has one, and the record, in UTF-8.
    pub(crate) bytes: Vec<u8>,
}

impl PendingFile {
    /// What tables and messages call the file.
    pub(crate) fn name(&self) -> String {
        self.path.clone()
    }

    /// What was found of it without reading it.
    pub(crate) fn stat(&self) -> Stat {
        Stat {
            size: self.size,
            modified: self.modified,
            etag: self.etag.clone(),
        }
    }

    /// The one record of the file that is to be read, where it is not the whole file.
    pub(crate) fn excerpt(&self) -> Option<&Arc<Excerpt>> {
        match &self.content {
            Content::Excerpt(excerpt) => Some(excerpt),
            Content::File | Content::Copy(_) => None,
        }
    }

    /// The copy that is read in its place, where it is gone.
    pub(crate) fn copy(&self) -> Option<&Arc<ArchivedFile>> {
        match &self.content {
            Content::Copy(copy) => Some(copy),
            Content::File | Content::Excerpt(_) => None,
        }
    }
}

/// Which files a run is to load.
#[derive(Debug, Clone)]
pub enum Files {
    /// Those that are not loaded, as many as a run may load.
    Pending,
    /// All that are there.
    All,
    /// Some of those that are loaded, once more.
    Again(Again),
}

/// Which of the files that are loaded are loaded once more: those that fit all that is said.
#[derive(Debug, Clone, Default)]
pub struct Again {
    /// Those whose paths it takes.
    pub files: Option<Pattern>,
    /// Those that a run has loaded which was sealed then or later, in microseconds since 1970.
    pub since: Option<i64>,
}

/// Pending files that later runs will load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Left {
    fn add(&mut self, files: &[PendingFile]) {
        self.files += files.len() as u64;
        self.bytes += files.iter().map(|file| file.size).sum::<u64>();
    }

    fn and(self, more: Self) -> Self {
        Self {
            files: self.files + more.files,
            bytes: self.bytes + more.bytes,
        }
    }
}

/// The files that are there to be loaded.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    /// The inputs of which a file is pending that was loaded before, with
    /// other content.
    pub(crate) again: HashSet<String>,
    /// The pending files of each input whose rows of earlier content go, by name.
    pub(crate) replaced: HashMap<String, Vec<String>>,
    /// The pending files of each input, in the order in which they are chosen.
    pub(crate) pending: HashMap<String, Vec<PendingFile>>,
    /// What is left for later runs, of the inputs that have more than a run may load.
    pub(crate) left: BTreeMap<String, Left>,
    /// The files that are there and set aside, by name.
    pub(crate) set_aside: Vec<String>,
    /// How many files are loaded already.
    pub(crate) loaded: u64,
    pub(crate) warnings: Vec<String>,
}

impl Discovered {
    /// The inputs that have files to be loaded.
    pub(crate) fn arriving(&self) -> BTreeSet<String> {
        let inputs = self.pending.iter().filter(|(_, files)| !files.is_empty());
        inputs.map(|(input, _)| input.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.values().all(Vec::is_empty)
    }

    /// The names of the files to be loaded.
    pub(crate) fn names(&self) -> Vec<String> {
        let files = self.pending.values().flatten();
        files.map(PendingFile::name).collect()
    }

    /// What there is to say about rows that went with the earlier content of replaced files.
    pub(crate) fn taken_back(&self, changes: &[Change]) -> Vec<String> {
        let mut told = Vec::new();
        for change in changes {
            let files = change.driven_by.as_ref();
            let Some(files) = files.and_then(|input| self.replaced.get(input)) else {
                continue;
            };
            let (name, files) = (change.prepared.name(), choose::named(files));
            let (keys, deletions) = change.taken_back;
            if keys > 0 {
                told.push(format!(
                    "{name}: keys that only the earlier content of replaced files had are removed: \
                     {keys} ({files}); where they had replaced rows of other files, `lake run \
                     --reload` brings back what they had replaced"
                ));
            }
            if deletions > 0 {
                told.push(format!(
                    "{name}: deletions that only the earlier content of replaced files made are \
                     taken back: {deletions} ({files}); `lake run --reload` brings back what they \
                     had deleted"
                ));
            }
        }
        told
    }
}

/// Lists all inputs, and takes away what is loaded where only pending files are asked for. `now` is
/// the time in microseconds since 1970, and `besides` are pending files that are left, by name.
///
/// Of what is there, and of what is known, only a part is in memory at a time, unless all files are
/// asked for.
///
/// # Errors
/// [`RunError::Input`] and [`RunError::Io`] where files cannot be listed, or are not as the input
/// says that they are; [`RunError::Stopped`] where files are late and the input says that this stops
/// a run.
pub(crate) async fn discover(
    settings: &Settings,
    state: &State,
    wanted: &Files,
    (now, besides): (i64, &HashSet<String>),
) -> Result<Discovered> {
    let (pipeline, stores) = (&settings.pipeline, &settings.stores);
    let mut found = Discovered::default();
    let mut late = Vec::new();
    let since = match wanted {
        Files::Again(Again {
            since: Some(since), ..
        }) => first_run_since(state, *since).await?,
        _ => 0,
    };
    let archive = match wanted {
        Files::Pending => Archive::that_waited(pipeline, state).await?,
        Files::All | Files::Again(_) => Archive::all(pipeline, state).await?,
    };
    let table = state.table(FILES).await?;
    for (input, source) in &pipeline.inputs {
        let mut known_files = KnownFiles::of(settings, state, table.as_ref(), input).await?;
        let mut copies = Copies::of(input, source, &archive, wanted);
        if !copies.is_empty() {
            let mut known = KnownFiles::of(settings, state, table.as_ref(), input).await?;
            copies.retain_wanted(&known.among(&copies.paths(), None).await?.loaded);
        }
        let place = (stores, !copies.is_empty());
        let mut search = Search {
            listing: Listing::of(input, source, place, &mut found.warnings).await?,
            copies,
            choosing: Choosing {
                input,
                source,
                now,
                stores,
            },
            newest: None,
        };
        let (files, again) = match wanted {
            Files::Pending => {
                search
                    .pending(&mut known_files, besides, &mut found)
                    .await?
            }
            Files::All | Files::Again(_) => {
                search
                    .all(&mut known_files, (wanted, since), &mut found)
                    .await?
            }
        };
        search.listing.tell(&mut found.warnings);
        found.loaded += known_files.count;
        let newest = search.newest.max(known_files.newest);
        if let Some(message) = ready::lateness(input, source, newest, now) {
            late.push((source.on_late, input, message));
        }
        found.tell_copies(input, &files);
        if !again.is_empty() {
            found.again.insert(input.clone());
        }
        // Where all files are loaded, nothing else stays anyway.
        let replaces = match wanted {
            Files::All => false,
            Files::Again(_) => true,
            Files::Pending => source.on_change == OnChange::Replace,
        };
        if replaces && !again.is_empty() {
            found.replaced.insert(input.clone(), again);
        }
        found.pending.insert(input.clone(), files);
    }
    found.warn_or_stop(late, matches!(wanted, Files::Pending))?;
    if matches!(wanted, Files::Again(_)) && found.is_empty() {
        return Err(RunError::Refused {
            message:
                "no file that is loaded fits --files and --since; `lake query \"SELECT input, \
                      path, run FROM _lake.files\"` shows what is loaded"
                    .to_owned(),
        });
    }
    Ok(found)
}

/// The search for the files of one input that are to be loaded.
struct Search<'a> {
    listing: Listing<'a>,
    copies: Copies<'a>,
    choosing: Choosing<'a>,
    /// When the newest of the files that are there was changed, in microseconds since 1970.
    newest: Option<i64>,
}

/// Files that are to be loaded, and the names of those that were loaded before.
type Chosen = (Vec<PendingFile>, Vec<String>);

impl Search<'_> {
    /// Those that are not loaded, as many as a run may load: what is there is read along with what
    /// is known.
    async fn pending(
        &mut self,
        known_files: &mut KnownFiles,
        besides: &HashSet<String>,
        found: &mut Discovered,
    ) -> Result<Chosen> {
        let is_by_name = self.choosing.source.order == FileOrder::Name;
        let mut passed = PassedOver::default();
        let mut left = Left::default();
        let (mut files, mut again) = (Vec::new(), Vec::new());
        loop {
            let mut some = self.listing.chunk(CHUNK).await?;
            let last = some.last().map(|file| file.path.clone());
            let last = last.filter(|_| some.len() == CHUNK);
            let candidates = self.copies.take(last.as_deref());
            let paths = some.iter().map(|file| file.path.as_str());
            let paths = paths.chain(candidates.iter().map(|candidate| candidate.path));
            let known = known_files.among(&paths.collect(), last.as_deref()).await?;
            self.copies.stand_in(&mut some, candidates, &known.loaded);
            self.note_newest(&some);
            let mut chosen = self.choosing.pending(some, &known, &mut passed).await?;
            chosen.retain(|file| besides.is_empty() || !besides.contains(&file.path));
            // In the order of names, nothing comes before what is taken already.
            if left.files > 0 {
                left.add(&chosen);
                chosen.clear();
            }
            again.extend(known.loaded_among(&chosen));
            files.append(&mut chosen);
            if is_by_name {
                left = left.and(self.choosing.first(&mut files));
            }
            if last.is_none() {
                break;
            }
        }
        self.choosing.tell(&passed, &mut found.warnings)?;
        if !is_by_name {
            left = self.choosing.first(&mut files);
        }
        if left.files > 0 {
            found.left.insert(self.choosing.input.to_owned(), left);
            let taken: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
            again.retain(|name| taken.contains(name.as_str()));
        }
        Ok((files, again))
    }

    /// All of them, or those that are loaded and wanted once more, of runs from `since` on.
    async fn all(
        &mut self,
        known_files: &mut KnownFiles,
        (wanted, since): (&Files, i64),
        found: &mut Discovered,
    ) -> Result<Chosen> {
        let mut all = self.listing.chunk(usize::MAX).await?;
        let known = known_files.all().await?;
        let candidates = self.copies.take(None);
        self.copies.stand_in(&mut all, candidates, &known.loaded);
        self.note_newest(&all);
        let files = match wanted {
            Files::Again(again) => self.choosing.again(all, &known, again, since).await?,
            Files::All | Files::Pending => {
                let chosen = self.choosing.all(all, &known, &mut found.warnings).await;
                let (all, set_aside) = chosen?;
                found.set_aside.extend(set_aside);
                all
            }
        };
        let again = known.loaded_among(&files).collect();
        Ok((files, again))
    }

    fn note_newest(&mut self, files: &[PendingFile]) {
        let is_loaded_empty = self.choosing.source.on_empty == OnEmpty::Load;
        let counts = |file: &&PendingFile| file.size > 0 || is_loaded_empty;
        let newest = files.iter().filter(counts).map(|file| file.modified).max();
        self.newest = self.newest.max(newest);
    }
}

/// The first run that was sealed then or later.
pub(crate) async fn first_run_since(state: &State, micros: i64) -> Result<i64> {
    let runs = Runs::open(&state.root, &state.pipeline).await?;
    let first = runs.first_sealed_since(micros).await?;
    Ok(first.unwrap_or(i64::MAX))
}

impl Discovered {
    /// Says which of the files to be loaded are gone.
    fn tell_copies(&mut self, input: &str, files: &[PendingFile]) {
        let copies = files.iter().filter(|file| file.copy().is_some());
        let copies: Vec<String> = copies.map(PendingFile::name).collect();
        let are = match copies.len() {
            0 => return,
            1 => "1 file is".to_owned(),
            many => format!("{many} files are"),
        };
        self.warnings.push(format!(
            "input {input}: {are} gone, and read from the archive: {}",
            choose::named(&copies)
        ));
    }

    /// A reload is asked for by somebody who is there, so that a late file does not stop it.
    fn warn_or_stop(&mut self, late: Vec<(OnLate, &String, String)>, may_stop: bool) -> Result<()> {
        let stops = |on_late: OnLate| on_late == OnLate::Fail && may_stop;
        let stopping: Vec<&String> = late
            .iter()
            .filter(|(on_late, ..)| stops(*on_late))
            .map(|(_, input, _)| *input)
            .collect();
        let Some(first) = stopping.first() else {
            let messages = late.into_iter().map(|(.., message)| message);
            self.warnings.extend(messages);
            return Ok(());
        };
        let next = format!("--set inputs.{first}.on_late=warn");
        let messages: Vec<String> = late.into_iter().map(|(.., message)| message).collect();
        Err(RunError::Stopped {
            message: format!(
                "{}; nothing was loaded, of other inputs neither; {next} loads what there is",
                messages.join("; ")
            ),
            record: None,
        })
    }
}

/// What the path of a file of an input says about it; `None` where the input would not take it
/// now.
pub(crate) fn captures(source: &InputSource, path: &str) -> Option<PathValues> {
    let mut values = source.paths.iter().filter_map(|pattern| {
        let relative = match pattern.fixed() {
            "/" => path.strip_prefix('/')?,
            fixed if fixed == path => "",
            fixed => path.strip_prefix(fixed)?.strip_prefix('/')?,
        };
        pattern.matches(relative)
    });
    values.next()
}

/// The files of all inputs that have this path, by input: what `_lake/files` would know of them.
///
/// # Errors
/// [`RunError::Input`] and [`RunError::Io`] where files cannot be looked at or read.
pub(crate) async fn at(settings: &Settings, state: &State, path: &str) -> Result<Vec<FileRecord>> {
    let (pipeline, stores) = (&settings.pipeline, &settings.stores);
    let archive = Archive::all(pipeline, state).await?;
    let table = state.table(FILES).await?;
    let stat = RawFile::at(stores, path)?.stat().await;
    let stat = stat.map_err(|error| io_error(path, error))?;
    let mut found = Vec::new();
    for (input, source) in &pipeline.inputs {
        let Some(captures) = captures(source, path) else {
            continue;
        };
        let file = |stat| PendingFile::found(path.to_owned(), stat, captures);
        let mut files: Vec<PendingFile> = stat.clone().map(file).into_iter().collect();
        let mut known = KnownFiles::of(settings, state, table.as_ref(), input).await?;
        let known = known.among(&BTreeSet::from([path]), Some(path)).await?;
        let mut copies = Copies::of(input, source, &archive, &Files::All);
        let mut candidates = copies.take(None);
        candidates.retain(|candidate| candidate.path == path);
        copies.stand_in(&mut files, candidates, &known.loaded);
        for file in files {
            found.push(FileRecord {
                input: input.clone(),
                path: file.name(),
                size: i64::try_from(file.size).unwrap_or(i64::MAX),
                modified: file.modified,
                received_at: file.received_at,
                hash: hex::encode(loaded::hash(&file, stores).await?),
                run: state.finished + 1,
                etag: file.etag,
                ..FileRecord::default()
            });
        }
    }
    Ok(found)
}

fn io_error(path: &str, source: io::Error) -> RunError {
    RunError::Io {
        path: path.into(),
        source,
    }
}

/// Whether a file still is what it was when it was discovered; `runtime` asks the store.
///
/// # Errors
/// [`RunError::Io`] where it cannot be looked at.
pub(crate) fn is_unchanged(file: &PendingFile, stores: &Stores, runtime: &Handle) -> Result<bool> {
    // A copy is known by the hash of its bytes, and an object was read under the name of its content.
    if file.copy().is_some() || file.etag.is_some() {
        return Ok(true);
    }
    let place = RawFile::at(stores, &file.path)?;
    let now = runtime.block_on(place.stat());
    let now = now.map_err(|error| io_error(&file.path, error))?;
    let gone = || io_error(&file.path, io::ErrorKind::NotFound.into());
    let now = now.ok_or_else(gone)?;
    Ok((now.size, now.modified) == (file.size, file.modified))
}
