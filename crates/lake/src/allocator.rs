//! The allocator of the process, and how soon it gives memory back.
//!
//! Many threads allocate and free large buffers. The system's allocator keeps
//! much of that to itself, and peak memory grows with the size of the data;
//! mimalloc as it comes returns memory so late that the peak is up to a half
//! higher than what is in use.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Values of `mi_option_t` in `mimalloc.h` of version 2.
const PURGE_DELAY: mi_option_t = 15;
const DISALLOW_ARENA_ALLOC: mi_option_t = 27;

/// Makes the allocator return freed memory within milliseconds. What the
/// environment says (`MIMALLOC_PURGE_DELAY`, `MIMALLOC_DISALLOW_ARENA_ALLOC`)
/// goes first. To be called before another thread is started.
pub(crate) fn give_memory_back() {
    /// Milliseconds. At 1 and below, giving pages back and faulting them in
    /// again costs a tenth of a run's time and more.
    const SOON: c_long = 3;
    #[expect(unsafe_code, reason = "the options have no safe interface")]
    // SAFETY: both are options of the version that the feature `v2` compiles
    // in, and no other thread reads or sets options yet.
    unsafe {
        mi_option_set_default(PURGE_DELAY, SOON);
        // Memory that was freed to an arena waits ten times as long.
        mi_option_set_default(DISALLOW_ARENA_ALLOC, 1);
    }
}
