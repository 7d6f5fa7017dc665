//! Tables as a query sees them: as committed, and as prepared.
//!
//! The library can only scan a version that is in the log. A prepared change
//! is shown to it as one: an object store that serves the commit that would
//! be next, and everything else from the real store. The store is not touched.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use deltalake::DeltaTable;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use crate::log::commit_path;
use crate::partitioned::PartitionedTable;
use crate::prepared::{Prepared, Stamp};
use crate::{Error, Result, Snapshot};

impl Snapshot {
    /// The table at this version, for queries.
    ///
    /// # Errors
    /// The library's.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        let provider = self.table.table_provider().await;
        provider.map_err(|e| Error::query(&self.name, e))
    }
}

impl Prepared {
    /// The table as it will be once this change is applied, for queries.
    ///
    /// # Errors
    /// The library's.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        if self.is_unchanged()
            && let Some(base) = &self.base
        {
            return base.provider().await;
        }
        if self.base.is_none() && self.adds.is_empty() {
            // There is no directory yet that the library could open.
            return Ok(Arc::new(EmptyTable::new(Arc::clone(&self.spec.schema))));
        }
        let stamp = Stamp {
            app: "lake/prepared".to_owned(),
            run: 0,
            attempt: String::new(),
            time: 0,
        };
        let body = self.commit(&stamp)?.body;
        let path = self
            .place
            .prefix()
            .parts()
            .chain(commit_path(self.next_version()).parts())
            .collect();
        let shown = shown(path, body)
            .await
            .map_err(|e| Error::store(self.name(), e))?;
        let place = self
            .place
            .wrapped(|inner| Arc::new(Overlay { inner, shown }));
        let mut table = DeltaTable::new(place.log_store());
        table
            .load()
            .await
            .map_err(|e| Error::delta(self.name(), e))?;
        let provider = table.table_provider().await;
        let provider: Arc<dyn TableProvider> =
            provider.map_err(|e| Error::query(self.name(), e))?;
        if self.spec.partition_by.is_empty() {
            return Ok(provider);
        }
        let partition_by = &self.spec.partition_by;
        let files = self.current_files();
        let prefix = self.place.prefix();
        Ok(Arc::new(PartitionedTable::new(
            provider,
            prefix,
            partition_by,
            files,
        )))
    }
}

/// One object in memory, which answers reads with all their conditions and ranges.
async fn shown(path: Path, body: Vec<u8>) -> StoreResult<Shown> {
    let memory = object_store::memory::InMemory::new();
    memory.put(&path, Bytes::from(body).into()).await?;
    let meta = memory.head(&path).await?;
    Ok(Shown {
        memory: Arc::new(memory),
        meta,
    })
}

#[derive(Debug, Clone)]
struct Shown {
    memory: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
}

/// The real store with one object more. It refuses to write.
#[derive(Debug)]
struct Overlay {
    inner: Arc<dyn ObjectStore>,
    shown: Shown,
}

impl Overlay {
    /// Whether a real object would stand in for the shown commit, or above it:
    /// somebody has committed since, and this is the table as prepared.
    fn hides(&self, path: &Path) -> bool {
        let shown = &self.shown.meta.location;
        let log = shown.as_ref().rsplit_once('/').map(|(log, _)| log);
        match path.as_ref().rsplit_once('/') {
            Some((place, name)) => {
                Some(place) == log
                    && name.starts_with(|first: char| first.is_ascii_digit())
                    && *path >= *shown
            }
            None => false,
        }
    }

    fn real(
        &self,
        listed: BoxStream<'static, StoreResult<ObjectMeta>>,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let (shown, inner) = (self.shown.clone(), Arc::clone(&self.inner));
        let overlay = Self { inner, shown };
        listed
            .try_filter(move |meta| futures::future::ready(!overlay.hides(&meta.location)))
            .boxed()
    }

    fn below(&self, prefix: Option<&Path>) -> Option<ObjectMeta> {
        let location = &self.shown.meta.location;
        let inside = prefix
            .is_none_or(|prefix| location != prefix && location.prefix_match(prefix).is_some());
        inside.then(|| self.shown.meta.clone())
    }
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.inner, self.shown.meta.location)
    }
}

fn read_only(path: &Path) -> object_store::Error {
    object_store::Error::NotSupported {
        source: format!("{path}: a prepared table is read-only").into(),
    }
}

#[async_trait]
impl ObjectStore for Overlay {
    async fn put_opts(&self, path: &Path, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        Err(read_only(path))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(read_only(path))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        if *path == self.shown.meta.location {
            return self.shown.memory.get_opts(path, options).await;
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        locations
            .and_then(|path| async move { Err(read_only(&path)) })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let more = self.below(prefix).map(Ok);
        let real = self.real(self.inner.list(prefix));
        real.chain(futures::stream::iter(more)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let more = self
            .below(prefix)
            .filter(|meta| meta.location > *offset)
            .map(Ok);
        let real = self.real(self.inner.list_with_offset(prefix, offset));
        real.chain(futures::stream::iter(more)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|meta| !self.hides(&meta.location));
        if let Some(meta) = self.below(prefix) {
            let depth = prefix.map_or(0, |prefix| prefix.parts().count());
            if meta.location.parts().count() == depth + 1 {
                listed.objects.push(meta);
            } else {
                let directory: Path = meta.location.parts().take(depth + 1).collect();
                if !listed.common_prefixes.contains(&directory) {
                    listed.common_prefixes.push(directory);
                }
            }
        }
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, to: &Path, _: CopyOptions) -> StoreResult<()> {
        Err(read_only(to))
    }
}
