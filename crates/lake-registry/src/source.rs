//! Texts in TOML that people write, and where in them a fault is.

use std::ops::Range;
use std::path::Path;

use crate::error::Error;

/// A text that people wrote, and where it is, for messages.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

impl Source<'_> {
    /// What the parser says, with the line.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> Error {
        let line = error.span().map(|span| self.line(&span));
        Error::file(self.path, line, error.message().trim())
    }

    /// Something that is wrong at a place of the text.
    pub(crate) fn fault(&self, span: Range<usize>, what: impl Into<String>) -> Error {
        Error::file(self.path, Some(self.line(&span)), what)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}
