//! The wire that goes wrong on request, in front of a real MinIO and of servers that say what they
//! are told to; and what the client library makes of each fault.

mod bytes;
mod faults;
mod outcomes;
mod passing;
mod script;

use std::error::Error;
use std::io;
use std::sync::Arc;

use lake_testing::Wire;
use object_store::ClientOptions;
use object_store::aws::AmazonS3;
use object_store::client::{HttpError, HttpErrorKind};

use crate::server::{Server, client_with};

/// A MinIO, a wire in front of it, and a client that does not try again.
struct Setup {
    server: Arc<Server>,
    wire: Wire,
    store: AmazonS3,
}

fn setup() -> Setup {
    let server = Server::get();
    let wire = Wire::start(server.address).unwrap();
    let store = client(&wire, 0, ClientOptions::new());
    Setup {
        server,
        wire,
        store,
    }
}

impl Setup {
    /// A client that sees the store as it is.
    fn direct(&self) -> AmazonS3 {
        client_with(&self.server.url(), 0, ClientOptions::new())
    }

    /// A client through the wire that tries again so many times.
    fn retrying(&self, retries: usize) -> AmazonS3 {
        client(&self.wire, retries, ClientOptions::new())
    }
}

fn client(wire: &Wire, retries: usize, options: ClientOptions) -> AmazonS3 {
    client_with(&wire.url(), retries, options)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What the HTTP library took an error for.
fn kind(error: &object_store::Error) -> Option<HttpErrorKind> {
    causes(error).find_map(|cause| Some(cause.downcast_ref::<HttpError>()?.kind()))
}

/// What the kernel said.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()))
}
