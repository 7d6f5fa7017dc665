//! What goes wrong on the way to the store: the run ends well after some attempts, or fails with a
//! clear error and has published nothing; and the next one leaves what an undisturbed one leaves.

use std::sync::OnceLock;
use std::time::Duration;

use lake_testing::{Requests, Wire, WireFault};
use lake_tests::{Ended, Lake, csv, reading};

use crate::place::{Place, content};

const BAD: &str = "C-1,M0000001,2025-06-03T00:00:00Z,2025-06-03T00:59:59Z,-1,north";

const SLOW_DOWN: WireFault = refuse(503, "SlowDown");
const BROKEN: WireFault = refuse(500, "InternalError");

const fn refuse(status: u16, code: &'static str) -> WireFault {
    WireFault::Refuse { status, code }
}

/// A pipeline that has run once and has something to do, and what it comes to.
struct Scene {
    place: Place,
    wire: Wire,
    expected: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        static EXPECTED: OnceLock<Vec<String>> = OnceLock::new();
        let expected = EXPECTED.get_or_init(|| {
            let undisturbed = Self::waiting();
            let lake = undisturbed.lake();
            lake.publish(&[]);
            content(&lake)
        });
        let place = Self::waiting();
        Self {
            wire: place.wire(),
            place,
            expected: expected.clone(),
        }
    }

    fn waiting() -> Place {
        let place = Place::new();
        let first = (0..24).map(|hour| reading(1, 1, 1, hour, "1.5"));
        place.put("data/1.csv", csv(first));
        place.lake().publish(&[]);
        place.put(
            "data/2.csv",
            csv([
                reading(1, 1, 1, 0, "1.75"),
                BAD.into(),
                reading(2, 2, 2, 0, "3"),
            ]),
        );
        place
    }

    /// A run of the second file through the wire.
    fn run(&self) -> Ended {
        let lake = self.lake_through();
        lake.run(&["--output", "json"])
    }

    fn lake_through(&self) -> Lake {
        self.place
            .lake_through(&self.wire)
            .variable("AWS_MAX_ATTEMPTS", "4")
    }

    /// That the run has ended well, and has met the fault.
    #[track_caller]
    fn assert_ends_well(&self, fault: &str) {
        let ended = self.run();
        assert!(self.wire.hits() > 0, "{fault}: nothing has met it");
        assert_eq!(ended.code, 0, "{fault}: {}", ended.stderr);
        let found = content(&self.place.lake());
        assert_eq!(found, self.expected, "{fault}");
    }

    /// That the run has failed or ended well, that nothing is half there, and that the next one
    /// finishes the work.
    #[track_caller]
    fn assert_survives(&self, fault: &str, says: Option<&str>) {
        let ended = self.run();
        assert!(self.wire.hits() > 0, "{fault}: nothing has met it");
        if let Some(says) = says {
            assert_eq!(ended.code, 1, "{fault}: {}", ended.stderr);
            assert!(ended.stderr.contains(says), "{fault}: {}", ended.stderr);
        }
        assert!(
            !ended.stderr.contains("panicked"),
            "{fault}: {}",
            ended.stderr
        );
        self.wire.heal();
        let lake = self.place.lake().variable("HOSTNAME", "another");
        forget_who_runs(&self.place);
        lake.publish(&[]);
        assert_eq!(content(&lake), self.expected, "{fault}");
    }
}

/// A run that has failed on the way may not have taken its heartbeat away.
fn forget_who_runs(place: &Place) {
    let beats = "lake/utility/_lake/heartbeat.json";
    if place.objects("lake/utility/_lake").contains_key(beats) {
        place.delete(beats);
    }
}

#[test]
fn a_store_that_is_busy_or_cuts_connections_now_and_then_is_asked_again() {
    let every = |n: usize| Requests::any().every(n).always();
    for (fault, on) in [
        (SLOW_DOWN, every(5)),
        (BROKEN, every(7)),
        // Of the answers that are cut, only those of requests that read can be asked for again.
        (
            WireFault::ResetInBody(10),
            Requests::method("GET").every(4).always(),
        ),
        (
            WireFault::Truncate(10),
            Requests::method("GET").every(4).always(),
        ),
        (WireFault::Reset, Requests::method("GET").every(3).always()),
        (WireFault::LandsUnanswered, every(6)),
    ] {
        let scene = Scene::new();
        let said = format!("{fault:?}");
        scene.wire.inject(on, fault);
        scene.assert_ends_well(&said);
    }
}

