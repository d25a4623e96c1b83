//! OTLP over gRPC: unary calls on the same port, over HTTP/2 with and without TLS.

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::{HeaderMap, Request};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::protocols_sent::now_ns;
use crate::proxy::Proxy;
use crate::samples::gzip;
use crate::tests;
use crate::wired::{gauge, log_record, otlp, span};

pub const TESTS: &[Test] =
    tests!(calls_are_answered_with_trailers, refusals_have_the_codes_of_grpc, what_is_to_be_sent_again_says_when,);

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// What came of a call.
#[derive(Debug)]
struct Called {
    headers: HeaderMap,
    message: Vec<u8>,
    trailers: HeaderMap,
}

impl Called {
    fn status(&self) -> &str {
        let of = |fields: &HeaderMap| fields.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
        of(&self.trailers).or_else(|| of(&self.headers)).unwrap_or_default().leak()
    }
}

struct Caller {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    /// The header, if there is a key.
    authorization: Option<String>,
}

impl Caller {
    fn new(client: &Client) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let requests = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(&client.address).await.unwrap();
            let (requests, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            requests
        });
        Self { runtime, requests, authorization: client.authorization() }
    }

    fn call(&self, path: &str, fields: &[(&str, &str)], flag: u8, message: &[u8]) -> Called {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.call_with(path, fields, [&[flag][..], &length, message].concat())
    }

    fn call_with(&self, path: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Called {
        let mut request = Request::builder().method("POST").uri(format!("http://tidegate{path}"));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.runtime.block_on(async {
            let mut ready = self.requests.clone().ready().await.unwrap();
            let (answer, mut stream) = ready.send_request(request, false).unwrap();
            stream.send_data(body.into(), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], "application/grpc");
            let (parts, mut body) = answer.into_parts();
            let mut message = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                message.extend_from_slice(&data);
            }
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            Called { headers: parts.headers, message, trailers }
        })
    }
}

fn calls_are_answered_with_trailers(env: &Env) -> TestResult {
    let tidegate = env.share();
    let caller = Caller::new(&tidegate.client);
    let ns = now_ns();
    let logs = otlp("shop", "h", &[log_record(ns, "by gRPC")]);
    for (path, message) in [
        (LOGS, logs.clone()),
        (TRACES, otlp("shop", "h", &[span(&[3; 16], &[4; 8], b"", "call", ns, ns + 1)])),
        (METRICS, otlp("shop", "h", &[gauge("g", &[(ns, 1.5)])])),
    ] {
        let called = caller.call(path, &[], 0, &message);
        assert_eq!((called.status(), &*called.message), ("0", &[0, 0, 0, 0, 0][..]), "{path} {called:?}");
        assert!(called.trailers.contains_key("grpc-status") && !called.headers.contains_key("grpc-status"));
        assert!(called.headers.contains_key("x-request-id"));
    }
    // The same call again, as agents do that have not heard the answer.
    assert_eq!(caller.call(LOGS, &[], 0, &logs).status(), "0");
    let packed = gzip(&otlp("shop", "h", &[log_record(ns + 1000, "packed")]));
    assert_eq!(caller.call(LOGS, &[("grpc-encoding", "gzip")], 1, &packed).status(), "0");
    let partial = otlp("shop", "h", &[log_record(1000, "old"), log_record(ns + 2000, "new")]);
    let called = caller.call(LOGS, &[], 0, &partial);
    assert_eq!((called.status(), called.message[5]), ("0", 10), "{called:?}");
    assert!(called.message[7..10].windows(2).any(|field| field == [8, 1]), "{called:?}");
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("metrics"), sql.count("dead_letter_events")), (4, 1, 1));
    // Those of OTLP over HTTP are the same protocol: the route is another one.
    let routes: Vec<String> = sql.column("SELECT DISTINCT route FROM dead_letter_events");
    assert_eq!(routes, [LOGS]);
    Ok(())
}

fn refusals_have_the_codes_of_grpc(env: &Env) -> TestResult {
    let tidegate = env.share();
    let caller = Caller::new(&tidegate.client);
    let stranger = Caller::new(&tidegate.anonymous());
    let reader = Caller::new(&tidegate.with(&env.key("default", "read")));
    let logs = otlp("shop", "h", &[log_record(now_ns(), "x")]);
    assert_eq!(stranger.call(LOGS, &[], 0, &logs).status(), "16");
    assert_eq!(reader.call(LOGS, &[], 0, &logs).status(), "7");
    assert_eq!(caller.call(LOGS, &[], 0, b"\xff\xff").status(), "3");
    assert_eq!(caller.call(LOGS, &[("grpc-encoding", "br")], 0, &logs).status(), "12");
    assert_eq!(caller.call(LOGS, &[], 1, &logs).status(), "3", "compressed, and not said how");
    assert_eq!(caller.call_with(LOGS, &[], b"\0\0\0\0\x09ab".to_vec()).status(), "3");
    let called = stranger.call(LOGS, &[], 0, &logs);
    assert!(called.message.is_empty() && called.headers.contains_key("grpc-message"), "{called:?}");
    assert_eq!(env.sql().count("events"), 0);
    Ok(())
}

fn what_is_to_be_sent_again_says_when(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let flags = ["--set".to_owned(), "spool.enabled=false".to_owned()];
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    let caller = Caller::new(&tidegate.client);
    let logs = otlp("shop", "h", &[log_record(now_ns(), "x")]);
    assert_eq!(caller.call(LOGS, &[], 0, &logs).status(), "0");
    proxy.away();
    let logs = otlp("shop", "h", &[log_record(now_ns(), "y")]);
    let called = until("it is refused", || {
        let called = caller.call(LOGS, &[], 0, &logs);
        (called.status() != "0").then_some(called)
    });
    assert_eq!(called.status(), "14", "{called:?}");
    // google.rpc.Status with a RetryInfo among its details.
    let details = called.headers["grpc-status-details-bin"].to_str()?;
    use base64::Engine as _;
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details)?;
    assert!(memchr::memmem::find(&details, b"type.googleapis.com/google.rpc.RetryInfo").is_some());
    Ok(())
}
