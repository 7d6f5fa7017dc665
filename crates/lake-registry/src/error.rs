//! What can go wrong, always with where and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;

use crate::digest::Digest;
use crate::keys::KeyId;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something cannot be published, found, believed or read.
///
/// Paths of a registry begin with the place that [`Registry::new`](crate::Registry::new) was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. What is in the registry may be known again when it works.
    #[error("{path}: the store failed: {source}")]
    Store {
        /// The object or prefix.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// A file of this machine cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that people edit says something that cannot be.
    #[error("{}{}: {what}", path.display(), At(*line))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A text or file is no usable key.
    #[error("{0}")]
    Key(String),
    /// A name, a version or a release that cannot be.
    #[error("{what}")]
    Refused {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// There is no such release.
    #[error("{place} has no release {name} {version}; `lake plugin list` shows those it has")]
    NoRelease {
        /// The registry.
        place: String,
        /// The transform.
        name: String,
        /// The version that was asked for.
        version: Version,
    },
    /// An object is missing that a release names.
    #[error(
        "{path}: {thing} of {release} is missing; publish the same release again to have it back"
    )]
    Missing {
        /// The object.
        path: String,
        /// What it is to the release.
        thing: String,
        /// The release, as name and version.
        release: String,
    },
    /// The release was not built for this target.
    #[error("{release} has nothing for {target}: it was built for {}", built.join(", "))]
    Target {
        /// The release, as name and version.
        release: String,
        /// The target triple that was asked for.
        target: String,
        /// Those it was built for.
        built: Vec<String>,
    },
    /// An object does not have the form that it should have.
    #[error("{path}: {what}; it was not written by lake, or was changed since, and is not used")]
    Format {
        /// The object.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// An object was written by a newer lake in a way that this one does not know.
    #[error("{path}: its format is {format} and this lake reads {known}; use a newer lake")]
    NewerFormat {
        /// The object.
        path: String,
        /// The format it has.
        format: u32,
        /// The newest one that this version reads.
        known: u32,
    },
    /// No signature of a release is good.
    #[error(
        "{path}: not signed by a key that is trusted for it: {}",
        Reasons(reasons)
    )]
    Signature {
        /// The release file.
        path: String,
        /// Why each of its signatures does not count.
        reasons: Vec<BadSignature>,
    },
    /// A signed release lies where another one belongs.
    #[error("{path}: it is the release {found}, put in the place of {expected}, and is not used")]
    Misplaced {
        /// The release file.
        path: String,
        /// The release that belongs there, as name and version.
        expected: String,
        /// The one that it says it is.
        found: String,
    },
    /// Bytes are not those that were signed, published or locked.
    #[error(
        "{path}: {thing} should be {expected} and is {found}; it was changed since, and is not used"
    )]
    Changed {
        /// The object or file.
        path: String,
        /// What it is to the release.
        thing: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// An object is longer or shorter than its release says.
    #[error(
        "{path}: {thing} should have {expected} bytes and has {found}; it was changed since, and is not used"
    )]
    Size {
        /// The object.
        path: String,
        /// What it is to the release.
        thing: String,
        /// How many bytes it should have.
        expected: u64,
        /// How many it has.
        found: u64,
    },
    /// Something lies where a publisher has to put something else.
    #[error("{path}: {what}; nothing can use it, so remove it and publish again")]
    Spoilt {
        /// The object.
        path: String,
        /// What is there.
        what: String,
    },
    /// An object is so large that it is not even read.
    #[error("{path}: it has {found} bytes, and lake writes {most} at most; it is not read")]
    TooLarge {
        /// The object.
        path: String,
        /// How many bytes it may have.
        most: u64,
        /// How many it has.
        found: u64,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSignature {
    /// No key is trusted at all.
    #[error("no keys are trusted; name a file of trusted keys (LAKE_TRUSTED_KEYS)")]
    NoKeys,
    /// It says that it is by a key that is not trusted.
    #[error("key {keyid:#} is not among the trusted keys")]
    Unknown {
        /// What the envelope says about the key; nobody has checked it.
        keyid: KeyId,
    },
    /// It says that it is by a trusted key, and is not.
    #[error("the signature of {key} does not match: the release or the signature was changed")]
    DoesNotMatch {
        /// The name of the trusted key.
        key: String,
    },
    /// The key has been revoked.
    #[error("{key} is revoked{}", Because(reason.as_deref()))]
    Revoked {
        /// The name of the trusted key.
        key: String,
        /// Why, where the file of trusted keys says so.
        reason: Option<String>,
    },
    /// The key may sign other transforms only.
    #[error("{key} may not sign {name}, only {}", allowed.join(", "))]
    NotAllowed {
        /// The name of the trusted key.
        key: String,
        /// The transform.
        name: String,
        /// Those it may sign.
        allowed: Vec<String>,
    },
    /// The release was published before the key was valid.
    #[error("{key} is valid from {from} and the release was published {published}")]
    TooEarly {
        /// The name of the trusted key.
        key: String,
        /// When it became valid.
        from: String,
        /// When the release says it was published.
        published: String,
    },
    /// The release was published after the key had expired.
    #[error("{key} expired {until} and the release was published {published}")]
    Expired {
        /// The name of the trusted key.
        key: String,
        /// The first instant at which it is no longer valid.
        until: String,
        /// When the release says it was published.
        published: String,
    },
}

impl Error {
    pub(crate) fn store(path: &str, source: object_store::Error) -> Self {
        Self::Store {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn file(path: &Path, line: Option<usize>, what: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }

    pub(crate) fn format(path: &str, what: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            what: plain(&what.into()),
        }
    }

    /// Where an object should have had a number of bytes, having more is having the wrong number.
    pub(crate) fn of_exact_size(self, thing: &str) -> Self {
        match self {
            Self::TooLarge { path, most, found } => Self::Size {
                path,
                thing: thing.to_owned(),
                expected: most,
                found,
            },
            other => other,
        }
    }

    /// Whether this is about the release, so that others are still good, and not about reaching
    /// the registry, of which nothing is known then.
    pub(crate) fn is_of_release(&self) -> bool {
        !matches!(self, Self::Store { .. } | Self::Io { .. })
    }
}

/// A text of somebody unknown, for a terminal: without anything that would steer it.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// A reason in parentheses, if there is one.
pub(crate) struct Because<'a>(pub(crate) Option<&'a str>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

struct Reasons<'a>(&'a [BadSignature]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.0.iter().enumerate() {
            let before = if at == 0 { "" } else { "; " };
            write!(f, "{before}{reason}")?;
        }
        Ok(())
    }
}
