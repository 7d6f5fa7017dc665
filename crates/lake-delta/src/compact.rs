//! Compaction: small files are put together, and rows stay what they are.
//!
//! Runs that bring little write small files, and rewrite none but those that lose rows. Every file
//! costs whoever reads the table a request and a look into its footer. A compaction takes the small
//! files of each partition and writes their rows again, sorted by the key over all of them, so that
//! statistics rule out more than before.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Add;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use crate::prepare::Attempt;
use crate::prepared::{Operation, Prepared};
use crate::restore::metadata;
use crate::scan::{Files, Selection};
use crate::write::{TARGET_FILE_SIZE, write_plan};
use crate::{Error, Result, Snapshot, TableSpec};

/// A file that has less than this is small.
const SMALL: i64 = (TARGET_FILE_SIZE.get() / 2) as i64;
/// About so many bytes of small files are sorted together.
const AT_A_TIME: i64 = 1024 * 1024 * 1024;
/// The table properties that say how long what is not current any more is kept, which other engines
/// heed when they clean up.
const RETENTION: [&str; 2] = [
    "delta.deletedFileRetentionDuration",
    "delta.logRetentionDuration",
];

/// The values of a row's partition columns, in their order.
type Partition = Vec<Option<String>>;

impl Snapshot {
    /// How many small files lie beside others of their partition, and how many bytes they have.
    #[must_use]
    pub fn small_files(&self) -> (u64, u64) {
        let small = self.small_by_partition();
        let small = small.values().flatten();
        small.fold((0, 0), |(files, bytes), add| {
            (files + 1, bytes + u64::try_from(add.size).unwrap_or(0))
        })
    }

    /// The small files of the partitions that have more than one.
    fn small_by_partition(&self) -> BTreeMap<Partition, Vec<Add>> {
        let mut partitions: BTreeMap<Partition, Vec<Add>> = BTreeMap::new();
        for add in self.files.iter().filter(|add| add.size < SMALL) {
            let partition = partition(add, &self.partition_by);
            partitions.entry(partition).or_default().push(add.clone());
        }
        partitions.retain(|_, files| files.len() > 1);
        partitions
    }

    /// The metadata with these durations, where they are others.
    fn retaining(&self, hours: u64) -> Result<Option<Value>> {
        let mut metadata = metadata(&self.name, &self.table)?;
        let wanted = Value::from(interval(hours));
        let properties = metadata["configuration"].as_object_mut();
        let mut changed = false;
        if let Some(properties) = properties {
            for name in RETENTION {
                changed |=
                    properties.insert(name.to_owned(), wanted.clone()) != Some(wanted.clone());
            }
        }
        Ok(changed.then_some(metadata))
    }
}

/// A duration as table properties have it.
fn interval(hours: u64) -> String {
    match hours % 24 {
        0 => format!("interval {} days", hours / 24),
        _ => format!("interval {hours} hours"),
    }
}

/// What a new table says about how long things are kept.
pub(crate) fn retention(hours: u64) -> impl Iterator<Item = (&'static str, String)> {
    RETENTION
        .into_iter()
        .map(move |name| (name, interval(hours)))
}

fn partition(add: &Add, columns: &[String]) -> Partition {
    let values = columns
        .iter()
        .map(|column| add.partition_values.get(column));
    values.map(|value| value.cloned().flatten()).collect()
}

impl Attempt {
    /// Puts the small files of each partition together, where that makes fewer of them, and sees to
    /// it that other engines keep what is not current any more for so many hours. There may be
    /// nothing to commit ([`Prepared::is_unchanged`]).
    ///
    /// # Errors
    /// Of the store, the library and the engine.
    pub async fn compact(&self, base: Snapshot, hours: u64) -> Result<Prepared> {
        let spec = TableSpec::of(&base);
        let metadata = base.retaining(hours)?;
        let mut small: Vec<(Partition, Vec<Add>)> = base.small_by_partition().into_iter().collect();
        let place = self.root.child(&spec.name);
        let operation = Operation::Optimize;
        let mut prepared = Prepared::new(&spec, place, &self.pipeline, Some(base), operation)?;
        prepared.metadata = metadata;
        while !small.is_empty() {
            let some = first_of(&mut small);
            let files = some.iter().flat_map(|(_, files)| files).cloned();
            let plan = self
                .rows_of(&prepared.files(), &spec, files.collect())
                .await?;
            let target = self.target(&spec)?;
            let context = self.session.task_ctx();
            let written = write_plan(&target, None, plan, None, &context).await?;
            self.keep_fewer(&mut prepared, some, written.live.files)
                .await;
        }
        Ok(prepared)
    }

    async fn rows_of(
        &self,
        files: &Files,
        spec: &TableSpec,
        adds: Vec<Add>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let failed = |e| Error::query(&spec.name, e);
        let config = self.session.copied_config();
        // Without partitions, one stream makes one order, and one file.
        let streams = match spec.partition_by.is_empty() {
            true => 1,
            false => config.target_partitions(),
        };
        let config = config.with_target_partitions(streams);
        let session = SessionContext::new_with_config_rt(config, self.session.runtime_env());
        let fields = spec.schema.fields().iter();
        let columns: Vec<String> = fields.map(|field| field.name().clone()).collect();
        let adds = adds.into_iter().enumerate();
        let table = files.positions(adds, &columns, Selection::All, streams);
        let rows = session.read_table(Arc::new(table.map_err(failed)?));
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows = rows.and_then(|rows| rows.select_columns(&names));
        let plan = rows.map_err(failed)?.create_physical_plan().await;
        plan.map_err(failed)
    }

    /// Takes over what was written, of the partitions that have fewer files of it than before. The
    /// rest is deleted: nothing refers to it.
    async fn keep_fewer(
        &self,
        prepared: &mut Prepared,
        before: Vec<(Partition, Vec<Add>)>,
        written: Vec<Add>,
    ) {
        let mut after: BTreeMap<Partition, Vec<Add>> = BTreeMap::new();
        for add in written {
            let partition = partition(&add, &prepared.spec.partition_by);
            after.entry(partition).or_default().push(add);
        }
        let mut unneeded = Vec::new();
        for (partition, mut old) in before {
            let mut new = after.remove(&partition).unwrap_or_default();
            if new.len() >= old.len() {
                unneeded.extend(new.into_iter().map(|add| add.path));
                continue;
            }
            let all = old.iter_mut().chain(&mut new);
            all.for_each(|add| add.data_change = false);
            prepared.removes.extend(old);
            prepared.adds.extend(new);
        }
        let store = prepared.place.store();
        for path in unneeded {
            if let Ok(path) = Path::parse(&path)
                && let Err(error) = store.delete(&path).await
            {
                tracing::debug!(%path, %error, "an unneeded file could not be deleted");
            }
        }
    }
}

/// As many files as are sorted together, and at least two of one partition.
fn first_of(small: &mut Vec<(Partition, Vec<Add>)>) -> Vec<(Partition, Vec<Add>)> {
    let mut some: Vec<(Partition, Vec<Add>)> = Vec::new();
    let mut bytes = 0;
    while let Some((partition, mut files)) = small.pop() {
        let mut count = 0;
        let fits = files.iter().take_while(|add| {
            bytes += add.size;
            count += 1;
            count <= 2 || bytes <= AT_A_TIME
        });
        let fits = fits.count();
        let rest = files.split_off(fits);
        some.push((partition.clone(), files));
        if rest.len() > 1 {
            small.push((partition, rest));
        }
        if bytes >= AT_A_TIME {
            break;
        }
    }
    some
}