/// The four puts that decide: a seal, commits, and the last of them.
#[test]
fn whatever_happens_to_the_puts_that_decide_a_run_is_published_whole_or_not_at_all() {
    let decisive = [
        "_lake/log/",
        "readings/_delta_log/",
        "_lake/runs/_delta_log/",
    ];
    for path in decisive {
        for fault in [
            refuse(409, "ConditionalRequestConflict"),
            SLOW_DOWN,
            WireFault::Reset,
            WireFault::ResetInRequest(20),
            WireFault::LandsUnanswered,
            WireFault::LandsThenReset,
            WireFault::LandsThenRefuse {
                status: 500,
                code: "InternalError",
            },
            WireFault::LandsLater(Duration::from_millis(300)),
        ] {
            let scene = Scene::new();
            let said = format!("{fault:?} of a put to {path}");
            let puts = Requests::method("PUT").path(path).conditional();
            scene.wire.inject(puts, fault);
            scene.assert_ends_well(&said);
        }
    }
}

#[test]
fn a_fault_that_stays_is_an_error_that_names_it_and_the_next_run_does_the_work() {
    for (fault, on, says) in [
        (
            SLOW_DOWN,
            Requests::method("PUT").path("standard/").always(),
            "SlowDown",
        ),
        (
            BROKEN,
            Requests::method("GET").path("data/2.csv").always(),
            "InternalError",
        ),
        (
            refuse(403, "ExpiredToken"),
            Requests::any().nth(30).always(),
            "403 Forbidden",
        ),
        (
            refuse(400, "ExpiredToken"),
            Requests::method("GET").nth(20).always(),
            "ExpiredToken: ",
        ),
        (
            refuse(404, "NoSuchBucket"),
            Requests::any().nth(40).always(),
            "404 Not Found",
        ),
        (
            WireFault::Reset,
            Requests::any().nth(40).always(),
            "Connection reset",
        ),
    ] {
        let scene = Scene::new();
        let said = format!("{fault:?}");
        scene.wire.inject(on, fault);
        scene.assert_survives(&said, Some(says));
    }
}

/// A sample of all requests of a run, each of which goes wrong for good in its own way.
#[test]
fn a_run_that_loses_the_store_at_any_request_is_finished_or_done_again_by_the_next() {
    let whole = Scene::new();
    assert_eq!(whole.run().code, 0);
    let requests = whole.wire.requests().len();
    let faults = [
        WireFault::Reset,
        WireFault::LandsThenReset,
        refuse(503, "SlowDown"),
        refuse(403, "AccessDenied"),
    ];
    for (n, fault) in (3..=requests).step_by(11).zip(faults.iter().cycle()) {
        let scene = Scene::new();
        let said = format!("{fault:?} from request {n} of {requests} on");
        let on = Requests::any().nth(n).always();
        scene.wire.inject(on, fault.clone());
        scene.assert_survives(&said, None);
    }
}

#[test]
fn a_store_that_says_nothing_for_a_while_is_given_up_and_asked_again() {
    let scene = Scene::new();
    // Longer than the test may take: who waits for the end of one does not come to it.
    let long = Duration::from_secs(3_600);
    let stall = WireFault::Stall(long);
    let object = Requests::method("GET").path("data/2.csv");
    scene.wire.inject(object, stall.clone());
    let in_body = WireFault::StallInBody(20, long);
    let log = Requests::method("GET").path("_delta_log/00000000000000000000.json");
    scene.wire.inject(log, in_body);
    let seal = Requests::method("PUT").path("_lake/log/");
    scene.wire.inject(seal, stall);
    scene.assert_ends_well("stalls");
    assert_eq!(scene.wire.hits(), 3);
}

#[test]
fn an_object_that_becomes_another_one_while_it_is_read_fails_the_run() {
    let place = Place::new();
    let line = |hour: u32| reading(1, 1, 1 + hour / 24 % 28, hour % 24, "1.5");
    // More than is asked for at once.
    let many: Vec<String> = (0..120_000).map(line).collect();
    place.put("data/1.csv", csv(&many));
    let wire = place.wire();
    let parts = Requests::method("GET").path("data/1.csv").nth(2).always();
    wire.inject(parts, WireFault::Stall(Duration::from_secs(3)));
    let lake = place.lake_through(&wire);
    let pipeline = lake.pipeline().to_str().unwrap().to_owned();
    let mut running = lake.command(&["run", &pipeline]);
    running.stderr(std::process::Stdio::piped());
    let running = running.spawn().unwrap();
    while wire.hits() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    place.put("data/1.csv", csv(&many[..119_000]));
    let ended = Ended::of(running.wait_with_output().unwrap());
    ended.assert(1, &["data/1.csv", "was changed while it was read"]);
    place.assert_nothing_published();
    let report = place.lake().publish(&[]);
    assert_eq!(report["inputs"]["readings"]["rows"], 119_000);
}
