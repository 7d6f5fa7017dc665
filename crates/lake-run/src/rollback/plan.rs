//! What a rollback does, for whoever decides on it.

use serde::Serialize;

use crate::record::{RunRecord, TransformRecord};

/// What a rollback does, and what stands in its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackPlan {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its tables are.
    pub root: String,
    /// The last run, whose state there is now.
    pub from: i64,
    /// The run whose state there will be; `None` where one table goes back alone.
    pub to: Option<i64>,
    /// The runs that are undone, newest first.
    pub undone: Vec<UndoneRun>,
    /// What becomes of each table.
    pub tables: Vec<RestoredTable>,
    /// Files that will be pending again.
    pub pending: Vec<PendingAgain>,
    /// Releases that are blocked then: those that came into use since, and those that were before.
    pub blocked: Vec<TransformRecord>,
    /// The release that the state comes from.
    pub release: TransformRecord,
    /// Commits of others that go as well.
    pub outside: Vec<OutsideCommit>,
    /// Why it cannot be done like this, and what to do.
    pub obstacles: Vec<String>,
    /// What somebody should know before.
    pub warnings: Vec<String>,
}

/// A run that a rollback undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndoneRun {
    /// Its number.
    pub run: i64,
    /// What kind of run it was.
    pub kind: String,
    /// When it was sealed, in microseconds since 1970, UTC.
    pub sealed_at: i64,
    /// The release that computed it.
    pub release: TransformRecord,
    /// How many files it loaded.
    pub files: u64,
}

/// What a rollback makes of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredTable {
    /// The table, as `zone/name`.
    pub name: String,
    /// The version that it has.
    pub version: i64,
    /// The version whose content it gets; `None` where it becomes empty.
    pub restores: Option<i64>,
    /// How many rows it has.
    pub rows: u64,
    /// How many rows it will have.
    pub rows_after: u64,
    /// How many data files come back.
    pub files_restored: u64,
    /// How many data files go.
    pub files_removed: u64,
}

/// A file that a rollback makes pending again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingAgain {
    /// The input.
    pub input: String,
    /// Where it was.
    pub path: String,
    /// Whether it is still there.
    pub exists: bool,
    /// Whether it is gone, and a copy of it is read instead.
    pub archived: bool,
    /// Whether it is not what was loaded any more, as far as its size tells.
    pub changed: bool,
}

/// A commit of somebody else that a rollback undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutsideCommit {
    /// The table, as `zone/name`.
    pub table: String,
    /// Its version.
    pub version: i64,
    /// What it says that it is.
    pub operation: String,
}

impl UndoneRun {
    pub(super) fn of(record: &RunRecord) -> Self {
        Self {
            run: record.run,
            kind: record.kind.clone(),
            sealed_at: record.sealed_at,
            release: record.transform.clone(),
            files: record.inputs.iter().map(|input| input.files).sum(),
        }
    }
}

/// The numbers of runs, in words.
pub(super) fn numbers(runs: &[UndoneRun]) -> String {
    match runs {
        [] => "nothing".to_owned(),
        [one] => format!("run {}", one.run),
        [newest, .., oldest] => format!("runs {} to {}", oldest.run, newest.run),
    }
}
