//! A table as it was at an earlier version. No row is read or written: the files that it had then
//! take the place of those that it has.

use std::collections::HashSet;

use deltalake::DeltaTable;
use deltalake::kernel::{Add, Metadata};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::prepare::Attempt;
use crate::prepared::{Operation, Prepared};
use crate::remake::Remake;
use crate::{Error, Result, Snapshot, TableSpec};

/// What a table is to be again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The version whose columns and properties it gets.
    pub version: i64,
    /// Whether it gets the files of that version as well, or none.
    pub rows: bool,
}

impl Attempt {
    /// Puts the files, columns and properties of an earlier version in the place of those of
    /// `current`. The protocol stays: it only grows.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the log does not reach back that far, and [`Error::Foreign`]
    /// where another table was in this place then.
    pub async fn restore(&self, current: Snapshot, to: Restored) -> Result<Prepared> {
        let name = current.name.clone();
        let then = Snapshot::open_at(&self.root, &self.pipeline, &name, to.version).await?;
        if then.id != current.id {
            return Err(Error::Foreign {
                table: name,
                reason: format!("another table was in its place at version {}", to.version),
            });
        }
        let (old, new) = (
            metadata(&name, &then.table)?,
            metadata(&name, &current.table)?,
        );
        let spec = TableSpec::of(&then);
        let files = if to.rows { then.files } else { Vec::new() };
        let paths = |files: &[Add]| -> HashSet<String> {
            files.iter().map(|add| add.path.clone()).collect()
        };
        let (wanted, there) = (paths(&files), paths(&current.files));
        let removes = current.files.iter();
        let removes = removes.filter(|add| !wanted.contains(&add.path));
        let removes: Vec<Add> = removes.cloned().collect();
        let place = self.root.child(&name);
        let base = Some(current);
        let mut prepared = Prepared::new(&spec, place, &self.pipeline, base, Operation::Restore)?;
        prepared.adds = files
            .into_iter()
            .filter(|add| !there.contains(&add.path))
            .collect();
        prepared.removes = removes;
        prepared.metadata = (old != new).then_some(old);
        prepared.counts.inserted = prepared.adds.iter().filter_map(crate::stats::rows).sum();
        prepared.counts.deleted = prepared.removes.iter().filter_map(crate::stats::rows).sum();
        prepared.remake = Remake::Restore(to);
        Ok(prepared)
    }
}

/// The `metaData` action of a table as it was loaded.
pub(crate) fn metadata(name: &str, table: &DeltaTable) -> Result<Value> {
    let failed = |e| Error::delta(name, e);
    let metadata: &Metadata = table.snapshot().map_err(failed)?.metadata();
    serde_json::to_value(metadata).map_err(|e| Error::delta(name, e))
}
