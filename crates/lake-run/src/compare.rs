//! Comparing two versions of a table, row by row, within the engine's memory limit.
//!
//! Rows are joined by key where both versions have the same one, so many keys at a time that the
//! join fits into memory; else they are counted, which can spill: a row that one version has more
//! often than the other was added or removed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use serde::Serialize;

/// A version of a table.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) provider: Arc<dyn TableProvider>,
    pub(crate) key: Vec<String>,
    /// Columns that make no difference: when a row was loaded, and by which run.
    pub(crate) besides: &'static [&'static str],
}

/// What differs in the rows of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rows {
    /// How many rows there were.
    pub rows_before: u64,
    /// How many rows there are.
    pub rows_after: u64,
    /// Rows whose key is new; without a key, rows that are there more often.
    pub added: u64,
    /// Rows whose key is gone; without a key, rows that are there less often.
    pub removed: u64,
    /// Rows of the same key with another value.
    pub changed: u64,
    /// In how many of the changed rows each column differs, the most frequent first.
    pub columns: Vec<ColumnDiff>,
    /// Some of the rows that differ.
    pub samples: Vec<Sample>,
}

/// How often a column differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDiff {
    /// The column.
    pub name: String,
    /// In how many changed rows.
    pub changed: u64,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// `added`, `removed` or `changed`.
    pub kind: &'static str,
    /// The values, in the order of the table's columns: those of the key, and those that differ.
    pub values: Vec<SampleValue>,
}

/// A value of a row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleValue {
    /// The column.
    pub column: String,
    /// What it was, as text; `None` is NULL, or that there was no row.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl Rows {
    /// Whether no row differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added + self.removed + self.changed == 0
    }
}

impl Compared {
    /// The columns that can differ.
    pub(crate) fn columns(&self) -> Vec<String> {
        let schema = self.provider.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        names
            .filter(|name| !self.besides.contains(&name.as_str()))
            .collect()
    }
}

/// Compares the rows of two versions over the columns that both have.
pub(crate) async fn rows(
    session: &SessionContext,
    old: &Compared,
    new: &Compared,
    samples: usize,
) -> Result<Rows> {
    let config = session.copied_config();
    let session = SessionContext::new_with_config_rt(config, session.runtime_env());
    session.register_table("before_", Arc::clone(&old.provider))?;
    session.register_table("after_", Arc::clone(&new.provider))?;
    let before = old.columns();
    let shared: Vec<String> = new
        .columns()
        .into_iter()
        .filter(|column| before.contains(column))
        .collect();
    let buckets = match new.key.is_empty() {
        true => 1,
        false => buckets(&session, shared.len()).await?,
    };
    register_bucket(&session, buckets);
    let comparison = Comparison {
        buckets,
        values: values(&session, old, new, &shared)?,
        session,
        has_key: !new.key.is_empty() && new.key == old.key,
        key: new.key.clone(),
        columns: shared,
        samples,
    };
    match comparison.has_key {
        true => comparison.by_key().await,
        false => comparison.by_count().await,
    }
}

/// What is compared for each column: nested values, which the engine cannot compare, as text.
fn values(
    session: &SessionContext,
    old: &Compared,
    new: &Compared,
    columns: &[String],
) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for column in columns {
        let types = [old, new].map(|side| {
            let schema = side.provider.schema();
            schema
                .field_with_name(column)
                .map(|f| f.data_type().clone())
        });
        let [before, after] = types;
        let (before, after) = (before?, after?);
        let quoted = quote(column);
        values.push(if before.is_nested() || after.is_nested() {
            let name = format!("text_of_{}", values.len());
            session.register_udf(create_udf(
                &name,
                vec![after],
                DataType::Utf8,
                Volatility::Immutable,
                Arc::new(text_of),
            ));
            format!("{name}({quoted})")
        } else if before != after {
            format!("CAST({quoted} AS VARCHAR)")
        } else {
            quoted
        });
    }
    Ok(values)
}

/// The share of the memory limit that the rows of one join may need, and what one row and each of
/// its values are taken to need, in bytes.
const JOIN_SHARE: usize = 4;
const ROW_BYTES: usize = 64;
const VALUE_BYTES: usize = 32;

