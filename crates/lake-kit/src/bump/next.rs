//! Which version comes next.

use lake_registry::{Level, required_bump};
use semver::{BuildMetadata, Prerelease, Version};

/// The level that somebody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    For(Level),
}

/// What the next version depends on.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) tagged: Vec<&'a Version>,
    /// All versions that the registry has, yanked ones included.
    pub(super) published: &'a [Version],
    /// What `Cargo.toml` says.
    pub(super) written: &'a Version,
    pub(super) asked: Asked,
    /// What the changes since a published release are together.
    pub(super) needs: Option<&'a (Level, Version)>,
}

/// The next version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) previous: Option<Version>,
    pub(super) version: Version,
    pub(super) level: Option<Level>,
    pub(super) why: Vec<String>,
}

/// Chooses the next version.
///
/// It follows the highest one that is tagged or published, as [`required_bump`] says for the level
/// that was asked for or that the changes need, whichever is more. A pre-release of a higher one
/// says which that is, and so does `Cargo.toml` where it was edited by hand. Without any before it,
/// it is what `Cargo.toml` says.
pub(super) fn next(known: &Known<'_>) -> Next {
    let all = || known.tagged.iter().copied().chain(known.published);
    let previous = all().filter(|version| version.pre.is_empty()).max();
    let mut written = known.written.clone();
    written.build = BuildMetadata::EMPTY;
    let mut why = Vec::new();
    let Some(previous) = previous else {
        why.push(format!(
            "it is the first release, and Cargo.toml says {written}"
        ));
        let version = after_pre_releases(all().max(), written, &mut why);
        return Next {
            previous: None,
            version,
            level: None,
            why,
        };
    };
    if !known.tagged.contains(&previous) {
        why.push(format!("{previous} is published, and has no tag"));
    }
    let mut level = match known.asked {
        Asked::Nothing => {
            why.push("minor, as nothing else is asked for".to_owned());
            Level::Minor
        }
        Asked::For(level) => {
            why.push(format!("{level} is asked for"));
            level
        }
    };
    let mut version = required_bump(level, previous);
    if let Some((needed, since)) = known.needs {
        let least = required_bump(*needed, since);
        let is = match least > version {
            true => "which is more",
            false => "which that allows for",
        };
        why.push(format!("the changes since {since} are {needed}, {is}"));
        if least > version {
            (level, version) = (level.max(*needed), least);
        }
    }
    version = after_pre_releases(all().max(), version, &mut why);
    if written > version {
        why.push(format!("Cargo.toml says {written}"));
        level = level.max(reached(previous, &written));
        version = written;
    } else if written > *previous && written < version && written.pre.is_empty() {
        why.push(format!("Cargo.toml says {written}, which is too little"));
    }
    Next {
        previous: Some(previous.clone()),
        version,
        level: Some(level),
        why,
    }
}

/// No version comes before a pre-release that is there already.
fn after_pre_releases(
    highest: Option<&Version>,
    version: Version,
    why: &mut Vec<String>,
) -> Version {
    match highest {
        Some(highest) if *highest >= version && !highest.pre.is_empty() => {
            why.push(format!("{highest} is there already"));
            Version {
                pre: Prerelease::EMPTY,
                build: BuildMetadata::EMPTY,
                ..highest.clone()
            }
        }
        _ => version,
    }
}

