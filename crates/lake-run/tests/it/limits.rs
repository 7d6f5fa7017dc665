//! A run that rejects more than it may.

use std::fs;

use lake_run::RunError;
use serde_json::Value;

use crate::support::{Lake, failed, healthy};

#[tokio::test]
async fn a_run_that_rejects_too_much_publishes_nothing_and_keeps_what_it_rejected() {
    let lake = Lake::new().await.limit_rejected("20%");
    let error = failed(lake.run_through(&healthy()).await);
    assert!(matches!(error, RunError::Stopped { .. }), "{error:?}");
    let message = error.to_string();
    for part in [
        "input readings: 2 of 8 rows were rejected, and limits.rejected allows 20 %",
        "nothing was published",
        "_lake/stopped/",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    lake.assert_nothing_published();

    let kept = lake.files("_lake/stopped/");
    let [rejected, summary] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    let bytes = fs::read(lake.root.path().join(summary)).unwrap();
    let told: Value = serde_json::from_slice(&bytes).unwrap();
    let attempt = summary
        .strip_prefix("utility/_lake/stopped/")
        .and_then(|rest| rest.strip_suffix("/stopped.json"));
    assert_eq!(told["attempt"].as_str(), attempt);
    assert!(message.contains(told["why"].as_str().unwrap()), "{told}");
    let named = told["rejected"][0].as_str().unwrap();
    assert!(rejected.ends_with(named), "{rejected}: {told}");
    let counts = told["reasons"].as_array().unwrap().iter();
    let counts: u64 = counts.filter_map(|reason| reason["rows"].as_u64()).sum();
    assert_eq!(counts, 2, "{told}");
    let rows = fs::read(lake.root.path().join(rejected)).unwrap();
    assert!(rows.starts_with(b"PAR1") && rows.ends_with(b"PAR1"));
}

#[tokio::test]
async fn a_stopped_run_uses_no_number() {
    let lake = Lake::new().await.limit_rejected("20%");
    failed(lake.run_through(&healthy()).await);
    failed(lake.run_through(&healthy()).await);
    assert_eq!(lake.files("/stopped.json").len(), 2);
    let lake = lake.limit_rejected("30%");
    lake.assert_next_run_is_the_first().await;
}

#[tokio::test]
async fn a_second_run_that_is_stopped_leaves_the_first_as_it_was() {
    let lake = Lake::new().await;
    lake.publish().await;
    let before = lake.tables().await;
    let commits = lake.files("_delta_log/");
    lake.correction_and_news();
    let lake = lake.limit_rejected("10%");
    let error = failed(lake.run_through(&healthy()).await);
    assert!(matches!(error, RunError::Stopped { .. }), "{error:?}");
    assert_eq!(lake.files("_delta_log/"), commits);
    assert_eq!(lake.tables().await, before);
    let lake = lake.limit_rejected("50%");
    assert_eq!(lake.publish().await.run, 2);
}
