//! HTTP/2: requests side by side on one connection, the same limits and answers as over HTTP/1, and its end.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::books::Books;
use crate::client::{Answer, Client};
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::recovery::waits_for_a_lock;
use crate::samples::{batch, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    events_are_sent_and_read,
    requests_run_side_by_side,
    refusals_are_problems,
    a_slow_body_is_answered_408,
    a_stream_that_is_reset_cancels_its_query,
    a_write_goes_on_without_its_stream,
    a_peer_that_never_reads_is_cut,
    idle_connections_are_told_to_go,
    requests_end_and_idle_connections_do_not_delay_the_end,
);

/// A client of HTTP/2 with one connection.
pub struct Peer {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    connection: JoinHandle<Result<(), h2::Error>>,
    client: Client,
}

/// A request that was sent, and its body's way out.
type Sent = (ResponseFuture, SendStream<Bytes>);

impl Peer {
    /// With prior knowledge, on the port that speaks HTTP/1 as well.
    pub fn plain(client: &Client) -> Self {
        Self::with(client, &h2::client::Builder::new())
    }

    fn with(client: &Client, builder: &h2::client::Builder) -> Self {
        Self::start(client, async |address| {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            handshake(builder, stream).await
        })
    }

    /// By ALPN.
    pub fn over_tls(client: &Client, config: Arc<ClientConfig>) -> Self {
        Self::start(client, async |address| {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            handshake(&h2::client::Builder::new(), stream).await
        })
    }

    fn start(
        client: &Client,
        connect: impl AsyncFnOnce(&str) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>),
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (requests, connection) = runtime.block_on(connect(&client.address));
        Self { runtime, requests, connection, client: client.clone() }
    }

    /// Sends the head, and the body if there is one; `None` leaves the body open.
    fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Sent {
        let mut request = Request::builder().method(method).uri(format!("http://tidegate{path}"));
        if !self.client.key().is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.client.key()));
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.runtime.block_on(async {
            let mut ready = self.requests.clone().ready().await.unwrap();
            let empty = body.is_some_and(<[u8]>::is_empty);
            let (answer, mut stream) = ready.send_request(request, empty).unwrap();
            if let Some(body) = body.filter(|body| !body.is_empty()) {
                send_all(&mut stream, body, true).await;
            }
            (answer, stream)
        })
    }

    fn answer(&self, sent: Sent) -> Answer {
        self.runtime.block_on(async { whole(sent.0.await.unwrap()).await }).asked_by(&self.client)
    }

    pub fn post(&mut self, body: &str) -> Answer {
        let sent = self.send("POST", "/v1/events", &[], Some(body.as_bytes()));
        self.answer(sent)
    }

    pub fn get(&mut self, path: &str) -> Answer {
        let sent = self.send("GET", path, &[], Some(b""));
        self.answer(sent)
    }

    /// Waits until the server has ended the connection.
    fn ended(self) -> Result<(), h2::Error> {
        drop(self.requests);
        let connection = self.connection;
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, connection).await.expect("it ends").unwrap() })
    }
}

async fn handshake<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    builder: &h2::client::Builder,
    stream: T,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (requests, connection) = builder.handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

async fn send_all(stream: &mut SendStream<Bytes>, mut body: &[u8], end: bool) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap().min(body.len());
        let (now, later) = body.split_at(room);
        stream.send_data(Bytes::copy_from_slice(now), end && later.is_empty()).unwrap();
        body = later;
    }
}

async fn whole(response: Response<h2::RecvStream>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    let headers: HashMap<String, String> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    Answer::new(parts.status.as_u16(), headers, bytes)
}

fn events_are_sent_and_read(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let mut peer = Peer::plain(&tidegate.client);
    peer.post(&event(0)).accepted(1, 0);
    // More than a window, in many frames.
    let large = String::from_utf8(batch(50_000))?;
    assert!(large.len() > 2 << 20);
    peer.post(&large).accepted(50_000, 0);
    assert_eq!(env.sql().count("events"), 50_001);
    let listed = peer.get("/v1/events?limit=10000");
    assert!(listed.bytes.len() > 1 << 20 && !listed.header("x-request-id").is_empty());
    assert_eq!(listed.expect(200)["data"].as_array().map(Vec::len), Some(10_000));
    let sent = peer.send("GET", "/healthz", &[("x-request-id", "mine")], Some(b""));
    assert_eq!(peer.answer(sent).header("x-request-id"), "mine");
    // HTTP/1 is spoken on the same port.
    tidegate.client.events(event(1)).accepted(1, 0);
    Ok(())
}

fn requests_run_side_by_side(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let mut peer = Peer::plain(&tidegate.client);
    peer.post(&event(0)).accepted(1, 0);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let waiting: Vec<Sent> =
        (1..=50).map(|n| peer.send("POST", "/v1/events", &[], Some(event(n).as_bytes()))).collect();
    waits_for_a_lock(env, "writer");
    // Not behind those that wait.
    peer.get("/healthz").expect(200);
    blocker.run("ROLLBACK");
    for sent in waiting {
        peer.answer(sent).accepted(1, 0);
    }
    assert_eq!(env.sql().count("events"), 51);
    Ok(())
}

