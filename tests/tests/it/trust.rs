//! What was tampered with is not loaded, what nobody trusted has signed neither, and no private key
//! is ever said.

use std::fs;
use std::path::Path;

use lake_tests::target;

use crate::team::{Team, built};

/// Changes one byte in the middle of a file, whatever its permissions are.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_library_that_was_tampered_with_is_never_loaded() {
    let team = Team::with(&["1.0.0"]);
    let blob = team.library_blob("meters@1.0.0");
    let digest = format!("sha256:{}", blob.file_name().unwrap().to_str().unwrap());
    damage(&blob);
    let both = ["should be ", &digest, " and is sha256:", "not used"];
    team.assert_refused(&[], &both);
    team.plugin(&["verify", "meters@1.0.0"]).assert(1, &both);
    fs::copy(&built("1.0.0").library, &blob).unwrap();

    // A copy that this machine keeps is checked each time, and replaced.
    team.assert_runs("1.0.0", &[]);
    let copy = team.path("cache/releases").join(blob.file_name().unwrap());
    damage(&copy);
    team.assert_runs("1.0.0", &[]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&blob).unwrap());
    // With neither of them, nothing is loaded.
    damage(&copy);
    damage(&blob);
    team.lake.run(&[]).assert(1, &both);
}

#[test]
fn a_release_or_lock_that_was_tampered_with_is_refused() {
    let team = Team::with(&["1.0.0"]);
    team.update(&[]).assert(0, &[]);
    let release = team.path("registry/meters/1.0.0/release.json");
    let whole = fs::read_to_string(&release).unwrap();
    let digest = team.show("meters@1.0.0")["release"].clone();

    // The same release, signed and all, in other bytes: the pin says which bytes.
    fs::write(&release, format!("{whole} ")).unwrap();
    team.assert_refused(&[], &[digest.as_str().unwrap(), "lake.lock", "tampered"]);
    fs::write(
        &release,
        whole.replacen("\"sig\": \"", "\"sig\": \"AAAA", 1),
    )
    .unwrap();
    team.assert_refused(&[], &["release.json"]);
    fs::write(&release, whole).unwrap();

    let lock = team.path("pipelines/lake.lock");
    let pinned = fs::read_to_string(&lock).unwrap();
    fs::write(
        &lock,
        pinned.replace("version = \"1.0.0\"", "version = \"1.0.9\""),
    )
    .unwrap();
    team.assert_refused(
        &[],
        &[
            "lake.lock:",
            "was changed by hand",
            "its digest is sha256:",
            "says sha256:",
        ],
    );
    fs::write(&lock, pinned).unwrap();
    team.assert_runs("1.0.0", &["--locked"]);
}

#[test]
fn an_old_release_in_the_place_of_a_newer_one_is_refused() {
    let team = Team::with(&["1.0.0", "1.1.0"]);
    let place = |version: &str| team.path(&format!("registry/meters/{version}/release.json"));
    fs::remove_file(place("1.1.0")).unwrap();
    fs::copy(place("1.0.0"), place("1.1.0")).unwrap();
    team.assert_refused(
        &["--transform", "meters@1.1.0"],
        &["it is the release meters 1.0.0, put in the place of meters 1.1.0"],
    );
    team.plugin(&["list"]).assert_prints(&["cannot be used"]);
}

