//! What clients ask before they write: whether somebody is there, in which version, and that a database be made.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::answer::{VERSION, named};
use crate::protocols::agent;
use crate::protocols::problem::Answer;
use crate::protocols::protocol::Probe;

pub const PROBES: &[Probe] = &[
    Probe { method: Method::GET, path: "/ping", speaks: |_| true, answer: ping },
    Probe { method: Method::HEAD, path: "/ping", speaks: |_| true, answer: ping },
    Probe { method: Method::GET, path: "/health", speaks: |_| true, answer: health },
    Probe { method: Method::POST, path: "/query", speaks: |_| true, answer: query },
];

fn ping() -> Answer {
    named(agent::empty(StatusCode::NO_CONTENT))
}

fn health() -> Answer {
    let body = json!({
        "name": "influxdb",
        "message": "ready for queries and writes",
        "status": "pass",
        "checks": [],
        "version": VERSION,
    });
    named(agent::json(StatusCode::OK, &body))
}

/// Clients of version 1 ask that a database be created, some of them give up without a 200, and there is nothing to
/// create. There are no results of any statement, so that no question is answered by it.
fn query() -> Answer {
    named(agent::json(StatusCode::OK, &json!({"results": []})))
}
