//! What is wrong with a declaration: everything at once, each with the fix.

mod input;

use std::collections::HashSet;
use std::fmt;

use crate::{
    ColumnType, Declaration, FieldDeclaration, FunctionDeclaration, Mode, ParameterDeclaration,
    PartitionFunctionDeclaration, TableDeclaration, Zone,
};

/// One thing that is wrong with a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as in ``input `readings`, column `Region` ``.
    pub thing: String,
    /// Why that cannot be.
    pub reason: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.thing, self.reason, self.fix)
    }
}

/// Columns that every table gets from the host, and that no transform can declare.
pub const SYSTEM_COLUMNS: [&str; 5] = ["received_at", "_file", "_line", "_loaded_at", "_run"];

/// Functions that every author expects to mean what they mean in SQL. The host knows more, and
/// refuses those too; these are refused where the author can see it first.
const SQL_FUNCTIONS: [&str; 30] = [
    "abs",
    "avg",
    "cast",
    "ceil",
    "coalesce",
    "concat",
    "count",
    "date_part",
    "date_trunc",
    "extract",
    "first_value",
    "floor",
    "last_value",
    "length",
    "lower",
    "max",
    "min",
    "now",
    "nullif",
    "rank",
    "replace",
    "round",
    "row_number",
    "substr",
    "substring",
    "sum",
    "to_date",
    "to_timestamp",
    "trim",
    "upper",
];

/// The functions that SQL has where a table is named.
const SQL_TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// As long as a name can be everywhere that a table's name ends up.
const LONGEST_NAME: usize = 63;

impl Declaration {
    /// Everything that is wrong with this declaration; empty where a host can work with it.
    ///
    /// What only SQL planning can find (an unknown column in a query, say) is not among them.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        if self.inputs.is_empty() {
            problems.add(
                "the transform",
                "it has no input",
                "say where rows come from: .input(Input::csv(\"name\")…)",
            );
        }
        if self.tables.is_empty() {
            problems.add(
                "the transform",
                "it has no table",
                "say what to make of its inputs: .table(Table::standard(\"name\")…)",
            );
        }
        for input in &self.inputs {
            problems.input(input);
        }
        for table in &self.tables {
            problems.table(table);
        }
        for parameter in &self.parameters {
            problems.parameter(parameter);
        }
        for function in &self.functions {
            problems.function(function);
        }
        for function in &self.partition_functions {
            problems.partition_function(function);
        }
        problems.twice(
            self.inputs
                .iter()
                .map(|input| format!("input `{}`", input.name)),
        );
        problems.twice(self.tables.iter().flat_map(|table| {
            let history = table
                .history
                .then(|| format!("table `{}`", history_of(table)));
            [Some(thing_of(table)), history].into_iter().flatten()
        }));
        problems.twice(
            self.parameters
                .iter()
                .map(|parameter| format!("parameter `{}`", parameter.name)),
        );
        let scalar = self.functions.iter().map(|function| &function.name);
        let partition = self
            .partition_functions
            .iter()
            .map(|function| &function.name);
        problems.twice(
            scalar
                .chain(partition)
                .map(|name| format!("function `{name}`")),
        );
        problems.found
    }
}

/// What a table is called in problems.
fn thing_of(table: &TableDeclaration) -> String {
    format!("table `{}.{}`", table.zone, table.name)
}

/// The table that keeps every version of `table`'s rows.
fn history_of(table: &TableDeclaration) -> String {
    format!("{}.{}", table.zone, table.history_name())
}

