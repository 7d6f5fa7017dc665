//! A registry: finding releases, and reading what they name.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use semver::Version;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::interface::Interface;
use crate::name::{BLOBS, check_name, check_version};
use crate::release::{Blob, Claimed, Release, Verified};
use crate::store::Objects;
use crate::trusted::TrustedKeys;
use crate::yank::Yank;

/// A release file holds names and digests; one that is larger is not one.
pub(crate) const MOST_RELEASE: u64 = 4 << 20;

/// So many releases are read at once.
const AT_ONCE: usize = 16;

pub(crate) const RELEASE: &str = "release.json";

/// A place where releases are: a prefix of an object store. There is no server.
#[derive(Debug)]
pub struct Registry {
    pub(crate) objects: Objects,
}

/// What a registry has.
#[derive(Debug, Default)]
pub struct Listing {
    /// The releases, by name and then from the oldest version to the newest.
    pub releases: Vec<ReleaseSummary>,
    /// Directories of a transform that no version can have.
    pub strange: Vec<String>,
}

/// One release as it was found.
#[derive(Debug)]
pub struct ReleaseSummary {
    /// The transform.
    pub name: String,
    /// The version.
    pub version: Version,
    /// Set where it has been yanked.
    pub yanked: Option<Yank>,
    /// What it says, and whether that can be believed.
    pub standing: Standing,
}

/// Whether a release can be used.
#[derive(Debug)]
pub enum Standing {
    /// It is signed by a trusted key.
    Verified(Box<Verified>),
    /// It has the right form, and nobody trusted has signed it.
    Unverified {
        /// What it says about itself; anybody can have written it.
        release: Box<Release>,
        /// The digest of its release file.
        digest: Digest,
        /// Why it is not believed.
        why: Error,
    },
    /// It is no release, or lies in the wrong place.
    Broken(Error),
}

impl Standing {
    /// What the release says, believed or not, where it can be read.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        match self {
            Self::Verified(verified) => Some(verified.release()),
            Self::Unverified { release, .. } => Some(release),
            Self::Broken(_) => None,
        }
    }

    /// The proof that the release can be used, if it can.
    #[must_use]
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Verified(verified) => Some(verified),
            _ => None,
        }
    }

    /// Why the release cannot be used, if it cannot.
    #[must_use]
    pub fn problem(&self) -> Option<&Error> {
        match self {
            Self::Verified(_) => None,
            Self::Unverified { why, .. } | Self::Broken(why) => Some(why),
        }
    }
}

