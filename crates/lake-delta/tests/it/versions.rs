//! Rows that may delete their key, and a plain model of what they do: a map
//! from key to the highest sequence, and whether that is a deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use lake_delta::{
    Applied, Counts, Merged, Prepared, Remake, Result, Snapshot, TableSpec, Tombstones, Versions,
};
use proptest::prelude::*;

use crate::support::{Lake, PIPELINE, Row, batch, keys_in, land, read, versions};

/// Where the deletions of `standard/t` are remembered.
pub(crate) const DEAD: &str = "_lake/deleted/standard.t";

/// One row: key, sequence, and whether it deletes. The value follows from the first two.
pub(crate) type Version = (i64, i64, bool);

/// Of every key that is known: its highest sequence, and whether it is
/// deleted. A deletion is higher than a row of the same sequence.
pub(crate) type Model = BTreeMap<i64, (i64, bool)>;

pub(crate) fn some_versions() -> impl Strategy<Value = Vec<Version>> {
    // Few keys and few sequences, so that a key is deleted, comes back and
    // comes late often, also at the same sequence.
    prop::collection::vec((0_i64..9, 0_i64..6, prop::bool::weighted(0.4)), 0..20)
}

pub(crate) fn value(key: i64, sequence: i64) -> String {
    format!("{key}@{sequence}")
}

pub(crate) fn rows(versions: &[Version]) -> RecordBatch {
    let rows: Vec<Row> = versions
        .iter()
        .map(|(key, sequence, _)| (*key, *sequence, value(*key, *sequence)))
        .collect();
    // What does not delete says so, or says nothing.
    let gone = versions
        .iter()
        .map(|(key, _, gone)| (*gone || key % 2 == 0).then_some(*gone));
    marked(&batch(&rows), Arc::new(BooleanArray::from_iter(gone)))
}

/// The rows with a column `gone` beside them.
pub(crate) fn marked(rows: &RecordBatch, gone: ArrayRef) -> RecordBatch {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("gone", gone.data_type().clone(), true)));
    let mut columns = rows.columns().to_vec();
    columns.push(gone);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub(crate) async fn plan(session: &SessionContext, rows: &RecordBatch) -> Arc<dyn ExecutionPlan> {
    let half = rows.num_rows() / 2;
    let parts = [(0, half), (half, rows.num_rows() - half)];
    let parts = parts.map(|(start, rows_of_it)| vec![rows.slice(start, rows_of_it)]);
    let table = MemTable::try_new(rows.schema(), parts.to_vec()).unwrap();
    let frame = session.read_table(Arc::new(table)).unwrap();
    frame.create_physical_plan().await.unwrap()
}

/// What is prepared: a merge, or a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Merge,
    Reload,
}

impl Lake {
    pub(crate) async fn dead(&self) -> Option<Snapshot> {
        Snapshot::open(&self.root, PIPELINE, DEAD).await.unwrap()
    }

    pub(crate) async fn try_versions(
        &self,
        spec: &TableSpec,
        how: How,
        rows: &RecordBatch,
    ) -> Result<Merged> {
        let attempt = self.attempt();
        let plan = plan(&attempt.session, rows).await;
        let base = Snapshot::open(&self.root, PIPELINE, &spec.name).await?;
        let tombstones = Tombstones {
            name: DEAD.to_owned(),
            base: Snapshot::open(&self.root, PIPELINE, DEAD).await?,
            deleted: "gone".to_owned(),
        };
        let versions = Versions {
            tombstones: Some(tombstones),
            ..versions()
        };
        match how {
            How::Merge => attempt.merge_newest(spec, base, plan, versions).await,
            How::Reload => attempt.reload(spec, base, plan, versions, &[]).await,
        }
    }

    pub(crate) async fn versions(
        &self,
        spec: &TableSpec,
        how: How,
        versions: &[Version],
    ) -> Merged {
        let rows = rows(versions);
        self.try_versions(spec, how, &rows).await.unwrap()
    }

    /// Merges and applies.
    pub(crate) async fn load(&mut self, spec: &TableSpec, versions: &[Version]) -> Merged {
        let merged = self.versions(spec, How::Merge, versions).await;
        self.apply_merged(&merged).await;
        merged
    }

    /// Applies what changes, for one run.
    pub(crate) async fn apply_merged(&mut self, merged: &Merged) {
        let stamp = self.stamp();
        for change in changes(merged).filter(|change| !change.is_unchanged()) {
            let commit = change.commit(&stamp).unwrap();
            let applied = land(&self.root, change.name(), &commit, &Remake::Append, &stamp).await;
            assert!(matches!(applied.unwrap(), Applied::Committed(_)));
        }
        self.next_run();
    }

    /// The keys that live, and those that are dead, with their sequences.
    pub(crate) async fn known(&self, spec: &TableSpec) -> Model {
        let dead = match self.dead().await {
            None => BTreeMap::new(),
            Some(dead) => read_dead(dead.provider().await.unwrap()).await,
        };
        both(self.rows(spec).await, dead)
    }
}

pub(crate) fn changes(merged: &Merged) -> impl Iterator<Item = &Prepared> {
    std::iter::once(&merged.table).chain(&merged.tombstones)
}

/// What the tables will be once both changes are applied.
pub(crate) async fn shown(merged: &Merged) -> Model {
    let live = read(merged.table.provider().await.unwrap()).await;
    let dead = match &merged.tombstones {
        None => BTreeMap::new(),
        Some(dead) => read_dead(dead.provider().await.unwrap()).await,
    };
    both(live, dead)
}

