//! Whatever happens, and in whatever order: a lake says what a model of it in memory says.

mod again;
mod steps;
mod undo;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures::future::{Either, select};
use lake_run::{Outcome, Report, Result, RunError, query};
use lake_testing::{FailingStore, Fault, Kind, On};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use self::steps::{Outside, Point, Step, Story, When};
use self::world::{File, Inputs, NAMES, REJECTED, Reading, SEEN, World};
use crate::foreign::{Change, Table};
use crate::support::{Lake, healthy, in_order};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_a_run_that_says_it_is_done_leaves_what_the_files_say(
        story in steps::story(),
    ) {
        runtime().block_on(Play::tell(&story));
    }
}

proptest! {
    // A split is several lakes, and their runs differ in less.
    #![proptest_config(ProptestConfig {
        cases: cases().div_ceil(4),
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_split_of_the_files_into_runs_yields_the_same_tables(
        (files, splits) in splits(),
    ) {
        runtime().block_on(any_split_is_the_same(&files, &splits));
    }
}

#[test]
fn content_that_is_older_twice_still_comes_after_what_it_corrects() {
    tell([
        arrives(0, 10, 1),
        Step::Run,
        arrives(0, 5, 2),
        Step::Run,
        arrives(0, 3, 3),
        Step::Run,
    ]);
}

#[test]
fn consumption_that_loses_its_rows_before_the_seal_stops_no_run() {
    let outside = (Change::Delete, "consumption/daily_usage");
    tell([
        Step::Arrives(0, 0, vec![reading(2, 0, 0)]),
        Step::Run,
        Step::Arrives(0, 0, vec![reading(1, 1, 0)]),
        Step::OutsideDuring(When::BeforeTheSeal, outside, false),
    ]);
}

#[test]
fn rows_that_others_add_to_consumption_once_more_go_with_the_next_run() {
    let outside = (Change::Append, "consumption/daily_usage");
    tell([
        arrives(0, 0, 1),
        Step::Run,
        Step::Outside(outside),
        Step::Run,
    ]);
}

#[test]
fn rejected_rows_that_pass_now_come_into_the_place_that_they_would_have_had() {
    tell([
        Step::Arrives(0, 10, vec![reading(1, 0, -1), reading(2, 1, -1)]),
        Step::Run,
        arrives(1, 20, 5),
        Step::Run,
        Step::Mended,
        Step::Replayed(None),
        Step::Reloaded(0, None),
    ]);
}

fn tell(steps: impl IntoIterator<Item = Step>) {
    runtime().block_on(Play::tell(&Story(steps.into_iter().collect())));
}

/// A file with one reading, of which there is only one, with a usage of so much.
fn arrives(file: usize, minute: u64, quarters: i16) -> Step {
    Step::Arrives(file, minute, vec![reading(1, 0, quarters)])
}

fn reading(customer: u8, hour: u8, quarters: i16) -> Reading {
    Reading {
        meter: 1,
        spelling: 0,
        customer,
        day: 3,
        hour,
        quarters,
    }
}

/// `LAKE_MODEL_CASES`, or as many as a test has time for.
#[expect(
    clippy::disallowed_methods,
    reason = "how many stories to tell is said outside"
)]
fn cases() -> u32 {
    let said = std::env::var("LAKE_MODEL_CASES").ok();
    said.map_or(64, |cases| cases.parse().unwrap())
}

/// One thread, so that a story goes the same way whenever it is told.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A story while it is told.
struct Play {
    lake: Lake,
    inputs: Inputs,
    /// The times that a file has had: without another time, nobody sees that it is another file.
    times: BTreeMap<&'static str, BTreeSet<u64>>,
    /// The states that the lake may be in: of a run that has failed, nobody can say whether it
    /// was sealed.
    worlds: Vec<World>,
    /// The store of a run that was killed, with a request on its way.
    under_way: Option<FailingStore>,
    /// What others have done to consumption is repaired by the next run that comes to its end.
    usage_is_wrong: bool,
    /// Others have done something that a run may take as work.
    is_touched: bool,
    /// What somebody remembers: a run, and the state that it has left.
    remembered: Option<(i64, World)>,
    /// The least usage that the transform takes, in quarters.
    least: i16,
    /// Where the story is, for whoever reads of its failure.
    at: String,
}

