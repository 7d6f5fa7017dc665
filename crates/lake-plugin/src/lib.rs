//! What a transform is: the builder its author uses, and the C ABI it is called through.
//!
//! ```
//! use lake_plugin::prelude::*;
//!
//! /// Hourly meter readings.
//! pub fn meters() -> Transform {
//!     Transform::new()
//!         .input(Input::csv("readings").header()
//!             .column("meter_id", text().required())
//!             .column("start_time", timestamp().required())
//!             .column("usage_kwh", decimal(12, 3).required())
//!             .check("usage is not negative", "usage_kwh >= 0"))
//!         .table(Table::standard("readings")
//!             .sql("SELECT meter_id, start_time, usage_kwh FROM readings")
//!             .key(["meter_id", "start_time"]))
//! }
//! lake_plugin::export!(meters);
//! # fn main() {}
//! ```
//!
//! A transform says *what*; the host does it. Everything but the body of a function is data, a
//! [`Declaration`], which the host checks, shows, optimises and compares between releases.
//!
//! # The boundary
//!
//! A host must be able to load a transform that another compiler has built, with another version
//! of Arrow, years ago. So no Rust type crosses: a transform is a C library with one symbol,
//! `lake_plugin_v1`, and the header `include/lake_plugin.h` is the whole contract. This crate is
//! both sides of it: [`export!`] for a transform, `Plugin` (feature `loading`) for a host.
//!
//! **One symbol, one table.** The symbol returns a table of functions. The table, the host's
//! callbacks and the error begin with their size and the version, and grow at the end only. A
//! side reads the fields that both know, and takes a missing one for null. So a new host can call
//! an old transform and the other way round, and neither has to ask for a version first. The
//! number in the symbol changes when that no longer works, and then a transform can export both.
//!
//! **Declaration as text.** JSON grows more gracefully than structs do, and is called for once.
//! Rows are the other way round: they are Arrow arrays, moved as pointers, never copied.
//!
//! **One call, many rows.** Crossing is cheap, not free, so nothing crosses per row or per key. A
//! scalar function gets whole columns. A [`Partition`] function has a state per key, but one
//! stream carries many keys: a batch crosses with the positions at which keys begin, and what it
//! caused to be emitted comes back with the ordinal of its key. A key that is longer than memory
//! comes in many batches, and only its state stays.
//!
//! # Who owns what
//!
//! The rules are those of the Arrow C Data Interface, for strings and errors too: whoever holds
//! something with a `release` callback releases it, once, and a struct without one is empty.
//!
//! - *Arguments are moved in.* The callee has them, whatever it returns. It may keep the memory
//!   for as long as it likes: it moves the struct out, and sets `release` to null in the caller's
//!   copy. A caller that finds `release` still set after the call knows that nobody took the
//!   array, and releases it. So a callee that fails early leaks nothing, and nothing is freed
//!   twice. All columns of a call are children of one struct array: there is one thing to move,
//!   and its length is the number of rows even where a function takes no argument.
//! - *Results are moved out.* The caller gives empty structs and the callee fills them in. From
//!   then on the memory is the caller's, and it belongs to the callee's allocator: only `release`
//!   knows how to free it. A result often outlives the call by minutes, in a sort or a spill, and
//!   is released on some other thread.
//! - *Therefore nothing is unloaded.* A release callback is code in the library. No count of
//!   arrays would tell when it is safe to unmap it, as a library can also have threads and
//!   thread-local values, so a loaded transform stays until the process ends.
//! - *The host is lent.* Its callbacks are valid until the call returns; [`Arguments`] cannot be
//!   kept, so a function cannot get this wrong in Rust.
//! - *A stream is closed.* What a partition function keeps between two calls belongs to the
//!   transform, and the host closes it exactly once: after its last key, after an error, and when
//!   the run is stopped. A transform that failed is asked for nothing but that.
//!
//! # What may go wrong, and what then
//!
//! Unwinding through C is undefined, so no panic crosses: each entry point catches it and answers
//! with the code for a panic, the name of the function and what it panicked with. A transform
//! must not be built with `panic = "abort"`, which cannot be caught.
//!
//! The host believes nothing that comes back. Format, length, offset, null count, buffers and
//! children are compared with the declaration while they are still raw structs; then every
//! offset, every byte of text and every digit of a decimal is looked at. What a partition function
//! emits must name keys that it was given, in their order. A lie is an error that names the
//! function. So is a result that points into an argument which the function has not
//! taken: nobody knows who would release it, so nobody does. A declaration is read up to 64 MiB, a
//! message up to 64 KiB, and what is not UTF-8 in a message is replaced. A function that says it
//! was stopped has failed, unless the run was; one that returns a result although the run was
//! stopped is taken at its word, and its result checked like any other.
//!
//! # What a transform can still do
//!
//! It is code in the host's process, with every right of that process. All of the above is there
//! for mistakes; nothing in a process helps against intent. Whoever runs a transform trusts it
//! like a dependency, which is what signed releases are for. The host does not prevent this:
//!
//! | a transform | what happens |
//! |---|---|
//! | aborts, recurses without end, reads or writes where nothing is, returns a buffer that is shorter than it says, panics although it was built with `panic = "abort"` | The process ends by a signal. |
//! | ends its thread inside of a call (`pthread_exit`) | The process aborts: nothing unwinds through the host. |
//! | calls `exit` | The process ends with the code that the transform chose, which may be 0. |
//! | writes where something is, changes an array after it has returned it, releases the same thing twice, calls the host after the call | Anything. The process ends, at once or later, or goes on with wrong values. |
//! | keeps arguments, or leaks | The memory is gone until the process ends. No memory limit counts it. |
//! | blocks | The host waits. A call has no deadline, and a thread cannot be ended from outside: to stop is up to the function, which asks [`Arguments::is_cancelled`]. |
//! | starts threads, opens files and connections, changes the environment or signal handlers | The host does not notice. It goes on after the call. |
//! | reads memory, the environment, files: with them the keys of the object store | The host does not notice. |
//!
//! A process that ends this way is no worse than one that lost power: a run has no effect before
//! it is sealed, and is finished by the next one after that.
//!
//! All hand-written `unsafe` of the project is in four modules of this crate, by reason: `abi`
//! (structs with pointers), `import` (reading what they point to), `export` (being called) and
//! `load` (calling). The latter two have a part of their own for partition functions.

