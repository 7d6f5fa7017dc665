//! Choosing a release: which one a run takes, and why.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};

use crate::digest::Digest;
use crate::lock::LockEntry;
use crate::registry::ReleaseSummary;

/// A release that could be chosen.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The version.
    pub version: Version,
    /// The digest of the release file; `None` where it cannot be read.
    pub release: Option<Digest>,
    /// The libraries, by target triple.
    pub targets: BTreeMap<String, Digest>,
    /// Whether it is hidden from new choices, and the reason if there is one.
    pub yanked: Option<Option<String>>,
    /// The versions of lake that may run it.
    pub requires_host: Option<VersionReq>,
    /// Why it cannot be used at all: it is not signed by a trusted key, or is broken.
    pub unusable: Option<String>,
}

impl From<&ReleaseSummary> for Candidate {
    fn from(summary: &ReleaseSummary) -> Self {
        let verified = summary.standing.verified();
        let release = verified.map(|verified| verified.release());
        let artifacts = release.map(|release| release.artifacts.iter());
        Self {
            version: summary.version.clone(),
            release: verified.map(|verified| verified.digest()),
            targets: artifacts
                .into_iter()
                .flatten()
                .map(|(target, blob)| (target.clone(), blob.digest))
                .collect(),
            yanked: summary.yanked.as_ref().map(|yank| yank.reason.clone()),
            requires_host: release.and_then(|release| release.requires_host.clone()),
            unusable: summary.standing.problem().map(ToString::to_string),
        }
    }
}

/// What is to be chosen.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The transform.
    pub name: &'a str,
    /// The versions that the pipeline file allows.
    pub requirement: &'a VersionReq,
    /// The version that was asked for by name.
    pub request: Option<&'a Version>,
    /// What the lock says for this pipeline.
    pub lock: Option<&'a LockEntry>,
    /// Whether the lock has to say something.
    pub locked: bool,
    /// Digests of releases, or of libraries, that this pipeline must not use.
    pub blocked: &'a BTreeSet<Digest>,
    /// The version of this lake.
    pub host: &'a Version,
    /// The target triple of this lake.
    pub target: &'a str,
}

/// The release that is taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The version.
    pub version: Version,
    /// The digest of its release file.
    pub release: Digest,
    /// The digest of its library for the target.
    pub artifact: Digest,
    /// Which rule chose it.
    pub why: Why,
    /// What somebody should know although it can be used.
    pub warnings: Vec<Warning>,
    /// Newer releases within the requirement that were not taken, from the oldest to the newest,
    /// each with what stood in its way.
    pub passed_over: Vec<(Version, Obstacle)>,
}

/// Which rule chose a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was asked for by name and version.
    Requested,
    /// The lock pins it.
    Locked,
    /// It is the newest within this requirement.
    Newest(VersionReq),
    /// It is the newest within this requirement below the one that the lock pins.
    NewestBelow(VersionReq, Version),
}

/// What somebody should know about the release that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It is yanked, perhaps with a reason.
    Yanked(Version, Option<String>),
    /// It was asked for, and the pipeline file would not allow it.
    OutsideRequirement(Version, VersionReq),
    /// It was asked for, and the lock pins another version.
    NotAsLocked(Version, Version),
    /// The lock pins this version, which is blocked, so another is used.
    LockedIsBlocked(Version),
}

/// What stands in the way of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is not within the requirement.
    Outside(VersionReq),
    /// It is a pre-release, and the requirement does not name one of its version.
    PreRelease,
    /// It is not signed by a trusted key, or is broken.
    Unusable(String),
    /// It is yanked, perhaps with a reason.
    Yanked(Option<String>),
    /// This pipeline must not use it, since somebody rolled back from it.
    Blocked,
    /// It needs another lake.
    Host(VersionReq, Version),
    /// It was not built for this target.
    Target(String),
    /// It is not older than the one that the lock pins and that is blocked.
    NotOlder(Version),
}

