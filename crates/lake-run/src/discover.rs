//! Discover: which files are there, and which of them a run loads.
//!
//! A file is pending if `_lake/files` does not know its path, or knows it with other content and
//! the input says that changed files are loaded again; and if it is complete, as far as the input
//! says how to tell. `walk` lists, `loaded` knows what earlier runs did, `ready` tells whether a
//! file is complete and whether one is late, and `choose` puts them together.

mod archived;
mod choose;
mod loaded;
mod ready;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lake_pipeline::{InputSource, OnChange, OnLate, PathValues, Pattern, Pipeline};
use serde::Serialize;

use crate::archive::{Archive, ArchivedFile};
use crate::error::{Result, RunError};
use crate::prepare::Change;
use crate::record::FileRecord;
use crate::runs::Runs;
use crate::state::State;
use archived::Copies;
use choose::Choosing;
use loaded::LoadedFiles;

/// A file that is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingFile {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Microseconds since 1970: when the file was last changed, as the system says.
    pub(crate) modified: i64,
    /// Microseconds since 1970: when its content was received.
    pub(crate) received_at: i64,
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
        self.path.display().to_string()
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
/// # Errors
/// [`RunError::Input`] and [`RunError::Io`] where files cannot be listed, or are not as the input
/// says that they are; [`RunError::Stopped`] where files are late and the input says that this stops
/// a run.
pub(crate) async fn discover(
    pipeline: &Pipeline,
    state: &State,
    wanted: &Files,
    (now, besides): (i64, &HashSet<String>),
) -> Result<Discovered> {
    let loaded = LoadedFiles::read(state).await?;
    let mut found = Discovered {
        loaded: loaded.count(),
        ..Discovered::default()
    };
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
    for (input, source) in &pipeline.inputs {
        let none = HashMap::new();
        let known = loaded.of(input).unwrap_or(&none);
        let copies = Copies {
            input,
            source,
            loaded: known,
            archive: &archive,
        };
        let files = copies.list(wanted, &mut found.warnings)?;
        let newest = known.values().map(|known| known.modified).max();
        if let Some(message) = ready::lateness(input, source, &files, newest, now) {
            late.push((source.on_late, input, message));
        }
        let choosing = Choosing {
            input,
            source,
            loaded: known,
            skipped: loaded.skipped(input).unwrap_or(&none),
            now,
        };
        let files = match wanted {
            Files::All => {
                let (all, set_aside) = choosing.all(files, &mut found.warnings)?;
                found.set_aside.extend(set_aside);
                all
            }
            Files::Again(again) => choosing.again(files, again.files.as_ref(), since)?,
            Files::Pending => {
                let mut files = choosing.pending(files, &mut found.warnings)?;
                files.retain(|file| besides.is_empty() || !besides.contains(&file.name()));
                let left = choosing.first(&mut files);
                if left.files > 0 {
                    found.left.insert(input.clone(), left);
                }
                files
            }
        };
        found.tell_copies(input, &files);
        let names = files.iter().map(PendingFile::name);
        let again: Vec<String> = names.filter(|name| known.contains_key(name)).collect();
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
/// [`RunError::Input`] and [`RunError::Io`] where files cannot be listed or read.
pub(crate) async fn at(pipeline: &Pipeline, state: &State, path: &Path) -> Result<Vec<FileRecord>> {
    let loaded = LoadedFiles::read(state).await?;
    let archive = Archive::all(pipeline, state).await?;
    let none = HashMap::new();
    let mut found = Vec::new();
    for (input, source) in &pipeline.inputs {
        let copies = Copies {
            input,
            source,
            loaded: loaded.of(input).unwrap_or(&none),
            archive: &archive,
        };
        let files = copies.list(&Files::All, &mut Vec::new())?;
        for file in files.into_iter().filter(|file| file.path == path) {
            found.push(FileRecord {
                input: input.clone(),
                path: file.name(),
                size: i64::try_from(file.size).unwrap_or(i64::MAX),
                modified: file.modified,
                received_at: file.received_at,
                hash: hex::encode(loaded::hash(&file)?),
                run: state.finished + 1,
                ..FileRecord::default()
            });
        }
    }
    Ok(found)
}

/// Whether a file holds what was loaded of it: `as_was` are its size, and when it was changed in
/// microseconds since 1970, and where that does not settle it, the hash of its bytes does.
pub(crate) fn is_content(path: &Path, as_was: (i64, i64), content_hash: &str) -> bool {
    let Ok(meta) = fs::metadata(path) else {
        return false;
    };
    let Ok(now) = walk::describe(path.to_owned(), &meta, PathValues::new()) else {
        return false;
    };
    let size = i64::try_from(now.size).unwrap_or(i64::MAX);
    let is_hashed = || loaded::hash(&now).is_ok_and(|hash| hex::encode(hash) == content_hash);
    size == as_was.0 && (now.modified == as_was.1 || is_hashed())
}

/// Whether a file still is what it was when it was discovered.
pub(crate) fn is_unchanged(file: &PendingFile) -> Result<bool> {
    // A copy is known by the hash of its bytes.
    if file.copy().is_some() {
        return Ok(true);
    }
    let failed = |source| RunError::Io {
        path: file.path.clone(),
        source,
    };
    let meta = fs::metadata(&file.path).map_err(failed)?;
    let now = walk::describe(file.path.clone(), &meta, PathValues::new())?;
    Ok((now.size, now.modified) == (file.size, file.modified))
}
