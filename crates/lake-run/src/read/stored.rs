//! A file that is an object of a store.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use lake_delta::Root;
use lake_reader::{Ranges, Source};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::archive::ArchivedFile;
use crate::raw::{Stat, changed};

/// How much is asked for at once where a file is read from start to end: long enough that the way
/// to the store and back does not count, and short enough to be tried again.
const AHEAD_BYTES: u64 = 4 << 20;

/// How many such requests are under way, for each thread that reads.
const AHEAD: usize = 4;

/// An object that threads read which can wait for it: none of the runtime's own.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// What it is read as long as: an object that is another one meanwhile is an error.
    etag: Option<String>,
    runtime: Handle,
}

impl Stored {
    /// An object as it was found; `runtime` fetches it.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        found: &Stat,
        runtime: Handle,
    ) -> Self {
        Self {
            store,
            path,
            size: found.size,
            etag: found.etag.clone(),
            runtime,
        }
    }

    /// The copy of a file, in the archive below `root`; `runtime` fetches it.
    pub(crate) fn copy(root: &Root, copy: &ArchivedFile, runtime: Handle) -> Self {
        Self {
            store: root.store(),
            path: Path::from(copy.copy.as_str()),
            size: u64::try_from(copy.size).unwrap_or(0),
            etag: None,
            runtime,
        }
    }

    /// Some of its bytes.
    pub(crate) async fn get(self, range: Range<u64>) -> io::Result<Bytes> {
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(range.into()),
            if_match: self.etag,
            ..GetOptions::default()
        };
        let got = match self.store.get_opts(&self.path, options).await {
            Ok(got) => got.bytes().await?,
            Err(Error::Precondition { .. }) => {
                return Err(changed());
            }
            Err(error) => return Err(error.into()),
        };
        match got.len() as u64 == length {
            true => Ok(got),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Source for Stored {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Stream {
            object: self.clone(),
            asked: 0,
            under_way: VecDeque::new(),
            ahead: Bytes::new(),
        }))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        Ok(Box::new(self.clone()))
    }
}

impl Ranges for Stored {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let range = offset..offset + length as u64;
        if range.end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let got = self.runtime.block_on(self.clone().get(range))?;
        Ok(got.to_vec())
    }
}

/// An object from its first byte on.
struct Stream {
    object: Stored,
    /// Up to where the object has been asked for.
    asked: u64,
    /// What comes next, in order.
    under_way: VecDeque<JoinHandle<io::Result<Bytes>>>,
    ahead: Bytes,
}

impl Stream {
    /// Keeps as many requests under way as there may be.
    fn ask(&mut self) {
        let object = &self.object;
        while self.under_way.len() < AHEAD && self.asked < object.size {
            let end = object.size.min(self.asked + AHEAD_BYTES);
            let get = object.clone().get(self.asked..end);
            self.under_way.push_back(object.runtime.spawn(get));
            self.asked = end;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            self.ask();
            if let Some(next) = self.under_way.pop_front() {
                self.ahead = self.object.runtime.block_on(next)??;
                self.ask();
            }
        }
        let count = buffer.len().min(self.ahead.len());
        self.ahead
            .split_to(count)
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.under_way.iter().for_each(JoinHandle::abort);
    }
}
