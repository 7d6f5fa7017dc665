//! Other engines read the tables straight from the bucket.

use std::process::Command;

use lake_tests::{Ended, csv, reading, workspace};

use crate::place::{Place, on_pipeline};
use crate::server::{PASSWORD, USER};

#[test]
fn duckdb_reads_from_the_bucket_what_lake_reads() {
    let place = Place::new();
    let lake = place.lake();
    place.put(
        "data/1.csv",
        csv([reading(1, 1, 1, 0, "1.5"), "garbage".into()]),
    );
    lake.publish(&[]);
    place.put(
        "data/2.csv",
        csv([reading(1, 1, 1, 0, "1.75"), reading(2, 2, 2, 0, "3")]),
    );
    lake.publish(&[]);
    on_pipeline(&lake, &["rollback"], &["--version", "1", "--yes"]).assert(0, &[]);
    lake.publish(&[]);
    for (table, columns) in [
        ("standard/readings", "meter_id, usage_kwh, _line, _run"),
        (
            "consumption/daily_usage",
            "customer_id, usage_kwh, readings, _run",
        ),
        ("rejection/readings", "input, line, raw, run"),
    ] {
        let sql = format!("SELECT {columns} FROM {}", table.replace('/', "."));
        let mut expected = lake.rows(&sql);
        let mut found = duckdb(&place, table, columns);
        expected.sort();
        found.sort();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{table}");
    }
}

fn duckdb(place: &Place, table: &str, columns: &str) -> Vec<String> {
    let view = format!("t={}", place.url(&format!("lake/utility/{table}")));
    let python = workspace().join(".venv/bin/python");
    let mut command = Command::new(&python);
    command
        .args([
            "tests/python/query_delta.py",
            &format!("SELECT {columns} FROM t"),
            &view,
        ])
        .env("AWS_ENDPOINT_URL", place.server.url())
        .env("AWS_ACCESS_KEY_ID", USER)
        .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
        .current_dir(workspace());
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; make it with: scripts/venv tests/python/requirements.txt",
            python.display()
        )
    });
    let ended = Ended::of(output);
    ended.assert(0, &[]);
    ended.stdout.lines().map(str::to_owned).collect()
}
