//! Finds the route of a request, verifies its key, and has it answered: by the handler of the route, or, where items
//! are sent, in the words of the protocol.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::call::{Call, Handler, Unkeyed, Visit};
use super::noting::{Noted, Noting};
use super::peer::{Peer, peer_of};
use super::response::{self, Body};
use super::routes::ROUTES;
use super::spelling::plain;
use super::{Api, body, items, quota, who};
use crate::protocols::{self, Answer, Door, Head, Params, Probe, Problem, ProblemCode, Segments, credential};
use crate::tenancy::Scope;

/// On whose account the bodies are read of those who are not known yet: no tenant has this name.
static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "*".into());

/// What connections of the reserve may ask.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// The answer to a request, and what metrics and logs say of it.
pub struct Answered {
    /// The pattern of the route: a bounded set.
    pub route: &'static str,
    pub code: Option<ProblemCode>,
    pub response: Response<Body>,
}

struct Target {
    method: &'static Method,
    path: &'static str,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    Handler(&'static Handler),
    Items(Door),
    Probe(&'static Probe),
}

impl Target {
    /// A HEAD is answered as a GET; hyper leaves the body out.
    fn takes(&self, method: &Method) -> bool {
        self.method == method || (method == Method::HEAD && self.method == Method::GET)
    }

    fn speaks(&self, headers: &HeaderMap) -> bool {
        match self.to {
            To::Handler(_) => true,
            To::Items(door) => door.protocol.speaks(headers),
            To::Probe(probe) => (probe.speaks)(headers),
        }
    }
}

/// All targets, by the patterns of their paths.
static TARGETS: LazyLock<matchit::Router<Vec<Target>>> = LazyLock::new(|| {
    let items = protocols::doors().map(|d| Target { method: &d.route.method, path: d.route.path, to: To::Items(d) });
    let probes = protocols::probes().map(|p| Target { method: &p.method, path: p.path, to: To::Probe(p) });
    let others = ROUTES.iter().map(|r| Target { method: &r.method, path: r.path, to: To::Handler(&r.handler) });
    let mut paths: BTreeMap<&str, Vec<Target>> = BTreeMap::new();
    for target in probes.chain(items).chain(others) {
        paths.entry(target.path).or_default().push(target);
    }
    let mut router = matchit::Router::new();
    for (path, targets) in paths {
        router.insert(path, targets).expect("the patterns are constants, and a test has put them together");
    }
    router
});

pub async fn dispatch(api: &Api, request: Request<Incoming>) -> Answered {
    let (parts, mut incoming) = request.into_parts();
    let own = |problem: Problem| (problem.code(), problem.answer());
    let (route, answered) = match find(&parts.method, parts.uri.path(), &parts.headers) {
        Ok((target, path)) => {
            let crowd = parts.extensions.get::<Peer>().and_then(|peer| peer.crowd);
            let answered = match target.to {
                _ if crowd.is_some() && !HEALTH.contains(&target.path) => Err(own(quota::connections(crowd))),
                To::Handler(handler) => handle(api, handler, &path, &parts, &mut incoming).await.map_err(own),
                To::Probe(probe) => Ok(response::of((probe.answer)(parts.uri.query()))),
                To::Items(door) => take(api, door, &path, &parts, &mut incoming).await,
            };
            (target.path, answered)
        }
        Err(problem) => ("unmatched", Err((problem.code(), protocols::unmatched(&parts.headers, &problem)))),
    };
    let code = answered.as_ref().err().map(|(code, _)| *code);
    // Who waits for 100 Continue has not begun to send, and reading would ask it to; who is too slow stays it.
    if code.is_some_and(|code| code != ProblemCode::BodyTimeout) && !parts.headers.contains_key(EXPECT) {
        body::drain(&mut incoming).await;
    }
    let response = answered.unwrap_or_else(|(_, answer)| response::of(answer));
    Answered { route, code, response }
}

