//! Table checks: what must hold for a whole table before a run publishes it.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

use serde::{Deserialize, Serialize};

use crate::Severity;

/// Something that must hold for a whole table, as an author declares it.
///
/// ```
/// # use lake_plugin::prelude::*;
/// # let table = Table::standard("readings").sql("SELECT 1");
/// table
///     .check(TableCheck::rows(1..))
///     .check(TableCheck::range("usage_kwh", Some(0), Some(1000)))
///     .check(TableCheck::fresh("start_time", "2d").warn())
/// # ;
/// ```
#[derive(Clone, Debug)]
pub struct TableCheck {
    pub(crate) declaration: TableCheckDeclaration,
}

/// A table check as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCheckDeclaration {
    /// What holds, in words: it is what people read where it does not.
    pub name: String,
    /// What is looked at.
    #[serde(flatten)]
    pub rule: TableRule,
    /// What happens where it does not hold: the run stops ([`Severity::Fail`]) or says so
    /// ([`Severity::Warn`]). A whole table cannot be rejected.
    #[serde(default = "fail")]
    pub severity: Severity,
}

fn fail() -> Severity {
    Severity::Fail
}

/// What a table check looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum TableRule {
    /// How many rows there are.
    Rows {
        /// Not fewer than this.
        #[serde(default)]
        at_least: Option<u64>,
        /// Not more than this.
        #[serde(default)]
        at_most: Option<u64>,
    },
    /// No two rows have the same values in these columns.
    Unique {
        /// The columns.
        columns: Vec<String>,
    },
    /// No value is NULL.
    NotNull {
        /// The column.
        column: String,
    },
    /// Every value is one of a list. NULL passes.
    Accepted {
        /// The column.
        column: String,
        /// The values, as text.
        values: Vec<String>,
    },
    /// Every value lies between two. NULL passes.
    Range {
        /// The column.
        column: String,
        /// Not lower than this: a value as SQL writes it, without quotes.
        #[serde(default)]
        at_least: Option<String>,
        /// Not higher than this.
        #[serde(default)]
        at_most: Option<String>,
    },
    /// The latest value of a timestamp or date is not older than a length of time.
    Fresh {
        /// The column.
        column: String,
        /// How old the latest value may be when the run begins, as in `36h` or `2d`.
        within: String,
    },
    /// The sum of a column is what a query says, within a tolerance.
    Sum {
        /// The column.
        column: String,
        /// A query over tables that yields one number.
        reference: String,
        /// The share of the reference by which the sum may differ, as text: `0.01` is one
        /// percent.
        tolerance: String,
    },
    /// A query over tables yields true.
    Sql {
        /// The query: one row, one boolean.
        sql: String,
    },
}

impl TableCheck {
    fn new(name: impl Into<String>, rule: TableRule) -> Self {
        Self {
            declaration: TableCheckDeclaration {
                name: name.into(),
                rule,
                severity: Severity::Fail,
            },
        }
    }

