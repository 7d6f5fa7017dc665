//! A table as it was at an earlier version. No row is read or written: the files that it had then
//! take the place of those that it has.

use std::collections::HashSet;

use deltalake::kernel::{Add, Metadata};
use serde_json::Value;

use crate::prepare::Attempt;
use crate::prepared::{Operation, Prepared};
use crate::remake::Remake;
use crate::{Error, Result, Snapshot, TableSpec};

impl Attempt {
    /// Puts the files, columns and properties of version `to` in the place of those of `current`;
    /// where there is no such version, the table becomes empty. The protocol stays: it only grows.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the log does not reach back that far, and [`Error::Foreign`]
    /// where another table was in this place then.
    pub async fn restore(&self, current: Snapshot, to: Option<i64>) -> Result<Prepared> {
        let name = current.name.clone();
        let then = match to {
            Some(version) => {
                Some(Snapshot::open_at(&self.root, &self.pipeline, &name, version).await?)
            }
            None => None,
        };
        let (spec, metadata) = match &then {
            Some(then) if then.id != current.id => {
                return Err(Error::Foreign {
                    table: name,
                    reason: format!("another table was in its place at version {}", then.version),
                });
            }
            Some(then) => {
                let (old, new) = (metadata(then)?, metadata(&current)?);
                (TableSpec::of(then), (old != new).then_some(old))
            }
            None => (TableSpec::of(&current), None),
        };
        let files = then.map(|then| then.files).unwrap_or_default();
        let paths = |files: &[Add]| -> HashSet<String> {
            files.iter().map(|add| add.path.clone()).collect()
        };
        let (wanted, there) = (paths(&files), paths(&current.files));
        let place = self.root.child(&name);
        let removes = current.files.iter();
        let removes = removes.filter(|add| !wanted.contains(&add.path));
        let removes: Vec<Add> = removes.cloned().collect();
        let mut prepared = Prepared::new(
            &spec,
            place,
            &self.pipeline,
            Some(current),
            Operation::Restore,
        );
        prepared.adds = files
            .into_iter()
            .filter(|add| !there.contains(&add.path))
            .map(|add| Add {
                data_change: true,
                ..add
            })
            .collect();
        prepared.removes = removes;
        prepared.metadata = metadata;
        prepared.counts.inserted = prepared.adds.iter().filter_map(crate::stats::rows).sum();
        prepared.counts.deleted = prepared.removes.iter().filter_map(crate::stats::rows).sum();
        prepared.remake = Remake::Restore { version: to };
        Ok(prepared)
    }
}

fn metadata(snapshot: &Snapshot) -> Result<Value> {
    let failed = |e| Error::delta(&snapshot.name, e);
    let metadata: &Metadata = snapshot.table.snapshot().map_err(failed)?.metadata();
    serde_json::to_value(metadata).map_err(|e| Error::delta(&snapshot.name, e))
}
