//! What a lake says, in memory: files that were loaded, and the tables that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::support::HEADER;

/// One row of a file. There are few of everything, so that rows meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) meter: u8,
    /// In which way the meter is written.
    pub(super) spelling: u8,
    pub(super) customer: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    /// In quarters of a kWh. What is below zero is rejected, or by a mended transform, below one less.
    pub(super) quarters: i16,
}

impl Reading {
    fn is_accepted(&self, least: i16) -> bool {
        self.quarters >= least
    }

    fn start(&self) -> String {
        format!("2020-02-0{}T0{}:00:00Z", self.day, self.hour)
    }

    /// The row as the file has it.
    fn raw(&self) -> String {
        let meter = self.meter;
        let meter = match self.spelling {
            0 => format!("M000000{meter}"),
            1 => format!(" m-{meter} "),
            _ => format!("M 000{meter}"),
        };
        format!(
            "C-{},{meter},{},2020-02-0{}T0{}:30:00Z,{},north",
            self.customer,
            self.start(),
            self.day,
            self.hour,
            kwh(self.quarters.into()),
        )
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw())
    }
}

fn kwh(quarters: i64) -> String {
    let sign = if quarters < 0 { "-" } else { "" };
    let quarters = quarters.unsigned_abs();
    format!("{sign}{}.{:03}", quarters / 4, quarters % 4 * 250)
}

/// The files that can be there.
pub(super) const NAMES: [&str; 4] = ["a.csv", "b.csv", "c.csv", "d.csv"];

/// A file with its rows, as it was at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: &'static str,
    /// When it was received, in minutes.
    pub(super) minute: u64,
    pub(super) rows: Vec<Reading>,
}

impl File {
    pub(super) fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| format!("{row}\n"));
        HEADER.to_owned() + &rows.collect::<String>()
    }

    fn received(minute: u64) -> String {
        format!(
            "2021-01-{:02}T{:02}:{:02}:00Z",
            1 + minute / 1440,
            minute / 60 % 24,
            minute % 60
        )
    }

    /// What is known of it where it is loaded.
    fn row(&self, least: i16) -> String {
        let rejected = self
            .rows
            .iter()
            .filter(|row| !row.is_accepted(least))
            .count();
        self.known([self.rows.len(), self.rows.len() - rejected, rejected])
    }

    /// And where it is set aside.
    fn row_aside(&self) -> String {
        self.known([0; 3])
    }

    fn known(&self, counts: [usize; 3]) -> String {
        let text = self.text();
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let [rows, accepted, rejected] = counts;
        let (name, size, modified) = (self.name, text.len(), Self::received(self.minute));
        format!("file|{name}|{size}|{modified}|{hash}|{rows}|{accepted}|{rejected}")
    }
}

/// The files that are waiting, loaded or not, by name.
pub(super) type Inputs = BTreeMap<&'static str, File>;

