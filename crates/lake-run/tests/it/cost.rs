//! What a run asks of its store: on an object store, every operation is a request.

use std::collections::BTreeMap;

use expect_test::expect;
use lake_run::Outcome;
use lake_testing::FailingStore;

use crate::support::{HEADER, Lake, healthy};

#[tokio::test]
async fn a_run_of_one_small_file_asks_for_this_much() {
    let lake = Lake::empty().await;
    one_file(&lake, 0);
    lake.publish().await;
    one_file(&lake, 1);
    let store = healthy();
    lake.run_through(&store).await.unwrap();
    expect![[r#"
        Delete 1
        Get 54
        Head 20
        List 11
        Put 16
    "#]]
    .assert_eq(&by_kind(&store));
}

#[tokio::test]
async fn a_run_that_finds_nothing_reads_this_much_and_writes_nothing() {
    let lake = Lake::empty().await;
    one_file(&lake, 0);
    lake.publish().await;
    let store = healthy();
    let outcome = lake.run_through(&store).await.unwrap().outcome;
    assert!(
        matches!(outcome, Outcome::NothingToDo { .. }),
        "{outcome:?}"
    );
    expect![[r#"
        Get 12
        Head 4
        List 3
    "#]]
    .assert_eq(&by_kind(&store));
}

/// A file with one reading, of another meter than any other file.
fn one_file(lake: &Lake, number: u64) {
    let row = format!("C-1,M{number:07},2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,1.000,north");
    lake.receive(
        &format!("{number:03}.csv"),
        number,
        &format!("{HEADER}{row}\n"),
    );
}

/// How often each kind of operation was asked for.
fn by_kind(store: &FailingStore) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in store.operations() {
        *counts.entry(format!("{:?}", operation.kind)).or_default() += 1;
    }
    let lines = counts
        .iter()
        .map(|(kind, times)| format!("{kind} {times}\n"));
    lines.collect()
}
