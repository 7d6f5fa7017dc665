//! Golden cases: raw files in, expected tables out.
//!
//! A case is a directory below `tests/golden` of a transform's crate; `case` says what may be in
//! it. Its files go through the library that is really built and the run that is really done, into
//! a root that is thrown away (`load`), and every table is written down as text (`rows`), in one
//! form, so that what differs can be seen line by line, here and in `git diff`.

mod case;
mod load;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lake_pipeline::TransformRef;
use lake_run::{Profile, Releases};
use similar::TextDiff;

use crate::Machine;
use crate::error::{KitError, Result};
use crate::golden::case::{Case, Wanted};
use crate::golden::load::Computed;
use crate::manifest::Package;
use crate::subject::Subject;

/// Unchanged lines around a difference.
const CONTEXT: usize = 3;

/// What is asked of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestOptions {
    /// The names of the cases to run; empty for all.
    pub cases: Vec<String>,
    /// Whether expected files are written instead of compared.
    pub update: bool,
}

/// What came of a transform's golden cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// The transform.
    pub transform: String,
    /// Its version.
    pub version: String,
    /// The cases, in the order of their names.
    pub cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// Its directory below `tests/golden`.
    pub name: String,
    /// How many runs it has.
    pub runs: usize,
    /// The tables, in the order of the declaration; empty where the case cannot be run.
    pub tables: Vec<TableReport>,
    /// Why the case cannot be run, or what does not belong into it: all of it.
    pub problems: Vec<String>,
}

/// What came of one table of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table, as SQL calls it: `standard.orders`.
    pub name: String,
    /// Its expected rows, relative to the crate.
    pub file: PathBuf,
    /// How many rows the transform makes.
    pub rows: usize,
    /// Whether they are as expected.
    pub outcome: TableOutcome,
}

/// How a table compares with its expected file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableOutcome {
    /// It has the same rows.
    Same,
    /// It has other rows.
    Different {
        /// From the expected rows to those that the transform makes, as a unified diff.
        diff: String,
    },
    /// There is no expected file.
    Missing,
    /// The expected file was written: a new one, or over other rows.
    Written {
        /// Whether there was none before.
        new: bool,
    },
    /// The expected file was removed: there is no such table any more, or no rejected row.
    Removed,
}

impl TestReport {
    /// Whether every case is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases.iter().all(CaseReport::passed)
    }
}

impl CaseReport {
    /// Whether every table is as expected, now that expected files may have been written.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && self.tables.iter().all(|table| table.outcome.passed())
    }
}

impl TableOutcome {
    fn passed(&self) -> bool {
        match self {
            Self::Same | Self::Written { .. } | Self::Removed => true,
            Self::Different { .. } | Self::Missing => false,
        }
    }
}

/// Holds the transform whose crate is in `directory` against its golden cases, or writes what they
/// expect. The crate is built first, if need be, with cargo's `dev` profile.
///
/// One test runs at a time in a process: its runs share a clock.
///
/// # Errors
/// Where there is no crate, no case, or no such case; and where the crate does not build or load.
/// What is wrong with a single case is in the report.
pub async fn test(
    directory: &Path,
    options: &TestOptions,
    machine: &Machine,
) -> Result<TestReport> {
    let package = Package::read(directory)?;
    // A case that is not there is told before anything is built.
    case::find(&package.directory, &options.cases)?;
    let transform = TransformRef {
        name: package.name.clone(),
        version: package.exactly()?,
        path: Some(package.directory.clone()),
        params: BTreeMap::new(),
        registry: None,
        trusted_keys: None,
    };
    let declaration = lake_run::declaration(&transform, &machine.cache, Profile::Dev)?;
    let subject = Subject {
        transform,
        releases: Releases::default(),
        declaration,
        cache: machine.cache.clone(),
    };
    hold(&package, &subject, options, machine).await
}

/// Whether a crate has golden cases at all.
pub(crate) fn has_cases(package: &Package) -> bool {
    package.directory.join(case::DIRECTORY).is_dir()
}

