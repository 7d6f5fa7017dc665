//! The keys that a host or a pipeline trusts.

use std::fs;
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::source::Source;

/// Public keys, and what each may sign. No keys trust nothing.
///
/// ```toml
/// [[key]]
/// name = "meters team 2026"
/// public = "Mrq6Y7njhmuxMWjpp61fdTkilAu1po1LTyyTXd1tybk="   # or PEM in """ """
/// valid_from = 2026-01-01      # optional; both in UTC
/// valid_until = 2027-01-01     # optional; the first instant that is no longer covered
/// transforms = ["utility"]     # optional: all where it says nothing
/// revoked = "laptop was stolen"  # optional: a reason, or true
/// ```
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    keys: Vec<TrustedKey>,
}

/// One trusted key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrustedKey {
    /// What people call it.
    pub name: String,
    /// The key.
    pub public: PublicKey,
    /// Releases published before this do not count.
    pub valid_from: Option<DateTime<Utc>>,
    /// Releases published at this instant or later do not count.
    pub valid_until: Option<DateTime<Utc>>,
    /// Set where the key never counts.
    pub revoked: Option<Revoked>,
    /// The transforms that it may sign; all where it says nothing.
    pub transforms: Option<Vec<String>>,
}

/// That a key never counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Why, if somebody wrote it down.
    pub reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(default)]
    key: Vec<Spanned<WrittenKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    name: Spanned<String>,
    public: Spanned<String>,
    valid_from: Option<Spanned<Datetime>>,
    valid_until: Option<Spanned<Datetime>>,
    revoked: Option<WrittenRevoked>,
    transforms: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`revoked` is a reason in quotes, true or false")]
enum WrittenRevoked {
    Whether(bool),
    Because(String),
}

impl TrustedKeys {
    /// The keys of a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::File`] with line and key where it says
    /// something that cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&text, path)
    }

    /// The keys of a text that was read from `path`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let source = Source { text, path };
        let written: WrittenFile = toml::from_str(text).map_err(|e| source.syntax(&e))?;
        let mut keys: Vec<TrustedKey> = Vec::new();
        for written in written.key {
            let span = written.span();
            let key = read_key(written.into_inner(), &source)?;
            if let Some(same) = keys.iter().find(|k| k.name == key.name) {
                let what = format!(
                    "there are two keys named {:?}; give each its own",
                    same.name
                );
                return Err(source.fault(span, what));
            }
            // One of the two could be revoked, and the other not.
            if let Some(same) = keys.iter().find(|k| k.public == key.public) {
                let what = format!("{:?} and {:?} are the same key", same.name, key.name);
                return Err(source.fault(span, what));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// These keys and one more, which may sign everything: a publisher believes what they have
    /// signed themselves. A key that is there already stays as it is.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, public: PublicKey) -> Self {
        if self.keys.iter().all(|key| key.public != public) {
            self.keys.push(TrustedKey {
                name: name.into(),
                public,
                valid_from: None,
                valid_until: None,
                revoked: None,
                transforms: None,
            });
        }
        self
    }

    /// The keys, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }
}

fn read_key(written: WrittenKey, source: &Source<'_>) -> Result<TrustedKey> {
    let name = written.name.get_ref().trim().to_owned();
    if name.is_empty() {
        return Err(source.fault(written.name.span(), "a key needs a name, for messages"));
    }
    let of_key = |what: String| format!("key {name:?}: {what}");
    let public = PublicKey::parse(written.public.get_ref())
        .map_err(|e| source.fault(written.public.span(), of_key(e.to_string())))?;
    let time = |field: &str, written: Option<Spanned<Datetime>>| {
        let Some(written) = written else {
            return Ok(None);
        };
        let time = instant(written.get_ref()).ok_or_else(|| {
            let what =
                format!("{field} is a day or an instant, as 2027-01-01 or 2027-01-01T06:00:00Z");
            source.fault(written.span(), of_key(what))
        })?;
        Ok(Some((time, written.span())))
    };
    let from = time("valid_from", written.valid_from)?;
    let until = time("valid_until", written.valid_until)?;
    if let (Some((from, _)), Some((until, span))) = (&from, &until)
        && from >= until
    {
        let what = "valid_until is not after valid_from, so the key is never valid";
        return Err(source.fault(span.clone(), of_key(what.to_owned())));
    }
    if let Some(transforms) = &written.transforms
        && transforms.get_ref().is_empty()
    {
        let what = "transforms is empty, so the key may sign nothing; name some, or leave it out \
                    for all";
        return Err(source.fault(transforms.span(), of_key(what.to_owned())));
    }
    Ok(TrustedKey {
        name,
        public,
        valid_from: from.map(|(time, _)| time),
        valid_until: until.map(|(time, _)| time),
        revoked: match written.revoked {
            None | Some(WrittenRevoked::Whether(false)) => None,
            Some(WrittenRevoked::Whether(true)) => Some(Revoked { reason: None }),
            Some(WrittenRevoked::Because(reason)) => Some(Revoked {
                reason: Some(reason),
            }),
        },
        transforms: written.transforms.map(Spanned::into_inner),
    })
}

/// A day begins at midnight; without an offset it is UTC.
fn instant(written: &Datetime) -> Option<DateTime<Utc>> {
    let text = written.to_string();
    if written.offset.is_some() {
        let time = DateTime::parse_from_rfc3339(&text).ok()?;
        return Some(time.to_utc());
    }
    if written.time.is_some() {
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        return Some(time.and_utc());
    }
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}
