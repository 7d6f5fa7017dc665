//! A team that publishes and runs a transform, for the tests of releases.
//!
//! The transform is one small crate in several versions, built once for all tests; `--library`
//! hands the built library to `lake plugin publish`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use lake_tests::{Ended, Lake, csv, make_version, reading, target};
use serde_json::Value;

const SOURCE: &str = r#"//! Meter readings.

use lake_plugin::prelude::*;

pub fn meters() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("meter_id", text().required())
                .column("start_time", timestamp().required())
                .column("usage_kwh", decimal(12, 3).required())
                .check("usage is not negative", "usage_kwh >= 0"),
        )
        .param(param("factor", decimal(4, 2)))
        .table(
            Table::standard("readings")
                .sql("SELECT same(meter_id) AS meter_id, start_time, usage_kwh FROM readings")
                .key(["meter_id", "start_time"]),
        )
        .function(Function::scalar("same", [text()], text(), same))
}

fn same(arguments: &Arguments) -> Result<ArrayRef, FunctionError> {
    Ok(arguments.array(0)?.clone())
}

lake_plugin::export!(meters);
"#;

/// What a crate has in place of a piece of the source.
type Changes = &'static [(&'static str, &'static str)];

/// Crates by what they are: a version, `doubles` where other rows come out, `narrow` where a column is missing from the table,
/// `panics` where the function panics for NULL.
const CRATES: [(&str, &str, Changes); 7] = [
    ("1.0.0", "1.0.0", &[]),
    ("1.1.0", "1.1.0", &[]),
    ("1.2.0", "1.2.0", &[]),
    ("1.0.1 narrow", "1.0.1", NARROW),
    ("2.0.0 narrow", "2.0.0", NARROW),
    ("1.0.0 panics", "1.0.0", PANICS),
    ("1.3.0 doubles", "1.3.0", DOUBLES),
];

const NARROW: Changes = &[("start_time, usage_kwh FROM", "start_time FROM")];
const DOUBLES: Changes = &[
    (
        "usage_kwh FROM",
        "CAST(2 * usage_kwh AS DECIMAL(12, 3)) AS usage_kwh FROM",
    ),
    ("usage_kwh >= 0", "usage_kwh >= 1"),
];
const PANICS: Changes = &[(
    "Ok(arguments.array(0)?.clone())",
    "let names = arguments.text(0)?.iter().map(Option::unwrap);\n    \
     Ok(std::sync::Arc::new(names.map(Some).collect::<arrow::array::StringArray>()))",
)];

/// A crate whose library has been built.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) directory: PathBuf,
    pub(crate) library: PathBuf,
}

pub(crate) fn built(which: &str) -> &'static Built {
    static BUILT: OnceLock<BTreeMap<&str, Built>> = OnceLock::new();
    let all = BUILT.get_or_init(|| {
        let crates = CRATES.iter();
        crates
            .map(|(which, version, changes)| (*which, build(which, version, changes)))
            .collect()
    });
    &all[which]
}

pub(crate) fn build(which: &str, version: &str, changes: &[(&str, &str)]) -> Built {
    let directory = target()
        .join("lake-tests/releases")
        .join(which.replace(' ', "-"));
    let mut source = SOURCE.to_owned();
    for (from, to) in changes {
        assert!(source.contains(from), "{from}");
        source = source.replace(from, to);
    }
    let name = format!("meters_{}", which.replace([' ', '.'], "_"));
    make_version(&directory, "meters", version, &name, &source);
    let shared = target().join("lake-tests/target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--manifest-path"])
        .arg(directory.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &shared);
    Ended::of(cargo.output().unwrap()).assert(0, &[]);
    let name = format!(
        "{}{name}{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    );
    let library = shared.join("debug").join(name);
    Built { directory, library }
}

/// The target triple of this machine.
pub(crate) fn triple() -> &'static str {
    static TRIPLE: OnceLock<String> = OnceLock::new();
    TRIPLE.get_or_init(|| {
        let said = Ended::of(Command::new("rustc").arg("-vV").output().unwrap());
        let line = said
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("host: "));
        line.unwrap().to_owned()
    })
}

