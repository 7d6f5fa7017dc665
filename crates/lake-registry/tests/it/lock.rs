//! `lake.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lake_registry::{Candidate, Digest, Lock, LockEntry, Question, choose};
use proptest::prelude::*;

use crate::support::{LINUX, MAC, Place, v};

fn parse(text: &str) -> Result<Lock, String> {
    Lock::parse(text, Path::new("lake.lock")).map_err(|e| e.to_string())
}

fn entry(version: &str) -> LockEntry {
    let digest = |what: &str| Digest::of(format!("{what} {version}").as_bytes());
    LockEntry {
        transform: "utility".to_owned(),
        version: v(version),
        release: digest("release"),
        targets: BTreeMap::from([
            (LINUX.to_owned(), digest("linux")),
            (MAC.to_owned(), digest("mac")),
        ]),
    }
}

fn lock() -> Lock {
    let mut lock = Lock::default();
    lock.set("utility", entry("1.2.0"));
    lock.set("backfill", entry("1.0.0"));
    lock
}

#[tokio::test]
async fn a_lock_pins_a_release_and_the_libraries_of_all_targets() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let entry = LockEntry::of(&verified);
    assert_eq!(entry.transform, "utility");
    assert_eq!(entry.version, v("1.2.0"));
    assert_eq!(entry.release, verified.digest());
    assert_eq!(entry.targets[LINUX], Digest::of(b"linux 1.2.0"));
    assert_eq!(entry.targets[MAC], Digest::of(b"mac 1.2.0"));
}

#[test]
fn the_file_reads_well_and_is_the_same_for_the_same_lock() {
    let mut one = Lock::default();
    one.set("utility", entry("1.2.0"));
    let hex = |what: &str| Digest::of(format!("{what} 1.2.0").as_bytes());
    let text = one.to_text();
    let own = text
        .lines()
        .find(|line| line.starts_with("entry = "))
        .unwrap();
    assert_eq!(
        text,
        format!(
            "# Written by `lake plugin update`. It belongs under version control.\n\
             version = 1\n\
             \n\
             [[pipeline]]\n\
             name = \"utility\"\n\
             transform = \"utility\"\n\
             version = \"1.2.0\"\n\
             release = \"{}\"\n\
             {own}\n\
             \n\
             [pipeline.targets]\n\
             aarch64-apple-darwin = \"{}\"\n\
             x86_64-unknown-linux-gnu = \"{}\"\n",
            hex("release"),
            hex("mac"),
            hex("linux")
        )
    );
    assert_eq!(parse(&text).unwrap(), one);
    assert_eq!(
        parse(&text.replace('\n', "\r\n")).unwrap(),
        one,
        "as git writes it on Windows"
    );
}

#[test]
fn one_pipeline_is_moved_and_the_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lake.lock");
    assert_eq!(Lock::read(&path).unwrap(), None);
    lock().write(&path).unwrap();

    let mut read = Lock::read(&path).unwrap().unwrap();
    assert_eq!(read, lock());
    assert_eq!(read.set("utility", entry("1.3.0")), Some(entry("1.2.0")));
    read.write(&path).unwrap();

    let read = Lock::read(&path).unwrap().unwrap();
    assert_eq!(read.get("utility"), Some(&entry("1.3.0")));
    assert_eq!(read.get("backfill"), Some(&entry("1.0.0")));
    assert_eq!(read.get("another"), None);
    assert_eq!(read.entries().count(), 2);
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing else is left behind");
}

#[test]
fn a_lock_that_cannot_be_written_leaves_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lake.lock");
    fs::create_dir(&path).unwrap();
    let error = lock().write(&path).unwrap_err().to_string();
    assert!(error.contains("lake.lock: "), "{error}");
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no half file either"
    );
    assert!(Lock::read(&path).is_err(), "a directory is no missing file");
}

#[test]
fn branches_that_move_two_pipelines_can_be_merged() {
    let mut ours = lock();
    ours.set("utility", entry("1.3.0"));
    let mut theirs = lock();
    theirs.set("backfill", entry("1.1.0"));
    let (base, ours, theirs) = (lock().to_text(), ours.to_text(), theirs.to_text());
    // Line by line, as git does it: whoever changed a line has it.
    let merged: Vec<&str> = base
        .lines()
        .zip(ours.lines().zip(theirs.lines()))
        .map(|(base, (ours, theirs))| if ours == base { theirs } else { ours })
        .collect();
    let merged = parse(&merged.join("\n")).unwrap();
    assert_eq!(merged.get("utility"), Some(&entry("1.3.0")));
    assert_eq!(merged.get("backfill"), Some(&entry("1.1.0")));
}

