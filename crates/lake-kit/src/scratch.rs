//! A directory that is gone when the work is done.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{KitError, Result};

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new, empty directory below `parent`.
    pub(crate) fn below(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("lake-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).map_err(KitError::io(&path))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans up temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}
