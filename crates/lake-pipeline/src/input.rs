//! Where the files of an input come from, and what happens to them on the way.

use std::time::Duration;

use crate::pattern::Pattern;

/// Where the files of one input are, and which of them a run loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSource {
    /// Files or patterns of files, at least one. A file that several describe is loaded once, with
    /// the values that the first of them reads from its path.
    pub paths: Vec<Pattern>,
    /// What happens when a file that was loaded before has new content.
    pub on_change: OnChange,
    /// What happens to a file with nothing in it, not even a header.
    pub on_empty: OnEmpty,
    /// What happens to a compressed file that ends too early.
    pub on_truncated: OnTruncated,
    /// How long a file has to be left alone by its writer before it is loaded; zero loads at once.
    pub settle: Duration,
    /// The file that says that another one is complete.
    pub done_marker: Option<DoneMarker>,
    /// The longest time in which no file may come.
    pub expect_every: Option<Duration>,
    /// What happens when none came for longer.
    pub on_late: OnLate,
    /// Which files of a backlog come first.
    pub order: FileOrder,
    /// How many files a run loads at the most.
    pub max_files: Option<u64>,
    /// How many bytes of files a run loads at the most; it loads one file, however large.
    pub max_bytes: Option<u64>,
    /// Whether a copy of every file that is loaded is kept.
    pub archive: bool,
}

/// What to do with a file that was loaded before and now has other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// Stop the run: a changed file is a surprise.
    #[default]
    Fail,
    /// Load the file again and merge its rows over those of its earlier content.
    Upsert,
    /// Load the file again, and remove the rows that only its earlier content had.
    Replace,
    /// Keep what was loaded and leave the new content unread.
    Skip,
}

/// What to do with a file that has nothing in it. One with a header has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEmpty {
    /// Leave it: its writer has only begun.
    #[default]
    Wait,
    /// Take note of it as loaded, with no rows.
    Load,
    /// Stop the run: an empty file is a fault of its writer.
    Fail,
}

/// What to do with a compressed file that ends before its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTruncated {
    /// Stop the run.
    #[default]
    Fail,
    /// Load the rows in front of the cut, and reject what is left of the one that was cut.
    Reject,
}

/// What to do when no file came for longer than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLate {
    /// Say so, and load what there is.
    #[default]
    Warn,
    /// Stop the run.
    Fail,
}

/// Which files of a backlog come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileOrder {
    /// By path, character by character.
    #[default]
    Name,
    /// The one that was changed first comes first; of those changed together, by path.
    Modified,
}

/// The name of a file that says that another one in its directory is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneMarker {
    /// What stands in front of and behind the name of the complete file; `None` where one marker
    /// is for the whole directory.
    around: Option<(String, String)>,
    text: String,
}

impl DoneMarker {
    /// A name, in which `*` stands for the name of the file; there is one at the most.
    pub(crate) fn new(text: &str) -> Self {
        let around = text.split_once('*');
        Self {
            around: around.map(|(before, behind)| (before.to_owned(), behind.to_owned())),
            text: text.to_owned(),
        }
    }

    /// The setting as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the marker of a file, which is to be in the same directory.
    #[must_use]
    pub fn of(&self, file: &str) -> String {
        match &self.around {
            Some((before, behind)) => format!("{before}{file}{behind}"),
            None => self.text.clone(),
        }
    }

    /// Whether one marker is for all files of its directory.
    #[must_use]
    pub fn is_for_directories(&self) -> bool {
        self.around.is_none()
    }

    /// Whether a file of this name is a marker, and no input.
    #[must_use]
    pub fn is_marker(&self, file: &str) -> bool {
        match &self.around {
            Some((before, behind)) => {
                file.len() > before.len() + behind.len()
                    && file.starts_with(before.as_str())
                    && file.ends_with(behind.as_str())
            }
            None => file == self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_name_or_has_the_name_of_its_file_in_it() {
        let directory = DoneMarker::new("_SUCCESS");
        assert_eq!(directory.of("a.csv"), "_SUCCESS");
        assert!(directory.is_for_directories());
        assert!(directory.is_marker("_SUCCESS") && !directory.is_marker("a._SUCCESS"));
        let each = DoneMarker::new("ok-*.done");
        assert_eq!(each.of("a.csv"), "ok-a.csv.done");
        assert!(!each.is_for_directories());
        assert!(each.is_marker("ok-a.csv.done"));
        assert!(!each.is_marker("ok-.done") && !each.is_marker("a.csv"));
    }
}
