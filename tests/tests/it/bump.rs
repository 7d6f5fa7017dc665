//! Versions by tag: what `lake plugin bump` leaves in a repository and its remote.

mod refused;
mod server;

use std::fs;

use lake_tests::Ended;
use serde_json::Value;

use crate::team::{Team, built, triple};
use server::{Copy, IDENTITY, MANIFEST, Server, lock};

#[test]
fn the_first_release_is_the_version_that_the_crate_says() {
    let server = Server::new();
    let copy = server.copy("a");
    let said = copy.bumped(&["--push"]);
    assert_eq!(
        (&said["name"], &said["previous"], &said["version"]),
        (&"meters".into(), &Value::Null, &"1.0.0".into())
    );
    assert_eq!(
        (&said["tag"], &said["pushed"], &said["status"]),
        (&"meters-v1.0.0".into(), &true.into(), &"tagged".into())
    );
    assert_eq!(server.tags(), ["meters-v1.0.0"]);
    assert!(server.references().starts_with("commit "));
    assert!(server.references().contains("\ntag "), "it is annotated");
    let log = server.shows("meters/CHANGELOG.md");
    assert!(log.starts_with("# Changelog\n\n## 1.0.0 - 20"), "{log}");
    assert!(log.ends_with("- The first release."), "{log}");
}

#[test]
fn the_next_version_is_written_committed_tagged_and_pushed_at_once() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.commit("README.md", "Not of the crate.\n", "Say what this is");
    copy.commit(
        "meters/CHANGELOG.md",
        &format!(
            "# Changelog\n\n## Unreleased\n\n### Fixed\n- Zones.\n\n{}",
            copy.read("meters/CHANGELOG.md")
                .replace("# Changelog\n\n", "")
        ),
        "Fix zones",
    );
    let said = copy.bumped(&["--push"]);
    assert_eq!(
        (&said["previous"], &said["version"], &said["level"]),
        (&"1.0.0".into(), &"1.1.0".into(), &"minor".into())
    );
    assert_eq!(server.tags(), ["meters-v1.0.0", "meters-v1.1.0"]);

    let manifest = MANIFEST.replace("\n[workspace]\n", "");
    let expected = manifest.replace("1.0.0", "1.1.0");
    assert_eq!(server.shows("meters/Cargo.toml"), expected.trim_end());
    let log = server.shows("meters/CHANGELOG.md");
    let (_, log) = log.split_once("## Unreleased\n\n## 1.1.0 - ").unwrap();
    let (_, log) = log.split_once('\n').unwrap();
    let expected = "\n### Fixed\n- Zones.\n\n- Fix zones\n- Read meters\n\n## 1.0.0 - 20";
    assert!(log.starts_with(expected), "{log}");

    // The tag is the commit that the branch is at, and says what is new.
    let tagged = copy.git(&["rev-parse", "meters-v1.1.0^{commit}"]);
    assert_eq!(copy.git(&["rev-parse", "HEAD"]), tagged);
    assert!(
        server
            .references()
            .contains(&format!("{tagged} refs/heads/main"))
    );
    let message = copy.git(&["tag", "--list", "-n9", "meters-v1.1.0"]);
    assert!(message.contains("### Fixed"), "{message}");
    assert_eq!(copy.git(&["log", "-1", "--format=%s"]), "meters 1.1.0");
    assert_eq!(copy.git(&["status", "--porcelain"]), "");
    // Of the lock, only the version of the crate has changed, and cargo takes it.
    let lock = lock("1.0.0");
    let expected = lock.replacen("version = \"1.0.0\"", "version = \"1.1.0\"", 1);
    assert_eq!(copy.read("Cargo.lock"), expected);
}

#[test]
fn levels_are_as_asked_for() {
    let server = Server::released();
    for (level, version) in [("patch", "1.0.1"), ("minor", "1.1.0"), ("major", "2.0.0")] {
        let copy = server.copy(level);
        let said = copy.bumped(&["--level", level, "--dry-run"]);
        assert_eq!(
            (&said["version"], &said["level"], &said["status"]),
            (&version.into(), &level.into(), &"planned".into())
        );
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let server = Server::released();
    let copy = server.copy("a");
    let before = (copy.state(), server.references());
    copy.bump(&["--dry-run", "--push"]).assert_prints(&[
        "meters 1.1.0 would be tagged meters-v1.1.0; before it was 1.0.0",
        "would change meters/Cargo.toml",
        "would change meters/CHANGELOG.md",
        "would change Cargo.lock",
    ]);
    assert_eq!((copy.state(), server.references()), before);
}

#[test]
fn without_push_the_remote_has_nothing_until_somebody_pushes() {
    let server = Server::released();
    let copy = server.copy("a");
    let before = server.references();
    let said = copy.bump(&[]);
    said.assert_prints(&[
        "meters 1.1.0 is tagged meters-v1.1.0",
        "Next:  git push --atomic origin HEAD:refs/heads/main refs/tags/meters-v1.1.0",
    ]);
    assert_eq!(server.references(), before);
    let said = copy.bumped(&["--push"]);
    assert_eq!(
        (&said["status"], &said["pushed"], &said["previous"]),
        (&"already_tagged".into(), &true.into(), &"1.0.0".into())
    );
    assert_eq!(server.tags(), ["meters-v1.0.0", "meters-v1.1.0"]);
}

#[test]
fn a_commit_is_tagged_once() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.bump(&["--push"]).assert(0, &[]);
    let before = server.references();
    let said = copy.bumped(&["--push", "--level", "major"]);
    assert_eq!(
        (&said["status"], &said["version"], &said["pushed"]),
        (&"already_tagged".into(), &"1.1.0".into(), &false.into())
    );
    copy.bump(&["--push"])
        .assert_prints(&["this commit is tagged meters-v1.1.0 already"]);
    // Also where the tag itself was never fetched.
    let other = server.copy("b");
    let said = other.bumped(&["--push"]);
    assert_eq!(said["status"], "already_tagged");
    assert_eq!(server.references(), before);
}

