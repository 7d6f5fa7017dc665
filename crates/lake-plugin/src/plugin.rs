//! A transform as a host uses it: what it declares, and its functions.

mod partition;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use thiserror::Error;

use crate::abi::Code;
use crate::load::{self, Answer, Refusal};
use crate::{ColumnType, Declaration, Entry, FunctionDeclaration, Level, Problem, Signature};

pub use partition::{Emitted, PartitionStream};

/// A transform that is ready to be called, from any thread and from several at once.
///
/// Cloning is cheap: all clones are the same transform.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    origin: PathBuf,
    table: load::Table,
    declaration: Declaration,
}

/// What a host offers to the functions that it calls. Each may be called from any thread.
pub trait Host: Sync {
    /// Takes a message for the log of the run.
    fn log(&self, level: Level, message: &str) {
        let _ = (level, message);
    }

    /// Takes a measured value.
    fn metric(&self, name: &str, value: f64) {
        let _ = (name, value);
    }

    /// Whether the run has been stopped, so that functions need not finish. Once it is, it stays
    /// so: a function that stops and was not asked to has failed.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A host that does not listen, and never stops a run.
impl Host for () {}

impl Plugin {
    /// Loads the library at `path` and asks it what it is.
    ///
    /// Its code runs in this process from here on, and can do whatever this process can: verify
    /// where it comes from before. It is never unloaded, not even where this fails.
    ///
    /// # Errors
    /// Where there is no such file, it is not a library or not a transform, it speaks another
    /// version of the boundary, or what it declares makes no sense.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let transform = path.to_path_buf();
        let absolute = match path.canonicalize() {
            Ok(absolute) => absolute,
            Err(source) => return Err(LoadError::Missing { transform, source }),
        };
        let table = load::open(&absolute).map_err(|refusal| LoadError::new(&transform, refusal))?;
        Self::new(transform, table)
    }

    /// Takes a transform that is linked into this program. It is called as if it were loaded.
    ///
    /// # Errors
    /// Where what it declares makes no sense, or its author's function panics.
    pub fn from_entry(entry: Entry) -> Result<Self, LoadError> {
        let transform = PathBuf::from("(linked into this program)");
        let table = load::linked(entry).map_err(|refusal| LoadError::new(&transform, refusal))?;
        Self::new(transform, table)
    }

