//! `lake.lock`: which release each pipeline runs, until somebody moves it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use semver::Version;
use serde::Deserialize;
use toml::Spanned;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files;
use crate::release::Verified;
use crate::source::Source;

/// The form of the file that this version reads and writes.
const FORMAT: u32 = 1;

const HEAD: &str = "# Written by `lake plugin update`. It belongs under version control.\n";

/// The releases that pipelines are locked to.
///
/// ```toml
/// version = 1
///
/// [[pipeline]]
/// name = "utility"
/// transform = "utility"
/// version = "1.2.0"
/// release = "sha256:…"      # of the bytes of release.json
/// entry = "sha256:…"        # of this entry
///
/// [pipeline.targets]
/// x86_64-unknown-linux-gnu = "sha256:…"
/// ```
///
/// `entry` is there for accidents: a byte that flips in a name would otherwise make an entry
/// disappear, and a pipeline that is not locked takes the newest release. It covers one entry and
/// not the file, so that two branches which move two pipelines can be merged. It holds nobody back
/// who wants to choose another release; that is what a review of the file is for, and whatever it
/// names has to be signed all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    entries: BTreeMap<String, LockEntry>,
}

/// The release that one pipeline is locked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockEntry {
    /// The transform.
    pub transform: String,
    /// Its version.
    pub version: Version,
    /// The digest of the release file.
    pub release: Digest,
    /// The digests of the libraries, by target triple.
    pub targets: BTreeMap<String, Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    version: Spanned<u32>,
    #[serde(default)]
    pipeline: Vec<Spanned<WrittenEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    name: String,
    transform: String,
    version: Version,
    release: Digest,
    entry: Spanned<Digest>,
    targets: BTreeMap<String, Digest>,
}

impl Lock {
    /// The lock in a file, or `None` where there is no file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] with the line where it says something that cannot be.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = "it is not UTF-8; bring the file back as it was (git checkout)";
                Err(Error::file(path, None, what))
            }
            Err(error) => Err(Error::io(path, error)),
        }
    }

    /// The lock in a text that was read from `path`.
    ///
    /// # Errors
    /// [`Error::File`] with the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let source = Source { text, path };
        let written: WrittenFile = toml::from_str(text).map_err(|e| source.syntax(&e))?;
        let format = *written.version.get_ref();
        if format != FORMAT {
            let what =
                format!("version {format} of the file is not {FORMAT}, which this lake reads");
            return Err(source.fault(written.version.span(), what));
        }
        let mut lock = Self::default();
        for written in written.pipeline {
            let span = written.span();
            let written = written.into_inner();
            let name = written.name;
            let entry = LockEntry {
                transform: written.transform,
                version: written.version,
                release: written.release,
                targets: written.targets,
            };
            let (says, is) = (*written.entry.get_ref(), entry.digest(&name));
            if says != is {
                let what = format!(
                    "the entry of pipeline {name:?} was changed by hand or by accident: its \
                     digest is {is}, and `entry` says {says}; bring the file back as it was (git \
                     checkout), or run `lake plugin update`"
                );
                return Err(source.fault(written.entry.span(), what));
            }
            if lock.entries.insert(name.clone(), entry).is_some() {
                let what = format!("pipeline {name:?} has two entries; remove one");
                return Err(source.fault(span, what));
            }
        }
        Ok(lock)
    }

    /// What a pipeline is locked to.
    #[must_use]
    pub fn get(&self, pipeline: &str) -> Option<&LockEntry> {
        self.entries.get(pipeline)
    }

    /// Locks a pipeline, and gives what it was locked to before. Other pipelines stay as they are.
    pub fn set(&mut self, pipeline: impl Into<String>, entry: LockEntry) -> Option<LockEntry> {
        self.entries.insert(pipeline.into(), entry)
    }

    /// Unlocks a pipeline.
    pub fn remove(&mut self, pipeline: &str) -> Option<LockEntry> {
        self.entries.remove(pipeline)
    }

    /// The pipelines that are locked, and to what.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &LockEntry)> {
        self.entries
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// The file's text: the same for the same lock.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}version = {FORMAT}\n");
        for (name, entry) in &self.entries {
            text.push('\n');
            text.push_str(&entry.to_text(name, Some(&entry.digest(name))));
        }
        text
    }

    /// Writes the file: whoever reads it sees the old lock or the new one, whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.to_text();
        files::replace(path, text.as_bytes(), 0o644).map_err(|e| Error::io(path, e))
    }
}

impl LockEntry {
    /// What locks a pipeline to a release, with all its targets.
    #[must_use]
    pub fn of(release: &Verified) -> Self {
        let artifacts = release.release().artifacts.iter();
        Self {
            transform: release.release().name.clone(),
            version: release.release().version.clone(),
            release: release.digest(),
            targets: artifacts
                .map(|(target, blob)| (target.clone(), blob.digest))
                .collect(),
        }
    }

    /// The digest of the entry as it is written, without the digest itself.
    fn digest(&self, name: &str) -> Digest {
        Digest::of(self.to_text(name, None).as_bytes())
    }

    fn to_text(&self, name: &str, digest: Option<&Digest>) -> String {
        let mut text = String::from("[[pipeline]]\n");
        let mut line = |key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key} = {}", quoted(value));
        };
        line("name", name);
        line("transform", &self.transform);
        line("version", &self.version.to_string());
        line("release", &self.release.to_string());
        if let Some(digest) = digest {
            line("entry", &digest.to_string());
        }
        text.push_str("\n[pipeline.targets]\n");
        for (target, digest) in &self.targets {
            let _ = writeln!(text, "{} = {}", key(target), quoted(&digest.to_string()));
        }
        text
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// A key of TOML, bare where it can be.
fn key(text: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(is_bare) {
        text.to_owned()
    } else {
        quoted(text)
    }
}
