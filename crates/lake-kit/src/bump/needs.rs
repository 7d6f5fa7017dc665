//! What a crate has become since it was published the last time.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake_plugin::abi;
use lake_registry::{
    Change, Interface, Level, NewRelease, SigningKey, compare, previous, required_level,
};
use semver::Version;

use crate::Machine;
use crate::bump::{BumpOptions, Published};
use crate::error::{KitError, Result};
use crate::manifest::Package;
use crate::publish;
use crate::stage::Stage;

/// What a comparison with published releases says.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// All versions that there are, yanked ones included: none of them is free.
    pub(super) published: Vec<Version>,
    /// What the changes are together, and since which release; `None` where there is none.
    pub(super) since: Option<(Level, Version)>,
    /// The changes, the gravest first.
    pub(super) changes: Vec<Change>,
}

/// Compares the crate with the last release that is not yanked, as publishing it would. The crate
/// is built for that, and only where there is something to compare with.
pub(super) async fn of(
    package: &Package,
    published: &Published<'_>,
    options: &BumpOptions,
    now: DateTime<Utc>,
    machine: &Machine,
) -> Result<Needs> {
    let Published { registry, trusted } = published;
    let listing = registry.list(Some(&package.name), trusted).await?;
    let versions = listing.releases.iter();
    let versions = versions.map(|release| release.version.clone()).collect();
    let after_all = Version::new(u64::MAX, u64::MAX, u64::MAX);
    let Some(before) = previous(&listing.releases, &after_all) else {
        return Ok(Needs {
            published: versions,
            ..Needs::default()
        });
    };
    let Some(verified) = before.standing.verified() else {
        let why = before.standing.problem().map(ToString::to_string);
        return Err(KitError::git(format!(
            "the crate cannot be compared with {} {}: {}; name the keys that are trusted for it with \
             --trusted-keys or LAKE_TRUSTED_KEYS, or yank it if nothing is to follow it; nothing was \
             tagged",
            package.name,
            before.version,
            why.unwrap_or_default()
        )));
    };
    let old = registry.interface(verified).await?;
    let changes = compare(&old, &interface(package, options, now, machine).await?);
    Ok(Needs {
        published: versions,
        since: Some((required_level(&changes), before.version.clone())),
        changes,
    })
}

/// What the crate offers and asks for now, as a host that loads it sees it.
async fn interface(
    package: &Package,
    options: &BumpOptions,
    now: DateTime<Utc>,
    machine: &Machine,
) -> Result<Interface> {
    let release = NewRelease {
        name: package.name.clone(),
        version: package.semver()?,
        published_by: None,
        lake: publish::lake_version()?,
        requires_host: None,
        boundary: abi::VERSION,
        artifacts: publish::libraries(package, &options.libraries, machine)?,
        interface: Interface::default(),
        sbom: Bytes::from_static(b"{}"),
        licences: Vec::new(),
        source_commit: None,
        notes: None,
    };
    let stage = Stage::new(&release, &passing_key(), now, machine).await?;
    let tables: BTreeMap<_, _> = stage.tables(machine).await?;
    let declaration = stage.plugin.declaration().clone();
    Ok(Interface::new(declaration, tables))
}

/// A key for a registry that is thrown away: nobody trusts it, and nothing else is signed with it.
fn passing_key() -> SigningKey {
    let (one, other) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let mut random = [0; 32];
    let bytes = one.into_bytes().into_iter().chain(other.into_bytes());
    random
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    SigningKey::from_random(random)
}
