//! Making a release of a transform.
//!
//! ```text
//! build → stage → check → test → compare → publish
//! ```
//!
//! The library is built as hosts want it and put into a registry that is thrown away (`stage`).
//! From there it is loaded as a host loads it, so that what is checked is what is published: every
//! function is called where there is nothing to compute (`conformance`), all SQL is planned, and
//! the golden cases of the crate are run. What it declares is compared with the release before it,
//! and a version that promises more than that is refused. Only then is it published.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake_plugin::abi;
use lake_registry::{
    Change, Digest, Interface, Level, Licence, NewRelease, Published, Registry, ReleaseSummary,
    SigningKey, TrustedKeys, check_bump, compare, previous, required_bump, required_level,
};
use lake_run::Profile;
use semver::{Version, VersionReq};

use crate::Machine;
use crate::error::{KitError, Result};
use crate::golden::{self, TestOptions};
use crate::manifest::Package;
use crate::sbom;
use crate::source::Source;
use crate::stage::Stage;

/// What is to be published, beside what the crate says.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// Libraries that were built elsewhere, by target triple. Where one is for this machine, none
    /// is built.
    pub libraries: Vec<(String, PathBuf)>,
    /// The versions of lake that may run the release; any where it says nothing.
    pub requires_host: Option<VersionReq>,
    /// What is new, in words.
    pub notes: Option<String>,
    /// Who publishes, for people.
    pub published_by: Option<String>,
    /// Whether everything is done but the publishing.
    pub dry_run: bool,
    /// Whether golden cases are left out.
    pub no_test: bool,
}

/// Where a release goes, and in whose name.
#[derive(Debug)]
pub struct Destination<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The key that signs.
    pub key: &'a SigningKey,
    /// The keys that hosts trust, where they are known: a release that those would not load is
    /// refused.
    pub trusted: Option<&'a TrustedKeys>,
    /// When it is published.
    pub now: DateTime<Utc>,
}

/// A release that was made, and what is known of it.
#[derive(Debug, Clone)]
pub struct PublishReport {
    /// The transform.
    pub name: String,
    /// The version.
    pub version: Version,
    /// The libraries, by target triple: digest and size in bytes.
    pub libraries: BTreeMap<String, (Digest, u64)>,
    /// What it offers and asks for.
    pub interface: Interface,
    /// The licences of all that is linked in.
    pub licences: Vec<Licence>,
    /// The commit that it was built from.
    pub source_commit: Option<String>,
    /// What was checked.
    pub checked: Checked,
    /// What its changes are.
    pub verdict: Verdict,
    /// What somebody should know although it was published.
    pub warnings: Vec<String>,
    /// How publishing ended; `None` where it was left out.
    pub outcome: Option<Published>,
}

/// What was checked on the library for this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How many functions were called.
    pub functions: usize,
    /// How many tables have SQL that plans.
    pub tables: usize,
    /// How many golden cases are as expected; `None` where they were left out or there are none.
    pub cases: Option<usize>,
}

/// What a release changes, and what that means for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The release that it was compared with; `None` where there is none before it.
    pub previous: Option<Version>,
    /// The changes, the gravest first.
    pub changes: Vec<Change>,
    /// What they are together; a first release changes nothing.
    pub needs: Level,
    /// The smallest version that is right for them; any for a first release.
    pub smallest: Option<Version>,
}

/// Makes a release of the transform whose crate is in `directory`.
///
/// # Errors
/// What keeps it from being published; nothing is then. [`KitError::Taken`] where the version is
/// another release already.
pub async fn publish(
    directory: &Path,
    options: &PublishOptions,
    destination: &Destination<'_>,
    machine: &Machine,
) -> Result<PublishReport> {
    let package = Package::read(directory)?;
    let lake = lake_version()?;
    check_host(options, &lake)?;
    let artifacts = libraries(&package, &options.libraries, machine)?;
    let mut warnings = Vec::new();
    let bill = sbom::read(&package, &machine.target)?;
    let mut release = NewRelease {
        name: package.name.clone(),
        version: package.semver()?,
        published_by: options.published_by.clone(),
        lake,
        requires_host: options.requires_host.clone(),
        boundary: abi::VERSION,
        artifacts,
        interface: Interface::default(),
        sbom: bill.json,
        licences: bill.licences,
        source_commit: source_commit(&package, &mut warnings),
        notes: options.notes.clone(),
    };
    let others = release.artifacts.keys();
    for target in others.filter(|target| **target != machine.target) {
        warnings.push(format!(
            "the library for {target} was not loaded here, and is published as it is"
        ));
    }

    let stage = Stage::new(&release, destination.key, destination.now, machine).await?;
    if let Some(trusted) = destination.trusted {
        stage.believed(trusted).await?;
    }
    let (checked, interface) = check(&stage, &package, options, machine).await?;
    release.interface = interface;

    let verdict = verdict(&release, destination).await?;
    if let Some(before) = &verdict.previous {
        check_bump(before, &release.version, &verdict.changes)?;
    }
    let outcome = match options.dry_run {
        true => None,
        false => Some(put(&release, destination).await?),
    };
    let sized = |bytes: &Bytes| (Digest::of(bytes), bytes.len() as u64);
    let libraries = release.artifacts.iter();
    Ok(PublishReport {
        libraries: libraries
            .map(|(target, bytes)| (target.clone(), sized(bytes)))
            .collect(),
        name: release.name,
        version: release.version,
        interface: release.interface,
        licences: release.licences,
        source_commit: release.source_commit,
        checked,
        verdict,
        warnings,
        outcome,
    })
}