/// A team that publishes and runs the transform `meters`: a key that is trusted, a registry, and
/// a pipeline of its own, with one raw file.
pub(crate) struct Team {
    pub(crate) lake: Lake,
}

impl Team {
    pub(crate) fn new() -> Self {
        let lake = Lake::of(
            "name: meters\n\
             transform:\n  name: meters\n  version: \"1\"\n  params:\n    factor: \"2.5\"\n\
             root: ../lake\n\
             inputs:\n  readings:\n    path: ../data/*.csv\n",
        );
        let cache = lake.directory().join("cache").display().to_string();
        let lake = lake
            .variable("LAKE_CACHE", &cache)
            .variable("LAKE_REGISTRY", "registry")
            .variable("LAKE_TRUSTED_KEYS", "trusted.toml")
            .variable("LAKE_SIGNING_KEY", "team.pem");
        lake.put("day.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
        lake.lake(&["plugin", "key", "team", "--trust", "trusted.toml"])
            .assert(0, &[]);
        Self { lake }
    }

    /// A team with these releases.
    pub(crate) fn with(versions: &[&str]) -> Self {
        let team = Self::new();
        for version in versions {
            team.publish(version, &[]).assert(0, &[]);
        }
        team
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.lake.directory().join(file)
    }

    pub(crate) fn plugin(&self, arguments: &[&str]) -> Ended {
        self.lake.lake(&[&["plugin"], arguments].concat())
    }

    pub(crate) fn publish(&self, which: &str, arguments: &[&str]) -> Ended {
        let Built { directory, library } = built(which);
        self.publish_from(directory, library, arguments)
    }

    pub(crate) fn publish_from(
        &self,
        directory: &Path,
        library: &Path,
        arguments: &[&str],
    ) -> Ended {
        let library = format!("{}={}", triple(), library.display());
        let directory = directory.to_str().unwrap();
        let publish = ["publish", directory, "--library", &library];
        self.plugin(&[&publish, arguments].concat())
    }

    /// A copy of a crate that a test can change.
    pub(crate) fn copy_of(&self, which: &str) -> PathBuf {
        let copy = self.path("crate");
        fs::create_dir_all(copy.join("src")).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "src/lib.rs"] {
            fs::copy(built(which).directory.join(file), copy.join(file)).unwrap();
        }
        copy
    }

    pub(crate) fn update(&self, arguments: &[&str]) -> Ended {
        let pipeline = self.lake.pipeline().to_str().unwrap();
        self.plugin(&[&["update", pipeline], arguments].concat())
    }

    pub(crate) fn plan(&self, arguments: &[&str]) -> Ended {
        let pipeline = self.lake.pipeline().to_str().unwrap();
        self.lake.lake(&[&["plan", pipeline], arguments].concat())
    }

    /// That a run uses this release, as its record says.
    #[track_caller]
    pub(crate) fn assert_runs(&self, version: &str, arguments: &[&str]) -> Ended {
        let plan = self.plan(&[&["--output", "json"], arguments].concat());
        let said = plan.assert(0, &[]).json();
        assert_eq!(said["transform"]["version"], version, "{said:#}");
        let run = self.lake.run(arguments);
        run.assert(0, &[]);
        run
    }

    /// That a run fails before it does anything, with these texts.
    #[track_caller]
    pub(crate) fn assert_refused(&self, arguments: &[&str], texts: &[&str]) {
        self.lake.run(arguments).assert(1, texts);
        self.lake.assert_nothing_published();
    }

    pub(crate) fn show(&self, release: &str) -> Value {
        let shown = self.plugin(&["show", release, "--output", "json"]);
        shown.assert(0, &[]).json()
    }

    pub(crate) fn library_blob(&self, release: &str) -> PathBuf {
        let shown = self.show(release);
        let digest = shown["says"]["artifacts"][triple()]["digest"].as_str();
        let digest = digest.unwrap().strip_prefix("sha256:").unwrap();
        self.path("registry/blobs/sha256").join(digest)
    }

    /// The body of the private key: nobody may ever read it anywhere else.
    pub(crate) fn secret(&self) -> String {
        let pem = fs::read_to_string(self.path("team.pem")).unwrap();
        pem.lines().nth(1).unwrap().to_owned()
    }
}
