//! Which handler a request goes to, and what it needs to get there.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, EXPECT};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::params::Params;
use super::problem::{Code, Problem};
use super::response::Body;
use super::{Api, body, items, lifecycle, operation, quota, reads};
use crate::model::Kind;
use crate::tenancy::{KeyError, Principal, Scope};

/// A route, as `/openapi.json` must list it.
pub struct RouteInfo {
    pub method: Method,
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// The scope that it needs; None: open to all.
    pub scope: Option<Scope>,
    route: Route,
}

#[derive(Debug, Clone, Copy)]
enum Route {
    PostEvents,
    PostMetrics,
    Events,
    EventCounts,
    Event,
    Related,
    Samples,
    MetricCatalog,
    Correlations,
    Receipt,
    DeadLetters,
    DeadLetter,
    Lifecycle,
    Healthz,
    Readyz,
    Metrics,
    OpenApi,
    Console,
}

const fn route(method: Method, path: &'static str, scope: Option<Scope>, route: Route) -> RouteInfo {
    RouteInfo { method, path, scope, route }
}

/// Every route; of two that fit a path, the first counts.
pub const ROUTES: &[RouteInfo] = &[
    route(Method::POST, "/v1/events", Some(Scope::Ingest), Route::PostEvents),
    route(Method::POST, "/v1/metrics", Some(Scope::Ingest), Route::PostMetrics),
    route(Method::GET, "/v1/events", Some(Scope::Read), Route::Events),
    route(Method::GET, "/v1/events/counts", Some(Scope::Read), Route::EventCounts),
    route(Method::GET, "/v1/events/{id}", Some(Scope::Read), Route::Event),
    route(Method::GET, "/v1/events/{id}/related", Some(Scope::Read), Route::Related),
    route(Method::GET, "/v1/metrics", Some(Scope::Read), Route::Samples),
    route(Method::GET, "/v1/metrics/catalog", Some(Scope::Read), Route::MetricCatalog),
    route(Method::GET, "/v1/correlations", Some(Scope::Read), Route::Correlations),
    // Whoever sends may ask where a request is; so may readers.
    route(Method::GET, "/v1/receipts/{id}", Some(Scope::Read), Route::Receipt),
    route(Method::GET, "/v1/dead-letters", Some(Scope::Read), Route::DeadLetters),
    route(Method::GET, "/v1/dead-letters/{id}", Some(Scope::Read), Route::DeadLetter),
    route(Method::GET, "/v1/lifecycle", Some(Scope::Admin), Route::Lifecycle),
    route(Method::GET, "/healthz", None, Route::Healthz),
    route(Method::GET, "/readyz", None, Route::Readyz),
    route(Method::GET, "/metrics", None, Route::Metrics),
    route(Method::GET, "/openapi.json", None, Route::OpenApi),
    route(Method::GET, "/", None, Route::Console),
];

/// The path of the route that a request matched, for metrics and logs: a bounded set.
pub type Matched = &'static str;

/// Who a connection is from; put into each of its requests by the accept loop.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

pub async fn dispatch(api: &Api, request: Request<Incoming>) -> (Matched, Result<Response<Body>, Problem>) {
    let (parts, mut incoming) = request.into_parts();
    let (matched, answered) = match find(&parts.method, parts.uri.path()) {
        Ok((info, id)) => (info.path, handle(api, info, &id, &parts, &mut incoming).await),
        Err(problem) => ("unmatched", Err(problem)),
    };
    // Who waits for 100 Continue has not begun to send, and reading would ask it to; who is too slow stays it.
    let refused = answered.as_ref().is_err_and(|problem| problem.status() != StatusCode::REQUEST_TIMEOUT);
    if refused && !parts.headers.contains_key(EXPECT) {
        body::drain(&mut incoming).await;
    }
    (matched, answered)
}

async fn handle(
    api: &Api,
    info: &RouteInfo,
    id: &str,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let Some(scope) = info.scope else {
        return Ok(match info.route {
            Route::Readyz => operation::readyz(api).await,
            Route::Metrics => operation::metrics(api),
            Route::OpenApi => operation::openapi(),
            Route::Console => operation::console(),
            _ => operation::healthz(),
        });
    };
    let principal = authorize(api, parts, info, scope).await?;
    let params = Params::parse(parts.uri.query())?;
    match info.route {
        Route::PostEvents => items::post(api, &principal, Kind::Events, parts, params, incoming).await,
        Route::PostMetrics => items::post(api, &principal, Kind::Metrics, parts, params, incoming).await,
        Route::Events => reads::events(api, &principal, parts, params).await,
        Route::EventCounts => reads::counts(api, &principal, parts, params).await,
        Route::Event => reads::event(api, &principal, id, params).await,
        Route::Related => reads::related(api, &principal, id, parts, params).await,
        Route::Samples => reads::metrics(api, &principal, parts, params).await,
        Route::MetricCatalog => reads::catalog(api, &principal, parts, params).await,
        Route::Correlations => reads::correlations(api, &principal, parts, params).await,
        Route::Receipt => reads::receipt(api, &principal, id, params).await,
        Route::DeadLetters => reads::dead_letters(api, &principal, parts, params).await,
        Route::DeadLetter => reads::dead_letter(api, &principal, id, params).await,
        Route::Lifecycle => lifecycle::status(api, params).await,
        Route::Healthz | Route::Readyz | Route::Metrics | Route::OpenApi | Route::Console => {
            unreachable!("open routes have no scope")
        }
    }
}

