//! Building a transform from its crate.
//!
//! A library that is loaded must not change under the process, and cargo writes over its own
//! output; so a copy that is named by its content is what is loaded. What it was built from is
//! noted beside it: while no source has changed, cargo is not even asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Result, RunError};
use crate::transform::fault;

/// The variable that may hold a publisher's private key.
const SIGNING_KEY: &str = "LAKE_SIGNING_KEY_PEM";

/// How transforms are built: as the host was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Cargo's `dev`.
    Dev,
    /// Cargo's `release`.
    Release,
}

/// Builds the crate `path`, unless nothing has changed since it was built the last time; gives
/// the path of a copy of its library below `cache`, whose name is its SHA-256. `name` is what
/// messages call the transform.
///
/// # Errors
/// [`RunError::Transform`] where there is no crate or it does not build; [`RunError::Io`].
pub fn build(name: &str, path: &Path, cache: &Path, profile: Profile) -> Result<PathBuf> {
    let manifest = path.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(fault(
            name,
            format!(
                "there is no crate at {}; mend transform.path in the pipeline file",
                path.display()
            ),
        ));
    }
    let build = Build {
        name,
        manifest,
        profile,
        directory: cache.join(build_key(path, profile)),
    };
    match build.still_fresh() {
        Some(library) => Ok(library),
        None => build.run(),
    }
}

/// One crate, one profile: one directory of the cache.
fn build_key(path: &Path, profile: Profile) -> String {
    let profile = match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    };
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
    format!("{}-{profile}", &hash.to_hex()[..16])
}

struct Build<'a> {
    name: &'a str,
    manifest: PathBuf,
    profile: Profile,
    directory: PathBuf,
}

/// What a library was built from.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    library: PathBuf,
    sources: Vec<Source>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl Source {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            size: meta.len(),
            modified: meta.modified().ok(),
        })
    }
}

impl Build<'_> {
    fn stamp_path(&self) -> PathBuf {
        self.directory.join("stamp.json")
    }

    /// The library of an earlier build, if nothing it was built from has changed.
    fn still_fresh(&self) -> Option<PathBuf> {
        let stamp: Stamp = serde_json::from_slice(&fs::read(self.stamp_path()).ok()?).ok()?;
        let fresh = stamp.library.is_file()
            && stamp
                .sources
                .iter()
                .all(|source| Source::of(&source.path).is_ok_and(|now| now == *source));
        fresh.then_some(stamp.library)
    }

    fn run(&self) -> Result<PathBuf> {
        tracing::info!(
            transform = self.name,
            "building the transform; the first time takes a minute"
        );
        let built = self.cargo()?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RunError::Io { path, source }
        };
        fs::create_dir_all(&self.directory).map_err(failed(&self.directory))?;
        // Sources are noted before the library is copied: a change in between
        // makes the next start build again.
        let sources = self.sources(&built);
        let bytes = fs::read(&built).map_err(failed(&built))?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let extension = built.extension().unwrap_or_default();
        let library = self.directory.join(digest).with_extension(extension);
        if !library.is_file() {
            let partial = self
                .directory
                .join(format!("{}.partial", uuid::Uuid::new_v4()));
            fs::write(&partial, &bytes).map_err(failed(&partial))?;
            fs::rename(&partial, &library).map_err(failed(&library))?;
        }
        let stamp = Stamp {
            library: library.clone(),
            sources,
        };
        let json = serde_json::to_vec_pretty(&stamp).map_err(io::Error::from);
        let path = self.stamp_path();
        json.and_then(|json| fs::write(&path, json))
            .map_err(failed(&path))?;
        Ok(library)
    }

    /// Lets cargo build the crate; gives the path of the dynamic library.
    fn cargo(&self) -> Result<PathBuf> {
        let mut command = Command::new("cargo");
        command
            // Build scripts of all dependencies run here, and none of them is to see a key.
            .env_remove(SIGNING_KEY)
            .args([
                "build",
                "--lib",
                "--message-format=json-render-diagnostics",
                "--manifest-path",
            ])
            .arg(&self.manifest);
        if self.profile == Profile::Release {
            command.arg("--release");
        }
        let output = command.output().map_err(|e| {
            fault(
                self.name,
                format!("cargo cannot be run to build it ({e}); install a Rust toolchain"),
            )
        })?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(fault(
                self.name,
                format!("it does not build:\n{}", stderr.trim_end()),
            ));
        }
        let artifact = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| {
                message["reason"] == "compiler-artifact"
                    && message["manifest_path"].as_str().map(Path::new) == Some(&self.manifest)
            })
            .filter_map(|message| {
                let files = message["filenames"].as_array()?.clone();
                files
                    .iter()
                    .filter_map(|file| file.as_str())
                    .map(PathBuf::from)
                    .find(|file| {
                        file.extension()
                            .is_some_and(|e| e == std::env::consts::DLL_EXTENSION)
                    })
            })
            .next_back();
        artifact.ok_or_else(|| {
            fault(
                self.name,
                "cargo built no dynamic library; its Cargo.toml needs \
                 `[lib] crate-type = [\"cdylib\", \"rlib\"]`"
                    .to_owned(),
            )
        })
    }

    /// All files that the library was built from: cargo lists the sources of
    /// all local crates beside it; manifests and the lock file it does not list.
    fn sources(&self, built: &Path) -> Vec<Source> {
        let listed = fs::read_to_string(built.with_extension("d")).unwrap_or_default();
        let mut paths = dep_info(&listed);
        let mut manifests: Vec<PathBuf> = paths
            .iter()
            .flat_map(|path| path.ancestors().skip(1).take(4))
            .map(|directory| directory.join("Cargo.toml"))
            .collect();
        manifests.extend(
            self.manifest
                .ancestors()
                .skip(1)
                .map(|d| d.join("Cargo.lock")),
        );
        manifests.push(self.manifest.clone());
        manifests.sort();
        manifests.dedup();
        paths.extend(manifests.into_iter().filter(|path| path.is_file()));
        paths
            .iter()
            .filter_map(|path| Source::of(path).ok())
            .collect()
    }
}

/// The dependencies in a Makefile-style `.d` file: `target: a b\ with\ spaces`.
fn dep_info(text: &str) -> Vec<PathBuf> {
    let Some((_, list)) = text.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    let mut current = String::new();
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&' ') => {
                current.push(' ');
                characters.next();
            }
            ' ' => paths.push(std::mem::take(&mut current)),
            other => current.push(other),
        }
    }
    paths.push(current);
    paths
        .into_iter()
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_spaces_are_one_path() {
        let found = dep_info("/t/lib.so: /a/one.rs /a\\ b/two.rs\n\n/a/one.rs:\n");
        assert_eq!(found, [Path::new("/a/one.rs"), Path::new("/a b/two.rs")]);
    }
}