/// Why no release can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoChoice {
    /// The registry has no release of the transform.
    NoReleases(String),
    /// A lock is required, and does not name the pipeline.
    NotLocked(String),
    /// The lock names another transform.
    OtherTransform {
        /// What the lock says.
        locked: String,
        /// What the pipeline file says.
        wanted: String,
    },
    /// The version that is pinned or was asked for is not there.
    NoSuchVersion {
        /// The transform.
        name: String,
        /// The version.
        version: Version,
        /// Who named it: "the lock pins" or "was asked for".
        by: Named,
        /// Those that are there.
        available: Vec<Version>,
    },
    /// The version that is pinned or was asked for cannot be used.
    Unfit {
        /// The transform.
        name: String,
        /// The version.
        version: Version,
        /// Who named it.
        by: Named,
        /// What stands in its way.
        obstacle: Obstacle,
    },
    /// The registry has something else under the version that the lock pins.
    LockDiffers {
        /// The transform.
        name: String,
        /// The version.
        version: Version,
        /// What differs: the release, or the library for a target.
        thing: String,
        /// The digest in the lock, where it has one.
        locked: Option<Digest>,
        /// The digest in the registry, where it has one.
        found: Option<Digest>,
    },
    /// No release is left.
    NoneFits {
        /// The transform.
        name: String,
        /// The versions that the pipeline file allows.
        requirement: VersionReq,
        /// Each release, from the newest to the oldest, with what stands in its way.
        candidates: Vec<(Version, Obstacle)>,
    },
}

/// Who named a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The lock.
    Lock,
    /// Whoever started the run.
    Request,
}

/// Chooses a release. The order of the candidates does not matter.
///
/// In this order:
///
/// 1. *What was asked for by name and version* is taken. It must be there, suit host and target,
///    and not be blocked. That it is yanked, outside of the requirement, or not what the lock says
///    is a warning.
/// 2. *What the lock pins* is taken. It must be what the registry has, digest by digest, and fit
///    the requirement. That it is yanked is a warning. One that is blocked gives way to the newest
///    older release that rule 3 would take, with a warning: somebody has rolled back from it.
/// 3. *The newest within the requirement* is taken that is neither yanked nor blocked and suits
///    host and target. Pre-releases count where the requirement names one of the same version, as
///    in Cargo.
///
/// # Errors
/// [`NoChoice`], with what stood in the way of each candidate.
pub fn choose(question: &Question<'_>, candidates: &[Candidate]) -> Result<Choice, Box<NoChoice>> {
    if question.locked && question.lock.is_none() {
        return Err(Box::new(NoChoice::NotLocked(question.name.to_owned())));
    }
    if let Some(lock) = question.lock.filter(|lock| lock.transform != question.name) {
        return Err(Box::new(NoChoice::OtherTransform {
            locked: lock.transform.clone(),
            wanted: question.name.to_owned(),
        }));
    }
    match (question.request, question.lock) {
        (Some(version), _) => question.requested(version, candidates),
        (None, Some(lock)) => question.pinned(lock, candidates),
        (None, None) => question.newest(candidates, None),
    }
}

