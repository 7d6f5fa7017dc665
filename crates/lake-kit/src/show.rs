//! Everything there is to know about one release.

use lake_registry::{Interface, Registry, ReleaseSummary, TrustedKeys};
use semver::Version;

use crate::error::Result;

/// A release, and what it declares.
#[derive(Debug)]
pub struct Shown {
    /// What the release says, and whether that can be believed.
    pub summary: ReleaseSummary,
    /// What it declares, where it can be believed.
    pub interface: Option<Interface>,
}

/// Reads one release, and what it declares.
///
/// # Errors
/// [`KitError::Registry`](crate::KitError::Registry) where there is no such release, or what it
/// names is missing or was changed.
pub async fn show(
    registry: &Registry,
    name: &str,
    version: &Version,
    trusted: &TrustedKeys,
) -> Result<Shown> {
    let found = registry.find(name, version.clone(), trusted).await?;
    let summary = found.ok_or_else(|| lake_registry::Error::NoRelease {
        place: registry.place().to_owned(),
        name: name.to_owned(),
        version: version.clone(),
    })?;
    let interface = match summary.standing.verified() {
        Some(verified) => Some(registry.interface(verified).await?),
        None => None,
    };
    Ok(Shown { summary, interface })
}
