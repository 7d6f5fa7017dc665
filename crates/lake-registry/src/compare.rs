//! How one release differs from another, and what each difference means to those who rely on it.

mod input;

use std::fmt;

use lake_plugin::{
    CheckDeclaration, ParameterDeclaration, Severity, TableCheckDeclaration, TableDeclaration,
};
use serde::Serialize;

use crate::interface::{Interface, TableColumn};

/// What a change means to those who rely on a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nobody has to know.
    Patch,
    /// There is more than before, and what there was works as it did.
    Minor,
    /// Something that worked does not work any more.
    Major,
}

/// One difference between two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it means.
    pub level: Level,
    /// What has changed: `standard/readings.usage_kwh`, `input readings`.
    pub thing: String,
    /// How.
    pub what: String,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// `major: standard/readings.usage_kwh is removed`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.level, self.thing, self.what)
    }
}

/// All differences, the gravest first, and otherwise in the order of the declaration.
///
/// Two kinds of people rely on a release. Those who read its tables need what they select to be
/// there and to mean the same. Those who run it need their pipeline file and their raw files to
/// work as before. What breaks one of them is major, what they can use in addition is minor, and
/// what they cannot see is a patch.
///
/// Some decisions that could have gone the other way:
///
/// - A type that is made wider (`int32` to `integer`) is major. A stored table does not change its
///   type, and a reader with a schema of its own breaks.
/// - A new check is minor although it can reject rows that were accepted: that is what releases of
///   a transform are for, and the limits of a run stop one that rejects too many.
/// - What a file may look like is judged by the files that were accepted. If all of them still
///   are, and are read as before, it is a patch; if they may say something else now (spellings of
///   NULL, a time zone), or others are accepted too, it is minor; if some are not accepted any
///   more, it is major.
/// - A check that is gone, or is less severe, is minor: rows come that did not come before.
/// - Which row of a key stays (`newest_by`; major where deletions are remembered in that order),
///   whether rows delete others (`delete_when`), and the
///   default of a parameter are minor: tables look as before, and hold other rows.
/// - The text of SQL, and everything about functions, is a patch: only the transform's own SQL
///   calls them, and what it yields shows in the columns.
#[must_use]
pub fn compare(old: &Interface, new: &Interface) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.inputs(old, new);
    changes.tables(old, new);
    changes.parameters(old, new);
    changes.functions(old, new);
    let mut changes = changes.0;
    changes.sort_by_key(|change| std::cmp::Reverse(change.level));
    changes
}

/// A thing that both have, or only one of them.
enum Side<'a, T> {
    Removed(&'a T),
    Added(&'a T),
    Both(&'a T, &'a T),
}

/// Pairs the things of two lists by name: those of the old one in its order, then the new ones.
fn pair<'a, T, N: PartialEq>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&'a T) -> N,
) -> Vec<Side<'a, T>> {
    let find = |list: &'a [T], wanted: &N| list.iter().find(|thing| name(thing) == *wanted);
    let mut sides = Vec::new();
    for thing in old {
        sides.push(match find(new, &name(thing)) {
            Some(other) => Side::Both(thing, other),
            None => Side::Removed(thing),
        });
    }
    for thing in new {
        if find(old, &name(thing)).is_none() {
            sides.push(Side::Added(thing));
        }
    }
    sides
}

/// Whether what both lists have comes in another order.
fn is_reordered<'a, T>(old: &'a [T], new: &'a [T], name: impl Fn(&'a T) -> &'a String) -> bool {
    let names = |list: &'a [T]| list.iter().map(&name).collect::<Vec<_>>();
    let (old, new) = (names(old), names(new));
    let kept = old.iter().filter(|name| new.contains(name));
    let found = new.iter().filter(|name| old.contains(name));
    kept.ne(found)
}

/// A check of an input or of a table.
trait Check {
    fn name(&self) -> &str;
    fn severity(&self) -> Severity;
    fn asks_the_same(&self, other: &Self) -> bool;
}

impl Check for CheckDeclaration {
    fn name(&self) -> &str {
        &self.name
    }

    fn severity(&self) -> Severity {
        self.severity
    }

