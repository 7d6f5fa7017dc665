//! Which requests a line of the script means.

use std::io::{Read, Write};
use std::net::TcpStream;

use lake_testing::{Requests, Wire, WireFault};

use super::bytes::Canned;

const TEAPOT: WireFault = WireFault::Refuse {
    status: 418,
    code: "Teapot",
};

fn proxy() -> Wire {
    let server = Canned::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    Wire::start(server.address).unwrap()
}

fn status(wire: &Wire, head: &str) -> u16 {
    let mut stream = TcpStream::connect(wire.address()).unwrap();
    write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Which of so many equal requests are met.
fn met(on: Requests, of: usize) -> Vec<usize> {
    let wire = proxy();
    wire.inject(on, TEAPOT);
    let met = (1..=of).filter(|_| status(&wire, "GET / HTTP/1.1") == 418);
    let met: Vec<usize> = met.collect();
    assert_eq!(wire.hits(), met.len());
    assert_eq!(wire.requests().len(), of);
    met
}

#[test]
fn numbers() {
    assert_eq!(met(Requests::any(), 3), [1]);
    assert_eq!(met(Requests::any().nth(2), 4), [2]);
    assert_eq!(met(Requests::any().nth(2).times(2), 5), [2, 3]);
    assert_eq!(met(Requests::any().nth(3).always(), 5), [3, 4, 5]);
    assert_eq!(met(Requests::any().every(3), 10), [3, 6, 9]);
    assert_eq!(met(Requests::any().every(2).times(2), 8), [2, 4]);
    assert_eq!(met(Requests::any().every(3).nth(1), 8), [1, 4, 7]);
    assert_eq!(met(Requests::any().times(0), 3), [0; 0]);
}

#[test]
fn what_is_meant() {
    let list = "GET /bucket?list-type=2&prefix=t%2Fa HTTP/1.1";
    let get = "GET /bucket/t/part%3D1/a HTTP/1.1";
    let put = "PUT /bucket/t/b HTTP/1.1\r\nIf-None-Match: *";
    let cases = [
        (Requests::any(), [true, true, true]),
        (Requests::method("GET"), [true, true, false]),
        (Requests::any().path("/t/"), [false, true, true]),
        (Requests::any().path("part=1"), [false, true, false]),
        (Requests::any().query("list-type=2"), [true, false, false]),
        (Requests::any().query("prefix=t/a"), [true, false, false]),
        (Requests::any().conditional(), [false, false, true]),
        (Requests::method("GET").conditional(), [false, false, false]),
    ];
    let wire = proxy();
    for (on, expected) in cases {
        wire.heal();
        wire.inject(on.clone().always(), TEAPOT);
        let met = [list, get, put].map(|head| status(&wire, head) == 418);
        assert_eq!(met, expected, "{on:?}");
    }
    assert_eq!(wire.count(&Requests::any().conditional()), 8);
    assert_eq!(wire.requests()[2].fault, Some(TEAPOT));
}

#[test]
fn the_first_line_counts_and_all_lines_see() {
    let wire = proxy();
    wire.inject(Requests::method("GET"), TEAPOT);
    let gone = WireFault::Refuse {
        status: 410,
        code: "Gone",
    };
    wire.inject(Requests::any().times(2), gone);
    let get = "GET / HTTP/1.1";
    assert_eq!([418, 410, 200], [get; 3].map(|head| status(&wire, head)));
}

#[test]
fn healing_ends_it() {
    let wire = proxy();
    wire.inject(Requests::any().always(), TEAPOT);
    assert_eq!(status(&wire, "GET / HTTP/1.1"), 418);
    wire.heal();
    assert_eq!(status(&wire, "GET / HTTP/1.1"), 200);
    assert_eq!((wire.hits(), wire.requests().len()), (1, 2));
}
