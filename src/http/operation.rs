//! What operators and their tools ask: /healthz, /readyz, /openapi.json, and the console.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::response::{Body, answer, full, json as json_answer};
use super::{Api, Readiness};
use crate::ingest::Health;

/// The API's description; a test checks it against the routes.
pub const OPENAPI: &str = include_str!("openapi.json");
const CONSOLE: &str = include_str!("console.html");

/// GET /healthz: the process answers.
pub fn healthz() -> Response<Body> {
    json_answer(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// GET /readyz: the process can serve requests now, or why it cannot.
pub async fn readyz(api: &Api) -> Response<Body> {
    let not_ready = |reason: String| {
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": reason }))
    };
    if *api.readiness.borrow() == Readiness::Stopping {
        return not_ready("shutting down".into());
    }
    let reason = match (api.ingest.health(), api.attached.get()) {
        (Health::Away { since, reason, .. }, None) => {
            let waited_s = since.elapsed().as_secs();
            return not_ready(format!("the database has been waited for since the start, {waited_s} s ago: {reason}"));
        }
        (Health::Available, None) => return not_ready("starting".into()),
        (Health::Away { since, reason, another }, Some(_)) => {
            let reason = format!("the database has not taken batches for {} s: {reason}", since.elapsed().as_secs());
            if another {
                return not_ready(reason);
            }
            reason
        }
        (Health::Available, Some(attached)) => match attached.reads.ping().await {
            Ok(()) => match api.ingest.undrained() {
                None => return json_answer(StatusCode::OK, &json!({ "status": "ready" })),
                Some(reason) => format!("spooled requests cannot be written: {reason}"),
            },
            Err(error) if error.is_another_database() => return not_ready(error.to_string()),
            Err(error) => format!("the database cannot be asked: {error}"),
        },
    };
    if api.ingest.spools() {
        return json_answer(StatusCode::OK, &json!({ "status": "degraded", "reason": reason }));
    }
    not_ready(reason)
}

/// GET /openapi.json
pub fn openapi() -> Response<Body> {
    answer(StatusCode::OK, "application/json", full(OPENAPI))
}

/// GET /: a page for people.
pub fn console() -> Response<Body> {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", full(CONSOLE));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CONSOLE_POLICY.clone());
    response
}

/// What the console may do: run its own script and style, told by their hashes, and ask the server that it is from.
static CONSOLE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let text = CONSOLE.split(&open).nth(1).and_then(|rest| rest.split(&close).next());
        let text = text.expect("the console has one of each");
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    HeaderValue::try_from(policy).expect("ASCII")
});
