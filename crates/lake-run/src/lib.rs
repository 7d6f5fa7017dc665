//! The run: from pending files to published tables, one module per stage.
//!
//! ```text
//! discover → read → check → shape → prepare → audit → seal → apply
//! ```
//!
//! - `discover` lists the inputs and takes away what `_lake/files` knows.
//! - `read` and `check` turn bytes into accepted rows, and rejected rows with
//!   every reason, in one pass; `key_rules` says which rows have no key.
//! - `shape` plans the transform's SQL and functions over them, by way of `sql`,
//!   `parameters` and `sql_error`; `lineage` says which groups of a table depend
//!   on which rows.
//! - `prepare` writes every table's change without committing it.
//! - `audit` holds what is prepared against limits, and against what
//!   `table_checks` find.
//! - [`metrics`] tells those who watch runs how one ended.
//! - `seal` decides the run with one put; `apply` makes it visible, and `state`
//!   finishes a run that somebody sealed and did not apply.
//!
//! Invariants: before the seal a run has no effect; after it, the run is
//! finished by whoever opens the pipeline next. Only `discover`, `seal` and
//! `apply` touch the world outside the attempt's own directories.

mod apply;
mod archive;
mod audit;
mod blocked;
mod build;
mod check;
mod check_values;
mod compare;
mod diff;
mod discover;
mod error;
mod functions;
mod history;
mod key_rules;
mod lineage;
mod live;
mod load;
mod logic;
mod maintain;
mod memory;
pub mod metrics;
mod parameters;
mod partition;
mod plan;
mod prepare;
mod probe;
mod progress;
mod query;
mod raw;
mod read;
mod record;
mod refresh;
mod reject;
mod replay;
mod rollback;
mod run;
mod runs;
mod seal;
mod sealed;
mod shape;
mod skip;
mod sql;
mod sql_error;
mod stages;
mod standard;
mod state;
mod table_checks;
mod trace;
mod transform;
mod undo;
mod work;

pub use build::{Profile, build};
pub use compare::{ColumnDiff, Rows, Sample, SampleValue};
pub use diff::{Diff, DiffOptions, InputDiff, TableDiff, diff, diff_runs};
pub use discover::{Again, Files, Left};
pub use error::{Result, RunError};
pub use history::{History, history, recorded, run_at};
pub use lake_delta::Root;
pub use lake_pipeline::Pattern;
pub use lake_plugin::Declaration;
pub use lake_store::{Requests, Stores, shown};
pub use live::Process;
pub use maintain::{MaintainedTable, Maintenance, maintain, plan_maintenance};
pub use parameters::ParameterRecord;
pub use plan::{Plan, PlannedInput, PlannedTable, Unfinished, plan};
pub use progress::Progress;
pub use query::{Answer, query};
pub use raw::{raw_source, raw_text};
pub use record::{
    Cleaned, FunctionRecord, InputRecord, MetricRecord, Outcome, ReasonCount, ReasonRecord, Report,
    RunRecord, StageRecord, TableRecord, TableVersion, TransformRecord,
};
pub use replay::{Replay, ReplayOptions, replay};
pub use rollback::{
    Goal, OutsideCommit, PendingAgain, RestoredTable, Rollback, RollbackOptions, RollbackPlan,
    UndoneRun, plan_rollback,
};
pub use run::{Settings, Validated, reload, run, validate};
pub use skip::{Skipped, skip};
pub use table_checks::CheckRecord;
pub use trace::{Record, Related, Row, Trace, Traced, TracedRow, Value, WrittenBy, trace};
pub use transform::{Releases, Update, declaration, lock_path, registry, trusted_keys, update};