#[test]
fn a_crate_that_has_not_changed_is_not_released() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.bump(&["--push"]).assert(0, &[]);
    // Other crates change, and are released.
    copy.commit("orders/src/lib.rs", "//! Orders, paid.\n", "Pay orders");
    let lock = copy.read("Cargo.lock");
    let other = "name = \"orders\"\nversion = ";
    let lock = lock.replace(&format!("{other}\"1.0.0\""), &format!("{other}\"1.1.0\""));
    copy.commit("Cargo.lock", &lock, "orders 1.1.0");
    let before = (copy.state(), server.references());
    let said = copy.bumped(&["--push"]);
    assert_eq!(
        (&said["status"], &said["version"], &said["tag"]),
        (
            &"nothing_to_release".into(),
            &"1.1.0".into(),
            &"meters-v1.1.0".into()
        )
    );
    copy.bump(&["--push"])
        .assert_prints(&["meters 1.1.0: nothing to release since meters-v1.1.0"]);
    assert_eq!((copy.state(), server.references()), before);
    // What it is built from counts.
    let lock = lock.replace(
        "name = \"serde\"\nversion = \"1.0.0\"",
        "name = \"serde\"\nversion = \"1.0.9\"",
    );
    copy.commit("Cargo.lock", &lock, "Bring serde up to date");
    assert_eq!(copy.bumped(&["--dry-run"])["version"], "1.2.0");
}

#[test]
fn tags_of_others_and_tags_that_are_no_versions_do_not_count() {
    let server = Server::released();
    let copy = server.copy("a");
    for tag in [
        "v9.0.0",
        "meters-vnext",
        "meters-v2",
        "orders-v3.0.0",
        "meters-extra-v4.0.0",
    ] {
        copy.git(&["tag", tag]);
        copy.git(&["push", "--quiet", "origin", tag]);
    }
    // The commit has those, and none of the transform.
    assert_eq!(copy.bumped(&["--push"])["version"], "1.1.0");
}

#[test]
fn a_version_that_was_edited_by_hand_is_taken_where_it_is_enough() {
    let server = Server::released();
    let copy = server.copy("a");
    let edit = |version: &str| {
        let manifest = copy.read("meters/Cargo.toml");
        let manifest = manifest.replace("\"1.0.0\"", &format!("\"{version}\""));
        copy.commit("meters/Cargo.toml", &manifest, "Another version");
    };
    edit("3.0.0-rc.1");
    let said = copy.bumped(&["--push"]);
    assert_eq!(said["version"], "3.0.0-rc.1");
    // What follows a pre-release is the version that it is of.
    copy.commit("meters/src/lib.rs", "//! Meters!\n", "Be sure");
    let said = copy.bumped(&["--push"]);
    assert_eq!(
        (&said["version"], &said["previous"]),
        (&"3.0.0".into(), &"1.0.0".into())
    );
    let log = server.shows("meters/CHANGELOG.md");
    assert!(log.contains("- Be sure\n"), "{log}");
}

#[test]
fn a_detached_commit_as_in_ci_is_pushed_to_the_branch() {
    let server = Server::released();
    let copy = server.copy("a");
    copy.git(&["checkout", "--quiet", "--detach", "origin/main"]);
    assert_eq!(copy.bumped(&["--push"])["pushed"], true);
    let head = copy.git(&["rev-parse", "HEAD"]);
    assert!(
        server
            .references()
            .contains(&format!("{head} refs/heads/main"))
    );
}

