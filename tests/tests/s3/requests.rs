//! What a run asks of a store: no more than it needs, and no more when there is more history.

use lake_tests::{csv, reading};
use serde_json::Value;

use crate::place::Place;

/// One count of the requests that a run reports.
fn of(report: &Value, kind: &str) -> u64 {
    report["requests"][kind].as_u64().unwrap()
}

fn total(report: &Value) -> u64 {
    let kinds = ["get", "head", "put", "list", "delete", "multipart", "other"];
    kinds.iter().map(|kind| of(report, kind)).sum()
}

fn shown(report: &Value) -> String {
    let requests = report["requests"].as_object().unwrap();
    let shown = requests.iter().filter(|(_, count)| **count != 0);
    let shown = shown.map(|(kind, count)| format!("{kind} {count}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// The figures are those of the documentation. One that changes is looked at: a request is a round
/// trip, and is paid for.
#[test]
fn a_run_makes_as_many_requests_as_are_written_down() {
    let place = Place::new();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    let wire = place.wire();
    let lake = place.lake_through(&wire);
    let first = lake.publish(&[]);
    // They are counted where they are made, and nothing is left out.
    assert_eq!(total(&first), wire.requests().len() as u64);
    assert_eq!(of(&first, "failed"), 0);
    let nothing = lake.publish(&[]);
    place.put(
        "data/2.csv",
        csv([reading(1, 1, 1, 0, "1.75"), "garbage".into()]),
    );
    let second = lake.publish(&[]);
    let found = [&first, &nothing, &second].map(shown);
    assert_eq!(
        found, EXPECTED,
        "the first run, one with nothing to do, and one with a file"
    );
}

const EXPECTED: [&str; 3] = [
    "delete 1, get 14, head 32, list 24, put 17",
    "get 14, head 4, list 4",
    "delete 1, get 63, head 26, list 15, put 19",
];

#[test]
fn requests_do_not_grow_with_the_number_of_runs() {
    let place = Place::new();
    let lake = place.lake();
    let mut loads = Vec::new();
    let mut nothings = Vec::new();
    for run in 1..=24 {
        let line = reading(1, 1, 1 + run / 24, run % 24, "1");
        place.put(&format!("data/{run}.csv"), csv([line]));
        loads.push(total(&lake.publish(&[])));
        nothings.push(total(&lake.publish(&[])));
        if run % 4 == 0 {
            let pipeline = lake.pipeline().to_str().unwrap();
            lake.lake(&["maintain", pipeline]).assert(0, &[]);
        }
    }
    // Logs are summed up after every tenth commit, and put together by maintenance: of every eight
    // runs, the most are compared.
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or_default();
    let (middle, end) = (most(&nothings[8..16]), most(&nothings[16..]));
    assert!(end <= middle, "{nothings:?}");
    let (middle, end) = (most(&loads[8..16]), most(&loads[16..]));
    assert!(end <= middle, "{loads:?}");
}

#[test]
fn where_nothing_is_remote_no_requests_are_reported() {
    let lake = lake_tests::Lake::new();
    lake.put("1.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
    assert_eq!(lake.publish(&[]).get("requests"), None);
}
