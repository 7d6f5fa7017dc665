//! Rows gathered into buckets, in memory while they fit and in a temporary file beyond that.

use std::iter;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};

use super::ranges::Ranges;
use super::spill::{Segment, Spill};

/// A row, by the index of its batch and its own in that.
pub(super) type Place = (u32, u32);

/// How many rows a temporary file's batches have at the most.
const SPILL_ROWS: usize = 16 * 1024;
/// About how many bytes they have at the most: who reads them may have little memory.
const SPILL_BYTES: usize = 512 * 1024;
/// What sorting takes for a row beside the row: its key, and its place.
const SORT_BYTES: usize = 72;

/// Which bucket a row belongs to.
#[derive(Debug)]
pub(super) struct Spread {
    by: By,
    buckets: usize,
}

#[derive(Debug)]
enum By {
    /// A hash of these columns says it.
    Hash(Vec<usize>),
    /// Its place in the order says it.
    Ranges(Ranges),
}

impl Spread {
    pub(super) fn new(columns: Vec<usize>, buckets: usize) -> Self {
        let by = By::Hash(columns);
        Self { by, buckets }
    }

    pub(super) fn of_ranges(ranges: Ranges, buckets: usize) -> Self {
        let by = By::Ranges(ranges);
        Self { by, buckets }
    }

    /// The rows of `batches`, by bucket.
    fn places(&self, batches: &[RecordBatch]) -> Result<Vec<Vec<Place>>> {
        let mut places = iter::repeat_with(Vec::new)
            .take(self.buckets)
            .collect::<Vec<_>>();
        let mut hashes = Vec::new();
        for (batch, index) in batches.iter().zip(0..) {
            let rows = 0..batch.num_rows() as u32;
            if self.buckets == 1 {
                places
                    .iter_mut()
                    .for_each(|all| all.extend(rows.clone().map(|row| (index, row))));
                continue;
            }
            let columns = match &self.by {
                By::Hash(columns) => columns,
                By::Ranges(ranges) => {
                    for (range, row) in ranges.of(batch)?.into_iter().zip(rows) {
                        if let Some(bucket) = places.get_mut(range) {
                            bucket.push((index, row));
                        }
                    }
                    continue;
                }
            };
            let columns: Vec<&ArrayRef> =
                columns.iter().map(|column| batch.column(*column)).collect();
            hashes.clear();
            hashes.resize(batch.num_rows(), 0);
            create_hashes(columns, &RandomState::with_seed(0), &mut hashes)?;
            for (hash, row) in hashes.iter().zip(rows) {
                if let Some(bucket) = places.get_mut((hash % self.buckets as u64) as usize) {
                    bucket.push((index, row));
                }
            }
        }
        Ok(places)
    }
}

/// How much of the memory limit one of `streams` may hold before it spills: what all of them hold
/// leaves as much for sorting.
pub(super) fn budget(context: &TaskContext, streams: usize) -> usize {
    match context.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / (2 * streams.max(1)),
        _ => usize::MAX,
    }
}

/// The rows of one stream.
#[derive(Debug)]
pub(super) struct Gathered {
    spread: Arc<Spread>,
    schema: SchemaRef,
    budget: usize,
    disk: Arc<DiskManager>,
    memory: MemoryReservation,
    held: Vec<RecordBatch>,
    spill: Option<Spill>,
    buckets: Vec<Vec<Part>>,
}

impl Gathered {
    pub(super) fn new(
        spread: Arc<Spread>,
        schema: &SchemaRef,
        budget: usize,
        context: &Arc<TaskContext>,
    ) -> Self {
        Self {
            memory: MemoryConsumer::new("gathering rows")
                .with_can_spill(true)
                .register(&context.runtime_env().memory_pool),
            buckets: iter::repeat_with(Vec::new).take(spread.buckets).collect(),
            spread,
            schema: Arc::clone(schema),
            budget,
            disk: Arc::clone(&context.runtime_env().disk_manager),
            held: Vec::new(),
            spill: None,
        }
    }

    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = batch.get_array_memory_size();
        let is_full = self.memory.size().saturating_add(bytes) > self.budget;
        if is_full || self.memory.try_grow(bytes).is_err() {
            self.spill()?;
            // It is there already, whether there is room for it or not.
            self.memory.grow(bytes);
        }
        self.held.push(batch);
        Ok(())
    }

    /// After the last row. Where there was too much to hold, the rest is spilled too: sorting
    /// needs the memory.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.spill.is_some() {
            self.spill()?;
            return Ok(());
        }
        let batches: Arc<[RecordBatch]> = std::mem::take(&mut self.held).into();
        let places = self.spread.places(&batches)?;
        let reserved = Arc::new(self.memory.take());
        for (bucket, rows) in self.buckets.iter_mut().zip(places) {
            if !rows.is_empty() {
                bucket.push(Part::Held(Held {
                    batches: Arc::clone(&batches),
                    rows,
                    _reserved: Arc::clone(&reserved),
                }));
            }
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill::create(&self.disk)?),
        };
        let places = self.spread.places(&self.held)?;
        for (bucket, rows) in self.buckets.iter_mut().zip(places) {
            if rows.is_empty() {
                continue;
            }
            let batches = picked(&self.held, &rows, spilled_rows(&self.held));
            bucket.push(Part::Spilled(spill.write(
                &self.schema,
                rows.len(),
                batches,
            )?));
        }
        self.held.clear();
        self.memory.free();
        Ok(())
    }
}

