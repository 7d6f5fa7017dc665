//! What a transform declares, as data.
//!
//! A [`Declaration`] crosses the boundary as JSON. The format only grows: a field that a reader
//! does not know is skipped, and a field that an older writer does not know has a default here.
//! [`Declaration::problems`] finds everything that is wrong with one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ColumnType, InputDeclaration, ParameterDeclaration, TableCheckDeclaration};

/// Everything that a transform says about its inputs, tables and functions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// The name of the transform, as in its `Cargo.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version of the transform, as in its `Cargo.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What wrote this declaration: `lake-plugin` and its version, or whatever another kit says.
    #[serde(default)]
    pub sdk: String,
    /// Where rows come from.
    #[serde(default)]
    pub inputs: Vec<InputDeclaration>,
    /// What is made of them.
    #[serde(default)]
    pub tables: Vec<TableDeclaration>,
    /// Values that a pipeline can set, which the SQL reads as `$name`.
    #[serde(default)]
    pub parameters: Vec<ParameterDeclaration>,
    /// Functions that the SQL calls by name. Their place in this list is how they are called
    /// through the boundary.
    #[serde(default)]
    pub functions: Vec<FunctionDeclaration>,
    /// Functions over all rows of a key, which the SQL calls by name where it names a table.
    /// Their place in this list is how they are called through the boundary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_functions: Vec<PartitionFunctionDeclaration>,
}

/// A condition that each row of an input is held against. As in SQL, one that yields NULL passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDeclaration {
    /// What holds, in words: it becomes the reason of a rejected row.
    pub name: String,
    /// A boolean SQL expression over the columns of the input and `received_at`.
    pub sql: String,
    /// What happens to a row for which it does not hold.
    #[serde(default)]
    pub severity: Severity,
}

/// What happens where a check does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The row is rejected, with this reason.
    #[default]
    Reject,
    /// The row is accepted and counted.
    Warn,
    /// The run stops and publishes nothing.
    Fail,
}

/// One table that the transform makes.
///
/// `partition_by` may name a column outside the key. The transform then promises that the key
/// determines it: two rows of one key always have the same value there, as where a day is derived
/// from a timestamp in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenTable")]
pub struct TableDeclaration {
    /// Where it belongs.
    pub zone: Zone,
    /// Its name within the zone.
    pub name: String,
    /// The query whose rows it holds.
    pub sql: String,
    /// The columns that identify a row; empty where rows have no identity.
    pub key: Vec<String>,
    /// The columns of the key by which a run can tell which groups it has touched; empty where
    /// the table is always computed in full.
    pub refresh_by: Vec<String>,
    /// The columns that divide the table's files into directories.
    pub partition_by: Vec<String>,
    /// How new rows meet stored ones.
    pub mode: Mode,
    /// What decides between two rows of a key: the higher values stay. Where they are equal, or
    /// this is empty, the row that was received later does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub newest_by: Vec<String>,
    /// A boolean SQL expression, read like a WHERE of the outermost SELECT: a row for which it
    /// holds deletes its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_when: Option<String>,
    /// Whether `<name>_history` keeps every accepted version of every row.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// What must hold for the whole table before it is published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<TableCheckDeclaration>,
}

/// A zone: how far its tables are from the raw files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Accepted rows, cleaned, as they are.
    Standard,
    /// What people ask for, computed from standard tables.
    Consumption,
}

/// How the rows of a run meet those that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A row replaces the stored one of its key: the default of a table with a key.
    Merge,
    /// Rows are added: the default of a standard table without a key.
    Append,
    /// The table becomes what the query returns: the default of a consumption table without a key.
    Replace,
}

/// A function of the transform that SQL calls by name: values of one row in, one value out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDeclaration {
    /// What SQL calls it.
    pub name: String,
    /// The types of its arguments.
    #[serde(default)]
    pub arguments: Vec<ColumnType>,
    /// The type of its result.
    pub returns: ColumnType,
    /// Whether the result is never NULL where none of the arguments is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Further lists of arguments that it can be called with, and what it then returns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overloads: Vec<Signature>,
    /// When it may be called less often than once per row.
    #[serde(default)]
    pub volatility: Volatility,
}

