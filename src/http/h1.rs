//! HTTP/1: one connection behind its gate.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::gate::Gate;
use super::peer::Peer;
use super::response::Body;
use super::socket::Socket;
use super::{Api, exchange};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// hyper behind a gate.
pub fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A sender that has said all may close its side and still wants its answer.
        .half_close(true)
        // The gate keeps the time.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
}

/// An answer that is made while it is sent, and ends when its reader hangs up: what is read for it then is for nobody.
fn until_hung_up(mut body: Body, socket: Socket, opaque: bool) -> Body {
    let mut hung_up = Box::pin(async move { socket.hung_up(opaque).await });
    let frames = stream::poll_fn(move |cx| match Pin::new(&mut body).poll_frame(cx) {
        Poll::Pending => {
            ready!(hung_up.as_mut().poll(cx));
            Poll::Ready(Some(Err(io::Error::other("the reader hung up"))))
        }
        polled => polled,
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Serves a connection of HTTP/1 to its end.
pub async fn serve(gate: Gate, socket: Socket, api: Arc<Api>, peer: Peer, mut stop: watch::Receiver<bool>) {
    let seen = gate.seen();
    let service = {
        let (socket, seen) = (socket.clone(), Arc::clone(&seen));
        service_fn(move |request: Request<Incoming>| {
            let (api, socket, refused) = (Arc::clone(&api), socket.clone(), seen.refused());
            async move {
                if let Some(fault) = refused {
                    return Ok(exchange::refuse(fault));
                }
                // What is written is worth finishing although nobody waits for it; what is read is not.
                let reads = request.method() != Method::POST;
                let mut response = tokio::select! {
                    response = exchange::answer(&api, peer, request) => response,
                    () = socket.hung_up(api.tls.is_some()), if reads => {
                        return Err(io::Error::other("the reader hung up"));
                    }
                };
                if peer.crowd.is_some() {
                    // The next one may find a place among the others.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(match (reads, response.body().size_hint().exact()) {
                    (true, None) => response.map(|body| until_hung_up(body, socket, api.tls.is_some())),
                    _ => response,
                })
            }
        })
    };
    {
        let mut connection = pin!(builder().serve_connection(TokioIo::new(gate), service));
        let mut ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        if ended.is_none() {
            // Closes one that has no whole head yet at once, since the gate holds back what there is of it.
            connection.as_mut().graceful_shutdown();
            ended = Some(connection.await);
        }
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
    if seen.is_unread() {
        socket.linger().await;
    }
}
