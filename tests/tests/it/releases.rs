//! Releases: made, chosen, pinned, yanked, and refused where they are not what they say.

use std::fs;
use std::process::Command;

use lake_tests::{Ended, Lake, csv, reading, target};
use serde_json::Value;

use crate::team::{Team, built};

#[test]
fn the_newest_release_within_the_requirement_runs_and_the_plan_says_why() {
    let team = Team::with(&["1.0.0", "1.1.0", "1.2.0"]);
    team.publish("2.0.0 narrow", &[]).assert(0, &[]);
    team.plugin(&["yank", "meters@1.2.0", "--reason", "loses rows"])
        .assert_prints(&["meters 1.2.0 is yanked"]);
    team.plan(&[])
        .assert_prints(&["1.1.0: newest within 1; 1.2.0 is yanked (loses rows)"]);
    let run = team.assert_runs("1.1.0", &[]);
    run.assert_prints(&["transform meters 1.1.0"]);

    let list = team.plugin(&["list", "meters"]);
    list.assert_prints(&["1.0.0 ", "signed by team, yanked (loses rows)"]);
    let twice = team.plugin(&["yank", "meters@1.2.0"]);
    twice.assert_prints(&["was yanked (loses rows) before"]);
    team.plugin(&["yank", "meters@1.2.0", "--undo"])
        .assert_prints(&["not yanked any more"]);
    team.assert_runs("1.2.0", &[]);
    team.plugin(&["yank", "meters@3.0.0"])
        .assert(1, &["has no release meters 3.0.0"]);
}

#[test]
fn a_pin_holds_until_somebody_moves_it() {
    let team = Team::with(&["1.0.0"]);
    team.assert_refused(
        &["--locked"],
        &["lake.lock has no entry", "lake plugin update"],
    );
    team.update(&[])
        .assert_prints(&["meters is pinned to 1.0.0: newest within 1", "lake.lock"]);
    team.publish("1.1.0", &[]).assert(0, &[]);
    team.assert_runs("1.0.0", &[]);
    team.assert_runs("1.0.0", &["--locked"]);
    team.plan(&[])
        .assert_prints(&["1.0.0: pinned by lake.lock"]);

    let asked = ["--transform", "meters@1.1.0"];
    team.plan(&asked)
        .assert_prints(&["1.1.0: asked for", "lake.lock pins 1.0.0"]);
    team.assert_runs("1.1.0", &asked);
    let other = ["--transform", "readings@1.1.0"];
    team.lake
        .run(&other)
        .assert(2, &["asks for readings", "uses meters"]);
    team.update(&other)
        .assert(2, &["asks for readings", "uses meters"]);

    team.plugin(&["yank", "meters@1.0.0"]).assert(0, &[]);
    let run = team.assert_runs("1.0.0", &["--locked"]);
    assert!(run.stderr.contains("1.0.0 is yanked"), "{}", run.stderr);
    team.plan(&[]).assert_prints(&["1.0.0 is yanked"]);

    let path = format!("transform.path={}", built("1.0.0").directory.display());
    let path = ["--locked", "--set", &path];
    team.lake
        .run(&path)
        .assert(2, &["transform.path is", "a locked run does not use"]);

    let moved = team.update(&["--output", "json"]).assert(0, &[]).json();
    assert_eq!(
        (&moved["before"], &moved["after"]),
        (&"1.0.0".into(), &"1.1.0".into())
    );
    team.assert_runs("1.1.0", &["--locked"]);
    team.update(&[]).assert_prints(&["meters stays at 1.1.0"]);
    let back = team.update(&["--transform", "meters@1.0.0"]);
    back.assert_prints(&["meters 1.1.0 → 1.0.0: asked for"]);
}