/// In how many parts tables of so many columns are joined, so that a part fits into memory.
async fn buckets(session: &SessionContext, columns: usize) -> Result<u64> {
    let MemoryLimit::Finite(limit) = session.runtime_env().memory_pool.memory_limit() else {
        return Ok(1);
    };
    let sql = "SELECT (SELECT count(*) FROM before_) + (SELECT count(*) FROM after_) AS f";
    let rows = figure(&session.sql(sql).await?.collect().await?, 0);
    let bytes = rows.saturating_mul((ROW_BYTES + VALUE_BYTES * columns) as u64);
    Ok(bytes.div_ceil((limit / JOIN_SHARE).max(1) as u64).max(1))
}

/// A function of SQL that says to which part a key belongs, from the key as text.
fn register_bucket(session: &SessionContext, buckets: u64) {
    let bucket = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let keys = arrays
            .iter()
            .flat_map(|keys| keys.as_string::<i32>().iter());
        let places = keys.map(|key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            i64::try_from(hasher.finish() % buckets).unwrap_or_default()
        });
        let places: Int64Array = places.map(Some).collect();
        Ok(ColumnarValue::Array(Arc::new(places)))
    };
    session.register_udf(create_udf(
        "lake_bucket_",
        vec![DataType::Utf8],
        DataType::Int64,
        Volatility::Immutable,
        Arc::new(bucket),
    ));
}

fn text_of(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let texts: StringArray = arrays
        .iter()
        .flat_map(|array| (0..array.len()).map(move |row| text(array.as_ref(), row)))
        .collect();
    Ok(ColumnarValue::Array(Arc::new(texts)))
}

fn text(array: &dyn Array, row: usize) -> Option<String> {
    (!array.is_null(row)).then(|| array_value_to_string(array, row).unwrap_or_default())
}

struct Comparison {
    session: SessionContext,
    has_key: bool,
    key: Vec<String>,
    columns: Vec<String>,
    /// The SQL of each column's value.
    values: Vec<String>,
    samples: usize,
    /// In how many parts the keys are joined.
    buckets: u64,
}

impl Comparison {
    /// A version with the compared values under plain names, and a column that is never NULL.
    fn side(&self, table: &str) -> String {
        let values = self.values.iter().zip(&self.columns);
        let values: Vec<String> = values
            .map(|(value, column)| format!("{value} AS {}", quote(column)))
            .collect();
        format!(
            "(SELECT {}, TRUE AS lake_there_ FROM {table})",
            values.join(", ")
        )
    }

    /// The rows of a version whose keys belong to one part.
    fn part(&self, table: &str, bucket: u64) -> String {
        let side = self.side(table);
        if self.buckets == 1 {
            return side;
        }
        let key = self.key.iter();
        let key: Vec<String> = key
            .map(|column| format!("CAST({} AS VARCHAR)", quote(column)))
            .collect();
        format!(
            "(SELECT * FROM {side} WHERE lake_bucket_(concat_ws('|', {})) = {bucket})",
            key.join(", ")
        )
    }

    fn joined(&self, bucket: u64) -> String {
        let on: Vec<String> = self
            .key
            .iter()
            .map(|column| format!("n.{0} = o.{0}", quote(column)))
            .collect();
        format!(
            "{} o FULL JOIN {} n ON {}",
            self.part("before_", bucket),
            self.part("after_", bucket),
            on.join(" AND ")
        )
    }

    /// That a column of a row that both versions have differs.
    fn differs(column: &str) -> String {
        let column = quote(column);
        format!("(o.lake_there_ AND n.lake_there_ AND o.{column} IS DISTINCT FROM n.{column})")
    }

    fn compared(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().filter(|c| !self.key.contains(c))
    }