impl Play {
    async fn tell(story: &Story) {
        let mut play = Self {
            lake: Lake::empty().await,
            inputs: Inputs::new(),
            times: BTreeMap::new(),
            worlds: vec![World::default()],
            under_way: None,
            usage_is_wrong: false,
            is_touched: false,
            remembered: None,
            least: 0,
            at: String::new(),
        };
        for (step, n) in story.0.iter().zip(1..) {
            play.at = format!("{n}. {step}");
            play.step(step).await;
        }
        for again in ["at last, it runs", "it runs once more"] {
            again.clone_into(&mut play.at);
            play.run().await;
        }
        let seen = play.ask().await;
        play.agree(play.worlds.clone(), &seen);
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Arrives(file, minute, rows) => self.arrives(*file, *minute, rows),
            Step::Redelivered(file, minute) => {
                if let Some(known) = self.inputs.get(NAMES[*file]) {
                    let rows = known.rows.clone();
                    self.arrives(*file, *minute, &rows);
                }
            }
            Step::Run => self.run().await,
            Step::Killed(at) => {
                let store = self.store();
                stop(&store, *at);
                self.disturbed(&store).await;
            }
            Step::Outlived(at, later) => {
                let store = self.store();
                store.inject(at.on(), Fault::LandsLater(*later));
                stop(&store, *at);
                self.disturbed(&store).await;
                if store.stopped_at().is_some() {
                    self.under_way = Some(store);
                }
            }
            Step::Lied(at, fault) => {
                let store = self.store();
                store.inject(at.on(), fault.clone());
                self.disturbed(&store).await;
            }
            Step::Overtaken(at) => {
                let store = self.store();
                let mut other = None;
                let meanwhile = async || other = Some(self.lake.run_through(&healthy()).await);
                let outcome = held(&self.lake, &store, at.on(), meanwhile).await;
                for outcome in [Some(outcome), other].into_iter().flatten() {
                    self.came_to_its_end(outcome);
                }
                self.is_done(false).await;
            }
            Step::AtOnce => {
                let (one, other) = (self.store(), healthy());
                let (one, other) =
                    futures::join!(self.lake.run_through(&one), self.lake.run_through(&other));
                self.came_to_its_end(one);
                self.came_to_its_end(other);
                self.is_done(false).await;
            }
            Step::Asked => {
                let seen = self.ask().await;
                self.agree(self.worlds.clone(), &seen);
            }
            Step::Maintained(runs, at) => self.maintained(*runs, *at).await,
            Step::Remembered => self.remember().await,
            Step::BroughtBack(at) => self.brought_back(*at).await,
            Step::Reloaded(file, at) => self.reloaded(*file, *at).await,
            Step::SetAside(file, at) => self.set_aside(*file, *at).await,
            Step::NotAside(file, at) => self.not_aside(*file, *at).await,
            Step::Mended => {
                self.lake.become_lenient();
                // Consumption is computed once more.
                (self.least, self.is_touched) = (-1, true);
            }
            Step::Replayed(at) => self.replayed(*at).await,
            Step::AskedDuring(at) => {
                let store = self.store();
                let mut seen = None;
                let meanwhile = async || seen = Some(self.ask().await);
                let outcome = held(&self.lake, &store, at.on(), meanwhile).await;
                self.came_to_its_end(outcome);
                if let Some(seen) = seen {
                    let possible = [self.worlds.clone(), self.after_a_run()].concat();
                    self.agree(possible, &seen);
                }
                self.is_done(false).await;
            }
            Step::Outside(outside) => self.suffer(*outside),
            Step::OutsideDuring(when, outside, is_killed) => {
                self.outside_during(*when, *outside, *is_killed).await;
            }
        }
    }

    fn arrives(&mut self, file: usize, minute: u64, rows: &[Reading]) {
        let (step, number) = (NAMES.len() as u64, file as u64);
        let name = NAMES[file];
        let times = self.times.entry(name).or_default();
        // Every file has minutes of its own.
        let mut minute = minute * step + number;
        while !times.insert(minute) {
            minute += step;
        }
        let file = File {
            name,
            minute,
            rows: rows.to_vec(),
        };
        self.lake.receive(name, minute, &file.text());
        self.inputs.insert(name, file);
    }

    /// A store for the next run: that of a killed one, where its last request is on its way.
    fn store(&mut self) -> FailingStore {
        let store = self.under_way.take().unwrap_or_else(healthy);
        store.heal();
        store
    }

    /// A run that nobody disturbs.
    async fn run(&mut self) {
        let store = self.store();
        let outcome = self.lake.run_through(&store).await;
        let outcome = self.came_to_its_end(outcome);
        let has_work = |world: &World| !world.pending(&self.inputs).is_empty();
        if !self.is_touched && !self.worlds.iter().any(has_work) {
            assert!(
                matches!(outcome, Outcome::NothingToDo { .. }),
                "{}: there was nothing to do: {outcome:?}",
                self.at
            );
        }
        self.is_done(false).await;
    }

    /// A run through a store that does not do what it is told.
    async fn disturbed(&mut self, store: &FailingStore) {
        match self.lake.run_through(store).await {
            Ok(_) => self.is_done(false).await,
            // Nobody looks: it would be finished by that.
            Err(_) => self.may_be_done(),
        }
    }

    async fn outside_during(&mut self, when: When, outside: Outside, is_killed: bool) {
        let store = self.store();
        let place = match when {
            When::BeforeTheSeal => "utility/_lake/prepared/".to_owned(),
            When::BeforeTheCommit => format!("{}/_delta_log/", outside.1),
        };
        let on = On::kind(Kind::Put).path(&place);
        let theirs = Table::new(&self.lake.root.path().join("utility"), outside.1);
        let mut has_suffered = false;
        let meanwhile = async || {
            has_suffered = theirs.suffer(outside.0);
            if is_killed {
                stop(&store, Point::Operation(1));
            }
        };
        match held(&self.lake, &store, on, meanwhile).await {
            Ok(_) => self.is_done(has_suffered).await,
            Err(_) if is_killed => self.may_be_done(),
            Err(error) => {
                let says = error.to_string();
                assert!(says.contains("run again"), "{}: {says}", self.at);
                self.may_be_done();
            }
        }
        if has_suffered {
            self.has_suffered(outside);
        }
    }

    fn suffer(&mut self, outside: Outside) {
        let theirs = Table::new(&self.lake.root.path().join("utility"), outside.1);
        if theirs.suffer(outside.0) {
            self.has_suffered(outside);
        }
    }

    fn has_suffered(&mut self, (change, _): Outside) {
        self.is_touched = true;
        self.usage_is_wrong |= matches!(change, Change::Append | Change::Delete);
    }

    fn came_to_its_end(&self, outcome: Result<Report>) -> Outcome {
        match outcome {
            Ok(report) => report.outcome,
            Err(error) => panic!("{}: {error}", self.at),
        }
    }

    fn after_a_run(&self) -> Vec<World> {
        let worlds = self.worlds.iter();
        worlds
            .map(|world| world.after_a_run(&self.inputs, self.least))
            .collect()
    }

    fn may_be_done(&mut self) {
        for world in self.after_a_run() {
            if !self.worlds.contains(&world) {
                self.worlds.push(world);
            }
        }
    }

    /// A run says that it is done, and what others did before it is repaired.
    async fn is_done(&mut self, but_others_came_late: bool) {
        let has_changed = self.is_touched || self.worlds != self.after_a_run();
        self.is_touched = false;
        if !has_changed && self.worlds.len() == 1 {
            return;
        }
        // What others did while it was applied is repaired by the next one.
        self.usage_is_wrong = but_others_came_late;
        let seen = self.ask().await;
        self.agree(self.after_a_run(), &seen);
    }

    /// The lake is in one of these states.
    fn agree(&mut self, mut possible: Vec<World>, seen: &[String]) {
        let counts = |row: &&String| !(self.usage_is_wrong && row.starts_with("usage|"));
        let seen: Vec<&String> = seen.iter().filter(counts).collect();
        let mut differences = Vec::new();
        let mut fits = |world: &World| {
            let tables = world.tables();
            let expected: Vec<&String> = tables.iter().filter(counts).collect();
            if expected != seen {
                differences.push(difference(&seen, &expected));
            }
            expected == seen
        };
        let mut fitting = possible.clone();
        fitting.retain(|world| fits(world));
        if fitting.is_empty() {
            differences.sort_by_key(String::len);
            panic!("{}: {}", self.at, differences.first().unwrap());
        }
        // What is on its way may land after somebody has looked.
        if self.under_way.is_none() {
            possible = fitting;
        }
        self.worlds.clear();
        for world in possible {
            if !self.worlds.contains(&world) {
                self.worlds.push(world);
            }
        }
    }

    /// What anybody sees who asks now, but for the runs, which have to be all there.
    async fn ask(&self) -> Vec<String> {
        let mut seen = match seen(&self.lake).await {
            Ok(seen) => seen,
            Err(error) => panic!("{}: {error}", self.at),
        };
        let runs: Vec<String> = seen.extract_if(.., |row| row.starts_with("run|")).collect();
        for (row, n) in runs.iter().zip(1..) {
            let number = format!("run|{n:04}|");
            assert!(row.starts_with(&number), "{}: {runs:#?}", self.at);
        }
        seen
    }
}

