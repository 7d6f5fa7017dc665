//! Paths and URLs: where they start from, and that they are what they seem.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::fault::Problem;

/// The root of a lake: an absolute path, or a URL exactly as written.
pub(crate) fn root(text: &str, base: &Path) -> Result<String, Problem> {
    match check(text)? {
        Location::Url => Ok(text.to_owned()),
        Location::Path => match url(text, base) {
            Some(base) => Ok(below(text, base)),
            None => utf8(&absolute(text, base)),
        },
    }
}

pub(crate) fn root_schema() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// A file or a pattern of files: an absolute path, or a URL exactly as written.
pub(crate) fn source(text: &str, base: &Path) -> Result<String, Problem> {
    match check(text)? {
        Location::Url => Ok(text.to_owned()),
        Location::Path if Path::new(text).is_absolute() => utf8(&absolute(text, base)),
        Location::Path => match url(text, base) {
            Some(base) => Ok(below(text, &escape_pattern(base))),
            None => {
                let base = PathBuf::from(escape_pattern(&utf8(base)?));
                utf8(&absolute(text, &base))
            }
        },
    }
}

pub(crate) fn source_schema() -> Value {
    root_schema()
}

/// A directory on this machine, as an absolute path.
pub(crate) fn directory(text: &str, base: &Path) -> Result<PathBuf, Problem> {
    match check(text)? {
        Location::Path if url(text, base).is_some() => Err(Problem::new(format!(
            "`{text}` would be beside the pipeline file, which is at a URL, and a directory is needed"
        ))
        .help("a released transform is found by its name and version, without a path")),
        Location::Path => Ok(absolute(text, base)),
        Location::Url => Err(
            Problem::new(format!("`{text}` is a URL, and a directory is needed"))
                .help("a released transform is found by its name and version, without a path"),
        ),
    }
}

pub(crate) fn directory_schema() -> Value {
    root_schema()
}

/// A file on this machine, as an absolute path.
pub(crate) fn file(text: &str, base: &Path) -> Result<PathBuf, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("the path is empty").help("name the file, or leave the key out"));
    }
    match check(text)? {
        Location::Path if url(text, base).is_some() => Err(Problem::new(format!(
            "`{text}` would be beside the pipeline file, which is at a URL, and a file is needed"
        ))
        .help("keep a copy of the file on this machine, and give its absolute path")),
        Location::Path => Ok(absolute(text, base)),
        // Trust starts on this machine, and not with something that was fetched.
        Location::Url => Err(
            Problem::new(format!("`{text}` is a URL, and a file is needed"))
                .help("keep a copy of the file on this machine, for example beside the pipeline"),
        ),
    }
}

pub(crate) fn file_schema() -> Value {
    root_schema()
}

/// The URL that a relative path starts from, where the pipeline file is at one.
fn url<'b>(text: &str, base: &'b Path) -> Option<&'b str> {
    let is_relative = !Path::new(text).is_absolute();
    base.to_str()
        .filter(|base| is_relative && base.contains("://"))
}

/// `text` below the URL `base`, without `.` and `..`.
fn below(text: &str, base: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let mut parts: Vec<&str> = rest.split('/').collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            // Above the bucket is the bucket.
            ".." => parts.truncate(parts.len().saturating_sub(1).max(1)),
            part => parts.push(part),
        }
    }
    format!("{scheme}://{}", parts.join("/"))
}

enum Location {
    Path,
    Url,
}

/// Tells paths from URLs, and refuses what would quietly become a directory
/// with a strange name.
fn check(text: &str) -> Result<Location, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("the path is empty").help("`.` is the directory itself"));
    }
    if text.contains('\0') {
        return Err(Problem::new("the path contains a NUL character")
            .help("no file system accepts it; remove it"));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(Problem::new(format!(
            "`{text}` starts with `~`, which only a shell knows"
        ))
        .help(format!(
            "write the whole path, or ${{HOME}}{} in the file",
            &text[1..]
        )));
    }
    let Some((scheme, rest)) = text.split_once(":/") else {
        return Ok(Location::Path);
    };
    // One letter is a drive, and a `/` or `*` before the colon makes it a path.
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    match rest.strip_prefix('/') {
        _ if !is_scheme => Ok(Location::Path),
        Some("") => Err(
            Problem::new(format!("the URL `{text}` ends after its scheme"))
                .help(format!("name the bucket: {text}bucket/prefix")),
        ),
        Some(_) => Ok(Location::Url),
        None => Err(
            Problem::new(format!("`{text}` is neither a path nor a URL"))
                .help(format!("a URL has two slashes: {scheme}://{rest}")),
        ),
    }
}

/// `text` below `base`, without `.` and `..`: the path that a pipeline file in the directory `base`
/// means by it.
///
/// They are taken out by name alone, as nothing is looked up on disk here.
#[must_use]
pub fn absolute(text: &str, base: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for component in base.join(text).components() {
        match component {
            Component::CurDir => {}
            // Above the root is the root, as everywhere on Unix.
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

fn utf8(path: &Path) -> Result<String, Problem> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Problem::new(format!("the path {} is not UTF-8", path.display()))
            .help("use a directory whose name is UTF-8")
    })
}

/// Makes the characters of patterns in a directory stand for themselves.
fn escape_pattern(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' | '{' => escaped.extend(['[', c, ']']),
            other => escaped.push(other),
        }
    }
    escaped
}
