//! What went wrong, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

use lake_kit::KitError;
use lake_run::RunError;
use serde_json::json;

use crate::plugin::TestFailure;

/// Why a command ends with a code other than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the pipeline file is wrong.
    Usage(String),
    /// Something went wrong that is not a run's doing.
    Failed(String),
    /// Two releases differ, and that was to be a failure: the report.
    Differs(String),
    /// A run, a query or a validation ended without doing its work.
    Run(RunError),
    /// The author's kit could not do its work.
    Kit(KitError),
    /// A transform is not what its golden cases expect.
    Tested(Box<TestFailure>),
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Run(RunError::Pipeline { .. } | RunError::Refused { .. }) => 2,
            Self::Run(RunError::Stopped { .. }) | Self::Differs(_) => 3,
            Self::Run(RunError::OtherRun { .. } | RunError::Live { .. }) => 4,
            Self::Kit(KitError::Usage { .. }) => 2,
            Self::Kit(
                KitError::Crate { .. }
                | KitError::Inspect { .. }
                | KitError::Unfit { .. }
                | KitError::NotAsExpected(_)
                | KitError::WrongBump(_)
                | KitError::Taken { .. }
                | KitError::Git { .. }
                | KitError::Registry(_)
                | KitError::Run(_)
                | KitError::Io { .. },
            )
            | Self::Tested(_)
            | Self::Failed(_)
            | Self::Run(
                RunError::Transform { .. }
                | RunError::Load { .. }
                | RunError::Sql { .. }
                | RunError::Function { .. }
                | RunError::Input { .. }
                | RunError::State { .. }
                | RunError::Table(_)
                | RunError::OutsideChange { .. }
                | RunError::TakenBack { .. }
                | RunError::NotSealed { .. }
                | RunError::Unsettled { .. }
                | RunError::Lost { .. }
                | RunError::LostFile { .. }
                | RunError::NoRun { .. }
                | RunError::Memory { .. }
                | RunError::DiskFull { .. }
                | RunError::Store { .. }
                | RunError::Io { .. },
            ) => 1,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The failure for programs.
    pub(crate) fn to_json(&self) -> String {
        if let Self::Tested(failure) = self {
            return failure.json.to_string();
        }
        let status = if self.code() == 3 {
            "stopped"
        } else {
            "failed"
        };
        let mut object =
            json!({ "status": status, "exit_code": self.code(), "error": self.to_string() });
        if let Self::Kit(KitError::WrongBump(wrong)) = self {
            object["previous"] = json!(wrong.old);
            object["needs"] = json!(wrong.needs);
            object["smallest"] = json!(wrong.smallest);
            object["reasons"] = json!(wrong.reasons);
        }
        object.to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) | Self::Differs(message) => {
                f.write_str(message)
            }
            Self::Run(error) => error.fmt(f),
            Self::Kit(error) => error.fmt(f),
            Self::Tested(failure) => f.write_str(&failure.text),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<KitError> for Failure {
    fn from(error: KitError) -> Self {
        match error {
            KitError::Run(error) => Self::Run(error),
            KitError::NotAsExpected(report) => {
                Self::Tested(Box::new(TestFailure::of_release(&report)))
            }
            other => Self::Kit(other),
        }
    }
}
