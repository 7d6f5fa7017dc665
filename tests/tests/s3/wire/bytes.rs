//! What goes over the wire, byte by byte, in front of a server that says what it is told to.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use lake_testing::{Requests, Wire, WireFault};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ObjectStoreExt, aws::AmazonS3};

use super::setup;

/// A server that gives the same answer to everything, and what it was asked.
pub(crate) struct Canned {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Receiver<String>,
}

impl Canned {
    /// It ends with its process.
    pub(crate) fn new(answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (asking, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let asking = asking.clone();
                thread::spawn(move || {
                    while let Ok(request) = read_message(&mut stream, false) {
                        let _ = asking.send(request);
                        if stream.write_all(answer.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }
}

/// Reads a message whose length its head tells, or only its head.
fn read_message(stream: &mut impl Read, head_only: bool) -> io::Result<String> {
    let mut message = Vec::new();
    let mut length = None;
    while length.is_none_or(|length| message.len() < length) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        message.push(byte[0]);
        if length.is_none() && message.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message).to_lowercase();
            let body = head.split("content-length: ").nth(1).filter(|_| !head_only);
            let body = body.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            length = Some(message.len() + body.unwrap_or(0));
        }
    }
    Ok(String::from_utf8_lossy(&message).into_owned())
}

fn connect(wire: &Wire) -> TcpStream {
    let stream = TcpStream::connect(wire.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

pub(crate) fn ask(stream: &mut TcpStream, method: &str, target: &str) {
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: some.where:1\r\n\r\n"
    )
    .unwrap();
}

/// Everything that comes, and how it ended.
fn drain(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    (bytes, end.err().map(|error| error.kind()))
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Some: header\r\n\r\n0123456789";

#[test]
fn heads_and_bodies_pass_as_they_are() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let mut stream = connect(&wire);
    write!(
        stream,
        "PUT /b/a%3Db%20c?x=%2F&y HTTP/1.1\r\nHost: some.where:1\r\nX-Amz-Date: now\r\n\
         Content-Length: 4\r\n\r\nbody"
    )
    .unwrap();
    let answer = read_message(&mut stream, false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-some: header\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n0123456789"), "{answer}");
    let asked = server.asked.recv().unwrap();
    assert!(
        asked.starts_with("PUT /b/a%3Db%20c?x=%2F&y HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("host: some.where:1\r\n"), "{asked}");
    assert!(asked.contains("x-amz-date: now\r\n"), "{asked}");
    assert!(asked.contains("content-length: 4\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\nbody"), "{asked}");
    let noted = &wire.requests()[0];
    assert_eq!(
        (noted.path.as_str(), noted.query.as_str()),
        ("/b/a=b c", "x=/&y")
    );

    // The connection is kept.
    ask(&mut stream, "GET", "/again");
    let answer = read_message(&mut stream, false).unwrap();
    assert!(answer.ends_with("0123456789"), "{answer}");
    ask(&mut stream, "HEAD", "/head");
    let answer = read_message(&mut stream, true).unwrap();
    assert!(answer.contains("content-length: 10\r\n"), "{answer}");
    ask(&mut stream, "GET", "/after-head");
    let answer = read_message(&mut stream, false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(wire.requests().len(), 4);
}

#[test]
fn answers_without_a_body_pass() {
    for head in ["204 No Content", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {head}\r\nETag: \"tag\"\r\n\r\n");
        let server = Canned::new(answer.leak());
        let wire = Wire::start(server.address).unwrap();
        let mut stream = connect(&wire);
        for _ in 0..2 {
            ask(&mut stream, "GET", "/");
            let answer = read_message(&mut stream, false).unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {head}\r\n")),
                "{answer}"
            );
            assert!(answer.contains("etag: \"tag\"\r\n"), "{answer}");
        }
    }
}

#[test]
fn answers_in_chunks_pass() {
    let server = Canned::new(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
    );
    let wire = Wire::start(server.address).unwrap();
    let chunks = |on: &str| {
        let mut stream = connect(&wire);
        write!(
            stream,
            "GET {on} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let (bytes, end) = drain(&mut stream);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let lines = body.split("\r\n").filter(|line| line.len() > 1);
        (lines.collect::<String>(), body.ends_with("0\r\n\r\n"), end)
    };
    assert_eq!(chunks("/"), ("0123456789".to_owned(), true, None));
    wire.inject(Requests::any(), WireFault::Truncate(7));
    assert_eq!(chunks("/"), ("0123456".to_owned(), false, None));
}

#[tokio::test]
async fn a_client_may_wait_for_the_continue() {
    let setup = setup();
    let path = Path::from("continue/object");
    let signed = |store: AmazonS3, path: Path| async move {
        let time = Duration::from_secs(60);
        store.signed_url("PUT".parse().unwrap(), &path, time).await
    };
    let url = signed(setup.retrying(0), path.clone()).await.unwrap();
    let host = setup.wire.address();
    let mut stream = connect(&setup.wire);
    let target = format!("{}?{}", url.path(), url.query().unwrap());
    write!(
        stream,
        "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 7\r\n\
         Expect: 100-continue\r\n\r\n"
    )
    .unwrap();
    let go_on = read_message(&mut stream, false).unwrap();
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    stream.write_all(b"content").unwrap();
    let answer = read_message(&mut stream, false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let got = setup
        .direct()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(got, "content");
}

#[test]
fn cuts_are_what_they_say() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let reset = Some(ErrorKind::ConnectionReset);
    let lands = [
        (WireFault::Reset, None, reset, 0),
        (WireFault::LandsUnanswered, None, None, 1),
        (WireFault::LandsThenReset, None, reset, 1),
        (WireFault::LandsLater(Duration::ZERO), None, None, 1),
        (WireFault::Truncate(0), Some(""), None, 1),
        (WireFault::Truncate(4), Some("0123"), None, 1),
        (WireFault::Truncate(10), Some("0123456789"), None, 1),
        (WireFault::ResetInBody(0), Some(""), reset, 1),
        (WireFault::ResetInBody(4), Some("0123"), reset, 1),
        (WireFault::ResetInBody(10), Some("0123456789"), reset, 1),
    ];
    for (fault, body, end, forwarded) in lands {
        wire.inject(Requests::any(), fault.clone());
        let mut stream = connect(&wire);
        ask(&mut stream, "GET", "/");
        let (bytes, ended) = drain(&mut stream);
        assert_eq!(ended, end, "{fault:?}");
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text.split_once("\r\n\r\n").map(|(_, body)| body),
            body,
            "{fault:?}"
        );
        let wait = Duration::from_millis(if forwarded > 0 { 5_000 } else { 50 });
        let asked = server.asked.recv_timeout(wait).into_iter().count();
        assert_eq!(asked, forwarded, "{fault:?}");
    }
    // Where there is no body, the connection is cut after the head, or not at all.
    for (bytes, end) in [(0, reset), (1, Some(ErrorKind::WouldBlock))] {
        wire.inject(Requests::any(), WireFault::ResetInBody(bytes));
        let mut stream = connect(&wire);
        ask(&mut stream, "HEAD", "/");
        read_message(&mut stream, true).unwrap();
        let some_time = Some(Duration::from_millis(200));
        stream.set_read_timeout(some_time).unwrap();
        assert_eq!(drain(&mut stream), (Vec::new(), end));
    }
}

#[test]
fn a_body_stalls_in_its_middle() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let pause = Duration::from_millis(400);
    wire.inject(Requests::any(), WireFault::StallInBody(4, pause));
    let mut stream = connect(&wire);
    let begin = Instant::now();
    ask(&mut stream, "GET", "/");
    read_message(&mut stream, true).unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).unwrap();
    assert!(begin.elapsed() < pause, "the first bytes do not wait");
    let mut bytes = [0; 6];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"456789");
    assert!(begin.elapsed() >= pause);
    ask(&mut stream, "GET", "/");
    read_message(&mut stream, false).unwrap();
}

#[test]
fn a_stall_is_that_requests_alone() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let pause = Duration::from_millis(500);
    wire.inject(
        Requests::any().path("/slow").always(),
        WireFault::Stall(pause),
    );
    let begin = Instant::now();
    let mut slow = connect(&wire);
    ask(&mut slow, "GET", "/slow");
    let mut gone = connect(&wire);
    ask(&mut gone, "GET", "/slow/gone");
    let mut fast = connect(&wire);
    ask(&mut fast, "GET", "/fast");
    read_message(&mut fast, false).unwrap();
    drop(gone);
    assert!(begin.elapsed() < pause);
    read_message(&mut slow, false).unwrap();
    assert!(begin.elapsed() >= pause);
    thread::sleep(Duration::from_millis(100));
    let asked: Vec<String> = server.asked.try_iter().collect();
    let count = |target: &str| asked.iter().filter(|asked| asked.contains(target)).count();
    assert_eq!(
        (count("/fast "), count("/slow "), count("/slow/gone ")),
        (1, 1, 0)
    );
}

#[test]
fn a_request_lands_later() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let time = Duration::from_millis(300);
    wire.inject(Requests::any(), WireFault::LandsLater(time));
    let begin = Instant::now();
    let mut stream = connect(&wire);
    ask(&mut stream, "GET", "/late");
    assert_eq!(drain(&mut stream), (Vec::new(), None));
    assert!(begin.elapsed() < time);
    let mut stream = connect(&wire);
    ask(&mut stream, "GET", "/early");
    read_message(&mut stream, false).unwrap();
    let mut order = (0..2).map(|_| server.asked.recv().unwrap());
    assert!(order.next().unwrap().starts_with("GET /early "));
    assert!(order.next().unwrap().starts_with("GET /late "));
    assert!(begin.elapsed() >= time);
}

