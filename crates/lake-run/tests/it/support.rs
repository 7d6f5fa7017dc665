//! A lake of meter readings in a temporary directory, with a store that fails on request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use lake_pipeline::Overrides;
use lake_run::{
    Answer, Outcome, Process, Profile, Releases, Report, Result, Root, RunError, RunRecord,
    Settings, Stores, query, run,
};
use lake_testing::{Directory, FailingStore, Kind, On};
use object_store::local::LocalFileSystem;
use tokio::sync::OnceCell;
use url::Url;

/// The seals of the pipeline, below the root.
pub(crate) const SEALS: &str = "utility/_lake/log/";
/// The first seal, below the pipeline's root.
pub(crate) const FIRST_SEAL: &str = "_lake/log/00000001.json";

/// The first line of every file.
pub(crate) const HEADER: &str = "customer_id,meter_id,start_time,end_time,usage_kwh,region\n";

/// A root with the tables, and a directory with the files that arrive.
#[derive(Debug)]
pub(crate) struct Lake {
    pub(crate) root: Directory,
    inputs: Arc<Directory>,
    rejected: Option<&'static str>,
    /// Whether copies of files are kept.
    archives: bool,
    /// Whether the transform takes a usage that is a little below zero.
    is_lenient: bool,
}

impl Lake {
    /// Nothing is loaded yet. Two files are waiting, with readings of three
    /// customers, one meter spelled three ways, a key that comes twice, and
    /// two rows that are rejected.
    pub(crate) async fn new() -> Self {
        let lake = Self::empty().await;
        lake.arrive(
            "monday.csv",
            1,
            "C-1, m-1 ,2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,1.000,north\n\
             C-1,M0000001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.000,north\n\
             C-2,M0000002,2020-02-03T00:00:00Z,2020-02-03T01:00:00Z,0.500,south\n\
             C-2,M0000002,2020-02-03T02:00:00Z,2020-02-03T01:00:00Z,0.500,south\n\
             C-3,M0000003,2020-02-03T23:00:00Z,2020-02-04T00:00:00Z,4.000,east\n",
        );
        lake.arrive(
            "tuesday.csv",
            2,
            "C-1,M0000001,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,1.500,north\n\
             C-1,M 0001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.250,north\n\
             C-2,M0000002,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,much,south\n",
        );
        lake
    }

    /// Nothing is loaded, and nothing is waiting.
    pub(crate) async fn empty() -> Self {
        let lake = Self {
            root: Directory::new().unwrap(),
            inputs: Arc::new(Directory::new().unwrap()),
            rejected: None,
            archives: false,
            is_lenient: false,
        };
        transform_is_built(&lake).await;
        lake
    }

    /// One more run's worth: a file that was loaded is corrected, and a new one arrives.
    pub(crate) fn correction_and_news(&self) {
        self.arrive(
            "tuesday.csv",
            3,
            "C-1,M0000001,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,1.750,north\n\
             C-1,M 0001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.250,north\n\
             C-2,M0000002,2020-02-04T00:00:00Z,2020-02-04T01:00:00Z,0.750,south\n",
        );
        self.arrive(
            "wednesday.csv",
            4,
            "C-3,M0000003,2020-02-05T00:00:00Z,2020-02-05T01:00:00Z,3.000,east\n\
             C-4,M0000004,2020-02-05T00:00:00Z,2020-02-05T01:00:00Z,-1.000,west\n",
        );
    }

    /// And one more.
    pub(crate) fn more_news(&self) {
        self.arrive(
            "thursday.csv",
            5,
            "C-1,M0000001,2020-02-03T01:00:00Z,2020-02-03T02:00:00Z,2.500,north\n\
             C-5,M0000005,2020-02-06T00:00:00Z,2020-02-06T01:00:00Z,1.250,west\n\
             C-5,M0000005,2020-02-06T00:00:00Z,2020-02-05T01:00:00Z,1.250,west\n",
        );
    }

    /// The same lake with a limit on rejected rows.
    pub(crate) fn limit_rejected(mut self, limit: &'static str) -> Self {
        self.rejected = Some(limit);
        self
    }

    /// The same lake, which keeps a copy of every file that it loads.
    pub(crate) fn archiving(mut self) -> Self {
        self.archives = true;
        self
    }

    /// From now on, another transform is used, which takes a usage that is a little below zero.
    pub(crate) fn become_lenient(&mut self) {
        self.is_lenient = true;
    }

    /// A file arrives, `hour` hours after the first second of 2021.
    fn arrive(&self, name: &str, hour: u64, rows: &str) {
        self.receive(name, hour * 60, &format!("{HEADER}{rows}"));
    }

