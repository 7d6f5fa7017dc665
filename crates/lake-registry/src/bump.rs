//! Whether a version says what a release changes.

use std::fmt;

use semver::{Prerelease, Version};

use crate::compare::{Change, Level};
use crate::registry::ReleaseSummary;

/// A version that promises more than its release keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongBump {
    /// The release that it was compared with.
    pub old: Version,
    /// The version that is too low.
    pub new: Version,
    /// What the changes are together.
    pub needs: Level,
    /// The smallest version that is right.
    pub smallest: Version,
    /// The changes that the version does not allow for, the gravest first.
    pub reasons: Vec<Change>,
}

impl std::error::Error for WrongBump {}

/// One line for what to do and one for each reason.
impl fmt::Display for WrongBump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            old,
            new,
            needs,
            smallest,
            reasons,
        } = self;
        write!(
            f,
            "{new} cannot follow {old}: the changes are {needs}, so the next version is {smallest}"
        )?;
        for reason in reasons {
            write!(f, "\n  {reason}")?;
        }
        Ok(())
    }
}

/// The release that a new version is compared with: the highest one below it that is not yanked
/// and can be read. Pre-releases are left out, as they promise nothing to those who come after.
///
/// It may be one that no trusted key has signed. Its interface cannot be read then, and whoever
/// publishes should say so and not take the version for the first one.
#[must_use]
pub fn previous<'a>(releases: &'a [ReleaseSummary], new: &Version) -> Option<&'a ReleaseSummary> {
    let mut before: Vec<&ReleaseSummary> = releases
        .iter()
        .filter(|release| release.version < *new && release.version.pre.is_empty())
        .filter(|release| release.yanked.is_none() && release.standing.release().is_some())
        .collect();
    before.sort_by(|one, other| one.version.cmp(&other.version));
    before.pop()
}

/// The gravest of the changes; a release without any is a patch.
#[must_use]
pub fn required_level(changes: &[Change]) -> Level {
    let levels = changes.iter().map(|change| change.level);
    levels.max().unwrap_or(Level::Patch)
}

/// The smallest version after `old` that may bring changes of a level.
///
/// As in Cargo, the leftmost number that is not zero is the one that breaks: after 0.3.1 comes
/// 0.4.0 for what is major and 0.3.2 for everything else, and after 0.0.3 comes 0.0.4 for anything.
#[must_use]
pub fn required_bump(level: Level, old: &Version) -> Version {
    let (major, minor, patch) = (old.major, old.minor, old.patch);
    match (level, major, minor) {
        // A pre-release is before the version that it is called after.
        (Level::Patch, ..) if !old.pre.is_empty() => Version::new(major, minor, patch),
        (_, 0, 0) => Version::new(0, 0, patch + 1),
        (Level::Major, 0, _) => Version::new(0, minor + 1, 0),
        (_, 0, _) => Version::new(0, minor, patch + 1),
        (Level::Major, ..) => Version::new(major + 1, 0, 0),
        (Level::Minor, ..) => Version::new(major, minor + 1, 0),
        (Level::Patch, ..) => Version::new(major, minor, patch + 1),
    }
}

/// Holds a version against the changes since `old`. A pre-release is held to what the version
/// that it is called after has to keep.
///
/// # Errors
/// [`WrongBump`] with all reasons.
pub fn check_bump(old: &Version, new: &Version, changes: &[Change]) -> Result<(), Box<WrongBump>> {
    let mut called_after = new.clone();
    called_after.pre = Prerelease::EMPTY;
    let allows = |level: Level| called_after >= required_bump(level, old);
    let needs = required_level(changes);
    if allows(needs) && new > old {
        return Ok(());
    }
    let reasons = changes.iter().filter(|change| !allows(change.level));
    Err(Box::new(WrongBump {
        old: old.clone(),
        new: new.clone(),
        needs,
        smallest: required_bump(needs, old),
        reasons: reasons.cloned().collect(),
    }))
}
