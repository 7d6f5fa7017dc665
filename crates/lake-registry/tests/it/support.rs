//! A registry in memory, a release to put into it, and envelopes that no publisher would write.

use std::collections::BTreeMap;
use std::path::Path as FsPath;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ed25519_dalek::Signer;
use futures::TryStreamExt;
use lake_plugin::Declaration;
use lake_registry::{
    Digest, Interface, Licence, NewRelease, Published, Registry, Result, SigningKey, TableColumn,
    TrustedKeys, Verified,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use semver::Version;
use serde_json::{Value, json};

pub(crate) const LINUX: &str = "x86_64-unknown-linux-gnu";
pub(crate) const MAC: &str = "aarch64-apple-darwin";
pub(crate) const TYPE: &str = "application/vnd.lake.release+json";

/// A registry, and the key that its publisher has.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) registry: Registry,
    pub(crate) key: SigningKey,
    pub(crate) trusted: TrustedKeys,
}

pub(crate) fn place() -> Place {
    place_in(Arc::new(InMemory::new()))
}

pub(crate) fn place_in(store: Arc<dyn ObjectStore>) -> Place {
    Place {
        registry: Registry::new(Arc::clone(&store), "registry"),
        store,
        key: key(1),
        trusted: trusting(&[1]),
    }
}

impl Place {
    /// A place with some releases of `utility`.
    pub(crate) async fn with(versions: &[&str]) -> Self {
        let place = place();
        for version in versions {
            place.publish(&release(version)).await;
        }
        place
    }

    pub(crate) async fn publish(&self, release: &NewRelease) {
        let published = self.registry.publish(release, &self.key, noon()).await;
        assert!(matches!(published.unwrap(), Published::Now { .. }));
    }

    pub(crate) async fn open(&self, version: &str) -> Result<Verified> {
        self.open_with(version, &self.trusted).await
    }

    pub(crate) async fn open_with(&self, version: &str, trusted: &TrustedKeys) -> Result<Verified> {
        let version = v(version);
        self.registry.open("utility", &version, None, trusted).await
    }

    pub(crate) async fn open_pinned(&self, version: &str, pinned: &Digest) -> Result<Verified> {
        let version = v(version);
        let (registry, trusted) = (&self.registry, &self.trusted);
        registry
            .open("utility", &version, Some(pinned), trusted)
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Bytes {
        let found = self.store.get(&Path::from(path)).await.unwrap();
        found.bytes().await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        let bytes: Bytes = bytes.into();
        self.store
            .put(&Path::from(path), bytes.into())
            .await
            .unwrap();
    }

    /// Puts a release file for `utility` that is signed as `signers` say.
    pub(crate) async fn put_signed(&self, version: &str, payload: &Value, signers: &[u8]) {
        let body = envelope(TYPE, payload.to_string().as_bytes(), signers);
        self.put(&release_json(version), body.to_string()).await;
    }

    /// The payload of a published release.
    pub(crate) async fn payload(&self, version: &str) -> Value {
        let envelope: Value =
            serde_json::from_slice(&self.get(&release_json(version)).await).unwrap();
        let payload = BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap());
        serde_json::from_slice(&payload.unwrap()).unwrap()
    }

    /// Every object, by its path.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .store
            .list(None)
            .map_ok(|meta| meta.location.to_string())
            .try_collect()
            .await
            .unwrap();
        paths.sort();
        paths
    }

    /// The versions of `utility` that are to be seen, all of which are complete.
    pub(crate) async fn visible(&self) -> Vec<String> {
        let listing = self.registry.list(None, &self.trusted).await.unwrap();
        let mut versions = Vec::new();
        for release in listing.releases {
            let verified = release.standing.verified().expect("a good release");
            self.registry.verify(verified).await.unwrap();
            versions.push(release.version.to_string());
        }
        versions
    }
}

/// A DSSE envelope, written here a second time so that the two can be held against each other.
pub(crate) fn envelope(payload_type: &str, payload: &[u8], signers: &[u8]) -> Value {
    let mut signed = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    signed.extend_from_slice(payload);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|signer| {
            let signature = ed25519_dalek::SigningKey::from_bytes(&[*signer; 32]).sign(&signed);
            json!({
                "keyid": key(*signer).public().id().to_string(),
                "sig": BASE64_STANDARD.encode(signature.to_bytes()),
            })
        })
        .collect();
    json!({
        "payload": BASE64_STANDARD.encode(payload),
        "payloadType": payload_type,
        "signatures": signatures,
    })
}

/// A key that is made of one number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_random([number; 32])
}

/// Trusted keys, each named `key <number>`.
pub(crate) fn trusting(numbers: &[u8]) -> TrustedKeys {
    let keys: Vec<(u8, &str)> = numbers.iter().map(|number| (*number, "")).collect();
    trusting_with(&keys)
}

/// Trusted keys with more lines.
pub(crate) fn trusting_with(keys: &[(u8, &str)]) -> TrustedKeys {
    let entry = |(number, more): &(u8, &str)| {
        let public = key(*number).public().to_base64();
        format!("[[key]]\nname = \"key {number}\"\npublic = \"{public}\"\n{more}\n")
    };
    let text: String = keys.iter().map(entry).collect();
    TrustedKeys::parse(&text, FsPath::new("trusted.toml")).unwrap()
}

pub(crate) fn release(version: &str) -> NewRelease {
    let declaration = Declaration {
        name: Some("utility".to_owned()),
        version: Some(version.to_owned()),
        sdk: "lake-plugin 0.1.0".to_owned(),
        ..Declaration::default()
    };
    let columns = vec![TableColumn::new("meter_id", "text")];
    let tables = BTreeMap::from([("standard/readings".to_owned(), columns)]);
    NewRelease {
        name: "utility".to_owned(),
        version: v(version),
        published_by: Some("ada".to_owned()),
        lake: v("0.2.0"),
        requires_host: Some(">=0.2".parse().unwrap()),
        boundary: 1,
        artifacts: BTreeMap::from([
            (LINUX.to_owned(), format!("linux {version}").into()),
            (MAC.to_owned(), format!("mac {version}").into()),
        ]),
        interface: Interface::new(declaration, tables),
        sbom: Bytes::from_static(b"{\"bomFormat\": \"CycloneDX\"}"),
        licences: vec![Licence {
            expression: "MIT OR Apache-2.0".to_owned(),
            crates: vec!["serde 1.0.0".to_owned()],
        }],
        source_commit: Some("0123abc".to_owned()),
        notes: None,
    }
}

pub(crate) fn release_json(version: &str) -> String {
    format!("utility/{version}/release.json")
}

pub(crate) fn v(version: &str) -> Version {
    version.parse().unwrap()
}

pub(crate) fn noon() -> DateTime<Utc> {
    at("2026-03-01T12:00:00Z")
}

pub(crate) fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}
