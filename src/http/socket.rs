//! A TCP connection that hyper works on and that can be watched meanwhile.
//!
//! hyper looks at a connection only between requests once senders may close their side and still be answered. So whether
//! the reader of a long query is gone has to be seen beside it, beneath TLS as well.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::{KIB, MIB};

/// How long a read goes on for a client that closed its side: it may still want the answer, or be gone.
const HALF_CLOSED_READ: Duration = Duration::from_secs(1);
/// How long, and how far, a peer that is still sending is read after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 * MIB;

#[derive(Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        // Answers are small and complete: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        Self(Arc::new(stream))
    }

    /// Returns when the client is gone, or closed its side a while ago. `opaque`: what it sends is TLS, where its last
    /// words stand before the end.
    pub async fn hung_up(&self, opaque: bool) {
        if !opaque {
            match self.0.peek(&mut [0]).await {
                Ok(0) => return tokio::time::sleep(HALF_CLOSED_READ).await,
                // The next request is there already; the end may come behind it.
                Ok(_) => {}
                Err(_) => return,
            }
        }
        loop {
            tokio::time::sleep(HALF_CLOSED_READ).await;
            if self.peer_closed() {
                return;
            }
        }
    }

    /// Whether the peer has closed its side, whatever it sent before and nobody has read yet.
    fn peer_closed(&self) -> bool {
        // Readable at once, or not closed.
        self.0
            .ready(Interest::READABLE)
            .now_or_never()
            .is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
    }

    /// After the last answer, reads on for a moment and throws away what comes: closing on unread bytes would reset the
    /// connection, and the peer might never see the answer.
    pub async fn linger(&self) {
        let read = async {
            // On the heap: it would be a part of every connection's task.
            let mut scratch = vec![0; 16 * KIB];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 && self.0.readable().await.is_ok() {
                match self.0.try_read(&mut scratch) {
                    Ok(0) => return,
                    Ok(bytes) => left = left.saturating_sub(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, read).await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result.map(|_bytes| ())),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.0.as_raw_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}
