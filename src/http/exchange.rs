//! One request and its answer: the request id, the log line and the metrics that every answer has, also where the
//! request never reached a route.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, Version};
use uuid::Uuid;

use super::Api;
use super::cors;
use super::head::{self, Fault};
use super::peer::{Peer, RequestId};
use super::response::{Body, full};
use super::router::{self, Answered};
use super::way;
use crate::protocols::ProblemCode;
use crate::secrets::holds_key;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken over from a caller, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Answers a request of this peer.
pub async fn answer(api: &Api, peer: Peer, mut request: Request<Incoming>) -> Response<Body> {
    if request.version() == Version::HTTP_2
        && let Err(fault) = head::check_fields(request.uri(), request.headers())
    {
        return refuse(fault);
    }
    let address = match api.timeouts.tls_in_front {
        true => way::client_of(request.headers(), peer.address),
        false => peer.address,
    };
    request.extensions_mut().insert(Peer { address, ..peer });
    let started = Instant::now();
    let method = request.method().clone();
    let request_id = request_id(&request);
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let of_origins = cors::of_answer(&api.cors_origins, request.headers());
    let preflight = cors::preflight(&api.cors_origins, &method, request.headers());
    let answered = match preflight.filter(|_| router::is_path(request.uri().path())) {
        Some(response) => Answered { route: "preflight", code: None, response },
        None => router::dispatch(api, request).await,
    };
    let mut response = finish(answered, method_label(&method), request_id, started.elapsed());
    for (name, value) in &of_origins {
        if *name == VARY {
            // Beside what else an answer depends on.
            response.headers_mut().append(name, value.clone());
        } else {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Answers what is no request.
pub fn refuse(fault: Fault) -> Response<Body> {
    let problem = fault.into_problem();
    let code = problem.code();
    metrics::counter!("tidegate_http_refused_heads_total", "code" => code.as_str()).increment(1);
    let response = problem.answer().map(full);
    finish(Answered { route: "unmatched", code: Some(code), response }, "other", new_id(), Duration::ZERO)
}

fn finish(answered: Answered, method: &'static str, request_id: HeaderValue, elapsed: Duration) -> Response<Body> {
    let Answered { route, code, mut response } = answered;
    let status = response.status().as_u16();
    // The path's pattern and no headers: neither keys nor payloads reach the log.
    tracing::debug!(
        method,
        route,
        status,
        code = code.map(ProblemCode::as_str),
        request_id = request_id.to_str().unwrap_or_default(),
        elapsed_ms = elapsed.as_secs_f64() * 1000.0,
        "request"
    );
    metrics::counter!("tidegate_http_requests_total", "route" => route, "method" => method,
        "status" => status.to_string())
    .increment(1);
    metrics::histogram!("tidegate_http_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    // A cache on the way that does not know X-API-Key would give one tenant's answer to another.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // The console brings its own. Nothing else here is a page, whatever somebody stored.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

/// The caller's id when it is short and harmless, else a new one; it is answered and logged.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        let is_short = (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len());
        is_short && bytes.iter().all(u8::is_ascii_graphic) && !value.to_str().is_ok_and(holds_key)
    });
    given.cloned().unwrap_or_else(new_id)
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is a valid header value")
}

/// Methods are an open set; labels must not be.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
