//! What a user of the built `lake` relies on.

#[cfg(test)]
mod again;
#[cfg(test)]
mod architecture;
#[cfg(test)]
#[cfg(unix)]
mod bump;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod history;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod keys;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod kill;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod logic;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod partition_functions;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod pause;
#[cfg(test)]
mod pipeline_file;
#[cfg(test)]
mod query;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod races;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod run;
#[cfg(test)]
mod small_files;
#[cfg(test)]
mod table_checks;
#[cfg(test)]
mod team;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod transforms;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod tutorial;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod which_files;
