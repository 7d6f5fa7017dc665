//! Tags `<name>-v<version>`, as a remote lists them.

use semver::Version;

/// A tag that names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) version: Version,
    /// The tag itself, or the commit where the tag is nothing but a name.
    pub(super) object: String,
    pub(super) commit: String,
}

impl Tag {
    pub(super) fn new(name: &str, version: Version, commit: &str) -> Self {
        Self {
            name: name.to_owned(),
            version,
            object: commit.to_owned(),
            commit: commit.to_owned(),
        }
    }
}

/// How the tags of a transform begin.
pub(super) fn prefix(name: &str) -> String {
    format!("{name}-v")
}

/// The tag of a version.
pub(super) fn name(name: &str, version: &Version) -> String {
    format!("{}{version}", prefix(name))
}

/// The version that a tag names, if it names one of this transform.
pub(super) fn version(tag: &str, name: &str) -> Option<Version> {
    tag.strip_prefix(&prefix(name))?.parse().ok()
}

/// What `git ls-remote --tags` says of a transform's versions. Tags that name none are left out.
/// Of an annotated tag there are two lines, the tag and then its commit, as `<tag>^{}`.
pub(super) fn parse(listed: &str, name: &str) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for line in listed.lines() {
        let Some((object, reference)) = line.split_once('\t') else {
            continue;
        };
        let Some(tag) = reference.strip_prefix("refs/tags/") else {
            continue;
        };
        if let Some(tag) = tag.strip_suffix("^{}") {
            if let Some(known) = tags.iter_mut().find(|known| known.name == tag) {
                object.clone_into(&mut known.commit);
            }
        } else if let Some(version) = version(tag, name) {
            tags.push(Tag::new(tag, version, object));
        }
    }
    tags
}

/// The highest version that is no pre-release: pre-releases promise nothing.
pub(super) fn latest(tags: &[Tag]) -> Option<&Tag> {
    let released = tags.iter().filter(|tag| tag.version.pre.is_empty());
    released.max_by(|one, other| one.version.cmp(&other.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_that_name_a_version_of_the_transform_count() {
        let listed = "aa\trefs/tags/meter-v1.10.0\n\
                      ab\trefs/tags/meter-v1.10.0^{}\n\
                      ba\trefs/tags/meter-v1.9.0\n\
                      ca\trefs/tags/meter-v2\n\
                      da\trefs/tags/meter-vnext\n\
                      ea\trefs/tags/meter-v2-v3.0.0\n\
                      fa\trefs/tags/meter-v2.0.0-rc.1\n";
        let tags = parse(listed, "meter");
        let found: Vec<String> = tags.iter().map(|tag| tag.version.to_string()).collect();
        assert_eq!(found, ["1.10.0", "1.9.0", "2.0.0-rc.1"]);
        let latest = latest(&tags).unwrap();
        assert_eq!(
            (latest.object.as_str(), latest.commit.as_str()),
            ("aa", "ab")
        );
        assert_eq!(parse(listed, "meter-v2")[0].name, "meter-v2-v3.0.0");
    }
}
