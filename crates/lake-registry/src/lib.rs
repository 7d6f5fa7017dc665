//! Releases of transforms: publish, verify, choose, lock, and say what has changed.
//!
//! A transform is native code that runs in the process of its host. So a host loads nothing but
//! bytes that somebody it trusts has signed, of the very release that it means, and everybody can
//! say which release that is and why. This page is the specification of the formats; the types say
//! the rest.
//!
//! # The registry
//!
//! A registry is a prefix of an object store: a directory, a bucket. There is no server.
//!
//! ```text
//! blobs/sha256/<64 hex digits>        bytes, by their digest: libraries, interfaces, bills of materials
//! <name>/<version>/release.json       a release
//! <name>/<version>/yanked.json        there while the release is yanked
//! ```
//!
//! A name is as in Cargo: a letter, then letters, digits, `-` and `_`; at most 64 characters, and
//! not `blobs`. A version is as in Semantic Versioning 2.0.0, without build metadata: two versions
//! that differ only there are equally new, and neither could be the newest.
//!
//! Blobs and `release.json` are put where absent and never change. `release.json` is put last, and
//! that put makes the release: before it nobody sees anything, and a publisher who is killed leaves
//! blobs that nobody names. Publishing again is always safe. Whether a put has landed is decided by
//! what is there, and not by what the store answered.
//!
//! # The release file
//!
//! A [DSSE](https://github.com/secure-systems-lab/dsse) envelope in JSON (protocol 1.0.0), read
//! strictly: no field that DSSE does not have, none twice, one to sixteen signatures.
//!
//! ```json
//! { "payloadType": "application/vnd.lake.release+json",
//!   "payload": "<base64>",
//!   "signatures": [ { "keyid": "<hex>", "sig": "<base64 of 64 bytes>" } ] }
//! ```
//!
//! A signature is Ed25519 (RFC 8032, checked strictly) over the pre-authentication encoding of type
//! and payload. `keyid` is the SHA-256 of the 32 bytes of the public key, in hex; it is a hint for
//! messages and decides nothing. The payload is the JSON of [`Release`]; the bytes that were signed
//! are the bytes that are read, and it is never written anew to be checked. Unknown fields in it are
//! skipped; a payload of a higher `format` is refused.
//!
//! What people call *the digest of a release* is the SHA-256 of the bytes of its `release.json`. It
//! pins everything, as the payload names each blob by digest and size.
//!
//! # What is believed
//!
//! [`Registry::open`] gives a [`Verified`] release only where
//!
//! - the payload says the name and version of the path it lies at, and that was asked for: an old
//!   release under a new version, or another transform's, is refused;
//! - at least one signature is by a [trusted key](TrustedKeys) that is not revoked, may sign this
//!   transform, and was valid when the release says it was published;
//! - its digest is the pinned one, where a lock pins it.
//!
//! Only with it does [`Registry::fetch`] give bytes, all of them checked by size and digest.
//! [`private_copy`] puts them where nobody else can change them before the loader reads them.
//!
//! **What the validity of a key protects against, and what not.** The time of publication is the
//! publisher's word, signed with the very key. So `valid_until` lets a team move on to another key
//! while everything it has published stays good. It does not stop a thief: whoever has the private
//! key can sign with an old date. For a key that was stolen, set `revoked`; then nothing that it
//! signed counts, whenever that was, and what is still wanted has to be published again, under a new
//! version. Rotation is two keys in the file: the old one with `valid_until`, the new one with
//! `valid_from`.
//!
//! **What nothing here protects against.** Whoever can write to the store can delete a release, so
//! that hosts without a lock take an older one; a lock makes that an error. They can yank and unyank:
//! a yank is advice, and not signed, since they could as well delete it. And what a trusted key signs
//! is native code that can do anything its host can.
//!
//! # Choosing
//!
//! [`choose`] is a function over what [`Registry::list`] found: what was asked for, else what the
//! [`Lock`] pins, else the newest within the requirement. Its answer and its errors say why.
//!
//! # What has changed
//!
//! [`compare`] names each difference between two [`Interface`]s and whether it is major, minor or a
//! patch, and [`check_bump`] holds a version against them.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use lake_registry::{NewRelease, Published, Registry, SigningKey, TrustedKeys};
//! use object_store::memory::InMemory;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new(Arc::new(InMemory::new()), "memory");
//! let key = SigningKey::from_random([7; 32]); // from the operating system, elsewhere
//! let release = NewRelease {
//!     name: "utility".to_owned(),
//!     version: "1.2.0".parse()?,
//!     published_by: None,
//!     lake: "0.2.0".parse()?,
//!     requires_host: Some(">=0.2".parse()?),
//!     boundary: 1,
//!     artifacts: [("x86_64-unknown-linux-gnu".to_owned(), "a library".into())].into(),
//!     interface: Default::default(),
//!     sbom: "{}".into(),
//!     licences: Vec::new(),
//!     source_commit: None,
//!     notes: None,
//! };
//! let published = registry.publish(&release, &key, "2026-03-01T12:00:00Z".parse()?).await?;
//! assert!(matches!(published, Published::Now { .. }));
//!
//! let file = format!("[[key]]\nname = \"us\"\npublic = \"{}\"", key.public().to_base64());
//! let trusted = TrustedKeys::parse(&file, "trusted.toml".as_ref())?;
//! let verified = registry.open("utility", &release.version, None, &trusted).await?;
//! let library = registry.fetch(&verified, "x86_64-unknown-linux-gnu").await?;
//! assert_eq!(library, "a library");
//! # Ok(())
//! # }
//! # futures::executor::block_on(example()).unwrap();
//! ```

mod bump;
mod choose;
mod compare;
mod digest;
mod envelope;
mod error;
mod explain;
mod files;
mod interface;
mod keys;
mod lock;
mod name;
mod private_copy;
mod publish;
mod registry;
mod release;
mod source;
mod store;
mod trusted;
mod yank;

pub use bump::{WrongBump, check_bump, previous, required_bump, required_level};
pub use choose::{Candidate, Choice, Named, NoChoice, Obstacle, Question, Warning, Why, choose};
pub use compare::{Change, Level, compare};
pub use digest::{Digest, NoDigest};
pub use error::{BadSignature, Error, Result};
pub use interface::{Interface, TableColumn};
pub use keys::{KeyId, PublicKey, SigningKey};
pub use lock::{Lock, LockEntry};
pub use private_copy::{cached_copy, private_copy};
pub use publish::{NewRelease, Published, Taken};
pub use registry::{Listing, Registry, ReleaseSummary, Standing};
pub use release::{Blob, Licence, Release, Signer, Verified};
pub use trusted::{Revoked, TrustedKey, TrustedKeys};
pub use yank::{Yank, Yanked};
