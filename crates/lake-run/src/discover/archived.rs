//! Files that are gone, and that the archive has copies of.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use lake_pipeline::{InputSource, OnEmpty, PathValues};

use super::loaded::Loaded;
use super::{Content, Files, PendingFile, captures, walk};
use crate::archive::{Archive, ArchivedFile};
use crate::error::Result;

/// The files of one input, and the copies that can stand in for them.
pub(super) struct Copies<'a> {
    pub(super) input: &'a str,
    pub(super) source: &'a InputSource,
    /// Its files that are loaded, by path.
    pub(super) loaded: &'a HashMap<String, Loaded>,
    pub(super) archive: &'a Archive,
}

impl Copies<'_> {
    /// All files of the input, sorted by path; copies stand in for those that are gone and wanted,
    /// or have become empty.
    pub(super) fn list(
        &self,
        wanted: &Files,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<PendingFile>> {
        let mut copies: HashMap<&str, (&Arc<ArchivedFile>, PathValues)> = HashMap::new();
        for path in self.archive.files(self.input) {
            if let Some(copy) = self.of(path, wanted)
                && let Some(values) = captures(self.source, path)
            {
                copies.insert(path, (copy, values));
            }
        }
        let has_copies = !copies.is_empty();
        let mut files = walk::list(self.input, self.source, has_copies, warnings)?;
        if !has_copies {
            return Ok(files);
        }
        files.retain(|file| {
            let name = file.name();
            let is_empty = file.size == 0 && self.source.on_empty != OnEmpty::Load;
            let stays = !is_empty || !copies.contains_key(name.as_str());
            if stays {
                copies.remove(name.as_str());
            }
            stays
        });
        let gone = copies
            .into_iter()
            .map(|(path, (copy, captures))| PendingFile {
                path: PathBuf::from(path),
                size: u64::try_from(copy.size).unwrap_or(0),
                modified: copy.modified,
                received_at: copy.received_at,
                captures,
                content: Content::Copy(Arc::clone(copy)),
            });
        files.extend(gone);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The copy that is wanted of a file, where that is gone.
    fn of(&self, path: &str, wanted: &Files) -> Option<&Arc<ArchivedFile>> {
        let waits = || {
            let waiting = self.archive.waiting(self.input, path);
            waiting.filter(|copy| self.waits(copy))
        };
        let loaded = || {
            let known = self.loaded.get(path).filter(|known| known.size > 0)?;
            self.archive.copy(self.input, path, &known.hash()?)
        };
        match wanted {
            Files::Pending => waits(),
            Files::All | Files::Again(_) => waits().or_else(loaded),
        }
    }

    /// Whether a copy that a rollback has made pending is so still: another rollback may have brought
    /// back that it is loaded.
    fn waits(&self, copy: &ArchivedFile) -> bool {
        self.loaded.get(&copy.path).is_none_or(|known| {
            known.run < copy.run && known.hash().as_deref() != Some(copy.hash.as_str())
        })
    }
}
