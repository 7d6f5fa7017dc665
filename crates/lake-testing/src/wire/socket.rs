//! The client's connection, and how it is cut.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long a client has for what was sent before a reset: a reset discards what the kernel has
/// not delivered by then.
const DELIVERY: Duration = Duration::from_millis(20);

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// In order: the client reads everything that was sent, and then the end of the stream.
    Close,
    /// The client's next read or write fails.
    Reset,
    /// The same, when the client has had time to read what was sent.
    ResetOnceRead,
}

impl Cut {
    /// Ends the connection.
    pub(super) async fn apply(self, socket: Socket) {
        if self == Self::ResetOnceRead {
            tokio::time::sleep(DELIVERY).await;
        }
        if self != Self::Close {
            // With a linger time of zero, closing sends a reset. If this fails, the connection is
            // gone, which is all that is wanted.
            let _ = socket.stream.set_zero_linger();
        }
    }
}

/// A hand on the client's connection, for those who answer on it.
#[derive(Debug)]
pub(super) struct Line {
    at_flush: Mutex<Option<Cut>>,
    cuts: UnboundedSender<Cut>,
}

impl Line {
    /// With what says when the connection is to be cut.
    pub(super) fn new() -> (Arc<Self>, UnboundedReceiver<Cut>) {
        let (cuts, cut) = unbounded_channel();
        let at_flush = Mutex::new(None);
        (Arc::new(Self { at_flush, cuts }), cut)
    }

    /// The connection ends now, whatever is waiting to be sent.
    pub(super) fn cut(&self, how: Cut) {
        // If nobody listens, the connection has ended already.
        let _ = self.cuts.send(how);
    }

    /// The connection ends when everything that was answered so far is sent.
    pub(super) fn cut_when_sent(&self, how: Cut) {
        *self.at_flush.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
    }

    fn sent(&self) {
        let mut at_flush = self.at_flush.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(how) = at_flush.take() {
            self.cut(how);
        }
    }
}

/// The client's connection. It knows when everything is sent, because that is when hyper, whose
/// buffer is empty then, flushes it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.line.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
