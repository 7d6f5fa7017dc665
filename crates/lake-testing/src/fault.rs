//! What goes wrong, and at which operation.

use bytes::Bytes;

use crate::store::{Kind, Operation};

/// How one operation goes wrong.
///
/// Where it makes no sense for an operation, [`Fault::LandsLater`] and [`Fault::Empty`] are
/// [`Fault::Fail`], and [`Fault::IgnoresConditions`] is no fault.
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
    /// A put is answered with an error and nothing is there; after so many further operations of
    /// the store, before the next one, it is carried out as it was asked for: a request that was
    /// on its way when its sender gave up. One that was to put where absent does nothing if
    /// something is there by then.
    LandsLater(usize),
    /// A put, or the end of an upload in parts, leaves an object without content, and an error
    /// comes back: power went after the name was on disk and before the bytes were.
    Empty,
    /// A put where absent overwrites what is there, and all is said to be well: a store that does
    /// not know `If-None-Match`.
    IgnoresConditions,
}

impl Fault {
    /// What a process that is killed at the operation leaves of it: an operation that would have
    /// been done, or half done, and answered with an error still is, with nobody to hear it.
    pub(crate) fn of_the_dying(self) -> Self {
        match self {
            Self::FailAfter | Self::AlreadyExistsAfter | Self::LandsLater(_) | Self::Empty => self,
            Self::Fail | Self::StorageFull | Self::Preempted(_) | Self::IgnoresConditions => {
                Self::Fail
            }
        }
    }
}

/// Which operations a fault happens to.
///
/// Unless it is told otherwise, a fault happens once, at the first operation
/// that matches.
#[derive(Debug, Clone)]
pub struct On {
    which: Which,
    path: String,
    first: usize,
    times: usize,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Any,
    Writes,
    Kind(Kind),
}

impl On {
    /// Every operation: with [`On::nth`], the `n`th one of the store, whatever it is.
    pub fn any() -> Self {
        Self {
            which: Which::Any,
            path: String::new(),
            first: 1,
            times: 1,
        }
    }

    /// Operations that change what is in the store.
    pub fn writes() -> Self {
        Self {
            which: Which::Writes,
            ..Self::any()
        }
    }

    /// Operations of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self {
            which: Which::Kind(kind),
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
        let meant = match self.on.which {
            Which::Any => true,
            Which::Writes => operation.kind.writes(),
            Which::Kind(kind) => kind == operation.kind,
        };
        if !meant || !operation.path.contains(&self.on.path) {
            return false;
        }
        self.seen += 1;
        let last = self.on.first.saturating_add(self.on.times);
        (self.on.first..last).contains(&self.seen)
    }
}
