//! A bare repository in the place of a server, and clones of it, in a directory of its own. Nothing
//! of the configuration of whoever runs the tests counts.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lake_tests::{Ended, binary};
use serde_json::Value;
use tempfile::TempDir;

/// A server with one repository: a workspace with the crates `meters` and `orders`.
pub(super) struct Server {
    directory: TempDir,
}

/// A clone of it.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
}

pub(super) const IDENTITY: &str = "[user]\nname = A Team\nemail = team@example.com\n[init]\ndefaultBranch = main\n\
    [advice]\ndetachedHead = false\n";

pub(super) const MANIFEST: &str = "[package]\nname = \"meters\"\n# Of releases.\nversion = \"1.0.0\"\n\
    edition = \"2024\"\n\n[workspace]\n";

/// The lock of a workspace whose members depend on one crate from elsewhere.
pub(super) fn lock(serde: &str) -> String {
    let member = |name: &str| {
        format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\ndependencies = [\n \"serde\",\n]\n"
        )
    };
    format!(
        "version = 4\n{}{}\n[[package]]\nname = \"serde\"\nversion = \"{serde}\"\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
        member("meters"),
        member("orders"),
    )
}

impl Server {
    /// With one commit, and no tag.
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gitconfig"), IDENTITY).unwrap();
        let server = Self { directory };
        let bare = server.bare();
        let first = server.at("first");
        fs::create_dir(&first.path).unwrap();
        let bare = bare.to_str().unwrap();
        first.git(&["init", "--quiet", "--bare", bare]);
        first.git(&["init", "--quiet"]);
        first.git(&["remote", "add", "origin", bare]);
        let workspace = "[workspace]\nmembers = [\"meters\", \"orders\"]\nresolver = \"3\"\n";
        let manifest = MANIFEST.replace("\n[workspace]\n", "");
        for (file, text) in [
            ("Cargo.toml", workspace),
            ("Cargo.lock", &lock("1.0.0")),
            ("meters/Cargo.toml", &manifest),
            ("meters/src/lib.rs", "//! Meters.\n"),
            ("orders/Cargo.toml", &manifest.replace("meters", "orders")),
            ("orders/src/lib.rs", "//! Orders.\n"),
        ] {
            first.write(file, text);
        }
        first.git(&["add", "--all"]);
        first.git(&["commit", "--quiet", "--message", "Begin"]);
        first.git(&["push", "--quiet", "origin", "main"]);
        server
    }

    /// With the release 1.0.0, and a commit after it.
    pub(super) fn released() -> Self {
        let server = Self::new();
        let copy = server.copy("released");
        copy.bump(&["--push"]).assert(0, &[]);
        copy.commit("meters/src/lib.rs", "//! Meters, read.\n", "Read meters");
        copy.git(&["push", "--quiet", "origin", "main"]);
        server
    }

    pub(super) fn bare(&self) -> PathBuf {
        self.directory.path().join("remote.git")
    }

    pub(super) fn at(&self, name: &str) -> Copy {
        Copy {
            path: self.directory.path().join(name),
            config: self.directory.path().join("gitconfig"),
        }
    }

    pub(super) fn copy(&self, name: &str) -> Copy {
        self.copy_with(name, &[])
    }

    pub(super) fn copy_with(&self, name: &str, arguments: &[&str]) -> Copy {
        let copy = self.at(name);
        let url = format!("file://{}", self.bare().display());
        let clone = ["clone", "--quiet", "--no-tags"];
        let place = [&url, copy.path.to_str().unwrap()];
        let clone = [&clone[..], arguments, &place].concat();
        run(&copy, self.directory.path(), &clone).assert(0, &[]);
        copy
    }

    /// What the server has, with the kind of every object: `commit … refs/heads/main`.
    pub(super) fn references(&self) -> String {
        let format = "--format=%(objecttype) %(objectname) %(refname)";
        let bare = Copy {
            path: self.bare(),
            ..self.at("bare")
        };
        bare.git(&["for-each-ref", format])
    }

    pub(super) fn tags(&self) -> Vec<String> {
        let all = self.references();
        let tags = all
            .lines()
            .filter_map(|line| line.split_once(" refs/tags/"));
        tags.map(|(_, tag)| tag.to_owned()).collect()
    }

    /// What a file says on the branch `main`.
    pub(super) fn shows(&self, file: &str) -> String {
        let bare = Copy {
            path: self.bare(),
            ..self.at("bare")
        };
        bare.git(&["show", &format!("main:{file}")])
    }

    /// Puts a script in the place of a hook of the server.
    pub(super) fn hook(&self, name: &str, script: &str) {
        hook(&self.bare().join("hooks").join(name), script);
    }
}

pub(super) fn hook(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A command whose git knows only the configuration of the tests.
fn isolated(program: impl AsRef<std::ffi::OsStr>, copy: &Copy) -> Command {
    let mut command = Command::new(program);
    let own = ["GIT_", "LAKE_", "EMAIL"];
    let others = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in others.filter(|name| own.iter().any(|start| name.starts_with(start))) {
        command.env_remove(name);
    }
    command
        .env("GIT_CONFIG_GLOBAL", &copy.config)
        .env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn run(copy: &Copy, directory: &Path, arguments: &[&str]) -> Ended {
    let mut git = isolated("git", copy);
    Ended::of(git.args(arguments).current_dir(directory).output().unwrap())
}

impl Copy {
    #[track_caller]
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let ended = run(self, &self.path, arguments);
        ended.assert(0, &[]).stdout.trim_end().to_owned()
    }

    pub(super) fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    pub(super) fn commit(&self, file: &str, text: &str, subject: &str) {
        self.write(file, text);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut lake = isolated(binary(), self);
        lake.args(["plugin", "bump", "meters"])
            .args(arguments)
            .current_dir(&self.path);
        lake
    }

    pub(super) fn bump(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    #[track_caller]
    pub(super) fn bumped(&self, arguments: &[&str]) -> Value {
        let ended = self.bump(&[&["--output", "json"], arguments].concat());
        ended.assert(0, &[]).json()
    }

    /// Everything that a command could leave behind: commit, branches, tags, index and files.
    pub(super) fn state(&self) -> String {
        let head = self.git(&["rev-parse", "HEAD"]);
        let references = self.git(&["for-each-ref"]);
        let status = self.git(&["status", "--porcelain", "--untracked-files=all"]);
        let files = ["meters/Cargo.toml", "Cargo.lock"].map(|file| self.read(file));
        format!("{head}\n{references}\n{status}\n{}", files.concat())
    }
}
