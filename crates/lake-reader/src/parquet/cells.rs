//! The values of one field of the file, on their way to the declared type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder,
    NullBufferBuilder, PrimitiveArray, StringArray, StringBuilder,
};

use super::place::Place;
use super::value::text;
use crate::column::Column;
use crate::fault::{Fault, check, shown};
use crate::values::parser::Values;
use crate::values::reason::Reason;

/// The values of one field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) column: &'a Column,
    /// How texts are parsed, where they are.
    pub(crate) values: &'a Values,
    /// Which of the declared columns it is, or is part of.
    pub(crate) index: usize,
    pub(crate) place: Place<'a>,
    pub(crate) array: &'a ArrayRef,
}

impl Cells<'_> {
    /// Values that are numbers of some kind, each converted or a fault.
    #[inline]
    pub(crate) fn converted<S, T>(
        &self,
        faults: &mut Vec<Fault>,
        convert: impl Fn(S::Native) -> Result<T::Native, Reason>,
    ) -> ArrayRef
    where
        S: ArrowPrimitiveType,
        T: ArrowPrimitiveType,
    {
        let array = self.array.as_primitive::<S>();
        self.primitive::<T>(|at| {
            if array.is_null(at) {
                self.missing(at, NULL, faults);
                return None;
            }
            match convert(array.value(at)) {
                Ok(value) => Some(value),
                Err(reason) => {
                    self.unfit(at, &text(array, at), reason, faults);
                    None
                }
            }
        })
    }

    /// Values that are texts, each parsed or a fault.
    #[inline]
    pub(crate) fn parsed<T: ArrowPrimitiveType>(
        &self,
        faults: &mut Vec<Fault>,
        parse: impl Fn(&[u8]) -> Result<T::Native, Reason>,
    ) -> ArrayRef {
        self.primitive::<T>(|at| self.parse(at, &parse, faults))
    }

    /// Truth values, as they are.
    pub(crate) fn booleans(&self, faults: &mut Vec<Fault>) -> ArrayRef {
        self.all_missing(faults);
        Arc::clone(self.array)
    }

    /// Truth values that are texts.
    pub(crate) fn parsed_booleans(
        &self,
        faults: &mut Vec<Fault>,
        parse: impl Fn(&[u8]) -> Result<bool, Reason>,
    ) -> ArrayRef {
        let mut nulls = NullBufferBuilder::new(self.array.len());
        let mut values = BooleanBufferBuilder::new(self.array.len());
        for at in 0..self.array.len() {
            let value = self.parse(at, &parse, faults);
            nulls.append(value.is_some());
            values.append(value.unwrap_or_default());
        }
        Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
    }

    /// Texts, as they are; those that are not UTF-8, or that `accept` does not, are faults.
    pub(crate) fn texts(
        &self,
        faults: &mut Vec<Fault>,
        accept: impl Fn(&str) -> Result<(), Reason>,
    ) -> ArrayRef {
        let array = self.array.as_binary_view();
        let mut texts = StringBuilder::with_capacity(array.len(), 0);
        for at in 0..array.len() {
            if array.is_null(at) {
                self.missing(at, NULL, faults);
                texts.append_null();
                continue;
            }
            let value = self.values.trimmed(array.value(at));
            if self.values.is_null(value) {
                self.missing(at, NULL, faults);
                texts.append_null();
                continue;
            }
            match std::str::from_utf8(value).map(|text| (text, accept(text))) {
                Ok(("", _)) if self.column.required => {
                    self.missing(at, EMPTY, faults);
                    texts.append_null();
                }
                Ok((text, Ok(()))) => texts.append_value(text),
                Ok((_, Err(reason))) => {
                    self.unfit(at, value, reason, faults);
                    texts.append_null();
                }
                Err(_) => {
                    self.not_utf_8(at, value, faults);
                    texts.append_null();
                }
            }
        }
        Arc::new(texts.finish())
    }

    /// Texts that have to be there: the keys of maps.
    pub(crate) fn keys(&self, faults: &mut Vec<Fault>) -> StringArray {
        let array = self.array.as_binary_view();
        let texts = (0..array.len()).map(|at| match std::str::from_utf8(array.value(at)) {
            Ok(text) => text,
            Err(_) => {
                self.not_utf_8(at, array.value(at), faults);
                ""
            }
        });
        StringArray::from_iter_values(texts)
    }

    /// A value is not there, which is a fault if it is required and could be there.
    fn missing(&self, at: usize, how: &str, faults: &mut Vec<Fault>) {
        if !self.column.required || !self.place.exists(at) {
            return;
        }
        let (row, path) = self.place.find(at);
        let message = format!("'{path}' is required, and {how} here");
        faults.push(self.fault(row, check::REQUIRED, String::new(), message));
    }

    /// Every value that is NULL is missing.
    pub(crate) fn all_missing(&self, faults: &mut Vec<Fault>) {
        let Some(nulls) = self.array.nulls().filter(|_| self.column.required) else {
            return;
        };
        for at in (0..nulls.len()).filter(|&at| nulls.is_null(at)) {
            self.missing(at, NULL, faults);
        }
    }

    #[inline]
    fn primitive<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Option<T::Native>,
    ) -> ArrayRef {
        let mut nulls = NullBufferBuilder::new(self.array.len());
        let values: Vec<T::Native> = (0..self.array.len())
            .map(|at| {
                let value = value(at);
                nulls.append(value.is_some());
                value.unwrap_or_default()
            })
            .collect();
        let array = PrimitiveArray::<T>::new(values.into(), nulls.finish());
        Arc::new(array.with_data_type(self.column.data_type.arrow()))
    }

    #[inline]
    fn parse<V>(
        &self,
        at: usize,
        parse: &impl Fn(&[u8]) -> Result<V, Reason>,
        faults: &mut Vec<Fault>,
    ) -> Option<V> {
        let array = self.array.as_binary_view();
        if array.is_null(at) {
            self.missing(at, NULL, faults);
            return None;
        }
        let value = self.values.trimmed(array.value(at));
        if value.is_empty() || self.values.is_null(value) {
            self.missing(at, EMPTY, faults);
            return None;
        }
        match parse(value) {
            Ok(value) => Some(value),
            Err(_) if std::str::from_utf8(value).is_err() => {
                self.not_utf_8(at, value, faults);
                None
            }
            Err(reason) => {
                self.unfit(at, value, reason, faults);
                None
            }
        }
    }

    #[cold]
    fn unfit(&self, at: usize, value: &[u8], reason: Reason, faults: &mut Vec<Fault>) {
        let value = shown(value);
        let message = reason.about(&value, self.column);
        self.wrong(at, check::TYPE, value, message, faults);
    }

    #[cold]
    fn not_utf_8(&self, at: usize, value: &[u8], faults: &mut Vec<Fault>) {
        let value = shown(value);
        let message = format!("'{value}' is not UTF-8; its bad bytes are shown as \\xNN");
        self.wrong(at, check::UTF_8, value, message, faults);
    }

    fn wrong(
        &self,
        at: usize,
        check: &'static str,
        value: String,
        message: String,
        faults: &mut Vec<Fault>,
    ) {
        let (row, path) = self.place.find(at);
        let message = if self.place.is_nested() {
            format!("{path}: {message}")
        } else {
            message
        };
        faults.push(self.fault(row, check, value, message));
    }

    fn fault(&self, row: usize, check: &'static str, value: String, message: String) -> Fault {
        Fault {
            row: row as u32,
            column: Some(self.index),
            check,
            value,
            message,
        }
    }
}

/// How a value is not there.
const NULL: &str = "null";
const EMPTY: &str = "empty";
