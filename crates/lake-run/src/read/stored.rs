//! A file that is an object of a store.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use lake_delta::Root;
use lake_reader::{Ranges, Source};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::archive::ArchivedFile;

/// How much is asked for at once where a file is read from start to end.
const AHEAD_BYTES: u64 = 8 << 20;

/// An object that threads read which can wait for it: none of the runtime's own.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    runtime: Handle,
}

impl Stored {
    /// The copy of a file, in the archive below `root`; `runtime` fetches it.
    pub(crate) fn of(root: &Root, copy: &ArchivedFile, runtime: Handle) -> Self {
        Self {
            store: root.store(),
            path: Path::from(copy.copy.as_str()),
            size: u64::try_from(copy.size).unwrap_or(0),
            runtime,
        }
    }

    fn get(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = range.end - range.start;
        let got = self.store.get_range(&self.path, range);
        let got = self.runtime.block_on(got).map_err(io::Error::from)?;
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
            offset: 0,
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
        Ok(self.get(offset..offset + length as u64)?.to_vec())
    }
}

/// An object from its first byte on.
struct Stream {
    object: Stored,
    /// Where what comes next begins.
    offset: u64,
    ahead: Bytes,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() && self.offset < self.object.size {
            let end = self.object.size.min(self.offset + AHEAD_BYTES);
            self.ahead = self.object.get(self.offset..end)?;
            self.offset = end;
        }
        let count = buffer.len().min(self.ahead.len());
        self.ahead
            .split_to(count)
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
