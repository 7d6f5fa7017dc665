//! A local file system that keeps what it has confirmed, also through a power cut.
//!
//! The library's store writes files and links them, and leaves it to the system when any of that
//! reaches the disk: after a power cut, a name can be there without its bytes, and a seal that was
//! confirmed can be gone. Here bytes are synced before a file gets its name, and the directories
//! that hold the name afterwards. (See fsync(2): syncing a file does not sync its directory entry.)

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use uuid::Uuid;

const STORE: &str = "the local file system";

/// The local file system, with what it confirms on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    inner: Arc<LocalFileSystem>,
}

impl Durable {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(LocalFileSystem::new()),
        }
    }
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A file that is to get a name, and the directories that hold it.
struct Place {
    file: PathBuf,
    /// Those that have to be synced: the file's own, and those above it that are new.
    directories: Vec<PathBuf>,
}

impl Place {
    fn of(file: PathBuf) -> Self {
        let above: Vec<&FsPath> = file.ancestors().skip(1).collect();
        let there = above.iter().position(|directory| directory.exists());
        let directories = above.iter().take(there.unwrap_or(0) + 1);
        let directories = directories
            .map(|directory| directory.to_path_buf())
            .collect();
        Self { file, directories }
    }

    /// A name beside it that no listing of the library shows: it ends with # and digits.
    fn staged(&self) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(format!("#{}", Uuid::new_v4().as_u128()));
        name.into()
    }

    fn put(&self, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
        if let Some(directory) = self.directories.first() {
            fs::create_dir_all(directory)?;
        }
        let staged = self.staged();
        let put = self.put_through(&staged, payload, mode);
        // A rename has taken it away.
        if !matches!((&put, mode), (Ok(()), PutMode::Overwrite)) {
            let _ = fs::remove_file(&staged);
        }
        put?;
        self.sync_names()
    }

    fn put_through(&self, staged: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(staged)?;
        payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
        file.sync_all()?;
        drop(file);
        match mode {
            PutMode::Create => fs::hard_link(staged, &self.file),
            _ => fs::rename(staged, &self.file),
        }
    }

    /// Syncs a file that has its name already, and its name.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.file)?.sync_all()?;
        self.sync_names()
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut directories = self.directories.iter();
        directories.try_for_each(|directory| File::open(directory)?.sync_all())
    }
}

/// Sees to it that a file that can be read is on the disk too, name and all: another process may
/// have given it its name just now.
///
/// # Errors
/// Of the file system.
pub async fn confirm(file: PathBuf, location: &Path) -> Result<()> {
    /// Its directory, and as many above as a pipeline may have made with it.
    const DIRECTORIES: usize = 3;
    let directories = file.ancestors().skip(1).take(DIRECTORIES);
    let directories = directories.map(FsPath::to_path_buf).collect();
    let place = Place { file, directories };
    on_disk(location, move || place.sync()).await
}

/// Does what waits for the disk where that holds nobody up.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_string();
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists {
            path,
            source: Box::new(source),
        },
        ErrorKind::NotFound => Error::NotFound {
            path,
            source: Box::new(source),
        },
        _ => Error::Generic {
            store: STORE,
            source: Box::new(source),
        },
    })
}

#[async_trait]
impl ObjectStore for Durable {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) || !options.attributes.is_empty() {
            // The library says what it does not do.
            return self.inner.put_opts(location, payload, options).await;
        }
        let file = self.inner.path_to_filesystem(location)?;
        on_disk(location, move || {
            Place::of(file).put(&payload, &options.mode)
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let place = Place::of(self.inner.path_to_filesystem(location)?);
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(Upload {
            inner,
            location: location.clone(),
            place: Some(place),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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
        let place = Place::of(self.inner.path_to_filesystem(to)?);
        self.inner.copy_opts(from, to, options).await?;
        on_disk(to, move || place.sync()).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let place = Place::of(self.inner.path_to_filesystem(to)?);
        self.inner.rename_opts(from, to, options).await?;
        on_disk(to, move || place.sync()).await
    }
}

/// An upload in parts, which is on the disk when it is complete.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    location: Path,
    place: Option<Place>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.inner.complete().await?;
        if let Some(place) = self.place.take() {
            on_disk(&self.location, move || place.sync()).await?;
        }
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    fn location(directory: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(directory.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_put_where_absent_fails_where_something_is_and_leaves_it_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (store, path) = (Durable::new(), location(&directory, "a/b/c.json"));
        let put = |text: &'static str, mode: PutMode| {
            let (store, path) = (store.clone(), path.clone());
            async move { store.put_opts(&path, text.into(), mode.into()).await }
        };
        put("one", PutMode::Create).await.unwrap();
        let error = put("two", PutMode::Create).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        let read = async || store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(read().await, "one");
        put("three", PutMode::Overwrite).await.unwrap();
        assert_eq!(read().await, "three");
        let listed: Vec<ObjectMeta> = store
            .list(Some(&location(&directory, "a")))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(listed.len(), 1, "nothing is left of what was staged");
        let names = fs::read_dir(directory.path().join("a/b")).unwrap();
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn new_directories_are_synced_up_to_the_one_that_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::of(directory.path().join("a/b/c.json"));
        let expected = ["a/b", "a", ""].map(|name| directory.path().join(name));
        let as_paths: Vec<&FsPath> = place.directories.iter().map(PathBuf::as_path).collect();
        assert_eq!(as_paths.len(), 3);
        for (found, expected) in as_paths.iter().zip(&expected) {
            assert!(found.components().eq(expected.components()), "{found:?}");
        }
    }
}