/// One way to call a scalar function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The types of the arguments.
    #[serde(default)]
    pub arguments: Vec<ColumnType>,
    /// The type of the result.
    pub returns: ColumnType,
    /// Whether the result is never NULL where none of the arguments is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl FunctionDeclaration {
    /// Every way to call the function, in the order of its author. No two have the same
    /// arguments where the declaration has no problems.
    pub fn signatures(&self) -> impl Iterator<Item = Signature> + '_ {
        let first = Signature {
            arguments: self.arguments.clone(),
            returns: self.returns,
            required: self.required,
        };
        std::iter::once(first).chain(self.overloads.iter().cloned())
    }
}

/// The arguments as an author writes them: `(text, decimal(12, 3))`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (place, argument) in self.arguments.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{argument}")?;
        }
        f.write_str(")")
    }
}

/// A function over all rows of a key, in an order that it states: rows in, rows out.
///
/// Its result has the key's columns, then those of `returns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFunctionDeclaration {
    /// What SQL calls it.
    pub name: String,
    /// The columns that it receives. The host finds them by name in what SQL gives.
    pub columns: Vec<FieldDeclaration>,
    /// The columns that make a key: rows that are the same in all of them belong together. NULL
    /// is the same as NULL here.
    pub key: Vec<String>,
    /// The columns by which the rows of a key are sorted: ascending, NULL last. Rows that are
    /// the same in all of them come in any order.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// The types of the constants that come after the table in SQL.
    #[serde(default)]
    pub arguments: Vec<ColumnType>,
    /// The columns of the rows that it emits.
    pub returns: Vec<FieldDeclaration>,
    /// What its rows depend on.
    #[serde(default)]
    pub volatility: Volatility,
}

/// A column that a function receives or emits. Any value in it may be NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDeclaration {
    /// Its name in SQL.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// What a function's result depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// On its arguments only: constants are computed once, while the query is planned.
    #[default]
    Immutable,
    /// On its arguments and on something that does not change during a run.
    Stable,
    /// On more than that: it is called for every row.
    Volatile,
}

impl Mode {
    /// The mode of a table that does not name one.
    #[must_use]
    pub fn default_of(zone: Zone, has_key: bool) -> Self {
        match (zone, has_key) {
            (_, true) => Self::Merge,
            (Zone::Standard, false) => Self::Append,
            (Zone::Consumption, false) => Self::Replace,
        }
    }
}

impl TableDeclaration {
    /// The name of the table that keeps every version of this one's rows, where it is declared.
    #[must_use]
    pub fn history_name(&self) -> String {
        format!("{}_history", self.name)
    }
}

impl Zone {
    /// The name of the zone in paths and in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Consumption => "consumption",
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A table as it may be written: everything that has a default can be left out.
#[derive(Deserialize)]
struct WrittenTable {
    zone: Zone,
    name: String,
    sql: String,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    refresh_by: Vec<String>,
    #[serde(default)]
    partition_by: Vec<String>,
    mode: Option<Mode>,
    #[serde(default)]
    newest_by: Vec<String>,
    #[serde(default)]
    delete_when: Option<String>,
    #[serde(default)]
    history: bool,
    #[serde(default)]
    checks: Vec<TableCheckDeclaration>,
}

impl From<WrittenTable> for TableDeclaration {
    fn from(written: WrittenTable) -> Self {
        let default = Mode::default_of(written.zone, !written.key.is_empty());
        Self {
            zone: written.zone,
            name: written.name,
            sql: written.sql,
            key: written.key,
            refresh_by: written.refresh_by,
            partition_by: written.partition_by,
            mode: written.mode.unwrap_or(default),
            newest_by: written.newest_by,
            delete_when: written.delete_when,
            history: written.history,
            checks: written.checks,
        }
    }
}
