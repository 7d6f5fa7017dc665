//! Rows as text, in one form: the same rows are the same text.
//!
//! NULL is nothing at all, and empty text is `""`. Decimals have all their places, timestamps are
//! ISO 8601 in UTC. A value is in quotes where it has to be, and where spaces at its ends would
//! not be seen.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lake_plugin::SYSTEM_COLUMNS;
use lake_run::Answer;

use crate::golden::load::Computed;

/// A table without what the host adds to every table, sorted by its key and then by all columns.
pub(crate) fn table(answer: &Answer, key: &[String]) -> Result<Computed, ArrowError> {
    let all = concat_batches(&answer.schema, &answer.batches)?;
    let fields = all.schema();
    let own = fields
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !SYSTEM_COLUMNS.contains(&field.name().as_str()))
        .map(|(place, _)| place)
        .collect::<Vec<usize>>();
    let rows = all.project(&own)?;
    let order = sorted(&rows, key)?;
    csv(&rows, &order)
}

/// Rejected rows as they come: line, raw text, and all reasons.
pub(crate) fn rejections(answer: &Answer) -> Result<Computed, ArrowError> {
    let all = concat_batches(&answer.schema, &answer.batches)?;
    let order: Vec<usize> = (0..all.num_rows()).collect();
    let columns = all.schema().fields().clone();
    let shown = columns
        .iter()
        .zip(all.columns())
        .map(|(field, column)| {
            let column = match field.name().as_str() {
                "reasons" => reasons(column)?,
                _ => ArrayRef::clone(column),
            };
            Ok((field.name().clone(), column, true))
        })
        .collect::<Result<Vec<_>, ArrowError>>()?;
    csv(&RecordBatch::try_from_iter_with_nullable(shown)?, &order)
}

/// All reasons of each row in one text: `check(column): message; …`.
fn reasons(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let list = column
        .as_list_opt::<i32>()
        .ok_or_else(|| ArrowError::CastError(format!("reasons are {}", column.data_type())))?;
    let parts = list
        .values()
        .as_struct_opt()
        .ok_or_else(|| ArrowError::CastError(format!("a reason is {}", list.value_type())))?;
    let part = |name: &str| -> Result<StringArray, ArrowError> {
        let found = parts.column_by_name(name);
        let found = found.ok_or_else(|| ArrowError::SchemaError(format!("no {name}")))?;
        Ok(cast(found, &DataType::Utf8)?.as_string().clone())
    };
    let (check, place, message) = (part("check")?, part("column")?, part("message")?);
    let text = |reason: usize| {
        let value = |array: &StringArray| {
            array
                .is_valid(reason)
                .then(|| array.value(reason).to_owned())
        };
        let check = value(&check).unwrap_or_default();
        let place = value(&place).map_or_else(String::new, |column| format!("({column})"));
        let message = value(&message).map_or_else(String::new, |message| format!(": {message}"));
        format!("{check}{place}{message}")
    };
    let offsets = list.value_offsets();
    let all = offsets.windows(2).map(|bounds| match bounds {
        [start, end] => (*start..*end)
            .map(|reason| text(usize::try_from(reason).unwrap_or_default()))
            .collect::<Vec<_>>()
            .join("; "),
        _ => String::new(),
    });
    Ok(Arc::new(all.map(Some).collect::<StringArray>()))
}

/// The order of the rows by `key` and then by all columns, NULL first.
fn sorted(rows: &RecordBatch, key: &[String]) -> Result<Vec<usize>, ArrowError> {
    let columns: Vec<ArrayRef> = key
        .iter()
        .filter_map(|name| rows.column_by_name(name))
        .chain(rows.columns())
        .filter(|column| {
            RowConverter::supports_fields(&[SortField::new(column.data_type().clone())])
        })
        .map(ArrayRef::clone)
        .collect();
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    if columns.is_empty() {
        return Ok(order);
    }
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let keys = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
    order.sort_by(|a, b| keys.row(*a).cmp(&keys.row(*b)));
    Ok(order)
}

fn csv(rows: &RecordBatch, order: &[usize]) -> Result<Computed, ArrowError> {
    let options = FormatOptions::default();
    let columns = rows
        .columns()
        .iter()
        .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let mut csv = String::new();
    let names = rows.schema();
    let names: Vec<String> = names.fields().iter().map(|f| quoted(f.name())).collect();
    csv.push_str(&names.join(","));
    csv.push('\n');
    for row in order {
        for (place, (column, shown)) in columns.iter().enumerate() {
            if place > 0 {
                csv.push(',');
            }
            if column.is_valid(*row) {
                csv.push_str(&quoted(&shown.value(*row).try_to_string()?));
            }
        }
        csv.push('\n');
    }
    Ok(Computed {
        rows: order.len(),
        csv,
    })
}