/// The problems found so far.
#[derive(Default)]
struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, thing: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) {
        self.found.push(Problem {
            thing: thing.into(),
            reason: reason.into(),
            fix: fix.into(),
        });
    }

    fn table(&mut self, table: &TableDeclaration) {
        let thing = thing_of(table);
        self.name(&thing, &table.name);
        if table.sql.trim().is_empty() {
            self.add(
                &thing,
                "it has no SQL",
                "give the query whose rows it holds: .sql(\"SELECT …\")",
            );
        }
        for (list, columns) in [
            ("key", &table.key),
            ("refresh_by", &table.refresh_by),
            ("partition_by", &table.partition_by),
            ("newest_by", &table.newest_by),
        ] {
            let thing = format!("{thing}, {list}");
            for column in columns {
                self.name(&format!("{thing} column `{column}`"), column);
            }
            self.twice(
                columns
                    .iter()
                    .map(|column| format!("{thing} column `{column}`")),
            );
        }
        if table.mode == Mode::Merge && table.key.is_empty() {
            self.add(
                &thing,
                "it is merged, but has no key to merge by",
                "name the columns that identify a row: .key([…])",
            );
        }
        if table.zone == Zone::Consumption && table.mode == Mode::Append {
            self.add(
                &thing,
                "it is computed from whole tables, so appending would repeat its rows",
                "give it a key, or .mode(Mode::Replace)",
            );
        }
        self.refresh(&thing, table);
        self.versions(&thing, table);
        for check in &table.checks {
            let thing = format!("{thing}, check `{}`", check.name);
            if check.name.trim().is_empty() {
                self.add(&thing, "it has no name", "say in words what holds");
            }
            if let Some((reason, fix)) = check.problem() {
                self.add(thing, reason, fix);
            }
        }
        self.twice(
            table
                .checks
                .iter()
                .map(|check| format!("{thing}, check `{}`", check.name)),
        );
    }

    /// Which of two rows of a key stays is a question of standard tables that are merged.
    fn versions(&mut self, thing: &str, table: &TableDeclaration) {
        let said = [
            ("newest_by", !table.newest_by.is_empty()),
            ("delete_when", table.delete_when.is_some()),
            ("history", table.history),
        ];
        let merged = table.zone == Zone::Standard && table.mode == Mode::Merge;
        for (what, _) in said.into_iter().filter(|(_, said)| *said && !merged) {
            self.add(
                format!("{thing}, {what}"),
                "only a standard table that is merged by a key has versions of a row",
                "leave it out, or give the table a key",
            );
        }
        if table
            .delete_when
            .as_ref()
            .is_some_and(|sql| sql.trim().is_empty())
        {
            self.add(
                format!("{thing}, delete_when"),
                "it has no SQL",
                "give a boolean expression, such as operation = 'D'",
            );
        }
    }

    fn parameter(&mut self, parameter: &ParameterDeclaration) {
        let thing = format!("parameter `{}`", parameter.name);
        self.name(&thing, &parameter.name);
        self.column_type(&thing, parameter.parameter_type);
        if let Some(default) = &parameter.default
            && let Err(reason) = parameter.value(default)
        {
            self.add(thing, reason, "correct its default");
        }
    }

    /// Groups can be refreshed alone only where the key says which group a row belongs to.
    fn refresh(&mut self, thing: &str, table: &TableDeclaration) {
        if table.refresh_by.is_empty() {
            return;
        }
        let thing = format!("{thing}, refresh_by");
        if table.zone == Zone::Standard {
            self.add(
                thing,
                "standard tables take the rows of a run and are not computed by group",
                "leave it out, or make this a consumption table",
            );
        } else if table.key.is_empty() {
            self.add(
                thing,
                "the table has no key, so its groups cannot be told apart",
                "add .key([…]) with the columns of refresh_by among them",
            );
        } else {
            for column in &table.refresh_by {
                if !table.key.contains(column) {
                    self.add(
                        format!("{thing} column `{column}`"),
                        "it is not part of the key, so a group is not a whole number of keys",
                        format!(
                            "refresh by columns of the key ({}), or add it there",
                            table.key.join(", ")
                        ),
                    );
                }
            }
        }
    }

    fn function(&mut self, function: &FunctionDeclaration) {
        let thing = format!("function `{}`", function.name);
        self.name(&thing, &function.name);
        if SQL_FUNCTIONS.contains(&function.name.as_str()) {
            self.add(
                &thing,
                "SQL has a function of that name, with another meaning",
                "choose another name",
            );
        }
        for (which, signature) in function.signatures().enumerate() {
            let thing = match which {
                0 => thing.clone(),
                _ => format!("{thing}, overload {signature}"),
            };
            for (place, argument) in signature.arguments.iter().enumerate() {
                self.column_type(&format!("{thing}, argument {place}"), *argument);
            }
            self.column_type(&format!("{thing}, result"), signature.returns);
        }
        self.twice(
            function
                .signatures()
                .map(|signature| format!("{thing}, arguments {signature}")),
        );
    }

    fn partition_function(&mut self, function: &PartitionFunctionDeclaration) {
        let thing = format!("function `{}`", function.name);
        self.name(&thing, &function.name);
        let name = function.name.as_str();
        if SQL_FUNCTIONS.contains(&name) || SQL_TABLE_FUNCTIONS.contains(&name) {
            self.add(
                &thing,
                "SQL has a function of that name, with another meaning",
                "choose another name",
            );
        }
        for column in &function.columns {
            let thing = format!("{thing}, column `{}`", column.name);
            // Columns that the host adds can be received, as tables have them.
            if !SYSTEM_COLUMNS.contains(&column.name.as_str()) {
                self.name(&thing, &column.name);
            }
            self.column_type(&thing, column.column_type);
        }
        self.fields_twice(&format!("{thing}, column"), &function.columns);
        if function.key.is_empty() {
            self.add(
                &thing,
                "it has no key, so nobody can say which rows belong together",
                "name the columns that make one: .key([…])",
            );
        }
        for (list, columns) in [("key", &function.key), ("order_by", &function.order_by)] {
            let thing = format!("{thing}, {list} column");
            for column in columns {
                if !function.columns.iter().any(|known| known.name == *column) {
                    self.add(
                        format!("{thing} `{column}`"),
                        "it is not among the columns that the function receives",
                        format!("add .column(\"{column}\", …), or leave it out"),
                    );
                }
            }
            self.twice(columns.iter().map(|column| format!("{thing} `{column}`")));
        }
        for (place, argument) in function.arguments.iter().enumerate() {
            self.column_type(&format!("{thing}, argument {place}"), *argument);
        }
        if function.returns.is_empty() {
            self.add(
                &thing,
                "it returns no columns",
                "name what it emits: .returns(\"name\", text())",
            );
        }
        for column in &function.returns {
            let thing = format!("{thing}, result `{}`", column.name);
            self.name(&thing, &column.name);
            self.column_type(&thing, column.column_type);
            if function.key.contains(&column.name) {
                self.add(
                    &thing,
                    "a column of the key has that name, and is put in front of every row anyway",
                    "leave it out, or choose another name",
                );
            }
        }
        self.fields_twice(&format!("{thing}, result"), &function.returns);
    }

    fn fields_twice(&mut self, thing: &str, fields: &[FieldDeclaration]) {
        self.twice(
            fields
                .iter()
                .map(|field| format!("{thing} `{}`", field.name)),
        );
    }

    fn column_type(&mut self, thing: &str, column_type: ColumnType) {
        if let Some((reason, fix)) = column_type.problem() {
            self.add(thing, reason, fix);
        }
    }

    /// A name must mean the same in SQL, in a path and in every engine, quoted or not.
    fn name(&mut self, thing: &str, name: &str) {
        let spelling = "use a lower-case letter, then lower-case letters, digits and _";
        if name.is_empty() {
            self.add(thing, "it has no name", "give it one");
        } else if SYSTEM_COLUMNS.contains(&name) {
            self.add(
                thing,
                "that name belongs to a column that the host adds",
                "choose another name",
            );
        } else if name.starts_with('_') {
            self.add(
                thing,
                "names that begin with _ belong to the host",
                "choose another name",
            );
        } else if !is_identifier(name) {
            self.add(
                thing,
                "it needs quotes in SQL, or means something else without them",
                spelling,
            );
        } else if name.len() > LONGEST_NAME {
            self.add(
                thing,
                format!("its name has {} characters", name.len()),
                format!("use at most {LONGEST_NAME}"),
            );
        }
    }

    /// Adds each thing that occurs more than once, once.
    fn twice(&mut self, things: impl Iterator<Item = String>) {
        let mut seen = HashSet::new();
        let mut said = HashSet::new();
        for thing in things {
            if !seen.insert(thing.clone()) && said.insert(thing.clone()) {
                self.add(
                    thing,
                    "it is there more than once",
                    "keep one, or rename the others",
                );
            }
        }
    }
}

/// Whether `name` is a lower-case SQL identifier that never needs quotes: what tables, columns,
/// parameters and functions of a transform are called.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !RESERVED_WORDS.contains(&name)
}

/// Words that end a name's life as an unquoted column or table in the SQL of most engines.
const RESERVED_WORDS: [&str; 36] = [
    "all",
    "and",
    "as",
    "between",
    "by",
    "case",
    "cross",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "left",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "order",
    "right",
    "select",
    "then",
    "true",
    "union",
    "when",
    "where",
];
