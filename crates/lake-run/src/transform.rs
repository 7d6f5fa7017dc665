//! Finding a transform: built from its crate, or a release out of a registry.
//!
//! A crate at a path wins while developing. A release is loaded only where a trusted key has
//! signed it, from a private copy of exactly the bytes that were signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lake_delta::Root;
use lake_pipeline::TransformRef;
use lake_plugin::{Declaration, Plugin};
use lake_registry::{
    Candidate, Choice, Lock, LockEntry, Question, Registry, TrustedKeys, Verified, cached_copy,
    choose, private_copy,
};
use lake_store::{Stores, is_url};
use semver::Version;

use crate::blocked::Blocked;
use crate::build::{Profile, build};
use crate::error::{Result, RunError};
use crate::logic::Logic;
use crate::parameters::{self, Parameters};
use crate::raw::RawFile;
use crate::record::TransformRecord;
use crate::run::Settings;
use crate::state::State;

/// Which release to take, beside what the pipeline file says.
#[derive(Debug, Clone, Default)]
pub struct Releases {
    /// A transform and its version that somebody asked for: wins over lock and path.
    pub asked: Option<(String, Version)>,
    /// Whether the lock has to pin the release, and no path may win over it.
    pub locked: bool,
    /// Blocked releases that may be used again: by version, `name@version`, or the beginning of a
    /// digest.
    pub allow: Vec<String>,
    /// The target triple of this host.
    pub target: String,
}

/// A transform that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Transform {
    pub(crate) plugin: Plugin,
    pub(crate) record: TransformRecord,
    pub(crate) logic: Logic,
    pub(crate) parameters: Parameters,
    /// Why it is this one, for people.
    pub(crate) chosen: String,
    /// What somebody should know although it can be used.
    pub(crate) warnings: Vec<String>,
}

/// What the crate at a path declares; it is built first if need be.
///
/// # Errors
/// [`RunError::Transform`] and [`RunError::Load`], where it cannot be built, found or loaded.
pub fn declaration(wanted: &TransformRef, cache: &Path, profile: Profile) -> Result<Declaration> {
    let path = wanted.path.as_deref().unwrap_or(Path::new(""));
    let library = build(&wanted.name, path, cache, profile)?;
    let plugin = open(wanted, &library)?;
    check_identity(wanted, &plugin)?;
    Ok(plugin.declaration().clone())
}

/// Loads the transform that a pipeline names, if it is not blocked.
pub(crate) async fn load(settings: &Settings, blocked: &Blocked) -> Result<Transform> {
    let mut transform = find(settings, blocked).await?;
    transform.warnings.extend(blocked.warnings());
    Ok(transform)
}

async fn find(settings: &Settings, blocked: &Blocked) -> Result<Transform> {
    check_asked(settings)?;
    let wanted = &settings.pipeline.transform;
    match &wanted.path {
        Some(path) if settings.releases.asked.is_none() => {
            if settings.releases.locked {
                return Err(settings.wrong(format!(
                    "transform.path is {}, which a locked run does not use: what is built there is \
                     pinned by nothing; leave the path out to use a release",
                    path.display()
                )));
            }
            from_crate(settings, path, blocked)
        }
        _ => from_registry(settings, blocked).await,
    }
}

/// What was asked for by name is the transform of the pipeline.
fn check_asked(settings: &Settings) -> Result<()> {
    let wanted = &settings.pipeline.transform.name;
    match &settings.releases.asked {
        Some((name, _)) if name != wanted => Err(settings.wrong(format!(
            "--transform asks for {name}, and the pipeline uses {wanted}"
        ))),
        _ => Ok(()),
    }
}

fn from_crate(settings: &Settings, path: &Path, blocked: &Blocked) -> Result<Transform> {
    let wanted = &settings.pipeline.transform;
    let library = build(&wanted.name, path, &settings.cache, settings.profile)?;
    let digest = library.file_stem().unwrap_or_default();
    let digest = digest.to_string_lossy().into_owned();
    let plugin = open(wanted, &library)?;
    let version = check_identity(wanted, &plugin)?;
    // The version of a crate at a path stays what it is while its code changes.
    let release = format!("{version}+{}", digest.get(..12).unwrap_or(&digest));
    let parameters = parameters_of(settings, &plugin)?;
    let record = TransformRecord {
        name: wanted.name.clone(),
        version,
        digest,
        release: String::new(),
    };
    blocked.check(&record)?;
    Ok(Transform {
        logic: Logic::of(plugin.declaration(), &release, &parameters.records()),
        parameters,
        chosen: format!("built from {}, which wins over releases", path.display()),
        warnings: Vec::new(),
        plugin,
        record,
    })
}

