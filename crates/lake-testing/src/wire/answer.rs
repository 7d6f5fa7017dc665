//! What becomes of the requests of one connection.

use std::error::Error;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::script::{Shared, WireFault};
use super::socket::{Cut, Line, Socket};

type Failure = Box<dyn Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Answers on a connection until it ends.
pub(super) async fn serve(stream: TcpStream, upstream: SocketAddr, script: Arc<Shared>) {
    // Without this, small answers wait for one another; it fails where the client has hung up.
    let _ = stream.set_nodelay(true);
    let (line, mut cuts) = Line::new();
    let socket = Socket::new(stream, Arc::clone(&line));
    let proxy = Arc::new(Proxy {
        upstream,
        script,
        line,
    });
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.answer(request).await }
    });
    let mut connection = server::Builder::new().serve_connection(TokioIo::new(socket), answer);
    let cut = tokio::select! {
        // However it ended, it has, and its client knows.
        _ = &mut connection => None,
        cut = cuts.recv() => cut,
    };
    if let Some(cut) = cut {
        cut.apply(connection.into_parts().io.into_inner()).await;
    }
}

/// What the requests of one connection have in common.
#[derive(Debug)]
struct Proxy {
    upstream: SocketAddr,
    script: Arc<Shared>,
    line: Arc<Line>,
}

impl Proxy {
    /// Does with a request what the script says. An error is a client that hung up.
    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<Answer, hyper::Error> {
        let (head, mut body) = request.into_parts();
        let (latency, fault) = self.script.lock().next(&head);
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if let Some(WireFault::ResetInRequest(bytes)) = fault {
            read(&mut body, bytes).await?;
            return self.cut(Cut::Reset).await;
        }
        // Also where it is not forwarded: a server that answers, and closes the connection on a
        // body that is still being sent, may be answering nobody.
        let body = body.collect().await?.to_bytes();
        Ok(match fault {
            None => self.pass(head, body).await,
            Some(WireFault::Refuse { status, code }) => refusal(status, code),
            Some(WireFault::Reset | WireFault::ResetInRequest(_)) => self.cut(Cut::Reset).await?,
            Some(WireFault::ResetInBody(bytes)) => {
                let then = Then::Cut(Arc::clone(&self.line), Cut::ResetOnceRead);
                self.interrupt(head, body, bytes, then).await
            }
            Some(WireFault::Truncate(bytes)) => {
                let then = Then::Cut(Arc::clone(&self.line), Cut::Close);
                self.interrupt(head, body, bytes, then).await
            }
            Some(WireFault::StallInBody(bytes, time)) => {
                self.interrupt(head, body, bytes, Then::Wait(time)).await
            }
            Some(WireFault::LandsUnanswered) => {
                self.land(head, body).await;
                self.cut(Cut::Close).await?
            }
            Some(WireFault::LandsThenReset) => {
                self.land(head, body).await;
                self.cut(Cut::Reset).await?
            }
            Some(WireFault::LandsThenRefuse { status, code }) => {
                self.land(head, body).await;
                refusal(status, code)
            }
            Some(WireFault::LandsLater(time)) => {
                let upstream = self.upstream;
                // This task ends with its connection, so another one has to do it.
                tokio::spawn(async move {
                    sleep(time).await;
                    land(upstream, head, body).await;
                });
                self.cut(Cut::Close).await?
            }
            Some(WireFault::Stall(time)) => {
                sleep(time).await;
                self.pass(head, body).await
            }
        })
    }

    /// Ends the connection, and with it the task that this is part of.
    async fn cut(&self, how: Cut) -> Result<Answer, hyper::Error> {
        self.line.cut(how);
        pending().await
    }

    async fn pass(&self, head: Parts, body: Bytes) -> Answer {
        match forward(self.upstream, head, body).await {
            Ok(answer) => answer.map(BodyExt::boxed_unsync),
            Err(error) => unreachable(&*error),
        }
    }

