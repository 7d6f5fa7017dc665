//! Columns that are being filled, and can be cut back: a record may turn out not to be JSON when
//! half of its values are in.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, ListArray, MapArray,
    NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

use super::shape::{Field, Parts, Shape};
use super::undeclared::Undeclared;
use crate::column::ColumnType;
use crate::fault::shown;
use crate::values::parser::{Booleans, Dates, Decimals, Floats, Integers, Parser, Timestamps};

/// The cells of one declared value.
#[derive(Debug)]
pub(crate) struct Cells<'s> {
    pub(crate) field: &'s Field,
    pub(crate) nulls: NullBufferBuilder,
    pub(crate) store: Store<'s>,
}

/// What is in the cells. A cell that is NULL has a place here as well, but in lists and maps.
#[derive(Debug)]
pub(crate) enum Store<'s> {
    Boolean(BooleanBufferBuilder, &'s Booleans),
    Int32(Vec<i32>, &'s Integers),
    Int64(Vec<i64>, &'s Integers),
    Float64(Vec<f64>, &'s Floats),
    Decimal(Vec<i128>, &'s Decimals),
    Date(Vec<i32>, &'s Dates),
    Timestamp(Vec<i64>, &'s Timestamps),
    Text(Texts),
    Json(Texts),
    Struct(Object<'s>),
    List(Ends, Box<Cells<'s>>),
    Map(Ends, Texts, Box<Cells<'s>>),
}

/// The cells of the fields of objects: of records, or of a struct column.
#[derive(Debug)]
pub(crate) struct Object<'s> {
    pub(crate) shape: &'s Shape,
    pub(crate) cells: Vec<Cells<'s>>,
    pub(crate) undeclared: Undeclared,
}

/// UTF-8 texts, one after the other.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Ends,
}

/// Where each of some parts ends that lie one after the other, behind a zero: offsets, as Arrow
/// has them.
#[derive(Debug)]
pub(crate) struct Ends(Vec<i32>);

impl Ends {
    fn new(capacity: usize) -> Self {
        let mut ends = Vec::with_capacity(capacity + 1);
        ends.push(0);
        Self(ends)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }

    pub(crate) fn last(&self) -> usize {
        self.0.last().copied().unwrap_or_default() as usize
    }

    /// Everything in a block comes from fewer bytes than 32 bits can count.
    #[inline]
    pub(crate) fn push(&mut self, end: usize) {
        self.0.push(end as i32);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len + 1);
    }

    fn finish(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(self.0.into())
    }
}

impl Texts {
    fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Ends::new(capacity),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// The text at a position.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends.0[index] as usize..self.ends.0[index + 1] as usize]
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last());
    }

    /// The texts from a position on that are there more than once, as faults show them.
    pub(crate) fn repeated(&self, start: usize) -> Vec<String> {
        let count = self.ends.len().saturating_sub(start);
        let mut texts: Vec<&[u8]> = (start..start + count).map(|at| self.get(at)).collect();
        texts.sort_unstable();
        let runs = texts.chunk_by(|a, b| a == b).filter(|run| run.len() > 1);
        runs.map(|run| shown(run[0])).collect()
    }

    /// Whoever pushed the texts has made sure that they are UTF-8.
    fn finish(self, nulls: NullBufferBuilder) -> StringArray {
        StringArray::new(self.ends.finish(), self.bytes.into(), nulls.build())
    }
}

impl<'s> Object<'s> {
    /// No objects yet; about so many are to come.
    pub(crate) fn new(shape: &'s Shape, capacity: usize) -> Self {
        let cells = shape.fields.iter().map(|field| Cells::new(field, capacity));
        Self {
            shape,
            cells: cells.collect(),
            undeclared: Undeclared::default(),
        }
    }

    /// Leaves the first `len` objects.
    pub(crate) fn truncate(&mut self, len: usize) {
        for cells in &mut self.cells {
            cells.truncate(len);
        }
    }

    /// An object in which everything is NULL.
    pub(crate) fn push_null(&mut self) {
        self.cells.iter_mut().for_each(Cells::push_null);
    }

    /// One array for each declared field.
    pub(crate) fn finish(self) -> Vec<ArrayRef> {
        self.cells.into_iter().map(Cells::finish).collect()
    }

    /// Calls `visit` with every object below and this one.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for cells in &self.cells {
            cells.visit(visit);
        }
    }
}

impl<'s> Cells<'s> {
    fn new(field: &'s Field, capacity: usize) -> Self {
        let part = |field: &'s Field| Box::new(Self::new(field, 0));
        let store = match (&field.parts, &field.values.parser) {
            (Parts::Struct(shape), _) => Store::Struct(Object::new(shape, capacity)),
            (Parts::Many(parts), _) => match &field.column.data_type {
                ColumnType::Map(_) => Store::Map(Ends::new(capacity), Texts::new(0), part(parts)),
                _ => Store::List(Ends::new(capacity), part(parts)),
            },
            (Parts::None, Parser::Boolean(parser)) => {
                Store::Boolean(BooleanBufferBuilder::new(capacity), parser)
            }
            (Parts::None, Parser::Int32(parser)) => {
                Store::Int32(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Int64(parser)) => {
                Store::Int64(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Float64(parser)) => {
                Store::Float64(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Decimal(parser)) => {
                Store::Decimal(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Date(parser)) => {
                Store::Date(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Timestamp(parser)) => {
                Store::Timestamp(Vec::with_capacity(capacity), parser)
            }
            (Parts::None, Parser::Json) => Store::Json(Texts::new(capacity)),
            (Parts::None, Parser::Text | Parser::Nested) => Store::Text(Texts::new(capacity)),
        };
        Self {
            field,
            nulls: NullBufferBuilder::new(capacity),
            store,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Leaves the first `len` cells, and nothing of one that is not finished.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.nulls.truncate(len);
        match &mut self.store {
            Store::Boolean(values, _) => values.truncate(len),
            Store::Int32(values, _) | Store::Date(values, _) => values.truncate(len),
            Store::Int64(values, _) | Store::Timestamp(values, _) => values.truncate(len),
            Store::Float64(values, _) => values.truncate(len),
            Store::Decimal(values, _) => values.truncate(len),
            Store::Text(texts) | Store::Json(texts) => texts.truncate(len),
            Store::Struct(object) => object.truncate(len),
            Store::List(ends, elements) => {
                ends.truncate(len);
                elements.truncate(ends.last());
            }
            Store::Map(ends, keys, values) => {
                ends.truncate(len);
                keys.truncate(ends.last());
                values.truncate(ends.last());
            }
        }
    }

    /// One more cell, which is NULL.
    pub(crate) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.store {
            Store::Boolean(values, _) => values.append(false),
            Store::Int32(values, _) | Store::Date(values, _) => values.push(0),
            Store::Int64(values, _) | Store::Timestamp(values, _) => values.push(0),
            Store::Float64(values, _) => values.push(0.0),
            Store::Decimal(values, _) => values.push(0),
            Store::Text(texts) | Store::Json(texts) => texts.push(&[]),
            Store::Struct(object) => object.push_null(),
            Store::List(ends, _) | Store::Map(ends, _, _) => ends.push(ends.last()),
        }
    }

    fn finish(self) -> ArrayRef {
        let data_type = self.field.column.data_type.arrow();
        let nulls = self.nulls;
        match self.store {
            Store::Boolean(mut values, _) => {
                Arc::new(BooleanArray::new(values.finish(), nulls.build()))
            }
            Store::Int32(values, _) => primitive::<Int32Type>(values, nulls, data_type),
            Store::Int64(values, _) => primitive::<Int64Type>(values, nulls, data_type),
            Store::Float64(values, _) => primitive::<Float64Type>(values, nulls, data_type),
            Store::Decimal(values, _) => primitive::<Decimal128Type>(values, nulls, data_type),
            Store::Date(values, _) => primitive::<Date32Type>(values, nulls, data_type),
            Store::Timestamp(values, _) => {
                primitive::<TimestampMicrosecondType>(values, nulls, data_type)
            }
            Store::Text(texts) | Store::Json(texts) => Arc::new(texts.finish(nulls)),
            Store::Struct(object) => {
                let count = nulls.len();
                let arrays = object.finish();
                let fields = match data_type {
                    DataType::Struct(fields) if !fields.is_empty() => fields,
                    _ => return Arc::new(StructArray::new_empty_fields(count, nulls.build())),
                };
                Arc::new(StructArray::new(fields, arrays, nulls.build()))
            }
            Store::List(ends, elements) => {
                let elements = elements.finish();
                let DataType::List(element) = data_type else {
                    return elements;
                };
                let list = ListArray::new(element, ends.finish(), elements, nulls.build());
                Arc::new(list)
            }
            Store::Map(ends, keys, values) => {
                let keys = keys.finish(NullBufferBuilder::new_with_len(ends.last()));
                let values = values.finish();
                let DataType::Map(entries, _) = data_type else {
                    return values;
                };
                let parts: Vec<ArrayRef> = vec![Arc::new(keys), values];
                let fields = match entries.data_type() {
                    DataType::Struct(fields) => fields.clone(),
                    _ => Default::default(),
                };
                let pairs = StructArray::new(fields, parts, None);
                let map = MapArray::new(entries, ends.finish(), pairs, nulls.build(), false);
                Arc::new(map)
            }
        }
    }

    fn visit(&self, visit: &mut impl FnMut(&Object<'s>)) {
        match &self.store {
            Store::Struct(object) => object.visit(visit),
            Store::List(_, parts) | Store::Map(_, _, parts) => parts.visit(visit),
            _ => {}
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    data_type: DataType,
) -> ArrayRef {
    let array = PrimitiveArray::<T>::new(values.into(), nulls.build());
    Arc::new(array.with_data_type(data_type))
}
