//! What a library is made of: every crate that is linked in, where it is from, and its licence.
//!
//! As cargo resolves it: normal dependencies for one target, without what only runs while
//! building. Cargo resolves features for tests as well, so a crate that only they switch on is
//! named too; none is missing. The text is the same for the same crate and lock, wherever it is
//! made: no time, no path of a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use lake_registry::Licence;
use serde_json::{Value, json};

use crate::error::{KitError, Result};
use crate::manifest::{Package, metadata};

/// What SPDX calls a licence that nobody states.
const UNKNOWN: &str = "NOASSERTION";

/// A bill of materials, and the licences in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bill {
    /// CycloneDX 1.5 in JSON.
    pub(crate) json: Bytes,
    pub(crate) licences: Vec<Licence>,
}

/// The bill of materials of a crate's library for a target.
///
/// # Errors
/// [`KitError::Crate`], also where `Cargo.lock` does not fit the manifest.
pub(crate) fn read(package: &Package, target: &str) -> Result<Bill> {
    let arguments = ["--locked", "--filter-platform", target];
    let metadata = metadata(&package.manifest(), &arguments)?;
    let bill = Graph::of(&metadata).and_then(|graph| graph.bill());
    bill.ok_or_else(|| KitError::Crate {
        path: package.manifest(),
        message: "cargo metadata does not say what the crate depends on".to_owned(),
    })
}

/// The crates that are linked in, by cargo's id.
struct Graph<'a> {
    root: &'a str,
    crates: BTreeMap<&'a str, Node<'a>>,
}

struct Node<'a> {
    package: &'a Value,
    uses: BTreeSet<&'a str>,
}

impl<'a> Graph<'a> {
    fn of(metadata: &'a Value) -> Option<Self> {
        let by_id = |list: &'a Value| -> Option<BTreeMap<&'a str, &'a Value>> {
            let list = list.as_array()?.iter();
            list.map(|entry| Some((entry["id"].as_str()?, entry)))
                .collect()
        };
        let packages = by_id(&metadata["packages"])?;
        let nodes = by_id(&metadata["resolve"]["nodes"])?;
        let root = metadata["resolve"]["root"].as_str()?;
        let mut graph = Self {
            root,
            crates: BTreeMap::new(),
        };
        let mut left = vec![root];
        while let Some(id) = left.pop() {
            if graph.crates.contains_key(id) {
                continue;
            }
            let package = *packages.get(id)?;
            let mut uses = BTreeSet::new();
            for dependency in nodes.get(id)?["deps"].as_array()? {
                let used = dependency["pkg"].as_str()?;
                let kinds = dependency["dep_kinds"].as_array()?;
                let is_normal = kinds.iter().any(|kind| kind["kind"].is_null());
                if is_normal && !runs_while_building(packages.get(used)?) {
                    uses.insert(used);
                }
            }
            left.extend(&uses);
            graph.crates.insert(id, Node { package, uses });
        }
        Some(graph)
    }

    fn bill(&self) -> Option<Bill> {
        let root = self.crates.get(self.root)?;
        let mut components: Vec<Value> = Vec::new();
        let mut uses: Vec<Value> = Vec::new();
        let mut licences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, node) in &self.crates {
            let licence = licence(node.package).unwrap_or_else(|| UNKNOWN.to_owned());
            let (name, version) = (text(node.package, "name"), text(node.package, "version"));
            let named = licences.entry(licence).or_default();
            named.insert(format!("{name} {version}"));
            if *id != self.root {
                components.push(component(node.package));
            }
            let used: BTreeSet<String> = node
                .uses
                .iter()
                .filter_map(|used| Some(purl(self.crates.get(used)?.package)))
                .collect();
            uses.push(json!({ "ref": purl(node.package), "dependsOn": used }));
        }
        components.sort_by_key(|component| component["purl"].to_string());
        uses.sort_by_key(|used| used["ref"].to_string());
        let bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": { "component": component(root.package) },
            "components": components,
            "dependencies": uses,
        });
        let licences = licences.into_iter().map(|(expression, crates)| Licence {
            expression,
            crates: crates.into_iter().collect(),
        });
        Some(Bill {
            json: format!("{bill:#}\n").into(),
            licences: licences.collect(),
        })
    }
}

/// A crate of macros runs in the compiler, and nothing of it is in the library.
fn runs_while_building(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut kinds = targets.flat_map(|target| target["kind"].as_array().into_iter().flatten());
    kinds.any(|kind| kind == "proc-macro")
}

