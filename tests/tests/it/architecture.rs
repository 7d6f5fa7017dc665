//! The map of the repository is true: crates depend on each other as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lake_tests::workspace;
use serde_json::Value;

/// Which crates of this repository a crate may use: the arrows of the map.
const ARROWS: [(&str, &[&str]); 12] = [
    (
        "lake",
        &[
            "lake-kit",
            "lake-run",
            "lake-pipeline",
            "lake-delta",
            "lake-reader",
            "lake-plugin",
            "lake-registry",
        ],
    ),
    (
        "lake-kit",
        &[
            "lake-run",
            "lake-pipeline",
            "lake-reader",
            "lake-registry",
            "lake-plugin",
        ],
    ),
    (
        "lake-run",
        &[
            "lake-pipeline",
            "lake-delta",
            "lake-reader",
            "lake-registry",
            "lake-plugin",
            "lake-store",
        ],
    ),
    ("lake-pipeline", &["lake-plugin"]),
    ("lake-delta", &["lake-store"]),
    ("lake-reader", &[]),
    ("lake-registry", &["lake-plugin"]),
    ("lake-plugin", &[]),
    ("lake-store", &[]),
    ("lake-testing", &[]),
    ("utility", &["lake-plugin"]),
    ("lake-tests", &[]),
];

/// Libraries that only these crates may name, because the others are to work without them.
const FENCED: [(&str, &[&str]); 5] = [
    ("deltalake", &["lake-delta"]),
    ("datafusion", &["lake-delta", "lake-run"]),
    ("libloading", &["lake-plugin"]),
    ("ed25519-dalek", &["lake-registry"]),
    ("clap", &["lake"]),
];

/// No file is longer, so that one can be read in one sitting.
const MOST_LINES: usize = 600;

/// Longer files, each with the reason why it cannot be two.
const LONG_FILES: [(&str, &str); 0] = [];

#[test]
fn crates_depend_on_each_other_as_the_map_says() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let mapped: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, mapped, "the map names every crate of the workspace");
    for (name, allowed) in ARROWS {
        for dependency in dependencies(&packages[name], &["normal", "build"]) {
            assert!(
                !ours.contains(dependency.as_str()) || allowed.contains(&dependency.as_str()),
                "{name} uses {dependency}, and may use {allowed:?}"
            );
        }
    }
}

#[test]
fn helpers_of_tests_are_used_by_tests_only() {
    for (name, package) in packages() {
        for helper in [
            "lake-testing",
            "proptest",
            "tempfile",
            "insta",
            "expect-test",
        ] {
            let is_helper = ["lake-testing", "lake-tests"].contains(&name.as_str());
            assert!(
                is_helper || !dependencies(&package, &["normal", "build"]).contains(helper),
                "{name} uses {helper} outside of its tests"
            );
        }
    }
}

#[test]
fn libraries_stay_behind_the_crates_that_hide_them() {
    for (name, package) in packages() {
        let used = dependencies(&package, &["normal", "build", "dev"]);
        for (library, allowed) in FENCED {
            assert!(
                !used.contains(library) || allowed.contains(&name.as_str()),
                "{name} names {library}, which only {allowed:?} may"
            );
        }
    }
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    for (name, package) in packages() {
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}");
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = fs::read_to_string(workspace().join("ARCHITECTURE.md"))
        .expect("ARCHITECTURE.md is at the root of the repository");
    for (name, package) in packages() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let directory = manifest
            .parent()
            .unwrap()
            .strip_prefix(workspace())
            .unwrap();
        let place = directory.display();
        assert!(
            map.contains(&format!("`{place}`")) || map.contains(&format!("`{place}/")),
            "ARCHITECTURE.md does not say what `{place}` ({name}) is for"
        );
    }
}

#[test]
fn no_file_is_longer_than_can_be_read_in_one_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let has_reason = LONG_FILES.iter().any(|(long, _)| Path::new(long) == path);
        assert!(
            lines <= MOST_LINES || has_reason,
            "{} has {lines} lines",
            path.display()
        );
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        let is_example_of_an_error =
            path.starts_with("crates") && path.components().any(|c| c.as_os_str() == "ui");
        assert!(
            is_example_of_an_error || text.starts_with("//! "),
            "{} does not start with what it is for",
            path.display()
        );
    }
}

#[test]
fn no_module_is_a_drawer_for_everything() {
    for (path, _) in sources() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let drawers = ["util", "utils", "helper", "helpers", "common", "misc"];
        assert!(!drawers.contains(&stem.as_str()), "{}", path.display());
    }
}

#[test]
fn unsafe_code_lives_in_the_plugin_crate_and_sets_options_of_the_allocator() {
    let allocator = Path::new("crates/lake/src/allocator.rs");
    let words = ["{", "fn", "impl", "extern"].map(|next| format!("{} {next}", "unsafe"));
    for (path, text) in sources() {
        if path.starts_with("crates/lake-plugin") || path == allocator {
            continue;
        }
        for word in &words {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
    }
}

/// The workspace's packages by name, as cargo describes them.
fn packages() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            (
                package["name"].as_str().unwrap().to_owned(),
                package.clone(),
            )
        })
        .collect()
}

/// The names of a package's dependencies of some kinds.
fn dependencies(package: &Value, kinds: &[&str]) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter()
        .filter(|dependency| kinds.contains(&dependency["kind"].as_str().unwrap_or("normal")))
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Every Rust file of the repository, relative to its root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for directory in ["crates", "tests"] {
        collect(&workspace().join(directory), &mut found);
    }
    assert!(
        found.len() > 50,
        "the sources are where this test looks for them"
    );
    found
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(workspace()).unwrap().to_owned(), text));
        }
    }
}
