//! What requests come over: TCP, or TLS over it. Writing to a peer that does not read ends at a deadline.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::deadline::{Deadline, timed_out};
use crate::limits::ANSWER_BYTES_PER_SECOND_MIN;

/// A connection that requests come over.
pub struct Wire {
    stream: Pin<Box<dyn Stream>>,
    /// Set while the peer has not taken what it was sent.
    stalled: Deadline,
    /// How long it may still stall: `http.write_timeout` at first, less what it used up, more what it earned by taking
    /// bytes, or while nothing was to be taken.
    credit: Duration,
    /// Since when it has taken everything.
    free_since: Instant,
    write_timeout: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Wire {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, write_timeout: Duration) -> Self {
        Self {
            stream: Box::pin(stream),
            stalled: Deadline::default(),
            credit: write_timeout,
            free_since: Instant::now(),
            write_timeout,
        }
    }

    /// An operation towards the peer that cannot go on: fails once the peer has had its time.
    fn stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !self.stalled.is_set() {
            self.earn(self.free_since.elapsed());
            self.stalled.set(self.credit);
        }
        if self.stalled.poll_passed(cx) {
            timed_out("write");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answers")));
        }
        Poll::Pending
    }

    fn earn(&mut self, time: Duration) {
        self.credit = self.credit.saturating_add(time).min(self.write_timeout);
    }

    /// The peer has taken so many bytes, and with `all` everything that it was sent.
    fn took(&mut self, bytes: usize, all: bool) {
        if let Some(left) = self.stalled.left() {
            self.credit = left;
            self.earn(answer_time(bytes));
            // A client that takes a little now and then does not go on forever.
            if all {
                self.stalled.clear();
                self.free_since = Instant::now();
            } else {
                self.stalled.set(self.credit);
            }
        }
    }
}

/// How long so many bytes of an answer may take beside the timeout.
pub fn answer_time(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1000 / ANSWER_BYTES_PER_SECOND_MIN)
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.as_mut().poll_write(cx, bytes);
        match written {
            Poll::Pending => return self.stall(cx),
            Poll::Ready(Ok(taken)) => self.took(taken, taken == bytes.len()),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.as_mut().poll_flush(cx);
        if flushed.is_pending() { self.stall(cx) } else { flushed }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.stream.as_mut().poll_shutdown(cx);
        if ended.is_pending() { self.stall(cx) } else { ended }
    }
}
