//! The commit that a crate was built from.

use std::process::Command;

use crate::manifest::Package;

/// What git says of a crate's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is exactly this commit.
    Commit(String),
    /// Files differ from the last commit.
    Changed,
    /// Nobody knows: there is no git, no repository, or no commit yet.
    Unknown,
}

impl Source {
    /// The state of the whole repository: a crate may be built from other directories of it too.
    pub(crate) fn of(package: &Package) -> Self {
        let Some(commit) = git(package, &["rev-parse", "--verify", "HEAD"]) else {
            return Self::Unknown;
        };
        match git(package, &["status", "--porcelain"]) {
            Some(changes) if changes.trim().is_empty() => Self::Commit(commit.trim().to_owned()),
            Some(_) => Self::Changed,
            None => Self::Unknown,
        }
    }
}

fn git(package: &Package, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    let output = git
        .arg("-C")
        .arg(&package.directory)
        .args(arguments)
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
