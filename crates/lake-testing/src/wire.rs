//! The proxy in front of the store.

mod answer;
mod script;
mod socket;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use script::Shared;
pub use script::{Request, Requests, WireFault};

/// How long no connection is accepted when accepting one has failed.
const BREATHER: Duration = Duration::from_millis(10);

/// An HTTP/1.1 proxy in front of a store, on a loopback port and a thread of its own.
///
/// What its script does not mention passes unchanged: `Host` too, as a signed request needs it.
/// A request reaches the store only when its client has sent all of it and has not hung up, and
/// each one on a connection of its own; answers are passed on as they come. If the store cannot be
/// reached, the answer is `502 BadGateway`.
///
/// When this is dropped, the port and every connection are closed and nothing more is forwarded.
pub struct Wire {
    address: SocketAddr,
    script: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// A proxy in front of the store at `upstream`, without faults.
    ///
    /// # Errors
    /// If there is no port or no thread to be had.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let script = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (started, has_started) = mpsc::channel();
        let shared = Arc::clone(&script);
        // The runtime lives and dies on that thread: tokio panics where one is dropped by a task
        // of another, as the caller may be.
        let thread = thread::Builder::new()
            .name(format!("wire-{}", address.port()))
            .spawn(move || match prepare(listener) {
                Ok((runtime, listener)) => {
                    // Who started it waits for this, so there is somebody to hear it.
                    let _ = started.send(Ok(()));
                    runtime.block_on(async {
                        tokio::select! {
                            // The sender is dropped, or says so: either way it is over.
                            _ = stopped => {}
                            () = accept(&listener, upstream, &shared) => {}
                        }
                    });
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })?;
        has_started.recv().map_err(io::Error::other)??;
        Ok(Self {
            address,
            script,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it is: a client's endpoint, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is, for who opens connections of his own.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a line to the script. Where several lines mean the same request, the first one counts.
    pub fn inject(&self, on: Requests, fault: WireFault) {
        self.script.lock().inject(on, fault);
    }

    /// From now on every request that comes, faulty or not, waits so long before anything else
    /// happens to it. They wait at the same time and not one after the other.
    pub fn delay(&self, latency: Duration) {
        self.script.lock().latency = latency;
    }

    /// From now on nothing fails and nothing waits. What a request has met already goes on.
    pub fn heal(&self) {
        self.script.lock().heal();
    }

    /// How often a fault has met a request.
    pub fn hits(&self) -> usize {
        let script = self.script.lock();
        let met = |request: &&Request| request.fault.is_some();
        script.requests.iter().filter(met).count()
    }

    /// The requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.script.lock().requests.clone()
    }

    /// How many requests there were that `on` means, wherever it says to begin or to stop.
    pub fn count(&self, on: &Requests) -> usize {
        let script = self.script.lock();
        let meant = |request: &&Request| on.mean(request);
        script.requests.iter().filter(meant).count()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("address", &self.address)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If the thread is gone already, there is nothing to stop.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so, and a second panic here would end the process.
            let _ = thread.join();
        }
    }
}

fn prepare(listener: std::net::TcpListener) -> io::Result<(Runtime, TcpListener)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _guard = runtime.enter();
        TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

async fn accept(listener: &TcpListener, upstream: SocketAddr, script: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let script = Arc::clone(script);
                tokio::spawn(answer::serve(stream, upstream, script));
            }
            // Out of file descriptors, or a client that hung up already: there is a next one.
            Err(_) => tokio::time::sleep(BREATHER).await,
        }
    }
}
