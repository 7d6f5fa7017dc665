//! What can happen to a lake, as sentences.

use std::fmt;

use lake_testing::{Fault, On};
use proptest::prelude::*;

use super::world::{NAMES, Reading};
use crate::foreign::Change;

/// A point of a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Point {
    Operation(usize),
    Write(usize),
}

impl Point {
    pub(super) fn on(self) -> On {
        match self {
            Self::Operation(n) => On::any().nth(n),
            Self::Write(n) => On::writes().nth(n),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(n) => write!(f, "operation {n}"),
            Self::Write(n) => write!(f, "write {n}"),
        }
    }
}

/// What somebody else does, and to which table.
pub(super) type Outside = (Change, &'static str);

/// Where a run is when somebody else does something.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    BeforeTheSeal,
    BeforeTheCommit,
}

/// One thing that happens.
#[derive(Clone)]
pub(super) enum Step {
    /// New content of the file with this number: its first, or a correction.
    Arrives(usize, u64, Vec<Reading>),
    /// The same bytes once more, at another time.
    Redelivered(usize, u64),
    Run,
    Killed(Point),
    /// The last request of a run that is killed lands so many operations into the next one.
    Outlived(Point, usize),
    Lied(Point, Fault),
    /// A run is held at a point while another one comes and goes.
    Overtaken(Point),
    /// Two runs begin at once.
    AtOnce,
    Asked,
    /// Small files are put together, and what only older runs than so many need is deleted. It may be
    /// killed on the way.
    Maintained(u64, Option<Point>),
    /// Somebody remembers what there is now.
    Remembered,
    /// What was remembered is brought back, unless that is killed on the way.
    BroughtBack(Option<Point>),
    /// A file is loaded once more, unless that is killed on the way.
    Reloaded(usize, Option<Point>),
    /// A file is set aside, unless that is killed on the way.
    SetAside(usize, Option<Point>),
    /// It is not set aside any more.
    NotAside(usize, Option<Point>),
    /// From now on, the transform takes a little more.
    Mended,
    /// Rejected rows are read once more, unless that is killed on the way.
    Replayed(Option<Point>),
    /// Somebody asks while a run is held at a point.
    AskedDuring(Point),
    Outside(Outside),
    /// Somebody does something while a run is held, which may be killed then.
    OutsideDuring(When, Outside, bool),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrives(file, minute, rows) => {
                write!(f, "{} arrives at minute {minute} or so:", NAMES[*file])?;
                rows.iter().try_for_each(|row| write!(f, "\n      {row}"))
            }
            Self::Redelivered(file, minute) => {
                write!(f, "{} is sent again at minute {minute} or so", NAMES[*file])
            }
            Self::Run => write!(f, "it runs"),
            Self::Killed(at) => write!(f, "it runs and is killed at {at}"),
            Self::Outlived(at, later) => write!(
                f,
                "it runs and is killed at {at}, which lands {later} operations later"
            ),
            Self::Lied(at, fault) => write!(f, "it runs, with {fault:?} at {at}"),
            Self::Overtaken(at) => write!(f, "it runs, and is overtaken at {at}"),
            Self::AtOnce => write!(f, "it runs twice at once"),
            Self::Asked => write!(f, "it is queried"),
            Self::Maintained(runs, at) => {
                write!(f, "it is maintained, keeping {runs} runs{}", or_killed(*at))
            }
            Self::Remembered => write!(f, "somebody remembers this"),
            Self::BroughtBack(at) => {
                write!(f, "what was remembered is brought back{}", or_killed(*at))
            }
            Self::Reloaded(file, at) => {
                write!(f, "{} is loaded again{}", NAMES[*file], or_killed(*at))
            }
            Self::SetAside(file, at) => {
                write!(f, "{} is set aside{}", NAMES[*file], or_killed(*at))
            }
            Self::NotAside(file, at) => {
                write!(
                    f,
                    "{} is set aside no longer{}",
                    NAMES[*file],
                    or_killed(*at)
                )
            }
            Self::Mended => write!(f, "the transform is mended"),
            Self::Replayed(at) => write!(f, "rejected rows are replayed{}", or_killed(*at)),
            Self::AskedDuring(at) => write!(f, "it runs, and is queried at {at}"),
            Self::Outside((change, table)) => write!(f, "{change:?} of {table}"),
            Self::OutsideDuring(when, (change, table), is_killed) => {
                let end = if *is_killed { ", and is killed" } else { "" };
                write!(f, "it runs, with {change:?} of {table} {when:?}{end}")
            }
        }
    }
}

