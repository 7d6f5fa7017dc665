//! Runs that cannot be finished, and numbers without a run: what becomes of them.

use std::fs;

use lake_run::RunError;
use lake_testing::{Fault, Kind, On};
use serde_json::{Value, json};

use crate::foreign::{Change, Table};
use crate::support::{Lake, SEALS, failed, healthy};

const RUNS: &str = "SELECT run, kind, status FROM _lake.runs";

#[tokio::test]
async fn a_seal_that_the_store_never_takes_makes_its_number_void() {
    let lake = Lake::new().await;
    let store = healthy();
    store.inject(On::kind(Kind::Put).path(SEALS).times(5), Fault::Fail);
    let error = failed(lake.run_through(&store).await);
    assert!(
        matches!(error, RunError::NotSealed { run: 1, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("run again"), "{error}");
    assert_eq!(lake.publish().await.run, 2);
    assert_eq!(
        lake.rows(RUNS).await,
        ["1 | void | void", "2 | load | done"]
    );
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 2, 2]);
}

#[tokio::test]
async fn a_run_that_was_decided_to_be_taken_back_while_it_was_finished_is_taken_back() {
    let lake = Lake::new().await;
    lake.publish().await;
    let after_one = lake.tables().await;
    lake.correction_and_news();
    lake.publish().await;
    let after_two = lake.tables().await;
    // Another host found it impossible at the same time, and has died since.
    let log = lake.root.path().join(SEALS);
    let mut decision: Value =
        serde_json::from_slice(&fs::read(log.join("00000002.json")).unwrap()).unwrap();
    decision["run"] = 3.into();
    decision["attempt"] = "another".into();
    let why = "consumption/daily_usage was changed by somebody else: DROP (version 1)";
    for (key, value) in [
        ("run", json!(3)),
        ("attempt", json!("another")),
        ("kind", json!("undo")),
        ("undoes", json!(2)),
        ("why", json!(why)),
    ] {
        decision["record"][key] = value;
    }
    fs::write(log.join("00000003.json"), decision.to_string()).unwrap();
    let tables = lake.tables().await;
    assert_eq!(
        tables.difference(&after_one, 4),
        None,
        "a query takes it back"
    );
    assert_eq!(
        lake.rows(RUNS).await,
        ["1 | load | done", "2 | load | done", "3 | undo | done"]
    );
    let history = lake_run::history(&lake.settings(&healthy()), 3).await;
    let told = history.unwrap().runs;
    let told: Vec<(i64, &str)> = told.iter().map(|run| (run.run, &*run.status)).collect();
    assert_eq!(told, [(3, "done"), (2, "undone"), (1, "done")]);
    // What it had loaded is loaded again.
    assert_eq!(lake.publish().await.run, 4);
    let tables = lake.tables().await;
    assert_eq!(tables.difference(&after_two, 4), None);
}

#[tokio::test]
async fn a_table_whose_earlier_files_are_gone_keeps_the_rows_of_a_run_that_is_taken_back() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    let whole = lake.fork();
    whole.publish().await;
    let expected = whole.tables().await;

    let store = healthy();
    let committing = On::kind(Kind::Put).path("consumption/daily_usage/_delta_log/");
    let mut committing = store.stall(committing);
    let place = lake.root.path().join("utility");
    let standard = place.join("standard/readings/_delta_log/00000000000000000001.json");
    let kill = async {
        assert!(committing.reached().await);
        // Tables are committed to side by side, and this one has it.
        while !standard.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        store.stop_from(store.operations().len() + 1);
        committing.release();
    };
    let (killed, ()) = futures::join!(lake.run_through(&store), kill);
    failed(killed);
    assert!(Table::new(&place, "consumption/daily_usage").suffer(Change::Drop));
    Table::new(&place, "standard/readings").delete_unnamed_files();

    let next = lake.publish().await;
    assert_eq!(next.run, 4, "run 3 takes run 2 back");
    let why = lake
        .rows("SELECT why FROM _lake.runs WHERE run = 3")
        .await
        .concat();
    for part in ["standard/readings keeps its rows", "is gone"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // The rows that were kept are merged once more, and consumption is computed again.
    let tables = lake.tables().await;
    assert_eq!(tables.difference(&expected, 2), None);
}
