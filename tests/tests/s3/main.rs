//! What works on a directory works on an object store: the built binary and a real MinIO.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod jobs;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod kill;
#[cfg(test)]
mod place;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod wire;
