//! Between the wire and hyper: requests of HTTP/1 pass one head at a time, after [`super::head`] has judged it.
//!
//! hyper answers what it cannot parse by itself, without a request id and without a problem document, and is lenient about
//! framing. So no such head reaches it: in the place of one that is refused it is given [`REFUSED`], its service finds
//! the reason in [`Gauge`], and the connection is closed. The gate follows every body to its end, by length or chunk
//! by chunk, so that this holds for each request of a connection, pipelined ones included. It also keeps the time: half
//! a head and an idle connection end at their timeouts. Bodies go from the wire into hyper's buffer without a copy.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunked::Chunks;
use super::deadline::Deadline;
use super::head::{self, Fault, Framing};
use super::timeouts::timed_out;
use super::wire::Wire;

/// What hyper reads instead of a head that is refused.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";
/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the gate has seen, for those who answer and those who close.
#[derive(Default)]
pub struct Gauge {
    refused: OnceLock<Fault>,
    unread: AtomicBool,
}

impl Gauge {
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

/// How long heads may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From connecting, or from its first byte, to the end of a head.
    pub head: Duration,
    pub idle: Duration,
}

/// A connection whose requests are judged.
pub struct Gate {
    wire: Wire,
    /// Read and not yet handed on: the beginning of a head, or what came behind a request.
    held: BytesMut,
    state: State,
    gauge: Arc<Gauge>,
    patience: Patience,
    /// For the head that is waited for.
    reading: Deadline,
    /// No head has been let through yet.
    first: bool,
}

enum State {
    /// Waiting for a whole head, of which so many bytes of `held` were looked at.
    Head {
        searched: usize,
    },
    /// So many bytes of `held` are a head that may pass; then comes the body.
    Release {
        left: usize,
        body: Option<Body>,
    },
    Body(Body),
    /// A chunked body whose framing is wrong.
    Broken,
    Open,
    /// Nothing more is read.
    Closed,
}

enum Body {
    Length(u64),
    Chunked(Chunks),
}

impl Body {
    fn new(framing: Framing) -> Option<Self> {
        match framing {
            Framing::Length(0) => None,
            Framing::Length(bytes) => Some(Self::Length(bytes)),
            Framing::Chunked => Some(Self::Chunked(Chunks::default())),
        }
    }

    /// How many of these bytes belong to the body, and whether it ends with them.
    fn advance(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        match self {
            Self::Length(left) => {
                let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                Some((here, *left == 0))
            }
            Self::Chunked(chunks) => chunks.advance(bytes).ok().map(|here| (here, chunks.is_done())),
        }
    }
}

impl Gate {
    /// A connection that was accepted this moment.
    pub fn new(wire: Wire, patience: Patience) -> Self {
        let mut reading = Deadline::default();
        reading.set(patience.head);
        let state = State::Head { searched: 0 };
        Self { wire, held: BytesMut::new(), state, gauge: Arc::default(), patience, reading, first: true }
    }