#[test]
fn only_a_release_that_a_trusted_key_has_signed_is_loaded() {
    let team = Team::with(&["1.0.0"]);
    let trusted = fs::read_to_string(team.path("trusted.toml")).unwrap();
    let trust = |text: &str| fs::write(team.path("trusted.toml"), text).unwrap();
    for (field, says) in [
        (
            "revoked = \"laptop was stolen\"",
            "team is revoked (laptop was stolen)",
        ),
        (
            "valid_until = 2020-01-01",
            "team expired 2020-01-01T00:00:00Z",
        ),
        (
            "transforms = [\"billing\"]",
            "team may not sign meters, only billing",
        ),
    ] {
        trust(&format!("{trusted}{field}\n"));
        team.assert_refused(&[], &[says]);
        team.plugin(&["verify", "meters@1.0.0"]).assert(1, &[says]);
        // Nor would anybody load what is published with it now.
        team.publish("1.1.0", &[]).assert(
            1,
            &["would not load meters 1.1.0", says, "nothing was published"],
        );
    }
    fs::remove_file(team.path("trusted.toml")).unwrap();
    team.plugin(&["key", "stranger", "--trust", "trusted.toml"])
        .assert(0, &[]);
    team.assert_refused(&[], &["is not among the trusted keys"]);
    team.plugin(&["show", "meters@1.0.0"])
        .assert_prints(&["NOT TRUSTED"]);
    let unknown = team.publish("1.1.0", &[]);
    unknown.assert(1, &["is not among the trusted keys"]);

    let without = Team {
        lake: team.lake.variable("LAKE_TRUSTED_KEYS", ""),
    };
    let run = without.lake.run(&[]);
    run.assert(2, &["transform.trusted_keys or LAKE_TRUSTED_KEYS"]);
    without.lake.assert_nothing_published();
    without
        .plugin(&["verify", "meters@1.0.0"])
        .assert(1, &["no keys are trusted", "LAKE_TRUSTED_KEYS"]);
    without
        .plugin(&["list"])
        .assert_prints(&["not checked", "--trusted-keys"]);
}

#[test]
fn nothing_ever_says_the_private_key() {
    let team = Team::new();
    let secret = team.secret();
    let pem = fs::read_to_string(team.path("team.pem")).unwrap();
    let mut said = Vec::new();
    said.push(
        team.plugin(&["key", "team"])
            .assert(2, &["never overwritten"])
            .clone(),
    );
    let made = team.plugin(&["key", "second", "--output", "json"]);
    let second = fs::read_to_string(team.path("second.pem")).unwrap();
    assert!(!made.stdout.contains(second.lines().nth(1).unwrap()));

    // The key itself, as a variable of a build machine.
    let lake = team.lake.variable("LAKE_SIGNING_KEY", "");
    let lake = lake.variable("LAKE_SIGNING_KEY_PEM", &pem);
    let team = Team { lake };
    said.push(
        team.publish("1.0.0", &["-vv"])
            .assert_prints(&["is published"])
            .clone(),
    );
    said.push(team.publish("1.0.0", &["--output", "json", "--notes", "x"]));
    said.push(
        team.publish("1.0.0", &["--key", &pem])
            .assert(2, &["LAKE_SIGNING_KEY_PEM"])
            .clone(),
    );
    let lake = team
        .lake
        .variable("LAKE_SIGNING_KEY_PEM", &pem.replace("MC", "MD"));
    let team = Team { lake };
    said.push(
        team.publish("1.0.0", &[])
            .assert(2, &["holds no Ed25519 private key"])
            .clone(),
    );
    let lake = team.lake.variable("LAKE_SIGNING_KEY", &pem);
    let team = Team { lake };
    said.push(
        team.publish("1.0.0", &[])
            .assert(2, &["path of its file belongs"])
            .clone(),
    );

    for ended in said {
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!all.contains(&secret[8..]), "{}", ended.code);
    }
    let release = team.path("registry/meters/1.0.0/release.json");
    assert!(!fs::read_to_string(release).unwrap().contains(&secret[8..]));
}

#[test]
fn build_scripts_do_not_see_the_key() {
    let team = Team::new();
    let copy = team.copy_of("1.0.0");
    let script = "fn main() {\n    \
                  println!(\"cargo::rerun-if-env-changed=LAKE_SIGNING_KEY_PEM\");\n    \
                  assert_eq!(std::env::var(\"LAKE_SIGNING_KEY_PEM\").ok(), None);\n}\n";
    fs::write(copy.join("build.rs"), script).unwrap();
    let pem = fs::read_to_string(team.path("team.pem")).unwrap();
    let shared = target().join("lake-tests/target");
    let lake = team
        .lake
        .variable("CARGO_TARGET_DIR", shared.to_str().unwrap())
        .variable("LAKE_SIGNING_KEY_PEM", &pem);
    let path = format!("transform.path={}", copy.display());
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&["validate", pipeline, "--set", &path])
        .assert(0, &[]);
}
