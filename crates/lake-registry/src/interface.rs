//! What a release offers and asks for: what its changes are measured by.

use std::collections::BTreeMap;

use lake_plugin::Declaration;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a transform declares, and the columns that its SQL yields.
///
/// The declaration does not say what columns a table has, as its SQL does; whoever can plan the
/// SQL writes them here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interface {
    /// What the transform declares.
    pub declaration: Declaration,
    /// The columns of each table, in order, by `zone/name`.
    #[serde(default)]
    pub tables: BTreeMap<String, Vec<TableColumn>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type, as the host writes it. Two types are the same where they are written the same.
    #[serde(rename = "type")]
    pub column_type: String,
}

impl Interface {
    /// An interface.
    #[must_use]
    pub fn new(declaration: Declaration, tables: BTreeMap<String, Vec<TableColumn>>) -> Self {
        Self {
            declaration,
            tables,
        }
    }

    /// As a release keeps it.
    ///
    /// # Errors
    /// [`Error::Refused`] where the declaration cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|e| Error::Refused {
            what: format!("what the transform declares cannot be written as JSON: {e}"),
        })
    }

    pub(crate) fn from_json(bytes: &[u8], path: &str) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|e| Error::format(path, format!("it is no interface: {e}")))
    }
}

impl TableColumn {
    /// A column.
    pub fn new(name: impl Into<String>, column_type: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            column_type: column_type.into(),
        }
    }
}
