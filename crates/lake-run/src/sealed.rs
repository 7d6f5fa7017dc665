//! The seal as an object: what it says, and what it is known by.

use lake_delta::{Restored, Stamp};
use serde::{Deserialize, Serialize};

use crate::error::{Result, RunError};
use crate::record::{RunRecord, app};
use crate::state::seal_path;

/// The seal format that this version writes and reads.
pub(crate) const SEAL_FORMAT: u32 = 3;

/// The decision that a run happens: everything that applying it needs.
///
/// It is one object, `_lake/log/<run>.json`, put where absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) format: u32,
    /// The version of lake that sealed it, which a reader of an older format needs.
    pub(crate) lake: String,
    pub(crate) run: i64,
    /// Which attempt at this number it is: tells our seal from another's.
    pub(crate) attempt: String,
    pub(crate) pipeline: String,
    /// Milliseconds since 1970.
    pub(crate) sealed_at: i64,
    /// The row of `_lake/runs`, but for the versions that applying yields.
    pub(crate) record: RunRecord,
    /// The tables in the order in which they are applied.
    pub(crate) tables: Vec<SealedTable>,
    /// What is deleted once the run is finished, if anything: by whoever has sealed it, and nobody
    /// else has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletes: Option<SealedObject>,
}

/// An object that a seal names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedObject {
    /// Where it is, relative to the pipeline's root.
    pub(crate) path: String,
    /// SHA-256 of it.
    pub(crate) sha256: String,
}

/// One table of a seal: its commit, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedTable {
    pub(crate) name: String,
    pub(crate) table_id: String,
    pub(crate) base: i64,
    pub(crate) base_digest: String,
    /// The object with the commit's bytes, relative to the pipeline's root.
    pub(crate) actions: String,
    /// SHA-256 of that object.
    pub(crate) sha256: String,
    /// How the change is made again, where others commit first.
    pub(crate) remake: SealedRemake,
}

/// How a sealed change is made again on top of others' commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SealedRemake {
    /// Its files are added.
    Append,
    /// Its files take the place of all others.
    Replace,
    /// The table is again what it was.
    Restore(Restored),
    /// As an object says: a merge.
    Object(SealedObject),
    /// It is not: the commit has nothing of it then.
    Nothing,
}

impl Seal {
    /// What the seal's commits are known by.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            app: app(&self.pipeline),
            run: self.run,
            attempt: self.attempt.clone(),
            time: self.sealed_at,
        }
    }

    /// The seal of the run that `record` is about.
    pub(crate) fn of(pipeline: &str, record: RunRecord, tables: Vec<SealedTable>) -> Self {
        Self {
            format: SEAL_FORMAT,
            lake: env!("CARGO_PKG_VERSION").to_owned(),
            run: record.run,
            attempt: record.attempt.clone(),
            pipeline: pipeline.to_owned(),
            sealed_at: record.sealed_at / 1000,
            record,
            tables,
            deletes: None,
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|e| RunError::State {
            path: seal_path(self.run).to_string(),
            message: e.to_string(),
        })
    }

    /// The run that this one takes back, if it does.
    pub(crate) fn undoes(&self) -> Option<i64> {
        self.record.undoes
    }
}
