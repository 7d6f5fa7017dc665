//! Table checks: what must hold for a whole table before a run publishes it.
//!
//! They look at the tables as prepared: what readers would see if the run were
//! published. Every run that happens evaluates the checks of every table, also
//! of one that it leaves as it was: whether a value is fresh depends on when
//! one looks, and a reference on other tables. A run that has nothing to load
//! checks nothing, because it changes nothing.
//!
//! What can be counted in one pass over a table is: all such checks of a table
//! share it. Rows stream through the engine, within its memory.
//!
//! | check | an empty table | NULL |
//! |---|---|---|
//! | rows | has 0 rows | counts as a row |
//! | unique | holds | as in SQL, a row with a NULL in one of the columns equals no other |
//! | not null | holds | does not hold |
//! | accepted, range | holds | passes |
//! | fresh | does not hold: there is no latest value | is passed over |
//! | sum | the sum is 0 | adds nothing; a reference that is NULL is 0 |
//! | SQL | as the query says | an answer that is NULL does not hold |

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Column;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, cast, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::scalar::ScalarValue;
use lake_plugin::{Severity, TableCheckDeclaration, TableDeclaration, TableRule};
use serde::{Deserialize, Serialize};

use crate::check_values::{self, Number, literal, shown};
use crate::error::{Result, RunError};
use crate::parameters::Parameters;
use crate::shape::{self, table_name};
use crate::sql::Sql;
use crate::sql_error::{in_our_types, nearest};

/// How many wrong values a message shows.
const MOST_VALUES: usize = 5;

/// What one table check found in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// The table, as `zone/name`.
    pub table: String,
    /// What holds, in the author's words.
    pub check: String,
    /// What happens where it does not: `fail` or `warn`.
    pub severity: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, with figures.
    pub detail: String,
}

impl CheckRecord {
    /// Whether it keeps the run from being published.
    pub(crate) fn stops(&self) -> bool {
        !self.holds && self.severity != "warn"
    }

    /// That the check does not hold, for people.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{}: check '{}' does not hold: {}",
            self.table, self.check, self.detail
        )
    }
}

/// What the checks of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct TableChecks<'a> {
    /// It names every table as prepared.
    pub(crate) session: &'a SessionContext,
    pub(crate) parameters: &'a Parameters,
    /// When the run began, in microseconds since 1970, UTC.
    pub(crate) began: i64,
}

/// A check that has been planned over its table.
struct Planned<'a> {
    declared: &'a TableCheckDeclaration,
    place: String,
    /// What it needs of the pass over the table.
    figures: Vec<Expr>,
    /// The rows that it is against, where single values are.
    wrong: Option<Expr>,
    /// The query that it asks.
    query: Option<LogicalPlan>,
}

/// Whether a check holds, and what was found.
type Finding = (bool, String);

