//! Golden cases from `cargo test`: raw files in, expected tables out.
//!
//! The cases are in `tests/golden` of the transform's crate. The `lake` that is installed builds
//! the transform, loads it and runs them, as `lake plugin test` does; nothing of a database engine
//! is compiled for that. `tests/golden.rs` of a crate is
//!
//! ```no_run
//! #[test]
//! fn golden_cases() {
//!     lake_plugin::golden::check(env!("CARGO_MANIFEST_DIR"));
//! }
//! ```

use std::env;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// What cargo tells a test about its own crate. The cargo that builds the transform is another,
/// and finds the world as the person who started the first one sees it.
const OF_THIS_TEST: [&str; 4] = [
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// Checks all golden cases of the crate in `directory`, with the `lake` that the variable `LAKE`
/// names, or else the one on the `PATH`. Where `LAKE_UPDATE_GOLDEN` is `1`, it writes what the
/// cases expect instead.
///
/// # Panics
/// Where a case differs, with the difference; and where there is no `lake`, with how to get one.
#[track_caller]
#[expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "it is the body of a test, which fails by a panic, and `--nocapture` shows what it prints"
)]
pub fn check(directory: impl AsRef<Path>) {
    let lake = env::var_os("LAKE").filter(|lake| !lake.is_empty());
    let lake = lake.unwrap_or_else(|| "lake".into());
    let mut command = Command::new(&lake);
    command.args(["plugin", "test"]).arg(directory.as_ref());
    for (name, _) in env::vars_os() {
        let shown = name.to_string_lossy();
        if OF_THIS_TEST.iter().any(|start| shown.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    let lake = lake.display();
    match command.output() {
        Ok(ended) => {
            print!("{}", String::from_utf8_lossy(&ended.stdout));
            if !ended.status.success() {
                let stderr = String::from_utf8_lossy(&ended.stderr);
                panic!(
                    "`{lake} plugin test` ended with {}:\n{stderr}",
                    ended.status
                );
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => panic!(
            "there is no `{lake}`, which golden cases are run with: put lake on the PATH, or its \
             path into the variable LAKE; `cargo install --path crates/lake` in its repository \
             installs it"
        ),
        Err(error) => panic!("`{lake}` cannot be started: {error}"),
    }
}
