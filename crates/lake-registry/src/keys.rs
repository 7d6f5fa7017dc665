//! Keys: the private one of a publisher, the public ones that a host trusts.

use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer, VerifyingKey};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::files;

const NO_PRIVATE_KEY: &str = "holds no Ed25519 private key in PEM \
     (`-----BEGIN PRIVATE KEY-----`); `lake plugin key` makes one";

/// The private key that a release is signed with: Ed25519, in a PKCS#8 PEM file as
/// `openssl genpkey -algorithm ed25519` writes it.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
}

/// The public half of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
}

/// What a key is called where its 32 bytes would be too long: the SHA-256 of them, in hex.
///
/// It displays in full; `{:#}` gives the first sixteen digits, which is what people compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl SigningKey {
    /// A new key made of 32 bytes, which have to come from the operating system's source of
    /// randomness: they are the key.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self {
            key: ed25519_dalek::SigningKey::from_bytes(&random),
        }
    }

    /// The key in a PKCS#8 PEM file.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::File`] where it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::in_pem(&text).ok_or_else(|| Error::file(path, None, format!("it {NO_PRIVATE_KEY}")))
    }

    /// The key in a PKCS#8 PEM text.
    ///
    /// # Errors
    /// [`Error::Key`], which says nothing of what the text is instead.
    pub fn parse(text: &str) -> Result<Self> {
        Self::in_pem(text).ok_or_else(|| Error::Key(format!("the text {NO_PRIVATE_KEY}")))
    }

    fn in_pem(text: &str) -> Option<Self> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(text.trim()).ok()?;
        Some(Self { key })
    }

    /// Writes the key to a file that only its owner may read and that must not exist yet.
    ///
    /// # Errors
    /// [`Error::Io`], also where there is such a file.
    pub fn write_new(&self, path: &Path) -> Result<()> {
        let pem = self.to_pem()?;
        files::write_new(path, pem.as_bytes(), 0o600).map_err(|e| Error::io(path, e))
    }

    /// The key as a PKCS#8 PEM text.
    fn to_pem(&self) -> Result<impl AsRef<[u8]> + use<> + std::ops::Deref<Target = String>> {
        // Without the public half, which older versions of OpenSSL do not read.
        let bytes = KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        bytes
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| Error::Key(e.to_string()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey {
            key: self.key.verifying_key(),
        }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.public().id())
            .finish()
    }
}

impl PublicKey {
    /// The key in a text: PEM, base64 of its 32 bytes, or base64 of its DER.
    ///
    /// # Errors
    /// [`Error::Key`] where it is none of them, and where it is a key that signs anything.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.contains("PRIVATE KEY-----") {
            let what = "this is a private key, which nobody but its owner may have: make a new \
                        one, and put the public one here (`openssl pkey -pubout`)";
            return Err(Error::Key(what.to_owned()));
        }
        let key = if text.starts_with("-----BEGIN") {
            VerifyingKey::from_public_key_pem(text).ok()
        } else {
            let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
            match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(raw) => VerifyingKey::from_bytes(&raw).ok(),
                Err(_) => VerifyingKey::from_public_key_der(&bytes).ok(),
            }
        };
        let what = "this is no Ed25519 public key; one is PEM (`-----BEGIN PUBLIC KEY-----`), or \
                    base64 of its 32 bytes";
        let key = key.ok_or_else(|| Error::Key(what.to_owned()))?;
        if key.is_weak() {
            let what = "this key accepts signatures that nobody made; use another";
            return Err(Error::Key(what.to_owned()));
        }
        Ok(Self { key })
    }

    /// What the key is called.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(self.key.as_bytes()).hex())
    }

    /// The key as one line of base64, to be put into a file of trusted keys.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.key.as_bytes())
    }

    /// The key as PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`Error::Key`] where the library cannot write it.
    pub fn to_pem(&self) -> Result<String> {
        let pem = self.key.to_public_key_pem(LineEnding::LF);
        pem.map_err(|e| Error::Key(e.to_string()))
    }

    /// Whether this key made the signature. Strict: of the several definitions of Ed25519 in use,
    /// the one that accepts the least, so that all hosts agree.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(bytes, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id()).finish()
    }
}

impl KeyId {
    /// What an envelope says. Nobody has checked it.
    pub(crate) fn claimed(keyid: &str) -> Self {
        // Whatever stands there ends up in messages, on terminals.
        let plain = keyid.chars().filter(char::is_ascii_alphanumeric);
        Self(plain.take(64).collect())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { 16 } else { self.0.len() };
        f.write_str(self.0.get(..shown).unwrap_or(&self.0))
    }
}
