//! What `lake plugin bump` refuses, and that it leaves nothing behind then.

use std::fs;
use std::thread;

use lake_tests::{Ended, binary};

use super::server::{Copy, MANIFEST, Server, hook};

#[test]
fn what_was_released_from_elsewhere_is_not_passed_over() {
    let server = Server::released();
    let (late, early) = (server.copy("late"), server.copy("early"));
    late.commit("meters/src/late.rs", "//! Late.\n", "Be late");
    early.bump(&["--push"]).assert(0, &[]);
    let before = (late.state(), server.references());
    late.bump(&["--push"]).assert(
        1,
        &[
            "meters-v1.1.0 is not behind this commit: somebody released",
            "git pull --rebase origin main",
        ],
    );
    assert_eq!((late.state(), server.references()), before);
    late.git(&["pull", "--quiet", "--rebase", "origin", "main"]);
    assert_eq!(late.bumped(&["--push"])["version"], "1.2.0");
}

#[test]
fn a_commit_that_was_released_already_is_refused_by_that_name() {
    let server = Server::released();
    let (one, other) = (server.copy("one"), server.copy("other"));
    one.bump(&["--push"]).assert(0, &[]);
    let before = (other.state(), server.references());
    let refused = other.bump(&["--push"]);
    refused.assert(1, &["this commit was released already, as meters-v1.1.0"]);
    assert_eq!((other.state(), server.references()), before);
}

#[test]
fn files_that_are_not_committed_are_named() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.write("meters/src/lib.rs", "//! Half done.\n");
    copy.write("meters/src/new.rs", "//! New.\n");
    let before = copy.state();
    copy.bump(&[]).assert(
        1,
        &[
            "not committed: meters/src/lib.rs, meters/src/new.rs;",
            "git stash",
        ],
    );
    assert_eq!(copy.state(), before);
    copy.git(&["stash", "--quiet", "--include-untracked"]);
    // Others are nobody's business, and stay out of the commit, also where they are staged.
    copy.write("orders/src/lib.rs", "//! Half done.\n");
    copy.git(&["add", "orders/src/lib.rs"]);
    copy.bump(&["--push"]).assert(0, &[]);
    assert_eq!(copy.git(&["status", "--porcelain"]), "M  orders/src/lib.rs");
    assert_eq!(server.shows("orders/src/lib.rs"), "//! Orders.");
}

#[test]
fn a_branch_of_another_name_is_not_pushed_over_the_main_one() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.git(&["checkout", "--quiet", "-b", "idea"]);
    let before = server.references();
    copy.bump(&["--push"])
        .assert(1, &["this is the branch idea", "--branch"]);
    assert_eq!(server.references(), before);
    copy.bump(&["--push", "--branch", "idea"]).assert(0, &[]);
    assert!(server.references().contains("refs/heads/idea"));
}

#[test]
fn of_two_that_release_at_once_one_is_tagged_and_the_other_leaves_nothing() {
    let server = Server::released();
    for round in 0..5 {
        let own = server.copy(&format!("own{round}"));
        own.commit(
            "meters/src/lib.rs",
            &format!("//! Round {round}.\n"),
            "Go on",
        );
        own.git(&["push", "--quiet", "origin", "main"]);
        let racers = [0, 1].map(|n| server.copy(&format!("racer{round}-{n}")));
        let before = racers.each_ref().map(Copy::state);
        let started = racers
            .clone()
            .map(|racer| thread::spawn(move || racer.bump(&["--push", "--output", "json"])));
        let ended = started.map(|thread| thread.join().unwrap());
        let mut codes = ended.each_ref().map(|ended| ended.code);
        codes.sort_unstable();
        assert_eq!(codes, [0, 1], "{ended:?}");
        assert_eq!(server.tags().len(), round + 2, "{:?}", server.tags());
        for ((racer, before), ended) in racers.iter().zip(before).zip(&ended) {
            if ended.code == 1 {
                let fetched = |state: &str| {
                    let lines = state.lines().filter(|line| !line.contains("refs/remotes/"));
                    lines.map(str::to_owned).collect::<Vec<_>>()
                };
                assert_eq!(fetched(&racer.state()), fetched(&before));
            }
        }
    }
}

