//! Copies of loaded files, and what they are good for where a file is gone.

use std::fs;

use lake_pipeline::Overrides;
use lake_run::{
    Again, Outcome, Pattern, Report, Result, RunError, Settings, plan_rollback, reload, run,
};
use lake_testing::{Kind, On};

use crate::again::skip_through;
use crate::maintain::maintain_through;
use crate::rollback::{back, to};
use crate::support::{HEADER, Lake, failed, healthy, published, three_hours_later};

const COPIES: &str = "utility/raw/";

/// Two runs, the second of which has corrected `tuesday.csv` and brought `wednesday.csv`.
async fn of_two_runs() -> Lake {
    let lake = Lake::new().await.archiving();
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    lake
}

/// What the copies hold, in some order.
fn copies(lake: &Lake) -> Vec<String> {
    let names = lake.files(COPIES).into_iter();
    let texts = names.map(|name| fs::read_to_string(lake.root.path().join(name)).unwrap());
    let mut texts: Vec<String> = texts.collect();
    texts.sort_unstable();
    texts
}

async fn load_again(lake: &Lake, files: Option<&str>) -> Result<Report> {
    let again = files.map(|files| Again {
        files: Some(Pattern::anywhere(files).unwrap()),
        since: None,
    });
    reload(&lake.settings(&healthy()), again).await
}

fn assert_nothing_to_do(report: Result<Report>) {
    let outcome = report.unwrap().outcome;
    assert!(
        matches!(outcome, Outcome::NothingToDo { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn every_content_that_is_loaded_is_kept_once_as_it_came() {
    let lake = Lake::new().await.archiving();
    lake.publish().await;
    let read = |name: &str| fs::read_to_string(lake.input(name)).unwrap();
    let mut expected = vec![read("monday.csv"), read("tuesday.csv")];
    lake.correction_and_news();
    lake.publish().await;
    expected.extend([read("tuesday.csv"), read("wednesday.csv")]);
    expected.sort_unstable();
    assert_eq!(copies(&lake), expected);
    assert!(
        lake.files(COPIES)
            .iter()
            .all(|name| name.ends_with("day.csv"))
    );
    // What is loaded again is there already.
    published(load_again(&lake, None).await);
    published(load_again(&lake, Some("monday.csv")).await);
    assert_eq!(copies(&lake), expected);
    assert_eq!(
        lake.rows("SELECT run, count(*), count(DISTINCT copy) FROM _lake.archive GROUP BY run")
            .await,
        ["1 | 2 | 2", "2 | 2 | 2"]
    );
}

#[tokio::test]
async fn a_reload_reads_the_copies_of_files_that_are_gone() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    lake.take_away("tuesday.csv");
    for files in [None, Some("tuesday.csv")] {
        let report = load_again(&lake, files).await.unwrap();
        let told = report.warnings.join("; ");
        assert!(
            told.contains("1 file is gone, and read from the archive"),
            "{told}"
        );
        published(Ok(report));
        // What earlier contents had in rejections goes, wherever the present one is read.
        assert_eq!(lake.tables().await.difference(&before, 2), None);
    }
    // One that has become empty has lost what was in it.
    lake.receive("wednesday.csv", 500, "");
    published(load_again(&lake, None).await);
    assert_eq!(lake.tables().await.difference(&before, 2), None);
    assert_nothing_to_do(lake.run_through(&healthy()).await);
}

#[tokio::test]
async fn everything_can_be_loaded_again_where_the_whole_directory_is_gone() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    let mut settings = lake.settings(&healthy());
    let elsewhere = lake_testing::Directory::new().unwrap();
    let place = elsewhere.path().join("in");
    fs::rename(lake.input(""), &place).unwrap();
    published(reload(&settings, None).await);
    fs::rename(&place, lake.input("")).unwrap();
    assert_eq!(lake.tables().await.difference(&before, 2), None);
    // A file of another place is another file, and stands for none of them.
    settings.pipeline = elsewhere_pipeline(&settings, &place);
    fs::create_dir_all(&place).unwrap();
    let error = reload(&settings, None).await.unwrap_err();
    assert!(error.to_string().contains("not there any more"), "{error}");
}

fn elsewhere_pipeline(settings: &Settings, place: &std::path::Path) -> lake_pipeline::Pipeline {
    let source = format!(
        "name: utility\ntransform: {{ name: utility, version: \"1\", path: \"{}\" }}\nroot: lake\n\
         inputs: {{ readings: {{ path: \"{}/*.csv\", archive: true }} }}\n",
        settings.pipeline.transform.path.as_ref().unwrap().display(),
        place.display()
    );
    let parsed = lake_pipeline::parse(
        &source,
        &settings.file,
        place,
        &|_| None,
        &Overrides::default(),
    );
    parsed.unwrap()
}

#[tokio::test]
async fn what_a_rollback_undoes_is_loaded_from_its_copies_where_the_files_are_gone() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    lake.take_away("tuesday.csv");
    lake.take_away("wednesday.csv");
    let plan = plan_rollback(&lake.settings(&healthy()), &to(1))
        .await
        .unwrap();
    let pending: Vec<_> = plan
        .pending
        .iter()
        .map(|file| (file.exists, file.archived))
        .collect();
    assert_eq!(
        (pending.as_slice(), plan.obstacles.len()),
        ([(false, true); 2].as_slice(), 0)
    );
    back(&lake, to(1)).await.unwrap();
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(2));
    assert_eq!(lake.tables().await.difference(&before, 4), None);
    assert_nothing_to_do(lake.run_through(&healthy()).await);
    // The same once more: they were loaded from copies, and are in the archive once.
    back(&lake, to(1)).await.unwrap();
    lake.publish().await;
    assert_eq!(lake.tables().await.difference(&before, 4), None);
    assert_eq!(copies(&lake).len(), 4);
}