fn component(package: &Value) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": text(package, "name"),
        "version": text(package, "version"),
        "purl": purl,
    });
    if let Some(licence) = licence(package) {
        component["licenses"] = json!([{ "expression": licence }]);
    }
    component
}

/// The SPDX expression of a crate. Old crates write `/` for OR.
fn licence(package: &Value) -> Option<String> {
    let written = package["license"].as_str()?;
    let parts: Vec<&str> = written.split('/').map(str::trim).collect();
    Some(parts.join(" OR "))
}

/// A package URL: `pkg:cargo/serde@1.0.200`, with where it is from if that is not crates.io.
fn purl(package: &Value) -> String {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut purl = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
    let source = package["source"].as_str().unwrap_or_default();
    let qualifier = match source.split_once('+') {
        Some(("git", _)) => Some(("vcs_url", source)),
        Some(("registry" | "sparse", url)) if !url.contains("crates.io") => {
            Some(("repository_url", url))
        }
        _ => None,
    };
    if let Some((key, value)) = qualifier {
        // Writing to a string cannot fail.
        let _ = write!(purl, "?{key}={}", encoded(value));
    }
    purl
}

/// As a value in a package URL has to be written.
fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'/' => {
                text.push(char::from(byte));
            }
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, source: Value, licence: Value, kind: &str) -> Value {
        json!({
            "id": name, "name": name, "version": "1.0.0+x", "source": source,
            "license": licence, "targets": [{ "kind": [kind] }],
        })
    }

    fn uses(id: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies = dependencies.iter();
        let dependencies = dependencies
            .map(|(used, kind)| json!({ "pkg": used, "dep_kinds": [{ "kind": kind }] }));
        json!({ "id": id, "deps": dependencies.collect::<Vec<_>>() })
    }

    #[test]
    fn what_is_linked_in_is_named_and_what_only_builds_or_tests_is_not() {
        let crates_io = json!("registry+https://github.com/rust-lang/crates.io-index");
        let git = json!("git+https://example.com/a b#1f");
        let none = Value::Null;
        let metadata = json!({
            "packages": [
                package("root", none.clone(), none.clone(), "cdylib"),
                package("linked", crates_io.clone(), json!("MIT/Apache-2.0"), "lib"),
                package("deep", git, json!("MIT"), "lib"),
                package("macros", crates_io.clone(), json!("MIT"), "proc-macro"),
                package("only-macros", crates_io.clone(), json!("MIT"), "lib"),
                package("tests", crates_io.clone(), json!("GPL-3.0"), "lib"),
                package("builds", crates_io, json!("GPL-3.0"), "lib"),
            ],
            "resolve": { "root": "root", "nodes": [
                uses("root", &[
                    ("linked", none.clone()), ("tests", json!("dev")), ("builds", json!("build")),
                ]),
                uses("linked", &[("deep", none.clone()), ("macros", none.clone())]),
                uses("deep", &[]),
                uses("macros", &[("only-macros", none)]),
                uses("only-macros", &[]),
                uses("tests", &[]),
                uses("builds", &[]),
            ] },
        });
        let bill = Graph::of(&metadata).unwrap().bill().unwrap();
        let json: Value = serde_json::from_slice(&bill.json).unwrap();
        let components = json["components"].as_array().unwrap().iter();
        let purls: Vec<&str> = components.map(|c| c["purl"].as_str().unwrap()).collect();
        let deep = "pkg:cargo/deep@1.0.0%2Bx?vcs_url=git%2Bhttps://example.com/a%20b%231f";
        assert_eq!(purls, [deep, "pkg:cargo/linked@1.0.0%2Bx"]);
        assert_eq!(json["dependencies"][1]["dependsOn"], json!([deep]));
        let licences: Vec<String> = bill
            .licences
            .iter()
            .map(|licence| format!("{}: {}", licence.expression, licence.crates.join(", ")))
            .collect();
        assert_eq!(
            licences,
            [
                "MIT: deep 1.0.0+x",
                "MIT OR Apache-2.0: linked 1.0.0+x",
                "NOASSERTION: root 1.0.0+x",
            ]
        );
    }

    #[test]
    fn what_cargo_does_not_say_is_no_bill() {
        assert!(Graph::of(&json!({ "packages": [], "resolve": null })).is_none());
    }
}
