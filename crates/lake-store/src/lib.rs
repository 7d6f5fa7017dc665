//! Places where files are: directories of this machine, and object stores.
//!
//! [`Stores`] opens them, by the URLs that people write and the environment variables that they know
//! from other tools. What comes back is an [`ObjectStore`](object_store::ObjectStore) that
//!
//! - confirms nothing that a power cut can take back, on local disks (`durable`);
//! - tries again what a network or a busy server has spoiled, a limited number of times, and gives a
//!   connection up on which nothing moves (`transport`);
//! - counts its requests by kind ([`Requests`]);
//! - says nothing in its errors that it signs its requests with (`secrets`).
//!
//! Beside them, [`post`](fn@post) hands a few bytes to a server that is none. It knows nothing of tables,
//! pipelines or releases.
//!
//! # Environment
//!
//! The variables are those of the `object_store` crate, which are those of each provider's own tools:
//! [`AWS_*`](object_store::aws::AmazonS3ConfigKey), [`GOOGLE_*`](object_store::gcp::GoogleConfigKey)
//! and [`AZURE_*`](object_store::azure::AzureConfigKey). Static keys win over web identity
//! (`AWS_WEB_IDENTITY_TOKEN_FILE`), that over the credentials of a container, and those over the role
//! of the machine. `AWS_MAX_ATTEMPTS`, as the AWS tools know it, is how often a request is made.

mod durable;
mod error;
mod location;
mod post;
mod requests;
mod secrets;
mod stores;
mod transport;

pub use durable::confirm;
pub use error::{Error, Result};
pub use location::{Bucket, is_url, shown};
pub use post::{NotPosted, post};
pub use requests::Requests;
pub use stores::Stores;
