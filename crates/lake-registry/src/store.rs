//! Reading and putting objects so that what is there decides, and not what the store says.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode};

use crate::error::{Error, Result};

/// A put that fails and leaves nothing is tried this often.
const PUT_ATTEMPTS: usize = 5;

/// How a put-if-absent ended.
#[derive(Debug)]
pub(crate) enum Put {
    /// Our bytes are there.
    There,
    /// Other bytes are there.
    Other(Bytes),
}

/// The objects of a registry, with what people call its place.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) store: std::sync::Arc<dyn ObjectStore>,
    pub(crate) place: String,
}

impl Objects {
    /// An object as messages name it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        format!("{}/{path}", self.place)
    }

    pub(crate) fn failed(&self, path: &Path, source: StoreError) -> Error {
        Error::store(&self.shown(path), source)
    }

    /// A whole object of at most so many bytes, or `None` where there is none.
    ///
    /// The size is looked at first: a registry that somebody has filled with nonsense costs an
    /// error, and not the machine's memory.
    pub(crate) async fn get(&self, path: &Path, most: u64) -> Result<Option<Bytes>> {
        let found = match self.store.get(path).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(path, error)),
        };
        if found.meta.size > most {
            return Err(Error::TooLarge {
                path: self.shown(path),
                most,
                found: found.meta.size,
            });
        }
        let bytes = found.bytes().await.map_err(|e| self.failed(path, e))?;
        Ok(Some(bytes))
    }

    /// Puts an object where none is.
    ///
    /// A put may have landed although the store says otherwise: an answer was lost, or the client
    /// sent it twice and met itself. So after any error the object is read, which is an error of
    /// its own where it has more than `most` bytes.
    pub(crate) async fn put_new(&self, path: &Path, bytes: &Bytes, most: u64) -> Result<Put> {
        let mut attempt = 1;
        loop {
            let payload = bytes.clone().into();
            let put = self.store.put_opts(path, payload, PutMode::Create.into());
            let error = match put.await {
                Ok(_) => return Ok(Put::There),
                Err(error) => error,
            };
            match self.get(path, most).await? {
                Some(found) if found == *bytes => return Ok(Put::There),
                Some(found) => return Ok(Put::Other(found)),
                None if attempt < PUT_ATTEMPTS => attempt += 1,
                None => return Err(self.failed(path, error)),
            }
        }
    }

    /// Makes an object go away.
    pub(crate) async fn delete(&self, path: &Path) -> Result<()> {
        let Err(error) = self.store.delete(path).await else {
            return Ok(());
        };
        match self.store.head(path).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            _ => Err(self.failed(path, error)),
        }
    }
}
