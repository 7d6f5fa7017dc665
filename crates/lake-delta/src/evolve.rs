//! Columns that a table gets after it was made.
//!
//! A declaration may have columns that the stored table does not: its rows have NULL there, in files
//! that were written before, which stay as they are. The table gets them in the order of the
//! declaration, in which SQL is planned, with the commit that is the first to have rows of them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use delta_kernel::schema::StructType;
use deltalake::DeltaTableError;
use serde_json::{Value, json};

use crate::log::Entry;
use crate::prepared::Commit;
use crate::table::{KEY, key_of, plain};
use crate::{Error, Result, Snapshot, TableSpec};

/// The `metaData` action that `base` needs to hold rows of `spec`; `None` where it can as it is.
pub(crate) fn metadata(spec: &TableSpec, base: &Snapshot) -> Result<Option<Value>> {
    let names = |schema: &SchemaRef| -> Vec<String> {
        let fields = schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    };
    if names(&spec.schema) == names(&base.schema) && spec.key == base.key {
        return Ok(None);
    }
    let broken = |e| Error::delta(&spec.name, DeltaTableError::generic(format!("{e}")));
    let mut metadata = crate::restore::metadata(&spec.name, &base.table)?;
    let declared = serde_json::to_value(spec.delta_schema()?).map_err(broken)?;
    let stored = metadata["schemaString"].as_str().unwrap_or_default();
    let mut stored: Value = serde_json::from_str(stored).map_err(broken)?;
    let known = stored["fields"].as_array().cloned().unwrap_or_default();
    let fields = declared["fields"].as_array().into_iter().flatten();
    // What is stored stays as it is described.
    let fields = fields.map(|field| {
        let mut known = known.iter();
        let stored = known.find(|stored| stored["name"] == field["name"]);
        stored.unwrap_or(field).clone()
    });
    stored["fields"] = fields.collect();
    metadata["schemaString"] = stored.to_string().into();
    if let Some(properties) = metadata["configuration"].as_object_mut() {
        match spec.key.is_empty() {
            true => properties.remove(KEY),
            false => properties.insert(KEY.to_owned(), json!(spec.key).to_string().into()),
        };
    }
    Ok(Some(metadata))
}

impl TableSpec {
    /// The declaration that a stored table fits.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            name: snapshot.name.clone(),
            schema: Arc::clone(&snapshot.schema),
            partition_by: snapshot.partition_by.clone(),
            key: snapshot.key.clone(),
        }
    }

    /// The declaration that a stored table fits once `commit` is there.
    pub(crate) fn after(snapshot: &Snapshot, commit: &Commit) -> Result<Self> {
        let spec = Self::of(snapshot);
        let entry = Entry::of_body(&commit.body);
        let Some(metadata) = entry.metadata() else {
            return Ok(spec);
        };
        let failed = |e: String| Error::delta(&spec.name, DeltaTableError::generic(e));
        let schema = metadata["schemaString"].as_str().unwrap_or_default();
        let schema: StructType = serde_json::from_str(schema).map_err(|e| failed(e.to_string()))?;
        let schema: arrow::datatypes::Schema = (&schema)
            .try_into_arrow()
            .map_err(|e| failed(e.to_string()))?;
        let schema: SchemaRef = Arc::new(schema);
        let key = metadata["configuration"][KEY].as_str().map(str::to_owned);
        Ok(Self {
            schema: plain(&schema),
            key: key_of(key.as_ref()),
            ..spec
        })
    }
}
