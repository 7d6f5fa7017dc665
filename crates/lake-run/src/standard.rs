//! Preparing the tables that inputs drive.

use lake_delta::{Merged, Snapshot, Tombstones, Versions};
use lake_plugin::{Mode, TableDeclaration, Zone};

use crate::error::Result;
use crate::prepare::{Change, Declared, Preparing};
use crate::shape::{self, CARRIED, DELETED, Shaped};

/// What a table that is loaded again is not compared by: when its rows were loaded.
const BESIDES: [&str; 2] = ["_run", "_loaded_at"];

/// What decides between two rows of a key: what the transform says, and where that leaves them
/// equal, the later file, then the later line.
pub(crate) fn newest_by(table: &TableDeclaration) -> Vec<String> {
    let mut columns = table.newest_by.clone();
    let received = CARRIED.into_iter().map(str::to_owned);
    columns.extend(received.filter(|name| !table.newest_by.contains(name)));
    columns
}

/// The table that keeps every version of `table`'s rows. A version is told from others by the
/// line that it came from, so that a file that is loaded again brings no new ones.
pub(crate) fn history(table: &TableDeclaration) -> TableDeclaration {
    let mut key = table.key.clone();
    let received = CARRIED.into_iter().map(str::to_owned);
    key.extend(received.filter(|name| !table.key.contains(name)));
    TableDeclaration {
        name: table.history_name(),
        key,
        newest_by: Vec::new(),
        history: false,
        checks: Vec::new(),
        ..table.clone()
    }
}

impl Preparing<'_> {
    /// Prepares all tables that inputs drive.
    pub(crate) async fn standard(&self) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for declared in self.zone(Zone::Standard) {
            let shaped = self.shape(declared).await?;
            let driven_by = shape::driving_input(&shaped.plan);
            let base = self.state.table(&shaped.spec.name).await?;
            let (merged, how) = self.one_standard(declared, shaped, base).await?;
            let prepared = merged.table;
            self.register(prepared.name(), prepared.provider().await?)?;
            changes.push(Change {
                prepared,
                tombstones: merged.tombstones,
                how,
                why: None,
                driven_by,
            });
        }
        Ok(changes)
    }

    async fn one_standard(
        &self,
        declared: &Declared,
        shaped: Shaped,
        base: Option<Snapshot>,
    ) -> Result<(Merged, &'static str)> {
        let table = &declared.table;
        let spec = &shaped.spec;
        let plan = self.physical(spec, shaped.plan).await?;
        let alone = |table| Merged {
            table,
            tombstones: None,
        };
        let attempt = self.attempt;
        Ok(match (table.mode, self.reload) {
            (Mode::Merge, reload) => {
                let versions = self.versions(declared).await?;
                let besides = BESIDES.map(str::to_owned);
                match reload {
                    true => {
                        let merged = attempt.reload(spec, base, plan, versions, &besides);
                        (merged.await?, "full")
                    }
                    false => {
                        let merged = attempt.merge_newest(spec, base, plan, versions);
                        (merged.await?, "merge")
                    }
                }
            }
            (Mode::Append, false) => (alone(attempt.append(spec, base, plan).await?), "append"),
            (Mode::Append, true) | (Mode::Replace, _) => {
                (alone(attempt.replace(spec, base, plan).await?), "full")
            }
        })
    }

    async fn versions(&self, declared: &Declared) -> Result<Versions> {
        let table = &declared.table;
        let tombstones = match &table.delete_when {
            // A deletion is one more version.
            Some(_) if !declared.is_history => {
                let name = format!("_lake/deleted/{}.{}", table.zone, table.name);
                Some(Tombstones {
                    base: self.state.table(&name).await?,
                    name,
                    deleted: DELETED.to_owned(),
                })
            }
            _ => None,
        };
        Ok(Versions {
            key: table.key.clone(),
            newest_by: newest_by(table),
            tombstones,
        })
    }
}
