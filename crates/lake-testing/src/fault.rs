//! What goes wrong, and at which operation.

use bytes::Bytes;

use crate::store::{Kind, Operation};

/// How one operation goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error comes back, and nothing was done.
    Fail,
    /// It was done, and an error comes back: an answer that was lost.
    FailAfter,
    /// It was done, and the answer is that the object exists already: a put
    /// that a client library sent twice.
    AlreadyExistsAfter,
    /// The disk is full: nothing was done, and the error's source is an I/O
    /// error that says so.
    StorageFull,
    /// Somebody else puts these bytes at the path first; then the operation goes on.
    Preempted(Bytes),
}

/// Which operations a fault happens to.
///
/// Unless it is told otherwise, a fault happens once, at the first operation
/// that matches.
#[derive(Debug, Clone)]
pub struct On {
    kind: Option<Kind>,
    path: String,
    first: usize,
    times: usize,
}

impl On {
    /// Every operation.
    pub fn any() -> Self {
        Self {
            kind: None,
            path: String::new(),
            first: 1,
            times: 1,
        }
    }

    /// Operations of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::any()
        }
    }

    /// Only those whose path contains `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }

    /// From the `n`th operation that matches, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.first = n;
        self
    }

    /// At so many operations in a row.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// At every operation from the first one on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

/// One line of a store's script: a fault, and how many operations it has seen.
#[derive(Debug)]
pub(crate) struct Rule<T> {
    on: On,
    seen: usize,
    pub(crate) then: T,
}

impl<T> Rule<T> {
    pub(crate) fn new(on: On, then: T) -> Self {
        Self { on, seen: 0, then }
    }

    /// Counts the operation, and says whether it is one of those meant.
    pub(crate) fn meets(&mut self, operation: &Operation) -> bool {
        let matches = self.on.kind.is_none_or(|kind| kind == operation.kind)
            && operation.path.contains(&self.on.path);
        if !matches {
            return false;
        }
        self.seen += 1;
        let last = self.on.first.saturating_add(self.on.times);
        (self.on.first..last).contains(&self.seen)
    }
}