impl TableChecks<'_> {
    /// Plans the checks of a table, so that what is wrong with them is known
    /// before anything is read.
    ///
    /// # Errors
    /// [`RunError::Sql`] names the table and the check.
    pub(crate) async fn plan(&self, table: &TableDeclaration) -> Result<()> {
        self.planned(table).await?;
        Ok(())
    }

    /// Evaluates the checks of a table.
    ///
    /// # Errors
    /// Where a check cannot be computed. One that does not hold is a record.
    pub(crate) async fn evaluate(&self, table: &TableDeclaration) -> Result<Vec<CheckRecord>> {
        let (frame, checks) = self.planned(table).await?;
        let figures: Vec<Expr> = checks
            .iter()
            .flat_map(|check| check.figures.iter().cloned())
            .enumerate()
            .map(|(n, expr)| expr.alias(format!("figure_{n}")))
            .collect();
        let failed = |e| failed(&table_name(table), e);
        let values = one_row(&frame, figures).await.map_err(failed)?;
        let mut values = values.as_slice();
        let mut records = Vec::new();
        for check in checks {
            let (own, others) = values.split_at(check.figures.len().min(values.len()));
            values = others;
            let found = self.judge(&frame, &check, own).await;
            let (holds, detail) = found.map_err(|e| self::failed(&check.place, e))?;
            let severity = match check.declared.severity {
                Severity::Warn => "warn",
                Severity::Fail | Severity::Reject => "fail",
            };
            records.push(CheckRecord {
                table: table_name(table),
                check: check.declared.name.clone(),
                severity: severity.to_owned(),
                holds,
                detail,
            });
        }
        Ok(records)
    }

    async fn planned<'a>(
        &self,
        table: &'a TableDeclaration,
    ) -> Result<(DataFrame, Vec<Planned<'a>>)> {
        let name = table_name(table);
        let frame = self.session.table(name.replace('/', ".")).await;
        let frame = frame.map_err(|e| RunError::sql(&name, &e))?;
        let mut checks = Vec::new();
        for declared in &table.checks {
            let place = format!("{name}, check '{}'", declared.name);
            let mut check = Planned::new(declared, place, frame.schema().as_arrow())?;
            let sql = match &declared.rule {
                TableRule::Sum { reference, .. } => Some((reference, "number")),
                TableRule::Sql { sql } => Some((sql, "boolean")),
                _ => None,
            };
            if let Some((text, wanted)) = sql {
                let place = check.place.clone();
                check.query = Some(self.question(&Sql { place, text }, wanted).await?);
            }
            checks.push(check);
        }
        Ok((frame, checks))
    }

    /// A query over tables that yields one `wanted` value.
    async fn question(&self, sql: &Sql<'_>, wanted: &str) -> Result<LogicalPlan> {
        let plan = sql.query(self.session, self.parameters).await?;
        if let Some(input) = shape::sources(&plan)
            .iter()
            .find(|name| !name.contains('/'))
        {
            let message = format!(
                "it reads {input}, of which a run has the new rows only; \
                 read a table instead, as in standard.{input}"
            );
            return Err(sql.wrong_at(input, message));
        }
        let fields = plan.schema().fields();
        let fits = |data_type: &DataType| match wanted {
            "boolean" => *data_type == DataType::Boolean,
            _ => data_type.is_numeric(),
        };
        match fields.iter().as_slice() {
            [field] if fits(field.data_type()) => Ok(plan),
            [field] => Err(sql.wrong(format!(
                "the query has to yield one {wanted}, and {} is {}",
                field.name(),
                in_our_types(&field.data_type().to_string())
            ))),
            fields => Err(sql.wrong(format!(
                "the query has to yield one {wanted}, and it selects {} columns",
                fields.len()
            ))),
        }
    }

    async fn judge(
        &self,
        frame: &DataFrame,
        check: &Planned<'_>,
        figures: &[ScalarValue],
    ) -> DataFusionResult<Finding> {
        let first = figures.first().cloned().unwrap_or(ScalarValue::Null);
        let rows = match first {
            ScalarValue::Int64(Some(rows)) => rows.unsigned_abs(),
            _ => 0,
        };
        Ok(match &check.declared.rule {
            TableRule::Rows { at_least, at_most } => of_rows(rows, *at_least, *at_most),
            TableRule::Unique { columns } => duplicates(frame, columns).await?,
            TableRule::NotNull { column } if rows == 0 => (true, format!("{column} is never NULL")),
            TableRule::NotNull { column } => (false, format!("{} {column} = NULL", have(rows))),
            TableRule::Accepted { column, .. } | TableRule::Range { column, .. } if rows == 0 => {
                (true, format!("no {column} is outside"))
            }
            TableRule::Accepted { column, .. } => {
                let values = wrong_values(frame, column, check.wrong.clone()).await?;
                (false, format!("{} {column} = {values}", have(rows)))
            }
            TableRule::Range { column, .. } => {
                let bound = |n: usize| figures.get(n).map(shown).unwrap_or_default();
                let values = match (bound(1), bound(2)) {
                    (one, other) if one == other => format!("= {one}"),
                    (lowest, highest) => format!("outside, from {lowest} to {highest}"),
                };
                (false, format!("{} {column} {values}", have(rows)))
            }
            TableRule::Fresh { column, .. } => {
                let within = check.declared.microseconds().unwrap_or(0);
                check_values::fresh(column, &first, self.began, within)
            }
            TableRule::Sum { tolerance, .. } => {
                let answers = self.answers(check).await?;
                match answers.as_slice() {
                    [reference] => {
                        let sum = Number::of(&first)?;
                        check_values::close(&sum, &Number::of(reference)?, tolerance)
                    }
                    answers => not_one(answers.len(), "reference"),
                }
            }
            TableRule::Sql { .. } => {
                let answers = self.answers(check).await?;
                match answers.as_slice() {
                    [ScalarValue::Boolean(Some(true))] => (true, "yields true".to_owned()),
                    [ScalarValue::Boolean(Some(false))] => {
                        (false, "yields false, true expected".to_owned())
                    }
                    [_] => (false, "yields NULL, true expected".to_owned()),
                    answers => not_one(answers.len(), "query"),
                }
            }
        })
    }

    /// The first answers of a check's query: two are enough to see that it is not one.
    async fn answers(&self, check: &Planned<'_>) -> DataFusionResult<Vec<ScalarValue>> {
        let Some(plan) = &check.query else {
            return Ok(Vec::new());
        };
        let frame = self.session.execute_logical_plan(plan.clone()).await?;
        let mut answers = Vec::new();
        for batch in frame.limit(0, Some(2))?.collect().await? {
            answers.extend(column_values(&batch, 0)?);
        }
        Ok(answers)
    }
}

