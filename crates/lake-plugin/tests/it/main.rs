//! What authors and hosts rely on: declarations, the boundary from both sides, and loading.
//!
//! A C compiler (`cc`) is needed: the header is a promise to C, and is tested in C.

mod c;
mod call;
mod declaration;
mod header;
mod loading;
