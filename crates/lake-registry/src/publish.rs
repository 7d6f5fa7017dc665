//! Publishing: blobs first, and then one put that makes the release.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use object_store::path::Path;
use semver::{Version, VersionReq};
use serde_json::Value;

use crate::digest::Digest;
use crate::envelope;
use crate::error::{Error, Result, plain};
use crate::interface::Interface;
use crate::keys::{KeyId, SigningKey};
use crate::name::{check_name, check_version};
use crate::registry::{MOST_RELEASE, Registry, blob_path, release_path};
use crate::release::{Blob, Claimed, FORMAT, Licence, PAYLOAD_TYPE, Release};
use crate::store::Put;

/// What becomes a release.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The transform.
    pub name: String,
    /// The version, without build metadata.
    pub version: Version,
    /// Who publishes it, for people.
    pub published_by: Option<String>,
    /// The version of lake that it was tested with.
    pub lake: Version,
    /// The versions of lake that may run it; any where it says nothing.
    pub requires_host: Option<VersionReq>,
    /// The version of the boundary that the library speaks.
    pub boundary: u32,
    /// The libraries, by target triple.
    pub artifacts: BTreeMap<String, Bytes>,
    /// What the transform declares, and the columns of its tables.
    pub interface: Interface,
    /// The software bill of materials: CycloneDX in JSON.
    pub sbom: Bytes,
    /// The licences of everything that is linked in.
    pub licences: Vec<Licence>,
    /// The commit that it was built from.
    pub source_commit: Option<String>,
    /// What is new, in words.
    pub notes: Option<String>,
}

/// How publishing ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Published {
    /// The release is there now.
    Now {
        /// The digest of its release file.
        digest: Digest,
    },
    /// The same content was published before with the same key; nothing was changed.
    AlreadyThere {
        /// The digest of its release file.
        digest: Digest,
        /// When it was published.
        published_at: DateTime<Utc>,
    },
    /// The version is taken by something else, and stays so: a release never changes.
    Taken(Taken),
}

/// The release that has a version already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The digest of its release file.
    pub digest: Digest,
    /// When it was published, as it says.
    pub published_at: DateTime<Utc>,
    /// Who published it, as it says.
    pub published_by: Option<String>,
    /// The keys that it was signed with, as it says.
    pub keys: Vec<KeyId>,
    /// What differs: fields of the release, and `signatures` where it was not signed with the
    /// same key.
    pub differences: Vec<String>,
}

/// The fields that say when and by whom, and not what.
const OCCASION: [&str; 2] = ["published_at", "published_by"];

impl Registry {
    /// Publishes a release: signs it with `key`, as of `now`.
    ///
    /// The blobs come first and `release.json` last, where none is: before that put nobody sees
    /// anything, and after it the release is complete. So it can be called again after any error
    /// and after a crash, and of two publishers of one version one wins and the other is told.
    ///
    /// Whether the version fits the changes is not looked at here: see
    /// [`check_bump`](crate::check_bump).
    ///
    /// # Errors
    /// [`Error::Refused`] where the release cannot be published; [`Error::Spoilt`] where something
    /// else lies in the place of a blob or of the release; [`Error::Store`].
    pub async fn publish(
        &self,
        new: &NewRelease,
        key: &SigningKey,
        now: DateTime<Utc>,
    ) -> Result<Published> {
        check(new)?;
        let path = release_path(&new.name, &new.version)?;
        let mut blobs = Vec::new();
        let release = describe(new, now, &mut blobs)?;
        let body = sealed(&release, key)?;
        // A version that is taken is told before anything is uploaded.
        let before = self.objects.get(&path, MOST_RELEASE).await?;
        if let Some(before) = &before {
            let outcome = self.settle(&path, before, &release, key)?;
            if matches!(outcome, Published::Taken(_)) {
                return Ok(outcome);
            }
        }
        // Also where the release is there already: publishing again brings back blobs that were lost.
        for (blob, thing, bytes) in &blobs {
            self.put_blob(blob, thing, bytes).await?;
        }
        if let Some(before) = &before {
            return self.settle(&path, before, &release, key);
        }
        match self.objects.put_new(&path, &body, MOST_RELEASE).await? {
            Put::There => Ok(Published::Now {
                digest: Digest::of(&body),
            }),
            Put::Other(found) => self.settle(&path, &found, &release, key),
        }
    }

    async fn put_blob(&self, blob: &Blob, thing: &str, bytes: &Bytes) -> Result<()> {
        let path = blob_path(&blob.digest);
        match self.objects.put_new(&path, bytes, blob.size).await {
            Ok(Put::There) => Ok(()),
            Ok(Put::Other(_)) | Err(Error::TooLarge { .. }) => Err(Error::Spoilt {
                path: self.objects.shown(&path),
                what: format!("these are not the bytes of {thing}, although their digest says so"),
            }),
            Err(error) => Err(error),
        }
    }

