//! Compaction: small files are put together, and rows stay what they are.
//!
//! Runs that bring little write small files, and rewrite none but those that lose rows. Every file
//! costs whoever reads the table a request and a look into its footer. A compaction takes the small
//! files of each partition and writes their rows again, sorted by the key over all of them, so that
//! statistics rule out more than before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
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
        let spec = TableSpec::of(self);
        let mut partitions: BTreeMap<Partition, Vec<Add>> = BTreeMap::new();
        for add in self.files.iter().filter(|add| add.size < SMALL) {
            let partition = partition(add, &spec);
            partitions.entry(partition).or_default().push(add.clone());
        }
        partitions.retain(|_, files| files.len() > 1);
        partitions
    }

    /// The metadata with these durations, where it asks for less.
    fn retaining(&self, hours: u64) -> Result<Option<Value>> {
        let mut metadata = metadata(&self.name, &self.table)?;
        let wanted = Value::from(interval(hours));
        let properties = metadata["configuration"].as_object_mut();
        let mut changed = false;
        if let Some(properties) = properties {
            for name in RETENTION {
                let said = properties.get(name).and_then(Value::as_str);
                // What cannot be read may be more.
                let is_less = said.is_none_or(|said| hours_of(said).is_some_and(|h| h < hours));
                if is_less {
                    properties.insert(name.to_owned(), wanted.clone());
                    changed = true;
                }
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

/// How many hours an interval in whole units has.
fn hours_of(interval: &str) -> Option<u64> {
    let interval = interval.trim().strip_prefix("interval").unwrap_or(interval);
    let (number, unit) = interval.trim().split_once(' ')?;
    let unit = unit.trim();
    let hours = match unit.strip_suffix('s').unwrap_or(unit) {
        "hour" => 1,
        "day" => 24,
        "week" => 7 * 24,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(hours)
}

/// What a new table says about how long things are kept.
pub(crate) fn retention(hours: u64) -> impl Iterator<Item = (&'static str, String)> {
    RETENTION
        .into_iter()
        .map(move |name| (name, interval(hours)))
}

/// Writers spell values in their own ways, so that they are compared as what they mean.
fn partition(add: &Add, spec: &TableSpec) -> Partition {
    let columns = spec.partition_by.iter();
    let values = columns.map(|column| {
        let text = add.partition_values.get(column)?.as_deref()?;
        let data_type = spec.schema.field_with_name(column).ok()?.data_type();
        // The protocol says that an empty value is NULL.
        (!text.is_empty()).then(|| meaning(text, data_type).unwrap_or_else(|| text.to_owned()))
    });
    values.collect()
}

fn meaning(text: &str, data_type: &DataType) -> Option<String> {
    let value = cast(&StringArray::from(vec![text]), data_type).ok()?;
    let text = array_value_to_string(&value, 0).ok();
    text.filter(|_| value.is_valid(0))
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
            let partition = partition(&add, &prepared.spec);
            after.entry(partition).or_default().push(add);
        }
        let mut unneeded = Vec::new();
        for (partition, mut old) in before {
            let mut new = after.remove(&partition).unwrap_or_default();
            // Rows that would not be there are worse than files that are.
            let same_rows = rows_in(&old).is_some_and(|rows| rows_in(&new) == Some(rows));
            if new.len() >= old.len() || !same_rows {
                unneeded.extend(new.into_iter().map(|add| add.path));
                continue;
            }
            let all = old.iter_mut().chain(&mut new);
            all.for_each(|add| add.data_change = false);
            prepared.removes.extend(old);
            prepared.adds.extend(new);
        }
        unneeded.extend(after.into_values().flatten().map(|add| add.path));
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

/// How many rows files have together; `None` where their statistics do not say.
fn rows_in(files: &[Add]) -> Option<u64> {
    files.iter().map(crate::stats::rows).sum()
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