    /// Passes the answer on, up to so many bytes of its body.
    async fn interrupt(&self, head: Parts, body: Bytes, bytes: usize, then: Then) -> Answer {
        match forward(self.upstream, head, body).await {
            Ok(answer) => answer.map(|body| interrupted(body, bytes, then)),
            Err(error) => unreachable(&*error),
        }
    }

    async fn land(&self, head: Parts, body: Bytes) {
        land(self.upstream, head, body).await;
    }
}

/// Sends the request to the store.
async fn forward(
    upstream: SocketAddr,
    head: Parts,
    body: Bytes,
) -> Result<Response<Incoming>, Failure> {
    // On a connection of its own, so that no request ever meets one that the store has just
    // closed: a fault that no test asked for.
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Whoever reads the answer hears of an error, too.
        let _ = connection.await;
    });
    let request = hyper::Request::from_parts(head, Full::new(body));
    Ok(sender.send_request(request).await?)
}

/// Sends the request to the store, and waits until it is answered in full.
async fn land(upstream: SocketAddr, head: Parts, body: Bytes) {
    // Nobody hears how it went.
    if let Ok(answer) = forward(upstream, head, body).await {
        let _ = answer.into_body().collect().await;
    }
}

/// Reads so many bytes, or all if there are fewer.
async fn read(body: &mut Incoming, bytes: usize) -> Result<(), hyper::Error> {
    let mut left = bytes;
    while left > 0 {
        let Some(frame) = body.frame().await else {
            break;
        };
        left = left.saturating_sub(frame?.data_ref().map_or(0, Bytes::len));
    }
    Ok(())
}

/// What happens in the middle of a body.
#[derive(Debug)]
enum Then {
    Cut(Arc<Line>, Cut),
    Wait(Duration),
}

/// A body that is passed on.
#[derive(Debug)]
struct Passing {
    body: Incoming,
    /// What came with the bytes before it and is not passed on yet.
    rest: Option<Bytes>,
    /// How many bytes pass before something happens; nothing happens any more if this is `None`.
    left: Option<usize>,
    then: Then,
}

impl Passing {
    /// Says that the connection is to be cut, if that is due.
    ///
    /// It has to be said before the last bytes are handed over: hyper does not ask for more when
    /// it has all that the length announces.
    fn note(&self) {
        if let (Some(0), Then::Cut(line, how)) = (self.left, &self.then) {
            line.cut_when_sent(*how);
        }
    }

    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, hyper::Error> {
        if self.left == Some(0) {
            match self.then {
                Then::Cut(..) => return pending().await,
                Then::Wait(time) => sleep(time).await,
            }
            self.left = None;
        }
        let frame = match self.rest.take() {
            Some(rest) => Frame::data(rest),
            None => match self.body.frame().await {
                Some(frame) => frame?,
                None => return Ok(None),
            },
        };
        let (Some(left), Some(data)) = (self.left, frame.data_ref()) else {
            return Ok(Some(frame));
        };
        let mut data = data.clone();
        if data.len() > left {
            self.rest = Some(data.split_off(left));
        }
        self.left = Some(left - data.len());
        self.note();
        Ok(Some(Frame::data(data)))
    }
}

/// A body of which so many bytes pass before something happens.
fn interrupted(body: Incoming, bytes: usize, then: Then) -> UnsyncBoxBody<Bytes, hyper::Error> {
    let passing = Passing {
        body,
        rest: None,
        left: Some(bytes),
        then,
    };
    passing.note();
    let frames = stream::try_unfold(passing, |mut passing| async move {
        let frame = passing.next().await?;
        Ok(frame.map(|frame| (frame, passing)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// An answer as S3 gives it when it does not do what it is asked to do.
fn refusal(status: u16, code: &str) -> Answer {
    error(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code,
        "A fault that the test asked for.",
    )
}

fn unreachable(cause: &(dyn Error + Send + Sync)) -> Answer {
    let message = format!("The store behind the proxy gives no answer: {cause}");
    error(StatusCode::BAD_GATEWAY, "BadGateway", &message)
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>wire</RequestId><HostId>wire</HostId></Error>"
    );
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    let xml = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(CONTENT_TYPE, xml);
    answer
}
