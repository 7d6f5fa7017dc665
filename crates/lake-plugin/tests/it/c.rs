//! Compiling C against the header.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lake_plugin::{LoadError, Plugin};
use tempfile::TempDir;

/// Where the header is.
pub(crate) fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// Compiles C as strictly as the compiler can, with further arguments, and says where it is.
pub(crate) fn compile(directory: &Path, source: &str, arguments: &[&str]) -> PathBuf {
    let written = directory.join("source.c");
    let compiled = directory.join("compiled.so");
    fs::write(&written, source).unwrap();
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(include())
        .args(arguments)
        .arg(&written)
        .arg("-o")
        .arg(&compiled)
        .output()
        .expect("these tests need a C compiler that is called cc");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    compiled
}

/// A transform in C. A loaded library stays in the process, so its file may go.
pub(crate) fn load(source: &str, definitions: &[&str]) -> Result<Plugin, LoadError> {
    let directory = TempDir::new().unwrap();
    let arguments = [&["-shared", "-fPIC"], definitions].concat();
    Plugin::load(&compile(directory.path(), source, &arguments))
}
