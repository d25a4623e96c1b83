//! Between the wire and hyper: requests of HTTP/1 pass one head at a time, after [`super::head`] has judged it.
//!
//! hyper answers what it cannot parse by itself, without a request id and a problem document, and is lenient about
//! framing. So no such head reaches it: in the place of one that is refused it is given [`REFUSED`], its service finds
//! the reason in [`GateVerdict`], and the connection is closed. The gate follows each request to its end, so that this holds
//! for every one of a connection, pipelined ones included. It also keeps the time: half a head and an idle connection
//! end at their timeouts. What of a body does not come together with its head goes from the wire into hyper's buffer
//! without a copy.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::deadline::{Deadline, timed_out};
use super::extent::{Extent, Follow};
use super::head::{self, Fault};
use super::wire::Wire;

/// What hyper reads instead of a head that is refused.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";
/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the gate has seen, for those who answer and those who close.
#[derive(Default)]
pub struct GateVerdict {
    refused: OnceLock<Fault>,
    unread: AtomicBool,
}

impl GateVerdict {
    /// Why the request that the service is called with is none. Exact: a head is released only when all before it have
    /// been parsed, and a refused one is the last.
    pub fn refused(&self) -> Option<Fault> {
        self.refused.get().copied()
    }

    /// Whether the peer may still be sending when the gate is gone.
    pub fn is_unread(&self) -> bool {
        self.refused.get().is_some() || self.unread.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From connecting, or from its first byte, to the end of a head.
    pub head: Duration,
    pub idle: Duration,
}

/// A connection whose requests are judged.
pub struct Gate {
    wire: Wire,
    /// Read and not yet handed on: a head, or what came behind a request.
    held: BytesMut,
    state: GateState,
    seen: Arc<GateVerdict>,
    patience: Patience,
    /// For the head that is waited for.
    due: Deadline,
    /// No head has been let through yet.
    first: bool,
}

enum GateState {
    /// Waiting for a whole head, of which so many bytes of `held` were looked at.
    Head {
        searched: usize,
    },
    Passing(Extent),
    /// The framing of a body is wrong.
    Broken,
    /// Nothing more is read.
    Closed,
}

impl Gate {
    /// A connection that was accepted this moment.
    pub fn new(wire: Wire, patience: Patience) -> Self {
        let mut due = Deadline::default();
        due.set(patience.head);
        let state = GateState::Head { searched: 0 };
        Self { wire, held: BytesMut::new(), state, seen: Arc::default(), patience, due, first: true }
    }

    pub fn seen(&self) -> Arc<GateVerdict> {
        Arc::clone(&self.seen)
    }

    /// Waits until it is clear which protocol is spoken; true: HTTP/2, and everything passes from now on.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        let (wire, held) = (&mut self.wire, &mut self.held);
        held.reserve(1024);
        let heard = tokio::time::timeout(self.patience.head, async {
            while held.len() < PREFACE.len() && PREFACE.starts_with(held) {
                if wire.read_buf(held).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(held.starts_with(PREFACE))
        });
        let Ok(heard) = heard.await else {
            // Nobody is there to be answered.
            timed_out(if self.held.is_empty() { "idle" } else { "head" });
            return Err(io::ErrorKind::TimedOut.into());
        };
        heard.inspect(|is_http2| {
            if *is_http2 {
                self.open();
            }
        })
    }

    /// Lets everything pass: HTTP/2.
    pub fn open(&mut self) {
        self.state = GateState::Passing(Extent::fixed(u64::MAX));
        self.due.clear();
    }

    /// A whole head was found: its request passes.
    fn begin(&mut self, request: Extent) {
        self.first = false;
        self.due.clear();
        self.state = GateState::Passing(request);
    }

    /// Looks for a head in what is held.
    fn judge(&mut self, searched: usize) {
        match head::look(&self.held, searched) {
            Ok(Some(request)) => self.begin(request),
            Ok(None) => {
                // The first head of a connection has been waited for since it was accepted.
                if searched == 0 && !self.first {
                    self.due.set(self.patience.head);
                }
                self.state = GateState::Head { searched: self.held.len() };
            }
            Err(fault) => self.refuse(fault),
        }
    }