    /// A file with these bytes is received, `minute` minutes after the first second of 2021.
    pub(crate) fn receive(&self, name: &str, minute: u64, text: &str) {
        let path = self.inputs.path().join(name);
        fs::write(&path, text).unwrap();
        let received = SystemTime::UNIX_EPOCH
            + Duration::from_secs(1_609_459_200)
            + Duration::from_secs(60 * minute);
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(received).unwrap();
    }

    /// Where a file arrives.
    pub(crate) fn input(&self, name: &str) -> PathBuf {
        self.inputs.path().join(name)
    }

    /// A file is gone from where it arrived.
    pub(crate) fn take_away(&self, name: &str) {
        fs::remove_file(self.inputs.path().join(name)).unwrap();
    }

    /// Nobody is to be seen at work any more.
    pub(crate) fn take_heartbeat(&self) {
        let place = self.root.path().join("utility/_lake/heartbeat.json");
        let _ = fs::remove_file(place);
    }

    /// The same lake once more, with a root that goes its own way.
    pub(crate) fn fork(&self) -> Self {
        Self {
            root: self.root.fork().unwrap(),
            inputs: Arc::clone(&self.inputs),
            rejected: self.rejected,
            archives: self.archives,
            is_lenient: self.is_lenient,
        }
    }

    pub(crate) fn settings(&self, store: &FailingStore) -> Settings {
        let source = format!(
            "name: utility\n\
             transform: {{ name: utility, version: \"1\", path: \"{}\" }}\n\
             root: \"{}\"\n\
             inputs: {{ readings: {{ path: \"{}/*.csv\", on_change: upsert, archive: {} }} }}\n\
             limits: {{ memory: 256MiB{} }}\n",
            match self.is_lenient {
                true => lenient(),
                false => transform(),
            }
            .display(),
            self.root.path().display(),
            self.inputs.path().display(),
            self.archives,
            self.rejected
                .map_or(String::new(), |limit| format!(", rejected: {limit}")),
        );
        let file = self.inputs.path().join("utility.yaml");
        let working_dir = self.inputs.path();
        let pipeline = lake_pipeline::parse(
            &source,
            &file,
            working_dir,
            &|_| None,
            &Overrides::default(),
        );
        let url = Url::from_directory_path(self.root.path()).unwrap();
        Settings {
            pipeline: pipeline.unwrap(),
            file,
            stores: Stores::default(),
            root: Root::with_store(url, Arc::new(store.clone())).unwrap(),
            cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("transforms"),
            profile: Profile::Dev,
            releases: Releases::default(),
            clock: noon,
            host: "here".to_owned(),
            // The n-th operation of a run is the same one whenever the run is repeated.
            threads: 1,
            progress: Arc::default(),
            process: Process::default(),
            wait: false,
            accept_loss: Vec::new(),
        }
    }

    /// Runs the pipeline through a given store.
    pub(crate) async fn run_through(&self, store: &FailingStore) -> Result<Report> {
        run(&self.settings(store)).await
    }

    /// Runs the pipeline through a store that works; the run has to publish.
    pub(crate) async fn publish(&self) -> RunRecord {
        published(self.run_through(&healthy()).await)
    }

    /// Runs the pipeline and kills it right after its seal: nothing is applied.
    pub(crate) async fn seal_and_die(&self) {
        let store = healthy();
        let mut sealing = store.stall(On::kind(Kind::Put).path(SEALS));
        let kill = async {
            assert!(sealing.reached().await);
            store.stop_from(store.operations().len() + 1);
            sealing.release();
        };
        let (outcome, ()) = futures::join!(self.run_through(&store), kill);
        failed(outcome);
        assert_eq!(self.files(SEALS).len(), 1);
        assert_eq!(self.files("_delta_log/"), [] as [&str; 0]);
    }

    /// Everything that a reader sees, but for when and by which run it came.
    pub(crate) async fn tables(&self) -> Tables {
        let settings = self.settings(&healthy());
        let mut tables = Vec::new();
        for sql in [
            "SELECT * EXCEPT (_loaded_at, _run) FROM standard.readings",
            "SELECT * EXCEPT (_run) FROM consumption.daily_usage",
            "SELECT * EXCEPT (run) FROM rejection.readings",
            "SELECT input, path, size, modified, hash, rows, accepted, rejected FROM _lake.files",
            "SELECT run, kind, status FROM _lake.runs",
        ] {
            tables.push((sql, rows(&settings, sql).await));
        }
        if self.archives {
            let sql = "SELECT input, path, hash, waits FROM _lake.archive";
            tables.push((sql, rows(&settings, sql).await));
        }
        Tables(tables)
    }

