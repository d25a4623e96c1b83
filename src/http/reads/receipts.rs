//! GET /v1/receipts/{id}.

use hyper::StatusCode;
use uuid::Uuid;

use super::list::{ListAnswer, one};
use crate::http::Api;
use crate::http::response::json;
use crate::ingest::spool::SpooledSummary;
use crate::protocols::params::Params;
use crate::protocols::problem::{Problem, ProblemCode};
use crate::tenancy::Principal;

/// GET /v1/receipts/{id}
pub async fn receipt(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("receipt")) };
    // First the spool: whatever leaves it is in the database by then.
    if let Some(spool) = api.ingest.spool()
        && let Some(SpooledSummary { accepted, rejected, .. }) = spool.find(&principal.tenant_id, id).await
    {
        let waiting = serde_json::json!({
            "receipt": id, "status": "spooled", "accepted": accepted, "rejected": rejected, "errors": []
        });
        return Ok(json(StatusCode::OK, &waiting));
    }
    if let Some(spool) = api.ingest.spool()
        && let Some(SpooledSummary { accepted, rejected, .. }) = spool.find_kept(&principal.tenant_id, id).await
    {
        let kept = serde_json::json!({
            "receipt": id, "status": "quarantined", "accepted": accepted, "rejected": rejected, "errors": []
        });
        return Ok(json(StatusCode::OK, &kept));
    }
    let tenant_id = &principal.tenant_id;
    let found = one(api, tenant_id, async |reads| reads.receipt(tenant_id, id).await).await;
    found.map_err(|problem| match problem.code() {
        ProblemCode::NotFound => Problem::new(
            StatusCode::NOT_FOUND,
            ProblemCode::NotFound,
            "there is no such receipt; receipts are kept for retention.ledger, of requests with an Idempotency-Key and of those that were spooled",
        ),
        _ => problem,
    })
}
