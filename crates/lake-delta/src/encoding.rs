//! How data files are encoded.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Rows per Parquet row group: small enough to be held by every writer at
/// once, large enough to compress well.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Wide rows end a row group earlier.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
/// Fewer rows say nothing about how often values repeat.
const ENOUGH_ROWS: usize = 1024;

/// The properties of a file that begins with `rows`.
///
/// A dictionary of values that hardly repeat costs more than the file itself: every value is looked
/// up, until the dictionary is full and given up. So columns whose values differ in most of the
/// first rows get none.
pub(crate) fn properties(rows: &RecordBatch) -> WriterProperties {
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

    use arrow::array::{Int64Array, StringArray};

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
            let properties = properties(rows);
            ["line", "day", "id"].map(|name| properties.dictionary_enabled(&ColumnPath::from(name)))
        };
        assert_eq!(has_dictionary(&rows), [false, true, false]);
        // So few rows would fit into any dictionary.
        assert_eq!(has_dictionary(&rows.slice(0, 10)), [true, true, true]);
    }
}
