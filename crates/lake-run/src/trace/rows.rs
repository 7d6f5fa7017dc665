//! Finding rows, and what they say about where they are from.

use std::collections::HashSet;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::ident;
use datafusion::scalar::ScalarValue;

use super::{Record, Row, Tracing, Value, WrittenBy};
use crate::error::{Result, RunError};
use crate::record::TransformRecord;

/// A row, and its values as the engine has them.
pub(super) struct Found {
    pub(super) row: Row,
    batch: RecordBatch,
}

impl Found {
    pub(super) fn value(&self, column: &str) -> Option<ScalarValue> {
        let values = self.batch.column_by_name(column)?;
        ScalarValue::try_from_array(values, 0).ok()
    }

    pub(super) fn text(&self, column: &str) -> Option<&str> {
        let value = self
            .row
            .values
            .iter()
            .find(|value| value.column == column)?;
        value.text.as_deref()
    }
}

/// Some of the rows that there are, and how many there are.
pub(super) struct Few {
    pub(super) rows: Vec<Found>,
    pub(super) total: u64,
}

impl Tracing<'_> {
    /// The rows that somebody asks for, and whether there are more.
    pub(super) async fn asked(
        &self,
        table: &str,
        condition: Option<&str>,
    ) -> Result<(Vec<Found>, bool)> {
        let condition = condition.unwrap_or("true");
        let order = self.order(table).await?;
        let order: Vec<String> = order.iter().map(|column| quoted(column)).collect();
        let (zone, name) = table.split_once('.').unwrap_or_default();
        // On a line of its own, a comment at its end takes nothing away.
        let sql = format!(
            "SELECT * FROM {}.{} WHERE ({condition}\n) {} {} LIMIT {}",
            quoted(zone),
            quoted(name),
            if order.is_empty() { "" } else { "ORDER BY" },
            order.join(", "),
            self.limit.saturating_add(1)
        );
        let answer = self.tables.answer(&sql).await?;
        let mut found = self.found(table, &answer.batches)?;
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        Ok((found, more))
    }

    /// The columns of a table.
    pub(super) async fn columns(&self, table: &str) -> Result<HashSet<String>> {
        let failed = |e: DataFusionError| RunError::sql(table, &e);
        let reference = TableReference::parse_str(table);
        let provider = self.tables.session.table_provider(reference).await;
        let schema = provider.map_err(failed)?.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        Ok(names.collect())
    }

    /// What rows are shown in the order of.
    async fn order(&self, table: &str) -> Result<Vec<String>> {
        let known = self.columns(table).await?;
        let mut flows = self.flows.tables.iter();
        let mut order = match flows.find(|flow| flow.table == table) {
            Some(flow) => flow.order.clone(),
            None if table.starts_with("consumption.") => vec!["_run".to_owned()],
            None if table.starts_with("rejection.") => ["file", "line"].map(str::to_owned).to_vec(),
            None => ["_file", "_line"].map(str::to_owned).to_vec(),
        };
        order.retain(|column| known.contains(column));
        Ok(order)
    }

    /// The rows of a record.
    pub(super) async fn of_record(&self, table: &str, file: &str, line: i64) -> Result<Few> {
        let (of_file, of_line) = match table.starts_with("rejection.") {
            true => ("file", "line"),
            false => ("_file", "_line"),
        };
        let condition = ident(of_file)
            .eq(lit(file))
            .and(ident(of_line).eq(lit(line)));
        self.some(table, condition).await
    }

    /// Some of the rows that a condition chooses, and how many they are.
    pub(super) async fn some(&self, table: &str, condition: Expr) -> Result<Few> {
        let failed = |e: DataFusionError| RunError::sql(table, &e);
        let reference = TableReference::parse_str(table);
        let frame = self.tables.session.table(reference).await.map_err(failed)?;
        let frame = frame.filter(condition).map_err(failed)?;
        let total = frame.clone().count().await.map_err(failed)?;
        let order = self.order(table).await?.into_iter();
        let order = order
            .map(|column| ident(column).sort(true, false))
            .collect();
        let frame = frame
            .sort(order)
            .and_then(|frame| frame.limit(0, Some(self.limit)));
        let batches = frame.map_err(failed)?.collect().await.map_err(failed)?;
        Ok(Few {
            rows: self.found(table, &batches)?,
            total: total as u64,
        })
    }

    fn found(&self, table: &str, batches: &[RecordBatch]) -> Result<Vec<Found>> {
        let failed = |e: arrow::error::ArrowError| RunError::sql(table, &e.into());
        let options = FormatOptions::new();
        let mut found = Vec::new();
        for batch in batches {
            let schema = batch.schema();
            let formatters = batch.columns().iter();
            let formatters = formatters.map(|column| ArrayFormatter::try_new(column, &options));
            let formatters: Vec<_> = formatters
                .collect::<std::result::Result<_, _>>()
                .map_err(failed)?;
            for row in 0..batch.num_rows() {
                let columns = schema.fields().iter().zip(batch.columns()).zip(&formatters);
                let values = columns.map(|((field, array), formatter)| Value {
                    column: field.name().clone(),
                    text: array
                        .is_valid(row)
                        .then(|| formatter.value(row).to_string()),
                });
                let mut one = Found {
                    row: Row {
                        values: values.collect(),
                        record: None,
                        run: None,
                    },
                    batch: batch.slice(row, 1),
                };
                one.row.record = self.record_of(table, &one);
                one.row.run = self.written_by(table, &one);
                found.push(one);
            }
        }
        Ok(found)
    }

    /// The record that a row was.
    fn record_of(&self, table: &str, found: &Found) -> Option<Record> {
        let is_rejected = table.starts_with("rejection.");
        let (of_file, of_line, of_run) = match is_rejected {
            true => ("file", "line", "run"),
            false => ("_file", "_line", "_run"),
        };
        let number = |column: &str| match found.value(column)? {
            ScalarValue::Int64(number) | ScalarValue::TimestampMicrosecond(number, _) => number,
            _ => None,
        };
        let mut record = self.record(found.text(of_file)?.to_owned(), number(of_line)?);
        record.of = number("received_at").zip(number(of_run));
        record.input = match is_rejected {
            true => table.split_once('.').map(|(_, input)| input.to_owned()),
            false => self.flows.inputs.get(table).cloned(),
        };
        if is_rejected {
            record.raw = found.text("raw").map(str::to_owned);
        }
        Some(record)
    }

    pub(super) fn record(&self, file: String, line: i64) -> Record {
        Record {
            file,
            line,
            raw: None,
            note: None,
            input: None,
            of: None,
        }
    }

    /// The run that wrote a row, of which only the number is known yet.
    fn written_by(&self, table: &str, found: &Found) -> Option<WrittenBy> {
        let column = match table.starts_with("rejection.") {
            true => "run",
            false => "_run",
        };
        Some(WrittenBy {
            run: found.text(column)?.parse().ok()?,
            kind: String::new(),
            sealed_at: 0,
            release: TransformRecord::default(),
        })
    }
}

/// A name as SQL takes it, whatever it is.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