fn find(method: &Method, path: &str) -> Result<(&'static RouteInfo, String), Problem> {
    let mut allow: Vec<&str> = Vec::new();
    for info in ROUTES {
        let Some(id) = matches(info.path, path) else { continue };
        // A HEAD is answered as a GET; hyper leaves the body out.
        if info.method == *method || (*method == Method::HEAD && info.method == Method::GET) {
            let id = percent_decode_str(id).decode_utf8().map_err(|_| Problem::not_found("path"))?;
            return Ok((info, id.into_owned()));
        }
        allow.push(info.method.as_str());
    }
    if allow.is_empty() {
        Err(Problem::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            "there is no such path; /openapi.json lists what there is",
        ))
    } else {
        Err(Problem::method_not_allowed(allow.join(", ")))
    }
}

/// The `{id}` of a path that fits the pattern; empty for patterns without one.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    match pattern.split_once("{id}") {
        None => (pattern == path).then_some(""),
        Some((before, after)) => {
            let id = path.strip_prefix(before)?.strip_suffix(after)?;
            Some(id).filter(|id| !id.is_empty() && !id.contains('/'))
        }
    }
}

async fn authorize(api: &Api, parts: &Parts, info: &RouteInfo, scope: Scope) -> Result<Arc<Principal>, Problem> {
    let text = key_text(&parts.headers)?;
    let peer = parts.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0);
    let principal = api.verifier.verify(text, peer).await.map_err(|error| match error {
        KeyError::Invalid => Problem::unauthorized(
            "the API key is not valid: unknown, revoked, expired, or its organization is inactive",
        ),
        KeyError::TooMany { retry_after_s } => quota::key_lookups(retry_after_s),
        KeyError::Unavailable(_) => Problem::unavailable(
            Code::DatabaseUnavailable,
            "the key cannot be verified at the moment",
            api.ingest.retry_after_s(),
        ),
    })?;
    // A sender may ask where its own request is.
    let receipt_of_sender = matches!(info.route, Route::Receipt) && principal.may(Scope::Ingest);
    if principal.may(scope) || receipt_of_sender {
        return Ok(principal);
    }
    let needed = scope.as_str();
    let has = principal.scopes;
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        Code::Forbidden,
        format!("this needs the scope `{needed}`; the key has `{has}`"),
    ))
}

fn key_text(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::unauthorized("send an API key: `Authorization: Bearer tg_...` or `X-API-Key: tg_...`");
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().map_err(|_| missing())?;
        let (scheme, key) = text.split_once(' ').ok_or_else(missing)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(missing()) };
    }
    headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_whole_and_in_order() {
        let path = |path: &str| find(&Method::GET, path).map(|(info, id)| (info.path, id)).ok();
        assert_eq!(path("/v1/events/counts"), Some(("/v1/events/counts", String::new())));
        assert_eq!(path("/v1/events/a%2Fb"), Some(("/v1/events/{id}", "a/b".to_owned())));
        assert_eq!(path("/v1/events/a%2Fb/related"), Some(("/v1/events/{id}/related", "a/b".to_owned())));
        assert_eq!(path("/v1/events/related"), Some(("/v1/events/{id}", "related".to_owned())));
        assert_eq!(path("/v1/events//related"), None);
        assert_eq!(path("/v1/events/a/related/"), None);
        assert_eq!(path("/v1/metrics/catalog"), Some(("/v1/metrics/catalog", String::new())));
        assert_eq!(path("/v1/events/"), None);
        assert_eq!(path("/v1/events/a/b"), None);
        assert_eq!(path("/v1/eventsx"), None);
        assert!(find(&Method::HEAD, "/healthz").is_ok());
        assert!(find(&Method::DELETE, "/v1/events").is_err());
    }

    #[test]
    fn openapi_lists_exactly_the_routes() {
        let document: serde_json::Value = serde_json::from_str(operation::OPENAPI).expect("openapi.json is JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut described: Vec<(String, String, bool)> = Vec::new();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().expect("operations") {
                let open = operation["security"].as_array().is_some_and(Vec::is_empty);
                described.push((method.to_uppercase(), path.clone(), open));
            }
        }
        let mut routes: Vec<(String, String, bool)> =
            ROUTES.iter().map(|r| (r.method.to_string(), r.path.to_owned(), r.scope.is_none())).collect();
        described.sort();
        routes.sort();
        assert_eq!(described, routes);
    }
}
