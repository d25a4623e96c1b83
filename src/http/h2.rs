//! HTTP/2: one connection with its limits, watched from beside, since hyper watches neither idle peers nor those that
//! never read their answers.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::activity::Activity;
use super::deadline::timed_out;
use super::gate::Gate;
use super::peer::Peer;
use super::{Api, exchange};
use crate::config::HttpConfig;
use crate::limits::{
    H2_HEADER_LIST_BYTES_MAX, H2_LOCAL_RESETS_MAX, H2_PENDING_RESETS_MAX, H2_STREAMS_MAX, H2_WINDOW_BYTES_MAX,
    H2_WINDOW_BYTES_MIN, KIB,
};

/// Between two looks at a connection, at most.
const TICK_MAX: Duration = Duration::from_secs(1);
/// How long a peer that was told to go, and has nothing under way, may take to close.
const GOODBYE: Duration = Duration::from_secs(1);
/// Of one stream's answer, handed to the protocol before the peer takes it.
const SEND_BUFFER_BYTES: usize = 64 * KIB;

/// Serves a connection of HTTP/2 to its end. `wide`: a larger window is set aside for it.
pub async fn serve(
    gate: Gate,
    api: Arc<Api>,
    peer: Peer,
    timeouts: HttpConfig,
    wide: bool,
    mut stop: watch::Receiver<bool>,
) {
    let activity = Activity::new(timeouts.write);
    let service = {
        let (api, activity) = (Arc::clone(&api), Arc::clone(&activity));
        service_fn(move |request: Request<Incoming>| {
            let api = Arc::clone(&api);
            let underway = activity.begin();
            async move {
                // What is written is worth finishing although nobody waits for it; what is read ends with its stream.
                let response = if request.method() == Method::POST {
                    let answering = tokio::spawn(async move { exchange::answer(&api, peer, request).await });
                    answering.await.map_err(std::io::Error::other)?
                } else {
                    exchange::answer(&api, peer, request).await
                };
                Ok::<_, std::io::Error>(response.map(|body| underway.watch(body)))
            }
        })
    };
    let window = if wide { H2_WINDOW_BYTES_MAX } else { H2_WINDOW_BYTES_MIN };
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .initial_connection_window_size(window)
        .initial_stream_window_size(window)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(timeouts.idle / 2)
        .keep_alive_timeout(timeouts.head);
    let mut connection = pin!(server.serve_connection(TokioIo::new(gate), service));
    let mut tick = interval((timeouts.idle.min(timeouts.write).min(timeouts.head) / 4).min(TICK_MAX));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving: Option<Instant> = None;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    metrics::counter!("tidegate_http2_errors_total").increment(1);
                    tracing::debug!(%error, "a connection of HTTP/2 ended");
                }
                return;
            }
            () = activity.flooded() => {
                metrics::counter!("tidegate_http2_floods_total").increment(1);
                tracing::debug!("a peer that takes back its requests again and again was cut off");
                return;
            }
            _ = stop.wait_for(|stop| *stop), if leaving.is_none() => {
                leaving = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            _ = tick.tick() => {
                if activity.is_stalled() {
                    timed_out("write");
                    return;
                }
                let Some(quiet) = activity.quiet() else { continue };
                match leaving {
                    Some(since) if since.elapsed() >= GOODBYE => return,
                    Some(_) => {}
                    None if quiet >= if activity.is_new() { timeouts.head } else { timeouts.idle } => {
                        timed_out("idle");
                        leaving = Some(Instant::now());
                        connection.as_mut().graceful_shutdown();
                    }
                    None => {}
                }
            }
        }
    }
}