#[tokio::test]
async fn the_newest_content_is_loaded_where_several_rollbacks_have_undone_several() {
    let lake = of_two_runs().await;
    lake.receive(
        "tuesday.csv",
        400,
        &format!("{HEADER}C-1,M0000001,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,9.000,north\n"),
    );
    lake.publish().await;
    let undone = async |lake: &Lake| {
        back(lake, to(2)).await.unwrap();
        back(lake, to(1)).await.unwrap();
        lake.publish().await;
        lake.tables().await
    };
    // As where the file is there, with what it held last.
    let there = undone(&lake.fork()).await;
    lake.take_away("tuesday.csv");
    assert_eq!(undone(&lake).await.difference(&there, 4), None);
}

#[tokio::test]
async fn what_is_loaded_again_by_undoing_a_rollback_does_not_wait_any_more() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    lake.take_away("wednesday.csv");
    back(&lake, to(1)).await.unwrap();
    back(&lake, to(2)).await.unwrap();
    assert_eq!(lake.tables().await.difference(&before, 4), None);
    assert_nothing_to_do(lake.run_through(&healthy()).await);
}

#[tokio::test]
async fn undoing_a_rollback_brings_back_the_newest_content_of_a_file_that_is_gone_by_then() {
    for archives in [false, true] {
        let mut lake = Lake::new().await;
        if archives {
            lake = lake.archiving();
        }
        lake.publish().await;
        lake.correction_and_news();
        lake.publish().await;
        let before = lake.tables().await;
        back(&lake, to(1)).await.unwrap();
        lake.take_away("tuesday.csv");
        back(&lake, to(2)).await.unwrap();
        assert_nothing_to_do(lake.run_through(&healthy()).await);
        assert_eq!(
            lake.tables().await.difference(&before, 4),
            None,
            "{archives}"
        );
    }
}

#[tokio::test]
async fn a_reload_of_a_file_that_waits_reads_what_waits() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    lake.take_away("tuesday.csv");
    back(&lake, to(1)).await.unwrap();
    published(load_again(&lake, Some("tuesday.csv")).await);
    lake.publish().await;
    let found = lake.tables().await;
    assert_eq!(found.difference(&before, 2), None);
}

#[tokio::test]
async fn a_copy_that_is_lost_is_made_anew_when_its_file_is_loaded_again() {
    let lake = of_two_runs().await;
    for copy in lake.files(COPIES) {
        fs::remove_file(lake.root.path().join(copy)).unwrap();
    }
    published(load_again(&lake, None).await);
    let names = lake.files(COPIES).into_iter();
    let mut names: Vec<String> = names
        .map(|name| name.rsplit('/').next().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["monday.csv", "tuesday.csv", "wednesday.csv"]);
    lake.take_away("monday.csv");
    published(load_again(&lake, None).await);
}

