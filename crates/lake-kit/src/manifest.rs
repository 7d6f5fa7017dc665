//! What cargo knows of a transform's crate.

use std::path::{Path, PathBuf};
use std::process::Command;

use semver::{Version, VersionReq};
use serde_json::Value;

use crate::error::{KitError, Result};

/// A crate on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its directory, absolute and without links, as cargo names it.
    pub(crate) directory: PathBuf,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The directory of its workspace, which has `Cargo.lock`; its own where it is in none.
    pub(crate) workspace: PathBuf,
}

impl Package {
    /// The crate in `directory`: what a manifest inherits from a workspace only cargo knows.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let manifest = directory.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(KitError::usage(format!(
                "there is no crate at {}; name the directory of a transform",
                directory.display()
            )));
        }
        let directory = directory.canonicalize().map_err(KitError::io(directory))?;
        let manifest = directory.join("Cargo.toml");
        let failed = |message: String| KitError::Crate {
            path: manifest.clone(),
            message,
        };
        let metadata = metadata(&manifest, &["--no-deps"])?;
        let workspace = metadata["workspace_root"].as_str().map(PathBuf::from);
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let package = packages
            .filter(|package| package["manifest_path"].as_str().map(Path::new) == Some(&manifest))
            .find_map(|package| {
                Some(Self {
                    directory: directory.clone(),
                    name: package["name"].as_str()?.to_owned(),
                    version: package["version"].as_str()?.to_owned(),
                    workspace: workspace.clone()?,
                })
            });
        package.ok_or_else(|| {
            failed("it is a workspace and no crate; name the directory of a transform".to_owned())
        })
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.directory.join("Cargo.toml")
    }

    /// A requirement that only this version of the crate meets, pre-releases included.
    pub(crate) fn exactly(&self) -> Result<VersionReq> {
        VersionReq::parse(&format!("={}", self.version)).map_err(|e| self.no_version(&e))
    }

    pub(crate) fn semver(&self) -> Result<Version> {
        Version::parse(&self.version).map_err(|e| self.no_version(&e))
    }

    fn no_version(&self, why: &semver::Error) -> KitError {
        KitError::Crate {
            path: self.manifest(),
            message: format!("its version {} is none: {why}", self.version),
        }
    }
}

/// What `cargo metadata` says of a crate.
pub(crate) fn metadata(manifest: &Path, arguments: &[&str]) -> Result<Value> {
    let failed = |message: String| KitError::Crate {
        path: manifest.to_owned(),
        message,
    };
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .map_err(|e| {
            failed(format!(
                "cargo cannot be run to read it ({e}); install a Rust toolchain"
            ))
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(failed(stderr.trim_end().to_owned()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| failed(format!("cargo metadata says something else: {e}")))
}
