//! MERGE as copy-on-write.
//!
//! The new rows are written first, sorted and one per key. Files of the table
//! that may hold the same keys are found by their statistics, then exactly, by
//! reading their key (and sequence) columns and joining them with the new
//! rows' ([`decide`]). The join names rows by position, so that it decides
//! everything: which stored rows go, and which new ones. Only files that lose
//! rows are read whole and written again ([`rewrite`]).
//!
//! A file that statistics rule out is not read at all; one that they do not
//! rule out is not read beyond the compared columns unless it loses rows.
//!
//! Where rows can delete their key, the table has a second side: its
//! tombstones. New rows are written into the side that they belong to, one
//! join compares the new rows of both with the stored rows of both, and each
//! side loses and gains rows for itself. A key is on one side or on none.

mod decide;
mod rewrite;
mod withdraw;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::drops::Drops;
use crate::newest::KeyRule;
use crate::prepare::{Attempt, Differences};
use crate::prepared::{Merged, Prepared};
use crate::remake::Remake;
use crate::scan::{DataFile, Files, data_files};
use crate::stats::{Range, may_share, ranges, ranges_of};
use crate::write::{Target, Written, write_plan};
use crate::{Error, Result, Snapshot, TableSpec};

pub use withdraw::Withdrawn;

/// What decides between a new row and a stored one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// The higher sequence stays; equal ones are the same row. Stored rows
    /// that are taken back do not count.
    Newest(Option<Withdrawn>),
    /// The new row stays unless it says the same; stored rows without a
    /// successor go.
    Differences(Differences),
}

/// A table as it is declared and as it is.
pub(crate) struct Stored {
    pub(crate) spec: TableSpec,
    pub(crate) base: Option<Snapshot>,
}

/// Merges the rows of `plan` into `table`, and into `tombstones` those that
/// `rule` says are deleted.
pub(crate) async fn prepare(
    attempt: &Attempt,
    table: Stored,
    tombstones: Option<Stored>,
    plan: Arc<dyn ExecutionPlan>,
    rule: &KeyRule,
    decide: &Rule,
) -> Result<Merged> {
    let mut live = Side::new(attempt, table)?;
    let mut dead = tombstones
        .map(|stored| Side::new(attempt, stored))
        .transpose()?;
    let context = attempt.session.task_ctx();
    let target = dead.as_ref().map(|dead| &dead.target);
    let written = write_plan(&live.target, target, plan, Some(rule), &context).await?;
    live.take(written.live);
    if let Some(dead) = &mut dead {
        dead.take(written.dead);
    }
    let again = Arc::new(MergeAgain {
        key: rule.key.clone(),
        newest_by: rule.newest_by.clone(),
        decide: decide.clone(),
        live: live.part(),
        dead: dead.as_ref().map(Side::part),
        superseded: written.superseded,
    });
    let mut merged = compare(attempt, live, dead, rule, &again).await?;
    merged.table.remake = Remake::Merge(Arc::clone(&again));
    if let Some(tombstones) = &mut merged.tombstones {
        tombstones.remake = Remake::Merge(again);
    }
    Ok(merged)
}

/// What a merge needs to be made again: everything that decides, and the files of the run's rows
/// as they were before any of them lost to a stored row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MergeAgain {
    /// Empty where rows are only added and taken back.
    key: Vec<String>,
    newest_by: Vec<String>,
    decide: Rule,
    live: Part,
    dead: Option<Part>,
    superseded: u64,
}

/// The new rows of one table.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part {
    table: String,
    files: Vec<Add>,
}

