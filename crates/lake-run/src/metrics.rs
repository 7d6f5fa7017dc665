//! What a run tells those who watch it: the figures of `_lake/runs`, and how the command ended.
//!
//! [`families()`] turns them into families of gauges, which `text` writes for Prometheus and `otlp`
//! for OpenTelemetry; [`Target`] is where they go. A family with all of its samples of one pipeline
//! replaces what was there before. What a run knows nothing of stays as an earlier one has left it:
//! a run that fails says when it ended and how, and the last success is still the one before it.
//! So what is about one run (`lake_run_…`) is about the last one that has read something and was
//! published or stopped, but for `lake_run_last_…`.

mod otlp;
mod target;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lake_delta::Snapshot;
use lake_store::Requests;
use serde::Deserialize;

use crate::error::{Result, RunError};
use crate::record::{FILES, Outcome, RunRecord};
use crate::run::Settings;
use crate::runs;

pub use target::{Target, Undelivered};

/// How a command ended that ran a pipeline, or was to.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Its exit code.
    pub exit_code: u8,
    /// What it did.
    pub did: Did<'a>,
    /// When the newest file of each input was received that is loaded, in microseconds since 1970;
    /// `None` where nobody has looked.
    pub newest: Option<&'a BTreeMap<String, i64>>,
    /// What was asked of object stores.
    pub requests: Requests,
}

/// What a command did before it ended.
#[derive(Debug, Clone, Copy)]
pub enum Did<'a> {
    /// It came to its end.
    All(&'a Outcome),
    /// It prepared a run that a check or a limit stopped.
    Stopped(&'a RunRecord),
    /// It failed, or found nothing that it could do.
    Nothing,
}

impl<'a> Did<'a> {
    /// What an error knows of the run that it ended.
    #[must_use]
    pub fn of(error: &'a RunError) -> Self {
        match error {
            RunError::Stopped {
                record: Some(record),
                ..
            } => Self::Stopped(record),
            _ => Self::Nothing,
        }
    }
}

/// Gauges of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    unit: Unit,
    /// In the order of what they are about. Where there are none, there is nothing of this kind any
    /// more, whatever an earlier run said.
    samples: Vec<Sample>,
}

/// What a gauge counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Bytes,
    One,
}

/// One gauge: its labels beside the pipeline, and its value.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