/// What a version may bring.
fn reached(previous: &Version, version: &Version) -> Level {
    let levels = [Level::Major, Level::Minor].into_iter();
    let mut reached = levels.filter(|level| *version >= required_bump(*level, previous));
    reached.next().unwrap_or(Level::Patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next version and its level, of what is tagged, what `Cargo.toml` says, what is asked for
    /// and what the changes since a release need.
    #[track_caller]
    fn check(
        (tagged, written): (&[&str], &str),
        asked: Option<Level>,
        needs: Option<(Level, &str)>,
        expected: (&str, Option<Level>),
    ) -> Vec<String> {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let tagged: Vec<Version> = tagged.iter().map(|text| version(text)).collect();
        let needs = needs.map(|(level, since)| (level, version(since)));
        let next = next(&Known {
            tagged: tagged.iter().collect(),
            published: &[],
            written: &version(written),
            asked: asked.map_or(Asked::Nothing, Asked::For),
            needs: needs.as_ref(),
        });
        assert_eq!((next.version.to_string().as_str(), next.level), expected);
        next.why
    }

    use Level::{Major, Minor, Patch};

    #[test]
    fn the_first_version_is_that_of_the_manifest() {
        check((&[], "0.3.0"), None, None, ("0.3.0", None));
        check((&["0.3.0-rc.1"], "0.3.0"), None, None, ("0.3.0", None));
        check((&["0.3.0-rc.1"], "0.3.0-rc.1"), None, None, ("0.3.0", None));
    }

    #[test]
    fn the_highest_tag_counts_and_minor_is_what_nobody_has_to_ask_for() {
        let tags: &[&str] = &["1.9.0", "1.10.0", "1.2.0"];
        check((tags, "1.10.0"), None, None, ("1.11.0", Some(Minor)));
        check((tags, "1.10.0"), Some(Patch), None, ("1.10.1", Some(Patch)));
        check((tags, "1.10.0"), Some(Major), None, ("2.0.0", Some(Major)));
        // As in Cargo: before 1.0.0, what breaks nothing is the last number.
        check((&["0.3.1"], "0.3.1"), None, None, ("0.3.2", Some(Minor)));
        check(
            (&["0.3.1"], "0.3.1"),
            Some(Major),
            None,
            ("0.4.0", Some(Major)),
        );
    }

    #[test]
    fn what_the_changes_need_wins_over_a_smaller_level_and_says_so() {
        let tags = (&["1.0.0"][..], "1.0.0");
        let needs = Some((Major, "1.0.0"));
        let why = check(tags, Some(Patch), needs, ("2.0.0", Some(Major)));
        assert_eq!(why[0], "patch is asked for");
        assert_eq!(why[1], "the changes since 1.0.0 are major, which is more");
        check(
            tags,
            Some(Major),
            Some((Patch, "1.0.0")),
            ("2.0.0", Some(Major)),
        );
        // The breaking version was tagged, and yanked: its number is enough for the next one too.
        let tags = (&["1.0.0", "2.0.0"][..], "2.0.0");
        check(tags, None, needs, ("2.1.0", Some(Minor)));
    }

    #[test]
    fn a_version_that_was_edited_by_hand_is_taken_where_it_is_enough() {
        check((&["1.0.0"], "3.0.0"), None, None, ("3.0.0", Some(Major)));
        check((&["1.0.0"], "1.1.0"), None, None, ("1.1.0", Some(Minor)));
        let why = check((&["1.0.0"], "1.0.1"), None, None, ("1.1.0", Some(Minor)));
        assert!(why.contains(&"Cargo.toml says 1.0.1, which is too little".to_owned()));
        check(
            (&["1.0.0"], "2.0.0-rc.1"),
            None,
            None,
            ("2.0.0-rc.1", Some(Minor)),
        );
        check(
            (&["1.0.0"], "2.0.0+build"),
            None,
            None,
            ("2.0.0", Some(Major)),
        );
    }

    #[test]
    fn a_pre_release_says_which_version_it_is_of() {
        let tags: &[&str] = &["1.0.0", "1.1.0-rc.2"];
        check((tags, "1.1.0-rc.2"), None, None, ("1.1.0", Some(Minor)));
        check(
            (tags, "1.1.0-rc.2"),
            Some(Patch),
            None,
            ("1.1.0", Some(Patch)),
        );
        check(
            (tags, "1.1.0-rc.2"),
            Some(Major),
            None,
            ("2.0.0", Some(Major)),
        );
    }

    #[test]
    fn what_is_published_counts_as_what_is_tagged() {
        let published = ["1.4.0".parse().unwrap()];
        let tagged: Version = "1.2.0".parse().unwrap();
        let next = next(&Known {
            tagged: vec![&tagged],
            published: &published,
            written: &tagged,
            asked: Asked::Nothing,
            needs: None,
        });
        assert_eq!(next.version, Version::new(1, 5, 0));
        assert_eq!(next.why[0], "1.4.0 is published, and has no tag");
    }
}
