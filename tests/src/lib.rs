//! Whole-system tests, through the built binary.
//!
//! A test makes a [`Lake`]: a temporary directory with raw files, a pipeline
//! file and a root. It starts the built `lake` there, as a user would, and looks
//! at what [`Ended`]. Nothing of lake is linked in, so that what a test relies on
//! is what a user relies on. Only `it/reading.rs` uses a crate of lake, the reader,
//! because there every cell of many files is compared with other readers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests stop a test as the tests themselves do"
)]

mod crates;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

pub use crates::{building, make_crate, make_version};

/// The header of a file of meter readings.
pub const HEADER: &str = "customer_id,meter_id,start_time,end_time,usage_kwh,region";

/// One good line of a file of meter readings: an hour of a day in June 2025.
pub fn reading(customer: u32, meter: u32, day: u32, hour: u32, kwh: &str) -> String {
    let end = format!("2025-06-{day:02}T{hour:02}:59:59Z");
    format!("C-{customer},M{meter:07},2025-06-{day:02}T{hour:02}:00:00Z,{end},{kwh},north")
}

/// A file of meter readings: the header, and a line each.
pub fn csv<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> String {
    let mut text = format!("{HEADER}\n");
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text
}

/// A pipeline in a temporary directory: `pipelines/`, `data/` for raw files, and
/// `lake/`, its root, which is not there before the first run.
#[derive(Debug)]
pub struct Lake {
    directory: TempDir,
    pipeline: PathBuf,
    variables: Vec<(String, String)>,
}

impl Lake {
    /// The utility pipeline without files, and without limits but the default ones.
    pub fn new() -> Self {
        transform_is_built();
        Self::with_transform(
            "utility",
            "1",
            &workspace().join("crates/transforms/utility"),
        )
    }

    /// A pipeline with the utility pipeline's input, and the transform at `path`.
    pub fn with_transform(name: &str, version: &str, path: &Path) -> Self {
        Self::of(&format!(
            "name: {name}\n\
             transform:\n  name: {name}\n  version: \"{version}\"\n  path: {}\n\
             root: ../lake\n\
             inputs:\n  readings:\n    path: ../data/*.csv\n    on_change: upsert\n",
            path.display()
        ))
    }

    /// A pipeline file as it stands here.
    pub fn of(yaml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("pipelines")).unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let pipeline = directory.path().join("pipelines/pipeline.yaml");
        fs::write(&pipeline, yaml).unwrap();
        Self {
            directory,
            pipeline,
            variables: Vec::new(),
        }
    }

    /// The pipeline file and the sample data of this repository, with a root of its own.
    pub fn samples() -> Self {
        let lake = Self::new();
        let root = lake.root().display().to_string();
        Self {
            pipeline: workspace().join("pipelines/utility.yaml"),
            ..lake
        }
        .variable("LAKE_ROOT", &root)
    }

    /// Sets a variable for every command.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The temporary directory, which is the working directory of every command.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The pipeline file.
    pub fn pipeline(&self) -> &Path {
        &self.pipeline
    }

    /// The root that the pipeline file names; tables are in a directory per pipeline below it.
    pub fn root(&self) -> PathBuf {
        self.directory().join("lake")
    }

    /// An object of the utility pipeline's state: `standard/readings`.
    pub fn object(&self, path: &str) -> PathBuf {
        self.root().join("utility").join(path)
    }

    /// Writes a raw file that was received `hour` hours after July 2025 began.
    pub fn put(&self, name: &str, hour: u64, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory().join("data").join(name);
        fs::write(&path, content).unwrap();
        received(&path, hour);
        path
    }

    /// `lake` with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("LAKE_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.directory())
            .env_remove("COLUMNS")
            .env("LAKE_CACHE", cache())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `lake` with these arguments and waits for its end.
    pub fn lake(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// `lake` with these arguments, started by another program: `launcher … lake …`.
    #[track_caller]
    pub fn below(&self, launcher: &[&str], arguments: &[&str]) -> Ended {
        let own = self.command(arguments);
        let mut command = Command::new(launcher[0]);
        command
            .args(&launcher[1..])
            .arg(own.get_program())
            .args(own.get_args())
            .current_dir(self.directory());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output();
        Ended::of(output.unwrap_or_else(|e| panic!("{} cannot be started: {e}", launcher[0])))
    }

    /// `lake run` with more arguments behind the pipeline file.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let pipeline = self.pipeline.to_str().unwrap();
        self.lake(&[&["run", pipeline], arguments].concat())
    }

    /// `lake run --output json`, which has to end well; gives the report.
    #[track_caller]
    pub fn publish(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[&["--output", "json"], arguments].concat());
        ended.assert(0, &[]).json()
    }

    /// The answer to a query, as one JSON object per row.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let pipeline = self.pipeline.to_str().unwrap();
        let ended = self.lake(&["query", pipeline, sql, "--output", "json"]);
        let answer = ended.assert(0, &[]).json();
        answer.as_array().unwrap().clone()
    }

    /// The answer to a query as CSV, without its header.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let pipeline = self.pipeline.to_str().unwrap();
        let ended = self.lake(&["query", pipeline, sql, "--output", "csv"]);
        let lines = ended.assert(0, &[]).stdout.lines().skip(1);
        lines.map(str::to_owned).collect()
    }

    /// Every file below the root, with its size and the time of its last change.
    pub fn tree(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut found = BTreeMap::new();
        files_below(&self.root(), &mut found);
        found
    }

    /// That nothing can be seen of any run: no table, no number, no seal.
    #[track_caller]
    pub fn assert_nothing_published(&self) {
        let visible: Vec<PathBuf> = self
            .tree()
            .into_keys()
            .filter(|path| {
                let path = path.to_string_lossy();
                path.contains("/_delta_log/") || path.contains("/_lake/log/")
            })
            .collect();
        assert!(visible.is_empty(), "published: {visible:?}");
    }
}