    async fn by_key(&self) -> Result<Rows> {
        let count = |condition: &str| {
            format!("CAST(sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS BIGINT)")
        };
        let differing: Vec<String> = self.compared().map(|c| Self::differs(c)).collect();
        let changed = match differing.is_empty() {
            true => "FALSE".to_owned(),
            false => differing.join(" OR "),
        };
        let (added, removed) = ("o.lake_there_ IS NULL", "n.lake_there_ IS NULL");
        let mut counts = vec![
            count("o.lake_there_"),
            count("n.lake_there_"),
            count(added),
            count(removed),
            count(&changed),
        ];
        counts.extend(differing.iter().map(|condition| count(condition)));
        // Where one column is compared, it differs in just the rows that have changed: without
        // names of their own the two figures would be one expression twice.
        let named = counts.iter().enumerate();
        let named: Vec<String> = named
            .map(|(place, sql)| format!("{sql} AS f{place}"))
            .collect();
        let mut figures = vec![0; counts.len()];
        let mut samples = Vec::new();
        for bucket in 0..self.buckets {
            let joined = self.joined(bucket);
            let sql = format!("SELECT {} FROM {joined}", named.join(", "));
            let batches = self.session.sql(&sql).await?.collect().await?;
            let found: Vec<u64> = (0..figures.len())
                .map(|place| figure(&batches, place))
                .collect();
            for (kind, condition, there_are) in [
                ("added", added, found.get(2)),
                ("removed", removed, found.get(3)),
                ("changed", changed.as_str(), found.get(4)),
            ] {
                let shown = samples.iter().filter(|s: &&Sample| s.kind == kind).count();
                let missing = self.samples.saturating_sub(shown);
                if there_are.is_some_and(|count| *count > 0) && missing > 0 {
                    samples.extend(self.sample(kind, condition, &joined, missing).await?);
                }
            }
            for (sum, more) in figures.iter_mut().zip(found) {
                *sum += more;
            }
        }
        let figure = |place: usize| figures.get(place).copied().unwrap_or_default();
        let mut rows = Rows {
            rows_before: figure(0),
            rows_after: figure(1),
            added: figure(2),
            removed: figure(3),
            changed: figure(4),
            samples,
            ..Rows::default()
        };
        let columns = self.compared().enumerate().map(|(place, name)| ColumnDiff {
            name: name.clone(),
            changed: figure(5 + place),
        });
        rows.columns = columns.filter(|column| column.changed > 0).collect();
        rows.columns
            .sort_by_key(|column| std::cmp::Reverse(column.changed));
        rows.samples.sort_by_key(|sample| match sample.kind {
            "added" => 0,
            "removed" => 1,
            _ => 2,
        });
        Ok(rows)
    }

    async fn sample(
        &self,
        kind: &'static str,
        condition: &str,
        joined: &str,
        most: usize,
    ) -> Result<Vec<Sample>> {
        let columns: Vec<String> = self
            .columns
            .iter()
            .flat_map(|column| {
                let column = quote(column);
                [format!("o.{column}"), format!("n.{column}")]
            })
            .enumerate()
            .map(|(place, value)| format!("{value} AS c{place}"))
            .collect();
        let order: Vec<String> = self
            .key
            .iter()
            .map(|column| format!("coalesce(n.{0}, o.{0})", quote(column)))
            .collect();
        let sql = format!(
            "SELECT {} FROM {joined} WHERE {condition} ORDER BY {} LIMIT {most}",
            columns.join(", "),
            order.join(", ")
        );
        let batches = self.session.sql(&sql).await?.collect().await?;
        Ok(self.samples_of(kind, &batches))
    }

    fn samples_of(&self, kind: &'static str, batches: &[RecordBatch]) -> Vec<Sample> {
        let rows = batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
        let sample = |(batch, row): (&RecordBatch, usize)| Sample {
            kind,
            values: self
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| SampleValue {
                    column: column.clone(),
                    before: text(batch.column(2 * place).as_ref(), row),
                    after: text(batch.column(2 * place + 1).as_ref(), row),
                })
                .filter(|value| {
                    kind != "changed"
                        || self.key.contains(&value.column)
                        || value.before != value.after
                })
                .collect(),
        };
        rows.map(sample).collect()
    }

    /// Rows without a key: how often each is there, in the one version and in the other.
    async fn by_count(&self) -> Result<Rows> {
        let list: Vec<String> = self.columns.iter().map(|column| quote(column)).collect();
        let list = list.join(", ");
        let counted = format!(
            "SELECT {list}, sum(lake_o_) AS lake_before_, sum(lake_n_) AS lake_after_ FROM \
             (SELECT {list}, 1 AS lake_o_, 0 AS lake_n_ FROM {} \
             UNION ALL SELECT {list}, 0 AS lake_o_, 1 AS lake_n_ FROM {}) GROUP BY {list}",
            self.side("before_"),
            self.side("after_"),
        );
        let sum = |what: &str| format!("CAST(coalesce(sum({what}), 0) AS BIGINT)");
        let more =
            "CASE WHEN lake_after_ > lake_before_ THEN lake_after_ - lake_before_ ELSE 0 END";
        let less =
            "CASE WHEN lake_before_ > lake_after_ THEN lake_before_ - lake_after_ ELSE 0 END";
        let sql = format!(
            "SELECT {}, {}, {}, {} FROM ({counted})",
            sum("lake_before_"),
            sum("lake_after_"),
            sum(more),
            sum(less)
        );
        let batches = self.session.sql(&sql).await?.collect().await?;
        let figure = |place: usize| figure(&batches, place);
        let mut rows = Rows {
            rows_before: figure(0),
            rows_after: figure(1),
            added: figure(2),
            removed: figure(3),
            ..Rows::default()
        };
        for (kind, condition, there_are) in [
            ("added", "lake_after_ > lake_before_", rows.added),
            ("removed", "lake_before_ > lake_after_", rows.removed),
        ] {
            if there_are == 0 || self.samples == 0 {
                continue;
            }
            let missing = "CAST(NULL AS VARCHAR)".to_owned();
            let pairs = self.columns.iter().flat_map(|column| match kind {
                "added" => [missing.clone(), quote(column)],
                _ => [quote(column), missing.clone()],
            });
            let named: Vec<String> = pairs
                .enumerate()
                .map(|(place, value)| format!("{value} AS c{place}"))
                .collect();
            let sql = format!(
                "SELECT {} FROM ({counted}) WHERE {condition} ORDER BY {list} LIMIT {}",
                named.join(", "),
                self.samples
            );
            let batches = self.session.sql(&sql).await?.collect().await?;
            rows.samples.extend(self.samples_of(kind, &batches));
        }
        Ok(rows)
    }
}

