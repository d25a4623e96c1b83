//! Syslog over UDP (RFC 5426): a datagram is a message. Best effort: what cannot be taken at once is dropped, and
//! counted.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::batch::Batch;
use super::inlet::{Inlet, Refused, came, dropped};
use crate::limits::{SYSLOG_DATAGRAM_BATCHES_MAX, SYSLOG_DATAGRAM_BUFFER_BYTES, SYSLOG_MESSAGE_BYTES_MAX};

const UDP: &str = "udp";
/// After a read failed.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Takes datagrams until `stop` turns true, and offers what was gathered.
pub async fn serve(socket: UdpSocket, inlet: Arc<Inlet>, stop: watch::Receiver<bool>, drain: Duration) {
    // What the kernel drops nobody counts here: as much room as it gives for a burst.
    let _ = setsockopt(&socket, sockopt::RcvBuf, &SYSLOG_DATAGRAM_BUFFER_BYTES);
    let (send, mut receive) = mpsc::channel(SYSLOG_DATAGRAM_BATCHES_MAX);
    let mut stopping = stop.clone();
    let over = async {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(drain).await;
    };
    let delivered = async {
        let in_time = tokio::select! {
            () = deliver(&inlet, &mut receive) => true,
            () = over => false,
        };
        while let (false, Ok(batch)) = (in_time, receive.try_recv()) {
            dropped(UDP, "stopping", batch.len());
        }
    };
    tokio::join!(gather(socket, send, stop), delivered);
}

/// Reads on whatever becomes of what was read: the socket's own buffer drops in silence.
async fn gather(socket: UdpSocket, send: mpsc::Sender<Batch>, mut stop: watch::Receiver<bool>) {
    let mut buffer = vec![0; SYSLOG_MESSAGE_BYTES_MAX];
    let mut batch: Option<Batch> = None;
    loop {
        let due = batch.as_ref().map(|batch| batch.due);
        let read = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = async { tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)).await },
                if due.is_some() => None,
            read = socket.recv_from(&mut buffer) => Some(read),
        };
        match read {
            Some(Ok((count, address))) => {
                came(UDP, 1);
                let batch = batch.get_or_insert_with(|| Batch::begin(None));
                batch.push(&buffer[..count], false, address.ip());
                if !batch.is_full() {
                    continue;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a datagram could not be read");
                tokio::time::sleep(READ_PAUSE).await;
                continue;
            }
            None => {}
        }
        hand_over(batch.take(), &send);
    }
    hand_over(batch, &send);
}

fn hand_over(batch: Option<Batch>, send: &mpsc::Sender<Batch>) {
    let Some(batch) = batch else { return };
    if let Err(TrySendError::Full(batch) | TrySendError::Closed(batch)) = send.try_send(batch) {
        dropped(UDP, "full", batch.len());
    }
}

async fn deliver(inlet: &Inlet, receive: &mut mpsc::Receiver<Batch>) {
    let mut said = "";
    while let Some(mut batch) = receive.recv().await {
        match inlet.offer(&mut batch).await {
            Ok(()) => said = "",
            Err(Refused::Later { reason, .. } | Refused::Never { reason }) => {
                dropped(UDP, reason, batch.len());
                if said != reason {
                    said = reason;
                    tracing::warn!(reason, "datagrams of syslog are not taken, and dropped");
                }
            }
        }
    }
}