#[tokio::test]
async fn a_file_that_somebody_takes_away_after_the_rollback_is_not_loaded() {
    let lake = of_two_runs().await;
    back(&lake, to(1)).await.unwrap();
    lake.take_away("wednesday.csv");
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
}

#[tokio::test]
async fn what_was_read_from_a_copy_once_does_not_wait_for_ever() {
    let lake = of_two_runs().await;
    let wednesday = fs::read_to_string(lake.input("wednesday.csv")).unwrap();
    let loads = async |expected: u64| {
        let record = lake.publish().await;
        assert_eq!(
            record.inputs.first().map(|input| input.files),
            Some(expected)
        );
    };
    lake.take_away("wednesday.csv");
    back(&lake, to(1)).await.unwrap();
    loads(2).await;
    // It is there again when that is undone, and somebody takes it away for good.
    lake.receive("wednesday.csv", 240, &wednesday);
    back(&lake, to(3)).await.unwrap();
    lake.take_away("wednesday.csv");
    loads(1).await;
    assert_nothing_to_do(lake.run_through(&healthy()).await);
}

#[tokio::test]
async fn a_file_that_had_come_back_to_what_it_was_is_not_pending_after_a_rollback() {
    let lake = Lake::new().await.archiving();
    let tuesday = fs::read_to_string(lake.input("tuesday.csv")).unwrap();
    lake.publish().await;
    let before = lake.tables().await;
    lake.correction_and_news();
    lake.publish().await;
    lake.receive("tuesday.csv", 500, &tuesday);
    lake.publish().await;
    lake.take_away("tuesday.csv");
    lake.take_away("wednesday.csv");
    back(&lake, to(1)).await.unwrap();
    let waiting = lake
        .rows("SELECT right(path, 13) FROM _lake.archive WHERE waits")
        .await;
    assert_eq!(waiting, ["wednesday.csv"]);
    assert_eq!(lake.tables().await.difference(&before, 4), None);
}

#[tokio::test]
async fn a_file_that_has_become_empty_is_gone_for_a_rollback_too() {
    let lake = of_two_runs().await;
    let before = lake.tables().await;
    lake.receive("wednesday.csv", 500, "");
    back(&lake, to(1)).await.unwrap();
    lake.publish().await;
    assert_eq!(lake.tables().await.difference(&before, 4), None);
}

#[tokio::test]
async fn a_reload_goes_on_without_a_file_whose_copy_is_lost_once_it_is_set_aside() {
    let lake = of_two_runs().await;
    lake.take_away("wednesday.csv");
    let copy = lake
        .rows("SELECT copy FROM _lake.archive WHERE path LIKE '%wednesday.csv'")
        .await;
    fs::remove_file(lake.root.path().join("utility").join(&copy[0])).unwrap();
    let error = load_again(&lake, None).await.unwrap_err();
    assert!(error.to_string().contains("lake skip"), "{error}");
    skip_through(&lake, &healthy(), "wednesday.csv", false)
        .await
        .unwrap();
    published(load_again(&lake, None).await);
    let left = lake
        .rows("SELECT DISTINCT right(_file, 13) FROM standard.readings")
        .await;
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn an_archive_that_is_lost_is_made_anew_and_no_copy_goes() {
    let lake = of_two_runs().await;
    fs::remove_dir_all(lake.root.path().join("utility/_lake/archive")).unwrap();
    let error = failed(lake.run_through(&healthy()).await);
    assert!(
        matches!(&error, RunError::Lost { table, .. } if table == "_lake/archive"),
        "{error}"
    );
    let mut settings = lake.settings(&healthy());
    settings
        .pipeline
        .inputs
        .get_mut("readings")
        .unwrap()
        .archive = false;
    published(reload(&settings, None).await);
    assert_nothing_to_do(lake.run_through(&healthy()).await);
    settings.clock = three_hours_later;
    lake_run::maintain(&settings).await.unwrap();
    assert_eq!(copies(&lake).len(), 4);
}

#[tokio::test]
async fn a_directory_that_is_gone_stops_runs_again_once_nothing_waits() {
    let lake = of_two_runs().await;
    lake.take_away("wednesday.csv");
    back(&lake, to(1)).await.unwrap();
    lake.publish().await;
    let elsewhere = lake_testing::Directory::new().unwrap();
    let place = elsewhere.path().join("in");
    let settings = lake.settings(&healthy());
    fs::rename(lake.input(""), &place).unwrap();
    let outcome = run(&settings).await;
    fs::rename(&place, lake.input("")).unwrap();
    assert!(failed(outcome).to_string().contains("does not exist"));
}

#[tokio::test]
async fn a_rollback_is_refused_where_a_file_is_gone_that_was_not_archived() {
    let lake = Lake::new().await;
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    let lake = lake.archiving();
    lake.more_news();
    lake.publish().await;
    lake.take_away("wednesday.csv");
    lake.take_away("thursday.csv");
    let error = back(&lake, to(1)).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("1 of the files") && said.contains("wednesday.csv"),
        "{said}"
    );
    back(&lake, to(2)).await.unwrap();
    lake.publish().await;
}