    fn new(transform: PathBuf, table: load::Table) -> Result<Self, LoadError> {
        let text = match table.describe() {
            Ok(Ok(text)) => text,
            Ok(Err(reason)) => return Err(LoadError::NotUnderstood { transform, reason }),
            Err(Answer { code, message }) => {
                return Err(LoadError::Describe {
                    transform,
                    code,
                    message,
                });
            }
        };
        let parsed = String::from_utf8(text)
            .map_err(|error| error.to_string())
            .and_then(|json| serde_json::from_str(&json).map_err(|error| error.to_string()));
        let declaration: Declaration = match parsed {
            Ok(declaration) => declaration,
            Err(reason) => return Err(LoadError::NotUnderstood { transform, reason }),
        };
        let problems = declaration.problems();
        if !problems.is_empty() {
            return Err(LoadError::Nonsense {
                transform,
                problems: Problems(problems),
            });
        }
        if !declaration.functions.is_empty() && !table.has_scalars() {
            let found = "functions in its declaration and no `call_scalar`".to_owned();
            return Err(LoadError::OtherVersion { transform, found });
        }
        if !declaration.partition_functions.is_empty() && table.partitions().is_none() {
            let found = "partition functions in its declaration and not all four of \
                         `partition_open`, `partition_push`, `partition_finish` and \
                         `partition_close`";
            let found = found.to_owned();
            return Err(LoadError::OtherVersion { transform, found });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                origin: transform,
                table,
                declaration,
            }),
        })
    }

    /// What the transform declares. It has no problems.
    #[must_use]
    pub fn declaration(&self) -> &Declaration {
        &self.inner.declaration
    }

    /// Calls function `function`, its place in [`Declaration::functions`], for `rows` rows.
    ///
    /// The types of `arguments` say which of its [signatures](FunctionDeclaration::signatures) is
    /// meant. The result has `rows` values of the type declared there; every value in it has been
    /// checked.
    ///
    /// # Errors
    /// Where the arguments are not those declared, the function fails or panics, or what it
    /// returns is not what it declared.
    pub fn call(
        &self,
        function: usize,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, CallError> {
        self.call_for(None, function, arguments, rows)
    }

    /// As [`call`](Self::call), with a host that listens to what the function says meanwhile.
    ///
    /// # Errors
    /// As for [`call`](Self::call), and where the host has stopped the run.
    pub fn call_with(
        &self,
        host: &dyn Host,
        function: usize,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, CallError> {
        self.call_for(Some(host), function, arguments, rows)
    }

    fn call_for(
        &self,
        host: Option<&dyn Host>,
        place: usize,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, CallError> {
        let functions = &self.inner.declaration.functions;
        let Some(function) = functions.get(place) else {
            return Err(CallError::NoFunction {
                place,
                declared: functions.len(),
            });
        };
        let named = |name: &FunctionDeclaration| name.name.clone();
        let signature =
            signature_for(function, arguments, rows).map_err(|reason| CallError::Arguments {
                function: named(function),
                reason,
            })?;
        let result = self
            .inner
            .table
            .call_scalar(host, place, arguments, rows)
            .map_err(|Answer { code, message }| CallError::Failed {
                function: named(function),
                code,
                message,
            })?;
        result
            .take(&signature.returns.to_arrow(), rows, arguments)
            .and_then(
                |result| match broken_promise(&signature, arguments, &result) {
                    Some(row) => Err(format!(
                        "value {row} is NULL, and none of its arguments is; the function declares \
                     that its result is required"
                    )),
                    None => Ok(result),
                },
            )
            .map_err(|reason| CallError::Returned {
                function: named(function),
                declared: signature.returns,
                rows,
                reason,
            })
    }
}

/// The signature that arguments are meant for, or what is wrong with them: the host's own
/// mistake, found before it crosses.
fn signature_for(
    function: &FunctionDeclaration,
    arguments: &[ArrayRef],
    rows: usize,
) -> Result<Signature, String> {
    let meant = function
        .signatures()
        .find(|signature| other_types(&signature.arguments, arguments).is_none());
    let Some(meant) = meant else {
        return Err(match other_types(&function.arguments, arguments) {
            Some(reason) if function.overloads.is_empty() => reason,
            _ => {
                let known: Vec<_> = function.signatures().map(|one| one.to_string()).collect();
                let given: Vec<_> = arguments
                    .iter()
                    .map(|array| array.data_type().to_string())
                    .collect();
                format!(
                    "it takes {}, not ({})",
                    known.join(" or "),
                    given.join(", ")
                )
            }
        });
    };
    other_lengths(arguments, rows).map_or(Ok(meant), Err)
}

/// How the types of arguments differ from those declared.
fn other_types(declared: &[ColumnType], arguments: &[ArrayRef]) -> Option<String> {
    if arguments.len() != declared.len() {
        return Some(format!(
            "it takes {} arguments, not {}",
            declared.len(),
            arguments.len()
        ));
    }
    let mut places = declared.iter().zip(arguments).enumerate();
    places.find_map(|(place, (declared, given))| {
        (*given.data_type() != declared.to_arrow())
            .then(|| format!("argument {place} is {declared}, not {}", given.data_type()))
    })
}

/// How the lengths of arguments differ from the number of rows.
fn other_lengths(arguments: &[ArrayRef], rows: usize) -> Option<String> {
    let mut places = arguments.iter().enumerate();
    places.find_map(|(place, given)| {
        (given.len() != rows).then(|| {
            format!(
                "argument {place} has {} values for {rows} rows",
                given.len()
            )
        })
    })
}

/// The first row whose result is NULL, though it is required and none of the arguments is NULL.
fn broken_promise(
    signature: &Signature,
    arguments: &[ArrayRef],
    result: &ArrayRef,
) -> Option<usize> {
    let nulls = result.nulls().filter(|_| signature.required)?;
    let allowed = arguments.iter().fold(None, |union, argument| {
        NullBuffer::union(union.as_ref(), argument.nulls())
    });
    (0..result.len()).find(|row| {
        nulls.is_null(*row)
            && allowed
                .as_ref()
                .is_none_or(|allowed| allowed.is_valid(*row))
    })
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("origin", &self.inner.origin)
            .field("declaration", &self.inner.declaration)
            .finish_non_exhaustive()
    }
}

/// Why a transform cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no file, or it cannot be reached.
    #[error("no transform at {}: {source}; build it first, or correct the path", transform.display())]
    Missing {
        /// The path that was given.
        transform: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system cannot load the file as a library.
    #[error("{} is not a library that can be loaded here: {reason}; build the transform as a cdylib, for this machine, and keep it where code may be loaded from (a mount can be noexec)", transform.display())]
    NotALibrary {
        /// The path that was given.
        transform: PathBuf,
        /// What `dlopen` says.
        reason: String,
    },
    /// It is a library, and not a transform.
    #[error("{} is a library, and not a transform: it does not export `{symbol}`; is lake_plugin::export!(…) missing?", transform.display())]
    NoSymbol {
        /// The path that was given.
        transform: PathBuf,
        /// What a transform exports.
        symbol: &'static str,
    },
    /// It is a transform for another version of the boundary.
    #[error("{} has {found}, and this lake needs version {} of the plugin boundary; build the transform with a lake-plugin that speaks it, or use another lake", transform.display(), crate::abi::VERSION)]
    OtherVersion {
        /// The path that was given.
        transform: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// It could not say what it is.
    #[error("{} cannot say what it is: {message}", transform.display())]
    Describe {
        /// The path that was given.
        transform: PathBuf,
        /// Why, in one word.
        code: Code,
        /// What it says itself.
        message: String,
    },
    /// What it says is not a declaration that this host understands.
    #[error("the declaration of {} is not understood: {reason}; it must be JSON in UTF-8, and may need a newer lake", transform.display())]
    NotUnderstood {
        /// The path that was given.
        transform: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// What it declares makes no sense.
    #[error("{} declares what cannot be:{problems}", transform.display())]
    Nonsense {
        /// The path that was given.
        transform: PathBuf,
        /// All of it.
        problems: Problems,
    },
}

impl LoadError {
    fn new(transform: &Path, refusal: Refusal) -> Self {
        let transform = transform.to_path_buf();
        match refusal {
            Refusal::NotALibrary(reason) => Self::NotALibrary { transform, reason },
            Refusal::NoSymbol => Self::NoSymbol {
                transform,
                symbol: crate::abi::SYMBOL,
            },
            Refusal::OtherVersion(found) => Self::OtherVersion { transform, found },
        }
    }
}

/// Everything that is wrong with a declaration: one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The host called a function that is not declared.
    #[error("the transform has no function {place}: it declares {declared}, counted from 0")]
    NoFunction {
        /// The place that was asked for.
        place: usize,
        /// How many functions there are.
        declared: usize,
    },
    /// The host opened a partition function that is not declared.
    #[error(
        "the transform has no partition function {place}: it declares {declared}, counted from 0"
    )]
    NoPartitionFunction {
        /// The place that was asked for.
        place: usize,
        /// How many partition functions there are.
        declared: usize,
    },
    /// The host gave other arguments, or other rows, than those declared.
    #[error("function `{function}` cannot be called like this: {reason}")]
    Arguments {
        /// The function.
        function: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The function failed.
    #[error("{}", named(function, message))]
    Failed {
        /// The function.
        function: String,
        /// Why, in one word.
        code: Code,
        /// Why, for people.
        message: String,
    },
    /// The function returned something else than it declared.
    #[error(
        "function `{function}` must return {rows} values of type {declared}, but what it returned is wrong: {reason}; correct the transform"
    )]
    Returned {
        /// The function.
        function: String,
        /// The type that it declared.
        declared: ColumnType,
        /// How many values there should be.
        rows: usize,
        /// What is wrong.
        reason: String,
    },
    /// A partition function emitted something else than it declared.
    #[error(
        "function `{function}` emitted what it does not declare: {reason}; correct the transform"
    )]
    Emitted {
        /// The function.
        function: String,
        /// What is wrong.
        reason: String,
    },
}

impl CallError {
    /// The function that was called, or `None` where there is no such function.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::NoFunction { .. } | Self::NoPartitionFunction { .. } => None,
            Self::Arguments { function, .. }
            | Self::Failed { function, .. }
            | Self::Returned { function, .. }
            | Self::Emitted { function, .. } => Some(function),
        }
    }

    /// Why, in one word: where the host or the result is wrong, that is said in its place.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoFunction { .. } | Self::NoPartitionFunction { .. } | Self::Arguments { .. } => {
                Code::InvalidCall
            }
            Self::Failed { code, .. } => *code,
            Self::Returned { .. } | Self::Emitted { .. } => Code::Failed,
        }
    }
}

/// A message with the name of its function, which a transform may have put there itself.
fn named(function: &str, message: &str) -> String {
    if message.contains(&format!("`{function}`")) {
        return message.to_owned();
    }
    format!("function `{function}`: {message}")
}
