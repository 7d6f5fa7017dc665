//! How a declared column, with all its parts, is found in a file and made from it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::cells::Cells;
use super::convert::{Convert, conversion, described, possible};
use super::place::Place;
use super::size::between;
use crate::column::{Column, ColumnType};
use crate::fault::Fault;
use crate::layout::{ExtraColumns, Layout, MissingColumns};
use crate::mismatch::{self, HeaderError, MissingColumn, Warning};
use crate::values::parser::Values;

/// A declared column or part of one, bound to a file.
#[derive(Debug)]
pub(crate) struct Shape {
    column: Column,
    values: Values,
    /// Which of the fields that are read it is; none if the file does not have it.
    position: Option<usize>,
    parts: Parts,
}

/// What a value is made of.
#[derive(Debug)]
enum Parts {
    /// It is one value.
    One(Convert),
    /// The declared fields of a struct.
    Struct(Vec<Shape>),
    /// The elements of a list.
    List(Box<Shape>),
    /// The values of a map.
    Map(Box<Shape>),
    /// Nothing of it is in the file.
    Missing,
}

impl Shape {
    pub(crate) fn column(&self) -> &Column {
        &self.column
    }

    /// Makes the declared values from the fields of the file that are read, which have so many
    /// values.
    pub(crate) fn convert(
        &self,
        index: usize,
        place: Place<'_>,
        fields: &[ArrayRef],
        count: usize,
        faults: &mut Vec<Fault>,
    ) -> ArrayRef {
        match self.position.and_then(|position| fields.get(position)) {
            Some(array) => self.made_of(array, index, place, faults),
            None => {
                let nulls = new_null_array(&self.column.data_type.arrow(), count);
                self.cells(&nulls, index, place).all_missing(faults);
                nulls
            }
        }
    }

    fn cells<'a>(&'a self, array: &'a ArrayRef, index: usize, place: Place<'a>) -> Cells<'a> {
        Cells {
            column: &self.column,
            values: &self.values,
            index,
            place,
            array,
        }
    }

    fn made_of(
        &self,
        array: &ArrayRef,
        index: usize,
        place: Place<'_>,
        faults: &mut Vec<Fault>,
    ) -> ArrayRef {
        let cells = self.cells(array, index, place);
        if !matches!(self.parts, Parts::One(_)) {
            cells.all_missing(faults);
        }
        match (&self.parts, self.column.data_type.arrow()) {
            (Parts::One(convert), _) => convert(&cells, faults),
            (Parts::Struct(parts), DataType::Struct(wanted)) => {
                let found = array.as_struct();
                let arrays = parts.iter().map(|part| {
                    let place = Place::Field {
                        of: &place,
                        name: &part.column.name,
                        present: found.nulls(),
                    };
                    part.convert(index, place, found.columns(), found.len(), faults)
                });
                let arrays: Vec<ArrayRef> = arrays.collect();
                if arrays.is_empty() {
                    let nulls = found.nulls().cloned();
                    return Arc::new(StructArray::new_empty_fields(found.len(), nulls));
                }
                Arc::new(StructArray::new(wanted, arrays, found.nulls().cloned()))
            }
            (Parts::List(element), DataType::List(wanted)) => {
                let found = array.as_list::<i32>();
                let offsets = found.value_offsets();
                let place = Place::Element {
                    of: &place,
                    offsets,
                };
                let elements = between(found.values(), offsets);
                let elements = element.made_of(&elements, index, place, faults);
                let nulls = found.nulls().cloned();
                Arc::new(ListArray::new(wanted, from_zero(offsets), elements, nulls))
            }
            (Parts::Map(value), DataType::Map(wanted, sorted)) => {
                let found = array.as_map();
                let offsets = found.value_offsets();
                let keys = between(found.keys(), offsets);
                let place = Place::Entry {
                    of: &place,
                    offsets,
                    keys: &keys,
                };
                let texts = self.cells(&keys, index, place).keys(faults);
                let values = between(found.values(), offsets);
                let values = value.made_of(&values, index, place, faults);
                let fields = match wanted.data_type() {
                    DataType::Struct(fields) => fields.clone(),
                    _ => Fields::empty(),
                };
                let entries = StructArray::new(fields, vec![Arc::new(texts), values], None);
                let nulls = found.nulls().cloned();
                Arc::new(MapArray::new(
                    wanted,
                    from_zero(offsets),
                    entries,
                    nulls,
                    sorted,
                ))
            }
            (_, wanted) => new_null_array(&wanted, array.len()),
        }
    }
}

/// The same lists over elements of which the first one is theirs.
fn from_zero(offsets: &[i32]) -> OffsetBuffer<i32> {
    let first = offsets.first().copied().unwrap_or(0);
    let offsets: ScalarBuffer<i32> = offsets.iter().map(|offset| offset - first).collect();
    OffsetBuffer::new(offsets)
}