/// Merges the rows of a run once more, into what its tables are now; gives the change of the
/// table `current`, which is to be what `after` says. What is applied already says the same as the run's rows, and stays.
pub(crate) async fn again(
    attempt: &Attempt,
    current: &Snapshot,
    after: &TableSpec,
    again: &Arc<MergeAgain>,
) -> Result<Prepared> {
    let open = async |part: &Part, spec: Option<TableSpec>| -> Result<Side> {
        let (base, spec) = match part.table == current.name {
            true => (Some(current.clone()), Some(after.clone())),
            false => {
                let base = Snapshot::open(&attempt.root, &attempt.pipeline, &part.table).await?;
                let spec = base.as_ref().map(TableSpec::of).or(spec);
                (base, spec)
            }
        };
        let spec = spec.ok_or_else(|| Error::Foreign {
            table: part.table.clone(),
            reason: "the table is gone".to_owned(),
        })?;
        let mut side = Side::new(attempt, Stored { spec, base })?;
        side.new = data_files(part.files.iter().cloned());
        side.rows = side
            .new
            .iter()
            .map(|file| file.rows.unwrap_or(0) as u64)
            .sum();
        Ok(side)
    };
    let live = open(&again.live, None).await?;
    let dead = match &again.dead {
        None => None,
        Some(part) => {
            let (key, newest_by) = (&again.key, &again.newest_by);
            let spec = live.spec.tombstones(&part.table, key, newest_by)?;
            Some(open(part, Some(spec)).await?)
        }
    };
    let is_dead = dead
        .as_ref()
        .is_some_and(|dead| dead.spec.name == current.name);
    let rule = KeyRule {
        key: again.key.clone(),
        newest_by: again.newest_by.clone(),
        deleted: None,
    };
    let mut prepared = match &again.decide {
        Rule::Newest(Some(withdrawn)) if again.key.is_empty() => {
            withdraw::finish(attempt, live, withdrawn).await?
        }
        _ => {
            let merged = compare(attempt, live, dead, &rule, again).await?;
            match (is_dead, merged.tombstones) {
                (true, Some(tombstones)) => tombstones,
                (true, None) | (false, _) => merged.table,
            }
        }
    };
    prepared.remake = Remake::Merge(Arc::clone(again));
    Ok(prepared)
}

/// Compares the new rows, which are written, with those that are stored.
async fn compare(
    attempt: &Attempt,
    mut live: Side,
    mut dead: Option<Side>,
    rule: &KeyRule,
    again: &MergeAgain,
) -> Result<Merged> {
    let decide = &again.decide;
    live.find(attempt, dead.as_ref(), rule, decide).await?;
    if let Some(dead) = &mut dead {
        dead.find(attempt, Some(&live), rule, decide).await?;
    }
    let merge = Merge {
        attempt,
        rule,
        decide,
        live,
        dead,
    };
    let decided = merge.decide().await?;
    let vanished = decided.live.vanished;
    let forgotten = decided.dead.vanished;
    let mut counts = decided.live.counts(merge.live.rows);
    counts.superseded += again.superseded;
    let tombstones = match merge.dead {
        None => None,
        Some(side) => {
            let dead = decided.dead.counts(side.rows);
            // To the table, a row that deletes is one of its rows.
            counts.unchanged += dead.unchanged;
            counts.superseded += dead.superseded;
            counts.tombstones = dead.inserted + dead.updated;
            counts.deleted = counts.tombstones + decided.live.vanished;
            let prepared = side.rewrite(attempt, decided.dead, dead).await?;
            let exists = prepared.base.is_some() || !prepared.adds.is_empty();
            exists.then_some(prepared)
        }
    };
    let table = merge.live.rewrite(attempt, decided.live, counts).await?;
    Ok(Merged {
        table,
        tombstones,
        vanished,
        forgotten,
    })
}

/// What is compared: the rows of the sides that there are.
struct Merge<'a> {
    attempt: &'a Attempt,
    rule: &'a KeyRule,
    decide: &'a Rule,
    /// The table.
    live: Side,
    /// Its tombstones, where its rows can delete.
    dead: Option<Side>,
}

/// A table's part in a merge.
struct Side {
    spec: TableSpec,
    base: Option<Snapshot>,
    target: Target,
    /// Files of new rows, of which there are `rows`.
    new: Vec<DataFile>,
    rows: u64,
    /// Files of the base that the change may have something to do with.
    old: Vec<DataFile>,
    /// Rows of the old files that are taken back.
    withdrawn: Drops,
    /// Files of the base that the store does not have any more.
    lost: Vec<Add>,
}

/// How many files are looked for at a time.
const LOOKED_FOR: usize = 16;

impl Side {
    fn new(attempt: &Attempt, stored: Stored) -> Result<Self> {
        let Stored { spec, base } = stored;
        if let Some(base) = &base {
            spec.check(base)?;
        }
        Ok(Self {
            target: attempt.target(&spec)?,
            spec,
            base,
            new: Vec::new(),
            rows: 0,
            old: Vec::new(),
            withdrawn: Drops::default(),
            lost: Vec::new(),
        })
    }

    fn part(&self) -> Part {
        Part {
            table: self.spec.name.clone(),
            files: self.new.iter().map(|file| file.add.clone()).collect(),
        }
    }