#[test]
fn a_version_that_promises_more_than_it_keeps_is_refused_with_the_reasons() {
    let team = Team::with(&["1.0.0"]);
    let reason = "major: standard/readings.usage_kwh";
    team.publish("1.0.1 narrow", &[]).assert(
        1,
        &[
            "1.0.1 cannot follow 1.0.0: the changes are major, so the next version is 2.0.0",
            reason,
            "nothing was published",
        ],
    );
    let refused = team.publish("1.0.1 narrow", &["--dry-run", "--output", "json"]);
    let refused = refused.assert(1, &[]).json();
    assert_eq!(refused["smallest"], "2.0.0");
    assert_eq!(refused["reasons"][0]["level"], "major");

    let dry = team.publish("2.0.0 narrow", &["--dry-run"]);
    dry.assert_prints(&[
        "could be published",
        "the changes since 1.0.0 are major",
        reason,
    ]);
    let list = team.plugin(&["list", "--output", "json"]).json();
    assert_eq!(list["releases"].as_array().unwrap().len(), 1, "{list:#}");
    team.publish("2.0.0 narrow", &[])
        .assert_prints(&["meters 2.0.0 is published", reason]);
}

#[test]
fn publishing_again_is_safe_and_a_version_that_is_taken_is_told() {
    let team = Team::with(&["1.0.0"]);
    let again = team
        .publish("1.0.0", &["--output", "json"])
        .assert(0, &[])
        .json();
    assert_eq!(again["outcome"], "already_there");
    assert_eq!(again["release"], team.show("meters@1.0.0")["release"]);
    let file = fs::read(team.path("registry/meters/1.0.0/release.json")).unwrap();
    team.publish("1.0.0", &["--notes", "other"]).assert(
        1,
        &[
            "meters 1.0.0 is taken",
            "differs in notes",
            "another version",
        ],
    );
    let after = fs::read(team.path("registry/meters/1.0.0/release.json")).unwrap();
    assert_eq!(file, after);

    // A publisher that was killed has lost a blob: publishing again brings it back.
    fs::remove_file(team.library_blob("meters@1.0.0")).unwrap();
    let verify = ["verify", "meters@1.0.0"];
    team.plugin(&verify).assert(1, &["is missing"]);
    team.publish("1.0.0", &[]).assert(0, &[]);
    team.plugin(&verify)
        .assert_prints(&["is whole, and signed by team"]);
}

#[test]
fn what_follows_a_release_that_cannot_be_believed_is_not_taken_for_the_first() {
    let team = Team::with(&["1.0.0"]);
    team.plugin(&["key", "other"]).assert(0, &[]);
    let without = Team {
        lake: team.lake.variable("LAKE_TRUSTED_KEYS", ""),
    };
    without.publish("1.1.0", &["--key", "other.pem"]).assert(
        1,
        &[
            "1.1.0 follows 1.0.0, which it cannot be compared with",
            "--trusted-keys",
        ],
    );
}

#[test]
fn a_library_that_is_something_else_is_not_published() {
    let team = Team::new();
    let older = built("1.0.0");
    let newer = built("1.1.0");
    team.publish_from(&newer.directory, &older.library, &[])
        .assert(
            1,
            &[
                "says that it is version 1.0.0, and is to be published as 1.1.0",
                "nothing was published",
            ],
        );
    team.publish_from(&older.directory, &older.directory.join("Cargo.toml"), &[])
        .assert(1, &["is not a library that can be loaded here"]);
    team.publish("1.0.0 panics", &[]).assert(
        1,
        &[
            "break the boundary",
            "called for rows of NULL",
            "same",
            "panicked",
        ],
    );
    team.publish("1.0.0", &["--requires-host", ">=99"])
        .assert(2, &["leaves out this lake"]);
    let foreign = format!("wasm32-none={}", older.library.display());
    team.publish("1.0.0", &["--library", &foreign])
        .assert(0, &["the library for wasm32-none was not loaded here"]);
    let artifacts = team.show("meters@1.0.0")["says"]["artifacts"].clone();
    assert_eq!(artifacts.as_object().unwrap().len(), 2);
}