    fn asks_the_same(&self, other: &Self) -> bool {
        self.sql == other.sql
    }
}

impl Check for TableCheckDeclaration {
    fn name(&self) -> &str {
        &self.name
    }

    fn severity(&self) -> Severity {
        self.severity
    }

    fn asks_the_same(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, level: Level, thing: impl Into<String>, what: impl Into<String>) {
        self.0.push(Change {
            level,
            thing: thing.into(),
            what: what.into(),
        });
    }

    fn inputs(&mut self, old: &Interface, new: &Interface) {
        let (old, new) = (&old.declaration.inputs, &new.declaration.inputs);
        for side in pair(old, new, |input| &input.name) {
            match side {
                Side::Removed(input) => {
                    let what = "is removed; pipelines that name it are refused";
                    self.add(Level::Major, format!("input {}", input.name), what);
                }
                Side::Added(input) => {
                    let what = "is new; pipelines have to say where it is";
                    self.add(Level::Major, format!("input {}", input.name), what);
                }
                Side::Both(old, new) => self.input(old, new),
            }
        }
    }

    fn checks<C: Check>(&mut self, of: &str, old: &[C], new: &[C]) {
        let thing = |check: &C| format!("{of}: check \"{}\"", check.name());
        for side in pair(old, new, Check::name) {
            match side {
                Side::Removed(check) => self.add(Level::Minor, thing(check), "is removed"),
                Side::Added(check) => self.add(Level::Minor, thing(check), "is new"),
                Side::Both(old, new) => {
                    if old.severity() != new.severity() {
                        self.add(Level::Minor, thing(old), "has another severity");
                    }
                    if !old.asks_the_same(new) {
                        self.add(Level::Patch, thing(old), "has another condition");
                    }
                }
            }
        }
    }

    fn parameters(&mut self, old: &Interface, new: &Interface) {
        let (old, new) = (&old.declaration.parameters, &new.declaration.parameters);
        for side in pair(old, new, |parameter| &parameter.name) {
            let (Side::Removed(named) | Side::Added(named) | Side::Both(named, _)) = side;
            let thing = format!("parameter {}", named.name);
            match side {
                Side::Removed(_) => {
                    let what = "is removed; pipelines that set it are refused";
                    self.add(Level::Major, thing, what);
                }
                Side::Added(new) if new.default.is_none() => {
                    let what = "is new and has no default; pipelines have to set it";
                    self.add(Level::Major, thing, what);
                }
                Side::Added(_) => self.add(Level::Minor, thing, "is new"),
                Side::Both(old, new) => self.parameter(&thing, old, new),
            }
        }
    }

    fn parameter(&mut self, thing: &str, old: &ParameterDeclaration, new: &ParameterDeclaration) {
        if old.parameter_type != new.parameter_type {
            let what = format!("was {} and is {}", old.parameter_type, new.parameter_type);
            self.add(Level::Major, thing, what);
        }
        match (&old.default, &new.default) {
            (Some(_), None) => {
                let what = "has no default any more; pipelines have to set it";
                self.add(Level::Major, thing, what);
            }
            (None, Some(_)) => self.add(Level::Minor, thing, "has a default now"),
            (Some(old), Some(new)) if old != new => {
                self.add(
                    Level::Minor,
                    thing,
                    format!("had default {old} and has {new}"),
                );
            }
            _ => {}
        }
    }

    fn tables(&mut self, old: &Interface, new: &Interface) {
        let name = |table: &TableDeclaration| format!("{}/{}", table.zone, table.name);
        let sides = pair(&old.declaration.tables, &new.declaration.tables, name);
        for side in sides {
            match side {
                Side::Removed(table) => self.add(Level::Major, name(table), "is removed"),
                Side::Added(table) => self.add(Level::Minor, name(table), "is new"),
                Side::Both(old, new) => self.table(&name(old), old, new),
            }
        }
        for (table, old) in &old.tables {
            if let Some(new) = new.tables.get(table) {
                self.columns(table, old, new);
            }
        }
    }

