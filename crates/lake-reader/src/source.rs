//! Where the bytes of a file come from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

mod gzip;
mod raw;
pub(crate) mod unpacked;
mod zstd;

/// A file, wherever it is. Formats that are read from start to end ask for the stream, others for
/// ranges.
pub trait Source: fmt::Debug + Send + Sync {
    /// The bytes of the file from the first to the last.
    ///
    /// # Errors
    /// Whatever the place where the file is has to say.
    fn stream(&self) -> io::Result<Box<dyn Read + Send>>;

    /// The bytes of the file in any order.
    ///
    /// # Errors
    /// Whatever the place where the file is has to say.
    fn ranges(&self) -> io::Result<Box<dyn Ranges>>;
}

/// The bytes of a file, in whatever order they are asked for, by any number of threads.
pub trait Ranges: fmt::Debug + Send + Sync {
    /// How many bytes the file has.
    ///
    /// # Errors
    /// Whatever the place where the file is has to say.
    fn size(&self) -> io::Result<u64>;

    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the place where the file is has to say, and
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it has fewer bytes.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// A file of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile(pub PathBuf);

impl Source for LocalFile {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.0)?))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

impl Ranges for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// The bytes of a file that are in memory already.
impl Source for Vec<u8> {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.clone())))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        Ok(Box::new(self.clone()))
    }
}

impl Ranges for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(length)?))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
