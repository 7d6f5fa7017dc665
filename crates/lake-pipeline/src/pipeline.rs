//! What a run needs to know from the pipeline file, checked and resolved.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::input::InputSource;

/// A pipeline file after every check: no variable is left to substitute and no
/// path is left to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The name of the pipeline, also the name of its directory below `root`.
    pub name: String,
    /// What the pipeline is for, in the words of its author.
    pub description: Option<String>,
    /// The transform that says what the data means.
    pub transform: TransformRef,
    /// Where the tables live: an absolute path, or a URL exactly as written.
    pub root: String,
    /// Where each input of the transform comes from, by name; never empty.
    pub inputs: BTreeMap<String, InputSource>,
    /// How much a run may use and tolerate.
    pub limits: Limits,
    /// When the pipeline runs: a cron expression of five fields.
    pub schedule: Option<String>,
    /// How far back a rollback can go.
    pub rollback_window: RollbackWindow,
}

/// How far back a rollback can go: by time or by runs, whichever goes back further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackWindow {
    /// What was there at any moment of so long a time can be brought back.
    pub time: Duration,
    /// So many runs can be undone, however old they are; one at least.
    pub runs: u64,
}

impl Default for RollbackWindow {
    fn default() -> Self {
        Self {
            time: Duration::from_hours(30 * 24),
            runs: 20,
        }
    }
}

/// Which transform a pipeline uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformRef {
    /// The name of the transform, as in its `Cargo.toml`.
    pub name: String,
    /// The releases that are acceptable.
    pub version: semver::VersionReq,
    /// The absolute path of the crate, for development; it wins over releases.
    pub path: Option<PathBuf>,
    /// The values of parameters by name, as they are written: a number or a
    /// boolean is its text. Whether the transform has such a parameter, and
    /// whether the text is of its type, is for the transform's declaration.
    pub params: BTreeMap<String, String>,
    /// Where releases are: an absolute path, or a URL exactly as written.
    pub registry: Option<String>,
    /// The absolute path of the file with the public keys that may sign
    /// releases.
    pub trusted_keys: Option<PathBuf>,
}

/// How much a run may use and tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory for the whole run, in bytes; `None` leaves the choice to the run.
    pub memory: Option<u64>,
    /// How many rows of an input may be rejected.
    pub rejected: RejectedLimit,
    /// How long a record may be, in bytes; a longer one is rejected.
    pub max_record_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: None,
            rejected: RejectedLimit::default(),
            max_record_bytes: 1 << 20,
        }
    }
}

/// The share of an input's rows that may be rejected before a run publishes
/// nothing.
///
/// The share is kept in millionths, so that "29 % of 100 rows" is 29 rows and
/// not what a binary fraction makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedLimit {
    millionths: u32,
    from_rows: u64,
}

impl RejectedLimit {
    const WHOLE: u32 = 1_000_000;

    /// A limit that somebody wrote down: it holds for any number of rows.
    pub(crate) fn of_millionths(millionths: u32) -> Self {
        Self {
            millionths,
            from_rows: 0,
        }
    }

    /// Whether `rejected` of `rows` rows is more than the limit allows.
    #[must_use]
    pub fn is_exceeded_by(&self, rejected: u64, rows: u64) -> bool {
        rows >= self.from_rows
            && u128::from(rejected) * u128::from(Self::WHOLE)
                > u128::from(rows) * u128::from(self.millionths)
    }

    /// The limit as a fraction between 0 and 1, for display and records.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        f64::from(self.millionths) / f64::from(Self::WHOLE)
    }

    /// The number of rows below which the limit is not applied.
    #[must_use]
    pub fn from_rows(&self) -> u64 {
        self.from_rows
    }
}

impl Default for RejectedLimit {
    /// 10 %, from 100 rows on: below that, one bad row in a small sample would
    /// stop somebody's first run.
    fn default() -> Self {
        Self {
            millionths: Self::WHOLE / 10,
            from_rows: 100,
        }
    }
}

impl fmt::Display for RejectedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.millionths / 10_000, self.millionths % 10_000);
        if rest == 0 {
            write!(f, "{percent} %")
        } else {
            let decimals = format!("{rest:04}");
            write!(f, "{percent}.{} %", decimals.trim_end_matches('0'))
        }
    }
}
