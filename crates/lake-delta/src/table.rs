//! What a table is to be, and what it is at one version.

use std::sync::Arc;

use crate::log::{Entry, commit_digest};
use crate::{Error, Result, Root};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use delta_kernel::engine::arrow_conversion::TryIntoKernel;
use delta_kernel::schema::StructType;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

/// The table property that says which pipeline a table belongs to.
pub(crate) const OWNER: &str = "lake.pipeline";
/// The table property that names the columns of the key, as a JSON list.
pub(crate) const KEY: &str = "lake.key";

/// What a table is declared to be.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name and place below the pipeline's root: `standard/readings`.
    pub name: String,
    /// All its columns, the partition columns and the system columns included.
    pub schema: SchemaRef,
    /// The columns that choose a row's directory.
    pub partition_by: Vec<String>,
    /// The columns that name a row, and by which rows are sorted within a file; empty where rows
    /// have no name.
    pub key: Vec<String>,
}

impl TableSpec {
    /// The schema as the Delta protocol has it, partition columns included.
    pub(crate) fn delta_schema(&self) -> Result<StructType> {
        kernel_schema(&self.name, &self.schema)
    }

    /// The table that remembers which keys of this one are deleted, and at
    /// which sequence.
    pub(crate) fn tombstones(
        &self,
        name: &str,
        key: &[String],
        newest_by: &[String],
    ) -> Result<Self> {
        let columns = key
            .iter()
            .chain(newest_by.iter().filter(|column| !key.contains(column)));
        let fields = columns
            .map(|column| self.schema.field_with_name(column).cloned())
            .collect::<std::result::Result<Vec<_>, _>>();
        Ok(Self {
            name: name.to_owned(),
            schema: Arc::new(Schema::new(
                fields.map_err(|e| Error::query(&self.name, e))?,
            )),
            partition_by: Vec::new(),
            key: key.to_vec(),
        })
    }

    /// Checks that `snapshot` can hold rows of this declaration: it has the same partitions, and
    /// these columns but for new ones, which its stored rows have as NULL.
    ///
    /// # Errors
    /// [`Error::Schema`] names every difference.
    pub fn check(&self, snapshot: &Snapshot) -> Result<()> {
        let declared = self.delta_schema()?;
        let stored = kernel_schema(&self.name, &snapshot.schema)?;
        let mut differences = Vec::new();
        for field in declared.fields() {
            match stored.field(field.name()) {
                None if self.key.contains(field.name()) => differences.push(format!(
                    "column {} is new and part of the key, and stored rows do not have it",
                    field.name()
                )),
                None if field.is_nullable() => {}
                None => differences.push(format!(
                    "column {} is new and must not be NULL, which it is in stored rows",
                    field.name()
                )),
                Some(old) if old.data_type() != field.data_type() => differences.push(format!(
                    "column {} is {} in the table and {} in the declaration",
                    field.name(),
                    old.data_type(),
                    field.data_type()
                )),
                Some(_) => {}
            }
        }
        for field in stored.fields() {
            if declared.field(field.name()).is_none() {
                differences.push(format!("column {} is no longer declared", field.name()));
            }
        }
        if self.partition_by != snapshot.partition_by {
            differences.push(format!(
                "it is partitioned by [{}] and declared to be by [{}]",
                snapshot.partition_by.join(", "),
                self.partition_by.join(", ")
            ));
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Schema {
            table: self.name.clone(),
            differences: differences.join("; "),
        })
    }
}

fn kernel_schema(table: &str, schema: &SchemaRef) -> Result<StructType> {
    schema
        .as_ref()
        .try_into_kernel()
        .map_err(|e: arrow::error::ArrowError| Error::delta(table, DeltaTableError::from(e)))
}

/// A table as it is at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) name: String,
    pub(crate) place: Root,
    pub(crate) table: DeltaTable,
    pub(crate) version: i64,
    pub(crate) id: String,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<String>,
    pub(crate) key: Vec<String>,
    pub(crate) files: Vec<Add>,
    pub(crate) digest: String,
}

