//! What requests come over: TCP, or TLS over it. Writing to a peer that does not read ends at a deadline.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deadline::{Deadline, timed_out};
use crate::limits::ANSWER_BYTES_PER_SECOND_MIN;

/// A connection that requests come over.
pub struct Wire {
    stream: Pin<Box<dyn Stream>>,
    /// Set while the peer has not taken what it was sent.
    stalled: Deadline,
    write_timeout: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Wire {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, write_timeout: Duration) -> Self {
        Self { stream: Box::pin(stream), stalled: Deadline::default(), write_timeout }
    }

    /// An operation towards the peer that cannot go on: fails once the peer has had its time.
    fn stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !self.stalled.is_set() {
            self.stalled.set(self.write_timeout);
        }
        if self.stalled.poll_passed(cx) {
            timed_out("write");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answers")));
        }
        Poll::Pending
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
            // All of it is on its way; a part of it buys time for the rest, so that a trickle does not go on forever.
            Poll::Ready(Ok(taken)) if taken == bytes.len() => self.stalled.clear(),
            Poll::Ready(Ok(taken)) => self.stalled.extend(answer_time(taken)),
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
