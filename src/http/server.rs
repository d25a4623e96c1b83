//! The accept loop: given a socket and a signal, it serves until the signal, then lets requests finish.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Api;
use super::response::Body;
use super::router::{self, Peer};
use super::socket::Socket;
use crate::limits::{HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX};

/// After `accept` failed (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken over from a caller, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// How serving ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections that were still busy at the deadline and were cut.
    pub cut: usize,
}

/// Serves on `listener` until `stop` turns true; then accepts no more, and gives connections until `drain` to finish
/// the request that they are at.
pub async fn serve(listener: TcpListener, api: Arc<Api>, mut stop: watch::Receiver<bool>, drain: Duration) -> Served {
    let slots = Arc::new(Semaphore::new(api.connections_max));
    let mut connections = JoinSet::new();
    loop {
        // A slot first: past the limit connections wait in the kernel's queue instead of taking memory here.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, Peer(peer.ip()), Arc::clone(&api), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
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

async fn connection(stream: TcpStream, peer: Peer, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let socket = Socket::new(stream);
    let watched = socket.clone();
    let started = Arc::new(AtomicBool::new(false));
    let has_started = Arc::clone(&started);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (api, socket) = (Arc::clone(&api), watched.clone());
        started.store(true, Ordering::Relaxed);
        async move {
            // What is written is worth finishing although nobody waits for it; what is read is not.
            let reads = request.method() != Method::POST;
            tokio::select! {
                response = answer(&api, request) => Ok(response),
                () = socket.hung_up(), if reads => Err(io::Error::other("the reader hung up")),
            }
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        // A sender that has said all may close its side and still wants its answer.
        .half_close(true)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let connection = server.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                // A connection that never sent a whole head would be waited for until its timeout; hyper itself closes
                // those that are idle between two requests.
                if !has_started.load(Ordering::Relaxed) {
                    return;
                }
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(api: &Api, request: Request<Incoming>) -> Response<Body> {
    let started = Instant::now();
    let method = request.method().clone();
    let request_id = request_id(&request);
    let (route, result) = router::dispatch(api, request).await;
    let code = result.as_ref().err().map(super::problem::Problem::code);
    let mut response = result.unwrap_or_else(super::problem::Problem::into_response);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    // The path's pattern and no headers: neither keys nor payloads reach the log.
    tracing::debug!(
        %method, route, status, code, request_id = request_id.to_str().unwrap_or_default(),
        elapsed_ms = elapsed.as_secs_f64() * 1000.0, "request"
    );
    metrics::counter!("tidegate_http_requests_total", "route" => route, "method" => method_label(&method),
        "status" => status.to_string())
    .increment(1);
    metrics::histogram!("tidegate_http_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

/// The caller's id when it is short and harmless, else a new one.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given
        .cloned()
        .unwrap_or_else(|| HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is a valid header value"))
}

/// Methods are an open set; labels must not be.
fn method_label(method: &hyper::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
