//! Files that are gone, and that the archive has copies of.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use lake_pipeline::{InputSource, OnEmpty};

use super::loaded::Loaded;
use super::{Content, Files, PendingFile, captures, choose, walk};
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
    /// All files of the input, sorted by path; copies stand in for those that are gone and wanted.
    pub(super) fn list(
        &self,
        wanted: &Files,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<PendingFile>> {
        let has_copies = self.archive.has(self.input);
        let mut files = walk::list(self.input, self.source, has_copies, warnings)?;
        if !has_copies {
            return Ok(files);
        }
        if !matches!(wanted, Files::Pending) {
            files.retain(|file| !self.is_emptied(file));
        }
        let there: HashSet<String> = files.iter().map(PendingFile::name).collect();
        let mut gone: Vec<&Arc<ArchivedFile>> = Vec::new();
        if !matches!(wanted, Files::Pending) {
            let loaded = self.loaded.iter().filter(|(_, known)| known.size > 0);
            gone.extend(
                loaded.filter_map(|(path, known)| {
                    self.archive.copy(self.input, path, &known.hash()?)
                }),
            );
        }
        if !matches!(wanted, Files::Again(_)) {
            let waiting = self.archive.waiting_of(self.input);
            gone.extend(waiting.filter(|copy| self.waits(copy)));
        }
        let mut named = Vec::new();
        // Of what is loaded and of what waits, the latter comes later.
        for copy in gone.into_iter().rev() {
            let Some(captures) = captures(self.source, &copy.path) else {
                continue;
            };
            if there.contains(&copy.path) || named.contains(&copy.path) {
                continue;
            }
            named.push(copy.path.clone());
            files.push(PendingFile {
                path: PathBuf::from(&copy.path),
                size: u64::try_from(copy.size).unwrap_or(0),
                modified: copy.modified,
                received_at: copy.received_at,
                captures,
                content: Content::Copy(Arc::clone(copy)),
            });
        }
        if !named.is_empty() {
            named.sort_unstable();
            warnings.push(format!(
                "input {}: {} gone, and read from the archive: {}",
                self.input,
                match named.len() {
                    1 => "1 file is".to_owned(),
                    many => format!("{many} files are"),
                },
                choose::named(&named)
            ));
            files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(files)
    }

    /// Whether there is nothing in a file any more that has been loaded.
    fn is_emptied(&self, file: &PendingFile) -> bool {
        let known = self.loaded.get(&file.name());
        file.size == 0
            && self.source.on_empty != OnEmpty::Load
            && known.is_some_and(|known| known.size > 0)
    }

    /// Whether a rollback has made a copy pending, and no run has loaded the file since.
    fn waits(&self, copy: &ArchivedFile) -> bool {
        self.loaded.get(&copy.path).is_none_or(|known| {
            known.run < copy.run && known.hash().as_deref() != Some(copy.hash.as_str())
        })
    }
}