pub(crate) fn lake_version() -> Result<Version> {
    let version = Version::parse(env!("CARGO_PKG_VERSION"));
    // A version that cargo accepts is one.
    version.map_err(|e| KitError::usage(format!("this lake has no version: {e}")))
}

/// A release is tested with this lake, so this lake has to be one that may run it.
fn check_host(options: &PublishOptions, lake: &Version) -> Result<()> {
    match &options.requires_host {
        Some(needs) if !needs.matches(lake) => Err(KitError::usage(format!(
            "--requires-host {needs} leaves out this lake, {lake}, with which the release is \
             tested; publish with a lake that it allows"
        ))),
        _ => Ok(()),
    }
}

/// The libraries that were given, and one for this machine.
pub(crate) fn libraries(
    package: &Package,
    given: &[(String, PathBuf)],
    machine: &Machine,
) -> Result<BTreeMap<String, Bytes>> {
    let mut libraries = BTreeMap::new();
    for (target, file) in given {
        let bytes = fs::read(file).map_err(KitError::io(file))?;
        if libraries.insert(target.clone(), bytes.into()).is_some() {
            return Err(KitError::usage(format!(
                "--library names two libraries for {target}; a release has one"
            )));
        }
    }
    if !libraries.contains_key(&machine.target) {
        let directory = &package.directory;
        let built = lake_run::build(&package.name, directory, &machine.cache, Profile::Release)?;
        let bytes = fs::read(&built).map_err(KitError::io(&built))?;
        libraries.insert(machine.target.clone(), bytes.into());
    }
    Ok(libraries)
}

fn source_commit(package: &Package, warnings: &mut Vec<String>) -> Option<String> {
    match Source::of(package) {
        Source::Commit(commit) => return Some(commit),
        Source::Changed => warnings.push(
            "files differ from the last commit, so the release names none: nobody can build it again \
             from the repository"
                .to_owned(),
        ),
        Source::Unknown => {}
    }
    None
}

/// Everything that can be told of a library without anybody's data.
async fn check(
    stage: &Stage,
    package: &Package,
    options: &PublishOptions,
    machine: &Machine,
) -> Result<(Checked, Interface)> {
    let functions = crate::conformance::check(&stage.plugin).map_err(|problems| {
        let problems = problems.join("\n  ");
        KitError::Unfit {
            message: format!("functions of the transform break the boundary:\n  {problems}"),
        }
    })?;
    let tables = stage.tables(machine).await?;
    let cases = match options.no_test || !golden::has_cases(package) {
        true => None,
        false => {
            let report =
                golden::hold(package, &stage.subject, &TestOptions::default(), machine).await?;
            if !report.passed() {
                return Err(KitError::NotAsExpected(Box::new(report)));
            }
            Some(report.cases.len())
        }
    };
    let checked = Checked {
        functions,
        tables: tables.len(),
        cases,
    };
    let declaration = stage.plugin.declaration().clone();
    Ok((checked, Interface::new(declaration, tables)))
}

/// Compares a release with the one before it.
async fn verdict(release: &NewRelease, destination: &Destination<'_>) -> Result<Verdict> {
    let registry = destination.registry;
    // Publishers believe what they have signed themselves.
    let trusted = destination.trusted.cloned().unwrap_or_default();
    let trusted = trusted.with("the signing key", destination.key.public());
    let listing = registry.list(Some(&release.name), &trusted).await?;
    let Some(before) = previous(&listing.releases, &release.version) else {
        return Ok(Verdict {
            previous: None,
            changes: Vec::new(),
            needs: Level::Patch,
            smallest: None,
        });
    };
    let Some(verified) = before.standing.verified() else {
        return Err(not_comparable(release, before));
    };
    let old = registry.interface(verified).await?;
    let changes = compare(&old, &release.interface);
    let needs = required_level(&changes);
    Ok(Verdict {
        previous: Some(before.version.clone()),
        smallest: Some(required_bump(needs, &before.version)),
        needs,
        changes,
    })
}

fn not_comparable(release: &NewRelease, before: &ReleaseSummary) -> KitError {
    let why = before.standing.problem().map(ToString::to_string);
    KitError::Unfit {
        message: format!(
            "{} follows {}, which it cannot be compared with: {}; name the keys that are trusted for \
             it with --trusted-keys, or yank {} if nothing is to follow it",
            release.version,
            before.version,
            why.unwrap_or_default(),
            before.version
        ),
    }
}

async fn put(release: &NewRelease, destination: &Destination<'_>) -> Result<Published> {
    let Destination {
        registry, key, now, ..
    } = destination;
    match registry.publish(release, key, *now).await? {
        Published::Taken(by) => Err(KitError::Taken {
            release: format!("{} {}", release.name, release.version),
            by: Box::new(by),
        }),
        published => Ok(published),
    }
}
