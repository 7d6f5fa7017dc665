//! Raw files, wherever they are: on this machine, or in an object store.
//!
//! A file is known by its name, an absolute path or a URL, exactly as tables and messages have it.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lake_reader::{LocalFile, Source};
use lake_store::{Stores, is_url, shown};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::error::{Result, RunError};
use crate::read::Stored;

/// How much of a file on this machine is read at once, where it is read for its bytes alone.
const PIECE_BYTES: usize = 1 << 20;

/// How much of an object is asked for at once, and how often before it is taken.
const PART_BYTES: u64 = 8 << 20;
const PARTS_AHEAD: usize = 2;

/// What a file is that is another one since it was found.
pub(crate) fn changed() -> io::Error {
    io::Error::other("it was changed while it was read; nothing was published, run again")
}

/// A place where a raw file is, or may be.
#[derive(Debug, Clone)]
pub(crate) enum RawFile {
    Local(PathBuf),
    Stored(Arc<dyn ObjectStore>, Path),
}

/// What can be said of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    /// When it was last changed, in microseconds since 1970.
    pub(crate) modified: i64,
    /// What tells its content from any other that it has had, where a store says that.
    pub(crate) etag: Option<String>,
}

impl Stat {
    /// What the system says of a file of this machine.
    pub(crate) fn of_file(meta: &Metadata) -> io::Result<Self> {
        Ok(Self {
            size: meta.len(),
            modified: micros(meta.modified()?),
            etag: None,
        })
    }

    /// What a store says of an object.
    pub(crate) fn of_object(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            modified: meta.last_modified.timestamp_micros(),
            etag: meta.e_tag.clone(),
        }
    }
}

fn micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

impl RawFile {
    /// The place of a name.
    ///
    /// # Errors
    /// [`RunError::Input`] where it is a URL that cannot be opened.
    pub(crate) fn at(stores: &Stores, name: &str) -> Result<Self> {
        if !is_url(name) {
            return Ok(Self::Local(name.into()));
        }
        let (store, path) = stores.at(name).map_err(|error| RunError::Input {
            place: shown(name),
            message: error.to_string(),
        })?;
        Ok(Self::Stored(store, path))
    }

    /// What is there; `None` where no file is.
    pub(crate) async fn stat(&self) -> io::Result<Option<Stat>> {
        match self {
            Self::Local(path) => match fs::metadata(path) {
                Ok(meta) if meta.is_file() => Stat::of_file(&meta).map(Some),
                Ok(_) => Ok(None),
                // Below a file, and under a name that is too long, nothing is either.
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidFilename => Ok(None),
                    _ => Err(error),
                },
            },
            Self::Stored(store, path) => match store.head(path).await {
                Ok(meta) => Ok(Some(Stat::of_object(&meta))),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Its bytes from the first to the last, where `etag` is still what the store calls them.
    pub(crate) async fn bytes(
        &self,
        etag: Option<&str>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        match self {
            Self::Local(path) => {
                let file = tokio::fs::File::open(path).await?;
                let pieces = futures::stream::try_unfold(file, |mut file| async move {
                    let piece = piece(&mut file).await?;
                    Ok((!piece.is_empty()).then_some((piece, file)))
                });
                Ok(pieces.boxed())
            }
            Self::Stored(store, path) => {
                let found = self.stat().await?;
                let found = found.ok_or(io::ErrorKind::NotFound)?;
                if etag.is_some() && found.etag.as_deref() != etag {
                    return Err(changed());
                }
                // In parts, each of which is asked for again where something goes wrong with it: one
                // request for all would be given up after a while.
                let object =
                    Stored::new(Arc::clone(store), path.clone(), &found, Handle::current());
                let step = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
                let parts = (0..found.size).step_by(step);
                let parts = parts.map(move |from| {
                    let part = from..found.size.min(from + PART_BYTES);
                    object.clone().get(part)
                });
                Ok(futures::stream::iter(parts).buffered(PARTS_AHEAD).boxed())
            }
        }
    }

    /// All of it, which has to be UTF-8 text; `None` where no file is.
    pub(crate) async fn text(&self) -> io::Result<Option<String>> {
        if self.stat().await?.is_none() {
            return Ok(None);
        }
        let pieces = self.bytes(None).await?;
        let text = pieces.try_fold(Vec::new(), |mut text, piece| async move {
            text.extend_from_slice(&piece);
            Ok(text)
        });
        let text = String::from_utf8(text.await?);
        text.map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// BLAKE3 of its bytes.
    pub(crate) async fn hash(&self) -> io::Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        if let Self::Local(path) = self {
            hasher.update_reader(File::open(path)?)?;
        } else {
            let mut pieces = self.bytes(None).await?;
            while let Some(piece) = pieces.next().await {
                hasher.update(&piece?);
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// The file for readers, as it was found; `runtime` fetches what is in a store, for threads that
    /// are not its own.
    pub(crate) fn source(self, found: &Stat, runtime: Handle) -> Box<dyn Source> {
        match self {
            Self::Local(path) => Box::new(LocalFile(path)),
            Self::Stored(store, path) => Box::new(Stored::new(store, path, found, runtime)),
        }
    }
}

/// A raw file for readers, by its name: an absolute path or a URL. What it reads from a store comes
/// through the runtime that this is called on; threads of that must not read.
///
/// # Errors
/// [`RunError::Input`] where no file is, and of the store.
pub async fn raw_source(stores: &Stores, name: &str) -> Result<Box<dyn Source>> {
    let refuse = |message: String| RunError::Input {
        place: shown(name),
        message,
    };
    let file = RawFile::at(stores, name)?;
    let stat = file.stat().await.map_err(|e| refuse(e.to_string()))?;
    let stat = stat.ok_or_else(|| refuse("there is no such file".to_owned()))?;
    Ok(file.source(&stat, Handle::current()))
}

/// The text of a file, by its name.
///
/// # Errors
/// [`RunError::Input`] where no file is, or it is not UTF-8; and of the store.
pub async fn raw_text(stores: &Stores, name: &str) -> Result<String> {
    let refuse = |message: String| RunError::Input {
        place: shown(name),
        message,
    };
    let text = RawFile::at(stores, name)?.text().await;
    let text = text.map_err(|e| refuse(e.to_string()))?;
    text.ok_or_else(|| refuse("there is no such file".to_owned()))
}

/// The next bytes of a file; none at its end.
async fn piece(file: &mut tokio::fs::File) -> io::Result<Bytes> {
    use tokio::io::AsyncReadExt;

    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let most = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut piece).await?;
    Ok(piece.into())
}