/// A key that is live and dead fails the test.
fn both(live: BTreeMap<i64, (i64, String)>, dead: BTreeMap<i64, i64>) -> Model {
    let mut model = Model::new();
    for (key, (sequence, found)) in live {
        assert_eq!(found, value(key, sequence));
        model.insert(key, (sequence, false));
    }
    for (key, sequence) in dead {
        let other = model.insert(key, (sequence, true));
        assert_eq!(other, None, "key {key} is live and dead");
    }
    model
}

async fn read_dead(table: Arc<dyn datafusion::catalog::TableProvider>) -> BTreeMap<i64, i64> {
    let names: Vec<String> = table
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(
        names,
        ["key", "sequence"],
        "tombstones are keys and sequences"
    );
    let session = SessionContext::new();
    let frame = session.read_table(table).unwrap();
    let mut dead = BTreeMap::new();
    for batch in frame.collect().await.unwrap() {
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let sequences = batch.column(1).as_primitive::<Int64Type>();
        for (key, sequence) in keys.values().iter().zip(sequences.values()) {
            assert_eq!(
                dead.insert(*key, *sequence),
                None,
                "key {key} is dead twice"
            );
        }
    }
    dead
}

/// What the model says a batch does: the model after it, and the counts of the
/// table and of its tombstones.
fn expect(model: &Model, how: How, versions: &[Version]) -> (Model, Counts, Counts) {
    let (mut counts, mut dead) = (Counts::default(), Counts::default());
    let mut winners = Model::new();
    for (key, sequence, gone) in versions {
        let new = (*sequence, *gone);
        let best = winners.entry(*key).or_insert(new);
        *best = new.max(*best);
    }
    counts.superseded = (versions.len() - winners.len()) as u64;
    let mut after = match how {
        How::Merge => model.clone(),
        How::Reload => Model::new(),
    };
    for (key, new) in &winners {
        let old = model.get(key);
        match old {
            Some(old) if old == new => {
                counts.unchanged += 1;
                dead.unchanged += u64::from(new.1);
                after.insert(*key, *new);
                continue;
            }
            Some(old) if how == How::Merge && old > new => {
                counts.superseded += 1;
                dead.superseded += u64::from(new.1);
                continue;
            }
            _ => {}
        }
        after.insert(*key, *new);
        match (old.map(|old| old.1), new.1) {
            (None, false) => counts.inserted += 1,
            (Some(false), false) => counts.updated += 1,
            (Some(true), false) => {
                counts.inserted += 1;
                dead.deleted += 1;
            }
            (from, true) => {
                counts.tombstones += 1;
                counts.deleted += 1;
                if from == Some(true) {
                    dead.updated += 1;
                } else {
                    dead.inserted += 1;
                }
            }
        }
    }
    if how == How::Reload {
        for (_, (_, gone)) in model.iter().filter(|(key, _)| !winners.contains_key(key)) {
            if *gone {
                dead.deleted += 1;
            } else {
                counts.deleted += 1;
            }
        }
    }
    (after, counts, dead)
}

/// Prepares and applies one batch, and holds all that can be seen of it
/// against the model.
pub(crate) async fn check(
    lake: &mut Lake,
    spec: &TableSpec,
    model: &mut Model,
    how: How,
    versions: &[Version],
) {
    let (after, counts, dead_counts) = expect(model, how, versions);
    let existed = lake.dead().await.is_some();
    let merged = lake.versions(spec, how, versions).await;
    assert_eq!(
        merged.table.counts, counts,
        "{how:?} {versions:?} on {model:?}"
    );
    assert_eq!(counts.accepted(), versions.len() as u64, "no row is lost");
    assert_eq!(shown(&merged).await, after, "as prepared");

    let of = |model: &Model, gone: bool| -> Model {
        let kept = model.iter().filter(|(_, known)| known.1 == gone);
        kept.map(|(key, known)| (*key, *known)).collect()
    };
    let changed = |gone: bool| -> BTreeSet<i64> {
        let (before, after) = (of(model, gone), of(&after, gone));
        let keys = before.keys().chain(after.keys()).copied();
        keys.filter(|key| before.get(key) != after.get(key))
            .collect()
    };
    assert_eq!(merged.table.rows(), of(&after, false).len() as u64);
    only_needed(lake, &merged.table, &changed(false));
    let (attempt, key) = (lake.attempt(), ["key".to_owned()]);
    let touched = attempt.touched(&merged.table, &key, 1_000).await;
    let touched = touched.unwrap().values;
    let keys = touched.iter().flat_map(|batch| {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    });
    assert_eq!(keys.collect::<BTreeSet<_>>(), changed(false), "touched");

    let dead = of(&after, true);
    match &merged.tombstones {
        None => assert!(!existed && dead.is_empty(), "{dead:?} is not remembered"),
        Some(tombstones) => {
            assert!(existed || !dead.is_empty(), "a table of nothing");
            assert_eq!(tombstones.counts, dead_counts);
            assert_eq!(tombstones.rows(), dead.len() as u64);
            only_needed(lake, tombstones, &changed(true));
        }
    }
    lake.apply_merged(&merged).await;
    assert_eq!(lake.known(spec).await, after, "as committed");
    *model = after;
}

fn only_needed(lake: &Lake, change: &Prepared, changed: &BTreeSet<i64>) {
    for path in change.removed_files() {
        let keys = keys_in(lake, change.name(), path);
        let name = change.name();
        assert!(
            !keys.is_disjoint(changed),
            "{name}: {path} was rewritten without need"
        );
    }
}