impl<'a> Planned<'a> {
    fn new(declared: &'a TableCheckDeclaration, place: String, schema: &Schema) -> Result<Self> {
        let wrong = |message: String| RunError::Sql {
            place: place.clone(),
            message: in_our_types(&message),
        };
        let engine = |e: DataFusionError| RunError::sql(&place, &e);
        let column = |name: &String| known(name, schema).map_err(wrong);
        let rows_where = |condition: Expr| count(lit(1)).filter(condition).build();
        let mut figures = Vec::new();
        let mut against = None;
        match &declared.rule {
            TableRule::Rows { .. } => figures.push(count(lit(1))),
            TableRule::Unique { columns } => {
                for name in columns {
                    column(name)?;
                }
            }
            TableRule::NotNull { column: name } => {
                let (value, _) = column(name)?;
                figures.push(rows_where(value.is_null()).map_err(engine)?);
            }
            TableRule::Accepted {
                column: name,
                values,
            } => {
                let (value, data_type) = column(name)?;
                let values = values.iter().map(|text| literal(text, &data_type));
                let values = values
                    .collect::<std::result::Result<Vec<_>, _>>()
                    .map_err(|e| wrong(format!("{name} is {e}")))?;
                let condition = value.in_list(values, true);
                figures.push(rows_where(condition.clone()).map_err(engine)?);
                against = Some(condition);
            }
            TableRule::Range {
                column: name,
                at_least,
                at_most,
            } => {
                let (value, data_type) = column(name)?;
                let bound = |text: &String| {
                    literal(text, &data_type).map_err(|e| wrong(format!("{name} is {e}")))
                };
                let least = at_least.as_ref().map(bound).transpose()?;
                let most = at_most.as_ref().map(bound).transpose()?;
                let below = least.map(|least| value.clone().lt(least));
                let above = most.map(|most| value.clone().gt(most));
                let outside = match (below, above) {
                    (Some(below), Some(above)) => below.or(above),
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => lit(false),
                };
                figures.push(rows_where(outside.clone()).map_err(engine)?);
                for end in [min(value.clone()), max(value)] {
                    figures.push(end.filter(outside.clone()).build().map_err(engine)?);
                }
            }
            TableRule::Fresh { column: name, .. } => {
                let (value, data_type) = column(name)?;
                if !matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32) {
                    return Err(wrong(format!(
                        "{name} is {data_type}; only timestamps and dates are fresh or not"
                    )));
                }
                figures.push(max(value));
            }
            TableRule::Sum { column: name, .. } => {
                let (value, data_type) = column(name)?;
                let wide = check_values::wide(&data_type)
                    .ok_or_else(|| wrong(format!("{name} is {data_type}, which has no sum")))?;
                figures.push(sum(cast(value, wide)));
            }
            TableRule::Sql { .. } => {}
        }
        Ok(Self {
            declared,
            place,
            figures,
            wrong: against,
            query: None,
        })
    }
}

/// A column of the table and its type.
fn known(name: &str, schema: &Schema) -> std::result::Result<(Expr, DataType), String> {
    if let Ok(field) = schema.field_with_name(name) {
        let column = Expr::Column(Column::new_unqualified(name));
        return Ok((column, field.data_type().clone()));
    }
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let all = names.join(", ");
    Err(match nearest(name, &names) {
        Some(meant) => {
            format!("the table has no column {name}; did you mean {meant}? It has {all}")
        }
        None => format!("the table has no column {name}; it has {all}"),
    })
}

