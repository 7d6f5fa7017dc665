//! Texts that repeat, as numbers while their rows wait.
//!
//! A column such as the name of the file that a row comes from has few values. Batches bring it as
//! dictionaries of their own, which are costly to bring together, row by row and batch by batch. So
//! there is one dictionary for all rows, and they wait with their numbers in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The columns of a schema that wait as numbers, and the texts of each.
#[derive(Debug)]
pub(super) struct Codes {
    full: SchemaRef,
    waiting: SchemaRef,
    columns: Vec<(usize, Mutex<Texts>)>,
}

/// The texts of one column; the number of a text is its place.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<String, i32>,
    texts: Vec<String>,
    /// All of them as an array, as long as no text is added.
    array: Option<ArrayRef>,
}

impl Codes {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let repeats = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = schema.fields().iter();
        let columns = fields
            .clone()
            .enumerate()
            .filter(|(_, field)| *field.data_type() == repeats);
        let columns = columns
            .map(|(index, _)| (index, Mutex::default()))
            .collect();
        let waiting = fields.map(|field| match *field.data_type() == repeats {
            true => Arc::new(Field::new(
                field.name(),
                DataType::Int32,
                field.is_nullable(),
            )),
            false => Arc::clone(field),
        });
        Self {
            full: Arc::clone(schema),
            waiting: Arc::new(Schema::new(waiting.collect::<Vec<_>>())),
            columns,
        }
    }

    /// The schema of rows that wait.
    pub(super) fn waiting(&self) -> &SchemaRef {
        &self.waiting
    }

    /// The batch with numbers instead of texts.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.columns.is_empty() {
            return Ok(batch.clone());
        }
        let mut columns = batch.columns().to_vec();
        for (index, texts) in &self.columns {
            let Some(column) = columns.get_mut(*index) else {
                continue;
            };
            let dictionary = column.as_dictionary::<Int32Type>();
            let numbers = texts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .numbers(dictionary)?;
            *column = numbers;
        }
        RecordBatch::try_new(Arc::clone(&self.waiting), columns)
    }

    /// The batch as it was.
    pub(super) fn decode(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.columns.is_empty() {
            return Ok(batch.clone());
        }
        let columns = batch.columns().iter().enumerate();
        let columns = columns.map(|(index, column)| self.decode_column(index, column));
        RecordBatch::try_new(Arc::clone(&self.full), columns.collect::<Result<_, _>>()?)
    }

    /// One column, the one at `index`, as it was.
    pub(super) fn decode_column(
        &self,
        index: usize,
        column: &ArrayRef,
    ) -> Result<ArrayRef, ArrowError> {
        let Some((_, texts)) = self.columns.iter().find(|(own, _)| *own == index) else {
            return Ok(Arc::clone(column));
        };
        let texts = texts.lock().unwrap_or_else(PoisonError::into_inner).array();
        let numbers = column.as_primitive::<Int32Type>().clone();
        Ok(Arc::new(DictionaryArray::try_new(numbers, texts)?))
    }
}

impl Texts {
    fn numbers(&mut self, dictionary: &DictionaryArray<Int32Type>) -> Result<ArrayRef, ArrowError> {
        let own = dictionary.values().as_string::<i32>();
        let mut numbers = Vec::with_capacity(own.len());
        for text in own {
            // A key that stands for NULL makes its rows NULL.
            numbers.push(text.map(|text| self.number(text)).transpose()?);
        }
        let keys = dictionary.keys().iter();
        let numbers = keys.map(|key| numbers.get(usize::try_from(key?).ok()?).copied().flatten());
        Ok(Arc::new(numbers.collect::<arrow::array::Int32Array>()))
    }

    fn number(&mut self, text: &str) -> Result<i32, ArrowError> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let number =
            i32::try_from(self.texts.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        self.array = None;
        Ok(number)
    }

    fn array(&mut self) -> ArrayRef {
        let texts = &self.texts;
        let array = self
            .array
            .get_or_insert_with(|| Arc::new(StringArray::from_iter_values(texts)));
        Arc::clone(array)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::compute::{cast, concat_batches};

    use super::*;

    fn batch(files: &[Option<&str>]) -> RecordBatch {
        let dictionary: DictionaryArray<Int32Type> = files.iter().copied().collect();
        let lines = Int64Array::from_iter_values(0..files.len() as i64);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("file", Arc::new(dictionary)), ("line", Arc::new(lines))];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap()
    }

    #[test]
    fn rows_of_different_dictionaries_come_back_with_their_own_texts() {
        let batches = [
            batch(&[Some("a"), Some("b"), None]),
            batch(&[Some("b"), Some("c")]),
            batch(&[]),
            batch(&[None]),
        ];
        let codes = Codes::new(&batches[0].schema());
        let waiting: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| codes.encode(batch).unwrap())
            .collect();
        let together = concat_batches(codes.waiting(), &waiting).unwrap();
        let back = codes.decode(&together).unwrap();
        assert_eq!(back.schema(), batches[0].schema());
        let files = cast(back.column(0), &DataType::Utf8).unwrap();
        let files: Vec<Option<&str>> = files.as_string::<i32>().iter().collect();
        assert_eq!(
            files,
            [Some("a"), Some("b"), None, Some("b"), Some("c"), None]
        );
    }
}
