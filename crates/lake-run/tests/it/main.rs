//! What somebody relies on who runs a pipeline on a machine that fails.

#[cfg(test)]
mod again;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod maintain;
#[cfg(test)]
mod model;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod seal;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod undo;
