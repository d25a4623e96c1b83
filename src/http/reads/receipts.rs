//! GET /v1/receipts/{id}.

use hyper::{Response, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::list::{ListAnswer, one};
use crate::http::Api;
use crate::http::response::{Body, json as json_answer};
use crate::ingest::spool::SpooledSummary;
use crate::protocols::params::Params;
use crate::protocols::problem::{Problem, ProblemCode};
use crate::tenancy::Principal;

/// GET /v1/receipts/{id}
pub async fn receipt(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("receipt")) };
    let tenant_id = &principal.tenant_id;
    let spool = api.ingest.spool();
    if let Some(spool) = spool {
        // First the spool: whatever leaves it is in the database by then.
        if let Some(waiting) = spool.find(tenant_id, id).await {
            return Ok(not_written(&waiting, "spooled"));
        }
        if let Some(kept) = spool.find_kept(tenant_id, id).await {
            return Ok(not_written(&kept, "quarantined"));
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
        return Ok(not_written(&lost, "quarantined"));
    }
    Err(Problem::new(
        StatusCode::NOT_FOUND,
        not_found.code(),
        "there is no such receipt; receipts are kept for retention.ledger, of requests with an Idempotency-Key and of those that were spooled",
    ))
}

/// Of a request that is not in the database.
fn not_written(summary: &SpooledSummary, status: &str) -> Response<Body> {
    let SpooledSummary { receipt, accepted, rejected, .. } = summary;
    let answer = json!({
        "receipt": receipt, "status": status, "accepted": accepted, "rejected": rejected, "errors": []
    });
    json_answer(StatusCode::OK, &answer)
}