/// Too little memory and a failing function have their own ways out, as they
/// have where a table is prepared.
fn failed(place: &str, source: DataFusionError) -> RunError {
    RunError::Table(Box::new(lake_delta::Error::Query {
        table: place.to_owned(),
        source,
    }))
}

/// What aggregates over a whole table yield.
async fn one_row(frame: &DataFrame, figures: Vec<Expr>) -> DataFusionResult<Vec<ScalarValue>> {
    if figures.is_empty() {
        return Ok(Vec::new());
    }
    let batches = frame.clone().aggregate(vec![], figures)?.collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(Vec::new());
    };
    let columns = batch.columns().iter();
    columns
        .map(|column| ScalarValue::try_from_array(column, 0))
        .collect()
}

fn column_values(batch: &RecordBatch, column: usize) -> DataFusionResult<Vec<ScalarValue>> {
    let Some(values) = batch.columns().get(column) else {
        return Ok(Vec::new());
    };
    (0..values.len())
        .map(|row| ScalarValue::try_from_array(values, row))
        .collect()
}

fn of_rows(rows: u64, at_least: Option<u64>, at_most: Option<u64>) -> Finding {
    let has = match rows {
        1 => "has 1 row".to_owned(),
        rows => format!("has {rows} rows"),
    };
    match (at_least, at_most) {
        (Some(least), _) if rows < least => (false, format!("{has}, at least {least} expected")),
        (_, Some(most)) if rows > most => (false, format!("{has}, at most {most} expected")),
        _ => (true, has),
    }
}

async fn duplicates(frame: &DataFrame, columns: &[String]) -> DataFusionResult<Finding> {
    const TIMES: &str = "_lake_times";
    let column = |name: &String| Expr::Column(Column::new_unqualified(name));
    let complete = columns
        .iter()
        .map(|name| column(name).is_not_null())
        .reduce(Expr::and);
    let keys: Vec<Expr> = columns.iter().map(column).collect();
    let twice = frame
        .clone()
        .filter(complete.unwrap_or_else(|| lit(true)))?
        .aggregate(keys.clone(), vec![count(lit(1)).alias(TIMES)])?
        .filter(Expr::Column(Column::new_unqualified(TIMES)).gt(lit(1)))?;
    let number = twice.clone().count().await?;
    if number == 0 {
        return Ok((true, "no duplicate keys".to_owned()));
    }
    let order = keys.iter().map(|key| key.clone().sort(true, false));
    let example = twice.sort(order.collect())?.limit(0, Some(1))?;
    let mut values = Vec::new();
    for batch in example.collect().await? {
        for (index, name) in columns.iter().enumerate() {
            for value in column_values(&batch, index)? {
                values.push(format!("{name} = {}", shown(&value)));
            }
        }
    }
    let plural = match number {
        1 => "1 duplicate key".to_owned(),
        number => format!("{number} duplicate keys"),
    };
    Ok((
        false,
        format!("{plural}, for instance {}", values.join(", ")),
    ))
}

/// Which values a column has in the rows that a check is against.
async fn wrong_values(
    frame: &DataFrame,
    column: &str,
    against: Option<Expr>,
) -> DataFusionResult<String> {
    let value = Expr::Column(Column::new_unqualified(column));
    let distinct = frame
        .clone()
        .filter(against.unwrap_or_else(|| lit(false)))?
        .aggregate(vec![value.clone()], vec![])?
        .sort(vec![value.sort(true, false)])?
        .limit(0, Some(MOST_VALUES + 1))?;
    let mut values = Vec::new();
    for batch in distinct.collect().await? {
        values.extend(column_values(&batch, 0)?);
    }
    let more = if values.len() > MOST_VALUES {
        " and others"
    } else {
        ""
    };
    let quoted = |value: &ScalarValue| match value.data_type().is_string() {
        true => format!("'{}'", shown(value)),
        false => shown(value),
    };
    let values: Vec<String> = values.iter().take(MOST_VALUES).map(quoted).collect();
    Ok(format!("{}{more}", values.join(", ")))
}

fn have(rows: u64) -> String {
    match rows {
        1 => "1 row has".to_owned(),
        rows => format!("{rows} rows have"),
    }
}

fn not_one(answers: usize, what: &str) -> Finding {
    let number = match answers {
        0 => "no row",
        _ => "several rows",
    };
    (false, format!("the {what} yields {number}, one expected"))
}
