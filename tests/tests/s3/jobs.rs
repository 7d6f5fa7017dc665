//! The main job and the ways back, on a bucket: what is done to a directory and to a bucket leaves
//! the same.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use lake_testing::{Requests, WireFault};
use lake_tests::{Lake, csv, reading};

use crate::place::{Place, content, on_pipeline, reaching};

/// The same files in a directory and in a bucket.
struct Both {
    here: Lake,
    place: Place,
    there: Lake,
}

impl Both {
    fn new() -> Self {
        let place = Place::new();
        Self {
            here: Lake::new(),
            there: place.lake(),
            place,
        }
    }

    fn put(&self, name: &str, content: &str) {
        self.here.put(name, 1, content);
        self.place.put(&format!("data/{name}"), content);
    }

    #[track_caller]
    fn run(&self) {
        let here = self.here.publish(&[]);
        let there = self.there.publish(&[]);
        assert_eq!(here["tables"], there["tables"]);
        assert_eq!(here["inputs"], there["inputs"]);
        self.assert_same();
    }

    #[track_caller]
    fn both(&self, command: &[&str], more: &[&str]) {
        on_pipeline(&self.here, command, more).assert(0, &[]);
        on_pipeline(&self.there, command, more).assert(0, &[]);
        self.assert_same();
    }

    #[track_caller]
    fn assert_same(&self) {
        assert_eq!(content(&self.here), content(&self.there));
    }
}

const BAD: &str = "C-1,M0000001,2025-06-03T00:00:00Z,2025-06-03T00:59:59Z,-1,north";

#[test]
fn runs_rollbacks_reloads_and_maintenance_leave_in_a_bucket_what_they_leave_in_a_directory() {
    let both = Both::new();
    both.put(
        "1.csv",
        &csv([&reading(1, 1, 1, 0, "1.5"), &reading(1, 2, 1, 0, "2")]),
    );
    both.put("2.csv", &csv([&reading(2, 3, 2, 0, "3"), BAD]));
    both.run();
    // A correction, and another content of a file.
    both.put(
        "3.csv",
        &csv([&reading(1, 1, 1, 0, "1.75"), &reading(2, 3, 3, 1, "4")]),
    );
    both.put(
        "1.csv",
        &csv([&reading(1, 1, 1, 0, "1.5"), &reading(1, 2, 1, 0, "2.25")]),
    );
    both.run();
    both.put("4.csv", &csv([reading(3, 4, 4, 4, "7")]));
    both.run();
    both.both(&["rollback"], &["--version", "1", "--yes"]);
    both.run();
    both.both(&["run"], &["--reload"]);
    both.both(&["run"], &["--reload", "--files", "3.csv"]);
    both.both(&["replay"], &[]);
    both.both(&["maintain"], &[]);
    for run in ["1", "2"] {
        let sql = "SELECT count(*), sum(usage_kwh) FROM consumption.daily_usage";
        let more = [sql, "--version", run, "--output", "csv"];
        let [here, there] =
            [&both.here, &both.there].map(|lake| on_pipeline(lake, &["query"], &more).stdout);
        assert_eq!(here, there);
    }
    let nothing = both.there.publish(&[]);
    assert_eq!(nothing["status"], "nothing_to_do");
}

#[test]
fn a_file_that_is_gone_from_the_bucket_is_read_from_its_copy() {
    let place = Place::new();
    let lake = place.lake();
    let yaml = format!("{}    archive: true\n", place.yaml());
    fs::write(lake.pipeline(), yaml).unwrap();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5"), BAD.into()]));
    lake.publish(&[]);
    let before = content(&lake);
    place.delete("data/1.csv");
    let copies: Vec<String> = place.objects("lake/utility/raw").into_keys().collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    let reloaded = lake.publish(&["--reload"]);
    assert!(reloaded["warnings"].to_string().contains("gone"));
    assert_eq!(content(&lake), before);
    // Where a line went, from the copy too.
    on_pipeline(&lake, &["trace"], &["--file", "1.csv", "--line", "3"]).assert_prints(&[BAD]);
}