impl Registry {
    /// The registry at the root of `store` (wrap it in a
    /// [`PrefixStore`](object_store::prefix::PrefixStore) for a prefix). `place` is what people
    /// call it: a directory or a URL, for messages.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, place: impl Into<String>) -> Self {
        let place = place.into().trim_end_matches('/').to_owned();
        Self {
            objects: Objects { store, place },
        }
    }

    /// What people call this registry.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.objects.place
    }

    /// The releases of one transform, or of all.
    ///
    /// A release that cannot be used is listed with the reason; the others are not affected.
    ///
    /// # Errors
    /// [`Error::Store`] where the store fails: half a list would make an old release look like the
    /// newest. [`Error::Refused`] where no transform can have the name.
    pub async fn list(&self, name: Option<&str>, trusted: &TrustedKeys) -> Result<Listing> {
        let names = match name {
            Some(name) => {
                check_name(name)?;
                vec![name.to_owned()]
            }
            None => self.names().await?,
        };
        let mut listing = Listing::default();
        for name in names {
            let mut versions = Vec::new();
            for directory in self.directories(Some(&Path::from(name.as_str()))).await? {
                // Semver has one spelling for each version, so this is where it belongs.
                let version = Version::parse(&directory).ok();
                match version.filter(|version| check_version(version).is_ok()) {
                    Some(version) => versions.push(version),
                    None => {
                        let path = Path::from_iter([name.as_str(), directory.as_str()]);
                        listing.strange.push(self.objects.shown(&path));
                    }
                }
            }
            versions.sort();
            let found = futures::stream::iter(versions)
                .map(|version| self.find(&name, version, trusted))
                .buffered(AT_ONCE);
            let found: Vec<Option<ReleaseSummary>> = found.try_collect().await?;
            listing.releases.extend(found.into_iter().flatten());
        }
        Ok(listing)
    }

    /// The release of one version, where a trusted key has signed it.
    ///
    /// `pinned` is the digest that its release file must have, as a lock says it.
    ///
    /// # Errors
    /// [`Error::NoRelease`] where there is none; one that says what is wrong where it cannot be
    /// believed; [`Error::Store`].
    pub async fn open(
        &self,
        name: &str,
        version: &Version,
        pinned: Option<&Digest>,
        trusted: &TrustedKeys,
    ) -> Result<Verified> {
        let path = release_path(name, version)?;
        let bytes = self.objects.get(&path, MOST_RELEASE).await?;
        let bytes = bytes.ok_or_else(|| Error::NoRelease {
            place: self.objects.place.clone(),
            name: name.to_owned(),
            version: version.clone(),
        })?;
        let shown = self.objects.shown(&path);
        let found = Digest::of(&bytes);
        if let Some(pinned) = pinned.filter(|pinned| **pinned != found) {
            return Err(Error::Changed {
                path: shown,
                thing: format!("the release {name} {version}"),
                expected: *pinned,
                found,
            });
        }
        Claimed::read(&shown, &bytes, name, version)?.verify(&shown, trusted)
    }

    /// The library of a release for a target. All of it is checked before any of it is returned.
    ///
    /// # Errors
    /// [`Error::Target`], [`Error::Missing`], [`Error::Changed`], [`Error::Size`],
    /// [`Error::Store`].
    pub async fn fetch(&self, release: &Verified, target: &str) -> Result<Bytes> {
        let thing = format!("the library for {target}");
        self.blob(release, release.artifact(target)?, &thing).await
    }

    /// What a release declares.
    ///
    /// # Errors
    /// As of [`Self::fetch`], and [`Error::Format`] where the bytes are no interface.
    pub async fn interface(&self, release: &Verified) -> Result<Interface> {
        let blob = release.release().interface;
        let bytes = self.blob(release, blob, "the interface").await?;
        let path = self.objects.shown(&blob_path(&blob.digest));
        Interface::from_json(&bytes, &path)
    }

    /// The software bill of materials of a release, in JSON.
    ///
    /// # Errors
    /// As of [`Self::fetch`].
    pub async fn sbom(&self, release: &Verified) -> Result<Bytes> {
        let thing = "the bill of materials";
        self.blob(release, release.release().sbom, thing).await
    }

    /// Reads everything that a release names, for all targets.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn verify(&self, release: &Verified) -> Result<()> {
        self.interface(release).await?;
        self.sbom(release).await?;
        for target in release.release().artifacts.keys() {
            self.fetch(release, target).await?;
        }
        Ok(())
    }

    async fn blob(&self, release: &Verified, blob: Blob, thing: &str) -> Result<Bytes> {
        let path = blob_path(&blob.digest);
        let bytes = self.objects.get(&path, blob.size).await;
        let bytes = bytes.map_err(|e| e.of_exact_size(thing))?;
        let shown = self.objects.shown(&path);
        let bytes = bytes.ok_or_else(|| Error::Missing {
            path: shown.clone(),
            thing: thing.to_owned(),
            release: release.to_string(),
        })?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size != blob.size {
            return Err(Error::Size {
                path: shown,
                thing: thing.to_owned(),
                expected: blob.size,
                found: size,
            });
        }
        let found = Digest::of(&bytes);
        if found != blob.digest {
            return Err(Error::Changed {
                path: shown,
                thing: thing.to_owned(),
                expected: blob.digest,
                found,
            });
        }
        Ok(bytes)
    }

    /// One release as it is found, or `None` where there is none.
    ///
    /// # Errors
    /// As of [`Self::list`].
    pub async fn find(
        &self,
        name: &str,
        version: Version,
        trusted: &TrustedKeys,
    ) -> Result<Option<ReleaseSummary>> {
        let path = release_path(name, &version)?;
        let shown = self.objects.shown(&path);
        let claimed = match self.objects.get(&path, MOST_RELEASE).await {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => Claimed::read(&shown, &bytes, name, &version),
            Err(error) if error.is_of_release() => Err(error),
            Err(error) => return Err(error),
        };
        let standing = match claimed {
            Err(error) => Standing::Broken(error),
            Ok(claimed) => {
                let (release, digest) = (claimed.release.clone(), claimed.digest);
                match claimed.verify(&shown, trusted) {
                    Ok(verified) => Standing::Verified(Box::new(verified)),
                    Err(why) => Standing::Unverified {
                        release: Box::new(release),
                        digest,
                        why,
                    },
                }
            }
        };
        Ok(Some(ReleaseSummary {
            name: name.to_owned(),
            yanked: self.yanked(name, &version).await?,
            version,
            standing,
        }))
    }

    async fn names(&self) -> Result<Vec<String>> {
        let mut names = self.directories(None).await?;
        names.retain(|name| name != BLOBS && check_name(name).is_ok());
        Ok(names)
    }

    async fn directories(&self, prefix: Option<&Path>) -> Result<Vec<String>> {
        let listed = self.objects.store.list_with_delimiter(prefix).await;
        let root = Path::default();
        let listed = listed.map_err(|e| self.objects.failed(prefix.unwrap_or(&root), e))?;
        let mut names = Vec::new();
        for directory in listed.common_prefixes {
            names.extend(directory.filename().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}

/// The place.
impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.objects.place)
    }
}

pub(crate) fn release_path(name: &str, version: &Version) -> Result<Path> {
    object_path(name, version, RELEASE)
}

/// An object in the directory of a release. The name is checked: it could be `..` otherwise.
pub(crate) fn object_path(name: &str, version: &Version, file: &str) -> Result<Path> {
    check_name(name)?;
    Ok(Path::from_iter([name, &version.to_string(), file]))
}

pub(crate) fn blob_path(digest: &Digest) -> Path {
    Path::from_iter([BLOBS, "sha256", &digest.hex()])
}