#[test]
fn a_push_that_comes_second_is_taken_back() {
    let server = Server::released();
    let (first, second) = (server.copy("first-one"), server.copy("second"));
    // The other one is faster, between what the second has seen and its push.
    let faster = format!(
        "unset GIT_DIR GIT_INDEX_FILE GIT_PREFIX GIT_WORK_TREE\ncd '{}'\nexec '{}' plugin bump meters --push >&2",
        first.path.display(),
        binary().display()
    );
    hook(&second.path.join(".git/hooks/pre-push"), &faster);
    let before = second.state();
    second.bump(&["--push"]).assert(
        1,
        &[
            "somebody else was faster, and has tagged meters-v1.1.0 meanwhile",
            "Nothing of the new version is left here",
        ],
    );
    assert_eq!(second.state(), before);
    assert_eq!(server.tags(), ["meters-v1.0.0", "meters-v1.1.0"]);
    let head = first.git(&["rev-parse", "HEAD"]);
    assert!(
        server
            .references()
            .contains(&format!("{head} refs/heads/main"))
    );
}

#[test]
fn what_the_server_refuses_leaves_nothing_and_its_words_are_told() {
    let server = Server::released();
    server.hook("pre-receive", "echo 'no releases on a Friday'; exit 1");
    let copy = server.copy("a");
    let before = (copy.state(), server.references());
    copy.bump(&["--push"]).assert(
        1,
        &[
            "no releases on a Friday",
            "Nothing of the new version is left",
        ],
    );
    assert_eq!((copy.state(), server.references()), before);
    // One that refuses tags alone gets no branch either.
    server.hook("pre-receive", "");
    server.hook("update", "case $1 in refs/tags/*) exit 1;; esac");
    copy.bump(&["--push"]).assert(1, &["did not take"]);
    assert_eq!((copy.state(), server.references()), before);
}

#[test]
fn a_hook_that_refuses_the_commit_leaves_nothing() {
    let server = Server::new();
    let copy = server.copy("a");
    let path = copy.path.join(".git/hooks/pre-commit");
    hook(&path, "echo 'not like this' >&2; exit 1");
    let before = copy.state();
    copy.bump(&["--push"])
        .assert(1, &["cannot be committed", "not like this"]);
    assert_eq!(copy.state(), before);
    assert!(!copy.path.join("meters/CHANGELOG.md").exists());
    assert!(server.tags().is_empty());
}

#[test]
fn who_commits_has_to_be_known() {
    let server = Server::released();
    let copy = server.copy("a");
    let before = copy.state();
    let anonymous = Copy {
        config: copy.path.with_extension("anonymous"),
        ..copy.clone()
    };
    fs::write(&anonymous.config, "[user]\nuseConfigOnly = true\n").unwrap();
    anonymous
        .bump(&["--push"])
        .assert(1, &["git config user.name", "GIT_AUTHOR_NAME"]);
    assert_eq!(copy.state(), before);
    let named = ["AUTHOR", "COMMITTER"].into_iter().flat_map(|role| {
        [
            (format!("GIT_{role}_NAME"), "CI"),
            (format!("GIT_{role}_EMAIL"), "ci@example.com"),
        ]
    });
    let ended = anonymous.command(&["--push"]).envs(named).output().unwrap();
    Ended::of(ended).assert(0, &[]);
    assert_eq!(copy.git(&["log", "-1", "--format=%an"]), "CI");
}

#[test]
fn what_cannot_be_done_is_said() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.bump(&["--remote", "elsewhere"])
        .assert(1, &["the remote elsewhere cannot be read", "--remote"]);
    copy.bump(&["--remote", "--upload-pack=touch x"])
        .assert(2, &[]);
    copy.git(&["tag", "meters-v1.1.0", "HEAD~1"]);
    copy.bump(&[]).assert(1, &["git tag -d meters-v1.1.0"]);
    let manifest =
        "[workspace]\nmembers = [\"meters\"]\n[workspace.package]\nversion = \"1.0.0\"\n";
    copy.commit("Cargo.toml", manifest, "Share the version");
    copy.commit(
        "meters/Cargo.toml",
        "[package]\nname = \"meters\"\nversion.workspace = true\n",
        "Share the version",
    );
    copy.bump(&["--level", "major"])
        .assert(1, &["meters/Cargo.toml", "that of its workspace"]);
    let outside = tempfile::tempdir().unwrap();
    let lone = Copy {
        path: outside.path().to_owned(),
        ..copy.clone()
    };
    lone.bump(&[]).assert(2, &["there is no crate at"]);
    lone.write("meters/Cargo.toml", MANIFEST);
    lone.write("meters/src/lib.rs", "");
    lone.bump(&[]).assert(1, &["is in no git repository"]);
    lone.git(&["init", "--quiet"]);
    lone.bump(&[]).assert(1, &["there is no commit yet"]);
}
