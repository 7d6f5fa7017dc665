//! Opening, committing, and what may be in the way.

use lake_delta::{Applied, Impact, Remake, Snapshot, TableSpec};

use crate::support::{Lake, PIPELINE, committed, land, spec};

#[tokio::test]
async fn applying_twice_commits_once() {
    let spec = spec(true);
    let lake = Lake::new();
    let prepared = lake.merge(&spec, &[(1, 1, "a".into())]).await;
    let stamp = lake.stamp();
    let commit = prepared.commit(&stamp).unwrap();
    assert_eq!(
        commit,
        prepared.commit(&stamp).unwrap(),
        "the same stamp, the same bytes"
    );
    let first = land(&lake.root, &spec.name, &commit, &Remake::Append, &stamp)
        .await
        .unwrap();
    let second = land(&lake.root, &spec.name, &commit, &Remake::Append, &stamp)
        .await
        .unwrap();
    assert_eq!((first, second), (committed(0), Applied::Already(0, None)));
    assert_eq!(lake.open(&spec).await.unwrap().version(), 0);
}

#[tokio::test]
async fn what_was_prepared_on_a_table_is_not_put_into_another_one_of_as_many_versions() {
    let spec = spec(false);
    let mut lake = Lake::new();
    let prepared = lake.merge(&spec, &[(1, 1, "a".into())]).await;
    assert_eq!(lake.apply(&prepared).await, committed(0));
    let prepared = lake.merge(&spec, &[(2, 1, "b".into())]).await;
    let stamp = lake.stamp();
    let commit = prepared.commit(&stamp).unwrap();
    // Somebody drops it and makes it anew.
    std::fs::remove_dir_all(lake.directory.path().join(&spec.name)).unwrap();
    lake.run = 0;
    let other = lake.merge(&spec, &[(3, 1, "c".into())]).await;
    assert_eq!(lake.apply(&other).await, committed(0));
    let applied = land(&lake.root, &spec.name, &commit, prepared.remake(), &stamp)
        .await
        .unwrap();
    assert!(
        matches!(&applied, Applied::Impossible(outside) if outside.impact == Impact::Table),
        "{applied:?}"
    );
    assert_eq!(lake.rows(&spec).await.into_keys().collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn of_two_creations_one_wins_and_the_other_hears_of_it() {
    let spec = spec(false);
    let lake = Lake::new();
    let ours = lake.merge(&spec, &[(1, 1, "a".into())]).await;
    let theirs = lake.merge(&spec, &[(2, 1, "b".into())]).await;
    let stamp = lake.stamp();
    let _ = land(
        &lake.root,
        &spec.name,
        &theirs.commit(&stamp).unwrap(),
        &Remake::Append,
        &stamp,
    )
    .await
    .unwrap();
    let mut later = stamp.clone();
    later.run += 1;
    let commit = ours.commit(&later).unwrap();
    let applied = land(&lake.root, &spec.name, &commit, &Remake::Append, &later)
        .await
        .unwrap();
    assert!(
        matches!(&applied, Applied::Impossible(outside) if outside.impact == Impact::Table),
        "{applied:?}"
    );
    assert_eq!(lake.rows(&spec).await.len(), 1);
}

#[tokio::test]
async fn a_vacuum_of_another_engine_between_is_no_obstacle() {
    let spec = spec(false);
    let mut lake = Lake::new();
    let prepared = lake.merge(&spec, &[(1, 1, "a".into())]).await;
    let _ = lake.apply(&prepared).await;
    let ours = lake.merge(&spec, &[(2, 1, "b".into())]).await;
    let log = lake.directory.path().join("standard/t/_delta_log");
    let line = "{\"commitInfo\":{\"operation\":\"VACUUM START\",\"timestamp\":1}}\n";
    std::fs::write(log.join(format!("{:020}.json", 1)), line).unwrap();
    assert_eq!(lake.apply(&ours).await, committed(2));
    assert_eq!(lake.rows(&spec).await.len(), 2);
}

#[tokio::test]
async fn a_table_of_another_pipeline_is_not_touched() {
    let spec = spec(false);
    let mut lake = Lake::new();
    let prepared = lake.merge(&spec, &[(1, 1, "a".into())]).await;
    let _ = lake.apply(&prepared).await;
    let error = Snapshot::open(&lake.root, "other", &spec.name)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a table of the pipeline test, not of other"),
        "{error}"
    );
}

#[tokio::test]
async fn files_that_are_no_table_are_not_built_over() {
    let lake = Lake::new();
    let place = lake.directory.path().join("standard/t");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("part.parquet"), "x").unwrap();
    let error = Snapshot::open(&lake.root, PIPELINE, "standard/t")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("part.parquet"), "{error}");
}

#[tokio::test]
async fn another_schema_is_refused_column_by_column() {
    let before = spec(true);
    let mut lake = Lake::new();
    let prepared = lake.merge(&before, &[(1, 1, "a".into())]).await;
    let _ = lake.apply(&prepared).await;
    use arrow::datatypes::{DataType, Field, Schema};
    let after = TableSpec {
        schema: std::sync::Arc::new(Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("day", DataType::Date32, true),
            Field::new("fresh", DataType::Int64, false),
        ])),
        partition_by: Vec::new(),
        ..before.clone()
    };
    let message = after
        .check(&lake.open(&before).await.unwrap())
        .unwrap_err()
        .to_string();
    for part in [
        "column key is long in the table and string in the declaration",
        "column fresh is new and must not be NULL",
        "column value is no longer declared",
        "partitioned by [day] and declared to be by []",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}