async fn handle(
    api: &Api,
    handler: &Handler,
    path: &Segments,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    match handler {
        Handler::Open(handler) => handler(api).await,
        Handler::Either(handler) => {
            let principal = who::visitor(api, parts).await?;
            Ok(handler(&Visit { api, principal: principal.as_deref(), peer: peer_of(parts) }))
        }
        Handler::Told(handler) => {
            let principal = match credential::own(&parts.headers) {
                Ok(key) => who::verify(api, parts, key).await.ok(),
                Err(_) => None,
            };
            handler(Visit { api, principal: principal.as_deref(), peer: peer_of(parts) }).await
        }
        Handler::Keyed(scopes, answer) => {
            let principal = who::authorize(api, parts, scopes).await?;
            let params = Params::parse(parts.uri.query())?;
            answer(Call { api, principal: &principal, parts, path, params, body: Bytes::new() }).await
        }
        Handler::Bodied(scopes, noted, answer) => {
            let principal = who::authorize(api, parts, scopes).await?;
            let params = Params::parse(parts.uri.query())?;
            let body = body::small(api, &principal.tenant_id, &parts.headers, incoming).await?;
            let noting = match noted {
                Noted::After(action) => {
                    let administration = &api.attached()?.administration;
                    Noting::begin(administration, action, &principal, parts, path, &body)
                }
                Noted::Nothing | Noted::Within(_) => None,
            };
            let answered = answer(Call { api, principal: &principal, parts, path, params, body }).await;
            if let Some(noting) = noting {
                let status = answered.as_ref().map_or_else(Problem::status, Response::status);
                noting.end(status).await;
            }
            answered
        }
        Handler::Ticketed(scopes, handler) => {
            let mut params = Params::parse(parts.uri.query())?;
            let ticket = if credential::given(&parts.headers) { None } else { params.take("ticket") };
            let principal = match ticket {
                Some(ticket) => who::holder(api, parts, path.get("name"), &ticket, scopes).await?,
                None => who::authorize(api, parts, scopes).await?,
            };
            handler(Call { api, principal: &principal, parts, path, params, body: Bytes::new() }).await
        }
        Handler::Unkeyed(handler) => {
            Params::parse(parts.uri.query())?.finish()?;
            let body = body::small(api, &NOBODY, &parts.headers, incoming).await?;
            handler(Unkeyed { api, parts, body }).await
        }
    }
}

/// Items, from the key to the answer; a refusal too is what the protocol makes of it.
async fn take(
    api: &Api,
    door: Door,
    path: &Segments,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Response<Body>, (ProblemCode, Answer)> {
    let head = Head { route: door.route, path, query: parts.uri.query(), headers: &parts.headers };
    let mut protocol = door.protocol;
    let taken = async {
        let key = match protocol.credential(&head) {
            Err(_) if credential::session(&parts.headers).is_some() && !credential::given(&parts.headers) => {
                let detail = "people who have signed in do not send items: send an API key with the scope `ingest`";
                return Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail));
            }
            key => key?,
        };
        let asked_at = Instant::now();
        let principal = who::authorize_key(api, parts, &key, &[Scope::Ingest]).await?;
        items::post(api, &principal, asked_at.elapsed(), &mut protocol, &head, incoming).await
    };
    match taken.await {
        Ok(answer) => Ok(response::of(answer)),
        Err(problem) => Err((problem.code(), protocol.refusal(&head, &problem))),
    }
}

/// Whether there is something at this path, for whatever method.
pub fn is_path(path: &str) -> bool {
    TARGETS.at(path).is_ok() || TARGETS.at(&plain(path)).is_ok()
}