impl Question<'_> {
    fn requested(
        &self,
        version: &Version,
        candidates: &[Candidate],
    ) -> Result<Choice, Box<NoChoice>> {
        let found = self.find(version, Named::Request, candidates)?;
        let mut warnings = yank_warning(found);
        if !self.requirement.matches(version) {
            let requirement = self.requirement.clone();
            warnings.push(Warning::OutsideRequirement(version.clone(), requirement));
        }
        match self.lock {
            Some(lock) if lock.version == *version => self.compare_with_lock(lock, found)?,
            Some(lock) => {
                let locked = lock.version.clone();
                warnings.push(Warning::NotAsLocked(version.clone(), locked));
            }
            None => {}
        }
        let obstacle = self.is_unusable(found).or_else(|| self.is_unfit(found));
        self.take(found, Named::Request, obstacle, Why::Requested, warnings)
    }

    fn pinned(&self, lock: &LockEntry, candidates: &[Candidate]) -> Result<Choice, Box<NoChoice>> {
        let mut digests = lock.targets.values().chain([&lock.release]);
        if digests.any(|digest| self.blocked.contains(digest)) {
            let mut choice = self.newest(candidates, Some(&lock.version))?;
            let warning = Warning::LockedIsBlocked(lock.version.clone());
            choice.warnings.insert(0, warning);
            return Ok(choice);
        }
        let found = self.find(&lock.version, Named::Lock, candidates)?;
        // A broken release is told as that, and not as one with another digest.
        if found.unusable.is_none() {
            self.compare_with_lock(lock, found)?;
        }
        let obstacle = self.is_unusable(found).or_else(|| self.is_outside(found));
        let obstacle = obstacle.or_else(|| self.is_unfit(found));
        self.take(
            found,
            Named::Lock,
            obstacle,
            Why::Locked,
            yank_warning(found),
        )
    }

    /// The newest that nothing stands in the way of, and below a version if there is one.
    fn newest(
        &self,
        candidates: &[Candidate],
        below: Option<&Version>,
    ) -> Result<Choice, Box<NoChoice>> {
        if candidates.is_empty() {
            return Err(Box::new(NoChoice::NoReleases(self.name.to_owned())));
        }
        let mut sorted: Vec<&Candidate> = candidates.iter().collect();
        sorted.sort_by(|one, other| other.version.cmp(&one.version));
        let mut passed_over = Vec::new();
        for candidate in sorted {
            let obstacle = match self.obstacle(candidate, below) {
                Ok((release, artifact)) => {
                    passed_over.retain(|(_, obstacle)| is_worth_telling(obstacle));
                    passed_over.reverse();
                    let requirement = self.requirement.clone();
                    return Ok(Choice {
                        version: candidate.version.clone(),
                        release,
                        artifact,
                        why: match below {
                            None => Why::Newest(requirement),
                            Some(below) => Why::NewestBelow(requirement, below.clone()),
                        },
                        warnings: Vec::new(),
                        passed_over,
                    });
                }
                Err(obstacle) => obstacle,
            };
            passed_over.push((candidate.version.clone(), obstacle));
        }
        Err(Box::new(NoChoice::NoneFits {
            name: self.name.to_owned(),
            requirement: self.requirement.clone(),
            candidates: passed_over,
        }))
    }

    /// What stands in the way of taking a release anew, or else its digests.
    fn obstacle(
        &self,
        candidate: &Candidate,
        below: Option<&Version>,
    ) -> Result<(Digest, Digest), Obstacle> {
        let not_older = || {
            let below = below.filter(|below| candidate.version >= **below)?;
            Some(Obstacle::NotOlder(below.clone()))
        };
        let yanked = || candidate.yanked.clone().map(Obstacle::Yanked);
        let obstacle = self
            .is_outside(candidate)
            .or_else(not_older)
            .or_else(|| self.is_unusable(candidate))
            .or_else(yanked)
            .or_else(|| self.is_unfit(candidate));
        match obstacle {
            Some(obstacle) => Err(obstacle),
            None => self.digests(candidate),
        }
    }

    fn digests(&self, candidate: &Candidate) -> Result<(Digest, Digest), Obstacle> {
        let unreadable = || Obstacle::Unusable("its release file cannot be read".to_owned());
        let release = candidate.release.ok_or_else(unreadable)?;
        let artifact = candidate.targets.get(self.target).copied();
        let artifact = artifact.ok_or_else(|| Obstacle::Target(self.target.to_owned()))?;
        Ok((release, artifact))
    }

    fn find<'a>(
        &self,
        version: &Version,
        by: Named,
        candidates: &'a [Candidate],
    ) -> Result<&'a Candidate, Box<NoChoice>> {
        let mut all = candidates.iter();
        all.find(|candidate| candidate.version == *version)
            .ok_or_else(|| {
                let mut available: Vec<Version> =
                    candidates.iter().map(|c| c.version.clone()).collect();
                available.sort();
                Box::new(NoChoice::NoSuchVersion {
                    name: self.name.to_owned(),
                    version: version.clone(),
                    by,
                    available,
                })
            })
    }

    fn take(
        &self,
        found: &Candidate,
        by: Named,
        obstacle: Option<Obstacle>,
        why: Why,
        warnings: Vec<Warning>,
    ) -> Result<Choice, Box<NoChoice>> {
        let digests = match obstacle {
            Some(obstacle) => Err(obstacle),
            None => self.digests(found),
        };
        let (release, artifact) = digests.map_err(|obstacle| {
            Box::new(NoChoice::Unfit {
                name: self.name.to_owned(),
                version: found.version.clone(),
                by,
                obstacle,
            })
        })?;
        Ok(Choice {
            version: found.version.clone(),
            release,
            artifact,
            why,
            warnings,
            passed_over: Vec::new(),
        })
    }

    /// A lock names bytes, and under one version there are always the same.
    fn compare_with_lock(&self, lock: &LockEntry, found: &Candidate) -> Result<(), Box<NoChoice>> {
        let differs = |thing: String, locked: Option<Digest>, found: Option<Digest>| {
            let (name, version) = (self.name.to_owned(), lock.version.clone());
            Err(Box::new(NoChoice::LockDiffers {
                name,
                version,
                thing,
                locked,
                found,
            }))
        };
        if found.release != Some(lock.release) {
            return differs("the release".to_owned(), Some(lock.release), found.release);
        }
        let targets: BTreeSet<&String> = lock.targets.keys().chain(found.targets.keys()).collect();
        for target in targets {
            let locked = lock.targets.get(target).copied();
            let found = found.targets.get(target).copied();
            if locked != found {
                return differs(format!("the library for {target}"), locked, found);
            }
        }
        Ok(())
    }

    fn is_outside(&self, candidate: &Candidate) -> Option<Obstacle> {
        let version = &candidate.version;
        if self.requirement.matches(version) {
            return None;
        }
        let plain = Version::new(version.major, version.minor, version.patch);
        Some(
            if !version.pre.is_empty() && self.requirement.matches(&plain) {
                Obstacle::PreRelease
            } else {
                Obstacle::Outside(self.requirement.clone())
            },
        )
    }

    fn is_unusable(&self, candidate: &Candidate) -> Option<Obstacle> {
        candidate.unusable.clone().map(Obstacle::Unusable)
    }

    /// What stands in the way of a release that nobody doubts.
    fn is_unfit(&self, candidate: &Candidate) -> Option<Obstacle> {
        if self.is_blocked(candidate) {
            return Some(Obstacle::Blocked);
        }
        let needs = candidate.requires_host.as_ref();
        if let Some(needs) = needs.filter(|needs| !needs.matches(self.host)) {
            return Some(Obstacle::Host(needs.clone(), self.host.clone()));
        }
        let has_target = candidate.targets.contains_key(self.target);
        (!has_target).then(|| Obstacle::Target(self.target.to_owned()))
    }

    fn is_blocked(&self, candidate: &Candidate) -> bool {
        let mut digests = candidate.release.iter().chain(candidate.targets.values());
        digests.any(|digest| self.blocked.contains(digest))
    }
}

/// That a release is not within the requirement, or is newer than the blocked one, explains
/// nothing about the one that was taken.
fn is_worth_telling(obstacle: &Obstacle) -> bool {
    !matches!(
        obstacle,
        Obstacle::Outside(_) | Obstacle::PreRelease | Obstacle::NotOlder(_)
    )
}

fn yank_warning(candidate: &Candidate) -> Vec<Warning> {
    let yanked = candidate.yanked.clone();
    let warning = yanked.map(|reason| Warning::Yanked(candidate.version.clone(), reason));
    warning.into_iter().collect()
}
