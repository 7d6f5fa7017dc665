//! The version in `Cargo.toml` and in `Cargo.lock`, edited in place.

use std::collections::BTreeSet;

use semver::Version;
use toml::{Table, Value};

/// The manifest with another version, and otherwise as its author wrote it.
///
/// # Errors
/// Why it cannot be written there.
pub(super) fn with_version(text: &str, version: &Version) -> Result<String, String> {
    let mut expected: Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let package = expected.get_mut("package").and_then(Value::as_table_mut);
    match package.and_then(|package| package.get_mut("version")) {
        Some(Value::String(written)) => *written = version.to_string(),
        Some(Value::Table(_)) => {
            return Err(
                "its version is that of its workspace, and a transform has one of its own: write \
                 `version = \"…\"` in its [package]"
                    .to_owned(),
            );
        }
        _ => return Err("it has no version: write `version = \"…\"` in its [package]".to_owned()),
    }
    let mut is_package = false;
    let mut is_done = false;
    let mut edited = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        if start.starts_with('[') {
            is_package = start.trim_end().starts_with("[package]");
        }
        let other = match is_package && !is_done {
            true => other_value(line, version),
            false => None,
        };
        is_done |= other.is_some();
        edited.push_str(other.as_deref().unwrap_or(line));
    }
    // A line can look like the version and be the middle of a text.
    match edited.parse::<Table>() {
        Ok(found) if found == expected => Ok(edited),
        _ => Err(format!(
            "the place of its version cannot be told: write it as a line `version = \"{version}\"` \
             below [package]"
        )),
    }
}

/// The line `version = "…"` with another version.
fn other_value(line: &str, version: &Version) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    if key.trim() != "version" {
        return None;
    }
    let space = value.len() - value.trim_start().len();
    let (space, value) = value.split_at(space);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (_, rest) = value.get(1..)?.split_once(quote)?;
    Some(format!("{key}={space}{quote}{version}{quote}{rest}"))
}

/// The lock with another version of a crate that is built from a directory; `None` where it does
/// not have the crate.
pub(super) fn lock_with_version(text: &str, name: &str, version: &Version) -> Option<String> {
    const BORDER: &str = "[[package]]\n";
    let own = format!("name = \"{name}\"");
    let is_own = |part: &str| {
        let mut lines = part.lines();
        lines.any(|line| line == own) && !part.lines().any(|line| line.starts_with("source = "))
    };
    let part = text.split(BORDER).skip(1).find(|part| is_own(part))?;
    let line = part.lines().find(|line| line.starts_with("version = "))?;
    let old = line.strip_prefix("version = \"")?.strip_suffix('"')?;
    let other = part.replacen(line, &format!("version = \"{version}\""), 1);
    let text = text.replacen(&format!("{BORDER}{part}"), &format!("{BORDER}{other}"), 1);
    // Where there are several crates of the name, dependencies say which one.
    Some(text.replace(
        &format!("\"{name} {old}\""),
        &format!("\"{name} {version}\""),
    ))
}

/// What a lock says of crates from elsewhere, as name, version and checksum. Versions of crates of
/// the repository itself change with every release of any of them.
pub(super) fn dependencies(lock: &str) -> BTreeSet<String> {
    let lock: Table = lock.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(Value::as_array);
    let packages = packages.into_iter().flatten();
    let foreign = packages.filter(|package| package.get("source").is_some());
    foreign.map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "# Ours.\n[workspace]\n\n[package]\nname = \"meters\"\n\
        version  = '1.0.0' # the released one\nedition = \"2024\"\n\n\
        [dependencies]\narrow = { version = \"59\" }\nversion = \"1\"\n";

    #[test]
    fn only_the_version_of_the_package_changes() {
        let edited = with_version(MANIFEST, &Version::new(1, 1, 0)).unwrap();
        let expected = MANIFEST.replace("'1.0.0' #", "'1.1.0' #");
        assert_eq!(edited, expected);
    }

    #[test]
    fn a_version_that_has_no_place_of_its_own_is_refused() {
        for (text, expected) in [
            (
                "[package]\nname = \"m\"\nversion.workspace = true\n",
                "that of its workspace",
            ),
            (
                "[package]\nname = \"m\"\nversion = { workspace = true }\n",
                "that of its workspace",
            ),
            ("[package]\nname = \"m\"\n", "no version"),
            (
                "package = { name = \"m\", version = \"1.0.0\" }\n",
                "cannot be told",
            ),
            (
                "[package]\ndescription = '''\nversion = \"0.1.0\"\n'''\nversion = \"1.0.0\"\n",
                "cannot be told",
            ),
        ] {
            let refused = with_version(text, &Version::new(1, 1, 0)).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    const LOCK: &str = "version = 4\n\n\
        [[package]]\nname = \"meters\"\nversion = \"0.9.0\"\nsource = \"registry+https://x\"\n\n\
        [[package]]\nname = \"meters\"\nversion = \"1.0.0\"\ndependencies = [\n \"arrow\",\n]\n\n\
        [[package]]\nname = \"other\"\nversion = \"1.0.0\"\ndependencies = [\n \"meters 1.0.0\",\n]\n";

    #[test]
    fn the_lock_names_the_version_of_the_crate_of_this_repository() {
        let edited = lock_with_version(LOCK, "meters", &Version::new(1, 1, 0)).unwrap();
        let expected = LOCK
            .replace(
                "\"1.0.0\"\ndependencies = [\n \"arrow",
                "\"1.1.0\"\ndependencies = [\n \"arrow",
            )
            .replace("meters 1.0.0", "meters 1.1.0");
        assert_eq!(edited, expected);
        let none = lock_with_version(LOCK, "absent", &Version::new(1, 1, 0));
        assert_eq!(none, None);
    }

    #[test]
    fn a_release_of_another_crate_is_no_change_of_dependencies() {
        let other = LOCK.replace(
            "\"other\"\nversion = \"1.0.0\"",
            "\"other\"\nversion = \"1.1.0\"",
        );
        assert_eq!(dependencies(LOCK), dependencies(&other));
        let newer = LOCK.replace("0.9.0", "0.9.1");
        assert_ne!(dependencies(LOCK), dependencies(&newer));
    }
}
