//! What others do to the tables while a run is on its way, and afterwards: the result is the
//! documented one, and the pipeline goes on.

use std::time::Duration;

use lake_run::{Outcome, RunError, query, reload};
use lake_testing::{Kind, On};

use crate::foreign::{ALL, Change, Table};
use crate::support::{Lake, SEALS, Tables, healthy};

const STANDARD: &str = "standard/readings";
const CONSUMPTION: &str = "consumption/daily_usage";

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The run is prepared and not sealed.
    BeforeTheSeal,
    /// It is sealed, and the table has nothing of it.
    BeforeTheCommit,
    /// The table has it, and the run is not finished.
    BeforeTheEnd,
    /// It is finished.
    Afterwards,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_seal_whatever_others_do_stops_no_pipeline() {
    everything(When::BeforeTheSeal, STANDARD, Killed::No).await;
    everything(When::BeforeTheSeal, CONSUMPTION, Killed::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_seal_and_commit_whatever_others_do_stops_no_pipeline() {
    everything(When::BeforeTheCommit, STANDARD, Killed::No).await;
    everything(When::BeforeTheCommit, CONSUMPTION, Killed::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_seal_and_commit_of_a_run_that_is_killed_whatever_others_do_stops_no_pipeline() {
    everything(When::BeforeTheCommit, STANDARD, Killed::There).await;
    everything(When::BeforeTheCommit, CONSUMPTION, Killed::There).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_after_it_was_made_again_is_finished_with_what_others_did() {
    everything(When::BeforeTheCommit, STANDARD, Killed::Later).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_end_whatever_others_do_stops_no_pipeline() {
    everything(When::BeforeTheEnd, STANDARD, Killed::There).await;
    everything(When::BeforeTheEnd, CONSUMPTION, Killed::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_run_whatever_others_do_stops_no_pipeline() {
    everything(When::Afterwards, STANDARD, Killed::No).await;
    everything(When::Afterwards, CONSUMPTION, Killed::No).await;
}

/// Whether the process that is on its way is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    No,
    /// When it happens.
    There,
    /// When all tables have the run, and it is not finished.
    Later,
}

async fn everything(when: When, table: &str, killed: Killed) {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    lake.more_news();
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;
    for change in ALL {
        one(&lake, &expected, when, table, change, killed).await;
    }
}

async fn one(
    lake: &Lake,
    expected: &Tables,
    when: When,
    table: &str,
    change: Change,
    killed: Killed,
) {
    let lake = lake.fork();
    let at = format!("{change:?} of {table}, {when:?}, killed: {killed:?}");
    let place = lake.root.path().join("utility");
    let theirs = Table::new(&place, table);
    let store = healthy();
    let point = match when {
        When::BeforeTheSeal => Some("utility/_lake/prepared/".to_owned()),
        When::BeforeTheCommit => Some(format!("{table}/_delta_log/")),
        When::BeforeTheEnd => Some("_lake/runs/_delta_log/".to_owned()),
        When::Afterwards => None,
    };
    let mut refused = None;
    match point {
        Some(point) => {
            let mut held = store.stall(On::kind(Kind::Put).path(&point));
            let mut end = (killed == Killed::Later)
                .then(|| store.stall(On::kind(Kind::Put).path("_lake/runs/_delta_log/")));
            let meanwhile = async {
                assert!(held.reached().await, "{at}: the run never came there");
                assert!(theirs.suffer(change), "{at}: there was nothing to do it to");
                if killed == Killed::There {
                    store.stop_from(store.operations().len() + 1);
                }
                held.release();
                if let Some(mut end) = end.take() {
                    // The run may come to another end.
                    let later = futures::future::select(
                        Box::pin(end.reached()),
                        Box::pin(tokio::time::sleep(Duration::from_secs(5))),
                    );
                    later.await;
                    store.stop_from(store.operations().len() + 1);
                    end.release();
                }
            };
            let (outcome, ()) = futures::join!(lake.run_through(&store), meanwhile);
            refused = outcome.err().map(|error| error.to_string());
        }
        None => {
            lake.publish().await;
            assert!(theirs.suffer(change), "{at}: there was nothing to do it to");
        }
    }
    let is_sealed = lake.files(SEALS).len() == 3 || change == Change::LoseRunLog;
    if when == When::BeforeTheSeal && !is_sealed {
        assert!(
            refused.is_some(),
            "{at}: it published nothing and said nothing"
        );
    }
    let told = walk(&lake, &theirs, &at).await;
    let (stored, computed) = (lake.rows(STORED).await, lake.rows(COMPUTED).await);
    assert_eq!(stored, computed, "{at}: consumption is what standard says");
    if change.keeps_rows() {
        let found = lake.tables().await;
        // What is loaded again leaves no rejected rows of earlier contents.
        let tables = if told.is_empty() { 4 } else { 2 };
        if let Some(difference) = found.difference(expected, tables) {
            panic!("{at}: {difference}; {refused:?}, then {told:?}");
        }
    }
    // It goes on, and has nothing left to do.
    let next = lake.run_through(&healthy()).await;
    let next = next.unwrap_or_else(|error| panic!("{at}: {error}"));
    assert!(
        matches!(next.outcome, Outcome::NothingToDo { .. }),
        "{at}: {next:?}"
    );
}

/// Daily usage as it is, and as the readings say.
const STORED: &str =
    "SELECT customer_id, usage_date, usage_kwh, readings FROM consumption.daily_usage";
const COMPUTED: &str = "SELECT customer_id, usage_date, sum(usage_kwh), count(*) \
                        FROM standard.readings GROUP BY customer_id, usage_date";

/// Runs until that works and the tables can be queried, and does what the messages say; gives the
/// messages.
async fn walk(lake: &Lake, theirs: &Table, at: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut reloads = false;
    for _ in 0..8 {
        let store = healthy();
        let settings = lake.settings(&store);
        let outcome = match reloads {
            true => reload(&settings, None).await,
            false => lake.run_through(&store).await,
        };
        // Nothing looks into the files of a table for as long as nobody needs them.
        let outcome = match outcome {
            Ok(_) => match query(&settings, COMPUTED, None).await {
                Ok(_) => query(&settings, STORED, None).await.map(|_| ()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return told };
        assert!(
            !matches!(error, RunError::Live { .. }),
            "{at}: nobody is at work: {error}"
        );
        let message = error.to_string();
        if message.contains("move ") {
            theirs.move_away();
        } else if message.contains("lake run --reload") {
            reloads = true;
        } else {
            assert!(message.contains("run again"), "{at}: no way out: {message}");
        }
        told.push(message);
    }
    panic!("{at}: the messages lead nowhere: {told:#?}");
}
