//! A MinIO for as long as tests use it: in a container where there is a Docker engine, else a process.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tempfile::TempDir;
use testcontainers_modules::minio::MinIO;
use testcontainers_modules::testcontainers::core::IntoContainerPort;
use testcontainers_modules::testcontainers::runners::SyncRunner;
use testcontainers_modules::testcontainers::{Container, ImageExt};

pub(crate) const BUCKET: &str = "lake";
pub(crate) const USER: &str = "lake-access-key";
/// What must be in no log, message, table or object.
pub(crate) const PASSWORD: &str = "canary-4f9d2c61b7e8";

/// How long a server may take to come up.
const STARTS: Duration = Duration::from_secs(60);

/// A MinIO with one bucket, gone when the last test that has it drops it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _running: Running,
}

enum Running {
    Container(Option<Box<Container<MinIO>>>),
    Process(#[expect(dead_code, reason = "it is killed when this is dropped")] Process),
}

impl Drop for Running {
    fn drop(&mut self) {
        // It waits for the engine, which a thread of an asynchronous test may not do.
        if let Self::Container(container) = self {
            let container = container.take();
            let _ = thread::spawn(move || drop(container)).join();
        }
    }
}

struct Process {
    child: Child,
    _data: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The one that runs, or a new one.
    pub(crate) fn get() -> Arc<Self> {
        let mut running = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            // As for its end.
            let started = thread::spawn(Self::start).join();
            let server = Arc::new(started.unwrap());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let server = match is_docker() {
            true => container(),
            false => process(),
        };
        let deadline = Instant::now() + STARTS;
        while !server.answers("GET", "/minio/health/ready") {
            assert!(Instant::now() < deadline, "MinIO does not come up");
            thread::sleep(Duration::from_millis(50));
        }
        let bucket = block_on(async {
            let store = client(&server.url(), 0);
            let lasts = Duration::from_secs(60);
            store
                .signed_url(http::Method::PUT, &Path::from(""), lasts)
                .await
                .unwrap()
        });
        let target = format!("{}?{}", bucket.path(), bucket.query().unwrap());
        assert!(server.answers("PUT", &target), "the bucket cannot be made");
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether a request without a body ends well.
    fn answers(&self, method: &str, target: &str) -> bool {
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            write!(
                stream,
                "{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n",
                self.address
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

/// `scripts/test` says what it has found; without it, what is there decides.
fn is_docker() -> bool {
    static DOCKER: OnceLock<bool> = OnceLock::new();
    *DOCKER.get_or_init(|| match env::var_os("LAKE_TEST_S3") {
        Some(said) if said == "docker" => true,
        Some(said) if said == "process" => false,
        Some(said) => panic!("LAKE_TEST_S3 is {said:?}, and has to be docker or process"),
        None => {
            let info = Command::new("docker")
                .args(["info", "--format", "{{.ServerVersion}}"])
                .stderr(Stdio::null())
                .output();
            info.is_ok_and(|info| !info.stdout.trim_ascii().is_empty())
        }
    })
}

fn container() -> Server {
    let image = MinIO::default()
        .with_env_var("MINIO_ROOT_USER", USER)
        .with_env_var("MINIO_ROOT_PASSWORD", PASSWORD)
        .with_startup_timeout(STARTS);
    let container = image.start().unwrap_or_else(|error| {
        panic!(
            "MinIO cannot be started in a container: {error}; `scripts/minio image` makes the \
             image, and with LAKE_TEST_S3=process the tests use a process instead"
        )
    });
    let port = container.get_host_port_ipv4(9000.tcp()).unwrap();
    // Where the engine is another machine, as Docker in Docker is, its ports are that machine's.
    let host = container.get_host().unwrap().to_string();
    let mut addresses = (host.as_str(), port).to_socket_addrs().unwrap();
    Server {
        address: addresses.find(SocketAddr::is_ipv4).unwrap(),
        _running: Running::Container(Some(Box::new(container))),
    }
}

fn process() -> Server {
    let found = Command::new(lake_tests::workspace().join("scripts/minio"))
        .arg("binary")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(found.status.success(), "there is no MinIO to test with");
    let binary = String::from_utf8(found.stdout).unwrap();
    let data = tempfile::tempdir().unwrap();
    let log = File::create(data.path().join("log")).unwrap();
    let address = free_address();
    let child = Command::new(binary.trim())
        .args(["server", "--quiet", "--address", &address.to_string()])
        .args(["--console-address", &free_address().to_string()])
        .arg(data.path().join("data"))
        .env("MINIO_ROOT_USER", USER)
        .env("MINIO_ROOT_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Server {
        address,
        _running: Running::Process(Process { child, _data: data }),
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A client for the bucket behind an endpoint that tries again so many times.
pub(crate) fn client(url: &str, retries: usize) -> AmazonS3 {
    client_with(url, retries, ClientOptions::new())
}

pub(crate) fn client_with(url: &str, max_retries: usize, options: ClientOptions) -> AmazonS3 {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        base: 2.0,
    };
    AmazonS3Builder::new()
        .with_client_options(options.with_allow_http(true))
        .with_endpoint(url)
        .with_region("us-east-1")
        .with_bucket_name(BUCKET)
        .with_access_key_id(USER)
        .with_secret_access_key(PASSWORD)
        .with_retry(RetryConfig {
            backoff,
            max_retries,
            retry_timeout: Duration::from_secs(60),
        })
        .build()
        .unwrap()
}

/// Waits for something, for tests that are not asynchronous.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}
