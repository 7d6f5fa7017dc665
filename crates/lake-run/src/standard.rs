//! Preparing the tables that inputs drive.

use lake_delta::{Merged, Snapshot, Tombstones, Versions, Withdrawn};
use lake_plugin::{Mode, TableDeclaration, Zone};

use crate::error::{Result, RunError};
use crate::prepare::{Change, Declared, Preparing};
use crate::shape::{self, CARRIED, DELETED, Shaped, table_name};

/// What a table that is loaded again is not compared by: when its rows were loaded.
const BESIDES: [&str; 2] = ["_run", "_loaded_at"];

/// The column that says which file a row comes from.
const FILE: &str = CARRIED[1];

/// What decides between two rows of a key: what the transform says, and where that leaves them
/// equal, the later file, then the later line.
pub(crate) fn newest_by(table: &TableDeclaration) -> Vec<String> {
    let mut columns = table.newest_by.clone();
    let received = CARRIED.into_iter().map(str::to_owned);
    columns.extend(received.filter(|name| !table.newest_by.contains(name)));
    columns
}

/// The table that keeps every version of `table`'s rows. A version is told from others by when
/// and where it was received: a file with other content is received again, line by line.
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

/// Where the deleted keys of a table are remembered.
pub(crate) fn tombstones_of(table: &TableDeclaration) -> String {
    format!("_lake/deleted/{}.{}", table.zone, table.name)
}

impl Preparing<'_> {
    /// What is remembered of deleted keys must fit the declaration: a key that is forgotten would
    /// come back with its next old row.
    pub(crate) async fn check_tombstones(&self, declared: &Declared) -> Result<()> {
        let table = &declared.table;
        if table.zone != Zone::Standard || declared.is_history {
            return Ok(());
        }
        let name = tombstones_of(table);
        let Some(stored) = self.state.table(&name).await? else {
            return Ok(());
        };
        let refuse = |message: String| RunError::Sql {
            place: table_name(table),
            message,
        };
        if table.delete_when.is_none() {
            return Err(refuse(format!(
                "{} of its keys are deleted, and its declaration has no delete_when any more; \
                 .delete_when(\"false\") keeps them deleted",
                stored.rows()
            )));
        }
        let mut wanted = table.key.clone();
        let newest_by = newest_by(table).into_iter();
        wanted.extend(newest_by.filter(|column| !table.key.contains(column)));
        let kept = stored.columns();
        if kept == wanted {
            return Ok(());
        }
        Err(refuse(format!(
            "its deletions are remembered by {}, and are now to be by {}; give key and newest_by \
             back, or move {name} away and load all files again (lake run --reload)",
            kept.join(", "),
            wanted.join(", ")
        )))
    }

    /// Prepares all tables that inputs drive.
    pub(crate) async fn standard(&self) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for declared in self.zone(Zone::Standard) {
            let shaped = self.shape(declared).await?;
            let driven_by = shape::driving_input(&shaped.plan);
            let base = self.state.table(&shaped.spec.name).await?;
            let arrives = driven_by
                .as_ref()
                .is_some_and(|input| self.arriving.contains(input));
            if self.again && arrives && declared.table.mode == Mode::Replace {
                return Err(RunError::Refused {
                    message: format!(
                        "{} is replaced by what a run loads, so that some files alone would leave \
                         it without the rows of all others; lake run --reload loads all",
                        shaped.spec.name
                    ),
                });
            }
            let withdrawn = self.withdrawn(declared, &shaped)?;
            let replaces = withdrawn.is_some() && declared.table.mode == Mode::Merge;
            let standard = self.one_standard(declared, shaped, base, arrives, withdrawn);
            let (merged, how) = standard.await?;
            let taken_back = match replaces {
                true => (merged.vanished, merged.forgotten),
                false => (0, 0),
            };
            let prepared = merged.table;
            self.register(prepared.name(), prepared.provider().await?)?;
            changes.push(Change {
                prepared,
                tombstones: merged.tombstones,
                how,
                why: None,
                driven_by,
                taken_back,
            });
        }
        Ok(changes)
    }

    /// The rows of a table that come from files which have other content now, where the input says
    /// that this takes their place. A history keeps every version, and a table that is replaced as a
    /// whole keeps nothing.
    ///
    /// # Errors
    /// [`RunError::Sql`] where the table's rows do not say which file they come from.
    pub(crate) fn withdrawn(
        &self,
        declared: &Declared,
        shaped: &Shaped,
    ) -> Result<Option<Withdrawn>> {
        let table = &declared.table;
        if table.zone != Zone::Standard || declared.is_history || table.mode == Mode::Replace {
            return Ok(None);
        }
        let input = shape::driving_input(&shaped.plan);
        let Some(files) = input.and_then(|input| self.replaced.get(&input)) else {
            return Ok(None);
        };
        if !shape::passes_on(&shaped.plan, FILE) {
            return Err(RunError::Sql {
                place: shaped.spec.name.clone(),
                message: format!(
                    "its SQL selects something else as {FILE}, so the rows of a file that is to be \
                     replaced cannot be found; give it another name, or set on_change to upsert"
                ),
            });
        }
        Ok(Some(Withdrawn::new(FILE, files.clone())))
    }

    async fn one_standard(
        &self,
        declared: &Declared,
        shaped: Shaped,
        base: Option<Snapshot>,
        arrives: bool,
        withdrawn: Option<Withdrawn>,
    ) -> Result<(Merged, &'static str)> {
        let table = &declared.table;
        let spec = &shaped.spec;
        let plan = self.physical(spec, shaped.plan).await?;
        let attempt = self.attempt;
        // A version that is read once more is the same version, whatever is made of it now.
        let anew = self.reload || (self.again && declared.is_history);
        Ok(match (table.mode, self.reload) {
            (Mode::Merge, _) => {
                let mut versions = self.versions(declared).await?;
                let besides = BESIDES.map(str::to_owned);
                match anew {
                    // What was received once and is in no file any more stays a version.
                    true if declared.is_history => {
                        versions.newest_by = vec!["_loaded_at".to_owned()];
                        let merged = attempt.merge_newest(spec, base, plan, versions);
                        (merged.await?, "merge")
                    }
                    true => {
                        let merged = attempt.reload(spec, base, plan, versions, &besides);
                        (merged.await?, "full")
                    }
                    false => match withdrawn {
                        None => {
                            let merged = attempt.merge_newest(spec, base, plan, versions);
                            (merged.await?, "merge")
                        }
                        Some(rows) => {
                            let merged = attempt.merge_replacing(spec, base, plan, versions, rows);
                            (merged.await?, "merge")
                        }
                    },
                }
            }
            (Mode::Append, false) => {
                let appended = match &withdrawn {
                    None => attempt.append(spec, base, plan).await?,
                    Some(rows) => attempt.append_replacing(spec, base, plan, rows).await?,
                };
                (Merged::of(appended), "append")
            }
            // Without files there is nothing that could take the place of its rows.
            (Mode::Replace, false) if !arrives => (
                Merged::of(attempt.append(spec, base, plan).await?),
                "unchanged",
            ),
            (Mode::Append, true) | (Mode::Replace, _) => {
                (Merged::of(attempt.replace(spec, base, plan).await?), "full")
            }
        })
    }

    async fn versions(&self, declared: &Declared) -> Result<Versions> {
        let table = &declared.table;
        let tombstones = match &table.delete_when {
            // A deletion is one more version.
            Some(_) if !declared.is_history => {
                let name = tombstones_of(table);
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
