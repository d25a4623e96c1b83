//! The accept loop and its connections: TLS, then HTTP/1.1 or HTTP/2, until the signal; then requests may finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::deadline::timed_out;
use super::gate::{Gate, Patience};
use super::peer::Peer;
use super::slots::Slots;
use super::socket::Socket;
use super::wire::Wire;
use super::{Api, h1, h2};
use crate::config::{HttpConfig, LimitsConfig};
use crate::limits::{H2_WINDOW_BYTES_MAX, H2_WINDOW_SHARE, RESERVE_PATIENCE};

/// After `accept` failed (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections that were still busy at the deadline and were cut.
    pub cut: usize,
}

struct Common {
    api: Arc<Api>,
    peer: Peer,
    timeouts: HttpConfig,
    stop: watch::Receiver<bool>,
    /// Connections of HTTP/2 that may have a wide window.
    wide: Arc<Semaphore>,
}

/// Serves on `listener` until `stop` turns true; then accepts no more, and gives connections until `drain` to finish
/// the request that they are at.
pub async fn serve(listener: TcpListener, api: Arc<Api>, mut stop: watch::Receiver<bool>, drain: Duration) -> Served {
    let LimitsConfig { connections, connections_per_address, memory_bytes, .. } = api.limits.now();
    let slots = Slots::new(connections, connections_per_address);
    let mut changed = api.limits.changes();
    let wide = Arc::new(Semaphore::new(memory_bytes / H2_WINDOW_SHARE / H2_WINDOW_BYTES_MAX as usize));
    let mut connections = JoinSet::new();
    let follow = async {
        match &api.tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(follow);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = &mut follow => continue,
            Ok(()) = changed.changed() => {
                let limits = *changed.borrow_and_update();
                slots.resize(limits.connections, limits.connections_per_address);
                continue;
            }
        };
        match accepted {
            Ok((stream, address)) => {
                let slot = match slots.take(address.ip()) {
                    Ok(slot) => slot,
                    // Closed, not left waiting: the one behind it in the kernel's queue may be asking about health.
                    Err(crowd) => {
                        counter!("tidegate_http_connections_refused_total", "share" => crowd.as_str()).increment(1);
                        continue;
                    }
                };
                let peer = Peer { address: address.ip(), crowd: slot.crowd };
                let timeouts = timeouts(&api.timeouts, peer);
                let (api, stop, wide) = (Arc::clone(&api), stop.clone(), Arc::clone(&wide));
                let connection = connection(stream, Common { api, peer, timeouts, stop, wide });
                connections.spawn(async move {
                    let open = Open::new();
                    connection.await;
                    drop((open, slot));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finished = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
    let cut = if finished.is_ok() { 0 } else { connections.len() };
    connections.abort_all();
    Served { cut }
}

/// How long a peer may take for what; one of the reserve gets no longer than a probe needs.
fn timeouts(timeouts: &HttpConfig, peer: Peer) -> HttpConfig {
    let mut timeouts = timeouts.clone();
    if peer.crowd.is_some() {
        for patience in [&mut timeouts.handshake, &mut timeouts.head, &mut timeouts.idle] {
            *patience = (*patience).min(RESERVE_PATIENCE);
        }
    }
    timeouts
}

/// A connection in the gauge of open ones, also when its task is aborted.
struct Open;

impl Open {
    fn new() -> Self {
        gauge!("tidegate_http_connections").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("tidegate_http_connections").decrement(1.0);
    }
}

/// One connection from its first byte on. What has not begun when the process stops is not waited for.
async fn connection(stream: TcpStream, common: Common) {
    let socket = Socket::new(stream);
    let mut stop = common.stop.clone();
    let begun = tokio::select! {
        begun = begin(&socket, &common.api, &common.timeouts) => begun,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    match begun {
        Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
        Ok((gate, true)) => {
            let window = Arc::clone(&common.wide).try_acquire_owned();
            // On the heap, so that the task of a connection of HTTP/1 is not as large.
            Box::pin(h2::serve(gate, common.api, common.peer, common.timeouts, window.is_ok(), common.stop)).await;
        }
        Ok((gate, false)) => h1::serve(gate, socket, common.api, common.peer, common.stop).await,
    }
}

/// The handshake, and which protocol is spoken: true for HTTP/2.
async fn begin(socket: &Socket, api: &Api, timeouts: &HttpConfig) -> io::Result<(Gate, bool)> {
    let patience = Patience { head: timeouts.head, idle: timeouts.idle };
    let Some(tls) = &api.tls else {
        let mut gate = Gate::new(Wire::new(socket.clone(), timeouts.write), patience);
        let is_http2 = gate.is_http2().await?;
        return Ok((gate, is_http2));
    };
    let handshake = tls.acceptor().accept(socket.clone());
    let Ok(shaken) = tokio::time::timeout(timeouts.handshake, handshake).await else {
        timed_out("handshake");
        return Err(io::ErrorKind::TimedOut.into());
    };
    let stream = shaken.inspect_err(|_| counter!("tidegate_tls_handshake_failures_total").increment(1))?;
    let agreed = stream.get_ref().1.alpn_protocol().map(|protocol| protocol == b"h2");
    let mut gate = Gate::new(Wire::new(stream, timeouts.write), patience);
    let is_http2 = match agreed {
        Some(true) => {
            gate.open();
            true
        }
        Some(false) => false,
        None => gate.is_http2().await?,
    };
    Ok((gate, is_http2))
}
