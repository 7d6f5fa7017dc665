//! A temporary directory that can be copied and compared.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary directory: gone when it is dropped.
#[derive(Debug)]
pub struct Directory {
    inner: TempDir,
}

impl Directory {
    /// An empty directory.
    ///
    /// # Errors
    /// Of the file system.
    pub fn new() -> io::Result<Self> {
        let inner = tempfile::tempdir()?;
        Ok(Self { inner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// Another directory with the same content: both go their own ways from here.
    ///
    /// # Errors
    /// Of the file system.
    pub fn fork(&self) -> io::Result<Self> {
        let copy = Self::new()?;
        for name in self.files()?.into_keys() {
            let to = copy.path().join(&name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(self.path().join(&name), to)?;
        }
        Ok(copy)
    }

    /// Every file, by its path relative to the directory, with its size.
    ///
    /// # Errors
    /// Of the file system.
    pub fn files(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(self.path().join(&directory))? {
                let entry = entry?;
                let relative = directory.join(entry.file_name());
                let meta = entry.metadata()?;
                if meta.is_dir() {
                    directories.push(relative);
                } else {
                    files.insert(relative.to_string_lossy().into_owned(), meta.len());
                }
            }
        }
        Ok(files)
    }

    /// The paths of those files whose path contains `part`, in order.
    ///
    /// # Errors
    /// Of the file system.
    pub fn files_with(&self, part: &str) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self.files()?.into_keys().collect();
        names.retain(|name| name.contains(part));
        Ok(names)
    }
}
