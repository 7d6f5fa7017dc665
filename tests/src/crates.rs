//! Transforms that a test writes for itself.

use std::fs;
use std::path::Path;

use crate::{Lake, target, workspace};

/// A pipeline whose transform is built where all transforms of these tests are,
/// so that what they depend on is compiled once.
pub fn building(name: &str, version: &str, directory: &Path) -> Lake {
    let shared = target().join("lake-tests/target");
    Lake::with_transform(name, version, directory)
        .variable("CARGO_TARGET_DIR", shared.to_str().unwrap())
}

/// Writes a crate that is no member of any workspace. What is there and the same
/// is left alone, so that cargo sees no change.
pub fn make_crate(directory: &Path, name: &str, source: &str) {
    write_crate(directory, [name, "1.0.0", ""], source);
}

/// As [`make_crate`], in a version. Its library has a name of its own: libraries of one name would
/// replace each other where they are built.
pub fn make_version(directory: &Path, name: &str, version: &str, library: &str, source: &str) {
    let library = format!("name = \"{library}\"\n");
    write_crate(directory, [name, version, &library], source);
}

fn write_crate(directory: &Path, [name, version, library]: [&str; 3], source: &str) {
    let workspace = workspace();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n\n\
         [lib]\n{library}crate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlake-plugin = {{ path = {:?} }}\n\n\
         [profile.dev]\ndebug = false\n\n\
         [workspace]\n",
        workspace.join("crates/lake-plugin")
    );
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap();
    fs::create_dir_all(directory.join("src")).unwrap();
    for (file, content) in [("Cargo.toml", manifest.as_str()), ("src/lib.rs", source)] {
        let path = directory.join(file);
        if fs::read_to_string(&path).ok().as_deref() != Some(content) {
            fs::write(path, content).unwrap();
        }
    }
    // The versions that the workspace uses, which have been downloaded for it.
    let path = directory.join("Cargo.lock");
    if !path.is_file() {
        fs::write(path, lock).unwrap();
    }
}
