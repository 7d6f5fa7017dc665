//! Making a prepared change again, on top of what others have committed since.
//!
//! Neither the plugin nor an input is needed for it: the rows of the run are in files of its
//! attempt, and what decides between them and stored rows is kept beside them. Any host can do it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};

use crate::log::Entry;
use crate::merge::{self, MergeAgain};
use crate::prepare::Attempt;
use crate::prepared::{Commit, Gone, Operation, Prepared};
use crate::restore::Restored;
use crate::scan::data_files;
use crate::{Result, Snapshot, TableSpec};

/// How a prepared change is made again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Remake {
    /// Its files are added: whatever others did, the commit stays as it is.
    Append,
    /// Its files take the place of all others.
    Replace,
    /// The table is again what it was.
    Restore(Restored),
    /// It is not: what it was to do is left, as the rows are the same without it.
    Nothing,
    /// Its rows are merged again.
    Merge(Arc<MergeAgain>),
}

impl Remake {
    /// The change on top of `current`; `None` where the commit stays as it is.
    pub(crate) async fn make(
        &self,
        attempt: &Attempt,
        current: &Snapshot,
        commit: &Commit,
    ) -> Result<Option<Prepared>> {
        match self {
            Self::Append => {
                let adds = Entry::of_body(&commit.body).adds();
                if adds.iter().all(|add| add.data_change) {
                    return Ok(None);
                }
                // What was gathered may lie elsewhere now; the new rows do not.
                let adds = adds.into_iter().filter(|add| add.data_change).collect();
                let again = with_files(attempt, current, commit, adds, Operation::Append);
                again.map(Some)
            }
            Self::Replace => {
                let adds = Entry::of_body(&commit.body).adds();
                let mut again = with_files(attempt, current, commit, adds, Operation::Replace)?;
                again.replaces_all();
                Ok(Some(again))
            }
            Self::Nothing => {
                let again = with_files(attempt, current, commit, Vec::new(), Operation::Optimize);
                again.map(Some)
            }
            Self::Restore(to) => attempt.restore(current.clone(), *to).await.map(Some),
            Self::Merge(again) => {
                let spec = TableSpec::after(current, commit)?;
                merge::again(attempt, current, &spec, again).await.map(Some)
            }
        }
    }
}

/// The change that puts these files into the table.
fn with_files(
    attempt: &Attempt,
    current: &Snapshot,
    commit: &Commit,
    adds: Vec<Add>,
    operation: Operation,
) -> Result<Prepared> {
    let spec = TableSpec::after(current, commit)?;
    let place = attempt.root.child(&spec.name);
    let base = Some(current.clone());
    let mut prepared = Prepared::new(&spec, place, &attempt.pipeline, base, operation)?;
    prepared.counts.inserted = adds.iter().filter_map(crate::stats::rows).sum();
    prepared.adds = adds;
    Ok(prepared)
}

impl Prepared {
    /// All rows that were there before go.
    pub(crate) fn replaces_all(&mut self) {
        if let Some(base) = &self.base {
            self.counts.deleted = base.rows();
            self.removes = base.files.clone();
            self.changed.old = data_files(base.files.iter().cloned());
            self.changed.gone = Gone::All;
        }
    }
}

/// Batches as text, for objects in JSON: the stream format of Arrow, in hexadecimal digits.
pub(crate) mod batches {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        values: &[RecordBatch],
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&write(values).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Vec<RecordBatch>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(D::Error::custom)?;
        reader
            .collect::<std::result::Result<_, _>>()
            .map_err(D::Error::custom)
    }

    fn write(values: &[RecordBatch]) -> std::result::Result<String, arrow::error::ArrowError> {
        let Some(first) = values.first() else {
            return Ok(String::new());
        };
        let mut writer = StreamWriter::try_new(Vec::new(), first.schema_ref())?;
        for batch in values {
            writer.write(batch)?;
        }
        Ok(hex::encode(writer.into_inner()?))
    }
}
