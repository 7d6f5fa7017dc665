//! Files that are gone, and that the archive has copies of.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use lake_pipeline::{InputSource, OnEmpty, PathValues};

use super::loaded::Loaded;
use super::{Content, Files, PendingFile, captures};
use crate::archive::{Archive, ArchivedFile};

/// The copies that can stand in for files of one input, in the order of their paths.
pub(super) struct Copies<'a> {
    input: &'a str,
    source: &'a InputSource,
    archive: &'a Archive,
    wanted: &'a Files,
    candidates: VecDeque<Candidate<'a>>,
}

/// A file that there is a copy of, and what its path says about it.
pub(super) struct Candidate<'a> {
    pub(super) path: &'a str,
    captures: PathValues,
}

impl<'a> Copies<'a> {
    pub(super) fn of(
        input: &'a str,
        source: &'a InputSource,
        archive: &'a Archive,
        wanted: &'a Files,
    ) -> Self {
        let may_be_wanted = |path: &&String| match wanted {
            Files::Pending => archive.waiting(input, path).is_some(),
            Files::All | Files::Again(_) => true,
        };
        let mut candidates: Vec<Candidate<'_>> = archive
            .files(input)
            .filter(may_be_wanted)
            .filter_map(|path| {
                let captures = captures(source, path)?;
                Some(Candidate { path, captures })
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.path);
        Self {
            input,
            source,
            archive,
            wanted,
            candidates: candidates.into(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The files that there are copies of.
    pub(super) fn paths(&self) -> BTreeSet<&'a str> {
        let candidates = self.candidates.iter();
        candidates.map(|candidate| candidate.path).collect()
    }

    /// Leaves the candidates that are wanted where their files are gone.
    pub(super) fn retain_wanted(&mut self, loaded: &HashMap<String, Loaded>) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.retain(|candidate| self.wanted(candidate.path, loaded).is_some());
        self.candidates = candidates;
    }

    /// Takes the candidates up to a path, or all that are left.
    pub(super) fn take(&mut self, last: Option<&str>) -> Vec<Candidate<'a>> {
        let candidates = self.candidates.iter();
        let count = match last {
            Some(last) => candidates
                .take_while(|candidate| candidate.path <= last)
                .count(),
            None => candidates.count(),
        };
        self.candidates.drain(..count).collect()
    }

    /// Puts copies among `files`, for those that are gone and wanted, or have become empty.
    pub(super) fn stand_in(
        &self,
        files: &mut Vec<PendingFile>,
        candidates: Vec<Candidate<'a>>,
        loaded: &HashMap<String, Loaded>,
    ) {
        let mut copies: HashMap<&str, (&Arc<ArchivedFile>, PathValues)> = HashMap::new();
        for Candidate { path, captures } in candidates {
            if let Some(copy) = self.wanted(path, loaded) {
                copies.insert(path, (copy, captures));
            }
        }
        if copies.is_empty() {
            return;
        }
        files.retain(|file| {
            let is_empty = file.size == 0 && self.source.on_empty != OnEmpty::Load;
            let stays = !is_empty || !copies.contains_key(file.path.as_str());
            if stays {
                copies.remove(file.path.as_str());
            }
            stays
        });
        let gone = copies
            .into_iter()
            .map(|(path, (copy, captures))| PendingFile {
                path: path.to_owned(),
                size: u64::try_from(copy.size).unwrap_or(0),
                modified: copy.modified,
                received_at: copy.received_at,
                etag: None,
                captures,
                content: Content::Copy(Arc::clone(copy)),
            });
        files.extend(gone);
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// The copy that is wanted of a file, where that is gone.
    fn wanted(
        &self,
        path: &str,
        loaded: &HashMap<String, Loaded>,
    ) -> Option<&'a Arc<ArchivedFile>> {
        let waits = || {
            let waiting = self.archive.waiting(self.input, path);
            waiting.filter(|copy| waits(copy, loaded))
        };
        let of_load = || {
            let known = loaded.get(path).filter(|known| known.size > 0)?;
            self.archive.copy(self.input, path, &known.hash()?)
        };
        match self.wanted {
            Files::Pending => waits(),
            Files::All | Files::Again(_) => waits().or_else(of_load),
        }
    }
}

/// Whether a copy that a rollback has made pending is so still: another rollback may have brought
/// back that it is loaded.
fn waits(copy: &ArchivedFile, loaded: &HashMap<String, Loaded>) -> bool {
    loaded.get(&copy.path).is_none_or(|known| {
        known.run < copy.run && known.hash().as_deref() != Some(copy.hash.as_str())
    })
}
