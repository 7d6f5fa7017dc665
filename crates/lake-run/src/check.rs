//! Check: which rows are accepted, and every reason why the others are not.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use lake_plugin::{InputDeclaration, Severity};
use lake_reader::Block;
use serde::Serialize;

use crate::error::{Result, RunError};
use crate::key_rules::{self, KeyRule};
use crate::parameters::Parameters;
use crate::record::ReasonCount;
use crate::sql::Sql;

/// One reason why a row is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    pub(crate) check: String,
    pub(crate) column: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) message: String,
}

/// The checks of one input, ready to run over batches of its rows.
#[derive(Debug)]
pub(crate) struct Checks {
    checks: Vec<Check>,
    columns: Vec<String>,
    /// Which of them each column of a block is: all but those that come from the path.
    in_file: Vec<usize>,
    /// What tables need of a row, known once their SQL is planned over the input.
    keys: OnceLock<Vec<KeyRule>>,
}

#[derive(Debug)]
struct Check {
    name: String,
    sql: String,
    severity: Severity,
    holds: Arc<dyn PhysicalExpr>,
    /// The declared columns that it looks at.
    looks_at: Vec<usize>,
}

/// What the checks say about one batch.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) accepted: RecordBatch,
    /// The rejected rows with all their reasons, in the order of the rows.
    pub(crate) rejected: BTreeMap<usize, Vec<Reason>>,
    /// How many accepted rows failed a check that only warns, by check.
    pub(crate) warned: BTreeMap<String, u64>,
}

impl Checks {
    /// Plans the checks of an input over `schema`, which has the declared
    /// columns first and then the system columns.
    ///
    /// # Errors
    /// [`RunError::Sql`] names the input and the check that does not plan.
    pub(crate) fn new(
        session: &SessionContext,
        input: &InputDeclaration,
        schema: &SchemaRef,
        parameters: &Parameters,
    ) -> Result<Self> {
        let columns: Vec<String> = input.columns.iter().map(|c| c.name.clone()).collect();
        let df_schema =
            DFSchema::try_from(Arc::clone(schema)).map_err(|e| RunError::sql(&input.name, &e))?;
        let checks = input.checks.iter().map(|declared| {
            let sql = Sql {
                place: format!("input {}, check '{}'", input.name, declared.name),
                text: &declared.sql,
            };
            let failed = |e| sql.failed(&e);
            let expr = sql.expression(session, parameters, &df_schema)?;
            let mut looks_at: Vec<usize> = expr
                .column_refs()
                .iter()
                .filter_map(|column| columns.iter().position(|name| *name == column.name))
                .collect();
            looks_at.sort_unstable();
            let holds = session
                .create_physical_expr(expr, &df_schema)
                .map_err(failed)?;
            let data_type = holds.data_type(schema).map_err(failed)?;
            if data_type != DataType::Boolean {
                let message = format!(
                    "a check is true or false, and `{}` is {data_type}",
                    declared.sql
                );
                return Err(sql.wrong(message));
            }
            Ok(Check {
                name: declared.name.clone(),
                sql: declared.sql.clone(),
                severity: declared.severity,
                holds,
                looks_at,
            })
        });
        let in_file = input.columns.iter().enumerate();
        let in_file = in_file.filter(|(_, column)| !column.from_path);
        Ok(Self {
            checks: checks.collect::<Result<_>>()?,
            columns,
            in_file: in_file.map(|(place, _)| place).collect(),
            keys: OnceLock::new(),
        })
    }

    /// From now on rejects rows that have no key for a table. Only the first
    /// call counts.
    pub(crate) fn reject_null_keys(&self, rules: Vec<KeyRule>) {
        self.keys.get_or_init(|| rules);
    }

