//! What goes wrong, and with which request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;

/// How one request goes wrong.
///
/// A connection that is closed and one that is reset are different things to a client: the first
/// is an end of the stream where there should be an answer, the second is an I/O error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireFault {
    /// It is answered with an S3 error and is not forwarded.
    Refuse {
        /// The HTTP status; what is not one is a 500.
        status: u16,
        /// The S3 error code, such as `SlowDown`.
        code: &'static str,
    },
    /// The connection is reset before anything is answered, and it is not forwarded.
    Reset,
    /// The connection is reset when so many bytes of its body have come, or all of them if there
    /// are fewer, and it is not forwarded.
    ResetInRequest(usize),
    /// The answer's headers and so many bytes of its body come back; then the connection is
    /// reset. A shorter body comes back whole, and nothing goes wrong.
    ///
    /// A client that does not read them at once may lose some of the bytes.
    ResetInBody(usize),
    /// The answer's headers, with the length of all of its body, and so many bytes of it come
    /// back; then the connection is closed. A shorter body comes back whole, and nothing goes
    /// wrong.
    Truncate(usize),
    /// It is carried out, and the connection is closed without an answer.
    LandsUnanswered,
    /// It is carried out, and the connection is reset without an answer.
    LandsThenReset,
    /// It is carried out, and answered with an S3 error.
    LandsThenRefuse {
        /// The HTTP status; what is not one is a 500.
        status: u16,
        /// The S3 error code, such as `InternalError`.
        code: &'static str,
    },
    /// The connection is closed without an answer; so much later it is carried out: a request
    /// that was on its way when its sender gave up.
    LandsLater(Duration),
    /// Nothing happens for so long, then it is forwarded and answered. If its client hangs up
    /// meanwhile, it is not forwarded.
    Stall(Duration),
    /// The answer's headers and so many bytes of its body come back, then nothing for so long,
    /// then the rest.
    StallInBody(usize, Duration),
}

/// One request that came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method, in capitals.
    pub method: String,
    /// Its path, which begins with a slash and the bucket, without percent-encoding.
    pub path: String,
    /// Its query, without percent-encoding; empty if it has none.
    pub query: String,
    /// Whether it has an `If-Match` or an `If-None-Match`.
    pub conditional: bool,
    /// What went wrong with it.
    pub fault: Option<WireFault>,
}

impl Request {
    fn new(head: &Parts) -> Self {
        let conditions = [IF_MATCH, IF_NONE_MATCH];
        Self {
            method: head.method.to_string(),
            path: decode(head.uri.path()),
            query: decode(head.uri.query().unwrap_or_default()),
            conditional: conditions
                .iter()
                .any(|name| head.headers.contains_key(name)),
            fault: None,
        }
    }
}

/// Which requests a fault happens to.
///
/// Unless it is told otherwise, a fault happens once, to the first request that matches. What a
/// client tries again is another request.
#[derive(Debug, Clone)]
pub struct Requests {
    method: Option<String>,
    path: String,
    query: String,
    conditional: bool,
    first: usize,
    every: usize,
    times: usize,
}

impl Requests {
    /// Every request.
    pub fn any() -> Self {
        Self {
            method: None,
            path: String::new(),
            query: String::new(),
            conditional: false,
            first: 1,
            every: 1,
            times: 1,
        }
    }

    /// Requests with this method, such as `PUT`.
    pub fn method(method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..Self::any()
        }
    }

    /// Only those whose path contains `part`, as it is without percent-encoding.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }

    /// Only those whose query contains `part`, as it is without percent-encoding: `list-type=2`
    /// means lists, and `partNumber=` the parts of an upload.
    #[must_use]
    pub fn query(mut self, part: &str) -> Self {
        part.clone_into(&mut self.query);
        self
    }

    /// Only those with an `If-Match` or an `If-None-Match`.
    #[must_use]
    pub fn conditional(mut self) -> Self {
        self.conditional = true;
        self
    }

    /// From the `n`th request that matches, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.first = n.max(1);
        self
    }

    /// At so many requests, in a row where [`Requests::every`] does not space them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// At every request from the first one on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// At every `n`th request that matches, the `n`th one first; with [`Requests::times`] after
    /// this, at so many of them.
    #[must_use]
    pub fn every(mut self, n: usize) -> Self {
        self.every = n.max(1);
        self.nth(n).always()
    }

    /// Whether it is one of these, whatever its number.
    pub(super) fn mean(&self, request: &Request) -> bool {
        let method = self.method.as_ref();
        method.is_none_or(|method| *method == request.method)
            && request.path.contains(&self.path)
            && request.query.contains(&self.query)
            && (request.conditional || !self.conditional)
    }
}

/// One line of the script: a fault, and how many requests it has seen.
#[derive(Debug)]
struct Rule {
    on: Requests,
    seen: usize,
    fault: WireFault,
}

impl Rule {
    /// Counts the request, and says whether it is one of those meant.
    fn meets(&mut self, request: &Request) -> bool {
        if !self.on.mean(request) {
            return false;
        }
        self.seen += 1;
        let since = self.seen.checked_sub(self.on.first);
        since.is_some_and(|since| {
            since.is_multiple_of(self.on.every) && since / self.on.every < self.on.times
        })
    }
}

/// What is to happen, and what has happened.
#[derive(Debug, Default)]
pub(super) struct Script {
    faults: Vec<Rule>,
    pub(super) latency: Duration,
    pub(super) requests: Vec<Request>,
}

impl Script {
    pub(super) fn inject(&mut self, on: Requests, fault: WireFault) {
        let seen = 0;
        self.faults.push(Rule { on, seen, fault });
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.latency = Duration::ZERO;
    }

    /// Notes a request, and says how long it waits and what goes wrong with it.
    pub(super) fn next(&mut self, head: &Parts) -> (Duration, Option<WireFault>) {
        let mut request = Request::new(head);
        let mut fault = None;
        for rule in &mut self.faults {
            if rule.meets(&request) && fault.is_none() {
                fault = Some(rule.fault.clone());
            }
        }
        request.fault.clone_from(&fault);
        self.requests.push(request);
        (self.latency, fault)
    }
}

/// The script, as the test and the connections share it.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Script>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Undoes percent-encoding; what is not one stays as it is.
fn decode(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = match (first, after) {
            (b'%', &[high, low, ..]) => hex(high).zip(hex(low)),
            _ => None,
        };
        if let Some((high, low)) = digits {
            bytes.push(high << 4 | low);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