async fn from_registry(settings: &Settings, blocked: &Blocked) -> Result<Transform> {
    let wanted = &settings.pipeline.transform;
    let (choice, release, registry) = resolve(settings, Pinned::ByLock, blocked).await?;
    let failed = |e: lake_registry::Error| fault(&wanted.name, e.to_string());
    let place = settings.cache.join("releases");
    let library = match cached_copy(&place, &choice.artifact).map_err(failed)? {
        Some(library) => library,
        None => {
            let bytes = registry.fetch(&release, &settings.releases.target).await;
            private_copy(&place, &choice.artifact, &bytes.map_err(failed)?).map_err(failed)?
        }
    };
    let plugin = open(wanted, &library)?;
    let declared = plugin.declaration();
    let says = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, version) = (says(&declared.name), says(&declared.version));
    if name != wanted.name || version != choice.version.to_string() {
        return Err(fault(
            &wanted.name,
            format!(
                "the library of release {} says that it is {name} {version}; publish what was \
                 built from that release's crate under a new version",
                choice.version
            ),
        ));
    }
    let parameters = parameters_of(settings, &plugin)?;
    Ok(Transform {
        logic: Logic::of(declared, &version, &parameters.records()),
        parameters,
        chosen: format!("{} (from {})", choice.reason(), registry.place()),
        warnings: choice
            .warnings
            .iter()
            .map(|warning| format!("transform {}: {warning}", wanted.name))
            .collect(),
        plugin,
        record: TransformRecord {
            name,
            version,
            digest: choice.artifact.hex(),
            release: choice.release.hex(),
        },
    })
}

fn parameters_of(settings: &Settings, plugin: &Plugin) -> Result<Parameters> {
    let given = &settings.pipeline.transform.params;
    parameters::values(plugin.declaration(), given).map_err(|message| settings.wrong(message))
}

/// Whether a lock decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// What the lock pins is taken.
    ByLock,
    /// The lock is not asked: it is about to be written anew.
    Anew,
}

/// Chooses a release and verifies who signed it.
pub(crate) async fn resolve(
    settings: &Settings,
    pinned: Pinned,
    blocked: &Blocked,
) -> Result<(Choice, Verified, Registry)> {
    let wanted = &settings.pipeline.transform;
    let failed = |e: lake_registry::Error| fault(&wanted.name, e.to_string());
    let registry = match &wanted.registry {
        Some(place) => registry(place, &settings.stores)?,
        None => {
            return Err(settings.wrong(
                "the transform has neither a path nor a registry; set transform.registry or \
                 LAKE_REGISTRY to where its releases are, or transform.path to its crate"
                    .to_owned(),
            ));
        }
    };
    let trusted = trusted_keys(settings)?;
    let lock = match pinned {
        Pinned::ByLock => read_lock(settings).await?,
        Pinned::Anew => None,
    };
    let entry = lock
        .as_ref()
        .and_then(|lock| lock.get(&settings.pipeline.name));
    let asked = settings.releases.asked.as_ref().map(|(_, version)| version);
    let blocked = blocked.digests();
    // One release is named: the others need not be read, unless one of them has to take its place.
    let pinned = entry.filter(|entry| {
        let mut digests = entry.targets.values().chain([&entry.release]);
        !digests.any(|digest| blocked.contains(digest))
    });
    let named = asked.or(pinned.map(|entry| &entry.version));
    let releases = match named {
        Some(version) => {
            let found = registry.find(&wanted.name, version.clone(), &trusted).await;
            found.map_err(failed)?.into_iter().collect()
        }
        None => Vec::new(),
    };
    let releases = match releases.is_empty() {
        true => {
            let listing = registry.list(Some(&wanted.name), &trusted).await;
            listing.map_err(failed)?.releases
        }
        false => releases,
    };
    let candidates: Vec<Candidate> = releases.iter().map(Candidate::from).collect();
    let host = Version::parse(env!("CARGO_PKG_VERSION")).map_err(|e| {
        // A version that cargo accepts is one.
        fault(&wanted.name, e.to_string())
    })?;
    let question = Question {
        name: &wanted.name,
        requirement: &wanted.version,
        request: asked,
        lock: entry,
        locked: settings.releases.locked,
        blocked: &blocked,
        host: &host,
        target: &settings.releases.target,
    };
    let choice = choose(&question, &candidates).map_err(|e| fault(&wanted.name, e.to_string()))?;
    let release = registry
        .open(
            &wanted.name,
            &choice.version,
            Some(&choice.release),
            &trusted,
        )
        .await
        .map_err(failed)?;
    Ok((choice, release, registry))
}

/// What the lock of a pipeline has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What it pinned before.
    pub before: Option<LockEntry>,
    /// What it pins now.
    pub after: LockEntry,
    /// Why it is this one, and what stood in the way of newer ones.
    pub chosen: String,
    /// What somebody should know although it can be used.
    pub warnings: Vec<String>,
}

