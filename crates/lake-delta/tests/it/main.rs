//! What a user of prepared and applied tables relies on.

#[cfg(test)]
mod arrange;
#[cfg(test)]
mod compact;
#[cfg(test)]
mod deletes;
#[cfg(test)]
mod evolve;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod merge;
#[cfg(test)]
mod partitioned;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod statistics;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod withdraw;
