//! What a release says about itself, and the proof that somebody trusted said it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::error::{BadSignature, Error, Result, plain};
use crate::keys::{KeyId, PublicKey};
use crate::trusted::{TrustedKey, TrustedKeys};

/// What the payload of a release's envelope is.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.lake.release+json";

/// The newest form of the payload that this version reads, and the one that it writes.
pub(crate) const FORMAT: u32 = 1;

/// A release of a transform: the signed payload of its `release.json`.
///
/// Fields that this version does not know are skipped, as a newer publisher may have written
/// them; one that changes the meaning of the others comes with a higher `format`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Release {
    /// The form of this payload.
    pub format: u32,
    /// The transform.
    pub name: String,
    /// The version, without build metadata.
    pub version: Version,
    /// When its publisher says it was published.
    pub published_at: DateTime<Utc>,
    /// Who published it, as they call themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_by: Option<String>,
    /// The version of lake that it was tested with.
    pub lake: Version,
    /// The versions of lake that may run it; any where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_host: Option<VersionReq>,
    /// What the library was built with, as its declaration says it.
    pub sdk: String,
    /// The version of the boundary that the library speaks.
    pub boundary: u32,
    /// The libraries, by target triple.
    pub artifacts: BTreeMap<String, Blob>,
    /// What the transform declares and the columns of its tables: an
    /// [`Interface`](crate::Interface) in JSON.
    pub interface: Blob,
    /// The software bill of materials: CycloneDX in JSON.
    pub sbom: Blob,
    /// The licences of everything that is linked in.
    #[serde(default)]
    pub licences: Vec<Licence>,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// What is new, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// Some bytes that a release names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Their digest, which is also where they are.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// A licence, and what comes under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// An SPDX expression.
    pub expression: String,
    /// The crates, as `name version`.
    pub crates: Vec<String>,
}

/// A release whose signature and place have been checked. There is no other way to get one than
/// through a [`Registry`](crate::Registry), and no way to get at the bytes of a library without
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    release: Release,
    digest: Digest,
    signed_by: Vec<Signer>,
}

/// Whose signature counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// What the file of trusted keys calls the key.
    pub key: String,
    /// The key.
    pub id: KeyId,
}

impl Verified {
    /// What the release says.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The digest of its `release.json`, which pins everything that it names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whose signatures counted; at least one.
    #[must_use]
    pub fn signed_by(&self) -> &[Signer] {
        &self.signed_by
    }

    /// The digest of the library for a target.
    ///
    /// # Errors
    /// [`Error::Target`] where the release was not built for it.
    pub fn artifact(&self, target: &str) -> Result<Blob> {
        let artifacts = &self.release.artifacts;
        artifacts.get(target).copied().ok_or_else(|| Error::Target {
            release: self.to_string(),
            target: target.to_owned(),
            built: artifacts.keys().cloned().collect(),
        })
    }
}

/// The name and the version.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.release.name, self.release.version)
    }
}

/// A release file as it was read: it has the right form and lies in the right place, and who
/// wrote it is not known.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) release: Release,
    pub(crate) digest: Digest,
    envelope: Envelope,
}

impl Claimed {
    /// Reads a release file that was found at `path`, where `name` and `version` belong.
    pub(crate) fn read(path: &str, bytes: &[u8], name: &str, version: &Version) -> Result<Self> {
        let envelope = Envelope::parse(bytes).map_err(|what| Error::format(path, what))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            let found = &envelope.payload_type;
            let what = format!("its payload is {found:?} and not {PAYLOAD_TYPE:?}");
            return Err(Error::format(path, what));
        }
        let release = parse_payload(path, &envelope.payload)?;
        if release.name != name || release.version != *version {
            return Err(Error::Misplaced {
                path: path.to_owned(),
                expected: format!("{name} {version}"),
                found: plain(&format!("{} {}", release.name, release.version)),
            });
        }
        Ok(Self {
            release,
            digest: Digest::of(bytes),
            envelope,
        })
    }

    /// Whether a key has signed it.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let signed = self.envelope.signed_bytes();
        let mut signatures = self.envelope.signatures.iter();
        signatures.any(|signature| key.verifies(&signed, &signature.bytes))
    }

    /// The keys that it says it was signed with.
    pub(crate) fn claimed_keys(&self) -> Vec<KeyId> {
        let signatures = self.envelope.signatures.iter();
        signatures.map(|s| KeyId::claimed(&s.keyid)).collect()
    }

    /// Believes it where at least one signature is by a key that is trusted for it.
    pub(crate) fn verify(self, path: &str, trusted: &TrustedKeys) -> Result<Verified> {
        let signed = self.envelope.signed_bytes();
        let mut signed_by = Vec::new();
        let mut reasons = Vec::new();
        for signature in &self.envelope.signatures {
            // Every trusted key is tried: what the envelope says about the key decides nothing.
            let mut keys = trusted.keys().iter();
            match keys.find(|key| key.public.verifies(&signed, &signature.bytes)) {
                None => reasons.push(stranger(trusted, &signature.keyid)),
                Some(key) => match objection(key, &self.release) {
                    Some(reason) => reasons.push(reason),
                    None => signed_by.push(Signer {
                        key: key.name.clone(),
                        id: key.public.id(),
                    }),
                },
            }
        }
        if signed_by.is_empty() {
            return Err(Error::Signature {
                path: path.to_owned(),
                reasons,
            });
        }
        Ok(Verified {
            release: self.release,
            digest: self.digest,
            signed_by,
        })
    }
}

/// A newer format is named as that, and not as the field that it does without.
fn parse_payload(path: &str, payload: &[u8]) -> Result<Release> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let wrong =
        |e: serde_json::Error| Error::format(path, format!("its payload is no release: {e}"));
    let Format { format } = serde_json::from_slice(payload).map_err(wrong)?;
    if format > FORMAT {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            format,
            known: FORMAT,
        });
    }
    serde_json::from_slice(payload).map_err(wrong)
}

/// Why no trusted key fits a signature.
fn stranger(trusted: &TrustedKeys, keyid: &str) -> BadSignature {
    if trusted.keys().is_empty() {
        return BadSignature::NoKeys;
    }
    let keyid = KeyId::claimed(keyid);
    let mut keys = trusted.keys().iter();
    match keys.find(|key| key.public.id() == keyid) {
        Some(key) => BadSignature::DoesNotMatch {
            key: key.name.clone(),
        },
        None => BadSignature::Unknown { keyid },
    }
}

/// Why a true signature of a trusted key does not count for this release.
fn objection(key: &TrustedKey, release: &Release) -> Option<BadSignature> {
    let name = key.name.clone();
    if let Some(revoked) = &key.revoked {
        return Some(BadSignature::Revoked {
            key: name,
            reason: revoked.reason.clone(),
        });
    }
    if let Some(allowed) = &key.transforms
        && !allowed.contains(&release.name)
    {
        return Some(BadSignature::NotAllowed {
            key: name,
            name: release.name.clone(),
            allowed: allowed.clone(),
        });
    }
    let published = release.published_at;
    if let Some(from) = key.valid_from.filter(|from| published < *from) {
        return Some(BadSignature::TooEarly {
            key: name,
            from: instant(from),
            published: instant(published),
        });
    }
    let until = key.valid_until.filter(|until| published >= *until)?;
    Some(BadSignature::Expired {
        key: name,
        until: instant(until),
        published: instant(published),
    })
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
