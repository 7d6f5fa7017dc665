//! The start of a file, for whoever wants to know what it is before declaring it.

use crate::layout::Encoding;
use crate::reader::ReadError;
use crate::source::Source;
use crate::source::unpacked::{Stop, Unpacked};
use crate::text::Text;

/// The start of a file, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// How the file is compressed.
    pub compression: Compression,
    /// Its first bytes, unpacked and in the encoding that it has.
    pub bytes: Vec<u8>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// How a file is compressed, which its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// With gzip (RFC 1952), in one member or several.
    Gzip,
    /// With Zstandard (RFC 8878), in one frame or several.
    Zstd,
}

impl Sample {
    /// The first `most` bytes of a file, as far as they can be read.
    ///
    /// # Errors
    ///
    /// Fails if nothing can be read. Of a file that is cut or damaged, it is what comes before.
    pub fn of(source: &dyn Source, most: usize) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { offset: 0, source };
        let mut unpacked = Unpacked::open(source.stream().map_err(failed)?).map_err(failed)?;
        let mut bytes = Vec::with_capacity(most);
        let is_whole = match unpacked.append_to(&mut bytes) {
            Ok(ended) => ended,
            Err(Stop::Source(source)) if bytes.is_empty() => return Err(failed(source)),
            Err(_) => true,
        };
        Ok(Self {
            compression: unpacked.compression(),
            bytes,
            is_whole,
        })
    }

    /// The sample as text. What is no text in this encoding is shown as U+FFFD, and a line that
    /// the end of the sample cuts off is left out, unless it is the only one.
    ///
    /// # Errors
    ///
    /// Fails if the byte order mark is that of another encoding.
    pub fn text(&self, encoding: Encoding) -> Result<String, ReadError> {
        let mut text = Text::open(&self.bytes, encoding)?;
        let mut utf_8 = Vec::new();
        // No character of another encoding becomes more than three bytes of UTF-8.
        text.fill(&mut utf_8, 3 * self.bytes.len() + 1)?;
        if !self.is_whole
            && let Some(line_feed) = memchr::memrchr(b'\n', &utf_8)
        {
            utf_8.truncate(line_feed + 1);
        }
        Ok(String::from_utf8_lossy(&utf_8).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_ends_with_a_whole_line() {
        let sample = Sample::of(&b"a,b\n1,2\n3,4\n".to_vec(), 10).unwrap();
        assert!(!sample.is_whole);
        assert_eq!(sample.text(Encoding::Utf8).unwrap(), "a,b\n1,2\n");
    }

    #[test]
    fn a_sample_of_a_small_file_is_all_of_it() {
        let sample = Sample::of(&b"a\xE9".to_vec(), 10).unwrap();
        assert!(sample.is_whole);
        assert_eq!(sample.compression, Compression::None);
        assert_eq!(sample.text(Encoding::Latin1).unwrap(), "aé");
    }
}
