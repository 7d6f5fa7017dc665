//! The SDK that this binary carries: the sources of `lake-plugin`, for crates outside of this
//! repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{KitError, Result};

/// The files of `lake-plugin`: name and content.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Where it is in the crate of a transform.
const DIRECTORY: &str = "lake-plugin";

const README: &str = concat!(
    "# lake-plugin\n\nThe SDK of lake ",
    env!("CARGO_PKG_VERSION"),
    ": what a transform is written with. `lake plugin sdk` wrote this directory, and replaces\n\
     it with that of another lake: run it with the new `lake`, and leave the files here as they are. What the\n\
     SDK offers is in `src/lib.rs`, or `cargo doc -p lake-plugin --open`; what crosses the boundary to lake, in\n\
     `include/lake_plugin.h`.\n"
);

/// Writes the SDK into the crate of a transform: all of it, and nothing else stays in its
/// directory. Files that are as they should be are not touched, so that cargo builds nothing
/// again. Gives the files that changed, relative to the crate.
///
/// # Errors
/// [`KitError::Usage`] where there is no crate, or its directory `lake-plugin` is something else.
pub fn write_sdk(crate_directory: &Path) -> Result<Vec<PathBuf>> {
    if !crate_directory.join("Cargo.toml").is_file() {
        return Err(KitError::usage(format!(
            "there is no crate at {}; name the directory of a transform, or make one with \
             lake plugin new NAME",
            crate_directory.display()
        )));
    }
    let directory = crate_directory.join(DIRECTORY);
    refuse_foreign(&directory)?;
    let mut changed = Vec::new();
    let mut ours = BTreeSet::new();
    for (file, content) in SDK.iter().chain([&("README.md", README)]) {
        let path = directory.join(file);
        if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(KitError::io(parent))?;
            }
            fs::write(&path, content).map_err(KitError::io(&path))?;
            changed.push(Path::new(DIRECTORY).join(file));
        }
        ours.insert(path);
    }
    for part in ["src", "include"] {
        remove_others(&directory.join(part), &ours, crate_directory, &mut changed)?;
    }
    changed.sort();
    Ok(changed)
}

/// What is not the SDK is somebody's work.
fn refuse_foreign(directory: &Path) -> Result<()> {
    let is_empty = || fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    if fs::symlink_metadata(directory).is_err() || is_empty() {
        return Ok(());
    }
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
    let package = manifest.parse::<toml::Table>().ok();
    let name = package
        .as_ref()
        .and_then(|manifest| manifest.get("package")?.get("name")?.as_str());
    if name == Some("lake-plugin") {
        return Ok(());
    }
    Err(KitError::usage(format!(
        "{} is not the SDK of a lake; nothing was written: move it away",
        directory.display()
    )))
}

fn remove_others(
    directory: &Path,
    ours: &BTreeSet<PathBuf>,
    crate_directory: &Path,
    removed: &mut Vec<PathBuf>,
) -> Result<()> {
    let failed = || KitError::io(directory);
    for entry in fs::read_dir(directory).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.is_dir() {
            remove_others(&path, ours, crate_directory, removed)?;
        } else if !ours.contains(&path) {
            fs::remove_file(&path).map_err(KitError::io(&path))?;
            let shown = path.strip_prefix(crate_directory).unwrap_or(&path);
            removed.push(shown.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_crate() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("Cargo.toml"), "").unwrap();
        directory
    }

    #[test]
    fn the_sdk_stands_for_itself() {
        let manifest = SDK
            .iter()
            .find(|(file, _)| *file == "Cargo.toml")
            .unwrap()
            .1;
        let manifest: toml::Table = manifest.parse().unwrap();
        assert!(!manifest.contains_key("lints") && !manifest.contains_key("dev-dependencies"));
        let sections = ["package", "dependencies"].map(|section| &manifest[section]);
        for (name, value) in sections.iter().flat_map(|s| s.as_table().unwrap()) {
            assert!(value.get("workspace").is_none(), "{name}");
            assert!(value.get("path").is_none(), "{name}");
        }
        assert_eq!(
            manifest["dependencies"]["libloading"]["optional"],
            true.into()
        );
        assert!(SDK.iter().any(|(file, _)| *file == "include/lake_plugin.h"));
        assert!(SDK.iter().any(|(file, _)| *file == "src/export/tests.rs"));
    }

    #[test]
    fn an_older_sdk_is_replaced_and_the_same_one_left_alone() {
        let directory = in_a_crate();
        let written = write_sdk(directory.path()).unwrap();
        assert_eq!(written.len(), SDK.len() + 1);
        assert_eq!(write_sdk(directory.path()).unwrap(), Vec::<PathBuf>::new());

        let sdk = directory.path().join(DIRECTORY);
        fs::write(sdk.join("src/gone.rs"), "").unwrap();
        fs::write(sdk.join("src/lib.rs"), "// older\n").unwrap();
        let changed = write_sdk(directory.path()).unwrap();
        let expected = ["lake-plugin/src/gone.rs", "lake-plugin/src/lib.rs"];
        assert_eq!(changed, expected.map(PathBuf::from));
        assert!(!sdk.join("src/gone.rs").exists());
    }

    #[test]
    fn a_directory_that_is_not_the_sdk_is_left_alone() {
        let directory = in_a_crate();
        let sdk = directory.path().join(DIRECTORY);
        fs::create_dir(&sdk).unwrap();
        fs::write(sdk.join("notes.txt"), "mine").unwrap();
        let message = write_sdk(directory.path()).unwrap_err().to_string();
        assert!(message.contains("is not the SDK"), "{message}");
        assert_eq!(fs::read_dir(&sdk).unwrap().count(), 1);
    }

    #[test]
    fn without_a_crate_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let message = write_sdk(directory.path()).unwrap_err().to_string();
        assert!(message.contains("there is no crate"), "{message}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
