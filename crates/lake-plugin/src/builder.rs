//! How an author says what a transform is.
//!
//! Nothing here fails: what is wrong is found by [`Declaration::problems`], all at once, when a
//! host or a test looks at the whole.

mod input;

use crate::{
    AnyFunction, ColumnType, Declaration, Function, InputDeclaration, Mode, Parameter,
    ParameterDeclaration, PartitionFunction, TableCheck, TableCheckDeclaration, TableDeclaration,
    Zone,
};

pub use input::{Input, InputColumn, Placed, Structure, Written, json, list, map, structure};

/// A transform: inputs, the tables made of them, and the functions that SQL calls on the way.
#[derive(Clone, Debug, Default)]
pub struct Transform {
    pub(crate) inputs: Vec<InputDeclaration>,
    pub(crate) tables: Vec<TableDeclaration>,
    pub(crate) parameters: Vec<ParameterDeclaration>,
    pub(crate) functions: Vec<Function>,
    pub(crate) partition_functions: Vec<PartitionFunction>,
}

impl Transform {
    /// A transform that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.inputs.push(input.declare());
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table.declare());
        self
    }

    /// Adds a parameter: a value that a pipeline can set, and that the SQL of checks and tables
    /// reads as `$name`.
    #[must_use]
    pub fn param(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter.declaration);
        self
    }

    /// Adds a function that SQL can call: a scalar function or a partition function.
    #[must_use]
    pub fn function(mut self, function: impl Into<AnyFunction>) -> Self {
        match function.into() {
            AnyFunction::Scalar(function) => self.functions.push(function),
            AnyFunction::Partition(function) => self.partition_functions.push(function),
        }
        self
    }

    /// The transform as data. The name and version of its crate are added by
    /// [`export!`](crate::export).
    #[must_use]
    pub fn declaration(&self) -> Declaration {
        Declaration {
            name: None,
            version: None,
            sdk: concat!("lake-plugin ", env!("CARGO_PKG_VERSION")).to_owned(),
            inputs: self.inputs.clone(),
            tables: self.tables.clone(),
            parameters: self.parameters.clone(),
            functions: self
                .functions
                .iter()
                .map(|function| function.declaration.clone())
                .collect(),
            partition_functions: self
                .partition_functions
                .iter()
                .map(|function| function.declaration.clone())
                .collect(),
        }
    }
}

/// A table: a query, and how its rows meet those that are stored.
#[derive(Clone, Debug)]
pub struct Table {
    zone: Zone,
    name: String,
    sql: String,
    key: Vec<String>,
    refresh_by: Vec<String>,
    partition_by: Vec<String>,
    mode: Option<Mode>,
    newest_by: Vec<String>,
    delete_when: Option<String>,
    history: bool,
    checks: Vec<TableCheckDeclaration>,
}

impl Table {
    /// A table of accepted rows, cleaned. Its SQL reads inputs by their bare names.
    pub fn standard(name: impl Into<String>) -> Self {
        Self::new(Zone::Standard, name.into())
    }

    /// A table that is computed from others. Its SQL reads them as `standard.<name>`.
    pub fn consumption(name: impl Into<String>) -> Self {
        Self::new(Zone::Consumption, name.into())
    }

    fn new(zone: Zone, name: String) -> Self {
        Self {
            zone,
            name,
            sql: String::new(),
            key: Vec::new(),
            refresh_by: Vec::new(),
            partition_by: Vec::new(),
            mode: None,
            newest_by: Vec::new(),
            delete_when: None,
            history: false,
            checks: Vec::new(),
        }
    }