#[test]
fn the_pipeline_file_may_be_in_the_bucket_and_its_paths_start_there() {
    let place = Place::new();
    let lake = place.lake();
    let yaml = place
        .yaml()
        .replace(&place.url("lake"), "../lake")
        .replace(&place.url("data/*.csv"), "../data/*.csv");
    assert!(!yaml.contains("s3://"), "{yaml}");
    place.put("pipelines/utility.yaml", &yaml);
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    let file = place.url("pipelines/utility.yaml");
    lake.lake(&["run", &file])
        .assert_prints(&["run 1 is published", &place.url("lake/utility")]);
    let found = lake.lake(&["query", &file, "SELECT _file FROM standard.readings"]);
    found.assert_prints(&[&place.url("data/1.csv")]);

    place.put("pipelines/bad.yaml", yaml.replace("inputs:", "inptus:"));
    let bad = lake.lake(&["run", &place.url("pipelines/bad.yaml")]);
    bad.assert(2, &["bad.yaml:7:1", "inptus"]);
    let none = lake.lake(&["run", &place.url("pipelines/none.yaml")]);
    none.assert(2, &["none.yaml", "there is no such file"]);
    let relative = yaml.replace(
        &lake_tests::workspace()
            .join("crates/transforms/utility")
            .display()
            .to_string(),
        "../crates/utility",
    );
    place.put("pipelines/relative.yaml", relative);
    let relative = lake.lake(&["run", &place.url("pipelines/relative.yaml")]);
    relative.assert(2, &["relative.yaml:5:", "a directory is needed"]);
}

#[test]
fn what_is_said_of_a_local_file_is_said_of_one_in_a_bucket() {
    let place = Place::new();
    let lake = place.lake();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    place.put("data/empty.csv", "");
    place.put("data/.hidden.csv", "x");
    place.put("data/report #3 100%.csv", csv([reading(2, 2, 2, 2, "2")]));
    place.put("data/below/2.csv", csv([reading(9, 9, 9, 9, "9")]));
    let report = lake.publish(&[]);
    assert_eq!(report["inputs"]["readings"]["files"], 2);
    assert!(report["warnings"].to_string().contains("is empty"));
    let odd = place.url("data/report #3 100%.csv");
    let known = lake.rows("SELECT path FROM _lake.files WHERE path LIKE '%report%'");
    assert_eq!(known, [odd]);
    // Put again with the same content: nothing to do.
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    // One that is set aside, by its URL.
    place.put("data/2.csv", "garbage");
    let url = place.url("data/2.csv");
    on_pipeline(&lake, &["skip"], &[&url]).assert(0, &[]);
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    on_pipeline(&lake, &["skip"], &["--undo", &url]).assert(0, &[]);
    lake.lake(&["inspect", &place.url("data/1.csv")])
        .assert_prints(&["usage_kwh"]);
    // What is not there.
    for (path, expected) in [
        (place.url("data/none.csv"), "does not exist"),
        ("s3://lake".to_owned(), "is a bucket"),
        ("s3a://lake/x/*.csv".to_owned(), "write it as s3://"),
    ] {
        let input = format!("readings={path}");
        lake.run(&["--input", &input]).assert(1, &[expected]);
    }
    let input = format!("readings={}", place.url("nothing/*.csv"));
    lake.run(&["--input", &input])
        .assert(0, &["no file matches"]);
}

