//! What authors and hosts rely on: declarations, the boundary from both sides, and loading.
//!
//! A C compiler (`cc`) is needed: the header is a promise to C, and is tested in C.

#[cfg(test)]
mod c;
#[cfg(test)]
mod call;
#[cfg(test)]
mod deadly;
#[cfg(test)]
mod declaration;
#[cfg(test)]
mod emit;
#[cfg(test)]
mod export;
#[cfg(test)]
mod header;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod liar;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod old_arrow;
#[cfg(test)]
mod partition;
#[cfg(test)]
mod partition_c;
#[cfg(test)]
mod signatures;
