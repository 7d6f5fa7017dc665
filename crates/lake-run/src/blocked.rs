//! Releases that a pipeline must not use, because somebody has rolled back from them.
//!
//! They are known by a digest: a release of a registry by its own, which is the same on every host,
//! and what was built from a crate by that of its library. Every run records all of them; the last
//! one's word counts.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::record::{RunRecord, TransformRecord};
use crate::run::Settings;
use crate::transform::fault;

/// The releases that are blocked after `last`, but for those that are allowed again by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocked {
    pub(crate) releases: Vec<TransformRecord>,
    /// Names that were allowed, and that no blocked release has.
    pub(crate) unknown: Vec<String>,
    /// Names that were allowed, and that a blocked release has.
    allowed: Vec<String>,
}

impl Blocked {
    pub(crate) fn after(last: Option<&RunRecord>, settings: &Settings) -> Self {
        let mut releases = last.map_or_else(Vec::new, |last| last.blocked.clone());
        let (mut unknown, mut allowed) = (Vec::new(), Vec::new());
        for name in &settings.releases.allow {
            let before = releases.len();
            releases.retain(|release| !is_named(release, name));
            match releases.len() == before {
                true => unknown.push(name.clone()),
                false => allowed.push(name.clone()),
            }
        }
        Self {
            releases,
            unknown,
            allowed,
        }
    }

    /// What to say where nothing is published: only a run takes a block away.
    pub(crate) fn still(&self) -> impl Iterator<Item = String> {
        self.allowed.iter().map(|name| {
            format!("--allow {name}: nothing was published, so that it is still blocked")
        })
    }

    /// What to say of names that mean nothing.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.unknown
            .iter()
            .map(|name| format!("--allow {name}: no such release is blocked"))
    }

    /// The digests, as a registry knows releases and libraries.
    pub(crate) fn digests(&self) -> BTreeSet<lake_registry::Digest> {
        let digests = self.releases.iter();
        let digests = digests.map(|release| format!("sha256:{}", identity(release)));
        digests.filter_map(|digest| digest.parse().ok()).collect()
    }

    /// # Errors
    /// [`crate::RunError::Transform`] where the library of a crate at a path is a blocked one.
    pub(crate) fn check(&self, built: &TransformRecord) -> Result<()> {
        if !self
            .releases
            .iter()
            .any(|release| release.digest == built.digest)
        {
            return Ok(());
        }
        let digest = short(&built.digest);
        Err(fault(
            &built.name,
            format!(
                "what is built from transform.path is the build {digest} of {}, which is blocked \
                 since a rollback; mend the crate, or use it all the same with `lake run --allow \
                 {digest}`",
                built.version
            ),
        ))
    }
}

/// Whether `name` means a release: its version, `name@version`, or the beginning of its digest, of
/// at least eight digits.
pub(crate) fn is_named(release: &TransformRecord, name: &str) -> bool {
    let version = name.strip_prefix(&format!("{}@", release.name));
    version.unwrap_or(name) == release.version
        || (name.len() >= 8
            && [&release.digest, identity(release)]
                .iter()
                .any(|d| d.starts_with(name)))
}

/// The digest that a release is known by on every host.
pub(crate) fn identity(release: &TransformRecord) -> &String {
    match release.release.is_empty() {
        true => &release.digest,
        false => &release.release,
    }
}

/// As much of a digest as people need.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_version_with_or_without_its_name_or_by_its_digest() {
        let release = TransformRecord {
            name: "utility".to_owned(),
            version: "1.1.0".to_owned(),
            digest: "0123456789abcdef".to_owned(),
            release: String::new(),
        };
        for name in ["1.1.0", "utility@1.1.0", "01234567", "0123456789ab"] {
            assert!(is_named(&release, name), "{name}");
        }
        for name in ["1.1", "other@1.1.0", "0123", "89abcdef", ""] {
            assert!(!is_named(&release, name), "{name}");
        }
    }
}