/// Holds a transform, wherever it is loaded from, against the golden cases of its crate.
pub(crate) async fn hold(
    package: &Package,
    subject: &Subject,
    options: &TestOptions,
    machine: &Machine,
) -> Result<TestReport> {
    let cases = case::find(&package.directory, &options.cases)?;
    let trial = Trial {
        package,
        wanted: case::wanted(&subject.declaration),
        subject,
        machine,
        update: options.update,
    };
    let mut reports = Vec::new();
    for name in cases {
        reports.push(trial.case(name).await?);
    }
    Ok(TestReport {
        transform: package.name.clone(),
        version: package.version.clone(),
        cases: reports,
    })
}

/// What all cases of a test have in common.
struct Trial<'a> {
    package: &'a Package,
    subject: &'a Subject,
    wanted: Vec<Wanted>,
    machine: &'a Machine,
    update: bool,
}

impl Trial<'_> {
    async fn case(&self, name: String) -> Result<CaseReport> {
        let directory = self.package.directory.join(case::DIRECTORY).join(&name);
        let case = Case::read(&directory, &self.subject.declaration, &self.wanted);
        let case = case.map_err(KitError::io(&directory))?;
        let mut report = CaseReport {
            name,
            runs: case.runs.len(),
            tables: Vec::new(),
            problems: case.problems.clone(),
        };
        if !self.update {
            report.problems.extend(case.stale.iter().map(|stale| {
                format!(
                    "{} stands for no table of the transform: those are {}; \
                     `lake plugin test --update` removes it",
                    self.shown(stale).display(),
                    names(&self.wanted)
                )
            }));
        }
        if !report.problems.is_empty() {
            return Ok(report);
        }
        let computed = load::load(&case, self).await?;
        match computed {
            Err(problem) => report.problems.push(problem),
            Ok(tables) => {
                for (wanted, computed) in self.wanted.iter().zip(tables) {
                    let file = directory.join(wanted.file());
                    report.tables.extend(self.table(wanted, &file, &computed)?);
                }
                for stale in &case.stale {
                    fs::remove_file(stale).map_err(KitError::io(stale))?;
                    report.tables.push(TableReport {
                        name: stale.file_stem().unwrap_or_default().display().to_string(),
                        file: self.shown(stale),
                        rows: 0,
                        outcome: TableOutcome::Removed,
                    });
                }
            }
        }
        Ok(report)
    }

    /// Compares one table, or writes it down. Nothing is said of an input without rejected rows
    /// of which none are expected.
    fn table(
        &self,
        wanted: &Wanted,
        file: &Path,
        computed: &Computed,
    ) -> Result<Option<TableReport>> {
        let expected = match fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(KitError::io(file)(e)),
        };
        let may_be_missing = wanted.is_rejection() && computed.rows == 0;
        let outcome = match expected {
            None if may_be_missing => return Ok(None),
            Some(_) if may_be_missing && self.update => {
                fs::remove_file(file).map_err(KitError::io(file))?;
                TableOutcome::Removed
            }
            Some(expected) if is_same(&expected, &computed.csv) => TableOutcome::Same,
            expected if self.update => {
                fs::write(file, &computed.csv).map_err(KitError::io(file))?;
                TableOutcome::Written {
                    new: expected.is_none(),
                }
            }
            None => TableOutcome::Missing,
            Some(expected) => TableOutcome::Different {
                diff: TextDiff::from_lines(expected.as_str(), &computed.csv)
                    .unified_diff()
                    .context_radius(CONTEXT)
                    .header(
                        &self.shown(file).display().to_string(),
                        "what the transform makes",
                    )
                    .to_string(),
            },
        };
        Ok(Some(TableReport {
            name: wanted.name.clone(),
            file: self.shown(file),
            rows: computed.rows,
            outcome,
        }))
    }

    fn shown(&self, file: &Path) -> PathBuf {
        let below = file.strip_prefix(&self.package.directory);
        below.unwrap_or(file).to_owned()
    }
}

/// Whether an expected file says what was computed. Git may have given it the line ends of
/// another system; inside of values they mean something.
fn is_same(expected: &str, computed: &str) -> bool {
    expected == computed || !computed.contains('\r') && expected.replace("\r\n", "\n") == computed
}

fn names(wanted: &[Wanted]) -> String {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    names.join(", ")
}
