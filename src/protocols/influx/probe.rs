//! What clients ask before they write: whether somebody is there, in which version, and that a database be made.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::answer::{VERSION, named};
use crate::protocols::agent::{self, Query};
use crate::protocols::problem::Answer;
use crate::protocols::protocol::Probe;

pub const PROBES: &[Probe] = &[
    Probe { method: Method::GET, path: "/ping", speaks: |_| true, answer: ping },
    Probe { method: Method::HEAD, path: "/ping", speaks: |_| true, answer: ping },
    Probe { method: Method::GET, path: "/health", speaks: |_| true, answer: health },
    Probe { method: Method::GET, path: "/query", speaks: |_| true, answer: query },
    Probe { method: Method::POST, path: "/query", speaks: |_| true, answer: query },
];

fn ping(_query: Option<&str>) -> Answer {
    named(agent::empty(StatusCode::NO_CONTENT))
}

fn health(_query: Option<&str>) -> Answer {
    let body = json!({
        "name": "influxdb",
        "message": "ready for queries and writes",
        "status": "pass",
        "checks": [],
        "version": VERSION,
    });
    named(agent::json(StatusCode::OK, &body))
}

/// Clients of version 1 ask that a database be created, some give up without a 200, and there is nothing to create. Some have
/// the statement in a body, which is not read: of that there are no results. Whatever else is asked is not answered here.
fn query(query: Option<&str>) -> Answer {
    let query = Query::parse(query);
    let statement = query.get("q").map(str::trim_start);
    let begins = |words: &str| {
        statement.is_some_and(|text| text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words)))
    };
    named(match statement {
        None => agent::json(StatusCode::OK, &json!({"results": []})),
        Some(_) if begins("create database") => agent::json(StatusCode::OK, &json!({"results": [{"statement_id": 0}]})),
        Some(_) => {
            let error = "Tidegate takes line protocol and no queries: read by GET /v1/metrics, or by SQL";
            agent::json(StatusCode::BAD_REQUEST, &json!({"error": error}))
        }
    })
}