/// A byte that means nothing is one of a comment or of white space: then the lock says what it
/// said. Everything else is an error, and never another lock.
#[test]
fn no_byte_of_the_file_can_be_changed_so_that_it_says_something_else() {
    let good = lock().to_text().into_bytes();
    let mut refused = 0;
    for position in 0..good.len() {
        // The eighth bit makes it no text, which is the next test.
        let flipped = (0..7).map(|bit| good[position] ^ (1 << bit));
        for byte in flipped.chain(*b"#\" \n=[.0") {
            let mut bad = good.clone();
            bad[position] = byte;
            match parse(&String::from_utf8(bad).unwrap()) {
                Ok(found) => assert_eq!(found, lock(), "byte {position} as {byte}"),
                Err(error) => {
                    refused += 1;
                    assert!(error.starts_with("lake.lock:"), "{error}");
                }
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn a_file_that_is_no_text_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lake.lock");
    let mut bad = lock().to_text().into_bytes();
    bad[10] ^= 0x80;
    fs::write(&path, &bad).unwrap();
    let error = Lock::read(&path).unwrap_err().to_string();
    let says = "lake.lock: it is not UTF-8; bring the file back as it was (git checkout)";
    assert!(error.ends_with(says), "{error}");
}

#[test]
fn a_change_by_hand_is_told_with_its_line_and_both_digests() {
    let text = lock().to_text();
    let from = entry("1.2.0").release.to_string();
    let to = entry("1.3.0").release.to_string();
    for (old, new) in [
        (from.as_str(), to.as_str()),
        ("version = \"1.2.0\"", "version = \"1.3.0\""),
        ("name = \"utility\"", "name = \"utilitz\""),
        ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-mus"),
    ] {
        let (before, after) = text.rsplit_once(old).unwrap();
        let error = parse(&format!("{before}{new}{after}")).unwrap_err();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().rposition(|line| line.starts_with("entry = "));
        let line = 1 + last.unwrap();
        assert!(
            error.starts_with(&format!("lake.lock:{line}: the entry of pipeline ")),
            "{error}"
        );
        assert_eq!(error.matches("sha256:").count(), 2, "{error}");
        assert!(
            error.ends_with("(git checkout), or run `lake plugin update`"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_lock_is_told_with_its_line() {
    let text = lock().to_text();
    for (bad, says) in [
        (
            text.replace("version = 1\n", "version = 2\n"),
            "lake.lock:2: version 2 of the file is not 1",
        ),
        (
            text.replace("version = 1\n", ""),
            "lake.lock:1: missing field `version`",
        ),
        (
            text.replace("transform = ", "transfer = "),
            "lake.lock:6: unknown field `transfer`",
        ),
        (text.replace("\"1.0.0\"", "\"1.0\""), "lake.lock:7: "),
        (
            text.replace("release = \"sha256:", "release = \"sha1:"),
            "lake.lock:8: `sha1:",
        ),
        (
            format!("{text}\n[[pipeline]]\n"),
            "lake.lock:26: missing field `name`",
        ),
        (
            text.replace("[[pipeline]]", "<<<<<<< HEAD"),
            "lake.lock:4: ",
        ),
        (
            text.clone() + text.split_once("version = 1\n").unwrap().1,
            "lake.lock:26: pipeline \"backfill\" has two entries; remove one",
        ),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(error.starts_with(says), "{error}\nand not\n{says}");
    }
    assert_eq!(parse("version = 1").unwrap(), Lock::default());
}

/// The whole way: a registry with a newer release, a lock that was tampered with, and what is
/// chosen then.
#[tokio::test]
async fn a_tampered_lock_never_leads_to_another_release() {
    let place = Place::with(&["1.2.0", "1.3.0"]).await;
    let pinned = place.open("1.2.0").await.unwrap();
    let mut lock = Lock::default();
    lock.set("main", LockEntry::of(&pinned));
    let listing = place.registry.list(Some("utility"), &place.trusted).await;
    let candidates: Vec<Candidate> = listing
        .unwrap()
        .releases
        .iter()
        .map(Candidate::from)
        .collect();
    let text = lock.to_text().into_bytes();
    for position in 0..text.len() {
        for mask in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40] {
            let mut bad = text.clone();
            bad[position] ^= mask;
            let bad = String::from_utf8(bad).unwrap();
            let Ok(lock) = parse(&bad) else { continue };
            let question = Question {
                name: "utility",
                requirement: &"1".parse().unwrap(),
                request: None,
                lock: lock.get("main"),
                locked: false,
                blocked: &BTreeSet::new(),
                host: &v("0.2.0"),
                target: LINUX,
            };
            let choice = choose(&question, &candidates).unwrap();
            assert_eq!(
                (choice.version, choice.release),
                (v("1.2.0"), pinned.digest())
            );
        }
    }
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<u64>().prop_map(|n| Digest::of(&n.to_le_bytes()))
}

fn any_entry() -> impl Strategy<Value = LockEntry> {
    let version = (0..99u64, 0..99u64, 0..99u64, "(-[a-z]{1,5}(\\.[1-9])?)?")
        .prop_map(|(a, b, c, pre)| v(&format!("{a}.{b}.{c}{pre}")));
    let targets = prop::collection::btree_map(".{0,12}", any_digest(), 0..4);
    (".{0,12}", version, any_digest(), targets).prop_map(
        |(transform, version, release, targets)| LockEntry {
            transform,
            version,
            release,
            targets,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        entries in prop::collection::btree_map("(?s).{0,12}", any_entry(), 0..5),
    ) {
        let mut lock = Lock::default();
        for (name, entry) in entries {
            lock.set(name, entry);
        }
        let text = lock.to_text();
        prop_assert_eq!(parse(&text).unwrap(), lock.clone());
        prop_assert_eq!(parse(&text).unwrap().to_text(), text);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("version = 1\n[[pipeline]]\n{text}"));
    }
}
