//! GET /v1/keys/self: what the key that asks may do.

use hyper::{Response, StatusCode};
use serde_json::json;

use super::response::{Body, json as json_answer};
use crate::protocols::{Params, Problem};
use crate::tenancy::Principal;

pub fn own(principal: &Principal, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let Principal { tenant_id, scopes, .. } = principal;
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "id": principal.id(), "tenant_id": &**tenant_id, "scopes": scopes.names() }),
    ))
}
