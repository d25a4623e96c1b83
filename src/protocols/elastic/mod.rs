//! Elasticsearch's bulk API: pairs of an action and a document, a line each. Every document becomes an event; what is
//! no new document (`update`, `delete`) is refused in its position. Anything else of Elasticsearch is a probe that says
//! what its clients want to hear before they send.

mod action;
mod answer;
mod bulk;
mod document;
mod filter;
mod names;
mod probes;
mod refusal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};

use super::agent;
use super::content::media_type;
use super::convert::Converter;
use super::credential;
use super::problem::{Answer, Problem, ProblemCode};
use super::protocol::{Head, Items, Probe, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::model::Kind;

pub struct Elastic;

const fn route(method: Method, path: &'static str, name: &'static str) -> Route {
    Route { method, path, name, kind: Kind::Events }
}

const HOW: &str = "`Authorization: ApiKey` with the base64 of `any:tg_...`, Basic with the key as the password, \
                   `Bearer tg_...`, or `X-API-Key: tg_...`";

impl Protocol for Elastic {
    fn routes(&self) -> &'static [Route] {
        // Fluent Bit puts a slash behind when it has a pipeline.
        const ROUTES: &[Route] = &[
            route(Method::POST, "/elastic/_bulk", "/elastic/_bulk"),
            route(Method::POST, "/elastic/_bulk/", "/elastic/_bulk/"),
            route(Method::PUT, "/elastic/_bulk", "PUT /elastic/_bulk"),
            route(Method::POST, "/elastic/{index}/_bulk", "/elastic/{index}/_bulk"),
            route(Method::POST, "/elastic/{index}/_bulk/", "/elastic/{index}/_bulk/"),
            route(Method::PUT, "/elastic/{index}/_bulk", "PUT /elastic/{index}/_bulk"),
            route(Method::POST, "/_bulk", "/_bulk"),
            route(Method::POST, "/_bulk/", "/_bulk/"),
            route(Method::PUT, "/_bulk", "PUT /_bulk"),
            route(Method::POST, "/{index}/_bulk", "/{index}/_bulk"),
            route(Method::POST, "/{index}/_bulk/", "/{index}/_bulk/"),
            route(Method::PUT, "/{index}/_bulk", "PUT /{index}/_bulk"),
        ];
        ROUTES
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        match credential::of_scheme(head.headers, "apikey") {
            Some(sent) => Ok(api_key(sent)),
            None => agent::required_key(head.headers, &[], HOW),
        }
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        const TAKEN: [&str; 5] = [
            "application/x-ndjson",
            "application/ndjson",
            "application/json",
            "application/vnd.elasticsearch+x-ndjson",
            "application/vnd.elasticsearch+json",
        ];
        if let Some(media_type) = media_type(head.headers).filter(|found| !TAKEN.contains(&found.as_str())) {
            let shown: String = media_type.chars().take(100).collect();
            let detail = format!("Content-Type header [{shown}] is not supported; send application/x-ndjson");
            let code = ProblemCode::UnsupportedMediaType;
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail));
        }
        // Documents with ids are the same when they are sent again; of others a request may be meant twice.
        agent::reading(head, true)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        bulk::convert(head, body, into)?;
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        answer::answer(head, sent, report)
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        refusal::answer(head.headers, problem)
    }

    fn probes(&self) -> &'static [Probe] {
        probes::PROBES
    }
}

/// The key in what follows `ApiKey`: base64 of an id, a colon and the key, of the key alone, or the key as it is.
fn api_key(sent: &str) -> Cow<'_, str> {
    let Some(pair) = STANDARD.decode(sent).ok().and_then(|pair| String::from_utf8(pair).ok()) else {
        return sent.into();
    };
    let is_key = |text: &str| text.starts_with("tg_");
    let key = match pair.split_once(':') {
        Some((id, key)) => {
            if is_key(id) && !is_key(key) {
                id
            } else {
                key
            }
        }
        None => &pair,
    };
    Cow::Owned(key.to_owned())
}
