//! A new transform: a small one that does something real, to be changed into what is needed.

use std::fs;
use std::path::Path;

use crate::error::{KitError, Result};
use crate::{name, sdk};

/// The files of a new crate: name and content. What stands for the crate's name, and what would
/// mean something to cargo or git where the template lies, ends with `.template`.
const TEMPLATE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/template.rs"));

/// What stands for the name of the crate.
const NAME: &str = "{{name}}";

/// What stands for the version of Rust that the SDK needs.
const RUST_VERSION: &str = "{{rust_version}}";

/// Writes the crate of a new transform into `directory`, which may be there if it is empty.
///
/// # Errors
/// [`KitError::Usage`] for a name that cargo or a pipeline would refuse, and for a directory that
/// holds something; nothing is written then.
pub fn new_crate(name: &str, directory: &Path) -> Result<()> {
    name::check(name)?;
    refuse_occupied(directory)?;
    for (file, content) in TEMPLATE {
        let path = directory.join(file.strip_suffix(".template").unwrap_or(file));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(KitError::io(parent))?;
        }
        let content = content
            .replace(NAME, name)
            .replace(RUST_VERSION, env!("CARGO_PKG_RUST_VERSION"));
        fs::write(&path, content).map_err(KitError::io(&path))?;
    }
    sdk::write_sdk(directory)?;
    Ok(())
}

fn refuse_occupied(directory: &Path) -> Result<()> {
    let occupied = |what: &str| {
        Err(KitError::usage(format!(
            "{} {what}; nothing was written: choose another name, or another place with --path",
            directory.display()
        )))
    };
    match fs::read_dir(directory).map(|mut entries| entries.next()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => occupied("is not empty"),
        Err(_) if directory.is_dir() => occupied("cannot be read"),
        Err(_) if fs::symlink_metadata(directory).is_ok() => occupied("is not a directory"),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_crate_has_its_name_in_place_of_the_template_s() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deep/meter-data");
        new_crate("meter-data", &directory).unwrap();
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        for (file, _) in TEMPLATE {
            let text = read(file.strip_suffix(".template").unwrap_or(file));
            assert!(!text.contains("{{"), "{file}");
            assert!(!directory.join(format!("{file}.template")).exists());
        }
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"], "meter-data".into());
        assert!(read(".gitignore").contains("/target"));
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("notes.txt");
        fs::write(&file, "mine").unwrap();
        let message = new_crate("orders", parent.path()).unwrap_err().to_string();
        assert!(message.contains("is not empty"), "{message}");
        assert!(message.contains("--path"), "{message}");
        let message = new_crate("orders", &file).unwrap_err().to_string();
        assert!(message.contains("is not a directory"), "{message}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_directory_is_used() {
        let parent = tempfile::tempdir().unwrap();
        assert!(new_crate("orders", parent.path()).is_ok());
    }
}
