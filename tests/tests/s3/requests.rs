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
    "delete 1, get 12, head 26, list 18, put 17",
    "get 8, head 4, list 4",
    "delete 1, get 44, head 23, list 12, put 19",
];

/// Of every data file that a first run writes and consumption reads, there is a put, a head before the
/// seal, and a get: a small one is read in one piece.
#[test]
fn data_files_cost_three_requests_each() {
    let cost = |days: u32| {
        let place = Place::new();
        let lines = (1..=days).map(|day| reading(1, 1, day, 0, "1.5"));
        place.put("data/1.csv", csv(lines));
        place.lake().publish(&[])
    };
    let (few, many) = (cost(2), cost(22));
    for kind in ["get", "head", "put"] {
        let more = of(&many, kind) - of(&few, kind);
        // The few rows of consumption are one file or two, by who of the threads was faster.
        assert!((19..=21).contains(&more), "{kind}: {more} for twenty");
    }
}

/// Commits since the last checkpoint, and small files that maintenance has not put together yet, are
/// read one by one: how many there are goes up and down.
#[test]
fn lists_do_not_grow_with_the_number_of_runs_and_reads_stay_within_bounds() {
    let place = Place::new();
    let lake = place.lake();
    let mut loads = Vec::new();
    let mut nothings = Vec::new();
    for run in 1..=24 {
        let line = reading(1, 1, 1 + run / 24, run % 24, "1");
        place.put(&format!("data/{run}.csv"), csv([line]));
        loads.push(lake.publish(&[]));
        nothings.push(lake.publish(&[]));
        if run % 4 == 0 {
            let pipeline = lake.pipeline().to_str().unwrap();
            lake.lake(&["maintain", pipeline]).assert(0, &[]);
        }
    }
    let most = |reports: &[Value], count: &dyn Fn(&Value) -> u64| reports.iter().map(count).max();
    let lists = |report: &Value| of(report, "list");
    assert!(most(&nothings, &lists) <= Some(lists(&nothings[0])));
    // The first run makes the tables; those that sum up logs list some of them once more.
    let listed: Vec<u64> = loads.iter().map(lists).collect();
    assert!(listed.iter().all(|lists| lists <= &listed[0]), "{listed:?}");
    let shown = |reports: &[Value]| reports.iter().map(total).collect::<Vec<_>>();
    assert!(
        most(&nothings, &total) <= Some(150),
        "{:?}",
        shown(&nothings)
    );
    assert!(most(&loads, &total) <= Some(500), "{:?}", shown(&loads));
}

#[test]
fn where_nothing_is_remote_no_requests_are_reported() {
    let lake = lake_tests::Lake::new();
    lake.put("1.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
    assert_eq!(lake.publish(&[]).get("requests"), None);
}
