//! Which rows stay: a join of new and stored rows by key.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int8Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::{Merge, Rule, Side, numbered, quote};
use crate::drops::Drops;
use crate::prepare::Differences;
use crate::prepared::Counts;
use crate::scan::{DataFile, POSITION, Selection, first_position, split_position};
use crate::{Error, Result};

/// The SQL verdicts of the join.
mod verdict {
    /// The stored row goes: the new one replaces it.
    pub(super) const REPLACES: i8 = 1;
    /// The new row goes: it says nothing new.
    pub(super) const SAME: i8 = 0;
    /// The new row goes: what is stored is newer.
    pub(super) const OLDER: i8 = -1;
    /// The stored row goes: there is nothing in its place.
    pub(super) const VANISHES: i8 = 2;
}

/// A join that needs less than this share of the memory limit may hash one
/// side; a larger one sorts both, which can spill.
const HASH_JOIN_SHARE: usize = 8;
/// What one row of a join's build side is taken to need, in bytes, and each of its values.
const JOIN_ROW_BYTES: usize = 64;
const JOIN_VALUE_BYTES: usize = 32;

/// What the join says of both sides.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) live: Decided,
    pub(super) dead: Decided,
}

/// Which rows of one side go, and how many of them for which reason.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) new_gone: Drops,
    pub(super) old_gone: Drops,
    /// New rows that take the place of a stored one of this side.
    replacing: Drops,
    updated: u64,
    unchanged: u64,
    superseded: u64,
    /// Stored rows whose key goes on on the other side.
    changed_sides: u64,
    /// Stored rows whose key is on neither side any more.
    pub(super) vanished: u64,
}

impl Decided {
    /// What became of `new_rows` rows, and of the side's own.
    pub(super) fn counts(&self, new_rows: u64) -> Counts {
        let known = self.updated + self.unchanged + self.superseded;
        Counts {
            inserted: new_rows.saturating_sub(known),
            updated: self.updated,
            unchanged: self.unchanged,
            superseded: self.superseded,
            deleted: self.changed_sides + self.vanished,
            tombstones: 0,
        }
    }
}

/// Where a row is: on which side, in which file of it, and at which place there.
struct Place {
    is_dead: bool,
    row: (usize, usize),
}

impl Place {
    /// Reads a position; the files of the dead are numbered from `first_dead`.
    fn of(position: i64, first_dead: usize) -> Self {
        let (index, row) = split_position(position);
        match index.checked_sub(first_dead) {
            Some(index) => Self {
                is_dead: true,
                row: (index, row),
            },
            None => Self {
                is_dead: false,
                row: (index, row),
            },
        }
    }
}

impl Decisions {
    fn side(&mut self, is_dead: bool) -> &mut Decided {
        if is_dead {
            &mut self.dead
        } else {
            &mut self.live
        }
    }

    /// Notes what the join says of one pair of rows; `new` and `old` are
    /// there where `verdict` is about them.
    ///
    /// A key that a foreign writer has stored twice matches twice, and is one
    /// row of the run all the same.
    fn note(&mut self, verdict: i8, new: &Place, old: &Place) {
        match verdict {
            verdict::REPLACES => {
                let first_time = self.side(old.is_dead).old_gone.drop_at(old.row);
                if new.is_dead == old.is_dead {
                    let side = self.side(new.is_dead);
                    side.updated += u64::from(side.replacing.drop_at(new.row));
                } else {
                    self.side(old.is_dead).changed_sides += u64::from(first_time);
                }
            }
            verdict::VANISHES => {
                let side = self.side(old.is_dead);
                side.vanished += u64::from(side.old_gone.drop_at(old.row));
            }
            verdict::SAME => {
                let side = self.side(new.is_dead);
                if side.new_gone.drop_at(new.row) {
                    side.unchanged += 1;
                } else {
                    // Somebody else has stored it twice.
                    let side = self.side(old.is_dead);
                    side.vanished += u64::from(side.old_gone.drop_at(old.row));
                }
            }
            _ => {
                let side = self.side(new.is_dead);
                side.superseded += u64::from(side.new_gone.drop_at(new.row));
            }
        }
    }
}

