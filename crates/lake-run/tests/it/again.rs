//! Loading files again that were loaded before, and setting files aside.

use std::collections::BTreeMap;

use lake_pipeline::OnChange;
use lake_run::{
    Again, Files, Outcome, Pattern, Report, Result, RunError, Skipped, plan, reload, skip,
};
use lake_testing::FailingStore;

use crate::rollback::{back, to};
use crate::support::{HEADER, Lake, healthy, published, three_hours_later};

/// Loads the files again whose names a pattern takes.
pub(crate) async fn again_through(
    lake: &Lake,
    store: &FailingStore,
    files: &str,
) -> Result<Report> {
    reload(&lake.settings(store), Some(these(files))).await
}

fn these(files: &str) -> Again {
    Again {
        files: Some(Pattern::anywhere(files).unwrap()),
        since: None,
    }
}

/// Sets a file aside, or brings it back.
pub(crate) async fn skip_through(
    lake: &Lake,
    store: &FailingStore,
    file: &str,
    undo: bool,
) -> Result<Skipped> {
    let file = lake.input(file).display().to_string();
    skip(&lake.settings(store), &file, undo).await
}

async fn set_aside(lake: &Lake, file: &str) -> Result<Skipped> {
    skip_through(lake, &healthy(), file, false).await
}

#[tokio::test]
async fn what_a_file_does_not_yield_any_more_goes_when_it_is_loaded_again() {
    let lake = Lake::new().await;
    lake.publish().await;
    // The input says upsert: what is not in the file any more stays.
    let shorter = "C-1,M0000001,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,1.500,north\n";
    lake.receive("tuesday.csv", 180, &format!("{HEADER}{shorter}"));
    lake.publish().await;
    let stays = lake
        .rows("SELECT 1 FROM standard.readings WHERE usage_kwh = 2.25")
        .await;
    assert_eq!(stays.len(), 1);
    let record = published(again_through(&lake, &healthy(), "tues*.csv").await);
    assert_eq!(
        (
            record.kind.as_str(),
            record.inputs.first().map(|input| input.files)
        ),
        ("reload", Some(1))
    );
    let gone = lake
        .rows("SELECT 1 FROM standard.readings WHERE usage_kwh = 2.25")
        .await;
    assert_eq!(gone, [] as [&str; 0]);
    // Its rejected row is in nobody's way any more either.
    assert_eq!(
        lake.rows("SELECT 1 FROM rejection.readings WHERE file LIKE '%tuesday%'")
            .await
            .len(),
        0
    );
    let by_hand = lake.rows(
        "SELECT customer_id, usage_date, sum(usage_kwh) FROM standard.readings \
         GROUP BY customer_id, usage_date",
    );
    let computed =
        lake.rows("SELECT customer_id, usage_date, usage_kwh FROM consumption.daily_usage");
    assert_eq!(by_hand.await, computed.await);
}

#[tokio::test]
async fn files_that_are_what_they_were_change_nothing_when_they_are_loaded_again() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    let before = lake.tables().await;
    for files in ["**/*.csv", "monday.csv"] {
        published(again_through(&lake, &healthy(), files).await);
        assert_eq!(lake.tables().await.difference(&before, 2), None, "{files}");
    }
    assert!(matches!(
        lake.run_through(&healthy()).await.unwrap().outcome,
        Outcome::NothingToDo { .. }
    ));
}

#[tokio::test]
async fn files_are_chosen_by_when_they_were_loaded() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.more_news();
    let mut settings = lake.settings(&healthy());
    settings.clock = three_hours_later;
    published(lake_run::run(&settings).await);
    let since = |micros: i64| Again {
        files: None,
        since: Some(micros),
    };
    let later = three_hours_later().timestamp_micros();
    let planned = plan(&settings, &Files::Again(since(later))).await.unwrap();
    let paths: Vec<&String> = planned
        .inputs
        .iter()
        .flat_map(|input| &input.paths)
        .collect();
    assert!(
        matches!(paths.as_slice(), [one] if one.ends_with("thursday.csv")),
        "{paths:?}"
    );
    let record = published(reload(&settings, Some(since(later))).await);
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
    let record = published(reload(&settings, Some(since(0))).await);
    assert_eq!(record.inputs.first().map(|input| input.files), Some(3));
    let error = reload(&settings, Some(since(later + 1_000_000_000_000)))
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn files_that_are_gone_or_others_now_are_named_and_nothing_is_published() {
    let lake = Lake::new().await;
    lake.publish().await;
    let before = lake.tables().await;
    let mut settings = lake.settings(&healthy());
    let inputs: &mut BTreeMap<_, _> = &mut settings.pipeline.inputs;
    inputs
        .values_mut()
        .for_each(|input| input.on_change = OnChange::Fail);
    lake.correction_and_news();
    let error = reload(&settings, Some(these("tuesday.csv")))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("have changed") && error.to_string().contains("tuesday.csv"),
        "{error}"
    );
    lake.take_away("monday.csv");
    let error = reload(&settings, Some(these("*day.csv")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("monday.csv"), "{error}");
    assert_eq!(lake.tables().await, before);
}

