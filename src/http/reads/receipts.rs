//! GET /v1/receipts/{id}.

use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::list::{ListAnswer, one};
use crate::http::Api;
use crate::http::response::{Body, answer, full, json as json_answer};
use crate::ingest::spool::SpooledSummary;
use crate::nodes::{ASKED_BY, Asked, Node};
use crate::protocols::credential::{self, SESSION_COOKIE};
use crate::protocols::params::Params;
use crate::protocols::problem::{Problem, ProblemCode};
use crate::tenancy::Principal;

/// GET /v1/receipts/{id}
pub async fn receipt(api: &Api, principal: &Principal, parts: &Parts, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("receipt")) };
    let refusal = match here(api, principal, id).await {
        Err(problem) if is_elsewhere(&problem) && !parts.headers.contains_key(ASKED_BY) => problem,
        found => return found,
    };
    match api.nodes.ask(id, &carried(&parts.headers)).await {
        Asked::Has(found) => Ok(answer(StatusCode::OK, "application/json", full(found))),
        Asked::Unknown { node, why } => Err(unknown(api, &node, &why)),
        // What left that node's spool while it was asked is in the database by now.
        Asked::Nobody if refusal.code() == ProblemCode::NotFound => here(api, principal, id).await,
        Asked::Nobody => Err(refusal),
    }
}

/// Whether another node may have what this one has not, or cannot look up.
fn is_elsewhere(problem: &Problem) -> bool {
    matches!(problem.code(), ProblemCode::NotFound | ProblemCode::DatabaseUnavailable)
}

/// That of who asks, and nothing else; of cookies that of the session.
fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut carried = HeaderMap::new();
    for name in [AUTHORIZATION, HeaderName::from_static("x-api-key")] {
        if let Some(value) = headers.get(&name) {
            carried.insert(name, value.clone());
        }
    }
    if let Some(Ok(token)) = credential::session(headers)
        && let Ok(cookie) = HeaderValue::try_from(format!("{SESSION_COOKIE}={token}"))
    {
        carried.insert(COOKIE, cookie);
    }
    carried
}

/// 503, since it is not known: a sender that is told 404 would send again, or give up, what may be on that node's disk.
fn unknown(api: &Api, node: &Node, why: &str) -> Problem {
    tracing::warn!(node = %node.id, name = node.name, why, "another node could not be asked for a request");
    let detail = format!(
        "the request is not in the database; the node {} ({}) may have it in its spool, and cannot be asked: {}. What is there is \
         written once that node is back; ask again after Retry-After",
        node.name,
        node.state.as_str(),
        match &node.url {
            Some(_) => "it does not answer",
            None => "it has no node.url",
        },
    );
    Problem::unavailable(ProblemCode::NodeUnavailable, detail, api.ingest.retry_after_s())
        .with("node", node.id.to_string())
}

/// What this node knows: of its spool, and of the database.
async fn here(api: &Api, principal: &Principal, id: Uuid) -> ListAnswer {
    let tenant_id = &principal.tenant_id;
    let spool = api.ingest.spool();
    if let Some(spool) = spool {
        // First the spool: whatever leaves it is in the database by then.
        if let Some(waiting) = spool.find(tenant_id, id).await {
            return Ok(not_written(api, &waiting, "spooled"));
        }
        if let Some(kept) = spool.find_kept(tenant_id, id).await {
            return Ok(not_written(api, &kept, "quarantined"));
        }
    }
    let found = one(api, tenant_id, async |reads| reads.receipt(tenant_id, id).await).await;
    let not_found = match found {
        Err(problem) if problem.code() == ProblemCode::NotFound => problem,
        other => return other,
    };
    // Last: a request may have been written before its record in the spool was damaged.
    if let Some(spool) = spool
        && let Some(lost) = spool.find_lost(tenant_id, id).await
    {
        return Ok(not_written(api, &lost, "quarantined"));
    }
    Err(Problem::new(
        StatusCode::NOT_FOUND,
        not_found.code(),
        "there is no such receipt; receipts are kept for retention.ledger, of requests with an Idempotency-Key and of those that were spooled",
    ))
}

/// Of a request that is not in the database, and which node has it.
fn not_written(api: &Api, summary: &SpooledSummary, status: &str) -> Response<Body> {
    let SpooledSummary { receipt, accepted, rejected, .. } = summary;
    let answer = json!({
        "receipt": receipt, "status": status, "accepted": accepted, "rejected": rejected, "errors": [],
        "node": { "id": api.nodes.id(), "name": api.nodes.name() }
    });
    json_answer(StatusCode::OK, &answer)
}
