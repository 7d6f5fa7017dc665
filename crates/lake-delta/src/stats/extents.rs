//! Between which values the rows of a file lie, exactly.
//!
//! The library takes statistics from the footers of the files that it wrote:
//! decimals by way of `f64`, timestamps cut to milliseconds, and NaN left out.
//! A reader who believes such bounds misses rows. So what goes into a file is
//! looked at on its way.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Schema,
    TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use super::decimal;

/// What is known of the values of one column in some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    nulls: usize,
    values: Values,
}

/// The lowest and the highest value that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Values {
    None,
    /// Unscaled numbers of decimals, or microseconds.
    Whole(i128, i128),
    Floating(f64, f64),
    /// There is a NaN, which is below or above all numbers.
    Unordered,
}

impl Extent {
    const EMPTY: Self = Self {
        nulls: 0,
        values: Values::None,
    };

    fn of(column: &ArrayRef) -> Self {
        let values = match column.data_type() {
            DataType::Decimal128(_, _) => whole::<Decimal128Type>(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                whole::<TimestampMicrosecondType>(column.as_primitive())
            }
            DataType::Float32 => floating::<Float32Type>(column.as_primitive()),
            DataType::Float64 => floating::<Float64Type>(column.as_primitive()),
            _ => Values::None,
        };
        Self {
            nulls: column.null_count(),
            values,
        }
    }

    fn join(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.values = self.values.join(other.values);
    }

    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    /// The lower and the upper bound of a column of this type as JSON; an end
    /// without a bound is `None`.
    pub(super) fn bounds(&self, data_type: &DataType) -> [Option<String>; 2] {
        match (self.values, data_type) {
            (Values::Whole(low, high), DataType::Decimal128(precision, scale)) => {
                let Ok(scale) = u8::try_from(*scale) else {
                    return [None, None];
                };
                [
                    decimal::low_bound(low, *precision, scale),
                    decimal::high_bound(high, *precision, scale),
                ]
            }
            // Bounds have milliseconds and no more: the protocol has writers cut them.
            // Cutting alone would put the highest one below its value.
            (Values::Whole(low, high), DataType::Timestamp(_, zone)) => {
                let millis = |micros| instant(micros, SecondsFormat::Millis, zone.is_some());
                let up = -(-high).div_euclid(1000) * 1000;
                [
                    millis(low.div_euclid(1000) * 1000),
                    // The last millisecond of all years has no next one.
                    millis(up).or_else(|| instant(high, SecondsFormat::Micros, zone.is_some())),
                ]
            }
            // Some readers put −0 below 0. Only finite numbers are JSON.
            (Values::Floating(low, high), _) => {
                let low = if low == 0.0 { -0.0 } else { low };
                let high = if high == 0.0 { 0.0 } else { high };
                [low, high].map(|end| end.is_finite().then(|| format!("{end:?}")))
            }
            _ => [None, None],
        }
    }
}

impl Values {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, other) | (other, Self::None) => other,
            (Self::Whole(low, high), Self::Whole(other_low, other_high)) => {
                Self::Whole(low.min(other_low), high.max(other_high))
            }
            (Self::Floating(low, high), Self::Floating(other_low, other_high)) => {
                Self::Floating(low.min(other_low), high.max(other_high))
            }
            _ => Self::Unordered,
        }
    }
}

fn whole<T: ArrowPrimitiveType<Native: Into<i128>>>(column: &PrimitiveArray<T>) -> Values {
    match (min(column), max(column)) {
        (Some(low), Some(high)) => Values::Whole(low.into(), high.into()),
        _ => Values::None,
    }
}

fn floating<T: ArrowPrimitiveType<Native: Into<f64>>>(column: &PrimitiveArray<T>) -> Values {
    let mut ends: Option<(f64, f64)> = None;
    for number in column.iter().flatten() {
        let number: f64 = number.into();
        if number.is_nan() {
            return Values::Unordered;
        }
        let (low, high) = ends.unwrap_or((number, number));
        ends = Some((low.min(number), high.max(number)));
    }
    ends.map_or(Values::None, |(low, high)| Values::Floating(low, high))
}

/// An instant as bounds have it. Other years than these are written with a
/// sign, which readers do not agree about.
fn instant(micros: i128, format: SecondsFormat, utc: bool) -> Option<String> {
    let micros = i64::try_from(micros).ok()?;
    let instant = DateTime::<Utc>::from_timestamp_micros(micros)?;
    if !(1..=9999).contains(&instant.year()) {
        return None;
    }
    let text = instant.to_rfc3339_opts(format, true);
    let text = if utc {
        &text
    } else {
        text.trim_end_matches('Z')
    };
    Some(super::json::string(text))
}

/// Whether a type's bounds are ours to write.
pub(super) fn is_watched(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal128(_, _)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Float32
            | DataType::Float64
    )
}

/// Looks at the rows that go into the files of one writer, in order.
#[derive(Debug)]
pub(crate) struct Extents {
    /// The watched columns, by their index in the table's schema.
    columns: Vec<usize>,
    chunk_rows: usize,
    chunks: Vec<Chunk>,
}

