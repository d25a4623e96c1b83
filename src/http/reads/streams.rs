//! GET /v1/streams and /v1/streams/{name}.

use hyper::http::request::Parts;

use super::list::{ListAnswer, ListRequest, one};
use crate::http::Api;
use crate::protocols::params::Params;
use crate::query::StreamsQuery;
use crate::tenancy::Principal;

pub async fn streams(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    request.answer(api, params, StreamsQuery).await
}

pub async fn stream(api: &Api, principal: &Principal, name: &str, params: Params) -> ListAnswer {
    params.finish()?;
    one(api, &principal.tenant_id, async |reads| reads.stream(&principal.tenant_id, name).await).await
}