#[test]
fn done_markers_and_column_values_in_paths_work_in_a_bucket() {
    let place = Place::new();
    let lake = place.lake();
    let yaml = place.yaml().replace("data/*.csv", "data/{day}/*.csv");
    fs::write(
        lake.pipeline(),
        format!("{yaml}    done_marker: _SUCCESS\n"),
    )
    .unwrap();
    place.put("data/1/a.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    place.put("data/2/a.csv", csv([reading(1, 1, 2, 0, "1.5")]));
    place.put("data/2/_SUCCESS", "");
    let report = lake.publish(&[]);
    assert_eq!(report["inputs"]["readings"]["files"], 1);
    assert!(report["warnings"].to_string().contains("data/1/a.csv"));
    place.put("data/1/_SUCCESS", "");
    assert_eq!(lake.publish(&[])["inputs"]["readings"]["files"], 1);
}

#[test]
fn two_hosts_that_run_at_once_load_every_file_once() {
    let place = Place::new();
    let mut files = 0;
    for round in 1..=3 {
        for _ in 0..3 {
            files += 1;
            let line = reading(files, files, 1 + files % 28, files % 24, "1");
            place.put(&format!("data/{files}.csv"), csv([line]));
        }
        // Each believes that it is on another host, so that only the store stands between them.
        let hosts: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|host| {
                let lake = place.lake().variable("HOSTNAME", host);
                let pipeline = lake.pipeline().to_str().unwrap().to_owned();
                let mut command = lake.command(&["run", &pipeline]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let child = command.spawn().unwrap();
                (lake, child)
            })
            .collect();
        let mut codes: Vec<Option<i32>> = hosts
            .into_iter()
            .map(|(_lake, mut child)| child.wait().unwrap().code())
            .collect();
        codes.sort_unstable();
        assert!(
            codes.iter().all(|code| matches!(code, Some(0 | 4))),
            "{codes:?}"
        );
        assert!(codes.contains(&Some(0)), "round {round}: {codes:?}");
        place.lake().publish(&[]);
        let lake = place.lake();
        let count = "SELECT count(*), count(DISTINCT path) FROM _lake.files";
        assert_eq!(lake.rows(count), [format!("{files},{files}")]);
        let rows = "SELECT count(*), sum(readings) FROM consumption.daily_usage";
        assert_eq!(lake.rows(rows), [format!("{files},{files}")]);
    }
}

/// The seal of a host is on its way when another one, which takes it for dead, does the same work.
#[test]
fn a_host_whose_seal_comes_too_late_publishes_nothing() {
    let place = Place::new();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    place.lake().publish(&[]);
    place.put("data/2.csv", csv([reading(2, 2, 2, 0, "2")]));
    let wire = place.wire();
    let seals = || Requests::method("PUT").path("_lake/log/").conditional();
    // Less than what a silent store is given up after.
    wire.inject(seals(), WireFault::Stall(Duration::from_secs(17)));
    let slow = place.lake_through(&wire).variable("HOSTNAME", "slow");
    let pipeline = slow.pipeline().to_str().unwrap().to_owned();
    let mut running = slow.command(&["run", &pipeline]);
    running.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = running.spawn().unwrap();
    while wire.hits() == 0 {
        assert_eq!(
            running.try_wait().unwrap(),
            None,
            "it ended before its seal"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    place.delete("lake/utility/_lake/heartbeat.json");
    let lake = place.lake().variable("HOSTNAME", "fast");
    assert_eq!(lake.publish(&[])["run"], 2);
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(wire.count(&seals()), 1, "it was put, and was too late");
    let count = "SELECT count(*), count(DISTINCT path), max(run) FROM _lake.files";
    assert_eq!(lake.rows(count), ["2,2,2"]);
    assert_eq!(lake.rows("SELECT max(run) FROM _lake.runs"), ["2"]);
    let rows = "SELECT sum(readings) FROM consumption.daily_usage";
    assert_eq!(lake.rows(rows), ["2"]);
}

#[test]
fn an_endpoint_or_a_bucket_that_is_not_there_is_said_to_be_so() {
    let place = Place::new();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    let lake =
        reaching("http://127.0.0.1:1", Lake::of(&place.yaml())).variable("AWS_MAX_ATTEMPTS", "2");
    lake.run(&[]).assert(1, &["http://127.0.0.1:1"]);
    let other = place.lake();
    let yaml = place
        .yaml()
        .replace(&place.url("lake"), "s3://not-there/lake");
    fs::write(other.pipeline(), yaml).unwrap();
    other.run(&[]).assert(1, &["NoSuchBucket"]);
    let denied = place
        .lake()
        .variable("AWS_SECRET_ACCESS_KEY", "another-secret-0123");
    denied
        .run(&[])
        .assert(1, &["403 Forbidden", "check the credentials"]);
    let plain = place.lake().variable("AWS_ALLOW_HTTP", "false");
    plain.run(&[]).assert(2, &["AWS_ALLOW_HTTP=true"]);
    place.assert_nothing_published();
}