/// The process is killed at a point from here.
fn stop(store: &FailingStore, at: Point) {
    let operations = store.operations();
    match at {
        Point::Operation(n) => store.stop_from(operations.len() + n),
        Point::Write(n) => {
            let writes = operations.iter().filter(|o| o.kind.writes()).count();
            store.stop_from_write(writes + n);
        }
    }
}

/// A run that is held at an operation while something happens. Nothing does where it comes to its
/// end without that operation.
async fn held(
    lake: &Lake,
    store: &FailingStore,
    on: On,
    meanwhile: impl AsyncFnOnce(),
) -> Result<Report> {
    let mut stalled = store.stall(on);
    let mut run = pin!(lake.run_through(store));
    let is_over = match select(run.as_mut(), pin!(stalled.reached())).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    };
    match is_over {
        Some(outcome) => outcome,
        None => {
            meanwhile().await;
            stalled.release();
            run.await
        }
    }
}

/// Everything that the tables of a lake say, in order; nothing where there are none.
async fn seen(lake: &Lake) -> Result<Vec<String>> {
    let settings = lake.settings(&healthy());
    let says = |error: &RunError, what: &[&str]| {
        let message = error.to_string();
        what.iter().all(|part| message.contains(part))
    };
    // Whoever asks first finishes a run that is sealed, and what it brings is there for the second.
    if let Err(error) = query(&settings, SEEN, None).await
        && says(&error, &["there are no tables"])
    {
        return Ok(Vec::new());
    }
    let sql = match lake.files("rejection/readings/_delta_log/").is_empty() {
        true => SEEN.to_owned(),
        false => [SEEN, REJECTED].concat(),
    };
    let answer = match query(&settings, &sql, None).await {
        // The run that brings them is on its way.
        Err(error) if says(&error, &["rejection.readings", "not found"]) => {
            query(&settings, SEEN, None).await
        }
        answer => answer,
    };
    match answer {
        Err(error) if says(&error, &["there are no tables"]) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(answer) => Ok(in_order(&answer)),
    }
}

