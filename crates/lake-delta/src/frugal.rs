//! Fewer requests for what the Delta library and the engine ask for again and again.
//!
//! To open a table, the library reads every commit since the last checkpoint up to three times; to
//! read a data file, the engine asks for its last eight bytes, then for its metadata, then for its
//! columns. On an object store each of these is a round trip, and is paid for.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};

/// How much is kept in all.
const MOST_BYTES: usize = 8 << 20;
/// A commit with more is read as often as it is asked for.
const MOST_OF_A_COMMIT: u64 = 1 << 20;
/// How much of the end of a data file is read at once: of a small one, all.
const TAIL: u64 = 64 << 10;
/// What every Parquet file ends with: the length of its metadata, and the magic number.
const FOOTER: u64 = 8;

/// What is read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Once {
    /// Commits of a log. They never change, but a whole log can be gone and another one be in its
    /// place: what keeps them is for one look at one version of a table.
    Commits,
    /// The ends of data files, whose names are never used again.
    Tails,
}

/// A store that keeps some of what was read, to answer with it.
#[derive(Debug)]
pub(crate) struct Frugal {
    inner: Arc<dyn ObjectStore>,
    once: Once,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    objects: HashMap<Path, Part>,
    bytes: usize,
}

/// A part of an object, up to its end.
#[derive(Debug, Clone)]
struct Part {
    meta: ObjectMeta,
    from: u64,
    bytes: Bytes,
}

impl Part {
    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.from)?).ok()?;
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }

    /// What a store would answer.
    fn answer(&self, wanted: Option<&GetRange>) -> Option<GetResult> {
        let size = self.meta.size;
        let range = match wanted {
            None => 0..size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
            Some(GetRange::Offset(from)) => *from..size,
            Some(GetRange::Suffix(length)) => size.saturating_sub(*length)..size,
        };
        let bytes = self.slice(&range)?;
        let stream = futures::stream::once(std::future::ready(Ok(bytes)));
        Some(GetResult {
            payload: GetResultPayload::Stream(stream.boxed()),
            meta: self.meta.clone(),
            range,
            attributes: Attributes::default(),
        })
    }
}

impl Frugal {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, once: Once) -> Self {
        Self {
            inner,
            once,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, path: &Path) -> Option<Part> {
        self.kept().objects.get(path).cloned()
    }

    fn keep(&self, path: &Path, part: &Part) {
        let mut kept = self.kept();
        // What is read again soon was read a moment ago.
        if kept.bytes + part.bytes.len() > MOST_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += part.bytes.len();
        kept.objects.insert(path.clone(), part.clone());
    }

    /// What has to be read so that a request can be answered, and the next ones with it; `None`
    /// where it is asked for as it is.
    fn worth_reading(&self, path: &Path, options: &GetOptions) -> Option<Option<Range<u64>>> {
        let name = path.filename()?;
        match (self.once, &options.range) {
            (Once::Commits, _) => is_commit(path).then_some(None),
            (Once::Tails, Some(GetRange::Bounded(range)))
                // Checkpoints are written over by whoever sums a log up once more.
                if name.ends_with(".parquet")
                    && !path.parts().any(|part| part.as_ref() == "_delta_log")
                    && range.end - range.start == FOOTER =>
            {
                Some(Some(range.end.saturating_sub(TAIL)..range.end))
            }
            _ => None,
        }
    }
}

