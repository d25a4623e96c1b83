//! GET /v1/nodes: the nodes that work on this database, as the one that is asked saw them at its last heartbeat. It asks nothing of
//! the database, so that it answers while that is away.

use hyper::{Response, StatusCode};
use serde_json::json;

use super::call::Call;
use super::response::{Body, json as json_answer};
use crate::protocols::{Problem, ProblemCode};

pub fn list(call: Call<'_>) -> Result<Response<Body>, Problem> {
    let Call { api, params, .. } = call;
    params.finish()?;
    let picture = api.nodes.picture().ok_or_else(|| {
        let detail = "this node has not heard of the others yet: the database has not been there since its start";
        Problem::unavailable(ProblemCode::DatabaseUnavailable, detail, api.ingest.retry_after_s())
    })?;
    let answer = json!({
        "asked": api.nodes.id(),
        "age_ms": u64::try_from(picture.at.elapsed().as_millis()).unwrap_or(u64::MAX),
        "nodes": &*picture.nodes,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}