/// What looking for declared columns in a file yields, beside where they are.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    layout: &'a Layout,
    /// The leaves of the file that are read, in order.
    pub(crate) leaves: Vec<usize>,
    /// How many leaves of the file have been passed.
    passed: usize,
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            leaves: Vec::new(),
            passed: 0,
            warnings: Vec::new(),
        }
    }

    /// The columns of a file, in the order of their declaration.
    pub(crate) fn columns(
        &mut self,
        file: &Fields,
        declared: &[Column],
    ) -> Result<Vec<Shape>, HeaderError> {
        self.fields(file, declared, "")
    }

    /// The fields of a struct, or the columns of the file. They are passed in the order of the
    /// file, because that is the order of its leaves.
    fn fields(
        &mut self,
        file: &Fields,
        declared: &[Column],
        path: &str,
    ) -> Result<Vec<Shape>, HeaderError> {
        let duplicated = duplicated(file, path);
        if !duplicated.is_empty() {
            return Err(HeaderError::Duplicated { names: duplicated });
        }
        let mut shapes: Vec<Option<Shape>> = declared.iter().map(|_| None).collect();
        let mut undeclared = Vec::new();
        let mut read = 0;
        for (position, field) in file.iter().enumerate() {
            let wanted = declared
                .iter()
                .position(|column| column.name == *field.name());
            match wanted {
                Some(wanted) => {
                    let column = &declared[wanted];
                    let path = below(path, &column.name);
                    let mut shape = self.shape(field.data_type(), column, &path)?;
                    shape.position = Some(read);
                    shapes[wanted] = Some(shape);
                    read += 1;
                }
                None => {
                    self.passed += leaves(field);
                    undeclared.push((position, below(path, field.name())));
                }
            }
        }
        self.undeclared(undeclared)?;
        let missing: Vec<&Column> = declared
            .iter()
            .zip(&shapes)
            .filter(|(_, shape)| shape.is_none())
            .map(|(column, _)| column)
            .collect();
        if !missing.is_empty() && self.layout.missing_columns == MissingColumns::Fail {
            let nearest = |name: &str| nearest(name, file, declared);
            return Err(HeaderError::Missing {
                missing: missing
                    .iter()
                    .map(|column| MissingColumn {
                        name: below(path, &column.name),
                        nearest: nearest(&column.name),
                    })
                    .collect(),
                names: file.iter().map(|field| below(path, field.name())).collect(),
            });
        }
        declared
            .iter()
            .zip(shapes)
            .map(|(column, shape)| match shape {
                Some(shape) => Ok(shape),
                None => Ok(Shape {
                    column: column.clone(),
                    values: Values::new(column)?,
                    position: None,
                    parts: Parts::Missing,
                }),
            })
            .collect()
    }

    /// One field that is both declared and in the file.
    fn shape(
        &mut self,
        found: &DataType,
        column: &Column,
        path: &str,
    ) -> Result<Shape, HeaderError> {
        let first = self.passed;
        let parts = match (&column.data_type, found) {
            (ColumnType::Struct(declared), DataType::Struct(fields)) => {
                let before = self.leaves.len();
                let parts = self.fields(fields, declared, path)?;
                if self.leaves.len() == before {
                    // Whether the struct is there at all is known from any of its leaves.
                    self.leaves.push(first);
                }
                Parts::Struct(parts)
            }
            (ColumnType::List(declared), DataType::List(element)) => {
                let path = format!("{path}[]");
                let element = self.shape(element.data_type(), declared, &path)?;
                Parts::List(Box::new(element))
            }
            (ColumnType::Map(declared), DataType::Map(entries, _)) => {
                let [key, value] = entry(entries).ok_or_else(|| other(column, found, path))?;
                if *key.data_type() != DataType::BinaryView {
                    return Err(other(column, found, path));
                }
                self.leaves.push(self.passed);
                self.passed += 1;
                let path = format!("{path}.*");
                let value = self.shape(value.data_type(), declared, &path)?;
                Parts::Map(Box::new(value))
            }
            (declared, found) => {
                let convert = conversion(declared, found);
                self.leaves.push(self.passed);
                self.passed += 1;
                Parts::One(convert.ok_or_else(|| other(column, found, path))?)
            }
        };
        Ok(Shape {
            column: column.clone(),
            values: Values::new(column)?,
            position: None,
            parts,
        })
    }

    /// Deals with fields that nobody declared, as the layout says.
    fn undeclared(&mut self, fields: Vec<(usize, String)>) -> Result<(), HeaderError> {
        match self.layout.extra_columns {
            ExtraColumns::Ignore => {}
            ExtraColumns::Warn => {
                let warnings = fields
                    .into_iter()
                    .map(|(position, name)| Warning::UndeclaredColumn { name, position });
                self.warnings.extend(warnings);
            }
            ExtraColumns::Fail if fields.is_empty() => {}
            ExtraColumns::Fail => {
                return Err(HeaderError::Undeclared {
                    names: fields.into_iter().map(|(_, name)| name).collect(),
                    missing: Vec::new(),
                });
            }
        }
        Ok(())
    }
}

fn other(column: &Column, found: &DataType, path: &str) -> HeaderError {
    HeaderError::OtherType {
        column: path.to_owned(),
        declared: column.data_type.to_string(),
        found: described(found),
        possible: possible(found),
    }
}

/// The key and the value of a map.
fn entry(entries: &Field) -> Option<[&FieldRef; 2]> {
    match entries.data_type() {
        DataType::Struct(fields) => match &fields[..] {
            [key, value] => Some([key, value]),
            _ => None,
        },
        _ => None,
    }
}

/// How many columns of values a field has.
fn leaves(field: &Field) -> usize {
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field)).sum(),
        DataType::List(part) | DataType::Map(part, _) => leaves(part),
        _ => 1,
    }
}

/// The names that more than one field has.
fn duplicated(fields: &Fields, path: &str) -> Vec<String> {
    let mut names: Vec<&String> = fields.iter().map(|field| field.name()).collect();
    names.sort_unstable();
    let runs = names.chunk_by(|a, b| a == b);
    runs.filter(|run| run.len() > 1)
        .map(|run| below(path, run[0]))
        .collect()
}

/// The name in the file that was perhaps meant, if it is not declared itself.
fn nearest(wanted: &str, file: &Fields, declared: &[Column]) -> Option<String> {
    let names = file.iter().map(|field| field.name().as_str());
    mismatch::nearest(wanted, names, declared)
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