/// Whether this is `_delta_log/<version>.json`.
fn is_commit(path: &Path) -> bool {
    let mut parts: Vec<_> = path.parts().collect();
    let name = parts.pop();
    let version = name
        .as_ref()
        .and_then(|name| name.as_ref().strip_suffix(".json"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    version.is_some_and(is_number)
        && parts
            .last()
            .is_some_and(|part| part.as_ref() == "_delta_log")
}

/// Whether more is asked than what is there.
fn has_conditions(options: &GetOptions) -> bool {
    options.head
        || options.version.is_some()
        || options.if_match.is_some()
        || options.if_none_match.is_some()
        || options.if_modified_since.is_some()
        || options.if_unmodified_since.is_some()
}

impl fmt::Display for Frugal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Frugal {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if has_conditions(&options) {
            return self.inner.get_opts(location, options).await;
        }
        let known = self.known(location);
        if let Some(answer) = known.and_then(|part| part.answer(options.range.as_ref())) {
            return Ok(answer);
        }
        let Some(range) = self.worth_reading(location, &options) else {
            return self.inner.get_opts(location, options).await;
        };
        let whole = GetOptions {
            range: range.map(GetRange::Bounded),
            ..options.clone()
        };
        let found = self.inner.get_opts(location, whole).await?;
        if self.once == Once::Commits && found.meta.size > MOST_OF_A_COMMIT {
            return match options.range {
                None => Ok(found),
                Some(_) => self.inner.get_opts(location, options).await,
            };
        }
        let part = Part {
            meta: found.meta.clone(),
            from: found.range.start,
            bytes: found.bytes().await?,
        };
        self.keep(location, &part);
        match part.answer(options.range.as_ref()) {
            Some(answer) => Ok(answer),
            None => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(part) = self.known(location) {
            let slices = ranges.iter().map(|range| part.slice(range));
            if let Some(slices) = slices.collect() {
                return Ok(slices);
            }
        }
        // Whoever asks for one range may ask for a file's end.
        if let [range] = ranges {
            let found = self.get_opts(location, GetOptions::new().with_range(Some(range.clone())));
            return Ok(vec![found.await?.bytes().await?]);
        }
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use lake_testing::{FailingStore, Kind};
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn filled() -> FailingStore {
        let store = FailingStore::new(InMemory::new());
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for (path, length) in [
            ("t/_delta_log/00000000000000000001.json", 300),
            ("t/_delta_log/_last_checkpoint", 50),
            ("t/small.parquet", 5_000),
            ("t/large.parquet", 200_000),
        ] {
            let content = bytes[..length].to_vec();
            store.put(&Path::from(path), content.into()).await.unwrap();
        }
        store
    }

    fn gets(store: &FailingStore) -> usize {
        let operations = store.operations();
        let gets = operations.iter().filter(|op| op.kind == Kind::Get);
        gets.count()
    }

    #[tokio::test]
    async fn a_commit_is_asked_for_once_and_its_ranges_are_what_a_store_gives() {
        let store = filled().await;
        let frugal = Frugal::new(Arc::new(store.clone()), Once::Commits);
        let path = Path::from("t/_delta_log/00000000000000000001.json");
        for range in [
            None,
            Some(GetRange::Bounded(10..20)),
            Some(GetRange::Bounded(290..999)),
            Some(GetRange::Offset(7)),
            Some(GetRange::Suffix(9)),
        ] {
            let options = GetOptions {
                range,
                ..GetOptions::default()
            };
            let expected = store.get_opts(&path, options.clone()).await.unwrap();
            let found = frugal.get_opts(&path, options).await.unwrap();
            assert_eq!(found.range, expected.range);
            assert_eq!(found.meta, expected.meta);
            let (found, expected) = (found.bytes().await, expected.bytes().await);
            assert_eq!(found.unwrap(), expected.unwrap());
        }
        assert_eq!(gets(&store), 5 + 1);
        for _ in 0..2 {
            let path = Path::from("t/_delta_log/_last_checkpoint");
            frugal.get(&path).await.unwrap();
            frugal.head(&path).await.unwrap();
        }
        assert_eq!(gets(&store), 5 + 1 + 2, "what can change is asked for");
    }

    #[tokio::test]
    async fn the_end_of_a_data_file_is_asked_for_once_and_of_a_small_one_that_is_all() {
        let store = filled().await;
        let frugal = Frugal::new(Arc::new(store.clone()), Once::Tails);
        for (name, size, requests) in [("small", 5_000, 1), ("large", 200_000, 3)] {
            let path = Path::from(format!("t/{name}.parquet"));
            let before = gets(&store);
            let ranges = [size - 8..size, size - 4_000..size - 8, 0..100];
            let mut found = Vec::new();
            for range in &ranges {
                found.push(frugal.get_range(&path, range.clone()).await.unwrap());
            }
            let again = frugal.get_ranges(&path, &ranges).await.unwrap();
            assert_eq!(again, found);
            // That of the large one asks for what is not kept.
            assert_eq!(gets(&store) - before, requests, "{name}");
            assert_eq!(store.get_ranges(&path, &ranges).await.unwrap(), found);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_data_file_is_asked_for_once_also_as_the_only_one_of_ranges() {
        let store = filled().await;
        let frugal = Frugal::new(Arc::new(store.clone()), Once::Tails);
        let path = Path::from("t/small.parquet");
        let (footer, rest) = (4_992..5_000, [0..100, 4_000..4_992]);
        let found = frugal
            .get_ranges(&path, std::slice::from_ref(&footer))
            .await;
        let expected = store.get_range(&path, footer).await.unwrap();
        assert_eq!(found.unwrap(), [expected]);
        let before = gets(&store);
        let found = frugal.get_ranges(&path, &rest).await.unwrap();
        assert_eq!(gets(&store), before);
        assert_eq!(found, store.get_ranges(&path, &rest).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        let frugal = Frugal::new(Arc::new(filled().await), Once::Commits);
        let path = Path::from("t/_delta_log/00000000000000000002.json");
        let error = frugal.get(&path).await.unwrap_err();
        assert!(matches!(error, object_store::Error::NotFound { .. }));
    }
}
