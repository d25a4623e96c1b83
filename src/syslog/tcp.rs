//! Syslog over TCP and TLS (RFC 6587, RFC 5425): a connection is a stream of messages, and is read only while they are
//! taken.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::batch::Batch;
use super::inlet::{Inlet, Refused, came, held_up};
use crate::budget::Reservation;
use crate::limits::{KIB, RETRY_AFTER_MAX, SYSLOG_CONNECTIONS_MAX};
use crate::protocols::syslog::framing::{Frame, Framing};

/// After `accept` failed (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 16 * KIB;

/// Serves until `stop` turns true; then gives connections until `drain` to deliver what they have read.
pub async fn serve(
    listener: TcpListener,
    inlet: Arc<Inlet>,
    tls: bool,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let slots = Arc::new(Semaphore::new(SYSLOG_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, address)) => {
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    counter!("tidegate_syslog_connections_refused_total").increment(1);
                    continue;
                };
                let (inlet, stop) = (Arc::clone(&inlet), stop.clone());
                connections.spawn(async move {
                    let open = Open::new();
                    if let Err(error) = connection(stream, address.ip(), &inlet, tls, stop).await {
                        tracing::debug!(%error, "a connection of syslog has ended");
                    }
                    drop((open, slot));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of syslog could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "connections of syslog were busy at the deadline and were cut");
        connections.shutdown().await;
    }
}

/// A connection in the gauge of open ones, also when its task is aborted.
struct Open;

impl Open {
    fn new() -> Self {
        gauge!("tidegate_syslog_connections").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("tidegate_syslog_connections").decrement(1.0);
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    inlet: &Inlet,
    tls: bool,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    // Senders are silent for as long as they have nothing to say: those that are gone are told apart beneath.
    let _ = setsockopt(&stream, sockopt::KeepAlive, &true);
    if !tls {
        return Sender::new(inlet, peer, "tcp").follow(stream, stop).await;
    }
    let acceptor = inlet.api.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.acceptor();
    let patience = inlet.api.timeouts.handshake;
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(patience, acceptor.accept(stream)) => shaken,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).and_then(|shaken| shaken);
    let stream = stream.inspect_err(|_| counter!("tidegate_tls_handshake_failures_total").increment(1))?;
    Sender::new(inlet, peer, "tls").follow(stream, stop).await
}

/// What one peer sends.
struct Sender<'a> {
    inlet: &'a Inlet,
    peer: IpAddr,
    transport: &'static str,
    framing: Framing,
    batch: Option<Batch>,
}

impl<'a> Sender<'a> {
    fn new(inlet: &'a Inlet, peer: IpAddr, transport: &'static str) -> Self {
        Self { inlet, peer, transport, framing: Framing::default(), batch: None }
    }

    /// Reads until the end of the stream, an error, or `stop`, and delivers all that was read.
    async fn follow(mut self, mut stream: impl AsyncRead + Unpin, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let ended = loop {
            let due = self.batch.as_ref().map(|batch| batch.due);
            let read = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                () = until(due) => None,
                read = stream.read(&mut buffer) => Some(read),
            };
            match read {
                None => self.deliver(&mut stop).await,
                Some(Ok(0)) => break Ok(()),
                Some(Ok(count)) => {
                    self.framing.push(&buffer[..count]);
                    self.gather(false, &mut stop).await;
                }
                Some(Err(error)) => break Err(error),
            }
        };
        self.gather(true, &mut stop).await;
        self.deliver(&mut stop).await;
        ended
    }

    /// Takes the messages that are whole; with `ended` also the last one, which may not be.
    async fn gather(&mut self, ended: bool, stop: &mut watch::Receiver<bool>) {
        // Before any is taken, so that what there is no room for stays where it is.
        while self.batch.is_some() || self.framing.waiting() > 0 {
            if self.batch.is_none() {
                let reservation = self.room(stop).await;
                self.batch = Some(Batch::begin(reservation));
            }
            let Some(batch) = &mut self.batch else { return };
            let mut count = 0;
            while !batch.is_full()
                && let Some(Frame { message, cut, .. }) = self.framing.next(ended)
            {
                batch.push(message, cut, self.peer);
                count += 1;
            }
            came(self.transport, count);
            if !batch.is_full() {
                // A part of a message is no reason to hold memory.
                if batch.len() == 0 {
                    self.batch = None;
                }
                return;
            }
            self.deliver(stop).await;
        }
    }

    /// Waits for room; None: the process stops meanwhile.
    async fn room(&self, stop: &mut watch::Receiver<bool>) -> Option<Reservation> {
        let mut said = "";
        loop {
            let after = match self.inlet.room().await {
                Ok(reservation) => return Some(reservation),
                Err(Refused::Later { after, reason }) => {
                    if said != reason {
                        said = reason;
                        held_up(self.transport, reason);
                    }
                    after
                }
                Err(Refused::Never { .. }) => return None,
            };
            tokio::select! {
                () = tokio::time::sleep(after.min(RETRY_AFTER_MAX)) => {}
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
    }

    async fn deliver(&mut self, stop: &mut watch::Receiver<bool>) {
        if let Some(batch) = self.batch.take() {
            self.inlet.deliver(batch, self.transport, stop).await;
        }
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
