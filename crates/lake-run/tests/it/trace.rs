//! Where rows come from, and where they went.

use lake_run::{Pattern, Record, Related, Result, Trace, Traced, TracedRow, trace};

use crate::support::{Lake, healthy};

async fn rows(lake: &Lake, table: &str, condition: &str) -> Result<Trace> {
    let wanted = Traced::Rows {
        table: table.to_owned(),
        condition: Some(condition.to_owned()),
    };
    trace(&lake.settings(&healthy()), &wanted, None, 3).await
}

async fn line(lake: &Lake, file: &str, line: i64) -> Result<Trace> {
    let file = Pattern::anywhere(file).unwrap();
    let wanted = Traced::Line { file, line };
    trace(&lake.settings(&healthy()), &wanted, None, 3).await
}

/// The one row that was found.
fn only(trace: Result<Trace>) -> TracedRow {
    let mut trace = trace.unwrap();
    assert_eq!((trace.rows.len(), trace.more), (1, false), "{trace:#?}");
    trace.rows.remove(0)
}

fn value<'a>(values: &'a [lake_run::Value], column: &str) -> &'a str {
    let found = values.iter().find(|value| value.column == column);
    found.unwrap().text.as_deref().unwrap()
}

/// The end of a record's file name, its line and its text.
fn origin(record: &Record) -> (&str, i64, Option<&str>) {
    let name = record.file.rsplit('/').next().unwrap();
    (name, record.line, record.raw.as_deref())
}

fn origins(related: &Related) -> Vec<(&str, i64, Option<&str>)> {
    let records = related.rows.iter().filter_map(|row| row.record.as_ref());
    records.map(origin).collect()
}

const CORRECTED: &str = "meter_id = 'M0000001' AND start_time = '2020-02-03T01:00:00Z'";

#[tokio::test]
async fn a_standard_row_says_its_record_its_run_and_what_was_computed_from_it() {
    let lake = Lake::new().await;
    lake.publish().await;
    let traced = only(rows(&lake, "standard/readings", CORRECTED).await);
    let record = traced.row.record.as_ref().unwrap();
    assert_eq!(
        origin(record),
        (
            "tuesday.csv",
            3,
            Some("C-1,M 0001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.250,north")
        )
    );
    let run = traced.row.run.as_ref().unwrap();
    assert_eq!(
        (run.run, run.kind.as_str(), run.release.name.as_str()),
        (1, "load", "utility")
    );
    assert!(run.sealed_at > 0 && !run.release.digest.is_empty());
    let [to] = traced.to.as_slice() else {
        panic!("{:?}", traced.to);
    };
    assert_eq!(
        (to.table.as_str(), to.total, to.condition.as_deref()),
        (
            "consumption.daily_usage",
            1,
            Some("customer_id = C-1, usage_date = 2020-02-03")
        )
    );
    assert_eq!(value(&to.rows[0].values, "usage_kwh"), "3.250");
    assert_eq!(traced.from, []);
}

#[tokio::test]
async fn a_consumption_row_says_which_records_it_was_computed_from() {
    let lake = Lake::new().await;
    lake.publish().await;
    let condition = "customer_id = 'C-1' AND usage_date = '2020-02-03'";
    let traced = only(rows(&lake, "consumption.daily_usage", condition).await);
    assert_eq!((traced.row.record.as_ref(), traced.to.len()), (None, 0));
    assert_eq!(traced.row.run.as_ref().unwrap().run, 1);
    let [from] = traced.from.as_slice() else {
        panic!("{:?}", traced.from);
    };
    assert_eq!((from.table.as_str(), from.total), ("standard.readings", 2));
    assert_eq!(
        origins(from),
        [
            (
                "monday.csv",
                2,
                Some("C-1, m-1 ,2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,1.000,north")
            ),
            (
                "tuesday.csv",
                3,
                Some("C-1,M 0001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.250,north")
            ),
        ]
    );
}