#[tokio::test]
async fn a_copy_that_is_gone_or_damaged_stops_the_run_and_can_be_set_aside() {
    let lake = of_two_runs().await;
    lake.take_away("wednesday.csv");
    back(&lake, to(1)).await.unwrap();
    let copy = lake
        .rows("SELECT copy FROM _lake.archive WHERE waits")
        .await;
    let copy = lake.root.path().join("utility").join(&copy[0]);
    let text = fs::read_to_string(&copy).unwrap();
    let other = text.replace("3.000", "3.001");
    for (content, expected) in [
        (Some(other.as_str()), "not what was copied"),
        (None, "not found"),
    ] {
        fs::remove_file(&copy).unwrap();
        if let Some(content) = content {
            fs::write(&copy, content).unwrap();
        }
        let error = failed(lake.run_through(&healthy()).await);
        let said = error.to_string();
        for part in [
            "wednesday.csv (its copy raw/readings/run-",
            expected,
            "lake skip",
        ] {
            assert!(said.to_lowercase().contains(part), "{said}");
        }
    }
    let file = lake.input("wednesday.csv");
    skip_through(&lake, &healthy(), file.to_str().unwrap(), false)
        .await
        .unwrap();
    lake.publish().await;
    // And with its copy, it comes back.
    fs::write(&copy, text).unwrap();
    skip_through(&lake, &healthy(), file.to_str().unwrap(), true)
        .await
        .unwrap();
    let record = lake.publish().await;
    assert_eq!(record.inputs.first().map(|input| input.files), Some(1));
}

#[tokio::test]
async fn a_file_that_changes_before_it_is_copied_stops_the_run() {
    let lake = Lake::new().await.archiving();
    let store = healthy();
    let mut writing = store.stall(On::kind(Kind::Put).path("consumption/daily_usage/run-"));
    let change = async {
        assert!(writing.reached().await);
        lake.correction_and_news();
        writing.release();
    };
    let (outcome, ()) = futures::join!(lake.run_through(&store), change);
    let error = failed(outcome);
    assert!(matches!(&error, RunError::Input { place, .. } if place.ends_with("tuesday.csv")));
    assert!(
        error.to_string().contains("changed while it was read"),
        "{error}"
    );
    lake.assert_nothing_published();
    lake.publish().await;
}

#[tokio::test]
async fn copies_of_a_killed_run_go_with_maintenance_and_those_that_are_named_stay() {
    let lake = of_two_runs().await;
    lake.more_news();
    let store = healthy();
    let mut sealing = store.stall(On::kind(Kind::Put).path("_lake/prepared/"));
    let kill = async {
        assert!(sealing.reached().await);
        store.stop_from(0);
        sealing.release();
    };
    let (outcome, ()) = futures::join!(lake.run_through(&store), kill);
    failed(outcome);
    lake.take_heartbeat();
    assert_eq!(copies(&lake).len(), 5);
    lake.take_away("thursday.csv");
    maintain_through(&lake, &healthy(), 1).await.unwrap();
    assert_eq!(copies(&lake).len(), 5, "it may be on its way yet");
    let mut settings = lake.settings(&healthy());
    settings.clock = three_hours_later;
    lake_run::maintain(&settings).await.unwrap();
    assert_eq!(copies(&lake).len(), 4);
    // They are of use still.
    let before = lake.tables().await;
    lake.take_away("wednesday.csv");
    published(load_again(&lake, None).await);
    assert_eq!(lake.tables().await.difference(&before, 2), None);
    assert_nothing_to_do(run(&lake.settings(&healthy())).await);
}
