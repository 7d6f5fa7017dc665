//! What every request passes: counting, patience, and silence about secrets.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http::header;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use tokio::time::{Instant, Sleep, sleep};

use crate::requests::{Counter, Kind};
use crate::secrets::Secrets;

/// A connection on which nothing has come for so long is given up.
const IDLE: Duration = Duration::from_secs(20);

/// A body is sent with at least so many bytes a second, or the connection is given up.
const SLOWEST: u64 = 128 << 10;

/// A machine's own metadata service answers at once, where there is one.
const METADATA_IDLE: Duration = Duration::from_secs(2);

/// What it means where it gives nothing: it is asked where nothing else gives credentials.
const NO_CREDENTIALS: &str = "no credentials are given (AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY, for instance; docs/object-stores.md has all), \
                              and this machine has no role that gives any";

/// What to do about a refusal that comes without a word.
const WITHOUT_REASON: &str = "the store gives no reason (as for every HEAD request); check the \
                              credentials, that they have not expired, what they may do with the \
                              bucket, and the region";

/// How much of an error document is looked at.
const DOCUMENT: usize = 64 << 10;

/// Makes the connections of all stores.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) counter: Arc<Counter>,
    pub(crate) secrets: Arc<Secrets>,
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        let line = Line {
            inner,
            transport: self.clone(),
        };
        Ok(HttpClient::new(line))
    }
}

/// A client whose requests are watched.
#[derive(Debug)]
struct Line {
    inner: HttpClient,
    transport: Transport,
}

/// Nothing has come for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
struct Stalled(Duration);

/// Whether credentials are asked for at the metadata service of an Amazon machine: by its paths, and
/// without a signature, which whatever is asked of a store has.
fn asks_metadata(request: &HttpRequest) -> bool {
    let path = request.uri().path();
    let is_path = path == "/latest/api/token"
        || path.starts_with("/latest/meta-data/iam/security-credentials/");
    is_path && !request.headers().contains_key(header::AUTHORIZATION)
}

/// An error with all of its causes in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct InFull(String);

/// The library's own words end with `error sending request`, and not with what happened.
fn in_full(error: &HttpError) -> HttpError {
    HttpError::new(error.kind(), InFull(causes(error)))
}

/// All that has led to an error, without its own words.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some repeat what is below them.
        if !words.iter().any(|known| known.contains(&said)) {
            words.push(said);
        }
        cause = inner.source();
    }
    words.join(": ")
}

fn stalled(patience: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Stalled(patience))
}

#[async_trait]
impl HttpService for Line {
    /// A time limit for a whole request, which the library has instead, would be too long for one
    /// that is stuck and too short for a large one on a slow line.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let counter = &self.transport.counter;
        let kind = Kind::of(request.method(), request.uri());
        counter.note(kind);
        let bytes = request.body().content_length() as u64;
        let asks_metadata = asks_metadata(&request);
        let patience = match asks_metadata {
            true => METADATA_IDLE,
            false => IDLE + Duration::from_secs(bytes / SLOWEST),
        };
        // Nothing of a request but these is fit to be told: its headers sign it. Where none does, the
        // path itself can be what opens a container's credentials.
        let is_signed = request.headers().contains_key(header::AUTHORIZATION);
        let path = if is_signed {
            request.uri().path()
        } else {
            "…"
        };
        let (method, path) = (request.method().clone(), path.to_owned());
        let asked = Instant::now();
        let answer = tokio::time::timeout(patience, self.inner.execute(request)).await;
        let took = asked.elapsed();
        tracing::trace!(%method, path, ?took, "asked a store");
        let answer = answer.unwrap_or_else(|_| Err(stalled(patience)));
        let answer = answer.map_err(|error| {
            counter.note_failed();
            match asks_metadata {
                true => HttpError::new(error.kind(), InFull(NO_CREDENTIALS.to_owned())),
                false => in_full(&error),
            }
        })?;
        let (mut parts, body) = answer.into_parts();
        let status = parts.status;
        if status.is_server_error() || status.as_u16() == 429 {
            counter.note_failed();
        }
        if !(status.is_client_error() || status.is_server_error()) {
            let body = HttpResponseBody::new(Attentive::to(body));
            // The library goes on reading an object where its answer was cut off, and nothing else: a
            // page of a listing has to be whole before it counts as an answer.
            let body = match kind {
                Kind::List => {
                    let page = body.bytes().await;
                    page.inspect_err(|_| counter.note_failed())?.into()
                }
                _ => body,
            };
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let document = document(Attentive::to(body)).await;
        parts.headers.remove(header::CONTENT_LENGTH);
        let brief = match (document.trim(), status.as_u16()) {
            (_, 400..=404) if asks_metadata => NO_CREDENTIALS.to_owned(),
            ("", 400 | 401 | 403) => WITHOUT_REASON.to_owned(),
            (document, _) => self.transport.secrets.brief(document),
        };
        Ok(HttpResponse::from_parts(parts, brief.into()))
    }
}

/// The beginning of a body, as far as it comes.
async fn document(body: Attentive) -> String {
    let mut document = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        document.extend_from_slice(&piece);
        if document.len() > DOCUMENT {
            break;
        }
    }
    String::from_utf8_lossy(&document).into_owned()
}

/// The body of an answer, which fails where nothing of it comes for too long.
#[derive(Debug)]
struct Attentive {
    body: HttpResponseBody,
    until: Pin<Box<Sleep>>,
}

impl Attentive {
    fn to(body: HttpResponseBody) -> Self {
        let until = Box::pin(sleep(IDLE));
        Self { body, until }
    }
}

impl http_body::Body for Attentive {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, HttpError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            self.until.as_mut().reset(Instant::now() + IDLE);
            return frame;
        }
        // A reader that takes its time is asked again when it asks, and the clock with it: what is
        // there by then has been found above.
        match self.until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(stalled(IDLE)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