    fn table(&mut self, thing: &str, old: &TableDeclaration, new: &TableDeclaration) {
        if old.key != new.key {
            let what = format!("had {} and has {}", key(&old.key), key(&new.key));
            self.add(Level::Major, thing, what);
        }
        if old.mode != new.mode {
            let (old, new) = (mode(old), mode(new));
            self.add(Level::Major, thing, format!("was mode {old} and is {new}"));
        }
        if old.partition_by != new.partition_by {
            let (old, new) = (list(&old.partition_by), list(&new.partition_by));
            let what = format!("was partitioned by {old} and is by {new}");
            self.add(Level::Major, thing, what);
        }
        if old.refresh_by != new.refresh_by {
            self.add(Level::Patch, thing, "is refreshed by other columns");
        }
        if old.newest_by != new.newest_by {
            let what = "decides by other columns which row of a key stays";
            // What is remembered of a deletion is its place in that order.
            let remembers = old.delete_when.is_some() && new.delete_when.is_some();
            let level = if remembers {
                Level::Major
            } else {
                Level::Minor
            };
            self.add(level, thing, what);
        }
        match (&old.delete_when, &new.delete_when) {
            (None, Some(_)) => self.add(Level::Minor, thing, "deletes rows now"),
            (Some(_), None) => self.add(Level::Minor, thing, "does not delete rows any more"),
            (old, new) if old != new => {
                self.add(Level::Patch, thing, "deletes rows on another condition");
            }
            _ => {}
        }
        let history = format!("{}/{}", old.zone, old.history_name());
        match (old.history, new.history) {
            (true, false) => self.add(Level::Major, history, "is removed"),
            (false, true) => self.add(Level::Minor, history, "is new"),
            _ => {}
        }
        if old.sql != new.sql {
            self.add(Level::Patch, thing, "has another query");
        }
        self.checks(thing, &old.checks, &new.checks);
    }

    fn columns(&mut self, table: &str, old: &[TableColumn], new: &[TableColumn]) {
        for side in pair(old, new, |column| &column.name) {
            let thing = |column: &TableColumn| format!("{table}.{}", column.name);
            match side {
                Side::Removed(column) => self.add(Level::Major, thing(column), "is removed"),
                Side::Added(column) => {
                    let what = format!("is new, {}", column.column_type);
                    self.add(Level::Minor, thing(column), what);
                }
                Side::Both(old, new) if old.column_type != new.column_type => {
                    let what = format!("was {} and is {}", old.column_type, new.column_type);
                    self.add(Level::Major, thing(old), what);
                }
                Side::Both(..) => {}
            }
        }
        if is_reordered(old, new, |column| &column.name) {
            self.add(Level::Patch, table, "has its columns in another order");
        }
    }

    fn functions(&mut self, old: &Interface, new: &Interface) {
        let (old, new) = (&old.declaration, &new.declaration);
        let (before, after) = (&old.functions, &new.functions);
        self.internals("function", before, after, |function| &function.name);
        let (before, after) = (&old.partition_functions, &new.partition_functions);
        self.internals("partition function", before, after, |function| {
            &function.name
        });
    }

    /// Things that only the transform itself uses.
    fn internals<'a, T: PartialEq>(
        &mut self,
        kind: &str,
        old: &'a [T],
        new: &'a [T],
        name: impl Fn(&'a T) -> &'a String,
    ) {
        let thing = |internal| format!("{kind} {}", name(internal));
        for side in pair(old, new, &name) {
            match side {
                Side::Removed(internal) => self.add(Level::Patch, thing(internal), "is removed"),
                Side::Added(internal) => self.add(Level::Patch, thing(internal), "is new"),
                Side::Both(old, new) if old != new => {
                    self.add(Level::Patch, thing(old), "is declared in another way");
                }
                Side::Both(..) => {}
            }
        }
    }
}

fn key(columns: &[String]) -> String {
    if columns.is_empty() {
        return "no key".to_owned();
    }
    format!("key {}", list(columns))
}

fn list(columns: &[String]) -> String {
    if columns.is_empty() {
        return "nothing".to_owned();
    }
    format!("({})", columns.join(", "))
}

/// The mode, as it is written in a declaration.
fn mode(table: &TableDeclaration) -> String {
    match serde_json::to_value(table.mode) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{:?}", table.mode),
    }
}