    /// What a query answers, row by row, in an order that does not depend on how rows are stored.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.settings(&healthy()), sql).await
    }

    /// The paths of all files below the root that contain `part`.
    pub(crate) fn files(&self, part: &str) -> Vec<String> {
        self.root.files_with(part).unwrap()
    }

    /// That no table has a version yet.
    pub(crate) fn assert_nothing_published(&self) {
        assert_eq!(self.files("_delta_log/"), [] as [&str; 0]);
        assert_eq!(self.files(SEALS), [] as [&str; 0]);
    }

    /// That a run through a store that works publishes run 1, as if nothing had been.
    pub(crate) async fn assert_next_run_is_the_first(&self) {
        assert_eq!(self.publish().await.run, 1);
        let undisturbed = Self {
            root: Directory::new().unwrap(),
            ..self.fork()
        };
        undisturbed.publish().await;
        assert_eq!(self.tables().await, undisturbed.tables().await);
    }
}

/// The rows of every table, in an order that does not depend on how they are stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tables(Vec<(&'static str, Vec<String>)>);

impl Tables {
    /// The first rows in which the first `tables` tables differ, in words.
    pub(crate) fn difference(&self, expected: &Self, tables: usize) -> Option<String> {
        let pairs = self.0.iter().zip(&expected.0).take(tables);
        let mut differing = pairs.filter(|((_, found), (_, expected))| found != expected);
        differing.next().map(|((sql, found), (_, expected))| {
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|row| !b.contains(row)).cloned().collect()
            };
            let (more, less) = (only(found, expected), only(expected, found));
            format!("{sql}: {more:#?} instead of {less:#?}")
        })
    }

    /// How many rows the tables have: readings, daily usage, rejections, files, runs.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.0.iter().map(|(_, rows)| rows.len()).collect()
    }
}

async fn rows(settings: &Settings, sql: &str) -> Vec<String> {
    in_order(&query(settings, sql, None).await.unwrap())
}

/// The rows of an answer as texts, in an order that does not depend on how they are stored.
pub(crate) fn in_order(answer: &Answer) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(values.join(" | "));
        }
    }
    rows.sort();
    rows
}

/// The local file system, with no fault so far.
pub(crate) fn healthy() -> FailingStore {
    FailingStore::new(LocalFileSystem::new())
}

/// The record of a run that has to have published.
pub(crate) fn published(report: Result<Report>) -> RunRecord {
    match report.unwrap().outcome {
        Outcome::Published(record) => *record,
        other @ Outcome::NothingToDo { .. } => panic!("it published nothing: {other:?}"),
    }
}

/// The error of a run that has to have failed.
pub(crate) fn failed(report: Result<Report>) -> RunError {
    match report {
        Err(error) => error,
        Ok(report) => panic!("it did not fail: {report:?}"),
    }
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp_secs(1_614_600_000).unwrap()
}

/// Three hours after the time of all other runs.
pub(crate) fn three_hours_later() -> DateTime<Utc> {
    noon() + chrono::TimeDelta::hours(3)
}

fn transform() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.join("transforms/utility")
}

/// The crate of the transform once more, with a check that takes more. What it depends on is built
/// where the whole-system tests build it for theirs.
fn lenient() -> PathBuf {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let (place, shared) = (target.join("tmp/lenient"), target.join("lake-tests/target"));
        let workspace = transform();
        let workspace = workspace.ancestors().nth(3).unwrap();
        let manifest = format!(
            "[package]\nname = \"utility\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[lib]\nname = \
             \"utility_lenient\"\ncrate-type = [\"cdylib\"]\n\n[dependencies]\nlake-plugin = {{ path = \
             {:?} }}\n\n[profile.dev]\ndebug = false\n\n[workspace]\n",
            workspace.join("crates/lake-plugin")
        );
        let mut files = vec![("Cargo.toml".to_owned(), manifest)];
        for file in ["lib.rs", "meter.rs", "readings.sql", "daily_usage.sql"] {
            let text = fs::read_to_string(transform().join("src").join(file)).unwrap();
            files.push((
                format!("src/{file}"),
                text.replace("usage_kwh >= 0", "usage_kwh >= -0.25"),
            ));
        }
        let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap();
        fs::create_dir_all(place.join("src")).unwrap();
        fs::create_dir_all(&shared).unwrap();
        let _ = std::os::unix::fs::symlink(shared, place.join("target"));
        for (file, text) in files {
            let file = place.join(file);
            if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
                fs::write(file, text).unwrap();
            }
        }
        if !place.join("Cargo.lock").is_file() {
            fs::write(place.join("Cargo.lock"), lock).unwrap();
        }
        place
    };
    WRITTEN.get_or_init(write).clone()
}

/// Tests run side by side, and only one of them should wait for cargo.
async fn transform_is_built(lake: &Lake) {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            lake_run::validate(&lake.settings(&healthy()))
                .await
                .unwrap();
        })
        .await;
}
