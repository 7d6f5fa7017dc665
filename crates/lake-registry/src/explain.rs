//! Why a release was chosen, or none could be, in words.

use std::fmt;

use semver::VersionReq;

use crate::choose::{Choice, Named, NoChoice, Obstacle, Warning, Why};
use crate::digest::Digest;
use crate::error::Because;

/// `1.2.0: newest within 1; 1.3.0 is yanked; 1.4.0 needs lake >=0.3`, without the warnings, which
/// are to stand out.
impl Choice {
    /// Why it is this version, and what stood in the way of newer ones.
    #[must_use]
    pub fn reason(&self) -> String {
        let why = match &self.why {
            Why::Requested => "asked for".to_owned(),
            Why::Locked => "pinned by lake.lock".to_owned(),
            Why::Newest(requirement) => format!("newest within {}", Req(requirement)),
            Why::NewestBelow(requirement, below) => {
                format!("newest within {} before {below}", Req(requirement))
            }
        };
        let passed_over = self.passed_over.iter();
        let passed_over = passed_over.map(|(version, obstacle)| format!("; {version} {obstacle}"));
        std::iter::once(why).chain(passed_over).collect()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.version, self.reason())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yanked(version, reason) => {
                write!(f, "{version} is yanked{}", Because(reason.as_deref()))
            }
            Self::OutsideRequirement(version, requirement) => {
                let requirement = Req(requirement);
                write!(
                    f,
                    "{version} is not within {requirement}, which the pipeline file says"
                )
            }
            Self::NotAsLocked(_, locked) => write!(f, "lake.lock pins {locked}"),
            Self::LockedIsBlocked(locked) => write!(
                f,
                "lake.lock pins {locked}, which is blocked since a rollback; run `lake plugin \
                 update` to pin another"
            ),
        }
    }
}

/// As it follows a version: `1.3.0 is yanked`.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(requirement) => write!(f, "is not within {}", Req(requirement)),
            Self::PreRelease => {
                f.write_str("is a pre-release, which the requirement does not name")
            }
            Self::Unusable(why) => write!(f, "cannot be used ({why})"),
            Self::Yanked(reason) => write!(f, "is yanked{}", Because(reason.as_deref())),
            Self::Blocked => f.write_str("is blocked since a rollback"),
            Self::Host(needs, _) => write!(f, "needs lake {}", Req(needs)),
            Self::Target(target) => write!(f, "was not built for {target}"),
            Self::NotOlder(pinned) => write!(f, "is not older than {pinned}"),
        }
    }
}

impl std::error::Error for NoChoice {}

impl fmt::Display for NoChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReleases(name) => write!(
                f,
                "the registry has no release of {name}; `lake plugin publish` makes one"
            ),
            Self::NotLocked(name) => write!(
                f,
                "--locked, and lake.lock has no entry for this pipeline, which uses {name}; run \
                 `lake plugin update`"
            ),
            Self::OtherTransform { locked, wanted } => write!(
                f,
                "lake.lock pins the transform {locked} and the pipeline file names {wanted}; run \
                 `lake plugin update`"
            ),
            Self::NoSuchVersion {
                name,
                version,
                by,
                available,
            } => {
                let available: Vec<String> = available.iter().map(ToString::to_string).collect();
                let has = match available.as_slice() {
                    [] => "none".to_owned(),
                    some => some.join(", "),
                };
                write!(
                    f,
                    "{name} {version}, which {by}, is not in the registry; it has {has}"
                )
            }
            Self::Unfit {
                name,
                version,
                by,
                obstacle,
            } => {
                write!(f, "{name} {version}, which {by}, {obstacle}")?;
                match (obstacle, by) {
                    (Obstacle::Host(_, host), _) => write!(f, "; this is lake {host}"),
                    (Obstacle::Outside(_) | Obstacle::PreRelease, Named::Lock) => {
                        f.write_str("; run `lake plugin update`")
                    }
                    (Obstacle::Blocked, Named::Request) => {
                        f.write_str("; --allow names a release that may be used again")
                    }
                    _ => Ok(()),
                }
            }
            Self::LockDiffers {
                name,
                version,
                thing,
                locked,
                found,
            } => {
                let shown = |digest: &Option<Digest>| match digest {
                    Some(digest) => digest.to_string(),
                    None => "nothing".to_owned(),
                };
                write!(
                    f,
                    "{name} {version}: {thing} is {} in lake.lock and {} in the registry; a \
                     release never changes, so one of them was tampered with: find out which \
                     before you run `lake plugin update`",
                    shown(locked),
                    shown(found)
                )
            }
            Self::NoneFits {
                name,
                requirement,
                candidates,
            } => {
                write!(
                    f,
                    "no release of {name} within {} can be used",
                    Req(requirement)
                )?;
                for (at, (version, obstacle)) in candidates.iter().enumerate() {
                    let before = if at == 0 { ':' } else { ';' };
                    write!(f, "{before} {version} {obstacle}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lake.lock pins",
            Self::Request => "was asked for",
        })
    }
}

/// A requirement as people write it: `1` and not `^1`, which is the same.
struct Req<'a>(&'a VersionReq);

impl fmt::Display for Req<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace('^', ""))
    }
}
