//! Versions of a row: which one a table shows, what deletes it, and where all of them are kept.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lake_tests::{Lake, building, make_crate, target};

/// Accounts that are sent again and again, with a revision, and that can be closed.
const ACCOUNTS: &str = r#"//! Accounts with revisions.

use lake_plugin::prelude::*;

pub fn accounts() -> Transform {
    let how = std::env::var("ACCOUNTS").unwrap_or_default();
    let accounts = Table::standard("accounts")
        .sql("SELECT id, revision, owner FROM readings")
        .key(["id"])
        .newest_by([if how == "by owner" { "owner" } else { "revision" }])
        .history();
    let accounts = match how.as_str() {
        "closes nothing" => accounts,
        _ => accounts.delete_when("operation = 'close'"),
    };
    Transform::new()
        .input(Input::csv("readings").header()
            .column("id", text())
            .column("revision", integer())
            .column("operation", text())
            .column("owner", text()))
        .table(accounts)
        .table(Table::consumption("owners")
            .sql("SELECT owner, count(*) AS accounts FROM standard.accounts GROUP BY owner")
            .key(["owner"])
            .refresh_by(["owner"]))
}
lake_plugin::export!(accounts);
"#;

const LIVE: &str = "SELECT id, revision, owner FROM standard.accounts ORDER BY id";
const OWNERS: &str = "SELECT owner, accounts FROM consumption.owners ORDER BY owner";
const HISTORY: &str = "SELECT id, revision, _deleted FROM standard.accounts_history ORDER BY id, revision, received_at, _line";

#[test]
fn the_highest_revision_stays_whatever_comes_last() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["x,5,,anna", "y,,,bert"]);
    lake.publish(&[]);
    put(&lake, "b.csv", 2, &["x,4,,late", "y,1,,bert", "y,,,nobody"]);
    let report = lake.publish(&[]);
    let table = &report["tables"]["standard/accounts"];
    assert_eq!(table["superseded"], 2, "{table}");
    assert_eq!(table["updated"], 1, "{table}");
    assert_eq!(lake.rows(LIVE), ["x,5,anna", "y,1,bert"]);
}

#[test]
fn a_deleted_key_leaves_every_table_and_an_older_row_does_not_bring_it_back() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["x,1,,anna", "y,1,,bert"]);
    lake.publish(&[]);
    put(&lake, "b.csv", 2, &["x,3,close,", "unknown,9,close,"]);
    let report = lake.publish(&[]);
    let table = &report["tables"]["standard/accounts"];
    assert_eq!(
        [&table["deleted"], &table["tombstones"], &table["rows"]],
        [2, 2, 1]
    );
    assert_eq!(lake.rows(LIVE), ["y,1,bert"]);
    assert_eq!(lake.rows(OWNERS), ["bert,1"]);

    put(&lake, "c.csv", 3, &["x,2,,late", "unknown,8,,late"]);
    let report = lake.publish(&[]);
    assert_eq!(report["tables"]["standard/accounts"]["superseded"], 2);
    assert_eq!(lake.rows(LIVE), ["y,1,bert"]);

    put(&lake, "d.csv", 4, &["x,4,,again"]);
    lake.publish(&[]);
    assert_eq!(lake.rows(LIVE), ["x,4,again", "y,1,bert"]);
    assert_eq!(lake.rows(OWNERS), ["again,1", "bert,1"]);
    assert_eq!(
        lake.rows(HISTORY),
        [
            "unknown,8,false",
            "unknown,9,true",
            "x,1,false",
            "x,2,false",
            "x,3,true",
            "x,4,false",
            "y,1,false"
        ]
    );
}

#[test]
fn the_same_files_in_any_split_and_order_give_the_same_tables() {
    let files = [
        ("a.csv", 1, vec!["x,1,,anna", "y,1,,bert", "z,7,close,"]),
        ("b.csv", 2, vec!["x,3,close,", "y,2,,carl"]),
        ("c.csv", 3, vec!["x,2,,late", "z,6,,late"]),
    ];
    let orders: [&[&[usize]]; 4] = [
        &[&[0, 1, 2]],
        &[&[0], &[1], &[2]],
        &[&[2], &[1], &[0]],
        &[&[1], &[2, 0]],
    ];
    let mut seen = Vec::new();
    for runs in orders {
        let lake = accounts();
        for run in runs {
            for index in *run {
                let (name, hour, lines) = &files[*index];
                put(&lake, name, *hour, lines);
            }
            lake.publish(&[]);
        }
        seen.push([LIVE, OWNERS, HISTORY].map(|sql| lake.rows(sql)));
        assert_eq!(seen[0], seen[seen.len() - 1], "{runs:?}");
        assert_eq!(lake.publish(&["--reload"])["kind"], "reload");
        assert_eq!(
            [LIVE, OWNERS, HISTORY].map(|sql| lake.rows(sql)),
            seen[0],
            "{runs:?}"
        );
    }
    assert_eq!(seen[0][0], ["y,2,carl"]);
}

#[test]
fn loading_all_files_again_brings_no_second_version_of_a_row() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["x,1,,anna"]);
    lake.publish(&[]);
    put(&lake, "a.csv", 2, &["x,1,,anna", "y,1,,bert"]);
    lake.publish(&[]);
    let report = lake.publish(&["--reload"]);
    let history = &report["tables"]["standard/accounts_history"];
    assert_eq!([&history["inserted"], &history["deleted"]], [0, 0]);
}

#[test]
fn new_content_under_the_time_of_the_old_is_newer_all_the_same() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["y,1,,bert"]);
    lake.publish(&[]);
    put(&lake, "a.csv", 1, &["y,1,,bertrand"]);
    lake.publish(&[]);
    assert_eq!(lake.rows(LIVE), ["y,1,bertrand"]);
}

#[test]
fn a_reload_keeps_versions_that_no_file_has_any_more() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["x,1,,anna"]);
    lake.publish(&[]);
    put(&lake, "a.csv", 2, &["x,2,,anna"]);
    lake.publish(&[]);
    lake.publish(&["--reload"]);
    assert_eq!(lake.rows(LIVE), ["x,2,anna"]);
    assert_eq!(lake.rows(HISTORY), ["x,1,false", "x,2,false"]);
}

#[test]
fn deletions_are_never_forgotten_by_a_change_of_the_declaration() {
    let lake = accounts();
    put(&lake, "a.csv", 1, &["x,1,close,"]);
    lake.publish(&[]);
    put(&lake, "b.csv", 2, &["x,0,,late"]);
    let lake = lake.variable("ACCOUNTS", "closes nothing");
    lake.run(&[]).assert(
        1,
        &[
            "standard/accounts: 1 of its keys are deleted",
            ".delete_when(\"false\")",
        ],
    );
    let lake = lake.variable("ACCOUNTS", "by owner");
    lake.run(&[]).assert(
        1,
        &[
            "its deletions are remembered by id, revision, received_at, _file, _line",
            "and are now to be by id, owner,",
            "lake run --reload",
        ],
    );
}

/// A pipeline of accounts.
fn accounts() -> Lake {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    let directory: &Path = CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/accounts");
        make_crate(&directory, "accounts", ACCOUNTS);
        directory
    });
    building("accounts", "1", directory)
}

fn put(lake: &Lake, name: &str, hour: u64, lines: &[&str]) {
    let text = format!("id,revision,operation,owner\n{}\n", lines.join("\n"));
    lake.put(name, hour, text);
}