/// Consecutive rows, and the extents of the watched columns in them.
#[derive(Debug)]
struct Chunk {
    rows: usize,
    extents: Vec<Extent>,
}

impl Extents {
    /// For rows of `schema`, out of which a writer makes files. It looks after
    /// every `chunk_rows` of what it is given whether a file is large enough.
    pub(crate) fn new(schema: &Schema, chunk_rows: usize) -> Self {
        let columns = schema.fields().iter().enumerate();
        let watched = columns.filter(|(_, field)| is_watched(field.data_type()));
        Self {
            columns: watched.map(|(index, _)| index).collect(),
            chunk_rows,
            chunks: Vec::new(),
        }
    }

    /// Looks at the next rows.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        if self.columns.is_empty() {
            return;
        }
        for start in (0..rows.num_rows()).step_by(self.chunk_rows) {
            let count = self.chunk_rows.min(rows.num_rows() - start);
            let extents = self.columns.iter().map(|index| {
                let column = rows.column(*index);
                Extent::of(&column.slice(start, count))
            });
            let chunk = Chunk {
                rows: count,
                extents: extents.collect(),
            };
            match self.chunks.last_mut() {
                // Many small batches are not worth a chunk each.
                Some(last) if last.rows + count <= self.chunk_rows => last.join(&chunk),
                _ => self.chunks.push(chunk),
            }
        }
    }

    /// What is known of each file, where they have so many rows, in order: by
    /// the index of the watched columns. A chunk of which a file has any row
    /// counts in full, so that every file is within its extents.
    pub(crate) fn of_files(&self, rows: &[Option<u64>]) -> Vec<Vec<(usize, Extent)>> {
        let total = self.chunks.iter().map(|chunk| chunk.rows as u64).sum();
        let known: Option<Vec<u64>> = rows.iter().copied().collect();
        let known = known.filter(|rows| rows.iter().sum::<u64>() == total);
        let mut start = 0;
        let files = (0..rows.len()).map(|file| {
            // Files that do not say may have any of the rows.
            let end = match &known {
                Some(rows) => start + rows.get(file).copied().unwrap_or(0),
                None => total,
            };
            let extents = self.within(start, end);
            if known.is_some() {
                start = end;
            }
            self.columns.iter().copied().zip(extents).collect()
        });
        files.collect()
    }

    /// The extents of the chunks that have a row from `start` on and before `end`.
    fn within(&self, start: u64, end: u64) -> Vec<Extent> {
        let mut extents = vec![Extent::EMPTY; self.columns.len()];
        let mut first = 0;
        for chunk in &self.chunks {
            let after = first + chunk.rows as u64;
            if first < end && after > start {
                for (extent, more) in extents.iter_mut().zip(&chunk.extents) {
                    extent.join(more);
                }
            }
            first = after;
        }
        extents
    }
}

impl Chunk {
    fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        for (extent, more) in self.extents.iter_mut().zip(&other.extents) {
            extent.join(more);
        }
    }
}

/// Whether there is a NaN in a column, also within structs, lists and maps.
pub(crate) fn has_nan(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Float32 | DataType::Float64 => Extent::of(column).values == Values::Unordered,
        DataType::Struct(_) => column.as_struct().columns().iter().any(has_nan),
        DataType::List(_) => has_nan(column.as_list::<i32>().values()),
        DataType::Map(_, _) => column.as_map().entries().columns().iter().any(has_nan),
        _ => false,
    }
}

