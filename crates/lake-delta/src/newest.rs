//! One row per key, out of a stream that is sorted by the key.
//!
//! Within a batch of input the row with the highest sequence wins, and the
//! others are superseded. Where a table has no sequence, a second row of a key
//! is a fault of the SQL that made it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, partition, take_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;

use crate::{Error, Result};

/// The key of a table and what decides between two rows that share it.
#[derive(Debug, Clone)]
pub(crate) struct KeyRule {
    /// The key's columns.
    pub(crate) key: Vec<String>,
    /// The sequence: the highest wins. Empty where a key may occur only once.
    ///
    /// It is compared column by column. A NULL is lower than any value and
    /// equal to a NULL; numbers with a fraction have the total order of IEEE
    /// 754, where a NaN is above all numbers, or below them if its sign is set.
    pub(crate) newest_by: Vec<String>,
    /// The boolean column that says which rows delete their key. At the same
    /// sequence the deletion wins, so that it does not matter which came first.
    pub(crate) deleted: Option<String>,
}

impl KeyRule {
    /// The columns that decide which row stays.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &String> {
        self.key.iter().chain(&self.newest_by).chain(&self.deleted)
    }
}

/// Decides between rows that share a key.
#[derive(Debug)]
pub(crate) struct Contest {
    table: String,
    key: Vec<usize>,
    key_names: Vec<String>,
    sequence: Vec<usize>,
    rows: RowConverter,
}

impl Contest {
    pub(crate) fn new(table: &str, schema: &Schema, rule: &KeyRule) -> Result<Self> {
        let failed = |e| Error::query(table, e);
        let indices = |names: &[String]| {
            let found = names.iter().map(|name| schema.index_of(name));
            found.collect::<std::result::Result<Vec<_>, _>>()
        };
        let mut sequence = indices(&rule.newest_by).map_err(failed)?;
        if let Some(deleted) = &rule.deleted {
            sequence.push(schema.index_of(deleted).map_err(failed)?);
        }
        // The converter's default order has NULL first and floats in total order.
        let fields = sequence
            .iter()
            .map(|i| SortField::new(schema.field(*i).data_type().clone()))
            .collect();
        Ok(Self {
            table: table.to_owned(),
            key: indices(&rule.key).map_err(failed)?,
            key_names: rule.key.clone(),
            sequence,
            rows: RowConverter::new(fields).map_err(failed)?,
        })
    }

    pub(crate) fn refuse_null_keys(&self, batch: &RecordBatch) -> Result<()> {
        for (index, name) in self.key.iter().zip(&self.key_names) {
            if batch.column(*index).null_count() > 0 {
                return Err(Error::Rows {
                    table: self.table.clone(),
                    reason: format!(
                        "{} rows have no {name}, which is part of the key; \
                         let the SQL leave such rows out, or require the columns it comes from",
                        batch.column(*index).null_count()
                    ),
                });
            }
        }
        Ok(())
    }

    /// The row that stays of each of `ranges`, which share a key. `column` gives a column of the
    /// rows by its index in the schema.
    pub(crate) fn winners(
        &self,
        column: impl Fn(usize) -> Result<ArrayRef>,
        ranges: &[Range<usize>],
    ) -> Result<Vec<usize>> {
        if self.sequence.is_empty() {
            return match ranges.iter().find(|range| range.len() > 1) {
                Some(range) => Err(self.twice(column, range.start)?),
                None => Ok(ranges.iter().map(|range| range.start).collect()),
            };
        }
        let sequence = self
            .sequence
            .iter()
            .map(|index| Ok(one_zero(&column(*index)?)));
        let rows = self
            .rows
            .convert_columns(&sequence.collect::<Result<Vec<_>>>()?);
        let rows = rows.map_err(|e| Error::query(&self.table, e))?;
        let winner = |range: &Range<usize>| {
            let mut winner = range.start;
            for row in range.start + 1..range.end {
                if rows.row(row) > rows.row(winner) {
                    winner = row;
                }
            }
            winner
        };
        Ok(ranges.iter().map(winner).collect())
    }

