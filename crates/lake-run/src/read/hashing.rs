//! A file's identity, from the same bytes that are read.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use lake_reader::{Ranges, Source};

use super::lock;
use crate::progress::Progress;

/// How much is read at once where a file is read for its hash alone.
const BUFFER_BYTES: usize = 1 << 20;

/// A file whose bytes are hashed while they are read: that costs no second reading.
#[derive(Debug)]
pub(super) struct Hashing {
    file: Box<dyn Source>,
    seen: Arc<Mutex<Seen>>,
    progress: Arc<Progress>,
}

/// What has been read of a file from its start.
#[derive(Debug, Default)]
struct Seen {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashing {
    /// A file of which nothing is read yet. `progress` is told what is.
    pub(super) fn new(file: Box<dyn Source>, progress: Arc<Progress>) -> Self {
        Self {
            file,
            seen: Arc::default(),
            progress,
        }
    }

    /// The hash of the whole file, which has `size` bytes, in hexadecimal digits.
    ///
    /// # Errors
    /// Whatever the file system says, where the file was not read from start to end and has to be
    /// now: one that is read in ranges, or of which the end does not matter.
    pub(super) fn hash(&self, size: u64) -> io::Result<String> {
        if lock(&self.seen).bytes != size {
            let mut stream = self.stream()?;
            let mut buffer = vec![0; BUFFER_BYTES];
            while stream.read(&mut buffer)? > 0 {}
        }
        Ok(lock(&self.seen).hasher.finalize().to_hex().to_string())
    }
}

impl Source for Hashing {
    fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        let stream = self.file.stream()?;
        // Only a stream that is read to its end counts, and that is the last one.
        *lock(&self.seen) = Seen::default();
        Ok(Box::new(Hashed {
            stream,
            seen: Arc::clone(&self.seen),
            progress: Arc::clone(&self.progress),
        }))
    }

    fn ranges(&self) -> io::Result<Box<dyn Ranges>> {
        self.file.ranges()
    }
}

/// The bytes of a file, and a hasher that sees them.
struct Hashed {
    stream: Box<dyn Read + Send>,
    seen: Arc<Mutex<Seen>>,
    progress: Arc<Progress>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let mut seen = lock(&self.seen);
        seen.hasher.update(buffer.get(..count).unwrap_or_default());
        seen.bytes += count as u64;
        self.progress.note_bytes(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use lake_reader::LocalFile;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, Hashing) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, content).unwrap();
        (
            directory,
            Hashing::new(Box::new(LocalFile(path)), Arc::default()),
        )
    }

    #[test]
    fn a_file_has_the_same_hash_however_it_was_read() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let size = content.len() as u64;
        let expected = blake3::hash(&content).to_hex().to_string();
        let (_directory, file) = file(&content);
        // In ranges, or not at all.
        file.ranges().unwrap().read_at(10, 10).unwrap();
        assert_eq!(file.hash(size).unwrap(), expected);
        // In part, then from the start to the end.
        let mut start = [0; 100];
        file.stream().unwrap().read_exact(&mut start).unwrap();
        assert_eq!(file.hash(size).unwrap(), expected);
        let mut all = Vec::new();
        file.stream().unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(file.hash(size).unwrap(), expected);
    }
}
