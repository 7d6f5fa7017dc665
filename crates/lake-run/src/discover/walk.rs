//! Which files the paths of an input describe, on this machine.

use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::io;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use lake_pipeline::{PathValues, Pattern};
use walkdir::WalkDir;

use super::PendingFile;
use crate::error::{Result, RunError};
use crate::raw::Stat;

/// The files that match, sorted by path. A pattern whose directory is gone is a warning where there
/// are copies (`has_copies`).
pub(super) fn list(
    pattern: &Pattern,
    input: &str,
    has_copies: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<PendingFile>> {
    let place = Path::new(pattern.fixed());
    if has_copies
        && !place.try_exists().map_err(|source| RunError::Io {
            path: place.to_owned(),
            source,
        })?
    {
        warnings.push(format!("input {input}: {} is gone", place.display()));
        return Ok(Vec::new());
    }
    if pattern.is_fixed() {
        return Ok(vec![one(pattern, input)?]);
    }
    let mut files = Vec::new();
    walk(pattern, input, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Whether the place is there that a pattern begins with.
pub(super) fn is_there(pattern: &Pattern) -> bool {
    Path::new(pattern.fixed()).exists()
}

/// The file that a path without wildcards names.
fn one(pattern: &Pattern, input: &str) -> Result<PendingFile> {
    let path = PathBuf::from(pattern.fixed());
    let refuse = |message: String| RunError::Input {
        place: format!("input {input}"),
        message,
    };
    match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Err(refuse(format!(
            "{0} is a directory; name its files, for instance {0}/*.csv",
            path.display()
        ))),
        Ok(meta) => {
            let captures = pattern.matches("").unwrap_or_default();
            describe(path, &meta, captures)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refuse(format!(
            "{} does not exist; mend the path in the pipeline file, or give --input {input}=PATH",
            path.display()
        ))),
        Err(source) => Err(RunError::Io { path, source }),
    }
}

/// Adds the files that match, of the directories that can lead to one. Symbolic links are followed;
/// one that leads back to where it is, or to nothing, is passed over.
fn walk(pattern: &Pattern, input: &str, files: &mut Vec<PendingFile>) -> Result<()> {
    let base = Path::new(pattern.fixed());
    if !base.is_dir() {
        return Err(RunError::Input {
            place: format!("input {input}"),
            message: format!(
                "the directory {} does not exist; mend the path in the pipeline file, or give --input {input}=PATH",
                base.display()
            ),
        });
    }
    let walk = WalkDir::new(base).follow_links(true).min_depth(1);
    let walk = match pattern.depth() {
        Some(depth) => walk.max_depth(depth),
        None => walk,
    };
    let entries = walk.into_iter().filter_entry(|entry| {
        !entry.file_type().is_dir()
            || relative(entry.path(), base).is_none_or(|path| pattern.may_lead_through(&path))
    });
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => match failed(error, base) {
                None => continue,
                Some(error) => return Err(error),
            },
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let Some(captures) = relative(entry.path(), base).and_then(|path| pattern.matches(&path))
        else {
            continue;
        };
        if entry.path().to_str().is_none() {
            return Err(RunError::Input {
                place: format!("input {input}"),
                message: format!(
                    "the path {} is not UTF-8, and tables would not say which file it is; rename it",
                    entry.path().display()
                ),
            });
        }
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(error) => match failed(error, base) {
                None => continue,
                Some(error) => return Err(error),
            },
        };
        files.push(describe(entry.into_path(), &meta, captures)?);
    }
    Ok(())
}

/// Why a directory or file could not be looked at; `None` where it is simply not there (any more),
/// or is a link that leads to itself.
fn failed(error: walkdir::Error, base: &Path) -> Option<RunError> {
    let path = error.path().unwrap_or(base).to_owned();
    let source = error.into_io_error();
    let source = source.unwrap_or_else(|| io::Error::other("it cannot be listed"));
    let leads_nowhere = match source.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::PermissionDenied => false,
        _ => path.is_symlink(),
    };
    (!leads_nowhere).then_some(RunError::Io { path, source })
}

/// A path below `base`, as patterns see it.
fn relative<'p>(path: &'p Path, base: &Path) -> Option<Cow<'p, str>> {
    let path = path.strip_prefix(base).ok()?.to_string_lossy();
    Some(match MAIN_SEPARATOR {
        '/' => path,
        other => Cow::Owned(path.replace(other, "/")),
    })
}

/// A file of this machine, as the system describes it.
fn describe(path: PathBuf, meta: &Metadata, captures: PathValues) -> Result<PendingFile> {
    match Stat::of_file(meta) {
        Ok(stat) => Ok(PendingFile::found(
            path.display().to_string(),
            stat,
            captures,
        )),
        Err(source) => Err(RunError::Io { path, source }),
    }
}
