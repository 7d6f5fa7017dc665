//! What reading has found.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::ReasonCounts;
use crate::discover::Discovered;
use crate::error::{Result, RunError};
use crate::read::InputReader;
use crate::record::{FileRecord, InputRecord, ReasonRecord};
use crate::table_checks::CheckRecord;

/// What reading has found, over all inputs.
pub(crate) struct Found {
    pub(super) files: Vec<FileRecord>,
    pub(crate) inputs: Vec<InputRecord>,
    pub(super) reasons: BTreeMap<String, ReasonCounts>,
    pub(super) warnings: Vec<String>,
    /// What the table checks have found; empty before they are evaluated.
    pub(super) checks: Vec<CheckRecord>,
    /// The rejected rows that pass now, by input.
    pub(super) resolved: BTreeMap<String, Vec<String>>,
}

impl Found {
    /// A file whose earlier rows go has to be known by what it holds now.
    ///
    /// # Errors
    /// [`RunError::Input`] where there is nothing in it.
    pub(super) fn refuse_lost_rows(&self, discovered: &Discovered) -> Result<()> {
        let mut replaced = discovered.replaced.values().flatten();
        let lost = replaced.find(|name| !self.files.iter().any(|file| file.path == **name));
        match lost {
            None => Ok(()),
            Some(name) => Err(RunError::Input {
                place: name.clone(),
                message: "there is nothing in the file any more, and its rows would be lost; mend \
                          it, or set on_empty to load; nothing was published"
                    .to_owned(),
            }),
        }
    }

    /// Whether nothing was read that anybody has to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.resolved.is_empty()
    }

    pub(super) fn reason_records(&self) -> Vec<ReasonRecord> {
        let inputs = self.reasons.iter();
        let records = inputs.flat_map(|(input, counts)| {
            let counts = counts.clone().sorted().into_iter();
            counts.map(|count| ReasonRecord {
                input: input.clone(),
                check: count.check,
                column: count.column,
                rows: count.rows,
            })
        });
        records.collect()
    }

    /// # Errors
    /// [`RunError::Input`] where no table has asked for all rows of an input.
    pub(super) fn gather(readers: &[Arc<InputReader>], discovered: &Discovered) -> Result<Self> {
        let mut found = Self {
            files: Vec::new(),
            inputs: Vec::new(),
            reasons: BTreeMap::new(),
            warnings: discovered.warnings.clone(),
            checks: Vec::new(),
            resolved: BTreeMap::new(),
        };
        for reader in readers {
            let complete = reader.is_complete();
            let yielded = reader.yielded();
            if !complete {
                return Err(RunError::Input {
                    place: format!("input {}", reader.name()),
                    message:
                        "its files were not read to their end, because no table of the transform \
                              asked for all of its rows; select from it in a standard table"
                            .to_owned(),
                });
            }
            let sum =
                |pick: fn(&FileRecord) -> i64| yielded.files.iter().map(pick).sum::<i64>() as u64;
            let replayed = yielded.replayed.rows as u64;
            let resolved = yielded.replayed.resolved.len() as u64;
            found.inputs.push(InputRecord {
                name: reader.name().to_owned(),
                files: yielded.files.len() as u64,
                bytes: sum(|file| file.size),
                rows: sum(|file| file.rows) + replayed,
                accepted: sum(|file| file.accepted) + resolved,
                rejected: sum(|file| file.rejected) + (replayed - resolved),
                warned: yielded.warned,
            });
            if resolved > 0 {
                let name = reader.name().to_owned();
                found.resolved.insert(name, yielded.replayed.resolved);
            }
            found.files.extend(yielded.files);
            found
                .reasons
                .insert(reader.name().to_owned(), yielded.reasons);
            found.warnings.extend(yielded.warnings);
        }
        found
            .files
            .sort_by(|a, b| (&a.input, &a.path).cmp(&(&b.input, &b.path)));
        Ok(found)
    }
}