/// Chooses a release anew, whatever the lock says, and pins it there.
///
/// # Errors
/// [`RunError::Transform`] where no release can be taken, or the lock cannot be read or written.
pub async fn update(settings: &Settings) -> Result<Update> {
    let wanted = &settings.pipeline.transform;
    let failed = |e: lake_registry::Error| fault(&wanted.name, e.to_string());
    check_asked(settings)?;
    let mut warnings = Vec::new();
    let blocked = match State::look(&settings.root, &settings.pipeline.name).await {
        Ok((state, _)) => Blocked::after(state.last.as_ref(), settings),
        // Whoever writes the lock need not see the tables.
        Err(error) => {
            warnings.push(format!(
                "whether a release is blocked since a rollback is not known: {error}"
            ));
            Blocked::default()
        }
    };
    let (choice, release, _) = resolve(settings, Pinned::Anew, &blocked).await?;
    warnings.extend(choice.warnings.iter().map(ToString::to_string));
    let path = lock_path(settings);
    if is_url(&path.to_string_lossy()) {
        return Err(settings.wrong(format!(
            "{} is not written over: it belongs beside the file that is under version control; move \
             the lock there, with `lake plugin update`, and put both into the store",
            path.display()
        )));
    }
    let mut lock = Lock::read(&path).map_err(failed)?.unwrap_or_default();
    let after = LockEntry::of(&release);
    let before = lock.set(&settings.pipeline.name, after.clone());
    if before.as_ref() != Some(&after) {
        lock.write(&path).map_err(failed)?;
    }
    Ok(Update {
        before,
        after,
        chosen: choice.to_string(),
        warnings,
    })
}

/// The registry at a place: a directory, or the URL of a prefix in an object store.
///
/// # Errors
/// [`RunError::Table`] where the place is none that can be opened.
pub fn registry(place: &str, stores: &Stores) -> Result<Registry> {
    let root = Root::open(place, stores)?;
    let shown = root.display();
    Ok(Registry::new(Arc::new(root.store()), shown))
}

/// The lock of a pipeline, if there is one: in the store that the pipeline file is in.
async fn read_lock(settings: &Settings) -> Result<Option<Lock>> {
    let path = lock_path(settings);
    let failed = |e: lake_registry::Error| fault(&settings.pipeline.transform.name, e.to_string());
    let name = path.display().to_string();
    if !is_url(&name) {
        return Lock::read(&path).map_err(failed);
    }
    match RawFile::at(&settings.stores, &name)?.text().await {
        Ok(Some(text)) => Lock::parse(&text, &path).map(Some).map_err(failed),
        Ok(None) => Ok(None),
        Err(source) => Err(RunError::Io { path, source }),
    }
}

/// The keys that may sign the releases of a pipeline.
///
/// # Errors
/// [`RunError::Pipeline`] where none are named; [`RunError::Transform`] where the file is wrong.
pub fn trusted_keys(settings: &Settings) -> Result<TrustedKeys> {
    let wanted = &settings.pipeline.transform;
    let Some(path) = &wanted.trusted_keys else {
        return Err(settings.wrong(
            "a release is loaded only if a trusted key has signed it, and no keys are named; set \
             transform.trusted_keys or LAKE_TRUSTED_KEYS to a file with the public keys"
                .to_owned(),
        ));
    };
    TrustedKeys::read(path).map_err(|e| fault(&wanted.name, e.to_string()))
}

/// The lock of a pipeline: beside its file, for all pipelines there.
#[must_use]
pub fn lock_path(settings: &Settings) -> PathBuf {
    settings.file.with_file_name("lake.lock")
}

fn open(wanted: &TransformRef, library: &Path) -> Result<Plugin> {
    Plugin::load(library).map_err(|source| RunError::Load {
        name: wanted.name.clone(),
        source: Box::new(source),
    })
}

/// The crate at a path has to be the transform that the pipeline asks for.
fn check_identity(wanted: &TransformRef, plugin: &Plugin) -> Result<String> {
    let declared = plugin.declaration();
    let version = declared.version.clone().unwrap_or_default();
    let refuse = |message: String| Err(fault(&wanted.name, message));
    if let Some(name) = &declared.name
        && *name != wanted.name
    {
        return refuse(format!(
            "the crate at transform.path is {name}; mend transform.name or transform.path"
        ));
    }
    match Version::parse(&version) {
        Ok(found) if wanted.version.matches(&found) => Ok(version),
        Ok(found) => refuse(format!(
            "the crate at transform.path has version {found}, and the pipeline wants {}",
            wanted.version
        )),
        Err(e) => refuse(format!("its version '{version}' is none: {e}")),
    }
}

pub(crate) fn fault(name: &str, message: String) -> RunError {
    RunError::Transform {
        name: name.to_owned(),
        message,
    }
}
