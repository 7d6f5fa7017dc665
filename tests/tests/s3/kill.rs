//! Killed at the requests that matter, and run again: the same rows, once.
//!
//! A request is held on the way to the store, or its answer on the way back, and the process is ended
//! by SIGKILL meanwhile. `tests/it/kill.rs` tries every stage on a file system, and
//! `lake-run/tests/it/kill.rs` every operation of a store.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lake_testing::{Requests, Wire, WireFault};
use lake_tests::{Lake, csv, reading};

use crate::place::{Place, content};

const BAD: &str = "C-1,M0000001,2025-06-03T00:00:00Z,2025-06-03T00:59:59Z,-1,north";
const LONG: Duration = Duration::from_secs(120);

/// The requests at which a run is killed, and whether it has been sealed when they are carried out.
const MOMENTS: [(&str, &str, bool); 8] = [
    ("GET", "data/2.csv", false),
    ("PUT", "standard/readings/run-", false),
    ("PUT", "_lake/prepared/", false),
    ("PUT", "_lake/log/", true),
    ("PUT", "_lake/files/_delta_log/", true),
    ("PUT", "standard/readings/_delta_log/", true),
    ("PUT", "consumption/daily_usage/_delta_log/", true),
    ("PUT", "_lake/runs/_delta_log/", true),
];

fn waiting() -> Place {
    let place = Place::new();
    place.put(
        "data/1.csv",
        csv([reading(1, 1, 1, 0, "1.5"), reading(2, 2, 1, 0, "2")]),
    );
    place.lake().publish(&[]);
    place.put(
        "data/2.csv",
        csv([
            reading(1, 1, 1, 0, "1.75"),
            BAD.into(),
            reading(3, 3, 2, 0, "3"),
        ]),
    );
    place
}

/// Starts a command and kills it when a request has met its fault.
fn kill(lake: &Lake, wire: &Wire, command: &[&str]) {
    let pipeline = lake.pipeline().to_str().unwrap();
    let arguments = [&[command[0], pipeline], &command[1..]].concat();
    let mut process = lake.command(&arguments);
    let mut process: Child = process
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + LONG;
    while wire.hits() == 0 {
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none(), "it ended before the moment came");
        assert!(Instant::now() < deadline, "the moment does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A request that is carried out has been by then.
    std::thread::sleep(Duration::from_millis(100));
    process.kill().unwrap();
    process.wait().unwrap();
}

fn survives(command: &[&str], method: &str, path: &str, fault: WireFault) -> (Vec<String>, i64) {
    let place = waiting();
    let wire = place.wire();
    let meant = || Requests::method(method).path(path);
    if fault == WireFault::LandsUnanswered {
        // It is asked for again, and by then the process is killed.
        wire.inject(meant().nth(2).always(), WireFault::Stall(LONG));
    }
    wire.inject(meant(), fault);
    kill(&place.lake_through(&wire), &wire, command);
    // On this host it can be seen that the process is gone.
    let lake = place.lake();
    let report = lake.publish(&[]);
    let runs = lake.rows("SELECT max(run) FROM _lake.runs");
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do", "{report}");
    (content(&lake), runs[0].parse().unwrap())
}

#[test]
fn a_run_that_is_killed_at_any_decisive_request_loses_nothing_and_loads_nothing_twice() {
    let place = waiting();
    let lake = place.lake();
    lake.publish(&[]);
    let expected = content(&lake);
    for (method, path, _) in MOMENTS {
        for fault in [
            // It never reaches the store,
            WireFault::Stall(LONG),
            // the store has carried it out and nobody hears of it,
            WireFault::LandsUnanswered,
            // or it is carried out when the process is dead.
            WireFault::LandsLater(Duration::from_secs(1)),
        ] {
            if method == "GET" && fault != WireFault::Stall(LONG) {
                continue;
            }
            let said = format!("{fault:?} of {method} {path}");
            let (found, runs) = survives(&["run"], method, path, fault);
            assert_eq!(found, expected, "{said}");
            assert_eq!(runs, 2, "{said}");
        }
    }
}

#[test]
fn a_rollback_that_is_killed_is_finished_or_has_not_begun() {
    let place = waiting();
    let lake = place.lake();
    lake.publish(&[]);
    let expected = content(&lake);
    for (_, path, sealed) in MOMENTS.into_iter().skip(2) {
        for fault in [WireFault::Stall(LONG), WireFault::LandsUnanswered] {
            let said = format!("{fault:?} of a put to {path}");
            let sealed = sealed && (path != "_lake/log/" || fault != WireFault::Stall(LONG));
            // Everything is loaded again after it, so that the end is the same.
            let (found, runs) = survives(
                &["rollback", "--version", "0", "--keep-release", "--yes"],
                "PUT",
                path,
                fault,
            );
            assert_eq!(found, expected, "{said}");
            assert_eq!(runs, if sealed { 3 } else { 2 }, "{said}");
        }
    }
}