/// A date that the library cannot put into a file's statistics or a partition's
/// name: it panics. No calendar that a reader has goes that far either.
pub(crate) fn impossible_date(column: &ArrayRef) -> Option<i32> {
    let days = column.as_primitive_opt::<Date32Type>()?;
    let is_possible =
        |day: &i32| DateTime::<Utc>::from_timestamp(i64::from(*day) * 86_400, 0).is_some();
    let ends = [min(days), max(days)];
    ends.into_iter().flatten().find(|day| !is_possible(day))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, Float32Array, Float64Array, Int64Array, TimestampMicrosecondArray,
    };

    use super::*;

    fn numbers(values: impl IntoIterator<Item = i128>) -> RecordBatch {
        let amounts = Decimal128Array::from_iter_values(values);
        let amounts = amounts.with_precision_and_scale(20, 0).unwrap();
        let keys = Int64Array::from(vec![0; amounts.len()]);
        let columns: [(&str, ArrayRef); 2] =
            [("key", Arc::new(keys)), ("amount", Arc::new(amounts))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn extents(batches: &[RecordBatch], rows: &[Option<u64>]) -> Vec<(i128, i128)> {
        let mut extents = Extents::new(&batches[0].schema(), 4);
        for batch in batches {
            extents.add(batch);
        }
        let files = extents.of_files(rows);
        files
            .iter()
            .map(|columns| {
                assert_eq!(columns.len(), 1);
                assert_eq!(columns[0].0, 1, "the key is not watched");
                match columns[0].1.values {
                    Values::Whole(low, high) => (low, high),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }

    #[test]
    fn every_file_has_the_extents_of_its_own_rows() {
        let batches = [numbers(0..10), numbers(10..14)];
        // Files end where the writer looks: after 4, 8 and 10 rows.
        let files = [Some(8), Some(2), Some(4)];
        assert_eq!(extents(&batches, &files), [(0, 7), (8, 9), (10, 13)]);
    }

    #[test]
    fn a_file_that_ends_within_a_chunk_has_all_of_it() {
        let batches = [numbers(0..3), numbers(3..4), numbers(4..6)];
        let files = [Some(2), Some(4)];
        assert_eq!(extents(&batches, &files), [(0, 3), (0, 5)]);
    }

    #[test]
    fn files_that_do_not_say_how_many_rows_they_have_may_have_any() {
        let batches = [numbers(0..8)];
        for files in [[Some(4), None], [Some(4), Some(5)]] {
            assert_eq!(extents(&batches, &files), [(0, 7), (0, 7)]);
        }
    }

    fn bounds(column: ArrayRef) -> [Option<String>; 2] {
        Extent::of(&column).bounds(column.data_type())
    }

    #[test]
    fn timestamps_are_within_their_milliseconds() {
        let utc = |values: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let both = |low: &str, high: &str| {
            let text = |text: &str| Some(format!("\"{text}\""));
            [text(low), text(high)]
        };
        assert_eq!(
            bounds(utc(vec![Some(1_999), None, Some(2_001)])),
            both("1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.003Z")
        );
        assert_eq!(
            bounds(utc(vec![Some(-1), Some(-1_001)])),
            both("1969-12-31T23:59:59.998Z", "1970-01-01T00:00:00.000Z")
        );
        assert_eq!(
            bounds(utc(vec![Some(5_000_000)])),
            both("1970-01-01T00:00:05.000Z", "1970-01-01T00:00:05.000Z")
        );
        let last = 253_402_300_799_999_999;
        assert_eq!(
            bounds(utc(vec![Some(last)])),
            both("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999999Z")
        );
        assert_eq!(bounds(utc(vec![Some(last + 1)])), [None, None]);
        assert_eq!(
            bounds(utc(vec![Some(i64::MIN), Some(i64::MAX)])),
            [None, None]
        );
        assert_eq!(bounds(utc(vec![None])), [None, None]);
        let local: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]));
        assert_eq!(
            bounds(local),
            both("1970-01-01T00:00:00.000", "1970-01-01T00:00:00.001")
        );
    }

    #[test]
    fn numbers_with_a_fraction_have_exact_bounds_if_there_is_no_nan() {
        let doubles = |values: &[f64]| bounds(Arc::new(Float64Array::from(values.to_vec())));
        let both = |low: &str, high: &str| [low, high].map(|end| Some(end.to_owned()));
        assert_eq!(doubles(&[0.1, -1e-300, 1e300]), both("-1e-300", "1e300"));
        assert_eq!(doubles(&[0.0]), both("-0.0", "0.0"));
        assert_eq!(doubles(&[-0.0]), both("-0.0", "0.0"));
        assert_eq!(
            doubles(&[1.0, f64::INFINITY]),
            [Some("1.0".to_owned()), None]
        );
        assert_eq!(doubles(&[1.0, -f64::NAN, 2.0]), [None, None]);
        assert_eq!(doubles(&[]), [None, None]);
        let single: ArrayRef = Arc::new(Float32Array::from(vec![0.1]));
        let [low, _] = bounds(single);
        assert_eq!(low.unwrap().parse::<f32>(), Ok(0.1));
    }

    #[test]
    fn a_nan_is_found_however_deep_it_is() {
        use arrow::array::{ListArray, StructArray};
        use arrow::buffer::OffsetBuffer;
        use arrow::datatypes::Field;
        for (number, expected) in [(1.0, false), (f32::NAN, true)] {
            let numbers: ArrayRef = Arc::new(Float32Array::from(vec![number]));
            assert_eq!(has_nan(&numbers), expected);
            let item = Arc::new(Field::new("element", DataType::Float32, true));
            let list = ListArray::new(item, OffsetBuffer::from_lengths([1]), numbers, None);
            let field = Arc::new(Field::new("list", list.data_type().clone(), true));
            let deep: ArrayRef = Arc::new(StructArray::from(vec![(field, Arc::new(list) as _)]));
            assert_eq!(has_nan(&deep), expected);
        }
    }

    #[test]
    fn a_nan_in_any_chunk_is_one_of_the_file() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(f64::NAN),
            None,
            Some(2.0),
            Some(3.0),
        ]));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let mut extents = Extents::new(&batch.schema(), 2);
        extents.add(&batch);
        let of = |values, nulls| vec![(0, Extent { nulls, values })];
        let files = extents.of_files(&[Some(2), Some(2)]);
        let numbers = Values::Floating(2.0, 3.0);
        assert_eq!(files, [of(Values::Unordered, 1), of(numbers, 0)]);
        assert_eq!(extents.of_files(&[Some(4)]), [of(Values::Unordered, 1)]);
    }
}