#[test]
fn a_shallow_clone_gets_the_history_that_it_needs() {
    let server = Server::released();
    let copy = server.copy("more");
    copy.commit("meters/src/more.rs", "//! More.\n", "Read more");
    copy.git(&["push", "--quiet", "origin", "main"]);
    let shallow = server.copy_with("shallow", &["--depth", "1"]);
    let said = shallow.bumped(&["--dry-run"]);
    assert_eq!(said["version"], "1.1.0");
    let why = said["why"].to_string();
    assert!(why.contains("git fetch --unshallow"), "{why}");
    assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]), "1");

    shallow.bump(&["--push"]).assert(0, &[]);
    let log = server.shows("meters/CHANGELOG.md");
    assert!(log.contains("- Read more\n- Read meters\n"), "{log}");
}

#[test]
fn a_tag_that_is_another_commit_at_the_remote_is_no_success() {
    let server = Server::released();
    let copies = ["one", "other"].map(|name| server.copy(name));
    for copy in &copies {
        let text = format!("//! {}.\n", copy.path.display());
        copy.commit("meters/src/lib.rs", &text, "Change");
        copy.bump(&[]).assert(0, &[]);
    }
    let [one, other] = copies;
    let push = ["push", "--quiet", "--atomic", "origin"];
    one.git(&[&push[..], &["HEAD:refs/heads/main", "meters-v1.1.0"]].concat());
    let before = server.references();
    let refused = other.bump(&["--push"]);
    refused.assert(
        1,
        &[
            "somebody else has released it meanwhile",
            "git tag --delete meters-v1.1.0",
        ],
    );
    assert_eq!(server.references(), before);
}

#[test]
fn a_token_in_the_url_of_a_remote_is_said_nowhere() {
    let server = Server::released();
    let copy = server.copy("copy");
    let said = copy.bump(&["--remote", "https://oauth2:canary-71c0@127.0.0.1:1/a.git"]);
    said.assert(1, &["cannot be read"]);
    assert!(!said.stderr.contains("canary-71c0"), "{}", said.stderr);
}

/// A repository with the crate of a team, which has published 1.0.0, and a change of it.
fn team(which: &str) -> (Team, Copy) {
    let team = Team::with(&["1.0.0"]);
    let copy = Copy {
        path: team.path("clone"),
        config: team.path("gitconfig"),
    };
    fs::write(&copy.config, IDENTITY).unwrap();
    fs::create_dir(&copy.path).unwrap();
    let remote = team.path("remote.git").display().to_string();
    copy.git(&["init", "--quiet", "--bare", &remote]);
    copy.git(&["init", "--quiet"]);
    copy.git(&["remote", "add", "origin", &remote]);
    let put = |which: &str, subject: &str| {
        for file in ["Cargo.toml", "Cargo.lock", "src/lib.rs"] {
            let text = fs::read_to_string(built(which).directory.join(file)).unwrap();
            copy.write(&format!("meters/{file}"), &text);
        }
        copy.git(&["add", "--all"]);
        copy.git(&["commit", "--quiet", "--message", subject]);
    };
    put("1.0.0", "Begin");
    copy.git(&[
        "tag",
        "--annotate",
        "--message",
        "meters 1.0.0",
        "meters-v1.0.0",
    ]);
    copy.git(&["push", "--quiet", "origin", "main", "meters-v1.0.0"]);
    put(which, "Change");
    (team, copy)
}

#[test]
fn changes_since_the_published_release_raise_the_level_with_their_reasons() {
    let (team, copy) = team("1.0.1 narrow");
    let library = format!("{}={}", triple(), built("1.0.1 narrow").library.display());
    let compared = |arguments: &[&str]| {
        let common = ["--library", &library, "--output", "json"];
        let mut lake = copy.command(&[&common, arguments].concat());
        lake.env("LAKE_REGISTRY", team.path("registry"))
            .env("LAKE_CACHE", team.path("cache"));
        lake
    };
    let mut trusting = compared(&["--level", "patch", "--push"]);
    trusting.env("LAKE_TRUSTED_KEYS", team.path("trusted.toml"));
    let mut doubting = compared(&["--level", "patch", "--push"]);

    let refused = Ended::of(doubting.output().unwrap());
    refused.assert(
        1,
        &["cannot be compared with meters 1.0.0", "--trusted-keys"],
    );
    let said = Ended::of(trusting.output().unwrap());
    let said = said.assert(0, &[]).json();
    assert_eq!(
        (&said["version"], &said["level"], &said["previous"]),
        (&"2.0.0".into(), &"major".into(), &"1.0.0".into())
    );
    let why = said["why"].to_string();
    for reason in [
        "patch is asked for",
        "the changes since 1.0.0 are major, which is more",
        "major: standard/readings.usage_kwh is removed",
    ] {
        assert!(why.contains(reason), "{why}");
    }
}

#[test]
fn without_a_registry_nothing_is_built() {
    let (team, copy) = team("1.0.1 narrow");
    let cache = team.path("cache-of-none");
    let mut lake = copy.command(&["--output", "json"]);
    lake.env("LAKE_CACHE", &cache);
    let said = Ended::of(lake.output().unwrap());
    assert_eq!(said.assert(0, &[]).json()["version"], "1.1.0");
    assert!(!cache.exists());
}