    /// What it will have seen.
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Waits until it is clear which protocol is spoken; true: HTTP/2, and everything passes from now on.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|cx| self.poll_is_http2(cx)).await
    }

    /// Lets everything pass: HTTP/2, agreed on by ALPN.
    pub fn open(&mut self) {
        self.state = State::Open;
        self.reading.clear();
    }

    fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let seen = self.held.len().min(PREFACE.len());
            if self.held[..seen] != PREFACE[..seen] {
                return Poll::Ready(Ok(false));
            }
            if seen == PREFACE.len() {
                self.open();
                return Poll::Ready(Ok(true));
            }
            let mut space = [0; 1024];
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.wire).poll_read(cx, &mut buffer) {
                Poll::Pending if self.reading.poll_passed(cx) => {
                    // Nobody is there to be answered.
                    timed_out(if self.held.is_empty() { "idle" } else { "head" });
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result?,
            }
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.held.extend_from_slice(buffer.filled());
        }
    }

    fn refuse(&mut self, fault: Fault) {
        let _ = self.gauge.refused.set(fault);
        self.held = BytesMut::from(REFUSED);
        self.state = State::Release { left: REFUSED.len(), body: None };
    }

    /// The next request, or after a refused one nothing.
    fn next_head(&mut self) -> State {
        if self.held.is_empty() {
            // A buffer that held a large head is not kept for the life of the connection.
            self.held = BytesMut::new();
        }
        if self.gauge.refused().is_some() { State::Closed } else { State::Head { searched: 0 } }
    }

    /// Nothing has come: has it been too long?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.reading.is_set() {
            self.reading.set(self.patience.idle);
        }
        if !self.reading.poll_passed(cx) {
            return Poll::Pending;
        }
        if self.held.is_empty() {
            timed_out("idle");
            self.state = State::Closed;
        } else {
            timed_out("head");
            self.refuse(Fault::TooSlow);
        }
        Poll::Ready(())
    }

    /// Looks for a head in what is held.
    fn judge_held(&mut self, searched: usize) {
        match head::look(&self.held, searched) {
            Ok(Some((left, framing))) => {
                self.approve();
                self.state = State::Release { left, body: Body::new(framing) };
            }
            Ok(None) => {
                if searched == 0 {
                    self.begin_head();
                }
                self.state = State::Head { searched: self.held.len() };
            }
            Err(fault) => self.refuse(fault),
        }
    }

    /// The first bytes of a head are there; that of the first has been waited for since the connection was accepted.
    fn begin_head(&mut self) {
        if !self.first {
            self.reading.set(self.patience.head);
        }
    }

    fn approve(&mut self) {
        self.first = false;
        self.reading.clear();
    }

    /// Judges what was just read into an empty gate, in place: nearly always a whole head, perhaps with its body.
    fn judge_read(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        match head::look(&buffer.filled()[start..], 0) {
            Ok(Some((length, framing))) => {
                self.approve();
                match Body::new(framing) {
                    None => {
                        self.hold_back(buffer, start + length);
                        self.state = self.next_head();
                    }
                    Some(body) => self.pass_body(body, buffer, start + length),
                }
            }
            Ok(None) => {
                self.begin_head();
                self.hold_back(buffer, start);
                self.state = State::Head { searched: self.held.len() };
            }
            Err(fault) => {
                buffer.set_filled(start);
                self.refuse(fault);
            }
        }
    }

    /// Lets pass what of the buffer from `start` on is body, and keeps the rest.
    fn pass_body(&mut self, mut body: Body, buffer: &mut ReadBuf<'_>, start: usize) {
        match body.advance(&buffer.filled()[start..]) {
            Some((taken, ended)) => {
                self.hold_back(buffer, start + taken);
                self.state = if ended { self.next_head() } else { State::Body(body) };
            }
            None => {
                buffer.set_filled(start);
                self.state = State::Broken;
            }
        }
    }

    /// Keeps what lies behind `end`.
    fn hold_back(&mut self, buffer: &mut ReadBuf<'_>, end: usize) {
        let behind = &buffer.filled()[end..];
        if !behind.is_empty() {
            // `held` is empty here, or was the source of the buffer's bytes, which then stay in front.
            let mut held = BytesMut::with_capacity(behind.len() + self.held.len());
            held.extend_from_slice(behind);
            held.extend_from_slice(&self.held);
            self.held = held;
            buffer.set_filled(end);
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let start = buffer.filled().len();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match &mut me.state {
                State::Head { searched } => {
                    let searched = *searched;
                    if searched < me.held.len() {
                        me.judge_held(searched);
                        continue;
                    }
                    match Pin::new(&mut me.wire).poll_read(cx, buffer) {
                        Poll::Pending => {
                            ready!(me.wait(cx));
                            continue;
                        }
                        Poll::Ready(result) => result?,
                    }
                    if buffer.filled().len() == start {
                        me.state = State::Closed;
                    } else if me.held.is_empty() {
                        me.judge_read(buffer, start);
                    } else {
                        me.held.extend_from_slice(&buffer.filled()[start..]);
                        buffer.set_filled(start);
                    }
                }
                State::Release { left, body } => {
                    let bytes = (*left).min(buffer.remaining());
                    buffer.put_slice(&me.held[..bytes]);
                    me.held.advance(bytes);
                    *left -= bytes;
                    if *left == 0 {
                        let body = body.take();
                        me.state = body.map_or_else(|| me.next_head(), State::Body);
                    }
                }
                State::Body(_) | State::Open => {
                    if me.held.is_empty() {
                        ready!(Pin::new(&mut me.wire).poll_read(cx, buffer))?;
                    } else {
                        let bytes = me.held.len().min(buffer.remaining());
                        buffer.put_slice(&me.held.split_to(bytes));
                    }
                    if let State::Body(body) = std::mem::replace(&mut me.state, State::Open) {
                        me.pass_body(body, buffer, start);
                        // Nothing passed: the peer ended in the middle of its body.
                        if buffer.filled().len() == start && !matches!(me.state, State::Broken) {
                            return Poll::Ready(Ok(()));
                        }
                    } else {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Broken => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "the framing of the chunks is wrong");
                    return Poll::Ready(Err(error));
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
            if buffer.filled().len() > start {
                return Poll::Ready(Ok(()));
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
        let unread = matches!(self.state, State::Release { .. } | State::Body(_) | State::Broken);
        self.gauge.unread.store(unread, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