    /// What a release that is there already means for one that is to be published.
    fn settle(
        &self,
        path: &Path,
        found: &Bytes,
        new: &Release,
        key: &SigningKey,
    ) -> Result<Published> {
        let shown = self.objects.shown(path);
        let found = Claimed::read(&shown, found, &new.name, &new.version);
        let found = found.map_err(spoilt)?;
        let mut differences = differences(&found.release, new)?;
        if !found.is_signed_by(&key.public()) {
            differences.push("signatures".to_owned());
        }
        let (digest, published_at) = (found.digest, found.release.published_at);
        if differences.is_empty() {
            return Ok(Published::AlreadyThere {
                digest,
                published_at,
            });
        }
        Ok(Published::Taken(Taken {
            digest,
            published_at,
            published_by: found.release.published_by.as_deref().map(plain),
            keys: found.claimed_keys(),
            differences,
        }))
    }
}

/// What has the version of a release and is none will never be one.
fn spoilt(error: Error) -> Error {
    match error {
        Error::Format { path, what } => Error::Spoilt { path, what },
        Error::Misplaced {
            path,
            expected,
            found,
        } => Error::Spoilt {
            path,
            what: format!("it is the release {found}, put in the place of {expected}"),
        },
        other => other,
    }
}

fn check(new: &NewRelease) -> Result<()> {
    check_name(&new.name)?;
    check_version(&new.version)?;
    let refuse = |what: String| Err(Error::Refused { what });
    if new.artifacts.is_empty() {
        let (name, version) = (&new.name, &new.version);
        return refuse(format!(
            "{name} {version} has no library; build it for one target at least"
        ));
    }
    let declared = &new.interface.declaration;
    if let Some(name) = declared.name.as_ref().filter(|name| **name != new.name) {
        let new = &new.name;
        return refuse(format!(
            "the library says that it is {name}, and is to be published as {new}"
        ));
    }
    let version = new.version.to_string();
    if let Some(declared) = declared.version.as_ref().filter(|v| **v != version) {
        return refuse(format!(
            "the library says that it is version {declared}, and is to be published as {version}; \
             build it again"
        ));
    }
    Ok(())
}

/// A blob, what it is to the release, and its bytes.
type Upload = (Blob, String, Bytes);

fn describe(new: &NewRelease, now: DateTime<Utc>, blobs: &mut Vec<Upload>) -> Result<Release> {
    let mut add = |thing: String, bytes: Bytes| {
        let blob = Blob {
            digest: Digest::of(&bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        };
        blobs.push((blob, thing, bytes));
        blob
    };
    let mut artifacts = BTreeMap::new();
    for (target, bytes) in &new.artifacts {
        let blob = add(format!("the library for {target}"), bytes.clone());
        artifacts.insert(target.clone(), blob);
    }
    Ok(Release {
        format: FORMAT,
        name: new.name.clone(),
        version: new.version.clone(),
        published_at: now.trunc_subsecs(0),
        published_by: new.published_by.clone(),
        lake: new.lake.clone(),
        requires_host: new.requires_host.clone(),
        sdk: new.interface.declaration.sdk.clone(),
        boundary: new.boundary,
        artifacts,
        interface: add("the interface".to_owned(), new.interface.to_json()?.into()),
        sbom: add("the bill of materials".to_owned(), new.sbom.clone()),
        licences: new.licences.clone(),
        source_commit: new.source_commit.clone(),
        notes: new.notes.clone(),
    })
}

fn sealed(release: &Release, key: &SigningKey) -> Result<Bytes> {
    let payload = serde_json::to_vec(release).map_err(|e| Error::Refused {
        what: format!("the release cannot be written as JSON: {e}"),
    })?;
    let body = envelope::seal(PAYLOAD_TYPE, &payload, key);
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
    if size > MOST_RELEASE {
        return Err(Error::Refused {
            what: format!(
                "the release file has {size} bytes, and may have {MOST_RELEASE}: shorten the notes"
            ),
        });
    }
    Ok(body.into())
}

/// The fields in which two releases differ, leaving aside when and by whom they were published.
fn differences(one: &Release, other: &Release) -> Result<Vec<String>> {
    let fields = |release: &Release| match serde_json::to_value(release) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::Refused {
            what: format!("{} {} cannot be compared", release.name, release.version),
        }),
    };
    let (one, other) = (fields(one)?, fields(other)?);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    Ok(names
        .into_iter()
        .filter(|name| !OCCASION.contains(&name.as_str()))
        .filter(|name| one.get(*name) != other.get(*name))
        .cloned()
        .collect())
}
