//! Puts the sources of the SDK and the template of a new transform into the binary, as lists of
//! file names and contents. They are whatever is in the directories: there is no list to keep.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What the crate `lake-plugin` consists of where it is a dependency.
const SDK: [&str; 2] = ["src", "include"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo runs this")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo runs this")?);

    let plugin = here.join("../lake-plugin");
    let mut sdk = BTreeMap::new();
    for directory in SDK {
        collect(&plugin.join(directory), directory, &mut sdk)?;
    }
    let workspace = here.join("../..");
    sdk.insert("LICENSE".to_owned(), workspace.join("LICENSE"));
    let manifest = out.join("sdk.toml");
    fs::write(
        &manifest,
        standalone(&plugin.join("Cargo.toml"), &workspace.join("Cargo.toml"))?,
    )?;
    sdk.insert("Cargo.toml".to_owned(), manifest);
    fs::write(out.join("sdk.rs"), list(&sdk)?)?;

    let mut template = BTreeMap::new();
    collect(&here.join("template"), "", &mut template)?;
    fs::write(out.join("template.rs"), list(&template)?)?;

    // A directory stands for everything in it, new files included.
    rerun_if_changed(&here.join("template"));
    rerun_if_changed(&plugin.join("Cargo.toml"));
    rerun_if_changed(&workspace.join("Cargo.toml"));
    for directory in SDK {
        rerun_if_changed(&plugin.join(directory));
    }
    Ok(())
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// All files below a directory, by their names below `prefix`, with `/` between the parts.
fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| format!("{}: not a plain name", name.display()))?;
        let below = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &below, found)?;
        } else {
            found.insert(below, entry.path());
        }
    }
    Ok(())
}

/// The files as a Rust expression: an array of names and contents.
fn list(files: &BTreeMap<String, PathBuf>) -> Result<String> {
    let mut text = String::from("&[\n");
    for (name, path) in files {
        let path = fs::canonicalize(path)?;
        writeln!(text, "    ({name:?}, include_str!({path:?})),")?;
    }
    text.push(']');
    Ok(text)
}

/// The manifest of `lake-plugin` as it is outside of its workspace: what it inherits is written
/// out, and what only its own tests and lints need is left out.
fn standalone(manifest: &Path, workspace: &Path) -> Result<String> {
    let mut manifest: Table = fs::read_to_string(manifest)?.parse()?;
    let workspace: Table = fs::read_to_string(workspace)?.parse()?;
    let workspace = table(&workspace, "workspace")?;
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    for (section, source) in [("package", "package"), ("dependencies", "dependencies")] {
        if let Some(Value::Table(entries)) = manifest.get_mut(section) {
            inherit(entries, table(workspace, source)?)?;
        }
    }
    if manifest.contains_key("target") || manifest.contains_key("build-dependencies") {
        return Err("lake-plugin has dependencies that are not written out here".into());
    }
    let header = "# Written by `lake plugin sdk`, which also brings it up to date.\n\n";
    // The package first, as people write it.
    let package = manifest
        .remove("package")
        .ok_or("a manifest has a package")?;
    let package = Table::from_iter([("package".to_owned(), package)]);
    Ok(format!("{header}{package}\n{manifest}"))
}

fn inherit(entries: &mut Table, workspace: &Table) -> Result<()> {
    for (name, value) in entries.iter_mut() {
        let Value::Table(own) = value else { continue };
        if own.contains_key("path") {
            return Err(format!("{name} is a path, which does not go with lake-plugin").into());
        }
        if own.remove("workspace").is_none() {
            continue;
        }
        let inherited = workspace.get(name).ok_or("the workspace has it")?.clone();
        if own.is_empty() {
            *value = inherited;
            continue;
        }
        let mut whole = match inherited {
            Value::Table(whole) => whole,
            version => Table::from_iter([("version".to_owned(), version)]),
        };
        for (key, more) in std::mem::take(own) {
            match (whole.get_mut(&key), more) {
                (Some(Value::Array(features)), Value::Array(more)) => features.extend(more),
                (_, more) => {
                    whole.insert(key, more);
                }
            }
        }
        *value = Value::Table(whole);
    }
    Ok(())
}

fn table<'a>(of: &'a Table, key: &str) -> Result<&'a Table> {
    let found = of.get(key).and_then(Value::as_table);
    found.ok_or_else(|| format!("the manifest has no [{key}]").into())
}