pub mod abi;
mod builder;
mod column_type;
mod declaration;
mod emit;
mod export;
mod function;
#[cfg(feature = "golden")]
pub mod golden;
mod import;
mod input;
mod input_type;
#[cfg(feature = "loading")]
mod load;
mod parameter;
mod partition;
#[cfg(feature = "loading")]
mod plugin;
mod problems;
mod table_check;

pub use arrow;

pub use abi::{Code, Level};
pub use builder::{
    Column, Input, InputColumn, Placed, Structure, Table, Transform, Written, boolean, date,
    decimal, duration, float, int32, integer, json, list, map, structure, text, timestamp,
};
pub use column_type::ColumnType;
pub use declaration::{
    CheckDeclaration, Declaration, FieldDeclaration, FunctionDeclaration, Mode,
    PartitionFunctionDeclaration, Severity, Signature, TableDeclaration, Volatility, Zone,
};
pub use emit::{Emit, Row, Value};
pub use export::{Entry, Exported};
pub use function::{AnyFunction, Arguments, Function, FunctionError};
pub use input::{
    Ambiguous, ColumnDeclaration, Dialect, Encoding, ExtraColumns, InputDeclaration, InputFormat,
    MissingColumns, Nonexistent, Quote, ValueRules, Whitespace,
};
pub use input_type::{InputType, NestedType};
pub use parameter::{Parameter, ParameterDeclaration, microseconds, param};
pub use partition::{Partition, PartitionBuilder, PartitionFunction, Rows};
#[cfg(feature = "loading")]
pub use plugin::{CallError, Emitted, Host, LoadError, PartitionStream, Plugin, Problems};
pub use problems::{Problem, SYSTEM_COLUMNS, is_identifier};
pub use table_check::{TableCheck, TableCheckDeclaration, TableRule};

/// Everything that a transform is written with.
pub mod prelude {
    pub use crate::arrow;
    pub use crate::arrow::array::ArrayRef;
    pub use crate::{
        Ambiguous, Arguments, Emit, Encoding, ExtraColumns, Function, FunctionError, Input, Level,
        MissingColumns, Mode, Nonexistent, Partition, PartitionFunction, Placed, Rows, Table,
        TableCheck, Transform, Value, Whitespace, Written, boolean, date, decimal, duration, float,
        int32, integer, json, list, map, param, structure, text, timestamp,
    };
}
