//! Where a value is: of which row, and inside of what.

use arrow::array::{ArrayRef, AsArray};
use arrow::buffer::NullBuffer;

use crate::fault::shown;

/// Where the values of an array are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// They are the values of a declared column: one a row.
    Column(&'a str),
    /// They are the values of a field of structs.
    Field {
        of: &'a Self,
        name: &'a str,
        /// Which of the structs are there; all, if that is not known.
        present: Option<&'a NullBuffer>,
    },
    /// They are the elements of lists.
    Element {
        of: &'a Self,
        /// Where each list starts, and the last one ends.
        offsets: &'a [i32],
    },
    /// They are the keys or the values of maps.
    Entry {
        of: &'a Self,
        offsets: &'a [i32],
        keys: &'a ArrayRef,
    },
}

impl Place<'_> {
    /// Whether what a value belongs to is there at all.
    pub(crate) fn exists(&self, at: usize) -> bool {
        match self {
            Self::Field { of, present, .. } => {
                present.is_none_or(|present| present.is_valid(at)) && of.exists(at)
            }
            Self::Column(_) | Self::Element { .. } | Self::Entry { .. } => true,
        }
    }

    /// The row of a value, and where in it the value is, as in `payload.items[3].price`.
    pub(crate) fn find(&self, at: usize) -> (usize, String) {
        match self {
            Self::Column(name) => (at, (*name).to_owned()),
            Self::Field { of, name, .. } => {
                let (row, path) = of.find(at);
                (row, format!("{path}.{name}"))
            }
            Self::Element { of, offsets } => {
                let (list, element) = part_of(offsets, at);
                let (row, path) = of.find(list);
                (row, format!("{path}[{element}]"))
            }
            Self::Entry { of, offsets, keys } => {
                let (map, _) = part_of(offsets, at);
                let (row, path) = of.find(map);
                let key = shown(keys.as_binary_view().value(at));
                (row, format!("{path}.{key}"))
            }
        }
    }

    /// Whether a value is part of another one.
    pub(crate) fn is_nested(&self) -> bool {
        !matches!(self, Self::Column(_))
    }
}

/// Which list has an element, and which of its elements it is.
fn part_of(offsets: &[i32], at: usize) -> (usize, usize) {
    let first = offsets.first().copied().unwrap_or(0);
    let at = i64::from(first) + at as i64;
    let list = offsets.partition_point(|&start| i64::from(start) <= at) - 1;
    (list, (at - i64::from(offsets[list])) as usize)
}