    /// Finds the stored rows that the change may have something to do with.
    async fn find(
        &mut self,
        attempt: &Attempt,
        other: Option<&Self>,
        rule: &KeyRule,
        decide: &Rule,
    ) -> Result<()> {
        self.old = self.candidates(&self.incoming(other), rule, decide);
        match decide {
            Rule::Newest(Some(withdrawn)) => self.withdraw(attempt, withdrawn).await,
            // What is computed as a whole needs nothing of what was there, so that it is the way
            // out where files are lost.
            Rule::Differences(Differences { within: None, .. }) => self.give_up_lost(attempt).await,
            _ => Ok(()),
        }
    }

    /// Sets the files aside that the store does not have any more.
    async fn give_up_lost(&mut self, attempt: &Attempt) -> Result<()> {
        let store = attempt.root.child(&self.spec.name).store();
        let old = std::mem::take(&mut self.old);
        let looked = futures::stream::iter(old.into_iter().map(|file| {
            let store = Arc::clone(&store);
            async move {
                let path = Path::parse(&file.add.path).map_err(object_store::Error::from);
                let found = match path {
                    Ok(path) => store.head(&path).await.map(|_| ()),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(()) => Ok((file, true)),
                    Err(object_store::Error::NotFound { .. }) => Ok((file, false)),
                    Err(error) => Err(Error::store(&file.add.path, error)),
                }
            }
        }));
        let looked: Vec<(DataFile, bool)> = looked.buffered(LOOKED_FOR).try_collect().await?;
        for (file, is_there) in looked {
            if is_there {
                self.old.push(file);
            } else {
                tracing::warn!(
                    table = self.spec.name,
                    file = file.add.path,
                    "a data file is gone, and is given up"
                );
                self.lost.push(file.add);
            }
        }
        Ok(())
    }

    fn take(&mut self, written: Written) {
        self.rows = written.rows;
        self.new = data_files(written.files);
    }

    /// The table's data files, read with the columns of `spec`.
    fn files(&self, attempt: &Attempt, spec: &TableSpec) -> Files {
        Files {
            store: attempt.root.child(&self.spec.name).store(),
            schema: Arc::clone(&spec.schema),
        }
    }

    /// The new files of both sides that can meet this one's rows.
    fn incoming<'a>(&'a self, other: Option<&'a Self>) -> Vec<(&'a Add, &'a TableSpec)> {
        let sides = [Some(self), other].into_iter().flatten();
        sides
            .flat_map(|side| side.new.iter().map(|file| (&file.add, &side.spec)))
            .collect()
    }

    /// The files of the table that the change may have something to do with.
    fn candidates(
        &self,
        incoming: &[(&Add, &TableSpec)],
        rule: &KeyRule,
        decide: &Rule,
    ) -> Vec<DataFile> {
        let Some(base) = &self.base else {
            return Vec::new();
        };
        let (columns, wanted): (Vec<String>, Vec<HashMap<String, Range>>) = match decide {
            Rule::Newest(_) => {
                // The key determines the partition, so a partition column rules out too.
                let mut columns = rule.key.clone();
                let partitions = base.partition_by.iter();
                columns.extend(partitions.filter(|c| !rule.key.contains(c)).cloned());
                let wanted = incoming
                    .iter()
                    .map(|(add, spec)| ranges(add, &spec.schema, &columns));
                let wanted = wanted.collect();
                (columns, wanted)
            }
            // Rows that vanish have no new row that would name their file.
            Rule::Differences(Differences { within: None, .. }) => {
                return data_files(base.files.iter().cloned());
            }
            Rule::Differences(Differences {
                within: Some(groups),
                ..
            }) => {
                if groups.is_empty() {
                    return Vec::new();
                }
                let range = ranges_of(&groups.values, &groups.columns);
                (groups.columns.clone(), vec![range])
            }
        };
        let files = base.files.iter().filter(|add| {
            let stored = ranges(add, &base.schema, &columns);
            wanted
                .iter()
                .any(|range| may_share(range, &stored, &columns))
        });
        data_files(files.cloned())
    }
}

/// The columns as an SQL list.
pub(crate) fn quoted(columns: &[String], prefix: &str) -> String {
    let list: Vec<String> = columns
        .iter()
        .map(|c| format!("{prefix}{}", quote(c)))
        .collect();
    list.join(", ")
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The files with their places in the list, counted from `first`.
fn numbered(files: &[DataFile], first: usize) -> impl Iterator<Item = (usize, Add)> {
    let files = files.iter().enumerate();
    files.map(move |(index, file)| (first + index, file.add.clone()))
}
