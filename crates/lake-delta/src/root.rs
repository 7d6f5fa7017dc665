//! Where the tables of a pipeline live: a prefix of an object store.

use std::collections::BTreeSet;
use std::path::Path as FsPath;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use lake_store::{Bucket, Stores, is_url};

use crate::frugal::{Frugal, Once};
use crate::{Error, Result};

/// A directory of an object store, under which tables and run state live.
///
/// It keeps the store's own root beside the prefix, because the Delta library
/// and the query engine address files by their full URL.
#[derive(Debug, Clone)]
pub struct Root {
    url: Url,
    whole: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Root {
    /// The root at `location`: the absolute path of a local directory, which
    /// need not exist yet, or the URL of a prefix in an object store.
    ///
    /// # Errors
    /// [`Error::Place`] where the location is a path that is not absolute, or a URL of nothing
    /// that can be opened. No store is asked anything.
    pub fn open(location: &str, stores: &Stores) -> Result<Self> {
        let refuse = |reason: &str| lake_store::Error::Location {
            location: location.to_owned(),
            reason: reason.to_owned(),
        };
        if is_url(location) {
            let (bucket, prefix) = Bucket::split(location)?;
            let url = bucket.directory(&prefix)?;
            let store = Frugal::new(stores.bucket(&bucket)?, Once::Tails);
            return Self::with_store(url, Arc::new(store));
        }
        // The Delta library takes paths for URLs now and then, and then for other paths.
        if location.contains(['%', '\\']) {
            return Err(refuse(
                "tables cannot be kept where a directory's name has % or \\ in it; choose another root",
            )
            .into());
        }
        let url = Url::from_directory_path(FsPath::new(location))
            .map_err(|()| refuse("a root is an absolute path"))?;
        Self::with_store(url, stores.local())
    }

    /// The root at `url` of a given store, whose own root is the root of the
    /// URL's host (or of the file system).
    ///
    /// # Errors
    /// [`Error::Place`] where the URL's path is not a store path.
    pub fn with_store(url: Url, whole: Arc<dyn ObjectStore>) -> Result<Self> {
        let prefix = Path::from_url_path(url.path());
        let prefix = prefix.map_err(|e| lake_store::Error::Location {
            location: url.to_string(),
            reason: e.to_string(),
        })?;
        Ok(Self { url, whole, prefix })
    }

    /// The root one or more levels below: `child("standard/readings")`.
    pub fn child(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        // Neither fails: the URL has a path, or `with_store` would have refused it.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(name.split('/')).push("");
        }
        let prefix = name
            .split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part));
        Self {
            url,
            whole: Arc::clone(&self.whole),
            prefix,
        }
    }

    /// The store, relative to this root.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(
            Arc::clone(&self.whole),
            self.prefix.clone(),
        ))
    }

    /// The URL, which ends with a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What people call this place: a path for local directories, else the URL.
    pub fn display(&self) -> String {
        match self.url.to_file_path() {
            Ok(path) => path.display().to_string(),
            Err(()) => self.url.as_str().trim_end_matches('/').to_owned(),
        }
    }

    /// Takes away the directories that the deletion of `paths` has left empty, below this root.
    /// Object stores have no directories.
    pub async fn prune(&self, paths: &[Path]) {
        let Ok(root) = self.url.to_file_path() else {
            return;
        };
        let mut directories = BTreeSet::new();
        for path in paths {
            let mut parts: Vec<_> = path.parts().collect();
            while parts.pop().is_some() && !parts.is_empty() {
                let parts = parts.iter();
                let directory = parts.fold(root.clone(), |place, part| place.join(part.as_ref()));
                if !directories.insert(directory) {
                    break;
                }
            }
        }
        let removed = tokio::task::spawn_blocking(move || {
            // What is inside comes after what it is in. One that is not empty stays.
            for directory in directories.iter().rev() {
                let _ = std::fs::remove_dir(directory);
            }
        });
        let _ = removed.await;
    }

    /// Takes away directories with all that is in them, uploads too that were killed and that no
    /// listing shows. Object stores have no directories, and forget such uploads by themselves.
    pub async fn remove_directories(&self, paths: &[Path]) {
        let Ok(root) = self.url.to_file_path() else {
            return;
        };
        let directories: Vec<_> = paths
            .iter()
            .map(|path| {
                let parts = path.parts();
                parts.fold(root.clone(), |place, part| place.join(part.as_ref()))
            })
            .collect();
        let removed = tokio::task::spawn_blocking(move || {
            for directory in directories {
                // What stays is found again.
                let _ = std::fs::remove_dir_all(directory);
            }
        });
        let _ = removed.await;
    }

    /// Takes away what Hadoop's local file system (Spark's) has written beside a file that it wrote
    /// and that is another one since: its checksum, which every reader of that system would hold
    /// against the new file.
    pub(crate) fn forget_checksum(&self, path: &str) {
        if let Ok(root) = self.url.to_file_path() {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            // Where Spark never wrote, there is none.
            let _ = std::fs::remove_file(root.join(directory).join(format!(".{name}.crc")));
        }
    }

    /// Makes sure that an object that can be read will not be gone after a power cut. Object
    /// stores promise that by themselves.
    ///
    /// # Errors
    /// Of the file system.
    pub async fn confirm(&self, path: &Path) -> Result<()> {
        let Ok(root) = self.url.to_file_path() else {
            return Ok(());
        };
        let file = path
            .parts()
            .fold(root, |file, part| file.join(part.as_ref()));
        let confirmed = lake_store::confirm(file, path).await;
        confirmed.map_err(|e| Error::store(path, e))
    }

    /// Makes a query engine read this root's files through this root's store.
    pub fn register(&self, runtime: &RuntimeEnv) {
        let mut host = self.url.clone();
        host.set_path("/");
        runtime.register_object_store(&host, Arc::clone(&self.whole));
    }

    /// The same place with another store in front of it.
    pub(crate) fn wrapped(
        &self,
        wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Self {
        Self {
            url: self.url.clone(),
            whole: wrap(Arc::clone(&self.whole)),
            prefix: self.prefix.clone(),
        }
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// What the Delta library opens a table with, at one version: it reads no commit twice.
    pub(crate) fn log_store(&self) -> LogStoreRef {
        let frugal = |store| Arc::new(Frugal::new(store, Once::Commits));
        let once = self.wrapped(|whole| frugal(whole));
        default_logstore(
            once.store(),
            Arc::clone(&once.whole),
            &self.url,
            &StorageConfig::default(),
        )
    }
}
