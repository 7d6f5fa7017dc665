//! Names and versions that a release can have.

use semver::Version;

use crate::error::{Error, Result};

/// Where blobs are, and therefore no transform.
pub(crate) const BLOBS: &str = "blobs";

const MOST_CHARACTERS: usize = 64;

/// A name is a directory in every store, so it is as plain as a crate's.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let is_plain = characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && name.len() <= MOST_CHARACTERS;
    let what = if !is_plain {
        format!(
            "a transform cannot be called {name:?}: a name is a letter and then letters, digits, \
             - and _, at most {MOST_CHARACTERS} in all"
        )
    } else if name == BLOBS {
        format!("a transform cannot be called {BLOBS:?}: that is where a registry keeps its blobs")
    } else {
        return Ok(());
    };
    Err(Error::Refused { what })
}

/// Semver says that versions which differ in build metadata only are equally new. Of two such
/// releases none would be the newest, so there are none.
pub(crate) fn check_version(version: &Version) -> Result<()> {
    if version.build.is_empty() {
        return Ok(());
    }
    let mut plain = version.clone();
    plain.build = semver::BuildMetadata::EMPTY;
    Err(Error::Refused {
        what: format!(
            "{version} cannot be published: build metadata (+{}) does not make one version newer \
             than another; publish {plain}, and name the commit in the release",
            version.build
        ),
    })
}