/// What is there and should not be, and what should be and is not.
fn difference(found: &[&String], expected: &[&String]) -> String {
    let only = |a: &[&String], b: &[&String]| {
        let mut rest = b.to_vec();
        let mut only = a.to_vec();
        only.retain(|row| match rest.iter().position(|other| other == row) {
            Some(at) => {
                rest.swap_remove(at);
                false
            }
            None => true,
        });
        only.into_iter().cloned().collect::<Vec<_>>()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    format!("there is {more:#?} instead of {less:#?}")
}

/// Files with different names, and the runs that load them: for each file, its run, in several
/// ways.
fn splits() -> impl Strategy<Value = (Vec<File>, Vec<Vec<usize>>)> {
    let files = prop::collection::vec((0_u64..3, steps::rows()), NAMES.len());
    let splits = prop::collection::vec(prop::collection::vec(0..NAMES.len(), NAMES.len()), 2);
    let files = files.prop_map(|files| {
        let named = NAMES.into_iter().zip(files);
        let files = named.map(|(name, (minute, rows))| File { name, minute, rows });
        files.collect()
    });
    (files, splits)
}

async fn any_split_is_the_same(files: &[File], splits: &[Vec<usize>]) {
    let inputs: Inputs = files.iter().map(|file| (file.name, file.clone())).collect();
    let expected = World::default().after_a_run(&inputs, 0).tables();
    for split in splits {
        let lake = Lake::empty().await;
        for run in 0..NAMES.len() {
            let mut arrived = false;
            for (file, _) in files.iter().zip(split).filter(|(_, of)| **of == run) {
                lake.receive(file.name, file.minute, &file.text());
                arrived = true;
            }
            if arrived {
                lake.publish().await;
            }
        }
        let mut found = seen(&lake).await.unwrap();
        found.retain(|row| !row.starts_with("run|"));
        let (found, expected): (Vec<_>, Vec<_>) =
            (found.iter().collect(), expected.iter().collect());
        assert!(
            found == expected,
            "{split:?}: {}",
            difference(&found, &expected)
        );
    }
}
