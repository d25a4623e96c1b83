//! A connection that hyper works on and that can be watched meanwhile.
//!
//! hyper looks at a connection only between requests once senders may close their side and still be answered. So whether
//! the reader of a long query is gone has to be seen beside it.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long a read goes on for a client that closed its side: it may still want the answer, or be gone.
const HALF_CLOSED_READ: Duration = Duration::from_secs(1);

/// A shared TCP connection.
#[derive(Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// Shares a connection.
    pub fn new(stream: TcpStream) -> Self {
        // Answers are small and complete: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        Self(Arc::new(stream))
    }

    /// Returns when the client is gone, or closed its side a while ago.
    pub async fn hung_up(&self) {
        match self.0.peek(&mut [0]).await {
            Ok(0) => tokio::time::sleep(HALF_CLOSED_READ).await,
            // The next request is there already.
            Ok(_) => std::future::pending().await,
            Err(_) => {}
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    buffer.advance(result?);
                    return Poll::Ready(Ok(()));
                }
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
