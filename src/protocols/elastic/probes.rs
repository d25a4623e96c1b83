//! What clients of Elasticsearch ask before they send: who is there, under which licence, whether what they would set
//! up is there already. The last is said to be, so that they set nothing up.

use hyper::header::ACCEPT;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::names::branded;
use crate::protocols::agent;
use crate::protocols::header::list;
use crate::protocols::problem::Answer;
use crate::protocols::protocol::Probe;

/// The version whose bulk API this is: Beats refuse to send to one that is older than they are, unless told otherwise.
const VERSION: &str = "8.17.0";
/// Of the form of Elasticsearch's own; clients take it for one cluster.
const CLUSTER_UUID: &str = "dGlkZWdhdGUtdGlkZWdhdA";

const fn get(path: &'static str, answer: fn(Option<&str>) -> Answer) -> Probe {
    Probe { method: Method::GET, path, speaks: |_| true, answer }
}

/// Under `/elastic`, and where nobody else answers.
pub const PROBES: &[Probe] = &[
    Probe { method: Method::GET, path: "/", speaks: is_client, answer: root },
    get("/elastic", root),
    get("/elastic/", root),
    get("/elastic/_license", license),
    get("/_license", license),
    get("/elastic/_xpack", xpack),
    get("/_xpack", xpack),
    get("/elastic/_cluster/health", health),
    get("/_cluster/health", health),
    get("/elastic/_cat/health", cat_health),
    get("/_cat/health", cat_health),
    get("/elastic/_index_template/{name}", there),
    get("/_index_template/{name}", there),
    get("/elastic/_template/{name}", there),
    get("/_template/{name}", there),
    get("/elastic/_ilm/policy/{name}", there),
    get("/_ilm/policy/{name}", there),
    get("/elastic/_data_stream/{name}", there),
    get("/_data_stream/{name}", there),
];

/// Whether JSON is asked for: a browser asks for a page, which is the console.
fn is_client(headers: &HeaderMap) -> bool {
    let named = list(headers, ACCEPT);
    let is = |media: &str| matches!(media, "application/json" | "application/vnd.elasticsearch+json");
    named.iter().any(|found| is(&found.token)) && !named.iter().any(|found| found.token == "text/html")
}

fn root(_query: Option<&str>) -> Answer {
    branded(agent::json(
        StatusCode::OK,
        &json!({
            "name": "tidegate",
            "cluster_name": "tidegate",
            "cluster_uuid": CLUSTER_UUID,
            "version": {
                "number": VERSION,
                "build_flavor": "default",
                "build_type": "tar",
                "build_hash": "unknown",
                "build_date": "2024-12-11T12:08:05.663969764Z",
                "build_snapshot": false,
                "lucene_version": "9.12.0",
                "minimum_wire_compatibility_version": "7.17.0",
                "minimum_index_compatibility_version": "7.0.0"
            },
            "tagline": "You Know, for Search"
        }),
    ))
}

fn license(_query: Option<&str>) -> Answer {
    let license = json!({
        "status": "active", "uid": CLUSTER_UUID, "type": "basic", "mode": "basic", "issued_to": "tidegate",
        "issuer": "tidegate", "max_nodes": null, "issue_date_in_millis": 0, "start_date_in_millis": -1
    });
    branded(agent::json(StatusCode::OK, &json!({ "license": license })))
}

/// No index lifecycles, so that nobody rolls indices over.
fn xpack(_query: Option<&str>) -> Answer {
    let features = json!({
        "license": {"uid": CLUSTER_UUID, "type": "basic", "mode": "basic", "status": "active"},
        "features": {"ilm": {"available": false, "enabled": false}}
    });
    branded(agent::json(StatusCode::OK, &features))
}

fn health(_query: Option<&str>) -> Answer {
    let health = json!({
        "cluster_name": "tidegate", "status": "green", "timed_out": false, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
        "initializing_shards": 0, "unassigned_shards": 0
    });
    branded(agent::json(StatusCode::OK, &health))
}

fn cat_health(_query: Option<&str>) -> Answer {
    branded(agent::text(StatusCode::OK, "tidegate green 1 1 1 1 0 0 0 0 - 100.0%\n"))
}

fn there(_query: Option<&str>) -> Answer {
    branded(agent::json(StatusCode::OK, &json!({})))
}
