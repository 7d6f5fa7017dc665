//! Whatever the store says about any write, and whatever it leaves of it: with another run after
//! it, the tables are those of a run that nobody disturbed.

use lake_testing::{Fault, On};

use crate::support::{Lake, healthy};

/// A lie about one write, and whether the process ends with it.
const LIES: [(Fault, bool); 11] = [
    // An answer that was lost.
    (Fault::FailAfter, false),
    (Fault::FailAfter, true),
    // A put that a client library sent twice.
    (Fault::AlreadyExistsAfter, false),
    // A request that lands after its answer: at once, during the run, and after it.
    (Fault::LandsLater(0), false),
    (Fault::LandsLater(5), false),
    (Fault::LandsLater(60), false),
    (Fault::LandsLater(0), true),
    (Fault::LandsLater(80), true),
    // A power cut that has kept the name and lost the bytes.
    (Fault::Empty, false),
    (Fault::Empty, true),
    // A store that does not know conditions.
    (Fault::IgnoresConditions, false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_about_any_write_of_a_first_run_loses_a_row_or_loads_one_twice() {
    let lake = Lake::new().await;
    every_lie(&lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_about_any_write_of_a_later_run_loses_a_row_or_loads_one_twice() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    every_lie(&lake).await;
}

async fn every_lie(lake: &Lake) {
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    for (fault, dies) in &LIES {
        for n in 1.. {
            let lake = lake.fork();
            let store = healthy();
            store.inject(On::writes().nth(n), fault.clone());
            if *dies {
                store.stop_from_write(n);
            }
            let outcome = lake.run_through(&store).await;
            let operations = store.operations();
            let mut writes = operations.iter().filter(|o| o.kind.writes());
            let Some(write) = writes.nth(n - 1) else {
                assert!(n > 10, "only {n} writes");
                break;
            };
            let at = format!("{fault:?} at {write}, killed: {dies}");
            store.heal();
            if let Err(error) = lake.run_through(&store).await {
                panic!("{at}: {outcome:?}, and the next run failed: {error}");
            }
            // A number may be void, so the runs are not compared.
            let found = lake.tables().await;
            if let Some(difference) = found.difference(&expected, 4) {
                panic!("{at}: {outcome:?}: {difference}");
            }
        }
    }
}