#[tokio::test]
async fn every_line_of_a_file_is_found_wherever_it_went() {
    let lake = Lake::new().await;
    lake.publish().await;
    assert_eq!(
        only(line(&lake, "tuesday.csv", 2).await).table,
        "standard.readings"
    );
    let rejected = only(line(&lake, "tuesday.csv", 4).await);
    assert_eq!(rejected.table, "rejection.readings");
    assert_eq!(
        origin(rejected.row.record.as_ref().unwrap()).2,
        Some("C-2,M0000002,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,much,south")
    );
    // Another file has corrected it.
    let superseded = line(&lake, "monday.csv", 3).await.unwrap();
    let nowhere = superseded.nowhere.unwrap();
    assert_eq!(superseded.rows, []);
    assert_eq!(
        nowhere.raw.as_deref(),
        Some("C-1,M0000001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.000,north")
    );
    assert!(nowhere.note.unwrap().contains("a later version of its key"));
    let none = line(&lake, "monday.csv", 99)
        .await
        .unwrap()
        .nowhere
        .unwrap();
    assert_eq!(
        (none.raw, none.note.as_deref()),
        (None, Some("no record begins on this line"))
    );
    for (file, expected) in [
        ("sunday.csv", "no such file is loaded"),
        ("*.csv", "2 files"),
    ] {
        let error = line(&lake, file, 1).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn the_text_is_that_of_the_content_that_was_loaded_or_there_is_none() {
    for archives in [false, true] {
        let mut lake = Lake::new().await;
        if archives {
            lake = lake.archiving();
        }
        lake.publish().await;
        lake.receive("monday.csv", 600, "what is there now is not loaded");
        let text = |traced: TracedRow| {
            let record = traced.row.record.unwrap();
            (record.raw.is_some(), record.note.unwrap_or_default())
        };
        let condition = "meter_id = 'M0000003' AND usage_date = '2020-02-03'";
        let changed = text(only(rows(&lake, "standard.readings", condition).await));
        lake.take_away("monday.csv");
        let gone = text(only(rows(&lake, "standard.readings", condition).await));
        match archives {
            true => assert_eq!([&gone, &changed], [&(true, String::new()); 2]),
            false => {
                assert_eq!((gone.0, changed.0), (false, false));
                assert!(gone.1.starts_with("the file is gone, and"), "{gone:?}");
                assert!(changed.1.starts_with("the file has changed"), "{changed:?}");
            }
        }
    }
}

#[tokio::test]
async fn rows_are_traced_as_an_earlier_run_had_left_them() {
    let lake = Lake::new().await.archiving();
    lake.publish().await;
    lake.correction_and_news();
    lake.publish().await;
    let wanted = Traced::Rows {
        table: "standard.readings".to_owned(),
        condition: Some("customer_id = 'C-1' AND usage_date = '2020-02-04'".to_owned()),
    };
    let mut said = Vec::new();
    for run in [Some(1), None] {
        let traced = only(trace(&lake.settings(&healthy()), &wanted, run, 3).await);
        let record = traced.row.record.unwrap();
        said.push((traced.row.run.unwrap().run, record.raw.unwrap()));
    }
    let text = |usage: &str| {
        format!("C-1,M0000001,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,{usage},north")
    };
    assert_eq!(said, [(1, text("1.500")), (2, text("1.750"))]);
}

#[tokio::test]
async fn only_so_many_rows_are_shown_and_what_is_asked_wrongly_is_said() {
    let lake = Lake::new().await;
    lake.publish().await;
    let all = rows(&lake, "standard.readings", "true -- all")
        .await
        .unwrap();
    assert_eq!((all.rows.len(), all.more), (3, true));
    assert_eq!(
        rows(&lake, "rejection.readings", "false")
            .await
            .unwrap()
            .rows,
        []
    );
    for (table, condition, expected) in [
        (
            "standard.reading",
            "true",
            "there is no table standard.reading; there are",
        ),
        ("_lake/files", "true", "there is no table _lake.files"),
        ("standard.readings", "meter = 1", "meter"),
        ("standard.readings", "true) UNION (SELECT 1", "error"),
    ] {
        let error = rows(&lake, table, condition).await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains(expected), "{error}");
    }
}