    /// Splits the rows of a block. `rows` has the block's columns and the
    /// system columns.
    ///
    /// # Errors
    /// [`RunError::Sql`] where a check cannot be computed, and
    /// [`RunError::Stopped`] where one that stops the run does not hold.
    pub(crate) fn split(&self, block: &Block, rows: RecordBatch, file: &str) -> Result<Checked> {
        let mut rejected: BTreeMap<usize, Vec<Reason>> = BTreeMap::new();
        for fault in &block.faults {
            let column = fault.column.and_then(|index| self.in_file.get(index));
            let column = column.and_then(|place| self.columns.get(*place));
            rejected
                .entry(fault.row as usize)
                .or_default()
                .push(Reason {
                    check: fault.check.to_owned(),
                    column: column.cloned(),
                    value: fault.column.map(|_| fault.value.clone()),
                    message: fault.message.clone(),
                });
        }
        let mut warned = BTreeMap::new();
        for check in &self.checks {
            let Some(holds) = check.evaluate(&rows)? else {
                continue;
            };
            for row in failing(&holds) {
                if self.is_blind(check, block, row) {
                    continue;
                }
                match check.severity {
                    Severity::Reject => {
                        let reason = self.reason(check, &rows, row);
                        rejected.entry(row).or_default().push(reason);
                    }
                    Severity::Warn => *warned.entry(check.name.clone()).or_insert(0) += 1,
                    Severity::Fail => {
                        return Err(RunError::Stopped {
                            message: format!(
                                "{file}:{}: check '{}' does not hold ({}); nothing was published",
                                block.lines.value(row),
                                check.name,
                                self.reason(check, &rows, row).message
                            ),
                            record: None,
                        });
                    }
                }
            }
        }
        let accepted = if rejected.is_empty() {
            rows
        } else {
            let keep: BooleanArray = (0..rows.num_rows())
                .map(|row| Some(!rejected.contains_key(&row)))
                .collect();
            filter_record_batch(&rows, &keep).map_err(|e| RunError::sql(file, &e.into()))?
        };
        let accepted = match self.keys.get() {
            Some(rules) => key_rules::reject(rules, accepted, &mut rejected)?,
            None => accepted,
        };
        Ok(Checked {
            accepted,
            rejected,
            warned,
        })
    }

    /// A check is not run over a value that did not parse: it is NULL here,
    /// and its fault is a reason of its own.
    fn is_blind(&self, check: &Check, block: &Block, row: usize) -> bool {
        let first = block
            .faults
            .partition_point(|fault| (fault.row as usize) < row);
        let faults = block.faults.iter().skip(first);
        faults
            .take_while(|fault| fault.row as usize == row)
            .any(|fault| {
                let column = fault.column.and_then(|index| self.in_file.get(index));
                column.is_none_or(|column| check.looks_at.contains(column))
            })
    }

    fn reason(&self, check: &Check, rows: &RecordBatch, row: usize) -> Reason {
        let shown = |index: &usize| -> Option<String> {
            array_value_to_string(rows.column(*index), row).ok()
        };
        let one = match check.looks_at.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let values: Vec<String> = check
            .looks_at
            .iter()
            .filter_map(|index| Some(format!("{} = {}", self.columns.get(*index)?, shown(index)?)))
            .collect();
        Reason {
            check: check.name.clone(),
            column: one.and_then(|index| self.columns.get(*index).cloned()),
            value: one.and_then(shown),
            message: format!("`{}` does not hold for {}", check.sql, values.join(", ")),
        }
    }
}

impl Check {
    /// Per row whether the check holds; `None` where it does for all.
    fn evaluate(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
        let failed = |e| RunError::sql(format!("check '{}'", self.name), &e);
        let value = self.holds.evaluate(rows).map_err(failed)?;
        let array: ArrayRef = value.into_array(rows.num_rows()).map_err(failed)?;
        let holds = array.as_boolean();
        let all = holds.true_count() + holds.null_count() == holds.len();
        Ok((!all).then(|| holds.clone()))
    }
}

/// The rows for which a condition is false; one that is NULL passes, as in SQL.
fn failing(holds: &BooleanArray) -> impl Iterator<Item = usize> {
    let known = holds.nulls().cloned();
    (!holds.values())
        .set_indices()
        .filter(move |row| known.as_ref().is_none_or(|nulls| nulls.is_valid(*row)))
        .collect::<Vec<_>>()
        .into_iter()
}

/// How often each reason occurs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReasonCounts(BTreeMap<(String, String), u64>);

impl ReasonCounts {
    pub(crate) fn note(&mut self, reason: &Reason) {
        let column = reason.column.clone().unwrap_or_default();
        *self.0.entry((reason.check.clone(), column)).or_insert(0) += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (key, rows) in other.0 {
            *self.0.entry(key).or_insert(0) += rows;
        }
    }

    /// The most frequent first.
    pub(crate) fn sorted(self) -> Vec<ReasonCount> {
        let mut counts: Vec<ReasonCount> = self
            .0
            .into_iter()
            .map(|((check, column), rows)| ReasonCount {
                check,
                column,
                rows,
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.rows));
        counts
    }
}

/// The columns of an input's rows: as declared, then where each comes from.
pub(crate) fn input_schema(input: &InputDeclaration) -> SchemaRef {
    use arrow::datatypes::Field;
    let declared = input
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.column_type.to_arrow(), true));
    let system = [
        Field::new("received_at", crate::record::utc(), false),
        Field::new("_file", file_type(), false),
        Field::new("_line", DataType::Int64, false),
    ];
    Arc::new(Schema::new(declared.chain(system).collect::<Vec<_>>()))
}

/// File names repeat for every row, so they travel as a dictionary.
pub(crate) fn file_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
