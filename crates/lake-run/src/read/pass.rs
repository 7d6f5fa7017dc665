//! One reading of all files of an input, by as many threads as the query has streams for it.
//!
//! A thread that has nothing to do opens the next file; when all are open, it helps with one that
//! another has opened. So many small files are read side by side, one large file by all threads,
//! and no more files are open than there are threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::file::{Left, OpenFile, Outlet};
use super::{InputReader, lock};
use crate::error::Result;

/// One reading of all files of an input.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) input: Arc<InputReader>,
    /// Whether what reading yields beside accepted rows is kept: that is so for the first pass.
    pub(super) is_kept: bool,
    stopped: AtomicBool,
    files: Mutex<Files>,
    /// A file was opened, or could not be.
    opened: Condvar,
}

#[derive(Debug, Default)]
struct Files {
    /// The first file that nobody has opened.
    next: usize,
    /// How many are just being opened.
    opening: usize,
    open: Vec<Arc<OpenFile>>,
}

/// What a thread does next.
enum Task {
    Open(usize),
    Help(Arc<OpenFile>),
}

impl Pass {
    pub(super) fn new(input: Arc<InputReader>) -> Self {
        Self {
            is_kept: !input.begun.swap(true, Ordering::Relaxed),
            input,
            stopped: AtomicBool::new(false),
            files: Mutex::default(),
            opened: Condvar::new(),
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Reads as long as there is something to read, nobody has failed, and rows are wanted.
    pub(super) fn read(&self, outlet: &mut Outlet<'_>) -> Result<()> {
        let done = self.tasks(outlet);
        if done.is_err() {
            self.stopped.store(true, Ordering::Relaxed);
        }
        done
    }

    fn tasks(&self, outlet: &mut Outlet<'_>) -> Result<()> {
        while let Some(task) = self.next_task() {
            let file = match task {
                Task::Help(file) => file,
                Task::Open(index) => match self.open(index)? {
                    Some(file) => file,
                    None => continue,
                },
            };
            let left = file.read(self, outlet)?;
            lock(&self.files)
                .open
                .retain(|open| open.helpers().is_some());
            if left == Left::Early {
                break;
            }
        }
        Ok(())
    }

    /// Waits where all files are taken, and one that is being opened may need help.
    fn next_task(&self) -> Option<Task> {
        let mut files = lock(&self.files);
        loop {
            if self.is_stopped() {
                return None;
            }
            if files.next < self.input.reading.files.len() {
                files.next += 1;
                files.opening += 1;
                return Some(Task::Open(files.next - 1));
            }
            let helped = files
                .open
                .iter()
                .filter_map(|file| Some((file.helpers()?, file)))
                .min_by_key(|(helpers, _)| *helpers);
            if let Some((_, file)) = helped {
                return Some(Task::Help(Arc::clone(file)));
            }
            if files.opening == 0 {
                return None;
            }
            files = self
                .opened
                .wait(files)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens a file for all threads; `None` where there is nothing in it.
    fn open(&self, index: usize) -> Result<Option<Arc<OpenFile>>> {
        // Others wait for this, so it ends however opening ends.
        let mut opening = Opening {
            pass: self,
            file: None,
        };
        let Some(pending) = self.input.reading.files.get(index) else {
            return Ok(None);
        };
        let Some(file) = OpenFile::open(&self.input, pending, self.is_kept)? else {
            return Ok(None);
        };
        let file = Arc::new(file);
        opening.file = Some(Arc::clone(&file));
        Ok(Some(file))
    }
}

/// A file that is being opened.
struct Opening<'a> {
    pass: &'a Pass,
    file: Option<Arc<OpenFile>>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut files = lock(&self.pass.files);
        files.opening -= 1;
        files.open.extend(self.file.take());
        self.pass.opened.notify_all();
    }
}
