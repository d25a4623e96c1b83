//! Pages of other origins that may read answers (`cors.origins`), as the Fetch standard has it. Credentials in the
//! browser's sense, cookies that is, play no part: a page sends an API key in a header of its own.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use hyper::{Method, Response, StatusCode};

use super::response::{Body, full};
use crate::config::CorsOrigins;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "Authorization, X-API-Key, Content-Type, Content-Encoding, Idempotency-Key, X-Request-Id, \
                               Last-Event-ID, ce-id, ce-source, ce-type, ce-specversion, ce-time, ce-subject, ce-dataschema";
const ANSWER_HEADERS: &str = "X-Request-Id, Retry-After, Idempotent-Replayed";
/// For how long a browser may remember an answer to its question, in seconds.
const REMEMBERED_S: &str = "600";

/// The answer to a browser's question whether a page may send a request; None: it is no such question.
pub fn preflight(origins: &CorsOrigins, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    let asks = method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && origins.are_any();
    asks.then(|| {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        if allowed(origins, headers).is_some() {
            let into = response.headers_mut();
            into.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            into.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
            into.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_S));
        }
        response
    })
}

/// What the answer to a request with these headers says of origins; empty without `cors.origins`.
pub fn of_answer(origins: &CorsOrigins, headers: &HeaderMap) -> HeaderMap {
    let mut into = HeaderMap::new();
    if !origins.are_any() {
        return into;
    }
    if !origins.are_all() {
        into.insert(VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed(origins, headers) {
        into.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        into.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
    }
    into
}

fn allowed(origins: &CorsOrigins, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.are_all() {
        return Some(HeaderValue::from_static("*"));
    }
    origins.have(origin.to_str().ok()?).then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(origins: &str, origin: &str) -> (Option<String>, bool) {
        let origins = CorsOrigins::parse(origins).expect("origins");
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).expect("ASCII"))]);
        let answer = of_answer(&origins, &headers);
        let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().expect("ASCII").to_owned());
        (allowed, answer.contains_key(VARY))
    }

    #[test]
    fn an_origin_is_named_only_if_it_may_read() {
        let some = "https://a.example, http://localhost:3000";
        assert_eq!(said(some, "https://a.example"), (Some("https://a.example".into()), true));
        assert_eq!(said(some, "http://localhost:3000"), (Some("http://localhost:3000".into()), true));
        for other in
            ["https://b.example", "https://a.example.evil", "http://a.example", "null", "https://a.example:444"]
        {
            assert_eq!(said(some, other), (None, true), "{other}");
        }
        assert_eq!(said("*", "https://b.example"), (Some("*".into()), false));
        assert_eq!(said("", "https://b.example"), (None, false));
    }
}