/// A gauge with these labels.
fn sample<const N: usize>(labels: [(&'static str, &str); N], value: f64) -> Sample {
    let labels = labels.into_iter();
    Sample {
        labels: labels
            .map(|(name, value)| (name, value.to_owned()))
            .collect(),
        value,
    }
}

/// Families in the order in which they are made.
#[derive(Default)]
struct Families(Vec<Family>);

impl Families {
    fn add(
        &mut self,
        (name, help, unit): (&'static str, &'static str, Unit),
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.0.push(Family {
            name,
            help,
            unit,
            samples: samples.into_iter().collect(),
        });
    }

    /// A family of one gauge.
    fn one(&mut self, (name, help, unit): (&'static str, &'static str, Unit), value: f64) {
        self.add((name, help, unit), [sample([], value)]);
    }
}

/// The families of a command that has ended.
#[must_use]
pub fn families(ended: &Ended<'_>) -> Vec<Family> {
    let mut families = Families::default();
    let at = seconds(ended.at.timestamp_micros());
    families.one(
        (
            "lake_run_last_end_timestamp_seconds",
            "When the last run ended, however it ended.",
            Unit::Seconds,
        ),
        at,
    );
    families.one(
        (
            "lake_run_last_exit_code",
            "How the last run ended: 0 done, 1 failed, 2 wrong usage or pipeline file, 3 stopped by a check or \
             limit, 4 another run was live.",
            Unit::One,
        ),
        f64::from(ended.exit_code),
    );
    if ended.exit_code == 0 {
        families.one(
            (
                "lake_run_last_success_timestamp_seconds",
                "When the last run ended well, also where there was nothing to do.",
                Unit::Seconds,
            ),
            at,
        );
    }
    match ended.did {
        Did::All(Outcome::Published(record)) => {
            published(&mut families, record);
            read(&mut families, record);
            changed(&mut families, record);
        }
        Did::All(Outcome::NothingToDo { last_run, .. }) => number(&mut families, *last_run),
        Did::Stopped(record) => read(&mut families, record),
        Did::Nothing => {}
    }
    if let Some(newest) = ended.newest {
        let samples = newest
            .iter()
            .map(|(input, micros)| sample([("input", input)], seconds(*micros)));
        families.add(
            (
                "lake_input_newest_file_timestamp_seconds",
                "When the newest file of the input that is loaded was received.",
                Unit::Seconds,
            ),
            samples,
        );
    }
    if ended.requests.total() > 0 {
        requests(&mut families, ended.requests);
    }
    families.0
}

fn number(families: &mut Families, run: i64) {
    families.one(
        (
            "lake_run_number",
            "The number of the last published run.",
            Unit::One,
        ),
        run as f64,
    );
}

fn published(families: &mut Families, record: &RunRecord) {
    families.one(
        (
            "lake_run_last_published_timestamp_seconds",
            "When the last run was published.",
            Unit::Seconds,
        ),
        seconds(record.sealed_at),
    );
    number(families, record.run);
}

/// What a run read and found, whether it was published or stopped.
fn read(families: &mut Families, record: &RunRecord) {
    families.one(
        ("lake_run_seconds", "How long the run took.", Unit::Seconds),
        record.seconds,
    );
    families.add(
        (
            "lake_run_stage_seconds",
            "How long each stage of the run took.",
            Unit::Seconds,
        ),
        record
            .stages
            .iter()
            .map(|stage| sample([("stage", &stage.stage)], stage.seconds)),
    );
    families.add(
        (
            "lake_run_function_seconds",
            "How long the calls of each function of the transform took, over all threads.",
            Unit::Seconds,
        ),
        record
            .functions
            .iter()
            .map(|function| sample([("function", &function.name)], function.seconds)),
    );
    families.one(
        (
            "lake_run_peak_memory_bytes",
            "The largest amount of memory that the run held.",
            Unit::Bytes,
        ),
        record.peak_memory_bytes as f64,
    );
    let inputs = || record.inputs.iter();
    families.add(
        (
            "lake_run_input_files",
            "How many files the run read.",
            Unit::One,
        ),
        inputs().map(|input| sample([("input", &input.name)], input.files as f64)),
    );
    families.add(
        (
            "lake_run_input_bytes",
            "How many bytes these files have.",
            Unit::Bytes,
        ),
        inputs().map(|input| sample([("input", &input.name)], input.bytes as f64)),
    );
    families.add(
        (
            "lake_run_input_rows",
            "How many rows were accepted and rejected.",
            Unit::One,
        ),
        inputs().flat_map(|input| {
            [("accepted", input.accepted), ("rejected", input.rejected)].map(|(result, rows)| {
                sample([("input", &input.name), ("result", result)], rows as f64)
            })
        }),
    );
    families.add(
        (
            "lake_run_check_failed",
            "1 where a check of a table did not hold, and 0 where it did.",
            Unit::One,
        ),
        record.checks.iter().map(|check| {
            sample(
                [
                    ("table", &check.table),
                    ("check", &check.check),
                    ("severity", &check.severity),
                ],
                f64::from(u8::from(!check.holds)),
            )
        }),
    );
    let transform = &record.transform;
    families.add(
        (
            "lake_run_transform_info",
            "The transform that computed the run, and the digest of its library.",
            Unit::One,
        ),
        [sample(
            [
                ("transform", transform.name.as_str()),
                ("version", &transform.version),
                ("digest", &transform.digest),
            ],
            1.0,
        )],
    );
}

/// What a published run did to its tables.
fn changed(families: &mut Families, record: &RunRecord) {
    families.add(
        (
            "lake_run_table_rows",
            "What became of the rows of each table.",
            Unit::One,
        ),
        record.tables.iter().flat_map(|table| {
            [
                ("inserted", table.counts.inserted),
                ("updated", table.counts.updated),
                ("unchanged", table.counts.unchanged),
                ("superseded", table.counts.superseded),
                ("deleted", table.counts.deleted),
                ("filtered", table.filtered),
            ]
            .map(|(change, rows)| sample([("table", &table.name), ("change", change)], rows as f64))
        }),
    );
    families.add(
        (
            "lake_table_rows",
            "How many rows each table has.",
            Unit::One,
        ),
        record
            .tables
            .iter()
            .map(|table| sample([("table", &table.name)], table.rows as f64)),
    );
}

fn requests(families: &mut Families, requests: Requests) {
    families.add(
        (
            "lake_run_requests",
            "How many requests the last run made of object stores; failed ones are counted with their kind too.",
            Unit::One,
        ),
        [
            ("get", requests.get),
            ("head", requests.head),
            ("put", requests.put),
            ("list", requests.list),
            ("delete", requests.delete),
            ("multipart", requests.multipart),
            ("other", requests.other),
            ("failed", requests.failed),
        ]
        .map(|(kind, count)| sample([("kind", kind)], count as f64)),
    );
}

/// Seconds since 1970, of microseconds.
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[derive(Debug, Deserialize)]
struct Newest {
    input: String,
    micros: Option<i64>,
}

/// When the newest file of each input was received that is loaded, in microseconds since 1970.
///
/// # Errors
/// Of the store and the library.
pub async fn newest_files(settings: &Settings) -> Result<BTreeMap<String, i64>> {
    let name = &settings.pipeline.name;
    let root = settings.root.child(name);
    let Some(table) = Snapshot::open(&root, name, FILES).await? else {
        return Ok(BTreeMap::new());
    };
    let failed = |e| RunError::sql(FILES, &e);
    let session = settings.attempt(&root)?.session;
    session
        .register_table("files", table.provider().await?)
        .map_err(failed)?;
    // Tables of earlier versions of lake get the column with their next row.
    let loaded = match table.columns().iter().any(|column| column == "skipped") {
        true => "WHERE skipped IS NOT TRUE",
        false => "",
    };
    let sql = format!(
        "SELECT input, CAST(max(received_at) AS BIGINT) AS micros FROM files {loaded} GROUP BY input"
    );
    let rows = session.sql(&sql).await.map_err(failed)?;
    let newest = runs::rows::<Newest>(FILES, &rows.collect().await.map_err(failed)?)?;
    let newest = newest
        .into_iter()
        .filter_map(|newest| Some((newest.input, newest.micros?)));
    Ok(newest.collect())
}

#[cfg(test)]
mod tests {
    use crate::record::{InputRecord, StageRecord, TableRecord};
    use crate::table_checks::CheckRecord;

    use super::*;

    fn record() -> RunRecord {
        RunRecord {
            run: 7,
            sealed_at: 1_500_000,
            seconds: 2.5,
            peak_memory_bytes: 1024,
            inputs: vec![InputRecord {
                name: "readings".to_owned(),
                files: 2,
                bytes: 300,
                rows: 10,
                accepted: 9,
                rejected: 1,
                ..InputRecord::default()
            }],
            tables: vec![TableRecord {
                name: "standard/readings".to_owned(),
                rows: 20,
                filtered: 3,
                ..TableRecord::default()
            }],
            checks: vec![CheckRecord {
                table: "standard/readings".to_owned(),
                check: "fresh".to_owned(),
                severity: "warn".to_owned(),
                holds: false,
                detail: String::new(),
            }],
            stages: vec![StageRecord {
                stage: "open".to_owned(),
                seconds: 0.5,
            }],
            ..RunRecord::default()
        }
    }

    fn ended(exit_code: u8, did: Did<'_>) -> Vec<Family> {
        families(&Ended {
            at: DateTime::from_timestamp_micros(2_000_000).unwrap(),
            exit_code,
            did,
            newest: None,
            requests: Requests::default(),
        })
    }

    /// The values of a family by their labels; `None` where the family is not there.
    fn values(families: &[Family], name: &str) -> Option<Vec<(String, f64)>> {
        let family = families.iter().find(|family| family.name == name)?;
        let samples = family.samples.iter().map(|sample| {
            let labels = sample.labels.iter().map(|(_, value)| value.as_str());
            (labels.collect::<Vec<_>>().join(" "), sample.value)
        });
        Some(samples.collect())
    }

    fn value(families: &[Family], name: &str) -> Option<f64> {
        values(families, name).map(|values| values[0].1)
    }

    #[test]
    fn a_published_run_says_everything() {
        let outcome = Outcome::Published(Box::new(record()));
        let families = ended(0, Did::All(&outcome));
        let one = |name| value(&families, name);
        assert_eq!(one("lake_run_last_end_timestamp_seconds"), Some(2.0));
        assert_eq!(one("lake_run_last_success_timestamp_seconds"), Some(2.0));
        assert_eq!(one("lake_run_last_published_timestamp_seconds"), Some(1.5));
        assert_eq!(one("lake_run_number"), Some(7.0));
        assert_eq!(one("lake_run_seconds"), Some(2.5));
        assert_eq!(one("lake_run_peak_memory_bytes"), Some(1024.0));
        let all = |name| values(&families, name).unwrap();
        let labelled = |label: &str, value| (label.to_owned(), value);
        assert_eq!(
            all("lake_run_input_rows"),
            [
                labelled("readings accepted", 9.0),
                labelled("readings rejected", 1.0)
            ]
        );
        assert_eq!(
            all("lake_run_check_failed"),
            [labelled("standard/readings fresh warn", 1.0)]
        );
        let changes = all("lake_run_table_rows");
        assert_eq!(changes.len(), 6);
        assert_eq!(changes[5], labelled("standard/readings filtered", 3.0));
        assert_eq!(
            all("lake_table_rows"),
            [labelled("standard/readings", 20.0)]
        );
        // There are no functions, which is something else than not to know.
        assert_eq!(all("lake_run_function_seconds"), []);
        assert_eq!(one("lake_input_newest_file_timestamp_seconds"), None);
    }

    #[test]
    fn nothing_to_do_is_a_success_and_leaves_the_figures_of_the_run_before() {
        let outcome = Outcome::NothingToDo {
            last_run: 7,
            loaded_files: 2,
        };
        let families = ended(0, Did::All(&outcome));
        let names: Vec<&str> = families.iter().map(|family| family.name).collect();
        assert_eq!(
            names,
            [
                "lake_run_last_end_timestamp_seconds",
                "lake_run_last_exit_code",
                "lake_run_last_success_timestamp_seconds",
                "lake_run_number",
            ]
        );
    }

    #[test]
    fn a_stopped_run_says_what_it_read_and_found_and_nothing_of_tables() {
        let error = RunError::Stopped {
            message: String::new(),
            record: Some(Box::new(record())),
        };
        let families = ended(3, Did::of(&error));
        assert_eq!(value(&families, "lake_run_last_exit_code"), Some(3.0));
        assert_eq!(value(&families, "lake_run_input_files"), Some(2.0));
        assert_eq!(value(&families, "lake_run_check_failed"), Some(1.0));
        for absent in [
            "lake_run_last_success_timestamp_seconds",
            "lake_run_last_published_timestamp_seconds",
            "lake_run_number",
            "lake_table_rows",
        ] {
            assert_eq!(value(&families, absent), None, "{absent}");
        }
    }

    #[test]
    fn a_failure_says_when_and_how() {
        let families = ended(1, Did::Nothing);
        assert_eq!(families.len(), 2);
        assert_eq!(value(&families, "lake_run_last_exit_code"), Some(1.0));
    }
}