    /// The query whose rows the table holds: a string, or `include_str!("table.sql")`.
    #[must_use]
    pub fn sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = sql.into();
        self
    }

    /// The columns that identify a row. A table with a key is merged, unless it says otherwise.
    #[must_use]
    pub fn key<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.key = names(columns);
        self
    }

    /// The columns of the key that tell which groups a run has touched: only those are computed
    /// again. For consumption tables.
    #[must_use]
    pub fn refresh_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.refresh_by = names(columns);
        self
    }

    /// The columns that divide the table's files into directories.
    ///
    /// They need not be in the key, but the key must determine them: naming a column here
    /// promises that rows of the same key have the same value in it, as a day that is derived
    /// from a timestamp in the key has.
    #[must_use]
    pub fn partition_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.partition_by = names(columns);
        self
    }

    /// How new rows meet stored ones, where the default of [`Mode`] is not what is meant.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// What decides between two rows of a key, also against what is stored: the row with the
    /// higher values stays, and a NULL is lower than any value. Rows that are equal in these
    /// columns, and tables without them, keep the row that was received later
    /// (`received_at`, `_file`, `_line`). For standard tables that are merged.
    #[must_use]
    pub fn newest_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.newest_by = names(columns);
        self
    }

    /// Makes a row for which `sql` is true delete its key, as in
    /// `.delete_when("operation = 'D'")`.
    ///
    /// `sql` is read like a WHERE of the outermost SELECT: over the columns that this selects
    /// from. The deletion is remembered, so that an older row that comes late does not bring the
    /// key back; a newer one does. For standard tables that are merged.
    #[must_use]
    pub fn delete_when(mut self, sql: impl Into<String>) -> Self {
        self.delete_when = Some(sql.into());
        self
    }

    /// Keeps every accepted version of every row in `<name>_history`, beside the merged table.
    #[must_use]
    pub fn history(mut self) -> Self {
        self.history = true;
        self
    }

    /// Adds something that must hold for the whole table, as it would be published: if it does
    /// not, nothing of the run is.
    #[must_use]
    pub fn check(mut self, check: TableCheck) -> Self {
        self.checks.push(check.declaration);
        self
    }

    fn declare(self) -> TableDeclaration {
        let default = Mode::default_of(self.zone, !self.key.is_empty());
        TableDeclaration {
            zone: self.zone,
            name: self.name,
            sql: self.sql,
            key: self.key,
            refresh_by: self.refresh_by,
            partition_by: self.partition_by,
            mode: self.mode.unwrap_or(default),
            newest_by: self.newest_by,
            delete_when: self.delete_when,
            history: self.history,
            checks: self.checks,
        }
    }
}

/// A column's type, and whether each row must have a value. Also the result of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub(crate) column_type: ColumnType,
    pub(crate) required: bool,
}

impl From<ColumnType> for Column {
    fn from(column_type: ColumnType) -> Self {
        Self {
            column_type,
            required: false,
        }
    }
}

impl ColumnType {
    /// A column of this type in which every row must have a value: a row without is rejected.
    ///
    /// For the result of a scalar function: it is never NULL where none of the arguments is.
    #[must_use]
    pub fn required(self) -> Column {
        Column {
            column_type: self,
            required: true,
        }
    }
}

/// UTF-8 text.
#[must_use]
pub fn text() -> ColumnType {
    ColumnType::Text
}

/// A signed 64-bit integer.
#[must_use]
pub fn integer() -> ColumnType {
    ColumnType::Int64
}

/// A signed 32-bit integer.
#[must_use]
pub fn int32() -> ColumnType {
    ColumnType::Int32
}

/// A 64-bit floating point number. For money and measured amounts, [`decimal`] is exact.
#[must_use]
pub fn float() -> ColumnType {
    ColumnType::Float64
}

/// An exact number of at most `precision` digits (1 to 38), `scale` of them after the point.
#[must_use]
pub fn decimal(precision: u8, scale: i8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

/// True or false.
#[must_use]
pub fn boolean() -> ColumnType {
    ColumnType::Boolean
}

/// A calendar day.
#[must_use]
pub fn date() -> ColumnType {
    ColumnType::Date
}

/// An instant, in UTC microseconds.
#[must_use]
pub fn timestamp() -> ColumnType {
    ColumnType::Timestamp
}

/// A length of time, in microseconds. For what goes into and comes out of functions.
#[must_use]
pub fn duration() -> ColumnType {
    ColumnType::Duration
}

fn names<N: Into<String>>(columns: impl IntoIterator<Item = N>) -> Vec<String> {
    columns.into_iter().map(Into::into).collect()
}
