//! The declared columns, as what has to be found in a record.

use super::text::Text;
use crate::column::{Column, ColumnType};
use crate::mismatch::HeaderError;
use crate::values::parser::Values;

/// The fields that objects of one kind may have: the columns of a record, or the fields of a
/// struct.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) fields: Vec<Field>,
    /// The fields' positions, ordered by their names.
    by_name: Vec<usize>,
    /// Where these objects are in a record, as in `payload.items[]`; empty for the record itself.
    pub(crate) path: String,
}

/// One declared value.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) column: Column,
    /// What its values are parsed with, if it is one value.
    pub(crate) values: Values,
    pub(crate) parts: Parts,
}

/// What a value consists of.
#[derive(Debug)]
pub(crate) enum Parts {
    /// It is one value.
    None,
    /// The fields of a struct.
    Struct(Shape),
    /// What the elements of a list are, or the values of a map.
    Many(Box<Field>),
}

impl Shape {
    /// The shape of records with these columns.
    ///
    /// # Errors
    ///
    /// Fails if the type of a column or of a part of it cannot exist, or if its rules contradict
    /// each other.
    pub(crate) fn new(columns: &[Column]) -> Result<Self, HeaderError> {
        Self::at(String::new(), columns)
    }

    fn at(path: String, columns: &[Column]) -> Result<Self, HeaderError> {
        let fields = columns
            .iter()
            .map(|column| Field::at(&below(&path, &column.name), column))
            .collect::<Result<Vec<Field>, HeaderError>>()?;
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by_key(|&field| fields[field].name());
        Ok(Self {
            fields,
            by_name,
            path,
        })
    }

    /// The field with this name. `expected` is the one that is probably meant.
    #[inline]
    pub(crate) fn find(&self, name: Text<'_>, expected: usize) -> Option<usize> {
        match self.fields.get(expected) {
            Some(field) if name.is(&field.column.name) => Some(expected),
            _ => self.search(name),
        }
    }

    fn search(&self, name: Text<'_>) -> Option<usize> {
        let name = name.content().ok()?;
        self.by_name
            .binary_search_by_key(&name.as_ref(), |&field| self.fields[field].name())
            .ok()
            .map(|found| self.by_name[found])
    }

    /// The path of a field of these objects.
    pub(crate) fn path_of(&self, name: &str) -> String {
        below(&self.path, name)
    }
}

impl Field {
    fn at(path: &str, column: &Column) -> Result<Self, HeaderError> {
        let part = |path: String, part| Ok(Parts::Many(Box::new(Self::at(&path, part)?)));
        let parts = match &column.data_type {
            ColumnType::Struct(fields) => Parts::Struct(Shape::at(path.to_owned(), fields)?),
            ColumnType::List(element) => part(format!("{path}[]"), element)?,
            ColumnType::Map(value) => part(below(path, "*"), value)?,
            _ => Parts::None,
        };
        // Whoever has to mend its rules looks for it by its path.
        let by_path = Column {
            name: path.to_owned(),
            ..column.clone()
        };
        Ok(Self {
            column: column.clone(),
            values: Values::new(&by_path)?,
            parts,
        })
    }

    fn name(&self) -> &[u8] {
        self.column.name.as_bytes()
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