impl Snapshot {
    /// The newest version of table `name` below `root`, which belongs to
    /// `pipeline`; `None` where nothing is there.
    ///
    /// # Errors
    /// [`Error::Foreign`] where something is there that this pipeline did not
    /// make, and the store's and the library's errors.
    pub async fn open(root: &Root, pipeline: &str, name: &str) -> Result<Option<Self>> {
        let place = root.child(name);
        let log_store = place.log_store();
        if !is_there(&place, &log_store, name).await? {
            return Ok(None);
        }
        let mut table = DeltaTable::new(log_store);
        if let Err(error) = table.load().await {
            // Where all of a log is an empty file, as a power cut leaves it, there is no table yet.
            let prefix = Path::from("_delta_log");
            let log = place.store().list_with_delimiter(Some(&prefix)).await;
            let log = log.map_err(|e| Error::store(name, e))?;
            let mut commits = log.objects.iter().filter(|object| {
                let name = object.location.filename();
                name != Some(LAST_CHECKPOINT)
            });
            return match commits.all(|object| object.size == 0) {
                true => Ok(None),
                false => Err(unreadable(name, error)),
            };
        }
        Self::of(place, pipeline, name, table).await.map(Some)
    }

    /// A table of `pipeline` at an earlier version.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the version cannot be read any more, and the store's errors.
    pub async fn open_at(root: &Root, pipeline: &str, name: &str, version: i64) -> Result<Self> {
        let place = root.child(name);
        let mut table = DeltaTable::new(place.log_store());
        let wanted = u64::try_from(version).unwrap_or_default();
        let loaded = table.load_version(wanted).await;
        loaded.map_err(|e| unreadable(name, e))?;
        Self::of(place, pipeline, name, table).await
    }

    /// The last version before `app` committed its transaction `run`, or a later one; `None`
    /// where the first version has it already.
    ///
    /// # Errors
    /// Of the store.
    pub async fn version_before(&self, app: &str, run: i64) -> Result<Option<i64>> {
        let mut version = self.version;
        while version >= 0 {
            let entry = Entry::read(&self.place, &self.name, version).await?;
            match entry.and_then(|entry| entry.transaction(app)) {
                // Transactions grow, and commits of others have none.
                Some(found) if found < run => return Ok(Some(version)),
                _ => version -= 1,
            }
        }
        Ok(None)
    }

    async fn of(place: Root, pipeline: &str, name: &str, table: DeltaTable) -> Result<Self> {
        let state = table.snapshot().map_err(|e| Error::delta(name, e))?;
        let owner = state.metadata().configuration().get(OWNER).cloned();
        if owner.as_deref() != Some(pipeline) {
            return Err(Error::Foreign {
                table: name.to_owned(),
                reason: match owner {
                    Some(other) => format!(
                        "this is a table of the pipeline {other}, not of {pipeline}; \
                         give each pipeline its own root or name"
                    ),
                    None => format!(
                        "there is a Delta table at {} that lake did not make; \
                         move it away or choose another root",
                        place.display()
                    ),
                },
            });
        }
        let protocol = state.protocol();
        let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
        // A version of features that is no feature is what the older numbers are.
        let features = protocol.writer_features().unwrap_or_default();
        if reader > 1 && !(reader == 3 && features.is_empty())
            || writer > 2 && !(writer == 7 && features.is_empty())
        {
            return Err(Error::Foreign {
                table: name.to_owned(),
                reason: format!(
                    "somebody has switched features of the table on that lake does not keep \
                     (protocol {reader}/{writer}: {features:?}); move the table away and load \
                     everything again with `lake run --reload` (ALTER TABLE … DROP FEATURE \
                     leaves another one, for a day at least)"
                ),
            });
        }
        let version = i64::try_from(state.version()).unwrap_or(i64::MAX);
        let snapshot = state.snapshot();
        let files = active_files(&table, name).await?;
        if files.iter().any(|add| add.deletion_vector.is_some()) {
            return Err(Error::Foreign {
                table: name.to_owned(),
                reason:
                    "somebody has deleted rows with deletion vectors, which lake does not read; \
                         set delta.enableDeletionVectors to false and rewrite the table \
                         (REORG TABLE … APPLY (PURGE)), then run again"
                        .to_owned(),
            });
        }
        // Of what was just read.
        let log = table.log_store().object_store(None);
        let digest = commit_digest(&log, name, version).await?;
        Ok(Self {
            name: name.to_owned(),
            version,
            id: state.metadata().id().to_owned(),
            schema: plain(&snapshot.arrow_schema()),
            partition_by: state.metadata().partition_columns().to_vec(),
            key: key_of(state.metadata().configuration().get(KEY)),
            files,
            digest,
            place,
            table,
        })
    }