impl Merge<'_> {
    /// Joins new and stored rows by key.
    pub(super) async fn decide(&self) -> Result<Decisions> {
        let mut decisions = Decisions::default();
        if self.old_files().rows() == 0 {
            return Ok(decisions);
        }
        let failed = |e| Error::query(&self.live.spec.name, e);
        let session = self.session().await.map_err(failed)?;
        let frame = session.sql(&self.sql()).await.map_err(failed)?;
        let mut matches = frame.execute_stream().await.map_err(failed)?;
        let (first_new, first_old) = (self.new_files().live.len(), self.old_files().live.len());
        while let Some(batch) = matches.next().await {
            let batch = batch.map_err(failed)?;
            let new_rows = batch.column(0).as_primitive::<Int64Type>();
            let old_rows = batch.column(1).as_primitive::<Int64Type>();
            let verdicts = batch.column(2).as_primitive::<Int8Type>();
            for row in (0..batch.num_rows()).filter(|row| verdicts.is_valid(*row)) {
                let new = Place::of(new_rows.value(row), first_new);
                let old = Place::of(old_rows.value(row), first_old);
                let verdict = match self.is_withdrawn(&old) {
                    true => verdict::REPLACES,
                    false => verdicts.value(row),
                };
                decisions.note(verdict, &new, &old);
            }
        }
        decisions.live.withdraw(&self.live.withdrawn);
        if let Some(dead) = &self.dead {
            decisions.dead.withdraw(&dead.withdrawn);
        }
        Ok(decisions)
    }

    /// Whether a stored row is taken back: it says nothing about the new one.
    fn is_withdrawn(&self, old: &Place) -> bool {
        let side = match old.is_dead {
            true => self.dead.as_ref(),
            false => Some(&self.live),
        };
        side.is_some_and(|side| side.withdrawn.has(old.row))
    }

    fn new_files(&self) -> Both<'_> {
        Both::of(self, |side| &side.new)
    }

    fn old_files(&self) -> Both<'_> {
        Both::of(self, |side| &side.old)
    }

    async fn session(&self) -> datafusion::error::Result<SessionContext> {
        let runtime = self.attempt.session.runtime_env();
        let mut config = self.attempt.session.copied_config();
        let streams = config.target_partitions();
        let columns = self.compared();
        let build_rows = self.new_files().rows().min(self.old_files().rows());
        let row_bytes = JOIN_ROW_BYTES + JOIN_VALUE_BYTES * columns.len();
        let limit = match runtime.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        config.options_mut().optimizer.prefer_hash_join =
            build_rows.saturating_mul(row_bytes) < limit / HASH_JOIN_SHARE;
        let session = SessionContext::new_with_config_rt(config, runtime);
        for (name, both) in [("new", self.new_files()), ("old", self.old_files())] {
            let register = |name: &str, side: &Side, files: &[DataFile], first| {
                // Tombstones are read with the columns of the table: those
                // that they do not have are NULL.
                let files_of = side.files(self.attempt, &self.live.spec);
                let numbered = numbered(files, first);
                let table = files_of.positions(numbered, &columns, Selection::All, streams)?;
                session.register_table(name, Arc::new(table)).map(|_| ())
            };
            register(name, &self.live, both.live, 0)?;
            if let Some(side) = &self.dead {
                register(&dead(name), side, both.dead, both.live.len())?;
            }
        }
        if let Rule::Differences(Differences {
            within: Some(groups),
            ..
        }) = self.decide
            && let Some(first) = groups.values.first()
        {
            let table = MemTable::try_new(first.schema(), vec![groups.values.clone()])?;
            session.register_table("scope", Arc::new(table))?;
        }
        Ok(session)
    }

    /// The columns that the join reads.
    fn compared(&self) -> Vec<String> {
        let mut columns = self.rule.key.clone();
        let more: Vec<&String> = match self.decide {
            Rule::Newest(_) => self.rule.newest_by.iter().collect(),
            Rule::Differences(differences) => {
                let fields = self.live.spec.schema.fields().iter();
                fields
                    .map(|field| field.name())
                    .filter(|name| !differences.besides.contains(name))
                    .collect()
            }
        };
        for column in more {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        columns
    }

    fn sql(&self) -> String {
        let key: Vec<String> = self
            .rule
            .key
            .iter()
            .map(|column| format!("n.{0} = o.{0}", quote(column)))
            .collect();
        let on = key.join(" AND ");
        let old = self.old_files().source("old");
        let (join, old, verdict) = match self.decide {
            Rule::Newest(_) => ("JOIN", old, self.newer()),
            Rule::Differences(differences) => {
                let old = match &differences.within {
                    None => old,
                    Some(groups) => {
                        let within: Vec<String> = groups
                            .columns
                            .iter()
                            .map(|c| format!("(s.{0} IS NOT DISTINCT FROM x.{0})", quote(c)))
                            .collect();
                        format!(
                            "(SELECT x.* FROM {old} x LEFT SEMI JOIN scope s ON {})",
                            within.join(" AND ")
                        )
                    }
                };
                ("FULL JOIN", old, self.different())
            }
        };
        // The side with fewer rows comes first: that is the one a hash join builds on.
        let new = self.new_files().source("new");
        let (left, right) = if self.new_files().rows() <= self.old_files().rows() {
            (format!("{new} n"), format!("{old} o"))
        } else {
            (format!("{old} o"), format!("{new} n"))
        };
        format!(
            "SELECT n.{POSITION} AS new_row, o.{POSITION} AS old_row, \
             CAST({verdict} AS TINYINT) AS verdict FROM {left} {join} {right} ON {on}"
        )
    }

    /// The verdict of two sequences, compared column by column. It is never
    /// NULL, and says the same as [`crate::newest`] says of two new rows.
    fn newer(&self) -> String {
        let mut greater = Vec::new();
        let mut equal: Vec<String> = Vec::new();
        let mut compare = |is_greater: String, is_equal: String| {
            let mut terms = equal.clone();
            terms.push(is_greater);
            greater.push(format!("({})", terms.join(" AND ")));
            equal.push(is_equal);
        };
        for column in &self.rule.newest_by {
            let column = quote(column);
            compare(
                format!(
                    "(n.{column} IS NOT NULL AND (o.{column} IS NULL OR n.{column} > o.{column}))"
                ),
                format!("(n.{column} IS NOT DISTINCT FROM o.{column})"),
            );
        }
        if let Some((n, o)) = self.are_dead() {
            compare(format!("({n} AND NOT {o})"), format!("({n} = {o})"));
        }
        format!(
            "CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END",
            greater.join(" OR "),
            verdict::REPLACES,
            equal.join(" AND "),
            verdict::SAME,
            verdict::OLDER
        )
    }

    /// The verdict of two rows of which the new one is right.
    fn different(&self) -> String {
        let mut same: Vec<String> = self
            .compared()
            .iter()
            .filter(|column| !self.rule.key.contains(column))
            .map(|c| format!("(n.{0} IS NOT DISTINCT FROM o.{0})", quote(c)))
            .collect();
        if let Some((n, o)) = self.are_dead() {
            same.push(format!("({n} = {o})"));
        }
        let same = if same.is_empty() {
            "TRUE".to_owned()
        } else {
            same.join(" AND ")
        };
        format!(
            "CASE WHEN n.{POSITION} IS NULL THEN {} WHEN o.{POSITION} IS NULL THEN NULL \
             WHEN {same} THEN {} ELSE {} END",
            verdict::VANISHES,
            verdict::SAME,
            verdict::REPLACES
        )
    }

    /// Whether the new and the stored row are dead, as SQL; `None` where none is.
    fn are_dead(&self) -> Option<(String, String)> {
        let (new, old) = (self.new_files(), self.old_files());
        if new.dead.is_empty() && old.dead.is_empty() {
            return None;
        }
        let is_dead = |row: &str, both: &Both<'_>| {
            let first = first_position(both.live.len());
            format!("({row}.{POSITION} >= {first})")
        };
        Some((is_dead("n", &new), is_dead("o", &old)))
    }
}

/// The files of both sides. Their places in one list name them in a position:
/// those of the live side first.
struct Both<'a> {
    live: &'a [DataFile],
    dead: &'a [DataFile],
}

impl<'a> Both<'a> {
    fn of(merge: &'a Merge<'_>, files: fn(&'a Side) -> &'a [DataFile]) -> Self {
        Self {
            live: files(&merge.live),
            dead: merge.dead.as_ref().map(files).unwrap_or_default(),
        }
    }

    /// How many rows the files have; files that do not say count as large.
    fn rows(&self) -> usize {
        const UNKNOWN: usize = 1 << 20;
        let files = self.live.iter().chain(self.dead);
        files.map(|file| file.rows.unwrap_or(UNKNOWN)).sum()
    }

    /// What the join reads, where the live side is the table `name`.
    fn source(&self, name: &str) -> String {
        if self.dead.is_empty() {
            return name.to_owned();
        }
        format!(
            "(SELECT * FROM {name} UNION ALL SELECT * FROM {})",
            dead(name)
        )
    }
}

/// The dead side's table in the join, where the live side's is `name`.
fn dead(name: &str) -> String {
    format!("dead_{name}")
}