/// A state that the tables can be in: what became of which contents of which files, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct World {
    events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Loaded(Load),
    SetAside(File),
    /// Rejected rows were read once more, by a transform that takes so little.
    Replayed(i16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Load {
    file: File,
    /// Minutes, and how often it was later for no other reason than that it is other content. No
    /// two files share a minute, so that a second one settles nothing between files.
    received: (u64, u64),
    /// Whether what the file had yielded before goes.
    replaces: bool,
    /// The least that the transform took.
    least: i16,
}

impl World {
    /// The same state after a run that has published, or found nothing to do.
    pub(super) fn after_a_run(&self, inputs: &Inputs, least: i16) -> Self {
        let mut world = self.clone();
        for file in self.pending(inputs) {
            world.events.push(Event::Loaded(Load {
                file: file.clone(),
                received: self.received(file),
                replaces: false,
                least,
            }));
        }
        world
    }

    /// New content of a file was received after its earlier content, whatever its time says.
    fn received(&self, file: &File) -> (u64, u64) {
        match self.last(file.name) {
            Some(earlier) if earlier.received >= (file.minute, 0) => {
                (earlier.received.0, earlier.received.1 + 1)
            }
            _ => (file.minute, 0),
        }
    }

    /// The same state after a file was loaded once more; `None` where that is refused.
    pub(super) fn after_a_reload(&self, file: &File, least: i16) -> Option<Self> {
        let last = self
            .last(file.name)
            .filter(|_| self.set_aside(file.name).is_none())?;
        let received = match last.file.rows == file.rows {
            true => last.received,
            false => self.received(file),
        };
        let mut world = self.clone();
        world.events.push(Event::Loaded(Load {
            file: file.clone(),
            received,
            replaces: true,
            least,
        }));
        Some(world)
    }

    /// The same state after rejected rows were read once more.
    pub(super) fn after_a_replay(&self, least: i16) -> Self {
        let mut world = self.clone();
        world.events.push(Event::Replayed(least));
        match world.tables() == self.tables() {
            true => self.clone(),
            false => world,
        }
    }

    /// The same state after a file was set aside.
    pub(super) fn without(&self, file: &File) -> Self {
        let mut world = self.clone();
        let is_so = self.set_aside(file.name);
        if is_so.is_none_or(|aside| aside.rows != file.rows) {
            world.events.push(Event::SetAside(file.clone()));
        }
        world
    }

    /// The same state after a file was brought back; `None` where it is not set aside.
    pub(super) fn with(&self, name: &str) -> Option<Self> {
        let mut world = self.clone();
        let is_aside = |event: &Event| matches!(event, Event::SetAside(file) if file.name == name);
        world.events.retain(|event| !is_aside(event));
        (world != *self).then_some(world)
    }

    /// The files that a run would load.
    pub(super) fn pending<'a>(&self, inputs: &'a Inputs) -> Vec<&'a File> {
        let files = inputs.values();
        let is_new = |file: &&File| {
            let (last, aside) = (self.last(file.name), self.set_aside(file.name));
            last.is_none_or(|last| last.file.rows != file.rows)
                && aside.is_none_or(|aside| aside.rows != file.rows)
        };
        files.filter(is_new).collect()
    }

    fn last(&self, name: &str) -> Option<&Load> {
        self.loads().rfind(|load| load.file.name == name)
    }

    fn loads(&self) -> impl DoubleEndedIterator<Item = &Load> {
        self.events.iter().filter_map(|event| match event {
            Event::Loaded(load) => Some(load),
            Event::SetAside(_) | Event::Replayed(_) => None,
        })
    }

    /// The content of a file that was set aside, where it was not loaded since.
    fn set_aside(&self, name: &str) -> Option<&File> {
        let is_it = |event: &&Event| match event {
            Event::Loaded(load) => load.file.name == name,
            Event::SetAside(file) => file.name == name,
            Event::Replayed(_) => false,
        };
        match self.events.iter().rfind(is_it)? {
            Event::SetAside(file) => Some(file),
            Event::Loaded(_) | Event::Replayed(_) => None,
        }
    }

    /// Everything that the tables have to say, as [`SEEN`] asks for it, in order.
    pub(super) fn tables(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut newest = Newest::new();
        // A row that is rejected again at the same place of the same file is the same row.
        let mut rejected = Rejected::new();
        for event in &self.events {
            let load = match event {
                Event::Loaded(load) => load,
                Event::SetAside(file) => {
                    seen.push(file.row_aside());
                    continue;
                }
                Event::Replayed(least) => {
                    let rows = rejected.values_mut().filter(|(.., resolved)| !resolved);
                    for (load, line, row, resolved) in
                        rows.filter(|(.., row, _)| row.is_accepted(*least))
                    {
                        *resolved = true;
                        merge(&mut newest, load, *line, *row);
                    }
                    continue;
                }
            };
            seen.push(load.file.row(load.least));
            if load.replaces {
                newest.retain(|_, (_, stored, _)| stored.file.name != load.file.name);
                rejected.retain(|(name, ..), _| *name != load.file.name);
            }
            let mut offset = 0;
            for (index, row) in load.file.rows.iter().enumerate() {
                let line = index + 2;
                let place = (load.file.name, offset, row.raw());
                offset += place.2.len();
                match row.is_accepted(load.least) {
                    true => merge(&mut newest, load, line, *row),
                    false => drop(rejected.insert(place, (load, line, *row, false))),
                }
            }
        }
        for ((name, _, raw), (load, line, _, resolved)) in rejected {
            let received = File::received(load.received.0);
            seen.push(format!(
                "rejection|{name}|{line}|{received}|{resolved}|{raw}"
            ));
        }
        let mut days: BTreeMap<(u8, u8), Vec<Reading>> = BTreeMap::new();
        for ((_, _, line), load, row) in newest.into_values() {
            days.entry((row.customer, row.day)).or_default().push(row);
            seen.push(format!(
                "reading|C-{}|M000000{}|{}|2020-02-0{}T0{}:30:00Z|{}|2020-02-0{}|{}|{line}|{}",
                row.customer,
                row.meter,
                row.start(),
                row.day,
                row.hour,
                kwh(row.quarters.into()),
                row.day,
                load.file.name,
                File::received(load.received.0),
            ));
        }
        seen.extend(days.into_iter().map(usage));
        seen.sort();
        seen
    }
}