    /// The version of this snapshot.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The columns of the key; empty where rows have none.
    #[must_use]
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// The names of the columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// How many rows the table has, from its files' statistics.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter_map(crate::stats::rows).sum()
    }

    /// The highest version that application `app` has committed, as the
    /// Delta protocol's `txn` action records it.
    ///
    /// # Errors
    /// The library's, where the log cannot be read.
    pub async fn transaction(&self, app: &str) -> Result<Option<i64>> {
        let state = self
            .table
            .snapshot()
            .map_err(|e| Error::delta(&self.name, e))?;
        state
            .transaction_version(self.table.log_store().as_ref(), app)
            .await
            .map_err(|e| Error::delta(&self.name, e))
    }
}

/// What the property says. Tables of earlier versions of lake do not have it.
pub(crate) fn key_of(property: Option<&String>) -> Vec<String> {
    let columns = property.and_then(|text| serde_json::from_str(text).ok());
    columns.unwrap_or_default()
}

#[expect(
    deprecated,
    reason = "a commit that removes or restores a file needs its whole action"
)]
pub(crate) async fn active_files(table: &DeltaTable, name: &str) -> Result<Vec<Add>> {
    let failed = |e| Error::delta(name, e);
    let state = table.snapshot().map_err(failed)?;
    let log_store = table.log_store();
    let views = state.snapshot().file_views(log_store.as_ref(), None);
    let mut files: Vec<Add> = views
        .map_ok(|view| view.add_action())
        .try_collect()
        .await
        .map_err(failed)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// A log that a store does not hand out is not a log that makes no sense.
fn unreadable(name: &str, error: DeltaTableError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut is_the_stores = false;
    while let Some(error) = cause {
        is_the_stores |= matches!(
            error.downcast_ref::<object_store::Error>(),
            Some(error) if !matches!(error, object_store::Error::NotFound { .. })
        );
        cause = error.source();
    }
    match is_the_stores {
        true => Error::delta(name, error),
        false => Error::Unreadable {
            table: name.to_owned(),
            source: error,
        },
    }
}

/// The library reads strings and decimals as it likes; our columns have one
/// Arrow type per Delta type.
pub(crate) fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            other => other.clone(),
        };
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    });
    Arc::new(Schema::new(fields.collect::<arrow::datatypes::Fields>()))
}

/// Where a log says what its last checkpoint is.
const LAST_CHECKPOINT: &str = "_last_checkpoint";

/// Whether there is a table. The library finds out by listing all of a log; most tables have what
/// its list begins with, or where its end is found. Where there is none, nothing else may be there.
async fn is_there(place: &Root, log_store: &LogStoreRef, name: &str) -> Result<bool> {
    for object in ["00000000000000000000.json", LAST_CHECKPOINT] {
        let path = Path::from("_delta_log").join(object);
        match place.store().head(&path).await {
            Ok(_) => return Ok(true),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Error::store(name, error)),
        }
    }
    let listed = log_store.is_delta_table_location();
    let (is_there, strangers) = futures::join!(listed, refuse_strangers(place, name));
    let is_there = is_there.map_err(|e| Error::delta(name, e))?;
    if !is_there {
        strangers?;
    }
    Ok(is_there)
}

/// Directories of our own attempts may lie where a table is to be; anything
/// else is somebody's, and is not built over.
async fn refuse_strangers(place: &Root, name: &str) -> Result<()> {
    let listed = place
        .store()
        .list_with_delimiter(None)
        .await
        .map_err(|e| Error::store(name, e))?;
    let stranger = listed
        .objects
        .iter()
        .map(|object| object.location.clone())
        .chain(listed.common_prefixes.into_iter().filter(|prefix| {
            !prefix.filename().is_some_and(|last| {
                last.starts_with(crate::write::ATTEMPT_PREFIX) || last == "_delta_log"
            })
        }))
        .next();
    match stranger {
        None => Ok(()),
        Some(path) => Err(Error::Foreign {
            table: name.to_owned(),
            reason: format!(
                "there is something at {} that is not a Delta table ({path}); \
                 move it away or choose another root",
                place.display()
            ),
        }),
    }
}
