//! GET /v1/lifecycle: how chunks, rollups and jobs stand.

use hyper::{Response, StatusCode};

use super::Api;
use super::response::{Body, json};
use crate::protocols::{Params, Problem, ProblemCode};

pub async fn status(api: &Api, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let status = api.attached()?.lifecycle.status().await.map_err(|error| {
        tracing::warn!(%error, "how the lifecycle stands could not be asked");
        Problem::unavailable(
            ProblemCode::DatabaseUnavailable,
            "the database cannot be asked at the moment",
            api.ingest.retry_after_s(),
        )
    })?;
    Ok(json(StatusCode::OK, &status))
}
