//! Fields that nobody declared: how many records have each.

use std::collections::HashMap;

/// The undeclared fields of objects of one kind, in one piece of a file.
#[derive(Debug, Default)]
pub(crate) struct Undeclared {
    fields: Vec<Counted>,
    by_name: HashMap<Box<[u8]>, usize>,
    /// The field that is probably next, because it was so in the object before.
    expected: usize,
}

#[derive(Debug)]
struct Counted {
    name: Box<[u8]>,
    records: u64,
    /// The last row that had it. Lists have many objects to a record.
    last: u32,
}

/// So many names are told apart in one piece; data in the place of names has no end.
const MOST: usize = 256;

impl Undeclared {
    /// A record has a field with this name, as it is written between its quotes.
    pub(crate) fn count(&mut self, name: &[u8], row: u32) {
        let is_expected = |field: &Counted| *field.name == *name;
        let found = match self.fields.get(self.expected) {
            Some(field) if is_expected(field) => Some(self.expected),
            _ => self.by_name.get(name).copied(),
        };
        match found {
            Some(index) => {
                let field = &mut self.fields[index];
                if field.last != row {
                    field.records += 1;
                    field.last = row;
                }
                self.expected = index + 1;
                if self.expected == self.fields.len() {
                    self.expected = 0;
                }
            }
            None if self.fields.len() < MOST => {
                self.by_name.insert(name.into(), self.fields.len());
                self.fields.push(Counted {
                    name: name.into(),
                    records: 1,
                    last: row,
                });
            }
            None => {}
        }
    }

    /// The names as they are written, each with the number of records that have it.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.fields
            .iter()
            .map(|field| (&*field.name, field.records))
    }
}