#[test]
fn a_store_that_is_not_there_is_a_502() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let wire = Wire::start(address).unwrap();
    let mut stream = connect(&wire);
    ask(&mut stream, "GET", "/");
    let answer = read_message(&mut stream, false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("Connection refused"), "{answer}");
}

#[test]
fn nothing_is_left() {
    let server = Canned::new(HELLO);
    let wire = Wire::start(server.address).unwrap();
    let name = format!("wire-{}", wire.address().port());
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
        names
            .filter(|other| other.as_ref().is_ok_and(|other| other.trim() == name))
            .count()
    };
    let hour = Duration::from_secs(3_600);
    wire.inject(Requests::any().path("/stall"), WireFault::Stall(hour));
    wire.inject(Requests::any().path("/late"), WireFault::LandsLater(hour));
    let mut idle = connect(&wire);
    ask(&mut idle, "GET", "/");
    read_message(&mut idle, false).unwrap();
    let mut stalled = connect(&wire);
    ask(&mut stalled, "GET", "/stall");
    let mut late = connect(&wire);
    ask(&mut late, "GET", "/late");
    drain(&mut late);
    while wire.hits() < 2 {
        thread::yield_now();
    }
    assert_eq!(threads(), 1);

    let address = wire.address();
    let begin = Instant::now();
    drop(wire);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(threads(), 0);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(drain(&mut idle), (Vec::new(), None));
    assert_eq!(drain(&mut stalled), (Vec::new(), None));
    assert_eq!(server.asked.try_iter().count(), 1);
}

/// The destructor waits for a thread, which a runtime of the caller must survive.
#[tokio::test]
async fn a_task_may_start_and_drop_it() {
    let wire = Wire::start(([127, 0, 0, 1], 9).into()).unwrap();
    drop(wire);
}
