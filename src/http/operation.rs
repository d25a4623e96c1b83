//! What operators and their tools ask: /healthz, /readyz and /openapi.json.

use hyper::{Response, StatusCode};
use serde_json::json;

use super::Readiness;
use super::call::Visit;
use super::response::{Body, answer, full, json as json_answer};
use crate::ingest::{Health, Reason};
use crate::tenancy::Scope;

/// The API's description; a test checks it against the routes.
pub const OPENAPI: &str = include_str!("openapi.json");

/// GET /healthz: the process answers.
pub fn healthz() -> Response<Body> {
    json_answer(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// GET /readyz: the process can serve requests now, or why it cannot. The error itself is for keys with the scope `admin`
/// and the log: it names hosts and users.
pub async fn readyz(visit: &Visit<'_>) -> Response<Body> {
    let api = visit.api;
    let not_ready = |reason: String| {
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": reason }))
    };
    let in_full = visit.principal.is_some_and(|principal| principal.may(Scope::Admin));
    let told = |what: String, reason: &Reason| match in_full {
        true => format!("{what}: {reason}"),
        false => format!("{what}: {}", reason.kind),
    };
    if *api.readiness.borrow() == Readiness::Stopping {
        return not_ready("shutting down".into());
    }
    let reason = match (api.ingest.health(), api.attached.get()) {
        (Health::Away { reason: None, .. } | Health::Available, None) => return not_ready("starting".into()),
        (Health::Away { since, reason: Some(reason), .. }, None) => {
            let what = format!("the database has been waited for since the start, {} s ago", since.elapsed().as_secs());
            return not_ready(told(what, &reason));
        }
        (Health::Away { since, reason, another }, Some(_)) => {
            let whose = match api.ingest.cells_away() {
                (_, 0) => "the database has".to_owned(),
                (away, of) if in_full => format!("{} of {of} cells ({}) have", away.len(), away.join(", ")),
                (away, of) => format!("{} of {of} cells have", away.len()),
            };
            let what = format!("{whose} not taken batches for {} s", since.elapsed().as_secs());
            let text = reason.map_or(what.clone(), |reason| told(what, &reason));
            if another {
                return not_ready(text);
            }
            text
        }
        (Health::Available, Some(attached)) => match attached.control.ping().await {
            Ok(()) => match api.ingest.undrained() {
                None => {
                    // With what reads find, where there are several servers for them.
                    let answer = match attached.control.servers() {
                        None => json!({ "status": "ready" }),
                        Some(servers) => json!({ "status": "ready", "reads": servers }),
                    };
                    return json_answer(StatusCode::OK, &answer);
                }
                Some(reason) => told("spooled requests cannot be written to the database".into(), &reason),
            },
            Err(error) => {
                let text = told("the database cannot be asked".into(), &Reason::from(&error));
                if error.is_another_database() {
                    return not_ready(text);
                }
                text
            }
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