/// The buckets that have rows, over all streams.
pub(super) fn buckets(gathered: impl Iterator<Item = Gathered>) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for stream in gathered {
        buckets.resize_with(stream.buckets.len().max(buckets.len()), Bucket::default);
        for (bucket, parts) in buckets.iter_mut().zip(stream.buckets) {
            bucket.parts.extend(parts);
        }
    }
    buckets.retain(|bucket| !bucket.parts.is_empty());
    buckets
}

/// Writes into a temporary file what is still held.
pub(super) fn spill_all(
    buckets: &mut [Bucket],
    schema: &SchemaRef,
    disk: &Arc<DiskManager>,
) -> Result<()> {
    let mut spill = None;
    for part in buckets.iter_mut().flat_map(|bucket| &mut bucket.parts) {
        if let Part::Held(held) = part {
            let spill = match &mut spill {
                Some(spill) => spill,
                None => spill.insert(Spill::create(disk)?),
            };
            let batches = picked(&held.batches, &held.rows, spilled_rows(&held.batches));
            *part = Part::Spilled(spill.write(schema, held.rows.len(), batches)?);
        }
    }
    Ok(())
}

/// Rows that are sorted together.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Held(Held),
    Spilled(Segment),
}

/// Some of the rows of batches in memory.
#[derive(Debug, Clone)]
struct Held {
    batches: Arc<[RecordBatch]>,
    rows: Vec<Place>,
    /// The batches' memory, which is given back with the last bucket that needs them.
    _reserved: Arc<MemoryReservation>,
}

impl Bucket {
    pub(super) fn rows(&self) -> usize {
        let rows = self.parts.iter().map(|part| match part {
            Part::Held(held) => held.rows.len(),
            Part::Spilled(segment) => segment.rows(),
        });
        rows.sum()
    }

    pub(super) fn is_spilled(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Spilled(_)))
    }

    /// How much memory it takes to sort it, beside what its rows hold already.
    pub(super) fn bytes_to_sort(&self) -> usize {
        let spilled = self.parts.iter().map(|part| match part {
            Part::Held(_) => 0,
            Part::Spilled(segment) => segment.bytes(),
        });
        spilled.sum::<usize>() + self.rows() * SORT_BYTES
    }

    /// All its rows in memory: batches, and the places of its rows in them.
    pub(super) fn load(&self) -> Result<(Vec<RecordBatch>, Vec<Place>)> {
        let mut batches = Vec::new();
        let mut places = Vec::with_capacity(self.rows());
        for part in &self.parts {
            let first = batches.len() as u32;
            match part {
                Part::Held(held) => {
                    batches.extend(held.batches.iter().cloned());
                    places.extend(held.rows.iter().map(|(batch, row)| (first + batch, *row)));
                }
                Part::Spilled(segment) => {
                    for (batch, index) in segment.read()?.zip(first..) {
                        let batch = batch?;
                        places.extend((0..batch.num_rows() as u32).map(|row| (index, row)));
                        batches.push(batch);
                    }
                }
            }
        }
        Ok((batches, places))
    }

    /// All its rows, a few at a time.
    pub(super) fn batches(
        self,
        most_rows: usize,
    ) -> impl Iterator<Item = Result<RecordBatch>> + Send {
        self.parts.into_iter().flat_map(
            move |part| -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send> {
                match part {
                    Part::Held(held) => {
                        let rows = held.rows.len();
                        let starts = (0..rows).step_by(most_rows.max(1));
                        Box::new(starts.map(move |start| {
                            let end = rows.min(start + most_rows);
                            let rows = held.rows.get(start..end).unwrap_or_default();
                            pick(&held.batches, rows)
                        }))
                    }
                    Part::Spilled(segment) => match segment.read() {
                        Ok(batches) => Box::new(batches.map(|batch| Ok(batch?))),
                        Err(error) => Box::new(iter::once(Err(error))),
                    },
                }
            },
        )
    }
}

/// How many rows of batches such as these a temporary file's batches have.
fn spilled_rows(batches: &[RecordBatch]) -> usize {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let of_one = (bytes / rows.max(1)).max(1);
    (SPILL_BYTES / of_one).clamp(1, SPILL_ROWS)
}

/// The rows at `places`, at most `most_rows` a batch.
pub(super) fn picked(
    batches: &[RecordBatch],
    places: &[Place],
    most_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch>> {
    places.chunks(most_rows).map(|rows| pick(batches, rows))
}

fn pick(batches: &[RecordBatch], places: &[Place]) -> Result<RecordBatch> {
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let places: Vec<(usize, usize)> = places
        .iter()
        .map(|(batch, row)| (*batch as usize, *row as usize))
        .collect();
    Ok(interleave_record_batch(&batches, &places)?)
}