/// A count, which is NULL where there is no row at all.
fn figure(batches: &[RecordBatch], place: usize) -> u64 {
    batches
        .iter()
        .filter(|batch| batch.num_rows() > 0)
        .map(|batch| batch.column(place).as_primitive::<Int64Type>())
        .filter(|column| column.is_valid(0))
        .map(|column| column.value(0).unsigned_abs())
        .sum()
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use datafusion::datasource::MemTable;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::SessionConfig;

    use super::*;

    /// A version of a table with these rows, by an SQL query.
    async fn version(sql: &str) -> Compared {
        let session = SessionContext::new();
        let frame = session.sql(sql).await.unwrap();
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.unwrap();
        Compared {
            provider: Arc::new(MemTable::try_new(schema, vec![batches]).unwrap()),
            key: vec!["id".to_owned(), "half".to_owned()],
            besides: &["_run"],
        }
    }

    async fn compare(limit: usize) -> Rows {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(limit)))
            .build_arc()
            .unwrap();
        let session = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
        let rows = "SELECT value AS id, value % 2 = 0 AS half, value % 7 AS n, 1 AS _run \
                    FROM generate_series(1, 4000)";
        let old = version(rows).await;
        let new = version(&format!(
            "SELECT id, half, CASE WHEN id = 3 THEN NULL ELSE n END AS n, 2 AS _run FROM ({rows}) \
             WHERE id > 2 UNION ALL SELECT 9999, true, 1, 2"
        ))
        .await;
        super::rows(&session, &old, &new, 5).await.unwrap()
    }

    #[tokio::test]
    async fn what_differs_is_the_same_whether_keys_are_joined_at_once_or_in_parts() {
        let at_once = compare(1 << 30).await;
        let counts = [at_once.added, at_once.removed, at_once.changed];
        assert_eq!(counts, [1, 2, 1]);
        assert_eq!([at_once.rows_before, at_once.rows_after], [4000, 3999]);
        assert_eq!(at_once.columns.len(), 1);
        assert_eq!(at_once.samples.len(), 4);
        let mut in_parts = compare(4 << 20).await;
        let order = |sample: &Sample| (sample.kind, sample.values[0].before.clone());
        in_parts.samples.sort_by_key(order);
        let mut at_once = at_once;
        at_once.samples.sort_by_key(order);
        assert_eq!(in_parts, at_once);
    }

    #[tokio::test]
    async fn rows_without_a_key_are_counted_whatever_their_columns_are_called() {
        let keyless = |version: Compared| Compared {
            key: Vec::new(),
            ..version
        };
        let rows = "SELECT 1 AS n, 2 AS o, 3 AS before_ UNION ALL SELECT 1, 2, 3";
        let old = keyless(version(rows).await);
        let new =
            keyless(version("SELECT 1 AS n, 2 AS o, 3 AS before_ UNION ALL SELECT 4, 5, 6").await);
        let found = super::rows(&SessionContext::new(), &old, &new, 5)
            .await
            .unwrap();
        assert_eq!([found.added, found.removed, found.changed], [1, 1, 0]);
        let added = found.samples.iter().find(|s| s.kind == "added").unwrap();
        assert_eq!(added.values[0].before, None);
        assert_eq!(added.values[0].after.as_deref(), Some("4"));
    }
}