fn quoted(value: &str) -> String {
    let is_plain =
        !value.is_empty() && value.trim() == value && !value.contains([',', '"', '\n', '\r']);
    if is_plain {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, Int64Array, ListArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    fn answer(columns: Vec<(&str, ArrayRef)>) -> Answer {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        Answer {
            schema: batch.schema(),
            batches: vec![batch.slice(0, 1), batch.slice(1, batch.num_rows() - 1)],
        }
    }

    #[test]
    fn null_and_empty_text_are_two_things_and_values_are_exact() {
        let decimals = Decimal128Array::from(vec![Some(1_500), Some(-5), None]);
        let times = TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None]);
        let rows = answer(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            (
                "note",
                Arc::new(StringArray::from(vec![Some(""), None, Some("a,\"b\"")])),
            ),
            (
                "kwh",
                Arc::new(decimals.with_precision_and_scale(12, 3).unwrap()),
            ),
            ("at", Arc::new(times.with_timezone("UTC"))),
            ("_run", Arc::new(Int64Array::from(vec![1, 1, 1]))),
        ]);
        let written = table(&rows, &["id".to_owned()]).unwrap();
        assert_eq!(
            written.csv,
            "id,note,kwh,at\n\
             1,\"\",1.500,1970-01-01T00:00:00Z\n\
             2,,-0.005,1970-01-01T00:00:01.500Z\n\
             3,\"a,\"\"b\"\"\",,\n"
        );
        assert_eq!(written.rows, 3);
    }

    #[test]
    fn rows_are_sorted_by_the_key_as_values_and_then_by_all_columns() {
        let rows = answer(vec![
            (
                "name",
                Arc::new(StringArray::from(vec!["b", "a", "c", "a"])),
            ),
            ("id", Arc::new(Int64Array::from(vec![10, 9, 9, 9]))),
        ]);
        let by = |key: &[&str]| {
            let key: Vec<String> = key.iter().map(ToString::to_string).collect();
            table(&rows, &key).unwrap().csv
        };
        assert_eq!(by(&["id"]), "name,id\na,9\na,9\nc,9\nb,10\n");
        assert_eq!(by(&[]), "name,id\na,9\na,9\nb,10\nc,9\n");
    }

    proptest::proptest! {
        #[test]
        fn different_rows_are_different_text(rows in two_rows()) {
            let line = |row: &Row| {
                let columns = row.iter().enumerate().map(|(place, value)| {
                    let column: ArrayRef = Arc::new(StringArray::from(vec![value.as_deref()]));
                    (place.to_string(), column, true)
                });
                let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
                csv(&batch, &[0]).unwrap().csv
            };
            let (a, b) = rows;
            proptest::prop_assert_eq!(line(&a) == line(&b), a == b);
        }
    }

    /// Two rows of the same columns, of few characters, so that they are nearly the same often.
    fn two_rows() -> impl proptest::strategy::Strategy<Value = (Row, Row)> {
        let row = proptest::collection::vec(proptest::option::of("[a,\"\n ]{0,2}"), 2);
        (row.clone(), row)
    }

    type Row = Vec<Option<String>>;

    #[test]
    fn spaces_that_would_not_be_seen_are_in_quotes() {
        assert_eq!([quoted(" a"), quoted("a b")], ["\" a\"", "a b"]);
    }

    #[test]
    fn a_rejected_row_has_all_its_reasons_in_one_value() {
        let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let parts = StructArray::try_from(vec![
            (
                "check",
                text(vec![Some("type"), Some("in order"), Some("empty")]),
            ),
            ("column", text(vec![Some("kwh"), None, Some("id")])),
            (
                "message",
                text(vec![Some("no number"), Some("it ends first"), None]),
            ),
        ])
        .unwrap();
        let element = Arc::new(Field::new("element", parts.data_type().clone(), true));
        let lengths = OffsetBuffer::from_lengths([2, 1]);
        let rows = answer(vec![
            ("line", Arc::new(Int64Array::from(vec![3, 2]))),
            ("raw", text(vec![Some("a,b"), Some("c")])),
            (
                "reasons",
                Arc::new(ListArray::new(element, lengths, Arc::new(parts), None)),
            ),
        ]);
        assert_eq!(
            rejections(&rows).unwrap().csv,
            "line,raw,reasons\n\
             3,\"a,b\",type(kwh): no number; in order: it ends first\n\
             2,c,empty(id)\n"
        );
    }
}
