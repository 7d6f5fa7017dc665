//! One row per key, out of a stream that is sorted by the key.
//!
//! Within a batch of input the row with the highest sequence wins, and the
//! others are superseded. Where a table has no sequence, a second row of a key
//! is a fault of the SQL that made it.

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

/// Keeps the winning row of every key.
///
/// The last key of a batch may go on in the next one, so its winner is held
/// back until another key follows.
#[derive(Debug)]
pub(crate) struct OnePerKey {
    table: String,
    key: Vec<usize>,
    key_names: Vec<String>,
    sequence: Vec<usize>,
    rows: RowConverter,
    held: Option<RecordBatch>,
    superseded: u64,
}

impl OnePerKey {
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
            held: None,
            superseded: 0,
        })
    }

    /// Takes the next batch; gives the rows whose keys are complete.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        self.refuse_null_keys(&batch)?;
        let (batch, mut done) = self.join_held(batch)?;
        let ranges = partition(&columns(&batch, &self.key))
            .map_err(|e| Error::query(&self.table, e))?
            .ranges();
        let unique = ranges.len() == batch.num_rows();
        let winners = if unique {
            batch
        } else {
            self.winners(&batch, &ranges)?
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
        let failed = |e| Error::query(&self.table, e);
        let schema: SchemaRef = batch.schema();
        let pair = concat_batches(&schema, [&held, &batch.slice(0, 1)]).map_err(failed)?;
        let same = partition(&columns(&pair, &self.key)).map_err(failed)?.len() == 1;
        if !same {
            return Ok((batch, vec![held]));
        }
        let joined = concat_batches(&schema, [&held, &batch]).map_err(failed)?;
        Ok((joined, Vec::new()))
    }

    fn winners(
        &mut self,
        batch: &RecordBatch,
        ranges: &[std::ops::Range<usize>],
    ) -> Result<RecordBatch> {
        if self.sequence.is_empty()
            && let Some(range) = ranges.iter().find(|range| range.len() > 1)
        {
            return Err(self.twice(batch, range.start));
        }
        let failed = |e: ArrowError| Error::query(&self.table, e);
        let sequence: Vec<ArrayRef> = columns(batch, &self.sequence)
            .iter()
            .map(one_zero)
            .collect();
        let rows = self.rows.convert_columns(&sequence).map_err(failed)?;
        let mut winners = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut winner = range.start;
            for row in range.start + 1..range.end {
                if rows.row(row) > rows.row(winner) {
                    winner = row;
                }
            }
            self.superseded += range.len() as u64 - 1;
            winners.push(winner as u64);
        }
        take_record_batch(batch, &UInt64Array::from(winners)).map_err(failed)
    }

    fn refuse_null_keys(&self, batch: &RecordBatch) -> Result<()> {
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

    fn twice(&self, batch: &RecordBatch, row: usize) -> Error {
        let values: Vec<String> = self
            .key_names
            .iter()
            .zip(&self.key)
            .map(|(name, index)| {
                let value = array_value_to_string(batch.column(*index), row);
                format!("{name} = {}", value.unwrap_or_default())
            })
            .collect();
        Error::Rows {
            table: self.table.clone(),
            reason: format!(
                "its SQL yields several rows for the key {}; group by the key, or make the key wider",
                values.join(", ")
            ),
        }
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
