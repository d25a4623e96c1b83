//! A scripted server for the tests: real sockets, real HTTP, answers as the test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::deliver::RetryPolicy;
use super::options::{Format, ItemKind, LoadOptions, SendRate, Source};
use crate::tls::Trust;

#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) authorization: String,
    pub(crate) media: String,
    pub(crate) gzip: bool,
    pub(crate) body: Bytes,
}

impl SeenRequest {
    pub(crate) fn lines(&self) -> u64 {
        self.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count() as u64
    }
}

/// What the script says to a request: an answer, or none at all, which closes the connection.
pub(crate) type Script = Box<dyn Fn(usize, &SeenRequest) -> Option<Response<Full<Bytes>>> + Send + Sync>;

/// A running server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (seen.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, script) = (log.clone(), script.clone());
                let service = service_fn(move |request| answer(request, log.clone(), script.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<SeenRequest> {
        self.seen.lock().expect("no test panics while holding it").clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<SeenRequest>>>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let seen = SeenRequest {
        path: head.uri.path().to_owned(),
        key: text("idempotency-key"),
        authorization: text("authorization").unwrap_or_default(),
        media: text("content-type").unwrap_or_default(),
        gzip: text("content-encoding").as_deref() == Some("gzip"),
        body,
    };
    let number = {
        let mut log = log.lock().expect("no test panics while holding it");
        log.push(seen.clone());
        log.len() - 1
    };
    script(number, &seen).ok_or_else(|| std::io::Error::other("scripted disconnect"))
}

pub(crate) fn counts(status: u16, state: &str, accepted: u64, rejected: u64, duplicate: bool) -> Response<Full<Bytes>> {
    let body = serde_json::json!({
        "receipt": uuid::Uuid::now_v7(), "status": state, "accepted": accepted, "rejected": rejected,
        "duplicate": duplicate, "errors": [],
    });
    Response::builder().status(status).body(Full::from(body.to_string())).expect("valid")
}

/// An error answer; `retry_after` in seconds.
pub(crate) fn problem(status: u16, code: &str, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    let body = serde_json::json!({ "code": code, "title": "no", "detail": "not now" });
    response.body(Full::from(body.to_string())).expect("valid")
}

/// Ten NDJSON requests of ten generated events over one connection.
pub(crate) fn options(url: &str) -> LoadOptions {
    LoadOptions {
        url: url.to_owned(),
        trust: Trust::System,
        keys: vec!["tg_test_secret".into()],
        rate: SendRate::Max,
        duration: Duration::from_secs(60),
        batch: 10,
        connections: 1,
        format: Format::Ndjson,
        gzip: false,
        source: Source::Generate { kind: ItemKind::Events, seed: 1, assets: 10 },
        progress: false,
        max_events: Some(100),
        no_keys: false,
    }
}

/// Retries that do not make a test wait.
pub(crate) fn impatient() -> RetryPolicy {
    RetryPolicy {
        retries_max: 3,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        retry_after_max: Duration::from_millis(2),
        attempt_timeout: Duration::from_secs(30),
        grace: Duration::from_millis(50),
    }
}