impl Default for Lake {
    fn default() -> Self {
        Self::new()
    }
}

/// How a command ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code; −1 where a signal ended it.
    pub code: i32,
    /// What went to stdout.
    pub stdout: String,
    /// What went to stderr.
    pub stderr: String,
}

impl Ended {
    /// From what the standard library says.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// That the command ended with `code`, and stderr contains every one of `texts`.
    #[track_caller]
    pub fn assert(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(
            self.code, code,
            "exit code\nstdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "stderr does not say '{text}':\n{}",
                self.stderr
            );
        }
        self
    }

    /// That the command ended well, and stdout contains every one of `texts`.
    #[track_caller]
    pub fn assert_prints(&self, texts: &[&str]) -> &Self {
        self.assert(0, &[]);
        for text in texts {
            assert!(
                self.stdout.contains(text),
                "stdout does not say '{text}':\n{}",
                self.stdout
            );
        }
        self
    }

    /// What stdout holds, which is one JSON value and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON ({e}): {}", self.stdout))
    }
}

/// The first of these launchers (see [`Lake::below`]) that works on this machine.
///
/// A test returns where there is none: not every kernel and container lets a
/// process have namespaces of its own.
pub fn launcher(candidates: &[&'static [&'static str]]) -> Option<&'static [&'static str]> {
    let works = |launcher: &&[&str]| {
        let probe = Command::new(launcher[0])
            .args(&launcher[1..])
            .arg("true")
            .output();
        probe.is_ok_and(|ended| ended.status.success())
    };
    let found = candidates.iter().copied().find(works);
    if found.is_none() {
        eprintln!("not tested: this machine allows none of {candidates:?}");
    }
    found
}

/// Says that a file was received `hour` hours after July 2025 began.
pub fn received(path: &Path, hour: u64) {
    const JULY_2025: u64 = 1_751_328_000;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(JULY_2025 + 3600 * hour);
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap().to_owned()
}

/// Cargo's target directory, where this test was built.
pub fn target() -> PathBuf {
    profile().parent().unwrap().to_owned()
}

/// The built `lake`, which is built first where it is not there.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = profile().join(format!("lake{}", env::consts::EXE_SUFFIX));
        if !binary.is_file() {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo
                .args(["build", "-p", "lake", "--target-dir"])
                .arg(target());
            if profile().ends_with("release") {
                cargo.arg("--release");
            }
            let built = cargo.current_dir(workspace()).status().unwrap();
            assert!(built.success(), "lake does not build");
        }
        binary
    })
}

/// `target/debug`, or `target/release`: where this test's executable has its `deps`.
fn profile() -> PathBuf {
    let executable = env::current_exe().unwrap();
    executable.ancestors().nth(2).unwrap().to_owned()
}

/// One cache for all tests, so that a transform is built once.
fn cache() -> PathBuf {
    target().join("lake-tests/cache")
}

/// Tests run beside each other; the first one builds the transform for all.
fn transform_is_built() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let pipeline = workspace().join("pipelines/utility.yaml");
        let validated = Command::new(binary())
            .arg("validate")
            .arg(pipeline)
            // Whatever lies beside the sources is none of these tests' business.
            .env("LAKE_ROOT", target().join("lake-tests/no-root"))
            .env("LAKE_CACHE", cache())
            .output();
        Ended::of(validated.unwrap()).assert(0, &[]);
    });
}

fn files_below(directory: &Path, found: &mut BTreeMap<PathBuf, (u64, SystemTime)>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), found);
        } else {
            let meta = entry.metadata().unwrap();
            found.insert(entry.path(), (meta.len(), meta.modified().unwrap()));
        }
    }
}
