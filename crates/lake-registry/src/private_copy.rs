//! A copy of a library that only its user can change, checked each time before it is used.
//!
//! The dynamic loader takes a path and not bytes. Between the check and the loading, the file must
//! not become another one, so it lies in a directory that nobody else can enter, is read-only, and
//! has its own digest for a name. Against a process of the same user nothing helps, as that could
//! change this very process.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files;

/// The copy of the bytes with this digest in a directory, if there is one and it is right.
///
/// A copy that is wrong counts as none: it is replaced by [`private_copy`].
///
/// # Errors
/// [`Error::Io`] where the directory cannot be made private, or the copy cannot be read.
pub fn cached_copy(directory: &Path, digest: &Digest) -> Result<Option<PathBuf>> {
    make_private(directory)?;
    let path = directory.join(digest.hex());
    Ok(is_right(&path, digest)?.then_some(path))
}

/// Puts `bytes` into a directory under their digest, unless they are there, and returns the path.
///
/// # Errors
/// [`Error::Changed`] where the bytes do not have this digest; [`Error::Io`].
pub fn private_copy(directory: &Path, digest: &Digest, bytes: &[u8]) -> Result<PathBuf> {
    let found = Digest::of(bytes);
    let path = directory.join(digest.hex());
    let changed = |found| Error::Changed {
        path: path.display().to_string(),
        thing: "the library".to_owned(),
        expected: *digest,
        found,
    };
    if found != *digest {
        return Err(changed(found));
    }
    if let Some(path) = cached_copy(directory, digest)? {
        return Ok(path);
    }
    files::replace(&path, bytes, 0o500).map_err(|e| Error::io(&path, e))?;
    // A disk that does not keep what it is given is found out here, and not by the loader.
    let kept = fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let kept = Digest::of(&kept);
    if kept != *digest {
        return Err(changed(kept));
    }
    Ok(path)
}

/// Makes a directory that only its owner can enter, or an existing one such.
fn make_private(directory: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(directory);
    made.and_then(|()| restrict(directory, 0o700))
        .and_then(|()| is_ours(directory))
        .map_err(|e| Error::io(directory, e))
}

/// Refuses a directory of another user, which matters for root: it may enter any, and the owner
/// could change what is in it. Who we are shows in a file that we make.
fn is_ours(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let probe = files::write_beside(&directory.join("probe"), b"", 0o600)?;
        let us = fs::symlink_metadata(&probe).map(|probe| probe.uid());
        fs::remove_file(&probe)?;
        if fs::metadata(directory)?.uid() != us? {
            let what = "the directory belongs to another user, who could change what is in it; \
                        name another directory";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
    }
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

/// Takes away what others may do. Of somebody else's file that fails, which is right.
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o777 != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

/// Whether a file is there that holds these bytes and nothing else. A link is none: it points to
/// where others may write.
fn is_right(path: &Path, digest: &Digest) -> Result<bool> {
    let failed = |e| Error::io(path, e);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(_) => {}
    }
    restrict(path, 0o500).map_err(failed)?;
    Ok(Digest::of(&fs::read(path).map_err(failed)?) == *digest)
}