    /// The number of rows lies in `range`, as in `rows(1..)` or `rows(10..=20)`.
    #[must_use]
    pub fn rows(range: impl RangeBounds<u64>) -> Self {
        let at_least = match range.start_bound() {
            Bound::Included(least) => Some(*least),
            Bound::Excluded(below) => Some(below.saturating_add(1)),
            Bound::Unbounded => None,
        };
        let at_most = match range.end_bound() {
            Bound::Included(most) => Some(*most),
            Bound::Excluded(above) => Some(above.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        let name = match (at_least, at_most) {
            (Some(least), Some(most)) => format!("has {least} to {most} rows"),
            (Some(least), None) => format!("has at least {least} rows"),
            (None, Some(most)) => format!("has at most {most} rows"),
            (None, None) => "has any number of rows".to_owned(),
        };
        Self::new(name, TableRule::Rows { at_least, at_most })
    }

    /// No two rows have the same values in `columns`. As in SQL, a NULL equals nothing: a row with
    /// one in these columns is no duplicate.
    #[must_use]
    pub fn unique<N: Into<String>>(columns: impl IntoIterator<Item = N>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let name = format!("{} is unique", columns.join(", "));
        Self::new(name, TableRule::Unique { columns })
    }

    /// No value of `column` is NULL.
    pub fn not_null(column: impl Into<String>) -> Self {
        let column = column.into();
        let name = format!("{column} is not null");
        Self::new(name, TableRule::NotNull { column })
    }

    /// Every value of `column` is one of `values`; NULL passes.
    pub fn accepted<V: Into<String>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let column = column.into();
        let values = values.into_iter().map(Into::into).collect();
        let name = format!("{column} has an accepted value");
        Self::new(name, TableRule::Accepted { column, values })
    }

    /// Every value of `column` is at least the one and at most the other bound; NULL passes.
    /// Bounds are numbers, or text such as `2020-01-01` for dates.
    pub fn range<V: Display>(
        column: impl Into<String>,
        at_least: Option<V>,
        at_most: Option<V>,
    ) -> Self {
        let column = column.into();
        let at_least = at_least.map(|value| value.to_string());
        let at_most = at_most.map(|value| value.to_string());
        let name = match (&at_least, &at_most) {
            (Some(least), Some(most)) => format!("{column} is between {least} and {most}"),
            (Some(least), None) => format!("{column} is at least {least}"),
            (None, Some(most)) => format!("{column} is at most {most}"),
            (None, None) => format!("{column} has any value"),
        };
        let rule = TableRule::Range {
            column,
            at_least,
            at_most,
        };
        Self::new(name, rule)
    }

    /// The latest value of `column`, a timestamp or a date, is at most `within` (`36h`, `2d`)
    /// before the run began. A date counts from the midnight with which it begins, in UTC; a table
    /// without a value is not fresh.
    pub fn fresh(column: impl Into<String>, within: impl Into<String>) -> Self {
        let (column, within) = (column.into(), within.into());
        let name = format!("{column} is fresh within {within}");
        Self::new(name, TableRule::Fresh { column, within })
    }

    /// The sum of `column` differs from what the query `reference` yields by at most the share
    /// `tolerance` of it: `0.01` is one percent. Decimals and integers are summed and compared
    /// exactly. A sum over no rows is 0, and so is a reference that is NULL.
    pub fn sum(column: impl Into<String>, reference: impl Into<String>, tolerance: f64) -> Self {
        let (column, reference) = (column.into(), reference.into());
        let name = format!("the sum of {column} is as expected");
        let rule = TableRule::Sum {
            column,
            reference,
            tolerance: tolerance.to_string(),
        };
        Self::new(name, rule)
    }

    /// The query `sql` over tables yields one row with true; NULL does not hold.
    pub fn sql(name: impl Into<String>, sql: impl Into<String>) -> Self {
        Self::new(name, TableRule::Sql { sql: sql.into() })
    }

    /// Calls the check `name` instead of what it says by itself.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.declaration.name = name.into();
        self
    }

    /// Makes the check say that it does not hold, and let the run go on.
    #[must_use]
    pub fn warn(mut self) -> Self {
        self.declaration.severity = Severity::Warn;
        self
    }
}

impl TableCheckDeclaration {
    /// What is wrong with the check itself, and what to write instead.
    pub(crate) fn problem(&self) -> Option<(String, &'static str)> {
        if self.severity == Severity::Reject {
            let reason = "a whole table cannot be rejected".to_owned();
            return Some((reason, "let it fail, or warn"));
        }
        match &self.rule {
            TableRule::Rows { at_least, at_most } => match (at_least, at_most) {
                (None, None) => Some((
                    "any number of rows passes".to_owned(),
                    "give a bound: TableCheck::rows(1..)",
                )),
                (Some(least), Some(most)) if least > most => Some((
                    format!("no number is at least {least} and at most {most}"),
                    "put the lower bound first",
                )),
                _ => None,
            },
            TableRule::Unique { columns } if columns.is_empty() => Some((
                "it names no columns".to_owned(),
                "name those that are unique together",
            )),
            TableRule::Accepted { values, .. } if values.is_empty() => {
                Some(("no value is accepted".to_owned(), "list those that are"))
            }
            TableRule::Range {
                at_least: None,
                at_most: None,
                ..
            } => Some(("any value passes".to_owned(), "give a bound")),
            TableRule::Fresh { within, .. } if self.microseconds().is_none() => Some((
                format!("'{within}' is no length of time"),
                "write 90s, 20m, 36h or 2d",
            )),
            TableRule::Sum { tolerance, .. }
                if !tolerance
                    .parse::<f64>()
                    .is_ok_and(|share| share.is_finite() && share >= 0.0) =>
            {
                Some((
                    format!("'{tolerance}' is no tolerance"),
                    "give a share such as 0.01",
                ))
            }
            TableRule::Sql { sql } | TableRule::Sum { reference: sql, .. }
                if sql.trim().is_empty() =>
            {
                Some(("it has no SQL".to_owned(), "give a query: SELECT …"))
            }
            _ => None,
        }
    }

    /// How old the latest value of a freshness check may be, in microseconds.
    #[must_use]
    pub fn microseconds(&self) -> Option<i64> {
        match &self.rule {
            TableRule::Fresh { within, .. } => crate::microseconds(within),
            _ => None,
        }
    }
}