    fn twice(&self, column: impl Fn(usize) -> Result<ArrayRef>, row: usize) -> Result<Error> {
        let values = self.key_names.iter().zip(&self.key).map(|(name, index)| {
            let value = array_value_to_string(&column(*index)?, row);
            Ok(format!("{name} = {}", value.unwrap_or_default()))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(Error::Rows {
            table: self.table.clone(),
            reason: format!(
                "its SQL yields several rows for the key {}; group by the key, or make the key wider",
                values.join(", ")
            ),
        })
    }
}

/// Keeps the winning row of every key.
///
/// The last key of a batch may go on in the next one, so its winner is held
/// back until another key follows.
#[derive(Debug)]
pub(crate) struct OnePerKey {
    contest: Contest,
    held: Option<RecordBatch>,
    superseded: u64,
}

impl OnePerKey {
    pub(crate) fn new(table: &str, schema: &Schema, rule: &KeyRule) -> Result<Self> {
        Ok(Self {
            contest: Contest::new(table, schema, rule)?,
            held: None,
            superseded: 0,
        })
    }

    /// Takes the next batch; gives the rows whose keys are complete.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let (batch, mut done) = self.join_held(batch)?;
        let ranges = self.ranges(&batch)?;
        let winners = if ranges.len() == batch.num_rows() {
            batch
        } else {
            let column = |index: usize| Ok(ArrayRef::clone(batch.column(index)));
            let winners = self.contest.winners(column, &ranges)?;
            self.superseded += (batch.num_rows() - ranges.len()) as u64;
            let winners = winners.into_iter().map(|row| row as u64);
            let winners = UInt64Array::from_iter_values(winners);
            take_record_batch(&batch, &winners).map_err(|e| self.failed(e))?
        };
        let last = winners.num_rows() - 1;
        done.push(winners.slice(0, last));
        self.held = Some(winners.slice(last, 1));
        Ok(done)
    }

    /// The last winner, and how many rows lost.
    pub(crate) fn finish(self) -> (Option<RecordBatch>, u64) {
        (self.held, self.superseded)
    }

    /// Puts the held row in front of a batch that goes on with its key, or lets it go.
    fn join_held(&mut self, batch: RecordBatch) -> Result<(RecordBatch, Vec<RecordBatch>)> {
        let Some(held) = self.held.take() else {
            return Ok((batch, Vec::new()));
        };
        let schema: SchemaRef = batch.schema();
        let pair = concat_batches(&schema, [&held, &batch.slice(0, 1)]);
        let pair = pair.map_err(|e| self.failed(e))?;
        if self.ranges(&pair)?.len() > 1 {
            return Ok((batch, vec![held]));
        }
        let joined = concat_batches(&schema, [&held, &batch]).map_err(|e| self.failed(e))?;
        Ok((joined, Vec::new()))
    }

    /// Which rows share a key.
    fn ranges(&self, batch: &RecordBatch) -> Result<Vec<Range<usize>>> {
        let key = columns(batch, &self.contest.key);
        Ok(partition(&key).map_err(|e| self.failed(e))?.ranges())
    }

    fn failed(&self, error: ArrowError) -> Error {
        Error::query(&self.contest.table, error)
    }
}

fn columns(batch: &RecordBatch, indices: &[usize]) -> Vec<ArrayRef> {
    indices
        .iter()
        .map(|i| ArrayRef::clone(batch.column(*i)))
        .collect()
}

/// Floating point numbers with one zero, as the engine compares them: −0 is 0.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            Arc::new(numbers.unary::<_, Float64Type>(|number| number + 0.0))
        }
        DataType::Float32 => {
            let numbers = column.as_primitive::<Float32Type>();
            Arc::new(numbers.unary::<_, Float32Type>(|number| number + 0.0))
        }
        _ => ArrayRef::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Float64Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};

    use super::*;

    fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("key", DataType::Int64, true),
            Field::new("sequence", DataType::Int64, true),
        ]);
        let column = |pick: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
        };
        RecordBatch::try_new(Arc::new(schema), vec![column(|r| r.0), column(|r| r.1)]).unwrap()
    }

    fn run(newest_by: &[&str], batches: &[&[(i64, i64)]]) -> Result<(Vec<(i64, i64)>, u64)> {
        let rule = KeyRule {
            key: vec!["key".into()],
            newest_by: newest_by.iter().map(|s| (*s).to_owned()).collect(),
            deleted: None,
        };
        let mut one = OnePerKey::new("standard/t", &batch(&[]).schema(), &rule)?;
        let mut out = Vec::new();
        for rows in batches {
            out.extend(one.push(batch(rows))?);
        }
        let (last, superseded) = one.finish();
        out.extend(last);
        let rows = out.iter().flat_map(|b| {
            let key = b.column(0).as_primitive::<Int64Type>().values().to_vec();
            key.into_iter()
                .zip(b.column(1).as_primitive::<Int64Type>().values().to_vec())
        });
        Ok((rows.collect(), superseded))
    }

    #[test]
    fn the_highest_sequence_of_a_key_wins_also_across_batches() {
        let batches: &[&[(i64, i64)]] = &[
            &[(1, 5), (1, 9), (2, 1), (3, 3)],
            &[(3, 2), (3, 7)],
            &[],
            &[(3, 4)],
            &[(4, 1), (5, 1), (5, 1)],
        ];
        let (rows, superseded) = run(&["sequence"], batches).unwrap();
        assert_eq!(rows, [(1, 9), (2, 1), (3, 7), (4, 1), (5, 1)]);
        assert_eq!(superseded, 5);
    }

    #[test]
    fn of_two_rows_null_is_lower_than_a_value_and_nan_is_higher_than_a_number() {
        let order = [
            None,
            Some(-f64::NAN),
            Some(f64::NEG_INFINITY),
            Some(-1e-300),
            Some(0.0),
            Some(f64::INFINITY),
            Some(f64::NAN),
        ];
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Int64, true),
            Field::new("sequence", DataType::Float64, true),
        ]));
        let rule = KeyRule {
            key: vec!["key".into()],
            newest_by: vec!["sequence".into()],
            deleted: None,
        };
        for pair in order.windows(2) {
            let (low, high) = (pair[0], pair[1]);
            for sequence in [vec![low, high], vec![high, low], vec![high, high, low]] {
                let keys = Int64Array::from(vec![1; sequence.len()]);
                let sequence = Float64Array::from(sequence);
                let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(sequence)];
                let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
                let mut one = OnePerKey::new("standard/t", &schema, &rule).unwrap();
                one.push(rows).unwrap();
                let (winner, _) = one.finish();
                let winner = winner.unwrap();
                let winner = winner.column(1).as_primitive::<Float64Type>();
                let winner = winner.iter().next().unwrap();
                assert_eq!(winner.map(f64::to_bits), high.map(f64::to_bits));
            }
        }
    }

    #[test]
    fn without_a_sequence_a_second_row_of_a_key_is_an_error_that_names_the_key() {
        for batches in [
            &[&[(1, 1), (7, 1), (7, 2)][..]][..],
            &[&[(7, 1)], &[(7, 2)]],
        ] {
            let message = run(&[], batches).unwrap_err().to_string();
            assert!(message.contains("standard/t"), "{message}");
            assert!(message.contains("key = 7"), "{message}");
        }
    }
}
