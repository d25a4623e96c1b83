//! GET /v1/lifecycle: how chunks, rollups and jobs stand.

use hyper::{Response, StatusCode};

use super::Api;
use super::reads;
use super::response::{Body, json};
use crate::protocols::{Params, Problem, ProblemCode};
use crate::tenancy::Principal;

pub async fn status(api: &Api, principal: &Principal, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let attached = api.home(&principal.tenant_id)?;
    // It asks on a reader's connection, and waits for its turn like others.
    let _turn = attached.reads.begin(&principal.tenant_id).await.map_err(|error| reads::problem(api, error))?;
    let status = attached.lifecycle.status().await.map_err(|error| {
        tracing::warn!(%error, "how the lifecycle stands could not be asked");
        Problem::unavailable(
            ProblemCode::DatabaseUnavailable,
            "the database cannot be asked at the moment",
            api.ingest.retry_after_s(),
        )
    })?;
    Ok(json(StatusCode::OK, &status))
}
