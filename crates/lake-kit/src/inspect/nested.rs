//! Which columns JSON objects have, by looking at what their fields hold.

use lake_reader::{Column, ColumnType};
use serde_json::Value;

use super::types::{self, Suggestion};

/// Objects with more different fields than this, all of one type, are taken for maps.
const MOST_FIELDS: usize = 64;

/// Everything that the values of one place have been.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// How many records have a value here that is not null.
    values: usize,
    texts: Vec<String>,
    numbers: Vec<String>,
    booleans: usize,
    lists: usize,
    elements: Option<Box<Self>>,
    objects: usize,
    /// In the order in which the fields were first seen.
    fields: Vec<(String, Self)>,
}

impl Place {
    /// Adds what one more record has here.
    pub(super) fn note(&mut self, value: &Value) {
        if value.is_null() {
            return;
        }
        self.values += 1;
        match value {
            Value::Null => {}
            Value::Bool(_) => self.booleans += 1,
            Value::Number(number) => self.numbers.push(number.to_string()),
            Value::String(text) => self.texts.push(text.clone()),
            Value::Array(elements) => {
                self.lists += 1;
                let place = self.elements.get_or_insert_default();
                elements.iter().for_each(|element| place.note(element));
            }
            Value::Object(fields) => {
                self.objects += 1;
                for (name, value) in fields {
                    self.field(name).note(value);
                }
            }
        }
    }

    fn field(&mut self, name: &str) -> &mut Self {
        let at = match self.fields.iter().position(|(other, _)| other == name) {
            Some(at) => at,
            None => {
                self.fields.push((name.to_owned(), Self::default()));
                self.fields.len() - 1
            }
        };
        &mut self.fields[at].1
    }

    /// The fields of objects here as columns, with what is doubtful about each.
    pub(super) fn columns(&self) -> Vec<(Column, Vec<&'static str>)> {
        let of = |(name, place): &(String, Self)| {
            let Suggestion {
                data_type,
                rules,
                doubts,
            } = place.suggestion();
            let column = Column::new(name, data_type).with_rules(rules);
            let column = match place.values == self.objects && self.objects > 0 {
                true => column.required(),
                false => column,
            };
            (column, doubts)
        };
        self.fields.iter().map(of).collect()
    }

    /// The type that all values here have; JSON where they have several.
    fn suggestion(&self) -> Suggestion {
        let plain = |data_type| Suggestion {
            data_type,
            rules: lake_reader::Rules::default(),
            doubts: Vec::new(),
        };
        match self.values {
            // Nothing is known but that there may be something.
            0 => plain(ColumnType::Json),
            n if n == self.booleans => plain(ColumnType::Boolean),
            n if n == self.numbers.len() => types::suggest(&borrowed(&self.numbers)),
            n if n == self.texts.len() => match types::suggest(&borrowed(&self.texts)) {
                // What stands in quotes was meant as text, unless it is a date.
                found if matches!(found.data_type, ColumnType::Date | ColumnType::Timestamp) => {
                    found
                }
                _ => plain(ColumnType::Text),
            },
            n if n == self.lists => {
                let element = self.elements.as_ref().map(|place| place.suggestion());
                let element = element.unwrap_or_else(|| plain(ColumnType::Json));
                let element = Column::new("element", element.data_type).with_rules(element.rules);
                plain(ColumnType::List(element.into()))
            }
            n if n == self.objects => self.object(),
            _ => plain(ColumnType::Json),
        }
    }

    fn object(&self) -> Suggestion {
        let columns: Vec<Column> = self
            .columns()
            .into_iter()
            .map(|(column, _)| column)
            .collect();
        let first = columns.first().map(|column| column.data_type.clone());
        let data_type = match first {
            None => ColumnType::Json,
            Some(first) if columns.len() > MOST_FIELDS => {
                match columns.iter().all(|column| column.data_type == first) {
                    true => ColumnType::Map(Column::new("value", first).into()),
                    false => ColumnType::Json,
                }
            }
            Some(_) => ColumnType::Struct(columns.into()),
        };
        Suggestion {
            data_type,
            rules: lake_reader::Rules::default(),
            doubts: Vec::new(),
        }
    }
}

fn borrowed(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}