fn or_killed(at: Option<Point>) -> String {
    at.map_or_else(String::new, |at| format!(", and that is killed at {at}"))
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What happens, from the first day on.
#[derive(Clone)]
pub(super) struct Story(pub(super) Vec<Step>);

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = self.0.iter().zip(1..);
        steps.try_for_each(|(step, n)| write!(f, "\n  {n}. {step}"))
    }
}

pub(super) fn reading() -> impl Strategy<Value = Reading> {
    let parts = (1_u8..4, 0_u8..3, 1_u8..3, 3_u8..5, 0_u8..2, -1_i16..8);
    parts.prop_map(|(meter, spelling, customer, day, hour, quarters)| Reading {
        meter,
        spelling,
        customer,
        day,
        hour,
        quarters,
    })
}

pub(super) fn rows() -> impl Strategy<Value = Vec<Reading>> {
    prop::collection::vec(reading(), 1..5)
}

/// Of the operations of a run there are few more than this.
const OPERATIONS: usize = 180;
/// And of its writes.
const WRITES: usize = 25;

fn point() -> impl Strategy<Value = Point> {
    prop_oneof![
        1 => (1..OPERATIONS).prop_map(Point::Operation),
        2 => (1..WRITES).prop_map(Point::Write),
    ]
}

fn lie() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Fail),
        Just(Fault::FailAfter),
        Just(Fault::AlreadyExistsAfter),
        (0_usize..20).prop_map(Fault::LandsLater),
    ]
}

/// What leaves the tables as the model knows them, or is repaired by the next run.
fn outside() -> impl Strategy<Value = Outside> {
    let keeps = prop::sample::select(vec![Change::Vacuum, Change::Optimize, Change::Update]);
    let table = prop::sample::select(vec![
        "standard/readings",
        "consumption/daily_usage",
        "rejection/readings",
        "_lake/files",
    ]);
    prop_oneof![
        3 => (keeps, table),
        1 => Just((Change::Delete, "consumption/daily_usage")),
        1 => Just((Change::Append, "consumption/daily_usage")),
    ]
}

fn arrival() -> impl Strategy<Value = Step> {
    let arrives = (0..NAMES.len(), 0_u64..40, rows());
    arrives.prop_map(|(file, minute, rows)| Step::Arrives(file, minute, rows))
}

fn event() -> impl Strategy<Value = Step> {
    let when = prop::sample::select(vec![When::BeforeTheSeal, When::BeforeTheCommit]);
    let redelivered = (0..NAMES.len(), 0_u64..40);
    let outlived = ((1..WRITES), 0_usize..150);
    let to_a_file = || (0..NAMES.len(), prop::option::of(point()));
    prop_oneof![
        1 => redelivered.prop_map(|(file, minute)| Step::Redelivered(file, minute)),
        3 => Just(Step::Run),
        5 => point().prop_map(Step::Killed),
        2 => outlived.prop_map(|(n, later)| Step::Outlived(Point::Write(n), later)),
        4 => (point(), lie()).prop_map(|(at, fault)| Step::Lied(at, fault)),
        2 => point().prop_map(Step::Overtaken),
        1 => Just(Step::AtOnce),
        1 => Just(Step::Asked),
        2 => (1_u64..4, prop::option::of(point())).prop_map(|(runs, at)| Step::Maintained(runs, at)),
        2 => Just(Step::Remembered),
        2 => prop::option::of(point()).prop_map(Step::BroughtBack),
        2 => to_a_file().prop_map(|(file, at)| Step::Reloaded(file, at)),
        2 => to_a_file().prop_map(|(file, at)| Step::SetAside(file, at)),
        1 => to_a_file().prop_map(|(file, at)| Step::NotAside(file, at)),
        2 => Just(Step::Mended),
        3 => prop::option::of(point()).prop_map(Step::Replayed),
        2 => point().prop_map(Step::AskedDuring),
        2 => outside().prop_map(Step::Outside),
        3 => (when, outside(), any::<bool>())
            .prop_map(|(when, outside, killed)| Step::OutsideDuring(when, outside, killed)),
    ]
}

/// Things happen, and before most of them something arrives, so that there is work to disturb.
pub(super) fn story() -> impl Strategy<Value = Story> {
    let arrivals = prop::collection::vec(arrival(), 0..3);
    prop::collection::vec((arrivals, event()), 1..7).prop_map(|scenes| {
        let steps = scenes.into_iter().flat_map(|(mut steps, event)| {
            steps.push(event);
            steps
        });
        Story(steps.collect())
    })
}