#[test]
fn golden_cases_that_differ_keep_a_transform_from_being_published() {
    let team = Team::new();
    let copy = team.copy_of("1.0.0");
    let case = copy.join("tests/golden/day");
    fs::create_dir_all(&case).unwrap();
    fs::write(case.join("case.toml"), "[params]\nfactor = \"1\"\n").unwrap();
    fs::write(case.join("readings.csv"), csv([reading(1, 7, 1, 0, "1.5")])).unwrap();
    let expected = "meter_id,start_time,usage_kwh\nM0000007,2025-06-01T00:00:00Z,9.000\n";
    fs::write(case.join("standard.readings.csv"), expected).unwrap();
    let library = &built("1.0.0").library;
    team.publish_from(&copy, library, &[]).assert(
        1,
        &[
            "standard.readings has other rows",
            "-M0000007",
            "Nothing was published.",
        ],
    );
    assert!(!team.path("registry").exists());

    fs::write(
        case.join("standard.readings.csv"),
        expected.replace("9.000", "1.500"),
    )
    .unwrap();
    team.publish_from(&copy, library, &[])
        .assert_prints(&["SQL of 1 table, 1 function, 1 golden case"]);
}

#[test]
fn a_release_names_its_commit_only_where_that_is_what_was_built() {
    let team = Team::new();
    let copy = team.copy_of("1.0.0");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&copy).args(arguments);
        let ended = git
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .output();
        Ended::of(ended.unwrap())
            .assert(0, &[])
            .stdout
            .trim()
            .to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    let library = &built("1.0.0").library;
    let dry = || {
        let ended = team.publish_from(&copy, library, &["--dry-run", "--output", "json"]);
        ended.assert(0, &[]).json()
    };
    assert_eq!(dry()["source_commit"], git(&["rev-parse", "HEAD"]).as_str());
    fs::write(copy.join("notes.txt"), "unfinished").unwrap();
    let changed = dry();
    assert_eq!(changed["source_commit"], Value::Null);
    let warning = changed["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("files differ from the last commit"),
        "{warning}"
    );
}

#[test]
fn a_release_says_what_it_is_made_of() {
    let team = Team::with(&["1.0.0"]);
    let shown = team.show("meters@1.0.0");
    assert_eq!(shown["signed_by"][0]["key"], "team");
    assert_eq!(
        shown["interface"]["tables"]["standard/readings"][2]["type"],
        "Decimal128(12, 3)"
    );
    let licences = shown["says"]["licences"].to_string();
    assert!(licences.contains("lake-plugin 0."), "{licences}");
    let sbom = shown["says"]["sbom"]["digest"].as_str().unwrap();
    let sbom = sbom.strip_prefix("sha256:").unwrap();
    let sbom = fs::read_to_string(team.path("registry/blobs/sha256").join(sbom)).unwrap();
    let bill: Value = serde_json::from_str(&sbom).unwrap();
    assert_eq!(bill["specVersion"], "1.5");
    assert_eq!(
        bill["metadata"]["component"]["purl"],
        "pkg:cargo/meters@1.0.0"
    );
    let components = bill["components"].as_array().unwrap();
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("arrow-array") && has("serde_json"));
    // What only runs while building is in no library.
    assert!(!has("serde_derive"), "{sbom}");
    let here = target().display().to_string();
    assert!(
        !sbom.contains(&here),
        "the bill names a path of this machine"
    );
    team.plugin(&["show", "meters@1.0.0"]).assert_prints(&[
        "signed by   team (key ",
        "table standard/readings",
        "factor",
    ]);
}

#[test]
fn wrong_usage_says_what_is_missing() {
    let lake = Lake::of("");
    let plugin = |arguments: &[&str]| lake.lake(&[&["plugin"], arguments].concat());
    plugin(&["list"]).assert(2, &["no registry is named", "LAKE_REGISTRY"]);
    let data = ["publish", "data", "--registry", "registry"];
    plugin(&data).assert(2, &["no key signs the release", "lake plugin key"]);
    plugin(&["show", "meters"]).assert(2, &["NAME@VERSION"]);
    plugin(&["key", " "]).assert(2, &["a key needs a name"]);
    plugin(&["list", "--registry", "registry"]).assert_prints(&["has no such release"]);
    assert!(!lake.directory().join("registry").exists());
    plugin(&["show", "meters@1.0.0", "--registry", "registry"])
        .assert(1, &["has no release meters 1.0.0"]);
}