fn refusals_are_problems(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=64KiB", "limits.memory_bytes=192KiB"]);
    let mut peer = Peer::plain(&tidegate.client);
    let mut refuse = |method: &str, path: &str, fields: &[(&str, &str)], body: &[u8], status: u16, code: &str| {
        let sent = peer.send(method, path, fields, Some(body));
        let answer = peer.answer(sent);
        answer.problem(status, code);
        assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
    };
    refuse("GET", "/nowhere", &[], b"", 404, "not_found");
    refuse("POST", "/v1/events", &[], &[b' '; 70_000], 413, "body_too_large");
    refuse("POST", "/v1/events", &[("content-encoding", "zstd")], &bomb(), 413, "body_too_large");
    let many: Vec<(&str, &str)> = vec![("x", "v"); 101];
    refuse("GET", "/healthz", &many, b"", 431, "too_many_headers");
    let long = "v".repeat(64 << 10);
    refuse("GET", "/healthz", &[("x", &long)], b"", 431, "head_too_large");
    // The connection goes on.
    peer.post(&event(0)).accepted(1, 0);
    Ok(())
}

fn bomb() -> Vec<u8> {
    zstd::encode_all(vec![b' '; 10 << 20].as_slice(), 19).unwrap()
}

fn a_slow_body_is_answered_408(env: &Env) -> TestResult {
    // Long enough for the body of the second request, however busy the machine is.
    let tidegate = env.serve_with(&["http.body_stall_timeout=1s", "http.body_timeout=10m"]);
    let mut peer = Peer::plain(&tidegate.client);
    let (answer, mut body) = peer.send("POST", "/v1/events", &[], None);
    peer.runtime.block_on(send_all(&mut body, b"[", false));
    peer.answer((answer, body)).problem(408, "body_timeout");
    peer.post(&event(0)).accepted(1, 0);
    Ok(())
}

fn a_stream_that_is_reset_cancels_its_query(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let mut peer = Peer::plain(&tidegate.client);
    peer.post(&event(0)).accepted(1, 0);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let (answer, mut stream) = peer.send("GET", "/v1/events", &[], Some(b""));
    waits_for_a_lock(env, "reader");
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND application_name = 'tidegate reader'";
    let sql = env.sql_as(SUPERUSER);
    until("the query is cancelled", || (sql.one::<i64>(waiting) == 0).then_some(()));
    blocker.run("ROLLBACK");
    peer.get("/v1/events").expect(200);
    Ok(())
}

fn a_write_goes_on_without_its_stream(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let mut peer = Peer::plain(&tidegate.client);
    peer.post(&event(0)).accepted(1, 0);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let (answer, mut stream) = peer.send("POST", "/v1/events", &[], Some(event(1).as_bytes()));
    waits_for_a_lock(env, "writer");
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    peer.get("/healthz").expect(200);
    blocker.run("ROLLBACK");
    until("it is written", || (env.sql().count("events") == 2).then_some(()));
    until("the books are balanced", || (Books::of(&tidegate.client).items("in_flight") == 0).then_some(()));
    Books::of(&tidegate.client).assert_items(&[("received", 2), ("committed", 2)]);
    Ok(())
}

fn a_peer_that_never_reads_is_cut(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=300ms", "http.idle_timeout=10m", "http.head_timeout=10m"]);
    // It answers pings and says that it has no room for any answer; then, that it has room for one byte.
    for (n, window) in [(1.0, 0), (2.0, 1)] {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let mut peer = Peer::with(&tidegate.client, &builder);
        let (answer, _stream) = peer.send("GET", "/openapi.json", &[], Some(b""));
        // On a busy machine it may be cut before its head is out.
        let response = peer.runtime.block_on(answer);
        if let Ok(response) = &response {
            assert_eq!(response.status(), 200);
        }
        let _ = peer.ended();
        let timeouts = || Books::of(&tidegate.client).get("tidegate_http_timeouts_total{what=\"write\"}");
        until("it is counted", || (timeouts() == n).then_some(()));
        drop(response);
    }
    Ok(())
}

fn idle_connections_are_told_to_go(env: &Env) -> TestResult {
    // Long enough for a busy machine to ask in time.
    let tidegate = env.serve_with(&["http.idle_timeout=3s"]);
    let mut peer = Peer::plain(&tidegate.client);
    peer.post(&event(0)).accepted(1, 0);
    // In order: GOAWAY without an error. The handle is kept, so that the client does not end it.
    let _handle = peer.requests.clone();
    peer.ended()?;
    let timeouts = || Books::of(&tidegate.client).get("tidegate_http_timeouts_total{what=\"idle\"}");
    until("it is counted", || (timeouts() == 1.0).then_some(()));
    Ok(())
}

fn requests_end_and_idle_connections_do_not_delay_the_end(env: &Env) -> TestResult {
    let mut tidegate = env.serve_with(&["http.idle_timeout=10m"]);
    let mut idle = Peer::plain(&tidegate.client);
    idle.post(&event(0)).accepted(1, 0);
    // One that does not even answer pings: its half of the greeting is all it ever says.
    let mut mute = crate::frames::connect(&tidegate.client);
    std::io::Write::write_all(&mut mute, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut busy = Peer::plain(&tidegate.client);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let sent = busy.send("POST", "/v1/events", &[], Some(event(1).as_bytes()));
    waits_for_a_lock(env, "writer");
    tidegate.signal(nix::sys::signal::Signal::SIGTERM);
    let _handle = idle.requests.clone();
    idle.ended()?;
    blocker.run("ROLLBACK");
    busy.answer(sent).accepted(1, 0);
    assert_eq!(tidegate.wait().code(), Some(0));
    assert!(!tidegate.log().contains("were cut"), "{}", tidegate.log());
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}