type Sequence = ((u64, u64), &'static str, usize);

/// The newest row of each key.
type Newest<'w> = BTreeMap<(u8, String), (Sequence, &'w Load, Reading)>;

/// The rejected rows by file, offset and text: their load, line, and whether they are resolved.
type Rejected<'w> = BTreeMap<(&'w str, usize, String), (&'w Load, usize, Reading, bool)>;

fn merge<'w>(newest: &mut Newest<'w>, load: &'w Load, line: usize, row: Reading) {
    let sequence = (load.received, load.file.name, line);
    let key = (row.meter, row.start());
    match newest.get(&key) {
        Some((stored, ..)) if *stored >= sequence => {}
        _ => drop(newest.insert(key, (sequence, load, row))),
    }
}

/// What a customer used on a day.
fn usage(((customer, day), rows): ((u8, u8), Vec<Reading>)) -> String {
    let mut hours: BTreeMap<u8, i64> = BTreeMap::new();
    for row in &rows {
        *hours.entry(row.hour).or_default() += i64::from(row.quarters);
    }
    let most = hours.values().copied().max().unwrap();
    let peak = hours.iter().find(|(_, used)| **used == most).unwrap().0;
    let starts: BTreeSet<String> = rows.iter().map(Reading::start).collect();
    format!(
        "usage|C-{customer}|2020-02-0{day}|{}|{}|{}|{}|{peak}",
        kwh(hours.values().sum()),
        rows.len(),
        starts.first().unwrap(),
        starts.last().unwrap(),
    )
}

/// Asks a lake for all that [`World::tables`] knows, in one go, so that the answer is one state;
/// and for its runs.
pub(super) const SEEN: &str = "
    SELECT concat_ws('|', 'reading', customer_id, meter_id, CAST(start_time AS VARCHAR),
        CAST(end_time AS VARCHAR), CAST(usage_kwh AS VARCHAR), CAST(usage_date AS VARCHAR),
        right(_file, 5), CAST(_line AS VARCHAR),
        CAST(date_trunc('minute', received_at) AS VARCHAR)) AS row FROM standard.readings
    UNION ALL
    SELECT concat_ws('|', 'usage', customer_id, CAST(usage_date AS VARCHAR),
        CAST(usage_kwh AS VARCHAR), CAST(readings AS VARCHAR), CAST(first_reading AS VARCHAR),
        CAST(last_reading AS VARCHAR), CAST(peak_hour AS VARCHAR)) FROM consumption.daily_usage
    UNION ALL
    SELECT concat_ws('|', 'file', right(path, 5), CAST(size AS VARCHAR),
        CAST(modified AS VARCHAR), hash, CAST(rows AS VARCHAR), CAST(accepted AS VARCHAR),
        CAST(rejected AS VARCHAR)) FROM _lake.files
    UNION ALL
    SELECT concat_ws('|', 'run', lpad(CAST(run AS VARCHAR), 4, '0'), kind, status)
        FROM _lake.runs";

/// And for the rejected rows, of which there is no table before the first of them.
pub(super) const REJECTED: &str = "
    UNION ALL
    SELECT concat_ws('|', 'rejection', right(file, 5), CAST(line AS VARCHAR),
        CAST(date_trunc('minute', received_at) AS VARCHAR),
        CAST(resolved_run IS NOT NULL AS VARCHAR), raw) FROM rejection.readings";