fn find(method: &Method, path: &str, headers: &HeaderMap) -> Result<(&'static Target, Segments), Problem> {
    // As it is spelled first: an id `counts` has the spelling `%63ounts`.
    let spelled = plain(path);
    let found = TARGETS.at(path).or_else(|_| TARGETS.at(&spelled)).map_err(|_| {
        let detail = "there is no such path; /openapi.json lists what there is";
        Problem::new(StatusCode::NOT_FOUND, ProblemCode::NotFound, detail)
    })?;
    let takers = || found.value.iter().filter(|target| target.takes(method));
    let Some(target) = takers().find(|target| target.speaks(headers)).or_else(|| takers().next_back()) else {
        let mut allow: Vec<&str> = found.value.iter().map(|target| target.method.as_str()).collect();
        allow.dedup();
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        return Err(Problem::method_not_allowed(allow.join(", ")));
    };
    Ok((target, Segments::decode(found.params.iter())?))
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_TYPE, HeaderValue};
    use serde_json::Value;

    use super::*;
    use crate::http::operation::OPENAPI;
    use crate::http::who::listed;
    use crate::protocols::{Native, Protocol};

    fn found(method: &Method, path: &str) -> Option<(&'static str, String)> {
        let (target, segments) = find(method, path, &HeaderMap::new()).ok()?;
        Some((target.path, segments.get("id").to_owned()))
    }

    #[test]
    fn paths_match_whole_and_literally_first() {
        let path = |path: &str| found(&Method::GET, path);
        assert_eq!(path("/v1/events/counts"), Some(("/v1/events/counts", String::new())));
        assert_eq!(path("/v1/events/counts/related"), Some(("/v1/events/{id}/related", "counts".to_owned())));
        assert_eq!(path("/v1/events/a%2Fb"), Some(("/v1/events/{id}", "a/b".to_owned())));
        assert_eq!(path("/v1/events/a%2Fb/related"), Some(("/v1/events/{id}/related", "a/b".to_owned())));
        assert_eq!(path("/v1/events/related"), Some(("/v1/events/{id}", "related".to_owned())));
        assert_eq!(path("/v1/metrics/catalog"), Some(("/v1/metrics/catalog", String::new())));
        assert_eq!(path("/"), Some(("/", String::new())));
        for none in ["/v1/events//related", "/v1/events/a/related/", "/v1/events/", "/v1/events/a/b", "/v1/eventsx"] {
            assert_eq!(path(none), None, "{none}");
        }
        for none in ["//v1/events", "/v1//events", "*", "", "/v1/events/%FF", "/v1/events/%00", "/v1/events/{id}/"] {
            assert_eq!(path(none), None, "{none}");
        }
    }

    #[test]
    fn several_parameters_are_handed_over_by_name() {
        let mut router = matchit::Router::new();
        router.insert("/v1/streams/{name}/groups/{group}", ()).expect("a pattern");
        let matched = router.at("/v1/streams/a%20b/groups/c").expect("it matches");
        let names = matched.params.iter().map(|(name, value)| (if name == "name" { "name" } else { "group" }, value));
        let segments = Segments::decode(names).expect("text");
        assert_eq!((segments.get("name"), segments.get("group"), segments.get("id")), ("a b", "c", ""));
    }

    #[test]
    fn a_method_is_taken_or_those_that_are_taken_are_named() {
        assert!(found(&Method::HEAD, "/healthz").is_some());
        assert_eq!(found(&Method::HEAD, "/v1/events"), found(&Method::GET, "/v1/events"));
        let allow = |path: &str| {
            let problem = find(&Method::DELETE, path, &HeaderMap::new()).err().expect("these take none");
            let answer = problem.answer();
            answer.headers()["allow"].to_str().expect("ASCII").to_owned()
        };
        assert_eq!(allow("/v1/events"), "POST, GET, HEAD");
        assert_eq!(allow("/v1/events/counts"), "GET, HEAD");
    }

    #[test]
    fn openapi_lists_exactly_the_routes_and_their_scopes() {
        let document: Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        let mut described = BTreeMap::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                described.insert((method.to_uppercase(), path.as_str()), operation);
            }
        }
        // What agents' protocols take is described where they are.
        let items = Native.routes().iter().map(|route| (&route.method, route.path, &[Scope::Ingest][..]));
        let others = ROUTES.iter().map(|route| match route.handler {
            Handler::Open(_) | Handler::Either(_) | Handler::Told(_) | Handler::Unkeyed(_) => {
                (&route.method, route.path, &[][..])
            }
            Handler::Keyed(scopes, _) | Handler::Bodied(scopes, ..) | Handler::Ticketed(scopes, _) => {
                (&route.method, route.path, scopes)
            }
        });
        for (method, path, scopes) in items.chain(others) {
            let operation = described.remove(&(method.to_string(), path)).unwrap_or_else(|| panic!("{method} {path}"));
            let security = operation["security"].as_array();
            let open = security.is_some_and(|ways| ways.is_empty() || ways.contains(&serde_json::json!({})));
            assert_eq!(open, scopes.is_empty(), "{method} {path}");
            let description = operation["description"].as_str().unwrap_or_default();
            let said = format!("Needs the scope {}", listed(scopes));
            assert!(
                open || [".", ","].iter().any(|end| description.contains(&(said.clone() + end))),
                "{method} {path}"
            );
        }
        assert_eq!(described.into_keys().collect::<Vec<_>>(), []);
    }

    /// A media type that is taken is described, one that is described is taken, and those that mean the same are the same.
    #[test]
    fn bodies_are_described_as_they_are_taken() {
        let document: Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        for path in ["/v1/events", "/v1/metrics"] {
            let content = document["paths"][path]["post"]["requestBody"]["content"].as_object().expect("content");
            let form = |media: &str| {
                let value = HeaderValue::from_str(media).expect("a media type");
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
                let Ok((Target { to: To::Items(door), .. }, path)) = find(&Method::POST, path, &headers) else {
                    panic!("{path}")
                };
                let head = Head { route: door.route, path: &path, query: None, headers: &headers };
                door.protocol.reading(&head).map(|reading| reading.form).ok()
            };
            assert!(content.keys().all(|media| form(media).is_some()), "{path}");
            for media in
                ["application/json", "text/json", "application/json-seq", "application/x-ndjson", "application/ndjson"]
                    .into_iter()
                    .chain(["application/jsonl", "application/x-jsonlines"])
                    .chain(["application/cloudevents+json", "application/cloudevents-batch+json"])
            {
                assert_eq!(content.contains_key(media), form(media).is_some(), "{path} {media}");
                assert_eq!(form(&(media.to_uppercase() + " ; charset=utf-8")), form(media), "{path} {media}");
            }
            assert_eq!(content["text/json"]["schema"], content["application/json"]["schema"], "{path}");
        }
    }
}
