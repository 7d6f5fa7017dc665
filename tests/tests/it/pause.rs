//! A started `lake` that is held at one change of its file system, for the tests that kill it there.
//!
//! `tests/pause/pause.c` is preloaded into the process: it creates a file when the change comes,
//! and holds the thread that asks for it until the file is gone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use lake_tests::{Ended, workspace};

/// What a run of a test takes at most until it is where the test wants it.
const PATIENCE: Duration = Duration::from_secs(120);

/// On which side of a change a process is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// A change of the file system: a file gets a name that contains a text.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) when: When,
    pub(crate) path: String,
    /// The first time that it happens, or a later one; counted from 1.
    pub(crate) nth: usize,
}

impl Change {
    pub(crate) fn before(path: &str) -> Self {
        Self::first(When::Before, path)
    }

    pub(crate) fn after(path: &str) -> Self {
        Self::first(When::After, path)
    }

    fn first(when: When, path: &str) -> Self {
        Self {
            when,
            path: path.to_owned(),
            nth: 1,
        }
    }

    pub(crate) fn nth(mut self, nth: usize) -> Self {
        self.nth = nth;
        self
    }
}

/// A process that has come to its change and is held there. It ends with this value.
#[derive(Debug)]
pub(crate) struct Held {
    child: Option<Child>,
    marker: PathBuf,
}

impl Held {
    /// Starts a command and waits until it comes to `change`, which it has to.
    ///
    /// `marker` is a path for the file that says so; nothing is there yet.
    #[track_caller]
    pub(crate) fn start(mut command: Command, change: &Change, marker: PathBuf) -> Self {
        assert!(!marker.exists(), "{} is there", marker.display());
        let when = match change.when {
            When::Before => "before",
            When::After => "after",
        };
        let child = command
            .env("LD_PRELOAD", library())
            .env("LAKE_TEST_PAUSE_AT", &change.path)
            .env("LAKE_TEST_PAUSE_NTH", change.nth.to_string())
            .env("LAKE_TEST_PAUSE_WHEN", when)
            .env("LAKE_TEST_PAUSE_MARKER", &marker)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = Self {
            child: Some(child),
            marker,
        };
        held.wait_until_it_is_there(change);
        held
    }

    #[track_caller]
    fn wait_until_it_is_there(&mut self, change: &Change) {
        let child = self.child.as_mut().unwrap();
        let since = Instant::now();
        while !self.marker.exists() {
            if child.try_wait().unwrap().is_some() {
                let ended = Ended::of(self.child.take().unwrap().wait_with_output().unwrap());
                panic!("it ended and never came to {change:?}: {ended:?}");
            }
            let waited = since.elapsed();
            assert!(waited < PATIENCE, "{waited:?} and not at {change:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The process is no more, without a chance to say or do anything.
    pub(crate) fn kill(mut self) {
        self.kill_child();
    }

    /// No thread of the process does anything until it goes on.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// The process goes on.
    pub(crate) fn wake(&self) {
        fs::remove_file(&self.marker).unwrap();
        self.signal("CONT");
    }

    /// Waits until the process has come to its end.
    pub(crate) fn end(mut self) -> Ended {
        Ended::of(self.child.take().unwrap().wait_with_output().unwrap())
    }

    /// Of this process only: the test has started it and has not waited for its end.
    fn signal(&self, name: &str) {
        let process = self.id().to_string();
        let kill = ["-c", "kill -\"$0\" \"$1\"", name, &process];
        let ended = Command::new("sh").args(kill).output().unwrap();
        Ended::of(ended).assert(0, &[]);
    }

    fn kill_child(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill_child();
    }
}

/// The library that holds a process. A C compiler is wherever Rust links.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(directory).unwrap();
        let library = directory.join("pause.so");
        // Another run of these tests may be using the one that is there.
        let fresh = directory.join(format!("pause-{}.so", std::process::id()));
        let compiler = env::var_os("CC").unwrap_or("cc".into());
        let compiled = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-o"])
            .arg(&fresh)
            .arg(workspace().join("tests/pause/pause.c"))
            .arg("-ldl")
            .output();
        let compiled =
            compiled.unwrap_or_else(|e| panic!("{} cannot be started: {e}", compiler.display()));
        Ended::of(compiled).assert(0, &[]);
        fs::rename(fresh, &library).unwrap();
        library
    })
}
