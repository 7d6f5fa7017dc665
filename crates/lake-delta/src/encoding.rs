//! How data files are encoded.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Type, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows per Parquet row group: small enough to be held by every writer at
/// once, large enough to compress well.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Wide rows end a row group earlier.
pub(crate) const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
/// Fewer rows say nothing about how often values repeat.
const ENOUGH_ROWS: usize = 1024;

/// The properties of a file that begins with `rows`.
///
/// A dictionary of values that hardly repeat costs more than the file itself: every value is looked
/// up, until the dictionary is full and given up. So columns whose values differ in most of the
/// first rows get none.
///
/// Statistics of a Parquet file leave NaN out. The query engine takes it for the largest number all
/// the same, and would skip it together with the numbers around it, or not, as files happen to be
/// cut. So in a file that may have one, numbers with a fraction have no statistics, in structs and
/// lists neither. What the log says of them is in [`crate::stats`].
pub(crate) fn properties(rows: &RecordBatch, may_have_nan: bool) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(crate::ENGINE.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        if !field.data_type().is_nested() && hardly_repeats(column) {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    // What cannot be converted is refused when it is written.
    if may_have_nan && let Ok(schema) = ArrowSchemaConverter::new().convert(rows.schema_ref()) {
        for column in schema.columns() {
            if matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE) {
                let path = column.path().clone();
                properties =
                    properties.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
    }
    properties.build()
}

/// Whether most of the values are different ones.
fn hardly_repeats(column: &ArrayRef) -> bool {
    if column.len() < ENOUGH_ROWS {
        return false;
    }
    let mut hashes = vec![0; column.len()];
    // What has no hash keeps the usual encoding.
    if create_hashes([column], &RandomState::with_seed(0), &mut hashes).is_err() {
        return false;
    }
    let distinct: HashSet<u64> = hashes.into_iter().collect();
    distinct.len() > column.len() / 2
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, Int64Array, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn only_values_that_repeat_are_put_into_a_dictionary() {
        let line = Int64Array::from_iter_values(0..2000);
        let day = Int64Array::from_iter_values((0..2000).map(|n| n / 100));
        let id = StringArray::from_iter_values((0..2000).map(|n| format!("id-{n}")));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("line", Arc::new(line)),
            ("day", Arc::new(day)),
            ("id", Arc::new(id)),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let has_dictionary = |rows: &RecordBatch| {
            let properties = properties(rows, false);
            ["line", "day", "id"].map(|name| properties.dictionary_enabled(&ColumnPath::from(name)))
        };
        assert_eq!(has_dictionary(&rows), [false, true, false]);
        // So few rows would fit into any dictionary.
        assert_eq!(has_dictionary(&rows.slice(0, 10)), [true, true, true]);
    }

    #[test]
    fn in_a_file_that_may_have_nan_only_numbers_with_a_fraction_have_no_statistics() {
        let inner = Arc::new(Field::new("x", DataType::Float32, true));
        let inner = StructArray::from(vec![(inner, Arc::new(Float32Array::from(vec![1.0])) as _)]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("key", Arc::new(Int64Array::from(vec![1]))),
            ("x", Arc::new(Float64Array::from(vec![1.0]))),
            ("inner", Arc::new(inner)),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        for (path, with_nan) in [
            (vec!["key"], EnabledStatistics::Page),
            (vec!["x"], EnabledStatistics::None),
            (vec!["inner", "x"], EnabledStatistics::None),
        ] {
            let path = ColumnPath::new(path.into_iter().map(str::to_owned).collect());
            let statistics = |may| properties(&rows, may).statistics_enabled(&path);
            assert_eq!(statistics(true), with_nan, "{path}");
            assert_eq!(statistics(false), EnabledStatistics::Page, "{path}");
        }
    }
}