#[tokio::test]
async fn a_file_that_is_set_aside_stops_no_run_and_comes_back_by_command_or_with_other_content() {
    let lake = Lake::new().await;
    let done = set_aside(&lake, "tuesday.csv").await.unwrap();
    assert_eq!(
        (done.run, done.inputs.as_slice()),
        (Some(1), ["readings".to_owned()].as_slice())
    );
    assert_eq!(set_aside(&lake, "tuesday.csv").await.unwrap().run, None);
    let report = lake.run_through(&healthy()).await.unwrap();
    assert!(
        report
            .warnings
            .iter()
            .any(|told| told.contains("tuesday.csv")),
        "{report:?}"
    );
    let record = published(Ok(report));
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
    // It is not loaded with all others either.
    let record = published(reload(&lake.settings(&healthy()), None).await);
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
    let brought_back = lake.fork();
    skip_through(&brought_back, &healthy(), "tuesday.csv", true)
        .await
        .unwrap();
    let record = brought_back.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
    assert_eq!(brought_back.tables().await.counts()[..3], [5, 4, 2]);
    lake.correction_and_news();
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(2));
    brought_back.publish().await;
    assert_eq!(
        lake.tables()
            .await
            .difference(&brought_back.tables().await, 2),
        None
    );
}

#[tokio::test]
async fn a_file_that_was_loaded_and_is_set_aside_leaves_with_the_next_reload() {
    let lake = Lake::new().await;
    lake.publish().await;
    let done = set_aside(&lake, "tuesday.csv").await.unwrap();
    assert!(
        done.warnings.iter().any(|told| told.contains("run 1")),
        "{done:?}"
    );
    assert_eq!(lake.tables().await.counts(), [5, 4, 2, 3, 2]);
    published(reload(&lake.settings(&healthy()), None).await);
    assert_eq!(
        lake.rows("SELECT 1 FROM standard.readings WHERE _file LIKE '%tuesday%'")
            .await
            .len(),
        0
    );
}

#[tokio::test]
async fn setting_aside_goes_back_with_a_rollback() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.more_news();
    set_aside(&lake, "thursday.csv").await.unwrap();
    assert!(matches!(
        lake.run_through(&healthy()).await.unwrap().outcome,
        Outcome::NothingToDo { .. }
    ));
    back(&lake, to(1)).await.unwrap();
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
}

#[tokio::test]
async fn what_is_no_file_of_an_input_cannot_be_set_aside_and_what_is_not_cannot_be_brought_back() {
    let lake = Lake::new().await;
    let error = set_aside(&lake, "nowhere.csv").await.unwrap_err();
    assert!(
        error.to_string().contains("no file of any input"),
        "{error}"
    );
    let error = skip_through(&lake, &healthy(), "monday.csv", true)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not set aside"), "{error}");
    lake.assert_nothing_published();
}

#[tokio::test]
async fn a_file_that_left_with_a_reload_is_loaded_once_it_is_not_set_aside_any_more() {
    let lake = Lake::new().await;
    lake.publish().await;
    let before = lake.tables().await;
    set_aside(&lake, "tuesday.csv").await.unwrap();
    published(reload(&lake.settings(&healthy()), None).await);
    skip_through(&lake, &healthy(), "tuesday.csv", true)
        .await
        .unwrap();
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
    assert_eq!(lake.tables().await.difference(&before, 3), None);
}

#[tokio::test]
async fn a_file_in_which_nothing_is_any_more_keeps_its_rows() {
    let lake = Lake::new().await;
    lake.publish().await;
    let before = lake.tables().await;
    for text in ["", "\n\n"] {
        lake.receive("tuesday.csv", 300, text);
        let error = again_through(&lake, &healthy(), "*day.csv")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("tuesday.csv"), "{error}");
        assert_eq!(lake.tables().await, before);
    }
}

#[tokio::test]
async fn a_file_that_was_set_aside_and_is_gone_stands_in_no_rollbacks_way() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.receive("poison.csv", 300, "no,header\n");
    set_aside(&lake, "poison.csv").await.unwrap();
    lake.take_away("poison.csv");
    back(&lake, to(1)).await.unwrap();
}