    fn refuse(&mut self, fault: Fault) {
        let _ = self.seen.refused.set(fault);
        self.held = BytesMut::from(REFUSED);
        self.state = GateState::Passing(Extent::fixed(REFUSED.len() as u64));
    }

    /// Nothing has come: has it been too long?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.due.is_set() {
            self.due.set(self.patience.idle);
        }
        if !self.due.poll_passed(cx) {
            return Poll::Pending;
        }
        if self.held.is_empty() {
            timed_out("idle");
            self.state = GateState::Closed;
        } else {
            timed_out("head");
            self.refuse(Fault::TooSlow);
        }
        Poll::Ready(())
    }

    /// Lets what belongs to the request pass from what is held, or else from the wire, and holds the rest.
    fn pass(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let GateState::Passing(request) = &mut self.state else { return Poll::Ready(Ok(())) };
        let follow = if self.held.is_empty() {
            let start = buffer.filled().len();
            ready!(Pin::new(&mut self.wire).poll_read(cx, buffer))?;
            keep(request, &mut self.held, buffer, start)
        } else {
            let room = self.held.len().min(buffer.remaining());
            let (taken, follow) = request.advance(&self.held[..room]);
            buffer.put_slice(&self.held[..taken]);
            self.held.advance(taken);
            follow
        };
        self.followed(follow);
        Poll::Ready(Ok(()))
    }

    fn followed(&mut self, follow: Follow) {
        if self.held.is_empty() {
            // A buffer that held a large head is not kept for the life of the connection.
            self.held = BytesMut::new();
        }
        match follow {
            Follow::More => {}
            Follow::Done if self.seen.refused().is_some() => self.state = GateState::Closed,
            Follow::Done => self.state = GateState::Head { searched: 0 },
            Follow::Wrong => self.state = GateState::Broken,
        }
    }

    /// Takes what was read into the buffer from `start`. A whole head, as it nearly always comes, passes where it is; true:
    /// something passes.
    fn take(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> bool {
        if self.held.is_empty()
            && let Ok(Some(mut request)) = head::look(&buffer.filled()[start..], 0)
        {
            let follow = keep(&mut request, &mut self.held, buffer, start);
            self.begin(request);
            self.followed(follow);
            return true;
        }
        self.held.extend_from_slice(&buffer.filled()[start..]);
        buffer.set_filled(start);
        false
    }
}

/// Leaves in the buffer, of what was read into it from `start`, what belongs to the request, and holds the rest.
fn keep(request: &mut Extent, held: &mut BytesMut, buffer: &mut ReadBuf<'_>, start: usize) -> Follow {
    let (taken, follow) = request.advance(&buffer.filled()[start..]);
    held.extend_from_slice(&buffer.filled()[start + taken..]);
    buffer.set_filled(start + taken);
    follow
}

impl AsyncRead for Gate {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let start = buffer.filled().len();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match me.state {
                GateState::Head { searched } if searched < me.held.len() => me.judge(searched),
                GateState::Head { .. } => match Pin::new(&mut me.wire).poll_read(cx, buffer) {
                    Poll::Pending => ready!(me.wait(cx)),
                    Poll::Ready(result) => {
                        result?;
                        if buffer.filled().len() == start {
                            me.state = GateState::Closed;
                        } else if me.take(buffer, start) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
                GateState::Passing(_) => {
                    ready!(me.pass(cx, buffer))?;
                    // Nothing passed: the framing is wrong, or the peer ended in the middle of its body.
                    if buffer.filled().len() > start || !matches!(me.state, GateState::Broken) {
                        return Poll::Ready(Ok(()));
                    }
                }
                GateState::Broken => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "the framing of the chunks is wrong");
                    return Poll::Ready(Err(error));
                }
                GateState::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let unread = matches!(self.state, GateState::Passing(_) | GateState::Broken);
        self.seen.unread.store(unread, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
